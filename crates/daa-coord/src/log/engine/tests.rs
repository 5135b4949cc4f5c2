//! Real sockets on the loopback interface and real files; nothing here measures time, everything has a generous deadline.

use super::*;
use crate::command::Command;
use crate::consensus::{BlockId, Vote};
use crate::genesis::{LedgerConfig, OPERATOR};
use crate::keys::Digest;
use crate::log::Block;
use crate::log::bft::{BftCluster, BftConfig, public_keys, validator_keys};
use crate::text::ShortText;
use crate::validators::ValidatorSet;
use arc_malachitebft_app_channel::app::engine::network::{Msg, NetworkEvent, Subscriber};
use arc_malachitebft_app_channel::app::engine::util::output_port::{OutputPort, OutputPortSubscriberTrait};
use arc_malachitebft_core_types::{NilOrVal, Round, SignedMessage, VoteType};
use daa_base::{AgentId, Bytes, DeviceId, ManualClock, OwnerId, Seed, SystemClock, Timestamp};
use std::net::TcpListener;
use tempfile::TempDir;

const DEADLINE: Duration = Duration::from_secs(30);

struct World {
    genesis: Genesis,
    keys: Vec<AgentKey>,
    operator: AgentKey,
    clock: Arc<dyn Clock>,
    addresses: Vec<Multiaddr>,
    folder: TempDir,
}

impl World {
    fn new(clock: Arc<dyn Clock>) -> Self {
        let keys = validator_keys(&Seed(11).stream("validators"), 4);
        let operator = AgentKey::from_secret(&[9; 32]);
        let set = ValidatorSet::equal(public_keys(&keys)).expect("distinct");
        let genesis = Genesis::new(
            ShortText::fitted("engine"),
            operator.public(),
            LedgerConfig::default(),
        )
        .expect("valid")
        .with_validators(set);
        // Held together, so that all four are different.
        let held: Vec<_> = (0..4)
            .map(|_| TcpListener::bind("127.0.0.1:0").expect("a port"))
            .collect();
        let address = |listener: &TcpListener| {
            let port = listener.local_addr().expect("bound").port();
            format!("/ip4/127.0.0.1/tcp/{port}").parse().expect("an address")
        };
        Self {
            genesis,
            keys,
            operator,
            clock,
            addresses: held.iter().map(address).collect(),
            folder: tempfile::tempdir().expect("a folder"),
        }
    }

    fn config(&self, at: usize) -> EngineConfig {
        let mut peers = self.addresses.clone();
        let own = peers.remove(at);
        EngineConfig::new(own, peers, self.folder.path().join(format!("node-{at}")))
    }

    fn start(&self, at: usize) -> EngineNode {
        self.start_as(at, None)
    }

    fn start_as(&self, at: usize, tamper: Tamper) -> EngineNode {
        let clock = Arc::clone(&self.clock);
        EngineNode::start_as(
            &self.genesis,
            self.keys[at].clone(),
            self.config(at),
            clock,
            tamper,
        )
        .expect("starts")
    }

    fn register(&self, seq: u64) -> SignedCommand {
        let device = Command::RegisterDevice {
            device: DeviceId(seq as u32),
            capacity: Bytes(1 << 20),
        };
        SignedCommand::sign(&self.operator, self.genesis.chain_id(), OPERATOR, seq, &device).expect("small")
    }
}

/// All blocks up to the one with the operator's command `seq`.
fn until(log: &dyn CommitLog, seq: u64) -> Vec<Arc<Block>> {
    let mut stream = log.subscribe(1).expect("serves from the first block");
    let mut blocks = Vec::new();
    loop {
        let block = stream.recv_timeout(DEADLINE).expect("a block in time");
        let found = block.entries.iter().any(|entry| entry.seq == seq);
        blocks.push(block);
        if found {
            return blocks;
        }
    }
}

/// The state hash after `blocks`.
fn replay(genesis: &Genesis, blocks: &[Arc<Block>]) -> Digest {
    let mut ledger = Ledger::new(genesis.clone()).expect("valid");
    for block in blocks {
        ledger.apply(block).expect("follows");
    }
    ledger.state_hash()
}

fn system_clock() -> Arc<dyn Clock> {
    Arc::new(SystemClock::new())
}

