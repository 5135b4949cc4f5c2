//! One loaded image on the host: its memory, its recorded lists and its queue of jobs.

use super::split::Split;
use super::turns::{Left, Turns};
use super::{Pooled, host_words};
use crate::backend::{Buffer, Create, OnHost, Region, Tally, count};
use crate::error::GpuError;
use crate::health::Health;
use crate::image::{Command, Image, Slice, params_slot};
use crate::profile::Sample;
use crate::program::{HostCall, Program, Scratch};
use crate::raw::Crew;
use crate::sync::channel::Sender;
use crate::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use crate::tenant::{Effect, Lease};
use daa_base::Bytes;
use std::collections::VecDeque;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::time::Duration;

/// Jobs that a worker runs for one image before another image gets its turn.
const TURN: usize = 8;

/// No job begins this long after the turn did. Turns must be short for tenants to get their parts over short spans.
pub(super) const SLICE: Duration = Duration::from_millis(1);

/// A range of words.
#[derive(Debug, Clone, Copy)]
pub(super) struct Span {
    start: usize,
    len: usize,
}

impl Span {
    /// From bytes that were checked to be whole words of the arena.
    pub(super) const fn new(offset: u64, bytes: u64) -> Self {
        Self {
            start: (offset / 4) as usize,
            len: (bytes / 4) as usize,
        }
    }

    fn of<'a>(&self, words: &'a [u32]) -> &'a [u32] {
        &words[self.start..self.start + self.len]
    }

    fn of_mut<'a>(&self, words: &'a mut [u32]) -> &'a mut [u32] {
        &mut words[self.start..self.start + self.len]
    }
}

/// What a worker does in one go.
#[derive(Debug, Default)]
pub(super) struct Job {
    /// Where the words of `staging` go, one after the other.
    pub(super) uploads: Vec<Span>,
    pub(super) region: Region,
    pub(super) staging: Option<Pooled<Buffer>>,
    pub(super) list: Option<usize>,
    /// Set when the run of the list is timed.
    pub(super) sample: Option<Sample>,
    pub(super) reads: Vec<Span>,
    /// Who waits for it; `None` for a piece of a larger submission.
    pub(super) reply: Option<Sender<Result<Vec<u8>, GpuError>>>,
}

#[derive(Debug)]
enum Step {
    Run {
        program: &'static Program,
        params: Span,
        split: Split,
    },
    Zero(Span),
}

/// What one worker at a time works on.
#[derive(Debug)]
pub(super) struct Memory {
    arena: Pooled<Buffer>,
    constants: Option<Pooled<Buffer>>,
    params: Option<Pooled<Buffer>>,
    lists: Vec<Vec<Step>>,
    /// Bytes of arena and constants that the image may use.
    sizes: [usize; 2],
    /// Both, while their loans are spilled.
    spilled: Option<OnHost>,
}

impl Memory {
    /// Zeroes arena and constants, writes the parameter slots and prepares the lists of a checked image.
    pub(super) fn new(
        image: &Image,
        mut arena: Pooled<Buffer>,
        mut constants: Option<Pooled<Buffer>>,
        mut params: Option<Pooled<Buffer>>,
    ) -> Self {
        for memory in std::iter::once(&mut arena).chain(&mut constants) {
            if image.must_clear(memory.origin()) {
                host_words(memory).fill(0);
            }
        }
        let words = params.as_mut().map_or_else(Default::default, host_words);
        let mut slot = 0;
        let mut record = |command: &Command| match command {
            Command::Zero(Slice { offset, bytes }) => Step::Zero(Span::new(*offset, *bytes)),
            Command::Dispatch(dispatch) => {
                let params = Span {
                    start: slot,
                    len: dispatch.params.len(),
                };
                params.of_mut(words).copy_from_slice(&dispatch.params);
                slot += (params_slot(dispatch.params.len()) / 4) as usize;
                Step::Run {
                    program: dispatch.program,
                    params,
                    split: Split::new(dispatch),
                }
            }
        };
        let lists = image
            .lists
            .iter()
            .map(|list| list.commands.iter().map(&mut record).collect())
            .collect();
        Self {
            arena,
            constants,
            params,
            lists,
            sizes: [image.arena, image.constants]
                .map(|size| usize::try_from(size.get()).unwrap_or(usize::MAX)),
            spilled: None,
        }
    }

