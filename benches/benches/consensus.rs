//! The ledger, its signatures, and the way of a command through log, replica and client.

use criterion::{BatchSize, Criterion, Throughput};
use daa_base::{AgentId, Bytes, Clock, DeviceId, Millis, OwnerId, Permille, Seed, SystemClock, Timestamp};
use daa_coord::log::bft::{BftCluster, BftConfig, public_keys, validator_keys};
use daa_coord::{
    AgentKey, Block, BlockingClient, Command, CommitLog as _, Genesis, Lease, Ledger, LedgerConfig,
    LedgerEvent, LedgerNode, OPERATOR, OutboxConfig, ResourceRequest, Sequencer, SequencerConfig, ShortText,
    SignedCommand, ValidatorSet,
};
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

const DEVICE: DeviceId = DeviceId(0);
const CAPACITY: Bytes = Bytes::gib(4);

fn key(agent: AgentId) -> AgentKey {
    AgentKey::from_stream(&Seed(1).stream("keys").child(u64::from(agent.get())))
}

fn genesis() -> Genesis {
    let name = ShortText::new("benchmark").expect("short");
    Genesis::new(name, key(OPERATOR).public(), LedgerConfig::default()).expect("the default is valid")
}

fn registrations(agents: u32) -> Vec<Command> {
    let device = Command::RegisterDevice {
        device: DEVICE,
        capacity: CAPACITY,
    };
    let agents = (1..=agents).map(|agent| Command::RegisterAgent {
        agent: AgentId(agent),
        owner: OwnerId(agent),
        key: key(AgentId(agent)).public(),
    });
    std::iter::once(device).chain(agents).collect()
}

fn request(bytes: Bytes) -> Command {
    Command::Request(ResourceRequest {
        device: None,
        bytes,
        share: Permille::new(1).expect("in range"),
        priority: 1,
        hold: Millis(30_000),
        deadline: None,
        purpose: ShortText::new("benchmark").expect("short"),
    })
}

/// A request whose lease is over at once, so that the ledger stays small.
fn brief_request() -> Command {
    let Command::Request(wanted) = request(Bytes::mib(1)) else {
        unreachable!("it is a request");
    };
    Command::Request(ResourceRequest {
        hold: Millis(1),
        ..wanted
    })
}

const fn release(lease: &Lease) -> Command {
    Command::Release {
        lease: lease.id,
        token: lease.token,
    }
}

/// A ledger with its agents, and the blocks that were applied to it.
struct Scene {
    ledger: Ledger,
    blocks: Vec<Block>,
}

impl Scene {
    fn new(agents: u32) -> Self {
        let mut scene = Self {
            ledger: Ledger::new(genesis()).expect("the default is valid"),
            blocks: Vec::new(),
        };
        let commands: Vec<_> = registrations(agents)
            .into_iter()
            .map(|command| (OPERATOR, command))
            .collect();
        scene.commit(&commands);
        scene
    }

    /// Applies a block of these commands, at most one per agent other than the operator.
    fn commit(&mut self, commands: &[(AgentId, Command)]) -> Vec<LedgerEvent> {
        let chain = self.ledger.chain_id();
        let sign = |(index, (agent, command)): (usize, &(AgentId, Command))| {
            let next = self.ledger.next_seq(*agent).expect("the agent is registered");
            let seq = if *agent == OPERATOR {
                next + index as u64
            } else {
                next
            };
            SignedCommand::sign(&key(*agent), chain, *agent, seq, command).expect("small")
        };
        let block = Block {
            height: self.ledger.height() + 1,
            time: Timestamp(1000),
            entries: commands.iter().enumerate().map(sign).collect(),
            ..Block::default()
        };
        let events = self.ledger.apply(&block).expect("the next block");
        self.blocks.push(block);
        events
    }

    fn request_all(&mut self, agents: u32, bytes: Bytes) -> Vec<Lease> {
        let commands: Vec<_> = (1..=agents)
            .map(|agent| (AgentId(agent), request(bytes)))
            .collect();
        leases(self.commit(&commands))
    }
}

fn leases(events: Vec<LedgerEvent>) -> Vec<Lease> {
    let granted = |event| match event {
        LedgerEvent::LeaseGranted(lease) => Some(lease),
        _ => None,
    };
    events.into_iter().filter_map(granted).collect()
}

/// Applies the same blocks to copies of the same ledger.
fn replay(criterion: &mut Criterion, operation: &str, agents: u32, start: &Ledger, blocks: &[Block]) {
    let mut group = criterion.benchmark_group(format!("ledger::{operation}"));
    let commands: usize = blocks.iter().map(|block| block.entries.len()).sum();
    group.throughput(Throughput::Elements(commands as u64));
    group.bench_function(format!("agents={agents}"), |bencher| {
        let apply = |mut ledger: Ledger| {
            for block in blocks {
                drop(ledger.apply(block).expect("it was applied before"));
            }
            ledger
        };
        bencher.iter_batched(|| start.clone(), apply, BatchSize::LargeInput);
    });
    group.finish();
}

/// Everybody asks and is granted in one block, and gives back in the next.
fn request_release(criterion: &mut Criterion, agents: u32) {
    let mut scene = Scene::new(agents);
    let start = scene.ledger.clone();
    let leases = scene.request_all(agents, Bytes::mib(1));
    assert_eq!(leases.len(), agents as usize);
    let releases: Vec<_> = leases.iter().map(|lease| (lease.agent, release(lease))).collect();
    scene.commit(&releases);
    assert_eq!(scene.ledger.leases().count(), 0);
    replay(criterion, "request_release", agents, &start, &scene.blocks[1..]);
}

