//! What happens during a run, as it happens: for progress displays, for the run folder, and for the report.
//!
//! The stream of events is the one source of all figures in the report: [`crate::record::RunRecord`] is a fold over it.

mod shared;

use daa_base::{AgentId, Bytes, FencingToken, LeaseId, Permille, TrialId};
use serde::{Deserialize, Serialize};
use std::fmt;

/// Names a piece of work in events.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Work {
    /// One trial of the search.
    Trial(TrialId),
    /// The training of the chosen network on training and validation rows.
    Final,
    /// The one evaluation on the test rows.
    Test,
}

impl fmt::Display for Work {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Trial(trial) => trial.fmt(f),
            Self::Final => f.write_str("the final training"),
            Self::Test => f.write_str("the test"),
        }
    }
}

/// Why a lease ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum LeaseEnd {
    /// The work was done and its holder gave it back.
    Released,
    /// The holder gave it back at a step boundary because others wait, or because the run stops.
    Yielded,
    /// Its time ran out.
    Expired,
    /// The ledger took it back.
    Revoked,
}

impl fmt::Display for LeaseEnd {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Released => "released",
            Self::Yielded => "yielded",
            Self::Expired => "expired",
            Self::Revoked => "revoked",
        })
    }
}

/// Bytes in use per memory tier, smallest tier first, and what the pool keeps for reuse.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct MemorySample {
    /// Bytes that tenants hold, per tier: Micro, Small, Medium, Large, XLarge.
    pub in_use: [Bytes; 5],
    /// Bytes kept for reuse, over all tiers.
    pub cached: Bytes,
}

/// What did a piece of work; several of each, joined by ` and `, when a device failed or came back meanwhile.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct RanOn {
    /// `host`, `vulkan`, `metal` or `dx12`.
    pub backend: String,
    /// The device's name.
    pub device: String,
}

/// One epoch of training, measured at its end.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct EpochMetrics {
    /// Epochs done, counted from the first of this network.
    pub epoch: u32,
    /// Mean training loss over the epoch.
    pub train_loss: f64,
    /// Mean loss on the validation rows; absent when none are held out.
    pub validation_loss: Option<f64>,
    /// Accuracy on the validation rows (classification), 0 to 1.
    pub validation_accuracy: Option<f64>,
    /// Root of the mean squared error on the validation rows, in units of the target (regression).
    pub validation_rmse: Option<f64>,
}

/// A recipe that somebody else found good.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct SuggestedRecipe {
    /// The key of who found it.
    pub author: String,
    /// In which version of what it said.
    pub version: u64,
    /// The candidate of the search that it is.
    pub candidate: u32,
    /// The network in short.
    pub architecture: String,
}

