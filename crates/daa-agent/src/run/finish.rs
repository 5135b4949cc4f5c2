//! The end of a run: the final training, the one test, the model, the report.

use super::inputs::Inputs;
use crate::agent::{AgentHandle, Task, TaskEnd, blocking};
use crate::book::{TrialBook, decision_digest};
use crate::chain::Chain;
use crate::config::{RUN_SCHEMA, RunConfig, RunFile};
use crate::crew::Crew;
use crate::device::SharedDevice;
use crate::error::{AgentError, FolderError};
use crate::events::{EventKind, Work};
use crate::folder::{RunFolder, read_json};
use crate::order::{Order, state_path};
use crate::orders::Orders;
use crate::record::RunRecord;
use crate::recorder::{Recorder, iso8601};
use crate::report;
use crate::sharing::Found;
use crate::stop::StopHandle;
use crate::summary::{self, AgreementSummary, BestSummary, Summary, SummaryInput};
use daa_base::{Bytes, Timestamp};
use daa_coord::Lease;
use daa_gpu_core::{ComputeContext, TenantSpec, Weight};
use daa_learn::data::Target;
use daa_learn::model::{MODEL_SCHEMA, Model, Predictor, TrainingSummary};
use daa_learn::search::{FinalSpec, TrialResult, TrialSpec, select_final};
use daa_learn::train::TrainState;
use daa_learn::train::checkpoint::CHECKPOINT_SCHEMA;
use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, PoisonError};

/// Reads `run.json`.
pub(super) fn read_run_file(folder: &RunFolder) -> Result<RunFile, AgentError> {
    let path = folder.path().join("run.json");
    let file: RunFile = read_json(&path)?.ok_or_else(|| FolderError::NotARun {
        path: folder.path().to_owned(),
    })?;
    if file.schema != RUN_SCHEMA {
        let reason = format!("its schema is `{}`, wanted is `{RUN_SCHEMA}`", file.schema);
        return Err(FolderError::Json { path, reason }.into());
    }
    Ok(file)
}

/// Writes `run.json`, before anything else of a run.
pub(super) fn write_run_file(
    folder: &RunFolder,
    config: &RunConfig,
    inputs: &Inputs,
    now: Timestamp,
) -> Result<(), AgentError> {
    let file = RunFile {
        schema: RUN_SCHEMA.to_owned(),
        versions: versions(),
        started: iso8601(now),
        config: config.clone(),
        data_digest: inputs.digest.clone(),
        data_path: inputs.path.clone(),
    };
    Ok(folder.write_json("run.json", &file)?)
}

fn versions() -> BTreeMap<String, String> {
    [
        ("daa", env!("CARGO_PKG_VERSION")),
        ("checkpoint", CHECKPOINT_SCHEMA),
        ("model", MODEL_SCHEMA),
        ("summary", summary::SCHEMA),
    ]
    .map(|(what, version)| (what.to_owned(), version.to_owned()))
    .into()
}

/// The summary of a run that is finished, model included; `None` when there is still something to do.
pub(super) fn finished_summary(folder: &RunFolder) -> Result<Option<Summary>, AgentError> {
    let root = folder.path();
    let summary: Option<Summary> = read_json(&root.join("summary.json"))?;
    let Some(mut summary) = summary.filter(|summary| summary.outcome == FINISHED) else {
        return Ok(None);
    };
    if Model::load(root).is_err() {
        return Ok(None);
    }
    summary.run_dir = root.to_owned();
    Ok(Some(summary))
}

/// The outcome of a run that got to its end.
const FINISHED: &str = "finished";

/// What the end of a run needs.
#[derive(Debug)]
pub(super) struct Finish<'a> {
    pub(super) config: &'a RunConfig,
    pub(super) inputs: &'a Inputs,
    pub(super) orders: &'a Orders,
    pub(super) device: &'a Arc<SharedDevice>,
    pub(super) folder: &'a Arc<RunFolder>,
    pub(super) recorder: &'a Arc<Recorder>,
    pub(super) book: &'a TrialBook,
    pub(super) chain: &'a Chain,
    pub(super) crew: Option<&'a Crew>,
}

