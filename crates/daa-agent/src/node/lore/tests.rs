use super::*;
use proptest::prelude::*;
use tempfile::TempDir;

const CHAIN: ChainId = ChainId([4; 32]);
const NOW: Timestamp = Timestamp(1_790_000_000_000);
const DAY: u64 = FADE_EVERY;

fn key(n: u8) -> AgentKey {
    AgentKey::from_secret(&[n; 32])
}

fn topic(name: &str) -> ShortText {
    ShortText::fitted(name)
}

fn said(n: u8, name: &str, version: u64, payload: &[u8]) -> SignedInsight {
    SignedInsight::sign(&key(n), CHAIN, topic(name), version, payload.to_vec()).expect("small")
}

fn members(numbers: impl IntoIterator<Item = u8>) -> BTreeSet<PublicKey> {
    numbers.into_iter().map(|n| key(n).public()).collect()
}

/// Node 1's, in `dir`.
fn open(dir: &TempDir, now: Timestamp) -> Lore {
    Lore::open(key(1), CHAIN, dir.path().join("knowledge"), now).expect("opened")
}

/// The same, listening to members 1 to 4.
fn ready(dir: &TempDir) -> Lore {
    let lore = open(dir, NOW);
    lore.listen_to(&members(1..=4), true);
    lore
}

fn known(lore: &Lore, name: &str) -> Vec<(PublicKey, u64, u32)> {
    let at = |place| match lore.answer(
        true,
        &Ask::Known {
            topic: topic(name),
            place,
        },
        NOW,
    ) {
        Tell::Known { said } => said,
        other => panic!("{other:?}"),
    };
    let all = (0..).map_while(at);
    all.map(|(signed, weight)| (signed.insight.author, signed.insight.version, weight))
        .collect()
}

fn report(n: u8, version: u64, thousandths: i16) -> Ask {
    let report = MeasuredInsight {
        author: key(n).public(),
        version,
        thousandths,
    };
    Ask::Measured {
        topic: topic("lr"),
        reports: vec![report],
    }
}

fn weight(lore: &Lore, n: u8) -> Option<u32> {
    let hex = key(n).public().to_hex();
    let status = lore.status();
    status
        .authors
        .iter()
        .find(|one| one.author == hex)
        .map(|one| one.weight)
}

#[test]
fn members_are_heard_and_nobody_else_nor_forgeries_nor_what_is_old() {
    let dir = tempfile::tempdir().expect("a folder");
    let lore = ready(&dir);
    lore.take(said(2, "lr", 5, b"a")).expect("of a member");
    assert!(matches!(
        lore.take(said(9, "lr", 1, b"a")),
        Err(InsightError::UnknownAuthor { .. })
    ));
    assert!(matches!(
        lore.take(said(2, "lr", 4, b"b")),
        Err(InsightError::Stale { .. })
    ));
    let mut forged = said(3, "lr", 1, b"a");
    forged.insight.payload.push(0);
    assert_eq!(lore.take(forged), Err(InsightError::Signature));
    let of_another = ChainId([5; 32]);
    let foreign = SignedInsight::sign(&key(3), of_another, topic("lr"), 1, vec![]).expect("small");
    assert_eq!(lore.take(foreign), Err(InsightError::Signature));
    for n in 0..MAX_TOPICS {
        lore.take(said(4, &format!("topic {n}"), 1, b"x"))
            .expect("within the bound");
    }
    assert!(matches!(
        lore.take(said(4, "one more", 1, b"x")),
        Err(InsightError::TooManyTopics { .. })
    ));
    assert_eq!(known(&lore, "lr"), [(key(2).public(), 5, 100)]);
    let status = lore.status();
    assert_eq!((status.insights, status.refused), (1 + MAX_TOPICS, 5));
}

