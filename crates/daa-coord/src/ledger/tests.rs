//! Every rule of the ledger once, by example. Random sequences are in `proptests`.

mod fair;
pub(crate) mod members;
mod sponsors;

use super::reason::{DropReason, RefuseReason, Rejection, ReleaseReason, RenewRefusal, WaitReason};
use super::{Lease, Ledger, LedgerError, LedgerEvent};
use crate::command::{Command, RequestId, ResourceRequest, SignedCommand};
use crate::consensus::Evidence;
use crate::genesis::{ChainId, Genesis, LedgerConfig, OPERATOR};
use crate::keys::{AgentKey, Digest, PublicKey};
use crate::log::Block;
use crate::text::ShortText;
use daa_base::{
    AgentId, Bytes, DeviceId, FencingToken, LeaseId, Millis, OwnerId, Permille, Timestamp, TrialId,
};
use std::collections::BTreeMap;

pub(crate) const DEVICE: DeviceId = DeviceId(1);
pub(crate) const AGENTS: u32 = 3;

pub(crate) fn key_of(agent: AgentId) -> AgentKey {
    AgentKey::from_secret(&[1 + u8::try_from(agent.get()).expect("few agents"); 32])
}

pub(crate) fn genesis(config: LedgerConfig) -> Genesis {
    Genesis::new(ShortText::fitted("test"), key_of(OPERATOR).public(), config).expect("valid")
}

/// Operator commands that register agents 1 to 3 and a device of 1000 bytes.
pub(crate) fn registrations() -> Vec<Command> {
    let agents = (1..=AGENTS).map(|agent| Command::RegisterAgent {
        agent: AgentId(agent),
        owner: OwnerId(agent),
        key: key_of(AgentId(agent)).public(),
    });
    let device = Command::RegisterDevice {
        device: DEVICE,
        capacity: Bytes(1000),
    };
    agents.chain([device]).collect()
}

pub(crate) fn wish(bytes: u64) -> ResourceRequest {
    ResourceRequest {
        device: Some(DEVICE),
        bytes: Bytes(bytes),
        share: Permille::new(100).expect("in range"),
        priority: 0,
        hold: Millis(100),
        deadline: None,
        purpose: ShortText::fitted("test"),
    }
}

/// A ledger with its registrations done, and the keys and counters to drive it.
pub(crate) struct Scene {
    pub(crate) ledger: Ledger,
    pub(crate) blocks: Vec<Block>,
    pub(crate) seqs: BTreeMap<AgentId, u64>,
    time: u64,
}

impl Scene {
    pub(crate) fn new(config: LedgerConfig) -> Self {
        Self::of(genesis(config))
    }

    pub(crate) fn of(genesis: Genesis) -> Self {
        let ledger = Ledger::new(genesis).expect("valid");
        let mut scene = Self {
            ledger,
            blocks: Vec::new(),
            seqs: BTreeMap::new(),
            time: 1_000,
        };
        for command in registrations() {
            let events = scene.run(0, &command);
            assert!(matches!(
                events[..],
                [LedgerEvent::AgentRegistered { .. } | LedgerEvent::DeviceRegistered { .. }]
            ));
        }
        scene
    }

    pub(crate) fn sign(&self, agent: u32, seq: u64, command: &Command) -> SignedCommand {
        let id = AgentId(agent);
        SignedCommand::sign(&key_of(id), self.ledger.chain_id(), id, seq, command).expect("small")
    }

    /// Signs with the agent's next number.
    pub(crate) fn next(&mut self, agent: u32, command: &Command) -> SignedCommand {
        let seq = self.seqs.entry(AgentId(agent)).or_default();
        *seq += 1;
        let seq = *seq - 1;
        self.sign(agent, seq, command)
    }

    pub(crate) fn commit(&mut self, entries: Vec<SignedCommand>) -> Vec<LedgerEvent> {
        self.commit_with(entries, Vec::new())
    }

    pub(crate) fn commit_with(
        &mut self,
        entries: Vec<SignedCommand>,
        evidence: Vec<Evidence>,
    ) -> Vec<LedgerEvent> {
        let block = Block {
            height: self.ledger.height() + 1,
            time: Timestamp(self.time),
            entries,
            evidence,
        };
        let events = self.ledger.apply(&block).expect("the next block");
        self.blocks.push(block);
        self.ledger.check_invariants().expect("invariants hold");
        events
    }

    pub(crate) fn run(&mut self, agent: u32, command: &Command) -> Vec<LedgerEvent> {
        let entry = self.next(agent, command);
        self.commit(vec![entry])
    }

