//! The set of validators: who votes, with what weight, and how much weight a decision needs.

use crate::keys::PublicKey;
use serde::{Deserialize, Serialize};
use std::fmt;

/// Validators of one set. More would make a block's certificate outgrow its commands.
pub const MAX_VALIDATORS: usize = 128;

/// Largest weight of one validator. With [`MAX_VALIDATORS`] of these, three times the total stays far below 2⁶⁴.
pub const MAX_POWER: u64 = 1 << 32;

/// One validator: whoever holds the secret half of `key` votes with `power`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct Validator {
    /// Its key, which is also its name.
    pub key: PublicKey,
    /// Its weight, 1 to [`MAX_POWER`].
    pub power: u64,
}

/// Why a set of validators is refused.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, thiserror::Error)]
#[non_exhaustive]
pub enum ValidatorError {
    /// There are too many.
    #[error("there are {found} validators, allowed are 0 to {MAX_VALIDATORS}")]
    TooMany {
        /// How many there are.
        found: usize,
    },
    /// A weight is outside its range.
    #[error("validator {key} has power {power}, allowed are 1 to {MAX_POWER}")]
    Power {
        /// Whose weight.
        key: PublicKey,
        /// The weight.
        power: u64,
    },
    /// A key cannot be used.
    #[error("validator {key} has a key that is not a usable Ed25519 public key")]
    Key {
        /// The key.
        key: PublicKey,
    },
    /// A key occurs twice.
    #[error("validator {key} is named twice")]
    Twice {
        /// The key.
        key: PublicKey,
    },
}

/// Validators in the order of their keys, each key once, within the bounds of this module.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "Vec<Validator>", into = "Vec<Validator>")]
pub struct ValidatorSet {
    sorted: Vec<Validator>,
    total: u64,
}

impl ValidatorSet {
    /// The set of these validators, in any order. It may be empty: then nobody votes, as in an in-process sequencer.
    ///
    /// # Errors
    /// [`ValidatorError`].
    pub fn new(validators: impl IntoIterator<Item = Validator>) -> Result<Self, ValidatorError> {
        let mut sorted: Vec<_> = validators.into_iter().take(MAX_VALIDATORS + 1).collect();
        if sorted.len() > MAX_VALIDATORS {
            return Err(ValidatorError::TooMany { found: sorted.len() });
        }
        sorted.sort_unstable();
        for validator in &sorted {
            let (key, power) = (validator.key, validator.power);
            key.check().map_err(|_| ValidatorError::Key { key })?;
            if !(1..=MAX_POWER).contains(&power) {
                return Err(ValidatorError::Power { key, power });
            }
        }
        if let Some(twice) = sorted.windows(2).find(|pair| pair[0].key == pair[1].key) {
            return Err(ValidatorError::Twice { key: twice[0].key });
        }
        let total = sorted.iter().map(|validator| validator.power).sum();
        Ok(Self { sorted, total })
    }

    /// A set in which everybody has the same weight.
    ///
    /// # Errors
    /// [`ValidatorError`].
    pub fn equal(keys: impl IntoIterator<Item = PublicKey>) -> Result<Self, ValidatorError> {
        Self::new(keys.into_iter().map(|key| Validator { key, power: 1 }))
    }

    /// The validators in the order of their keys.
    #[must_use]
    pub fn as_slice(&self) -> &[Validator] {
        &self.sorted
    }

    /// How many there are.
    #[must_use]
    pub const fn len(&self) -> usize {
        self.sorted.len()
    }

    /// Whether there is none.
    #[must_use]
    pub const fn is_empty(&self) -> bool {
        self.sorted.is_empty()
    }

    /// The sum of all weights, below 2³⁹.
    #[must_use]
    pub const fn total_power(&self) -> u64 {
        self.total
    }

    /// The validator called `key`.
    #[must_use]
    pub fn get(&self, key: &PublicKey) -> Option<&Validator> {
        self.position(key).map(|at| &self.sorted[at])
    }

    /// Where `key` stands in the set.
    #[must_use]
    pub fn position(&self, key: &PublicKey) -> Option<usize> {
        self.sorted
            .binary_search_by_key(key, |validator| validator.key)
            .ok()
    }
}

impl TryFrom<Vec<Validator>> for ValidatorSet {
    type Error = ValidatorError;
    fn try_from(validators: Vec<Validator>) -> Result<Self, ValidatorError> {
        Self::new(validators)
    }
}

impl From<ValidatorSet> for Vec<Validator> {
    fn from(set: ValidatorSet) -> Self {
        set.sorted
    }
}

impl fmt::Display for ValidatorSet {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} validators of weight {}", self.len(), self.total)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::keys::AgentKey;
    use daa_base::codec;

    fn key(n: u8) -> PublicKey {
        AgentKey::from_secret(&[n; 32]).public()
    }

    #[test]
    fn a_set_is_sorted_and_found_by_key() {
        let set = ValidatorSet::equal([key(3), key(1), key(2)]).expect("three keys");
        assert!(set.as_slice().is_sorted());
        assert_eq!((set.len(), set.total_power()), (3, 3));
        assert_eq!(set.get(&key(2)).map(|v| v.power), Some(1));
        assert_eq!(set.get(&key(9)), None);
    }

    #[test]
    fn what_is_out_of_bounds_is_named() {
        let of = |key, power| Validator { key, power };
        assert_eq!(
            ValidatorSet::new([of(key(1), 0)]),
            Err(ValidatorError::Power {
                key: key(1),
                power: 0
            })
        );
        assert_eq!(
            ValidatorSet::new([of(key(1), MAX_POWER + 1)])
                .expect_err("too heavy")
                .to_string(),
            format!(
                "validator {} has power 4294967297, allowed are 1 to 4294967296",
                key(1)
            )
        );
        assert_eq!(
            ValidatorSet::equal([key(1), key(2), key(1)]),
            Err(ValidatorError::Twice { key: key(1) })
        );
        assert_eq!(
            ValidatorSet::equal([PublicKey([0; 32])]),
            Err(ValidatorError::Key {
                key: PublicKey([0; 32])
            })
        );
        let many = std::iter::repeat_n(of(key(1), 1), 1000);
        assert_eq!(
            ValidatorSet::new(many),
            Err(ValidatorError::TooMany { found: 129 })
        );
    }

    #[test]
    fn decoding_checks_as_well() {
        let set = ValidatorSet::equal([key(1), key(2)]).expect("two keys");
        let bytes = codec::encode::<256, _>(&set).expect("fits");
        assert_eq!(
            codec::decode_canonical::<256, ValidatorSet>(&bytes),
            Ok(set.clone())
        );
        let mut reversed: Vec<Validator> = set.into();
        reversed.reverse();
        let bytes = codec::encode::<256, _>(&reversed).expect("fits");
        assert!(
            codec::decode_canonical::<256, ValidatorSet>(&bytes).is_err(),
            "one form only"
        );
    }
}
