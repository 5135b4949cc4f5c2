//! What is free and what is used: devices, owners, and what cohorts lend.

use super::quantity::{Share, Sum};
use super::{Quota, Snapshot, Waiting, Why};
use daa_base::{DeviceId, OwnerId};
use std::cmp::Reverse;
use std::collections::BTreeMap;

/// A device.
#[derive(Debug)]
pub(super) struct Room {
    pub(super) id: DeviceId,
    pub(super) capacity: Sum,
    used: Sum,
}

impl Room {
    pub(super) const fn free(&self) -> Sum {
        self.capacity.minus(self.used)
    }
}

/// An owner.
#[derive(Debug)]
pub(super) struct Account {
    pub(super) quota: Quota,
    pub(super) cohort: Option<usize>,
    pub(super) nominal: Sum,
    /// What it does not lend.
    guaranteed: Sum,
    /// Most that it may use.
    limit: Sum,
    pub(super) used: Sum,
}

impl Account {
    fn new(quota: Quota, cohort: Option<usize>) -> Self {
        let nominal = Sum::from(quota.nominal);
        let lent = quota
            .lend_limit
            .map_or(nominal, |limit| Sum::from(limit).min(nominal));
        let limit = match (cohort, quota.borrow_limit) {
            (None, _) => nominal,
            (Some(_), Some(limit)) => nominal.plus(limit.into()),
            (Some(_), None) => Sum {
                bytes: u128::MAX,
                share: u64::MAX,
            },
        };
        Self {
            quota,
            cohort,
            nominal,
            guaranteed: nominal.minus(lent),
            limit,
            used: Sum::default(),
        }
    }

    /// What it has of its cohort's pool when it uses `used`.
    const fn pooled(&self, used: Sum) -> Sum {
        used.minus(self.guaranteed)
    }
}

/// What the owners of a cohort lend, and how much of it is in use.
#[derive(Debug, Default)]
struct Pool {
    lent: Sum,
    used: Sum,
}

/// What one lease or request takes: an owner's quota, on a device.
#[derive(Debug, Clone, Copy)]
pub(super) struct Claim {
    pub(super) owner: usize,
    pub(super) device: usize,
    pub(super) size: Sum,
}

#[derive(Debug)]
pub(super) struct Books {
    /// By device id.
    pub(super) rooms: Vec<Room>,
    pub(super) accounts: Vec<Account>,
    pools: Vec<Pool>,
    owner_index: BTreeMap<OwnerId, usize>,
    total: Sum,
}

impl Books {
    /// The books before any lease.
    pub(super) fn new(snapshot: &Snapshot) -> Self {
        let rooms: Vec<Room> = snapshot
            .devices
            .iter()
            .map(|(&id, device)| {
                let capacity = super::Amount::of(device.capacity, device.share).into();
                Room {
                    id,
                    capacity,
                    used: Sum::default(),
                }
            })
            .collect();
        let total = rooms
            .iter()
            .fold(Sum::default(), |sum, room| sum.plus(room.capacity));
        let mut books = Self {
            rooms,
            accounts: Vec::new(),
            pools: Vec::new(),
            owner_index: BTreeMap::new(),
            total,
        };
        let mut cohorts = BTreeMap::new();
        for (&id, &quota) in &snapshot.owners {
            let cohort = quota.cohort.map(|cohort| {
                *cohorts.entry(cohort).or_insert_with(|| {
                    books.pools.push(Pool::default());
                    books.pools.len() - 1
                })
            });
            let account = Account::new(quota, cohort);
            if let Some(pool) = cohort {
                books.pools[pool].lent = books.pools[pool].lent.plus(account.pooled(account.nominal));
            }
            books.owner_index.insert(id, books.accounts.len());
            books.accounts.push(account);
        }
        let strangers = snapshot.leases.values().map(|lease| lease.owner);
        for owner in strangers.chain(snapshot.requests.values().map(|request| request.owner)) {
            books.owner_index.entry(owner).or_insert_with(|| {
                books.accounts.push(Account::new(Quota::NONE, None));
                books.accounts.len() - 1
            });
        }
        books
    }