    /// What moves to the host or back, in reserved bytes.
    pub(super) fn movable(&self) -> Bytes {
        let loans = std::iter::once(&self.arena).chain(&self.constants);
        loans.map(Pooled::reserved).sum()
    }

    /// Copies the content aside and gives its memory back.
    pub(super) fn spill(&mut self, tally: &Arc<Tally>) -> Result<Bytes, GpuError> {
        let bytes = self.movable();
        let arena = copy_of(host_words(&mut self.arena), self.sizes[0])?;
        let constants = self.constants.as_mut().map_or_else(Default::default, host_words);
        let constants = copy_of(constants, self.sizes[1])?;
        self.spilled = Some(OnHost::new(arena, constants, tally));
        self.arena.spill();
        self.constants.iter_mut().for_each(Pooled::spill);
        Ok(bytes)
    }

    /// Takes memory again and copies the content back.
    pub(super) fn restore(&mut self, create: &Create<'_>) -> Result<(), GpuError> {
        let Some(spilled) = self.spilled.take() else {
            return Ok(());
        };
        let mut loans = std::iter::once(&mut self.arena).chain(&mut self.constants);
        if let Err(error) = loans.try_for_each(|loan| loan.refill(create)) {
            self.arena.spill();
            self.spilled = Some(spilled);
            return Err(error);
        }
        let loans = std::iter::once(&mut self.arena).chain(&mut self.constants);
        for (loan, region) in loans.zip([Region::Arena, Region::Constants]) {
            let bytes = spilled.bytes(region);
            bytemuck::cast_slice_mut::<u32, u8>(host_words(loan))[..bytes.len()].copy_from_slice(bytes);
        }
        Ok(())
    }

    fn upload(&mut self, spans: &[Span], region: Region, staging: &mut Pooled<Buffer>) -> u64 {
        let words = match region {
            Region::Arena => host_words(&mut self.arena),
            Region::Constants => self.constants.as_mut().map_or_else(Default::default, host_words),
        };
        let mut staged: &[u32] = host_words(staging);
        let mut bytes = 0;
        for span in spans {
            let (now, rest) = staged.split_at(span.len);
            span.of_mut(words).copy_from_slice(now);
            staged = rest;
            bytes += 4 * span.len as u64;
        }
        bytes
    }

    fn run(&mut self, list: usize, scratch: &mut Scratch, sample: &mut Option<Sample>) -> u64 {
        let arena = host_words(&mut self.arena);
        let constants: &[u32] = self.constants.as_mut().map_or_else(Default::default, host_words);
        let words: &[u32] = self.params.as_mut().map_or_else(Default::default, host_words);
        let mut dispatches = 0;
        if let Some(sample) = sample {
            sample.start();
        }
        for step in &self.lists[list] {
            match step {
                Step::Zero(span) => {
                    span.of_mut(arena).fill(0);
                    if let Some(sample) = sample {
                        sample.start();
                    }
                }
                Step::Run {
                    program,
                    params,
                    split,
                } => {
                    let (reads, writes) = split.apply(arena, constants);
                    (program.host)(HostCall {
                        params: params.of(words),
                        reads,
                        writes,
                        scratch,
                    });
                    dispatches += 1;
                    if let Some(sample) = sample {
                        sample.mark();
                    }
                }
            }
        }
        dispatches
    }

    fn read(&mut self, spans: &[Span]) -> Vec<u8> {
        let arena: &[u32] = host_words(&mut self.arena);
        let mut bytes = Vec::with_capacity(spans.iter().map(|span| span.len * 4).sum());
        for span in spans {
            bytes.extend_from_slice(bytemuck::cast_slice(span.of(arena)));
        }
        bytes
    }
}

