//! The central part of the pool: who the tenants are, what they took in all, and what is kept for any of them.

use super::account::{Account, TenantKey};
use super::chunk::{Chunk, Spare};
use super::kind::Kind;
use super::marks::Marks;
use super::paging::{Freed, Missing, Paging, Placed};
use super::shelf::Shelf;
use super::{PoolReport, TierReport};
use crate::config::MemoryConfig;
use crate::memory::heap::{Block, NewPage, PageId, TierLimit};
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
    /// What pages and buffers may take together, on loan or not: what the device has, where that is known.
    memory: Bytes,
    max_cached: Bytes,
    pub(super) tenants: BTreeMap<TenantKey, Member<B>>,
    next_tenant: u64,
    /// What tenants hold and what is in their magazines.
    granted: Bytes,
    granted_of: [Bytes; 5],
    limits: [TierLimit; 5],
    /// Of `granted`, what lies in pages.
    parts: Bytes,
    /// What all magazines may hold.
    allowances: Bytes,
    paging: Option<Paging<B>>,
    shelf: Shelf<B>,
    /// Sums over the tenants that are gone; only the counts.
    past: [TierReport; 5],
    past_refusals: u64,
    pub(super) closed: bool,
}

/// Why nothing more is granted.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Refused {
    pub(super) by: Limit,
    pub(super) in_use: Bytes,
    pub(super) limit: Bytes,
}

/// Which limit is reached.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Limit {
    /// What loans may sum up to.
    Capacity,
    /// What loans of a tier may.
    Tier(Tier),
    /// What pages and buffers may.
    Device,
}

/// Where granted bytes come from.
#[derive(Debug)]
pub(super) enum Grant<B> {
    Kept(Chunk<B>),
    /// A page has to be made first.
    Page(Missing),
    /// A buffer of its own has to be made.
    Whole,
}

fn fits(in_use: Bytes, wanted: Bytes, limit: Bytes) -> bool {
    in_use.checked_add(wanted).is_some_and(|sum| sum <= limit)
}

/// A tenant as the centre knows it.
#[derive(Debug)]
pub(super) struct Member<B> {
    pub(super) account: Arc<Account<B>>,
    allowance: Bytes,
}