#[test]
fn only_agents_of_the_owner_are_told_and_believed() {
    let dir = tempfile::tempdir().expect("a folder");
    let lore = ready(&dir);
    lore.take(said(2, "lr", 5, b"a")).expect("new");
    let found = Ask::Found {
        topic: topic("lr"),
        payload: b"mine".to_vec(),
    };
    let place = Ask::Known {
        topic: topic("lr"),
        place: 0,
    };
    for ask in [report(2, 5, -1000), found.clone(), place] {
        let answer = lore.answer(false, &ask, NOW);
        assert!(
            matches!(&answer, Tell::Invalid { reason } if reason.contains("owner")),
            "{answer:?}"
        );
    }
    assert_eq!(known(&lore, "lr"), [(key(2).public(), 5, 100)], "nothing moved");
    assert_eq!(
        lore.answer(true, &report(2, 5, -1000), NOW),
        Tell::Counted { reports: 1 }
    );
    assert_eq!(
        lore.answer(true, &report(2, 5, -1000), NOW),
        Tell::Counted { reports: 0 }
    );
    assert_eq!(weight(&lore, 2), Some(50));
    let many = Ask::Measured {
        topic: topic("lr"),
        reports: vec![
            MeasuredInsight {
                author: key(2).public(),
                version: 5,
                thousandths: 0
            };
            MAX_REPORTS + 1
        ],
    };
    assert!(matches!(lore.answer(true, &many, NOW), Tell::Invalid { .. }));
    let large = Ask::Found {
        topic: topic("lr"),
        payload: vec![0; daa_coord::knowledge::MAX_INSIGHT_PAYLOAD + 1],
    };
    assert!(matches!(lore.answer(true, &large, NOW), Tell::Invalid { .. }));
    // Better trust comes first; without trust, nobody does.
    lore.take(said(3, "lr", 1, b"c")).expect("new");
    assert_eq!(
        known(&lore, "lr"),
        [(key(3).public(), 1, 100), (key(2).public(), 5, 50)]
    );
    for version in 6..12 {
        lore.take(said(2, "lr", version, b"lie")).expect("newer");
        lore.answer(true, &report(2, version, -1000), NOW);
    }
    assert_eq!(known(&lore, "lr"), [(key(3).public(), 1, 100)]);
    assert_eq!(weight(&lore, 2), Some(0));
}

#[test]
fn what_runs_found_is_signed_under_rising_versions_and_sent() {
    let dir = tempfile::tempdir().expect("a folder");
    let lore = ready(&dir);
    let find = |lore: &Lore, payload: &[u8], now: u64| {
        let ask = Ask::Found {
            topic: topic("lr"),
            payload: payload.to_vec(),
        };
        match lore.answer(true, &ask, Timestamp(now)) {
            Tell::Signed { version } => version,
            other => panic!("{other:?}"),
        }
    };
    let now = NOW.get();
    assert_eq!(find(&lore, b"a", now), now);
    assert_eq!(find(&lore, b"a", now + 5), now, "told already");
    assert_eq!(find(&lore, b"b", now), now + 1, "the same moment");
    assert_eq!(
        find(&lore, b"c", now - 1000),
        now + 2,
        "a clock that was set back"
    );
    let told = lore.to_tell().expect("kept");
    assert_eq!(told.len(), 1);
    assert_eq!(told[0].verify(&Ed25519, CHAIN), Ok(()));
    assert_eq!(
        (told[0].insight.author, told[0].insight.version),
        (key(1).public(), now + 2)
    );
    // The other side takes it.
    let elsewhere = tempfile::tempdir().expect("a folder");
    let other = Lore::open(key(2), CHAIN, elsewhere.path().join("knowledge"), NOW).expect("opened");
    other.listen_to(&members(1..=4), true);
    other.take(told[0].as_ref().clone()).expect("of a member");
    drop(lore);
    assert_eq!(find(&open(&dir, NOW), b"d", now), now + 3, "remembered");
    // Without the file, the time of day keeps versions rising.
    std::fs::remove_file(dir.path().join("knowledge")).expect("there");
    assert_eq!(find(&open(&dir, NOW), b"d", now + 60_000), now + 60_000);
}

#[test]
fn knowledge_and_trust_outlast_the_process() {
    let dir = tempfile::tempdir().expect("a folder");
    let lore = ready(&dir);
    lore.take(said(2, "lr", 5, b"a")).expect("new");
    lore.take(said(3, "lr", 1, b"b")).expect("new");
    lore.answer(true, &report(2, 5, 1000), NOW);
    let before = known(&lore, "lr");
    assert_eq!(before.len(), 2);
    drop(lore);
    let lore = open(&dir, NOW);
    assert_eq!(known(&lore, "lr"), before);
    // Until the ledger is caught up with, who joined late is not forgotten; then who left is.
    lore.listen_to(&members([1, 3]), false);
    assert_eq!(known(&lore, "lr"), before);
    assert!(matches!(
        lore.take(said(2, "lr", 5, b"a")),
        Err(InsightError::Stale { .. })
    ));
    assert_eq!(
        lore.answer(true, &report(2, 5, 1000), NOW),
        Tell::Counted { reports: 0 }
    );
    lore.listen_to(&members([1, 3]), true);
    assert_eq!(known(&lore, "lr"), [(key(3).public(), 1, 100)]);
    assert_eq!(weight(&lore, 2), None);
    assert!(lore.listens_to(&key(3).public()) && !lore.listens_to(&key(2).public()));
}

