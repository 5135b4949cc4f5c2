use super::*;
use crate::command::{Command, RequestId, SignedCommand};
use crate::feed::FeedError;
use crate::genesis::LedgerConfig;
use crate::ledger::tests::{AGENTS, genesis, key_of, registrations, wish};
use crate::ledger::{Ledger, LedgerEvent};
use crate::log::sequencer::{FaultCounts, Sequencer, SequencerConfig, SequencerCore, SequencerFaults};
use crate::log::{Block, CommitLog, SubmitError};
use daa_base::{AgentId, Bytes, ManualClock, Millis, Seed, SystemClock, Timestamp, TrialId};
use proptest::prelude::*;
use std::collections::BTreeMap;
use std::sync::{Arc, Mutex};
use std::time::Duration;

const WAIT: Duration = Duration::from_secs(20);

fn millis(millis: u64) -> Duration {
    Duration::from_millis(millis)
}

fn outbox(agent: u32, config: OutboxConfig) -> Outbox {
    let (id, chain) = (AgentId(agent), genesis(LedgerConfig::default()).chain_id());
    Outbox::new(key_of(id), chain, id, 0, config).expect("valid")
}

fn touch() -> Command {
    Command::TouchTrial { trial: TrialId(0) }
}

fn seqs(sent: &[SignedCommand]) -> Vec<u64> {
    sent.iter().map(|command| command.seq).collect()
}

#[test]
fn a_command_is_repeated_with_growing_pauses_until_the_outbox_gives_up() {
    let mut outbox = outbox(
        1,
        OutboxConfig {
            resubmit_after: Millis(10),
            max_backoff: Millis(30),
            max_attempts: 4,
            ..OutboxConfig::default()
        },
    );
    let (seq, effects) = outbox.submit(&touch(), millis(0)).expect("room");
    assert_eq!((seq, seqs(&effects.send)), (0, vec![0]));
    let mut due = Vec::new();
    loop {
        let now = outbox.next_due().expect("something is due");
        due.push(now.as_millis());
        let effects = outbox.on_tick(now);
        if effects.send.is_empty() {
            assert_eq!(effects.resolved, [Resolution::Unknown { seq: 0 }]);
            break;
        }
        assert_eq!(outbox.on_tick(now), Effects::default(), "once per due time");
    }
    assert_eq!(due, [10, 30, 60, 90]);
    assert_eq!(
        outbox.submit(&touch(), millis(99)),
        Err(OutboxError::GaveUp { seq: 0 })
    );
    assert!(outbox.is_idle());
}

#[test]
fn only_a_window_is_submitted_and_it_moves_with_the_answers() {
    let config = OutboxConfig {
        capacity: 3,
        window: 2,
        ..OutboxConfig::default()
    };
    let mut outbox = outbox(1, config);
    let sent: Vec<_> = (0..3)
        .map(|_| seqs(&outbox.submit(&touch(), millis(0)).expect("room").1.send))
        .collect();
    assert_eq!(sent, [vec![0], vec![1], vec![]]);
    assert_eq!(
        outbox.submit(&touch(), millis(0)),
        Err(OutboxError::Full { limit: 3 })
    );
    let answer = LedgerEvent::TrialTouched {
        trial: TrialId(0),
        agent: AgentId(1),
        seq: 0,
        until: Timestamp(1),
    };
    let effects = outbox.on_event(&answer, millis(1));
    assert_eq!(seqs(&effects.send), [2]);
    assert_eq!(effects.resolved.len(), 1);
    assert_eq!(
        outbox.on_event(&answer, millis(2)),
        Effects::default(),
        "answered once"
    );
}

