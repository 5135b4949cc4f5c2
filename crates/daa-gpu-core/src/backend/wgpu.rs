//! The wgpu backend: Vulkan, Metal and DX12.

mod device;
mod line;
mod moves;
mod pipeline;
mod poller;
mod resident;
mod staging;
mod stopwatch;
mod turns;

pub(crate) use pipeline::frame::Checked as CheckedCache;

use super::{Backend, Buffer, Parts, Resident, Tally, count};
use crate::config::ContextConfig;
use crate::error::{DeviceError, ErrorClass, GpuError};
use crate::health::Health;
use crate::image::{Image, SLICE_ALIGN};
use crate::memory::pool::{BufferUsage, PageLimits, Pooled};
use crate::pipelines::PipelineReport;
use crate::pressure::{MemorySource, Unavailable};
use crate::profile::TimeSource;
use crate::tenant::{Effect, Lease};
use daa_base::{Bytes, Clock};
use device::Gpu;
use pipeline::Pipelines;
use poller::Poller;
use resident::WgpuResident;
use std::sync::Arc;
use turns::{Submission, Turns};

/// One opened wgpu device.
#[derive(Debug)]
pub(crate) struct WgpuBackend {
    // Before the poller, which ends when nobody can signal it any more.
    gpu: Arc<Gpu>,
    #[expect(dead_code, reason = "held for its drop, which joins the polling thread")]
    poller: Poller,
    budget: Result<Box<dyn MemorySource>, Unavailable>,
}

impl WgpuBackend {
    pub(crate) fn open(
        adapter: &wgpu::Adapter,
        config: &ContextConfig,
        health: &Arc<Health>,
        tally: &Arc<Tally>,
        clock: &Arc<dyn Clock>,
    ) -> Result<Self, DeviceError> {
        let limits = adapter.limits();
        let descriptor = wgpu::DeviceDescriptor {
            label: Some("daa"),
            required_features: wanted_features(config) & adapter.features(),
            required_limits: limits,
            experimental_features: wgpu::ExperimentalFeatures::disabled(),
            // The pool holds on to buffers itself; large blocks underneath would reserve twice.
            memory_hints: wgpu::MemoryHints::MemoryUsage,
            trace: wgpu::Trace::Off,
        };
        let (device, queue) = pollster::block_on(adapter.request_device(&descriptor)).map_err(|error| {
            DeviceError::Refused {
                adapter: adapter.get_info().name,
                message: error.to_string(),
            }
        })?;
        // First of all, so that no failure of this device goes unnoticed.
        watch(&device, health);
        let turns = Arc::new(Turns::new(device.clone(), queue.clone(), clock, health, tally));
        let (poller, signals) = Poller::start(&device, &turns, config, health)?;
        let gpu = Gpu::new(
            Pipelines::open(&device, &adapter.get_info(), config),
            device,
            queue,
            turns,
            signals,
            config,
        );
        Ok(Self {
            gpu: Arc::new(gpu),
            poller,
            budget: crate::raw::memory_budget(adapter),
        })
    }
}

/// What is asked for where the adapter offers it. Everything works without.
const fn wanted_features(config: &ContextConfig) -> wgpu::Features {
    let cache = if config.pipeline_cache.is_some() {
        wgpu::Features::PIPELINE_CACHE
    } else {
        wgpu::Features::empty()
    };
    stopwatch::FEATURES.union(cache)
}

/// Installs the handlers for loss and for errors that no scope catches.
fn watch(device: &wgpu::Device, health: &Arc<Health>) {
    let lost = Arc::clone(health);
    device.set_device_lost_callback(move |reason, message| lost.lose(format!("{reason:?} {message}")));
    let failing = Arc::clone(health);
    device.on_uncaptured_error(Arc::new(move |error| match error {
        // Ours to fix, but nothing ran: work that is missing is seen where its result is mapped.
        wgpu::Error::Validation { description, .. } => {
            tracing::error!(%description, "uncaptured validation error")
        }
        // Out of memory outside of a creation, or a failing driver: nothing computed since can be trusted.
        error => failing.lose(error.to_string()),
    }));
}

