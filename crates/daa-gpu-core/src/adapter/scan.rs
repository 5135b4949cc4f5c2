//! Asks wgpu which adapters there are.

use super::{BackendKind, DeviceClass, DeviceInfo, DeviceLimits, MemorySource, Seen, system};
use crate::pressure::MemorySample;
use daa_base::Bytes;
use std::panic::catch_unwind;

/// Every adapter that a driver offers. A driver that fails in any way offers none.
pub(crate) fn adapters() -> Vec<(wgpu::Adapter, Seen)> {
    // A driver that cannot be loaded must not take the program down with it.
    let found = catch_unwind(|| {
        let backends = wgpu::Backends::VULKAN | wgpu::Backends::METAL | wgpu::Backends::DX12;
        let mut descriptor = wgpu::InstanceDescriptor::new_without_display_handle();
        descriptor.backends = backends;
        // No validation layers: they print, and cost much.
        descriptor.flags = wgpu::InstanceFlags::empty();
        let instance = wgpu::Instance::new(descriptor);
        pollster::block_on(instance.enumerate_adapters(backends))
    });
    let adapters = found.unwrap_or_default();
    adapters
        .into_iter()
        .filter_map(|adapter| look(&adapter).map(|seen| (adapter, seen)))
        .collect()
}

fn look(adapter: &wgpu::Adapter) -> Option<Seen> {
    let info = adapter.get_info();
    let backend = match info.backend {
        wgpu::Backend::Vulkan => BackendKind::Vulkan,
        wgpu::Backend::Metal => BackendKind::Metal,
        wgpu::Backend::Dx12 => BackendKind::Dx12,
        _ => return None,
    };
    let class = match info.device_type {
        wgpu::DeviceType::DiscreteGpu => DeviceClass::Discrete,
        wgpu::DeviceType::IntegratedGpu => DeviceClass::Integrated,
        wgpu::DeviceType::VirtualGpu => DeviceClass::Virtual,
        wgpu::DeviceType::Cpu => DeviceClass::Software,
        wgpu::DeviceType::Other => DeviceClass::Other,
    };
    let driver = format!("{} {}", info.driver, info.driver_info).trim().to_owned();
    let driver_memory = crate::raw::memory_budget(adapter).and_then(|source| source.sample());
    let (memory, memory_source) = known_memory(class, driver_memory.as_ref().ok(), system::memory);
    let limits = limits(&adapter.limits());
    let computes = adapter
        .get_downlevel_capabilities()
        .flags
        .contains(wgpu::DownlevelFlags::COMPUTE_SHADERS);
    let unfit = (!computes).then(|| "it cannot run compute shaders".to_owned());
    Some(Seen {
        info: DeviceInfo {
            name: info.name,
            class,
            backend,
            driver,
            memory,
            memory_source,
            limits,
        },
        unfit,
        driver_memory,
    })
}

/// What is known of a device's memory. A software driver computes in the machine's own, whatever it tells.
fn known_memory(
    class: DeviceClass,
    told: Option<&MemorySample>,
    system: impl Fn() -> Option<Bytes>,
) -> (Option<Bytes>, MemorySource) {
    let system = (class == DeviceClass::Software).then(system).flatten();
    let told = told.map(|sample| sample.capacity);
    match (told, system) {
        (Some(told), None) => (Some(told), MemorySource::Driver),
        (Some(told), Some(system)) if told < system => (Some(told), MemorySource::Driver),
        (_, Some(system)) => (Some(system), MemorySource::System),
        (None, None) => (None, MemorySource::Unknown),
    }
}

fn limits(limits: &wgpu::Limits) -> DeviceLimits {
    DeviceLimits {
        max_buffer: Bytes(limits.max_buffer_size),
        max_binding: Bytes(limits.max_storage_buffer_binding_size),
        max_bindings: limits.max_storage_buffers_per_shader_stage,
        max_params: Bytes(limits.max_uniform_buffer_binding_size),
        max_groups: limits.max_compute_workgroups_per_dimension,
        max_workgroup: limits.max_compute_invocations_per_workgroup,
        max_workgroup_memory: Bytes(u64::from(limits.max_compute_workgroup_storage_size)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::pressure::SourceKind;

    #[test]
    fn the_driver_is_believed_where_the_machine_does_not_say_less() {
        let told = |capacity| MemorySample {
            used: Bytes::ZERO,
            capacity: Bytes(capacity),
            source: SourceKind::VulkanBudget,
        };
        let known = |class, driver: Option<u64>, system: Option<u64>| {
            let (memory, source) = known_memory(class, driver.map(told).as_ref(), || system.map(Bytes));
            (memory.map(Bytes::get), source)
        };
        let (gpu, software) = (DeviceClass::Discrete, DeviceClass::Software);
        assert_eq!(known(gpu, Some(8), Some(16)), (Some(8), MemorySource::Driver));
        assert_eq!(known(gpu, Some(32), Some(16)), (Some(32), MemorySource::Driver));
        assert_eq!(known(gpu, None, Some(16)), (None, MemorySource::Unknown));
        assert_eq!(known(software, None, Some(16)), (Some(16), MemorySource::System));
        assert_eq!(
            known(software, Some(8), Some(16)),
            (Some(8), MemorySource::Driver)
        );
        assert_eq!(
            known(software, Some(32), Some(16)),
            (Some(16), MemorySource::System)
        );
    }
}
