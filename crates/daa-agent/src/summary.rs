//! What `daa run -o json` prints: one object about a finished run, schema `daa.run/1`. Fields are only ever added.

use crate::config::RunConfig;
use crate::record::{RunRecord, ToldRecord, UsefulnessRecord, WorkRecord};
use daa_base::{AgentId, TrialId};
use daa_gpu_core::{BackendKind, ProfileReport};
use daa_learn::train::Verification;
use serde::{Deserialize, Serialize};
use std::path::PathBuf;

/// The schema's name.
pub const SCHEMA: &str = "daa.run/1";

/// A finished run.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Summary {
    /// [`SCHEMA`].
    pub schema: String,
    /// Version of daa.
    pub version: String,
    /// `finished`, or `interrupted` when the run was stopped and can be resumed.
    pub outcome: String,
    /// The run folder.
    pub run_dir: PathBuf,
    /// The seed.
    pub seed: u64,
    /// What really ran the final training: `host`, `vulkan`, `metal` or `dx12`.
    pub backend: String,
    /// The device's name.
    pub device: String,
    /// The command line that repeats the run.
    pub command: String,
    /// What was done against wrong results of the device: `off` or `repeat`.
    #[serde(default)]
    pub verification: Verification,
    /// The data.
    pub data: DataSummary,
    /// The agents and what they did.
    pub agents: Vec<AgentSummary>,
    /// The trials in the order they were decided.
    pub trials: Vec<TrialSummary>,
    /// The final network; absent when the run was interrupted before.
    pub best: Option<BestSummary>,
    /// The leases.
    pub leases: LeaseSummary,
    /// How commands were agreed on in this process's part of the run.
    #[serde(default)]
    pub agreement: AgreementSummary,
    /// Duration of this process's part of the run.
    pub wall_seconds: f64,
    /// Where the devices' time went in this process's part of the run, kernels that took most first. Devices that were
    /// lost on the way are not in it.
    #[serde(default)]
    pub kernels: Vec<KernelSummary>,
    /// What was learned from others and told to them; absent for runs that do not share.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub knowledge: Option<KnowledgeSummary>,
}

/// What a run learned from others and told to them.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct KnowledgeSummary {
    /// The kind of data.
    pub topic: String,
    /// The recipes of others that were candidates of the search.
    pub suggestions: Vec<SuggestionSummary>,
    /// How useful they were, by author.
    pub measured: Vec<UsefulnessRecord>,
    /// What was told to others.
    pub told: Option<ToldRecord>,
    /// What was not shared, and why.
    pub not_shared: Vec<String>,
}

/// A recipe of somebody else.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct SuggestionSummary {
    /// The key of who found it.
    pub author: String,
    /// The version of what it said.
    pub version: u64,
    /// The candidate of the search that it is.
    pub candidate: u32,
    /// The network in short.
    pub architecture: String,
    /// Validation score on the first rung; absent when it diverged or was not tried.
    pub score: Option<f64>,
}

/// What one kernel took on one back end. Times are estimated from samples: [`daa_gpu_core::profile`] says how.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct KernelSummary {
    /// The kernel.
    pub kernel: String,
    /// Where it ran: `host`, `vulkan`, `metal` or `dx12`.
    pub backend: String,
    /// How often it was dispatched: exact.
    pub dispatches: u64,
    /// What all of these took.
    pub total_ns: u64,
    /// The part of the time of all kernels, 0 to 1.
    pub share: f64,
    /// Dispatches that were timed.
    pub samples: u64,
    /// Half of these took no longer.
    pub p50_ns: u64,
    /// Nine tenths took no longer.
    pub p90_ns: u64,
    /// 99 of 100 took no longer.
    pub p99_ns: u64,
    /// The longest.
    pub max_ns: u64,
}

/// The kernels of what devices report, by the time they took.
#[must_use]
pub fn kernels(profiles: &[(BackendKind, ProfileReport)]) -> Vec<KernelSummary> {
    let all = profiles
        .iter()
        .flat_map(|(backend, profile)| profile.programs.iter().map(move |program| (backend, program)));
    let total: u64 = all.clone().map(|(_, program)| program.total_ns).sum();
    let mut kernels: Vec<_> = all
        .filter(|(_, program)| program.runs > 0)
        .map(|(backend, program)| KernelSummary {
            kernel: program.name.clone(),
            backend: backend.to_string(),
            dispatches: program.runs,
            total_ns: program.total_ns,
            share: program.total_ns as f64 / total.max(1) as f64,
            samples: program.times.samples,
            p50_ns: program.times.p50_ns,
            p90_ns: program.times.p90_ns,
            p99_ns: program.times.p99_ns,
            max_ns: program.times.max_ns,
        })
        .collect();
    kernels.sort_by_key(|kernel| std::cmp::Reverse(kernel.total_ns));
    kernels
}

/// The data of a run.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct DataSummary {
    /// What was read.
    pub source: String,
    /// Rows read.
    pub rows: usize,
    /// Numbers per row after encoding.
    pub features: usize,
    /// Classes; zero for regression.
    pub classes: usize,
    /// Rows to train on.
    pub train: usize,
    /// Rows to choose by.
    pub validation: usize,
    /// Rows for the one final test.
    pub test: usize,
}

