//! Random command sequences, honest and hostile, against an oracle that only sees the events.

use super::tests::{AGENTS, DEVICE, Scene, genesis, key_of, members::validator, wish};
use super::{Lease, Ledger, LedgerEvent, sponsor_of};
use crate::command::{
    Command, OperatorVerdict, RequestId, ResourceRequest, Said, SignedCommand, Statement, When,
};
use crate::genesis::{LedgerConfig, POLICY_FAIR_SHARES, POLICY_ROTATING_QUEUE};
use crate::keys::{Digest, Ed25519, SignatureScheme, Signed};
use crate::ledger::PolicyChoice;
use crate::log::Block;
use crate::policy::{Amount, CohortId, Quota, Rules};
use crate::text::ShortText;
use crate::validators::ValidatorSet;
use daa_base::{
    AgentId, Bytes, DeviceId, FencingToken, LeaseId, Millis, OwnerId, Permille, Timestamp, TrialId,
};
use proptest::prelude::*;
use std::collections::{BTreeMap, BTreeSet};
use std::num::NonZeroU16;

/// One step; numbers pick among what is there.
#[derive(Debug, Clone)]
enum Op {
    Send {
        agent: u32,
        command: Box<Command>,
    },
    /// Commands on a lease that is or was there, by its holder or another agent.
    OnLease {
        agent: Option<u32>,
        pick: usize,
        renew: bool,
        right_token: bool,
    },
    Cancel {
        agent: u32,
        back: u64,
    },
    /// An entry that was sent before.
    Replay {
        pick: usize,
    },
    /// An entry with one bit changed.
    Damage {
        pick: usize,
        at: usize,
    },
    /// The next two commands of an agent in the wrong order.
    Swap {
        agent: u32,
        first: Box<Command>,
        second: Box<Command>,
    },
    /// A validator leaves, changes its key or sees an agent gone, well-timed or not.
    Say {
        validator: u8,
        kind: u8,
        agent: u32,
        back: u64,
    },
    /// An agent says that it is here.
    Present {
        agent: u32,
    },
    /// Ends the block; time goes on by so much (or tries to go back).
    Pass {
        millis: i64,
    },
}

fn agent() -> impl Strategy<Value = u32> {
    1..=AGENTS
}

fn request() -> impl Strategy<Value = Command> {
    let place = (
        prop::option::of(prop_oneof![3 => 1_u32..4, 2 => number()]),
        0_u64..1200,
        0_u16..=1000,
    );
    let terms = (0_u8..4, 0_u64..300, prop::option::of(900_u64..4000));
    (place, terms).prop_map(|((device, bytes, share), (priority, hold, deadline))| {
        Command::Request(ResourceRequest {
            device: device.map(DeviceId),
            bytes: Bytes(bytes),
            share: Permille::new(share).expect("in range"),
            priority,
            hold: Millis(hold),
            deadline: deadline.map(Timestamp),
            ..wish(1)
        })
    })
}

fn trial_command() -> impl Strategy<Value = Command> {
    let trial = (0_u32..12).prop_map(TrialId);
    (trial, 0_u8..8, 0_i64..3).prop_map(|(trial, kind, score_micro)| match kind {
        0..4 => Command::ClaimTrial {
            trial,
            digest: Digest::default(),
        },
        4..6 => Command::TrialResult {
            trial,
            score_micro,
            epochs: 1,
            checkpoint: Digest::default(),
        },
        6 => Command::AbandonTrial { trial },
        _ => Command::TouchTrial { trial },
    })
}

fn any_command() -> impl Strategy<Value = Command> {
    prop_oneof![
        5 => request(),
        3 => trial_command(),
        1 => (0_u64..20).prop_map(|lease| Command::Revoke {
            lease: LeaseId(lease),
            reason: ShortText::fitted("random"),
        }),
        1 => (prop_oneof![0_u32..4, number()], 0_u64..1200).prop_map(|(device, capacity)| Command::RegisterDevice {
            device: DeviceId(device),
            capacity: Bytes(capacity),
        }),
        1 => (number(), agent(), 1_u32..6).prop_map(|(new, owner, key)| Command::RegisterAgent {
            agent: AgentId(new),
            owner: OwnerId(owner),
            key: key_of(AgentId(key)).public(),
        }),
        1 => number().prop_map(|agent| Command::UnregisterAgent { agent: AgentId(agent) }),
    ]
}

