//! What is divided, and what it is worth to an agent.

use daa_base::{Bytes, Millis, Permille};
use serde::{Deserialize, Serialize};
use std::fmt;

/// Utilities are in millionths of the utility of everything.
pub const MICRO: u32 = 1_000_000;

pub(crate) const ISSUES: usize = 4;

/// An amount of each of the four issues.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct Bundle {
    /// Device memory in bytes.
    pub bytes: Bytes,
    /// Compute.
    pub share: Permille,
    /// Time of use in milliseconds.
    pub time: Millis,
    /// Points of priority.
    pub priority: u8,
}

impl Bundle {
    pub(crate) fn issues(self) -> [u64; ISSUES] {
        [
            self.bytes.get(),
            u64::from(self.share.get()),
            self.time.get(),
            u64::from(self.priority),
        ]
    }

    /// A bundle of these amounts, each cut to what `most` has of it.
    pub(crate) fn from_issues(issues: [u64; ISSUES], most: Self) -> Self {
        let [bytes, share, time, priority] = issues;
        // What is at most another share or priority is one itself.
        let share = u16::try_from(share).unwrap_or(u16::MAX).min(most.share.get());
        Self {
            bytes: Bytes(bytes).min(most.bytes),
            share: Permille::new(share).unwrap_or(most.share),
            time: Millis(time).min(most.time),
            priority: u8::try_from(priority).unwrap_or(u8::MAX).min(most.priority),
        }
    }

    /// Whether no amount exceeds that of `other`.
    #[must_use]
    pub fn within(self, other: Self) -> bool {
        self.issues()
            .iter()
            .zip(other.issues())
            .all(|(own, most)| *own <= most)
    }

    /// What no contract and no mediator takes from an agent with this policy share: half of its memory, compute and time,
    /// rounded up. Utilities that add up would let it be traded a lease without memory for a long time.
    #[must_use]
    pub fn kept(self) -> Self {
        let [bytes, share, time, _] = self.issues().map(|amount| amount.div_ceil(2));
        Self::from_issues([bytes, share, time, 0], self)
    }

    /// Whether somebody could work with it: it lacks neither memory nor compute nor time, of which `pie` has some.
    #[must_use]
    pub fn is_of_use(self, pie: Self) -> bool {
        let (own, wholes) = (self.issues(), pie.issues());
        (0..3).all(|at| own[at] > 0 || wholes[at] == 0)
    }

    /// The larger of each amount.
    pub(crate) fn at_least(self, least: Self, pie: Self) -> Self {
        let (own, least) = (self.issues(), least.issues());
        Self::from_issues(std::array::from_fn(|at| own[at].max(least[at])), pie)
    }

    /// What `self` has beyond `other`, zero where it has less.
    #[must_use]
    pub fn without(self, other: Self) -> Self {
        let (own, other) = (self.issues(), other.issues());
        Self::from_issues(std::array::from_fn(|at| own[at].saturating_sub(other[at])), self)
    }
}

impl fmt::Display for Bundle {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self {
            bytes,
            share,
            time,
            priority,
        } = self;
        write!(f, "{bytes}, {share}, {time} and priority {priority}")
    }
}

/// How much an agent values each issue, relative to the others; 0 to 65 535 each, one of them at least 1.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Weights {
    /// For all of the memory.
    pub bytes: u16,
    /// For all of the compute.
    pub share: u16,
    /// For all of the time.
    pub time: u16,
    /// For all of the priority.
    pub priority: u16,
}

impl Weights {
    /// All four alike.
    pub const EVEN: Self = Self {
        bytes: 1,
        share: 1,
        time: 1,
        priority: 1,
    };

    pub(crate) fn issues(self) -> [u64; ISSUES] {
        [self.bytes, self.share, self.time, self.priority].map(u64::from)
    }

    /// What `bundle` out of `pie` is worth, in millionths of the whole pie; more of an issue is never worth less.
    ///
    /// Sum over the issues of weight · ⌊10⁶ · amount / whole⌋, over the sum of the weights; issues of which there is nothing
    /// do not count.
    #[must_use]
    pub fn utility(self, bundle: Bundle, pie: Bundle) -> u32 {
        let (sum, weight) = self.parts(bundle, pie);
        // At most MICRO, as every part is.
        sum.checked_div(weight)
            .map_or(0, |micro| u32::try_from(micro).unwrap_or(MICRO).min(MICRO))
    }

    /// Numerator and denominator of the utility.
    fn parts(self, bundle: Bundle, pie: Bundle) -> (u64, u64) {
        let (amounts, wholes) = (bundle.issues(), pie.issues());
        let (mut sum, mut weight) = (0, 0);
        for (at, own) in self.issues().into_iter().enumerate() {
            if wholes[at] > 0 {
                sum += own * part(amounts[at], wholes[at]);
                weight += own;
            }
        }
        (sum, weight)
    }

    /// The least that makes `from` worth `target` millionths of `pie`: more of what is valued most, first, up to `most` of
    /// each. Where that does not suffice, `most` of all that is valued.
    #[must_use]
    pub fn raise(self, from: Bundle, target: u32, most: Bundle, pie: Bundle) -> Bundle {
        let (weights, wholes) = (self.issues(), pie.issues());
        let mut order: [usize; ISSUES] = std::array::from_fn(|at| at);
        order.sort_by_key(|&at| std::cmp::Reverse(weights[at]));
        let mut bundle = from;
        for at in order {
            let (sum, weight) = self.parts(bundle, pie);
            let lacking = (u64::from(target) * weight).saturating_sub(sum);
            if lacking == 0 {
                break;
            }
            let mut issues = bundle.issues();
            if weights[at] == 0 || wholes[at] == 0 {
                continue;
            }
            let wanted = part(issues[at], wholes[at]) + lacking.div_ceil(weights[at]);
            let raised = if wanted >= u64::from(MICRO) {
                wholes[at]
            } else {
                let amount = (u128::from(wanted) * u128::from(wholes[at])).div_ceil(u128::from(MICRO));
                u64::try_from(amount).unwrap_or(wholes[at])
            };
            issues[at] = raised.min(most.issues()[at]).max(issues[at]);
            bundle = Bundle::from_issues(issues, pie);
        }
        bundle
    }
}

/// Millionths of `whole` in `amount`, rounded down, at most all.
fn part(amount: u64, whole: u64) -> u64 {
    let micro = u128::from(amount.min(whole)) * u128::from(MICRO) / u128::from(whole.max(1));
    u64::try_from(micro).unwrap_or_default()
}
