//! Which devices there are, which one is taken, and why the others are not.

use crate::config::MemoryConfig;
use crate::pressure::{MemorySample, Unavailable};
use daa_base::Bytes;
use serde::{Deserialize, Serialize};
use std::fmt;
use std::str::FromStr;

#[cfg(feature = "gpu")]
pub(crate) mod scan;
mod system;

/// What a user asks for.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum DeviceChoice {
    /// A real GPU if there is one (discrete, then integrated, then virtual), else the host CPU.
    #[default]
    Auto,
    /// The host CPU.
    Cpu,
    /// A software implementation of a GPU driver. Slow; it checks the GPU path on machines without a GPU.
    Software,
    /// A real GPU, or an error.
    Gpu,
}

impl fmt::Display for DeviceChoice {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Auto => "auto",
            Self::Cpu => "cpu",
            Self::Software => "software",
            Self::Gpu => "gpu",
        })
    }
}

/// A text that names no device choice.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("`{0}` is not a device, allowed are auto, cpu, software, gpu")]
pub struct ParseChoiceError(
    /// The text as given.
    pub String,
);

impl FromStr for DeviceChoice {
    type Err = ParseChoiceError;

    fn from_str(text: &str) -> Result<Self, ParseChoiceError> {
        match text.trim().to_ascii_lowercase().as_str() {
            "auto" => Ok(Self::Auto),
            "cpu" => Ok(Self::Cpu),
            "software" => Ok(Self::Software),
            "gpu" => Ok(Self::Gpu),
            _ => Err(ParseChoiceError(text.to_owned())),
        }
    }
}

/// What kind of device an adapter is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum DeviceClass {
    /// A GPU with memory of its own.
    Discrete,
    /// A GPU that shares the host's memory.
    Integrated,
    /// A GPU handed to a virtual machine.
    Virtual,
    /// A driver that computes on the CPU.
    Software,
    /// The host CPU itself, without a driver.
    Host,
    /// The driver does not say.
    Other,
}

impl fmt::Display for DeviceClass {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Discrete => "discrete",
            Self::Integrated => "integrated",
            Self::Virtual => "virtual",
            Self::Software => "software",
            Self::Host => "host",
            Self::Other => "other",
        })
    }
}

/// Through which interface a device is reached.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum BackendKind {
    /// Vulkan.
    Vulkan,
    /// Metal.
    Metal,
    /// Direct3D 12.
    Dx12,
    /// Host functions on CPU threads.
    Host,
}

impl fmt::Display for BackendKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Vulkan => "vulkan",
            Self::Metal => "metal",
            Self::Dx12 => "dx12",
            Self::Host => "host",
        })
    }
}

/// Where the figure for a device's memory comes from.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum MemorySource {
    /// The driver: what it lets this process use of the largest heap of the device's own.
    Driver,
    /// The operating system's figure for the machine's memory.
    System,
    /// Nobody told.
    Unknown,
}

/// What a device can do.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct DeviceLimits {
    /// Largest buffer.
    pub max_buffer: Bytes,
    /// Largest slice behind one storage binding.
    pub max_binding: Bytes,
    /// Storage bindings per program.
    pub max_bindings: u32,
    /// Largest block of parameters.
    pub max_params: Bytes,
    /// Workgroups per dimension.
    pub max_groups: u32,
    /// Invocations per workgroup.
    pub max_workgroup: u32,
    /// Workgroup memory.
    pub max_workgroup_memory: Bytes,
}

/// One device.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct DeviceInfo {
    /// Its name, as the driver gives it.
    pub name: String,
    /// What kind of device it is.
    pub class: DeviceClass,
    /// How it is reached.
    pub backend: BackendKind,
    /// The driver and its version; for the host, the architecture.
    pub driver: String,
    /// Its memory, where known. WebGPU does not tell a GPU's; some drivers do.
    pub memory: Option<Bytes>,
    /// Where that figure comes from.
    pub memory_source: MemorySource,
    /// What it can do.
    pub limits: DeviceLimits,
}

impl fmt::Display for DeviceInfo {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "{} ({}, {}, {})",
            self.name, self.class, self.backend, self.driver
        )
    }
}

impl DeviceInfo {
    /// What tenants may reserve together where no capacity is configured ([`crate::MemoryConfig::capacity`]): three
    /// quarters of the memory where that is known, else [`crate::MemoryConfig::UNKNOWN_CAPACITY`].
    #[must_use]
    pub fn default_capacity(&self) -> Bytes {
        self.memory.map_or(MemoryConfig::UNKNOWN_CAPACITY, |memory| {
            Bytes(memory.get() / 4 * 3)
        })
    }
}