    /// Lets time pass with an empty block.
    pub(crate) fn pass(&mut self, millis: u64) -> Vec<LedgerEvent> {
        self.time += millis;
        self.commit(Vec::new())
    }

    pub(crate) fn shift_time(&mut self, millis: i64) {
        self.time = self.time.saturating_add_signed(millis);
    }

    /// Ends the ledger's part of a scene: the same blocks, with a restart from a snapshot in between, give the same state.
    pub(crate) fn replay(&self) {
        let genesis = self.ledger.genesis();
        let mut ledger = Ledger::new(genesis.clone()).expect("valid");
        for block in &self.blocks {
            ledger.apply(block).expect("the same blocks");
            let restored = Ledger::restore(genesis, &ledger.snapshot()).expect("whole");
            assert_eq!(restored, ledger);
            ledger = restored;
        }
        assert_eq!(ledger.state_hash(), self.ledger.state_hash());
        assert_eq!(ledger, self.ledger);
    }

    fn grant(&mut self, agent: u32, wanted: ResourceRequest) -> Lease {
        match &self.run(agent, &Command::Request(wanted))[..] {
            [LedgerEvent::LeaseGranted(lease)] => lease.clone(),
            other => panic!("no grant: {other:?}"),
        }
    }

    fn queue(&mut self, agent: u32, wanted: ResourceRequest) -> (RequestId, u32, WaitReason) {
        match &self.run(agent, &Command::Request(wanted))[..] {
            [LedgerEvent::RequestQueued { request, ahead, why }] => (*request, *ahead, why.clone()),
            other => panic!("not queued: {other:?}"),
        }
    }

    fn renew(&mut self, lease: &Lease) -> LedgerEvent {
        let command = Command::Renew {
            lease: lease.id,
            token: lease.token,
            hold: Millis(100),
        };
        self.run(lease.agent.get(), &command).remove(0)
    }
}

fn release(lease: &Lease) -> Command {
    Command::Release {
        lease: lease.id,
        token: lease.token,
    }
}

fn claim(trial: u32) -> Command {
    Command::ClaimTrial {
        trial: TrialId(trial),
        digest: Digest::of(&trial.to_le_bytes()),
    }
}

fn result(trial: u32, score_micro: i64) -> Command {
    Command::TrialResult {
        trial: TrialId(trial),
        score_micro,
        epochs: 3,
        checkpoint: Digest::of(b"model"),
    }
}

fn rejection(events: &[LedgerEvent]) -> Rejection {
    match events {
        [LedgerEvent::Rejected { reason, .. }] => reason.clone(),
        other => panic!("not rejected: {other:?}"),
    }
}

fn dropped(events: &[LedgerEvent]) -> DropReason {
    match events {
        [LedgerEvent::Dropped { reason, .. }] => reason.clone(),
        other => panic!("not dropped: {other:?}"),
    }
}

fn refusal(events: &[LedgerEvent]) -> RefuseReason {
    match events {
        [LedgerEvent::RequestRefused { reason, .. }] => reason.clone(),
        other => panic!("not refused: {other:?}"),
    }
}

#[test]
fn a_lease_is_granted_used_and_given_back_and_tokens_grow() {
    let mut scene = Scene::new(LedgerConfig::default());
    let first = scene.grant(1, wish(600));
    assert_eq!(
        (first.bytes, first.token, first.id),
        (Bytes(600), FencingToken(1), LeaseId(1))
    );
    assert!(first.is_live(Timestamp(1_099)) && !first.is_live(Timestamp(1_100)));
    let events = scene.run(1, &release(&first));
    assert!(matches!(&events[..], [LedgerEvent::LeaseReleased { lease, .. }] if *lease == first));
    let second = scene.grant(2, wish(1000));
    assert!(second.token > first.token);
    assert_eq!(
        rejection(&scene.run(1, &release(&first))),
        Rejection::NoSuchLease { lease: first.id }
    );
    assert_eq!(
        scene.ledger.device(DEVICE).map(|device| device.used),
        Some(Bytes(1000))
    );
}

#[test]
fn a_lease_ends_exactly_when_agreed_time_says_so_and_time_never_goes_back() {
    let mut scene = Scene::new(LedgerConfig::default());
    let lease = scene.grant(1, wish(600));
    assert_eq!(scene.pass(99), []);
    let events = scene.pass(1);
    assert!(matches!(&events[..], [LedgerEvent::LeaseExpired { lease: over }] if *over == lease));
    let before = scene.ledger.time();
    scene.time = 5;
    assert_eq!(scene.pass(0), []);
    assert_eq!(scene.ledger.time(), before);
}

