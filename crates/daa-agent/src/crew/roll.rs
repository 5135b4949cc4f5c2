//! What a run thinks of its nodes: who may get an order, who has to rest, who gets none any more.
//!
//! A node is believed in what it delivers. What it claims, to have places or to be full, costs a run at most what is bounded
//! here, whatever it says.

use crate::node::MAX_SLOTS;
use crate::work::Crowd;
use daa_coord::PublicKey;
use std::cmp::Reverse;
use std::collections::BTreeMap;
use std::time::Duration;

/// A node that does not answer for so long has lost its orders.
pub(super) const LOST_AFTER: Duration = Duration::from_secs(10);

/// Orders that a node may fail against the rules before it gets no more of this run.
const MAX_STRIKES: u32 = 3;

/// A node that is full is not asked for so long, and for longer once it has been full many times in a row.
const FULL_REST: [Duration; 2] = [Duration::from_secs(1), Duration::from_secs(4)];

/// From so many times in a row on a node's being full is told, and it rests longer.
const OFTEN_FULL: u32 = 8;

/// The rest of a node after the first order in a row that it lost; it doubles with each.
const FIRST_REST: Duration = Duration::from_secs(1);

/// The longest rest of a node that lost its orders.
const LONGEST_REST: Duration = Duration::from_secs(3600);

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Standing {
    /// Not ready for the job.
    New,
    Ready,
    /// It gets no orders.
    Out,
}

#[derive(Debug)]
struct Hand {
    standing: Standing,
    /// What it claims.
    slots: usize,
    used: usize,
    /// Orders that it delivered, halved whenever it loses one.
    earned: usize,
    strikes: u32,
    /// Orders lost since it last delivered one.
    lost: u32,
    /// Times it was full since it last took an order.
    full: u32,
    crowd: Option<Crowd>,
    /// Until when it is not asked, being full.
    full_until: Duration,
    /// Until when others are asked first.
    rest_until: Duration,
    /// When it answered last.
    heard: Duration,
}

impl Hand {
    /// Orders that it may have at a time: one to begin with, and one more for each that it delivered.
    fn allowed(&self) -> usize {
        self.slots.min(MAX_SLOTS).min(self.earned + 1)
    }

    fn may_take(&self, now: Duration) -> bool {
        self.standing == Standing::Ready && self.used < self.allowed() && self.full_until <= now
    }
}

/// What a look at a node changed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Change {
    Joined,
    Full(Crowd),
}

/// What is to be expected when nobody has a place.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Outlook {
    /// Nodes work for the run.
    AtWork,
    /// Nodes are there, and all are full.
    Full(Crowd),
    /// No node is ready.
    Alone,
}

/// The nodes of one run.
#[derive(Debug, Default)]
pub(super) struct Roll {
    hands: BTreeMap<PublicKey, Hand>,
}

impl Roll {
    /// `node` has answered, and says that it has `slots` places. Returns whether it is to be made ready.
    pub(super) fn here(&mut self, node: PublicKey, slots: u32, now: Duration) -> bool {
        let hand = self.hands.entry(node).or_insert(Hand {
            standing: Standing::New,
            slots: 0,
            used: 0,
            earned: 0,
            strikes: 0,
            lost: 0,
            full: 0,
            crowd: None,
            full_until: now,
            rest_until: now,
            heard: now,
        });
        hand.heard = now;
        hand.slots = usize::try_from(slots).unwrap_or(MAX_SLOTS);
        hand.standing != Standing::Out && slots > 0
    }

    /// `node` is ready for the job. Returns whether it was not before.
    pub(super) fn ready(&mut self, node: &PublicKey) -> Option<Change> {
        let hand = self.hands.get_mut(node)?;
        if hand.standing != Standing::New {
            return None;
        }
        (hand.standing, hand.crowd) = (Standing::Ready, None);
        Some(Change::Joined)
    }

    /// `node` is not ready for the job yet.
    pub(super) fn unready(&mut self, node: &PublicKey) {
        if let Some(hand) = self.hands.get_mut(node)
            && hand.standing == Standing::Ready
        {
            hand.standing = Standing::New;
        }
    }

    /// `node` does not take the job at all. Returns whether that is news.
    pub(super) fn refused(&mut self, node: &PublicKey) -> bool {
        let hand = self.hands.get_mut(node);
        hand.is_some_and(|hand| std::mem::replace(&mut hand.standing, Standing::Out) != Standing::Out)
    }

    /// `node` has no room for the job, when it is not known there yet. Returns what is to be told.
    pub(super) fn no_room(&mut self, node: &PublicKey, why: Crowd) -> Option<Change> {
        let hand = self.hands.get_mut(node)?;
        if hand.standing != Standing::Out {
            hand.standing = Standing::New;
        }
        (hand.crowd.replace(why) != Some(why)).then_some(Change::Full(why))
    }

