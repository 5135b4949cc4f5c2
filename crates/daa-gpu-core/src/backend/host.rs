//! The host CPU backend: host functions on worker threads.
//!
//! A loaded image is a queue of jobs that at most one worker serves at a time, so its submissions run in order while
//! images run beside each other. Workers serve the images of the tenant that has had the least time for its weight.
//! What comes out never depends on which worker ran what, or when.

mod cell;
mod split;
mod turns;

use super::{Backend, Buffer, Checked, Create, Parts, Resident, Tally, count};
use crate::config::ContextConfig;
use crate::error::{DeviceError, GpuError};
use crate::health::Health;
use crate::image::Image;
use crate::memory::heap::PageId;
use crate::memory::pool::{BufferUsage, Pooled};
use crate::profile::{Cost, Timed};
use crate::program::Scratch;
use crate::sync::Arc;
use crate::sync::channel::{Receiver, RecvTimeoutError, bounded};
use crate::sync::thread::{self, JoinHandle};
use crate::tenant::{Lease, Ticket};
use cell::{Cell, Job};
use daa_base::{Bytes, Clock};
use std::time::Duration;
use turns::Turns;

/// The worker threads.
#[derive(Debug)]
pub(crate) struct HostBackend {
    turns: Arc<Turns>,
    workers: Vec<JoinHandle<()>>,
    /// Never sends: it disconnects when the last worker has ended.
    ended: Receiver<()>,
    health: Arc<Health>,
    tally: Arc<Tally>,
    deadline: Duration,
    queue_depth: usize,
}

impl HostBackend {
    pub(crate) fn start(
        config: &ContextConfig,
        health: &Arc<Health>,
        tally: &Arc<Tally>,
        clock: &Arc<dyn Clock>,
    ) -> Result<Self, DeviceError> {
        let turns = Turns::new(config.cpu_workers, Arc::clone(clock), Arc::clone(tally));
        let (alive, ended) = bounded::<()>(0);
        let mut backend = Self {
            turns: Arc::new(turns),
            workers: Vec::with_capacity(config.cpu_workers),
            ended,
            health: Arc::clone(health),
            tally: Arc::clone(tally),
            deadline: config.step_deadline,
            queue_depth: config.queue_depth,
        };
        for index in 0..config.cpu_workers {
            let (turns, alive) = (Arc::clone(&backend.turns), alive.clone());
            let worker = move || {
                turns.work(&mut Scratch::default());
                drop(alive);
            };
            let spawned = thread::Builder::new()
                .name(format!("daa-cpu-{index}"))
                .spawn(worker);
            match spawned {
                Ok(handle) => backend.workers.push(handle),
                // The workers that did start end when `backend` is dropped here.
                Err(error) => {
                    return Err(DeviceError::Thread {
                        message: error.to_string(),
                    });
                }
            }
        }
        Ok(backend)
    }
}

impl Drop for HostBackend {
    fn drop(&mut self) {
        self.turns.close();
        match self.ended.recv_timeout(self.deadline) {
            Err(RecvTimeoutError::Timeout) => {
                tracing::warn!(deadline = ?self.deadline, "a host function does not end; its thread is left behind");
            }
            _ => {
                for worker in self.workers.drain(..) {
                    // Workers catch what host functions throw; there is nothing to learn from the result.
                    drop(worker.join());
                }
            }
        }
    }
}

impl Backend for HostBackend {
    fn create(&self, _usage: BufferUsage, size: Bytes) -> Result<Buffer, GpuError> {
        let words = usize::try_from(size.get() / 4).map_err(|_| GpuError::OutOfMemory {
            message: format!("{size} exceed the address space"),
        })?;
        // Zeroed pages, which the system hands out lazily; and an error, not the end, where it has none.
        let zeros = bytemuck::allocation::try_zeroed_vec(words).map_err(|()| GpuError::OutOfMemory {
            message: format!("{size} of host memory"),
        })?;
        count(&self.tally.buffers_created, 1);
        Ok(Buffer::Host(zeros))
    }

    fn load(&self, image: &Image, parts: Parts, lease: &Arc<Lease>) -> Result<Box<dyn Resident>, GpuError> {
        let (free, staging) = bounded(parts.uploads.len());
        for area in parts.uploads {
            // There is room for all of them.
            drop(free.send(area));
        }
        let timed = Timed::new(&self.tally.profile, image, Cost::HOST);
        let memory = cell::Memory::new(image, parts.arena, parts.constants, parts.params);
        let movable = memory.movable();
        let cell = Cell::new(
            memory,
            free,
            Arc::clone(lease),
            Arc::clone(&self.turns),
            Arc::clone(&self.health),
            Arc::clone(&self.tally),
            self.queue_depth,
        );
        Ok(Box::new(HostResident {
            cell: Arc::new(cell),
            timed,
            staging,
            movable,
            is_spilled: false,
            readback: parts.readback,
            health: Arc::clone(&self.health),
            tally: Arc::clone(&self.tally),
            deadline: self.deadline,
        }))
    }