#[test]
fn requests_that_can_never_be_served_are_refused_by_name() {
    let mut scene = Scene::new(LedgerConfig::default());
    let events = scene.run(1, &Command::Request(wish(1001)));
    let expected = RefuseReason::TooLarge {
        bytes: Bytes(1001),
        capacity: Bytes(1000),
    };
    assert_eq!(refusal(&events), expected);
    let text = events[0].to_string();
    assert!(
        text.contains("1001 bytes") && text.contains("1000 bytes"),
        "{text}"
    );
    let mut ask = |change: fn(&mut ResourceRequest)| {
        let mut wanted = wish(10);
        change(&mut wanted);
        refusal(&scene.run(1, &Command::Request(wanted)))
    };
    assert_eq!(ask(|w| w.bytes = Bytes(0)), RefuseReason::ZeroBytes);
    assert_eq!(ask(|w| w.share = Permille::ZERO), RefuseReason::ZeroShare);
    assert_eq!(
        ask(|w| w.device = Some(DeviceId(9))),
        RefuseReason::UnknownDevice { device: DeviceId(9) }
    );
    assert!(matches!(
        ask(|w| w.hold = Millis(0)),
        RefuseReason::HoldOutOfRange { .. }
    ));
    assert!(matches!(
        ask(|w| w.hold = Millis(60_001)),
        RefuseReason::HoldOutOfRange { .. }
    ));
    assert!(matches!(
        ask(|w| w.deadline = Some(Timestamp(999))),
        RefuseReason::DeadlinePassed { .. }
    ));
    let mut empty = Ledger::new(genesis(LedgerConfig::default())).expect("valid");
    let mut wanted = wish(1);
    wanted.device = None;
    let entry = scene.sign(0, 0, &Command::Request(wanted));
    let block = Block {
        height: 1,
        time: Timestamp(1),
        entries: vec![entry],
        ..Block::default()
    };
    assert_eq!(
        refusal(&empty.apply(&block).expect("first")),
        RefuseReason::NoDevice
    );
}

#[test]
fn a_waiting_request_ends_at_its_deadline() {
    let mut scene = Scene::new(LedgerConfig::default());
    scene.grant(1, wish(1000));
    let mut wanted = wish(10);
    wanted.deadline = Some(Timestamp(1_050));
    let (request, ahead, why) = scene.queue(2, wanted);
    assert_eq!(
        (ahead, why),
        (
            0,
            WaitReason::Memory {
                wanted: Bytes(10),
                free: Bytes(0)
            }
        )
    );
    assert_eq!(scene.pass(50), []);
    let events = scene.pass(1);
    assert_eq!(
        events,
        [LedgerEvent::RequestRefused {
            request,
            reason: RefuseReason::DeadlinePassed {
                deadline: Timestamp(1_050)
            }
        }]
    );
}

#[test]
fn compute_shares_limit_grants_as_well() {
    let mut scene = Scene::new(LedgerConfig::default());
    let mut wanted = wish(10);
    wanted.share = Permille::new(700).expect("in range");
    scene.grant(1, wanted.clone());
    let (_, _, why) = scene.queue(2, wanted);
    assert!(
        matches!(why, WaitReason::Compute { free, .. } if free.get() == 300),
        "{why}"
    );
}

#[test]
fn forged_misdirected_and_repeated_entries_change_nothing() {
    let mut scene = Scene::new(LedgerConfig::default());
    let ask = Command::Request(wish(10));
    let mut forged = scene.sign(1, 0, &ask);
    forged.signature.0[3] ^= 1;
    let mut borrowed = scene.sign(2, 0, &ask);
    borrowed.agent = AgentId(1);
    let key = key_of(AgentId(1));
    let foreign = SignedCommand::sign(&key, ChainId([9; 32]), AgentId(1), 0, &ask).expect("small");
    let before = scene.ledger.clone();
    for entry in [forged, borrowed, foreign] {
        assert_eq!(dropped(&scene.commit(vec![entry])), DropReason::BadSignature);
    }
    let stranger = scene.sign(77, 0, &ask);
    assert_eq!(dropped(&scene.commit(vec![stranger])), DropReason::UnknownAgent);
    let mut large = scene.sign(1, 0, &ask);
    large.payload = vec![0; 513];
    assert_eq!(dropped(&scene.commit(vec![large])), DropReason::TooLarge);
    let far = scene.sign(1, 64, &ask);
    assert_eq!(
        dropped(&scene.commit(vec![far])),
        DropReason::TooFarAhead { next: 0, last: 63 }
    );
    assert_eq!(scene.ledger.next_seq(AgentId(1)), before.next_seq(AgentId(1)));
    assert_eq!(scene.ledger.queue().count() + scene.ledger.leases().count(), 0);
    let good = scene.next(1, &ask);
    assert!(matches!(
        scene.commit(vec![good.clone()])[..],
        [LedgerEvent::LeaseGranted(_)]
    ));
    assert_eq!(
        dropped(&scene.commit(vec![good])),
        DropReason::Replayed { next: 1 }
    );
    assert_eq!(scene.ledger.leases().count(), 1, "granted once");
}

