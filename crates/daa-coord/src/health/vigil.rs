//! What a node owes the ledger about the health of others: which agents it reports gone, and which of its own it brings
//! back.
//!
//! An agent is watched by its key where discovery follows that, and else through its node, the
//! [member](crate::genesis::Member) that registered it. A report is a vote ([`Said::Gone`]); the ledger acts when a quorum of validators votes alike, so a
//! node votes for what it sees itself, and takes care not to do so lightly:
//! - the suspicion has to last for [`VigilConfig::patience`], and is over only below a lower threshold than that at which
//!   it began, so that a peer at the edge is not reported in turns;
//! - a validator is reported only when more than a third of the validators' weight suspects it, so that whoever alone
//!   cannot reach it does not fill the ledger with reports that come to nothing;
//! - who suspects so many that the others are no quorum is cut off itself, and says nothing;
//! - only agents that have something are reported: leases, waiting requests or claims;
//! - what was reported is not repeated while it counts, nor before [`VigilConfig::retry`], and there are at most
//!   [`VigilConfig::at_once`] duties in each [`VigilConfig::pause`].
//!
//! Like suspicion itself all this is local: [`Vigil`] is pure, takes the time as an argument, and sends nothing.

use super::{HealthConfigError, Opinion};
use crate::command::{Command, CommandError, Said, SignedCommand, Statement};
use crate::genesis::ChainId;
use crate::keys::{PublicKey, Signer};
use crate::ledger::Ledger;
use daa_base::{AgentId, Timestamp};
use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

/// Suspicions that are remembered at most; peers beyond are not reported.
const MAX_SUSPECTS: usize = 4096;

/// When a node speaks.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub struct VigilConfig {
    /// Thousandths of φ at which a suspicion begins, 1 to 100 000.
    pub suspect_milli: u32,
    /// Thousandths of φ below which it is over, 0 to below `suspect_milli`.
    pub clear_milli: u32,
    /// For how long a suspicion lasts before it is reported, 0 to an hour.
    pub patience: Duration,
    /// After how long a report that the ledger does not show is made again, 1 ms to an hour.
    pub retry: Duration,
    /// The least time between two answers that are not empty, 0 to an hour.
    pub pause: Duration,
    /// Duties in one answer, 1 to 64.
    pub at_once: usize,
}

impl Default for VigilConfig {
    /// φ = 8 for two seconds; over below 3. At most sixteen duties in a second.
    fn default() -> Self {
        Self {
            suspect_milli: 8_000,
            clear_milli: 3_000,
            patience: Duration::from_secs(2),
            retry: Duration::from_secs(2),
            pause: Duration::from_millis(500),
            at_once: 8,
        }
    }
}

impl VigilConfig {
    /// Whether every field is in its range.
    ///
    /// # Errors
    /// [`HealthConfigError`] for the first that is not.
    pub fn validate(&self) -> Result<(), HealthConfigError> {
        const HOUR: Duration = Duration::from_secs(3600);
        let fail = |field, value: String, allowed| {
            Err(HealthConfigError {
                field,
                value,
                allowed,
            })
        };
        if !(1..=100_000).contains(&self.suspect_milli) {
            return fail("suspect_milli", self.suspect_milli.to_string(), "1 to 100000");
        }
        if self.clear_milli >= self.suspect_milli {
            let allowed = "0 to below suspect_milli";
            return fail("clear_milli", self.clear_milli.to_string(), allowed);
        }
        for (field, value) in [("patience", self.patience), ("pause", self.pause)] {
            if value > HOUR {
                return fail(field, format!("{value:?}"), "0 to 1 h");
            }
        }
        if !(Duration::from_millis(1)..=HOUR).contains(&self.retry) {
            return fail("retry", format!("{:?}", self.retry), "1 ms to 1 h");
        }
        if !(1..=64).contains(&self.at_once) {
            return fail("at_once", self.at_once.to_string(), "1 to 64");
        }
        Ok(())
    }
}

