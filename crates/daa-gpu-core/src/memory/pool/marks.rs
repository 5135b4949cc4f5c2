//! How much was on loan at once, over all tenants.

use crate::memory::tier::Tier;
use crate::sync::atomic::{AtomicU64, Ordering};
use daa_base::Bytes;

/// The sums of the open tenants' own high-water marks, in all and by tier, and the most each sum ever was. No more
/// than that was ever on loan at once; with one tenant at a time it is exactly that.
///
/// A tenant changes the sums only when it passes its own mark. So loans in the steady state share nothing.
#[derive(Debug, Default)]
pub(super) struct Marks {
    all: Mark,
    tiers: [Mark; 5],
}

#[derive(Debug, Default)]
struct Mark {
    sum: AtomicU64,
    most: AtomicU64,
}

impl Marks {
    fn mark(&self, tier: Option<Tier>) -> &Mark {
        tier.map_or(&self.all, |tier| &self.tiers[tier.index()])
    }

    /// A tenant's mark rose by this much.
    pub(super) fn raise(&self, tier: Option<Tier>, more: Bytes) {
        let mark = self.mark(tier);
        let sum = mark.sum.fetch_add(more.get(), Ordering::Relaxed) + more.get();
        mark.most.fetch_max(sum, Ordering::Relaxed);
    }

    /// A tenant with this mark is gone.
    pub(super) fn leave(&self, tier: Option<Tier>, mark: Bytes) {
        self.mark(tier).sum.fetch_sub(mark.get(), Ordering::Relaxed);
    }

    pub(super) fn most(&self, tier: Option<Tier>) -> Bytes {
        Bytes(self.mark(tier).most.load(Ordering::Relaxed))
    }
}
