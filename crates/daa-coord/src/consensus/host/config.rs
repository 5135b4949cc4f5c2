//! Sizes and times of a validator, and what it counts.

use super::super::application::Limits;
use super::super::mempool::Offered;
use super::super::verify::CheckCounts;
use arc_malachitebft_core_types::{Timeout, TimeoutKind};
use std::time::Duration;

/// How long a validator waits for others. All grow with the round, so that any bounded delay is met in the end.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Timeouts {
    /// Shortest wait for a proposal, 1 ms to `propose_max`. Between the two, the wait follows the measured pace.
    pub propose_min: Duration,
    /// Longest wait for a proposal in the first round, up to a minute.
    pub propose_max: Duration,
    /// Wait for more votes once a quorum voted, but not for the same; 1 ms to a minute.
    pub vote: Duration,
    /// Until votes are sent again, 1 ms to a minute.
    pub rebroadcast: Duration,
    /// No wait is longer, up to an hour.
    pub max: Duration,
}

impl Default for Timeouts {
    /// For validators in one process or one machine room.
    fn default() -> Self {
        Self {
            propose_min: Duration::from_millis(25),
            propose_max: Duration::from_millis(1_000),
            vote: Duration::from_millis(25),
            rebroadcast: Duration::from_millis(250),
            max: Duration::from_secs(10),
        }
    }
}

/// How many typical waits for a proposal a validator waits before it gives the proposer up.
const PATIENCE: u32 = 8;

impl Timeouts {
    /// The wait for `timeout` when a proposal typically takes `typical`.
    #[must_use]
    pub fn duration(&self, timeout: Timeout, typical: Option<Duration>) -> Duration {
        let round = timeout.round.as_u32().unwrap_or(0).saturating_add(1);
        let first = match timeout.kind {
            TimeoutKind::Propose => typical
                .map_or(self.propose_max, |typical| typical.saturating_mul(PATIENCE))
                .clamp(self.propose_min, self.propose_max),
            TimeoutKind::Prevote | TimeoutKind::Precommit => self.vote,
            TimeoutKind::Rebroadcast => self.rebroadcast,
            TimeoutKind::FinalizeHeight(wait) => return wait,
        };
        first.saturating_mul(round).min(self.max)
    }
}

/// Sizes and times of one validator.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct HostConfig {
    /// Waits of the agreement itself.
    pub timeouts: Timeouts,
    /// How far a proposed block's time may be ahead of this validator's clock; 1 ms to an hour.
    pub max_drift: Duration,
    /// Commands that may wait for a block; 1 to 1 048 576.
    pub max_waiting: usize,
    /// Bytes of commands in one block; 4096 to half of [`MAX_BLOCK`](super::super::MAX_BLOCK).
    pub max_block_bytes: usize,
    /// Decided blocks kept in memory for validators that are behind; 16 to 65 536.
    pub history: usize,
    /// How long a gap must last before blocks are asked for; 1 ms to a minute.
    pub sync_after: Duration,
    /// How often a validator says how far it is; 10 ms to an hour.
    pub status_every: Duration,
    /// Shortest time between two blocks that exist only to let time pass; 1 ms to a minute.
    pub tick_min: Duration,
    /// Blocks served per second to one peer that is behind; 1 to 100 000.
    pub serve_rate: u32,
}

impl Default for HostConfig {
    fn default() -> Self {
        Self {
            timeouts: Timeouts::default(),
            max_drift: Duration::from_secs(2),
            max_waiting: 16_384,
            max_block_bytes: 512 << 10,
            history: 1024,
            sync_after: Duration::from_millis(50),
            status_every: Duration::from_secs(1),
            tick_min: Duration::from_millis(20),
            serve_rate: 1000,
        }
    }
}

/// A field of a [`HostConfig`] that is outside its range.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{field} is {value}, allowed are {min} to {max}")]
pub struct RangeError {
    /// The field; times are in microseconds.
    pub field: &'static str,
    /// Its value.
    pub value: u128,
    /// Smallest allowed value.
    pub min: u128,
    /// Largest allowed value.
    pub max: u128,
}

impl HostConfig {
    /// What the application may use.
    pub(crate) const fn limits(&self) -> Limits {
        Limits {
            max_drift: self.max_drift,
            max_waiting: self.max_waiting,
            max_block_bytes: self.max_block_bytes,
            history: self.history,
        }
    }

    /// Whether every field is within its range.
    ///
    /// # Errors
    /// The first [`RangeError`].
    pub fn validate(&self) -> Result<(), RangeError> {
        const MS: u128 = 1_000;
        const MINUTE: u128 = 60_000 * MS;
        let Timeouts {
            propose_min,
            propose_max,
            vote,
            rebroadcast,
            max,
        } = self.timeouts;
        let micros = |time: Duration| time.as_micros();
        for (field, value, min, max) in [
            ("propose_max", micros(propose_max), MS, MINUTE),
            ("propose_min", micros(propose_min), MS, micros(propose_max)),
            ("vote", micros(vote), MS, MINUTE),
            ("rebroadcast", micros(rebroadcast), MS, MINUTE),
            ("max", micros(max), MS, 60 * MINUTE),
            ("max_drift", micros(self.max_drift), MS, 60 * MINUTE),
            ("max_waiting", self.max_waiting as u128, 1, 1 << 20),
            ("max_block_bytes", self.max_block_bytes as u128, 4096, 512 << 10),
            ("history", self.history as u128, 16, 65_536),
            ("sync_after", micros(self.sync_after), MS, MINUTE),
            ("status_every", micros(self.status_every), 10 * MS, 60 * MINUTE),
            ("tick_min", micros(self.tick_min), MS, MINUTE),
            ("serve_rate", u128::from(self.serve_rate), 1, 100_000),
        ] {
            if !(min..=max).contains(&value) {
                return Err(RangeError {
                    field,
                    value,
                    min,
                    max,
                });
            }
        }
        Ok(())
    }
}

/// What one validator has counted since it started.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct HostCounters {
    /// Blocks decided.
    pub decided: u64,
    /// Blocks that came with a certificate instead of being voted on.
    pub synced: u64,
    /// Rounds begun beyond the first of their height.
    pub extra_rounds: u64,
    /// Proposed blocks found invalid.
    pub invalid_blocks: u64,
    /// Messages that were dropped: malformed, of the wrong height, without a place, beyond a peer's share.
    pub dropped: u64,
    /// Votes that could change nothing and were not checked.
    pub spared: u64,
    /// Proofs of misbehaviour collected.
    pub evidence: u64,
    /// Signatures made.
    pub signed: u64,
    /// Signature checks.
    pub checks: CheckCounts,
    /// Commands offered.
    pub offered: Offered,
}
