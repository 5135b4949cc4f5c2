//! `kill -9` of every validator at random moments, again and again: nothing that was acknowledged may be lost, nothing granted
//! twice.
//!
//! ```text
//! cargo xtask kills [--rounds N] [--seed S] [--forget]
//! ```
//! Four processes over the loopback interface, with their files on disk. Agents ask them for leases on devices that are too
//! small for all, give some back, and send again what is not answered. In each round every node is killed at a moment of its own,
//! and some a second time while they start. Half of the rounds all nodes are down at once; in the others each starts again
//! soon. What a node has published is acknowledged. Compared with it are
//! - what each node finds in its files when it starts, before it listens to the others: no fewer blocks than it had published,
//!   and the same ones;
//! - each ledger that a node publishes, and all of them at the end of each round: the acknowledged leases with their tokens and
//!   bytes unless they ended, equal hashes at equal heights;
//! - at the end the stored blocks of each node, applied from the first one on: no device is ever leased beyond its capacity, no
//!   token and no request is granted twice, every acknowledged lease is granted, and ended only where that was asked for.
//!
//! What the system had not written to its disk yet survives the death of a process. A power failure is simulated by
//! `cargo xtask sim`, not here.
//!
//! `--forget` acts from the second round on as if the first node did not have one of the acknowledged leases. It must fail. That the
//! other comparisons can fail is tested with forged histories (`cargo test -p daa-coord --example engine_kills`).

#[path = "engine_kills/agents.rs"]
mod agents;
#[path = "engine_kills/audit.rs"]
mod audit;
#[path = "engine_kills/node.rs"]
mod node;
#[path = "support/processes.rs"]
mod processes;
#[path = "engine_kills/record.rs"]
mod record;
#[path = "engine_kills/report.rs"]
mod report;

use agents::Agents;
use audit::Audit;
use crossbeam::channel::{Receiver, RecvTimeoutError, Sender, unbounded};
use daa_base::{Clock, Rng, Seed, SystemClock};
use daa_coord::consensus::storage::{FileStorage, Storage as _};
use daa_coord::{Ledger, SignedCommand};
use processes::{Cast, NODES, Outcome, folder_of, free_ports, spawn};
use record::Record;
use report::{Report, from_line, to_line};
use std::io::{BufRead as _, BufReader, Write as _};
use std::path::Path;
use std::process::{Child, ChildStdin, ChildStdout};
use std::time::Duration;

/// Within this time of a round every node is killed.
const ROUND: Duration = Duration::from_millis(1500);
/// A node starts again at latest after this time, where not all are down at once.
const PAUSE: Duration = Duration::from_millis(300);
/// Within this time of its start a node is killed again, one in two times; often in its first milliseconds.
const START: Duration = Duration::from_millis(400);
const SEND_AGAIN: Duration = Duration::from_millis(200);
/// Within this time all nodes must be where the first one was.
const DEADLINE: Duration = Duration::from_secs(60);

struct Options {
    rounds: u64,
    seed: u64,
    forget: bool,
}

fn main() -> Outcome<()> {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    if arguments.first().is_some_and(|first| first == "node") {
        return node::run(&arguments[1..]);
    }
    let options = options(&arguments)?;
    let scratch = tempfile::tempdir()?;
    let mut run = Run::new(scratch.path(), &options)?;
    for round in 0..options.rounds {
        run.round(round % 2 == 0)?;
        if options.forget && round == 0 {
            let kept = run.record.active.first().copied();
            run.record.forget(kept.ok_or("there is no lease to forget")?);
        }
        if (round + 1) % 10 == 0 {
            run.print(round + 1)?;
        }
    }
    run.finish()?;
    let audited = run.audit()?;
    run.print(options.rounds)?;
    writeln!(std::io::stdout().lock(), "{audited}")?;
    Ok(())
}