#[test]
fn trust_fades_by_the_day_also_while_the_node_is_off() {
    let dir = tempfile::tempdir().expect("a folder");
    let lore = ready(&dir);
    lore.take(said(2, "lr", 5, b"a")).expect("new");
    lore.answer(true, &report(2, 5, 1000), NOW);
    let after = |days: u64, hours: u64| Timestamp(NOW.get() + days * DAY + hours * 3_600_000);
    lore.tend(after(0, 23)).expect("kept");
    assert_eq!(weight(&lore, 2), Some(120));
    lore.tend(after(1, 1)).expect("kept");
    assert_eq!(weight(&lore, 2), Some(118));
    lore.tend(after(0, 12)).expect("kept");
    lore.tend(after(0, 13)).expect("kept");
    assert_eq!(
        weight(&lore, 2),
        Some(118),
        "a clock that was set back fades nothing"
    );
    drop(lore);
    let lore = open(&dir, after(3, 0));
    lore.tend(after(3, 0)).expect("kept");
    assert_eq!(weight(&lore, 2), Some(115), "two days more: by two, then by one");
    lore.tend(Timestamp(u64::MAX)).expect("kept");
    assert_eq!(weight(&lore, 2), Some(100));
}

#[test]
fn a_damaged_file_is_set_aside() {
    let dir = tempfile::tempdir().expect("a folder");
    let path = dir.path().join("knowledge");
    let lore = ready(&dir);
    lore.take(said(2, "lr", 5, b"a")).expect("new");
    lore.tend(NOW).expect("kept");
    drop(lore);
    let whole = std::fs::read(&path).expect("written");
    let mut flipped = whole.clone();
    let last = flipped.len() - 9;
    flipped[last] ^= 1;
    for damaged in [
        Vec::new(),
        b"something else".to_vec(),
        whole[..60].to_vec(),
        flipped,
    ] {
        std::fs::write(&path, &damaged).expect("written");
        let lore = ready(&dir);
        assert_eq!(known(&lore, "lr"), []);
        assert_eq!(
            std::fs::read(path.with_extension("damaged")).expect("aside"),
            damaged
        );
        assert!(!path.exists());
    }
    std::fs::write(&path, &whole).expect("written");
    let of_another = Lore::open(key(1), ChainId([5; 32]), path.clone(), NOW).expect("opened");
    assert_eq!(of_another.status(), KnowledgeStatus::default());
    std::fs::write(&path, &whole).expect("written");
    assert_eq!(known(&ready(&dir), "lr"), [(key(2).public(), 5, 100)]);
    // A folder in its place is no file that can be read.
    std::fs::remove_file(&path).expect("there");
    std::fs::create_dir(&path).expect("made");
    let error = Lore::open(key(1), CHAIN, path, NOW).expect_err("a folder");
    assert!(error.to_string().contains("knowledge"), "{error}");
}

#[test]
fn authors_are_bounded_and_those_that_are_there_stay() {
    let dir = tempfile::tempdir().expect("a folder");
    let lore = open(&dir, NOW);
    let number = |n: u16| {
        let mut bytes = [0xff; 32];
        bytes[..2].copy_from_slice(&n.to_be_bytes());
        PublicKey(bytes)
    };
    let late: BTreeSet<_> = (1000..1200).map(number).collect();
    lore.listen_to(&late, true);
    // Smaller keys, more than there is room for.
    let all: BTreeSet<_> = (0..900).map(number).chain(late.clone()).collect();
    lore.listen_to(&all, true);
    assert!(late.iter().all(|author| lore.listens_to(author)));
    assert!(lore.listens_to(&key(1).public()), "itself");
    assert_eq!(
        all.iter().filter(|author| lore.listens_to(author)).count(),
        MAX_AUTHORS - 1
    );
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(32))]

    /// Whatever comes in and however often the node restarts: it knows the same, and nobody gains by a restart.
    #[test]
    fn restarts_change_nothing(
        steps in prop::collection::vec((1_u8..5, 0_u64..6, 0_u8..3, -1000_i16..=1000, any::<bool>()), 1..24),
    ) {
        let (dir, other) = (tempfile::tempdir().expect("a folder"), tempfile::tempdir().expect("a folder"));
        let steady = ready(&dir);
        let mut shaken = ready(&other);
        for (author, version, kind, points, restarts) in steps {
            for lore in [&steady, &shaken] {
                if kind == 0 {
                    lore.answer(true, &report(author, version, points), NOW);
                } else {
                    // Half of them contradict each other.
                    let _refused = lore.take(said(author, "lr", version, &[kind]));
                }
            }
            if restarts {
                shaken.tend(NOW).expect("kept");
                drop(shaken);
                shaken = open(&other, NOW);
            }
            prop_assert_eq!(known(&steady, "lr"), known(&shaken, "lr"));
            prop_assert_eq!(steady.status().authors, shaken.status().authors);
        }
    }
}
