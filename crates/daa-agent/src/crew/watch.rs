//! How long a run waits: for an order to get on, and for any node to take one.

use super::roll::{LOST_AFTER, Outlook};
use crate::error::AgentError;
use crate::work::News;
use std::time::Duration;

/// An order of which no epoch is told for so long is taken away. It doubles each time that one order is, for trainings whose
/// epochs take longer than that.
const NO_PROGRESS: Duration = Duration::from_secs(600);

/// News of one order: what a node keeps at most.
const MAX_NEWS_OF_ORDER: u64 = 65_536;

/// How long a run waits while nodes are there and say that they are full.
const FULL_PATIENCE: Duration = Duration::from_secs(3600);

/// Nodes that may break a rule with one order before the run fails.
const MAX_FAULTS: u32 = 6;

/// Times that one order may be lost before the run fails.
const MAX_LOSSES: u32 = 32;

/// One order at one node.
#[derive(Debug)]
pub(super) struct Watch {
    /// Without progress for so long it is taken away.
    patience: Duration,
    begun: Duration,
    /// When it last got on.
    progress: Duration,
    heard: Duration,
    /// The epoch told last, from 1.
    epoch: u32,
    /// The last epoch of the order.
    last: u32,
    told: u64,
}

impl Watch {
    /// An order up to epoch `epochs` that has been taken away for want of progress `stuck` times.
    pub(super) fn new(epochs: u32, stuck: u32, now: Duration) -> Self {
        Self {
            patience: NO_PROGRESS.saturating_mul(1 << stuck.min(8)),
            begun: now,
            progress: now,
            heard: now,
            epoch: 0,
            last: epochs,
            told: 0,
        }
    }

    /// News that came so far.
    pub(super) const fn told(&self) -> u64 {
        self.told
    }

    /// The node has answered with `news`. Returns whether there may be so much of it.
    pub(super) fn heard(&mut self, news: &[News], now: Duration) -> bool {
        self.heard = now;
        self.told += news.len() as u64;
        for one in news {
            // Only an epoch that is still to come is progress: news without end are none.
            if let News::Epoch(metrics) = one
                && metrics.epoch > self.epoch
                && metrics.epoch <= self.last
            {
                (self.epoch, self.progress) = (metrics.epoch, now);
            }
        }
        self.told <= MAX_NEWS_OF_ORDER
    }

    /// Whether the node has not answered for too long.
    pub(super) fn is_silent(&self, now: Duration) -> bool {
        now.saturating_sub(self.heard) >= LOST_AFTER
    }

    /// For how long the order has not got on, once that is too long.
    pub(super) fn stuck(&self, now: Duration) -> Option<Duration> {
        let stuck = now.saturating_sub(self.progress);
        (stuck >= self.patience).then_some(stuck)
    }

    /// Since the order was taken.
    pub(super) fn spent(&self, now: Duration) -> Duration {
        now.saturating_sub(self.begun)
    }

    /// Time within which its result must be here, once it is done.
    pub(super) const fn handing_in(&self) -> Duration {
        self.patience
    }
}

/// What one order has been through, at all nodes.
#[derive(Debug, Default)]
pub(super) struct Trials {
    faults: u32,
    losses: u32,
    /// Times that it was taken away for want of progress.
    pub(super) stuck: u32,
}

impl Trials {
    /// It was lost once more. Returns how often, if it is too often to go on.
    pub(super) fn lost(&mut self, blame: bool) -> Option<u32> {
        self.faults += u32::from(blame);
        self.losses += 1;
        (self.faults >= MAX_FAULTS || self.losses >= MAX_LOSSES).then_some(self.losses)
    }
}

/// Waiting for a node that takes an order, whatever nodes say meanwhile.
#[derive(Debug)]
pub(super) struct Queue {
    /// How long to wait without any node.
    patience: Duration,
    /// Since when no node is ready, or all are full.
    alone: Duration,
    /// Since when no node takes anything of this run.
    idle: Duration,
}

impl Queue {
    pub(super) const fn new(patience: Duration, now: Duration) -> Self {
        Self {
            patience,
            alone: now,
            idle: now,
        }
    }

