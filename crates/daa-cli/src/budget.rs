//! How much of a device's memory runs may use, and who says so.

use daa_base::Bytes;
use daa_gpu_core::pressure::{MemorySample, Unavailable};
use daa_gpu_core::{ComputeContext, DeviceInfo, MemorySource};
use serde::Serialize;

/// The memory of one device.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub(crate) struct Budget {
    /// What tenants may reserve together.
    capacity_bytes: Bytes,
    /// What it has.
    memory_bytes: Option<Bytes>,
    /// Who says so.
    memory_source: MemorySource,
    /// What the driver lets this process use.
    driver_budget_bytes: Option<Bytes>,
    /// What the driver counts as used by this process.
    driver_used_bytes: Option<Bytes>,
    /// Why the driver could not be asked.
    driver_silent: Option<String>,
}

impl Budget {
    /// Of a device as it is, without opening it.
    pub(crate) fn of(info: &DeviceInfo, told: &Result<MemorySample, Unavailable>) -> Self {
        Self::new(info, info.default_capacity(), told)
    }

    /// Of an open device.
    pub(crate) fn of_open(context: &ComputeContext) -> Self {
        Self::new(context.info(), context.capacity(), &context.driver_memory())
    }

    fn new(info: &DeviceInfo, capacity: Bytes, told: &Result<MemorySample, Unavailable>) -> Self {
        let sample = told.as_ref().ok();
        Self {
            capacity_bytes: capacity,
            memory_bytes: info.memory,
            memory_source: info.memory_source,
            driver_budget_bytes: sample.map(|sample| sample.capacity),
            driver_used_bytes: sample.map(|sample| sample.used),
            driver_silent: told.as_ref().err().map(Unavailable::to_string),
        }
    }

    /// What tenants may reserve together.
    pub(crate) const fn capacity(&self) -> Bytes {
        self.capacity_bytes
    }

    /// In one line.
    pub(crate) fn text(&self) -> String {
        let of = match (self.memory_bytes, self.memory_source) {
            (Some(memory), MemorySource::Driver) => format!("of the {memory} that the driver gives"),
            (Some(memory), _) => format!("of the machine's {memory}"),
            (None, _) => "a guess, as nobody says what it has".to_owned(),
        };
        let driver = match (self.driver_budget_bytes, self.driver_used_bytes) {
            (Some(budget), Some(used)) => format!("the driver counts {used} of {budget} as used"),
            _ => self.driver_silent.clone().unwrap_or_default(),
        };
        format!("runs may use {}, {of}; {driver}", self.capacity_bytes)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use daa_gpu_core::pressure::SourceKind;
    use daa_gpu_core::{ContextConfig, DeviceChoice};

    #[test]
    fn figures_are_told_with_their_source() {
        let context = ComputeContext::open(&ContextConfig {
            device: DeviceChoice::Cpu,
            ..ContextConfig::default()
        })
        .expect("the CPU is always there");
        let open = Budget::of_open(&context);
        assert_eq!(open.capacity(), context.capacity());
        let told = Ok(MemorySample {
            used: Bytes::gib(1),
            capacity: Bytes::gib(6),
            source: SourceKind::VulkanBudget,
        });
        let mut info = context.info().clone();
        (info.memory, info.memory_source) = (Some(Bytes::gib(6)), MemorySource::Driver);
        assert_eq!(
            Budget::of(&info, &told).text(),
            "runs may use 4.5 GiB, of the 6.0 GiB that the driver gives; \
             the driver counts 1.0 GiB of 6.0 GiB as used"
        );
        (info.memory, info.memory_source) = (Some(Bytes::gib(8)), MemorySource::System);
        assert_eq!(
            Budget::of(&info, &Err(Unavailable::NoExtension)).text(),
            "runs may use 6.0 GiB, of the machine's 8.0 GiB; the driver does not offer VK_EXT_memory_budget"
        );
        (info.memory, info.memory_source) = (None, MemorySource::Unknown);
        assert_eq!(
            Budget::of(&info, &Err(Unavailable::NotVulkan)).text(),
            "runs may use 4.0 GiB, a guess, as nobody says what it has; the device is not reached through Vulkan"
        );
    }
}
