//! Trials of the search: claims in order, results once.

use super::state::{Claim, State};
use crate::keys::Digest;
use crate::ledger::event::{LedgerEvent, TrialRecord};
use crate::ledger::reason::{Rejection, ReleaseReason};
use daa_base::{AgentId, TrialId};

impl State {
    pub(super) fn claim_trial(
        &mut self,
        (agent, seq): (AgentId, u64),
        trial: TrialId,
        digest: Digest,
    ) -> Result<LedgerEvent, Rejection> {
        self.check_claim(agent, trial, digest)?;
        let until = self.time.after(self.config().claim_timeout);
        let trials = &mut *self.trials;
        trials.claims.insert(trial, Claim { agent, digest, until });
        trials.released.remove(&trial);
        trials.next = trials.next.max(trial.get() + 1);
        Ok(LedgerEvent::TrialClaimed {
            trial,
            agent,
            seq,
            digest,
            until,
        })
    }

    fn check_claim(&self, agent: AgentId, trial: TrialId, digest: Digest) -> Result<(), Rejection> {
        let (trials, config) = (&self.trials, self.config());
        if self.records.contains_key(&trial) {
            return Err(Rejection::TrialOver { trial });
        }
        match trials.claims.get(&trial) {
            // Repeating one's own claim prolongs it.
            Some(claim) if claim.agent == agent && claim.digest == digest => return Ok(()),
            Some(claim) => {
                return Err(Rejection::TrialTaken {
                    trial,
                    by: claim.agent,
                });
            }
            None => {}
        }
        if trial.get() >= config.max_trials {
            return Err(Rejection::TrialLimit {
                last: TrialId(config.max_trials - 1),
            });
        }
        if trial.get() != trials.next && !trials.released.contains(&trial) {
            return Err(Rejection::TrialNotNext {
                trial,
                next: TrialId(trials.next),
            });
        }
        if !self.decision_ready(trial) {
            return Err(Rejection::WindowClosed {
                trial,
                missing: TrialId(trials.recorded_prefix),
            });
        }
        Ok(())
    }

    /// Whether every trial numbered below `trial` − W has a result.
    pub(super) fn decision_ready(&self, trial: TrialId) -> bool {
        trial.get().saturating_sub(self.config().trial_window) <= self.trials.recorded_prefix
    }

    fn own_claim(&mut self, agent: AgentId, trial: TrialId) -> Result<&mut Claim, Rejection> {
        self.trials
            .claims
            .get_mut(&trial)
            .filter(|claim| claim.agent == agent)
            .ok_or(Rejection::NotClaimant { trial })
    }

    pub(super) fn touch_trial(
        &mut self,
        (agent, seq): (AgentId, u64),
        trial: TrialId,
    ) -> Result<LedgerEvent, Rejection> {
        let until = self.time.after(self.config().claim_timeout);
        self.own_claim(agent, trial)?.until = until;
        Ok(LedgerEvent::TrialTouched {
            trial,
            agent,
            seq,
            until,
        })
    }

    pub(super) fn abandon_trial(
        &mut self,
        (agent, seq): (AgentId, u64),
        trial: TrialId,
    ) -> Result<LedgerEvent, Rejection> {
        self.own_claim(agent, trial)?;
        self.trials.claims.remove(&trial);
        self.trials.released.insert(trial);
        Ok(LedgerEvent::TrialReleased {
            trial,
            agent,
            seq: Some(seq),
            reason: ReleaseReason::Abandoned,
        })
    }

    pub(super) fn record_trial(
        &mut self,
        (agent, seq): (AgentId, u64),
        trial: TrialId,
        (score_micro, epochs, checkpoint): (i64, u32, Digest),
    ) -> Result<LedgerEvent, Rejection> {
        if let Some(record) = self.records.get(&trial) {
            let same =
                (record.score_micro, record.epochs, record.checkpoint) == (score_micro, epochs, checkpoint);
            return match (record.agent == agent, same) {
                (false, _) => Err(Rejection::NotClaimant { trial }),
                (true, false) => Err(Rejection::ResultDiffers { trial }),
                (true, true) => Ok(LedgerEvent::TrialRecorded {
                    trial,
                    seq,
                    record: record.clone(),
                }),
            };
        }
        let digest = self.own_claim(agent, trial)?.digest;
        let record = TrialRecord {
            agent,
            digest,
            score_micro,
            epochs,
            checkpoint,
            at: self.time,
        };
        let trials = &mut *self.trials;
        trials.claims.remove(&trial);
        self.records.insert(trial, record.clone());
        while self.records.contains_key(&TrialId(trials.recorded_prefix)) {
            trials.recorded_prefix += 1;
        }
        Ok(LedgerEvent::TrialRecorded { trial, seq, record })
    }

    /// Frees the trials whose workers were not heard of in time.
    pub(super) fn expire_claims(&mut self, events: &mut Vec<LedgerEvent>) {
        let now = self.time;
        let over: Vec<(TrialId, AgentId)> = self
            .trials
            .claims
            .iter()
            .filter(|(_, claim)| claim.until <= now)
            .map(|(&trial, claim)| (trial, claim.agent))
            .collect();
        for (trial, agent) in over {
            self.trials.claims.remove(&trial);
            self.trials.released.insert(trial);
            events.push(LedgerEvent::TrialReleased {
                trial,
                agent,
                seq: None,
                reason: ReleaseReason::TimedOut,
            });
        }
    }
}
