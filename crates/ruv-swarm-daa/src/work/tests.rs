use super::*;
use crate::records::Priority;
use chrono::TimeDelta;
use proptest::prelude::*;
use std::collections::HashMap;

const PATTERNS: [CognitivePattern; 6] = [
    CognitivePattern::Convergent,
    CognitivePattern::Divergent,
    CognitivePattern::Lateral,
    CognitivePattern::Systems,
    CognitivePattern::Critical,
    CognitivePattern::Adaptive,
];

fn task(context: Value) -> Task {
    Task {
        id: "t".to_owned(),
        description: "test".to_owned(),
        requirements: Vec::new(),
        priority: Priority::Medium,
        deadline: None,
        context: serde_json::from_value(context).expect("an object"),
    }
}

fn run(context: Value) -> Outcome {
    perform(&CognitivePattern::Adaptive, &task(context), DateTime::UNIX_EPOCH)
}

#[test]
fn operations_compute_what_they_say() {
    let values = json!([3.0, 1.0, 2.0]);
    for (operation, wanted) in [
        ("sum", json!(6.0)),
        ("mean", json!(2.0)),
        ("minimum", json!(1.0)),
        ("maximum", json!(3.0)),
        ("sort", json!([1.0, 2.0, 3.0])),
    ] {
        let outcome = run(json!({ "operation": operation, "values": values }));
        assert_eq!((outcome.success, outcome.result), (true, wanted), "{operation}");
    }
    let dot = run(json!({ "operation": "dot", "values": [1, 2], "weights": [3, 4] }));
    assert_eq!(dot.result, json!(11.0));
}

#[test]
fn success_is_what_the_task_asked_for() {
    let sum = |expected: f64| run(json!({ "operation": "sum", "values": [0.1, 0.2], "expected": expected }));
    assert!(sum(0.3).success);
    let wrong = sum(0.4);
    assert!(
        !wrong.success
            && wrong
                .reason
                .is_some_and(|reason| reason.contains("expected was 0.4"))
    );
}

#[test]
fn what_cannot_be_done_never_succeeds() {
    for context in [
        json!({}),
        json!({ "operation": 7 }),
        json!({ "operation": "conquer", "values": [1] }),
        json!({ "operation": "sum" }),
        json!({ "operation": "sum", "values": [] }),
        json!({ "operation": "sum", "values": [1, "two"] }),
        json!({ "operation": "sum", "values": [1e308, 1e308] }),
        json!({ "operation": "sum", "values": [1], "expected": "one" }),
        json!({ "operation": "dot", "values": [1], "weights": [1, 2] }),
        json!({ "operation": "minimize", "coefficients": [1.0] }),
        json!({ "operation": "minimize", "coefficients": [1.0], "lower": 1.0, "upper": 1.0 }),
        json!({ "operation": "minimize", "coefficients": [1.0], "lower": 0.0, "upper": 1.0, "budget": 0 }),
        json!({ "operation": "train" }),
        json!({ "operation": "train", "inputs": [[0.0]], "targets": [] }),
        json!({ "inputs": [[0.0], [1.0, 2.0]], "targets": [[0.0], [1.0]] }),
        json!({ "inputs": [[0.0], [1.0]], "targets": [[0.0]] }),
        json!({ "inputs": [[0.0]], "targets": [["one"]] }),
        json!({ "inputs": [[0.0]], "targets": [[1e39]] }),
        json!({ "inputs": [[0.0]], "targets": [[0.5, 0.5]] }),
        json!({ "inputs": [[0.0]], "targets": [[0.0]], "layers": [2, 4, 1] }),
        json!({ "inputs": [[0.0]], "targets": [[0.0]], "layers": "deep" }),
        json!({ "inputs": [[0.0]], "targets": [[0.0]], "layers": [1, 65535, 65535, 1] }),
        json!({ "inputs": [[0.0]], "targets": [[0.0]], "activation": "magic" }),
        json!({ "inputs": [[0.0]], "targets": [[0.0]], "optimizer": "magic" }),
        json!({ "inputs": [[0.0]], "targets": [[0.0]], "learning_rate": 0 }),
        json!({ "inputs": [[0.0]], "targets": [[0.0]], "epochs": 0 }),
        json!({ "inputs": [[0.0]], "targets": [[0.0]], "seed": -1 }),
        json!({ "inputs": [[0.0]], "targets": [[0.0]], "target_loss": "low" }),
        json!({ "inputs": [[0.0]], "targets": [[0.0]], "predict": [[1.0, 2.0]] }),
    ] {
        let outcome = run(context.clone());
        assert!(
            !outcome.success && outcome.result.is_null() && outcome.reason.is_some(),
            "{context}: {outcome:?}"
        );
    }
}

