//! What a compute context is opened with.

use crate::adapter::DeviceChoice;
use crate::memory::heap::TierLimit;
use crate::memory::tier::Tier;
use crate::memory::trace::Recorder;
use crate::pressure::LadderConfig;
use daa_base::Bytes;
use std::path::PathBuf;
use std::time::Duration;

/// Why a configuration is refused.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("`{field}` is {value}, allowed are {allowed}")]
pub struct ConfigError {
    /// The field, with its path.
    pub field: &'static str,
    /// Its value.
    pub value: String,
    /// What it may be.
    pub allowed: String,
}

/// Limits of the memory pool.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct MemoryConfig {
    /// What all tenants together may reserve; `None`: three quarters of the device's memory where that is known, else
    /// [`MemoryConfig::UNKNOWN_CAPACITY`], and no more than `max_reserved`.
    pub capacity: Option<Bytes>,
    /// What pages and buffers may take of a GPU's memory, with the holes between loans and what is kept for reuse; at
    /// least the capacity, up to 1 PiB. `None`: the device's memory, where that is known. Never more than that: where it
    /// is known and this or the capacity is above it, it counts. Before a loan is refused for it
    /// ([`crate::MemoryError::Device`]), memory is reclaimed. Unknown and `None`: the driver says when there is no more.
    /// The host has no pages, and so takes nothing beside what is lent out and kept.
    pub max_reserved: Option<Bytes>,
    /// Released memory kept for reuse, at most, and as much again in pages that hold nothing; the least recently used
    /// goes first. Up to 1 PiB; what exceeds the capacity means the capacity.
    pub max_cached: Bytes,
    /// Bytes of images that [`crate::ComputeContext::reclaim`] may have moved to host memory at once, up to 1 PiB.
    pub max_spilled: Bytes,
    /// Limits per tier, smallest first.
    ///
    /// `max_in_use` is zero, for nothing of the tier, or at least the tier's smallest reservation ([`Tier::least`]).
    ///
    /// On a GPU, `preallocate` is made when the context opens: the tier's first arenas and other read-write memory, up
    /// to so many bytes of it, need no new buffer. It is zero, or at least the tier's smallest reservation and at most
    /// `max_in_use`, the device's largest buffer and its memory; all tiers together at most the capacity. While it is
    /// not used it is given back like all that is kept, under pressure. The host lends out memory as a whole and has it
    /// from the system as zeros that take no room until they are written: there it is checked and has no effect.
    pub tiers: [TierLimit; 5],
    /// Writes down what is allocated, while it is on; `None`: a recorder of the context's own
    /// ([`crate::ComputeContext::recorder`]).
    pub recorder: Option<Recorder>,
}

impl MemoryConfig {
    /// Capacity assumed on devices that do not tell how much memory they have: WebGPU has no such query.
    pub const UNKNOWN_CAPACITY: Bytes = Bytes::gib(4);

    /// Names of what tiers make ahead, smallest tier first.
    pub(crate) const AHEAD: [&str; 5] = [
        "memory.tiers[micro].preallocate",
        "memory.tiers[small].preallocate",
        "memory.tiers[medium].preallocate",
        "memory.tiers[large].preallocate",
        "memory.tiers[xlarge].preallocate",
    ];

    /// Names of limits of tiers, smallest tier first.
    const LIMITS: [&str; 5] = [
        "memory.tiers[micro].max_in_use",
        "memory.tiers[small].max_in_use",
        "memory.tiers[medium].max_in_use",
        "memory.tiers[large].max_in_use",
        "memory.tiers[xlarge].max_in_use",
    ];

    fn validate(&self) -> Result<(), ConfigError> {
        const MOST: Bytes = Bytes(1 << 50);
        if let Some(capacity) = self.capacity {
            within("memory.capacity", capacity, Bytes::KIB, MOST)?;
        }
        if let Some(most) = self.max_reserved {
            let least = self.capacity.unwrap_or(Bytes::KIB);
            within("memory.max_reserved", most, least, MOST)?;
        }
        within("memory.max_cached", self.max_cached, Bytes::ZERO, MOST)?;
        within("memory.max_spilled", self.max_spilled, Bytes::ZERO, MOST)?;
        self.check_tiers(self.capacity.unwrap_or(MOST))
    }

    /// Whether the limits of tiers agree with each other and with the capacity.
    pub(crate) fn check_tiers(&self, capacity: Bytes) -> Result<(), ConfigError> {
        let mut left = capacity;
        for (tier, limit) in Tier::ALL.into_iter().zip(&self.tiers) {
            let (at, least) = (tier.index(), tier.least());
            none_or_within(Self::LIMITS[at], limit.max_in_use, least, Bytes(u64::MAX))?;
            let most = left.min(limit.max_in_use);
            none_or_within(Self::AHEAD[at], limit.preallocate, least, most)?;
            left = left - limit.preallocate;
        }
        Ok(())
    }

