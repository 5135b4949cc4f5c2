//! What goes wrong in a run: drawn whole from the seed before anything happens, so that it can be printed.

mod drawing;
mod words;

use super::keys::{MAX_NODES, Signatures};
use super::movers::Movable;
use super::network::{Cut, Link};
use super::queue::Micros;
use daa_base::Seed;

const MS: Micros = 1_000;

/// Largest clock error that correct validators may have, in milliseconds, either way.
pub(super) const DRIFT_MS: u64 = 400;

/// Which faults a run has.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
#[non_exhaustive]
pub enum Mode {
    /// Everything, with up to f liars.
    #[default]
    Mixed,
    /// Two correct nodes share one validator's key; the network parts them.
    Twins,
    /// No fault at all: what the rest is compared with.
    Calm,
    /// Nothing but one crash, before the effect that the seed names: seed s crashes validator s mod n before its effect
    /// s / n, so that consecutive seeds visit every place between two effects of every validator.
    CrashPoints,
    /// One crash at one record of one validator's write-ahead log, before it, inside it or after it, as the seed says:
    /// consecutive seeds go through all places of all records of all validators. Every 20,000 seeds the rest of the run
    /// is another: calm first, then with the faults of a mixed one, but no other crash.
    WalPoints,
}

/// Seeds of [`Mode::WalPoints`] for one scenario.
pub(super) const POINTS: u64 = 20_000;

impl Mode {
    /// All of them.
    pub const ALL: [Self; 5] = [
        Self::Mixed,
        Self::Twins,
        Self::Calm,
        Self::CrashPoints,
        Self::WalPoints,
    ];

    /// Its name on the command line.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Mixed => "mixed",
            Self::Twins => "twins",
            Self::Calm => "calm",
            Self::CrashPoints => "crash-points",
            Self::WalPoints => "wal-points",
        }
    }

    const fn is_calm(self) -> bool {
        matches!(self, Self::Calm | Self::CrashPoints)
    }

    /// The mode of this name.
    #[must_use]
    pub fn named(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|mode| mode.name() == name)
    }
}

/// What is simulated.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Options {
    /// Validators, 1 to [`MAX_NODES`].
    pub nodes: usize,
    /// Which faults.
    pub mode: Mode,
    /// How many validators lie; `None`: up to f, drawn, where n = 3f + 1.
    pub liars: Option<usize>,
    /// Heights that every correct node must reach, at least 1.
    pub heights: u64,
    /// Every so many seeds one signs with Ed25519; 0: none, 1: all.
    pub real_every: u64,
}

impl Default for Options {
    fn default() -> Self {
        Self {
            nodes: 4,
            mode: Mode::Mixed,
            liars: None,
            heights: 20,
            real_every: 64,
        }
    }
}

/// Options that cannot be simulated.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("{field} is {value}, allowed are {min} to {max}")]
pub struct OptionsError {
    /// The field's name.
    pub field: &'static str,
    /// Its value.
    pub value: u64,
    /// Smallest allowed value.
    pub min: u64,
    /// Largest allowed value.
    pub max: u64,
}

impl Options {
    /// Whether every field is in its range.
    ///
    /// # Errors
    /// [`OptionsError`] for the first that is not.
    pub fn validate(&self) -> Result<(), OptionsError> {
        let nodes = self.nodes as u64;
        for (field, value, min, max) in [
            ("nodes", nodes, 1, MAX_NODES as u64 / 2),
            ("liars", self.liars.unwrap_or(0) as u64, 0, nodes - 1),
            ("heights", self.heights, 1, 10_000),
        ] {
            if !(min..=max).contains(&value) {
                return Err(OptionsError {
                    field,
                    value,
                    min,
                    max,
                });
            }
        }
        Ok(())
    }

    /// The largest number of liars against which agreement is promised.
    #[must_use]
    pub const fn bearable(&self) -> usize {
        (self.nodes.saturating_sub(1)) / 3
    }

    /// The words that ask for these options.
    pub(super) fn flags(&self) -> String {
        let mut flags = format!("--nodes {}", self.nodes);
        if self.mode != Mode::default() {
            flags += &format!(" --mode {}", self.mode.name());
        }
        if let Some(liars) = self.liars {
            flags += &format!(" --liars {liars}");
        }
        let usual = Self::default();
        if self.heights != usual.heights {
            flags += &format!(" --heights {}", self.heights);
        }
        if self.real_every != usual.real_every {
            flags += &format!(" --real-every {}", self.real_every);
        }
        flags
    }
}

