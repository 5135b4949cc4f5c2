//! Changes of who votes, as events tell them.

use crate::keys::PublicKey;
use serde::{Deserialize, Serialize};
use std::fmt;

/// One change of the set of validators.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[non_exhaustive]
pub enum MembershipChange {
    /// A validator came.
    Joined {
        /// Its key.
        key: PublicKey,
        /// Its weight.
        power: u64,
    },
    /// A validator went.
    Left {
        /// Its key.
        key: PublicKey,
    },
    /// A validator has another weight.
    Weighed {
        /// Its key.
        key: PublicKey,
        /// Its weight before.
        before: u64,
        /// Its weight from now on.
        power: u64,
    },
    /// A validator has another key.
    Rotated {
        /// The key before.
        from: PublicKey,
        /// The key from now on.
        to: PublicKey,
    },
}

impl fmt::Display for MembershipChange {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Joined { key, power } => write!(f, "validator {key} joins with weight {power}"),
            Self::Left { key } => write!(f, "validator {key} leaves"),
            Self::Weighed { key, before, power } => {
                write!(f, "validator {key} weighs {power}, no longer {before}")
            }
            Self::Rotated { from, to } => write!(f, "validator {from} votes as {to}"),
        }
    }
}
