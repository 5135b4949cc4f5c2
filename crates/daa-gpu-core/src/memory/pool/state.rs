//! What the pool's lock protects. Nothing here touches a device.

use super::{BufferUsage, PoolReport, TierReport};
use crate::error::MemoryError;
use crate::memory::tier::Tier;
use crate::tenant::TenantUsage;
use daa_base::Bytes;
use std::collections::{BTreeMap, VecDeque};

/// Longest name of a tenant, in bytes.
const MAX_NAME: usize = 256;

/// Most tenants at once.
const MAX_TENANTS: usize = 65_536;

/// A tenant's place in the pool's books.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(crate) struct TenantKey(u64);

#[derive(Debug)]
struct Account {
    name: String,
    budget: Bytes,
    in_use: Bytes,
    high_water: Bytes,
    closed: bool,
}

/// What a reservation is served with.
#[derive(Debug)]
pub(super) enum Found<B> {
    Kept(B),
    Nothing,
}

type Kind = (BufferUsage, Bytes);

/// The books.
#[derive(Debug)]
pub(super) struct State<B> {
    capacity: Bytes,
    max_cached: Bytes,
    tenants: BTreeMap<TenantKey, Account>,
    next_tenant: u64,
    /// Kept buffers of each kind with the time of their return, oldest first.
    kept: BTreeMap<Kind, VecDeque<(u64, B)>>,
    /// The same by time of return.
    by_age: BTreeMap<u64, Kind>,
    returns: u64,
    in_use: Bytes,
    cached: Bytes,
    high_water: Bytes,
    refusals: u64,
    tiers: [TierReport; 5],
    closed: bool,
}

impl<B> State<B> {
    pub(super) fn new(capacity: Bytes, max_cached: Bytes) -> Self {
        Self {
            capacity,
            max_cached,
            tenants: BTreeMap::new(),
            next_tenant: 0,
            kept: BTreeMap::new(),
            by_age: BTreeMap::new(),
            returns: 0,
            in_use: Bytes::ZERO,
            cached: Bytes::ZERO,
            high_water: Bytes::ZERO,
            refusals: 0,
            tiers: Tier::ALL.map(TierReport::new),
            closed: false,
        }
    }

    pub(super) const fn capacity(&self) -> Bytes {
        self.capacity
    }

    pub(super) fn open_tenant(&mut self, name: &str, budget: Bytes) -> Result<TenantKey, MemoryError> {
        if name.is_empty() || name.len() > MAX_NAME {
            return Err(MemoryError::Name {
                length: name.len(),
                limit: MAX_NAME,
            });
        }
        if self.tenants.len() >= MAX_TENANTS {
            return Err(MemoryError::TooManyTenants {
                count: self.tenants.len(),
                limit: MAX_TENANTS,
            });
        }
        let key = TenantKey(self.next_tenant);
        self.next_tenant += 1;
        let account = Account {
            name: name.to_owned(),
            budget,
            in_use: Bytes::ZERO,
            high_water: Bytes::ZERO,
            closed: false,
        };
        self.tenants.insert(key, account);
        Ok(key)
    }

    pub(super) fn close_tenant(&mut self, key: TenantKey) {
        if let Some(account) = self.tenants.get_mut(&key) {
            account.closed = true;
            if account.in_use == Bytes::ZERO {
                self.tenants.remove(&key);
            }
        }
    }

    pub(super) fn usage(&self, key: TenantKey) -> TenantUsage {
        self.tenants
            .get(&key)
            .map_or_else(TenantUsage::default, |account| TenantUsage {
                budget: account.budget,
                in_use: account.in_use,
                high_water: account.high_water,
            })
    }

    /// Whether the tenant's budget and the capacity hold `wanted` more, and a refusal counted otherwise.
    pub(super) fn check(&mut self, key: TenantKey, wanted: Bytes) -> Result<(), MemoryError> {
        let account = match self.tenants.get(&key) {
            Some(account) if !account.closed => account,
            _ => return Err(MemoryError::Gone),
        };
        let fits = |in_use: Bytes, limit: Bytes| in_use.checked_add(wanted).is_some_and(|sum| sum <= limit);
        let tenant = || account.name.clone();
        let refusal = if !fits(account.in_use, account.budget) {
            MemoryError::Budget {
                tenant: tenant(),
                wanted,
                in_use: account.in_use,
                budget: account.budget,
            }
        } else if !fits(self.in_use, self.capacity) {
            MemoryError::Capacity {
                tenant: tenant(),
                wanted,
                in_use: self.in_use,
                capacity: self.capacity,
            }
        } else {
            return Ok(());
        };
        self.refusals += 1;
        Err(refusal)
    }