#[derive(Debug, Default)]
struct Queue {
    jobs: VecDeque<Job>,
    /// Whether a worker has this image, or will get it.
    scheduled: bool,
    /// Whether a worker is at a job that has no answer yet.
    running: bool,
    /// Why nothing runs on this image any more.
    poison: Option<GpuError>,
}

/// One loaded image.
#[derive(Debug)]
pub(super) struct Cell {
    queue: Mutex<Queue>,
    /// Told whenever a job ended.
    progress: Condvar,
    /// `None` once retired.
    memory: Mutex<Option<Memory>>,
    free: Sender<Pooled<Buffer>>,
    lease: Arc<Lease>,
    turns: Arc<Turns>,
    crew: Arc<Crew>,
    health: Arc<Health>,
    tally: Arc<Tally>,
    depth: usize,
}

impl Cell {
    pub(super) fn new(
        memory: Memory,
        free: Sender<Pooled<Buffer>>,
        lease: Arc<Lease>,
        turns: Arc<Turns>,
        health: Arc<Health>,
        tally: Arc<Tally>,
        depth: usize,
    ) -> Self {
        let (queue, progress, memory) = (Mutex::default(), Condvar::new(), Mutex::new(Some(memory)));
        Self {
            queue,
            progress,
            memory,
            free,
            lease,
            turns,
            crew: Arc::default(),
            health,
            tally,
            depth,
        }
    }

    /// The workers at this image.
    pub(super) const fn crew(&self) -> &Arc<Crew> {
        &self.crew
    }

    pub(super) const fn lease(&self) -> &Arc<Lease> {
        &self.lease
    }

    fn lock(&self) -> MutexGuard<'_, Queue> {
        self.queue.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Queues a job behind the earlier ones.
    pub(super) fn push(self: &Arc<Self>, job: Job, deadline: Duration) -> Result<(), GpuError> {
        let mut queue = self.lock();
        if queue.jobs.len() >= self.depth {
            count(&self.tally.host_waits, 1);
            let (waited, timeout) = self
                .progress
                .wait_timeout_while(queue, deadline, |queue| queue.jobs.len() >= self.depth)
                .unwrap_or_else(PoisonError::into_inner);
            queue = waited;
            if timeout.timed_out() {
                drop(queue);
                self.give_back(job);
                return Err(GpuError::Timeout {
                    what: "room in the queue of an image",
                    deadline,
                });
            }
        }
        if let Some(poison) = &queue.poison {
            let poison = poison.clone();
            drop(queue);
            self.give_back(job);
            return Err(poison);
        }
        queue.jobs.push_back(job);
        let schedule = !std::mem::replace(&mut queue.scheduled, true);
        drop(queue);
        count(&self.tally.submits, 1);
        if schedule {
            self.turns.push(Arc::clone(self));
        }
        Ok(())
    }

    /// One turn, which began at `began`: runs jobs until there are none, or others should get theirs. With jobs left,
    /// the worker puts the image back into the queue.
    pub(super) fn serve(&self, scratch: &mut Scratch, began: Duration) -> Left {
        let mut over = false;
        for done in 0_usize.. {
            let mut queue = self.lock();
            if queue.jobs.is_empty() {
                queue.scheduled = false;
                drop(queue);
                self.progress.notify_all();
                return Left::Nothing;
            }
            if over || done == TURN {
                return Left::Jobs;
            }
            let (job, poison) = (queue.jobs.pop_front(), queue.poison.clone());
            queue.running = job.is_some();
            drop(queue);
            if let Some(job) = job {
                self.finish(job, poison, scratch);
            }
            over = self.turns.now().saturating_sub(began) >= SLICE;
        }
        Left::Jobs
    }

