//! How much of a device's time a tenant gets, relative to others.

use daa_base::Permille;
use serde::{Deserialize, Serialize};
use std::fmt;

/// A tenant's part of the device's time while others want it too: of those that are busy, each gets its weight divided
/// by the sum of their weights. 1 to 1000; meant as thousandths of a device, though weights may sum to anything.
///
/// The default is 1000, what a lease over the whole device has: tenants that say nothing are equal.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(try_from = "u16", into = "u16")]
pub struct Weight(u16);

/// A weight out of range.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("`weight` is {0}, allowed are 1 to 1000")]
pub struct WeightError(pub u16);

impl Weight {
    /// The smallest.
    pub const MIN: Self = Self(1);
    /// The largest, and the default.
    pub const MAX: Self = Self(1000);

    /// A weight of `thousandths`.
    ///
    /// # Errors
    /// When it is 0 or above 1000.
    pub const fn new(thousandths: u16) -> Result<Self, WeightError> {
        if thousandths == 0 || thousandths > Self::MAX.0 {
            Err(WeightError(thousandths))
        } else {
            Ok(Self(thousandths))
        }
    }

    /// The weight of a lease over `share` of a device. No share at all gets the smallest weight.
    #[must_use]
    pub const fn of_share(share: Permille) -> Self {
        match share.get() {
            0 => Self::MIN,
            thousandths => Self(thousandths),
        }
    }

    /// 1 to 1000.
    #[must_use]
    pub const fn get(self) -> u16 {
        self.0
    }
}

impl Default for Weight {
    fn default() -> Self {
        Self::MAX
    }
}

impl TryFrom<u16> for Weight {
    type Error = WeightError;
    fn try_from(value: u16) -> Result<Self, WeightError> {
        Self::new(value)
    }
}

impl From<Weight> for u16 {
    fn from(value: Weight) -> Self {
        value.0
    }
}

impl fmt::Display for Weight {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn weights_are_one_to_a_thousand() {
        for wrong in [0, 1001, u16::MAX] {
            let error = Weight::new(wrong).expect_err("out of range");
            assert_eq!(
                error.to_string(),
                format!("`weight` is {wrong}, allowed are 1 to 1000")
            );
            assert_eq!(Weight::try_from(wrong), Err(error));
        }
        assert_eq!(Weight::new(1), Ok(Weight::MIN));
        assert_eq!(Weight::new(1000), Ok(Weight::default()));
        assert_eq!(Weight::of_share(Permille::ZERO), Weight::MIN);
        assert_eq!(Weight::of_share(Permille::WHOLE), Weight::MAX);
        assert_eq!(u16::from(Weight::MAX), 1000);
    }
}
