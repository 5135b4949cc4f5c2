//! Whose leases end so that another request fits.

use super::books::{Books, Claim};
use super::grant::Desk;
use super::quantity::{Share, Sum};
use super::{Amount, EXACT_CANDIDATES, PreemptRule, Snapshot};
use daa_base::{LeaseId, OwnerId};
use std::cmp::Reverse;
use std::collections::BTreeMap;

/// With more candidates than [`EXACT_CANDIDATES`], so many devices are tried, those that need the fewest victims first.
const DEVICES_TRIED: usize = 8;

/// A running lease that its owner's nominal quota does not cover.
#[derive(Debug)]
pub(super) struct Victim {
    pub(super) lease: LeaseId,
    pub(super) owner: OwnerId,
    pub(super) claim: Claim,
    pub(super) ended: bool,
}

/// The leases that no nominal quota covers: the least important first, of equals the newest.
///
/// An owner with such a lease borrows, and still does after others of them have ended: what the quota covered before this
/// lease and this lease together exceed it.
pub(super) fn borrowed_leases(snapshot: &Snapshot, books: &Books) -> Vec<Victim> {
    let mut leases: Vec<_> = snapshot.leases.iter().collect();
    leases.sort_unstable_by_key(|(id, lease)| (Reverse(lease.priority), **id));
    let mut covered = vec![Sum::default(); books.accounts.len()];
    let mut borrowed = Vec::new();
    for (&id, lease) in leases {
        let owner = books.owner(lease.owner);
        let size = Sum::from(Amount::of(lease.bytes, lease.share));
        let with = covered[owner].plus(size);
        if with.within(books.accounts[owner].nominal) {
            covered[owner] = with;
        } else if let Some(device) = books.device(lease.device) {
            borrowed.push(Victim {
                lease: id,
                owner: lease.owner,
                claim: Claim { owner, device, size },
                ended: false,
            });
        }
    }
    borrowed.reverse();
    borrowed
}

/// The request that victims are looked for, and by which rule.
#[derive(Debug, Clone, Copy)]
struct Case {
    owner: usize,
    size: Sum,
    rule: PreemptRule,
    /// What its owner borrows with it.
    share: Share,
}

/// A set of victims, by their place in the order of victims, and the device that it makes room on.
type Choice = (usize, Vec<usize>);

impl Desk {
    /// Where the request could go if which leases ended. Leaves the books as they were.
    pub(super) fn victims_for(&mut self, at: usize, rule: PreemptRule) -> Option<Choice> {
        let item = self.item(at);
        let (owner, size) = (item.owner, item.size);
        let pool = self.books.accounts[owner].cohort?;
        if self.kept_quota(item).is_some() || self.books.ever_admits(owner, size).is_err() {
            return None;
        }
        let devices: Vec<usize> = self
            .books
            .candidates(&item.wanted, size)
            .filter(|&device| self.keeper(item, device).is_none())
            .collect();
        let candidates: Vec<usize> = (0..self.victims.len())
            .filter(|&victim| {
                let victim = &self.victims[victim];
                let theirs = victim.claim.owner;
                !victim.ended && theirs != owner && self.books.accounts[theirs].cohort == Some(pool)
            })
            .collect();
        let used = self.books.accounts[owner].used.plus(size);
        let case = Case {
            owner,
            size,
            rule,
            share: self.books.borrowed_share(owner, used),
        };
        let devices = self.promising(&case, &devices, &candidates);
        if candidates.len() <= EXACT_CANDIDATES {
            self.smallest(&case, &devices, &candidates)
        } else {
            devices
                .iter()
                .take(DEVICES_TRIED)
                .find_map(|&device| self.in_order(&case, device, &candidates).map(|set| (device, set)))
        }
    }

    /// The devices on which enough can be freed: those that need fewer victims first, then the preferred.
    ///
    /// Of the devices that need none, only the preferred one: what quota needs is the same for all of them.
    fn promising(&self, case: &Case, devices: &[usize], candidates: &[usize]) -> Vec<usize> {
        let mut local: BTreeMap<usize, Vec<Sum>> = BTreeMap::new();
        for &victim in candidates {
            let claim = self.victims[victim].claim;
            local.entry(claim.device).or_default().push(claim.size);
        }
        let mut ranked: Vec<_> = devices
            .iter()
            .filter_map(|&device| {
                let room = &self.books.rooms[device];
                let sizes = local.get(&device).map_or(&[][..], Vec::as_slice);
                let mut free = room.free();
                let mut count = 0;
                for &size in sizes {
                    if case.size.within(free) {
                        break;
                    }
                    free = free.plus(size);
                    count += 1;
                }
                let rank = (count, Reverse(room.free().bytes), device);
                case.size.within(free).then_some(rank)
            })
            .collect();
        ranked.sort_unstable();
        let roomy = ranked.iter().take_while(|(count, ..)| *count == 0).count();
        let others = ranked.iter().skip(roomy);
        let order = ranked.iter().take(roomy.min(1)).chain(others);
        order.map(|&(.., device)| device).collect()
    }