#[test]
fn what_strangers_do_resolves_nothing() {
    use crate::ledger::reason::{DropReason, Rejection};
    let mut outbox = outbox(1, OutboxConfig::default());
    let _ = outbox.submit(&touch(), millis(0)).expect("room");
    let forged = LedgerEvent::Dropped {
        agent: AgentId(1),
        seq: 0,
        reason: DropReason::BadSignature,
    };
    assert_eq!(outbox.on_event(&forged, millis(1)), Effects::default());
    let other = LedgerEvent::Rejected {
        agent: AgentId(2),
        seq: 0,
        reason: Rejection::Malformed,
    };
    assert_eq!(outbox.on_event(&other, millis(1)), Effects::default());
    assert_eq!(outbox.unanswered(), 1);
}

#[test]
fn a_held_command_is_not_repeated() {
    let mut outbox = outbox(1, OutboxConfig::default());
    for _ in 0..2 {
        let _ = outbox.submit(&touch(), millis(0)).expect("room");
    }
    let held = LedgerEvent::Held {
        agent: AgentId(1),
        seq: 1,
        missing: 0,
    };
    assert_eq!(outbox.on_event(&held, millis(1)), Effects::default());
    assert_eq!(seqs(&outbox.on_tick(millis(10_000)).send), [0]);
}

#[test]
fn configurations_out_of_range_are_refused() {
    let id = AgentId(1);
    let chain = genesis(LedgerConfig::default()).chain_id();
    let config = OutboxConfig {
        window: 65,
        ..OutboxConfig::default()
    };
    let error = Outbox::new(key_of(id), chain, id, 0, config).expect_err("beyond any ledger's window");
    assert_eq!(error.to_string(), "window is 65, allowed are 1 to 64");
}

/// Outboxes, a faulty log and a ledger, turned by hand.
struct World {
    core: SequencerCore,
    ledger: Ledger,
    outboxes: BTreeMap<AgentId, Outbox>,
    ended: BTreeMap<(AgentId, u64), usize>,
    executed: BTreeMap<(AgentId, u64), usize>,
    now: Duration,
}

impl World {
    fn new(faults: Option<SequencerFaults>) -> Self {
        let genesis = genesis(LedgerConfig::default());
        let config = SequencerConfig {
            faults,
            history: 16,
            ..SequencerConfig::default()
        };
        let core = SequencerCore::new(genesis.clone(), config, Timestamp(1), Duration::ZERO);
        let patient = OutboxConfig {
            resubmit_after: Millis(100),
            max_backoff: Millis(800),
            ..OutboxConfig::default()
        };
        Self {
            core: core.expect("valid"),
            ledger: Ledger::new(genesis).expect("valid"),
            outboxes: (0..=AGENTS)
                .map(|id| (AgentId(id), outbox(id, patient.clone())))
                .collect(),
            ended: BTreeMap::new(),
            executed: BTreeMap::new(),
            now: Duration::ZERO,
        }
    }

    fn submit(&mut self, agent: u32, command: &Command) -> u64 {
        let outbox = self.outboxes.get_mut(&AgentId(agent)).expect("known");
        let (seq, effects) = outbox.submit(command, self.now).expect("room");
        self.ended.insert((AgentId(agent), seq), 0);
        self.perform(AgentId(agent), effects);
        seq
    }

    fn perform(&mut self, agent: AgentId, effects: Effects) {
        for command in effects.send {
            match self.core.submit(command) {
                Ok(()) | Err(SubmitError::Timeout) => {}
                Err(error) => panic!("{error}"),
            }
        }
        for resolution in effects.resolved {
            assert!(
                !matches!(resolution, Resolution::Unknown { .. }),
                "{resolution:?}"
            );
            if let Some(seq) = resolution.ends() {
                *self.ended.entry((agent, seq)).or_default() += 1;
            }
        }
    }

    fn turn(&mut self) {
        self.now += millis(50);
        for block in self.core.cut(self.now) {
            let events = self.ledger.apply(&block).expect("in order");
            for event in &events {
                let queued_before = matches!(
                    event,
                    LedgerEvent::LeaseGranted(_) | LedgerEvent::RequestRefused { .. }
                );
                if let Some(command) = event.answers().filter(|_| !queued_before) {
                    *self.executed.entry(command).or_default() += 1;
                }
                for agent in self.outboxes.keys().copied().collect::<Vec<_>>() {
                    let outbox = self.outboxes.get_mut(&agent).expect("known");
                    let effects = outbox.on_event(event, self.now);
                    self.perform(agent, effects);
                }
            }
        }
        for agent in self.outboxes.keys().copied().collect::<Vec<_>>() {
            let effects = self.outboxes.get_mut(&agent).expect("known").on_tick(self.now);
            self.perform(agent, effects);
        }
        self.ledger.check_invariants().expect("invariants hold");
    }

