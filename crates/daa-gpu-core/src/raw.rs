//! Every call of this crate that the compiler cannot check, each with the argument why it is sound.

#![expect(unsafe_code, reason = "the one module of this crate that may")]

mod crew;

#[cfg(feature = "gpu")]
use crate::backend::wgpu::CheckedCache;
#[cfg(feature = "gpu")]
use crate::pressure::{MemorySource, Unavailable};
pub(crate) use crew::Crew;
#[cfg(all(
    feature = "gpu",
    any(windows, target_os = "linux", target_os = "android", target_os = "freebsd")
))]
use vulkan::VulkanBudget;

/// A driver's pipeline cache, which begins with what `saved` has, if that is given and the driver takes it.
#[cfg(feature = "gpu")]
pub(crate) fn create_pipeline_cache(
    device: &wgpu::Device,
    saved: Option<&CheckedCache>,
) -> wgpu::PipelineCache {
    let descriptor = wgpu::PipelineCacheDescriptor {
        label: Some("daa"),
        data: saved.map(CheckedCache::data),
        // Data of another version of the driver is passed over.
        fallback: true,
    };
    // SAFETY: the data must come from `PipelineCache::get_data`. The only way to a `CheckedCache` is reading a file that
    // carries this crate's magic, version and a 256-bit checksum over all of it, was written by this crate out of
    // `get_data` under an identity of adapter and driver that is this one's, lies in a folder that nobody but its
    // owner may write, and is written under another name first. wgpu and the driver check their own headers again.
    unsafe { device.create_pipeline_cache(&descriptor) }
}

/// What the driver of `adapter` says about memory, if it can be asked.
#[cfg(all(
    feature = "gpu",
    any(windows, target_os = "linux", target_os = "android", target_os = "freebsd")
))]
pub(crate) fn memory_budget(adapter: &wgpu::Adapter) -> Result<Box<dyn MemorySource>, Unavailable> {
    Ok(Box::new(VulkanBudget::of(adapter)?))
}

/// wgpu has no Vulkan backend here.
#[cfg(all(
    feature = "gpu",
    not(any(windows, target_os = "linux", target_os = "android", target_os = "freebsd"))
))]
pub(crate) fn memory_budget(_: &wgpu::Adapter) -> Result<Box<dyn MemorySource>, Unavailable> {
    Err(Unavailable::NotVulkan)
}

/// Where wgpu builds its Vulkan backend.
#[cfg(all(
    feature = "gpu",
    any(windows, target_os = "linux", target_os = "android", target_os = "freebsd")
))]
mod vulkan {
    use crate::pressure::{MemorySample, MemorySource, SourceKind, Unavailable};
    use ash::vk;
    use daa_base::Bytes;
    use std::fmt;
    use wgpu::hal::api::Vulkan;

    /// `VK_EXT_memory_budget` of one adapter: what the driver lets this process use of the largest device-local heap,
    /// and what it uses of it. Budgets change as other processes come and go.
    /// <https://docs.vulkan.org/refpages/latest/refpages/source/VK_EXT_memory_budget.html>
    pub(crate) struct VulkanBudget {
        /// Keeps instance and physical device alive.
        adapter: wgpu::Adapter,
        /// Which heap is told about.
        heap: usize,
    }

