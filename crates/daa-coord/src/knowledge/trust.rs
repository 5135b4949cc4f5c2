//! Weights of authors by measured usefulness. The rule and what follows from it: [`crate::knowledge`].

use crate::keys::PublicKey;
use std::collections::BTreeMap;

/// How weights move.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub struct TrustConfig {
    /// The weight of whoever is new; 0 to `most`.
    pub initial: u32,
    /// Largest weight, 1 to 1 000 000.
    pub most: u32,
    /// What one insight of full usefulness adds, 1 to `most`.
    pub gain: u32,
    /// Harm up to this many thousandths is taken for noise; 0 to 999.
    pub tolerance: u16,
    /// The weight of the receiver's own value in an aggregate, `most` to 1 000 000 000.
    pub own: u32,
}

impl Default for TrustConfig {
    fn default() -> Self {
        Self {
            initial: 100,
            most: 1000,
            gain: 20,
            tolerance: 50,
            own: 1000,
        }
    }
}

/// A limit that was left.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("{field} is {value}, allowed are {min} to {max}")]
pub struct TrustConfigError {
    /// The field's name.
    pub field: &'static str,
    /// Its value.
    pub value: u32,
    /// Smallest allowed value.
    pub min: u32,
    /// Largest allowed value.
    pub max: u32,
}

impl TrustConfig {
    /// Whether every field is in its range.
    ///
    /// # Errors
    /// [`TrustConfigError`] for the first that is not.
    pub fn validate(&self) -> Result<(), TrustConfigError> {
        for (field, value, min, max) in [
            ("most", self.most, 1, 1_000_000),
            ("initial", self.initial, 0, self.most),
            ("gain", self.gain, 1, self.most),
            ("tolerance", u32::from(self.tolerance), 0, 999),
            ("own", self.own, self.most, 1_000_000_000),
        ] {
            if !(min..=max).contains(&value) {
                return Err(TrustConfigError {
                    field,
                    value,
                    min,
                    max,
                });
            }
        }
        Ok(())
    }
}

/// How useful an insight was measured to be: −1000, it did all the harm it could, to 1000. Values beyond are cut.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct Usefulness(i16);

impl Usefulness {
    /// In thousandths, cut to −1000 to 1000.
    #[must_use]
    pub fn new(thousandths: i32) -> Self {
        Self(thousandths.clamp(-1000, 1000) as i16)
    }

    /// In thousandths.
    #[must_use]
    pub const fn get(self) -> i16 {
        self.0
    }
}

/// The range that values of an aggregate are clamped to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Range {
    /// Smallest value.
    pub low: i64,
    /// Largest value; if it is below `low`, every value becomes `low`.
    pub high: i64,
}

impl Range {
    fn clamp(self, value: i64) -> i64 {
        value.min(self.high).max(self.low)
    }
}

/// One author's part in an aggregate.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Contribution {
    /// Who says it. An author that occurs twice counts once, with its first value.
    pub author: PublicKey,
    /// What it says.
    pub value: i64,
}

/// This node's trust in authors. Those that nothing was measured of yet have the initial weight and take no memory.
#[derive(Debug, Clone)]
pub struct TrustBook {
    config: TrustConfig,
    weights: BTreeMap<PublicKey, u32>,
}

impl TrustBook {
    /// Trust by `config`, with nothing measured yet.
    ///
    /// # Errors
    /// [`TrustConfigError`].
    pub fn new(config: TrustConfig) -> Result<Self, TrustConfigError> {
        config.validate()?;
        Ok(Self {
            config,
            weights: BTreeMap::new(),
        })
    }

    /// The weight of `author`, 0 to `most`.
    #[must_use]
    pub fn weight(&self, author: &PublicKey) -> u32 {
        self.weights.get(author).copied().unwrap_or(self.config.initial)
    }

    /// The authors of whom something was measured, with their weights.
    pub fn measured_weights(&self) -> impl Iterator<Item = (PublicKey, u32)> + '_ {
        self.weights.iter().map(|(&author, &weight)| (author, weight))
    }

    /// Gives `author` the weight that it had, cut to `most`.
    pub(super) fn restore(&mut self, author: &PublicKey, weight: u32) {
        self.weights.insert(*author, weight.min(self.config.most));
    }

    /// Moves the weight of `author` by the rule.
    pub(super) fn measured(&mut self, author: &PublicKey, usefulness: Usefulness) {
        let u = i32::from(usefulness.get());
        if u < -i32::from(self.config.tolerance) {
            self.harmed(author);
        } else if u > 0 {
            let gained = u64::from(self.config.gain) * u64::from(u.unsigned_abs()) / 1000;
            let weight = (u64::from(self.weight(author)) + gained).min(u64::from(self.config.most));
            // At most `most`, which is a u32.
            self.weights.insert(*author, weight as u32);
        }
    }

    pub(super) fn harmed(&mut self, author: &PublicKey) {
        self.weights.insert(*author, self.weight(author) / 2);
    }

    pub(super) fn fade(&mut self) {
        let initial = self.config.initial;
        for weight in self.weights.values_mut() {
            *weight -= weight.saturating_sub(initial).div_ceil(16);
        }
    }

    pub(super) fn retain(&mut self, keep: impl Fn(&PublicKey) -> bool) {
        self.weights.retain(|author, _| keep(author));
    }

    /// The mean of the receiver's `own` value and of the contributions, weighted by trust, each clamped to `range`,
    /// rounded down. The order of contributions does not matter, unless an author occurs twice.
    #[must_use]
    pub fn aggregate(&self, range: Range, own: i64, contributions: &[Contribution]) -> i64 {
        let mut first: BTreeMap<PublicKey, i64> = BTreeMap::new();
        for contribution in contributions {
            first.entry(contribution.author).or_insert(contribution.value);
        }
        // |values| ≤ 2⁶³ and weights < 2³⁰ each: 2¹²⁷ is reached by no slice that fits into memory.
        let mut weight = i128::from(self.config.own);
        let mut sum = weight * i128::from(range.clamp(own));
        for (author, value) in first {
            let w = i128::from(self.weight(&author));
            weight += w;
            sum += w * i128::from(range.clamp(value));
        }
        // A mean of 64-bit values is one.
        sum.div_euclid(weight) as i64
    }
}
