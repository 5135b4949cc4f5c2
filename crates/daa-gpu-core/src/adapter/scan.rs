//! Asks wgpu which adapters there are.

use super::{BackendKind, DeviceClass, DeviceInfo, DeviceLimits, MemorySource, Seen, system};
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
    // A software driver computes in the machine's own memory; nothing else tells.
    let memory = if class == DeviceClass::Software {
        system::memory()
    } else {
        None
    };
    let memory_source = if memory.is_some() {
        MemorySource::System
    } else {
        MemorySource::Unknown
    };
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
    })
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