    /// Nobody has a place, and this is to be expected.
    ///
    /// # Errors
    /// When the wait has been too long.
    pub(super) fn wait(&mut self, outlook: Outlook, now: Duration) -> Result<(), AgentError> {
        match outlook {
            Outlook::AtWork => (self.alone, self.idle) = (now, now),
            Outlook::Full(_) => self.alone = now,
            Outlook::Alone => {}
        }
        let waited = now.saturating_sub(self.idle);
        if let Outlook::Full(why) = outlook
            && waited >= FULL_PATIENCE
        {
            let reason = why.to_string();
            return Err(AgentError::NodesFull { waited, reason });
        }
        let waited = now.saturating_sub(self.alone);
        if waited >= self.patience {
            return Err(AgentError::NoNodes { waited });
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::events::EpochMetrics;
    use crate::work::Crowd;

    const fn at(seconds: u64) -> Duration {
        Duration::from_secs(seconds)
    }

    fn epoch(epoch: u32) -> News {
        News::Epoch(EpochMetrics {
            epoch,
            train_loss: 1.0,
            validation_loss: None,
            validation_accuracy: None,
            validation_rmse: None,
        })
    }

    fn queued() -> News {
        News::Queued {
            ahead: 1,
            reason: String::new(),
        }
    }

    #[test]
    fn an_order_that_only_talks_is_taken_away() {
        let mut watch = Watch::new(3, 0, at(0));
        for second in 0..599 {
            assert!(watch.heard(&[queued()], at(second)));
            assert_eq!(watch.stuck(at(second)), None);
        }
        assert!(
            watch.heard(&[epoch(0), epoch(4)], at(599)),
            "no epochs of this order"
        );
        assert_eq!(watch.stuck(at(600)), Some(at(600)));
        assert!(!watch.is_silent(at(600)));
        let mut watch = Watch::new(3, 0, at(0));
        for (second, told) in [(500, 1), (1000, 2), (1500, 2), (1599, 1)] {
            assert!(watch.heard(&[epoch(told)], at(second)));
        }
        assert_eq!(watch.stuck(at(1599)), None);
        assert_eq!(watch.stuck(at(1600)), Some(at(600)), "an epoch counts once");
        assert_eq!(
            Watch::new(3, 1, at(0)).stuck(at(1199)),
            None,
            "the next has longer"
        );
    }

    #[test]
    fn news_of_an_order_have_an_end_and_silence_too() {
        let mut watch = Watch::new(3, 0, at(0));
        let news: Vec<News> = (0..32).map(|_| queued()).collect();
        let fitting = MAX_NEWS_OF_ORDER / 32;
        for _ in 0..fitting {
            assert!(watch.heard(&news, at(1)));
        }
        assert_eq!(watch.told(), MAX_NEWS_OF_ORDER);
        assert!(!watch.heard(&news, at(1)));
        assert!(!watch.is_silent(at(10)) && watch.is_silent(at(11)));
    }

    #[test]
    fn an_order_is_not_lost_for_ever() {
        let mut unlucky = Trials::default();
        let ends: Vec<_> = (0..MAX_LOSSES).map(|_| unlucky.lost(false)).collect();
        assert_eq!(ends.iter().position(Option::is_some), Some(31));
        let mut wronged = Trials::default();
        let ends: Vec<_> = (0..MAX_FAULTS).map(|_| wronged.lost(true)).collect();
        assert_eq!(ends.iter().position(Option::is_some), Some(5));
    }

    #[test]
    fn a_run_waits_longer_where_others_are_at_work_but_not_for_ever() {
        let mut queue = Queue::new(at(120), at(0));
        assert!(queue.wait(Outlook::Alone, at(119)).is_ok());
        assert!(queue.wait(Outlook::AtWork, at(119)).is_ok());
        assert!(queue.wait(Outlook::Alone, at(238)).is_ok());
        let alone = queue.wait(Outlook::Alone, at(239)).expect_err("alone");
        assert!(matches!(alone, AgentError::NoNodes { waited } if waited == at(120)));
        let mut queue = Queue::new(at(120), at(0));
        for second in 0..3600 {
            assert!(queue.wait(Outlook::Full(Crowd::Jobs), at(second)).is_ok());
        }
        let full = queue
            .wait(Outlook::Full(Crowd::Jobs), at(3600))
            .expect_err("full");
        assert!(full.to_string().contains("as many runs as it can"), "{full}");
    }
}
