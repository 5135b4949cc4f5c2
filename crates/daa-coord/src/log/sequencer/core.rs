//! The sequencer without its thread: submissions and time in, blocks out.

use super::faults::{Fate, FaultCounts, Faults};
use super::{SequencerConfig, SequencerError};
use crate::command::{MAX_PAYLOAD, SignedCommand};
use crate::genesis::Genesis;
use crate::ledger::Ledger;
use crate::log::{Block, LogSnapshot, SubmitError, SubscribeError};
use daa_base::{Millis, Timestamp};
use std::collections::VecDeque;
use std::sync::Arc;
use std::time::Duration;

/// Pure core of the [`Sequencer`](super::Sequencer). Times are the monotonic times of one clock.
#[derive(Debug)]
pub struct SequencerCore {
    config: SequencerConfig,
    max_block_entries: usize,
    pending: VecDeque<SignedCommand>,
    faults: Option<Faults>,
    /// The last blocks without a gap; the first is the one after `base`.
    history: VecDeque<Arc<Block>>,
    /// The state before the oldest kept block: blocks that leave the history are applied to it.
    base: Ledger,
    height: u64,
    time: Timestamp,
    begin_wall: Timestamp,
    begin: Duration,
    last_cut: Duration,
}

impl SequencerCore {
    /// A log that begins at time of day `wall` and monotonic time `now`.
    ///
    /// # Errors
    /// [`SequencerError`] when the configuration or the genesis is out of range.
    pub fn new(
        genesis: Genesis,
        config: SequencerConfig,
        wall: Timestamp,
        now: Duration,
    ) -> Result<Self, SequencerError> {
        config.validate()?;
        let base = Ledger::new(genesis)?;
        Ok(Self {
            max_block_entries: base.genesis().config().max_block_entries as usize,
            pending: VecDeque::new(),
            faults: config.faults.clone().map(Faults::new),
            history: VecDeque::new(),
            base,
            height: 0,
            time: wall,
            begin_wall: wall,
            begin: now,
            last_cut: now,
            config,
        })
    }

    /// Takes a command for one of the next blocks.
    ///
    /// # Errors
    /// [`SubmitError::TooLarge`], [`SubmitError::Full`], and with faults [`SubmitError::Timeout`].
    pub fn submit(&mut self, command: SignedCommand) -> Result<(), SubmitError> {
        if command.check_size().is_err() {
            return Err(SubmitError::TooLarge {
                size: command.payload.len(),
                limit: MAX_PAYLOAD,
            });
        }
        let limit = self.config.max_pending;
        let delayed = self.faults.as_ref().map_or(0, Faults::delayed);
        if self.pending.len() + delayed >= limit {
            return Err(SubmitError::Full { limit });
        }
        let Some(faults) = &mut self.faults else {
            self.pending.push_back(command);
            return Ok(());
        };
        let Fate { now, confirmed } = faults.decide(command, self.height);
        self.pending.extend(now);
        confirmed
    }

    /// Puts everything that waits into blocks, or makes one empty block when the tick is due.
    pub fn cut(&mut self, now: Duration) -> Vec<Arc<Block>> {
        let mut blocks = Vec::new();
        if let Some(faults) = &mut self.faults {
            faults.release_due(self.height, &mut self.pending);
        }
        while !self.pending.is_empty() {
            let count = self.pending.len().min(self.max_block_entries);
            let entries = self.pending.drain(..count).collect();
            blocks.push(self.seal(entries, now));
        }
        if blocks.is_empty() && self.until_tick(now).is_zero() {
            blocks.push(self.seal(Vec::new(), now));
        }
        blocks
    }

    /// Time from `now` until an empty block is due.
    #[must_use]
    pub fn until_tick(&self, now: Duration) -> Duration {
        let due = self.last_cut.saturating_add(self.config.tick.into());
        due.saturating_sub(now)
    }

    fn seal(&mut self, mut entries: Vec<SignedCommand>, now: Duration) -> Arc<Block> {
        if let Some(faults) = &mut self.faults {
            faults.reorder(&mut entries);
        }
        let elapsed = now.saturating_sub(self.begin).as_millis();
        let stamp = self
            .begin_wall
            .after(Millis(u64::try_from(elapsed).unwrap_or(u64::MAX)));
        self.time = self.time.max(stamp);
        self.height += 1;
        self.last_cut = self.last_cut.max(now);
        let block = Arc::new(Block {
            height: self.height,
            time: self.time,
            entries,
            evidence: Vec::new(),
        });
        self.remember(Arc::clone(&block));
        block
    }

    fn remember(&mut self, block: Arc<Block>) {
        self.history.push_back(block);
        while self.history.len() > self.config.history {
            let Some(oldest) = self.history.pop_front() else {
                return;
            };
            self.base
                .apply(&oldest)
                .expect("the history is gapless and its blocks are within the ledger's size");
        }
    }

    /// The kept blocks from `from` on.
    ///
    /// # Errors
    /// [`SubscribeError::TooOld`] or [`SubscribeError::Ahead`].
    pub fn blocks_from(&self, from: u64) -> Result<VecDeque<Arc<Block>>, SubscribeError> {
        let oldest = self.base.height() + 1;
        let next = self.height + 1;
        if from < oldest {
            return Err(SubscribeError::TooOld { wanted: from, oldest });
        }
        if from > next {
            return Err(SubscribeError::Ahead { wanted: from, next });
        }
        let kept = self.history.iter().filter(|block| block.height >= from);
        Ok(kept.cloned().collect())
    }

    /// The state before the oldest kept block.
    #[must_use]
    pub fn snapshot(&self) -> LogSnapshot {
        LogSnapshot {
            height: self.base.height(),
            bytes: self.base.snapshot().into(),
        }
    }

    /// Height of the last block.
    #[must_use]
    pub const fn height(&self) -> u64 {
        self.height
    }

    /// How often each fault has happened so far.
    #[must_use]
    pub fn fault_counts(&self) -> FaultCounts {
        self.faults
            .as_ref()
            .map_or_else(FaultCounts::default, Faults::counts)
    }
}
