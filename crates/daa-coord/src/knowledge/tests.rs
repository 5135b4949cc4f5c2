use super::*;
use crate::genesis::ChainId;
use crate::keys::{AgentKey, Ed25519, PublicKey};
use crate::text::ShortText;
use proptest::prelude::*;

const CHAIN: ChainId = ChainId([4; 32]);

fn key(n: u8) -> AgentKey {
    AgentKey::from_secret(&[n; 32])
}

fn topic(name: &str) -> ShortText {
    ShortText::fitted(name)
}

fn said(n: u8, name: &str, version: u64, payload: &[u8]) -> SignedInsight {
    SignedInsight::sign(&key(n), CHAIN, topic(name), version, payload.to_vec()).expect("small")
}

fn book(config: TrustConfig) -> TrustBook {
    TrustBook::new(config).expect("valid")
}

fn base(authors: u8) -> KnowledgeBase {
    let config = KnowledgeConfig {
        topics_per_author: 3,
        bytes_per_author: 100,
    };
    let mut base = KnowledgeBase::new(CHAIN, config, book(TrustConfig::default()));
    base.set_authors((1..=authors).map(|n| key(n).public()));
    base
}

#[test]
fn only_newer_versions_are_taken() {
    let mut base = base(2);
    base.take(&Ed25519, said(1, "lr", 5, b"a")).expect("new");
    for version in [0, 4, 5] {
        let again = base.take(&Ed25519, said(1, "lr", version, b"a"));
        assert_eq!(
            again,
            Err(InsightError::Stale {
                have: 5,
                got: version
            })
        );
    }
    base.take(&Ed25519, said(1, "depth", 1, b"b"))
        .expect("another topic");
    base.take(&Ed25519, said(2, "lr", 1, b"c"))
        .expect("another author");
    base.take(&Ed25519, said(1, "lr", 6, b"d")).expect("newer");
    let payload = |n: u8| {
        base.newest(&key(n).public(), &topic("lr"))
            .map(|s| s.insight.payload.clone())
    };
    assert_eq!(
        (payload(1), payload(2)),
        (Some(b"d".to_vec()), Some(b"c".to_vec()))
    );
    assert_eq!((base.counters().accepted, base.counters().stale), (4, 3));
}

#[test]
fn what_is_forged_or_of_strangers_or_for_another_chain_is_dropped_and_counted() {
    let mut base = base(1);
    let mut forged = said(1, "lr", 1, b"a");
    forged.insight.payload = b"b".to_vec();
    assert_eq!(base.take(&Ed25519, forged), Err(InsightError::Signature));
    let elsewhere = SignedInsight::sign(&key(1), ChainId([5; 32]), topic("lr"), 1, vec![]).expect("small");
    assert_eq!(base.take(&Ed25519, elsewhere), Err(InsightError::Signature));
    let author = key(9).public();
    assert_eq!(
        base.take(&Ed25519, said(9, "lr", 1, b"a")),
        Err(InsightError::UnknownAuthor { author })
    );
    assert_eq!((base.counters().forged, base.counters().unknown_author), (2, 1));
    assert_eq!(base.bytes(), 0);
}

#[test]
fn two_insights_under_one_number_cost_trust() {
    let mut base = base(1);
    let author = key(1).public();
    base.take(&Ed25519, said(1, "lr", 1, b"a")).expect("new");
    let conflict = base.take(&Ed25519, said(1, "lr", 1, b"b"));
    assert_eq!(conflict, Err(InsightError::Conflict { author, version: 1 }));
    assert_eq!(base.trust().weight(&author), 50);
    // Nobody else can bring that about.
    let mut forged = said(1, "lr", 1, b"c");
    forged.signature = key(2).sign(b"");
    assert_eq!(base.take(&Ed25519, forged), Err(InsightError::Signature));
    assert_eq!(base.trust().weight(&author), 50);
}

