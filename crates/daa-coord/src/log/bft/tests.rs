//! Real threads and channels; nothing here measures time, everything has a generous deadline.

use super::*;
use crate::command::Command;
use crate::genesis::{LedgerConfig, OPERATOR};
use crate::log::Block;
use crate::text::ShortText;
use crate::validators::ValidatorSet;
use daa_base::{Bytes, DeviceId, Seed, SystemClock};
use std::time::Duration;

const DEADLINE: Duration = Duration::from_secs(20);

struct World {
    genesis: Genesis,
    keys: Vec<AgentKey>,
    operator: AgentKey,
    clock: Arc<dyn Clock>,
}

impl World {
    fn new(n: usize) -> Self {
        let keys = validator_keys(&Seed(7).stream("validators"), n);
        let operator = AgentKey::from_secret(&[9; 32]);
        let set = ValidatorSet::equal(public_keys(&keys)).expect("distinct");
        let genesis = Genesis::new(
            ShortText::fitted("bft"),
            operator.public(),
            LedgerConfig::default(),
        )
        .expect("valid")
        .with_validators(set);
        Self {
            genesis,
            keys,
            operator,
            clock: Arc::new(SystemClock::new()),
        }
    }

    fn start(&self, config: BftConfig) -> BftCluster {
        BftCluster::start(&self.genesis, self.keys.clone(), config, &self.clock).expect("starts")
    }

    fn register(&self, seq: u64) -> SignedCommand {
        let device = Command::RegisterDevice {
            device: DeviceId(seq as u32),
            capacity: Bytes(1 << 20),
        };
        SignedCommand::sign(&self.operator, self.genesis.chain_id(), OPERATOR, seq, &device).expect("small")
    }
}

/// Takes blocks until the operator's command `seq` is in one of them; counts the blocks.
fn until(stream: &mut BlockStream, seq: u64) -> Vec<Arc<Block>> {
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

#[test]
fn all_validators_publish_the_same_blocks() {
    let world = World::new(4);
    let cluster = world.start(BftConfig::default());
    let logs: Vec<_> = (0..4).map(|at| cluster.log(at).expect("four")).collect();
    let mut streams: Vec<_> = logs.iter().map(|log| log.subscribe(1).expect("serves")).collect();
    for seq in 0..20 {
        logs[seq as usize % 4].submit(world.register(seq)).expect("room");
    }
    let all: Vec<_> = streams.iter_mut().map(|stream| until(stream, 19)).collect();
    assert!(all.windows(2).all(|pair| pair[0] == pair[1]));
    let late: Vec<_> = until(&mut logs[2].subscribe(1).expect("serves the past"), 19);
    assert_eq!(late, all[0]);
    cluster.shutdown();
    assert_eq!(logs[0].submit(world.register(20)), Err(SubmitError::Closed));
    assert!(matches!(logs[0].subscribe(1), Err(SubscribeError::Closed)));
}

#[test]
fn one_of_four_may_stop() {
    let world = World::new(4);
    let cluster = world.start(BftConfig::default());
    let log = cluster.log(0).expect("first");
    let mut stream = log.subscribe(1).expect("serves");
    log.submit(world.register(0)).expect("room");
    until(&mut stream, 0);
    cluster.stop(3);
    for seq in 1..9 {
        log.submit(world.register(seq)).expect("room");
        until(&mut stream, seq);
    }
    assert!(cluster.log(3).expect("fourth").end().is_some());
}

#[test]
fn what_was_committed_is_there_after_a_restart() {
    let world = World::new(4);
    let folder = tempfile::tempdir().expect("a folder");
    let config = BftConfig {
        folder: Some(folder.path().to_owned()),
        ..BftConfig::default()
    };
    for round in 0..3_u64 {
        let cluster = world.start(config.clone());
        let logs: Vec<_> = (0..4).map(|at| cluster.log(at).expect("four")).collect();
        let before = logs[round as usize].ledger();
        assert_eq!(
            before.next_seq(OPERATOR).expect("registered"),
            round,
            "all that was committed"
        );
        logs[round as usize].submit(world.register(round)).expect("room");
        // Wait for all four: the next to be asked is another one.
        for log in &logs {
            until(&mut log.subscribe(1).expect("serves from the first block"), round);
        }
        cluster.shutdown();
    }
}

#[test]
fn configurations_out_of_range_are_named() {
    let world = World::new(1);
    let config = BftConfig {
        queue: 3,
        ..BftConfig::default()
    };
    let error =
        BftCluster::start(&world.genesis, world.keys.clone(), config, &world.clock).expect_err("too small");
    assert_eq!(error.to_string(), "queue is 3, allowed are 64 to 1048576");
    let mut config = BftConfig::default();
    config.host.history = 1;
    let error =
        BftCluster::start(&world.genesis, world.keys.clone(), config, &world.clock).expect_err("too small");
    assert!(
        error
            .to_string()
            .ends_with("history is 1, allowed are 16 to 65536"),
        "{error}"
    );
}