    fn settle(&mut self) {
        for _ in 0..2_000 {
            if self.outboxes.values().all(Outbox::is_idle) {
                return;
            }
            self.turn();
        }
        panic!("commands are still open: {:?}", self.outboxes);
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 24, ..ProptestConfig::default() })]

    #[test]
    fn every_command_ends_exactly_once_whatever_the_log_does(
        seed in any::<u64>(),
        plan in prop::collection::vec((1..=AGENTS, 1_u64..1000, 0_u64..4), 1..40),
    ) {
        let mut world = World::new(Some(SequencerFaults::harsh(Seed(seed))));
        for command in registrations() {
            world.submit(0, &command);
        }
        // Agents that are not registered yet are dropped, and heard once they are.
        let mut counts = BTreeMap::new();
        for (agent, bytes, turns) in plan {
            world.submit(agent, &Command::Request(wish(bytes)));
            let claim = Command::ClaimTrial { trial: TrialId(0), digest: crate::Digest::default() };
            world.submit(agent, &claim);
            *counts.entry(AgentId(agent)).or_insert(0) += 2;
            for _ in 0..turns {
                world.turn();
            }
        }
        world.settle();
        prop_assert!(world.ended.values().all(|&ends| ends == 1), "{:?}", world.ended);
        prop_assert!(world.executed.values().all(|&times| times == 1), "{:?}", world.executed);
        for (agent, count) in counts {
            prop_assert_eq!(world.ledger.next_seq(agent), Some(count));
        }
        prop_assert_eq!(world.ledger.claims().count(), 1, "one claim was carried out");
    }
}

#[test]
fn an_outbox_that_missed_blocks_learns_its_ends_from_the_ledger() {
    let mut world = World::new(None);
    for command in registrations() {
        world.submit(0, &command);
    }
    world.settle();
    let mut blind = outbox(1, OutboxConfig::default());
    let now = world.now;
    let mut sent = Vec::new();
    for bytes in [600, 600, 1001, 500] {
        let (_, effects) = blind.submit(&Command::Request(wish(bytes)), now).expect("room");
        sent.extend(effects.send);
    }
    sent.truncate(3);
    for command in sent {
        world.core.submit(command).expect("room");
    }
    world.turn();
    let effects = blind.reconcile(&world.ledger, world.now);
    let request = |seq| RequestId {
        agent: AgentId(1),
        seq,
    };
    assert!(
        matches!(
            &effects.resolved[..],
            [
                Resolution::Done { seq: 0, event },
                Resolution::Waiting { event: None, request: waiting },
                Resolution::AnswerMissed { seq: 2 },
            ] if matches!(&**event, LedgerEvent::LeaseGranted(_)) && *waiting == request(1)
        ),
        "{effects:?}"
    );
    assert_eq!(blind.unanswered(), 1, "the last one was never committed");
    assert_eq!(blind.reconcile(&world.ledger, world.now), Effects::default());
}

fn system() -> (Arc<Sequencer>, Arc<LedgerNode>, Arc<SystemClock>) {
    system_with(SequencerConfig {
        tick: Millis(2),
        ..SequencerConfig::default()
    })
}

fn system_with(config: SequencerConfig) -> (Arc<Sequencer>, Arc<LedgerNode>, Arc<SystemClock>) {
    let clock = Arc::new(SystemClock::new());
    let genesis = genesis(LedgerConfig::default());
    let sequencer = Sequencer::start(genesis.clone(), config, clock.clone()).expect("starts");
    let sequencer = Arc::new(sequencer);
    let log: Arc<dyn CommitLog> = sequencer.clone();
    let node = Arc::new(LedgerNode::start(genesis, log).expect("starts"));
    (sequencer, node, clock)
}

