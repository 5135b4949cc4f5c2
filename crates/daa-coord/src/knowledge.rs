//! Insights that nodes share, and how much each receiver trusts whom.
//!
//! An [`Insight`] is signed by its author, numbered per topic, at most [`MAX_INSIGHT_PAYLOAD`] bytes, and opaque here: what
//! it means, and how useful it was, the layers above know. A [`KnowledgeBase`] keeps the newest of each author and topic.
//! A [`TrustBook`] holds this node's own trust in each author. Trust is never shared and never replicated: it follows from
//! what this node measured, so nobody can talk a third party down or up.
//!
//! # The rule
//!
//! An author has a weight w, an integer from 0 to `most`, in the beginning `initial`. Each insight's measured usefulness u,
//! −1000 to 1000, is reported at most once:
//!
//! - u < −`tolerance`, *harmful*: w becomes ⌊w/2⌋;
//! - u > 0, *useful*: w grows by ⌊`gain`·u/1000⌋, but not above `most`;
//! - otherwise w stays.
//!
//! Two different insights under one number, both signed, count as harmful. `TrustBook::fade` takes ⌈(w − `initial`)/16⌉
//! from each weight above `initial`, so that trust not renewed is lost; weights below stay, so that nobody is forgiven for
//! waiting.
//!
//! # What a liar can do
//!
//! [`TrustBook::aggregate`] is the weighted mean of the receiver's own value, with weight A ≥ `most`, and of each author's,
//! all clamped to a range of width R.
//!
//! *One aggregate.* Let a be the mean without an author and W the others' weight. With it the mean is
//! a + w(x − a)/(A + W + w), and |x − a| ≤ R: it moves the mean by at most R·w/(A + w), so by R/2 at the very most, and
//! several authors with the summed weight s by at most R·s/(A + s). One is added for rounding down to integers.
//!
//! *After k lies.* After k harmful reports with no useful one between, w ≤ `most`/2ᵏ, so it moves the mean by at most
//! **B(k) = R·2⁻ᵏ** (+1 for rounding): k lies leave 2⁻ᵏ of the range. At the default weights, 10 lies leave nothing.
//!
//! *In the long run.* A harmful report at weight w takes at least w/2 away, a useful one gives at most `gain`, and w is
//! never negative. So the weights at which h useful and any number of harmful insights of one author counted sum up, over
//! the harmful ones, to at most 2·(`initial` + h·`gain`): every bit of harm is paid for in measured usefulness first, and
//! without any, all lies of one author together weigh at most 2·`initial`.
//!
//! What stays possible: harm within `tolerance`, and harm done between use and report, which the bound for one aggregate
//! still limits. A new name starts at `initial`: names come from the ledger's members, not from whoever connects.

mod base;
mod insight;
mod trust;

pub use base::{KeptInsight, KnowledgeBase, KnowledgeConfig, KnowledgeCounters};
pub use insight::{Insight, InsightError, MAX_INSIGHT, MAX_INSIGHT_PAYLOAD, SignedInsight};
pub use trust::{Contribution, Range, TrustBook, TrustConfig, TrustConfigError, Usefulness};

#[cfg(test)]
mod tests;
