//! The devices that benchmarks run on.

use daa_gpu_core::{
    Bytes, ComputeContext, ContextConfig, DeviceChoice, DeviceError, FencingToken, Tenant, TenantSpec, Weight,
};

/// An opened device and the word for it in benchmark names.
#[derive(Debug, Clone)]
pub struct Device {
    /// `host` or `software`.
    pub name: &'static str,
    /// The device.
    pub context: ComputeContext,
}

impl Device {
    /// A tenant that may hold `budget` bytes.
    ///
    /// # Panics
    /// When the device has less.
    #[must_use]
    pub fn tenant(&self, budget: Bytes) -> Tenant {
        self.tenant_of_weight(budget, Weight::default())
    }

    /// The same, with a weight.
    ///
    /// # Panics
    /// When the device has less.
    #[must_use]
    pub fn tenant_of_weight(&self, budget: Bytes, weight: Weight) -> Tenant {
        let spec = TenantSpec {
            name: "benchmark".to_owned(),
            budget,
            token: FencingToken(1),
            weight,
        };
        self.context
            .tenant(spec)
            .expect("benchmarks take far less than a device has")
    }
}

/// The host CPU with `workers` threads.
///
/// # Panics
/// When the operating system gives no threads.
#[must_use]
pub fn host(workers: usize) -> Device {
    host_with(ContextConfig {
        cpu_workers: workers,
        ..ContextConfig::default()
    })
}

/// The host CPU, opened with `config`.
///
/// # Panics
/// When the operating system gives no threads.
#[must_use]
pub fn host_with(config: ContextConfig) -> Device {
    let config = ContextConfig {
        device: DeviceChoice::Cpu,
        ..config
    };
    Device {
        name: "host",
        context: ComputeContext::open(&config).expect("the host CPU is always there"),
    }
}

/// The software Vulkan driver, where there is one; a line that says so where there is none.
///
/// # Panics
/// When it is there and cannot be opened.
#[must_use]
pub fn software() -> Option<Device> {
    software_with(ContextConfig::default())
}

/// The same, opened with `config`.
///
/// # Panics
/// When it is there and cannot be opened.
#[must_use]
#[expect(clippy::print_stderr, reason = "a benchmark that does not run must say why")]
pub fn software_with(config: ContextConfig) -> Option<Device> {
    let config = ContextConfig {
        device: DeviceChoice::Software,
        ..config
    };
    match ComputeContext::open(&config) {
        Ok(context) => Some(Device {
            name: "software",
            context,
        }),
        Err(error @ DeviceError::NoAdapter { .. }) => {
            eprintln!("benchmarks with backend=software do not run: {error}");
            None
        }
        Err(error) => panic!("the software device is there, but: {error}"),
    }
}

/// The host with one worker, and the software driver where there is one.
#[must_use]
pub fn all() -> Vec<Device> {
    std::iter::once(host(1)).chain(software()).collect()
}