/// What happened.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(tag = "event", rename_all = "snake_case")]
#[non_exhaustive]
#[expect(
    missing_docs,
    reason = "the fields are named by what they hold; the variants say what happened"
)]
pub enum EventKind {
    /// The run began, or began again from its folder.
    RunStarted { seed: u64, agents: usize, resumed: bool },
    /// The device that the run uses.
    DeviceChosen {
        device: String,
        backend: String,
        reason: String,
        capacity: Bytes,
    },
    /// The data are read and split.
    DataRead {
        source: String,
        rows: usize,
        features: usize,
        classes: usize,
        train: usize,
        validation: usize,
        test: usize,
    },
    /// Something about the data that the user should know.
    DataWarning { warning: String },
    /// The candidates and their largest memory peak.
    SearchPlanned {
        candidates: usize,
        epochs_budget: u32,
        window: u32,
        largest_peak: Bytes,
    },
    /// An agent claimed a piece of work.
    WorkClaimed {
        agent: AgentId,
        work: Work,
        architecture: String,
        from_epoch: u32,
        to_epoch: u32,
    },
    /// A piece of work was found done in the run folder.
    WorkRecovered { agent: AgentId, work: Work },
    /// An agent asked for memory and compute.
    LeaseRequested {
        agent: AgentId,
        work: Work,
        bytes: Bytes,
        share: Permille,
    },
    /// The ledger put the request in line.
    LeaseQueued {
        agent: AgentId,
        work: Work,
        ahead: u32,
        reason: String,
    },
    /// The ledger granted a lease.
    LeaseGranted {
        agent: AgentId,
        work: Work,
        lease: LeaseId,
        bytes: Bytes,
        token: FencingToken,
        /// Since it was asked for, in milliseconds, where the node that holds it said so; else the events' times tell.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        waited_ms: Option<u64>,
    },
    /// The ledger refused a request.
    LeaseRefused {
        agent: AgentId,
        work: Work,
        bytes: Bytes,
        reason: String,
    },
    /// The ledger ended a lease by itself. If its holder still works, its memory comes back at its next step boundary,
    /// which `LeaseEnded` tells.
    LeaseLapsed {
        agent: AgentId,
        lease: LeaseId,
        end: LeaseEnd,
    },
    /// The holder of a lease has given up its memory; `high_water` is what it really reserved at most.
    LeaseEnded {
        agent: AgentId,
        lease: LeaseId,
        end: LeaseEnd,
        bytes: Bytes,
        high_water: Bytes,
    },
    /// A task stopped at a step boundary, with its state saved, and will go on later.
    WorkYielded {
        agent: AgentId,
        work: Work,
        epoch: u32,
        step: u64,
        reason: String,
    },
    /// An epoch ended.
    EpochEnded {
        agent: AgentId,
        work: Work,
        metrics: EpochMetrics,
    },
    /// A piece of work is done.
    WorkDone {
        agent: AgentId,
        work: Work,
        score: Option<f64>,
        parameters: u64,
        plan_peak: Bytes,
        outcome: String,
        /// What it ran on since this process took it up; absent when the work was found done in the run folder.
        ran_on: Option<RanOn>,
    },
    /// Memory in use, sampled when it changed.
    Memory { sample: MemorySample },
    /// The network that the search chose.
    Chosen {
        trial: TrialId,
        architecture: String,
        score: f64,
    },
    /// The one evaluation on the test rows.
    Tested {
        accuracy: Option<f64>,
        rmse: Option<f64>,
        rows: usize,
    },
    /// A device failed and the run goes on on another.
    DeviceFailed { error: String, fallback: String },
    /// A device that had failed passed its probe, and the run goes on on it.
    DeviceReturned { device: String, reason: String },
    /// A node is ready to work for the run.
    NodeJoined {
        node: String,
        device: String,
        capacity: Bytes,
        slots: u32,
    },
    /// A node has no room for the run now; it is asked again.
    NodeFull { node: String, reason: String },
    /// A node works no more for the run; what it had is given to others.
    NodeLost { node: String, reason: String },
    /// An order that a node had taken is given to another.
    OrderLost {
        agent: AgentId,
        work: Work,
        node: String,
        reason: String,
    },
    /// A node says that a training diverged; the run does it again by itself before it believes that.
    DivergenceDoubted {
        agent: AgentId,
        work: Work,
        node: String,
    },
    /// What the node of the run's owner knows of such data: recipes that the search tries.
    Suggested {
        node: String,
        topic: String,
        authors: usize,
        recipes: Vec<SuggestedRecipe>,
    },
    /// How useful the recipes of one author were, −1000 to 1000, and whether that changed the trust in it.
    SuggestionsMeasured {
        author: String,
        version: u64,
        thousandths: i16,
        counted: bool,
    },
    /// The node of the run's owner tells others what the search found.
    RecipesTold {
        node: String,
        topic: String,
        version: u64,
        recipes: usize,
    },
    /// Something is not shared with the node of the run's owner.
    NotShared { reason: String },
    /// The user asked to stop.
    StopRequested { reason: String },
    /// The run ended.
    RunEnded { outcome: String, wall_seconds: f64 },
}

/// One event with its time.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Event {
    /// Milliseconds since this process began the run.
    pub at_ms: u64,
    /// The time of day, ISO 8601 UTC.
    pub time: String,
    /// One line for people.
    pub message: String,
    /// What happened.
    #[serde(flatten)]
    pub kind: EventKind,
}

impl EventKind {
    /// Whether the event is a measurement that belongs to `metrics.jsonl` rather than `events.jsonl`.
    #[must_use]
    pub const fn is_metric(&self) -> bool {
        matches!(self, Self::EpochEnded { .. } | Self::Memory { .. })
    }
}

