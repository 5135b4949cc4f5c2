use super::*;
use proptest::prelude::*;
use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Duration;

const CHUNK: u32 = MIN_CHUNK;

const fn key(n: u8) -> PublicKey {
    PublicKey([n; 32])
}

fn data(bytes: usize) -> Vec<u8> {
    (0..bytes).map(|n| (n * 31 + n / 256) as u8).collect()
}

fn manifest(data: &[u8]) -> Arc<Manifest> {
    Arc::new(Manifest::of(data, CHUNK).expect("in range"))
}

fn config(window: usize) -> ReceiverConfig {
    ReceiverConfig {
        window,
        per_source: 2,
        patience: Duration::from_millis(100),
        failures: 3,
    }
}

const fn ms(n: u64) -> Duration {
    Duration::from_millis(n)
}

fn part<'a>(manifest: &Manifest, data: &'a [u8], index: u32) -> &'a [u8] {
    let (offset, length) = manifest.place(index).expect("a chunk");
    &data[offset as usize..offset as usize + length as usize]
}

#[test]
fn manifests_survive_and_are_checked_against_their_name() {
    for bytes in [0, 1, 1023, 1024, 1025, 5000] {
        let data = data(bytes);
        let manifest = manifest(&data);
        assert_eq!(manifest.bytes(), bytes as u64);
        assert_eq!(manifest.chunks(), (bytes as u32).div_ceil(CHUNK));
        let encoded = manifest.encode();
        assert_eq!(Manifest::decode(manifest.id(), &encoded).as_ref(), Ok(&*manifest));
        let wanted = ContentId(crate::keys::Digest([1; 32]));
        assert_eq!(
            Manifest::decode(wanted, &encoded),
            Err(StreamError::WrongManifest { wanted })
        );
    }
}

#[test]
fn sizes_and_counts_are_bounded() {
    for chunk in [0, MIN_CHUNK - 1, MAX_CHUNK + 1] {
        let error = Manifest::of(&[][..], chunk).expect_err("out of range");
        assert!(
            matches!(error, StreamError::OutOfRange { field: "chunk", .. }),
            "{error}"
        );
    }
    let endless = std::io::repeat(7);
    let error = Manifest::of(endless, MIN_CHUNK).expect_err("endless");
    assert_eq!(error.to_string(), "chunks is 8193, allowed are 0 to 8192");
    let full = Manifest::of(std::io::Read::take(std::io::repeat(7), 8192 * 1024), MIN_CHUNK).expect("8192");
    assert!(full.encode().len() <= MAX_MANIFEST);
}

#[test]
fn a_lying_source_is_dropped_and_the_rest_comes_from_others() {
    let data = data(4000);
    let manifest = manifest(&data);
    let mut receiver = Receiver::new(config(8), manifest.id(), [key(1), key(2)]).expect("valid");
    let want = receiver.next(ms(0)).expect("sources").expect("manifest");
    assert_eq!(want.what, Wanted::Manifest);
    assert_eq!(receiver.next(ms(0)), Ok(None), "one manifest is enough");
    assert_eq!(
        receiver.manifest_came(&key(9), &manifest.encode()),
        Err(StreamError::Unasked { peer: key(9) })
    );
    receiver
        .manifest_came(&want.peer, &manifest.encode())
        .expect("the right one");
    let mut wants = Vec::new();
    while let Some(want) = receiver.next(ms(0)).expect("sources") {
        wants.push(want);
    }
    assert_eq!(wants.len(), 4, "two of each source");
    let Wanted::Chunk(index) = wants[0].what else {
        panic!("a chunk")
    };
    let error = receiver
        .chunk_came(&wants[0].peer, index, b"lie")
        .expect_err("a lie");
    assert!(error.blames_peer(), "{error}");
    assert_eq!(receiver.sources().count(), 1);
    assert_eq!(
        receiver.in_flight(),
        2,
        "what the liar still owes is asked elsewhere"
    );
    let late = receiver.chunk_came(&wants[0].peer, index, part(&manifest, &data, index));
    assert_eq!(late, Err(StreamError::Unasked { peer: wants[0].peer }));
}

#[test]
fn silent_sources_run_out_and_the_last_error_says_so() {
    let id = manifest(&data(10)).id();
    let mut receiver = Receiver::new(config(8), id, [key(1)]).expect("valid");
    for n in 0..3 {
        receiver.next(ms(n * 100)).expect("a source").expect("again");
        assert_eq!(receiver.deadline(), Some(ms(n * 100 + 100)));
        receiver.expire(ms(n * 100 + 99));
        assert_eq!(receiver.next(ms(n * 100)), Ok(None), "still awaited");
        receiver.expire(ms(n * 100 + 100));
    }
    assert_eq!(receiver.next(ms(300)), Err(StreamError::NoSource { id }));
}

#[test]
fn the_window_counts_until_chunks_are_stored() {
    let data = data(10 * 1024);
    let manifest = manifest(&data);
    let mut receiver =
        Receiver::resume(config(2), manifest.clone(), &BTreeSet::from([0, 9]), [key(1)]).expect("valid");
    let first = receiver.next(ms(0)).expect("a source").expect("a chunk");
    receiver.next(ms(0)).expect("a source").expect("a chunk");
    assert_eq!(receiver.next(ms(0)), Ok(None));
    let Wanted::Chunk(index) = first.what else {
        panic!("a chunk")
    };
    assert_eq!(index, 1, "chunk 0 is there");
    receiver
        .chunk_came(&key(1), index, part(&manifest, &data, index))
        .expect("right");
    assert_eq!(
        receiver.next(ms(0)),
        Ok(None),
        "not stored: a slow disk holds the sender back"
    );
    receiver.not_stored(index);
    let again = receiver.next(ms(0)).expect("a source").expect("room");
    assert_eq!(again.what, Wanted::Chunk(index));
}

