//! Amounts of the two resources, and shares as exact fractions.

use daa_base::{Bytes, Permille};
use serde::{Deserialize, Serialize};
use std::cmp::Ordering;
use std::fmt;
use std::num::NonZeroU16;

/// Memory and compute, possibly of several devices.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Amount {
    /// Memory in bytes.
    pub bytes: Bytes,
    /// Compute in thousandths of a device; two whole devices are 2000.
    pub share: u32,
}

impl Amount {
    /// Nothing.
    pub const ZERO: Self = Self {
        bytes: Bytes::ZERO,
        share: 0,
    };
    /// More than there is.
    pub const MAX: Self = Self {
        bytes: Bytes(u64::MAX),
        share: u32::MAX,
    };

    /// Part of one device.
    #[must_use]
    pub fn of(bytes: Bytes, share: Permille) -> Self {
        Self {
            bytes,
            share: u32::from(share.get()),
        }
    }
}

impl fmt::Display for Amount {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} and {} thousandths", self.bytes, self.share)
    }
}

/// A sum of amounts; wide enough for 2²⁶ leases of the largest size.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(super) struct Sum {
    pub(super) bytes: u128,
    pub(super) share: u64,
}

impl Sum {
    pub(super) const fn plus(self, other: Self) -> Self {
        Self {
            bytes: self.bytes.saturating_add(other.bytes),
            share: self.share.saturating_add(other.share),
        }
    }

    /// The rest of each resource, zero where `other` has more.
    pub(super) const fn minus(self, other: Self) -> Self {
        Self {
            bytes: self.bytes.saturating_sub(other.bytes),
            share: self.share.saturating_sub(other.share),
        }
    }

    /// Whether neither resource is more than `other`'s.
    pub(super) const fn within(self, other: Self) -> bool {
        self.bytes <= other.bytes && self.share <= other.share
    }

    pub(super) fn min(self, other: Self) -> Self {
        Self {
            bytes: self.bytes.min(other.bytes),
            share: self.share.min(other.share),
        }
    }
}

impl From<Amount> for Sum {
    fn from(amount: Amount) -> Self {
        Self {
            bytes: u128::from(amount.bytes.get()),
            share: u64::from(amount.share),
        }
    }
}

/// A weighted dominant share: a fraction of all that there is, over the owner's weight. Shares are comparable only when
/// they are of the same total.
#[derive(Debug, Clone, Copy)]
pub(super) struct Share {
    /// The larger of `bytes · total share` and `share · total bytes`: the share times both totals.
    dominant: u128,
    weight: u16,
}

impl Share {
    pub(super) fn of(used: Sum, total: Sum, weight: NonZeroU16) -> Self {
        let memory = used.bytes.saturating_mul(u128::from(total.share));
        let compute = u128::from(used.share).saturating_mul(total.bytes);
        Self {
            dominant: memory.max(compute),
            weight: weight.get(),
        }
    }
}

impl Ord for Share {
    fn cmp(&self, other: &Self) -> Ordering {
        let own = self.dominant.saturating_mul(u128::from(other.weight));
        own.cmp(&other.dominant.saturating_mul(u128::from(self.weight)))
    }
}

impl PartialOrd for Share {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

impl PartialEq for Share {
    fn eq(&self, other: &Self) -> bool {
        self.cmp(other) == Ordering::Equal
    }
}

impl Eq for Share {}
