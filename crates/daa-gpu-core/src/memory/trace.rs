//! Traces of a pool: what was allocated and freed, when, for what and by whom; and how they are stored.
//!
//! A trace lets allocation policies be compared without the program that allocated, and without its device:
//! [`crate::memory::replay`] runs it against any pool configuration, [`Trace::lifetimes`] gives it to the static
//! planner. [`Recorder`] makes one from a pool at work, [`Lifetimes`] reads one from CSV.
//!
//! # Format, version 1
//!
//! Numbers are LEB128 varints of the shortest form, at most ten bytes.
//!
//! | Part | Content |
//! | --- | --- |
//! | magic | the eight bytes `89 44 41 41 54 52 0D 0A` |
//! | version | one byte, 1 |
//! | lost | allocations that a recorder had no room for; 0 for a whole trace |
//! | tenants | their number; for each the length of its name in bytes, and the name in UTF-8 |
//! | events | their number |
//! | each event | `ticks since the event before << 3 \| kind`. Kinds 0 to 4 allocate for a [`Usage`]: the size in bytes and the tenant's place in the list follow. Kind 7 frees: how many allocations ago the freed one was made follows, 1 for the latest |
//! | checksum | BLAKE3 of everything before, 32 bytes; nothing follows |
//!
//! Allocations are numbered from 0 in their order and need no id of their own. A trace has exactly one form: whatever
//! decodes, encodes to the same bytes again.

mod lifetimes;
mod record;
mod wire;

pub use lifetimes::{LifetimeRow, Lifetimes, LifetimesError};
pub use record::{RecordError, RecordLimit, Recorded, Recorder, Recording, Ticks};
pub use wire::TraceError;

use crate::memory::layout::Lifetime;
use serde::{Deserialize, Serialize};
use std::io::{self, Read};
use wire::{push_varint, read_varint};

/// Largest size of one allocation: 1 PiB.
pub const MAX_ALLOCATION: u64 = 1 << 50;

/// Latest tick.
pub const MAX_TICK: u64 = 1 << 60;

/// Most tenants of a trace.
pub const MAX_TENANTS: usize = 65_536;

/// Longest name of a tenant, in bytes.
pub const MAX_NAME: usize = 256;

/// Most events of a trace.
pub const MAX_EVENTS: u64 = 1 << 30;

/// Kind of an event that frees.
const FREE: u64 = 7;

/// What an allocation is for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Usage {
    /// Kernels read and write it.
    ReadWrite,
    /// Kernels only read it.
    ReadOnly,
    /// Parameters of kernels.
    Uniform,
    /// Staging that the host writes.
    Upload,
    /// Staging that the host reads.
    Readback,
}

impl Usage {
    /// All usages.
    pub const ALL: [Self; 5] = [
        Self::ReadWrite,
        Self::ReadOnly,
        Self::Uniform,
        Self::Upload,
        Self::Readback,
    ];
}

/// Something that happened.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Event {
    /// When. The unit is the trace's own; see [`Ticks`] for what a [`Recorder`] writes. Never less than the event before.
    pub tick: u64,
    /// What.
    pub action: Action,
}

/// What happened.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Action {
    /// Memory was given out.
    Allocate {
        /// Number of the allocation: how many came before.
        id: u32,
        /// Size asked for, 1 to [`MAX_ALLOCATION`].
        bytes: u64,
        /// What for.
        usage: Usage,
        /// Place of the tenant in [`Trace::tenants`].
        tenant: u32,
    },
    /// Memory came back.
    Free {
        /// Number of the allocation.
        id: u32,
    },
}

/// Why something cannot be part of a trace.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum EventError {
    /// Time goes back, or too far.
    #[error("the tick is {tick}, allowed are {last} to {MAX_TICK}")]
    Tick {
        /// The tick given.
        tick: u64,
        /// The tick before.
        last: u64,
    },
    /// The size is out of range.
    #[error("the size is {bytes} bytes, allowed are 1 to {MAX_ALLOCATION}")]
    Size {
        /// The size given.
        bytes: u64,
    },
    /// There is no such tenant.
    #[error("the tenant is {tenant}, there are {tenants}, counted from 0")]
    Tenant {
        /// The place given.
        tenant: u64,
        /// How many there are.
        tenants: usize,
    },
    /// What is freed is not there.
    #[error("allocation {id} is freed, but it was never made or is freed already")]
    NotLive {
        /// The number given.
        id: u64,
    },
    /// A tenant's name is out of range.
    #[error("a tenant's name has {length} bytes, allowed are 1 to {MAX_NAME}")]
    Name {
        /// Its length.
        length: usize,
    },
    /// There are too many tenants.
    #[error("there are {MAX_TENANTS} tenants, no more are allowed")]
    TooManyTenants,
    /// There are too many events.
    #[error("there are {MAX_EVENTS} events, no more are allowed")]
    TooManyEvents,
}