fn client(node: &Arc<LedgerNode>, clock: &Arc<SystemClock>, agent: u32) -> BlockingClient {
    let config = OutboxConfig {
        resubmit_after: Millis(10),
        max_backoff: Millis(40),
        max_attempts: 1_000,
        ..OutboxConfig::default()
    };
    let id = AgentId(agent);
    BlockingClient::new(node.clone(), clock.clone(), key_of(id), id, config).expect("room")
}

fn register(node: &Arc<LedgerNode>, clock: &Arc<SystemClock>) {
    let mut operator = client(node, clock, 0);
    for command in registrations() {
        operator.call(&command, WAIT).expect("registered");
    }
}

#[test]
fn threads_share_a_device_over_a_faulty_log() {
    let (sequencer, node, clock) = system_with(SequencerConfig {
        tick: Millis(2),
        faults: Some(SequencerFaults::harsh(Seed(5))),
        ..SequencerConfig::default()
    });
    register(&node, &clock);
    std::thread::scope(|scope| {
        for agent in 1..=AGENTS {
            let (node, clock) = (&node, &clock);
            scope.spawn(move || {
                let mut client = client(node, clock, agent);
                for _ in 0..5 {
                    let mut wanted = wish(700);
                    wanted.hold = Millis(60_000);
                    let event = client.call(&Command::Request(wanted), WAIT).expect("answered");
                    let LedgerEvent::LeaseGranted(lease) = event else {
                        panic!("{event}");
                    };
                    let release = Command::Release {
                        lease: lease.id,
                        token: lease.token,
                    };
                    let event = client.call(&release, WAIT).expect("answered");
                    assert!(matches!(event, LedgerEvent::LeaseReleased { .. }), "{event}");
                }
            });
        }
    });
    node.view(|ledger| {
        assert_eq!(ledger.leases().count(), 0);
        for agent in 1..=AGENTS {
            assert_eq!(ledger.next_seq(AgentId(agent)), Some(10));
        }
    });
    // Which faults come first depends on how the threads are timed; that there are some does not.
    assert_ne!(
        sequencer.fault_counts(),
        FaultCounts::default(),
        "the log was faulty"
    );
}

#[test]
fn two_replicas_agree_and_see_the_same_events() {
    let (sequencer, first, clock) = system();
    let second = LedgerNode::start(genesis(LedgerConfig::default()), sequencer.clone()).expect("starts");
    let logs: Vec<_> = [first.as_ref(), &second]
        .map(|node| {
            let seen = Arc::new(Mutex::new(Vec::new()));
            let kept = seen.clone();
            let after = node.attach(move |update| {
                kept.lock().expect("no panic").push(update.clone());
                true
            });
            (after.expect("room"), seen)
        })
        .into();
    register(&first, &clock);
    sequencer.shutdown();
    // Joining the nodes makes sure that they have seen the end.
    for node in [first.as_ref(), &second] {
        wait_for_end(node);
        assert_eq!(node.end(), Some(NodeEnd::LogClosed));
    }
    let heights = |seen: &Mutex<Vec<NodeUpdate>>, from: u64| -> Vec<NodeUpdate> {
        let seen = seen.lock().expect("no panic");
        let late =
            |update: &&NodeUpdate| !matches!(update, NodeUpdate::Applied { height, .. } if *height <= from);
        seen.iter().filter(late).cloned().collect()
    };
    let from = logs[0].0.max(logs[1].0);
    assert_eq!(heights(&logs[0].1, from), heights(&logs[1].1, from));
    assert_eq!(first.view(Ledger::state_hash), second.view(Ledger::state_hash));
    assert!(matches!(
        second.attach(|_| true),
        Err(NodeError::Ended(NodeEnd::LogClosed))
    ));
}

