//! Whole clusters in virtual time, from one seed: the real consensus host, ledger and clients over a network, disks and
//! clocks that fail, among validators that lie. `docs/SIMULATION.md` says what is modelled and what is not.
//!
//! [`run`] plays one seed, [`sweep`] many, [`replay`] tells the story of one. Nothing but the seed decides what happens:
//! there is one queue of events in the order of virtual time, and every draw comes from a named stream of the seed.

mod audit;
mod books;
mod check;
mod clients;
mod cluster;
mod disk;
mod draw;
mod gossip;
mod haggle;
mod keys;
mod liar;
mod movers;
mod network;
mod plan;
mod queue;
mod report;
mod shown;
mod story;
mod sweep;
#[cfg(test)]
mod tests;
mod votes;
mod witness;

pub use keys::{MAX_NODES, ModelScheme, ModelSigner, Signatures};
pub use plan::{Mode, Options, OptionsError};
pub use report::{Finding, FindingKind, Report, RunStats, replay_command};
pub use sweep::{Sweep, sweep};

use cluster::Cluster;
use daa_base::Seed;
use plan::Plan;
use story::Story;

/// How one run went.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Outcome {
    /// What it did.
    pub stats: RunStats,
    /// What was found, if anything.
    pub finding: Option<Finding>,
}

/// One run with what there is to tell of it.
#[derive(Debug, Clone)]
pub struct Tale {
    /// What was drawn before it began.
    pub plan: String,
    /// What happened, in order.
    pub lines: Vec<String>,
    /// How it went.
    pub outcome: Outcome,
}

/// Plays `seed` under options that are valid ([`Options::validate`]).
#[must_use]
pub fn run(options: Options, seed: Seed) -> Outcome {
    play(Plan::draw(options, seed), Story::default()).0
}

/// Plays `seed` and tells what happened.
///
/// # Errors
/// [`OptionsError`].
pub fn replay(options: Options, seed: Seed) -> Result<Tale, OptionsError> {
    options.validate()?;
    let plan = Plan::draw(options, seed);
    let text = plan.to_string();
    let (outcome, lines) = play(plan, Story::told());
    Ok(Tale {
        plan: text,
        lines,
        outcome,
    })
}

fn play(plan: Plan, story: Story) -> (Outcome, Vec<String>) {
    let seed = plan.named.0;
    match Cluster::new(plan, story) {
        Ok(cluster) => {
            let (stats, finding, lines) = cluster.run();
            (Outcome { stats, finding }, lines)
        }
        Err(what) => {
            let finding = Some(Finding {
                seed,
                kind: FindingKind::Violation,
                what,
            });
            let stats = RunStats::default();
            (Outcome { stats, finding }, Vec::new())
        }
    }
}
