//! How long four processes over the loopback interface take to agree on an allocation, and how many decisions per second they
//! make: all alive, then with one of them killed.
//!
//! ```text
//! cargo run --release -p daa-coord --example engine_bench -- [seconds] [folder]
//! ```
//! Every process has its own keys, files and connections; everything is durable before it is published. The folder decides
//! on which disk; without one it is the system's folder for temporary files.

#[path = "support/processes.rs"]
mod processes;

use daa_base::{AgentId, Bytes, Clock, DeviceId, Millis, OwnerId, Permille, Seed, SystemClock};
use daa_coord::log::engine::EngineLog;
use daa_coord::{
    AgentKey, BlockStream, Command, CommitLog as _, Genesis, LedgerConfig, OPERATOR, ResourceRequest,
    ShortText, SignedCommand,
};
use processes::{Cast, NODES, Outcome, free_ports, spawn};
use std::io::{BufRead as _, BufReader, Write};
use std::path::Path;
use std::process::{Child, ChildStdin, ChildStdout};
use std::sync::Arc;
use std::time::Duration;

const WAIT: Duration = Duration::from_secs(30);

fn main() -> Outcome<()> {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    if arguments.first().is_some_and(|first| first == "node") {
        return node(&arguments[1..]);
    }
    let seconds: u64 = arguments.first().map_or(Ok(5), |text| text.parse())?;
    let scratch = match arguments.get(1) {
        Some(folder) => tempfile::tempdir_in(folder)?,
        None => tempfile::tempdir()?,
    };
    let ports = free_ports()?;
    let mut nodes = Vec::new();
    for at in 0..NODES {
        nodes.push(Process::start(at, &ports, scratch.path())?);
    }
    let mut out = std::io::stdout().lock();
    let all = measure(&mut out, &mut nodes[0], "4 of 4 alive", seconds)?;
    // The one whose turn it is every fourth height, but not the one that is asked.
    nodes[NODES - 1].child.kill()?;
    nodes[NODES - 1].child.wait()?;
    let rest = measure(&mut out, &mut nodes[0], "3 of 4 alive", seconds)?;
    writeln!(
        out,
        "one dead node costs {:.2} times the decisions per second",
        all / rest
    )?;
    Ok(())
}

/// Prints the figures and gives decisions per second.
fn measure(out: &mut impl Write, node: &mut Process, title: &str, seconds: u64) -> Outcome<f64> {
    let latency = node.ask(&format!("latency {seconds}"))?;
    let rate = node.ask(&format!("rate {seconds}"))?;
    writeln!(out, "{title}: {latency}; {rate} decisions/s")?;
    Ok(rate.parse()?)
}

struct Process {
    child: Child,
    input: ChildStdin,
    output: BufReader<ChildStdout>,
}

impl Process {
    fn start(at: usize, ports: &[String], folder: &Path) -> Outcome<Self> {
        let (child, input, output) = spawn(at, ports, folder)?;
        let output = BufReader::new(output);
        Ok(Self { child, input, output })
    }

    fn ask(&mut self, question: &str) -> Outcome<String> {
        writeln!(self.input, "{question}")?;
        let mut answer = String::new();
        self.output.read_line(&mut answer)?;
        Ok(answer.trim().to_owned())
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        let _gone = self.child.kill();
        let _gone = self.child.wait();
    }
}

struct Scene {
    genesis: Genesis,
    operator: AgentKey,
    agent: AgentKey,
    log: EngineLog,
    blocks: BlockStream,
    clock: Arc<dyn Clock>,
    next: u64,
}

