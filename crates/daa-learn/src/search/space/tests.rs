use super::*;
use crate::search::SearchConfig;
use proptest::prelude::*;

fn inputs() -> impl Strategy<Value = InputShape> {
    prop_oneof![
        (1_usize..300).prop_map(|features| InputShape::Flat { features }),
        (1_usize..4, 1_usize..33, 1_usize..33).prop_map(|(channels, height, width)| InputShape::Image {
            channels,
            height,
            width
        }),
    ]
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(40))]

    #[test]
    fn every_candidate_is_a_valid_network_with_a_valid_recipe(
        input in inputs(), rows in 1_usize..100_000, classes in 1_usize..20, seed: u64,
    ) {
        let output = if classes == 1 { OutputHead::Regression {} } else { OutputHead::Classes { count: classes } };
        let config = SearchConfig::for_dataset(rows, input, output, Seed(seed));
        prop_assert_eq!(config.validate(), Ok(()));
        for candidate in config.candidates() {
            prop_assert_eq!(candidate.architecture.validate(), Ok(()), "{}", candidate.architecture);
            prop_assert!(candidate.training.validate().is_ok(), "{:?}", candidate.training);
            prop_assert_eq!(&candidate, &config.candidate(candidate.id), "a candidate is a function of its number");
            if candidate.id.0 as usize >= config.space.known_good().len() {
                let count = candidate.architecture.multiplications().expect("valid");
                let known = config.space.known_good().contains(&candidate.architecture);
                prop_assert!(known || count <= config.space.max_multiplications, "{}", candidate.architecture);
            }
        }
    }

    #[test]
    fn any_budget_of_two_epochs_or_more_is_one_that_works(budget in 2_u32..400, rows in 1_usize..100_000) {
        let input = InputShape::Image { channels: 1, height: 8, width: 8 };
        let config = SearchConfig::for_dataset(rows, input, OutputHead::Regression {}, Seed(1)).with_budget(budget);
        prop_assert_eq!(config.validate(), Ok(()));
        prop_assert!(config.search_budget() + config.final_epochs == budget);
    }
}

#[test]
fn a_budget_that_holds_no_search_is_refused() {
    let input = InputShape::Flat { features: 4 };
    for budget in [0, 1] {
        let config =
            SearchConfig::for_dataset(100, input, OutputHead::Regression {}, Seed(1)).with_budget(budget);
        let error = config.validate().expect_err("no search");
        assert!(
            error
                .to_string()
                .contains(&format!("epochs_budget is {budget}, allowed are 2 to 100000")),
            "{error}"
        );
    }
}

#[test]
fn candidates_are_many_kinds_and_differ_by_seed() {
    let input = InputShape::Image {
        channels: 1,
        height: 8,
        width: 8,
    };
    let of = |seed| {
        SearchConfig::for_dataset(1_257, input, OutputHead::Classes { count: 10 }, Seed(seed)).candidates()
    };
    let names = |seed| {
        of(seed)
            .iter()
            .map(|candidate| candidate.architecture.to_string())
            .collect::<Vec<_>>()
    };
    let first = names(1);
    assert!(
        first.iter().any(|name| name.starts_with("fc")) && first.iter().any(|name| name.starts_with("conv"))
    );
    let distinct: std::collections::BTreeSet<_> = first.iter().collect();
    assert!(
        distinct.len() * 10 >= first.len() * 9,
        "{} of {} are distinct",
        distinct.len(),
        first.len()
    );
    assert_ne!(first, names(2));
    assert_eq!(
        first[..3],
        names(2)[..3],
        "the known networks come first, whatever the seed"
    );
}

#[test]
fn suggestions_follow_the_known_networks_and_move_nothing_else() {
    let output = OutputHead::Classes { count: 3 };
    let plain = SearchConfig::for_dataset(900, InputShape::Flat { features: 5 }, output, Seed(4));
    let known = plain.space.known_good().len();
    let drawn = CandidateId(17);
    let mut config = plain.clone();
    config.space.suggested = vec![plain.suggestion(drawn), plain.suggestion(CandidateId(20))];
    assert_eq!(config.validate(), Ok(()));
    for id in (0..plain.max_candidates()).map(|id| CandidateId(id as u32)) {
        let (before, after) = (plain.candidate(id), config.candidate(id));
        match config.space.suggestion_of(id) {
            Some(place) => {
                assert_eq!(id.0 as usize, known + place);
                assert_eq!(config.suggestion(id), config.space.suggested[place]);
                assert_eq!(after.training.epochs, before.training.epochs);
            }
            None => assert_eq!(before, after),
        }
    }
    let text = serde_json::to_string(&config).expect("json");
    assert_eq!(serde_json::from_str::<SearchConfig>(&text).expect("read"), config);
    assert!(!serde_json::to_string(&plain).expect("json").contains("suggested"));
}

#[test]
fn suggestions_that_do_not_belong_are_refused() {
    let output = OutputHead::Classes { count: 3 };
    let config = SearchConfig::for_dataset(900, InputShape::Flat { features: 5 }, output, Seed(4));
    let good = config.suggestion(CandidateId(9));
    let spoilt = |spoil: fn(&mut Suggestion)| {
        let mut bad = good.clone();
        spoil(&mut bad);
        assert!(!config.space.admits(&bad), "{bad:?}");
        let mut config = config.clone();
        config.space.suggested = vec![good.clone(), bad];
        assert!(config.validate().is_err());
    };
    spoilt(|bad| bad.learning_rate = f32::NAN);
    spoilt(|bad| bad.learning_rate = 0.2);
    spoilt(|bad| bad.weight_decay = -1.0);
    spoilt(|bad| bad.architecture.input = InputShape::Flat { features: 6 });
    spoilt(|bad| bad.architecture.output = OutputHead::Regression {});
    spoilt(|bad| bad.architecture.version = 99);
    spoilt(|bad| {
        let units = 60_000;
        let activation = None;
        bad.architecture.layers = vec![Layer::Dense { units, activation }; 2];
    });
    let mut many = config.clone();
    many.space.suggested = vec![good; 5];
    let error = many.validate().expect_err("five").to_string();
    assert!(
        error.contains("space.suggested (count) is 5, allowed are 0 to 4"),
        "{error}"
    );
}