    /// Whether a device whose buffers have so many bytes at most can make ahead what tiers want.
    pub(crate) fn check_ahead(&self, most: Bytes) -> Result<(), ConfigError> {
        let mut tiers = self.tiers.iter().zip(Self::AHEAD);
        tiers.try_for_each(|(tier, field)| within(field, tier.preallocate, Bytes::ZERO, most))
    }
}

fn within(field: &'static str, value: Bytes, least: Bytes, most: Bytes) -> Result<(), ConfigError> {
    if (least..=most).contains(&value) {
        return Ok(());
    }
    Err(ConfigError {
        field,
        value: exact(value),
        allowed: format!("{} to {}", exact(least), exact(most)),
    })
}

/// Zero is allowed beside the range, which may be empty.
fn none_or_within(field: &'static str, value: Bytes, least: Bytes, most: Bytes) -> Result<(), ConfigError> {
    if value == Bytes::ZERO {
        return Ok(());
    }
    within(field, value, least, most).map_err(|error| {
        let none = exact(Bytes::ZERO);
        let allowed = if least > most {
            none
        } else {
            format!("{none} or {}", error.allowed)
        };
        ConfigError { allowed, ..error }
    })
}

/// In the largest unit that it is a whole number of.
fn exact(bytes: Bytes) -> String {
    const UNITS: [(&str, u64); 5] = [
        ("PiB", 1 << 50),
        ("TiB", 1 << 40),
        ("GiB", 1 << 30),
        ("MiB", 1 << 20),
        ("KiB", 1 << 10),
    ];
    let bytes = bytes.get();
    let unit = UNITS
        .into_iter()
        .find(|(_, unit)| bytes >= *unit && bytes.is_multiple_of(*unit));
    let (name, unit) = unit.unwrap_or(("B", 1));
    format!("{} {name}", bytes / unit)
}

impl Default for MemoryConfig {
    fn default() -> Self {
        Self {
            capacity: None,
            max_reserved: None,
            max_cached: Bytes::mib(512),
            max_spilled: Bytes::gib(4),
            tiers: [TierLimit::default(); 5],
            recorder: None,
        }
    }
}

/// How a [`crate::ComputeContext`] is opened.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ContextConfig {
    /// Which device.
    pub device: DeviceChoice,
    /// Limits of the memory pool.
    pub memory: MemoryConfig,
    /// When memory is given back before it is refused.
    pub pressure: LadderConfig,
    /// Threads that run host functions, 1 to 1024. Only the CPU backend starts them.
    pub cpu_workers: usize,
    /// Longest wait for one submission, for room in a queue, and for threads at shutdown: 1 ms to 1 h.
    pub step_deadline: Duration,
    /// Submissions that may be under way for one loaded image, 1 to 65,536.
    pub queue_depth: usize,
    /// Compiled pipelines kept in memory on a GPU, 1 to 65,536; the least recently used go first.
    pub max_pipelines: usize,
    /// A folder for files of compiled pipelines, one per adapter and driver, where the driver has a cache to save
    /// (Vulkan). `None`: nothing is kept between processes. The folder is made when the first file is written, for
    /// its owner alone. A file that is damaged, of another driver, or writable by others is not used and made anew
    /// ([`crate::PipelineReport`] counts them); one that cannot be written costs compiling again, nothing else.
    pub pipeline_cache: Option<PathBuf>,
    /// Whether the times of dispatches are sampled.
    pub profiling: Profiling,
}

/// Whether a context finds out where its time goes.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum Profiling {
    /// Some runs of each command list are timed, so few that it costs next to nothing: see [`crate::profile`].
    #[default]
    Sampled,
    /// Runs are counted and none is timed.
    Off,
}

impl Default for ContextConfig {
    fn default() -> Self {
        let cores = std::thread::available_parallelism().map_or(1, std::num::NonZero::get);
        Self {
            device: DeviceChoice::Auto,
            memory: MemoryConfig::default(),
            pressure: LadderConfig::default(),
            cpu_workers: cores.min(1024),
            step_deadline: Duration::from_secs(60),
            queue_depth: 256,
            max_pipelines: 1024,
            pipeline_cache: None,
            profiling: Profiling::default(),
        }
    }
}

