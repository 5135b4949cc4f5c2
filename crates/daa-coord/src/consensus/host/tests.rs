//! Small clusters in virtual time: what the simulator does at length, in miniature and by hand.

use super::*;
use crate::command::{Command, ResourceRequest};
use crate::consensus::Vote;
use crate::genesis::{Genesis, LedgerConfig, OPERATOR};
use crate::keys::{AgentKey, Ed25519};
use crate::text::ShortText;
use arc_malachitebft_core_types::TimeoutKind;
use daa_base::{AgentId, Bytes, DeviceId, Millis, OwnerId, Permille};
use std::collections::BTreeMap;

const STEP: Duration = Duration::from_micros(500);

fn operator() -> AgentKey {
    AgentKey::from_secret(&[200; 32])
}

fn validator_key(index: usize) -> AgentKey {
    AgentKey::from_secret(&[index as u8 + 1; 32])
}

fn genesis(n: usize) -> Genesis {
    let keys = (0..n).map(|index| validator_key(index).public());
    let set = ValidatorSet::equal(keys).expect("distinct keys");
    Genesis::new(
        ShortText::fitted("host tests"),
        operator().public(),
        LedgerConfig::default(),
    )
    .expect("valid")
    .with_validators(set)
}

fn command(genesis: &Genesis, key: &AgentKey, agent: AgentId, seq: u64, command: &Command) -> SignedCommand {
    SignedCommand::sign(key, genesis.chain_id(), agent, seq, command).expect("small")
}

fn register(genesis: &Genesis, seq: u64) -> SignedCommand {
    let device = Command::RegisterDevice {
        device: DeviceId(seq as u32),
        capacity: Bytes(1 << 30),
    };
    command(genesis, &operator(), OPERATOR, seq, &device)
}

/// What one validator has on its disk.
#[derive(Debug, Clone, Default)]
struct Disk {
    durable: Vec<WalRecord>,
    pending: Vec<WalRecord>,
    blocks: Vec<Arc<Decided>>,
}

impl Disk {
    /// Whatever own vote a message shows, a restart from this disk must find it: recorded, or in a block that is decided.
    fn must_hold_own(&self, me: PublicKey, message: &Message) {
        let shown = match message {
            Message::Vote(vote) if vote.message.validator == me => vote.message.clone(),
            Message::Polka(polka) if polka.signatures.iter().any(|(who, _)| *who == me) => Vote {
                kind: core::VoteType::Prevote,
                height: polka.height,
                round: polka.round,
                value: core::NilOrVal::Val(polka.value),
                validator: me,
            },
            _ => return,
        };
        let recorded = |record: &WalRecord| matches!(record, WalRecord::Vote(vote) if vote.message == shown);
        assert!(
            shown.height.0 <= self.blocks.len() as u64 || self.durable.iter().any(recorded),
            "{shown:?} leaves and is not durable"
        );
    }
}

#[derive(Debug)]
struct Node {
    host: Option<Host>,
    disk: Disk,
    timers: BTreeMap<TimerId, Duration>,
    halted: Option<HostError>,
}

/// Validators with links that take [`STEP`] and lose what `cut` says.
struct Cluster {
    genesis: Genesis,
    config: HostConfig,
    nodes: Vec<Node>,
    now: Duration,
    /// When, to, from, what.
    wire: Vec<(Duration, usize, PublicKey, Message)>,
    cut: fn(usize, usize, &Message) -> bool,
    sent: usize,
}

impl Cluster {
    fn new(n: usize) -> Self {
        Self::with(n, |_, _, _| false)
    }

    fn with(n: usize, cut: fn(usize, usize, &Message) -> bool) -> Self {
        let mut cluster = Self {
            genesis: genesis(n),
            config: HostConfig::default(),
            nodes: Vec::new(),
            now: Duration::ZERO,
            wire: Vec::new(),
            cut,
            sent: 0,
        };
        for _ in 0..n {
            cluster.nodes.push(Node {
                host: None,
                disk: Disk::default(),
                timers: BTreeMap::new(),
                halted: None,
            });
        }
        (0..n).for_each(|index| cluster.start(index));
        cluster
    }

