//! Device and queue with everything that all loaded images share.

use super::pipeline::Pipelines;
use super::poller::Signal;
use super::stopwatch::Stopwatches;
use super::turns::{Submission, Turns, Wake};
use crate::backend::Tally;
use crate::config::ContextConfig;
use crate::error::{ErrorClass, GpuError};
use crate::health::Health;
use crate::memory::pool::BufferUsage;
use crossbeam::channel::{SendTimeoutError, Sender, bounded};
use daa_base::Bytes;
use std::sync::Arc;
use std::time::Duration;
use wgpu::BufferUsages;

/// One device.
#[derive(Debug)]
pub(super) struct Gpu {
    pub(super) device: wgpu::Device,
    pub(super) queue: wgpu::Queue,
    pub(super) turns: Arc<Turns>,
    pub(super) pipelines: Pipelines,
    pub(super) stopwatches: Stopwatches,
    pub(super) health: Arc<Health>,
    pub(super) tally: Arc<Tally>,
    pub(super) deadline: Duration,
    /// Submissions that may be under way for one image.
    pub(super) queue_depth: usize,
    // Last: the poller ends when this is gone, and is to be the last that holds the queue.
    signals: Sender<Signal>,
}

impl Gpu {
    pub(super) fn new(
        pipelines: Pipelines,
        device: wgpu::Device,
        queue: wgpu::Queue,
        turns: Arc<Turns>,
        signals: Sender<Signal>,
        config: &ContextConfig,
    ) -> Self {
        let (health, tally) = (Arc::clone(&turns.health), Arc::clone(&turns.tally));
        let (deadline, queue_depth) = (config.step_deadline, config.queue_depth);
        let stopwatches = Stopwatches::new(&device, &queue);
        Self {
            device,
            queue,
            turns,
            pipelines,
            stopwatches,
            health,
            tally,
            deadline,
            queue_depth,
            signals,
        }
    }

    pub(super) fn encoder(&self) -> wgpu::CommandEncoder {
        let descriptor = wgpu::CommandEncoderDescriptor::default();
        self.device.create_command_encoder(&descriptor)
    }

    /// Runs `work` and turns what the driver says about it into an error.
    pub(super) fn scoped<T>(&self, work: impl FnOnce() -> T) -> Result<T, GpuError> {
        let (result, error) = caught(&self.device, work);
        let Some(error) = error else {
            return Ok(result);
        };
        // A device that is gone refuses everything as invalid; the poll tells that from a mistake of ours.
        if error.class() != ErrorClass::OutOfMemory {
            self.poll_now()?;
        }
        Err(error)
    }

    /// Makes a buffer, in its state at rest.
    pub(super) fn create_buffer(&self, usage: BufferUsage, size: Bytes) -> Result<wgpu::Buffer, GpuError> {
        self.health.check()?;
        let (label, usage, mapped_at_creation) = match usage {
            BufferUsage::Arena => (
                "arena",
                BufferUsages::STORAGE | BufferUsages::COPY_SRC | BufferUsages::COPY_DST,
                false,
            ),
            BufferUsage::Constants => (
                "constants",
                BufferUsages::STORAGE | BufferUsages::COPY_SRC | BufferUsages::COPY_DST,
                false,
            ),
            BufferUsage::Params => ("params", BufferUsages::UNIFORM | BufferUsages::COPY_DST, false),
            BufferUsage::Upload => ("upload", BufferUsages::MAP_WRITE | BufferUsages::COPY_SRC, true),
            BufferUsage::Readback => ("readback", BufferUsages::MAP_READ | BufferUsages::COPY_DST, false),
        };
        let descriptor = wgpu::BufferDescriptor {
            label: Some(label),
            size: size.get(),
            usage,
            mapped_at_creation,
        };
        self.scoped(|| self.device.create_buffer(&descriptor))
    }

    /// Fills a buffer before anything that is submitted later uses it.
    pub(super) fn write(&self, buffer: &wgpu::Buffer, offset: u64, data: &[u8]) {
        self.queue.write_buffer(buffer, offset, data);
    }

    /// Queues a submission for its tenant's turn, and hands over what there is room for.
    pub(super) fn submit(&self, submission: Submission) -> Result<(), GpuError> {
        self.turns.push(submission);
        self.hand_over()
    }

    /// The same, before everything that waits.
    pub(super) fn submit_first(&self, submission: Submission) -> Result<(), GpuError> {
        self.turns.push_first(submission);
        self.hand_over()
    }

    pub(super) fn hand_over(&self) -> Result<(), GpuError> {
        // A failing poll says that the device is gone, which is looked at next.
        match self.turns.hand_over(|| drop(self.poll_now())) {
            Wake::Yes => self.send(Signal::Work),
            Wake::No => Ok(()),
        }
    }

    fn send(&self, signal: Signal) -> Result<(), GpuError> {
        self.signals
            .send_timeout(signal, self.deadline)
            .map_err(|error| match error {
                SendTimeoutError::Timeout(_) => GpuError::Timeout {
                    what: "room in the queue of the polling thread",
                    deadline: self.deadline,
                },
                SendTimeoutError::Disconnected(_) => self.gone(),
            })
    }

    /// Has the poller look at the device once, behind all that it was told before. Fails when the device is gone.
    pub(super) fn poll_now(&self) -> Result<(), GpuError> {
        let (done, polled) = bounded(1);
        self.send(Signal::Poll(done))?;
        self.health.recv(&polled, "a poll of the device", self.deadline)?;
        self.health.check()
    }

    /// Lets the callbacks of a device that is gone run, as far as its driver still answers.
    pub(super) fn settle(&self) {
        const PATIENCE: Duration = Duration::from_secs(1);
        let patience = PATIENCE.min(self.deadline);
        let (done, polled) = bounded(1);
        if self.signals.send_timeout(Signal::Poll(done), patience).is_ok() {
            // Either way there is nothing more to wait for.
            let _ = polled.recv_timeout(patience);
        }
    }

    fn gone(&self) -> GpuError {
        let ended = || GpuError::Internal {
            message: "the polling thread has ended".to_owned(),
        };
        self.health.check().err().unwrap_or_else(ended)
    }
}

/// Runs `work`; also what the driver says against it.
pub(super) fn caught<T>(device: &wgpu::Device, work: impl FnOnce() -> T) -> (T, Option<GpuError>) {
    let internal = device.push_error_scope(wgpu::ErrorFilter::Internal);
    let memory = device.push_error_scope(wgpu::ErrorFilter::OutOfMemory);
    let validation = device.push_error_scope(wgpu::ErrorFilter::Validation);
    let result = work();
    // The futures are ready at once outside of browsers.
    let validation = pollster::block_on(validation.pop());
    let memory = pollster::block_on(memory.pop());
    let internal = pollster::block_on(internal.pop());
    let error = validation.or(memory).or(internal).map(|error| {
        let message = error.to_string();
        match error {
            wgpu::Error::OutOfMemory { .. } => GpuError::OutOfMemory { message },
            wgpu::Error::Validation { .. } => GpuError::Validation { message },
            wgpu::Error::Internal { .. } => GpuError::Internal { message },
        }
    });
    (result, error)
}