/// One way of lying. A liar has several.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Lie {
    /// With its fellows: two blocks for one round, and votes for each to half of the others.
    Split,
    /// Another vote to half of the others.
    DoubleVote,
    /// Says some things to some only.
    Withhold,
    /// Bad signatures, and votes in the names of others.
    Forge,
    /// Old messages again, own and others'.
    Replay,
    /// Far more messages than anybody needs.
    Flood,
    /// Votes for whatever is proposed, sound or not.
    VoteInvalid,
    /// Proposes blocks that break a rule.
    ProposeInvalid,
    /// Wrong heights, and blocks with bad certificates for those that ask.
    FakeSync,
    /// Says nothing at all.
    Silent,
    /// Its agent lies in negotiation.
    Haggle,
    /// Poisons what the others know.
    Poison,
}

impl Lie {
    /// Those of validators as validators.
    pub(super) const VOTING: [Self; 10] = [
        Self::Split,
        Self::DoubleVote,
        Self::Withhold,
        Self::Forge,
        Self::Replay,
        Self::Flood,
        Self::VoteInvalid,
        Self::ProposeInvalid,
        Self::FakeSync,
        Self::Silent,
    ];

    pub(super) const fn name(self) -> &'static str {
        match self {
            Self::Split => "split",
            Self::DoubleVote => "double-vote",
            Self::Withhold => "withhold",
            Self::Forge => "forge",
            Self::Replay => "replay",
            Self::Flood => "flood",
            Self::VoteInvalid => "vote-invalid",
            Self::ProposeInvalid => "propose-invalid",
            Self::FakeSync => "fake-sync",
            Self::Silent => "silent",
            Self::Haggle => "lie in negotiation",
            Self::Poison => "poison knowledge",
        }
    }
}

/// A correct node that stops between two of its effects and starts again from its disk.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Crash {
    pub(super) node: usize,
    /// From then on effects are counted.
    pub(super) at: Micros,
    /// It stops before the effect with this number.
    pub(super) effects: u64,
    /// It is away for so long.
    pub(super) away: Micros,
}

/// A crash at a record of a node's write-ahead log.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct WalPoint {
    pub(super) node: usize,
    /// Which record it writes, counted from 0 over the whole run.
    pub(super) record: u64,
    pub(super) place: Place,
    /// It is away for so long.
    pub(super) away: Micros,
}

/// Where at a record. What was written before it and was not durable survives; the record itself is not durable.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Place {
    /// Before anything of it is written.
    Before,
    /// With a part of its length.
    InLength,
    /// With a part of its checksum.
    InChecksum,
    /// With a part of its body.
    InBody,
    /// With all but its last byte.
    AlmostWhole,
    /// With all of it, and one bit turned.
    Damaged,
    /// With all of it.
    Whole,
}

impl Place {
    pub(super) const ALL: [Self; 7] = [
        Self::Before,
        Self::InLength,
        Self::InChecksum,
        Self::InBody,
        Self::AlmostWhole,
        Self::Damaged,
        Self::Whole,
    ];

    pub(super) const fn name(self) -> &'static str {
        match self {
            Self::Before => "crash before a log record",
            Self::InLength => "crash in a log record's length",
            Self::InChecksum => "crash in a log record's checksum",
            Self::InBody => "crash in a log record's body",
            Self::AlmostWhole => "crash before a log record's last byte",
            Self::Damaged => "crash with a log record's bit turned",
            Self::Whole => "crash after a log record",
        }
    }
}

/// A node's clocks.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct ClockModel {
    /// Added to the true time of day, in milliseconds.
    pub(super) skew_ms: i64,
    /// Millionths that it runs fast (or slow).
    pub(super) rate_ppm: i64,
}

/// A node's disk.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct DiskModel {
    /// Time that making records durable takes: 0 to this.
    pub(super) flush: Micros,
}

/// One node of the run.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct NodePlan {
    /// The validator whose key it holds.
    pub(super) validator: usize,
    /// How it lies; empty for a correct node.
    pub(super) lies: Vec<Lie>,
    /// Its weight.
    pub(super) power: u64,
    /// Whether it shares its key with another node.
    pub(super) twin: bool,
    pub(super) clock: ClockModel,
    pub(super) disk: DiskModel,
}

impl NodePlan {
    pub(super) const fn is_correct(&self) -> bool {
        self.lies.is_empty() && !self.twin
    }
}