/// In the blocks of agents 1 and 2.
fn number() -> impl Strategy<Value = u32> {
    prop_oneof![1024_u32..1028, 2046_u32..2050]
}

fn set_validator() -> impl Strategy<Value = Command> {
    (1_u8..8, 0_u64..4).prop_map(|(n, power)| Command::SetValidator {
        key: validator(n).public(),
        power,
    })
}

fn operator_rule() -> impl Strategy<Value = Command> {
    let amount = (0_u64..1200, 0_u32..1200).prop_map(|(bytes, share)| Amount {
        bytes: Bytes(bytes),
        share,
    });
    let limit = prop::option::of(amount.clone());
    let quota = (prop::option::of(0_u32..2), amount, limit.clone(), limit, 1_u16..4).prop_map(
        |(cohort, nominal, borrow_limit, lend_limit, weight)| Quota {
            cohort: cohort.map(CohortId),
            nominal,
            borrow_limit,
            lend_limit,
            weight: NonZeroU16::new(weight).expect("positive"),
        },
    );
    let verdict = prop_oneof![
        Just(OperatorVerdict::Hold),
        Just(OperatorVerdict::Resume),
        Just(OperatorVerdict::Refuse),
    ];
    prop_oneof![
        2 => (1_u32..5, prop::option::weighted(0.8, quota)).prop_map(|(owner, quota)| Command::SetQuota {
            owner: OwnerId(owner),
            quota,
        }),
        1 => (1_u16..=2, 0_u64..40).prop_map(|(version, from)| Command::SetPolicy {
            policy: PolicyChoice { version, rules: Rules::default() },
            from,
        }),
        1 => (agent(), 0_u64..12, verdict).prop_map(|(agent, seq, verdict)| Command::Decide {
            request: RequestId { agent: AgentId(agent), seq },
            verdict,
            reason: ShortText::fitted("random"),
        }),
    ]
}

fn op() -> impl Strategy<Value = Op> {
    prop_oneof![
        8 => (agent(), any_command().prop_map(Box::new)).prop_map(|(agent, command)| Op::Send { agent, command }),
        1 => any_command().prop_map(|command| Op::Send { agent: 0, command: Box::new(command) }),
        4 => (prop::option::weighted(0.2, agent()), any::<usize>(), any::<bool>(), prop::bool::weighted(0.9))
            .prop_map(|(agent, pick, renew, right_token)| Op::OnLease { agent, pick, renew, right_token }),
        1 => (agent(), 0_u64..6).prop_map(|(agent, back)| Op::Cancel { agent, back }),
        1 => any::<usize>().prop_map(|pick| Op::Replay { pick }),
        1 => (any::<usize>(), any::<usize>()).prop_map(|(pick, at)| Op::Damage { pick, at }),
        1 => (agent(), any_command().prop_map(Box::new), any_command().prop_map(Box::new))
            .prop_map(|(agent, first, second)| Op::Swap { agent, first, second }),
        2 => operator_rule().prop_map(|command| Op::Send { agent: 0, command: Box::new(command) }),
        1 => set_validator().prop_map(|command| Op::Send { agent: 0, command: Box::new(command) }),
        3 => (1_u8..5, 0_u8..8, agent(), 0_u64..20)
            .prop_map(|(validator, kind, agent, back)| Op::Say { validator, kind, agent, back }),
        1 => agent().prop_map(|agent| Op::Present { agent }),
        4 => (-50_i64..150).prop_map(|millis| Op::Pass { millis }),
    ]
}

/// What the events alone prove.
#[derive(Debug, Default)]
struct Oracle {
    capacity: BTreeMap<DeviceId, Bytes>,
    live: BTreeMap<LeaseId, Lease>,
    tokens: BTreeMap<DeviceId, FencingToken>,
    waiting: BTreeSet<RequestId>,
    ended: BTreeSet<RequestId>,
    answered: BTreeSet<(AgentId, u64)>,
    recorded: BTreeMap<TrialId, super::TrialRecord>,
}

