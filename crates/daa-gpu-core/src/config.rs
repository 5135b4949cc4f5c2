//! What a compute context is opened with.

use crate::adapter::DeviceChoice;
use crate::memory::heap::TierLimit;
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
    /// [`MemoryConfig::UNKNOWN_CAPACITY`].
    pub capacity: Option<Bytes>,
    /// Released memory kept for reuse, at most, and as much again in pages that hold nothing; the least recently used
    /// goes first.
    pub max_cached: Bytes,
    /// Bytes of images that [`crate::ComputeContext::reclaim`] may have moved to host memory at once.
    pub max_spilled: Bytes,
    /// Limits per tier, smallest first. What a tier makes ahead counts where memory comes in pages, which is on a GPU.
    pub tiers: [TierLimit; 5],
    /// Writes down what is allocated, while it is on; `None`: a recorder of the context's own
    /// ([`crate::ComputeContext::recorder`]).
    pub recorder: Option<Recorder>,
}

impl MemoryConfig {
    /// Capacity assumed on devices that do not tell how much memory they have: WebGPU has no such query.
    pub const UNKNOWN_CAPACITY: Bytes = Bytes::gib(4);
}

impl Default for MemoryConfig {
    fn default() -> Self {
        Self {
            capacity: None,
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
        if let Some(capacity) = self.memory.capacity {
            let range = Bytes::KIB..=Bytes(1 << 50);
            check(
                "memory.capacity",
                range.contains(&capacity),
                capacity.to_string(),
                "1 KiB to 1 PiB",
            )?;
        }
        Ok(())
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
}
