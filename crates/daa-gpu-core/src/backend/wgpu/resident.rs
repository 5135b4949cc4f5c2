//! A loaded image on a wgpu device: bind groups made once, commands encoded anew for each submission.

use super::device::Gpu;
use super::line::Line;
use super::pipeline::Pipeline;
use super::staging::{Area, Ring, cut};
use super::stopwatch::Timing;
use super::turns::{After, Reply, Submission};
use super::{Buffer, Parts, Pooled, place, raw};
use crate::backend::{Checked, Create, OnHost, Region, Resident, count};
use crate::error::GpuError;
use crate::image::{Command, Dispatch, Image, Slice, params_slot};
use crate::memory::heap::PageId;
use crate::memory::pool::Origin;
use crate::profile::Timed;
use crate::program::{Access, Program};
use crate::tenant::{Effect, Lease, Ticket};
use crossbeam::channel::{Sender, bounded};
use daa_base::Bytes;
use std::num::NonZeroU64;
use std::sync::Arc;
use std::time::Duration;

#[derive(Debug)]
pub(super) enum Step {
    Run {
        made: Arc<Pipeline>,
        recipe: Recipe,
        /// `None` while the image is not on the device.
        bindings: Option<wgpu::BindGroup>,
        groups: [u32; 3],
    },
    Zero(Slice),
}

/// What a dispatch binds; kept, because the memory of an image may move.
#[derive(Debug)]
pub(super) struct Recipe {
    program: &'static Program,
    slices: Vec<Slice>,
    /// Where its parameters are, and how many bytes.
    slot: u64,
    params: u64,
}

/// A loaded image.
#[derive(Debug)]
pub(super) struct WgpuResident {
    pub(super) gpu: Arc<Gpu>,
    pub(super) line: Arc<Line>,
    pub(super) arena: Arc<Pooled<Buffer>>,
    pub(super) constants: Option<Arc<Pooled<Buffer>>>,
    /// What of both the image may use.
    pub(super) sizes: [u64; 2],
    /// Their content, while the image is on the host.
    pub(super) spilled: Option<OnHost>,
    pub(super) params: Option<Arc<Pooled<Buffer>>>,
    pub(super) lists: Vec<Vec<Step>>,
    timed: Arc<Timed>,
    uploads: Ring,
    readback: Ring,
}

impl WgpuResident {
    pub(super) fn load(
        gpu: &Arc<Gpu>,
        image: &Image,
        parts: Parts,
        lease: &Arc<Lease>,
    ) -> Result<Self, GpuError> {
        let line = Arc::new(Line::new(lease, gpu.queue_depth));
        let Parts {
            arena,
            constants,
            params,
            uploads,
            readback,
        } = parts;
        let mut words: Vec<u8> = Vec::new();
        let mut lists = Vec::with_capacity(image.lists.len());
        for list in &image.lists {
            let mut steps = Vec::with_capacity(list.commands.len());
            for command in &list.commands {
                steps.push(match command {
                    Command::Zero(slice) => Step::Zero(*slice),
                    Command::Dispatch(dispatch) => {
                        let slot = words.len() as u64;
                        words.extend_from_slice(bytemuck::cast_slice(&dispatch.params));
                        let padded = slot + params_slot(dispatch.params.len());
                        words.resize(usize::try_from(padded).unwrap_or(usize::MAX), 0);
                        let memory = Bound {
                            arena: &arena,
                            constants: constants.as_ref(),
                            params: params.as_ref(),
                        };
                        run(gpu, dispatch, memory, slot)?
                    }
                });
            }
            lists.push(steps);
        }
        gpu.scoped(|| {
            if let Some(params) = &params {
                let (buffer, base) = place(params);
                gpu.write(buffer, base, &words);
            }
            let mut encoder = gpu.encoder();
            for memory in std::iter::once(&arena).chain(&constants) {
                // What is fresh would be cleared at its first use; better now.
                if image.must_clear(memory.origin()) || memory.origin() == Origin::Fresh {
                    let (buffer, base) = place(memory);
                    encoder.clear_buffer(buffer, base, Some(memory.reserved().get()));
                }
            }
            gpu.submit_first(Submission {
                commands: encoder.finish(),
                after: Vec::new(),
                line: Some(Arc::clone(&line)),
                effect: Effect::Changes,
            })
        })??;
        line.check()?;
        let readback = Ring::new(readback.into_iter().collect());
        Ok(Self {
            gpu: Arc::clone(gpu),
            line,
            arena: Arc::new(arena),
            constants: constants.map(Arc::new),
            sizes: [image.arena.get(), image.constants.get()],
            spilled: None,
            params: params.map(Arc::new),
            lists,
            timed: Timed::new(&gpu.tally.profile, image, gpu.stopwatches.cost()),
            uploads: Ring::new(uploads),
            readback,
        })
    }