impl Oracle {
    fn observe(&mut self, event: &LedgerEvent) {
        match event {
            LedgerEvent::RequestQueued { request, .. } => assert!(self.waiting.insert(*request)),
            LedgerEvent::DeviceRegistered { device, capacity, .. } => {
                self.capacity.insert(*device, *capacity);
                let on = |live: &&Lease| live.device == *device;
                let leased: u64 = self.live.values().filter(on).map(|live| live.bytes.get()).sum();
                assert!(leased <= capacity.get(), "{event}: {leased} leased");
            }
            LedgerEvent::AgentRegistered {
                agent, registered, ..
            } => assert!(
                *agent == AgentId(0) || sponsor_of(registered.get()) == Some(agent.get()),
                "{event}"
            ),
            LedgerEvent::TrialRecorded { trial, record, .. } => {
                let kept = self.recorded.entry(*trial).or_insert_with(|| record.clone());
                assert_eq!(kept, record, "a result never changes");
            }
            LedgerEvent::LeaseGranted(lease) => self.granted(lease),
            LedgerEvent::LeaseRenewed { lease, until, .. } => {
                let lease = self.live.get_mut(lease).expect("only live leases are renewed");
                assert!(lease.expires <= *until, "a renewal never shortens");
                lease.expires = *until;
            }
            _ => {}
        }
        // The grant of a request that had waited is its end, not a second answer.
        let late = event
            .ends_request()
            .is_some_and(|request| self.waiting.remove(&request));
        if let Some(request) = event.ends_request() {
            assert!(self.ended.insert(request), "{request} ended twice: {event}");
        }
        let cancels = matches!(event, LedgerEvent::RequestCancelled { .. });
        if let Some(command) = event.answers().filter(|_| !late || cancels) {
            assert!(self.answered.insert(command), "answered twice: {event}");
        }
        if let Some(lease) = event.ends_lease() {
            assert!(self.live.remove(&lease.id).is_some(), "{event}");
        }
    }

    fn granted(&mut self, lease: &Lease) {
        let token = self.tokens.insert(lease.device, lease.token);
        assert!(token.is_none_or(|old| old < lease.token), "tokens grow");
        self.live.insert(lease.id, lease.clone());
        let on = |live: &&Lease| live.device == lease.device;
        let bytes: u64 = self.live.values().filter(on).map(|live| live.bytes.get()).sum();
        let share: u32 = self
            .live
            .values()
            .filter(on)
            .map(|live| u32::from(live.share.get()))
            .sum();
        assert!(
            bytes <= self.capacity[&lease.device].get() && share <= 1000,
            "{lease:?}"
        );
    }
}

/// A run of random steps.
struct Run {
    scene: Scene,
    oracle: Oracle,
    pending: Vec<SignedCommand>,
    sent: Vec<SignedCommand>,
    seen: Vec<Lease>,
}

impl Run {
    fn new(policy: u16) -> Self {
        let config = LedgerConfig {
            policy,
            max_open: 12,
            max_open_per_agent: 6,
            max_hold: Millis(250),
            max_overtakes: 3,
            claim_timeout: Millis(200),
            trial_window: 2,
            max_trials: 10,
            health_window: Millis(300),
            ..LedgerConfig::default()
        };
        let four = ValidatorSet::equal((1..5).map(|n| validator(n).public())).expect("four keys");
        let scene = Scene::of(genesis(config).with_validators(four));
        let mut oracle = Oracle::default();
        oracle.capacity.insert(DEVICE, Bytes(1000));
        Self {
            scene,
            oracle,
            pending: Vec::new(),
            sent: Vec::new(),
            seen: Vec::new(),
        }
    }

    fn send(&mut self, agent: u32, command: &Command) {
        let entry = self.scene.next(agent, command);
        self.sent.push(entry.clone());
        self.pending.push(entry);
    }

    fn on_lease(&mut self, agent: Option<u32>, pick: usize, renew: bool, right_token: bool) {
        if self.seen.is_empty() {
            return;
        }
        let Lease {
            id,
            agent: holder,
            token,
            ..
        } = self.seen[pick % self.seen.len()].clone();
        let token = FencingToken(token.get() + u64::from(!right_token));
        let command = if renew {
            Command::Renew {
                lease: id,
                token,
                hold: Millis(100),
            }
        } else {
            Command::Release { lease: id, token }
        };
        self.send(agent.unwrap_or(holder.get()), &command);
    }