/// What a node sees of the others, as discovery tells it.
#[derive(Debug, Clone, Copy)]
pub struct Sight<'a> {
    /// The own suspicion of each peer that is followed; all validators are.
    pub own: &'a [Opinion],
    /// The validators that more than a third of the weight suspects ([`Opinions::worth_a_vote`](super::Opinions)).
    pub shared: &'a BTreeSet<PublicKey>,
}

/// A command that an agent of this node should submit.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Duty {
    /// The agent, whose key signs the command.
    pub agent: AgentId,
    /// [`Command::Statement`], with the validator's signature inside, or [`Command::Present`].
    pub command: Command,
}

impl Duty {
    /// The command as number `seq` of the agent, signed with the agent's `key`.
    ///
    /// # Errors
    /// [`CommandError`]; never, as both commands have a fixed size.
    pub fn sign(
        &self,
        key: &(impl Signer + ?Sized),
        chain: ChainId,
        seq: u64,
    ) -> Result<SignedCommand, CommandError> {
        SignedCommand::sign(key, chain, self.agent, seq, &self.command)
    }
}

/// A node's memory of whom it suspects and what it said.
#[derive(Debug, Clone)]
pub struct Vigil {
    config: VigilConfig,
    node: AgentId,
    /// Agents of the node's block that others run.
    apart: BTreeSet<AgentId>,
    /// Since when a peer is suspected.
    suspects: BTreeMap<PublicKey, Duration>,
    /// When a duty about an agent was last named.
    named: BTreeMap<AgentId, Duration>,
    /// When any was.
    last: Option<Duration>,
}

impl Vigil {
    /// The vigil of the node that is agent `node` ([`Ledger::agent_of`]); it brings the statements, and those that it
    /// registered are its own.
    ///
    /// # Errors
    /// [`HealthConfigError`].
    pub fn new(config: VigilConfig, node: AgentId) -> Result<Self, HealthConfigError> {
        config.validate()?;
        Ok(Self {
            config,
            node,
            apart: BTreeSet::new(),
            suspects: BTreeMap::new(),
            named: BTreeMap::new(),
            last: None,
        })
    }

    /// The same, for a node that registered `agents` for other processes, which bring them back themselves.
    #[must_use]
    pub fn without(mut self, agents: impl IntoIterator<Item = AgentId>) -> Self {
        self.apart = agents.into_iter().collect();
        self
    }

    /// What is to be submitted now; to be asked about once in each [`VigilConfig::pause`], and after events that say that
    /// an own agent is gone. `validator` is the key this node votes with; with another's, or a key that does not vote,
    /// nobody is reported. `now` is local time that never goes back.
    ///
    /// What cannot be submitted at once is best dropped: a report that is late counts for nothing, and is named again.
    pub fn duties(
        &mut self,
        validator: &(impl Signer + ?Sized),
        ledger: &Ledger,
        sight: Sight<'_>,
        now: Duration,
    ) -> Vec<Duty> {
        self.observe(sight.own, now);
        let retry = self.config.retry;
        self.named.retain(|_, at| now.saturating_sub(*at) < retry);
        let resting = |last| now.saturating_sub(last) < self.config.pause;
        if self.last.is_some_and(resting) {
            return Vec::new();
        }
        let me = validator.public();
        let returns = self.own_agents(ledger).filter_map(|agent| {
            let challenge = ledger.gone(agent)?.challenge;
            let command = Command::Present { challenge };
            Some((agent, Duty { agent, command }))
        });
        let mut duties: Vec<(AgentId, Duty)> = returns.collect();
        let at = ledger.time();
        for agent in self.missing(&me, ledger, sight, now) {
            let said = Said::Gone { agent, at };
            let command = Command::Statement(Statement::sign(validator, ledger.chain_id(), said));
            let duty = Duty {
                agent: self.node,
                command,
            };
            duties.push((agent, duty));
        }
        duties.retain(|(about, _)| !self.named.contains_key(about));
        duties.truncate(self.config.at_once);
        if !duties.is_empty() {
            self.last = Some(now);
        }
        self.named.extend(duties.iter().map(|(about, _)| (*about, now)));
        duties.into_iter().map(|(_, duty)| duty).collect()
    }