/// Allocations and frees in their order. Held in the compact form, some six bytes an event.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Trace {
    tenants: Vec<String>,
    body: Vec<u8>,
    events: u64,
    allocations: u32,
    lost: u64,
}

impl Trace {
    /// Names of the tenants, in the order in which they came.
    #[must_use]
    pub fn tenants(&self) -> &[String] {
        &self.tenants
    }

    /// How many events there are, at most [`MAX_EVENTS`].
    #[must_use]
    pub const fn len(&self) -> u64 {
        self.events
    }

    /// Whether nothing happened.
    #[must_use]
    pub const fn is_empty(&self) -> bool {
        self.events == 0
    }

    /// How many of the events allocate.
    #[must_use]
    pub const fn allocations(&self) -> u32 {
        self.allocations
    }

    /// Allocations that the recorder had no room for. Where it is not 0 the trace is cut: figures made from it hold
    /// for the part that was recorded only.
    #[must_use]
    pub const fn lost(&self) -> u64 {
        self.lost
    }

    /// The events in their order.
    #[must_use]
    pub fn events(&self) -> Events<'_> {
        Events {
            rest: &self.body,
            tick: 0,
            allocations: 0,
        }
    }

    /// When each allocation lives, in their order, for [`crate::memory::layout::pack`]. Steps are places among the
    /// events: what is freed and allocated in one tick keeps its order. What is never freed lives to the end.
    #[must_use]
    pub fn lifetimes(&self) -> Vec<Lifetime> {
        let place = |index: usize| u32::try_from(index).unwrap_or(u32::MAX);
        let end = u32::try_from(self.events).unwrap_or(u32::MAX);
        let mut lives: Vec<Lifetime> = Vec::with_capacity(self.allocations as usize);
        for (index, event) in self.events().enumerate() {
            match event.action {
                Action::Allocate { bytes, .. } => lives.push(Lifetime {
                    lower: place(index),
                    upper: end,
                    size: bytes,
                }),
                Action::Free { id } => {
                    if let Some(life) = lives.get_mut(id as usize) {
                        life.upper = place(index);
                    }
                }
            }
        }
        lives
    }

    /// The stored form. Equal traces give equal bytes.
    #[must_use]
    pub fn encode(&self) -> Vec<u8> {
        wire::encode(self)
    }

    /// Reads a stored trace to its end. Memory is taken for bytes that are there, never for what a length claims.
    ///
    /// # Errors
    /// [`TraceError`] that names the place of the first byte that cannot be right; anything over `limit` bytes is
    /// refused.
    pub fn decode(source: impl Read, limit: u64) -> Result<Self, TraceError> {
        wire::decode(source, limit)
    }
}

/// The events of a [`Trace`].
#[derive(Debug, Clone)]
pub struct Events<'a> {
    rest: &'a [u8],
    tick: u64,
    allocations: u32,
}

impl Events<'_> {
    /// `None` at the end. A builder wrote the bytes, so nothing in them can be missing.
    fn varint(&mut self) -> Option<u64> {
        let (value, rest) = read_varint(self.rest)?;
        self.rest = rest;
        Some(value)
    }
}

impl Iterator for Events<'_> {
    type Item = Event;

    fn next(&mut self) -> Option<Event> {
        let head = self.varint()?;
        self.tick += head >> 3;
        let action = match usize::try_from(head & 7)
            .ok()
            .and_then(|kind| Usage::ALL.get(kind))
        {
            Some(&usage) => {
                let bytes = self.varint()?;
                let tenant = u32::try_from(self.varint()?).ok()?;
                let id = self.allocations;
                self.allocations += 1;
                Action::Allocate {
                    id,
                    bytes,
                    usage,
                    tenant,
                }
            }
            None => Action::Free {
                id: self.allocations - u32::try_from(self.varint()?).ok()?,
            },
        };
        Some(Event {
            tick: self.tick,
            action,
        })
    }
}

/// Makes a trace event by event, and refuses what could not have happened.
#[derive(Debug, Clone, Default)]
pub struct TraceBuilder {
    trace: Trace,
    tick: u64,
    /// One bit for each allocation: whether it lives.
    live: Vec<u64>,
    lives: u64,
}

impl TraceBuilder {
    /// A trace in which nothing happened yet.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// Adds a tenant and gives its place. Names need not be unique.
    ///
    /// # Errors
    /// [`EventError::Name`] and [`EventError::TooManyTenants`].
    pub fn tenant(&mut self, name: &str) -> Result<u32, EventError> {
        if name.is_empty() || name.len() > MAX_NAME {
            return Err(EventError::Name { length: name.len() });
        }
        let place = self.trace.tenants.len();
        if place >= MAX_TENANTS {
            return Err(EventError::TooManyTenants);
        }
        self.trace.tenants.push(name.to_owned());
        // There are at most 65,536.
        Ok(u32::try_from(place).unwrap_or(u32::MAX))
    }

