//! From decisions to orders: the networks of a search, compiled once each.

use crate::agent::OrderMaker;
use crate::config::ConfigError;
use crate::error::AgentError;
use crate::events::Work;
use crate::folder::RunFolder;
use crate::job::Material;
use crate::order::{Order, Spec};
use daa_base::{Bytes, Seed};
use daa_learn::data::Target;
use daa_learn::nn::{Architecture, Network, OutputHead, Purpose, compile};
use daa_learn::search::{Candidate, CandidateId, FinalSpec, SearchConfig, Suggestion, TrialSpec};
use daa_learn::train::TrainConfig;
use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, PoisonError};

/// Rows predicted at a time in the final test; the model's own predictor uses as many.
pub(crate) const TEST_BATCH: usize = daa_learn::model::predict::PREDICT_BATCH;

/// The networks of a search.
#[derive(Debug)]
pub(crate) struct Orders {
    search: SearchConfig,
    material: Material,
    networks: Arc<Mutex<BTreeMap<CandidateId, Arc<Network>>>>,
    largest: (String, Bytes),
}

impl Orders {
    /// Compiles every candidate once, so that the largest peak is known before the first lease is asked for.
    pub(crate) fn new(
        seed: Seed,
        epochs_budget: Option<u32>,
        suggested: Vec<Suggestion>,
        material: Material,
    ) -> Result<Self, AgentError> {
        let data = &material.search;
        let output = match data.dataset().target() {
            Target::Classes { classes, .. } => OutputHead::Classes { count: *classes },
            Target::Values(_) => OutputHead::Regression {},
        };
        let mut search = SearchConfig::for_dataset(data.train().len(), data.dataset().shape(), output, seed);
        if let Some(epochs) = epochs_budget {
            search = search.with_budget(epochs);
        }
        search.space.suggested = suggested;
        search.validate()?;
        let mut largest = (String::new(), Bytes::ZERO);
        let mut networks = BTreeMap::new();
        for candidate in search.candidates() {
            let (network, test) = compiled(&candidate)?;
            for (what, peak) in [("", network.peak_bytes()), ("testing ", test)] {
                if peak > largest.1 {
                    largest = (format!("{what}{}", candidate.architecture), peak);
                }
            }
            networks.insert(candidate.id, network);
        }
        Ok(Self {
            search,
            material,
            networks: Arc::new(Mutex::new(networks)),
            largest,
        })
    }

    pub(crate) const fn search(&self) -> &SearchConfig {
        &self.search
    }

    /// Whether a recipe needs no more memory than the search may need without it. What others suggest must not be what a
    /// device has no room for.
    pub(crate) fn has_room_for(&self, suggestion: &Suggestion) -> bool {
        let mut search = self.search.clone();
        let first = search.space.known_good().len();
        search.space.suggested = vec![suggestion.clone()];
        // Known networks are few.
        let candidate = search.candidate(CandidateId(first as u32));
        let peaks = compiled(&candidate).map(|(network, test)| network.peak_bytes().max(test));
        peaks.is_ok_and(|peak| peak <= self.largest.1)
    }

    /// How many suggestions the search can try: those behind the known networks that its budget can start.
    pub(crate) fn most_suggestions(&self) -> usize {
        let known = self.search.space.known_good().len();
        self.search.max_candidates().saturating_sub(known)
    }

    /// The largest memory peak of anything that the run may load, and what has it.
    pub(crate) fn largest_peak(&self) -> (String, Bytes) {
        self.largest.clone()
    }

    /// Whether `spec` is something that this search can decide on: what comes from another process is checked before it is
    /// made an order.
    pub(crate) fn check(&self, spec: &Spec) -> Result<(), ConfigError> {
        let search = &self.search;
        let within = |field, value: u64, min: u64, max: u64| {
            if (min..=max).contains(&value) {
                return Ok(());
            }
            Err(ConfigError {
                field,
                value: value.to_string(),
                allowed: format!("{min} to {max}"),
            })
        };
        let last = (search.max_candidates() as u64).saturating_sub(1);
        match spec {
            Spec::Trial(trial) => {
                within("candidate", trial.candidate.0.into(), 0, last)?;
                within("rung", trial.rung.into(), 0, search.rungs.len() as u64 - 1)?;
                let rung = trial.rung as usize;
                let to = search.rungs[rung].into();
                within("epochs_to", trial.epochs_to.into(), to, to)?;
                let from = if rung == 0 {
                    0
                } else {
                    search.rungs[rung - 1].into()
                };
                within("epochs_from", trial.epochs_from.into(), from, from)?;
                within(
                    "states to go on from",
                    trial.from.is_some().into(),
                    (rung > 0).into(),
                    (rung > 0).into(),
                )
            }
            Spec::Final(chosen) => {
                within("candidate", chosen.candidate.0.into(), 0, last)?;
                within("epochs", chosen.epochs.into(), 1, search.epochs_budget.into())
            }
        }
    }

    /// Makes the orders of trials.
    pub(crate) fn maker(&self, folder: &Arc<RunFolder>) -> Arc<OrderMaker> {
        let (search, networks) = (self.search.clone(), Arc::clone(&self.networks));
        let (data, folder) = (Arc::clone(&self.material.search), Arc::clone(folder));
        let target_unit = self.material.target_unit;
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
                spec: Spec::Trial(*spec),
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

    /// Makes the order of `spec`, which was [checked](Self::check).
    pub(crate) fn order(&self, spec: &Spec, folder: &Arc<RunFolder>) -> Result<Order, AgentError> {
        match spec {
            Spec::Trial(spec) => self.maker(folder)(spec),
            Spec::Final(spec) => self.final_order(spec, folder),
        }
    }

    /// Makes the order of the final training.
    pub(crate) fn final_order(&self, chosen: &FinalSpec, folder: &RunFolder) -> Result<Order, AgentError> {
        let training = self.search.final_training(chosen);
        let parameters = training
            .architecture
            .parameter_count()
            .map_err(daa_learn::nn::NetworkError::from)?;
        Ok(Order {
            work: Work::Final,
            spec: Spec::Final(*chosen),
            architecture: training.architecture.to_string(),
            parameters: parameters as u64,
            network: network(&training.architecture, &training.config)?,
            data: Arc::clone(&self.material.merged),
            config: training.config,
            seed: training.seed,
            from: None,
            dir: folder.work_dir(Work::Final)?,
            target_unit: self.material.target_unit,
        })
    }
}

/// The network of a candidate, and the peak of the plan that its test loads.
fn compiled(candidate: &Candidate) -> Result<(Arc<Network>, Bytes), AgentError> {
    let network = network(&candidate.architecture, &candidate.training)?;
    let test = compile(&candidate.architecture, TEST_BATCH, Purpose::Predict)?;
    Ok((network, test.peak_bytes()))
}

fn network(architecture: &Architecture, training: &TrainConfig) -> Result<Arc<Network>, AgentError> {
    Ok(Arc::new(compile(
        architecture,
        training.batch,
        Purpose::Train(training.optimizer.kind()),
    )?))
}