fn options(arguments: &[String]) -> Outcome<Options> {
    let mut options = Options {
        rounds: 100,
        seed: 1,
        forget: false,
    };
    let mut rest = arguments.iter();
    while let Some(name) = rest.next() {
        match name.as_str() {
            "--forget" => options.forget = true,
            "--rounds" => options.rounds = rest.next().ok_or("--rounds takes a number")?.parse()?,
            "--seed" => options.seed = rest.next().ok_or("--seed takes a number")?.parse()?,
            other => {
                return Err(format!("{other:?} is unknown; allowed are --rounds, --seed, --forget").into());
            }
        }
    }
    Ok(options)
}

/// What comes from a node's standard output: a line, or its end.
type Heard = (usize, Option<String>);

/// The place of one node.
#[derive(Default)]
struct Slot {
    process: Option<(Child, ChildStdin)>,
    /// All that the process before had said was heard.
    silent: bool,
    /// It has said where it stands, and takes commands.
    ready: bool,
    kill_at: Option<Duration>,
    start_at: Duration,
    /// How long after its next start it is killed again.
    again: Option<Duration>,
}

struct Run<'a> {
    folder: &'a Path,
    cast: Cast,
    ports: Vec<String>,
    clock: SystemClock,
    rng: Rng,
    slots: Vec<Slot>,
    heard: (Sender<Heard>, Receiver<Heard>),
    record: Record,
    agents: Agents,
    /// New commands are thought of.
    busy: bool,
    send_again: Duration,
    kills: u64,
    /// Kills before the node had said where it stands.
    in_start: u64,
    sent: u64,
    /// How long it took after each round until all nodes had a new block.
    recoveries: Vec<Duration>,
}

impl<'a> Run<'a> {
    fn new(folder: &'a Path, options: &Options) -> Outcome<Self> {
        let cast = Cast::new("engine kills", agents::config())?;
        let seed = Seed(options.seed);
        let agents = Agents::new(&cast, seed)?;
        let slots = std::iter::repeat_with(|| Slot {
            silent: true,
            ..Slot::default()
        });
        Ok(Self {
            folder,
            cast,
            ports: free_ports()?,
            clock: SystemClock::new(),
            rng: seed.stream("kills").rng(),
            slots: slots.take(NODES).collect(),
            heard: unbounded(),
            record: Record::new(NODES),
            agents,
            busy: true,
            send_again: Duration::ZERO,
            kills: 0,
            in_start: 0,
            sent: 0,
            recoveries: Vec::new(),
        })
    }

    fn moment(&mut self, within: Duration) -> Duration {
        within.mul_f64(self.rng.uniform())
    }

    /// Kills every node once or twice, starts them again and waits until all are where the first one was.
    fn round(&mut self, together: bool) -> Outcome<()> {
        self.start_due(true)?;
        let began = self.clock.monotonic();
        for at in 0..NODES {
            let (kill, pause, again) = (self.moment(ROUND), self.moment(PAUSE), self.rng.uniform().powi(3));
            let twice = self.rng.below(2) == 0;
            let slot = &mut self.slots[at];
            slot.kill_at = Some(began + kill);
            slot.start_at = began + kill + pause;
            slot.again = twice.then(|| START.mul_f64(again));
        }
        let mut were_down = !together;
        while self
            .slots
            .iter()
            .any(|slot| slot.process.is_none() || slot.kill_at.is_some())
        {
            self.kill_due()?;
            let down = |slot: &Slot| slot.process.is_none() && slot.silent;
            were_down = were_down || self.slots.iter().all(down);
            self.start_due(were_down)?;
            self.step(self.next_action())?;
        }
        // One block more: that they go on is part of it.
        let (goal, began) = (self.record.height() + 1, self.clock.monotonic());
        while self.record.heights().iter().any(|&height| height < goal) {
            self.wait(began + DEADLINE)?;
        }
        let took = self.clock.monotonic().saturating_sub(began);
        self.recoveries.push(took);
        Ok(self.record.compare_all()?)
    }

    /// Takes part until something happens; not for longer than until `until`.
    fn wait(&mut self, until: Duration) -> Outcome<()> {
        if self.clock.monotonic() >= until {
            let heights = self.record.heights();
            return Err(format!("the nodes stay at heights {heights:?}").into());
        }
        self.step(until)
    }