#[test]
fn a_key_registered_in_a_block_counts_for_its_later_entries() {
    let mut scene = Scene::new(LedgerConfig::default());
    let register = Command::RegisterAgent {
        agent: AgentId(4),
        owner: OwnerId(4),
        key: key_of(AgentId(4)).public(),
    };
    let entries = vec![
        scene.next(4, &Command::Request(wish(10))),
        scene.next(0, &register),
        scene.sign(4, 0, &Command::Request(wish(10))),
        scene.next(4, &Command::Request(wish(20))),
    ];
    let events = scene.commit(entries);
    assert_eq!(dropped(&events[..1]), DropReason::UnknownAgent);
    assert!(matches!(
        events[1..],
        [
            LedgerEvent::AgentRegistered { .. },
            LedgerEvent::LeaseGranted(_),
            LedgerEvent::LeaseGranted(_)
        ]
    ));
}

#[test]
fn an_entry_is_judged_without_its_signature_as_in_a_block() {
    let mut scene = Scene::new(LedgerConfig::default());
    let ask = Command::Request(wish(10));
    let good = scene.sign(1, 0, &ask);
    assert_eq!(scene.ledger.check_entry(&good), Ok(()));
    assert_eq!(scene.ledger.check_entry(&scene.sign(1, 5, &ask)), Ok(()));
    assert_eq!(
        scene.ledger.check_entry(&scene.sign(9, 0, &ask)),
        Err(DropReason::UnknownAgent)
    );
    let mut large = good.clone();
    large.payload = vec![0; 513];
    assert_eq!(scene.ledger.check_entry(&large), Err(DropReason::TooLarge));
    assert_eq!(
        scene.ledger.check_entry(&scene.sign(1, 64, &ask)),
        Err(DropReason::TooFarAhead { next: 0, last: 63 })
    );
    scene.commit(vec![good.clone()]);
    assert_eq!(
        scene.ledger.check_entry(&good),
        Err(DropReason::Replayed { next: 1 })
    );
    let key = key_of(AgentId(1)).public();
    assert_eq!(scene.ledger.agent_key(AgentId(1)), Some(key));
    assert_eq!(scene.ledger.agent_key(AgentId(9)), None);
}

#[test]
fn early_commands_wait_and_are_carried_out_in_order() {
    let mut scene = Scene::new(LedgerConfig::default());
    let cancel = |seq| Command::Cancel {
        request: RequestId {
            agent: AgentId(1),
            seq,
        },
    };
    scene.grant(2, wish(1000));
    let (zero, one) = (
        scene.sign(1, 0, &Command::Request(wish(10))),
        scene.sign(1, 1, &cancel(0)),
    );
    let held = scene.commit(vec![one.clone(), one]);
    assert!(matches!(
        held[0],
        LedgerEvent::Held {
            seq: 1,
            missing: 0,
            ..
        }
    ));
    assert_eq!(dropped(&held[1..]), DropReason::AlreadyHeld);
    let events = scene.commit(vec![zero]);
    assert!(matches!(events[0], LedgerEvent::RequestQueued { .. }));
    assert!(matches!(events[1], LedgerEvent::RequestCancelled { seq: 1, .. }));
    assert_eq!(scene.ledger.next_seq(AgentId(1)), Some(2));
    scene.seqs.insert(AgentId(1), 2);
    let theirs = Command::Cancel {
        request: RequestId {
            agent: AgentId(2),
            seq: 0,
        },
    };
    assert!(matches!(
        rejection(&scene.run(1, &theirs)),
        Rejection::NoSuchRequest { .. }
    ));
}

#[test]
fn an_authentic_command_that_is_not_canonical_uses_its_number() {
    let mut scene = Scene::new(LedgerConfig::default());
    let mut entry = scene.next(1, &Command::TouchTrial { trial: TrialId(0) });
    entry.payload.push(0);
    // Sign the longer payload as a hostile agent would.
    let mut message = b"daa-coord/command/v1".to_vec();
    message.extend_from_slice(&scene.ledger.chain_id().0);
    message.extend_from_slice(&1_u32.to_le_bytes());
    message.extend_from_slice(&0_u64.to_le_bytes());
    message.extend_from_slice(&entry.payload);
    entry.signature = key_of(AgentId(1)).sign(&message);
    assert_eq!(rejection(&scene.commit(vec![entry])), Rejection::Malformed);
    assert_eq!(scene.ledger.next_seq(AgentId(1)), Some(1));
}

