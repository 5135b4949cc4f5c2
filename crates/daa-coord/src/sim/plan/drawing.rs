//! Draws of a plan.

use super::super::draw::Draw;
use super::super::keys::Signatures;
use super::super::movers::Movable;
use super::super::network::{Cut, CutKind, Link};
use super::{
    ClockModel, Crash, DRIFT_MS, DiskModel, Lie, MS, Micros, Mode, NodePlan, Options, Place, Plan, WalPoint,
};
use daa_base::{Rng, Seed};

/// The plan of `seed` in any mode but that of log points.
pub(super) fn plan(options: Options, seed: Seed) -> Plan {
    let stream = seed.stream("simulation plan");
    let rng = &mut stream.child(0).rng();
    let nodes = draw_nodes(options, &mut stream.child(1).rng());
    let calm = options.mode.is_calm();
    let heals = if calm { 0 } else { rng.within(600..=2_500) * MS };
    let agents = rng.within(2..=4) as usize;
    let pace = rng.within(40..=160) * MS;
    let links = draw_links(nodes.len(), calm, &mut stream.child(2).rng());
    let movable = draw_movable(&nodes, options, rng);
    let mixed = options.mode == Mode::Mixed;
    let (negotiates, gossips) = (mixed && rng.chance(500), mixed && rng.chance(500));
    let crashes = match options.mode {
        Mode::Mixed | Mode::Twins => draw_crashes(&nodes, heals, &mut stream.child(4).rng()),
        Mode::CrashPoints => vec![crash_point(options, seed)],
        Mode::Calm | Mode::WalPoints => Vec::new(),
    };
    Plan {
        options,
        named: seed,
        seed,
        signatures: signatures(options, seed),
        heals,
        links,
        cuts: if calm {
            Vec::new()
        } else {
            draw_cuts(options, nodes.len(), heals, &mut stream.child(3).rng())
        },
        crashes,
        nodes,
        agents,
        movable,
        negotiates,
        gossips,
        wal_point: None,
        pace,
    }
}

/// How the run of this seed signs.
pub(super) const fn signatures(options: Options, seed: Seed) -> Signatures {
    if options.real_every > 0 && seed.0.is_multiple_of(options.real_every) {
        Signatures::Real
    } else {
        Signatures::Model
    }
}

/// Weights: mostly equal ones.
fn draw_powers(options: Options, rng: &mut Rng) -> Vec<u64> {
    let uneven = matches!(options.mode, Mode::Mixed | Mode::Twins) && rng.chance(250);
    let mut one = || if uneven { rng.within(1..=6) } else { 1 };
    (0..options.nodes).map(|_| one()).collect()
}

/// Who lies, or is a twin: drawn, together less than a third of the weight, unless a number is asked for.
fn choose_liars(options: Options, powers: &[u64], rng: &mut Rng) -> Vec<usize> {
    let bearable = options.bearable();
    let least = u64::from(options.mode == Mode::Twins).min(bearable as u64);
    let wanted = match options.liars {
        Some(liars) => liars,
        None if options.mode.is_calm() => 0,
        // Mostly as many as can be borne: that is where agreement is tight. Light ones may be more than f.
        None if rng.chance(800) => options.nodes,
        None => rng.within(least..=bearable as u64) as usize,
    };
    let mut order: Vec<usize> = (0..options.nodes).collect();
    rng.shuffle(&mut order);
    if options.liars.is_some() {
        order.truncate(wanted);
        return order;
    }
    let total: u64 = powers.iter().sum();
    let (mut chosen, mut weight) = (Vec::new(), 0);
    for validator in order {
        if chosen.len() < wanted && 3 * (weight + powers[validator]) < total {
            weight += powers[validator];
            chosen.push(validator);
        }
    }
    chosen
}

fn draw_nodes(options: Options, rng: &mut Rng) -> Vec<NodePlan> {
    let twins = options.mode == Mode::Twins;
    let calm = options.mode.is_calm();
    let powers = draw_powers(options, rng);
    let chosen = choose_liars(options, &powers, rng);
    let fellows = rng.chance(350).then(|| draw_lies(rng));
    let mut nodes = Vec::with_capacity(options.nodes + chosen.len());
    for (validator, &power) in powers.iter().enumerate() {
        let lying = chosen.contains(&validator);
        let mut lies = match &fellows {
            _ if !lying || twins => Vec::new(),
            Some(lies) => lies.clone(),
            None => draw_lies(rng),
        };
        if !lies.is_empty() {
            let more = [Lie::Haggle, Lie::Poison];
            lies.extend(more.into_iter().filter(|_| rng.chance(400)));
        }
        nodes.push(NodePlan {
            validator,
            lies,
            power,
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
    let mut lies: Vec<Lie> = Lie::VOTING[..9].to_vec();
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

/// A correct validator's clock may be wildly off as long as, with the liars, it weighs less than a third.
fn strand_clocks(nodes: &mut [NodePlan], calm: bool, rng: &mut Rng) {
    let total: u64 = nodes.iter().map(|node| node.power).sum();
    let liars: u64 = weight(nodes, |node| !node.is_correct());
    if calm || !rng.chance(300) {
        return;
    }
    if let Some(node) = nodes
        .iter_mut()
        .find(|node| node.is_correct() && 3 * (liars + node.power) < total)
    {
        let far = rng.within(2..=3_600) as i64 * 1_000;
        node.clock.skew_ms = if rng.chance(500) { far } else { -far };
    }
}

fn weight(nodes: &[NodePlan], which: impl Fn(&NodePlan) -> bool) -> u64 {
    let chosen = nodes.iter().filter(|node| which(node));
    chosen.map(|node| node.power).sum()
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

/// Who may leave and come back: without it the rest must bear the liars, and the ledger must allow both.
fn draw_movable(nodes: &[NodePlan], options: Options, rng: &mut Rng) -> Vec<Movable> {
    let useless = |node: &NodePlan| !node.is_correct() || node.clock.skew_ms.unsigned_abs() > DRIFT_MS;
    if options.mode != Mode::Mixed || options.nodes < 4 || options.liars.is_some() || !rng.chance(500) {
        return Vec::new();
    }
    let total = weight(nodes, |_| true);
    let bad = weight(nodes, useless);
    let fits = |node: &&NodePlan| {
        !useless(node) && 3 * node.power < total && 3 * bad < total.saturating_sub(node.power)
    };
    let movable = nodes.iter().filter(fits).map(|node| Movable {
        validator: node.validator,
        power: node.power,
    });
    movable.collect()
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

/// The place that `point` names: validators in turn, then places, then records.
pub(super) fn wal_point(plan: &Plan, point: u64) -> WalPoint {
    let correct: Vec<usize> = plan.correct().collect();
    let (nodes, places) = (correct.len().max(1) as u64, Place::ALL.len() as u64);
    WalPoint {
        node: correct.get((point % nodes) as usize).copied().unwrap_or(0),
        place: Place::ALL[(point / nodes % places) as usize],
        record: point / nodes / places,
        away: (point % 7) * 60 * MS,
    }
}
