//! Everything a commit log may do wrong, on purpose and from a seed.

use crate::command::SignedCommand;
use crate::log::SubmitError;
use daa_base::{Permille, Rng, Seed};
use std::collections::{BTreeMap, VecDeque};

/// How often the sequencer misbehaves, in the ways a [`CommitLog`](crate::CommitLog) driver may.
///
/// For tests: whatever works under these faults may rely on the port alone. Draws come from `seed` and the order of
/// submissions. Faults never forge, alter or invent commands. The default has no faults.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct SequencerFaults {
    /// Of the draws below.
    pub seed: Seed,
    /// Chance that a submission is lost though `Ok` was returned.
    pub lose: Permille,
    /// Chance that a submission is lost and `Timeout` was returned.
    pub lose_with_timeout: Permille,
    /// Chance that a submission is committed though `Timeout` was returned.
    pub commit_with_timeout: Permille,
    /// Chance that a submission that is not lost is committed a second time, later.
    pub duplicate: Permille,
    /// Chance that a submission that is not lost is committed some blocks later.
    pub delay: Permille,
    /// Longest delay in blocks; 0 counts as 1.
    pub max_delay_blocks: u32,
    /// Chance that the entries of a block are shuffled.
    pub shuffle: Permille,
}

impl SequencerFaults {
    /// A log that does everything wrong often: about half of the submissions meet a fault.
    #[must_use]
    pub fn harsh(seed: Seed) -> Self {
        let permille = |thousandths| Permille::new(thousandths).unwrap_or(Permille::WHOLE);
        Self {
            seed,
            lose: permille(100),
            lose_with_timeout: permille(50),
            commit_with_timeout: permille(100),
            duplicate: permille(150),
            delay: permille(250),
            max_delay_blocks: 6,
            shuffle: permille(500),
        }
    }
}

/// How often each fault has happened.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct FaultCounts {
    /// Lost, with `Ok` or with `Timeout`.
    pub lost: u64,
    /// Committed though `Timeout` was returned.
    pub committed_with_timeout: u64,
    /// Committed twice.
    pub duplicated: u64,
    /// Committed some blocks later.
    pub delayed: u64,
    /// Blocks whose entries were shuffled.
    pub shuffled: u64,
}

#[derive(Debug)]
pub(super) struct Faults {
    config: SequencerFaults,
    rng: Rng,
    /// By the height after which they are due.
    delayed: BTreeMap<u64, Vec<SignedCommand>>,
    counts: FaultCounts,
}

/// What becomes of one submission.
pub(super) struct Fate {
    /// What goes into the next block.
    pub(super) now: Option<SignedCommand>,
    /// What the submitter is told.
    pub(super) confirmed: Result<(), SubmitError>,
}

impl Faults {
    pub(super) fn new(config: SequencerFaults) -> Self {
        Self {
            rng: config.seed.stream("sequencer faults").rng(),
            config,
            delayed: BTreeMap::new(),
            counts: FaultCounts::default(),
        }
    }

    fn hit(&mut self, chance: Permille) -> bool {
        self.rng.below(1000) < usize::from(chance.get())
    }

    pub(super) fn decide(&mut self, command: SignedCommand, height: u64) -> Fate {
        let (now, confirmed) = if self.hit(self.config.lose) {
            self.counts.lost += 1;
            (None, Ok(()))
        } else if self.hit(self.config.lose_with_timeout) {
            self.counts.lost += 1;
            (None, Err(SubmitError::Timeout))
        } else {
            let mut confirmed = Ok(());
            if self.hit(self.config.commit_with_timeout) {
                self.counts.committed_with_timeout += 1;
                confirmed = Err(SubmitError::Timeout);
            }
            if self.hit(self.config.duplicate) {
                self.counts.duplicated += 1;
                self.postpone(command.clone(), height);
            }
            if self.hit(self.config.delay) {
                self.counts.delayed += 1;
                self.postpone(command, height);
                (None, confirmed)
            } else {
                (Some(command), confirmed)
            }
        };
        Fate { now, confirmed }
    }

    fn postpone(&mut self, command: SignedCommand, height: u64) {
        let blocks = 1 + self.rng.below(self.config.max_delay_blocks.max(1) as usize) as u64;
        self.delayed.entry(height + blocks).or_default().push(command);
    }

    /// Moves what is due at `height` to the submissions.
    pub(super) fn release_due(&mut self, height: u64, pending: &mut VecDeque<SignedCommand>) {
        let later = self.delayed.split_off(&(height + 1));
        for commands in std::mem::replace(&mut self.delayed, later).into_values() {
            pending.extend(commands);
        }
    }

    pub(super) fn reorder(&mut self, entries: &mut [SignedCommand]) {
        if entries.len() > 1 && self.hit(self.config.shuffle) {
            self.counts.shuffled += 1;
            self.rng.shuffle(entries);
        }
    }

    pub(super) fn delayed(&self) -> usize {
        self.delayed.values().map(Vec::len).sum()
    }

    pub(super) const fn counts(&self) -> FaultCounts {
        self.counts
    }
}
