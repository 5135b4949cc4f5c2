//! Metrics and history of one ledger, fed with its blocks.

use super::{
    CoordinationHistory, CoordinationMeter, CoordinationMetrics, HistoryError, HistoryQuery, HistoryRecord,
};
use crate::client::{LedgerNode, NodeError, NodeUpdate};
use crate::command::RequestId;
use crate::consensus::host::HostCounters;
use crate::ledger::{Ledger, LedgerEvent};
use daa_base::Timestamp;
use std::collections::BTreeMap;
use std::path::PathBuf;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

/// Requests that wait, with the agreed time at which they came: as many as the ledger's at most.
#[derive(Debug, Default)]
struct Waiting(BTreeMap<RequestId, Timestamp>);

impl CoordinationMeter {
    /// Counts what a block changed; `ledger` is the replica after it.
    ///
    /// A request that is granted is an attempt that ended in agreement, one that is refused an attempt that did not, and
    /// one that its agent withdraws is none. Its time is agreed time from the block that brought it to the block that
    /// ended it: 0 where that is the same, whatever the way into the block took.
    fn on_block(&mut self, waiting: &mut Waiting, ledger: &Ledger, events: &[LedgerEvent]) {
        let now = ledger.time();
        for event in events {
            if let LedgerEvent::RequestQueued { request, .. } = event {
                waiting.0.insert(*request, now);
            }
            let Some(request) = event.ends_request() else {
                continue;
            };
            let came = waiting.0.remove(&request).unwrap_or(now);
            let took = Duration::from_millis(now.since(came).get());
            match event {
                LedgerEvent::LeaseGranted(_) => self.succeeded(took),
                LedgerEvent::RequestRefused { .. } => self.failed(took),
                _ => {}
            }
        }
        self.look(ledger);
    }
}

/// A meter and a history that are fed together.
#[derive(Debug)]
pub struct CoordinationBook {
    meter: CoordinationMeter,
    waiting: Waiting,
    history: CoordinationHistory,
    /// What the validator had counted at the last look.
    counted: (u64, u64),
}

impl CoordinationBook {
    /// Counts from zero, and goes on with the history at `path`, of which the last `capacity` records are kept.
    ///
    /// # Errors
    /// [`HistoryError`].
    pub fn open(path: impl Into<PathBuf>, capacity: usize) -> Result<Self, HistoryError> {
        Ok(Self {
            meter: CoordinationMeter::default(),
            waiting: Waiting::default(),
            history: CoordinationHistory::open(path, capacity)?,
            counted: (0, 0),
        })
    }

    /// Takes in what a block changed; `ledger` is the replica after it. To be called for each block in turn.
    ///
    /// # Errors
    /// [`HistoryError::File`]; what was measured counts, and the records are kept in memory.
    pub fn on_block(&mut self, ledger: &Ledger, events: &[LedgerEvent]) -> Result<(), HistoryError> {
        self.meter.on_block(&mut self.waiting, ledger, events);
        self.history.add(ledger.height(), ledger.time(), events)
    }

    /// Goes on at `ledger`, whose last blocks nobody told of: what came meanwhile is not counted.
    pub fn on_gap(&mut self, ledger: &Ledger) {
        self.waiting = Waiting::default();
        self.meter.skip(ledger);
    }

    /// Takes over what this node's validator counted since it started: heights that it voted on, and rounds that they
    /// took.
    pub fn on_rounds(&mut self, counters: &HostCounters) {
        let (decided, extra) = (
            counters.decided.saturating_sub(counters.synced),
            counters.extra_rounds,
        );
        let (decided_before, extra_before) = self.counted;
        self.meter.voted(
            decided.saturating_sub(decided_before),
            extra.saturating_sub(extra_before),
        );
        self.counted = (decided, extra);
    }

    /// What was measured so far.
    #[must_use]
    pub fn metrics(&self) -> CoordinationMetrics {
        self.meter.read()
    }

    /// What happened.
    #[must_use]
    pub const fn history(&self) -> &CoordinationHistory {
        &self.history
    }
}