/// The node's thread ends by itself once its log is closed; its last update says so.
fn wait_for_end(node: &LedgerNode) {
    let Ok((_, mut updates)) = node.subscribe(4096) else {
        return;
    };
    loop {
        match updates.recv_timeout(WAIT) {
            Ok(NodeUpdate::Ended(_)) | Err(FeedError::Closed) => return,
            Ok(_) => {}
            Err(error) => panic!("{error}"),
        }
    }
}

#[test]
fn a_node_that_comes_late_starts_from_the_snapshot() {
    let (sequencer, node, clock) = system_with(SequencerConfig {
        tick: Millis(1),
        history: 1,
        ..SequencerConfig::default()
    });
    register(&node, &clock);
    let held = client(&node, &clock, 1)
        .call(&Command::Request(wish(100)), WAIT)
        .expect("answered");
    let LedgerEvent::LeaseGranted(lease) = held else {
        panic!("{held}");
    };
    assert!(matches!(
        sequencer.subscribe(1),
        Err(crate::SubscribeError::TooOld { .. })
    ));
    let late = LedgerNode::start(genesis(LedgerConfig::default()), sequencer.clone()).expect("starts");
    assert!(
        late.view(Ledger::height) > 0,
        "it did not begin with the first block"
    );
    sequencer.shutdown();
    wait_for_end(&node);
    wait_for_end(&late);
    assert_eq!(late.view(Ledger::state_hash), node.view(Ledger::state_hash));
    assert!(late.view(|ledger| ledger.device(lease.device).is_some()));
}

#[test]
fn a_node_that_is_outrun_goes_on_from_a_snapshot_and_says_so() {
    let (open, gate) = crossbeam::channel::bounded(1);
    let node =
        LedgerNode::start(genesis(LedgerConfig::default()), Arc::new(Skipping { gate })).expect("starts");
    let (_, mut updates) = node.subscribe(64).expect("room");
    open.send(()).expect("the log waits");
    let mut seen = Vec::new();
    let end = loop {
        match updates.recv_timeout(WAIT).expect("updates come") {
            NodeUpdate::Applied { height, .. } => seen.push(("applied", height)),
            NodeUpdate::Resynced { height, .. } => seen.push(("resynced", height)),
            NodeUpdate::Ended(end) => break end,
        }
    };
    assert_eq!(end, NodeEnd::LogClosed);
    // Block 1 may have been applied before this test subscribed.
    assert!(seen.ends_with(&[("resynced", 3), ("applied", 4)]), "{seen:?}");
}

/// A log that cuts its subscriber off after block 1 and then has only a snapshot of height 3 and block 4.
#[derive(Debug)]
struct Skipping {
    /// Opened when the test is ready to see what follows the cut.
    gate: crossbeam::channel::Receiver<()>,
}

impl Skipping {
    fn block(height: u64) -> Arc<Block> {
        Arc::new(Block {
            height,
            ..Block::default()
        })
    }
}

impl CommitLog for Skipping {
    fn submit(&self, _: SignedCommand) -> Result<(), SubmitError> {
        Ok(())
    }

    fn subscribe(&self, from: u64) -> Result<crate::BlockStream, crate::SubscribeError> {
        let (sender, stream) = crate::feed::feed([].into(), 1);
        match from {
            1 => {
                assert!(sender.offer(Self::block(1)));
                assert!(!sender.offer(Self::block(2)), "cut off");
            }
            4 => assert!(sender.offer(Self::block(4))),
            wanted => return Err(crate::SubscribeError::TooOld { wanted, oldest: 4 }),
        }
        Ok(stream)
    }

    fn snapshot(&self) -> Result<crate::log::LogSnapshot, crate::SubscribeError> {
        self.gate.recv_timeout(WAIT).expect("the test goes on");
        let mut ledger = Ledger::new(genesis(LedgerConfig::default())).expect("valid");
        for height in 1..=3 {
            ledger.apply(&Self::block(height)).expect("in order");
        }
        Ok(crate::log::LogSnapshot {
            height: 3,
            bytes: ledger.snapshot().into(),
        })
    }
}