#[test]
fn an_author_takes_up_no_more_than_it_may() {
    let mut base = base(2);
    let large = SignedInsight::sign(&key(1), CHAIN, topic("x"), 1, vec![0; MAX_INSIGHT_PAYLOAD + 1]);
    assert_eq!(large, Err(InsightError::TooLarge { size: 16_385 }));
    base.take(&Ed25519, said(1, "a", 1, &[0; 60])).expect("60");
    let more = base.take(&Ed25519, said(1, "b", 1, &[0; 41]));
    assert_eq!(
        more,
        Err(InsightError::TooManyBytes {
            bytes: 101,
            most: 100
        })
    );
    base.take(&Ed25519, said(1, "a", 2, &[0; 100]))
        .expect("in place of the 60");
    base.take(&Ed25519, said(1, "b", 1, &[])).expect("empty");
    base.take(&Ed25519, said(1, "c", 1, &[])).expect("third");
    let fourth = base.take(&Ed25519, said(1, "d", 1, &[]));
    assert_eq!(fourth, Err(InsightError::TooManyTopics { most: 3 }));
    base.take(&Ed25519, said(2, "d", 1, &[1; 100]))
        .expect("others have their own");
    assert_eq!(base.bytes(), 200);
    base.set_authors([key(2).public()]);
    assert_eq!(base.bytes(), 100);
}

#[test]
fn each_insight_is_reported_once() {
    let mut base = base(1);
    let (author, lr) = (key(1).public(), topic("lr"));
    base.take(&Ed25519, said(1, "lr", 7, b"a")).expect("new");
    let full = Usefulness::new(5000);
    base.report(&author, &lr, 7, full).expect("open");
    assert_eq!(base.trust().weight(&author), 120);
    for version in [7, 3, 8] {
        let again = base.report(&author, &lr, version, full);
        assert_eq!(again, Err(InsightError::NotOpen { version }));
    }
    base.take(&Ed25519, said(1, "lr", 9, b"b")).expect("newer");
    base.report(&author, &lr, 9, Usefulness::new(-51)).expect("open");
    assert_eq!(base.trust().weight(&author), 60);
    assert!(base.report(&key(2).public(), &lr, 1, full).is_err(), "unknown");
}

#[test]
fn what_was_kept_comes_back_and_what_is_not_allowed_does_not() {
    let mut before = base(2);
    let lr = topic("lr");
    before.take(&Ed25519, said(1, "lr", 7, b"a")).expect("new");
    before.take(&Ed25519, said(2, "lr", 3, b"b")).expect("new");
    before
        .report(&key(1).public(), &lr, 7, Usefulness::new(500))
        .expect("open");
    let weights: Vec<_> = before.trust().measured_weights().collect();
    assert_eq!(weights, [(key(1).public(), 110)]);
    let mut kept: Vec<KeptInsight> = before.kept().collect();
    let mut forged = kept[0].clone();
    forged.signed.insight.topic = topic("depth");
    let stranger = KeptInsight {
        signed: said(3, "lr", 1, b"c"),
        open_from: 0,
    };
    // A report of a version that nobody has seen does not shut out the next ones.
    kept.iter_mut()
        .filter(|kept| kept.signed.insight.version == 3)
        .for_each(|kept| kept.open_from = 99);
    kept.extend([forged, stranger]);
    let mut after = base(2);
    let weights = [
        (key(1).public(), 110),
        (key(2).public(), u32::MAX),
        (key(3).public(), 5),
    ];
    assert_eq!(after.restore(&Ed25519, kept, weights), 2);
    assert_eq!(after.counters(), &KnowledgeCounters::default());
    let mut known: Vec<_> = after.authors().collect();
    known.sort_by_key(|(.., weight)| *weight);
    assert_eq!(known, [(key(1).public(), 1, 110), (key(2).public(), 1, 1000)]);
    let mut reported = |n: u8, version| after.report(&key(n).public(), &lr, version, Usefulness::new(0));
    assert_eq!(
        reported(1, 7),
        Err(InsightError::NotOpen { version: 7 }),
        "counted before"
    );
    assert_eq!(reported(2, 3), Err(InsightError::NotOpen { version: 3 }));
    after.take(&Ed25519, said(2, "lr", 4, b"d")).expect("newer");
    after
        .report(&key(2).public(), &lr, 4, Usefulness::new(0))
        .expect("open");
}

