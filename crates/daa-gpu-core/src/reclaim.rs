//! Giving device memory back: what is kept for reuse, images that are cold, and pages that are nearly empty.

use crate::backend::{Resident, Tally, count};
use crate::context::Shared;
use crate::error::{ErrorClass, GpuError};
use crate::pressure::{Reclaimable, Rung, pages_help, room_helps};
use crate::sync::atomic::{AtomicU64, Ordering};
use daa_base::Bytes;
use serde::{Deserialize, Serialize};
use std::time::Duration;

/// What [`crate::ComputeContext::reclaim`] came to.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[non_exhaustive]
pub struct Reclaimed {
    /// The rung that was taken.
    pub rung: Rung,
    /// How much less of the device's memory the pool reserves than before: given back to the driver. Other threads may
    /// have taken or given back memory meanwhile.
    pub bytes: Bytes,
    /// Bytes of images that moved, to the host or between pages. Room for others, even where no page fell free.
    pub moved: Bytes,
    /// Images that moved.
    pub images: u64,
    /// Images that would have moved, but were in use, failed, or found no room.
    pub skipped: u64,
}

/// What became of one image.
enum Outcome {
    Moved(Bytes),
    Skipped,
    /// There was nothing to move.
    Nothing,
}

impl Shared {
    pub(crate) fn reclaim(&self, rung: Rung, target: Bytes) -> Reclaimed {
        let mut reclaimed = Reclaimed {
            rung,
            bytes: Bytes::ZERO,
            moved: Bytes::ZERO,
            images: 0,
            skipped: 0,
        };
        if target == Bytes::ZERO || rung == Rung::Refuse || self.health.is_lost() {
            return reclaimed;
        }
        let before = self.pool.report().reserved;
        match rung {
            Rung::Spill => self.spill_cold(target, &mut reclaimed),
            Rung::Compact => self.compact(target, &mut reclaimed),
            Rung::Trim | Rung::Refuse => {}
        }
        self.pool.trim();
        self.backend.free_dropped();
        reclaimed.bytes = before.saturating_sub(self.pool.report().reserved);
        reclaimed
    }

    /// What rungs could give back at most.
    pub(crate) fn reclaimable(&self) -> Reclaimable {
        let report = self.pool.report();
        let idle = report.heap.as_ref().map_or(Bytes::ZERO, |heap| heap.idle);
        let room = self.room_on_host();
        let spill = self.images.coldest().into_iter().filter_map(|slot| {
            let held = slot.try_lock()?;
            let movable = held.as_ref()?.movable();
            (movable <= room).then_some(movable)
        });
        Reclaimable {
            trim: report.cached + idle,
            spill: spill.sum::<Bytes>().min(room),
            compact: self.pool.sparse_pages().into_iter().map(|(_, bytes)| bytes).sum(),
        }
    }

    /// Reclaiming waits that long for an image whose work is about to end, and skips it then. Nothing can be submitted
    /// to it meanwhile, so this is at most what is left of that work.
    fn patience(&self) -> Duration {
        const MOST: Duration = Duration::from_millis(250);
        MOST.min(self.config.step_deadline)
    }

    fn spill_cold(&self, target: Bytes, reclaimed: &mut Reclaimed) {
        for slot in self.images.coldest() {
            if reclaimed.moved >= target {
                break;
            }
            let outcome = slot.try_lock().map_or(Outcome::Skipped, |mut held| {
                held.as_mut().map_or(Outcome::Nothing, |resident| {
                    self.spill(resident.as_mut(), self.patience())
                })
            });
            reclaimed.add(&outcome);
        }
    }

    /// What may still be moved to the host.
    fn room_on_host(&self) -> Bytes {
        let on_host = Bytes(self.tally.on_host.load(Ordering::Relaxed));
        self.config.memory.max_spilled.saturating_sub(on_host)
    }

    /// Moves one image to the host, if that has room and the image is at rest within `patience`.
    fn spill(&self, resident: &mut dyn Resident, patience: Duration) -> Outcome {
        let movable = resident.movable();
        if movable == Bytes::ZERO {
            return Outcome::Nothing;
        }
        if movable > self.room_on_host() {
            return Outcome::Skipped;
        }
        let moved = resident.spill(patience);
        outcome(moved, &self.tally.spills, &self.tally.spilled_bytes)
    }

    /// Brings an image back that was moved to the host, in the place of colder ones if there is no room.
    pub(crate) fn bring_back(&self, resident: &mut dyn Resident) -> Result<(), GpuError> {
        let create = |usage, size| self.backend.create(usage, size);
        let mut restored = resident.restore(&create);
        // Only those that nobody is at are taken, and this image's slot is held by its owner, so no two wait for each
        // other here.
        for slot in self.images.coldest() {
            match &restored {
                Err(error) if error.class() == ErrorClass::OutOfMemory => {}
                _ => break,
            }
            let Some(mut held) = slot.try_lock() else { continue };
            let Some(other) = held.as_mut() else { continue };
            let outcome = self.spill(other.as_mut(), self.config.step_deadline);
            drop(held);
            if let Outcome::Moved(_) = outcome {
                self.watch.took(Rung::Spill);
                restored = resident.restore(&create);
            }
        }
        if restored.as_ref().is_err_and(pages_help) {
            self.watch.took(Rung::Compact);
            self.reclaim(Rung::Compact, Bytes(u64::MAX));
            restored = resident.restore(&create);
        }
        if restored.as_ref().is_err_and(room_helps) {
            self.watch.took(Rung::Refuse);
        }
        restored?;
        count(&self.tally.restores, 1);
        Ok(())
    }

    /// Empties the sparsest pages into others.
    fn compact(&self, target: Bytes, reclaimed: &mut Reclaimed) {
        // What is kept for reuse would hold its pages.
        self.pool.trim();
        let before = self.pool.report().reserved;
        let slots = self.images.coldest();
        for (page, _) in self.pool.sparse_pages() {
            if before.saturating_sub(self.pool.report().reserved) >= target {
                break;
            }
            for slot in &slots {
                let outcome = slot.try_lock().map_or(Outcome::Skipped, |mut held| {
                    held.as_mut().map_or(Outcome::Nothing, |resident| {
                        let tally: &Tally = &self.tally;
                        outcome(
                            resident.leave(page, self.patience()),
                            &tally.compactions,
                            &tally.compacted_bytes,
                        )
                    })
                });
                reclaimed.add(&outcome);
            }
            self.pool.trim();
        }
    }
}

fn outcome(moved: Result<Option<Bytes>, GpuError>, times: &AtomicU64, bytes: &AtomicU64) -> Outcome {
    match moved {
        Ok(Some(Bytes::ZERO)) => Outcome::Nothing,
        Ok(Some(moved)) => {
            count(times, 1);
            count(bytes, moved.get());
            Outcome::Moved(moved)
        }
        Ok(None) => Outcome::Skipped,
        Err(error) => {
            tracing::warn!(%error, "an image could not be moved");
            Outcome::Skipped
        }
    }
}

impl Reclaimed {
    fn add(&mut self, outcome: &Outcome) {
        match outcome {
            Outcome::Moved(bytes) => {
                self.moved = self.moved + *bytes;
                self.images += 1;
            }
            Outcome::Skipped => self.skipped += 1,
            Outcome::Nothing => {}
        }
    }
}
