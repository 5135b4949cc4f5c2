//! Agents that can be added behind a shared reference while others hold references to the ones already there.

use crate::contract::DAAAgent;
use crate::error::{DAAError, DAAResult};
use std::collections::BTreeMap;
use std::sync::{Mutex, OnceLock, PoisonError};

/// Shelf `n` holds 2^n agents, so that no agent ever moves and references to it stay valid.
const SHELVES: usize = 20;

/// Places for agents, filled one after the other.
type Shelf = Box<[OnceLock<Box<dyn DAAAgent>>]>;

/// Every agent ever registered, and the place of the latest one of each identifier.
///
/// Agents that were replaced are kept until the table goes, since somebody may hold a reference to them.
#[derive(Default)]
pub(super) struct AgentTable {
    shelves: [OnceLock<Shelf>; SHELVES],
    places: Mutex<Places>,
}

#[derive(Default)]
struct Places {
    next: usize,
    by_id: BTreeMap<String, usize>,
}

/// Shelf and position on it.
fn locate(place: usize) -> (usize, usize) {
    let shelf = (place + 1).ilog2();
    (shelf as usize, place + 1 - (1 << shelf))
}

impl AgentTable {
    pub(super) fn insert(&self, agent: Box<dyn DAAAgent>) -> DAAResult<()> {
        let mut places = self.places.lock().unwrap_or_else(PoisonError::into_inner);
        let (shelf, position) = locate(places.next);
        let Some(shelf_cell) = self.shelves.get(shelf) else {
            return Err(DAAError::coordination(format!(
                "{} agents were registered so far, no more are allowed",
                places.next
            )));
        };
        let id = agent.id().to_owned();
        let shelf_slots = shelf_cell.get_or_init(|| (0..1_usize << shelf).map(|_| OnceLock::new()).collect());
        shelf_slots[position].get_or_init(|| agent);
        let place = places.next;
        places.next += 1;
        places.by_id.insert(id, place);
        Ok(())
    }

    pub(super) fn get(&self, id: &str) -> Option<&dyn DAAAgent> {
        let place = *self
            .places
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .by_id
            .get(id)?;
        let (shelf, position) = locate(place);
        Some(&**self.shelves[shelf].get()?[position].get()?)
    }

    /// The number of identifiers.
    pub(super) fn len(&self) -> usize {
        self.places
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .by_id
            .len()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn places_fill_one_shelf_after_the_other() {
        let places: Vec<_> = (0..8).map(locate).collect();
        assert_eq!(
            places,
            [(0, 0), (1, 0), (1, 1), (2, 0), (2, 1), (2, 2), (2, 3), (3, 0)]
        );
    }
}