    impl fmt::Debug for VulkanBudget {
        fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
            f.debug_struct("VulkanBudget")
                .field("heap", &self.heap)
                .finish_non_exhaustive()
        }
    }

    /// One heap as the driver describes it.
    #[derive(Debug, Clone, Copy, PartialEq, Eq)]
    pub(super) struct Heap {
        pub(super) size: u64,
        pub(super) budget: u64,
        pub(super) usage: u64,
        pub(super) device_local: bool,
    }

    impl VulkanBudget {
        /// The budget of `adapter`.
        pub(crate) fn of(adapter: &wgpu::Adapter) -> Result<Self, Unavailable> {
            let heaps = heaps(adapter)?;
            let heap = largest_local(&heaps).ok_or(Unavailable::NoHeap)?;
            Ok(Self {
                adapter: adapter.clone(),
                heap,
            })
        }
    }

    impl MemorySource for VulkanBudget {
        fn sample(&self) -> Result<MemorySample, Unavailable> {
            told(&heaps(&self.adapter)?, self.heap)
        }
    }

    /// What heap `at` means for us. A driver that reports no budget, or one above the heap's size, is not believed; one
    /// that reports the heap no more, or a heap of no size, has told nothing.
    pub(super) fn told(heaps: &[Heap], at: usize) -> Result<MemorySample, Unavailable> {
        let heap = heaps.get(at).filter(|heap| heap.device_local && heap.size > 0);
        let heap = heap.ok_or(Unavailable::Silent)?;
        let capacity = match heap.budget {
            0 => heap.size,
            budget => budget.min(heap.size),
        };
        Ok(MemorySample {
            used: Bytes(heap.usage),
            capacity: Bytes(capacity),
            source: SourceKind::VulkanBudget,
        })
    }

    /// The largest heap of the device's own memory; of equal ones the first.
    pub(super) fn largest_local(heaps: &[Heap]) -> Option<usize> {
        let local = heaps.iter().enumerate().filter(|(_, heap)| heap.device_local);
        local
            .max_by_key(|(at, heap)| (heap.size, std::cmp::Reverse(*at)))
            .map(|(at, _)| at)
    }

    /// Asks the driver for the heaps of `adapter`.
    fn heaps(adapter: &wgpu::Adapter) -> Result<Vec<Heap>, Unavailable> {
        // SAFETY: the handle behind the guard is only asked and never destroyed, and the guard outlives every use of
        // it, as it lives until the end of this function.
        let Some(hal) = (unsafe { adapter.as_hal::<Vulkan>() }) else {
            return Err(Unavailable::NotVulkan);
        };
        let known = hal.physical_device_capabilities();
        if !known.supports_extension(ash::ext::memory_budget::NAME) {
            return Err(Unavailable::NoExtension);
        }
        let shared = hal.shared_instance();
        // Below 1.1 the query is not part of Vulkan itself, and ash has no pointer to it.
        if shared.instance_api_version() < vk::API_VERSION_1_1
            || known.properties().api_version < vk::API_VERSION_1_1
        {
            return Err(Unavailable::OldInstance);
        }
        let mut budget = vk::PhysicalDeviceMemoryBudgetPropertiesEXT::default();
        let mut properties = vk::PhysicalDeviceMemoryProperties2::default().push_next(&mut budget);
        // SAFETY: instance and physical device belong together (both are this adapter's) and are kept alive by the
        // guard `hal`. Both are of version 1.1 or later, checked above, so ash has loaded the function from an
        // instance that has it. The structure chained to the output is the one that the extension defines, and the
        // extension is supported, checked above, which is all that the specification asks for a query of a physical
        // device. `properties` and `budget` are ours alone and live until after the call.
        unsafe {
            shared
                .raw_instance()
                .get_physical_device_memory_properties2(hal.raw_physical_device(), &mut properties);
        }
        let memory = properties.memory_properties;
        let count = usize::try_from(memory.memory_heap_count).unwrap_or(usize::MAX);
        let heaps = memory
            .memory_heaps
            .iter()
            .zip(budget.heap_budget.iter().zip(&budget.heap_usage))
            // A count beyond the array is a broken driver's; zip ends at the array.
            .take(count)
            .map(|(heap, (&budget, &usage))| Heap {
                size: heap.size,
                budget,
                usage,
                device_local: heap.flags.contains(vk::MemoryHeapFlags::DEVICE_LOCAL),
            });
        Ok(heaps.collect())
    }

    #[cfg(test)]
    mod tests {
        use super::*;

        const fn heap(size: u64, device_local: bool) -> Heap {
            Heap {
                size,
                budget: size / 2,
                usage: 7,
                device_local,
            }
        }

        #[test]
        fn the_largest_heap_of_the_devices_own_counts() {
            assert_eq!(largest_local(&[]), None);
            assert_eq!(largest_local(&[heap(100, false)]), None);
            let heaps = [heap(100, false), heap(30, true), heap(50, true), heap(50, true)];
            assert_eq!(largest_local(&heaps), Some(2));
        }

        #[test]
        fn budgets_that_cannot_be_are_replaced_by_the_heaps_size() {
            let sample = |budget| {
                let heap = Heap {
                    budget,
                    ..heap(100, true)
                };
                let sample = told(&[heap], 0).expect("a heap with a size");
                (sample.capacity.get(), sample.used.get())
            };
            assert_eq!(sample(60), (60, 7));
            assert_eq!(sample(0), (100, 7));
            assert_eq!(sample(u64::MAX), (100, 7));
        }

        #[test]
        fn a_heap_that_is_not_told_of_is_an_error_and_no_figure() {
            let heaps = [heap(100, true), heap(0, true), heap(100, false)];
            assert!(told(&heaps, 0).is_ok());
            for at in 1..4 {
                assert_eq!(told(&heaps, at), Err(Unavailable::Silent), "{at}");
            }
        }

        /// The software driver lacks the extension: the refusal says so, and nothing is called that is not there.
        #[test]
        fn software_adapters_tell_a_budget_or_say_why_not() {
            for (adapter, seen) in crate::adapter::scan::adapters() {
                match VulkanBudget::of(&adapter) {
                    Ok(source) => {
                        let sample = source.sample().expect("it was there just now");
                        assert!(sample.capacity > Bytes::ZERO, "{}: {sample:?}", seen.info);
                    }
                    Err(reason) => {
                        assert!(!reason.to_string().is_empty());
                        if seen.info.name.contains("llvmpipe") {
                            assert_eq!(reason, Unavailable::NoExtension);
                        }
                    }
                }
            }
        }
    }
}