    /// A smallest set; of equals, the one whose victims come first in order; of equals, on the more promising device.
    /// Where going through the candidates in order finds nothing, nothing is looked for.
    fn smallest(&mut self, case: &Case, devices: &[usize], candidates: &[usize]) -> Option<Choice> {
        let mut best: Option<Choice> = None;
        for &device in devices {
            let Some(mut set) = self.in_order(case, device, candidates) else {
                continue;
            };
            let most = best
                .as_ref()
                .map_or(set.len(), |(_, best)| best.len().min(set.len()));
            for count in 0..=most {
                let mut chosen = Vec::with_capacity(count);
                if self.exactly(case, device, candidates, count, &mut chosen) {
                    set = chosen;
                    break;
                }
            }
            let better = best
                .as_ref()
                .is_none_or(|(_, best)| (set.len(), &set) < (best.len(), best));
            if better {
                best = Some((device, set));
            }
        }
        best
    }

    /// Whether `count` of the candidates, taken beside those of `chosen`, make the request fit; the first such set in
    /// order is in `chosen` then.
    fn exactly(
        &mut self,
        case: &Case,
        device: usize,
        candidates: &[usize],
        count: usize,
        chosen: &mut Vec<usize>,
    ) -> bool {
        if count == 0 {
            return self.fits(case, device);
        }
        for (at, &victim) in candidates.iter().enumerate() {
            if candidates.len() - at < count {
                return false;
            }
            if !self.may_take(case, victim) {
                continue;
            }
            let claim = self.victims[victim].claim;
            self.books.give(claim);
            chosen.push(victim);
            let found = self.exactly(case, device, &candidates[at + 1..], count - 1, chosen);
            self.books.take(claim);
            if found {
                return true;
            }
            chosen.pop();
        }
        false
    }

    /// The candidates in order until the request fits, less, in reverse order, those without which it still does.
    fn in_order(&mut self, case: &Case, device: usize, candidates: &[usize]) -> Option<Vec<usize>> {
        let mut set = Vec::new();
        for &victim in candidates {
            let lacks_room = !case.size.within(self.books.rooms[device].free());
            let lacks_quota = self.books.admits(case.owner, case.size).is_err();
            if !lacks_room && !lacks_quota {
                break;
            }
            let claim = self.victims[victim].claim;
            let helps = lacks_quota || claim.device == device;
            if helps && self.may_take(case, victim) {
                self.books.give(claim);
                set.push(victim);
            }
        }
        let found = self.fits(case, device);
        let mut needed = Vec::with_capacity(set.len());
        for &victim in set.iter().rev() {
            self.books.take(self.victims[victim].claim);
            if found && !self.fits(case, device) {
                self.books.give(self.victims[victim].claim);
                needed.push(victim);
            }
        }
        for &victim in &needed {
            self.books.take(self.victims[victim].claim);
        }
        needed.reverse();
        found.then_some(needed)
    }

    fn fits(&self, case: &Case, device: usize) -> bool {
        case.size.within(self.books.rooms[device].free()) && self.books.admits(case.owner, case.size).is_ok()
    }

    /// Whether the rule allows to take this lease next.
    fn may_take(&self, case: &Case, victim: usize) -> bool {
        let claim = self.victims[victim].claim;
        let account = &self.books.accounts[claim.owner];
        let left = account.used.minus(claim.size);
        match case.rule {
            PreemptRule::Reclaim => true,
            PreemptRule::FinalShare => case.share <= self.books.borrowed_share(claim.owner, left),
            PreemptRule::InitialShare => {
                let keeps = |used, nominal, left| used <= nominal || left >= nominal;
                let nominal = account.nominal;
                case.share < self.books.borrowed_share(claim.owner, account.used)
                    && keeps(account.used.bytes, nominal.bytes, left.bytes)
                    && keeps(
                        u128::from(account.used.share),
                        u128::from(nominal.share),
                        u128::from(left.share),
                    )
            }
        }
    }
}
