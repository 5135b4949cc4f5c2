//! Identifiers. Each is a distinct type, so that a lease can never be passed where a trial is meant.

use serde::{Deserialize, Serialize};
use std::fmt;

macro_rules! id {
    ($(#[$doc:meta])* $name:ident($inner:ty), $prefix:literal) => {
        $(#[$doc])*
        #[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
        #[serde(transparent)]
        pub struct $name(pub $inner);

        impl $name {
            /// The number behind the id.
            #[must_use]
            pub const fn get(self) -> $inner {
                self.0
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                write!(f, concat!($prefix, "{}"), self.0)
            }
        }
    };
}

id!(
    /// One agent: it works, asks for leases and holds a signing key.
    AgentId(u32),
    "agent-"
);
id!(
    /// The owner on whose quota agents draw.
    OwnerId(u32),
    "owner-"
);
id!(
    /// One compute device as the ledger knows it.
    DeviceId(u32),
    "device-"
);
id!(
    /// One trial of an architecture search, numbered in decision order.
    TrialId(u32),
    "trial-"
);
id!(
    /// One lease, numbered by the ledger in grant order.
    LeaseId(u64),
    "lease-"
);
id!(
    /// One task handed to an agent.
    TaskId(u64),
    "task-"
);
id!(
    /// A token that grows with every lease granted on a device; work under an older token is refused.
    FencingToken(u64),
    "token-"
);
id!(
    /// Counts how often a device was opened again after loss; results of an older epoch are void.
    DeviceEpoch(u64),
    "epoch-"
);
