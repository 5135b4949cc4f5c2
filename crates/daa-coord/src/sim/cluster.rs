//! A whole cluster in virtual time: nodes, network, disks, clocks, clients, and the judge who watches.

mod agents;
mod node;
mod people;
mod traffic;
mod words;

use super::check::Checker;
use super::clients::Client;
use super::gossip::Gossip;
use super::haggle::Dispute;
use super::keys::{Signatures, validator_key};
use super::movers::Movers;
use super::network::Network;
use super::plan::{Mode, Plan};
use super::queue::{Micros, Queue};
use super::report::{Finding, FindingKind, RunStats, mix};
use super::story::Story;
use crate::command::SignedCommand;
use crate::consensus::{HostConfig, Message, Timeouts, TimerId};
use crate::genesis::{Genesis, LedgerConfig, OnEvidence};
use crate::keys::{PublicKey, SignatureScheme};
use crate::negotiate::Side;
use crate::text::ShortText;
use crate::validators::{Validator, ValidatorSet};
use daa_base::{AgentId, Millis, Rng, Timestamp};
use node::Node;
use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

const MS: Micros = 1_000;

/// The time of day when a run begins.
const DAWN: u64 = 1_700_000_000_000;

/// After the network has healed, so much virtual time may pass until the goal is reached, and again until nothing is open.
const PATIENCE: Micros = 60_000 * MS;

/// Virtual time allowed per height beyond that.
const PER_HEIGHT: Micros = 500 * MS;

/// How far a block's time may be ahead of a correct clock.
const MAX_DRIFT: Duration = Duration::from_millis(1_000);

/// Something that happens.
#[derive(Debug)]
enum Event {
    /// A message arrives.
    Deliver {
        to: usize,
        from: usize,
        message: Arc<Message>,
    },
    /// A timer runs out, unless it was set anew or the node has restarted.
    Timer {
        node: usize,
        life: u32,
        id: TimerId,
        set: u64,
    },
    /// The disk has done what the node waits for.
    Disk { node: usize, life: u32 },
    /// The node will crash soon: number in the plan.
    Arm(usize),
    /// It crashes now if it has not yet.
    Fell { node: usize, life: u32 },
    /// The node starts.
    Start { node: usize },
    /// A client looks around.
    Act(usize),
    /// Commands reach a node.
    Submit {
        node: usize,
        commands: Vec<SignedCommand>,
    },
    /// A message of the negotiation with this number reaches one side.
    Aside { dispute: u64, to: Side, bytes: Vec<u8> },
    /// A side of it wants to be asked again.
    Wake { dispute: u64, side: Side },
    /// A node tells the others what it knows.
    Muse(usize),
    /// That reaches one of them.
    Insight { to: usize, bytes: Arc<[u8]> },
    /// The network is whole again.
    Healed,
}

/// How far the run is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Phase {
    /// Clients wish.
    Running,
    /// Clients give back.
    Draining,
    Done,
}

impl Phase {
    const fn name(self) -> &'static str {
        match self {
            Self::Running => "agents wish",
            Self::Draining => "agents give back",
            Self::Done => "all is done",
        }
    }
}

/// The whole world of one run.
#[derive(Debug)]
pub(super) struct Cluster {
    plan: Plan,
    genesis: Genesis,
    scheme: Arc<dyn SignatureScheme>,
    config: HostConfig,
    queue: Queue<Event>,
    network: Network,
    nodes: Vec<Node>,
    clients: Vec<Client>,
    checker: Checker,
    rng: Rng,
    phase: Phase,
    /// Height that every correct node has to reach.
    target: u64,
    deadline: Micros,
    wrong: Option<(FindingKind, String)>,
    faults: BTreeMap<&'static str, u64>,
    trace: u64,
    /// Rounds in which liars have split the others: their hosts' votes for these are not said.
    splits: Vec<(u64, i64)>,
    /// The dispute that is open, and how many there were.
    dispute: Option<Dispute>,
    disputes: u64,
    gossip: Option<Gossip>,
    pub(super) story: Story,
}