    pub(super) fn owner(&self, id: OwnerId) -> usize {
        // Every owner of a lease or request was entered by `new`.
        self.owner_index.get(&id).copied().unwrap_or_default()
    }

    pub(super) fn device(&self, id: DeviceId) -> Option<usize> {
        self.rooms.binary_search_by_key(&id, |room| room.id).ok()
    }

    pub(super) const fn pool_count(&self) -> usize {
        self.pools.len()
    }

    /// Books a lease, whether or not there is room.
    pub(super) fn take(&mut self, claim: Claim) {
        self.set_used(claim.owner, |used| used.plus(claim.size));
        let room = &mut self.rooms[claim.device];
        room.used = room.used.plus(claim.size);
    }

    /// Undoes [`Books::take`].
    pub(super) fn give(&mut self, claim: Claim) {
        self.set_used(claim.owner, |used| used.minus(claim.size));
        let room = &mut self.rooms[claim.device];
        room.used = room.used.minus(claim.size);
    }

    /// A lease on a device that is not listed uses quota all the same.
    pub(super) fn take_quota(&mut self, owner: usize, size: Sum) {
        self.set_used(owner, |used| used.plus(size));
    }

    fn set_used(&mut self, owner: usize, change: impl FnOnce(Sum) -> Sum) {
        let account = &mut self.accounts[owner];
        let before = account.pooled(account.used);
        account.used = change(account.used);
        let after = account.pooled(account.used);
        if let Some(pool) = account.cohort {
            let pool = &mut self.pools[pool];
            pool.used = pool.used.minus(before).plus(after);
        }
    }

    /// Whether `owner` would use more than its nominal quota.
    pub(super) fn borrows(&self, owner: usize, size: Sum) -> bool {
        let account = &self.accounts[owner];
        !account.used.plus(size).within(account.nominal)
    }

    /// Whether the quota of `owner` and of its cohort allow `size` more.
    pub(super) fn admits(&self, owner: usize, size: Sum) -> Result<(), Why> {
        let account = &self.accounts[owner];
        let used = account.used.plus(size);
        if !used.within(account.limit) {
            return Err(Why::QuotaUsed);
        }
        let Some(pool) = account.cohort.map(|pool| &self.pools[pool]) else {
            return Ok(());
        };
        let pooled = pool
            .used
            .minus(account.pooled(account.used))
            .plus(account.pooled(used));
        if pooled.within(pool.lent) {
            Ok(())
        } else {
            Err(Why::CohortUsed)
        }
    }

    /// Whether the quotas would allow `size` if nobody used anything.
    pub(super) fn ever_admits(&self, owner: usize, size: Sum) -> Result<(), Why> {
        let account = &self.accounts[owner];
        if !size.within(account.limit) {
            return Err(Why::QuotaUsed);
        }
        match account.cohort {
            Some(pool) if !account.pooled(size).within(self.pools[pool].lent) => Err(Why::CohortUsed),
            _ => Ok(()),
        }
    }

    /// Devices that could hold the request if they were empty.
    pub(super) fn candidates(&self, request: &Waiting, size: Sum) -> impl Iterator<Item = usize> + '_ {
        let range = match request.device {
            None => 0..self.rooms.len(),
            Some(only) => self.device(only).map_or(0..0, |at| at..at + 1),
        };
        range.filter(move |&at| size.within(self.rooms[at].capacity))
    }

    /// Of `devices`, the one to prefer: the most memory free, then the first.
    pub(super) fn preferred(&self, devices: impl Iterator<Item = usize>) -> Option<usize> {
        devices.max_by_key(|&at| (self.rooms[at].free().bytes, Reverse(at)))
    }

    /// The weighted dominant share of `owner` with `size` more.
    pub(super) fn share_with(&self, owner: usize, size: Sum) -> Share {
        let account = &self.accounts[owner];
        Share::of(account.used.plus(size), self.total, account.quota.weight)
    }

    /// The weighted dominant share of what `owner` uses above nominal, when it uses `used`.
    pub(super) fn borrowed_share(&self, owner: usize, used: Sum) -> Share {
        let account = &self.accounts[owner];
        Share::of(used.minus(account.nominal), self.total, account.quota.weight)
    }
}
