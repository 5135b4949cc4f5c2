//! Errors that can be put in on purpose, to see whether the simulation finds them.
//!
//! A build with `--cfg planted` (`cargo xtask sim --planted`) can switch one on by name; in every other build
//! [`is_planted`] is `false` at compile time and nothing of this is left.

/// An error that real systems have had.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[repr(u8)]
#[non_exhaustive]
pub enum Bug {
    /// A decision needs one vote fewer than is safe.
    QuorumOffByOne = 1,
    /// Nothing makes the write-ahead log durable before a vote leaves.
    MissingFlush,
    /// The log becomes durable after the vote has left.
    FlushAfterPublish,
    /// A certificate counts the same validator's vote as often as it is listed.
    DuplicateVote,
    /// What a restarted validator had voted for is not given back to it.
    LockForgotten,
    /// A lease that has run out stays in force.
    ExpiredLease,
    /// Every proposed block counts as valid: what the payload mode `ProposalOnly` amounts to.
    ProposalOnly,
    /// A timer of an earlier height fires into the present one.
    OldTimer,
    /// A block from a peer that is ahead is taken without its certificate being checked.
    UncheckedSyncCertificate,
    /// A signature once found good is good for any message.
    WeakMemo,
    /// A block with entries that the ledger drops is voted for.
    UncheckedEntries,
    /// A decided block is acknowledged before it is stored.
    AcknowledgeBeforeStore,
}

impl Bug {
    /// All of them.
    pub const ALL: [Self; 12] = [
        Self::QuorumOffByOne,
        Self::MissingFlush,
        Self::FlushAfterPublish,
        Self::DuplicateVote,
        Self::LockForgotten,
        Self::ExpiredLease,
        Self::ProposalOnly,
        Self::OldTimer,
        Self::UncheckedSyncCertificate,
        Self::WeakMemo,
        Self::UncheckedEntries,
        Self::AcknowledgeBeforeStore,
    ];

    /// Its name on the command line.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::QuorumOffByOne => "quorum-off-by-one",
            Self::MissingFlush => "missing-flush",
            Self::FlushAfterPublish => "flush-after-publish",
            Self::DuplicateVote => "duplicate-vote",
            Self::LockForgotten => "lock-forgotten",
            Self::ExpiredLease => "expired-lease",
            Self::ProposalOnly => "proposal-only",
            Self::OldTimer => "old-timer",
            Self::UncheckedSyncCertificate => "unchecked-sync-certificate",
            Self::WeakMemo => "weak-memo",
            Self::UncheckedEntries => "unchecked-entries",
            Self::AcknowledgeBeforeStore => "acknowledge-before-store",
        }
    }

    /// The bug of this name.
    #[must_use]
    pub fn named(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|bug| bug.name() == name)
    }
}

#[cfg(planted)]
static PLANTED: std::sync::atomic::AtomicU8 = std::sync::atomic::AtomicU8::new(0);

/// Whether this build can have bugs planted.
pub const POSSIBLE: bool = cfg!(planted);

/// Whether `bug` is switched on.
#[cfg(planted)]
#[must_use]
pub fn is_planted(bug: Bug) -> bool {
    PLANTED.load(std::sync::atomic::Ordering::Relaxed) == bug as u8
}

/// Whether `bug` is switched on: never, in this build.
#[cfg(not(planted))]
#[must_use]
#[inline]
pub const fn is_planted(_bug: Bug) -> bool {
    false
}

/// Switches one bug on and all others off; for the whole process.
#[cfg(planted)]
pub fn plant(bug: Option<Bug>) {
    PLANTED.store(
        bug.map_or(0, |bug| bug as u8),
        std::sync::atomic::Ordering::Relaxed,
    );
}

/// Without `--cfg planted` there is nothing to switch on.
#[cfg(not(planted))]
pub const fn plant(_bug: Option<Bug>) {}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_find_their_bugs_and_an_ordinary_build_has_none() {
        for bug in Bug::ALL {
            assert_eq!(Bug::named(bug.name()), Some(bug));
        }
        assert_eq!(Bug::named("none"), None);
        if !POSSIBLE {
            plant(Some(Bug::ProposalOnly));
            assert!(!is_planted(Bug::ProposalOnly));
        }
    }
}
