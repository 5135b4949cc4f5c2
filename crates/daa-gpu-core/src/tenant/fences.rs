//! Which tokens no longer count, and the tenants that work under those that do.

use super::Lease;
use crate::error::MemoryError;
use crate::sync::atomic::Ordering;
use crate::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak};
use daa_base::FencingToken;
use std::collections::{BTreeMap, BTreeSet};

/// The token of tenants without a lease. It is never fenced.
const NO_LEASE: FencingToken = FencingToken(0);

/// Most fenced tokens that are remembered one by one.
const MAX_FENCED: usize = 4096;

/// The fences of a device, which all its epochs share: a lease that ended before a loss has ended after it too.
#[derive(Debug)]
pub(crate) struct Fences {
    books: Mutex<Books>,
}

#[derive(Debug)]
struct Books {
    fenced: Fenced,
    /// One entry per open tenant, by token and order of opening; the pool bounds how many there are.
    open: BTreeMap<(FencingToken, u64), Weak<Lease>>,
    next: u64,
}

impl Default for Fences {
    fn default() -> Self {
        Self {
            books: Mutex::new(Books {
                fenced: Fenced::new(MAX_FENCED),
                open: BTreeMap::new(),
                next: 0,
            }),
        }
    }
}

impl Fences {
    fn lock(&self) -> MutexGuard<'_, Books> {
        self.books.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Refuses tenants under `token` from now on and revokes those that are open.
    pub(crate) fn fence(&self, token: FencingToken) {
        if token == NO_LEASE {
            return;
        }
        let mut books = self.lock();
        books.fenced.insert(token);
        for lease in books.open.range((token, 0)..=(token, u64::MAX)) {
            if let Some(lease) = lease.1.upgrade() {
                lease.revoked.store(true, Ordering::Release);
            }
        }
    }

    /// Opens a tenant unless its token is fenced. `make` gets the place that [`Self::leave`] gives back; it runs under
    /// the lock, so that no fence falls between the check and the entry.
    pub(super) fn enter(
        &self,
        tenant: &str,
        token: FencingToken,
        make: impl FnOnce(u64) -> Result<Lease, MemoryError>,
    ) -> Result<Arc<Lease>, MemoryError> {
        let mut books = self.lock();
        if books.fenced.contains(token) {
            return Err(MemoryError::Fenced {
                tenant: tenant.to_owned(),
                token,
            });
        }
        let place = books.next;
        let lease = Arc::new(make(place)?);
        books.next += 1;
        books.open.insert((token, place), Arc::downgrade(&lease));
        Ok(lease)
    }

    /// The tenant of this lease was dropped.
    pub(super) fn leave(&self, lease: &Lease) {
        self.lock().open.remove(&(lease.token, lease.place));
    }

    #[cfg(test)]
    pub(crate) fn open_tenants(&self) -> usize {
        self.lock().open.len()
    }
}

/// A set of tokens of bounded size: the `limit` newest are exact, everything up to the newest of the others is in it.
#[derive(Debug)]
struct Fenced {
    tokens: BTreeSet<FencingToken>,
    /// Every token up to this one is fenced, except [`NO_LEASE`].
    floor: FencingToken,
    limit: usize,
}

impl Fenced {
    const fn new(limit: usize) -> Self {
        Self {
            tokens: BTreeSet::new(),
            floor: NO_LEASE,
            limit,
        }
    }

    fn contains(&self, token: FencingToken) -> bool {
        token != NO_LEASE && (token <= self.floor || self.tokens.contains(&token))
    }

    fn insert(&mut self, token: FencingToken) {
        if token <= self.floor {
            return;
        }
        self.tokens.insert(token);
        if self.tokens.len() > self.limit
            && let Some(oldest) = self.tokens.pop_first()
        {
            self.floor = oldest;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn the_oldest_token_becomes_the_floor_when_the_set_is_full() {
        let mut fenced = Fenced::new(MAX_FENCED);
        let first = 10;
        let last = first + MAX_FENCED as u64;
        (first..last).for_each(|token| fenced.insert(FencingToken(token)));
        assert!(
            !fenced.contains(FencingToken(first - 1)),
            "the set is full but exact"
        );
        fenced.insert(FencingToken(last));
        assert!(
            fenced.contains(FencingToken(first - 1)),
            "the oldest is the floor now"
        );
        assert!(fenced.contains(FencingToken(1)) && !fenced.contains(FencingToken(last + 1)));
        assert!(!fenced.contains(NO_LEASE));
        fenced.insert(FencingToken(first - 1));
        assert_eq!(
            (fenced.tokens.len(), fenced.floor),
            (MAX_FENCED, FencingToken(first))
        );
    }

    proptest! {
        #[test]
        fn a_token_is_fenced_by_itself_or_once_more_newer_ones_than_the_limit_were(
            tokens in proptest::collection::vec(1_u64..40, 0..60),
            limit in 1_usize..6,
        ) {
            let mut fenced = Fenced::new(limit);
            let mut all = BTreeSet::new();
            for token in tokens {
                fenced.insert(FencingToken(token));
                all.insert(token);
                prop_assert!(fenced.tokens.len() <= limit);
                prop_assert!(!fenced.contains(NO_LEASE));
                for probe in 1..42 {
                    let want = all.contains(&probe) || all.range(probe + 1..).count() > limit;
                    prop_assert_eq!(fenced.contains(FencingToken(probe)), want, "{} of {:?}", probe, all);
                }
            }
        }
    }
}