    fn say(&mut self, (n, kind): (u8, u8), agent: u32, back: u64) {
        let ledger = &self.scene.ledger;
        let when = When {
            epoch: ledger.membership_epoch(),
            until: ledger.height() + back,
        };
        let (key, chain) = (validator(n), ledger.chain_id());
        let at = Timestamp(ledger.time().get().saturating_sub(back));
        let statement = match kind {
            0 => Statement::sign(&key, chain, Said::Leave { when }),
            1 => Statement::rotate(&key, &validator(n + 10 * (1 + back as u8)), chain, when),
            _ => {
                let agent = AgentId(agent);
                Statement::sign(&key, chain, Said::Gone { agent, at })
            }
        };
        self.send(1, &Command::Statement(statement));
    }

    fn step(&mut self, op: Op) {
        match op {
            Op::Send { agent, command } => self.send(agent, &command),
            Op::OnLease {
                agent,
                pick,
                renew,
                right_token,
            } => {
                self.on_lease(agent, pick, renew, right_token);
            }
            Op::Cancel { agent, back } => {
                let next = self.scene.seqs.get(&AgentId(agent)).copied().unwrap_or(0);
                let request = RequestId {
                    agent: AgentId(agent),
                    seq: next.saturating_sub(back),
                };
                self.send(agent, &Command::Cancel { request });
            }
            Op::Replay { pick } if !self.sent.is_empty() => {
                self.pending.push(self.sent[pick % self.sent.len()].clone());
            }
            Op::Damage { pick, at } if !self.sent.is_empty() => {
                let mut entry = self.sent[pick % self.sent.len()].clone();
                // In front of the true one, so that it is not dropped as a replay alone.
                let at = at % (64 + entry.payload.len());
                match at.checked_sub(64) {
                    Some(at) => entry.payload[at] ^= 1,
                    None => entry.signature.0[at] ^= 1,
                }
                self.pending.insert(0, entry);
            }
            Op::Swap { agent, first, second } => {
                self.send(agent, &first);
                self.send(agent, &second);
                let end = self.pending.len();
                self.pending.swap(end - 1, end - 2);
            }
            Op::Say {
                validator,
                kind,
                agent,
                back,
            } => self.say((validator, kind), agent, back),
            Op::Present { agent } => {
                let gone = self.scene.ledger.gone(AgentId(agent));
                let challenge = gone.map_or(Digest::default(), |gone| gone.challenge);
                self.send(agent, &Command::Present { challenge });
            }
            Op::Pass { millis } => self.flush(millis),
            Op::Replay { .. } | Op::Damage { .. } => {}
        }
    }

    fn flush(&mut self, millis: i64) {
        self.scene.shift_time(millis);
        let entries = std::mem::take(&mut self.pending);
        let events = self.scene.commit(entries);
        for event in &events {
            self.oracle.observe(event);
            if let LedgerEvent::LeaseGranted(lease) = event {
                self.seen.push(lease.clone());
            }
            assert!(!event.to_string().contains('\n'));
        }
        let ledger = &self.scene.ledger;
        assert!(!ledger.validators().is_empty(), "somebody always votes");
        for agent in ledger.agents() {
            let owner = agent
                .sponsor
                .map(|sponsor| ledger.agent(sponsor).map(|its| its.owner));
            assert!(owner.is_none_or(|owner| owner == Some(agent.owner)), "{agent:?}");
        }
        assert!(
            ledger.leases().eq(self.oracle.live.values()),
            "events tell every lease"
        );
        let waiting: BTreeSet<_> = ledger.queue().map(|waiting| waiting.id).collect();
        assert_eq!(waiting, self.oracle.waiting, "events tell every waiting request");
        // Restoring computes the hash from nothing and compares it with the one that was kept up to date.
        let restored = Ledger::restore(ledger.genesis(), &ledger.snapshot()).expect("the hash holds");
        assert_eq!(restored.state_hash(), ledger.state_hash());
        self.nothing_idle_that_somebody_may_have();
        self.nothing_ends_before_its_deadline();
    }