    fn next_action(&self) -> Duration {
        let next = self.slots.iter().filter_map(|slot| match &slot.process {
            Some(_) => slot.kill_at,
            None => slot.silent.then_some(slot.start_at),
        });
        next.min().unwrap_or(Duration::MAX)
    }

    fn kill_due(&mut self) -> Outcome<()> {
        let now = self.clock.monotonic();
        for slot in &mut self.slots {
            if slot.kill_at.is_some_and(|at| at <= now)
                && let Some((mut child, _)) = slot.process.take()
            {
                child.kill()?;
                child.wait()?;
                self.kills += 1;
                self.in_start += u64::from(!slot.ready);
                slot.kill_at = None;
                slot.ready = false;
            }
        }
        Ok(())
    }

    fn start_due(&mut self, allowed: bool) -> Outcome<()> {
        let now = self.clock.monotonic();
        for at in 0..NODES {
            let slot = &mut self.slots[at];
            if !allowed || slot.process.is_some() || !slot.silent || slot.start_at > now {
                continue;
            }
            let (child, input, output) = spawn(at, &self.ports, self.folder)?;
            slot.process = Some((child, input));
            slot.silent = false;
            slot.kill_at = slot.again.take().map(|again| now + again);
            let sender = self.heard.0.clone();
            std::thread::Builder::new().spawn(move || listen(at, output, &sender))?;
        }
        Ok(())
    }

    /// Hears what nodes say until `until` or a moment longer, and answers with commands.
    fn step(&mut self, until: Duration) -> Outcome<()> {
        let now = self.clock.monotonic();
        let wait = until.min(self.send_again).saturating_sub(now);
        let mut next = self.heard.1.recv_timeout(wait);
        while let Ok((at, line)) = next {
            self.hear(at, line)?;
            next = self.heard.1.recv_timeout(Duration::ZERO);
        }
        if next == Err(RecvTimeoutError::Disconnected) {
            return Err("nobody listens".into());
        }
        let now = self.clock.monotonic();
        let mut commands = if self.busy {
            self.agents.act(&self.cast, &mut self.record, now)?
        } else {
            self.agents.hear(&self.record);
            Vec::new()
        };
        if now >= self.send_again {
            self.send_again = now + SEND_AGAIN;
            commands = self.agents.unanswered().cloned().collect();
        }
        commands.iter().try_for_each(|command| self.send(command))
    }

    fn hear(&mut self, at: usize, line: Option<String>) -> Outcome<()> {
        let Some(line) = line else {
            self.slots[at].silent = true;
            return match self.slots[at].process {
                Some(_) => Err(format!("node {at} ends by itself").into()),
                None => Ok(()),
            };
        };
        let report: Report = from_line(&line)?;
        let stands = matches!(report, Report::Situation(_));
        let slot = &mut self.slots[at];
        slot.ready |= stands && slot.process.is_some();
        Ok(self.record.hear(at, report)?)
    }

    /// To one of the nodes, now and then to two.
    fn send(&mut self, command: &SignedCommand) -> Outcome<()> {
        let line = to_line(command)?;
        for _ in 0..1 + usize::from(self.rng.below(4) == 0) {
            let at = self.rng.below(NODES);
            let slot = &mut self.slots[at];
            if let Some((_, input)) = slot.process.as_mut().filter(|_| slot.ready) {
                // To one that dies meanwhile it is lost.
                let _lost = writeln!(input, "{line}");
                self.sent += 1;
            }
        }
        Ok(())
    }

    /// Lets the agents have their answers and waits until all nodes have the same height; kills all.
    fn finish(&mut self) -> Outcome<()> {
        self.busy = false;
        let until = self.clock.monotonic() + DEADLINE;
        loop {
            let height = self.record.height();
            let equal = self.record.heights().iter().all(|&other| other == height);
            if equal && self.agents.unanswered().next().is_none() {
                break;
            }
            self.wait(until)?;
        }
        self.record.compare_all()?;
        let now = self.clock.monotonic();
        self.slots.iter_mut().for_each(|slot| slot.kill_at = Some(now));
        self.kill_due()?;
        while self.slots.iter().any(|slot| !slot.silent) {
            self.wait(until)?;
        }
        Ok(())
    }