    fn clock(&self) -> Now {
        Now {
            monotonic: self.now,
            wall: Timestamp(1_000_000).after(Millis(self.now.as_millis() as u64)),
        }
    }

    fn start(&mut self, index: usize) {
        let disk = &mut self.nodes[index].disk;
        disk.pending.clear();
        let recovered = Recovered {
            base: None,
            blocks: disk.blocks.clone(),
            wal: disk.durable.clone(),
        };
        let (host, effects) = Host::new(
            self.genesis.clone(),
            Box::new(validator_key(index)),
            Arc::new(Ed25519),
            self.config.clone(),
            recovered,
            self.clock(),
        )
        .expect("starts");
        self.nodes[index].host = Some(host);
        self.nodes[index].timers.clear();
        self.carry_out(index, effects);
    }

    fn input(&mut self, index: usize, input: HostInput) {
        let now = self.clock();
        let Some(host) = self.nodes[index].host.as_mut() else {
            return;
        };
        let effects = host.step(now, input);
        self.carry_out(index, effects);
    }

    fn submit(&mut self, index: usize, command: SignedCommand) {
        let input = HostInput::Submit {
            commands: vec![command],
            spread: true,
        };
        self.input(index, input);
    }

    fn carry_out(&mut self, index: usize, effects: Vec<Effect>) {
        let me = validator_key(index).public();
        for effect in effects {
            let node = &mut self.nodes[index];
            match effect {
                Effect::Wal(record) => {
                    let bytes = record.frame().expect("fits");
                    let read = crate::consensus::read_frames(&bytes);
                    assert_eq!(
                        read.records,
                        std::slice::from_ref(&record),
                        "a record survives its frame"
                    );
                    node.disk.pending.push(record);
                }
                Effect::Flush => node.disk.durable.append(&mut node.disk.pending),
                Effect::Store(decided) => node.disk.blocks.push(decided),
                Effect::WalReset { height } => {
                    node.disk.durable.retain(|record| record.height() >= height);
                    node.disk.pending.retain(|record| record.height() >= height);
                }
                Effect::Broadcast(message) => {
                    node.disk.must_hold_own(me, &message);
                    for other in (0..self.nodes.len()).filter(|&other| other != index) {
                        self.post(index, other, me, &message);
                    }
                }
                Effect::Send { to, message } => {
                    let to = (0..self.nodes.len()).find(|&other| validator_key(other).public() == to);
                    self.post(index, to.expect("a validator"), me, &message);
                }
                Effect::SetTimer { id, after } => {
                    node.timers.insert(id, self.now + after);
                }
                Effect::CancelTimer(id) => {
                    node.timers.remove(&id);
                }
                Effect::ServeOld { .. } | Effect::Committed { .. } => {}
                Effect::Halt(error) => node.halted = Some(error),
            }
        }
    }

    fn post(&mut self, from: usize, to: usize, me: PublicKey, message: &Message) {
        self.sent += 1;
        if (self.cut)(from, to, message) {
            return;
        }
        let bytes = message.encode().expect("within bounds");
        let message = Message::decode(&bytes).expect("its own bytes");
        self.wire.push((self.now + STEP, to, me, message));
    }

    /// Lets the earliest thing happen; `false` when nothing will.
    fn next(&mut self) -> bool {
        let message = self.wire.iter().map(|(at, ..)| *at).min();
        let timer = self
            .nodes
            .iter()
            .enumerate()
            .filter(|(_, node)| node.host.is_some())
            .flat_map(|(index, node)| node.timers.iter().map(move |(&id, &at)| (at, index, id)))
            .min();
        match (message, timer) {
            (Some(at), timer) if timer.is_none_or(|(due, ..)| at <= due) => {
                let first = self
                    .wire
                    .iter()
                    .position(|entry| entry.0 == at)
                    .expect("just seen");
                let (at, to, from, message) = self.wire.remove(first);
                self.now = self.now.max(at);
                self.input(to, HostInput::Message { from, message });
            }
            (_, Some((at, index, id))) => {
                self.now = self.now.max(at);
                self.nodes[index].timers.remove(&id);
                self.input(index, HostInput::Timer(id));
            }
            _ => return false,
        }
        true
    }

