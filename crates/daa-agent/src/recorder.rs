//! Where events go: to the run folder, to the record, to whoever watches.

use crate::error::FolderError;
use crate::events::{Event, EventKind, MemorySample, Observer};
use crate::folder::RunFolder;
use crate::record::RunRecord;
use daa_base::{Clock, Timestamp};
use daa_gpu_core::PoolReport;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

/// Takes events from every thread of a run.
#[derive(Debug)]
pub(crate) struct Recorder {
    folder: Arc<RunFolder>,
    observer: Arc<dyn Observer>,
    clock: Arc<dyn Clock>,
    begun: Duration,
    /// Added to times, so that a resumed run goes on where the folder's events end.
    offset_ms: u64,
    state: Mutex<State>,
}

#[derive(Debug)]
struct State {
    record: RunRecord,
    last_memory: Option<MemorySample>,
    failed: Option<FolderError>,
}

impl Recorder {
    /// A recorder that goes on after the events that `folder` holds.
    pub(crate) fn new(
        folder: Arc<RunFolder>,
        observer: Arc<dyn Observer>,
        clock: Arc<dyn Clock>,
    ) -> Result<Self, FolderError> {
        let earlier = folder.events()?;
        let offset_ms = earlier.last().map_or(0, |event| event.at_ms + 1);
        let state = State {
            record: RunRecord::from_events(&earlier),
            last_memory: None,
            failed: None,
        };
        let begun = clock.monotonic();
        Ok(Self {
            folder,
            observer,
            clock,
            begun,
            offset_ms,
            state: Mutex::new(state),
        })
    }

    /// Records `kind` as happening now. A disk that refuses is reported by [`Recorder::check`], so that work that is
    /// under way can end in order.
    pub(crate) fn emit(&self, kind: EventKind) {
        let mut state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        self.emit_locked(&mut state, kind);
    }

    /// Records the memory of the pools that `reports` looks at, all together, if it changed. It looks while no other
    /// thread records, so that samples are told in the order in which they were taken.
    pub(crate) fn memory(&self, reports: impl FnOnce() -> Vec<PoolReport>) {
        let mut state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        let reports = reports();
        let tiers = || reports.iter().flat_map(|report| report.tiers.iter());
        let of_tier = |tier: usize| reports.iter().filter_map(move |report| report.tiers.get(tier));
        let sample = MemorySample {
            in_use: std::array::from_fn(|tier| of_tier(tier).map(|tier| tier.in_use).sum()),
            cached: tiers().map(|tier| tier.cached).sum(),
        };
        if state.last_memory != Some(sample) {
            state.last_memory = Some(sample);
            self.emit_locked(&mut state, EventKind::Memory { sample });
        }
    }

    /// The record so far.
    pub(crate) fn record(&self) -> RunRecord {
        self.state
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .record
            .clone()
    }

    /// Time since this process began the run.
    pub(crate) fn elapsed(&self) -> Duration {
        self.clock.monotonic().saturating_sub(self.begun)
    }

    /// Whether every event reached the folder.
    pub(crate) fn check(&self) -> Result<(), FolderError> {
        self.state
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .failed
            .take()
            .map_or(Ok(()), Err)
    }

    fn emit_locked(&self, state: &mut State, kind: EventKind) {
        let at_ms = self.offset_ms + u64::try_from(self.elapsed().as_millis()).unwrap_or(u64::MAX);
        let event = Event {
            at_ms,
            time: iso8601(self.clock.wall()),
            message: kind.to_string(),
            kind,
        };
        tracing::debug!(at_ms, "{}", event.message);
        state.record.apply(&event);
        if let Err(error) = self.folder.append(&event) {
            state.failed.get_or_insert(error);
        }
        self.observer.observe(&event);
    }
}

/// `2026-11-22T10:30:00.123Z`.
pub(crate) fn iso8601(time: Timestamp) -> String {
    let millis = i64::try_from(time.get()).unwrap_or(i64::MAX);
    jiff::Timestamp::from_millisecond(millis).map_or_else(|_| String::new(), |t| format!("{t:.3}"))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::events::Silent;
    use daa_base::ManualClock;

    #[test]
    fn a_resumed_recorder_goes_on_in_time() {
        let dir = tempfile::tempdir().expect("a folder");
        let clock = Arc::new(ManualClock::new(Timestamp(1_790_000_000_123)));
        let root = dir.path().join("run");
        let stop = || EventKind::StopRequested {
            reason: "test".to_owned(),
        };
        let first = Arc::new(RunFolder::create(&root).expect("made"));
        let recorder = Recorder::new(Arc::clone(&first), Arc::new(Silent), clock.clone()).expect("new");
        clock.advance(Duration::from_millis(250));
        recorder.emit(stop());
        recorder.check().expect("written");
        first.write_json("run.json", &1).expect("written");
        drop((recorder, first));
        let folder = Arc::new(RunFolder::open(&root).expect("opened"));
        let recorder = Recorder::new(Arc::clone(&folder), Arc::new(Silent), clock).expect("goes on");
        recorder.emit(stop());
        let events = folder.events().expect("read");
        assert_eq!(events.iter().map(|e| e.at_ms).collect::<Vec<_>>(), [250, 251]);
        assert_eq!(events[0].time, "2026-09-21T14:13:20.373Z");
        assert_eq!(recorder.record().notices.len(), 2);
    }
}
