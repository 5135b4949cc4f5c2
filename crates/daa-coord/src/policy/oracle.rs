//! The policy beside a model of it that computes everything anew at each step and tries all sets, on small random cases.

use super::*;
use daa_base::{AgentId, Rng, Seed};
use std::cmp::{Ordering, Reverse};

const CASES: u64 = 3000;

type Pair = (u128, u128);

const fn plus(a: Pair, b: Pair) -> Pair {
    (a.0 + b.0, a.1 + b.1)
}

const fn less(a: Pair, b: Pair) -> Pair {
    (a.0.saturating_sub(b.0), a.1.saturating_sub(b.1))
}

const fn within(a: Pair, b: Pair) -> bool {
    a.0 <= b.0 && a.1 <= b.1
}

fn pair(amount: Amount) -> Pair {
    (u128::from(amount.bytes.get()), u128::from(amount.share))
}

fn size(bytes: Bytes, share: Permille) -> Pair {
    pair(Amount::of(bytes, share))
}

fn pick<T: Copy>(rng: &mut Rng, from: &[T]) -> T {
    from[rng.below(from.len())]
}

fn quota(rng: &mut Rng) -> Quota {
    let amount = |rng: &mut Rng| Amount {
        bytes: Bytes(rng.below(5) as u64),
        share: rng.below(5) as u32 * 250,
    };
    let limit = |rng: &mut Rng| (rng.below(3) == 0).then(|| amount(rng));
    if rng.below(6) == 0 {
        return Quota::OPEN;
    }
    Quota {
        cohort: (rng.below(5) > 0).then(|| CohortId(rng.below(4) as u32 / 3)),
        nominal: amount(rng),
        borrow_limit: limit(rng),
        lend_limit: limit(rng),
        weight: NonZeroU16::new(1 + rng.below(3) as u16).expect("positive"),
    }
}

fn request(rng: &mut Rng, owners: u32, devices: u32) -> Waiting {
    Waiting {
        owner: OwnerId(rng.below(owners as usize) as u32),
        device: (rng.below(4) == 0).then(|| DeviceId(rng.below(devices as usize) as u32)),
        bytes: Bytes(1 + rng.below(4) as u64),
        share: Permille::new(pick(rng, &[0, 250, 250, 500])).expect("in range"),
        priority: rng.below(3) as u8,
        arrival: rng.below(3) as u64,
        overdue: false,
    }
}

/// 2 to 4 owners, 1 to 3 devices, up to 6 leases and up to 7 requests.
fn snapshot(seed: u64) -> Snapshot {
    let mut rng = Seed(seed).stream("policy oracle").rng();
    let (owners, devices) = (2 + rng.below(3) as u32, 1 + rng.below(3) as u32);
    let mut snapshot = Snapshot::default();
    for id in 0..devices {
        let device = Device {
            capacity: Bytes(3 + rng.below(5) as u64),
            share: Permille::WHOLE,
        };
        snapshot.devices.insert(DeviceId(id), device);
    }
    for id in 0..owners {
        snapshot.owners.insert(OwnerId(id), quota(&mut rng));
    }
    for seq in 0..6 {
        let wanted = request(&mut rng, owners, devices);
        let device = DeviceId(rng.below(devices as usize) as u32);
        if fits(&snapshot, &wanted, device) {
            lease(&mut snapshot, request_id(seq), &wanted, device);
        }
    }
    for seq in 0..rng.below(8) as u64 {
        let wanted = request(&mut rng, owners, devices);
        snapshot.requests.insert(request_id(100 + seq), wanted);
    }
    snapshot
}

const fn request_id(seq: u64) -> RequestId {
    RequestId {
        agent: AgentId(1),
        seq,
    }
}

fn lease(snapshot: &mut Snapshot, request: RequestId, wanted: &Waiting, device: DeviceId) {
    let running = Running {
        owner: wanted.owner,
        request,
        device,
        bytes: wanted.bytes,
        share: wanted.share,
        priority: wanted.priority,
    };
    // Requests are numbered in the order of their grants, more or less, and no number comes twice.
    snapshot.leases.insert(LeaseId(request.seq), running);
}

fn used(snapshot: &Snapshot, owner: OwnerId) -> Pair {
    let own = snapshot.leases.values().filter(|lease| lease.owner == owner);
    own.fold((0, 0), |sum, lease| plus(sum, size(lease.bytes, lease.share)))
}