    /// `node` did not take an order for now. Returns what is to be told.
    pub(super) fn full(&mut self, node: &PublicKey, why: Crowd, now: Duration) -> Option<Change> {
        let hand = self.hands.get_mut(node)?;
        hand.full = hand.full.saturating_add(1);
        hand.crowd = Some(why);
        hand.full_until = now + FULL_REST[usize::from(hand.full >= OFTEN_FULL)];
        (hand.full == OFTEN_FULL).then_some(Change::Full(why))
    }

    /// `node` has taken an order.
    pub(super) fn took(&mut self, node: &PublicKey) {
        if let Some(hand) = self.hands.get_mut(node) {
            (hand.full, hand.crowd) = (0, None);
        }
    }

    /// `node` has delivered an order as it should.
    pub(super) fn delivered(&mut self, node: &PublicKey) {
        if let Some(hand) = self.hands.get_mut(node) {
            hand.lost = 0;
            hand.earned = (hand.earned + 1).min(MAX_SLOTS);
        }
    }

    /// `node` has lost an order, on which `wasted` was spent. `blame`: it broke a rule.
    pub(super) fn lost(&mut self, node: &PublicKey, blame: bool, wasted: Duration, now: Duration) {
        let Some(hand) = self.hands.get_mut(node) else {
            return;
        };
        hand.strikes += u32::from(blame);
        hand.earned /= 2;
        let rest = FIRST_REST.saturating_mul(1 << hand.lost.min(16)).max(wasted);
        hand.lost = hand.lost.saturating_add(1);
        hand.rest_until = hand.rest_until.max(now + rest.min(LONGEST_REST));
        if hand.strikes >= MAX_STRIKES {
            hand.standing = Standing::Out;
        } else if hand.standing == Standing::Ready {
            // It is asked anew whether it is ready before it gets another.
            hand.standing = Standing::New;
        }
    }

    /// The nodes that were ready and have fallen silent, which are ready no more.
    pub(super) fn silent(&mut self, now: Duration) -> Vec<PublicKey> {
        let mut silent = Vec::new();
        for (node, hand) in &mut self.hands {
            let is_silent = now.saturating_sub(hand.heard) >= LOST_AFTER;
            if is_silent && hand.standing == Standing::Ready {
                hand.standing = Standing::New;
                silent.push(*node);
            }
        }
        silent
    }

    /// A place at the node that is owed most: one that has not just lost orders, with the most free places of those that it
    /// earned. Nodes that rest are asked when no other node is ready, first the one that has rested longest.
    pub(super) fn take(&mut self, now: Duration) -> Option<PublicKey> {
        let is_rested = |hand: &Hand| hand.rest_until <= now;
        let is_ready = |hand: &Hand| hand.standing == Standing::Ready;
        let anybody_rested = self.hands.values().any(|hand| is_ready(hand) && is_rested(hand));
        let may = |hand: &Hand| {
            let rested = match anybody_rested {
                true => is_rested(hand),
                false => hand.used == 0,
            };
            hand.may_take(now) && rested
        };
        let (&node, hand) = self
            .hands
            .iter_mut()
            .filter(|(_, hand)| may(hand))
            .max_by_key(|(_, hand)| {
                let until = hand.rest_until.max(now);
                (Reverse(until), hand.allowed() - hand.used, hand.earned)
            })?;
        hand.used += 1;
        Some(node)
    }

    /// A place is free again.
    pub(super) fn give_back(&mut self, node: &PublicKey) {
        if let Some(hand) = self.hands.get_mut(node) {
            hand.used = hand.used.saturating_sub(1);
        }
    }

    /// Orders that `node` says it takes at a time.
    pub(super) fn slots(&self, node: &PublicKey) -> usize {
        self.hands
            .get(node)
            .map_or(1, |hand| hand.slots.clamp(1, MAX_SLOTS))
    }

    /// Whether `node` has not answered for too long.
    pub(super) fn is_silent(&self, node: &PublicKey, now: Duration) -> bool {
        let hand = self.hands.get(node);
        hand.is_none_or(|hand| now.saturating_sub(hand.heard) >= LOST_AFTER)
    }

    /// What is to be expected when nobody has a place.
    pub(super) fn outlook(&self) -> Outlook {
        if self.hands.values().any(|hand| hand.used > 0) {
            return Outlook::AtWork;
        }
        let there = self.hands.values().filter(|hand| hand.standing != Standing::Out);
        let crowd = there.filter_map(|hand| hand.crowd).next();
        crowd.map_or(Outlook::Alone, Outlook::Full)
    }

    /// All nodes that answered.
    pub(super) fn nodes(&self) -> Vec<PublicKey> {
        self.hands.keys().copied().collect()
    }
}

#[cfg(test)]
mod tests;