#[test]
fn a_passed_deadline_fails_the_task() {
    let now = DateTime::UNIX_EPOCH + TimeDelta::seconds(10);
    let mut work = task(json!({ "operation": "sum", "values": [1] }));
    work.deadline = Some(now);
    assert!(
        perform(&CognitivePattern::Adaptive, &work, now).success,
        "the deadline itself is in time"
    );
    work.deadline = Some(now - TimeDelta::milliseconds(1));
    assert!(!perform(&CognitivePattern::Adaptive, &work, now).success);
}

#[test]
fn patterns_search_in_their_own_ways() {
    // (x - 0.3)^2 + 1 has one valley: narrowing finds it best for the same budget.
    let valley = Polynomial::new(vec![1.09, -0.6, 1.0], -4.0, 5.0).expect("valid");
    let found: Vec<Found> = PATTERNS
        .iter()
        .map(|pattern| search(pattern, &valley, 60, "one"))
        .collect();
    for (pattern, found) in PATTERNS.iter().zip(&found) {
        assert!(found.value < 1.1, "{pattern:?} finds the valley: {found:?}");
    }
    assert!(found[0].value - 1.0 < 1e-12, "{found:?}");
    assert!(found[1].value > found[0].value, "even spacing is less precise");
    // Two valleys, the deeper one far from where the golden section begins to narrow: breadth finds it.
    let two = Polynomial::new(vec![0.0, -0.35, -1.0, 0.0, 0.5], -1.6, 1.6).expect("valid");
    let best = search(&CognitivePattern::Divergent, &two, 1000, "two");
    let systems = search(&CognitivePattern::Systems, &two, 60, "two");
    assert!(systems.value <= best.value + 1e-6, "{systems:?} against {best:?}");
}

proptest! {
    #[test]
    fn searches_stay_in_their_interval_and_budget(
        coefficients in prop::collection::vec(-5.0_f64..5.0, 1..6),
        lower in -10.0_f64..10.0,
        width in 0.01_f64..20.0,
        budget in 1_usize..200,
    ) {
        let polynomial = Polynomial::new(coefficients, lower, lower + width).expect("valid");
        for pattern in &PATTERNS {
            let found = search(pattern, &polynomial, budget, "seed");
            prop_assert!((1..=budget).contains(&found.evaluations), "{:?} {:?}", pattern, found);
            prop_assert!((lower..=lower + width + 1e-9).contains(&found.x), "{:?} {:?}", pattern, found);
            prop_assert_eq!(found.value, polynomial.at(found.x));
            prop_assert_eq!(found, search(pattern, &polynomial, budget, "seed"), "repeats exactly");
        }
    }

    #[test]
    fn any_context_is_answered(text in ".{0,20}", number in any::<f64>(), flag in any::<bool>()) {
        let context: HashMap<String, Value> = HashMap::from([
            ("operation".to_owned(), json!(if flag { "sum" } else { text.as_str() })),
            ("values".to_owned(), json!([number, number])),
        ]);
        let outcome = run(json!(context));
        prop_assert_eq!(outcome.success, outcome.reason.is_none());
    }
}

fn training(more: Value) -> Outcome {
    let mut context = json!({
        "operation": "train",
        "inputs": [[0, 0], [0, 1], [1, 0], [1, 1]],
        "targets": [[0], [1], [1], [0]],
        "predict": [[1, 1], [1, 0]],
    });
    let fields = context.as_object_mut().expect("an object");
    fields.extend(more.as_object().expect("an object").clone());
    run(context)
}

#[test]
fn a_training_task_trains_and_answers() {
    let outcome = training(json!({ "target_loss": 0.01, "target_accuracy": 1.0 }));
    assert!(outcome.success, "{outcome:?}");
    let said = &outcome.result["predictions"];
    assert!(
        said[0][0].as_f64().expect("a number") < 0.5 && said[1][0].as_f64().expect("a number") > 0.5,
        "{said}"
    );
    assert_eq!(
        outcome,
        training(json!({ "target_loss": 0.01, "target_accuracy": 1.0 }))
    );
}

#[test]
fn a_training_that_misses_its_target_is_no_success() {
    // Without a hidden layer no network tells these four rows apart.
    let outcome = training(json!({ "layers": [2, 1], "epochs": 50, "target_loss": 0.01 }));
    assert!(!outcome.success, "{outcome:?}");
    assert!(
        outcome
            .reason
            .is_some_and(|reason| reason.contains("the target was 0.01"))
    );
    assert_eq!(outcome.result["epochs"], 50);
    let outcome = training(json!({ "layers": [2, 1], "epochs": 50, "target_accuracy": 1.0 }));
    assert!(outcome.reason.is_some_and(|reason| reason.contains("accuracy")));
}