fn quotas_hold(snapshot: &Snapshot, owner: OwnerId, extra: Pair) -> bool {
    let quota = snapshot.owners[&owner];
    let with = |other: OwnerId| {
        let own = used(snapshot, other);
        if other == owner { plus(own, extra) } else { own }
    };
    let nominal = pair(quota.nominal);
    let Some(cohort) = quota.cohort else {
        return within(with(owner), nominal);
    };
    let most = quota.borrow_limit.map(|limit| plus(nominal, pair(limit)));
    if most.is_some_and(|most| !within(with(owner), most)) {
        return false;
    }
    let (mut lent, mut taken) = ((0, 0), (0, 0));
    for (&id, member) in snapshot.owners.iter().filter(|(_, q)| q.cohort == Some(cohort)) {
        let nominal = pair(member.nominal);
        let lends = member.lend_limit.map_or(nominal, |limit| {
            let limit = pair(limit);
            (limit.0.min(nominal.0), limit.1.min(nominal.1))
        });
        lent = plus(lent, lends);
        taken = plus(taken, less(with(id), less(nominal, lends)));
    }
    within(taken, lent)
}

fn has_room(snapshot: &Snapshot, wanted: &Waiting, device: DeviceId) -> bool {
    let Some(state) = snapshot.devices.get(&device) else {
        return false;
    };
    let on = snapshot.leases.values().filter(|lease| lease.device == device);
    let taken = on.fold((0, 0), |sum, lease| plus(sum, size(lease.bytes, lease.share)));
    wanted.device.is_none_or(|only| only == device)
        && within(
            plus(taken, size(wanted.bytes, wanted.share)),
            size(state.capacity, state.share),
        )
}

fn fits(snapshot: &Snapshot, wanted: &Waiting, device: DeviceId) -> bool {
    has_room(snapshot, wanted, device)
        && quotas_hold(snapshot, wanted.owner, size(wanted.bytes, wanted.share))
}

fn place(snapshot: &Snapshot, wanted: &Waiting) -> Option<DeviceId> {
    let free = |device: DeviceId| {
        let on = snapshot.leases.values().filter(|lease| lease.device == device);
        snapshot.devices[&device].capacity.get() - on.map(|lease| lease.bytes.get()).sum::<u64>()
    };
    let open = snapshot
        .devices
        .keys()
        .copied()
        .filter(|&device| fits(snapshot, wanted, device));
    open.max_by_key(|&device| (free(device), Reverse(device)))
}

fn borrows(snapshot: &Snapshot, wanted: &Waiting) -> bool {
    let with = plus(used(snapshot, wanted.owner), size(wanted.bytes, wanted.share));
    !within(with, pair(snapshot.owners[&wanted.owner].nominal))
}

/// Compares `a.amount / (total · a.weight)` with `b`'s, in the resource in which each is largest.
fn compare_shares(snapshot: &Snapshot, a: (OwnerId, Pair), b: (OwnerId, Pair)) -> Ordering {
    let total = snapshot.devices.values().fold((0, 0), |sum, device| {
        plus(sum, size(device.capacity, device.share))
    });
    let scaled = |(_, amount): (OwnerId, Pair), other: OwnerId| {
        let weight = u128::from(snapshot.owners[&other].weight.get());
        (amount.0 * total.1).max(amount.1 * total.0) * weight
    };
    scaled(a, b.0).cmp(&scaled(b, a.0))
}

/// Grants without preemption, each step from nothing: nominal requests to the end, then all.
fn model(snapshot: &Snapshot) -> (Vec<(RequestId, DeviceId)>, Snapshot) {
    let mut state = snapshot.clone();
    let mut grants = Vec::new();
    for all in [false, true] {
        while let Some((id, device)) = model_step(&state, all) {
            let wanted = state.requests.remove(&id).expect("waits");
            lease(&mut state, id, &wanted, device);
            grants.push((id, device));
        }
    }
    (grants, state)
}

fn model_step(state: &Snapshot, all: bool) -> Option<(RequestId, DeviceId)> {
    let mut best: Option<(RequestId, Waiting)> = None;
    for &owner in state.owners.keys() {
        let own = state.requests.iter().filter(|(_, wanted)| wanted.owner == owner);
        let offer = own
            .filter(|(_, wanted)| place(state, wanted).is_some() && (all || !borrows(state, wanted)))
            .min_by_key(|(id, wanted)| (Reverse(wanted.priority), wanted.arrival, **id));
        let Some((&id, &wanted)) = offer else { continue };
        let before = |(other_id, other): &(RequestId, Waiting)| {
            let own = used(state, owner);
            let theirs = used(state, other.owner);
            let after = |used, wanted: &Waiting| plus(used, size(wanted.bytes, wanted.share));
            borrows(state, &wanted)
                .cmp(&borrows(state, other))
                .then_with(|| {
                    let own = (owner, after(own, &wanted));
                    compare_shares(state, own, (other.owner, after(theirs, other)))
                })
                .then_with(|| compare_shares(state, (owner, own), (other.owner, theirs)))
                .then_with(|| {
                    let rank = |id, wanted: &Waiting| (Reverse(wanted.priority), wanted.arrival, id);
                    rank(id, &wanted).cmp(&rank(*other_id, other))
                })
                .is_lt()
        };
        if best.as_ref().is_none_or(before) {
            best = Some((id, wanted));
        }
    }
    best.and_then(|(id, wanted)| place(state, &wanted).map(|device| (id, device)))
}

