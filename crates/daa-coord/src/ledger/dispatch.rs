//! From a block's entries to rules: who signed, whose turn it is, which rule applies.

use super::signatures::Verdicts;
use super::state::State;
use crate::command::{Command, RequestId, SignedCommand, decode_payload};
use crate::genesis::OPERATOR;
use crate::ledger::event::LedgerEvent;
use crate::ledger::reason::{DropReason, Rejection};
use daa_base::AgentId;

/// What becomes of an entry before its command is looked at.
pub(super) enum Turn {
    /// It is its agent's next command.
    Now,
    /// It is authentic and waits for this number.
    After(u64),
}

impl State {
    /// Applies the entry at place `at` of its block, and with it the entries that were waiting for it.
    pub(super) fn admit(
        &mut self,
        verdicts: &Verdicts<'_>,
        (at, entry): (usize, &SignedCommand),
        events: &mut Vec<LedgerEvent>,
    ) {
        let (agent, seq) = (entry.agent, entry.seq);
        match self.turn(verdicts, (at, entry)) {
            Err(reason) => events.push(LedgerEvent::Dropped { agent, seq, reason }),
            Ok(Turn::After(missing)) => {
                if let Some(state) = self.agents.get_mut(&agent) {
                    state.held.insert(seq, entry.payload.clone());
                }
                events.push(LedgerEvent::Held { agent, seq, missing });
            }
            Ok(Turn::Now) => {
                self.execute(verdicts, (agent, seq), &entry.payload, events);
                while let Some((seq, payload)) = self.next_held(agent) {
                    self.execute(verdicts, (agent, seq), &payload, events);
                }
            }
        }
    }

    fn turn(
        &self,
        verdicts: &Verdicts<'_>,
        (at, entry): (usize, &SignedCommand),
    ) -> Result<Turn, DropReason> {
        let turn = self.check_entry(entry)?;
        let key = self.agents.get(&entry.agent).map(|agent| agent.key);
        if key.is_some_and(|key| verdicts.holds(at, entry, key)) {
            Ok(turn)
        } else {
            Err(DropReason::BadSignature)
        }
    }

    /// What needs no signature check: a flood of stale or far-off numbers costs none.
    pub(super) fn check_entry(&self, entry: &SignedCommand) -> Result<Turn, DropReason> {
        let agent = self.active(entry.agent).ok_or(DropReason::UnknownAgent)?;
        let next = agent.next_seq;
        let last = next.saturating_add(u64::from(self.config().seq_window) - 1);
        if entry.seq < next {
            return Err(DropReason::Replayed { next });
        }
        if entry.seq > last {
            return Err(DropReason::TooFarAhead { next, last });
        }
        if agent.held.contains_key(&entry.seq) {
            return Err(DropReason::AlreadyHeld);
        }
        if entry.check_size().is_err() {
            return Err(DropReason::TooLarge);
        }
        Ok(if entry.seq == next {
            Turn::Now
        } else {
            Turn::After(next)
        })
    }

    fn next_held(&mut self, agent: AgentId) -> Option<(u64, Vec<u8>)> {
        let state = self.agents.get_mut(&agent)?;
        let seq = state.next_seq;
        state.held.remove(&seq).map(|payload| (seq, payload))
    }

    fn execute(
        &mut self,
        verdicts: &Verdicts<'_>,
        (agent, seq): (AgentId, u64),
        payload: &[u8],
        events: &mut Vec<LedgerEvent>,
    ) {
        if let Some(state) = self.agents.get_mut(&agent) {
            state.next_seq = seq.saturating_add(1);
        }
        let outcome = decode_payload(payload)
            .map_err(|_| Rejection::Malformed)
            .and_then(|command| self.carry_out(verdicts, (agent, seq), command, events));
        if let Err(reason) = outcome {
            events.push(LedgerEvent::Rejected { agent, seq, reason });
        }
    }

    /// Rules push their events only when they succeed, so that a command has one answer.
    fn carry_out(
        &mut self,
        verdicts: &Verdicts<'_>,
        who: (AgentId, u64),
        command: Command,
        events: &mut Vec<LedgerEvent>,
    ) -> Result<(), Rejection> {
        let (agent, seq) = who;
        let event = match command {
            Command::RegisterDevice { device, capacity } => {
                self.register_device(who, device, capacity, events)?;
                return Ok(());
            }
            Command::RegisterAgent {
                agent: new,
                owner,
                key,
            } => self.register_agent(who, new, owner, key)?,
            Command::Request(wanted) => {
                self.request(RequestId { agent, seq }, wanted, events);
                return Ok(());
            }
            Command::Cancel { request } => return self.cancel(agent, seq, request, events),
            Command::Renew { lease, token, hold } => self.renew(who, lease, token, hold)?,
            Command::Release { lease, token } => return self.release(who, lease, token, events),
            Command::ClaimTrial { trial, digest } => self.claim_trial(who, trial, digest)?,
            Command::TouchTrial { trial } => self.touch_trial(who, trial)?,
            Command::TrialResult {
                trial,
                score_micro,
                epochs,
                checkpoint,
            } => self.record_trial(who, trial, (score_micro, epochs, checkpoint))?,
            Command::AbandonTrial { trial } => self.abandon_trial(who, trial)?,
            Command::Revoke { lease, reason } => {
                operator_only(agent)?;
                return self.revoke(seq, lease, reason, events);
            }
            Command::Contract(contract) => return self.hear_contract(verdicts, who, &contract, events),
            Command::Mediate(plea) => return self.mediate(verdicts, who, &plea, events),
            Command::RecordConflict { request, record } => self.record_conflict(who, request, record)?,
            Command::SetQuota { owner, quota } => return self.set_quota(who, owner, quota, events),
            Command::SetPolicy { policy, from } => self.set_policy(who, policy, from)?,
            Command::Decide {
                request,
                verdict,
                reason,
            } => return self.decide_request(who, request, (verdict, reason), events),
            Command::SetValidator { key, power } => self.set_validator(who, key, power)?,
            Command::Statement(statement) => {
                if !verdicts.vouch_for(&statement) {
                    return Err(Rejection::BadStatement);
                }
                return self.hear(verdicts.chain(), who, &statement, events);
            }
            Command::Present { challenge } => self.come_back(who, challenge)?,
            Command::UnregisterAgent { agent: gone } => return self.unregister_agent(who, gone, events),
        };
        events.push(event);
        Ok(())
    }
}

pub(super) fn operator_only(agent: AgentId) -> Result<(), Rejection> {
    if agent == OPERATOR {
        Ok(())
    } else {
        Err(Rejection::NotOperator)
    }
}
