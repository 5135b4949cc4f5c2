//! The whole way from decisions over real training to final weights.

use super::*;
use crate::data::InputShape;
use crate::nn::{OutputHead, Purpose, compile};
use crate::testing;
use crate::train::{Control, PreparedData, TrainConfig, TrainState, Trainer};
use daa_base::{Seed, TrialId};
use daa_gpu_core::ComputeContext;
use std::sync::Arc;

fn train(
    context: &ComputeContext,
    data: &Arc<PreparedData>,
    candidate: &Candidate,
    config: TrainConfig,
    resume: Option<TrainState>,
) -> TrainState {
    let purpose = Purpose::Train(config.optimizer.kind());
    let network =
        Arc::new(compile(&candidate.architecture, config.batch, purpose).expect("a valid candidate"));
    let (_tenant, mut session) = testing::session(context, &network);
    let mut trainer = Trainer::new(network, Arc::clone(data), config, candidate.seed, resume).expect("fits");
    trainer
        .run(&mut session, &mut |_| Control::Continue)
        .expect("the host does not fail");
    trainer.into_state()
}

/// Searches on `workers` imagined workers, of which the one that started last always finishes first.
fn search(config: &SearchConfig, data: &Arc<PreparedData>, workers: usize, threads: usize) -> Vec<Vec<f32>> {
    let context = testing::context(threads);
    let (mut specs, mut results) = (Vec::<TrialSpec>::new(), Vec::new());
    let mut states: Vec<Option<TrainState>> = Vec::new();
    let mut running = Vec::<TrialSpec>::new();
    loop {
        let decision = decide(config, TrialId(specs.len() as u32), &specs, &results);
        match decision {
            Ok(Decision::Trial(spec)) if running.len() < workers => {
                specs.push(spec);
                states.push(None);
                running.push(spec);
                continue;
            }
            Err(error) if !matches!(error, SearchError::MissingResult { .. }) => panic!("{error}"),
            _ => {}
        }
        let Some(spec) = running.pop() else { break };
        let resume = spec.from.and_then(|from| states[from.0 as usize].clone());
        let candidate = config.candidate(spec.candidate);
        let state = train(&context, data, &candidate, config.training(&spec), resume);
        results.push(TrialResult::of(spec.id, &state));
        states[spec.id.0 as usize] = Some(state);
    }
    assert!(
        specs.iter().any(|spec| spec.from.is_some()),
        "somebody goes on to the next rung"
    );
    let chosen = select_final(config, &specs, &results).expect("scores");
    let last = config.final_training(&chosen);
    let candidate = Candidate {
        architecture: last.architecture,
        seed: last.seed,
        ..config.candidate(chosen.candidate)
    };
    train(&context, data, &candidate, last.config, None).result()
}

#[test]
fn neither_workers_nor_threads_nor_order_change_the_final_weights() {
    let input = InputShape::Flat { features: 6 };
    let data = Arc::new(testing::classes(input, 3, 90, 30, 4));
    let output = OutputHead::Classes { count: 3 };
    let config = SearchConfig {
        rungs: vec![1, 2],
        epochs_budget: 14,
        final_epochs: 2,
        window: 3,
        ..SearchConfig::for_dataset(60, input, output, Seed(9))
    };
    let alone = search(&config, &data, 1, 1);
    assert_eq!(alone, search(&config, &data, 4, 3));
    let other = SearchConfig {
        seed: Seed(10),
        ..config
    };
    assert_ne!(
        alone,
        search(&other, &data, 1, 1),
        "another seed is another search"
    );
}
