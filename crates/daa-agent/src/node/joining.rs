//! How a node becomes part of its ledger, and what it owes the ledger from then on.

use super::worker::{RESUBMIT, Slot, Worker, lock};
use super::{FIRST_GUEST, GUESTS, guest_key};
use crate::chain::ChainClient;
use crate::error::AgentError;
use daa_base::{AgentId, OwnerId};
use daa_coord::discovery::Network;
use daa_coord::health::{Sight, Vigil, VigilConfig};
use daa_coord::{AgentKey, Command, LedgerEvent, sponsored};
use std::sync::Arc;
use std::time::Duration;
use tokio::time::MissedTickBehavior;

/// Registers devices and agents, then opens the places.
pub(super) struct Joining {
    pub(super) worker: Arc<Worker>,
    pub(super) network: Network,
    pub(super) key: AgentKey,
    pub(super) agent: AgentId,
    pub(super) owner: OwnerId,
    pub(super) slots: usize,
}

/// Wait before the next attempt when the ledger gave no answer.
const AGAIN: Duration = Duration::from_secs(1);

impl Joining {
    pub(super) async fn run(self) {
        loop {
            match self.register().await {
                Ok((client, slots)) => {
                    tracing::info!(places = self.slots, "the node takes part");
                    self.open(slots);
                    if let Err(error) = self.watch(client).await {
                        tracing::warn!(%error, "the node reports nobody any more");
                    }
                    return;
                }
                // Too few others are there yet, as a rule.
                Err(error) => tracing::info!(%error, "the node does not take part yet"),
            }
            if self.worker.ledger.end().is_some() {
                return;
            }
            tokio::time::sleep(AGAIN).await;
        }
    }

    fn open(&self, slots: Vec<Slot>) {
        let mut places = lock(&self.worker.places);
        if self.worker.is_agreed {
            places.open_to_leases(self.slots);
        } else {
            places.open(slots);
        }
    }

    async fn register(&self) -> Result<(ChainClient, Vec<Slot>), AgentError> {
        let worker = &self.worker;
        let (ledger, clock) = (&worker.ledger, &worker.clock);
        let identity = (self.agent, self.key.clone());
        let mut client = ChainClient::new(ledger, clock, identity, worker.patience, RESUBMIT)?;
        client.be_present().await?;
        for device in &worker.devices {
            let capacity = device.shared.capacity();
            let known = ledger.view(|ledger| ledger.device(device.id).map(|status| status.capacity));
            if known != Some(capacity) {
                let device = device.id;
                call(&mut client, &Command::RegisterDevice { device, capacity }).await?;
            }
        }
        let mut slots = Vec::new();
        // Where validators agree, runs ask for leases themselves.
        let own = if worker.is_agreed { 0 } else { self.slots };
        // Places are spread over the devices.
        for (k, device) in (1_u16..).zip(worker.devices.iter().cycle().take(own)) {
            let key = self.key.derive("place", k.into());
            let agent = self.admit(&mut client, k, &key).await?;
            let device = device.clone();
            slots.push(Slot { agent, key, device });
        }
        for seat in 0..GUESTS {
            let key = guest_key(&self.key, seat);
            self.admit(&mut client, FIRST_GUEST + seat, &key).await?;
        }
        Ok((client, slots))
    }

    /// Tells the ledger which agents are gone, as far as this node can see, and that this one is not.
    async fn watch(&self, mut client: ChainClient) -> Result<(), AgentError> {
        let guests = (FIRST_GUEST..FIRST_GUEST + GUESTS).filter_map(|k| sponsored(self.agent.get(), k));
        let vigil = Vigil::new(VigilConfig::default(), self.agent);
        let vigil = vigil.map_err(|error| AgentError::internal("the watch over others", error))?;
        let mut vigil = vigil.without(guests.map(AgentId));
        let mut round = tokio::time::interval(VigilConfig::default().pause);
        round.set_missed_tick_behavior(MissedTickBehavior::Delay);
        loop {
            tokio::select! {
                _ = round.tick() => {}
                signals = client.turn() => {
                    signals?;
                    continue;
                }
            }
            let Ok(own) = self.network.suspicions().await else {
                return Ok(());
            };
            let (shared, now) = (self.network.view().suspected, self.worker.clock.monotonic());
            let sight = Sight {
                own: &own,
                shared: &shared,
            };
            let due = self
                .worker
                .ledger
                .view(|ledger| vigil.duties(&self.key, ledger, sight, now));
            // The agents of places come back by themselves, when they next ask for something.
            for duty in due.iter().filter(|duty| duty.agent == self.agent) {
                client.submit(&duty.command)?;
            }
        }
    }

    /// Registers agent `k` of the node's block, unless it is.
    async fn admit(&self, client: &mut ChainClient, k: u16, key: &AgentKey) -> Result<AgentId, AgentError> {
        let number = sponsored(self.agent.get(), k)
            .ok_or_else(|| AgentError::internal("a place", format!("{} has no block", self.agent)))?;
        let (agent, key) = (AgentId(number), key.public());
        let known = self.worker.ledger.view(|ledger| ledger.agent_key(agent));
        if known != Some(key) {
            let owner = self.owner;
            call(client, &Command::RegisterAgent { agent, owner, key }).await?;
        }
        Ok(agent)
    }
}

/// Has the ledger carry out `command`; a refusal is an error.
async fn call(client: &mut ChainClient, command: &Command) -> Result<(), AgentError> {
    match client.call(command).await? {
        Some(LedgerEvent::Rejected { reason, .. }) => Err(AgentError::internal("a registration", reason)),
        _ => Ok(()),
    }
}