/// The one line for people.
impl fmt::Display for EventKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::RunStarted { .. }
            | Self::DeviceChosen { .. }
            | Self::DataRead { .. }
            | Self::DataWarning { .. }
            | Self::SearchPlanned { .. }
            | Self::Chosen { .. }
            | Self::Tested { .. }
            | Self::DeviceFailed { .. }
            | Self::DeviceReturned { .. }
            | Self::StopRequested { .. }
            | Self::RunEnded { .. } => fmt_run(self, f),
            Self::NodeJoined { .. }
            | Self::NodeFull { .. }
            | Self::NodeLost { .. }
            | Self::OrderLost { .. }
            | Self::DivergenceDoubted { .. } => fmt_node(self, f),
            Self::Suggested { .. }
            | Self::SuggestionsMeasured { .. }
            | Self::RecipesTold { .. }
            | Self::NotShared { .. } => shared::fmt(self, f),
            Self::LeaseRequested { .. }
            | Self::LeaseQueued { .. }
            | Self::LeaseGranted { .. }
            | Self::LeaseRefused { .. }
            | Self::LeaseLapsed { .. }
            | Self::LeaseEnded { .. }
            | Self::Memory { .. } => fmt_lease(self, f),
            Self::WorkClaimed { .. }
            | Self::WorkRecovered { .. }
            | Self::WorkYielded { .. }
            | Self::EpochEnded { .. }
            | Self::WorkDone { .. } => fmt_work(self, f),
        }
    }
}

fn fmt_node(kind: &EventKind, f: &mut fmt::Formatter<'_>) -> fmt::Result {
    match kind {
        EventKind::NodeJoined {
            node,
            device,
            capacity,
            slots,
        } => write!(
            f,
            "node {node:.8} joins with {device}, {capacity} to lease, {slots} at a time"
        ),
        EventKind::NodeFull { node, reason } => write!(f, "node {node:.8} is full: {reason}"),
        EventKind::NodeLost { node, reason } => write!(f, "node {node:.8} is lost: {reason}"),
        EventKind::DivergenceDoubted { work, node, .. } => write!(
            f,
            "node {node:.8} says that {work} diverged: it is done again here to see whether it does"
        ),
        EventKind::OrderLost {
            work, node, reason, ..
        } => write!(
            f,
            "{work} is taken from node {node:.8} and given to another: {reason}"
        ),
        _ => Ok(()),
    }
}

fn fmt_run(kind: &EventKind, f: &mut fmt::Formatter<'_>) -> fmt::Result {
    match kind {
        EventKind::RunStarted {
            seed,
            agents,
            resumed,
        } => {
            let verb = if *resumed { "resumed" } else { "started" };
            write!(f, "run {verb} with {agents} agents and seed {seed}")
        }
        EventKind::DeviceChosen {
            device,
            backend,
            reason,
            capacity,
        } => {
            write!(f, "device {device} ({backend}), {capacity} to share: {reason}")
        }
        EventKind::DataRead {
            source,
            rows,
            features,
            classes,
            train,
            validation,
            test,
        } => {
            write!(f, "{source}: {rows} rows of {features} features, ")?;
            match classes {
                0 => f.write_str("a value to predict")?,
                count => write!(f, "{count} classes")?,
            }
            write!(f, "; {train} to train, {validation} to validate, {test} to test")
        }
        EventKind::DataWarning { warning } => f.write_str(warning),
        EventKind::SearchPlanned {
            candidates,
            epochs_budget,
            window,
            largest_peak,
        } => write!(
            f,
            "search over {candidates} candidates in {epochs_budget} epochs, window {window}, largest plan {largest_peak}"
        ),
        EventKind::Chosen {
            trial,
            architecture,
            score,
        } => {
            write!(f, "chose {architecture} of {trial}, validation score {score:.4}")
        }
        EventKind::Tested { accuracy, rmse, rows } => match (accuracy, rmse) {
            (Some(accuracy), _) => write!(f, "test accuracy {accuracy:.4} on {rows} rows"),
            (None, Some(rmse)) => write!(f, "test RMSE {rmse:.6} on {rows} rows"),
            (None, None) => write!(f, "no test rows were held out"),
        },
        EventKind::DeviceFailed { error, fallback } => {
            write!(f, "the device failed ({error}); going on on {fallback}")
        }
        EventKind::DeviceReturned { device, reason } => write!(f, "back on {device}: {reason}"),
        EventKind::StopRequested { reason } => write!(f, "stopping: {reason}"),
        EventKind::RunEnded {
            outcome,
            wall_seconds,
        } => write!(f, "run {outcome} after {wall_seconds:.1} s"),
        _ => Ok(()),
    }
}