    /// Runs until all living validators have decided `height`.
    fn run_to(&mut self, height: u64, limit: Duration) {
        let end = self.now + limit;
        while self.living().any(|host| host.height() < height) {
            assert!(self.next() && self.now < end, "stuck at {:?}", self.heights());
        }
    }

    fn living(&self) -> impl Iterator<Item = &Host> {
        self.nodes.iter().filter_map(|node| node.host.as_ref())
    }

    fn heights(&self) -> Vec<u64> {
        self.living().map(Host::height).collect()
    }

    fn agree(&self) {
        assert!(
            self.nodes.iter().all(|node| node.halted.is_none()),
            "{:?}",
            self.nodes
        );
        let lowest = self.heights().into_iter().min().unwrap_or(0);
        for height in 1..=lowest {
            let ids: Vec<_> = self
                .living()
                .filter_map(|host| host.decided(height).map(|decided| decided.id()))
                .collect();
            assert!(
                ids.windows(2).all(|pair| pair[0] == pair[1]),
                "height {height}: {ids:?}"
            );
        }
    }
}

#[test]
fn four_validators_decide_what_one_was_told() {
    let mut cluster = Cluster::new(4);
    for seq in 0..5 {
        let register = register(&cluster.genesis, seq);
        cluster.submit(seq as usize % 4, register);
        cluster.run_to(seq + 1, Duration::from_secs(1));
    }
    cluster.agree();
    for host in cluster.living() {
        assert_eq!(host.ledger().next_seq(OPERATOR), Some(5));
        assert_eq!(host.counters().extra_rounds, 0, "nobody waited for a timeout");
    }
    assert!(cluster.now < Duration::from_millis(5 * 10), "{:?}", cluster.now);
}

#[test]
fn one_validator_alone_decides() {
    let mut cluster = Cluster::new(1);
    let register = register(&cluster.genesis, 0);
    cluster.submit(0, register);
    cluster.run_to(1, Duration::from_secs(1));
}

#[test]
fn an_idle_cluster_makes_no_blocks_and_a_lease_makes_the_one_that_ends_it() {
    let mut cluster = Cluster::new(4);
    let agent = AgentKey::from_secret(&[77; 32]);
    let (device, register_agent) = (
        register(&cluster.genesis, 0),
        Command::RegisterAgent {
            agent: AgentId(1),
            owner: OwnerId(1),
            key: agent.public(),
        },
    );
    let register_agent = command(&cluster.genesis, &operator(), OPERATOR, 1, &register_agent);
    let request = Command::Request(ResourceRequest {
        device: None,
        bytes: Bytes(1024),
        share: Permille::WHOLE,
        priority: 0,
        hold: Millis(500),
        deadline: None,
        purpose: ShortText::default(),
    });
    let request = command(&cluster.genesis, &agent, AgentId(1), 0, &request);
    for (command, height) in [(device, 1), (register_agent, 2), (request, 3)] {
        cluster.submit(0, command);
        cluster.run_to(height, Duration::from_secs(1));
    }
    assert_eq!(
        cluster.living().next().map(|host| host.ledger().leases().count()),
        Some(1)
    );
    cluster.run_to(4, Duration::from_secs(2));
    assert!(
        cluster.living().all(|host| host.ledger().leases().count() == 0),
        "the lease has expired"
    );
    let end = cluster.now + Duration::from_secs(30);
    while cluster.now < end {
        assert!(cluster.next());
    }
    assert_eq!(cluster.heights(), [4, 4, 4, 4], "half a minute without a block");
    cluster.agree();
}

#[test]
fn a_dead_proposer_costs_one_short_wait() {
    let mut cluster = Cluster::new(4);
    cluster.nodes[2].host = None;
    for seq in 0..12 {
        let register = register(&cluster.genesis, seq);
        cluster.submit(0, register);
        cluster.run_to(seq + 1, Duration::from_secs(5));
    }
    cluster.agree();
    let rounds: Vec<_> = cluster
        .living()
        .map(|host| host.counters().extra_rounds)
        .collect();
    assert_eq!(rounds, [3, 3, 3], "one of four heights needs a second round");
}