/// One agent.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct AgentSummary {
    /// Its id.
    pub id: AgentId,
    /// Pieces of work it finished.
    pub tasks: u64,
    /// Leases it was granted.
    pub leases: u64,
    /// How often it stopped at a step boundary for others.
    pub yields: u64,
}

/// One trial.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct TrialSummary {
    /// Its number.
    pub trial: TrialId,
    /// The candidate it trained.
    pub candidate: u32,
    /// The network in short.
    pub architecture: String,
    /// Who finished it.
    pub agent: AgentId,
    /// Epochs trained before it.
    pub from_epoch: u32,
    /// Epochs trained after it.
    pub to_epoch: u32,
    /// Validation score, higher is better; absent when it diverged or did not finish.
    pub score: Option<f64>,
    /// The plan's peak in bytes.
    pub plan_peak_bytes: u64,
    /// How it ended.
    pub outcome: String,
}

/// The final network.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct BestSummary {
    /// Accuracy on the test rows, scored once; classification only.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub test_accuracy: Option<f64>,
    /// Root of the mean squared error on the test rows, scored once; regression only.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub test_rmse: Option<f64>,
    /// Trained parameters.
    pub params: u64,
    /// The network in short.
    pub architecture: String,
    /// Peak of the final training's plan.
    pub plan_peak_bytes: u64,
    /// The trial whose network was chosen.
    pub trial: TrialId,
    /// Its validation score.
    pub validation_score: f64,
}

/// How the commands of a run were agreed on.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct AgreementSummary {
    /// Validators that had to agree by more than two thirds; 0 where one sequencer gave the order.
    pub validators: usize,
    /// Blocks of the run's own ledger; absent where nodes agree, whose ledger serves others, too.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub blocks: Option<u64>,
    /// Rounds that were needed beyond the first of each block; absent where this process does not count them.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub extra_rounds: Option<u64>,
    /// Signatures that the first validator checked; absent where this process does not count them.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub signature_checks: Option<u64>,
}

/// The leases of a run.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct LeaseSummary {
    /// Requests submitted.
    pub requested: u64,
    /// Leases granted.
    pub granted: u64,
    /// Requests refused.
    pub refused: u64,
    /// The most bytes leased at one time.
    pub peak_bytes: u64,
}

/// What a summary needs beyond the record.
#[derive(Debug, Clone)]
pub struct SummaryInput<'a> {
    /// The configuration.
    pub config: &'a RunConfig,
    /// `finished` or `interrupted`.
    pub outcome: &'a str,
    /// The run folder.
    pub run_dir: PathBuf,
    /// What really ran.
    pub backend: String,
    /// The device's name.
    pub device: String,
    /// The data.
    pub data: DataSummary,
    /// The candidate of each trial.
    pub candidates: &'a [(TrialId, u32)],
    /// The final network.
    pub best: Option<BestSummary>,
    /// How commands were agreed on.
    pub agreement: AgreementSummary,
    /// Duration.
    pub wall_seconds: f64,
    /// Where the time went.
    pub kernels: Vec<KernelSummary>,
    /// What was shared.
    pub knowledge: Option<KnowledgeSummary>,
}

impl Summary {
    /// The summary of the run that `record` tells of.
    #[must_use]
    pub fn new(input: SummaryInput<'_>, record: &RunRecord) -> Self {
        let trial = |&(id, candidate): &(TrialId, u32)| {
            record
                .trials
                .get(&id)
                .map(|work| trial_summary(id, candidate, work))
        };
        Self {
            schema: SCHEMA.to_owned(),
            version: env!("CARGO_PKG_VERSION").to_owned(),
            outcome: input.outcome.to_owned(),
            run_dir: input.run_dir,
            seed: input.config.seed.0,
            backend: input.backend,
            device: input.device,
            command: input.config.command_line(),
            verification: input.config.schedule.verify,
            data: input.data,
            agents: agents(record),
            trials: input.candidates.iter().filter_map(trial).collect(),
            best: input.best,
            leases: LeaseSummary {
                requested: record.lease_counts.requested,
                granted: record.lease_counts.granted,
                refused: record.lease_counts.refused,
                peak_bytes: record.lease_counts.peak_bytes.get(),
            },
            agreement: input.agreement,
            wall_seconds: input.wall_seconds,
            kernels: input.kernels,
            knowledge: input.knowledge,
        }
    }
}

fn trial_summary(trial: TrialId, candidate: u32, work: &WorkRecord) -> TrialSummary {
    TrialSummary {
        trial,
        candidate,
        architecture: work.architecture.clone(),
        agent: work.agent,
        from_epoch: work.from_epoch,
        to_epoch: work.to_epoch,
        score: work.score,
        plan_peak_bytes: work.plan_peak.get(),
        outcome: if work.outcome.is_empty() {
            "unfinished".to_owned()
        } else {
            work.outcome.clone()
        },
    }
}

fn agents(record: &RunRecord) -> Vec<AgentSummary> {
    let summary = |(&id, &tasks): (&AgentId, &u64)| {
        let held = record.leases.iter().filter(|lease| lease.agent == id);
        let yields = held
            .clone()
            .filter(|lease| lease.end == Some(crate::events::LeaseEnd::Yielded));
        AgentSummary {
            id,
            tasks,
            leases: held.count() as u64,
            yields: yields.count() as u64,
        }
    };
    record.agent_tasks.iter().map(summary).collect()
}