    fn finish(&self, mut job: Job, poison: Option<GpuError>, scratch: &mut Scratch) {
        let outcome = match poison.map_or_else(|| self.may_run(&job), Err) {
            Err(error) => Err(error),
            Ok(()) => self.run(&mut job, scratch),
        };
        let reply = job.reply.take();
        self.give_back(job);
        let mut queue = self.lock();
        queue.running = false;
        if let Err(error) = &outcome {
            queue.poison.get_or_insert_with(|| error.clone());
        }
        drop(queue);
        if let Some(reply) = reply {
            // Nobody may be waiting.
            drop(reply.try_send(outcome));
        }
        self.progress.notify_all();
    }

    /// Whether the job counts, now that its turn has come: the device may be gone, the lease may have ended.
    fn may_run(&self, job: &Job) -> Result<(), GpuError> {
        self.health.check()?;
        self.lease
            .allows(Effect::of(job.list.is_some(), job.staging.is_some()))
    }

    /// Frees the staging area of a job that is done or never runs.
    fn give_back(&self, job: Job) {
        if let Some(area) = job.staging {
            // There is room for every area; the image may be gone.
            drop(self.free.try_send(area));
        }
    }

    fn run(&self, job: &mut Job, scratch: &mut Scratch) -> Result<Vec<u8>, GpuError> {
        let mut memory = self.memory.lock().unwrap_or_else(PoisonError::into_inner);
        let Some(memory) = memory.as_mut() else {
            return Err(GpuError::Internal {
                message: "the image was released".to_owned(),
            });
        };
        let steps = || {
            if let Some(staging) = &mut job.staging {
                count(
                    &self.tally.uploaded_bytes,
                    memory.upload(&job.uploads, job.region, staging),
                );
            }
            if let Some(list) = job.list {
                count(&self.tally.dispatches, memory.run(list, scratch, &mut job.sample));
            }
            let bytes = memory.read(&job.reads);
            count(&self.tally.read_bytes, bytes.len() as u64);
            if let Some(sample) = job.sample.take() {
                sample.finish();
            }
            bytes
        };
        // A panic leaves the memory of this image, and only of this one, half written: nothing runs on it again.
        catch_unwind(AssertUnwindSafe(steps)).map_err(|panic| GpuError::Internal {
            message: format!("a host function failed: {}", panic_text(panic.as_ref())),
        })
    }

    /// Does something with the memory once no job is left; `None` if there still is one after `patience`. The caller
    /// sees to it that nobody queues another meanwhile.
    pub(super) fn at_rest<T>(&self, patience: Duration, what: impl FnOnce(&mut Memory) -> T) -> Option<T> {
        let (queue, timeout) = self
            .progress
            .wait_timeout_while(self.lock(), patience, |queue| {
                queue.running || !queue.jobs.is_empty()
            })
            .unwrap_or_else(PoisonError::into_inner);
        drop(queue);
        if timeout.timed_out() {
            return None;
        }
        self.memory
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .as_mut()
            .map(what)
    }

    /// Waits for the jobs and gives the memory back. Past the deadline the worker that hangs gives it back.
    pub(super) fn retire(&self, deadline: Duration) {
        let queue = self.lock();
        let (queue, timeout) = self
            .progress
            .wait_timeout_while(queue, deadline, |queue| queue.scheduled)
            .unwrap_or_else(PoisonError::into_inner);
        drop(queue);
        if !timeout.timed_out() {
            let memory = self.memory.lock().unwrap_or_else(PoisonError::into_inner).take();
            drop(memory);
        }
    }
}

/// The first `len` bytes of `words`.
fn copy_of(words: &[u32], len: usize) -> Result<Vec<u8>, GpuError> {
    let mut copy = Vec::new();
    copy.try_reserve_exact(len)
        .map_err(|error| GpuError::OutOfMemory {
            message: format!("{len} bytes of host memory to spill to: {error}"),
        })?;
    copy.extend_from_slice(&bytemuck::cast_slice(words)[..len]);
    Ok(copy)
}

fn panic_text(panic: &(dyn std::any::Any + Send)) -> &str {
    panic
        .downcast_ref::<&str>()
        .copied()
        .or_else(|| panic.downcast_ref::<String>().map(String::as_str))
        .unwrap_or("it panicked")
}