#[test]
fn only_the_operator_registers_and_revokes() {
    let mut scene = Scene::new(LedgerConfig::default());
    for (command, number) in registrations().into_iter().zip([1, 2, 3, DEVICE.get()]) {
        let (first, last) = (1024, 2047);
        assert_eq!(
            rejection(&scene.run(1, &command)),
            Rejection::OutsideBlock { number, first, last }
        );
    }
    let lease = scene.grant(2, wish(10));
    let revoke = Command::Revoke {
        lease: lease.id,
        reason: ShortText::fitted("maintenance"),
    };
    assert_eq!(rejection(&scene.run(1, &revoke)), Rejection::NotOperator);
    let events = scene.run(0, &revoke);
    assert!(matches!(&events[..], [LedgerEvent::LeaseRevoked { lease: over, .. }] if *over == lease));
    assert!(matches!(
        rejection(&scene.run(0, &revoke)),
        Rejection::NoSuchLease { .. }
    ));
}

#[test]
fn registering_again_is_answered_alike_and_a_change_is_refused() {
    let mut scene = Scene::new(LedgerConfig::default());
    let before = scene.ledger.devices().count() + scene.ledger.agents().count();
    for command in registrations() {
        let events = scene.run(0, &command);
        assert!(events[0].answers().is_some() && !matches!(events[0], LedgerEvent::Rejected { .. }));
    }
    assert_eq!(
        scene.ledger.devices().count() + scene.ledger.agents().count(),
        before
    );
    let other_key = Command::RegisterAgent {
        agent: AgentId(1),
        owner: OwnerId(1),
        key: key_of(AgentId(2)).public(),
    };
    assert_eq!(
        rejection(&scene.run(0, &other_key)),
        Rejection::AgentExists { agent: AgentId(1) }
    );
    let weak = Command::RegisterAgent {
        agent: AgentId(9),
        owner: OwnerId(1),
        key: PublicKey([0; 32]),
    };
    assert_eq!(rejection(&scene.run(0, &weak)), Rejection::InvalidKey);
    let other_size = Command::RegisterDevice {
        device: DEVICE,
        capacity: Bytes(5),
    };
    assert!(matches!(
        rejection(&scene.run(0, &other_size)),
        Rejection::DeviceExists { .. }
    ));
    let empty = Command::RegisterDevice {
        device: DeviceId(7),
        capacity: Bytes(0),
    };
    assert_eq!(rejection(&scene.run(0, &empty)), Rejection::ZeroCapacity);
}

#[test]
fn foreign_and_stale_tokens_open_nothing() {
    let mut scene = Scene::new(LedgerConfig::default());
    let lease = scene.grant(1, wish(10));
    assert_eq!(
        rejection(&scene.run(2, &release(&lease))),
        Rejection::NotHolder { lease: lease.id }
    );
    let stale = Command::Renew {
        lease: lease.id,
        token: FencingToken(0),
        hold: Millis(10),
    };
    assert_eq!(
        rejection(&scene.run(1, &stale)),
        Rejection::WrongToken { token: lease.token }
    );
}

#[test]
fn a_renewal_prolongs_until_somebody_waits() {
    let mut scene = Scene::new(LedgerConfig::default());
    let lease = scene.grant(1, wish(600));
    scene.pass(50);
    assert!(matches!(
        scene.renew(&lease),
        LedgerEvent::LeaseRenewed {
            until: Timestamp(1_150),
            ..
        }
    ));
    let (request, ..) = scene.queue(2, wish(500));
    assert_eq!(scene.ledger.contender(lease.id), Some(request));
    let event = scene.renew(&lease);
    let expected = RenewRefusal::Contended { request };
    assert!(
        matches!(&event, LedgerEvent::RenewRefused { reason, until: Timestamp(1_150), .. } if *reason == expected)
    );
    let events = scene.run(1, &release(&lease));
    assert!(
        matches!(&events[..], [LedgerEvent::LeaseReleased { .. }, LedgerEvent::LeaseGranted(next)] if next.request == request)
    );
}

#[test]
fn small_leases_that_renew_in_turn_do_not_starve_a_large_request() {
    let mut scene = Scene::new(LedgerConfig::default());
    let (old, young) = (scene.grant(1, wish(500)), scene.grant(2, wish(400)));
    let (request, ..) = scene.queue(3, wish(1000));
    for lease in [&old, &young] {
        assert!(
            matches!(scene.renew(lease), LedgerEvent::RenewRefused { .. }),
            "{lease:?}"
        );
    }
    let events = scene.pass(100);
    assert!(matches!(events.last(), Some(LedgerEvent::LeaseGranted(lease)) if lease.request == request));
}

