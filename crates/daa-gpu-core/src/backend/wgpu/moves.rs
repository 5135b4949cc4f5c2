//! Moving the memory of a loaded image: to the host and back, and from one page to another.

use super::resident::{Bound, Step, WgpuResident, bind};
use super::staging::copied;
use super::turns::Submission;
use super::{Buffer, Pooled, device, place};
use crate::backend::{Create, OnHost, Region, count};
use crate::error::GpuError;
use crate::memory::heap::PageId;
use crate::memory::pool::{BufferUsage, Elsewhere};
use crate::tenant::Effect;
use crossbeam::channel::bounded;
use daa_base::Bytes;
use std::sync::Arc;
use std::time::Duration;

/// Bytes that go to the host or back at once: what a move takes on top of what it moves.
const PIECE: u64 = 8 << 20;

impl WgpuResident {
    /// Arena and constants, with what of them the image may use.
    fn regions(&self) -> impl Iterator<Item = (&Pooled<Buffer>, u64)> {
        let loans = std::iter::once(&self.arena).chain(&self.constants);
        loans.map(Arc::as_ref).zip(self.sizes)
    }

    /// The same, to be changed. Nobody else has them before the image is dropped.
    fn loans_mut(&mut self) -> impl Iterator<Item = &mut Pooled<Buffer>> {
        let loans = std::iter::once(&mut self.arena).chain(&mut self.constants);
        loans.filter_map(Arc::get_mut)
    }

    /// Hands commands over before everything that waits for its turn. Nothing of this image does.
    fn submit_move(&self, encoder: wgpu::CommandEncoder) -> Result<(), GpuError> {
        self.gpu.submit_first(Submission {
            commands: encoder.finish(),
            after: Vec::new(),
            line: Some(Arc::clone(&self.line)),
            // What the tenant has may move, even once it may only read.
            effect: Effect::None,
        })
    }

    pub(super) fn movable_bytes(&self) -> Bytes {
        if self.spilled.is_some() {
            return Bytes::ZERO;
        }
        self.regions().map(|(loan, _)| loan.reserved()).sum()
    }

    /// Copies the content to the host, behind everything submitted before, and gives its memory back.
    pub(super) fn move_out(&mut self) -> Result<Bytes, GpuError> {
        let moved = self.movable_bytes();
        if moved == Bytes::ZERO {
            return Ok(moved);
        }
        let mut copies = [Vec::new(), Vec::new()];
        for ((loan, size), copy) in self.regions().zip(&mut copies) {
            *copy = self.copy_out(loan, size)?;
        }
        let [arena, constants] = copies;
        self.spilled = Some(OnHost::new(arena, constants, &self.gpu.tally));
        // They would keep the pages.
        self.unbind();
        self.loans_mut().for_each(Pooled::spill);
        Ok(moved)
    }

    fn copy_out(&self, loan: &Pooled<Buffer>, size: u64) -> Result<Vec<u8>, GpuError> {
        let mut copy = Vec::new();
        let len = usize::try_from(size).unwrap_or(usize::MAX);
        copy.try_reserve_exact(len)
            .map_err(|error| GpuError::OutOfMemory {
                message: format!("{size} bytes of host memory to spill to: {error}"),
            })?;
        // Not from the pool: nobody is to be charged for giving memory back.
        let piece = size.min(PIECE);
        let staging = self.gpu.create_buffer(BufferUsage::Readback, Bytes(piece))?;
        count(&self.gpu.tally.buffers_created, 1);
        let (buffer, base) = place(loan);
        let mut at = 0;
        while at < size {
            let now = piece.min(size - at);
            let mut encoder = self.gpu.encoder();
            encoder.copy_buffer_to_buffer(buffer, base + at, &staging, 0, now);
            let (sender, arrived) = bounded(1);
            let mapped = staging.clone();
            encoder.map_buffer_on_submit(&staging, wgpu::MapMode::Read, 0..now, move |result| {
                let bytes = result.map_err(|error| error.to_string());
                let bytes = bytes.and_then(|()| copied(&mapped, now));
                // Nobody may be waiting any more.
                drop(sender.try_send(bytes));
            });
            self.gpu.scoped(|| self.submit_move(encoder))??;
            let bytes = self
                .gpu
                .health
                .recv(&arrived, "an image on its way to the host", self.gpu.deadline)?
                .map_err(|message| GpuError::Internal { message })?;
            copy.extend_from_slice(&bytes);
            at += now;
        }
        Ok(copy)
    }

