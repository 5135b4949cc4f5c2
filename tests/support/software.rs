//! The software Vulkan device, where there is one.

use daa_base::Bytes;
use daa_gpu_core::{ComputeContext, ContextConfig, DeviceChoice, DeviceError};

/// A context on the software device. Where there is none: `None` with a line that says so, and a failure when
/// `DAA_REQUIRE_SOFTWARE_GPU` is 1.
///
/// # Panics
/// When the device is required and missing, or there and cannot be opened.
#[must_use]
#[expect(clippy::print_stderr, reason = "a test that does not run must say why")]
pub fn context() -> Option<ComputeContext> {
    let mut config = ContextConfig {
        device: DeviceChoice::Software,
        ..ContextConfig::default()
    };
    config.memory.capacity = Some(Bytes::mib(256));
    match ComputeContext::open(&config) {
        Ok(context) => Some(context),
        Err(error @ DeviceError::NoAdapter { .. }) => {
            let is_required = std::env::var("DAA_REQUIRE_SOFTWARE_GPU").is_ok_and(|value| value == "1");
            assert!(!is_required, "DAA_REQUIRE_SOFTWARE_GPU is 1, but: {error}");
            eprintln!("not run: {error}");
            None
        }
        Err(error) => panic!("the software device is there, but: {error}"),
    }
}

/// Whether there is a software device; as [`context`] where there is none.
#[must_use]
pub fn is_there() -> bool {
    context().is_some()
}

/// A context on the host CPU with `workers` threads.
///
/// # Panics
/// When the operating system gives no threads.
#[must_use]
pub fn host(workers: usize) -> ComputeContext {
    let config = ContextConfig {
        device: DeviceChoice::Cpu,
        cpu_workers: workers,
        ..ContextConfig::default()
    };
    ComputeContext::open(&config).expect("the host CPU is always there")
}