/// Leases of others in the cohort that no nominal quota covers whole.
fn reclaimable(state: &Snapshot, wanted: &Waiting) -> Vec<LeaseId> {
    let cohort = state.owners[&wanted.owner].cohort;
    let mut found = Vec::new();
    for (&owner, quota) in &state.owners {
        if owner == wanted.owner || cohort.is_none() || quota.cohort != cohort {
            continue;
        }
        let own = state.leases.iter().filter(|(_, lease)| lease.owner == owner);
        let mut own: Vec<_> = own.collect();
        own.sort_by_key(|(id, lease)| (Reverse(lease.priority), **id));
        let mut covered = (0, 0);
        for (&id, lease) in own {
            let with = plus(covered, size(lease.bytes, lease.share));
            if within(with, pair(quota.nominal)) {
                covered = with;
            } else {
                found.push(id);
            }
        }
    }
    found
}

/// Those that were so before the plan, and still run. A grant of the plan may itself use up quota that covered an older,
/// less important lease; only the next plan looks at that.
fn still_reclaimable(before: &Snapshot, now: &Snapshot, wanted: &Waiting) -> Vec<LeaseId> {
    let mut found = reclaimable(before, wanted);
    found.retain(|lease| now.leases.contains_key(lease));
    found
}

/// Size of the smallest set of `from` whose end makes the request fit.
fn smallest(state: &Snapshot, wanted: &Waiting, from: &[LeaseId]) -> Option<u32> {
    (0_u32..1 << from.len())
        .filter(|mask| {
            let mut without = state.clone();
            for (at, lease) in from.iter().enumerate() {
                if mask >> at & 1 == 1 {
                    without.leases.remove(lease);
                }
            }
            place(&without, wanted).is_some()
        })
        .map(u32::count_ones)
        .min()
}

/// Carries the plan out, checking each step, and returns the state after it.
fn carry_out(snapshot: &Snapshot, plan: &Plan, seed: u64) -> Snapshot {
    let mut state = snapshot.clone();
    let mut ended = Vec::new();
    for grant in &plan.grants {
        let wanted = *state
            .requests
            .get(&grant.request)
            .expect("waits, and is granted once");
        check_victims(&state, snapshot, plan, grant, &wanted, seed);
        for victim in &grant.victims {
            assert!(
                state.leases.remove(victim).is_some(),
                "seed {seed}: {victim} ended twice"
            );
            ended.push(*victim);
        }
        assert!(
            fits(&state, &wanted, grant.device),
            "seed {seed}: {} beyond a capacity or quota",
            grant.request
        );
        state.requests.remove(&grant.request);
        lease(&mut state, grant.request, &wanted, grant.device);
    }
    let listed: Vec<LeaseId> = plan.preemptions.iter().map(|ended| ended.lease).collect();
    assert_eq!(listed, ended, "seed {seed}: every preemption is for a grant");
    let waiting: Vec<_> = plan.waiting.keys().collect();
    assert_eq!(
        waiting,
        state.requests.keys().collect::<Vec<_>>(),
        "seed {seed}: every request is granted or waits"
    );
    state
}

fn check_victims(
    state: &Snapshot,
    snapshot: &Snapshot,
    plan: &Plan,
    grant: &Grant,
    wanted: &Waiting,
    seed: u64,
) {
    for spared in &grant.victims {
        let mut state = state.clone();
        for victim in grant.victims.iter().filter(|victim| *victim != spared) {
            state.leases.remove(victim);
        }
        assert!(
            !fits(&state, wanted, grant.device),
            "seed {seed}: {spared} need not end for {}",
            grant.request
        );
    }
    let from = still_reclaimable(snapshot, state, wanted);
    for victim in &grant.victims {
        assert!(from.contains(victim), "seed {seed}: {victim} is covered or new");
    }
    let rule = plan
        .preemptions
        .iter()
        .find(|ended| ended.request == grant.request)
        .map(|ended| ended.rule);
    if rule == Some(PreemptRule::Reclaim) {
        assert!(!borrows(state, wanted), "seed {seed}: a borrower reclaims");
        assert_eq!(
            smallest(state, wanted, &from),
            Some(grant.victims.len() as u32),
            "seed {seed}: not the smallest set"
        );
    } else if rule.is_some() {
        check_fair(state, grant, wanted, rule == Some(PreemptRule::FinalShare), seed);
    }
}

