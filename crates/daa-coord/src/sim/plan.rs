//! What goes wrong in a run: drawn whole from the seed before anything happens, so that it can be printed.

use super::draw::Draw;
use super::keys::{MAX_NODES, Signatures};
use super::network::{Cut, CutKind, Link};
use super::queue::Micros;
use daa_base::{Rng, Seed};
use std::fmt;

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
}

impl Mode {
    /// Its name on the command line.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Mixed => "mixed",
            Self::Twins => "twins",
            Self::Calm => "calm",
            Self::CrashPoints => "crash-points",
        }
    }

    const fn is_calm(self) -> bool {
        matches!(self, Self::Calm | Self::CrashPoints)
    }

    /// The mode of this name.
    #[must_use]
    pub fn named(name: &str) -> Option<Self> {
        [Self::Mixed, Self::Twins, Self::Calm, Self::CrashPoints]
            .into_iter()
            .find(|mode| mode.name() == name)
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
}

impl Lie {
    pub(super) const ALL: [Self; 10] = [
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
    /// Validators that the operator lets leave and come back, one at a time: only where those that are left bear the liars.
    pub(super) movable: Vec<usize>,
    /// Mean time between two wishes of an agent.
    pub(super) pace: Micros,
}

impl Plan {
    /// The plan of `seed` under these options, which must be valid.
    pub(super) fn draw(options: Options, seed: Seed) -> Self {
        let stream = seed.stream("simulation plan");
        let rng = &mut stream.child(0).rng();
        let nodes = draw_nodes(options, &mut stream.child(1).rng());
        let calm = options.mode.is_calm();
        let heals = if calm { 0 } else { rng.within(600..=2_500) * MS };
        let real = options.real_every > 0 && seed.0.is_multiple_of(options.real_every);
        let agents = rng.within(2..=4) as usize;
        let pace = rng.within(40..=160) * MS;
        let links = draw_links(nodes.len(), calm, &mut stream.child(2).rng());
        let faulty = !calm;
        let movable = draw_movable(&nodes, options, rng);
        Self {
            options,
            seed,
            signatures: if real { Signatures::Real } else { Signatures::Model },
            heals,
            links,
            cuts: if faulty {
                draw_cuts(options, nodes.len(), heals, &mut stream.child(3).rng())
            } else {
                Vec::new()
            },
            crashes: if faulty {
                draw_crashes(&nodes, heals, &mut stream.child(4).rng())
            } else if options.mode == Mode::CrashPoints {
                vec![crash_point(options, seed)]
            } else {
                Vec::new()
            },
            nodes,
            agents,
            movable,
            pace,
        }
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

fn draw_nodes(options: Options, rng: &mut Rng) -> Vec<NodePlan> {
    let bearable = options.bearable();
    let twins = options.mode == Mode::Twins;
    let calm = options.mode.is_calm();
    let liars = match options.liars {
        Some(liars) => liars,
        None if calm => 0,
        // Mostly as many as can be borne: that is where agreement is tight.
        None if rng.chance(800) => bearable,
        None => rng.within(0..=bearable as u64) as usize,
    };
    let mut order: Vec<usize> = (0..options.nodes).collect();
    rng.shuffle(&mut order);
    let chosen = &order[..liars.min(options.nodes)];
    let fellows = rng.chance(350).then(|| draw_lies(rng));
    let mut nodes = Vec::with_capacity(options.nodes + liars);
    for validator in 0..options.nodes {
        let lying = chosen.contains(&validator);
        let lies = match &fellows {
            _ if !lying || twins => Vec::new(),
            Some(lies) => lies.clone(),
            None => draw_lies(rng),
        };
        nodes.push(NodePlan {
            validator,
            lies,
            twin: twins && lying,
            clock: draw_clock(calm, rng),
            disk: draw_disk(calm, rng),
        });
    }
    if twins {
        let second: Vec<_> = nodes.iter().filter(|node| node.twin).cloned().collect();
        nodes.extend(second);
    }
    strand_clocks(&mut nodes, calm, rng);
    nodes
}

fn draw_lies(rng: &mut Rng) -> Vec<Lie> {
    if rng.chance(60) {
        return vec![Lie::Silent];
    }
    if rng.chance(250) {
        return vec![Lie::Split];
    }
    let mut lies: Vec<Lie> = Lie::ALL[..9].to_vec();
    rng.shuffle(&mut lies);
    lies.truncate(rng.within(1..=4) as usize);
    lies.sort_unstable();
    lies
}

fn draw_clock(calm: bool, rng: &mut Rng) -> ClockModel {
    if calm {
        return ClockModel {
            skew_ms: 0,
            rate_ppm: 0,
        };
    }
    ClockModel {
        skew_ms: rng.within(0..=DRIFT_MS) as i64 - DRIFT_MS as i64 / 2,
        rate_ppm: rng.within(0..=40_000) as i64 - 20_000,
    }
}

/// A correct validator's clock may be wildly off as long as, with the liars, it is one of at most f.
fn strand_clocks(nodes: &mut [NodePlan], calm: bool, rng: &mut Rng) {
    let bearable = nodes.len().saturating_sub(1) / 3;
    let liars = nodes.iter().filter(|node| !node.is_correct()).count();
    if calm || liars >= bearable || !rng.chance(300) {
        return;
    }
    if let Some(node) = nodes.iter_mut().find(|node| node.is_correct()) {
        let far = rng.within(2..=3_600) as i64 * 1_000;
        node.clock.skew_ms = if rng.chance(500) { far } else { -far };
    }
}

fn draw_disk(calm: bool, rng: &mut Rng) -> DiskModel {
    let flush = match rng.below(10) {
        _ if calm => 0,
        0..5 => 0,
        5..9 => rng.within(100..=4_000),
        _ => rng.within(5_000..=40_000),
    };
    DiskModel { flush }
}

fn draw_movable(nodes: &[NodePlan], options: Options, rng: &mut Rng) -> Vec<usize> {
    let useless = |node: &&NodePlan| !node.is_correct() || node.clock.skew_ms.unsigned_abs() > DRIFT_MS;
    let left = options.nodes.saturating_sub(1);
    let bears = nodes.iter().filter(useless).count() <= left.saturating_sub(1) / 3;
    if options.mode != Mode::Mixed || left < 3 || !bears || !rng.chance(500) {
        return Vec::new();
    }
    let correct = nodes.iter().filter(|node| !useless(node));
    correct.map(|node| node.validator).collect()
}

fn draw_links(nodes: usize, calm: bool, rng: &mut Rng) -> Vec<Link> {
    let wild = if calm { 0 } else { rng.below(4) as u32 };
    let base = rng.within(500..=8_000);
    let mut links = Vec::with_capacity(nodes * nodes);
    for _ in 0..nodes * nodes {
        let upto = |rng: &mut Rng, most: u32| rng.below(1 + (most * wild) as usize) as u32;
        links.push(Link {
            base: base + rng.within(0..=base),
            spread: rng.within(0..=2 * base),
            late: upto(rng, 15),
            lost: upto(rng, 50),
            twice: upto(rng, 40),
        });
    }
    links
}

fn draw_cuts(options: Options, nodes: usize, heals: Micros, rng: &mut Rng) -> Vec<Cut> {
    let often = options.mode == Mode::Twins;
    let count = if often {
        rng.within(2..=8)
    } else {
        rng.within(0..=4)
    };
    let mut cuts = Vec::new();
    for _ in 0..count {
        let from = rng.within(0..=heals);
        let lasts = rng.within(50..=900) * MS;
        cuts.push(Cut {
            from,
            until: from + lasts,
            side: rng.within(1..=(1_u64 << nodes) - 1),
            kind: if rng.chance(650) {
                CutKind::Both
            } else {
                CutKind::OneWay
            },
        });
    }
    cuts
}

fn draw_crashes(nodes: &[NodePlan], heals: Micros, rng: &mut Rng) -> Vec<Crash> {
    let mut crashes = Vec::new();
    for (node, plan) in nodes.iter().enumerate() {
        if !plan.lies.is_empty() {
            continue;
        }
        let count = if rng.chance(500) { rng.within(1..=3) } else { 0 };
        for _ in 0..count {
            crashes.push(Crash {
                node,
                at: rng.within(0..=heals),
                effects: rng.within(0..=24),
                away: rng.within(1..=500) * MS,
            });
        }
    }
    crashes.sort_by_key(|crash| crash.at);
    crashes
}

fn crash_point(options: Options, seed: Seed) -> Crash {
    let nodes = options.nodes as u64;
    Crash {
        node: (seed.0 % nodes) as usize,
        at: 20 * MS,
        effects: seed.0 / nodes,
        away: (seed.0 % 7) * 60 * MS,
    }
}

impl fmt::Display for Plan {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let options = &self.options;
        let (seed, nodes, mode) = (self.seed.0, options.nodes, options.mode.name());
        let signatures = match self.signatures {
            Signatures::Model => "model signatures",
            Signatures::Real => "Ed25519 signatures",
        };
        writeln!(f, "seed {seed}: {nodes} validators, {mode}, {signatures}")?;
        writeln!(f, "the network heals at {} ms", self.heals / MS)?;
        for (at, node) in self.nodes.iter().enumerate() {
            let lies: Vec<_> = node.lies.iter().map(|lie| lie.name()).collect();
            let role = if node.twin {
                format!("twin with the key of validator {}", node.validator)
            } else if lies.is_empty() {
                "correct".to_owned()
            } else {
                format!("liar: {}", lies.join(", "))
            };
            let ClockModel { skew_ms, rate_ppm } = node.clock;
            writeln!(
                f,
                "node {at}: {role}; clock {skew_ms:+} ms {rate_ppm:+} ppm; flush up to {} us",
                node.disk.flush
            )?;
        }
        for cut in &self.cuts {
            let (from, until) = (cut.from / MS, cut.until / MS);
            writeln!(
                f,
                "cut {:?} of {:#b} from {from} to {until} ms",
                cut.kind, cut.side
            )?;
        }
        for crash in &self.crashes {
            let Crash {
                node, at, effects, ..
            } = crash;
            let (at, away) = (at / MS, crash.away / MS);
            writeln!(
                f,
                "node {node} crashes {effects} effects after {at} ms, for {away} ms"
            )?;
        }
        Ok(())
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
                assert!(nodes - plan.correct().count() <= options.bearable());
                assert_eq!(plan.signatures == Signatures::Real, seed % 64 == 0);
                lies.extend(plan.nodes.iter().flat_map(|node| node.lies.clone()));
            }
            assert_eq!(lies.len(), Lie::ALL.len(), "every lie is told");
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