#[test]
fn only_as_many_leases_yield_as_the_first_in_line_needs() {
    let mut scene = Scene::new(LedgerConfig::default());
    let (old, young) = (scene.grant(1, wish(500)), scene.grant(2, wish(400)));
    scene.queue(3, wish(550));
    assert!(matches!(scene.renew(&old), LedgerEvent::RenewRefused { .. }));
    assert!(matches!(scene.renew(&young), LedgerEvent::LeaseRenewed { .. }));
}

#[test]
fn important_requests_go_first_but_overtake_only_so_often() {
    let config = LedgerConfig {
        max_overtakes: 2,
        ..LedgerConfig::default()
    };
    let mut scene = Scene::new(config);
    let mut holder = scene.grant(1, wish(1000));
    let (patient, ..) = scene.queue(2, wish(1000));
    let mut important = wish(1000);
    important.priority = 9;
    let mut served = Vec::new();
    for _ in 0..4 {
        scene.run(3, &Command::Request(important.clone()));
        let agent = holder.agent.get();
        match &scene.run(agent, &release(&holder))[..] {
            [_, LedgerEvent::LeaseGranted(lease)] => holder = lease.clone(),
            other => panic!("no grant: {other:?}"),
        }
        served.push(holder.request == patient);
    }
    assert_eq!(
        served,
        [false, false, true, false],
        "two overtakes, then the patient one"
    );
}

#[test]
fn small_requests_overtake_only_so_often_and_then_the_device_is_kept_free() {
    let config = LedgerConfig {
        max_overtakes: 2,
        ..LedgerConfig::default()
    };
    let mut scene = Scene::new(config);
    scene.grant(1, wish(500));
    let (large, ..) = scene.queue(2, wish(1000));
    scene.grant(3, wish(100));
    scene.grant(3, wish(100));
    let (small, ahead, why) = scene.queue(3, wish(100));
    assert_eq!((ahead, why), (1, WaitReason::Reserved { behind: large }));
    let cancel = Command::Cancel { request: large };
    let events = scene.run(2, &cancel);
    assert!(
        matches!(&events[..], [LedgerEvent::RequestCancelled { .. }, LedgerEvent::LeaseGranted(lease)] if lease.request == small)
    );
}

#[test]
fn a_large_request_is_served_among_hostile_renewals_and_floods() {
    let mut scene = Scene::new(LedgerConfig::default());
    scene.grant(1, wish(500));
    let (large, ..) = scene.queue(2, wish(1000));
    let mut flood = wish(100);
    flood.priority = u8::MAX;
    for round in 0..40 {
        let leases: Vec<Lease> = scene.ledger.leases().cloned().collect();
        for lease in &leases {
            scene.renew(lease);
        }
        for agent in [1, 3] {
            scene.run(agent, &Command::Request(flood.clone()));
        }
        scene.pass(30);
        if !scene.ledger.is_waiting(large) {
            // Eight overtakes, then at most one hold of 100 ms until the last of them ends.
            assert!(round <= 8, "served only in round {round}");
            return;
        }
    }
    panic!("starved");
}

#[test]
fn any_device_means_the_one_with_most_room() {
    let mut scene = Scene::new(LedgerConfig::default());
    let second = Command::RegisterDevice {
        device: DeviceId(2),
        capacity: Bytes(700),
    };
    scene.run(0, &second);
    let mut any = wish(400);
    any.device = None;
    let devices: Vec<u32> = (0..3).map(|_| scene.grant(1, any.clone()).device.get()).collect();
    assert_eq!(devices, [1, 2, 1]);
    any.bytes = Bytes(800);
    assert!(matches!(scene.queue(2, any).2, WaitReason::Memory { .. }));
}

#[test]
fn open_requests_are_bounded_per_agent_and_in_all() {
    let config = LedgerConfig {
        max_open: 3,
        max_open_per_agent: 2,
        ..LedgerConfig::default()
    };
    let mut scene = Scene::new(config);
    scene.grant(1, wish(900));
    scene.queue(1, wish(900));
    let third = scene.run(1, &Command::Request(wish(1)));
    assert_eq!(refusal(&third), RefuseReason::AgentFull { limit: 2 });
    scene.queue(2, wish(900));
    let fourth = scene.run(3, &Command::Request(wish(1)));
    assert_eq!(refusal(&fourth), RefuseReason::LedgerFull { limit: 3 });
}