    fn clear(&self, memory: &mut Pooled<Buffer>) -> Result<(), GpuError> {
        host_words(memory).fill(0);
        Ok(())
    }

    fn lanes(&self) -> usize {
        self.workers.len()
    }

    #[cfg(any(test, feature = "testing"))]
    fn destroy(&self) {
        self.health.lose("destroyed by a test".to_owned());
    }
}

/// A loaded image on the host.
#[derive(Debug)]
struct HostResident {
    cell: Arc<Cell>,
    timed: Arc<Timed>,
    staging: Receiver<Pooled<Buffer>>,
    movable: Bytes,
    is_spilled: bool,
    /// Workers read straight out of the arena. The area is held so that an image takes the same memory everywhere,
    /// and a lease sized for one backend holds on the other.
    #[expect(dead_code, reason = "held for the books only, as said above")]
    readback: Option<Pooled<Buffer>>,
    health: Arc<Health>,
    tally: Arc<Tally>,
    deadline: Duration,
}

impl HostResident {
    /// A free upload staging area.
    fn stage(&self) -> Result<Pooled<Buffer>, GpuError> {
        if self.staging.is_empty() {
            count(&self.tally.host_waits, 1);
        }
        self.health
            .recv(&self.staging, "an upload staging area", self.deadline)
    }

    /// Copies the uploads through staging areas: all areas but the last go ahead as jobs of their own.
    fn upload(&self, work: &Checked<'_>, last: &mut Job) -> Result<(), GpuError> {
        let mut area: Option<Pooled<Buffer>> = None;
        let mut spans = Vec::new();
        let mut used = 0;
        for (slice, data) in work.uploads {
            let (mut offset, mut data) = (slice.offset, *data);
            while !data.is_empty() {
                let mut current = match area.take() {
                    Some(current) => current,
                    None => self.stage()?,
                };
                let words = host_words(&mut current);
                let room = words.len() * 4 - used;
                let (now, rest) = data.split_at(data.len().min(room));
                bytemuck::cast_slice_mut::<u32, u8>(words)[used..used + now.len()].copy_from_slice(now);
                spans.push(cell::Span::new(offset, now.len() as u64));
                used += now.len();
                offset += now.len() as u64;
                data = rest;
                if data.is_empty() {
                    area = Some(current);
                } else {
                    let job = Job {
                        uploads: std::mem::take(&mut spans),
                        region: work.region,
                        staging: Some(current),
                        ..Job::default()
                    };
                    self.cell.push(job, self.deadline)?;
                    used = 0;
                }
            }
        }
        last.uploads = spans;
        last.region = work.region;
        last.staging = area;
        Ok(())
    }
}

impl Resident for HostResident {
    fn submit(&mut self, work: Checked<'_>) -> Result<Ticket, GpuError> {
        let (reply, replies) = bounded(1);
        let mut job = Job {
            list: work.list,
            sample: work.list.and_then(|list| self.timed.begin(list)),
            reply: Some(reply),
            ..Job::default()
        };
        job.reads = work
            .reads
            .iter()
            .map(|slice| cell::Span::new(slice.offset, slice.bytes))
            .collect();
        self.upload(&work, &mut job)?;
        self.cell.push(job, self.deadline)?;
        Ok(Ticket::new(replies, 1, self.deadline, Arc::clone(&self.health)))
    }

    fn movable(&self) -> Bytes {
        if self.is_spilled {
            Bytes::ZERO
        } else {
            self.movable
        }
    }

    fn spill(&mut self, patience: Duration) -> Result<Option<Bytes>, GpuError> {
        let spilled = self
            .cell
            .at_rest(patience, |memory| memory.spill(&self.tally))
            .transpose()?;
        self.is_spilled = spilled.is_some();
        Ok(spilled)
    }

    fn is_spilled(&self) -> bool {
        self.is_spilled
    }

    fn restore(&mut self, create: &Create<'_>) -> Result<(), GpuError> {
        // It is at rest: nothing was submitted since it was spilled.
        let restored = self.cell.at_rest(self.deadline, |memory| memory.restore(create));
        restored.unwrap_or(Ok(()))?;
        self.is_spilled = false;
        Ok(())
    }

    fn leave(&mut self, _page: PageId, _patience: Duration) -> Result<Option<Bytes>, GpuError> {
        // Host memory is lent out in buffers, not in pages.
        Ok(Some(Bytes::ZERO))
    }
}

impl Drop for HostResident {
    fn drop(&mut self) {
        self.cell.retire(self.deadline);
        // By hand, because the worker that ran the last job may hold the other end for a moment longer.
        self.staging.try_iter().for_each(drop);
    }
}

/// The words of a host buffer.
fn host_words(buffer: &mut Pooled<Buffer>) -> &mut [u32] {
    match buffer.get_mut() {
        Buffer::Host(words) => words,
        #[cfg(feature = "gpu")]
        Buffer::Device(_) => unreachable!("a pool serves one backend, and this is the host's"),
    }
}