    fn recording(&self) -> Recording {
        Recording {
            encoder: self.gpu.encoder(),
            after: Vec::new(),
            effect: Effect::None,
        }
    }

    /// Queues what was recorded.
    fn submit(&self, recording: Recording) -> Result<(), GpuError> {
        self.gpu.submit(Submission {
            commands: recording.encoder.finish(),
            after: recording.after,
            line: Some(Arc::clone(&self.line)),
            effect: recording.effect,
        })
    }

    /// Encodes the uploads. Each full staging area is submitted ahead; the last goes with what follows.
    fn upload(&self, uploads: &[(Slice, &[u8])], region: Region) -> Result<Recording, GpuError> {
        let mut recording = self.recording();
        let mut area: Option<Area> = None;
        for (slice, data) in uploads {
            let (mut offset, mut data) = (slice.offset, *data);
            while !data.is_empty() {
                let mut current = match area.take() {
                    Some(current) => current,
                    None => Area::open(self.uploads.take(&self.gpu, "an upload staging area")?)?,
                };
                let (now, rest) = data.split_at(data.len().min(current.room()));
                current.put(offset, now);
                offset += now.len() as u64;
                data = rest;
                if current.room() == 0 && !data.is_empty() {
                    self.seal(current, region, &mut recording);
                    self.submit(std::mem::replace(&mut recording, self.recording()))?;
                } else {
                    area = Some(current);
                }
            }
        }
        if let Some(last) = area {
            self.seal(last, region, &mut recording);
        }
        count(
            &self.gpu.tally.uploaded_bytes,
            uploads.iter().map(|(slice, _)| slice.bytes).sum(),
        );
        Ok(recording)
    }

    /// Encodes the copies out of a staging area, which goes back to its ring, mapped again, when they are done.
    fn seal(&self, area: Area, region: Region, recording: &mut Recording) {
        let (buffer, copies) = area.close();
        let staging = raw(&buffer);
        let mut from = 0;
        let target = match region {
            Region::Arena => Some(&self.arena),
            Region::Constants => self.constants.as_ref(),
        };
        let Some((target, base)) = target.map(|memory| place(memory)) else {
            unreachable!("uploads of constants are refused for images without any");
        };
        for Slice { offset, bytes } in copies {
            recording
                .encoder
                .copy_buffer_to_buffer(staging, from, target, base + offset, bytes);
            from += bytes;
        }
        recording.effect = Effect::Changes;
        recording.after.push(After::Rest {
            area: buffer,
            home: self.uploads.home(),
        });
    }

