//! The five tiers that reports are kept by, and the size classes that every reservation is rounded to.

use daa_base::Bytes;
use serde::{Deserialize, Serialize};
use std::fmt;

/// Smallest reservation, in bytes. Nothing smaller is worth a buffer of its own.
pub const MIN_RESERVATION: Bytes = Bytes(256);

/// Size classes per doubling; the reason why rounding never adds more than one eighth to a size of 256 bytes or more.
const CLASSES_PER_DOUBLING_LOG2: u32 = 3;

/// A range of buffer sizes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Tier {
    /// Below 1 KiB.
    Micro,
    /// 1 KiB to below 1 MiB.
    Small,
    /// 1 MiB to below 10 MiB.
    Medium,
    /// 10 MiB to below 100 MiB.
    Large,
    /// 100 MiB and more.
    XLarge,
}

impl Tier {
    /// All tiers, smallest first.
    pub const ALL: [Self; 5] = [Self::Micro, Self::Small, Self::Medium, Self::Large, Self::XLarge];

    /// The tier of a buffer of `size`.
    #[must_use]
    pub const fn of(size: Bytes) -> Self {
        Self::ALL[Self::index_of(size)]
    }

    /// The place of [`Tier::of`] in [`Tier::ALL`], without a branch: sizes that come in no order would mispredict it.
    #[inline(always)]
    pub(crate) const fn index_of(size: Bytes) -> usize {
        let size = size.get();
        (size >= Bytes::KIB.get()) as usize
            + (size >= Bytes::MIB.get()) as usize
            + (size >= 10 * Bytes::MIB.get()) as usize
            + (size >= 100 * Bytes::MIB.get()) as usize
    }

    /// Its smallest reservation.
    #[must_use]
    pub const fn least(self) -> Bytes {
        match self {
            Self::Micro => MIN_RESERVATION,
            Self::Small => Bytes::KIB,
            Self::Medium => Bytes::MIB,
            Self::Large => Bytes::mib(10),
            Self::XLarge => Bytes::mib(104),
        }
    }

    /// Its place in [`Tier::ALL`].
    #[must_use]
    pub const fn index(self) -> usize {
        self as usize
    }
}

impl fmt::Display for Tier {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Micro => "micro",
            Self::Small => "small",
            Self::Medium => "medium",
            Self::Large => "large",
            Self::XLarge => "xlarge",
        })
    }
}

/// What the pool reserves for a buffer of `size`: the size rounded up to its class. There are eight classes per
/// doubling, so at most 12.5 % is added to sizes from 256 bytes on; smaller sizes reserve 256 bytes, no bytes reserve
/// nothing. Idempotent and monotone; sizes past the last representable class reserve `u64::MAX`.
#[must_use]
pub const fn reserved_bytes(size: Bytes) -> Bytes {
    let size = size.get();
    if size == 0 {
        return Bytes::ZERO;
    }
    if size <= MIN_RESERVATION.get() {
        return MIN_RESERVATION;
    }
    let step = 1_u64 << (size.ilog2() - CLASSES_PER_DOUBLING_LOG2);
    match size.checked_add(step - 1) {
        Some(padded) => Bytes(padded & !(step - 1)),
        None => Bytes(u64::MAX),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn tiers_meet_at_their_documented_bounds() {
        for (size, tier) in [
            (0, Tier::Micro),
            (1023, Tier::Micro),
            (1024, Tier::Small),
            ((1 << 20) - 1, Tier::Small),
            (1 << 20, Tier::Medium),
            ((10 << 20) - 1, Tier::Medium),
            (10 << 20, Tier::Large),
            ((100 << 20) - 1, Tier::Large),
            (100 << 20, Tier::XLarge),
            (u64::MAX, Tier::XLarge),
        ] {
            assert_eq!(Tier::of(Bytes(size)), tier, "{size}");
        }
        for (index, tier) in Tier::ALL.into_iter().enumerate() {
            assert_eq!(tier.index(), index);
            let least = tier.least();
            assert_eq!((Tier::of(least), reserved_bytes(least)), (tier, least));
            let below = Bytes(least.get() - (1 << (least.get().ilog2() - 3)));
            assert!(index == 0 || Tier::of(below).index() == index - 1, "{below}");
        }
    }

    #[test]
    fn there_are_eight_classes_per_doubling() {
        let classes: std::collections::BTreeSet<_> =
            (4097..=8192).map(|size| reserved_bytes(Bytes(size))).collect();
        assert_eq!(classes.len(), 8);
        assert_eq!(reserved_bytes(Bytes(1)), Bytes(256));
        assert_eq!(reserved_bytes(Bytes(257)), Bytes(288));
        assert_eq!(reserved_bytes(Bytes::ZERO), Bytes::ZERO);
        assert_eq!(reserved_bytes(Bytes(u64::MAX)), Bytes(u64::MAX));
    }

    proptest! {
        #[test]
        fn rounding_is_tight_monotone_and_idempotent(size in 256_u64..(1 << 60), more in 0_u64..(1 << 20)) {
            let reserved = reserved_bytes(Bytes(size));
            prop_assert!(reserved.get() >= size);
            prop_assert!((reserved.get() - size) * 8 <= size, "at most one eighth is added");
            prop_assert_eq!(reserved_bytes(reserved), reserved);
            prop_assert!(reserved_bytes(Bytes(size + more)) >= reserved);
            prop_assert_eq!(reserved.get() % 32, 0);
        }
    }
}
