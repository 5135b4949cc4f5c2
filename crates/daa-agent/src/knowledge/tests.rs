use super::*;
use daa_base::{Seed, TrialId};
use daa_coord::genesis::ChainId;
use daa_coord::knowledge::{KnowledgeConfig, SignedInsight, TrustBook, TrustConfig};
use daa_coord::{AgentKey, Ed25519};
use daa_learn::search::TrialStatus;
use proptest::prelude::*;

const CHAIN: ChainId = ChainId([4; 32]);

fn config(seed: u64) -> SearchConfig {
    let output = OutputHead::Classes { count: 3 };
    SearchConfig::for_dataset(900, InputShape::Flat { features: 8 }, output, Seed(seed))
}

fn key(n: u8) -> AgentKey {
    AgentKey::from_secret(&[n; 32])
}

/// Trials 0, 1, … on the first rung of candidates 0, 1, …, with these scores; `None`: diverged.
fn trials(config: &SearchConfig, scores: &[Option<i64>]) -> (Vec<TrialSpec>, Vec<TrialResult>) {
    let trial = |(n, score): (u32, &Option<i64>)| {
        let spec = TrialSpec {
            id: TrialId(n),
            candidate: CandidateId(n),
            rung: 0,
            from: None,
            epochs_from: 0,
            epochs_to: config.rungs[0],
        };
        let result = TrialResult {
            id: TrialId(n),
            status: if score.is_some() {
                TrialStatus::Scored
            } else {
                TrialStatus::Diverged
            },
            score_micro: score.unwrap_or(i64::MIN),
            loss_micro: 0,
            best_epoch: 0,
            epochs: config.rungs[0],
        };
        (spec, result)
    };
    (0..).zip(scores).map(trial).unzip()
}

/// A base that listens to authors 1 to `authors`, to which each said its payload as version 1.
fn base(space: &SearchSpace, payloads: &[Vec<u8>]) -> KnowledgeBase {
    let trust = TrustBook::new(TrustConfig::default()).expect("valid");
    let mut base = KnowledgeBase::new(CHAIN, KnowledgeConfig::default(), trust);
    base.set_authors((1..).take(payloads.len()).map(|n| key(n).public()));
    for (n, payload) in (1..).zip(payloads) {
        say(&mut base, space, n, 1, payload.clone());
    }
    base
}

fn say(base: &mut KnowledgeBase, space: &SearchSpace, author: u8, version: u64, payload: Vec<u8>) {
    let signed = SignedInsight::sign(&key(author), CHAIN, topic(space), version, payload).expect("small");
    base.take(&Ed25519, signed).expect("new");
}

/// The advice of those whom `base` listens to.
fn collect(base: &KnowledgeBase, space: &SearchSpace, most: usize) -> Advice {
    let topic = topic(space);
    let said: Vec<_> = base.on(&topic).collect();
    let said = said.iter().map(|(signed, weight)| (signed.as_ref(), *weight));
    Advice::collect(said, space, most, |_| true)
}

/// The payload of somebody whose search found that candidates `best` are the best, in this order.
fn told(seed: u64, best: &[u32]) -> Vec<u8> {
    let config = config(seed);
    let mut scores = vec![None; 20];
    for (points, &candidate) in (1..).zip(best.iter().rev()) {
        scores[candidate as usize] = Some(points);
    }
    let (specs, results) = trials(&config, &scores);
    insight(&config, &specs, &results, |_| false).expect("something has a score")
}

#[test]
fn the_best_recipes_of_a_search_reach_another_of_the_same_kind_only() {
    let theirs = config(1);
    let payload = told(1, &[12, 7, 15]);
    let mine = config(2);
    let expected: Vec<_> = [12, 7, 15].map(|id| theirs.suggestion(CandidateId(id))).into();
    assert_eq!(recipes(&mine.space, &payload), expected);
    assert_eq!(topic(&mine.space), topic(&theirs.space));
    assert_eq!(topic(&mine.space).as_str(), "recipes/flat-8/classes-3/rows-1e2");
    let other = SearchConfig::for_dataset(900, InputShape::Flat { features: 9 }, mine.space.output, Seed(1));
    assert_eq!(recipes(&other.space, &payload), []);
    assert_ne!(topic(&other.space), topic(&mine.space));
    let (specs, results) = trials(&mine, &[None, None]);
    assert_eq!(
        insight(&mine, &specs, &results, |_| false),
        None,
        "nothing to tell"
    );
}

