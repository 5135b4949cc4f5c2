//! Start-time fair queueing of turns whose length is known only afterwards.

use super::Weight;
use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::time::Duration;

/// Virtual time: a member's time on the device over its weight.
type Tag = u128;

/// What a nanosecond adds to the tag of a member of weight 1. Divided by a weight, its error is below one in a thousand
/// of a nanosecond of the heaviest member.
const NANO: Tag = 1_000_000;

/// Members that are gone but had more than their part, remembered at most; the ones with the least too much go first.
const REMEMBERED: usize = 4096;

/// Who a turn belongs to: a number that the caller gives, one for each tenant.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct MemberKey(pub u64);

/// The receipt for a turn that began; [`FairQueue::end`] takes it back.
#[derive(Debug, PartialEq, Eq)]
#[must_use = "a turn that is never ended counts as under way for ever"]
pub struct Turn {
    member: MemberKey,
    /// Turns are numbered from 1 in the order in which they began.
    number: u64,
    /// What the member was charged in advance.
    charged: Tag,
}

impl Turn {
    /// Whose turn it is.
    #[must_use]
    pub const fn member(&self) -> MemberKey {
        self.member
    }
}

/// Items of several members, handed out so that the time which each member's items take is in proportion to its
/// weight, as long as the member always has something waiting.
///
/// This is start-time fair queueing (Goyal, Vin, Cheng: "Start-time Fair Queueing: A Scheduling Algorithm for Integrated
/// Services Packet Switching Networks", SIGCOMM 1996): every member has a tag, its time on the device over its weight,
/// and the waiting member with the least tag goes next. Its choice needs no cost in advance, so turns may be charged
/// when they have ended, as the same authors do for processor time (Goyal, Guo, Vin: "A Hierarchical CPU Scheduler for
/// Multimedia Operating Systems", OSDI 1996). Two things are added:
///
/// - Several turns may be under way at once, as in SFQ(D) (Jin, Chase, Kaur: "Interposed Proportional Sharing for a
///   Storage Service Utility", SIGMETRICS 2004). A turn that begins is charged what turns of its member took lately, and
///   what it did take when it ends; otherwise a member could begin many before it is charged for the first.
/// - A member that comes back while no turn that began without it has ended was never idle: it keeps its tag, so that
///   waiting for one result before asking for the next does not cost it its part. What it keeps is bounded: it is never
///   further behind than one turn of its own and one of the member served last.
///
/// What holds, with one turn at a time: while two members both have items waiting, their times over their weights
/// differ by no more than one turn of the one over its weight plus one of the other over its weight. With D turns at a
/// time, by D + 1 times that. So every item is handed out after a bounded time, and a member that was idle gets no
/// credit for it.
///
/// Items of one member come out in the order in which they went in. Equal tags are served in the order of the keys.
/// Nothing depends on anything but the sequence of calls. Every operation takes O(log n) for n members with items
/// waiting or turns under way, save for items that leave ([`Self::take`]). Memory: these members, and up to 4096 that
/// had more than their part and are gone for now.
#[derive(Debug)]
pub struct FairQueue<T> {
    members: BTreeMap<MemberKey, Member<T>>,
    /// Members with items waiting, by tag.
    ready: BTreeSet<(Tag, MemberKey)>,
    /// Members without, but with turns under way, or that left so lately that they were not idle yet.
    present: BTreeSet<(Tag, MemberKey)>,
    /// Idle members whose tag is ahead of [`Self::now`]: they must not lose that by coming back.
    ahead: BTreeSet<(Tag, MemberKey)>,
    /// Who had nothing left, and how many turns had begun by then; oldest first.
    leaving: VecDeque<(u64, MemberKey)>,
    /// The virtual time of the queue: the tag with which the furthest turn began.
    now: Tag,
    /// What a turn of the member that set it costs.
    reach: Tag,
    begun: u64,
    /// The number of the latest turn that has ended.
    ended: u64,
    waiting: usize,
    under_way: usize,
    /// Nanoseconds of a turn of anybody, lately.
    typical: u64,
}

#[derive(Debug)]
struct Member<T> {
    weight: Weight,
    tag: Tag,
    items: VecDeque<T>,
    under_way: usize,
    place: Place,
    /// How many turns had begun when it last had nothing left.
    left_at: u64,
    /// Nanoseconds of its turns, lately.
    typical: Option<u64>,
}

/// Which set a member is in.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Place {
    Ready,
    Present,
    Ahead,
}

impl<T> Default for FairQueue<T> {
    fn default() -> Self {
        Self::new()
    }
}