#[test]
fn a_subscriber_of_a_node_that_falls_behind_is_told() {
    let (_sequencer, node, clock) = system();
    let (_, mut slow) = node.subscribe(1).expect("room");
    register(&node, &clock);
    assert!(matches!(slow.recv_timeout(WAIT), Ok(NodeUpdate::Applied { .. })));
    assert_eq!(slow.recv_timeout(WAIT), Err(FeedError::Lagged));
}

#[test]
fn a_stopped_log_ends_what_is_open() {
    let (sequencer, node, clock) = system();
    register(&node, &clock);
    let mut one = client(&node, &clock, 1);
    let mut wanted = wish(1000);
    wanted.hold = Millis(60_000);
    one.call(&Command::Request(wanted.clone()), WAIT)
        .expect("granted");
    let waiting = one.start(&Command::Request(wanted)).expect("room");
    sequencer.shutdown();
    assert_eq!(one.wait(waiting, WAIT), Err(CallError::Unknown { seq: waiting }));
    assert_eq!(one.wait(99, WAIT), Err(CallError::NotOpen { seq: 99 }));
    assert!(matches!(
        one.start(&touch()),
        Err(CallError::Outbox(OutboxError::GaveUp { .. }))
    ));
}

/// A log that hands out blocks with the wrong height.
#[derive(Debug)]
struct Broken;

impl CommitLog for Broken {
    fn submit(&self, _: SignedCommand) -> Result<(), SubmitError> {
        Ok(())
    }

    fn subscribe(&self, _: u64) -> Result<crate::BlockStream, crate::SubscribeError> {
        let block = Arc::new(Block {
            height: 7,
            ..Block::default()
        });
        let (sender, stream) = crate::feed::feed([block].into(), 1);
        drop(sender);
        Ok(stream)
    }

    fn snapshot(&self) -> Result<crate::log::LogSnapshot, crate::SubscribeError> {
        Err(crate::SubscribeError::Closed)
    }
}

#[test]
fn a_log_that_breaks_its_contract_stops_the_node() {
    let node = LedgerNode::start(genesis(LedgerConfig::default()), Arc::new(Broken)).expect("starts");
    wait_for_end(&node);
    assert!(matches!(node.end(), Some(NodeEnd::Broken(_))), "{:?}", node.end());
    assert_eq!(node.view(Ledger::height), 0);
}

#[test]
fn expiry_follows_the_injected_clock() {
    let clock = Arc::new(ManualClock::new(Timestamp(1_000)));
    let genesis = genesis(LedgerConfig::default());
    let config = SequencerConfig {
        tick: Millis(5),
        ..SequencerConfig::default()
    };
    let log = Arc::new(Sequencer::start(genesis.clone(), config, clock.clone()).expect("starts"));
    let node = LedgerNode::start(genesis, log.clone()).expect("starts");
    let (_, mut updates) = node.subscribe(1024).expect("room");
    let mut operator = outbox(0, OutboxConfig::default());
    let mut commands = registrations();
    commands.push(Command::Request(wish(10)));
    for command in commands {
        for signed in operator.submit(&command, millis(0)).expect("room").1.send {
            log.submit(signed).expect("room");
        }
    }
    let mut lease = None;
    loop {
        let update = updates.recv_timeout(WAIT).expect("updates come");
        let NodeUpdate::Applied { events, time, .. } = update else {
            panic!("{update:?}");
        };
        for event in events.iter() {
            match event {
                LedgerEvent::LeaseGranted(granted) => {
                    assert_eq!((granted.expires, granted.bytes), (Timestamp(1_100), Bytes(10)));
                    lease = Some(granted.clone());
                    clock.advance(millis(150));
                }
                LedgerEvent::LeaseExpired { lease: over } => {
                    assert_eq!((Some(over), time), (lease.as_ref(), Timestamp(1_150)));
                    return;
                }
                _ => {}
            }
        }
    }
}
