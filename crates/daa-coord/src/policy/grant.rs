//! The order of grants: what fits, one whole request at a time, by share.

use super::books::{Books, Claim};
use super::preempt::{Victim, borrowed_leases};
use super::quantity::{Share, Sum};
use super::{Amount, FairPreemption, Grant, Plan, PreemptRule, Preemption, Rules, Snapshot, Waiting, Why};
use crate::command::RequestId;
use daa_base::DeviceId;
use std::cmp::Reverse;
use std::collections::{BTreeMap, BTreeSet};

/// A request, with its owner's place in the books.
#[derive(Debug)]
pub(super) struct Item {
    pub(super) id: RequestId,
    pub(super) owner: usize,
    pub(super) wanted: Waiting,
    pub(super) size: Sum,
    granted: bool,
    why: Why,
}

/// What is kept free for an overdue request.
#[derive(Debug, Clone, Copy)]
struct Kept {
    request: RequestId,
    /// Requests within nominal quota do not mind a borrower's.
    borrows: bool,
}

/// Which requests a pass looks at.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Scope {
    Nominal,
    Borrowing,
    All,
}

type Shape = (Option<DeviceId>, u64, u16);

/// The requests of one owner that a pass has not looked at yet.
#[derive(Debug)]
struct Line {
    owner: usize,
    items: Vec<usize>,
    at: usize,
    /// A device that had room for the first of them.
    hint: Option<usize>,
    /// What did not fit in this pass, and why; as nothing is freed in it, it will not.
    failed: BTreeMap<Shape, Why>,
}

impl Line {
    fn head(&self) -> Option<usize> {
        self.items.get(self.at).copied()
    }

    const fn advance(&mut self) {
        self.at += 1;
        self.hint = None;
    }
}

/// Smaller goes first.
type Rank = (bool, Share, Share, Reverse<u8>, u64, RequestId);

/// A plan in the making.
#[derive(Debug)]
pub(super) struct Desk {
    pub(super) books: Books,
    /// Leases that no nominal quota covers, the first to go first.
    pub(super) victims: Vec<Victim>,
    rules: Rules,
    items: Vec<Item>,
    /// Items by owner, in the order in which the owner offers them.
    offers: Vec<Vec<usize>>,
    shut_devices: Vec<Option<Kept>>,
    shut_pools: Vec<Option<RequestId>>,
    shut_owners: Vec<Option<RequestId>>,
    plan: Plan,
}

impl Desk {
    pub(super) fn new(snapshot: &Snapshot, rules: Rules) -> Self {
        let mut books = Books::new(snapshot);
        for lease in snapshot.leases.values() {
            let owner = books.owner(lease.owner);
            let size = Sum::from(Amount::of(lease.bytes, lease.share));
            match books.device(lease.device) {
                Some(device) => books.take(Claim { owner, device, size }),
                None => books.take_quota(owner, size),
            }
        }
        let mut items: Vec<Item> = snapshot
            .requests
            .iter()
            .map(|(&id, &wanted)| Item {
                id,
                owner: books.owner(wanted.owner),
                wanted,
                size: Sum::from(Amount::of(wanted.bytes, wanted.share)),
                granted: false,
                why: Why::NoRoom,
            })
            .collect();
        items.sort_unstable_by_key(|item| (Reverse(item.wanted.priority), item.wanted.arrival, item.id));
        let mut offers = vec![Vec::new(); books.accounts.len()];
        for (at, item) in items.iter().enumerate() {
            offers[item.owner].push(at);
        }
        Self {
            victims: borrowed_leases(snapshot, &books),
            rules,
            items,
            offers,
            shut_devices: vec![None; books.rooms.len()],
            shut_pools: vec![None; books.pool_count()],
            shut_owners: vec![None; books.accounts.len()],
            plan: Plan::default(),
            books,
        }
    }

    /// Every round but the last ends a running lease, so there are finitely many.
    pub(super) fn run(mut self) -> Plan {
        self.serve_overdue();
        loop {
            self.fill(Scope::Nominal);
            while self.rules.reclaim && self.preempt_for(Scope::Nominal, &[PreemptRule::Reclaim]) {
                self.fill(Scope::Nominal);
            }
            self.fill(Scope::All);
            let fair: &[PreemptRule] = match self.rules.fair {
                FairPreemption::Off => &[],
                FairPreemption::FinalShare => &[PreemptRule::FinalShare],
                FairPreemption::FinalThenInitialShare => {
                    &[PreemptRule::FinalShare, PreemptRule::InitialShare]
                }
            };
            if fair.is_empty() || !self.preempt_for(Scope::Borrowing, fair) {
                break;
            }
        }
        let waiting = self.items.iter().filter(|item| !item.granted);
        self.plan.waiting = waiting.map(|item| (item.id, item.why)).collect();
        self.plan
    }

