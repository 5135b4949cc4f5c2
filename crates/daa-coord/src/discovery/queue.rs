//! Requests that wait, a place for each peer, served in turn.

use crate::keys::PublicKey;
use std::collections::{BTreeMap, VecDeque};

/// A peer's place is full, or there are too many peers. Holds what was not taken.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Full<T>(pub T);

/// Queues of peers that take turns: whatever others wait for, a peer's first item comes out after at most one item of
/// each other peer.
#[derive(Debug, Clone)]
pub struct FairQueue<T> {
    per_peer: usize,
    peers: usize,
    waiting: BTreeMap<PublicKey, VecDeque<T>>,
    /// Those with something waiting, in the order of their turns; each once.
    turns: VecDeque<PublicKey>,
}

impl<T> FairQueue<T> {
    /// A queue for at most `peers` peers with at most `per_peer` items each.
    #[must_use]
    pub const fn new(peers: usize, per_peer: usize) -> Self {
        Self {
            per_peer,
            peers,
            waiting: BTreeMap::new(),
            turns: VecDeque::new(),
        }
    }

    /// Puts an item behind the peer's others.
    ///
    /// # Errors
    /// [`Full`].
    pub fn push(&mut self, peer: PublicKey, item: T) -> Result<(), Full<T>> {
        if let Some(place) = self.waiting.get_mut(&peer) {
            if place.len() >= self.per_peer {
                return Err(Full(item));
            }
            place.push_back(item);
            return Ok(());
        }
        if self.waiting.len() >= self.peers || self.per_peer == 0 {
            return Err(Full(item));
        }
        self.waiting.insert(peer, VecDeque::from([item]));
        self.turns.push_back(peer);
        Ok(())
    }

    /// The first item of the peer whose turn it is.
    pub fn pop(&mut self) -> Option<(PublicKey, T)> {
        self.pop_of(|_| true)
    }

    /// The first item of the first peer in turn of those that `may` be served now; the others keep their turns.
    pub fn pop_of(&mut self, may: impl Fn(&PublicKey) -> bool) -> Option<(PublicKey, T)> {
        let at = self.turns.iter().position(may)?;
        let peer = self.turns.remove(at)?;
        let place = self.waiting.get_mut(&peer)?;
        let item = place.pop_front()?;
        if place.is_empty() {
            self.waiting.remove(&peer);
        } else {
            self.turns.push_back(peer);
        }
        Some((peer, item))
    }

    /// Takes everything out that waits for `peer`.
    pub fn remove(&mut self, peer: &PublicKey) -> VecDeque<T> {
        self.turns.retain(|other| other != peer);
        self.waiting.remove(peer).unwrap_or_default()
    }

    /// How many items of `peer` wait.
    #[must_use]
    pub fn of(&self, peer: &PublicKey) -> usize {
        self.waiting.get(peer).map_or(0, VecDeque::len)
    }

    /// Whether nothing waits.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.turns.is_empty()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    const fn key(n: u8) -> PublicKey {
        PublicKey([n; 32])
    }

    #[test]
    fn places_are_bounded_each_by_itself() {
        let mut queue = FairQueue::new(2, 3);
        for n in 0..3 {
            queue.push(key(1), n).expect("room");
        }
        assert_eq!(queue.push(key(1), 3), Err(Full(3)));
        queue.push(key(2), 4).expect("its own place");
        assert_eq!(queue.push(key(3), 5), Err(Full(5)), "too many peers");
        let order: Vec<_> = std::iter::from_fn(|| queue.pop()).collect();
        assert_eq!(order, [(key(1), 0), (key(2), 4), (key(1), 1), (key(1), 2)]);
        assert!(queue.is_empty());
        queue.push(key(3), 6).expect("room again");
        assert_eq!(queue.remove(&key(3)), [6]);
        assert_eq!(queue.pop(), None);
    }

    #[test]
    fn whoever_may_not_be_served_keeps_its_turn() {
        let mut queue = FairQueue::new(3, 3);
        for n in [1, 2, 3] {
            queue.push(key(n), n).expect("room");
        }
        assert_eq!(queue.pop_of(|peer| *peer != key(1)), Some((key(2), 2)));
        assert_eq!(queue.pop_of(|_| false), None);
        assert_eq!(queue.pop(), Some((key(1), 1)));
    }

    proptest! {
        #[test]
        fn a_first_item_waits_for_one_of_each_other_peer_at_most(
            steps in prop::collection::vec(prop_oneof![(0_u8..5).prop_map(Some), Just(None)], 0..300),
        ) {
            let mut queue = FairQueue::new(4, 6);
            let mut model: BTreeMap<PublicKey, VecDeque<usize>> = BTreeMap::new();
            // For each peer, how often others came out since its front item was first.
            let mut waited: BTreeMap<PublicKey, usize> = BTreeMap::new();
            for (at, step) in steps.into_iter().enumerate() {
                if let Some(n) = step {
                    let place = model.get(&key(n)).map_or(0, VecDeque::len);
                    let room = if place == 0 { model.len() < 4 } else { place < 6 };
                    prop_assert_eq!(queue.push(key(n), at).is_ok(), room);
                    if room { model.entry(key(n)).or_default().push_back(at); }
                } else if let Some((peer, item)) = queue.pop() {
                    let place = model.get_mut(&peer).expect("it waits");
                    prop_assert_eq!(place.pop_front(), Some(item), "in order within a peer");
                    if place.is_empty() { model.remove(&peer); }
                    waited.remove(&peer);
                    for other in model.keys().filter(|other| **other != peer) {
                        let count = waited.entry(*other).or_default();
                        *count += 1;
                        prop_assert!(*count <= 3, "one item of each of three others");
                    }
                } else {
                    prop_assert!(model.is_empty());
                }
            }
        }
    }
}
