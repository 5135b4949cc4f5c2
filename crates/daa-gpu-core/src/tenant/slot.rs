//! Where loaded images are held, and which of them are cold.

use crate::backend::Resident;
use crate::sync::atomic::{AtomicU64, Ordering};
use crate::sync::{Arc, Mutex, MutexGuard, PoisonError, TryLockError, Weak};

/// Holds a resident image until either its owner or its tenant goes.
#[derive(Debug)]
pub(crate) struct Slot {
    resident: Mutex<Option<Box<dyn Resident>>>,
    /// When it was last submitted to, in submissions of the context.
    last_used: AtomicU64,
}

/// An image that its owner does not use at the moment, or that nobody else may use.
pub(crate) type Held<'a> = MutexGuard<'a, Option<Box<dyn Resident>>>;

impl Slot {
    pub(super) fn lock(&self) -> Held<'_> {
        self.resident.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The image, unless somebody is at it.
    pub(crate) fn try_lock(&self) -> Option<Held<'_>> {
        match self.resident.try_lock() {
            Ok(held) => Some(held),
            Err(TryLockError::Poisoned(held)) => Some(held.into_inner()),
            Err(TryLockError::WouldBlock) => None,
        }
    }

    pub(super) fn clear(&self) {
        let resident = self.lock().take();
        drop(resident);
    }
}

/// The loaded images of a context.
#[derive(Debug, Default)]
pub(crate) struct Images {
    slots: Mutex<Vec<Weak<Slot>>>,
    submissions: AtomicU64,
}

impl Images {
    /// Takes a loaded image in.
    pub(super) fn enter(&self, resident: Box<dyn Resident>) -> Arc<Slot> {
        let slot = Arc::new(Slot {
            resident: Mutex::new(Some(resident)),
            last_used: AtomicU64::new(0),
        });
        self.touch(&slot);
        let mut slots = self.slots.lock().unwrap_or_else(PoisonError::into_inner);
        if slots.len() == slots.capacity() {
            slots.retain(|slot| slot.strong_count() > 0);
        }
        slots.push(Arc::downgrade(&slot));
        slot
    }

    /// The image is being used.
    pub(super) fn touch(&self, slot: &Slot) {
        let now = self.submissions.fetch_add(1, Ordering::Relaxed);
        slot.last_used.store(now, Ordering::Relaxed);
    }

    /// All images, the least recently used first.
    pub(crate) fn coldest(&self) -> Vec<Arc<Slot>> {
        let slots = self.slots.lock().unwrap_or_else(PoisonError::into_inner);
        let mut slots: Vec<_> = slots.iter().filter_map(Weak::upgrade).collect();
        slots.sort_by_cached_key(|slot| slot.last_used.load(Ordering::Relaxed));
        slots
    }
}