/// Everything that a run draws before it begins.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Plan {
    pub(super) options: Options,
    /// What the run is called.
    pub(super) named: Seed,
    /// What it draws from: the same, but for log points, which share scenarios.
    pub(super) seed: Seed,
    pub(super) signatures: Signatures,
    pub(super) nodes: Vec<NodePlan>,
    /// From then on the network is whole, nodes that are away come back and stay.
    pub(super) heals: Micros,
    pub(super) links: Vec<Link>,
    pub(super) cuts: Vec<Cut>,
    pub(super) crashes: Vec<Crash>,
    /// Agents that ask for leases, 2 to 4.
    pub(super) agents: usize,
    /// Validators that come, go and change their keys, one at a time: only where those that are left bear the liars.
    pub(super) movable: Vec<Movable>,
    /// Whether agents negotiate about what they hold.
    pub(super) negotiates: bool,
    /// Whether nodes share knowledge.
    pub(super) gossips: bool,
    pub(super) wal_point: Option<WalPoint>,
    /// Mean time between two wishes of an agent.
    pub(super) pace: Micros,
}

impl Plan {
    /// The plan of `seed` under these options, which must be valid.
    pub(super) fn draw(options: Options, seed: Seed) -> Self {
        if options.mode != Mode::WalPoints {
            return drawing::plan(options, seed);
        }
        let scenario = Seed(seed.0 / POINTS);
        let mode = if scenario.0 == 0 { Mode::Calm } else { Mode::Mixed };
        let mut plan = drawing::plan(Options { mode, ..options }, scenario);
        plan.crashes.clear();
        plan.wal_point = Some(drawing::wal_point(&plan, seed.0 % POINTS));
        plan.signatures = drawing::signatures(options, seed);
        (plan.options, plan.named) = (options, seed);
        plan
    }

    /// The agent that lies in negotiation, if any.
    pub(super) fn haggler(&self) -> Option<u32> {
        let lies = self.nodes.iter().any(|node| node.lies.contains(&Lie::Haggle));
        lies.then_some(self.agents as u32)
    }

    /// Whether crashes wait for their effect, however long that takes.
    pub(super) fn is_systematic(&self) -> bool {
        self.options.mode == Mode::CrashPoints
    }

    pub(super) fn correct(&self) -> impl Iterator<Item = usize> + '_ {
        self.nodes
            .iter()
            .enumerate()
            .filter(|(_, node)| node.is_correct())
            .map(|(at, _)| at)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_same_seed_draws_the_same_plan_and_no_more_liars_than_can_be_borne() {
        for nodes in [4, 7, 10] {
            let options = Options {
                nodes,
                ..Options::default()
            };
            let mut lies = std::collections::BTreeSet::new();
            for seed in 0..300 {
                let plan = Plan::draw(options, Seed(seed));
                assert_eq!(plan, Plan::draw(options, Seed(seed)));
                let weight = |correct: bool| {
                    let all = plan.nodes.iter().filter(|node| node.is_correct() == correct);
                    all.map(|node| node.power).sum::<u64>()
                };
                assert!(3 * weight(false) < weight(false) + weight(true));
                assert_eq!(plan.signatures == Signatures::Real, seed % 64 == 0);
                lies.extend(plan.nodes.iter().flat_map(|node| node.lies.clone()));
            }
            assert_eq!(lies.len(), Lie::VOTING.len() + 2, "every lie is told");
        }
    }

    #[test]
    fn twins_share_a_key_and_a_calm_run_has_no_fault() {
        let options = Options {
            mode: Mode::Twins,
            liars: Some(1),
            ..Options::default()
        };
        let plan = Plan::draw(options, Seed(3));
        let twins: Vec<_> = plan.nodes.iter().filter(|node| node.twin).collect();
        assert_eq!((plan.nodes.len(), twins.len()), (5, 2));
        assert_eq!(twins[0].validator, twins[1].validator);
        let calm = Options {
            mode: Mode::Calm,
            ..Options::default()
        };
        let plan = Plan::draw(calm, Seed(3));
        assert_eq!(
            (plan.correct().count(), plan.heals, plan.crashes.len()),
            (4, 0, 0)
        );
    }

    #[test]
    fn options_out_of_range_are_named() {
        let options = Options {
            nodes: 0,
            ..Options::default()
        };
        let error = options.validate().expect_err("nobody");
        assert_eq!(error.to_string(), "nodes is 0, allowed are 1 to 24");
    }
}
