//! The central part of the pool: who the tenants are, what they took in all, and what is kept for any of them.

use super::account::{Account, TenantKey};
use super::chunk::{Chunk, Spare};
use super::kind::Kind;
use super::marks::Marks;
use super::shelf::Shelf;
use super::{PoolReport, TierReport};
use crate::memory::tier::Tier;
use daa_base::Bytes;
use std::collections::BTreeMap;
use std::sync::Arc;

/// Of what is not yet promised to magazines, a new tenant's magazine gets one part in this many.
const MAGAZINE_SHARE: u64 = 8;

/// What the pool's own lock protects. Nothing here touches a device.
#[derive(Debug)]
pub(super) struct Centre<B> {
    pub(super) capacity: Bytes,
    max_cached: Bytes,
    pub(super) tenants: BTreeMap<TenantKey, Member<B>>,
    next_tenant: u64,
    /// What tenants hold and what is in their magazines.
    granted: Bytes,
    /// What all magazines may hold.
    allowances: Bytes,
    shelf: Shelf<B>,
    /// Sums over the tenants that are gone; only the counts.
    past: [TierReport; 5],
    past_refusals: u64,
    pub(super) closed: bool,
}

/// A tenant as the centre knows it.
#[derive(Debug)]
pub(super) struct Member<B> {
    pub(super) account: Arc<Account<B>>,
    allowance: Bytes,
}

impl<B> Centre<B> {
    pub(super) fn new(capacity: Bytes, max_cached: Bytes) -> Self {
        Self {
            capacity,
            max_cached,
            tenants: BTreeMap::new(),
            next_tenant: 0,
            granted: Bytes::ZERO,
            allowances: Bytes::ZERO,
            shelf: Shelf::new(),
            past: Tier::ALL.map(TierReport::new),
            past_refusals: 0,
            closed: false,
        }
    }

    /// Adds the tenant that `open` makes with its key and what its magazine may hold.
    pub(super) fn enter(
        &mut self,
        open: impl FnOnce(TenantKey, u64) -> Arc<Account<B>>,
        freed: &mut Vec<Chunk<B>>,
    ) -> Arc<Account<B>> {
        let key = TenantKey(self.next_tenant);
        self.next_tenant += 1;
        let allowance = Bytes((self.max_cached - self.allowances).get() / MAGAZINE_SHARE);
        let account = open(key, allowance.get());
        self.allowances = self.allowances + allowance;
        self.shelf.trim_to(self.shelf_limit(), freed);
        let member = Member {
            account: Arc::clone(&account),
            allowance,
        };
        self.tenants.insert(key, member);
        account
    }

    /// Takes back the magazine of a tenant that gets nothing more.
    pub(super) fn retire(&mut self, key: TenantKey, freed: &mut Vec<Chunk<B>>) {
        let Some(member) = self.tenants.get_mut(&key) else {
            return;
        };
        let allowance = std::mem::take(&mut member.allowance);
        let account = Arc::clone(&member.account);
        let mut books = account.lock();
        (books.closed, books.keeps) = (true, false);
        let spares = books.flush();
        drop(books);
        self.allowances = self.allowances - allowance;
        self.take_back(spares, freed);
    }

    /// Forgets a tenant that gets nothing more and holds nothing.
    pub(super) fn settle(&mut self, account: &Account<B>, marks: &Marks) {
        let books = account.lock();
        if !(books.closed && books.is_idle()) || self.tenants.remove(&account.key).is_none() {
            return;
        }
        marks.leave(None, books.high_water);
        self.past_refusals += books.refusals;
        for (past, tier) in self.past.iter_mut().zip(&books.tiers) {
            marks.leave(Some(tier.tier), tier.high_water);
            past.hits += tier.hits;
            past.misses += tier.misses;
            past.creations += tier.creations;
        }
    }

    fn shelf_limit(&self) -> Bytes {
        if self.closed {
            Bytes::ZERO
        } else {
            self.max_cached - self.allowances
        }
    }