#[test]
fn trials_are_claimed_in_order_within_the_window() {
    let config = LedgerConfig {
        trial_window: 1,
        max_trials: 3,
        ..LedgerConfig::default()
    };
    let mut scene = Scene::new(config);
    let next = TrialId(0);
    assert_eq!(
        rejection(&scene.run(1, &claim(1))),
        Rejection::TrialNotNext {
            trial: TrialId(1),
            next
        }
    );
    assert!(matches!(
        scene.run(1, &claim(0))[..],
        [LedgerEvent::TrialClaimed { .. }]
    ));
    assert!(matches!(
        scene.run(1, &claim(0))[..],
        [LedgerEvent::TrialClaimed { .. }]
    ));
    assert_eq!(
        rejection(&scene.run(2, &claim(0))),
        Rejection::TrialTaken {
            trial: next,
            by: AgentId(1)
        }
    );
    assert!(matches!(
        scene.run(2, &claim(1))[..],
        [LedgerEvent::TrialClaimed { .. }]
    ));
    assert_eq!(
        scene.ledger.claimable_trial(),
        None,
        "trial 2 needs the result of trial 0"
    );
    assert_eq!(
        rejection(&scene.run(3, &claim(2))),
        Rejection::WindowClosed {
            trial: TrialId(2),
            missing: next
        }
    );
    scene.run(2, &result(1, 7));
    assert_eq!(
        scene.ledger.claimable_trial(),
        None,
        "a later result does not open it"
    );
    scene.run(1, &result(0, 5));
    assert_eq!(scene.ledger.claimable_trial(), Some(TrialId(2)));
    let seen: Vec<TrialId> = scene
        .ledger
        .visible_records(TrialId(2))
        .map(|(id, _)| id)
        .collect();
    assert_eq!(seen, [TrialId(0)], "trial 1 is recorded but not to be seen");
    scene.run(3, &claim(2));
    assert_eq!(
        rejection(&scene.run(1, &claim(3))),
        Rejection::TrialLimit { last: TrialId(2) }
    );
    assert_eq!(scene.ledger.claimable_trial(), None);
}

#[test]
fn a_trial_has_one_result_from_its_claimant() {
    let mut scene = Scene::new(LedgerConfig::default());
    scene.run(1, &claim(0));
    let trial = TrialId(0);
    assert_eq!(
        rejection(&scene.run(2, &result(0, 5))),
        Rejection::NotClaimant { trial }
    );
    let first = scene.run(1, &result(0, 5));
    let again = scene.run(1, &result(0, 5));
    let record = |events: &[LedgerEvent]| match events {
        [LedgerEvent::TrialRecorded { record, .. }] => record.clone(),
        other => panic!("not recorded: {other:?}"),
    };
    assert_eq!(record(&first), record(&again));
    assert_ne!(
        first[0].answers(),
        again[0].answers(),
        "each command has its own answer"
    );
    assert_eq!(
        rejection(&scene.run(1, &result(0, 6))),
        Rejection::ResultDiffers { trial }
    );
    assert_eq!(
        rejection(&scene.run(2, &result(0, 5))),
        Rejection::NotClaimant { trial }
    );
    assert_eq!(
        rejection(&scene.run(2, &claim(0))),
        Rejection::TrialOver { trial }
    );
}

#[test]
fn abandoned_and_forgotten_trials_return_to_the_pool() {
    let config = LedgerConfig {
        claim_timeout: Millis(100),
        ..LedgerConfig::default()
    };
    let mut scene = Scene::new(config);
    let trial = TrialId(0);
    scene.run(1, &claim(0));
    scene.run(1, &claim(1));
    scene.pass(60);
    scene.run(1, &Command::TouchTrial { trial });
    let events = scene.pass(40);
    assert!(matches!(
        events[..],
        [LedgerEvent::TrialReleased {
            trial: TrialId(1),
            seq: None,
            reason: ReleaseReason::TimedOut,
            ..
        }]
    ));
    assert_eq!(
        rejection(&scene.run(1, &result(1, 1))),
        Rejection::NotClaimant { trial: TrialId(1) }
    );
    let events = scene.run(1, &Command::AbandonTrial { trial });
    assert!(matches!(
        events[..],
        [LedgerEvent::TrialReleased {
            reason: ReleaseReason::Abandoned,
            ..
        }]
    ));
    assert_eq!(
        scene.ledger.claimable_trial(),
        Some(trial),
        "the lowest released one"
    );
    for number in [1, 0] {
        assert!(matches!(
            scene.run(2, &claim(number))[..],
            [LedgerEvent::TrialClaimed { .. }]
        ));
    }
    assert_eq!(scene.ledger.next_trial(), TrialId(2));
}

