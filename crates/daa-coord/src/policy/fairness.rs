//! What is fair about grants without quotas, counted over all cases of a seeded sample: each agent is an owner of its own
//! and asks for several slices of one size, on one device. `docs/NEGOTIATION.md` quotes the counts.

use super::*;
use daa_base::{AgentId, Rng, Seed};

const CASES: u64 = 20_000;

/// In so many of them every lie of every agent is tried.
const EXHAUSTED: u64 = 400;

type Pair = (u64, u64);

/// What one agent wants.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Demand {
    slice: Pair,
    count: u64,
    weight: u16,
}

#[derive(Debug, Clone)]
struct Case {
    capacity: Pair,
    demands: Vec<Demand>,
}

fn runs(have: Pair, slice: Pair) -> u64 {
    let by = |have: u64, need: u64| have.checked_div(need).unwrap_or(u64::MAX);
    by(have.0, slice.0).min(by(have.1, slice.1))
}

/// 2 to 4 agents on a device of 4 to 12 bytes and 1000 thousandths; slices of 1 to 4 bytes and 0 to 500 thousandths.
fn case(rng: &mut Rng, weights: usize) -> Case {
    let agents = 2 + rng.below(3);
    Case {
        capacity: (4 + rng.below(9) as u64, 1000),
        demands: (0..agents).map(|_| demand(rng, weights)).collect(),
    }
}

fn demand(rng: &mut Rng, weights: usize) -> Demand {
    Demand {
        slice: (1 + rng.below(4) as u64, 100 * rng.below(6) as u64),
        count: 1 + rng.below(6) as u64,
        weight: 1 + rng.below(weights) as u16,
    }
}

/// How many slices each agent gets.
fn allocate(case: &Case) -> Vec<u64> {
    let mut snapshot = Snapshot::default();
    let device = Device {
        capacity: Bytes(case.capacity.0),
        share: Permille::new(case.capacity.1 as u16).expect("in range"),
    };
    snapshot.devices.insert(DeviceId(0), device);
    for (at, demand) in case.demands.iter().enumerate() {
        let owner = OwnerId(at as u32);
        let quota = Quota {
            weight: NonZeroU16::new(demand.weight).expect("positive"),
            ..Quota::OPEN
        };
        snapshot.owners.insert(owner, quota);
        for seq in 0..demand.count {
            let wanted = Waiting {
                owner,
                device: None,
                bytes: Bytes(demand.slice.0),
                share: Permille::new(demand.slice.1 as u16).expect("in range"),
                priority: 0,
                arrival: 0,
                overdue: false,
            };
            let agent = AgentId(at as u32);
            snapshot.requests.insert(RequestId { agent, seq }, wanted);
        }
    }
    let mut counts = vec![0; case.demands.len()];
    for grant in plan(&snapshot, &Rules::default()).grants {
        counts[grant.request.agent.get() as usize] += 1;
    }
    counts
}

fn total(case: &Case, counts: &[u64]) -> Pair {
    let pairs = case.demands.iter().zip(counts);
    pairs.fold((0, 0), |sum, (demand, count)| {
        (sum.0 + demand.slice.0 * count, sum.1 + demand.slice.1 * count)
    })
}

fn feasible(case: &Case, counts: &[u64]) -> bool {
    let total = total(case, counts);
    total.0 <= case.capacity.0 && total.1 <= case.capacity.1
}

/// Whether some allocation gives nobody less and somebody more: all of them are tried.
fn dominated(case: &Case, counts: &[u64]) -> bool {
    let mut other = vec![0; counts.len()];
    loop {
        let better = other.iter().zip(counts).all(|(a, b)| a >= b) && other != counts;
        if better && feasible(case, &other) {
            return true;
        }
        let Some(at) = (0..other.len()).find(|&at| other[at] < case.demands[at].count) else {
            return false;
        };
        other[..at].fill(0);
        other[at] += 1;
    }
}

/// What the agent could run with its part, by weight, of everything.
fn entitled(case: &Case, at: usize) -> u64 {
    let demand = case.demands[at];
    let all: u64 = case.demands.iter().map(|demand| u64::from(demand.weight)).sum();
    let own = u64::from(demand.weight);
    // A part of k/n holds a slice m times if m·n·slice ≤ k·capacity.
    let scaled = (case.capacity.0 * own, case.capacity.1 * own);
    runs(scaled, (demand.slice.0 * all, demand.slice.1 * all)).min(demand.count)
}

