//! Staging: buffers that the host maps, and what is cut to fit them.

use super::device::Gpu;
use super::{Buffer, Pooled, raw};
use crate::backend::count;
use crate::error::GpuError;
use crate::image::Slice;
use crossbeam::channel::{Receiver, Sender, bounded};

/// Staging areas at rest, and the way back to here.
#[derive(Debug)]
pub(super) struct Ring {
    home: Sender<Pooled<Buffer>>,
    free: Receiver<Pooled<Buffer>>,
    len: usize,
}

impl Ring {
    pub(super) fn new(areas: Vec<Pooled<Buffer>>) -> Self {
        let len = areas.len();
        let (home, free) = bounded(len);
        let ring = Self { home, free, len };
        areas.into_iter().for_each(|area| ring.put(area));
        ring
    }

    pub(super) fn put(&self, area: Pooled<Buffer>) {
        // There is room for all of them.
        drop(self.home.try_send(area));
    }

    /// Where an area goes when it is at rest again.
    pub(super) fn home(&self) -> Sender<Pooled<Buffer>> {
        self.home.clone()
    }

    pub(super) fn take(&self, gpu: &Gpu, what: &'static str) -> Result<Pooled<Buffer>, GpuError> {
        if self.free.is_empty() {
            count(&gpu.tally.host_waits, 1);
        }
        gpu.health.recv(&self.free, what, gpu.deadline)
    }

    /// Waits for every area to be at rest, so that the books are right as soon as an image is dropped.
    pub(super) fn collect(&self, gpu: &Gpu) {
        for _ in 0..self.len {
            if gpu
                .health
                .recv(&self.free, "a staging area at release", gpu.deadline)
                .is_err()
            {
                break;
            }
        }
        if gpu.health.is_lost() {
            gpu.settle();
            self.free.try_iter().for_each(drop);
        }
        // What is still out goes back to the pool from its callback.
    }
}

/// An upload staging area that is being filled.
pub(super) struct Area {
    buffer: Pooled<Buffer>,
    view: wgpu::BufferViewMut,
    copies: Vec<Slice>,
    used: usize,
}

impl Area {
    pub(super) fn open(buffer: Pooled<Buffer>) -> Result<Self, GpuError> {
        let view = raw(&buffer)
            .get_mapped_range_mut(..)
            .map_err(|error| GpuError::Internal {
                message: format!("an upload staging area: {error}"),
            })?;
        Ok(Self {
            buffer,
            view,
            copies: Vec::new(),
            used: 0,
        })
    }

    pub(super) fn room(&self) -> usize {
        self.view.len() - self.used
    }

    pub(super) fn put(&mut self, offset: u64, data: &[u8]) {
        self.view
            .slice(self.used..self.used + data.len())
            .copy_from_slice(data);
        self.used += data.len();
        self.copies.push(Slice {
            offset,
            bytes: data.len() as u64,
        });
    }

    /// What is to be copied, one behind the other, and out of which buffer; it is unmapped.
    pub(super) fn close(self) -> (Pooled<Buffer>, Vec<Slice>) {
        drop(self.view);
        raw(&self.buffer).unmap();
        (self.buffer, self.copies)
    }
}

/// The first bytes of a buffer that is mapped for reading; it is unmapped afterwards.
pub(super) fn copied(buffer: &wgpu::Buffer, bytes: u64) -> Result<Vec<u8>, String> {
    let copy = buffer
        .get_mapped_range(0..bytes)
        .map(|view| view.to_vec())
        .map_err(|error| error.to_string());
    buffer.unmap();
    copy
}

/// Cuts slices into pieces of at most `capacity` bytes; all but the last are full.
pub(super) fn cut(slices: &[Slice], capacity: u64) -> Vec<Vec<Slice>> {
    let mut pieces: Vec<Vec<Slice>> = Vec::new();
    let mut room = 0;
    for slice in slices {
        let Slice {
            mut offset,
            mut bytes,
        } = *slice;
        while bytes > 0 {
            if room == 0 {
                pieces.push(Vec::new());
                room = capacity;
            }
            let now = bytes.min(room);
            if let Some(piece) = pieces.last_mut() {
                piece.push(Slice { offset, bytes: now });
            }
            (offset, bytes, room) = (offset + now, bytes - now, room - now);
        }
    }
    pieces
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pieces_are_full_and_in_order() {
        let slices = [
            Slice { offset: 0, bytes: 12 },
            Slice {
                offset: 256,
                bytes: 8,
            },
        ];
        let slice = |offset, bytes| Slice { offset, bytes };
        let want = vec![
            vec![slice(0, 8)],
            vec![slice(8, 4), slice(256, 4)],
            vec![slice(260, 4)],
        ];
        assert_eq!(cut(&slices, 8), want);
        assert_eq!(cut(&slices, 64), vec![slices.to_vec()]);
        assert!(cut(&[], 8).is_empty());
    }
}
