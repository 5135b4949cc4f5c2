//! What the host says about itself.

use super::{BackendKind, DeviceClass, DeviceInfo, DeviceLimits, MemorySource};
use daa_base::Bytes;

/// The host CPU as a device.
pub(super) fn host_info() -> DeviceInfo {
    let memory = memory();
    DeviceInfo {
        name: cpu_name().unwrap_or_else(|| "host CPU".to_owned()),
        class: DeviceClass::Host,
        backend: BackendKind::Host,
        driver: std::env::consts::ARCH.to_owned(),
        memory,
        memory_source: if memory.is_some() {
            MemorySource::System
        } else {
            MemorySource::Unknown
        },
        // What WebGPU promises everywhere bounds workgroups here too, so that an image that runs on the host is not
        // refused elsewhere for its groups; memory is bounded by the address space only.
        limits: DeviceLimits {
            max_buffer: Bytes(isize::MAX as u64),
            max_binding: Bytes(isize::MAX as u64),
            max_bindings: 64,
            max_params: Bytes::kib(64),
            max_groups: 65_535,
            max_workgroup: 1024,
            max_workgroup_memory: Bytes::kib(32),
        },
    }
}

/// The machine's memory: the smaller of what is built in and what the control group allows. `None` where the
/// operating system does not offer these files.
pub(crate) fn memory() -> Option<Bytes> {
    let total = std::fs::read_to_string("/proc/meminfo")
        .ok()
        .as_deref()
        .and_then(total_memory)?;
    let limit = [
        "/sys/fs/cgroup/memory.max",
        "/sys/fs/cgroup/memory/memory.limit_in_bytes",
    ]
    .into_iter()
    .find_map(|path| std::fs::read_to_string(path).ok()?.trim().parse::<u64>().ok());
    Some(Bytes(limit.map_or(total, |limit| limit.min(total))))
}

fn total_memory(meminfo: &str) -> Option<u64> {
    let line = meminfo.lines().find_map(|line| line.strip_prefix("MemTotal:"))?;
    line.trim()
        .strip_suffix("kB")?
        .trim()
        .parse::<u64>()
        .ok()?
        .checked_mul(1024)
}

fn cpu_name() -> Option<String> {
    let text = std::fs::read_to_string("/proc/cpuinfo").ok()?;
    let line = text.lines().find(|line| line.starts_with("model name"))?;
    line.split_once(':')
        .map(|(_, name)| name.trim().to_owned())
        .filter(|name| !name.is_empty())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn memory_is_read_from_the_first_matching_line() {
        assert_eq!(
            total_memory("MemTotal:       16384 kB\nMemFree: 1 kB\n"),
            Some(16384 * 1024)
        );
        for text in [
            "",
            "MemTotal: lots kB",
            "MemTotal: 12",
            "MemTotal: 99999999999999999999 kB",
        ] {
            assert_eq!(total_memory(text), None, "{text}");
        }
    }
}
