//! Two agents divide what both want: alternating offers over bytes, share, time and priority.
//!
//! A [`Charter`] says what is divided, between whom, and what each would have by the policy alone. Each side runs a
//! [`Session`], a pure state machine: messages, local time and what the ledger says go in, effects come out. It offers
//! in turn, in a bounded number of rounds, and concedes by its [`Tactic`]. What it values is in its [`Weights`]; they stay
//! with it.
//!
//! # One outcome
//! No message can tell both sides at once that they agree (two generals), so none has to. An offer is the contract,
//! already signed by who offers; whoever accepts signs as well and has a whole [`Contract`]. The outcome is what the
//! ledger records: the first whole contract of the session that it sees before the charter expires, and otherwise the
//! policy share of each. Both sides read the same ledger, so they end alike whatever is lost, doubled or late.
//!
//! # Nobody is worse off
//! A session signs nothing that is worth less to it than its policy share. That holds against any peer. Its last offer is
//! the policy share itself, so two honest sides that hear one another always agree.

mod charter;
mod effect;
mod session;
mod tactic;
mod terms;
mod wire;

#[cfg(test)]
mod lossy;
#[cfg(test)]
mod tests;

pub use charter::{Charter, CharterError, Contract, ContractError, MAX_ROUNDS, Party, Side};
pub use effect::{Effect, Fallback, Ignored, Input, Outcome};
pub use session::{Keys, Profile, Session};
pub use tactic::Tactic;
pub use terms::{Bundle, MICRO, Weights};
pub use wire::{Body, Envelope, MAX_MESSAGE, decode, encode};