/// One adapter, and what became of it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct AdapterReport {
    /// The device.
    pub info: DeviceInfo,
    /// Whether it is the one that is used.
    pub chosen: bool,
    /// Why it was taken or passed over, in one line.
    pub reason: String,
    /// What its driver said of its memory, or why it could not be asked.
    pub driver_memory: Result<MemorySample, Unavailable>,
}

impl fmt::Display for AdapterReport {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let verdict = if self.chosen { "taken" } else { "passed over" };
        write!(
            f,
            "{} [{}, {}]: {verdict}, {}",
            self.info.name, self.info.class, self.info.backend, self.reason
        )
    }
}

/// The device that is used, and every one that was looked at.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Selection {
    /// The device that is used.
    pub chosen: DeviceInfo,
    /// Every adapter seen, the chosen one among them, the host CPU last.
    pub reports: Vec<AdapterReport>,
}

/// Looks at every adapter and says what `choice` would take. Never fails: the host CPU is always there, though
/// `choice` may not allow it; then no report is marked as chosen.
#[must_use]
pub fn survey(choice: DeviceChoice) -> Vec<AdapterReport> {
    #[cfg(feature = "gpu")]
    let found = scan::adapters()
        .into_iter()
        .map(|(_, seen)| seen)
        .collect::<Vec<_>>();
    #[cfg(not(feature = "gpu"))]
    let found = Vec::new();
    judge(choice, found)
}

/// An adapter before the choice: the device, and what speaks against it in any case.
#[derive(Debug, Clone)]
pub(crate) struct Seen {
    pub(crate) info: DeviceInfo,
    pub(crate) unfit: Option<String>,
    pub(crate) driver_memory: Result<MemorySample, Unavailable>,
}

/// How much `choice` wants a device of `class`: lower is better, `Err` says why not.
const fn rank(choice: DeviceChoice, class: DeviceClass) -> Result<u8, &'static str> {
    use {DeviceChoice as C, DeviceClass as D};
    match (choice, class) {
        (C::Auto | C::Gpu, D::Discrete) | (C::Cpu, D::Host) | (C::Software, D::Software) => Ok(0),
        (C::Auto | C::Gpu, D::Integrated) => Ok(1),
        (C::Auto | C::Gpu, D::Virtual) => Ok(2),
        (C::Gpu, D::Other) => Ok(3),
        (C::Auto, D::Host) => Ok(9),
        (C::Auto, D::Software) => Err("software drivers are used only when asked for by name (`software`)"),
        (C::Auto, D::Other) => Err("the driver does not say what it is; ask for it with `gpu`"),
        (C::Gpu, D::Software) => Err("a software driver is no GPU"),
        (C::Gpu | C::Software, D::Host) if cfg!(not(feature = "gpu")) => {
            Err("the host CPU was not asked for, and this is a build without the `gpu` feature")
        }
        (C::Gpu | C::Software, D::Host) => Err("the host CPU was not asked for"),
        (C::Cpu, _) => Err("the host CPU was asked for"),
        (C::Software, _) => Err("a software driver was asked for"),
    }
}

/// Marks the best adapter for `choice`; the host CPU is appended to `found`. Equal ranks go to the first.
pub(crate) fn judge(choice: DeviceChoice, mut found: Vec<Seen>) -> Vec<AdapterReport> {
    found.push(Seen {
        info: system::host_info(),
        unfit: None,
        driver_memory: Err(Unavailable::NotVulkan),
    });
    let ranks: Vec<_> = found
        .iter()
        .map(|seen| {
            seen.unfit
                .clone()
                .map_or_else(|| rank(choice, seen.info.class).map_err(str::to_owned), Err)
        })
        .collect();
    let best = ranks
        .iter()
        .enumerate()
        .filter_map(|(i, rank)| rank.as_ref().ok().map(|r| (*r, i)))
        .min();
    let taken = best
        .map(|(_, index)| found[index].info.name.clone())
        .unwrap_or_default();
    let reports = found
        .into_iter()
        .zip(ranks)
        .enumerate()
        .map(|(index, (seen, rank))| {
            let chosen = best.is_some_and(|(_, at)| at == index);
            let reason = match rank {
                Err(reason) => reason,
                Ok(9) if chosen => "no GPU was found".to_owned(),
                Ok(_) if chosen => format!("the best match for `{choice}`"),
                Ok(_) => format!("{taken} is a better match"),
            };
            AdapterReport {
                info: seen.info,
                chosen,
                reason,
                driver_memory: seen.driver_memory,
            }
        });
    reports.collect()
}

#[cfg(test)]
mod tests;