#[test]
fn a_provider_reads_no_more_for_one_peer_than_it_may() {
    let config = ProviderConfig {
        contents: 1,
        reads_per_peer: 2,
        reads: 3,
    };
    let mut provider = Provider::new(config).expect("valid");
    let id = provider.publish(manifest(&data(5000))).expect("room");
    assert!(provider.publish(manifest(&data(1))).is_err(), "one content only");
    let chunk = provider.asked(key(1), id, 4).expect("there");
    assert_eq!((chunk.offset, chunk.length), (4096, 904));
    provider.asked(key(1), id, 0).expect("there");
    let third = provider.asked(key(1), id, 1);
    assert_eq!(
        third,
        Err(StreamError::PeerBusy {
            peer: key(1),
            most: 2
        })
    );
    provider.asked(key(2), id, 0).expect("others are served");
    assert_eq!(provider.asked(key(3), id, 0), Err(StreamError::Busy { most: 3 }));
    provider.finished(&key(1));
    provider.finished(&key(9));
    provider.asked(key(3), id, 0).expect("room again");
    assert_eq!((provider.reads(), provider.reads_of(&key(1))), (3, 1));
    assert_eq!(
        provider.asked(key(1), id, 5),
        Err(StreamError::NoSuchChunk { index: 5, chunks: 5 })
    );
    provider.withdraw(&id);
    assert_eq!(
        provider.asked(key(1), id, 0),
        Err(StreamError::UnknownContent { id })
    );
}

/// How a source answers a request.
#[derive(Debug, Clone, Copy)]
enum Answer {
    Right,
    Wrong,
    Refused,
    Never,
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]
    #[test]
    fn whatever_sources_do_only_right_bytes_are_stored_and_it_ends(
        bytes in 0_usize..9000,
        window in 1_usize..6,
        answers in prop::collection::vec(
            prop_oneof![
                6 => Just(Answer::Right), 1 => Just(Answer::Wrong), 1 => Just(Answer::Refused), 1 => Just(Answer::Never),
            ],
            1..40,
        ),
        have in prop::collection::btree_set(0_u32..9, 0..5),
        resumes: bool,
    ) {
        let data = data(bytes);
        let manifest = manifest(&data);
        let sources = (1..=3).map(key);
        let mut receiver = if resumes {
            Receiver::resume(config(window), manifest.clone(), &have, sources).expect("valid")
        } else {
            Receiver::new(config(window), manifest.id(), sources).expect("valid")
        };
        let mut stored = BTreeSet::new();
        let mut now = ms(0);
        let mut steps = 0;
        let ended = loop {
            steps += 1;
            prop_assert!(steps < 500, "it ends");
            let want = match receiver.next(now) {
                Err(error) => break Err(error),
                Ok(want) => want,
            };
            prop_assert!(receiver.in_flight() <= window);
            let Some(want) = want else {
                if receiver.is_complete() { break Ok(()); }
                now = receiver.deadline().expect("something is awaited");
                receiver.expire(now);
                continue;
            };
            match (answers[steps % answers.len()], want.what) {
                (Answer::Never, _) => {}
                (Answer::Refused, what) => receiver.failed(&want.peer, what),
                (Answer::Right, Wanted::Manifest) => receiver.manifest_came(&want.peer, &manifest.encode()).expect("right"),
                (Answer::Right, Wanted::Chunk(index)) => {
                    let store = receiver.chunk_came(&want.peer, index, part(&manifest, &data, index)).expect("right");
                    prop_assert_eq!(store.offset, u64::from(index) * u64::from(CHUNK));
                    prop_assert!(stored.insert(index), "each chunk once");
                    receiver.stored(index);
                }
                (Answer::Wrong, Wanted::Manifest) => {
                    prop_assert!(receiver.manifest_came(&want.peer, b"no manifest").is_err());
                }
                (Answer::Wrong, Wanted::Chunk(index)) => {
                    prop_assert!(receiver.chunk_came(&want.peer, index, &[1; 3000]).is_err());
                }
            }
        };
        match ended {
            Ok(()) => {
                let wanted: BTreeSet<u32> = (0..manifest.chunks()).filter(|n| !resumes || !have.contains(n)).collect();
                prop_assert_eq!(stored, wanted);
            }
            Err(error) => {
                prop_assert_eq!(error, StreamError::NoSource { id: manifest.id() });
                prop_assert_eq!(receiver.sources().count(), 0);
            }
        }
    }

    #[test]
    fn any_bytes_are_a_manifest_or_refused_without_harm(bytes in prop::collection::vec(any::<u8>(), 0..300)) {
        let wanted = ContentId(crate::keys::Digest([1; 32]));
        prop_assert!(Manifest::decode(wanted, &bytes).is_err());
    }

    #[test]
    fn damaged_manifests_are_refused(at in 0_usize..200, flip in 1_u8..=255) {
        let manifest = manifest(&data(4000));
        let mut bytes = manifest.encode();
        let at = at % bytes.len();
        bytes[at] ^= flip;
        prop_assert!(Manifest::decode(manifest.id(), &bytes).is_err());
    }
}