#[test]
fn blocks_out_of_turn_or_too_large_are_refused_whole() {
    let config = LedgerConfig {
        max_block_entries: 1,
        ..LedgerConfig::default()
    };
    let mut scene = Scene::new(config);
    let before = scene.ledger.clone();
    let expected = scene.ledger.height() + 1;
    for found in [0, expected - 1, expected + 1] {
        let block = Block {
            height: found,
            ..Block::default()
        };
        assert_eq!(
            scene.ledger.apply(&block),
            Err(LedgerError::Height { expected, found })
        );
    }
    let entry = scene.sign(1, 0, &claim(0));
    let block = Block {
        height: expected,
        time: Timestamp(9_999),
        entries: vec![entry.clone(), entry],
        ..Block::default()
    };
    assert_eq!(
        scene.ledger.apply(&block),
        Err(LedgerError::TooManyEntries { found: 2, limit: 1 })
    );
    assert_eq!(scene.ledger, before);
}

#[test]
fn snapshots_restore_and_damaged_ones_do_not() {
    let mut scene = Scene::new(LedgerConfig::default());
    scene.grant(1, wish(900));
    scene.queue(2, wish(200));
    scene.run(3, &claim(0));
    let early = scene.sign(3, 9, &claim(1));
    scene.commit(vec![early]);
    let bytes = scene.ledger.snapshot();
    let genesis = scene.ledger.genesis().clone();
    let mut restored = Ledger::restore(&genesis, &bytes).expect("whole");
    assert_eq!(restored, scene.ledger);
    assert_eq!(restored.state_hash(), scene.ledger.state_hash());
    let next = Block {
        height: restored.height() + 1,
        time: Timestamp(9_000),
        ..Block::default()
    };
    assert_eq!(restored.apply(&next), scene.ledger.apply(&next));
    for at in 0..bytes.len() {
        let mut damaged = bytes.clone();
        damaged[at] ^= 1;
        assert!(Ledger::restore(&genesis, &damaged).is_err(), "byte {at}");
        assert!(Ledger::restore(&genesis, &bytes[..at]).is_err(), "cut at {at}");
    }
    let other = self::genesis(LedgerConfig {
        max_trials: 7,
        ..LedgerConfig::default()
    });
    assert!(matches!(
        Ledger::restore(&other, &bytes),
        Err(LedgerError::WrongChain { .. })
    ));
}

#[test]
fn a_snapshot_that_contradicts_itself_is_refused_although_its_hash_holds() {
    let mut scene = Scene::new(LedgerConfig::default());
    scene.grant(1, wish(900));
    let genesis = scene.ledger.genesis().clone();
    let corruptions: [fn(&mut super::State); 6] = [
        |state| state.devices.get_mut(&DEVICE).expect("there").capacity = Bytes(899),
        |state| state.devices.get_mut(&DEVICE).expect("there").used = Bytes(1),
        |state| state.agents.get_mut(&AgentId(1)).expect("there").open = 0,
        |state| state.time = Timestamp(1 << 40),
        |state| state.trials.next = 1,
        |state| {
            state.agents.get_mut(&OPERATOR).expect("there").key = key_of(AgentId(1)).public();
        },
    ];
    for (number, corrupt) in corruptions.into_iter().enumerate() {
        let mut ledger = scene.ledger.clone();
        corrupt(&mut ledger.state);
        let restored = Ledger::restore(&genesis, &ledger.snapshot());
        assert!(
            matches!(restored, Err(LedgerError::Invariant(_))),
            "corruption {number}: {restored:?}"
        );
    }
}

#[test]
fn every_event_is_one_line_for_people() {
    let mut scene = Scene::new(LedgerConfig::default());
    let lease = scene.grant(1, wish(1000));
    scene.queue(2, wish(1000));
    let mut events = vec![scene.renew(&lease)];
    events.extend(scene.run(3, &claim(0)));
    events.extend(scene.run(3, &result(0, -4)));
    events.extend(scene.run(3, &result(1, 4)));
    events.extend(scene.pass(100));
    let lines: Vec<String> = events.iter().map(ToString::to_string).collect();
    assert_eq!(
        lines[..4],
        [
            "lease-1 of agent-1 is not prolonged: request-2.0 waits for what it holds",
            &format!(
                "trial-0 claimed by agent-3 (decision {:.8})",
                Digest::of(&0_u32.to_le_bytes())
            ),
            "trial-0 ended at agent-3 with score -4 millionths after 3 epochs",
            "command 2 of agent-3 rejected: trial-1 is not claimed by this agent",
        ]
    );
    assert_eq!(
        lines[4..],
        [
            "lease-1 of agent-1 ran out, 1000 B free",
            "lease-2 granted to agent-2: 1000 B and 10.0 % of device-1 for 100 ms",
        ]
    );
}