/// Everybody asks for the whole device; each lease that is given back lets the next one in.
fn queue_drain(criterion: &mut Criterion, agents: u32) {
    let mut scene = Scene::new(agents);
    let start = scene.ledger.clone();
    let mut granted = scene.request_all(agents, CAPACITY);
    let mut served = 0;
    while let Some(lease) = granted.pop() {
        served += 1;
        granted = leases(scene.commit(&[(lease.agent, release(&lease))]));
    }
    assert_eq!(served, agents);
    replay(criterion, "queue_drain", agents, &start, &scene.blocks[1..]);
}

fn state_hash(criterion: &mut Criterion, agents: u32) {
    let mut scene = Scene::new(agents);
    scene.request_all(agents, Bytes::mib(1));
    let mut group = criterion.benchmark_group("ledger::state_hash");
    group.bench_function(format!("leases={agents}"), |bencher| {
        bencher.iter(|| scene.ledger.state_hash());
    });
    group.finish();
}

fn signatures(criterion: &mut Criterion) {
    let (agent, chain) = (AgentId(1), genesis().chain_id());
    let (key, command) = (key(agent), request(Bytes::mib(1)));
    let public = key.public();
    let sign = || SignedCommand::sign(&key, chain, agent, 0, &command).expect("small");
    let signed = sign();
    criterion.bench_function("command::sign/kind=request", |bencher| bencher.iter(sign));
    criterion.bench_function("command::verify/kind=request", |bencher| {
        bencher.iter(|| signed.verify(chain, &public).expect("signed above"));
    });
}

/// A request and its release, each waited for: through the sequencer's thread, the replica's, and back.
fn client(criterion: &mut Criterion) {
    let wait = Duration::from_secs(10);
    let clock = Arc::new(SystemClock::new());
    criterion.bench_function("client::request_release/agents=1", |bencher| {
        let config = SequencerConfig::default();
        let log = Sequencer::start(genesis(), config, clock.clone()).expect("a thread can be started");
        let node = Arc::new(LedgerNode::start(genesis(), Arc::new(log)).expect("a thread can be started"));
        let open = |agent| {
            let outbox = OutboxConfig::default();
            BlockingClient::new(node.clone(), clock.clone(), key(agent), agent, outbox)
                .expect("the node runs")
        };
        let mut operator = open(OPERATOR);
        for command in registrations(1) {
            operator.call(&command, wait).expect("the operator may");
        }
        let mut agent = open(AgentId(1));
        let wanted = request(Bytes::mib(1));
        bencher.iter(|| {
            let granted = agent.call(&wanted, wait).expect("the device is free");
            for lease in leases(vec![granted]) {
                agent.call(&release(&lease), wait).expect("the lease is live");
            }
        });
    });
}

/// The least that a holder does before it uses a lease: no agreement, only the lease and the time.
fn local_check(criterion: &mut Criterion) {
    let mut scene = Scene::new(1);
    let lease = scene.request_all(1, Bytes::mib(1)).remove(0);
    let clock = SystemClock::new();
    criterion.bench_function("lease::is_live/clock=system", |bencher| {
        bencher.iter(|| lease.is_live(clock.wall()));
    });
}

/// One allocation after the other through validators that share nothing but channels, each waited for until its block is
/// published; with a folder, everything is durable before it is published. `examples/agreement.rs` of daa-coord prints the
/// distribution and the requests per second.
fn agreement(criterion: &mut Criterion, validators: usize, folder: Option<&Path>) {
    let keys = validator_keys(&Seed(1).stream("validators"), validators);
    let set = ValidatorSet::equal(public_keys(&keys)).expect("distinct keys");
    let genesis = genesis().with_validators(set);
    let chain = genesis.chain_id();
    let clock: Arc<dyn Clock> = Arc::new(SystemClock::new());
    let config = BftConfig {
        folder: folder.map(Path::to_owned),
        ..BftConfig::default()
    };
    let cluster = BftCluster::start(&genesis, keys, config, &clock).expect("threads can be started");
    let log = cluster.log(0).expect("a validator");
    let mut blocks = log.subscribe(1).expect("it runs");
    let mut commit = |agent: AgentId, seq: u64, command: &Command| {
        let signed = SignedCommand::sign(&key(agent), chain, agent, seq, command).expect("small");
        log.submit(signed).expect("there is room");
        loop {
            let block = blocks
                .recv_timeout(Duration::from_secs(10))
                .expect("a quorum runs");
            if block
                .entries
                .iter()
                .any(|entry| entry.agent == agent && entry.seq == seq)
            {
                return;
            }
        }
    };
    for (seq, command) in (0..).zip(registrations(1)) {
        commit(OPERATOR, seq, &command);
    }
    let kept = if folder.is_some() { "disk" } else { "nothing" };
    let mut seq = 0;
    criterion.bench_function(
        &format!("log::bft::commit/validators={validators},keeps={kept}"),
        |bencher| {
            bencher.iter(|| {
                commit(AgentId(1), seq, &brief_request());
                seq += 1;
            });
        },
    );
}

fn main() {
    let mut criterion = daa_benches::criterion();
    signatures(&mut criterion);
    for agents in [8, 64] {
        request_release(&mut criterion, agents);
        queue_drain(&mut criterion, agents);
    }
    state_hash(&mut criterion, 64);
    client(&mut criterion);
    local_check(&mut criterion);
    agreement(&mut criterion, 4, None);
    agreement(&mut criterion, 10, None);
    let folder = tempfile::tempdir().expect("a folder can be made");
    agreement(&mut criterion, 4, Some(folder.path()));
    criterion.final_summary();
}