    /// Grants what fits until nothing does.
    fn fill(&mut self, scope: Scope) {
        let mut lines = self.lines();
        loop {
            for line in &mut lines {
                self.settle(line, scope);
            }
            let Some(line) = self.first(&mut lines) else {
                return;
            };
            let Some(at) = line.head() else { return };
            line.advance();
            match self.placement(at) {
                Ok(device) => self.grant(at, device, &[], PreemptRule::Reclaim),
                Err(why) => self.items[at].why = why,
            }
        }
    }

    /// Ends leases for requests that do not fit. Whether it ended any.
    fn preempt_for(&mut self, scope: Scope, rules: &[PreemptRule]) -> bool {
        let pools: BTreeSet<usize> = self
            .victims
            .iter()
            .filter(|victim| !victim.ended)
            .filter_map(|victim| self.books.accounts[victim.claim.owner].cohort)
            .collect();
        let mut lines = self.lines();
        lines.retain(|line| {
            let pool = self.books.accounts[line.owner].cohort;
            pool.is_some_and(|pool| pools.contains(&pool))
        });
        let mut failed = BTreeSet::new();
        let mut any = false;
        while let Some(line) = self.first(&mut lines) {
            let Some(at) = line.head() else { break };
            line.advance();
            let item = &self.items[at];
            let shape = (item.owner, shape(item));
            if !self.in_scope(at, scope) || failed.contains(&shape) {
                continue;
            }
            let found = rules.iter().find_map(|&rule| {
                self.victims_for(at, rule)
                    .map(|(device, set)| (device, set, rule))
            });
            if let Some((device, set, rule)) = found {
                any |= !set.is_empty();
                self.grant(at, device, &set, rule);
            } else if !self.items[at].wanted.overdue {
                failed.insert(shape);
            }
        }
        any
    }

    /// Overdue requests go first, by arrival; what a grantable one waits for is kept free.
    fn serve_overdue(&mut self) {
        let mut order: Vec<usize> = (0..self.items.len())
            .filter(|&at| self.items[at].wanted.overdue)
            .collect();
        order.sort_unstable_by_key(|&at| (self.items[at].wanted.arrival, self.items[at].id));
        for at in order {
            let nominal = !self.books.borrows(self.items[at].owner, self.items[at].size);
            match self.placement(at) {
                Ok(device) => self.grant(at, device, &[], PreemptRule::Reclaim),
                Err(why) => {
                    self.items[at].why = why;
                    let found = if nominal && self.rules.reclaim {
                        self.victims_for(at, PreemptRule::Reclaim)
                    } else {
                        None
                    };
                    match found {
                        Some((device, set)) => self.grant(at, device, &set, PreemptRule::Reclaim),
                        None => self.keep_free(at, why, !nominal),
                    }
                }
            }
        }
    }

    fn keep_free(&mut self, at: usize, why: Why, borrows: bool) {
        let Item {
            id,
            owner,
            wanted,
            size,
            ..
        } = self.items[at];
        if self.books.ever_admits(owner, size).is_err() {
            return;
        }
        match why {
            Why::NoRoom => {
                let devices: Vec<usize> = self.books.candidates(&wanted, size).collect();
                for device in devices {
                    self.shut_devices[device].get_or_insert(Kept { request: id, borrows });
                }
            }
            Why::QuotaUsed | Why::CohortUsed => {
                self.shut_owners[owner].get_or_insert(id);
                if let Some(pool) = self.books.accounts[owner].cohort {
                    self.shut_pools[pool].get_or_insert(id);
                }
            }
            Why::NoDevice | Why::KeptFree { .. } => {}
        }
    }

    fn lines(&self) -> Vec<Line> {
        let line = |(owner, items): (usize, &Vec<usize>)| Line {
            owner,
            items: items
                .iter()
                .copied()
                .filter(|&at| !self.items[at].granted)
                .collect(),
            at: 0,
            hint: None,
            failed: BTreeMap::new(),
        };
        let mut lines: Vec<Line> = self.offers.iter().enumerate().map(line).collect();
        lines.retain(|line| line.head().is_some());
        lines
    }

    fn in_scope(&self, at: usize, scope: Scope) -> bool {
        let item = &self.items[at];
        scope == Scope::All || self.books.borrows(item.owner, item.size) == (scope == Scope::Borrowing)
    }