/// Why a ledger is not watched.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum WatchError {
    /// The history cannot be kept.
    #[error(transparent)]
    History(#[from] HistoryError),
    /// The replica tells nothing more.
    #[error(transparent)]
    Node(#[from] NodeError),
}

#[derive(Debug)]
struct Watched {
    book: CoordinationBook,
    fault: Option<String>,
}

/// A [`CoordinationBook`] that follows a replica. Clones share it.
///
/// ```no_run
/// # fn lines(node: &daa_coord::LedgerNode) -> Result<(), Box<dyn std::error::Error>> {
/// use daa_coord::coordination::{CoordinationWatch, HistoryQuery};
/// let watch = CoordinationWatch::start(node, "node/history", 4096)?;
/// let (metrics, last) = (watch.metrics(), watch.last(&HistoryQuery::default(), 20));
/// # Ok(())
/// # }
/// ```
#[derive(Debug, Clone)]
pub struct CoordinationWatch(Arc<Mutex<Watched>>);

impl CoordinationWatch {
    /// Follows `node` from its next block on, until it ends.
    ///
    /// # Errors
    /// [`WatchError`].
    pub fn start(node: &LedgerNode, path: impl Into<PathBuf>, capacity: usize) -> Result<Self, WatchError> {
        let watched = Watched {
            book: CoordinationBook::open(path, capacity)?,
            fault: None,
        };
        let watch = Self(Arc::new(Mutex::new(watched)));
        let told = watch.clone();
        node.attach_reading(move |ledger, update| {
            told.lock().hear(ledger, update);
            true
        })?;
        Ok(watch)
    }

    fn lock(&self) -> MutexGuard<'_, Watched> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Takes over what this node's validator counted ([`CoordinationBook::on_rounds`]).
    pub fn on_rounds(&self, counters: &HostCounters) {
        self.lock().book.on_rounds(counters);
    }

    /// What was measured so far.
    #[must_use]
    pub fn metrics(&self) -> CoordinationMetrics {
        self.lock().book.metrics()
    }

    /// The last `most` records that match, the oldest first.
    #[must_use]
    pub fn last(&self, query: &HistoryQuery, most: usize) -> Vec<HistoryRecord> {
        let watched = self.lock();
        let found = watched.book.history().find(query).rev().take(most);
        let mut found: Vec<_> = found.cloned().collect();
        found.reverse();
        found
    }

    /// Makes the history durable.
    ///
    /// # Errors
    /// [`HistoryError::File`].
    pub fn sync(&self) -> Result<(), HistoryError> {
        self.lock().book.history().sync()
    }

    /// Why the file lacks records, if it does: the first failure to write.
    #[must_use]
    pub fn fault(&self) -> Option<String> {
        self.lock().fault.clone()
    }
}

impl Watched {
    fn hear(&mut self, ledger: &Ledger, update: &NodeUpdate) {
        match update {
            NodeUpdate::Applied { events, .. } => {
                if let Err(error) = self.book.on_block(ledger, events)
                    && self.fault.is_none()
                {
                    tracing::warn!(%error, "the history lacks records");
                    self.fault = Some(error.to_string());
                }
            }
            NodeUpdate::Resynced { .. } => self.book.on_gap(ledger),
            NodeUpdate::Ended(_) => {}
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::command::Command;
    use crate::genesis::{Genesis, LedgerConfig};
    use crate::keys::AgentKey;
    use crate::ledger::tests::{Scene, wish};
    use crate::{Sequencer, SequencerConfig, ShortText};
    use daa_base::{Bytes, DeviceId, SystemClock};

    fn close(found: f64, expected: f64) {
        assert!((found - expected).abs() < 1e-6, "{found} for {expected}");
    }

    #[test]
    fn requests_are_counted_when_they_end_and_timed_by_agreed_time() {
        let folder = tempfile::tempdir().expect("a folder");
        let mut book = CoordinationBook::open(folder.path().join("history"), 100).expect("opens");
        let mut scene = Scene::new(LedgerConfig::default());
        let mut tell = |scene: &Scene, events: &[LedgerEvent]| {
            book.on_block(&scene.ledger, events).expect("written");
            book.metrics()
        };
        let events = scene.run(1, &Command::Request(wish(600)));
        let read = tell(&scene, &events);
        assert_eq!((read.successful_coordinations, read.failed_coordinations), (1, 0));
        close(read.average_coordination_time_ms, 0.0);
        let events = scene.run(2, &Command::Request(wish(700)));
        let read = tell(&scene, &events);
        assert_eq!(
            (read.successful_coordinations, read.failed_coordinations),
            (1, 0),
            "it waits"
        );
        // The first lease ends after 100 ms, and the second request gets it.
        let events = scene.pass(100);
        let read = tell(&scene, &events);
        assert_eq!((read.successful_coordinations, read.failed_coordinations), (2, 0));
        close(read.average_coordination_time_ms, 50.0);
        close(read.resource_sharing_efficiency.into(), 0.6);
        let events = scene.run(3, &Command::Request(wish(2000)));
        let read = tell(&scene, &events);
        assert_eq!((read.successful_coordinations, read.failed_coordinations), (2, 1));
        // Withdrawn by its agent: neither.
        let events = scene.run(3, &Command::Request(wish(900)));
        tell(&scene, &events);
        let request = RequestId {
            agent: daa_base::AgentId(3),
            seq: 1,
        };
        let events = scene.run(3, &Command::Cancel { request });
        let read = tell(&scene, &events);
        assert_eq!((read.successful_coordinations, read.failed_coordinations), (2, 1));
        assert!(book.waiting.0.is_empty());
        let counters = HostCounters {
            decided: 5,
            synced: 1,
            extra_rounds: 4,
            ..HostCounters::default()
        };
        book.on_rounds(&counters);
        book.on_rounds(&counters);
        close(book.metrics().consensus_reached_ratio.into(), 0.5);
        let found = book.history().find(&HistoryQuery::default()).count();
        assert_eq!(found, 7);
    }

    #[test]
    fn what_was_missed_is_not_counted() {
        let folder = tempfile::tempdir().expect("a folder");
        let mut book = CoordinationBook::open(folder.path().join("history"), 100).expect("opens");
        let mut scene = Scene::new(LedgerConfig::default());
        scene.run(1, &Command::Request(wish(500)));
        let events = scene.run(2, &Command::Request(wish(700)));
        book.on_block(&scene.ledger, &events).expect("written");
        scene.pass(50);
        book.on_gap(&scene.ledger);
        let events = scene.pass(50);
        book.on_block(&scene.ledger, &events).expect("written");
        let read = book.metrics();
        assert_eq!(read.successful_coordinations, 1);
        close(read.average_coordination_time_ms, 0.0);
        close(read.resource_sharing_efficiency.into(), 0.5);
    }

    #[test]
    fn a_watch_follows_a_replica_and_its_history_survives() {
        let folder = tempfile::tempdir().expect("a folder");
        let path = folder.path().join("history");
        let operator = AgentKey::from_secret(&[3; 32]);
        let genesis = Genesis::new(
            ShortText::fitted("watch"),
            operator.public(),
            LedgerConfig::default(),
        );
        let genesis = genesis.expect("valid");
        let clock = Arc::new(SystemClock::new());
        let log =
            Sequencer::start(genesis.clone(), SequencerConfig::default(), clock.clone()).expect("starts");
        let node = Arc::new(LedgerNode::start(genesis, Arc::new(log)).expect("starts"));
        let watch = CoordinationWatch::start(&node, &path, 10).expect("starts");
        let config = crate::OutboxConfig::default();
        let mut admin = crate::BlockingClient::new(node.clone(), clock, operator, crate::OPERATOR, config)
            .expect("starts");
        let wait = Duration::from_secs(60);
        let device = DeviceId(4);
        let capacity = Bytes(100);
        admin
            .call(&Command::RegisterDevice { device, capacity }, wait)
            .expect("registered");
        let mut wanted = wish(50);
        wanted.device = Some(device);
        admin.call(&Command::Request(wanted), wait).expect("granted");
        drop(admin);
        node.shutdown();
        assert_eq!(watch.metrics().successful_coordinations, 1);
        let found = watch.last(&HistoryQuery::default(), 1);
        assert!(found[0].text.contains("granted to agent-0"), "{found:?}");
        assert_eq!(
            (watch.last(&HistoryQuery::default(), 9).len(), watch.fault()),
            (2, None)
        );
        watch.sync().expect("durable");
        drop(watch);
        let again = CoordinationBook::open(&path, 10).expect("opens");
        assert_eq!(again.history().find(&HistoryQuery::default()).count(), 2);
    }
}