    fn encode(&self, list: usize, encoder: &mut wgpu::CommandEncoder) {
        let mut dispatches = 0;
        let (arena, base) = place(&self.arena);
        let mut timing = self.timing(list);
        for chunk in chunks(&self.lists[list]) {
            if let [Step::Zero(slice)] = chunk {
                encoder.clear_buffer(arena, base + slice.offset, Some(slice.bytes));
                continue;
            }
            let mut pass = encoder.begin_compute_pass(&wgpu::ComputePassDescriptor {
                label: None,
                timestamp_writes: timing.as_mut().and_then(Timing::around),
            });
            if let Some(timing) = &mut timing {
                timing.begin(&mut pass);
            }
            let mut current: Option<&Arc<Pipeline>> = None;
            for step in chunk {
                if let Step::Run {
                    made,
                    bindings,
                    groups: [x, y, z],
                    ..
                } = step
                {
                    if !current.is_some_and(|current| Arc::ptr_eq(current, made)) {
                        pass.set_pipeline(&made.pipeline);
                        current = Some(made);
                    }
                    pass.set_bind_group(0, bindings.as_ref(), &[]);
                    pass.dispatch_workgroups(*x, *y, *z);
                    dispatches += 1;
                    if let Some(timing) = &mut timing {
                        timing.mark(&mut pass);
                    }
                }
            }
        }
        count(&self.gpu.tally.dispatches, dispatches);
        if let Some(timing) = timing {
            timing.finish(encoder);
        }
    }

    /// The timing of a run of `list`, if it is one that is timed.
    fn timing(&self, list: usize) -> Option<Timing> {
        let sample = self.timed.begin(list)?;
        let runs = |chunk: &[Step]| {
            chunk
                .iter()
                .filter(|step| matches!(step, Step::Run { .. }))
                .count()
        };
        let passes = chunks(&self.lists[list]).map(runs).filter(|runs| *runs > 0);
        let (dispatches, passes) = passes.fold((0, 0), |(all, passes), runs| (all + runs, passes + 1));
        Some(self.gpu.stopwatches.start(sample, dispatches, passes))
    }

    /// Encodes one area's worth of reads; its bytes go to `reply` when they have arrived.
    fn read(&self, reads: &[Slice], recording: &mut Recording, area: Pooled<Buffer>, reply: Sender<Reply>) {
        let (arena, base) = place(&self.arena);
        let mut bytes = 0;
        for slice in reads {
            recording.encoder.copy_buffer_to_buffer(
                arena,
                base + slice.offset,
                raw(&area),
                bytes,
                slice.bytes,
            );
            bytes += slice.bytes;
        }
        count(&self.gpu.tally.read_bytes, bytes);
        recording.after.push(After::Read {
            area,
            bytes,
            home: self.readback.home(),
            reply,
        });
    }

    fn work(&self, work: Checked<'_>) -> Result<Ticket, GpuError> {
        // First: nothing may fail between the sealing of a staging area and its submission.
        self.line.wait_for_room(self.gpu.deadline, &self.gpu.tally)?;
        let mut area = match work.reads {
            [] => None,
            _ => Some(self.readback.take(&self.gpu, "the readback area")?),
        };
        let mut recording = match self.upload(work.uploads, work.region) {
            Ok(recording) => recording,
            Err(error) => {
                area.into_iter().for_each(|area| self.readback.put(area));
                return Err(error);
            }
        };
        let capacity = area.as_ref().map_or(u64::MAX, |area| area.reserved().get());
        let pieces = cut(work.reads, capacity);
        let (reply, replies) = bounded(pieces.len().max(1));
        if let Some(list) = work.list {
            self.encode(list, &mut recording.encoder);
            recording.effect = Effect::Changes;
        }
        if pieces.is_empty() {
            recording.after.push(After::Done(reply.clone()));
        }
        for (index, piece) in pieces.iter().enumerate() {
            if index > 0 {
                self.submit(std::mem::replace(&mut recording, self.recording()))?;
            }
            let area = match area.take() {
                Some(area) => area,
                None => self.readback.take(&self.gpu, "the readback area")?,
            };
            self.read(piece, &mut recording, area, reply.clone());
        }
        self.submit(recording)?;
        Ok(Ticket::new(
            replies,
            pieces.len().max(1),
            self.gpu.deadline,
            Arc::clone(&self.gpu.health),
        ))
    }
}

/// A submission that is being recorded.
struct Recording {
    encoder: wgpu::CommandEncoder,
    after: Vec<After>,
    effect: Effect,
}