    /// Moves on to the first request of the line that fits.
    fn settle(&mut self, line: &mut Line, scope: Scope) {
        while let Some(at) = line.head() {
            if line.hint.is_some_and(|device| self.still_fits(at, device)) && self.in_scope(at, scope) {
                return;
            }
            let shape = shape(&self.items[at]);
            if let Some(&why) = line.failed.get(&shape) {
                self.items[at].why = why;
            } else if self.in_scope(at, scope) {
                match self.placement(at) {
                    Ok(device) => {
                        line.hint = Some(device);
                        return;
                    }
                    Err(why) => {
                        self.items[at].why = why;
                        // What is kept free is kept from others of this size, but for the one it is kept for.
                        if !matches!(why, Why::KeptFree { .. }) {
                            line.failed.insert(shape, why);
                        }
                    }
                }
            }
            line.advance();
        }
    }

    /// The line whose first request goes first.
    fn first<'l>(&self, lines: &'l mut [Line]) -> Option<&'l mut Line> {
        lines
            .iter_mut()
            .filter_map(|line| {
                let rank = self.rank(line.owner, line.head()?);
                Some((rank, line))
            })
            .min_by_key(|(rank, _)| *rank)
            .map(|(_, line)| line)
    }

    fn rank(&self, owner: usize, at: usize) -> Rank {
        let item = &self.items[at];
        (
            self.books.borrows(owner, item.size),
            self.books.share_with(owner, item.size),
            self.books.share_with(owner, Sum::default()),
            Reverse(item.wanted.priority),
            item.wanted.arrival,
            item.id,
        )
    }

    fn still_fits(&self, at: usize, device: usize) -> bool {
        let item = &self.items[at];
        self.may_use(item) == Ok(())
            && item.size.within(self.books.rooms[device].free())
            && self.keeper(item, device).is_none()
    }

    /// Whether quotas allow the request, and nothing of them is kept for another.
    pub(super) fn may_use(&self, item: &Item) -> Result<(), Why> {
        self.books.admits(item.owner, item.size)?;
        self.kept_quota(item)
            .map_or(Ok(()), |request| Err(Why::KeptFree { request }))
    }

    /// The overdue request that quota is kept for, if this request would use of it.
    pub(super) fn kept_quota(&self, item: &Item) -> Option<RequestId> {
        let pool = self.books.accounts[item.owner].cohort;
        let lent = pool
            .and_then(|pool| self.shut_pools[pool])
            .filter(|_| self.books.borrows(item.owner, item.size));
        self.shut_owners[item.owner]
            .or(lent)
            .filter(|&request| request != item.id)
    }

    /// The overdue request that the device is kept for, if this request has to respect it.
    pub(super) fn keeper(&self, item: &Item, device: usize) -> Option<RequestId> {
        self.shut_devices[device]
            .filter(|kept| kept.request != item.id)
            .filter(|kept| !kept.borrows || self.books.borrows(item.owner, item.size))
            .map(|kept| kept.request)
    }

    /// The device that the request goes to now, or why there is none.
    fn placement(&self, at: usize) -> Result<usize, Why> {
        let item = &self.items[at];
        let candidates = || self.books.candidates(&item.wanted, item.size);
        if candidates().next().is_none() {
            return Err(Why::NoDevice);
        }
        self.may_use(item)?;
        let roomy = || candidates().filter(|&device| item.size.within(self.books.rooms[device].free()));
        let open = roomy().filter(|&device| self.keeper(item, device).is_none());
        self.books.preferred(open).ok_or_else(|| {
            roomy()
                .find_map(|device| self.keeper(item, device))
                .map_or(Why::NoRoom, |request| Why::KeptFree { request })
        })
    }

    pub(super) fn item(&self, at: usize) -> &Item {
        &self.items[at]
    }

    fn grant(&mut self, at: usize, device: usize, set: &[usize], rule: PreemptRule) {
        let request = self.items[at].id;
        let mut ended = Vec::with_capacity(set.len());
        for &victim in set {
            let victim = &mut self.victims[victim];
            victim.ended = true;
            self.books.give(victim.claim);
            ended.push(victim.lease);
            self.plan.preemptions.push(Preemption {
                lease: victim.lease,
                owner: victim.owner,
                request,
                rule,
            });
        }
        let item = &mut self.items[at];
        item.granted = true;
        self.books.take(Claim {
            owner: item.owner,
            device,
            size: item.size,
        });
        self.plan.grants.push(Grant {
            request,
            device: self.books.rooms[device].id,
            victims: ended,
        });
    }
}

const fn shape(item: &Item) -> Shape {
    (
        item.wanted.device,
        item.wanted.bytes.get(),
        item.wanted.share.get(),
    )
}