impl<T> FairQueue<T> {
    /// An empty queue.
    #[must_use]
    pub const fn new() -> Self {
        Self {
            members: BTreeMap::new(),
            ready: BTreeSet::new(),
            present: BTreeSet::new(),
            ahead: BTreeSet::new(),
            leaving: VecDeque::new(),
            now: 0,
            reach: 0,
            begun: 0,
            ended: 0,
            waiting: 0,
            under_way: 0,
            typical: 0,
        }
    }

    /// Items waiting for their turn.
    #[must_use]
    pub const fn waiting(&self) -> usize {
        self.waiting
    }

    /// Turns that began and have not ended.
    #[must_use]
    pub const fn under_way(&self) -> usize {
        self.under_way
    }

    /// Members that are known at present.
    #[must_use]
    pub fn members(&self) -> usize {
        self.members.len()
    }

    /// Puts an item behind the other items of `key`. `weight` counts from the member's next turn on.
    pub fn push(&mut self, key: MemberKey, weight: Weight, item: T) {
        let (now, keep) = (self.now, self.reach);
        let member = self.members.entry(key).or_insert_with(|| Member {
            weight,
            tag: now,
            items: VecDeque::new(),
            under_way: 0,
            place: Place::Ahead,
            left_at: 0,
            typical: None,
        });
        member.weight = weight;
        self.waiting += 1;
        member.items.push_back(item);
        if member.items.len() > 1 {
            return;
        }
        let (old, place) = (member.tag, member.place);
        let floor = match place {
            Place::Present => now.saturating_sub(keep + member.charge(self.typical)),
            Place::Ready | Place::Ahead => now,
        };
        member.tag = old.max(floor);
        self.set(place).remove(&(old, key));
        self.settle(key);
    }

    /// The item of the member with the least tag; its turn begins.
    pub fn begin(&mut self) -> Option<(Turn, T)> {
        let &(tag, key) = self.ready.first()?;
        let typical = self.typical;
        let member = self.members.get_mut(&key)?;
        let item = member.items.pop_front()?;
        let charged = member.charge(typical);
        member.tag += charged;
        member.under_way += 1;
        self.waiting -= 1;
        self.under_way += 1;
        self.begun += 1;
        if tag >= self.now {
            (self.now, self.reach) = (tag, charged);
        }
        self.ready.pop_first();
        self.settle(key);
        self.forget_passed();
        let turn = Turn {
            member: key,
            number: self.begun,
            charged,
        };
        Some((turn, item))
    }

    /// Like [`Self::begin`], but nothing while a member with a lesser tag has a turn under way or has just had one, and
    /// may ask for the next any moment. For turns that begin before an earlier one has ended, only to save time: taking
    /// them from whoever happens to be there would give every member that has few items at a time the same part.
    pub fn begin_early(&mut self) -> Option<(Turn, T)> {
        match (self.ready.first(), self.present.first()) {
            (Some(ready), Some(present)) if present < ready => None,
            _ => self.begin(),
        }
    }

    /// Begins one more turn of a member that has one under way, without an item: of that one of `members` which has the
    /// least tag, if nobody waits who would still have less after it. For turns that several lanes can do together.
    pub fn begin_beside(&mut self, members: impl IntoIterator<Item = MemberKey>) -> Option<Turn> {
        let with_tag = |key| self.members.get(&key).map(|member| (member.tag, key));
        let (tag, key) = members.into_iter().filter_map(with_tag).min()?;
        let (first, typical) = (self.ready.first().copied(), self.typical);
        let member = self.members.get_mut(&key).filter(|member| member.under_way > 0)?;
        let charged = member.charge(typical);
        // What it has waiting itself comes before help.
        if first.is_some_and(|first| first <= (tag + charged, key)) {
            return None;
        }
        let place = member.place;
        member.tag += charged;
        member.under_way += 1;
        self.under_way += 1;
        self.begun += 1;
        self.set(place).remove(&(tag, key));
        self.settle(key);
        Some(Turn {
            member: key,
            number: self.begun,
            charged,
        })
    }

    /// A turn has ended, and took `cost`. A turn costs a nanosecond at least.
    pub fn end(&mut self, turn: Turn, cost: Duration) {
        let cost = u64::try_from(cost.as_nanos()).unwrap_or(u64::MAX).max(1);
        self.typical = smoothed((self.typical > 0).then_some(self.typical), cost);
        if let Some(member) = self.members.get_mut(&turn.member) {
            member.typical = Some(smoothed(member.typical, cost));
        }
        self.close(turn, cost);
    }

