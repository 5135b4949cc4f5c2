//! What happens when two agents want the same: a ladder of ways to settle it, each tried in turn, each step on record.
//!
//! Policy, negotiation (three tries), a mediator that computes, preemption by the ledger's rule with compensation, and last
//! the operator. [`Ladder`] decides what to try next and records why; it does nothing itself. The mediator
//! ([`mediate`]) and the compensation ([`compensation`]) are pure functions of what the ledger knows.

mod ladder;
mod mediator;

#[cfg(test)]
mod tests;

pub use ladder::{
    Action, ConfigError, Failure, Ladder, LadderConfig, Reason, Record, Report, Rung, RungRule, Verdict,
};
pub use mediator::{Compensation, Mediation, MediationRule, compensation, divide, mediate};
