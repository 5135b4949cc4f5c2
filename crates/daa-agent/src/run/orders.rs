//! From decisions to orders: the networks of a search, compiled once each.

use super::inputs::Inputs;
use crate::agent::OrderMaker;
use crate::config::RunConfig;
use crate::error::AgentError;
use crate::events::Work;
use crate::folder::RunFolder;
use crate::order::Order;
use daa_base::Bytes;
use daa_learn::data::Target;
use daa_learn::nn::{Architecture, Network, OutputHead, Purpose, compile};
use daa_learn::search::{CandidateId, FinalSpec, SearchConfig, TrialSpec};
use daa_learn::train::TrainConfig;
use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, PoisonError};

/// Rows predicted at a time in the final test; the model's own predictor uses as many.
pub(super) const TEST_BATCH: usize = daa_learn::model::predict::PREDICT_BATCH;

/// The networks of a search.
#[derive(Debug)]
pub(super) struct Orders {
    search: SearchConfig,
    networks: Arc<Mutex<BTreeMap<CandidateId, Arc<Network>>>>,
    largest: (String, Bytes),
}

impl Orders {
    /// Compiles every candidate once, so that the largest peak is known before the first lease is asked for.
    pub(super) fn new(config: &RunConfig, inputs: &Inputs) -> Result<Self, AgentError> {
        let data = &inputs.search;
        let output = match data.dataset().target() {
            Target::Classes { classes, .. } => OutputHead::Classes { count: *classes },
            Target::Values(_) => OutputHead::Regression {},
        };
        let mut search =
            SearchConfig::for_dataset(data.train().len(), data.dataset().shape(), output, config.seed);
        if let Some(epochs) = config.epochs_budget {
            search = search.with_budget(epochs);
        }
        search.validate()?;
        let mut largest = (String::new(), Bytes::ZERO);
        let mut networks = BTreeMap::new();
        for candidate in search.candidates() {
            let network = network(&candidate.architecture, &candidate.training)?;
            // The test loads a plan of its own.
            let test = compile(&candidate.architecture, TEST_BATCH, Purpose::Predict)?.peak_bytes();
            for (what, peak) in [("", network.peak_bytes()), ("testing ", test)] {
                if peak > largest.1 {
                    largest = (format!("{what}{}", candidate.architecture), peak);
                }
            }
            networks.insert(candidate.id, network);
        }
        Ok(Self {
            search,
            networks: Arc::new(Mutex::new(networks)),
            largest,
        })
    }

    pub(super) const fn search(&self) -> &SearchConfig {
        &self.search
    }

    /// The largest memory peak of anything that the run may load, and what has it.
    pub(super) fn largest_peak(&self) -> (String, Bytes) {
        self.largest.clone()
    }

    /// Makes the orders of trials.
    pub(super) fn maker(&self, inputs: &Inputs, folder: &Arc<RunFolder>) -> Arc<OrderMaker> {
        let (search, networks) = (self.search.clone(), Arc::clone(&self.networks));
        let (data, folder) = (Arc::clone(&inputs.search), Arc::clone(folder));
        let target_unit = inputs.target_unit();
        Arc::new(move |spec: &TrialSpec| {
            let candidate = search.candidate(spec.candidate);
            let known = networks
                .lock()
                .unwrap_or_else(PoisonError::into_inner)
                .get(&spec.candidate)
                .cloned();
            let network = match known {
                Some(network) => network,
                None => network(&candidate.architecture, &candidate.training)?,
            };
            let from = spec
                .from
                .map(|trial| folder.work_dir(Work::Trial(trial)))
                .transpose()?;
            Ok(Order {
                work: Work::Trial(spec.id),
                architecture: candidate.architecture.to_string(),
                parameters: candidate
                    .architecture
                    .parameter_count()
                    .map_err(daa_learn::nn::NetworkError::from)? as u64,
                network,
                data: Arc::clone(&data),
                config: search.training(spec),
                seed: candidate.seed,
                from,
                dir: folder.work_dir(Work::Trial(spec.id))?,
                target_unit,
            })
        })
    }

    /// Makes the order of the final training.
    pub(super) fn final_order(
        &self,
        chosen: &FinalSpec,
        inputs: &Inputs,
        folder: &RunFolder,
    ) -> Result<Order, AgentError> {
        let training = self.search.final_training(chosen);
        let parameters = training
            .architecture
            .parameter_count()
            .map_err(daa_learn::nn::NetworkError::from)?;
        Ok(Order {
            work: Work::Final,
            architecture: training.architecture.to_string(),
            parameters: parameters as u64,
            network: network(&training.architecture, &training.config)?,
            data: Arc::clone(&inputs.merged),
            config: training.config,
            seed: training.seed,
            from: None,
            dir: folder.work_dir(Work::Final)?,
            target_unit: inputs.target_unit(),
        })
    }
}

fn network(architecture: &Architecture, training: &TrainConfig) -> Result<Arc<Network>, AgentError> {
    Ok(Arc::new(compile(
        architecture,
        training.batch,
        Purpose::Train(training.optimizer.kind()),
    )?))
}