#[test]
fn what_was_suggested_is_not_told_again_and_no_more_than_eight_are() {
    let mut config = config(3);
    config.space.suggested = recipes(&config.space, &told(1, &[9, 10]));
    let scores: Vec<_> = (0..20).map(Some).collect();
    let (specs, results) = trials(&config, &scores);
    let payload = insight(&config, &specs, &results, |_| false).expect("scores");
    let known = config.space.known_good().len() as u32;
    let suggested = known..known + 2;
    let best = (0..20)
        .rev()
        .filter(|id| !suggested.contains(id))
        .take(MAX_RECIPES);
    let best: Vec<_> = best.map(|id| config.suggestion(CandidateId(id))).collect();
    assert_eq!(recipes(&config.space, &payload), best);
    // The second suggestion is one that the teller itself told before: the search ranks it like all others.
    let scores: Vec<_> = (0..6).map(Some).collect();
    let (specs, results) = trials(&config, &scores);
    let again = insight(&config, &specs, &results, |place| place == 1).expect("scores");
    let expected = [5, 4, 2, 1, 0].map(|id| config.suggestion(CandidateId(id)));
    assert_eq!(recipes(&config.space, &again), expected);
}

#[test]
fn what_does_not_fit_is_passed_over_and_a_configuration_gives_the_same_advice() {
    let mine = config(2);
    let base = base(&mine.space, &[told(1, &[12, 7, 15])]);
    let topic = topic(&mine.space);
    let refused = config(1).suggestion(CandidateId(12));
    let said: Vec<_> = base.on(&topic).collect();
    let said = || said.iter().map(|(signed, weight)| (signed.as_ref(), *weight));
    let advice = Advice::collect(said(), &mine.space, 4, |recipe| *recipe != refused);
    assert_eq!(advice.sources().len(), 2);
    let suggested = advice.suggested();
    assert!(suggested.iter().all(|one| one.recipe != refused));
    let text = serde_json::to_string(&suggested).expect("JSON");
    assert!(text.contains(&key(1).public().to_hex()), "{text}");
    let read: Vec<Suggested> = serde_json::from_str(&text).expect("JSON");
    assert_eq!(Advice::given(&mine.space, &read), advice);
    let other = SearchConfig::for_dataset(
        90_000,
        InputShape::Flat { features: 8 },
        mine.space.output,
        Seed(2),
    );
    assert_eq!(
        Advice::collect(said(), &other.space, 4, |_| true).sources(),
        [],
        "another topic"
    );
}

#[test]
fn advice_takes_the_best_of_each_author_by_weight_and_nothing_known_or_twice() {
    let mine = config(2);
    // Author 3 tells what author 1 does; author 2 tells a known network first.
    let payloads = [told(1, &[12, 7, 15]), told(5, &[0, 9]), told(1, &[12, 8])];
    let mut base = base(&mine.space, &payloads);
    let from = |advice: &Advice| -> Vec<u8> {
        let number = |source: &Source| (1..=3).find(|&n| key(n).public() == source.author);
        advice.sources().iter().filter_map(number).collect()
    };
    let advice = collect(&base, &mine.space, MAX_SUGGESTIONS);
    let mut found = from(&advice);
    found.sort_unstable();
    assert_eq!(found.len(), 4);
    assert!(found.contains(&2), "{found:?}");
    let given = advice.give(mine.space.clone());
    let (one, five) = (config(1), config(5));
    for recipe in [one.suggestion(CandidateId(12)), five.suggestion(CandidateId(9))] {
        assert_eq!(
            given.suggested.iter().filter(|other| **other == recipe).count(),
            1
        );
    }
    assert!(
        SearchConfig {
            space: given,
            ..mine.clone()
        }
        .validate()
        .is_ok()
    );
    // Trust decides who comes first, and whether.
    let judge = |base: &mut KnowledgeBase, n: u8, version, points| {
        base.report(
            &key(n).public(),
            &topic(&mine.space),
            version,
            Usefulness::new(points),
        )
        .expect("open");
    };
    judge(&mut base, 2, 1, 1000);
    let advice = collect(&base, &mine.space, 1);
    assert_eq!(from(&advice), [2], "what everybody knows is no advice");
    let advice = collect(&base, &mine.space, 2);
    assert_eq!(advice.sources().len(), 2);
    judge(&mut base, 3, 1, -1000);
    for version in 2..9 {
        say(&mut base, &mine.space, 3, version, told(1, &[12, 8]));
        judge(&mut base, 3, version, -1000);
    }
    let advice = collect(&base, &mine.space, 9);
    assert!(!from(&advice).contains(&3), "a liar is not heard any more");
    assert_eq!(advice.sources().len(), 4, "12, 9, 7, 15");
    let none = collect(&base, &mine.space, 0);
    assert_eq!(none.give(mine.space.clone()), mine.space);
}