impl Finish<'_> {
    /// Trains the chosen network on all rows but the test's, saves the model, and tests it once. `None` when the run
    /// was asked to stop.
    pub(super) async fn train_and_test(
        &self,
        agent: &AgentHandle,
    ) -> Result<Option<BestSummary>, AgentError> {
        let (specs, results) = self.book.contents();
        let chosen = select_final(self.orders.search(), &specs, &results)?;
        let order = Arc::new(self.orders.final_order(&chosen, self.folder)?);
        let score = chosen.score_micro as f64 / 1e6;
        let (trial, architecture) = (chosen.trial, order.architecture.clone());
        self.recorder.emit(EventKind::Chosen {
            trial,
            architecture: architecture.clone(),
            score,
        });
        let decision = decision_digest(&chosen)?;
        if agent
            .give(Task::Train {
                order: Arc::clone(&order),
                decision,
            })
            .await?
            == TaskEnd::Stopped
        {
            return Ok(None);
        }
        let model = self.save_model(&order, &chosen).await?;
        let Some((test_accuracy, test_rmse)) = self.test(agent, model).await? else {
            return Ok(None);
        };
        Ok(Some(BestSummary {
            test_accuracy,
            test_rmse,
            params: order.parameters,
            architecture,
            plan_peak_bytes: order.peak().get(),
            trial,
            validation_score: score,
        }))
    }

    async fn save_model(&self, order: &Arc<Order>, chosen: &FinalSpec) -> Result<Arc<Model>, AgentError> {
        let (order, folder) = (Arc::clone(order), Arc::clone(self.folder));
        let (preprocess, seed, chosen) = (self.inputs.preprocess.clone(), self.config.seed, *chosen);
        blocking("the model", move || {
            let state = TrainState::load(&state_path(&order.dir))?;
            let summary = TrainingSummary {
                seed,
                epochs: state.position().epoch,
                train_rows: order.data.train().len() as u64,
                train_loss: state.history().last().map(|record| record.train.loss),
                validation_score_micro: Some(chosen.score_micro),
            };
            let architecture = order.network.architecture().clone();
            let model = Model::new(architecture, state.result(), preprocess, summary)?;
            model.save(folder.path())?;
            Ok(Arc::new(model))
        })
        .await
    }

    /// Scores `model` on the test rows: accuracy, or root mean squared error in the target's units.
    async fn test(
        &self,
        agent: &AgentHandle,
        model: Arc<Model>,
    ) -> Result<Option<(Option<f64>, Option<f64>)>, AgentError> {
        let rows = self.inputs.test.clone();
        let (tested, dataset) = (rows.len(), Arc::clone(self.inputs.material.search.dataset()));
        let network = Predictor::network(&model)?;
        let bytes = network.peak_bytes();
        let score = Arc::new(Mutex::new(None));
        let (slot, scored, recorder, device) = (
            Arc::clone(&score),
            Arc::clone(&dataset),
            Arc::clone(self.recorder),
            Arc::clone(self.device),
        );
        let job = move |lease: &Lease, context: &ComputeContext| -> Result<Bytes, AgentError> {
            let spec = TenantSpec {
                name: "test".to_owned(),
                budget: lease.bytes,
                token: lease.token,
                weight: Weight::of_share(lease.share),
            };
            let tenant = context.tenant(spec)?;
            let mut predictor = Predictor::load(&model, Arc::clone(&network), &tenant)?;
            recorder.memory(|| device.pools());
            let predictions = predictor.predict_rows(&scored, &rows)?;
            let measured = predictions.score(scored.target(), &rows);
            *slot.lock().unwrap_or_else(PoisonError::into_inner) = Some(measured);
            let high_water = tenant.usage().high_water;
            drop((predictor, tenant));
            recorder.memory(|| device.pools());
            Ok(high_water)
        };
        let task = Task::Leased {
            work: Work::Test,
            bytes,
            job: Arc::new(job),
        };
        if agent.give(task).await? == TaskEnd::Stopped {
            return Ok(None);
        }
        let measured = score.lock().unwrap_or_else(PoisonError::into_inner).take();
        let (accuracy, rmse) = match dataset.target() {
            Target::Classes { .. } => (measured, None),
            Target::Values(_) => (
                None,
                measured.map(|error| error * self.inputs.material.target_unit),
            ),
        };
        self.recorder.emit(EventKind::Tested {
            accuracy,
            rmse,
            rows: tested,
        });
        Ok(Some((accuracy, rmse)))
    }

    fn found<'a>(&'a self, specs: &'a [TrialSpec], results: &'a [TrialResult]) -> Found<'a> {
        Found {
            search: self.orders.search(),
            suggested: &self.config.suggested,
            specs,
            results,
        }
    }

    /// Tells the node of the owner what the search found, if the run shares.
    async fn share(&self) {
        if !self.config.knowledge {
            return;
        }
        let Some(crew) = self.crew else {
            let reason = "nothing is told: the run went on without --join".to_owned();
            self.recorder.emit(EventKind::NotShared { reason });
            return;
        };
        let (specs, results) = self.book.contents();
        self.found(&specs, &results)
            .tell(crew.home(), self.recorder)
            .await;
    }

    /// Writes report and summary of a run that is done.
    pub(super) async fn finished(&self, best: BestSummary) -> Result<Summary, AgentError> {
        self.share().await;
        self.close(FINISHED, Some(best))
    }

    /// Writes report and summary of a run that was asked to stop.
    pub(super) async fn interrupted(&self, stop: &StopHandle) -> Result<Summary, AgentError> {
        self.recorder.emit(EventKind::StopRequested {
            reason: stop.stopped().await,
        });
        self.close("interrupted", None)
    }

    /// What the final training really ran on; before there was one, the device that was chosen. `unknown` when the process was
    /// killed in the moment between the training and its record.
    fn ran_on(&self, record: &RunRecord) -> (String, String) {
        let Some(work) = record.final_work.as_ref().filter(|work| work.done_ms.is_some()) else {
            let info = self.device.info();
            return (info.backend.to_string(), info.name.clone());
        };
        let unknown = || ("unknown".to_owned(), "unknown".to_owned());
        work.ran_on
            .clone()
            .map_or_else(unknown, |ran_on| (ran_on.backend, ran_on.device))
    }

    /// Who agreed on the leases: the nodes, where they trained, else the run's own log.
    fn agreement(&self) -> AgreementSummary {
        self.crew.map_or_else(|| self.chain.agreement(), Crew::agreement)
    }

    fn close(&self, outcome: &str, best: Option<BestSummary>) -> Result<Summary, AgentError> {
        let wall_seconds = self.recorder.elapsed().as_secs_f64();
        self.recorder.emit(EventKind::RunEnded {
            outcome: outcome.to_owned(),
            wall_seconds,
        });
        let record = self.recorder.record();
        let (specs, results) = self.book.contents();
        let found = self.found(&specs, &results);
        let candidates: Vec<_> = specs.iter().map(|spec| (spec.id, spec.candidate.0)).collect();
        let (backend, device) = self.ran_on(&record);
        let input = SummaryInput {
            config: self.config,
            outcome,
            run_dir: self.folder.path().to_owned(),
            backend,
            device,
            data: self.inputs.summary.clone(),
            candidates: &candidates,
            best,
            agreement: self.agreement(),
            kernels: summary::kernels(&self.device.profiles()),
            knowledge: self.config.knowledge.then(|| found.summary(&record)),
            wall_seconds,
        };
        let summary = Summary::new(input, &record);
        self.folder
            .write_text("report.html", &report::render(&summary, &record))?;
        self.folder.write_json("summary.json", &summary)?;
        Ok(summary)
    }
}