#[test]
fn encoded_insights_survive_and_the_largest_fits() {
    let largest = SignedInsight::sign(
        &key(1),
        CHAIN,
        ShortText::fitted(&"x".repeat(96)),
        u64::MAX,
        vec![7; MAX_INSIGHT_PAYLOAD],
    )
    .expect("allowed");
    let bytes = largest.encode().expect("fits");
    assert_eq!(SignedInsight::decode(&bytes), Ok(largest.clone()));
    assert_eq!(largest.verify(&Ed25519, CHAIN), Ok(()));
    let mut over = largest;
    over.insight.payload.push(0);
    let bytes = daa_base::codec::encode::<MAX_INSIGHT, _>(&over).expect("below the outer limit");
    assert_eq!(
        SignedInsight::decode(&bytes),
        Err(InsightError::TooLarge { size: 16_385 })
    );
}

#[test]
fn ten_lies_leave_nothing_and_recovery_takes_many_truths() {
    let mut book = book(TrustConfig::default());
    let author = PublicKey([1; 32]);
    for _ in 0..1000 {
        book.measured(&author, Usefulness::new(1000));
    }
    assert_eq!(book.weight(&author), 1000);
    for _ in 0..10 {
        book.measured(&author, Usefulness::new(-1000));
    }
    assert_eq!(book.weight(&author), 0);
    book.fade();
    assert_eq!(book.weight(&author), 0, "waiting heals nothing");
    let truths = (1..).find(|_| {
        book.measured(&author, Usefulness::new(1000));
        book.weight(&author) >= 500
    });
    assert_eq!(truths, Some(25), "one lie took what 25 truths give");
}

#[test]
fn trust_that_is_not_renewed_fades_to_the_initial() {
    let mut book = book(TrustConfig::default());
    let author = PublicKey([1; 32]);
    for _ in 0..50 {
        book.measured(&author, Usefulness::new(1000));
    }
    let weights: Vec<u32> = (0..200)
        .map(|_| {
            book.fade();
            book.weight(&author)
        })
        .collect();
    assert!(
        weights.is_sorted_by(|a, b| a >= b) && weights[0] < 1000,
        "{weights:?}"
    );
    assert_eq!(weights.last(), Some(&100));
}

#[test]
fn configurations_out_of_range_are_named() {
    let config = TrustConfig {
        own: 999,
        ..TrustConfig::default()
    };
    let error = TrustBook::new(config).expect_err("a single author could outweigh the receiver");
    assert_eq!(error.to_string(), "own is 999, allowed are 1000 to 1000000000");
}

fn config() -> impl Strategy<Value = TrustConfig> {
    (1_u32..5000).prop_flat_map(|most| {
        (0..=most, 1..=most, 0_u16..999, most..=most * 4).prop_map(move |(initial, gain, tolerance, own)| {
            TrustConfig {
                initial,
                most,
                gain,
                tolerance,
                own,
            }
        })
    })
}

/// Values that an honest author would say, near the receiver's own.
const RANGE: Range = Range {
    low: -1_000_000,
    high: 1_000_000,
};
const WIDTH: i128 = 2_000_000;

