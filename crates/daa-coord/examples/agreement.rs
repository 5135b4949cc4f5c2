//! How long validators in one process take to agree on an allocation, and how many requests per second they carry.
//!
//! ```text
//! cargo run --release -p daa-coord --example agreement -- [validators] [seconds] [folder]
//! ```
//! Every validator checks every signature. With a folder, everything is durable before it is published.

use crossbeam::channel::{Receiver, bounded};
use daa_base::{AgentId, Bytes, Clock, DeviceId, Millis, OwnerId, Permille, Seed, SystemClock};
use daa_coord::log::bft::{BftCluster, BftConfig, BftLog, public_keys, validator_keys};
use daa_coord::{
    AgentKey, BlockStream, Command, CommitLog as _, Genesis, LedgerConfig, OPERATOR, ResourceRequest,
    ShortText, SignedCommand, ValidatorSet,
};
use std::error::Error;
use std::io::Write as _;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

const AGENTS: u32 = 64;
const WAIT: Duration = Duration::from_secs(10);

struct Scene {
    genesis: Genesis,
    operator: AgentKey,
    agents: Vec<AgentKey>,
    clock: Arc<dyn Clock>,
}

fn main() -> Result<(), Box<dyn Error>> {
    let mut arguments = std::env::args().skip(1);
    let validators: usize = arguments.next().map_or(Ok(4), |text| text.parse())?;
    let seconds: u64 = arguments.next().map_or(Ok(5), |text| text.parse())?;
    let folder = arguments.next().map(PathBuf::from);
    let keys = validator_keys(&Seed(1).stream("validators"), validators);
    let operator = AgentKey::from_stream(&Seed(1).stream("operator"));
    let config = LedgerConfig {
        max_open_per_agent: 64,
        ..LedgerConfig::default()
    };
    let genesis = Genesis::new(ShortText::new("agreement")?, operator.public(), config)?
        .with_validators(ValidatorSet::equal(public_keys(&keys))?);
    let stream = Seed(1).stream("agents");
    let scene = Scene {
        genesis,
        operator,
        agents: (0..u64::from(AGENTS))
            .map(|index| AgentKey::from_stream(&stream.child(index)))
            .collect(),
        clock: Arc::new(SystemClock::new()),
    };
    let config = BftConfig {
        folder,
        ..BftConfig::default()
    };
    let cluster = BftCluster::start(&scene.genesis, keys, config, &scene.clock)?;
    let log = cluster.log(0).ok_or("no validators")?;
    let mut blocks = log.subscribe(1)?;
    scene.register(&log, &mut blocks)?;
    let mut next = vec![0_u64; AGENTS as usize];
    let latencies = scene.latency(&log, &mut blocks, &mut next[0], seconds)?;
    let before = cluster.counters(1).unwrap_or_default();
    let rate = scene.throughput(&log, &mut blocks, &mut next, seconds)?;
    let counters = cluster.counters(1).unwrap_or_default();
    let mut out = std::io::stdout().lock();
    let at = |share: f64| latencies[((latencies.len() - 1) as f64 * share) as usize].as_secs_f64() * 1e3;
    writeln!(
        out,
        "{validators} validators: {} allocations one by one, p50 {:.3} ms, p90 {:.3} ms, p99 {:.3} ms",
        latencies.len(),
        at(0.5),
        at(0.9),
        at(0.99)
    )?;
    writeln!(
        out,
        "signature checks per decision and validator: {:.2} ({} extra rounds)",
        before.checks.made as f64 / before.decided as f64,
        before.extra_rounds
    )?;
    writeln!(
        out,
        "in blocks: {rate:.0} requests per second, {:.0} per block",
        (counters.offered.taken - before.offered.taken) as f64 / (counters.decided - before.decided) as f64
    )?;
    Ok(())
}