#[test]
fn four_nodes_agree_go_on_without_one_and_take_it_back() {
    let world = World::new(system_clock());
    let mut nodes: Vec<_> = (0..4).map(|at| world.start(at)).collect();
    for seq in 0..8 {
        let log = nodes[seq as usize % 4].log();
        log.submit(world.register(seq)).expect("room");
    }
    let all: Vec<_> = nodes.iter().map(|node| until(&node.log(), 7)).collect();
    assert!(all.windows(2).all(|pair| pair[0] == pair[1]));

    nodes[3].stop();
    assert!(nodes[3].log().end().is_some());
    assert_eq!(nodes[3].log().submit(world.register(8)), Err(SubmitError::Closed));
    for seq in 8..12 {
        nodes[0].log().submit(world.register(seq)).expect("room");
        until(&nodes[0].log(), seq);
    }

    nodes[3] = world.start(3);
    let kept = nodes[3].log().ledger().height();
    assert!(kept >= all[3].len() as u64, "what was decided is there at once");
    nodes[3].log().submit(world.register(12)).expect("room");
    let all: Vec<_> = nodes.iter().map(|node| until(&node.log(), 12)).collect();
    assert!(all.windows(2).all(|pair| pair[0] == pair[1]));
    let hash = replay(&world.genesis, &all[0]);
    assert!(all.iter().all(|blocks| replay(&world.genesis, blocks) == hash));
}

#[test]
fn a_node_that_starts_late_catches_up() {
    let world = World::new(system_clock());
    let mut nodes: Vec<_> = (0..3).map(|at| world.start(at)).collect();
    for seq in 0..30 {
        nodes[0].log().submit(world.register(seq)).expect("room");
        until(&nodes[0].log(), seq);
    }
    nodes.push(world.start(3));
    let late = until(&nodes[3].log(), 29);
    assert_eq!(late, until(&nodes[0].log(), 29));
    let counters = nodes[3].log().counters();
    assert!(counters.synced > 0, "{counters:?}");
}

#[test]
fn invalid_blocks_are_refused_and_others_propose() {
    let world = World::new(system_clock());
    let lie: Tamper = Some(|mut block| {
        block.header.state = Digest([6; 32]);
        block
    });
    let mut nodes = vec![world.start_as(0, lie)];
    nodes.extend((1..4).map(|at| world.start(at)));
    for seq in 0..8 {
        nodes[1].log().submit(world.register(seq)).expect("room");
        until(&nodes[1].log(), seq);
    }
    let all: Vec<_> = nodes.iter().map(|node| until(&node.log(), 7)).collect();
    assert!(all.windows(2).all(|pair| pair[0] == pair[1]));
    let counters = nodes[1].log().counters();
    assert!(
        counters.invalid_blocks > 0 && counters.extra_rounds > 0,
        "{counters:?}"
    );
}

/// A node without a vote that is connected to the first of `world` only, and the command that makes a member of it.
fn guest(world: &World) -> (EngineNode, SignedCommand) {
    let guest = AgentKey::from_secret(&[77; 32]);
    let mut config = world.config(0);
    config.listen = "/ip4/127.0.0.1/tcp/0".parse().expect("an address");
    // One of the four is enough; it hands on what it gets.
    config.peers = vec![world.addresses[0].clone()];
    config.folder = world.folder.path().join("guest");
    let node = EngineNode::start(&world.genesis, guest.clone(), config, system_clock()).expect("starts");
    let command = Command::RegisterAgent {
        agent: AgentId(1),
        owner: OwnerId(1),
        key: guest.public(),
    };
    let known = SignedCommand::sign(&world.operator, world.genesis.chain_id(), OPERATOR, 0, &command);
    (node, known.expect("small"))
}

#[test]
fn a_node_without_a_vote_hands_commands_in_and_follows() {
    let world = World::new(system_clock());
    let nodes: Vec<_> = (0..4).map(|at| world.start(at)).collect();
    let (follower, known) = guest(&world);
    nodes[1].log().submit(known).expect("room");
    // It is let in as soon as the ledger knows it.
    until(&follower.log(), 0);
    follower.log().submit(world.register(1)).expect("room");
    let all: Vec<_> = nodes.iter().map(|node| until(&node.log(), 1)).collect();
    assert!(all.windows(2).all(|pair| pair[0] == pair[1]));
    assert_eq!(until(&follower.log(), 1), all[0]);
}

#[test]
fn what_was_submitted_before_anybody_was_connected_is_handed_on() {
    let world = World::new(system_clock());
    let (follower, known) = guest(&world);
    // It goes out at once, and nobody hears it.
    follower.log().submit(world.register(1)).expect("room");
    let nodes: Vec<_> = (0..4).map(|at| world.start(at)).collect();
    nodes[1].log().submit(known).expect("room");
    until(&nodes[2].log(), 1);
}

/// Tells when somebody is connected.
#[derive(Debug)]
struct Doorbell(std::sync::mpsc::Sender<()>);

impl OutputPortSubscriberTrait<NetworkEvent<ChainContext>> for Doorbell {
    fn subscribe_to_port(&self, _port: &OutputPort<NetworkEvent<ChainContext>>) {}
}