#[test]
fn without_a_quorum_nothing_is_decided() {
    let mut cluster = Cluster::new(4);
    cluster.nodes[2].host = None;
    cluster.nodes[3].host = None;
    let register = register(&cluster.genesis, 0);
    cluster.submit(0, register);
    while cluster.now < Duration::from_secs(60) {
        assert!(cluster.next());
    }
    assert_eq!(cluster.heights(), [0, 0]);
    cluster.start(2);
    cluster.run_to(1, Duration::from_secs(60));
    cluster.agree();
}

#[test]
fn a_validator_that_was_away_catches_up_by_certificates() {
    let mut cluster = Cluster::new(4);
    cluster.nodes[3].host = None;
    for seq in 0..40 {
        let register = register(&cluster.genesis, seq);
        cluster.submit(0, register);
        cluster.run_to(seq + 1, Duration::from_secs(5));
    }
    cluster.start(3);
    cluster.run_to(40, Duration::from_secs(10));
    cluster.agree();
    let late = cluster.nodes[3].host.as_ref().expect("started");
    assert_eq!(late.counters().synced, 40);
}

#[test]
fn a_block_that_breaks_a_rule_gets_no_vote() {
    let mut cluster = Cluster::new(4);
    let set = cluster.genesis.validators().clone();
    let proposer = ChainContext;
    let proposer = core::Context::select_proposer(&proposer, &set, Height(1), core::Round::ZERO).key;
    let liar = (0..4)
        .find(|&i| validator_key(i).public() == proposer)
        .expect("a validator");
    let key = validator_key(liar);
    cluster.nodes[liar].host = None;
    // A command that nobody signed.
    let mut forged = register(&cluster.genesis, 0);
    forged.signature.0[7] ^= 1;
    let block = super::super::ConsensusBlock {
        header: super::super::Header {
            chain: cluster.genesis.chain_id(),
            height: 1,
            time: cluster.clock().wall,
            parent: BlockId::default(),
            state: Ledger::new(cluster.genesis.clone()).expect("valid").state_hash(),
            proposer,
        },
        entries: vec![forged],
        evidence: Vec::new(),
    };
    let named = super::super::NamedBlock::new(block).expect("small");
    let proposal = super::super::Proposal {
        height: Height(1),
        round: core::Round::ZERO,
        value: named.id(),
        pol_round: core::Round::Nil,
        proposer,
    };
    let signature = key.sign(&proposal.signing_bytes(cluster.genesis.chain_id()));
    let messages = [
        Message::Block(BlockMessage { round: 0, named }),
        Message::Proposal(super::super::Sealed {
            message: proposal,
            signature,
        }),
    ];
    for other in (0..4).filter(|&other| other != liar) {
        for message in messages.clone() {
            cluster.input(
                other,
                HostInput::Message {
                    from: proposer,
                    message,
                },
            );
        }
    }
    cluster.run_to(1, Duration::from_secs(5));
    for host in cluster.living() {
        assert_eq!(host.counters().invalid_blocks, 1);
        assert!(
            host.counters().extra_rounds >= 1,
            "the liar's round decided nothing"
        );
        assert!(
            host.decided(1)
                .is_some_and(|decided| decided.block().entries.is_empty())
        );
    }
}

#[test]
fn a_restart_from_what_was_durable_leads_to_no_contradiction() {
    // Validator 0 stops as soon as it has `stop` durable records, loses the others, and starts again.
    for stop in 1..16 {
        let mut cluster = Cluster::new(4);
        let register = register(&cluster.genesis, 0);
        cluster.submit(1, register);
        let (mut restarted, mut voted) = (false, Vec::new());
        while cluster.heights().iter().any(|&height| height < 1) {
            assert!(
                cluster.next() && cluster.now < Duration::from_secs(20),
                "stop {stop}: stuck"
            );
            if !restarted && cluster.nodes[0].disk.durable.len() >= stop {
                restarted = true;
                cluster.start(0);
            }
            let own = validator_key(0).public();
            for (_, _, from, message) in &cluster.wire {
                if let (Message::Vote(vote), true) = (message, *from == own)
                    && !voted.contains(&vote.message)
                {
                    voted.push(vote.message.clone());
                }
            }
        }
        cluster.agree();
        for (at, a) in voted.iter().enumerate() {
            for b in &voted[at + 1..] {
                let key = |v: &Vote| (v.kind, v.height, v.round);
                assert_ne!(key(a), key(b), "stop {stop}: voted twice");
            }
        }
    }
}

