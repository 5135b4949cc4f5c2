//! What coordination measured.

use crate::ledger::Ledger;
use daa_base::Timestamp;
use std::time::Duration;

/// A reading of a [`CoordinationMeter`]. Ratios and averages of nothing are 0.
#[derive(Debug, Clone, Copy, Default, PartialEq)]
pub struct CoordinationMetrics {
    /// Attempts that ended in agreement.
    pub successful_coordinations: u64,
    /// Attempts that did not.
    pub failed_coordinations: u64,
    /// Mean time of an attempt, whatever its end, in milliseconds.
    pub average_coordination_time_ms: f64,
    /// Memory under lease, averaged over agreed time and over all devices' memory; 0 to 1.
    pub resource_sharing_efficiency: f32,
    /// Decisions per round of voting begun; 1 when every first round decides.
    pub consensus_reached_ratio: f32,
}

/// Counts and sums that callers feed with what they measured. Nothing is estimated.
#[derive(Debug, Clone, Default)]
pub struct CoordinationMeter {
    successful: u64,
    failed: u64,
    spent: Duration,
    decided: u64,
    rounds: u64,
    /// Byte-milliseconds under lease, and of capacity.
    leased: u128,
    capacity: u128,
    /// Agreed time of the last look at the ledger, and what was leased and there then.
    last: Option<(Timestamp, u128, u128)>,
}

impl CoordinationMeter {
    /// An attempt to agree ended in agreement after `took`.
    pub const fn succeeded(&mut self, took: Duration) {
        self.successful += 1;
        self.spent = self.spent.saturating_add(took);
    }

    /// An attempt to agree ended without agreement after `took`.
    pub const fn failed(&mut self, took: Duration) {
        self.failed += 1;
        self.spent = self.spent.saturating_add(took);
    }

    /// A height was decided in its round number `round`, counted from 0.
    pub fn decided(&mut self, round: u32) {
        self.decided += 1;
        self.rounds = self.rounds.saturating_add(u64::from(round) + 1);
    }

    /// `heights` were decided, and took `extra` rounds more than one each.
    pub const fn voted(&mut self, heights: u64, extra: u64) {
        self.decided = self.decided.saturating_add(heights);
        self.rounds = self.rounds.saturating_add(heights).saturating_add(extra);
    }

    /// Looks at the ledger after blocks that it was not shown: the time until now does not count.
    pub fn skip(&mut self, ledger: &Ledger) {
        self.last = None;
        self.look(ledger);
    }

    /// Looks at the ledger, after each of its blocks: what was leased since the last look counts for the agreed time between.
    pub fn look(&mut self, ledger: &Ledger) {
        let now = ledger.time();
        if let Some((then, leased, capacity)) = self.last {
            let millis = u128::from(now.since(then).get());
            self.leased = self.leased.saturating_add(leased.saturating_mul(millis));
            self.capacity = self.capacity.saturating_add(capacity.saturating_mul(millis));
        }
        let (mut leased, mut capacity) = (0, 0);
        for device in ledger.devices() {
            leased += u128::from(device.used.get());
            capacity += u128::from(device.capacity.get());
        }
        self.last = Some((now, leased, capacity));
    }

    /// What was measured so far.
    #[must_use]
    #[expect(
        clippy::cast_precision_loss,
        clippy::cast_possible_truncation,
        reason = "for people; nothing is decided by it"
    )]
    pub fn read(&self) -> CoordinationMetrics {
        let ratio = |part: u128, whole: u128| {
            if whole == 0 {
                0.0
            } else {
                part as f64 / whole as f64
            }
        };
        let attempts = self.successful + self.failed;
        let average = if attempts == 0 {
            0.0
        } else {
            self.spent.as_secs_f64() * 1000.0 / attempts as f64
        };
        CoordinationMetrics {
            successful_coordinations: self.successful,
            failed_coordinations: self.failed,
            average_coordination_time_ms: average,
            resource_sharing_efficiency: ratio(self.leased, self.capacity) as f32,
            consensus_reached_ratio: ratio(self.decided.into(), self.rounds.into()) as f32,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Command;
    use crate::genesis::LedgerConfig;
    use crate::ledger::tests::{Scene, wish};

    #[test]
    fn only_what_happened_is_counted() {
        let mut meter = CoordinationMeter::default();
        assert_eq!(meter.read(), CoordinationMetrics::default());
        meter.succeeded(Duration::from_millis(2));
        meter.failed(Duration::from_millis(6));
        meter.decided(0);
        meter.decided(2);
        let mut scene = Scene::new(LedgerConfig::default());
        meter.look(&scene.ledger);
        scene.pass(100);
        meter.look(&scene.ledger);
        // 500 of 1000 bytes for the next 100 ms: a quarter of all that was there so far.
        scene.run(1, &Command::Request(wish(500)));
        meter.look(&scene.ledger);
        scene.pass(100);
        meter.look(&scene.ledger);
        let read = meter.read();
        assert_eq!((read.successful_coordinations, read.failed_coordinations), (1, 1));
        assert!((read.average_coordination_time_ms - 4.0).abs() < 1e-9);
        assert!((read.consensus_reached_ratio - 0.5).abs() < 1e-6);
        assert!((read.resource_sharing_efficiency - 0.25).abs() < 1e-6);
    }
}