impl Drop for WgpuBackend {
    fn drop(&mut self) {
        // What could not be saved because somebody else was saving.
        self.gpu.pipelines.save();
    }
}

impl Backend for WgpuBackend {
    fn pages(&self) -> Option<PageLimits> {
        let limits = self.gpu.device.limits();
        let alignment = limits
            .min_storage_buffer_offset_alignment
            .max(limits.min_uniform_buffer_offset_alignment);
        Some(PageLimits {
            // No more than what images are laid out for, which is what WebGPU allows to ask for.
            alignment: u64::from(alignment).next_power_of_two().min(SLICE_ALIGN),
            max_buffer: Bytes(limits.max_buffer_size),
            memory: None,
        })
    }

    fn create(&self, usage: BufferUsage, size: Bytes) -> Result<Buffer, GpuError> {
        let created = self.gpu.create_buffer(usage, size).or_else(|error| {
            if error.class() != ErrorClass::OutOfMemory {
                return Err(error);
            }
            // What was dropped returns to the driver only when it is polled.
            self.gpu.poll_now()?;
            self.gpu.create_buffer(usage, size)
        })?;
        count(&self.gpu.tally.buffers_created, 1);
        Ok(Buffer::Device(Box::new(created)))
    }

    fn load(&self, image: &Image, parts: Parts, lease: &Arc<Lease>) -> Result<Box<dyn Resident>, GpuError> {
        let resident = WgpuResident::load(&self.gpu, image, parts, lease)?;
        self.gpu.pipelines.save();
        Ok(Box::new(resident))
    }

    fn time_source(&self) -> TimeSource {
        self.gpu.stopwatches.source()
    }

    fn pipelines(&self) -> PipelineReport {
        self.gpu.pipelines.report()
    }

    fn free_dropped(&self) {
        // A device that is gone has nothing to return.
        drop(self.gpu.poll_now());
    }

    fn clear(&self, memory: &mut Pooled<Buffer>) -> Result<(), GpuError> {
        self.gpu.scoped(|| {
            let mut encoder = self.gpu.encoder();
            let (buffer, offset) = place(memory);
            encoder.clear_buffer(buffer, offset, Some(memory.reserved().get()));
            self.gpu.submit_first(Submission {
                commands: encoder.finish(),
                after: Vec::new(),
                line: None,
                effect: Effect::None,
            })
        })?
    }

    fn raw(&self) -> Option<(wgpu::Device, wgpu::Queue)> {
        Some((self.gpu.device.clone(), self.gpu.queue.clone()))
    }

    fn memory_source(&self) -> Result<&dyn MemorySource, Unavailable> {
        self.budget.as_deref().map_err(Clone::clone)
    }

    fn lanes(&self) -> usize {
        1
    }

    #[cfg(any(test, feature = "testing"))]
    fn destroy(&self) {
        self.gpu.device.destroy();
        // The callback comes with the next poll; an error says that the device is gone already.
        drop(self.gpu.poll_now());
    }

    #[cfg(test)]
    fn allow_turns_for_test(&self, turns: Option<usize>) {
        self.gpu.turns.allow_for_test(turns);
        drop(self.gpu.hand_over());
        // Each poll is behind what is with the device; it fails when that is gone.
        while self.gpu.poll_now().is_ok() && !self.gpu.turns.is_quiet_for_test() {}
    }

    #[cfg(test)]
    fn driver_counts(&self) -> Option<[isize; 3]> {
        let hal = self.gpu.device.get_internal_counters().hal;
        Some([
            hal.buffers.read(),
            hal.bind_groups.read(),
            hal.compute_pipelines.read(),
        ])
    }
}

/// Where a loan lies: its buffer, and its first byte there.
fn place(memory: &Pooled<Buffer>) -> (&wgpu::Buffer, u64) {
    (raw(memory), memory.offset())
}

/// The wgpu buffer of a loan.
fn raw(memory: &Pooled<Buffer>) -> &wgpu::Buffer {
    device(memory.get())
}

fn device(buffer: &Buffer) -> &wgpu::Buffer {
    match buffer {
        Buffer::Device(buffer) => buffer.raw(),
        Buffer::Host(_) => unreachable!("a pool serves one backend, and this is wgpu's"),
    }
}
