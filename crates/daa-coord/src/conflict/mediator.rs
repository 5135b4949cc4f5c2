//! A division that the ledger computes where agents did not agree, and what is owed to whom the ledger takes from.

use crate::ledger::Lease;
use crate::negotiate::{Bundle, Weights};
use daa_base::{Millis, OwnerId, Timestamp};
use serde::{Deserialize, Serialize};
use std::cmp::Reverse;
use std::fmt;

/// Into so many parts the one issue is cut that both get something of.
const PARTS: u64 = 1000;

/// By which rule a mediation divides.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum MediationRule {
    /// The product of what both gain over their policy shares is largest.
    NashProduct,
    /// No division with a gain for both was found: each keeps its policy share, and of what is left of each issue it gets
    /// its part in proportion to it.
    Proportional,
}

impl fmt::Display for MediationRule {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::NashProduct => "the product of both gains is largest",
            Self::Proportional => "each keeps its policy share, and the rest is divided in proportion",
        })
    }
}

/// What the mediator says.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Mediation {
    /// What the first gets; the second gets the rest.
    pub first: Bundle,
    /// By which rule.
    pub rule: MediationRule,
    /// What each gains over its policy share, in millionths of everything.
    pub gains: [u32; 2],
}

/// Divides `pie` between two agents with these policy shares (`bases`) and declared weights.
///
/// The feasible set: each keeps [`Bundle::kept`] of its policy share, and the rest of each issue is divided. With additive
/// utilities, efficient divisions give the first agent the rest of whole issues in the order of how much more it values
/// them than the second does (ratio of the weights, exactly; of equals, in the order memory, compute, time, priority),
/// and divide that of at most one issue (Raith 2000, "adjusted winner"). Of these, the divided one cut into
/// thousandths, all 4001 are tried, and the one with the largest product of gains is taken (Nash 1950); of equals,
/// the one whose smaller gain is larger, then the one that gives the first agent less. Where no product is positive,
/// [`MediationRule::Proportional`].
///
/// Neither agent is worth less than with its policy share, provided that the policy shares together are within `pie`.
#[must_use]
pub fn mediate(pie: Bundle, bases: [Bundle; 2], weights: [Weights; 2]) -> Mediation {
    let worth = |side: usize, own: Bundle| weights[side].utility(own, pie);
    let reserves = [worth(0, bases[0]), worth(1, bases[1])];
    let gains = |first: Bundle| {
        let own = [worth(0, first), worth(1, pie.without(first))];
        let gain = |side: usize| own[side].checked_sub(reserves[side]);
        Some([gain(0)?, gain(1)?])
    };
    let mut best: Option<(u64, u32, Bundle, [u32; 2])> = None;
    for first in efficient(pie, bases, weights) {
        let Some(both) = gains(first) else { continue };
        let product = u64::from(both[0]) * u64::from(both[1]);
        let smaller = both[0].min(both[1]);
        let better = best.is_none_or(|(most, least, ..)| (product, smaller) > (most, least));
        if product > 0 && better {
            best = Some((product, smaller, first, both));
        }
    }
    if let Some((_, _, first, gains)) = best {
        return Mediation {
            first,
            rule: MediationRule::NashProduct,
            gains,
        };
    }
    let first = proportional(pie, bases);
    Mediation {
        first,
        rule: MediationRule::Proportional,
        gains: gains(first).unwrap_or_default(),
    }
}

/// The first agent's part in every division that is tried, the least first.
fn efficient(pie: Bundle, bases: [Bundle; 2], weights: [Weights; 2]) -> impl Iterator<Item = Bundle> {
    let (own, other) = (weights[0].issues(), weights[1].issues());
    let least = bases[0].kept().issues();
    let rests = pie.without(bases[1].kept()).without(bases[0].kept()).issues();
    let mut order: Vec<usize> = (0..rests.len()).collect();
    // What neither values has no ratio, and goes last.
    let idle = |at: usize| own[at] == 0 && other[at] == 0;
    order.sort_by(|&a, &b| {
        let ratios = (own[b] * other[a]).cmp(&(own[a] * other[b]));
        idle(a).cmp(&idle(b)).then(ratios).then(a.cmp(&b))
    });
    let steps = order.len() as u64 * PARTS;
    (0..=steps).map(move |step| {
        let mut issues = least;
        for (place, &issue) in order.iter().enumerate() {
            let parts = step.saturating_sub(place as u64 * PARTS).min(PARTS);
            let amount = u128::from(rests[issue]) * u128::from(parts) / u128::from(PARTS);
            issues[issue] += u64::try_from(amount).unwrap_or(rests[issue]);
        }
        Bundle::from_issues(issues, pie)
    })
}

fn proportional(pie: Bundle, bases: [Bundle; 2]) -> Bundle {
    let (wholes, own, other) = (pie.issues(), bases[0].issues(), bases[1].issues());
    let issues = std::array::from_fn(|at| {
        let left = wholes[at].saturating_sub(own[at]).saturating_sub(other[at]);
        own[at] + divide(left, &[own[at], other[at]])[0]
    });
    Bundle::from_issues(issues, pie)
}

/// Divides `whole` in proportion to `claims`, by largest remainder (Hamilton): the parts add up to `whole`; of equal
/// remainders, the first claim goes first. Without any claim, all have the same one.
#[must_use]
pub fn divide(whole: u64, claims: &[u64]) -> Vec<u64> {
    let total: u128 = claims.iter().copied().map(u128::from).sum();
    let (claims, total): (Vec<u128>, u128) = match total {
        0 => (vec![1; claims.len()], claims.len() as u128),
        _ => (claims.iter().copied().map(u128::from).collect(), total),
    };
    if claims.is_empty() {
        return Vec::new();
    }
    let exact = |claim: u128| {
        (
            u128::from(whole) * claim / total,
            u128::from(whole) * claim % total,
        )
    };
    let mut parts: Vec<u64> = claims
        .iter()
        .map(|&claim| u64::try_from(exact(claim).0).unwrap_or(whole))
        .collect();
    let mut order: Vec<usize> = (0..claims.len()).collect();
    order.sort_by_key(|&at| (Reverse(exact(claims[at]).1), at));
    let left = whole - parts.iter().sum::<u64>();
    for (_, &at) in (0..left).zip(&order) {
        parts[at] += 1;
    }
    parts
}

/// What is owed for a lease that the ledger ended before its time.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Compensation {
    /// To whom.
    pub owner: OwnerId,
    /// The time that was left.
    pub left: Millis,
    /// Memory times the time that was left: byte-milliseconds.
    pub byte_millis: u128,
    /// Compute times the time that was left: thousandths times milliseconds.
    pub share_millis: u128,
}

impl fmt::Display for Compensation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "{} is owed {} of its lease: {} byte-milliseconds and {} thousandths times milliseconds",
            self.owner, self.left, self.byte_millis, self.share_millis
        )
    }
}

/// What is owed to `owner` for `lease` when it ends at `now`: exactly what it could still have used.
#[must_use]
pub fn compensation(lease: &Lease, owner: OwnerId, now: Timestamp) -> Compensation {
    let left = lease.left(now);
    let millis = u128::from(left.get());
    Compensation {
        owner,
        left,
        byte_millis: u128::from(lease.bytes.get()) * millis,
        share_millis: u128::from(lease.share.get()) * millis,
    }
}