impl Subscriber<NetworkEvent<ChainContext>> for Doorbell {
    fn send(&self, event: NetworkEvent<ChainContext>) {
        if matches!(event, NetworkEvent::PeerConnected(_)) {
            let _gone = self.0.send(());
        }
    }
}

fn vote(key: &AgentKey, chain: crate::genesis::ChainId, block: u8) -> SignedConsensusMsg<ChainContext> {
    let vote = Vote {
        kind: VoteType::Precommit,
        height: Height(1),
        round: Round::ZERO,
        value: NilOrVal::Val(BlockId(Digest([block; 32]))),
        validator: key.public(),
    };
    let signature = key.sign(&vote.signing_bytes(chain));
    SignedConsensusMsg::Vote(SignedMessage::new(vote, signature))
}

#[test]
fn votes_that_contradict_each_other_are_recorded_though_they_come_late() {
    let world = World::new(system_clock());
    let nodes: Vec<_> = (0..3).map(|at| world.start(at)).collect();
    for seq in 0..3 {
        nodes[0].log().submit(world.register(seq)).expect("room");
        until(&nodes[0].log(), seq);
    }
    let liar = &world.keys[3];
    let chain = world.genesis.chain_id();
    let runtime = runtime(1).expect("starts");
    let config = LinksConfig {
        me: liar.public(),
        keypair: crate::discovery::keypair(liar.secret()).expect("a key"),
        chain,
        listen: world.addresses[3].clone(),
        peers: vec![world.addresses[0].clone()],
        max_per_ip: 8,
        max_guests: 0,
    };
    let ledger = nodes[0].log().ledger();
    let started = links::start(config, move || Arc::clone(&ledger), |_| ());
    let (_links, network) = runtime.block_on(started).expect("listens");
    let (bell, rings) = std::sync::mpsc::channel();
    network
        .cast(Msg::Subscribe(Box::new(Doorbell(bell))))
        .expect("lives");
    rings.recv_timeout(DEADLINE).expect("connected");
    for block in [1, 2] {
        let message = vote(liar, chain, block);
        network.cast(Msg::PublishConsensusMsg(message)).expect("lives");
    }
    let mut stream = nodes[2].log().subscribe(1).expect("serves from the first block");
    let accused = loop {
        let block = stream.recv_timeout(DEADLINE).expect("a block in time");
        if let Some(proof) = block.evidence.first() {
            break proof.offence().expect("a contradiction");
        }
    };
    assert_eq!((accused.validator, accused.height), (liar.public(), 1));
    network.stop(None);
    runtime.shutdown_background();
}

#[test]
fn both_drivers_make_the_same_of_the_same_commands() {
    let clock: Arc<dyn Clock> = Arc::new(ManualClock::new(Timestamp(1_000_000)));
    let world = World::new(Arc::clone(&clock));
    let nodes: Vec<_> = (0..4).map(|at| world.start(at)).collect();
    let cluster = BftCluster::start(
        &world.genesis,
        world.keys.clone(),
        BftConfig::default(),
        &world.clock,
    )
    .expect("starts");
    let (host, engine) = (cluster.log(0).expect("four"), nodes[0].log());
    // A node's start costs an empty block.
    host.ask();
    for log in [&host as &dyn CommitLog, &engine] {
        let first = log.subscribe(1).expect("serves").recv_timeout(DEADLINE);
        assert!(first.expect("a block in time").entries.is_empty());
        for seq in 0..10 {
            log.submit(world.register(seq)).expect("room");
            until(log, seq);
        }
    }
    assert_eq!(until(&host, 9), until(&engine, 9));
    assert_eq!(host.ledger().state_hash(), engine.ledger().state_hash());
}

#[test]
fn what_cannot_work_is_named() {
    let world = World::new(system_clock());
    let start = |genesis: &Genesis, config| {
        let error = EngineNode::start(genesis, world.keys[0].clone(), config, system_clock());
        error.expect_err("refused").to_string()
    };
    let config = EngineConfig {
        workers: 0,
        ..world.config(0)
    };
    assert_eq!(start(&world.genesis, config), "workers is 0, allowed are 1 to 64");
    let mut config = world.config(0);
    config.host.history = 1;
    assert!(start(&world.genesis, config).ends_with("history is 1, allowed are 16 to 65536"));
    let mut config = world.genesis.config().clone();
    config.consensus_threshold = daa_base::Permille::new(750).expect("in range");
    let strict = Genesis::new(ShortText::fitted("strict"), world.operator.public(), config)
        .expect("valid")
        .with_validators(world.genesis.validators().clone());
    let error = start(&strict, world.config(0));
    assert_eq!(
        error,
        "the genesis asks for 750/1000 of the weight, the engine decides by 2/3"
    );
}
