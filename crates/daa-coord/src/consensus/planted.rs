//! Bugs that can be planted to prove that the simulator finds them. In every build but that of the mutation check
//! (`--cfg planted`) nothing is ever planted, and the compiler removes the questions.

/// A mistake that a programmer could make.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Bug {
    /// Own records are never made durable.
    MissingFlush,
    /// Own messages are sent before their records are durable.
    FlushAfterPublish,
    /// A block counts as valid without being judged.
    ProposalOnly,
    /// A timer of an earlier height still counts.
    OldTimer,
    /// A block from a peer is believed without its certificate.
    UncheckedSyncCertificate,
    /// A block with entries that the ledger drops is voted for.
    UncheckedEntries,
}

#[cfg(not(planted))]
pub(crate) const fn is_planted(_bug: Bug) -> bool {
    false
}

#[cfg(planted)]
mod chosen {
    use super::Bug;
    use std::sync::atomic::{AtomicU8, Ordering};

    static CHOSEN: AtomicU8 = AtomicU8::new(u8::MAX);

    /// Plants one bug for the whole process, or none.
    pub fn plant(bug: Option<Bug>) {
        CHOSEN.store(bug.map_or(u8::MAX, |bug| bug as u8), Ordering::SeqCst);
    }

    pub(crate) fn is_planted(bug: Bug) -> bool {
        CHOSEN.load(Ordering::Relaxed) == bug as u8
    }
}

#[cfg(planted)]
pub(crate) use chosen::is_planted;
#[cfg(planted)]
pub use chosen::plant;