    /// Charges `reserved` to the tenant, and serves it from what is kept if it can. Otherwise the caller makes the
    /// buffer and reports [`Self::created`] or [`Self::abandon`]. Also returns what had to make room.
    pub(super) fn reserve(
        &mut self,
        key: TenantKey,
        usage: BufferUsage,
        reserved: Bytes,
    ) -> Result<(Found<B>, Vec<B>), MemoryError> {
        self.check(key, reserved)?;
        let found = self.take_kept((usage, reserved));
        let evicted = match found {
            Found::Kept(_) => Vec::new(),
            // The check above made sure that this is no less than zero.
            Found::Nothing => self.trim_to(self.capacity.saturating_sub(self.in_use + reserved)),
        };
        self.in_use = self.in_use + reserved;
        let tier = &mut self.tiers[Tier::of(reserved).index()];
        tier.in_use = tier.in_use + reserved;
        let hit = matches!(found, Found::Kept(_));
        if hit {
            tier.hits += 1;
        } else {
            tier.misses += 1;
        }
        if let Some(account) = self.tenants.get_mut(&key) {
            account.in_use = account.in_use + reserved;
        }
        if hit {
            self.mark(key, reserved);
        }
        Ok((found, evicted))
    }

    /// The buffer of a reservation was made.
    pub(super) fn created(&mut self, key: TenantKey, reserved: Bytes) {
        self.tiers[Tier::of(reserved).index()].creations += 1;
        self.mark(key, reserved);
    }

    /// High-water marks move only for buffers that exist.
    fn mark(&mut self, key: TenantKey, reserved: Bytes) {
        self.high_water = self.high_water.max(self.in_use);
        let tier = &mut self.tiers[Tier::of(reserved).index()];
        tier.high_water = tier.high_water.max(tier.in_use);
        if let Some(account) = self.tenants.get_mut(&key) {
            account.high_water = account.high_water.max(account.in_use);
        }
    }

    /// A reservation ends without a buffer.
    pub(super) fn abandon(&mut self, key: TenantKey, reserved: Bytes) {
        self.in_use = self.in_use - reserved;
        let tier = &mut self.tiers[Tier::of(reserved).index()];
        tier.in_use = tier.in_use - reserved;
        if let Some(account) = self.tenants.get_mut(&key) {
            account.in_use = account.in_use - reserved;
            if account.closed && account.in_use == Bytes::ZERO {
                self.tenants.remove(&key);
            }
        }
    }

    /// A buffer comes back. Returns what is to be freed.
    pub(super) fn release(
        &mut self,
        key: TenantKey,
        usage: BufferUsage,
        reserved: Bytes,
        buffer: B,
    ) -> Vec<B> {
        self.abandon(key, reserved);
        if self.closed || reserved > self.max_cached {
            return vec![buffer];
        }
        self.returns += 1;
        self.kept
            .entry((usage, reserved))
            .or_default()
            .push_back((self.returns, buffer));
        self.by_age.insert(self.returns, (usage, reserved));
        self.cached = self.cached + reserved;
        let tier = &mut self.tiers[Tier::of(reserved).index()];
        tier.cached = tier.cached + reserved;
        self.trim_to(self.max_cached)
    }

    fn take_kept(&mut self, kind: Kind) -> Found<B> {
        // The one returned last is the likeliest to be still in a cache of the hardware.
        let Some((returned, buffer)) = self.kept.get_mut(&kind).and_then(VecDeque::pop_back) else {
            return Found::Nothing;
        };
        self.by_age.remove(&returned);
        self.uncache(kind);
        Found::Kept(buffer)
    }

    fn uncache(&mut self, kind: Kind) {
        let (_, reserved) = kind;
        self.cached = self.cached - reserved;
        let tier = &mut self.tiers[Tier::of(reserved).index()];
        tier.cached = tier.cached - reserved;
        if self.kept.get(&kind).is_some_and(VecDeque::is_empty) {
            self.kept.remove(&kind);
        }
    }

    /// Takes out the least recently returned buffers until at most `limit` bytes are kept.
    pub(super) fn trim_to(&mut self, limit: Bytes) -> Vec<B> {
        let mut freed = Vec::new();
        while self.cached > limit {
            let Some((_, kind)) = self.by_age.pop_first() else {
                break;
            };
            if let Some((_, buffer)) = self.kept.get_mut(&kind).and_then(VecDeque::pop_front) {
                freed.push(buffer);
            }
            self.uncache(kind);
            self.tiers[Tier::of(kind.1).index()].evictions += 1;
        }
        freed
    }

    pub(super) fn close(&mut self) -> Vec<B> {
        self.closed = true;
        self.trim_to(Bytes::ZERO)
    }

    pub(super) fn report(&self) -> PoolReport {
        PoolReport {
            capacity: self.capacity,
            in_use: self.in_use,
            cached: self.cached,
            high_water: self.high_water,
            tenants: self.tenants.len() as u64,
            refusals: self.refusals,
            tiers: self.tiers.to_vec(),
        }
    }
}