/// Which of four validators proposes in this round of height 1.
fn proposer_of(round: core::Round) -> usize {
    let set = genesis(4).validators().clone();
    let key = core::Context::select_proposer(&ChainContext, &set, Height(1), round).key;
    let found = (0..4).find(|&index| validator_key(index).public() == key);
    found.expect("a validator")
}

#[test]
fn a_certificate_shows_no_own_vote_that_is_not_durable() {
    // No block arrives before the round from which validators publish the prevotes on which they lock. In that round one
    // validator hears neither the proposer nor whole certificates: its own prevote, on the proposal that the others hand on,
    // is the one that completes the quorum.
    const LOCKING: core::Round = engine::HIDDEN_LOCK_ROUND;
    let mut cluster = Cluster::with(4, |from, to, message| {
        let proposer = proposer_of(LOCKING);
        let deaf = (proposer + 1) % 4;
        match message {
            Message::Block(block) => core::Round::new(block.round) < LOCKING,
            Message::Proposal(_) | Message::Vote(_) => from == proposer && to == deaf,
            Message::Polka(_) => to == deaf,
            _ => false,
        }
    });
    let deaf = (proposer_of(LOCKING) + 1) % 4;
    let register = register(&cluster.genesis, 0);
    cluster.submit(0, register);
    let mut shown = 0;
    while cluster.heights().iter().any(|&height| height < 1) {
        assert!(
            cluster.next() && cluster.now < Duration::from_secs(300),
            "{:?}",
            cluster.heights()
        );
        let own = validator_key(deaf).public();
        shown += cluster
            .wire
            .iter()
            .filter(|(_, _, from, message)| {
                let mut signers = match message {
                    Message::Polka(polka) => polka.signatures.iter(),
                    _ => [].iter(),
                };
                *from == own && signers.any(|(who, _)| *who == own)
            })
            .count();
    }
    assert!(shown > 0, "the case came up");
    cluster.agree();
}

#[test]
fn signature_checks_stay_at_the_floor() {
    let mut cluster = Cluster::new(4);
    let heights = 40;
    for seq in 0..heights {
        let register = register(&cluster.genesis, seq);
        cluster.submit(0, register);
        cluster.run_to(seq + 1, Duration::from_secs(1));
    }
    // Per validator and height: the command, three of four times a proposal, and of each kind of vote two others' of the
    // three that a quorum needs. Only what arrives in the same instant as the quorum may be checked on top.
    let made: u64 = cluster.living().map(|host| host.counters().checks.made).sum();
    let floor = heights * 4 * (100 + 75 + 400) / 100;
    assert!(made <= floor + floor / 20, "{made} checks, the floor is {floor}");
    assert!(
        made >= floor - floor / 20,
        "{made} checks cannot be fewer than {floor}"
    );
}

#[test]
fn timeouts_follow_the_pace_within_their_bounds() {
    let timeouts = Timeouts::default();
    let propose = |round, typical| {
        timeouts.duration(
            Timeout::new(core::Round::new(round), TimeoutKind::Propose),
            typical,
        )
    };
    assert_eq!(propose(0, None), timeouts.propose_max, "nothing was measured yet");
    assert_eq!(propose(0, Some(Duration::from_micros(10))), timeouts.propose_min);
    assert_eq!(
        propose(0, Some(Duration::from_millis(10))),
        Duration::from_millis(80)
    );
    assert_eq!(propose(0, Some(Duration::from_secs(10))), timeouts.propose_max);
    assert_eq!(
        propose(3, Some(Duration::from_millis(10))),
        Duration::from_millis(320)
    );
    assert_eq!(propose(u32::MAX, Some(Duration::from_secs(10))), timeouts.max);
}
