//! Hostile bytes for every decoder: what `fuzz/` does with coverage and in millions, here with samples and in hundreds.

#[path = "../fuzz/src/lib.rs"]
#[expect(unreachable_pub, reason = "it is a crate of its own to the fuzz targets")]
mod targets;

use proptest::prelude::*;
use targets::DECODERS;

#[test]
fn every_decoder_has_a_target() {
    let manifest = include_str!("../fuzz/Cargo.toml");
    for (name, ..) in DECODERS {
        assert!(manifest.contains(&format!("fuzz_targets/{name}.rs")), "{name}");
    }
}

#[test]
fn samples_are_taken() {
    use crate::doors::{self, ask, job, orders_of_job, tell};
    for (samples, take) in [
        (doors::asks(), ask as fn(&[u8]) -> Option<Vec<u8>>),
        (doors::tells(), tell),
        (doors::jobs(), job),
    ] {
        for sample in samples {
            assert_eq!(take(&sample), Some(sample));
        }
    }
    assert!(doors::jobs().iter().all(|job| orders_of_job(job) == Some(true)));
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(96))]
    #[test]
    fn random_bytes_do_no_harm(bytes in prop::collection::vec(any::<u8>(), 0..600)) {
        for (_, feed, _) in DECODERS {
            feed(&bytes);
        }
    }

    #[test]
    fn damaged_samples_do_no_harm(
        damage in prop::collection::vec((any::<prop::sample::Index>(), any::<u8>()), 0..4),
        lengths in prop::collection::vec((any::<prop::sample::Index>(), any::<u64>()), 0..2),
        cut: prop::sample::Index,
        which: prop::sample::Index,
    ) {
        for (_, feed, samples) in DECODERS {
            let samples = samples();
            let mut bytes = samples[which.index(samples.len())].clone();
            for (at, byte) in &damage {
                let at = at.index(bytes.len());
                bytes[at] = *byte;
            }
            // Whole words, as lengths are.
            for (at, length) in &lengths {
                let at = at.index(bytes.len());
                for (to, from) in bytes[at..].iter_mut().zip(length.to_le_bytes()) {
                    *to = from;
                }
            }
            feed(&bytes);
            feed(&bytes[..cut.index(bytes.len())]);
        }
    }
}