#[test]
fn usefulness_is_measured_by_the_search_and_moves_trust_once() {
    let mine = config(2);
    let mut base = base(&mine.space, &[told(1, &[12]), told(5, &[9]), told(6, &[11])]);
    let advice = collect(&base, &mine.space, MAX_SUGGESTIONS);
    let given = SearchConfig {
        space: advice.give(mine.space.clone()),
        ..mine.clone()
    };
    // Three known networks, three suggestions, and own draws behind them: the first author beats all of them, the second
    // most, the third none.
    let places: Vec<usize> = advice
        .sources()
        .iter()
        .map(|source| {
            (1..=3)
                .position(|n| key(n).public() == source.author)
                .expect("one of them")
        })
        .collect();
    let points = places.iter().map(|&place| [Some(900), Some(350), None][place]);
    let own = [100, 200, 300];
    let scores: Vec<Option<i64>> = { own.iter().map(|&score| Some(score)) }
        .chain(points)
        .chain([Some(400)])
        .collect();
    let (specs, results) = trials(&given, &scores);
    let measured = advice.measured(&given, &specs, &results);
    let of = |n: u8| {
        let found = measured
            .iter()
            .find(|(source, _)| source.author == key(n).public());
        found.map(|(_, usefulness)| usefulness.get())
    };
    assert_eq!([of(1), of(2), of(3)], [Some(1000), Some(500), Some(-1000)]);
    assert_eq!(report(&mut base, advice.topic(), &measured), 3);
    assert_eq!(
        report(&mut base, advice.topic(), &measured),
        0,
        "each counts once"
    );
    let weight = |n: u8| base.trust().weight(&key(n).public());
    assert_eq!([weight(1), weight(2), weight(3)], [120, 110, 50]);
    // What was not tried, or cannot be compared, moves nothing.
    assert_eq!(advice.measured(&given, &specs[..3], &results[..3]), []);
    assert_eq!(
        advice.measured(&given, &specs[..6], &results[..6]),
        [],
        "three own ones are too few"
    );
    assert_eq!(advice.measured(&mine, &specs, &results), [], "another search");
}

#[test]
fn payloads_of_any_kind_do_no_harm() {
    let space = config(2).space;
    let good = told(1, &[12, 7]);
    let text = String::from_utf8(good.clone()).expect("json");
    assert_eq!(recipes(&space, &good).len(), 2);
    for bad in [
        Vec::new(),
        b"[[[[".repeat(4000),
        vec![b' '; MAX_INSIGHT_PAYLOAD + 1],
        text.replace("recipes/1", "recipes/2").into_bytes(),
        text.replace("\"learning_rate\":", "\"learning_rate\":1e99,\"x\":")
            .into_bytes(),
        text.replace("\"units\":", "\"units\":-").into_bytes(),
    ] {
        assert_eq!(recipes(&space, &bad), []);
    }
    let huge = text.replace("\"units\":", "\"units\":9999999");
    assert_eq!(recipes(&space, huge.as_bytes()), [], "no network of this space");
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    #[test]
    fn damaged_payloads_give_recipes_of_the_space_or_none(at: usize, byte: u8, cut: usize) {
        let mine = config(2);
        let mut payload = told(1, &[12, 7, 15]);
        let at = at % payload.len();
        payload[at] = byte;
        let cut = cut % (payload.len() + 1);
        for bytes in [&payload[..], &payload[..cut]] {
            let found = recipes(&mine.space, bytes);
            prop_assert!(found.len() <= 3 && found.iter().all(|recipe| mine.space.admits(recipe)));
        }
    }

    #[test]
    fn usefulness_is_what_is_beaten_less_what_beats(score in -5_i64..5, own in prop::collection::vec(-5_i64..5, 1..9)) {
        let value = standing(score, &own);
        prop_assert!((-1000..=1000).contains(&value));
        prop_assert_eq!(value == 1000, own.iter().all(|&other| other < score));
        prop_assert_eq!(value == -1000, own.iter().all(|&other| other > score));
    }
}