fn check_fair(state: &Snapshot, grant: &Grant, wanted: &Waiting, by_final: bool, seed: u64) {
    let mut after = state.clone();
    for victim in &grant.victims {
        after.leases.remove(victim);
    }
    let borrowed = |state: &Snapshot, owner, extra| {
        let used = plus(used(state, owner), extra);
        (owner, less(used, pair(state.owners[&owner].nominal)))
    };
    let taker = borrowed(state, wanted.owner, size(wanted.bytes, wanted.share));
    assert_ne!(taker.1, (0, 0), "seed {seed}: the taker borrows");
    for victim in &grant.victims {
        let owner = state.leases[victim].owner;
        let nominal = pair(state.owners[&owner].nominal);
        let (had, has) = (used(state, owner), used(&after, owner));
        assert!(
            had.0 <= nominal.0 || has.0 >= nominal.0,
            "seed {seed}: below nominal"
        );
        assert!(
            had.1 <= nominal.1 || has.1 >= nominal.1,
            "seed {seed}: below nominal"
        );
        let before = compare_shares(state, taker, borrowed(state, owner, (0, 0)));
        assert!(before.is_lt(), "seed {seed}: the victim borrowed no more");
        if by_final {
            let left = compare_shares(state, taker, borrowed(&after, owner, (0, 0)));
            assert!(left.is_le(), "seed {seed}: the taker borrows more in the end");
        }
    }
}

#[test]
fn grants_are_those_of_the_model() {
    for seed in 0..CASES {
        let snapshot = snapshot(seed);
        let plan = plan(&snapshot, &Rules::NO_PREEMPTION);
        let (grants, after) = model(&snapshot);
        let found: Vec<_> = plan
            .grants
            .iter()
            .map(|grant| (grant.request, grant.device))
            .collect();
        assert_eq!(found, grants, "seed {seed}");
        assert_eq!(carry_out(&snapshot, &plan, seed), after, "seed {seed}");
    }
}

#[test]
fn plans_conserve_fill_and_preempt_no_more_than_needed() {
    let (mut granted, mut reclaimed, mut taken) = (0, 0, 0);
    for seed in 0..CASES {
        let snapshot = snapshot(seed);
        let plan = plan(&snapshot, &Rules::default());
        let after = carry_out(&snapshot, &plan, seed);
        granted += plan.grants.len();
        let is_reclaim = |ended: &&Preemption| ended.rule == PreemptRule::Reclaim;
        reclaimed += plan.preemptions.iter().filter(is_reclaim).count();
        taken += plan.preemptions.iter().filter(|ended| !is_reclaim(ended)).count();
        for (id, wanted) in &after.requests {
            assert_eq!(place(&after, wanted), None, "seed {seed}: {id} would fit");
            if !borrows(&after, wanted) {
                let from = still_reclaimable(&snapshot, &after, wanted);
                assert_eq!(
                    smallest(&after, wanted, &from),
                    None,
                    "seed {seed}: {id} could reclaim its quota"
                );
            }
        }
    }
    assert!(
        granted > 2000 && reclaimed > 200 && taken > 20,
        "{granted} {reclaimed} {taken}"
    );
}

#[test]
fn a_plan_carried_out_leaves_nothing_to_plan() {
    for seed in 0..CASES {
        let snapshot = snapshot(seed);
        let first = plan(&snapshot, &Rules::default());
        let after = carry_out(&snapshot, &first, seed);
        let next = plan(&after, &Rules::NO_PREEMPTION);
        assert_eq!(next.grants, [], "seed {seed}");
    }
}

#[test]
fn overdue_requests_change_who_goes_first_and_no_other_rule() {
    for seed in 0..CASES {
        let mut snapshot = snapshot(seed);
        let mut rng = Seed(seed).stream("overdue").rng();
        for wanted in snapshot.requests.values_mut() {
            wanted.overdue = rng.below(3) == 0;
        }
        let plan = plan(&snapshot, &Rules::default());
        carry_out(&snapshot, &plan, seed);
    }
}

#[test]
fn repeated_planning_comes_to_rest() {
    for seed in 0..CASES {
        let mut state = snapshot(seed);
        for round in 0.. {
            let before = state.requests.len() + state.leases.len();
            let plan = plan(&state, &Rules::default());
            if plan.grants.is_empty() {
                break;
            }
            assert!(
                round < 12,
                "seed {seed} goes on with {before} requests and leases"
            );
            let ended = plan.preemptions.iter().map(|ended| ended.lease);
            let again: Vec<_> = ended
                .filter_map(|lease| state.leases.get(&lease).copied())
                .collect();
            state = carry_out(&state, &plan, seed);
            // Whose lease was taken asks again.
            for lease in again {
                let wanted = Waiting {
                    owner: lease.owner,
                    device: None,
                    bytes: lease.bytes,
                    share: lease.share,
                    priority: lease.priority,
                    arrival: 10 + round,
                    overdue: false,
                };
                state.requests.insert(request_id(lease.request.seq + 200), wanted);
            }
        }
    }
}
