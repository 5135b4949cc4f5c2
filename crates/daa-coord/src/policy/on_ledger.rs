//! The policy through [`Ledger::apply`]: random blocks under policy 2 against what [`plan`] says about a snapshot that is put
//! together here, from the ledger before the block and the commands of the block.

use super::*;
use crate::command::{Command, ResourceRequest, SignedCommand};
use crate::genesis::{LedgerConfig, POLICY_FAIR_SHARES};
use crate::ledger::reason::WithdrawReason;
use crate::ledger::tests::{AGENTS, DEVICE, Scene, wish};
use crate::ledger::{Lease, Ledger, LedgerEvent};
use crate::log::Block;
use daa_base::{AgentId, Millis, Rng, Seed, Timestamp};

const RUNS: u64 = 24;
const BLOCKS: u64 = 30;

const OTHER: DeviceId = DeviceId(2);

fn scene(rng: &mut Rng) -> Scene {
    let mut scene = Scene::new(LedgerConfig {
        policy: POLICY_FAIR_SHARES,
        max_hold: Millis(500),
        max_overtakes: 1 + rng.below(4) as u32,
        ..LedgerConfig::default()
    });
    let device = Command::RegisterDevice {
        device: OTHER,
        capacity: Bytes(600),
    };
    scene.run(0, &device);
    if rng.below(4) > 0 {
        for owner in 1..=AGENTS {
            let nominal = Amount {
                bytes: Bytes(rng.below(6) as u64 * 100),
                share: rng.below(8) as u32 * 100,
            };
            let quota = Quota {
                cohort: Some(CohortId(0)),
                nominal,
                weight: NonZeroU16::new(1 + rng.below(3) as u16).expect("positive"),
                ..Quota::NONE
            };
            let set = Command::SetQuota {
                owner: OwnerId(owner),
                quota: Some(quota),
            };
            scene.run(0, &set);
        }
    }
    scene
}

fn wanted(rng: &mut Rng) -> ResourceRequest {
    ResourceRequest {
        device: [None, Some(DEVICE), Some(OTHER)][rng.below(3)],
        share: Permille::new(100 * (1 + rng.below(3) as u16)).expect("in range"),
        priority: rng.below(3) as u8,
        hold: Millis(100 + rng.below(400) as u64),
        ..wish(100 * (1 + rng.below(4) as u64))
    }
}

/// Random commands, and what they make of the snapshot. Agents to whom a place in the queue is owed make no requests here:
/// it would give them an earlier arrival, which is the ledger's business.
fn commands(rng: &mut Rng, ledger: &Ledger, snapshot: &mut Snapshot) -> Vec<(u32, Command)> {
    let mut commands = Vec::new();
    for _ in 0..rng.below(6) {
        let agent = AgentId(1 + rng.below(AGENTS as usize) as u32);
        let mine = |lease: &&Lease| lease.agent == agent && snapshot.leases.contains_key(&lease.id);
        let held: Vec<&Lease> = ledger.leases().filter(mine).collect();
        if rng.below(3) == 0 && !held.is_empty() {
            let lease = held[rng.below(held.len())];
            snapshot.leases.remove(&lease.id);
            let (lease, token) = (lease.id, lease.token);
            commands.push((agent.get(), Command::Release { lease, token }));
        } else if ledger.credits(agent).is_empty() {
            commands.push((agent.get(), Command::Request(wanted(rng))));
        }
    }
    commands
}

fn filed(snapshot: &mut Snapshot, entries: &[SignedCommand], height: u64) {
    for entry in entries {
        if let Ok(Command::Request(wanted)) = entry.command() {
            let waiting = Waiting {
                owner: OwnerId(entry.agent.get()),
                device: wanted.device,
                bytes: wanted.bytes,
                share: wanted.share,
                priority: wanted.priority,
                arrival: height,
                overdue: false,
            };
            let id = RequestId {
                agent: entry.agent,
                seq: entry.seq,
            };
            if admissible(snapshot, &waiting).is_ok() {
                snapshot.requests.insert(id, waiting);
            }
        }
    }
}

fn granted(events: &[LedgerEvent]) -> Vec<(RequestId, DeviceId)> {
    let grant = |event: &LedgerEvent| match event {
        LedgerEvent::LeaseGranted(lease) => Some((lease.request, lease.device)),
        _ => None,
    };
    events.iter().filter_map(grant).collect()
}

fn preempted(events: &[LedgerEvent]) -> Vec<(LeaseId, RequestId, PreemptRule)> {
    let end = |event: &LedgerEvent| match event {
        LedgerEvent::LeaseWithdrawn {
            lease,
            reason: WithdrawReason::Preempted { request, rule },
        } => Some((lease.id, *request, *rule)),
        _ => None,
    };
    events.iter().filter_map(end).collect()
}

#[test]
fn the_ledger_does_what_the_plan_says_in_whatever_order_a_block_is() {
    let (mut grants, mut ends) = (0, 0);
    for run in 0..RUNS {
        let mut rng = Seed(run).stream("policy on ledger").rng();
        let mut scene = scene(&mut rng);
        for _ in 0..BLOCKS {
            let millis = rng.below(150) as u64;
            scene.shift_time(millis as i64);
            let before = scene.ledger.clone();
            let height = before.height() + 1;
            let now = Timestamp(before.time().get().max(1_000) + millis);
            let mut expected = before.policy_snapshot();
            let live: Vec<LeaseId> = before
                .leases()
                .filter(|lease| lease.is_live(now))
                .map(|lease| lease.id)
                .collect();
            expected.leases.retain(|id, _| live.contains(id));
            let commands = commands(&mut rng, &before, &mut expected);
            let entries: Vec<SignedCommand> = commands
                .iter()
                .map(|(agent, command)| scene.next(*agent, command))
                .collect();
            filed(&mut expected, &entries, height);
            let changed = expected != before.policy_snapshot();
            let events = scene.commit(entries.clone());
            assert_eq!(scene.ledger.time(), now, "run {run}: the test knows the time");
            let plan = plan(&expected, &before.policy().rules);
            let planned: Vec<_> = plan
                .grants
                .iter()
                .map(|grant| (grant.request, grant.device))
                .collect();
            let ended: Vec<_> = plan
                .preemptions
                .iter()
                .map(|ended| (ended.lease, ended.request, ended.rule))
                .collect();
            if changed {
                assert_eq!(granted(&events), planned, "run {run}, block {height}");
                assert_eq!(preempted(&events), ended, "run {run}, block {height}");
            } else {
                assert_eq!((granted(&events), preempted(&events)), (vec![], vec![]));
            }
            (grants, ends) = (grants + planned.len(), ends + ended.len());

            let mut shuffled = entries;
            rng.shuffle(&mut shuffled);
            let mut other = before;
            let block = Block {
                height,
                time: now,
                entries: shuffled,
                evidence: Vec::new(),
            };
            other.apply(&block).expect("the next block");
            assert_eq!(
                other.policy_snapshot(),
                scene.ledger.policy_snapshot(),
                "run {run}, block {height}: the order inside the block shows"
            );
            let leases = |ledger: &Ledger| ledger.leases().cloned().collect::<Vec<_>>();
            assert_eq!(leases(&other), leases(&scene.ledger), "run {run}, block {height}");
        }
        scene.replay();
    }
    assert!(grants > 300 && ends > 20, "{grants} grants, {ends} preemptions");
}