    /// An empty block changes nothing before the deadline that the ledger names, and something at it.
    fn nothing_ends_before_its_deadline(&self) {
        let Some(due) = self.scene.ledger.next_deadline() else {
            return;
        };
        assert!(due > self.scene.ledger.time());
        for (time, quiet) in [(due.get() - 1, true), (due.get(), false)] {
            let mut ledger = self.scene.ledger.clone();
            let block = Block {
                height: ledger.height() + 1,
                time: Timestamp(time),
                ..Block::default()
            };
            let events = ledger.apply(&block).expect("the next block");
            // A policy that was announced for this height may change more.
            if events
                .iter()
                .any(|event| matches!(event, LedgerEvent::PolicyInForce { .. }))
            {
                return;
            }
            assert_eq!(events.is_empty(), quiet, "{events:?}");
        }
    }

    /// What is first in line for every device it could use is waiting only because it does not fit.
    fn nothing_idle_that_somebody_may_have(&self) {
        if self.scene.ledger.policy().version != POLICY_ROTATING_QUEUE {
            return;
        }
        let Some(first) = self.scene.ledger.queue().find(|waiting| !waiting.on_hold) else {
            return;
        };
        for device in self.scene.ledger.devices() {
            let free = device.capacity.saturating_sub(device.used);
            let fits = first.wanted.bytes <= free
                && first.wanted.share.get() + device.used_share.get() <= 1000
                && first.wanted.device.is_none_or(|only| only == device.device);
            assert!(!fits, "{:?} waits although it fits {device:?}", first.id);
        }
    }

    /// Without new requests and renewals everybody is served or refused within one hold each.
    fn drain(&mut self) {
        let held: Vec<RequestId> = self.scene.ledger.queue().map(|waiting| waiting.id).collect();
        for request in held {
            let (verdict, reason) = (OperatorVerdict::Resume, ShortText::fitted("drain"));
            self.send(
                0,
                &Command::Decide {
                    request,
                    verdict,
                    reason,
                },
            );
        }
        for _ in 0..14 {
            self.flush(260);
        }
        assert_eq!(self.scene.ledger.queue().count(), 0, "nobody waits forever");
        assert_eq!(self.scene.ledger.leases().count(), 0, "leases end");
    }

    fn every_command_was_answered_once(&self) {
        for (&agent, &sent) in &self.scene.seqs {
            assert_eq!(self.scene.ledger.next_seq(agent), Some(sent));
            // The operator's first commands were answered before the oracle watched.
            let first = if agent == AgentId(0) {
                u64::from(AGENTS) + 1
            } else {
                0
            };
            for seq in first..sent {
                assert!(self.oracle.answered.contains(&(agent, seq)), "{agent} {seq}");
            }
        }
    }
}

/// Ed25519 without batches.
#[derive(Debug)]
struct OneByOne;

impl SignatureScheme for OneByOne {
    fn verify(&self, signed: &Signed<'_>) -> bool {
        Ed25519.verify(signed)
    }
}

fn replay(run: &Run, split: usize) {
    let genesis = run.scene.ledger.genesis().clone();
    let mut ledger = Ledger::new(genesis.clone()).expect("valid");
    for (number, block) in run.scene.blocks.iter().enumerate() {
        if number == split % run.scene.blocks.len() {
            let bytes = ledger.snapshot();
            ledger = Ledger::restore(&genesis, &bytes).expect("whole");
        }
        ledger.apply_checked(block, &OneByOne).expect("the same blocks");
    }
    assert_eq!(ledger.state_hash(), run.scene.ledger.state_hash());
    assert_eq!(ledger, run.scene.ledger);
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 96, ..ProptestConfig::default() })]

    #[test]
    fn no_sequence_of_commands_breaks_a_promise(
        ops in prop::collection::vec(op(), 1..80),
        split in any::<usize>(),
        policy in POLICY_ROTATING_QUEUE..=POLICY_FAIR_SHARES,
    ) {
        let mut run = Run::new(policy);
        for op in ops {
            run.step(op);
        }
        run.flush(0);
        run.drain();
        run.every_command_was_answered_once();
        replay(&run, split);
    }

    #[test]
    fn any_bytes_restore_or_fail_without_harm(bytes in prop::collection::vec(any::<u8>(), 0..300)) {
        let run = Run::new(POLICY_ROTATING_QUEUE);
        prop_assert!(Ledger::restore(run.scene.ledger.genesis(), &bytes).is_err());
    }
}