    /// `bytes` are allocated at `tick`. Gives the allocation's number.
    ///
    /// # Errors
    /// [`EventError`] for a tick, size or tenant out of range, and for too many events. Nothing changes then.
    pub fn allocate(&mut self, tick: u64, tenant: u32, usage: Usage, bytes: u64) -> Result<u32, EventError> {
        let ticks = self.check(tick)?;
        if bytes == 0 || bytes > MAX_ALLOCATION {
            return Err(EventError::Size { bytes });
        }
        if tenant as usize >= self.trace.tenants.len() {
            return Err(EventError::Tenant {
                tenant: u64::from(tenant),
                tenants: self.trace.tenants.len(),
            });
        }
        push_varint(&mut self.trace.body, (ticks << 3) | usage as u64);
        push_varint(&mut self.trace.body, bytes);
        push_varint(&mut self.trace.body, u64::from(tenant));
        self.happened(tick);
        let id = self.trace.allocations;
        if id.is_multiple_of(u64::BITS) {
            self.live.push(0);
        }
        self.live[(id / u64::BITS) as usize] |= 1 << (id % u64::BITS);
        self.trace.allocations += 1;
        self.lives += 1;
        Ok(id)
    }

    /// Allocation `id` is freed at `tick`.
    ///
    /// # Errors
    /// [`EventError`] for a tick out of range, for too many events, and [`EventError::NotLive`]. Nothing changes then.
    pub fn free(&mut self, tick: u64, id: u32) -> Result<(), EventError> {
        let ticks = self.check(tick)?;
        let mask = 1 << (id % u64::BITS);
        let word = self.live.get_mut((id / u64::BITS) as usize);
        let Some(word) = word.filter(|word| **word & mask != 0) else {
            return Err(EventError::NotLive { id: u64::from(id) });
        };
        *word &= !mask;
        self.lives -= 1;
        push_varint(&mut self.trace.body, (ticks << 3) | FREE);
        push_varint(&mut self.trace.body, u64::from(self.trace.allocations - id));
        self.happened(tick);
        Ok(())
    }

    /// Counts allocations that are missing in the trace.
    pub const fn lost(&mut self, more: u64) {
        self.trace.lost = self.trace.lost.saturating_add(more);
    }

    /// The trace so far.
    #[must_use]
    pub fn finish(self) -> Trace {
        self.trace
    }

    /// Allocations that are not freed yet.
    const fn lives(&self) -> u64 {
        self.lives
    }

    fn check(&self, tick: u64) -> Result<u64, EventError> {
        if self.trace.events >= MAX_EVENTS {
            return Err(EventError::TooManyEvents);
        }
        let ticks = tick.checked_sub(self.tick).filter(|_| tick <= MAX_TICK);
        ticks.ok_or(EventError::Tick {
            tick,
            last: self.tick,
        })
    }

    const fn happened(&mut self, tick: u64) {
        self.tick = tick;
        self.trace.events += 1;
    }
}

/// A file of either form.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum TraceFile {
    /// A recorded trace.
    Trace(Trace),
    /// Lifetimes as CSV.
    Lifetimes(Lifetimes),
}

/// Why a file of either form is refused.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum TraceFileError {
    /// It begins like a trace.
    #[error(transparent)]
    Trace(#[from] TraceError),
    /// It does not, so it is read as CSV.
    #[error(transparent)]
    Lifetimes(#[from] LifetimesError),
}

impl TraceFile {
    /// Reads a file, and tells by its first byte which form it has.
    ///
    /// # Errors
    /// Those of the form; anything over `limit` bytes is refused.
    pub fn read(mut source: impl Read, limit: u64) -> Result<Self, TraceFileError> {
        let mut first = [0];
        let read = loop {
            match source.read(&mut first) {
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                other => break other.map_err(|error| TraceError::io(0, &error))?,
            }
        };
        let whole = first[..read].chain(source);
        if first[..read] == wire::MAGIC[..1] {
            return Ok(Self::Trace(Trace::decode(whole, limit)?));
        }
        Ok(Self::Lifetimes(Lifetimes::read(whole, limit)?))
    }

    /// The events, whichever form the file has.
    #[must_use]
    pub fn into_trace(self) -> Trace {
        match self {
            Self::Trace(trace) => trace,
            Self::Lifetimes(lifetimes) => lifetimes.trace(),
        }
    }

    /// The lifetimes, whichever form the file has: one for each allocation or row, in their order.
    #[must_use]
    pub fn lifetimes(&self) -> Vec<Lifetime> {
        match self {
            Self::Trace(trace) => trace.lifetimes(),
            Self::Lifetimes(lifetimes) => lifetimes.steps(),
        }
    }
}

#[cfg(test)]
mod tests;
