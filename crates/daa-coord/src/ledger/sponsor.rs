//! Sponsors: agents that register further agents, and devices, in blocks of numbers of their own.
//!
//! Agent s may register numbers s · 1024 to s · 1024 + 1023 and no others, so that owners that do not trust each other
//! need no operator to hand numbers out, and nobody can take another's. Agents that were registered by a sponsor are
//! none themselves: otherwise one owner could fill the ledger by a chain of them.

use super::dispatch::operator_only;
use super::reason::Rejection;
use super::state::State;
use crate::genesis::OPERATOR;
use crate::keys::PublicKey;
use daa_base::{AgentId, OwnerId};
use std::collections::BTreeMap;

/// Numbers in the block of one sponsor.
pub const BLOCK: u32 = 1024;

/// The largest number of a sponsor: its block ends with the largest number there is.
pub const MAX_SPONSOR: u32 = u32::MAX / BLOCK;

/// Agents, and likewise devices, that one sponsor may register at most.
pub const MAX_SPONSORED: u32 = 64;

/// The number `k` of the block of agent `sponsor`, for an agent or for a device: `sponsor` · 1024 + `k`.
///
/// `None` when `sponsor` is not within 1 and [`MAX_SPONSOR`] (4 194 303), or `k` is above 1023.
#[must_use]
pub const fn sponsored(sponsor: u32, k: u16) -> Option<u32> {
    if sponsor == 0 || sponsor > MAX_SPONSOR || k as u32 >= BLOCK {
        return None;
    }
    Some(sponsor * BLOCK + k as u32)
}

/// The sponsor in whose block a number lies; `None` for numbers below 1024, which only a genesis or the operator gives.
#[must_use]
pub const fn sponsor_of(number: u32) -> Option<u32> {
    match number / BLOCK {
        0 => None,
        sponsor => Some(sponsor),
    }
}

impl State {
    /// Who sponsors what `agent` registers as `number`: nobody if it is the operator, else the agent itself.
    pub(super) fn sponsor_for(&self, agent: AgentId, number: u32) -> Result<Option<AgentId>, Rejection> {
        if agent == OPERATOR {
            return Ok(None);
        }
        let is_sponsored = self.active(agent).is_none_or(|state| state.sponsor.is_some());
        let (first, last) = match (sponsored(agent.get(), 0), sponsored(agent.get(), 1023)) {
            (Some(first), Some(last)) if !is_sponsored => (first, last),
            _ => return operator_only(agent).map(|()| None),
        };
        if (first..=last).contains(&number) {
            return Ok(Some(agent));
        }
        Err(Rejection::OutsideBlock { number, first, last })
    }

    /// How many of `limit` places that all share one sponsor may take: as much as every member of the genesis can have
    /// alike, so that none keeps another out.
    fn sponsor_limit(&self, limit: u32) -> u32 {
        let members = u32::try_from(self.genesis.members().len()).unwrap_or(u32::MAX);
        (limit / members.max(1)).clamp(1, MAX_SPONSORED)
    }

    /// Whether `sponsor` may register one more device.
    pub(super) fn check_sponsored_devices(&self, sponsor: AgentId) -> Result<(), Rejection> {
        let limit = self.sponsor_limit(self.config().max_devices);
        let devices = self.devices.values();
        let found = devices.filter(|device| device.sponsor == Some(sponsor)).count();
        if found >= limit as usize {
            return Err(Rejection::SponsorDevices { limit });
        }
        Ok(())
    }

    /// Whether `sponsor` may register `new` with this owner and key. Numbers that were given up count: they are not
    /// forgotten.
    pub(super) fn check_sponsored_agent(
        &self,
        sponsor: AgentId,
        new: AgentId,
        (owner, key): (OwnerId, PublicKey),
    ) -> Result<(), Rejection> {
        let Some(state) = self.active(sponsor) else {
            return Err(Rejection::NotOperator);
        };
        if state.owner != owner {
            return Err(Rejection::OtherOwner { owner: state.owner });
        }
        if key != state.key {
            self.check_key_is_free(sponsor, key)?;
        }
        let members = u32::try_from(self.genesis.members().len()).unwrap_or(u32::MAX);
        let places = self.config().max_agents.saturating_sub(1).saturating_sub(members);
        let limit = self.sponsor_limit(places);
        let theirs = |id: AgentId, by: Option<AgentId>| by == Some(sponsor) && id != new;
        let agents = self.agents.iter();
        let found = agents.filter(|&(&id, state)| theirs(id, state.sponsor)).count();
        if found >= limit as usize {
            return Err(Rejection::SponsorAgents { limit });
        }
        Ok(())
    }

    /// A key that stands for somebody else stands for nobody of this sponsor.
    fn check_key_is_free(&self, sponsor: AgentId, key: PublicKey) -> Result<(), Rejection> {
        let theirs = self
            .agents
            .iter()
            .any(|(_, state)| state.active && state.key == key && state.sponsor != Some(sponsor));
        if theirs || self.members.knows(&key) {
            return Err(Rejection::KeyTaken { key });
        }
        Ok(())
    }

    /// Whether `agent` may unregister `gone`.
    pub(super) fn may_unregister(&self, agent: AgentId, gone: AgentId) -> Result<(), Rejection> {
        if self.sponsor_for(agent, gone.get())?.is_none() {
            return Ok(());
        }
        match self.active(gone).map(|state| state.sponsor) {
            None => Err(Rejection::NoSuchAgent { agent: gone }),
            Some(sponsor) if sponsor == Some(agent) => Ok(()),
            Some(_) => Err(Rejection::NotSponsor { number: gone.get() }),
        }
    }

    /// What must hold between blocks about who registered whom.
    pub(super) fn sponsors_are_sound(&self) -> bool {
        let mut agents = BTreeMap::<AgentId, u32>::new();
        let mut devices = agents.clone();
        for (id, agent) in self.agents.iter() {
            let Some(sponsor) = agent.sponsor else { continue };
            let is_root = self.agents.get(&sponsor).is_some_and(|its| its.sponsor.is_none());
            if sponsor_of(id.get()) != Some(sponsor.get()) || agent.active && !is_root {
                return false;
            }
            *agents.entry(sponsor).or_default() += 1;
        }
        for (id, device) in self.devices.iter() {
            let Some(sponsor) = device.sponsor else { continue };
            if sponsor_of(id.get()) != Some(sponsor.get()) || !self.agents.contains_key(&sponsor) {
                return false;
            }
            *devices.entry(sponsor).or_default() += 1;
        }
        agents
            .values()
            .chain(devices.values())
            .all(|&count| count <= MAX_SPONSORED)
    }
}