impl Cluster {
    /// The world before anything happens.
    pub(super) fn new(plan: Plan, story: Story) -> Result<Self, String> {
        let stream = plan.seed.stream("simulation run");
        let signatures = plan.signatures;
        let scheme = signatures.scheme();
        let genesis = genesis(&plan, signatures)?;
        let correct: Vec<usize> = plan.correct().map(|at| plan.nodes[at].validator).collect();
        let drift = Millis(MAX_DRIFT.as_millis() as u64);
        let among = (plan.options.nodes, &correct[..]);
        let mut checker =
            Checker::new(&genesis, Arc::clone(&scheme), among, drift).map_err(|error| error.to_string())?;
        checker.audit.keys = (1..=plan.agents)
            .map(|agent| (AgentId(agent as u32), signatures.agent(agent).public()))
            .collect();
        let network = Network::new(
            plan.nodes.len(),
            plan.links.clone(),
            plan.cuts.clone(),
            plan.heals,
            stream.child(0).rng(),
        );
        let nodes = (0..plan.nodes.len())
            .map(|at| Node::new(&plan, at, genesis.chain_id()))
            .collect();
        let clients = clients(&plan, &genesis)?;
        let gossip = plan.gossips.then(|| {
            let rng = stream.child(2).rng();
            Gossip::new(signatures, genesis.chain_id(), &Self::poisoners(&plan), rng)
        });
        Ok(Self {
            config: config(&plan),
            target: plan.options.heights,
            deadline: plan.heals + PATIENCE + plan.options.heights * PER_HEIGHT,
            genesis,
            scheme,
            queue: Queue::new(),
            network,
            nodes,
            clients,
            checker,
            rng: stream.child(1).rng(),
            phase: Phase::Running,
            wrong: None,
            faults: BTreeMap::new(),
            trace: plan.named.0,
            splits: Vec::new(),
            dispute: None,
            disputes: 0,
            gossip: gossip.transpose()?,
            story,
            plan,
        })
    }

    /// Lets everything happen, and says how it went.
    pub(super) fn run(mut self) -> (RunStats, Option<Finding>, Vec<String>) {
        self.begin();
        while self.phase != Phase::Done && self.wrong.is_none() {
            let Some(event) = self.queue.pop() else {
                self.stall("nothing happens any more");
                break;
            };
            if self.queue.now() > self.deadline {
                self.stall("out of time");
                break;
            }
            if self.queue.is_overfull() {
                self.violate("too many events wait".to_owned());
                break;
            }
            self.happen(event);
        }
        if self.wrong.is_none() {
            self.settle();
        }
        self.close()
    }

    fn begin(&mut self) {
        for node in 0..self.nodes.len() {
            let at = self.rng.below(20_000) as Micros;
            self.queue.at(at, Event::Start { node });
        }
        for (number, crash) in self.plan.crashes.iter().enumerate() {
            self.queue.at(crash.at, Event::Arm(number));
        }
        self.queue.at(self.plan.heals, Event::Healed);
        for client in 0..self.clients.len() {
            let at = 25 * MS + client as Micros * 5 * MS;
            self.queue.at(at, Event::Act(client));
        }
        self.begin_gossip();
    }

    fn happen(&mut self, event: Event) {
        let (kind, detail) = event.digest();
        self.trace = mix(mix(self.trace, self.queue.now()), kind << 48 ^ detail);
        match event {
            Event::Deliver { to, from, message } => self.deliver(to, from, message),
            Event::Timer { node, life, id, set } => self.on_timer(node, life, id, set),
            Event::Disk { node, life } => self.on_disk(node, life),
            Event::Arm(number) => self.arm(number),
            Event::Fell { node, life } => self.fall(node, life),
            Event::Start { node } => self.start(node),
            Event::Act(client) => self.act(client),
            Event::Submit { node, commands } => self.submit(node, commands),
            Event::Aside { dispute, to, bytes } => self.aside(dispute, to, &bytes),
            Event::Wake { dispute, side } => self.wake(dispute, side),
            Event::Muse(node) => self.muse(node),
            Event::Insight { to, bytes } => self.insight(to, &bytes),
            Event::Healed => self.healed(),
        }
    }

    fn healed(&mut self) {
        self.target = self.target.max(self.checker.height() + 3);
        let now = self.queue.now();
        self.story.tell(now, || "the network has healed".to_owned());
    }

    /// Whether every correct node is up and has decided `height`.
    fn all_at(&self, height: u64) -> bool {
        self.plan
            .correct()
            .all(|at| self.nodes[at].host.is_some() && self.nodes[at].committed >= height)
    }

