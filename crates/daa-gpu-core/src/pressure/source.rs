//! Where the figure for memory in use comes from.

use crate::sync::atomic::{AtomicU64, Ordering};
use crate::sync::{Mutex, PoisonError};
use daa_base::Bytes;
use serde::{Deserialize, Serialize};
use std::fmt::{self, Debug};

/// The kinds of sources.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum SourceKind {
    /// The driver, through `VK_EXT_memory_budget`: what this process uses and may use, other processes considered.
    VulkanBudget,
    /// The pool's own books: what tenants hold and what is kept for reuse, against the configured capacity.
    Tracked,
    /// Made up by a test or a simulation.
    Simulated,
}

impl fmt::Display for SourceKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::VulkanBudget => "vulkan_budget",
            Self::Tracked => "tracked",
            Self::Simulated => "simulated",
        })
    }
}

/// Memory at one moment.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct MemorySample {
    /// Bytes in use.
    pub used: Bytes,
    /// Bytes that may be in use; the wall.
    pub capacity: Bytes,
    /// Who says so.
    pub source: SourceKind,
}

/// Something that knows how much memory is in use.
pub trait MemorySource: Debug + Send + Sync {
    /// Memory now. Must not block for long: it is asked on the way to an allocation that the pool has no memory for.
    ///
    /// # Errors
    /// When it cannot tell at present; whoever asks goes by another source then.
    fn sample(&self) -> Result<MemorySample, Unavailable>;
}

/// Why a source cannot be had.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error, Serialize, Deserialize)]
#[non_exhaustive]
pub enum Unavailable {
    /// The device is not reached through Vulkan.
    #[error("the device is not reached through Vulkan")]
    NotVulkan,
    /// The driver does not know the extension.
    #[error("the driver does not offer VK_EXT_memory_budget")]
    NoExtension,
    /// The driver is too old to be asked.
    #[error("the Vulkan instance is older than 1.1")]
    OldInstance,
    /// The driver tells of no memory of the device's own.
    #[error("the driver reports no device-local memory heap")]
    NoHeap,
    /// The driver does not tell any more of the heap that it told of before.
    #[error("the driver does not tell of the memory heap any more")]
    Silent,
}

/// Figures that somebody else writes: the pool's books, or those of any program that accounts for memory itself.
#[derive(Debug, Default)]
pub struct Tracked {
    used: AtomicU64,
    capacity: AtomicU64,
}

impl Tracked {
    /// Nothing in use yet.
    #[must_use]
    pub const fn new(capacity: Bytes) -> Self {
        Self {
            used: AtomicU64::new(0),
            capacity: AtomicU64::new(capacity.get()),
        }
    }

    /// Says what is in use.
    pub fn set(&self, used: Bytes) {
        self.used.store(used.get(), Ordering::Relaxed);
    }
}

impl MemorySource for Tracked {
    fn sample(&self) -> Result<MemorySample, Unavailable> {
        Ok(MemorySample {
            used: Bytes(self.used.load(Ordering::Relaxed)),
            capacity: Bytes(self.capacity.load(Ordering::Relaxed)),
            source: SourceKind::Tracked,
        })
    }
}

/// A source that plays a script, one entry a sample, and stays at the last one.
#[derive(Debug)]
pub struct Simulated {
    capacity: Bytes,
    script: Mutex<Script>,
}

#[derive(Debug, Default)]
struct Script {
    uses: Vec<Bytes>,
    at: usize,
}

impl Simulated {
    /// Plays `uses` against `capacity`. Without any, nothing is ever in use.
    #[must_use]
    pub fn new(capacity: Bytes, uses: impl IntoIterator<Item = Bytes>) -> Self {
        let uses = uses.into_iter().collect();
        Self {
            capacity,
            script: Mutex::new(Script { uses, at: 0 }),
        }
    }

    /// From the next sample on, this much is in use, and the script is over.
    pub fn set(&self, used: Bytes) {
        let mut script = self.script.lock().unwrap_or_else(PoisonError::into_inner);
        *script = Script {
            uses: vec![used],
            at: 0,
        };
    }
}

impl MemorySource for Simulated {
    fn sample(&self) -> Result<MemorySample, Unavailable> {
        let mut script = self.script.lock().unwrap_or_else(PoisonError::into_inner);
        let last = script.uses.len().saturating_sub(1);
        let used = script.uses.get(script.at).copied().unwrap_or(Bytes::ZERO);
        script.at = (script.at + 1).min(last);
        Ok(MemorySample {
            used,
            capacity: self.capacity,
            source: SourceKind::Simulated,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_script_is_played_once_and_stays_at_its_end() {
        let source = Simulated::new(Bytes(10), [Bytes(1), Bytes(5)]);
        let used = |source: &Simulated| source.sample().expect("it always tells").used.get();
        assert_eq!([(); 4].map(|()| used(&source)), [1, 5, 5, 5]);
        source.set(Bytes(9));
        assert_eq!(used(&source), 9);
        assert_eq!(used(&Simulated::new(Bytes(10), [])), 0);
    }

    #[test]
    fn tracked_figures_are_told_as_they_were_written() {
        let source = Tracked::new(Bytes(100));
        source.set(Bytes(70));
        let sample = source.sample().expect("it always tells");
        assert_eq!(
            (sample.used, sample.capacity, sample.source),
            (Bytes(70), Bytes(100), SourceKind::Tracked)
        );
    }
}