    /// Applies the stored blocks of each node from the first one on.
    fn audit(&mut self) -> Outcome<String> {
        let (mut heights, mut fullest) = (Vec::new(), 0);
        for at in 0..NODES {
            let (height, audit) = self.replay(at).map_err(|error| format!("node {at}: {error}"))?;
            audit
                .check(&self.record)
                .map_err(|error| format!("node {at}: {error}"))?;
            heights.push(height);
            fullest = audit.fullest;
        }
        Ok(format!(
            "stored blocks {heights:?} applied from the first one on; a device was leased up to {}.{} %",
            fullest / 10,
            fullest % 10
        ))
    }

    fn replay(&mut self, at: usize) -> Outcome<(u64, Audit)> {
        let goal = self.record.heights()[at];
        let (mut storage, _) = FileStorage::open(&folder_of(self.folder, at), &self.cast.genesis)?;
        let mut ledger = Ledger::new(self.cast.genesis.clone())?;
        let (mut audit, mut parent) = (Audit::default(), None);
        while ledger.height() < goal {
            let blocks = storage.blocks(ledger.height() + 1, FileStorage::SEGMENT as u32)?;
            if blocks.is_empty() {
                return Err(format!("lost: blocks from {} to {goal}", ledger.height() + 1).into());
            }
            for decided in blocks.iter().filter(|decided| decided.height() <= goal) {
                let (height, header) = (decided.height(), &decided.block().header);
                if parent.is_some_and(|parent| parent != header.parent) || header.state != ledger.state_hash()
                {
                    return Err(format!("block {height} does not follow the one before").into());
                }
                parent = Some(decided.id());
                let block = decided.block().ledger_block();
                let events = ledger.apply(&block)?;
                audit.block(height, &events)?;
                let digest = node::digest(&block)?;
                let (digests, hashes) = (&self.record.blocks, &self.record.states);
                let stored = *self.record.tips.entry(height).or_insert(decided.id());
                if digests.get(&height).is_some_and(|&published| published != digest)
                    || hashes
                        .get(&height)
                        .is_some_and(|&hash| hash != ledger.state_hash())
                    || stored != decided.id()
                {
                    return Err(format!("block {height} is another one than was acknowledged").into());
                }
            }
        }
        Ok((goal, audit))
    }

    fn print(&self, rounds: u64) -> Outcome<()> {
        let counts = &self.record.counts;
        let mut recoveries = self.recoveries.clone();
        recoveries.sort_unstable();
        let middle = recoveries
            .get(recoveries.len() / 2)
            .map_or(0.0, Duration::as_secs_f64);
        let longest = recoveries.last().map_or(0.0, Duration::as_secs_f64);
        writeln!(
            std::io::stdout().lock(),
            "{rounds} rounds, {} kills ({} in starts), {} commands sent, {} grants acknowledged, {} ended on demand, {} expired, \
             {} live; height {}; {} starts and {} leases compared; a new block on all \
             {middle:.2} s after the last start (longest {longest:.2} s); {:.0} s",
            self.kills,
            self.in_start,
            self.sent,
            counts.granted,
            counts.ended,
            counts.expired,
            self.record.active.len(),
            self.record.height(),
            counts.found,
            counts.compared,
            self.clock.monotonic().as_secs_f64(),
        )?;
        Ok(())
    }
}

impl Drop for Run<'_> {
    fn drop(&mut self) {
        for (child, _) in self.slots.iter_mut().filter_map(|slot| slot.process.as_mut()) {
            let _gone = child.kill();
            let _gone = child.wait();
        }
    }
}

/// Hands on whole lines: what a kill has cut off was not said.
fn listen(at: usize, output: ChildStdout, sender: &Sender<Heard>) {
    let mut output = BufReader::new(output);
    let mut line = String::new();
    while output.read_line(&mut line).is_ok_and(|read| read > 0) && line.ends_with('\n') {
        let _over = sender.send((at, Some(std::mem::take(&mut line))));
    }
    let _over = sender.send((at, None));
}