    fn check_phase(&mut self) {
        match self.phase {
            Phase::Running if self.queue.now() >= self.plan.heals && self.all_at(self.target) => {
                self.phase = Phase::Draining;
                self.deadline = self.queue.now() + PATIENCE;
                let now = self.queue.now();
                self.story.tell(now, || {
                    "the goal is reached; agents give everything back".to_owned()
                });
            }
            Phase::Draining
                if self.clients.iter().all(Client::is_done)
                    && self.all_at(self.checker.height())
                    && !self.has_evidence() =>
            {
                self.phase = Phase::Done;
            }
            _ => {}
        }
    }

    fn violate(&mut self, what: String) {
        let now = self.queue.now();
        self.story.tell(now, || format!("VIOLATION: {what}"));
        self.wrong.get_or_insert((FindingKind::Violation, what));
    }

    fn require(&mut self, outcome: Result<(), String>) {
        if let Err(what) = outcome {
            self.violate(what);
        }
    }

    fn stall(&mut self, why: &str) {
        let nodes: Vec<_> = self.nodes.iter().map(Node::diagnosis).collect();
        let clients: Vec<_> = self
            .clients
            .iter()
            .filter(|client| !client.is_done())
            .map(Client::open)
            .collect();
        let what = format!(
            "{why} while {} at {} ms, heights decided {}, wanted {}; {}; {}",
            self.phase.name(),
            self.queue.now() / MS,
            self.checker.height(),
            self.target,
            nodes.join("; "),
            clients.join("; ")
        );
        let now = self.queue.now();
        self.story.tell(now, || format!("STALL: {what}"));
        self.wrong.get_or_insert((FindingKind::Stall, what));
    }

    /// The last look: equal ledgers everywhere, every request ended once.
    fn settle(&mut self) {
        for at in self.plan.correct().collect::<Vec<_>>() {
            if let Some(host) = &self.nodes[at].host {
                let outcome = self.checker.on_ledger(at, host.ledger());
                self.require(outcome);
            }
        }
        let requests = self.clients.iter().map(|client| client.requests).sum();
        let outcome = self.checker.books.settle(requests);
        self.require(outcome);
        let unknown: u64 = self.clients.iter().map(|client| client.unknown).sum();
        if unknown > 0 {
            self.violate(format!("agents gave up on {unknown} commands"));
        }
    }

    fn close(mut self) -> (RunStats, Option<Finding>, Vec<String>) {
        let counts = self.network.counts;
        let mut faults = std::mem::take(&mut self.faults);
        for (kind, count) in [
            ("message lost", counts.lost),
            ("message late", counts.late),
            ("message repeated", counts.twice),
            ("message cut off", counts.cut),
            ("network cut", self.plan.cuts.len() as u64),
            ("evidence on chain", self.checker.evidence),
            ("contract carried out", self.checker.audit.carried_out),
            ("mediation carried out", self.checker.audit.mediated),
            (
                "run with twins",
                u64::from(self.plan.nodes.iter().any(|node| node.twin)),
            ),
            (
                "run with Ed25519",
                u64::from(self.plan.signatures == Signatures::Real),
            ),
        ] {
            *faults.entry(kind).or_default() += count;
        }
        for node in &self.nodes {
            node.count_faults(&mut faults);
        }
        let gossip = self.gossip.iter().flat_map(|gossip| &gossip.counts);
        let dispute = self.dispute.iter().flat_map(Dispute::lies);
        for (kind, count) in gossip.map(|(&kind, &count)| (kind, count)).chain(dispute) {
            *faults.entry(kind).or_default() += count;
        }
        if let Some(point) = self.plan.wal_point
            && !faults.contains_key(point.place.name())
        {
            faults.insert("log point not reached", 1);
        }
        faults.retain(|_, count| *count > 0);
        let stats = RunStats {
            heights: self.checker.height(),
            events: self.queue.made(),
            virtual_ms: self.queue.now() / MS,
            requests: self.clients.iter().map(|client| client.requests).sum(),
            leases: self.checker.books.granted,
            trace: self.trace,
            faults,
        };
        let seed = self.plan.named.0;
        let finding = self.wrong.map(|(kind, what)| Finding { seed, kind, what });
        (stats, finding, self.story.into_lines())
    }