fn fmt_lease(kind: &EventKind, f: &mut fmt::Formatter<'_>) -> fmt::Result {
    match kind {
        EventKind::LeaseRequested {
            agent,
            work,
            bytes,
            share,
        } => {
            write!(f, "{agent} asks for {bytes} and {share} of the device for {work}")
        }
        EventKind::LeaseQueued {
            agent,
            work,
            ahead,
            reason,
        } => {
            write!(f, "{agent} waits for {work} behind {ahead} others: {reason}")
        }
        EventKind::LeaseGranted {
            agent,
            work,
            lease,
            bytes,
            token,
            ..
        } => {
            write!(f, "{agent} got {lease} over {bytes} for {work} ({token})")
        }
        EventKind::LeaseRefused {
            agent,
            work,
            bytes,
            reason,
        } => {
            write!(f, "{agent} was refused {bytes} for {work}: {reason}")
        }
        EventKind::LeaseLapsed { agent, lease, end } => {
            write!(f, "the ledger ended {lease} of {agent}: {end}")
        }
        EventKind::LeaseEnded {
            agent,
            lease,
            end,
            bytes,
            high_water,
        } => {
            write!(f, "{lease} of {agent} {end}: reserved {high_water} of {bytes}")
        }
        EventKind::Memory { sample } => {
            let in_use: Bytes = sample.in_use.iter().copied().sum();
            write!(f, "{in_use} in use, {} kept for reuse", sample.cached)
        }
        _ => Ok(()),
    }
}

fn fmt_work(kind: &EventKind, f: &mut fmt::Formatter<'_>) -> fmt::Result {
    match kind {
        EventKind::WorkClaimed {
            agent,
            work,
            architecture,
            from_epoch,
            to_epoch,
        } => {
            write!(
                f,
                "{agent} takes {work}: {architecture}, epochs {from_epoch} to {to_epoch}"
            )
        }
        EventKind::WorkRecovered { agent, work } => write!(f, "{agent} found {work} done in the run folder"),
        EventKind::WorkYielded {
            agent,
            work,
            epoch,
            step,
            reason,
        } => {
            write!(
                f,
                "{agent} pauses {work} in epoch {epoch} at step {step}: {reason}"
            )
        }
        EventKind::EpochEnded { agent, work, metrics } => {
            write!(
                f,
                "{agent} {work} epoch {}: loss {:.4}",
                metrics.epoch, metrics.train_loss
            )?;
            if let Some(accuracy) = metrics.validation_accuracy {
                write!(f, ", validation accuracy {accuracy:.4}")?;
            }
            if let Some(rmse) = metrics.validation_rmse {
                write!(f, ", validation RMSE {rmse:.6}")?;
            }
            Ok(())
        }
        EventKind::WorkDone {
            agent,
            work,
            score,
            parameters,
            plan_peak,
            outcome,
            ..
        } => {
            write!(
                f,
                "{agent} finished {work} ({outcome}, {parameters} parameters, {plan_peak})"
            )?;
            score.map_or(Ok(()), |score| write!(f, ": score {score:.4}"))
        }
        _ => Ok(()),
    }
}

/// Sees events as they happen. Called from several threads; must return quickly.
pub trait Observer: fmt::Debug + Send + Sync {
    /// One event.
    fn observe(&self, event: &Event);
}

/// Sees nothing.
#[derive(Debug, Clone, Copy, Default)]
pub struct Silent;

impl Observer for Silent {
    fn observe(&self, _: &Event) {}
}
