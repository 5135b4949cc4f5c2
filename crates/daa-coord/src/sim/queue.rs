//! What happens next: events in the order of virtual time, and of their making where times are equal.

use std::cmp::Reverse;
use std::collections::BinaryHeap;

/// Virtual time in microseconds since the run began.
pub(crate) type Micros = u64;

/// Events that wait. More than this means that something feeds itself without end.
const LIMIT: usize = 1 << 20;

#[derive(Debug)]
struct Entry<E> {
    at: Micros,
    number: u64,
    event: E,
}

impl<E> PartialEq for Entry<E> {
    fn eq(&self, other: &Self) -> bool {
        (self.at, self.number) == (other.at, other.number)
    }
}

impl<E> Eq for Entry<E> {}

impl<E> PartialOrd for Entry<E> {
    fn partial_cmp(&self, other: &Self) -> Option<std::cmp::Ordering> {
        Some(self.cmp(other))
    }
}

impl<E> Ord for Entry<E> {
    fn cmp(&self, other: &Self) -> std::cmp::Ordering {
        (self.at, self.number).cmp(&(other.at, other.number))
    }
}

/// The events of one run.
#[derive(Debug)]
pub(super) struct Queue<E> {
    heap: BinaryHeap<Reverse<Entry<E>>>,
    now: Micros,
    made: u64,
}

impl<E> Queue<E> {
    pub(super) const fn new() -> Self {
        Self {
            heap: BinaryHeap::new(),
            now: 0,
            made: 0,
        }
    }

    /// When the event that was taken last happens.
    pub(super) const fn now(&self) -> Micros {
        self.now
    }

    /// Events made so far.
    pub(super) const fn made(&self) -> u64 {
        self.made
    }

    /// Whether so many events wait that the run cannot be right.
    pub(super) fn is_overfull(&self) -> bool {
        self.heap.len() > LIMIT
    }

    /// `event` happens at `at`, or now if that is past.
    pub(super) fn at(&mut self, at: Micros, event: E) {
        self.made += 1;
        self.heap.push(Reverse(Entry {
            at: at.max(self.now),
            number: self.made,
            event,
        }));
    }

    /// `event` happens `after` from now.
    pub(super) fn after(&mut self, after: Micros, event: E) {
        self.at(self.now.saturating_add(after), event);
    }

    /// The next event; time moves on to it.
    pub(super) fn pop(&mut self) -> Option<E> {
        let Reverse(entry) = self.heap.pop()?;
        self.now = entry.at;
        Some(entry.event)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn events_come_by_time_then_by_age_and_never_from_the_past() {
        let mut queue = Queue::new();
        queue.at(5, "b");
        queue.at(3, "a");
        queue.at(5, "c");
        assert_eq!(queue.pop(), Some("a"));
        queue.at(1, "late");
        assert_eq!((queue.pop(), queue.now()), (Some("late"), 3));
        queue.after(2, "d");
        assert_eq!(
            [queue.pop(), queue.pop(), queue.pop()],
            [Some("b"), Some("c"), Some("d")]
        );
        assert_eq!((queue.pop(), queue.now(), queue.made()), (None, 5, 5));
    }
}
