//! One node: says what it finds and publishes, and takes commands from its standard input.

use super::agents;
use super::processes::{Cast, Outcome, folder_of};
use super::report::{Report, Situation, from_line, to_line};
use daa_base::{Clock, SystemClock, codec};
use daa_coord::consensus::MAX_BLOCK;
use daa_coord::consensus::storage::FileStorage;
use daa_coord::feed::FeedError;
use daa_coord::log::engine::EngineLog;
use daa_coord::{Block, CommitLog as _, Digest, Genesis, SubmitError};
use std::io::Write as _;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

const WAIT: Duration = Duration::from_secs(5);

/// Names a block as the ledger applies it.
pub(crate) fn digest(block: &Block) -> Outcome<Digest> {
    let bytes = codec::encode::<MAX_BLOCK, _>(block)?;
    Ok(Digest(*blake3::hash(&bytes).as_bytes()))
}

/// Runs until it is killed or its input ends.
pub(crate) fn run(arguments: &[String]) -> Outcome<()> {
    let cast = Cast::new("engine kills", agents::config())?;
    let folder = folder_of(Path::new(&arguments[1]), arguments[0].parse()?);
    say(&found(&folder, &cast.genesis)?)?;
    let clock: Arc<dyn Clock> = Arc::new(SystemClock::new());
    let node = cast.start(arguments, clock)?;
    let log = node.log();
    let published = node.log();
    std::thread::Builder::new().spawn(move || {
        if let Err(error) = tell(&published) {
            let why = published.end().unwrap_or_default();
            tell_end(&format!("a node ends: {error} {why}"));
            std::process::exit(1);
        }
    })?;
    for line in std::io::stdin().lines() {
        match log.submit(from_line(&line?)?) {
            Ok(()) | Err(SubmitError::Full { .. }) => {}
            Err(error) => return Err(error.into()),
        }
    }
    Ok(())
}

/// What is stored, before any other node could have brought back what is not.
fn found(folder: &Path, genesis: &Genesis) -> Outcome<Report> {
    let (_, recovered) = FileStorage::open(folder, genesis)?;
    let base = recovered.base.as_ref().map(|(_, block)| block);
    let last = recovered.blocks.last().or(base);
    Ok(Report::Found {
        height: last.map_or(0, |block| block.height()),
        tip: last.map(|block| block.id()),
    })
}

fn say(report: &Report) -> Outcome<()> {
    let line = to_line(report)?;
    Ok(writeln!(std::io::stdout().lock(), "{line}")?)
}

fn tell_end(why: &str) {
    let _closed = writeln!(std::io::stderr().lock(), "{why}");
}

fn tell(log: &EngineLog) -> Outcome<()> {
    let mut ledger = log.ledger();
    let mut blocks = log.subscribe(ledger.height() + 1)?;
    say(&Report::Situation(Box::new(Situation::since(None, &ledger))))?;
    loop {
        let mut next = blocks.recv_timeout(WAIT);
        while let Ok(block) = next {
            say(&Report::Block {
                height: block.height,
                digest: digest(&block)?,
            })?;
            next = blocks.try_recv();
        }
        match next {
            Err(FeedError::Timeout) => {}
            Err(error) => return Err(error.into()),
            Ok(_) => continue,
        }
        let now = log.ledger();
        if now.height() > ledger.height() {
            say(&Report::Situation(Box::new(Situation::since(
                Some(&ledger),
                &now,
            ))))?;
            ledger = now;
        }
    }
}