impl Scene {
    fn sign(&self, agent: u32, seq: u64, command: &Command) -> Result<SignedCommand, Box<dyn Error>> {
        let (key, agent) = match agent.checked_sub(1) {
            None => (&self.operator, OPERATOR),
            Some(index) => (&self.agents[index as usize], AgentId(agent)),
        };
        Ok(SignedCommand::sign(
            key,
            self.genesis.chain_id(),
            agent,
            seq,
            command,
        )?)
    }

    /// A request that expires soon, so that the ledger stays small.
    fn request(&self, agent: u32, seq: u64) -> Result<SignedCommand, Box<dyn Error>> {
        let wanted = ResourceRequest {
            device: None,
            bytes: Bytes::mib(1),
            share: Permille::new(1)?,
            priority: 1,
            hold: Millis(1),
            deadline: None,
            purpose: ShortText::new("agreement")?,
        };
        self.sign(agent, seq, &Command::Request(wanted))
    }

    fn register(&self, log: &BftLog, blocks: &mut BlockStream) -> Result<(), Box<dyn Error>> {
        let device = Command::RegisterDevice {
            device: DeviceId(0),
            capacity: Bytes::gib(1024),
        };
        log.submit(self.sign(0, 0, &device)?)?;
        for agent in 1..=AGENTS {
            let register = Command::RegisterAgent {
                agent: AgentId(agent),
                owner: OwnerId(agent),
                key: self.agents[agent as usize - 1].public(),
            };
            log.submit(self.sign(0, u64::from(agent), &register)?)?;
            if agent % 32 == 0 {
                wait_for(blocks, OPERATOR, u64::from(agent))?;
            }
        }
        Ok(())
    }

    /// One allocation after the other, each from the moment before it is submitted until its block is published.
    fn latency(
        &self,
        log: &BftLog,
        blocks: &mut BlockStream,
        seq: &mut u64,
        seconds: u64,
    ) -> Result<Vec<Duration>, Box<dyn Error>> {
        let end = self.clock.monotonic() + Duration::from_secs(seconds);
        let mut latencies = Vec::new();
        while self.clock.monotonic() < end {
            let command = self.request(1, *seq)?;
            let begin = self.clock.monotonic();
            log.submit(command)?;
            wait_for(blocks, AgentId(1), *seq)?;
            latencies.push(self.clock.monotonic() - begin);
            *seq += 1;
        }
        latencies.sort_unstable();
        Ok(latencies)
    }

    /// As many as the agents' windows allow, signed beforehand: this measures the validators, not the signer.
    fn throughput(
        &self,
        log: &BftLog,
        blocks: &mut BlockStream,
        next: &mut [u64],
        seconds: u64,
    ) -> Result<f64, Box<dyn Error>> {
        let per_agent = 120 * seconds;
        let mut ready: Vec<Receiver<SignedCommand>> = Vec::new();
        for (index, next) in next.iter().enumerate() {
            let (sender, receiver) = bounded(per_agent as usize);
            for seq in *next..*next + per_agent {
                sender.send(self.request(index as u32 + 1, seq)?)?;
            }
            ready.push(receiver);
        }
        let window = 48;
        let begin = self.clock.monotonic();
        let end = begin + Duration::from_secs(seconds);
        for receiver in &ready {
            for command in receiver.try_iter().take(window) {
                log.submit(command)?;
            }
        }
        let mut done = 0_u64;
        while self.clock.monotonic() < end && ready.iter().any(|receiver| !receiver.is_empty()) {
            let block = blocks.recv_timeout(WAIT)?;
            for entry in &block.entries {
                done += 1;
                let index = entry.agent.get() as usize - 1;
                if let Ok(command) = ready[index].try_recv() {
                    log.submit(command)?;
                }
            }
        }
        Ok(done as f64 / (self.clock.monotonic() - begin).as_secs_f64())
    }
}

fn wait_for(blocks: &mut BlockStream, agent: AgentId, seq: u64) -> Result<(), Box<dyn Error>> {
    loop {
        let block = blocks.recv_timeout(WAIT)?;
        if block
            .entries
            .iter()
            .any(|entry| entry.agent == agent && entry.seq == seq)
        {
            return Ok(());
        }
    }
}