impl<B> Centre<B> {
    pub(super) fn new(
        capacity: Bytes,
        config: &MemoryConfig,
        paging: Option<Paging<B>>,
        memory: Option<Bytes>,
    ) -> Self {
        Self {
            capacity,
            memory: memory.unwrap_or(Bytes(u64::MAX)),
            max_cached: config.max_cached.min(capacity),
            tenants: BTreeMap::new(),
            next_tenant: 0,
            granted: Bytes::ZERO,
            granted_of: [Bytes::ZERO; 5],
            limits: config.tiers,
            parts: Bytes::ZERO,
            paging,
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
        freed: &mut Vec<Freed<B>>,
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
    pub(super) fn retire(&mut self, key: TenantKey, freed: &mut Vec<Freed<B>>) {
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
            past.count(tier);
        }
    }

    fn shelf_limit(&self) -> Bytes {
        if self.closed {
            Bytes::ZERO
        } else {
            self.max_cached - self.allowances
        }
    }

    /// Takes back what is on its way here.
    pub(super) fn fetch(&mut self, account: &Account<B>, freed: &mut Vec<Freed<B>>) {
        let spares = account.lock().fetch();
        self.take_back(spares, freed);
    }

    /// What leaves the books of a tenant, to be kept for any of them or freed.
    fn take_back(&mut self, spares: Vec<Spare<B>>, freed: &mut Vec<Freed<B>>) {
        let limit = self.shelf_limit();
        for Spare {
            kind,
            reserved,
            chunk,
        } in spares
        {
            self.ungrant(reserved);
            match (chunk, &mut self.paging) {
                (Chunk::Part { page, block, .. }, Some(paging)) => {
                    self.parts = self.parts - reserved;
                    paging.free(block, freed);
                    freed.push(Freed::Page(page));
                }
                // Where there are pages, they keep what has a colour.
                (chunk, paging) if reserved <= limit && (paging.is_none() || kind.colour().is_none()) => {
                    self.shelf.put(Spare {
                        kind,
                        reserved,
                        chunk,
                    });
                }
                (chunk, _) => freed.push(Freed::Chunk(chunk)),
            }
        }
        self.shelf.trim_to(limit, freed);
        if self.closed {
            self.trim_pages(freed);
        }
    }

    fn trim_pages(&mut self, freed: &mut Vec<Freed<B>>) {
        if let Some(paging) = &mut self.paging {
            paging.trim(freed);
        }
    }

    /// Takes back what is in all magazines or on its way here. All accounts are held at once: nothing slips into one
    /// behind this.
    pub(super) fn flush(&mut self, freed: &mut Vec<Freed<B>>) {
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

    /// Whether `wanted` more fits.
    pub(super) fn check(&mut self, wanted: Bytes, freed: &mut Vec<Freed<B>>) -> Result<(), Refused> {
        if !fits(self.granted, wanted, self.capacity) {
            self.flush(freed);
        }
        if fits(self.granted, wanted, self.capacity) {
            return Ok(());
        }
        Err(Refused {
            by: Limit::Capacity,
            in_use: self.granted,
            limit: self.capacity,
        })
    }

    fn check_tier(&mut self, reserved: Bytes, freed: &mut Vec<Freed<B>>) -> Result<(), Refused> {
        let tier = Tier::of(reserved);
        let limit = self.limits[tier.index()].max_in_use;
        if !fits(self.granted_of[tier.index()], reserved, limit) {
            self.flush(freed);
        }
        let in_use = self.granted_of[tier.index()];
        if fits(in_use, reserved, limit) {
            return Ok(());
        }
        Err(Refused {
            by: Limit::Tier(tier),
            in_use,
            limit,
        })
    }

    /// Books `reserved` bytes, and says where they come from.
    pub(super) fn grant(
        &mut self,
        kind: Kind,
        reserved: Bytes,
        freed: &mut Vec<Freed<B>>,
    ) -> Result<Grant<B>, Refused> {
        self.check(reserved, freed)?;
        self.check_tier(reserved, freed)?;
        let tier = &mut self.granted_of[Tier::of(reserved).index()];
        *tier = *tier + reserved;
        self.granted = self.granted + reserved;
        let placed = self.place(kind, reserved, freed);
        // The check above made sure that this is no less than zero.
        self.shelf
            .trim_to(self.capacity.saturating_sub(self.granted), freed);
        let over = self.reserved().saturating_sub(self.memory);
        self.shelf.trim_to(self.shelf.bytes().saturating_sub(over), freed);
        if placed.is_none() && self.reserved() > self.memory {
            self.trim_pages(freed);
        }
        match placed {
            Some(grant) => Ok(grant),
            None if self.reserved() <= self.memory => Ok(Grant::Whole),
            None => {
                self.ungrant(reserved);
                Err(Refused {
                    by: Limit::Device,
                    in_use: self.reserved(),
                    limit: self.memory,
                })
            }
        }
    }

    /// Where booked bytes come from; `None` if nothing kept serves them, nor a page.
    fn place(&mut self, kind: Kind, reserved: Bytes, freed: &mut Vec<Freed<B>>) -> Option<Grant<B>> {
        let (Some(paging), Some(colour)) = (&mut self.paging, kind.colour()) else {
            return self.shelf.take(kind, reserved).map(Grant::Kept);
        };
        // What is on the shelf makes way for a page.
        let whole = self.granted - self.parts - reserved;
        paging.set_ceiling(self.memory.saturating_sub(whole));
        let placed = paging.place(colour, reserved, freed)?;
        self.parts = self.parts + reserved;
        Some(match placed {
            Placed::Ready(chunk) => Grant::Kept(chunk),
            Placed::Missing(missing) => Grant::Page(missing),
        })
    }

    /// Pages for what tiers want made ahead.
    pub(super) fn prepare(&mut self) -> Result<Vec<(NewPage, Tier)>, Tier> {
        self.paging
            .as_mut()
            .map_or_else(|| Ok(Vec::new()), Paging::prepare)
    }

    /// One of those is there.
    pub(super) fn prepared(&mut self, page: NewPage, buffer: B) {
        if let Some(paging) = &mut self.paging {
            paging.prepared(page, buffer);
        }
    }

    /// A grant that came to nothing.
    pub(super) fn ungrant(&mut self, reserved: Bytes) {
        self.granted = self.granted - reserved;
        let tier = &mut self.granted_of[Tier::of(reserved).index()];
        *tier = *tier - reserved;
    }

    /// The page of a grant was made.
    pub(super) fn made(
        &mut self,
        missing: Missing,
        buffer: B,
        freed: &mut Vec<Freed<B>>,
    ) -> Option<Chunk<B>> {
        self.paging.as_mut()?.made(missing, buffer, freed)
    }

    /// The page of a grant could not be made. What is left is the grant, for a buffer of its own.
    pub(super) fn failed(&mut self, missing: Missing, reserved: Bytes) -> Option<Chunk<B>> {
        let chunk = self.paging.as_mut()?.failed(missing);
        if chunk.is_none() {
            self.parts = self.parts - reserved;
        }
        chunk
    }

    pub(super) fn elsewhere(&mut self, block: Block) -> Option<Chunk<B>> {
        self.paging.as_mut()?.elsewhere(block)
    }

    pub(super) fn leave(&mut self, chunk: Chunk<B>, freed: &mut Vec<Freed<B>>) {
        if let (Chunk::Part { block, .. }, Some(paging)) = (&chunk, &mut self.paging) {
            paging.free(*block, freed);
        }
        freed.push(Freed::Chunk(chunk));
    }

    pub(super) fn sparse_pages(&self) -> Vec<(PageId, Bytes)> {
        self.paging.as_ref().map_or_else(Vec::new, Paging::sparse_pages)
    }

    /// What pages and buffers take, on loan or not.
    fn reserved(&self) -> Bytes {
        let pages = self.paging.as_ref().map_or(Bytes::ZERO, Paging::reserved);
        pages + (self.granted - self.parts) + self.shelf.bytes()
    }

    /// Takes out everything that is kept.
    pub(super) fn trim(&mut self, freed: &mut Vec<Freed<B>>) {
        self.flush(freed);
        self.shelf.trim_to(Bytes::ZERO, freed);
        self.trim_pages(freed);
    }

    /// Keeps nothing from now on.
    pub(super) fn close(&mut self, freed: &mut Vec<Freed<B>>) {
        self.closed = true;
        for member in self.tenants.values() {
            member.account.lock().keeps = false;
        }
        self.trim(freed);
    }

    pub(super) fn report(&self, marks: &Marks) -> PoolReport {
        let mut tiers = self.past;
        let mut refusals = self.past_refusals;
        let mut spilled = Bytes::ZERO;
        for member in self.tenants.values() {
            let books = member.account.lock();
            refusals += books.refusals;
            spilled = spilled + (books.held() - books.in_use);
            for (sum, tier) in tiers.iter_mut().zip(&books.tiers) {
                sum.in_use = sum.in_use + tier.in_use;
                sum.cached = sum.cached + tier.cached;
                sum.count(tier);
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
            reserved: self.reserved(),
            spilled,
            tenants: self.tenants.len() as u64,
            refusals,
            tiers: tiers.to_vec(),
            heap: self.paging.as_ref().map(Paging::report),
        }
    }
}
