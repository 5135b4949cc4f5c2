//! Recording what a pool does.

use super::{MAX_EVENTS, Trace, TraceBuilder, Usage};
use crate::config::ConfigError;
use crate::sync::atomic::{AtomicBool, Ordering};
use crate::sync::{Arc, Mutex, MutexGuard, PoisonError};
use daa_base::Clock;
use std::collections::BTreeMap;

/// Writes down what pools give out and take back. Clones are the same recorder; it is off until [`Self::start`].
///
/// While it is off it costs a pool one relaxed load for each allocation. Any number of pools may write to one recorder.
#[derive(Debug, Clone, Default)]
pub struct Recorder {
    shared: Arc<Shared>,
}

/// Equal if it is the same recorder.
impl PartialEq for Recorder {
    fn eq(&self, other: &Self) -> bool {
        Arc::ptr_eq(&self.shared, &other.shared)
    }
}

impl Eq for Recorder {}

#[derive(Debug, Default)]
struct Shared {
    /// Whether there is a recording. Only a hint: the lock decides.
    on: AtomicBool,
    state: Mutex<State>,
}

#[derive(Debug, Default)]
struct State {
    /// Tells marks of this recording from those of earlier ones.
    recordings: u32,
    tape: Option<Tape>,
}

/// How long a recording may get.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct RecordLimit {
    /// Most events, 2 to [`MAX_EVENTS`]. An event takes some six bytes, at most 22.
    pub events: u64,
}

/// 8,388,608 events, some 50 MiB.
impl Default for RecordLimit {
    fn default() -> Self {
        Self { events: 1 << 23 }
    }
}

/// What ticks of a recording are.
#[derive(Debug, Clone)]
pub enum Ticks {
    /// The events before.
    Events,
    /// Microseconds since the start, by this clock.
    Micros(Arc<dyn Clock>),
}

/// Why recording does not start.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum RecordError {
    /// The limit is out of range.
    #[error(transparent)]
    Config(#[from] ConfigError),
    /// A recording is under way.
    #[error("a recording is under way: it must be stopped before another starts")]
    Busy,
}

/// A recording under way. Dropping it ends and discards the recording.
#[derive(Debug)]
#[must_use = "dropping it ends the recording"]
pub struct Recording {
    recorder: Recorder,
    number: u32,
}

/// What a pool remembers of an allocation that was recorded, or of one that was not.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Recorded {
    /// Number of the recording; 0: not recorded.
    recording: u32,
    id: u32,
}

#[derive(Debug)]
struct Tape {
    builder: TraceBuilder,
    /// Places of the tenants by the pools' keys.
    tenants: BTreeMap<u64, u32>,
    /// The tenant that allocated last, mostly the next one too.
    latest: Option<(u64, u32)>,
    limit: u64,
    ticks: Ticks,
    start_us: u64,
}

impl Recorder {
    /// A recorder that is off.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// Begins to record. Ticks are microseconds of `clock` since now, so that a trace shows when things happened; or,
    /// with [`Ticks::Events`], they count the events, which takes less time and makes traces of equal runs equal.
    /// Buffers on loan already are not part of the trace.
    ///
    /// # Errors
    /// [`RecordError::Busy`] while another recording is under way, [`RecordError::Config`] for a limit out of range.
    pub fn start(&self, limit: RecordLimit, ticks: Ticks) -> Result<Recording, RecordError> {
        if !(2..=MAX_EVENTS).contains(&limit.events) {
            return Err(ConfigError {
                field: "events",
                value: limit.events.to_string(),
                allowed: format!("2 to {MAX_EVENTS}"),
            }
            .into());
        }
        let mut state = self.lock();
        if state.tape.is_some() {
            return Err(RecordError::Busy);
        }
        // After 2^32 recordings numbers come again; 0 means "not recorded" and is left out.
        state.recordings = state.recordings.wrapping_add(1).max(1);
        state.tape = Some(Tape {
            builder: TraceBuilder::new(),
            tenants: BTreeMap::new(),
            latest: None,
            limit: limit.events,
            start_us: ticks.micros(),
            ticks,
        });
        let number = state.recordings;
        self.shared.on.store(true, Ordering::Release);
        drop(state);
        Ok(Recording {
            recorder: self.clone(),
            number,
        })
    }

