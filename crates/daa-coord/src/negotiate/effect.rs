//! What goes into a session and what comes out.

use super::charter::Contract;
use super::wire::Envelope;
use daa_base::Timestamp;
use serde::{Deserialize, Serialize};
use std::fmt;

/// What happens to a session.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Input<'a> {
    /// Begin. The side that does not begin makes no use of it.
    Start,
    /// A message came.
    Message(&'a Envelope),
    /// Time went on, by the agent's own clock.
    Tick,
    /// The ledger recorded this contract.
    Recorded(&'a Contract),
    /// Agreed time is this, and the ledger recorded no contract of the session before it.
    LedgerTime(Timestamp),
}

/// What a session wants done.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Effect {
    /// Send this to the other side; it may get lost.
    Send(Envelope),
    /// Ask again with [`Input::Tick`] at this time of the own clock.
    Wake(Timestamp),
    /// Put this contract before the ledger.
    Submit(Contract),
    /// A message was not acted on.
    Ignored(Ignored),
    /// The session is over; nothing follows.
    Done(Outcome),
}

/// How a session ended: the same for both sides.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Outcome {
    /// By this contract.
    Agreed(Box<Contract>),
    /// Without one: each has its policy share.
    PolicyShare,
}

/// What stood in the way of an agreement, as this side saw it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum Fallback {
    /// The charter expired while offers were still made.
    Expired,
    /// All rounds were used.
    RoundsUsed,
    /// The other side gave up.
    Withdrawn,
    /// The other side did not answer.
    Silent,
}

impl fmt::Display for Fallback {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Expired => "the time for a contract was over",
            Self::RoundsUsed => "all rounds were used without an agreement",
            Self::Withdrawn => "the other side gave up",
            Self::Silent => "the other side did not answer",
        })
    }
}

/// Why a message was not acted on.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum Ignored {
    /// It is of another session, or the session is over.
    NotOurs,
    /// It says that this side sent it.
    OwnSide,
    /// A signature does not hold.
    Forged,
    /// It came before.
    Replayed,
    /// It is not what can come now.
    OutOfTurn,
    /// It gives away more than there is.
    Terms,
}

impl fmt::Display for Ignored {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::NotOurs => "it is of another session, or the session is over",
            Self::OwnSide => "it says that this side sent it",
            Self::Forged => "a signature does not hold",
            Self::Replayed => "it came before",
            Self::OutOfTurn => "it is not what can come now",
            Self::Terms => "it gives away more than there is",
        })
    }
}