    /// Takes memory again, copies the content back and binds it.
    pub(super) fn move_in(&mut self, create: &Create<'_>) -> Result<(), GpuError> {
        let Some(spilled) = self.spilled.take() else {
            return Ok(());
        };
        let back = self.refill(create).and_then(|()| {
            for ((loan, _), region) in self.regions().zip([Region::Arena, Region::Constants]) {
                self.copy_in(loan, spilled.bytes(region))?;
            }
            self.rebind()
        });
        if back.is_err() {
            self.unbind();
            self.loans_mut().for_each(Pooled::spill);
            self.spilled = Some(spilled);
        }
        back
    }

    fn refill(&mut self, create: &Create<'_>) -> Result<(), GpuError> {
        self.loans_mut().try_for_each(|loan| loan.refill(create))
    }

    fn copy_in(&self, loan: &Pooled<Buffer>, bytes: &[u8]) -> Result<(), GpuError> {
        let (buffer, mut at) = place(loan);
        for piece in bytes.chunks(PIECE as usize) {
            self.gpu.scoped(|| {
                self.gpu.write(buffer, at, piece);
                self.submit_move(self.gpu.encoder())
            })??;
            at += piece.len() as u64;
        }
        Ok(())
    }

    /// Moves what lies in `page` to other pages; `None` where they have no room, or the image is not at rest in time.
    pub(super) fn move_from(&mut self, page: PageId, patience: Duration) -> Result<Option<Bytes>, GpuError> {
        if self.regions().all(|(loan, _)| loan.page() != Some(page)) {
            return Ok(Some(Bytes::ZERO));
        }
        if !self.line.is_at_rest(patience) {
            return Ok(None);
        }
        let mut moved = Bytes::ZERO;
        let mut places = Vec::new();
        for (index, (loan, _)) in self.regions().enumerate() {
            if loan.page() == Some(page) {
                let Some(place) = loan.elsewhere() else {
                    return Ok(None);
                };
                moved = moved + loan.reserved();
                places.push((index, place));
            }
        }
        if let Err(error) = self.copy_across(&places) {
            // It is not known whether the device still writes there.
            places.into_iter().for_each(std::mem::forget);
            return Err(error);
        }
        // First: the old ones would keep the page.
        self.unbind();
        for (index, place) in places {
            if let Some(loan) = self.loans_mut().nth(index) {
                loan.move_to(place);
            }
        }
        self.rebind()?;
        Ok(Some(moved))
    }

    /// Copies regions to their new places and waits until they are there.
    fn copy_across(&self, places: &[(usize, Elsewhere<Buffer>)]) -> Result<(), GpuError> {
        let mut encoder = self.gpu.encoder();
        for (index, to) in places {
            if let Some((loan, _)) = self.regions().nth(*index) {
                let (from, at) = place(loan);
                let (to, offset) = to.place();
                encoder.copy_buffer_to_buffer(from, at, device(to), offset, loan.reserved().get());
            }
        }
        let (sender, done) = bounded(1);
        encoder.on_submitted_work_done(move || {
            // Nobody may be waiting any more.
            let _ = sender.try_send(());
        });
        self.gpu.scoped(|| self.submit_move(encoder))??;
        let what = "an image on its way to another page";
        self.gpu.health.recv(&done, what, self.gpu.deadline)
    }

    fn unbind(&mut self) {
        for step in self.lists.iter_mut().flatten() {
            if let Step::Run { bindings, .. } = step {
                *bindings = None;
            }
        }
    }

    /// Binds every dispatch to where the memory is now.
    fn rebind(&mut self) -> Result<(), GpuError> {
        let memory = Bound {
            arena: &self.arena,
            constants: self.constants.as_deref(),
            params: self.params.as_deref(),
        };
        for step in self.lists.iter_mut().flatten() {
            if let Step::Run {
                made,
                recipe,
                bindings,
                ..
            } = step
            {
                *bindings = Some(bind(&self.gpu, made, recipe, memory)?);
            }
        }
        Ok(())
    }
}