    /// Whether a recording is under way.
    #[must_use]
    pub fn is_on(&self) -> bool {
        self.shared.on.load(Ordering::Relaxed)
    }

    /// `bytes` were given to the tenant with this key and name. The pool hands the answer to [`Self::released`].
    #[inline]
    pub fn allocated(&self, tenant: u64, name: &str, usage: Usage, bytes: u64) -> Recorded {
        if !self.is_on() {
            return Recorded::default();
        }
        self.lock().allocated(tenant, name, usage, bytes)
    }

    /// What was marked so came back.
    #[inline]
    pub fn released(&self, mark: Recorded) {
        if mark != Recorded::default() {
            self.lock().released(mark);
        }
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.shared.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn take(&self, number: u32) -> Option<Trace> {
        let mut state = self.lock();
        if state.recordings != number {
            return None;
        }
        self.shared.on.store(false, Ordering::Release);
        let tape = state.tape.take()?;
        drop(state);
        Some(tape.builder.finish())
    }
}

impl Recording {
    /// Ends the recording and gives what was recorded.
    #[must_use]
    pub fn stop(self) -> Trace {
        // This is the only handle of the recording, and it takes the trace once.
        self.recorder.take(self.number).unwrap_or_default()
    }
}

impl Drop for Recording {
    fn drop(&mut self) {
        let _ = self.recorder.take(self.number);
    }
}

impl State {
    fn allocated(&mut self, tenant: u64, name: &str, usage: Usage, bytes: u64) -> Recorded {
        let recording = self.recordings;
        let id = self.tape.as_mut().and_then(|tape| {
            let id = tape.allocated(tenant, name, usage, bytes);
            if id.is_none() {
                tape.builder.lost(1);
            }
            id
        });
        id.map_or_else(Recorded::default, |id| Recorded { recording, id })
    }

    fn released(&mut self, mark: Recorded) {
        if let Some(tape) = self.tape.as_mut().filter(|_| mark.recording == self.recordings) {
            let tick = tape.tick();
            // It lives, and there is room for it: see `Tape::allocated`.
            let freed = tape.builder.free(tick, mark.id);
            debug_assert_eq!(freed, Ok(()));
        }
    }
}

impl Tape {
    /// `None` where there is no room left.
    fn allocated(&mut self, tenant: u64, name: &str, usage: Usage, bytes: u64) -> Option<u32> {
        // Whatever is recorded as allocated keeps room for its release.
        if self.builder.trace.len() + self.builder.lives() + 2 > self.limit {
            return None;
        }
        let tenant = self.place(tenant, name)?;
        self.builder.allocate(self.tick(), tenant, usage, bytes).ok()
    }

    fn place(&mut self, key: u64, name: &str) -> Option<u32> {
        // Pools number their tenants each for themselves: one key may stand for several.
        let same = |tape: &Self, place: u32| tape.builder.trace.tenants[place as usize] == name;
        if let Some((latest, place)) = self.latest
            && latest == key
            && same(self, place)
        {
            return Some(place);
        }
        let known = self.tenants.get(&key).copied();
        let place = match known.filter(|&place| same(self, place)) {
            Some(place) => place,
            None => self.builder.tenant(name).ok()?,
        };
        self.tenants.insert(key, place);
        self.latest = Some((key, place));
        Some(place)
    }

    /// Never less than the tick before.
    fn tick(&self) -> u64 {
        let tick = match &self.ticks {
            Ticks::Events => self.builder.trace.len(),
            Ticks::Micros(_) => self.ticks.micros().saturating_sub(self.start_us),
        };
        tick.clamp(self.builder.tick, super::MAX_TICK)
    }
}

impl Ticks {
    fn micros(&self) -> u64 {
        match self {
            Self::Events => 0,
            Self::Micros(clock) => u64::try_from(clock.monotonic().as_micros()).unwrap_or(u64::MAX),
        }
    }
}
