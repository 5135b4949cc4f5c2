//! What there is to show, folded from events.

use daa_agent::events::{EpochMetrics, EventKind, Work};
use daa_base::AgentId;
use std::collections::BTreeMap;

/// What every agent does now, and how far the search is.
#[derive(Debug, Default)]
pub(super) struct Board {
    budget: u64,
    headline: &'static str,
    agents: BTreeMap<AgentId, Doing>,
    /// Per piece of work of the search: the epoch it began at and the last one done.
    done: BTreeMap<Work, (u32, u32)>,
}

#[derive(Debug, Default)]
struct Doing {
    work: Option<Work>,
    architecture: String,
    to_epoch: u32,
    now: String,
}

impl Board {
    /// Takes in what happened, and says whose line changed.
    pub(super) fn apply(&mut self, kind: &EventKind) -> Option<AgentId> {
        match kind {
            EventKind::RunStarted { .. } => self.headline = "reading data",
            EventKind::SearchPlanned { epochs_budget, .. } => {
                self.budget = u64::from(*epochs_budget);
                self.headline = "searching";
            }
            EventKind::Chosen { .. } => self.headline = "training the winner",
            EventKind::Tested { .. } => self.headline = "writing the report",
            EventKind::StopRequested { .. } => self.headline = "stopping",
            _ => return self.apply_agent(kind),
        }
        None
    }

    fn apply_agent(&mut self, kind: &EventKind) -> Option<AgentId> {
        let (agent, now) = match kind {
            EventKind::WorkClaimed {
                agent,
                work,
                architecture,
                from_epoch,
                to_epoch,
            } => {
                let doing = self.agents.entry(*agent).or_default();
                doing.work = Some(*work);
                doing.architecture.clone_from(architecture);
                doing.to_epoch = *to_epoch;
                self.done.entry(*work).or_insert((*from_epoch, *from_epoch));
                (agent, "starts".to_owned())
            }
            EventKind::WorkRecovered { agent, .. } => (agent, "was done before".to_owned()),
            EventKind::LeaseRequested { agent, bytes, .. } => (agent, format!("asks for {bytes}")),
            EventKind::LeaseQueued { agent, ahead, .. } => (agent, format!("waits behind {ahead} others")),
            EventKind::LeaseGranted { agent, bytes, .. } => (agent, format!("holds {bytes}")),
            EventKind::LeaseRefused { agent, bytes, .. } => (agent, format!("was refused {bytes}")),
            EventKind::WorkYielded { agent, epoch, .. } => (agent, format!("paused in epoch {epoch}")),
            EventKind::EpochEnded { agent, work, metrics } => {
                let done = self
                    .done
                    .entry(*work)
                    .or_insert((metrics.epoch.saturating_sub(1), 0));
                done.1 = done.1.max(metrics.epoch);
                let to_epoch = self.agents.get(agent).map_or(0, |doing| doing.to_epoch);
                (agent, epoch(metrics, to_epoch))
            }
            EventKind::WorkDone { agent, outcome, .. } => (agent, outcome.clone()),
            _ => return None,
        };
        self.agents.entry(*agent).or_default().now = now;
        Some(*agent)
    }

    /// Epochs that the search may spend, once that is known.
    pub(super) const fn budget(&self) -> Option<u64> {
        match self.budget {
            0 => None,
            budget => Some(budget),
        }
    }

    /// Epochs that the search spent, as far as this process saw.
    pub(super) fn epochs(&self) -> u64 {
        let searched = self
            .done
            .iter()
            .filter(|(work, _)| matches!(work, Work::Trial(_)));
        let epochs: u64 = searched
            .map(|(_, (from, last))| u64::from(last.saturating_sub(*from)))
            .sum();
        epochs.min(self.budget)
    }

    /// What the run does now.
    pub(super) const fn headline(&self) -> &'static str {
        self.headline
    }

    /// What `agent` does now.
    pub(super) fn line(&self, agent: AgentId) -> String {
        let Some(doing) = self.agents.get(&agent) else {
            return String::new();
        };
        match doing.work {
            // What moves comes first: long names are cut off at the edge of the terminal.
            Some(work) => format!("{work}  {}  {}", doing.now, doing.architecture),
            None => doing.now.clone(),
        }
    }
}

fn epoch(metrics: &EpochMetrics, to_epoch: u32) -> String {
    let of = format!("epoch {}/{}", metrics.epoch, to_epoch.max(metrics.epoch));
    match (metrics.validation_accuracy, metrics.validation_rmse) {
        (Some(accuracy), _) => format!("{of}  accuracy {accuracy:.4}"),
        (None, Some(rmse)) => format!("{of}  RMSE {rmse:.5}"),
        (None, None) => format!("{of}  loss {:.4}", metrics.train_loss),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use daa_base::{Bytes, TrialId};

    fn claimed(agent: u32, work: Work, from_epoch: u32, to_epoch: u32) -> EventKind {
        let architecture = "mlp 64-10".to_owned();
        EventKind::WorkClaimed {
            agent: AgentId(agent),
            work,
            architecture,
            from_epoch,
            to_epoch,
        }
    }

    fn ended(agent: u32, work: Work, epoch: u32, accuracy: Option<f64>) -> EventKind {
        let metrics = EpochMetrics {
            epoch,
            train_loss: 0.5,
            validation_loss: None,
            validation_accuracy: accuracy,
            validation_rmse: None,
        };
        EventKind::EpochEnded {
            agent: AgentId(agent),
            work,
            metrics,
        }
    }

    #[test]
    fn epochs_count_once_and_only_those_of_the_search() {
        let mut board = Board::default();
        let planned = EventKind::SearchPlanned {
            candidates: 2,
            epochs_budget: 9,
            window: 4,
            largest_peak: Bytes::KIB,
        };
        let (first, second) = (Work::Trial(TrialId(0)), Work::Trial(TrialId(1)));
        for kind in [
            planned,
            claimed(1, first, 0, 3),
            claimed(2, second, 3, 6),
            ended(1, first, 1, None),
            ended(1, first, 1, None),
            ended(2, second, 4, None),
            ended(2, second, 5, None),
            claimed(1, Work::Final, 0, 3),
            ended(1, Work::Final, 1, None),
        ] {
            board.apply(&kind);
        }
        assert_eq!((board.epochs(), board.budget()), (3, Some(9)));
    }

    #[test]
    fn a_line_says_what_the_agent_does_now() {
        let mut board = Board::default();
        let work = Work::Trial(TrialId(7));
        assert_eq!(board.apply(&claimed(3, work, 0, 5)), Some(AgentId(3)));
        board.apply(&ended(3, work, 2, Some(0.975)));
        assert_eq!(
            board.line(AgentId(3)),
            "trial-7  epoch 2/5  accuracy 0.9750  mlp 64-10"
        );
        assert_eq!(board.line(AgentId(4)), "");
    }
}