    /// The true time of day.
    fn wall(&self) -> Timestamp {
        Timestamp(DAWN + self.queue.now() / MS)
    }

    fn key_of(&self, node: usize) -> PublicKey {
        self.nodes[node].key
    }

    fn count(&mut self, fault: &'static str, times: u64) {
        *self.faults.entry(fault).or_default() += times;
    }
}

impl Event {
    /// Its kind and what tells it from others, for the trace.
    fn digest(&self) -> (u64, u64) {
        match self {
            Self::Deliver { to, from, message } => {
                let about = match &**message {
                    Message::Vote(vote) => vote.message.height.0 << 8 | u64::from(vote.signature.0[0]),
                    Message::Proposal(proposal) => u64::from(proposal.signature.0[0]),
                    Message::Block(block) => u64::from(block.named.id().0.0[0]),
                    Message::Status { height } => *height,
                    _ => 0,
                };
                let kind = message.kind().len() as u64;
                (1, about << 20 ^ kind << 16 ^ (*to as u64) << 8 ^ *from as u64)
            }
            Self::Timer { node, set, .. } => (2, set << 8 ^ *node as u64),
            Self::Disk { node, .. } => (3, *node as u64),
            Self::Arm(number) => (4, *number as u64),
            Self::Fell { node, .. } => (5, *node as u64),
            Self::Start { node } => (6, *node as u64),
            Self::Act(client) => (7, *client as u64),
            Self::Submit { node, commands } => (8, (commands.len() as u64) << 8 ^ *node as u64),
            Self::Healed => (9, 0),
            Self::Aside { dispute, to, bytes } => {
                (10, (bytes.len() as u64) << 16 ^ dispute << 1 ^ *to as u64)
            }
            Self::Wake { dispute, side } => (11, dispute << 1 ^ *side as u64),
            Self::Muse(node) => (12, *node as u64),
            Self::Insight { to, bytes } => (13, (bytes.len() as u64) << 8 ^ *to as u64),
        }
    }
}

fn clients(plan: &Plan, genesis: &Genesis) -> Result<Vec<Client>, String> {
    let (signatures, chain) = (plan.signatures, genesis.chain_id());
    let homes: Vec<usize> = plan.correct().collect();
    let mut clients = Vec::new();
    for number in 0..=plan.agents as u32 {
        let home = homes[number as usize % homes.len().max(1)];
        let client = Client::new(number, signatures, chain, home, plan.seed);
        let mut client = client.map_err(|error| error.to_string())?;
        if plan.negotiates {
            client.takes_its_time();
        }
        clients.push(client);
    }
    let movers = Movers::new(signatures, chain, plan.options.nodes, plan.movable.clone());
    clients[0].may_move(movers);
    Ok(clients)
}

fn genesis(plan: &Plan, signatures: Signatures) -> Result<Genesis, String> {
    let validators = ValidatorSet::new(plan.nodes[..plan.options.nodes].iter().map(|node| Validator {
        key: validator_key(node.validator),
        power: node.power,
    }));
    let config = LedgerConfig {
        max_open: 64,
        max_open_per_agent: 16,
        max_hold: Millis(1_000),
        max_overtakes: 3,
        on_evidence: if plan.seed.0.is_multiple_of(2) {
            OnEvidence::Remove
        } else {
            OnEvidence::Record
        },
        ..LedgerConfig::default()
    };
    let name = ShortText::fitted("simulation");
    Genesis::new(name, signatures.operator().public(), config)
        .map(|genesis| genesis.with_validators(validators.unwrap_or_default()))
        .map_err(|error| error.to_string())
}

fn config(plan: &Plan) -> HostConfig {
    let ms = Duration::from_millis;
    HostConfig {
        timeouts: Timeouts {
            propose_min: ms(25),
            propose_max: ms(400),
            vote: ms(30),
            rebroadcast: ms(250),
            max: ms(3_000),
        },
        max_drift: MAX_DRIFT,
        max_waiting: 256,
        // In one run of four a node that is far behind must be served from a disk.
        history: if plan.seed.0 % 4 == 1 { 16 } else { 64 },
        status_every: ms(if plan.options.mode == Mode::Calm {
            1_000
        } else {
            400
        }),
        ..HostConfig::default()
    }
}