    /// What leaves the books of a tenant, to be kept for any of them or freed.
    pub(super) fn take_back(&mut self, spares: Vec<Spare<B>>, freed: &mut Vec<Chunk<B>>) {
        let limit = self.shelf_limit();
        for spare in spares {
            self.granted = self.granted - spare.reserved;
            if spare.reserved > limit {
                freed.push(spare.chunk);
            } else {
                self.shelf.put(spare);
            }
        }
        self.shelf.trim_to(limit, freed);
    }

    /// Takes back what is in all magazines. All of them are held at once: nothing slips into one behind this.
    pub(super) fn flush(&mut self, freed: &mut Vec<Chunk<B>>) {
        let accounts: Vec<_> = self
            .tenants
            .values()
            .map(|member| Arc::clone(&member.account))
            .collect();
        let mut all: Vec<_> = accounts.iter().map(|account| account.lock()).collect();
        let spares: Vec<_> = all.iter_mut().flat_map(|books| books.flush()).collect();
        drop(all);
        self.take_back(spares, freed);
    }

    /// Whether `wanted` more fits; otherwise what is in use.
    pub(super) fn check(&mut self, wanted: Bytes, freed: &mut Vec<Chunk<B>>) -> Result<(), Bytes> {
        let fits =
            |granted: Bytes, capacity: Bytes| granted.checked_add(wanted).is_some_and(|sum| sum <= capacity);
        if fits(self.granted, self.capacity) {
            return Ok(());
        }
        self.flush(freed);
        if fits(self.granted, self.capacity) {
            Ok(())
        } else {
            Err(self.granted)
        }
    }

    /// Books `reserved` bytes. A kept buffer if there is one; else there is room for a new one.
    pub(super) fn grant(
        &mut self,
        kind: Kind,
        reserved: Bytes,
        freed: &mut Vec<Chunk<B>>,
    ) -> Result<Option<Chunk<B>>, Bytes> {
        self.check(reserved, freed)?;
        let kept = self.shelf.take(kind, reserved);
        self.granted = self.granted + reserved;
        // The check above made sure that this is no less than zero.
        self.shelf
            .trim_to(self.capacity.saturating_sub(self.granted), freed);
        Ok(kept)
    }

    /// A grant that came to nothing.
    pub(super) fn ungrant(&mut self, reserved: Bytes) {
        self.granted = self.granted - reserved;
    }

    /// Takes out everything that is kept.
    pub(super) fn trim(&mut self, freed: &mut Vec<Chunk<B>>) {
        self.flush(freed);
        self.shelf.trim_to(Bytes::ZERO, freed);
    }

    /// Keeps nothing from now on.
    pub(super) fn close(&mut self, freed: &mut Vec<Chunk<B>>) {
        self.closed = true;
        for member in self.tenants.values() {
            member.account.lock().keeps = false;
        }
        self.trim(freed);
    }

    pub(super) fn report(&self, marks: &Marks) -> PoolReport {
        let mut tiers = self.past;
        let mut refusals = self.past_refusals;
        for member in self.tenants.values() {
            let books = member.account.lock();
            refusals += books.refusals;
            for (sum, tier) in tiers.iter_mut().zip(&books.tiers) {
                sum.in_use = sum.in_use + tier.in_use;
                sum.cached = sum.cached + tier.cached;
                sum.hits += tier.hits;
                sum.misses += tier.misses;
                sum.creations += tier.creations;
            }
        }
        for tier in &mut tiers {
            let (cached, evictions) = self.shelf.tier(tier.tier);
            tier.cached = tier.cached + cached;
            tier.evictions = evictions;
            tier.high_water = marks.most(Some(tier.tier));
        }
        PoolReport {
            capacity: self.capacity,
            in_use: tiers.iter().map(|tier| tier.in_use).sum(),
            cached: tiers.iter().map(|tier| tier.cached).sum(),
            high_water: marks.most(None),
            tenants: self.tenants.len() as u64,
            refusals,
            tiers: tiers.to_vec(),
        }
    }
}