impl Resident for WgpuResident {
    fn submit(&mut self, work: Checked<'_>) -> Result<Ticket, GpuError> {
        self.gpu.scoped(|| self.work(work))?
    }

    fn movable(&self) -> Bytes {
        self.movable_bytes()
    }

    fn spill(&mut self, patience: Duration) -> Result<Option<Bytes>, GpuError> {
        if !self.line.is_at_rest(patience) {
            return Ok(None);
        }
        self.move_out().map(Some)
    }

    fn is_spilled(&self) -> bool {
        self.spilled.is_some()
    }

    fn restore(&mut self, create: &Create<'_>) -> Result<(), GpuError> {
        self.move_in(create)
    }

    fn leave(&mut self, page: PageId, patience: Duration) -> Result<Option<Bytes>, GpuError> {
        self.move_from(page, patience)
    }
}

impl Drop for WgpuResident {
    fn drop(&mut self) {
        let memory = [&self.arena]
            .into_iter()
            .chain(&self.constants)
            .chain(&self.params)
            .map(Arc::clone);
        self.line.retire(self.gpu.deadline, memory);
        self.uploads.collect(&self.gpu);
        self.readback.collect(&self.gpu);
    }
}

/// The dispatches that share a pass, and each of the rest alone.
fn chunks(steps: &[Step]) -> impl Iterator<Item = &[Step]> {
    steps.chunk_by(|a, b| matches!((a, b), (Step::Run { .. }, Step::Run { .. })))
}

/// What dispatches bind slices of.
#[derive(Clone, Copy)]
pub(super) struct Bound<'a> {
    pub(super) arena: &'a Pooled<Buffer>,
    pub(super) constants: Option<&'a Pooled<Buffer>>,
    pub(super) params: Option<&'a Pooled<Buffer>>,
}

/// Makes one dispatch ready to run.
fn run(gpu: &Gpu, dispatch: &Dispatch, memory: Bound<'_>, slot: u64) -> Result<Step, GpuError> {
    let made = gpu.pipelines.get(gpu, dispatch.program)?;
    let recipe = Recipe {
        program: dispatch.program,
        slices: dispatch.bindings.clone(),
        slot,
        params: params_slot(dispatch.params.len()),
    };
    let bindings = Some(bind(gpu, &made, &recipe, memory)?);
    Ok(Step::Run {
        made,
        recipe,
        bindings,
        groups: dispatch.groups,
    })
}

/// Binds the slices of a dispatch where they are now.
pub(super) fn bind(
    gpu: &Gpu,
    made: &Pipeline,
    recipe: &Recipe,
    memory: Bound<'_>,
) -> Result<wgpu::BindGroup, GpuError> {
    let bind = |memory, offset, bytes| {
        let (buffer, base) = place(memory);
        wgpu::BindingResource::Buffer(wgpu::BufferBinding {
            buffer,
            offset: base + offset,
            size: NonZeroU64::new(bytes),
        })
    };
    let specs = recipe.program.bindings;
    let mut resources: Vec<_> = recipe
        .slices
        .iter()
        .zip(specs)
        .map(|(slice, spec)| {
            let constants = memory.constants.filter(|_| spec.access == Access::Constant);
            bind(constants.unwrap_or(memory.arena), slice.offset, slice.bytes)
        })
        .collect();
    if let (Some(params), true) = (memory.params, recipe.program.params_words > 0) {
        resources.push(bind(params, recipe.slot, recipe.params));
    }
    let entries: Vec<_> = (0..)
        .zip(resources)
        .map(|(binding, resource)| wgpu::BindGroupEntry { binding, resource })
        .collect();
    let group = gpu.scoped(|| {
        gpu.device.create_bind_group(&wgpu::BindGroupDescriptor {
            label: Some(recipe.program.name),
            layout: &made.layout,
            entries: &entries,
        })
    })?;
    count(&gpu.tally.bind_groups_created, 1);
    Ok(group)
}