    /// The peers suspected for long enough to be reported.
    pub fn suspects(&self, now: Duration) -> impl Iterator<Item = PublicKey> + '_ {
        let patience = self.config.patience;
        let lasting = self.suspects.iter();
        lasting
            .filter(move |(_, since)| now.saturating_sub(**since) >= patience)
            .map(|(&peer, _)| peer)
    }

    fn observe(&mut self, own: &[Opinion], now: Duration) {
        let followed: BTreeMap<PublicKey, u32> = own
            .iter()
            .map(|opinion| (opinion.about, opinion.phi_milli))
            .collect();
        let clear = self.config.clear_milli;
        self.suspects
            .retain(|peer, _| followed.get(peer).is_some_and(|&phi| phi >= clear));
        for (peer, phi) in followed {
            if phi >= self.config.suspect_milli && self.suspects.len() < MAX_SUSPECTS {
                self.suspects.entry(peer).or_insert(now);
            }
        }
    }

    fn own_agents<'a>(&'a self, ledger: &'a Ledger) -> impl Iterator<Item = AgentId> + 'a {
        let node = self.node;
        let own = ledger.agents_of(node).map(|agent| agent.agent);
        let all = ledger.agent(node).map(|_| node).into_iter().chain(own);
        all.filter(|agent| !self.apart.contains(agent))
    }

    /// The agents to be reported now.
    fn missing(&self, me: &PublicKey, ledger: &Ledger, sight: Sight<'_>, now: Duration) -> Vec<AgentId> {
        let validators = ledger.validators();
        if validators.get(me).is_none()
            || ledger.agent(self.node).is_none()
            || !self.sees_a_quorum(me, ledger, sight)
        {
            return Vec::new();
        }
        let holders: BTreeSet<AgentId> = ledger.claims().map(|claim| claim.agent).collect();
        let followed: BTreeSet<PublicKey> = sight.own.iter().map(|opinion| opinion.about).collect();
        let mut missing = Vec::new();
        for peer in self.suspects(now) {
            let votes = validators.get(&peer).is_some();
            let Some(node) = ledger
                .agent_of(&peer)
                .filter(|_| !votes || sight.shared.contains(&peer))
            else {
                continue;
            };
            if node == self.node {
                continue;
            }
            let theirs = ledger.agent(node).into_iter().chain(ledger.agents_of(node));
            let busy = theirs.filter(|agent| agent.open > 0 || holders.contains(&agent.agent));
            let busy = busy.filter(|agent| agent.key == peer || !followed.contains(&agent.key));
            let silent =
                busy.filter(|agent| ledger.gone(agent.agent).is_none() && !is_said(me, ledger, agent.agent));
            missing.extend(silent.map(|agent| agent.agent));
        }
        missing
    }

    /// Whether those that are not suspected decide without the others; peers that are not followed are not seen.
    fn sees_a_quorum(&self, me: &PublicKey, ledger: &Ledger, sight: Sight<'_>) -> bool {
        let followed: BTreeSet<PublicKey> = sight.own.iter().map(|opinion| opinion.about).collect();
        let validators = ledger.validators();
        let seen = validators.as_slice().iter().filter(|validator| {
            let key = &validator.key;
            key == me || followed.contains(key) && !self.suspects.contains_key(key)
        });
        let weight = seen.map(|validator| validator.power).sum();
        ledger
            .genesis()
            .quorum()
            .is_reached(weight, validators.total_power())
    }
}

/// Whether a report of `me` on `agent` counts for at least half of its time from now on.
fn is_said(me: &PublicKey, ledger: &Ledger, agent: AgentId) -> bool {
    let half = ledger.genesis().config().health_window.get() / 2;
    let fresh = |at: Timestamp| ledger.time().since(at).get() < half.max(1);
    ledger.reported(agent, me).is_some_and(fresh)
}

#[cfg(test)]
mod tests;
