//! Hostile bytes for every decoder: what `fuzz/` does with coverage and in millions, here with samples and in hundreds.

#[path = "../fuzz/src/lib.rs"]
#[expect(unreachable_pub, reason = "it is a crate of its own to the fuzz targets")]
mod targets;

use proptest::prelude::*;
use targets::decoders;

#[test]
fn every_decoder_has_a_target() {
    let manifest = include_str!("../fuzz/Cargo.toml");
    for (name, ..) in decoders() {
        assert!(manifest.contains(&format!("fuzz_targets/{name}.rs")), "{name}");
    }
}

#[cfg(feature = "net")]
#[test]
fn the_engine_takes_its_samples() {
    use crate::log::engine::doors::{Wire, again, frame_samples, frames, samples};
    for wire in [
        Wire::Part,
        Wire::Stream,
        Wire::Consensus,
        Wire::Liveness,
        Wire::Status,
        Wire::Request,
        Wire::Response,
    ] {
        for sample in samples(wire) {
            assert_eq!(again(wire, &sample), Some(sample), "{wire:?}");
        }
    }
    for sample in frame_samples() {
        let (whole, messages) = frames(&sample);
        assert_eq!(whole, sample);
        assert!(
            !messages.is_empty()
                && messages
                    .iter()
                    .all(|(message, again)| again.as_ref() == Some(message))
        );
    }
}

#[test]
fn samples_are_taken_whole_and_in_no_part_do_harm() {
    for (_, feed, samples) in decoders() {
        for sample in samples() {
            feed(&sample);
            for cut in 0..sample.len() {
                feed(&sample[..cut]);
            }
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(96))]
    #[test]
    fn random_bytes_do_no_harm(bytes in prop::collection::vec(any::<u8>(), 0..600)) {
        for (_, feed, _) in decoders() {
            feed(&bytes);
        }
    }

    #[test]
    fn damaged_samples_do_no_harm(
        damage in prop::collection::vec((any::<prop::sample::Index>(), any::<u8>()), 1..6),
        lengths in prop::collection::vec((any::<prop::sample::Index>(), any::<u64>()), 0..2),
        spliced in prop::collection::vec(any::<u8>(), 0..20),
        at: prop::sample::Index,
        which: prop::sample::Index,
    ) {
        for (_, feed, samples) in decoders() {
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
            let at = at.index(bytes.len());
            bytes.splice(at..at, spliced.iter().copied());
            feed(&bytes);
        }
    }
}