proptest! {
    #[test]
    fn poisoners_move_no_aggregate_past_the_bound(
        config in config(),
        honest in prop::collection::vec((-1000_i64..1000, 0_u8..40), 0..8),
        liars in prop::collection::vec((any::<i64>(), 0_u8..40, 0_u8..14), 0..8),
        own in -1000_i64..1000,
    ) {
        let mut book = book(config);
        let mut without = Vec::new();
        for (at, &(value, truths)) in honest.iter().enumerate() {
            let author = PublicKey([at as u8; 32]);
            for _ in 0..truths { book.measured(&author, Usefulness::new(800)); }
            without.push(Contribution { author, value });
        }
        let mut with = without.clone();
        let (mut weight, mut bound) = (0_u64, 0_i128);
        for (at, &(value, truths, lies)) in liars.iter().enumerate() {
            let author = PublicKey([100 + at as u8; 32]);
            // First useful, then lying.
            for _ in 0..truths { book.measured(&author, Usefulness::new(1000)); }
            for _ in 0..lies { book.measured(&author, Usefulness::new(-1000)); }
            weight += u64::from(book.weight(&author));
            bound += WIDTH >> lies;
            // Twice: repeating oneself gives no weight.
            with.extend([Contribution { author, value }; 2]);
        }
        let a = i128::from(book.aggregate(RANGE, own, &without));
        let b = i128::from(book.aggregate(RANGE, own, &with));
        let moved = (a - b).abs();
        let s = i128::from(weight);
        prop_assert!(moved <= WIDTH * s / (i128::from(config.own) + s) + 1, "R·s/(A+s)");
        prop_assert!(moved <= bound + 1 + liars.len() as i128, "B(k) summed over the liars");
        let mut reversed = with;
        reversed.reverse();
        prop_assert_eq!(i128::from(book.aggregate(RANGE, own, &reversed)), b, "the order does not matter");
    }

    #[test]
    fn all_lies_together_weigh_at_most_twice_what_was_earned(
        config in config(),
        reports in prop::collection::vec((-1000_i32..=1000, any::<bool>()), 0..200),
    ) {
        let mut book = book(config);
        let author = PublicKey([1; 32]);
        let (mut harm, mut useful) = (0_u64, 0_u64);
        for (thousandths, fades) in reports {
            let before = book.weight(&author);
            if thousandths < -i32::from(config.tolerance) { harm += u64::from(before); }
            useful += u64::from(thousandths > 0);
            book.measured(&author, Usefulness::new(thousandths));
            prop_assert!(book.weight(&author) <= config.most);
            if fades { book.fade(); }
        }
        prop_assert!(harm <= 2 * (u64::from(config.initial) + useful * u64::from(config.gain)));
    }

    #[test]
    fn extreme_values_overflow_nothing(values in prop::collection::vec(any::<i64>(), 0..20), own: i64) {
        let book = book(TrustConfig::default());
        let range = Range { low: i64::MIN, high: i64::MAX };
        let all: Vec<_> = values
            .iter()
            .enumerate()
            .map(|(at, &value)| Contribution { author: PublicKey([at as u8; 32]), value })
            .collect();
        let mean = book.aggregate(range, own, &all);
        let everything = values.iter().chain([&own]);
        let (least, most) = (everything.clone().min().copied(), everything.max().copied());
        prop_assert!(Some(mean) >= least && Some(mean) <= most);
    }

    #[test]
    fn any_bytes_decode_or_fail_without_harm(bytes in prop::collection::vec(any::<u8>(), 0..400)) {
        if let Ok(signed) = SignedInsight::decode(&bytes) {
            prop_assert_eq!(signed.encode().expect("fits"), bytes);
        }
    }

    #[test]
    fn damage_to_an_insight_is_found(at in 0_usize..400, flip in 1_u8..=255) {
        let mut bytes = said(1, "topic", 3, &[5; 200]).encode().expect("fits");
        let at = at % bytes.len();
        bytes[at] ^= flip;
        if let Ok(signed) = SignedInsight::decode(&bytes) {
            prop_assert!(base(1).take(&Ed25519, signed).is_err());
        }
    }
}