    /// A turn came to nothing: its item was refused. It costs nothing, and tells nothing about the turns to come.
    pub fn cancel(&mut self, turn: Turn) {
        self.close(turn, 0);
    }

    fn close(&mut self, turn: Turn, cost: u64) {
        self.under_way = self.under_way.saturating_sub(1);
        self.ended = self.ended.max(turn.number);
        let key = turn.member;
        if let Some(member) = self.members.get_mut(&key) {
            let (old, place) = (member.tag, member.place);
            member.tag = old.saturating_sub(turn.charged) + member.price(cost);
            member.under_way -= 1;
            if member.under_way == 0 && member.items.is_empty() {
                member.left_at = self.begun;
                self.leaving.push_back((self.begun, key));
            }
            self.set(place).remove(&(old, key));
            self.settle(key);
        }
        self.dismiss_idle();
        if self.under_way == 0 && self.waiting == 0 {
            // Nobody is ahead of anybody when a busy period ends: whoever is left shares in what comes.
            let furthest = self.present.last().max(self.ahead.last());
            self.now = self.now.max(furthest.map_or(0, |&(tag, _)| tag));
            self.forget_passed();
        }
    }

    /// Takes out the items of `key` that `which` picks, oldest first.
    pub fn take(&mut self, key: MemberKey, mut which: impl FnMut(&T) -> bool) -> Vec<T> {
        let Some(member) = self.members.get_mut(&key) else {
            return Vec::new();
        };
        let (taken, kept): (Vec<T>, Vec<T>) = member.items.drain(..).partition(|item| which(item));
        member.items = kept.into();
        self.waiting -= taken.len();
        if member.items.is_empty() && !taken.is_empty() {
            // Without a turn it is idle at once: whoever takes its items back is not waiting for a result.
            let place = if member.under_way > 0 {
                Place::Present
            } else {
                Place::Ahead
            };
            let (tag, old) = (member.tag, std::mem::replace(&mut member.place, place));
            self.set(old).remove(&(tag, key));
            self.set(place).insert((tag, key));
            self.forget_passed();
        }
        taken
    }

    /// Members that have been without anything since before a turn that has ended began are idle from now on.
    fn dismiss_idle(&mut self) {
        while let Some(&(left_at, key)) = self.leaving.front()
            && left_at < self.ended
        {
            self.leaving.pop_front();
            let Some(member) = self.members.get_mut(&key) else {
                continue;
            };
            if member.is_idle() && member.left_at == left_at && member.place == Place::Present {
                let tag = member.tag;
                member.place = Place::Ahead;
                self.present.remove(&(tag, key));
                self.ahead.insert((tag, key));
            }
        }
        self.forget_passed();
    }

    /// Forgets idle members that are no longer ahead: they come back as new ones do.
    fn forget_passed(&mut self) {
        while let Some(&(tag, key)) = self.ahead.first()
            && (tag <= self.now || self.ahead.len() > REMEMBERED)
        {
            self.ahead.pop_first();
            self.members.remove(&key);
        }
    }

    fn set(&mut self, place: Place) -> &mut BTreeSet<(Tag, MemberKey)> {
        match place {
            Place::Ready => &mut self.ready,
            Place::Present => &mut self.present,
            Place::Ahead => &mut self.ahead,
        }
    }

    /// Puts a member that is in no set into the one where it belongs.
    fn settle(&mut self, key: MemberKey) {
        if let Some(member) = self.members.get_mut(&key) {
            member.place = if member.items.is_empty() {
                Place::Present
            } else {
                Place::Ready
            };
            let (tag, place) = (member.tag, member.place);
            self.set(place).insert((tag, key));
        }
    }
}

impl<T> Member<T> {
    fn is_idle(&self) -> bool {
        self.items.is_empty() && self.under_way == 0
    }

    /// What `nanos` on the device add to its tag.
    fn price(&self, nanos: u64) -> Tag {
        Tag::from(nanos) * NANO / Tag::from(self.weight.get())
    }

    /// What its next turn is charged in advance; `anybody` is what turns take of whom nothing is known.
    fn charge(&self, anybody: u64) -> Tag {
        self.price(self.typical.unwrap_or(anybody).max(1))
    }
}

/// A running mean that a new cost enters with a quarter.
fn smoothed(before: Option<u64>, cost: u64) -> u64 {
    before.map_or(cost, |before| before - before / 4 + cost / 4)
}

#[cfg(test)]
mod tests;