/// Slices of its own that agent `at` could run with what `other` has, beyond what it has itself.
fn envy(case: &Case, counts: &[u64], at: usize, other: usize) -> u64 {
    let (own, theirs) = (case.demands[at], case.demands[other]);
    let bundle = (theirs.slice.0 * counts[other], theirs.slice.1 * counts[other]);
    runs(bundle, own.slice).min(own.count).saturating_sub(counts[at])
}

fn pairs(agents: usize) -> impl Iterator<Item = (usize, usize)> {
    (0..agents)
        .flat_map(move |at| (0..agents).map(move |other| (at, other)))
        .filter(|(at, other)| at != other)
}

#[test]
#[expect(clippy::print_stdout, reason = "the documentation quotes these counts")]
fn sharing_pays_envy_ends_at_one_own_slice_and_nothing_better_for_all_exists() {
    let mut rng = Seed(1).stream("policy fairness").rng();
    let (mut exact_envy, mut contended) = (0, 0);
    for number in 0..CASES {
        let case = case(&mut rng, 1);
        let counts = allocate(&case);
        assert!(feasible(&case, &counts), "case {number}: {case:?}");
        assert!(!dominated(&case, &counts), "case {number}: {case:?} {counts:?}");
        for at in 0..counts.len() {
            assert!(
                counts[at] >= entitled(&case, at),
                "case {number}: {case:?} {counts:?}"
            );
        }
        let worst = pairs(counts.len())
            .map(|(at, other)| envy(&case, &counts, at, other))
            .max();
        assert!(worst <= Some(1), "case {number}: {case:?} {counts:?}");
        exact_envy += u64::from(worst == Some(1));
        let wanted: Vec<u64> = case.demands.iter().map(|demand| demand.count).collect();
        contended += u64::from(counts != wanted);
    }
    println!("{CASES} cases, {contended} with somebody waiting; in {exact_envy} somebody envies one slice");
    assert_eq!((contended, exact_envy), (19_336, 5143));
}

#[test]
fn weighted_parts_are_reached_as_well() {
    let mut rng = Seed(2).stream("policy fairness").rng();
    for number in 0..CASES {
        let case = case(&mut rng, 4);
        let counts = allocate(&case);
        for at in 0..counts.len() {
            assert!(
                counts[at] >= entitled(&case, at),
                "case {number}: {case:?} {counts:?}"
            );
        }
    }
}

/// Of `CASES`, in how many one random agent with one random lie gains; of `EXHAUSTED`, in how many some agent gains by
/// some lie. A lie is another slice size or count. What counts is how many slices of the true size run.
fn lies(same_slices: bool, mergeable: bool) -> (u64, u64) {
    let mut rng = Seed(3).stream("policy lies").rng();
    let (mut random, mut any) = (0, 0);
    for number in 0..CASES {
        let mut case = case(&mut rng, 1);
        if same_slices {
            let slice = case.demands[0].slice;
            case.demands.iter_mut().for_each(|demand| demand.slice = slice);
        }
        let honest = allocate(&case);
        let (liar, told) = (rng.below(honest.len()), demand(&mut rng, 1));
        let gain = |liar: usize, slice: Pair, count: u64| {
            let truth = case.demands[liar];
            let mut lied = case.clone();
            lied.demands[liar] = Demand {
                slice,
                count,
                ..truth
            };
            let got = allocate(&lied)[liar];
            let each = if mergeable {
                runs((slice.0 * got, slice.1 * got), truth.slice)
            } else {
                got * runs(slice, truth.slice)
            };
            each.min(truth.count) > honest[liar]
        };
        let slice = if same_slices {
            case.demands[0].slice
        } else {
            told.slice
        };
        random += u64::from(gain(liar, slice, told.count));
        if number >= EXHAUSTED {
            continue;
        }
        any += u64::from((0..honest.len()).any(|liar| {
            let sizes = (1..=4).flat_map(|bytes| (0..=5).map(move |share| (bytes, share * 100)));
            sizes
                .filter(|&size| !same_slices || size == case.demands[0].slice)
                .any(|slice| (1..=6).any(|count| gain(liar, slice, count)))
        }));
    }
    (random, any)
}

#[test]
#[expect(clippy::print_stdout, reason = "the documentation quotes these counts")]
fn lying_about_whole_leases_and_its_rate() {
    let kinds = [
        ("mixed slices, each of use only by itself", false, false),
        ("mixed slices, as if they could be put together", false, true),
        ("identical slices", true, false),
    ];
    let found = kinds.map(|(name, same, mergeable)| {
        let (random, any) = lies(same, mergeable);
        println!("{name}: a random lie gains in {random} of {CASES}, some lie in {any} of {EXHAUSTED}");
        (random, any)
    });
    assert_eq!(found, [(74, 38), (240, 106), (0, 0)]);
}