impl ContextConfig {
    /// Checks every field.
    ///
    /// # Errors
    /// Names the first field out of range, its value and the allowed range.
    pub fn validate(&self) -> Result<(), ConfigError> {
        let check = |field, ok: bool, value: String, allowed: &str| {
            if ok {
                Ok(())
            } else {
                Err(ConfigError {
                    field,
                    value,
                    allowed: allowed.to_owned(),
                })
            }
        };
        let workers = self.cpu_workers;
        check(
            "cpu_workers",
            (1..=1024).contains(&workers),
            workers.to_string(),
            "1 to 1024",
        )?;
        let depth = self.queue_depth;
        check(
            "queue_depth",
            (1..=65_536).contains(&depth),
            depth.to_string(),
            "1 to 65536",
        )?;
        let pipelines = self.max_pipelines;
        check(
            "max_pipelines",
            (1..=65_536).contains(&pipelines),
            pipelines.to_string(),
            "1 to 65536",
        )?;
        let deadline = self.step_deadline;
        let range = Duration::from_millis(1)..=Duration::from_secs(3600);
        check(
            "step_deadline",
            range.contains(&deadline),
            format!("{deadline:?}"),
            "1 ms to 1 h",
        )?;
        self.pressure.validate()?;
        self.memory.validate()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_default_is_valid_and_each_bound_is_named() {
        assert_eq!(ContextConfig::default().validate(), Ok(()));
        let broken = [
            (
                ContextConfig {
                    cpu_workers: 0,
                    ..Default::default()
                },
                "cpu_workers",
                "0",
            ),
            (
                ContextConfig {
                    queue_depth: 70_000,
                    ..Default::default()
                },
                "queue_depth",
                "70000",
            ),
            (
                ContextConfig {
                    max_pipelines: 0,
                    ..Default::default()
                },
                "max_pipelines",
                "0",
            ),
            (
                ContextConfig {
                    step_deadline: Duration::ZERO,
                    ..Default::default()
                },
                "step_deadline",
                "0ns",
            ),
            (
                ContextConfig {
                    memory: MemoryConfig {
                        capacity: Some(Bytes(3)),
                        ..Default::default()
                    },
                    ..Default::default()
                },
                "memory.capacity",
                "3 B",
            ),
        ];
        for (config, field, value) in broken {
            let error = config.validate().expect_err("out of range");
            assert_eq!((error.field, error.value.as_str()), (field, value), "{error}");
        }
    }

    type Change = fn(&mut MemoryConfig);

    /// Each change to the memory of a gibibyte is refused with field, value and what is allowed.
    fn are_refused(changes: &[(Change, &str, &str, &str)]) {
        for &(change, field, value, allowed) in changes {
            let mut config = ContextConfig::default();
            config.memory.capacity = Some(Bytes::gib(1));
            change(&mut config.memory);
            let error = config.validate().expect_err("out of range");
            assert_eq!(
                (error.field, error.value.as_str(), error.allowed.as_str()),
                (field, value, allowed),
                "{error}"
            );
        }
    }

    #[test]
    fn each_amount_of_memory_is_checked_and_named() {
        are_refused(&[
            (
                |memory| memory.max_cached = Bytes((1 << 50) + 1),
                "memory.max_cached",
                "1125899906842625 B",
                "0 B to 1 PiB",
            ),
            (
                |memory| memory.max_spilled = Bytes(u64::MAX),
                "memory.max_spilled",
                "18446744073709551615 B",
                "0 B to 1 PiB",
            ),
            (
                |memory| memory.max_reserved = Some(Bytes::gib(1) - Bytes(1)),
                "memory.max_reserved",
                "1073741823 B",
                "1 GiB to 1 PiB",
            ),
            (
                |memory| memory.tiers[2].max_in_use = Bytes(1000),
                "memory.tiers[medium].max_in_use",
                "1000 B",
                "0 B or 1 MiB to 18446744073709551615 B",
            ),
        ]);
    }

    #[test]
    fn what_tiers_have_made_ahead_is_checked_with_the_capacity_and_named() {
        are_refused(&[
            (
                |memory| memory.tiers[0].preallocate = Bytes(255),
                "memory.tiers[micro].preallocate",
                "255 B",
                "0 B or 256 B to 1 GiB",
            ),
            (
                |memory| memory.tiers[1].preallocate = Bytes::gib(1) + Bytes(1),
                "memory.tiers[small].preallocate",
                "1073741825 B",
                "0 B or 1 KiB to 1 GiB",
            ),
            (
                |memory| {
                    memory.tiers[3].preallocate = Bytes::mib(20);
                    memory.tiers[3].max_in_use = Bytes::mib(16);
                },
                "memory.tiers[large].preallocate",
                "20 MiB",
                "0 B or 10 MiB to 16 MiB",
            ),
            (
                |memory| {
                    memory.tiers[2].preallocate = Bytes::mib(824);
                    memory.tiers[4].preallocate = Bytes::mib(201);
                },
                "memory.tiers[xlarge].preallocate",
                "201 MiB",
                "0 B or 104 MiB to 200 MiB",
            ),
            (
                |memory| {
                    memory.tiers[2].preallocate = Bytes::gib(1);
                    memory.tiers[4].preallocate = Bytes::mib(104);
                },
                "memory.tiers[xlarge].preallocate",
                "104 MiB",
                "0 B",
            ),
        ]);
    }

    #[test]
    fn limits_may_be_met() {
        let mut config = ContextConfig::default();
        (config.memory.max_cached, config.memory.max_spilled) = (Bytes(1 << 50), Bytes(1 << 50));
        (config.memory.capacity, config.memory.max_reserved) = (Some(Bytes::gib(1)), Some(Bytes::gib(1)));
        config.memory.tiers[0].max_in_use = Bytes::ZERO;
        config.memory.tiers[1].max_in_use = Bytes::KIB;
        config.memory.tiers[2].preallocate = Bytes::mib(920);
        config.memory.tiers[4].preallocate = Bytes::mib(104);
        assert_eq!(config.validate(), Ok(()), "all of it");
    }
}