/// One process: answers the questions that come on its standard input.
fn node(arguments: &[String]) -> Outcome<()> {
    let config = LedgerConfig {
        max_open_per_agent: 64,
        ..LedgerConfig::default()
    };
    let cast = Cast::new("engine bench", config)?;
    let clock: Arc<dyn Clock> = Arc::new(SystemClock::new());
    let node = cast.start(arguments, Arc::clone(&clock))?;
    let log = node.log();
    let Cast {
        genesis, operator, ..
    } = cast;
    let mut scene = Scene {
        genesis,
        operator,
        agent: AgentKey::from_stream(&Seed(1).stream("agent")),
        blocks: log.subscribe(1)?,
        log,
        clock,
        next: 0,
    };
    for line in std::io::stdin().lines() {
        let line = line?;
        let mut out = std::io::stdout().lock();
        match line.split_once(' ') {
            Some(("latency", seconds)) => writeln!(out, "{}", scene.latency(seconds.parse()?)?)?,
            Some(("rate", seconds)) => writeln!(out, "{:.1}", scene.rate(seconds.parse()?)?)?,
            _ => writeln!(
                out,
                "{} {}",
                scene.log.ledger().height(),
                scene.log.ledger().state_hash()
            )?,
        }
    }
    Ok(())
}

impl Scene {
    fn submit(&self, who: (&AgentKey, AgentId), seq: u64, command: &Command) -> Outcome<()> {
        let signed = SignedCommand::sign(who.0, self.genesis.chain_id(), who.1, seq, command)?;
        Ok(self.log.submit(signed)?)
    }

    fn await_command(&mut self, agent: AgentId, seq: u64) -> Outcome<()> {
        loop {
            let block = self.blocks.recv_timeout(WAIT)?;
            let mut entries = block.entries.iter();
            if entries.any(|entry| (entry.agent, entry.seq) == (agent, seq)) {
                return Ok(());
            }
        }
    }

    fn prepare(&mut self) -> Outcome<()> {
        if self.next > 0 {
            return Ok(());
        }
        let commands = [
            Command::RegisterAgent {
                agent: AgentId(1),
                owner: OwnerId(1),
                key: self.agent.public(),
            },
            Command::RegisterDevice {
                device: DeviceId(0),
                capacity: Bytes::gib(1024),
            },
        ];
        for (command, seq) in commands.iter().zip(0..) {
            self.submit((&self.operator, OPERATOR), seq, command)?;
        }
        self.await_command(OPERATOR, commands.len() as u64 - 1)
    }

    /// An allocation that ends soon, so that the ledger stays small.
    fn one(&mut self) -> Outcome<()> {
        let seq = self.next;
        self.next += 1;
        let command = Command::Request(ResourceRequest {
            device: None,
            bytes: Bytes::mib(1),
            share: Permille::new(1)?,
            priority: 1,
            hold: Millis(1),
            deadline: None,
            purpose: ShortText::new("engine bench")?,
        });
        let agent = self.agent.clone();
        self.submit((&agent, AgentId(1)), seq, &command)?;
        self.await_command(AgentId(1), seq)
    }

    fn latency(&mut self, seconds: u64) -> Outcome<String> {
        self.prepare()?;
        let mut times = Vec::new();
        let end = self.clock.monotonic() + Duration::from_secs(seconds);
        while self.clock.monotonic() < end {
            let began = self.clock.monotonic();
            self.one()?;
            times.push(self.clock.monotonic().saturating_sub(began));
        }
        times.sort_unstable();
        let at = |share: f64| times[((times.len() - 1) as f64 * share) as usize].as_secs_f64() * 1e3;
        let (p50, p90, p99) = (at(0.5), at(0.9), at(0.99));
        let count = times.len();
        Ok(format!(
            "{count} one by one, p50 {p50:.2} ms, p90 {p90:.2} ms, p99 {p99:.2} ms"
        ))
    }

    /// Decisions per second, each block with at least one command.
    fn rate(&mut self, seconds: u64) -> Outcome<f64> {
        let (began, first) = (self.clock.monotonic(), self.log.ledger().height());
        let end = began + Duration::from_secs(seconds);
        while self.clock.monotonic() < end {
            self.one()?;
        }
        let took = self.clock.monotonic().saturating_sub(began);
        let decided = self.log.ledger().height() - first;
        Ok(decided as f64 / took.as_secs_f64())
    }
}
