//! Agents that want leases: they ask, prolong, give back, withdraw, or let leases run out, and send again what got lost,
//! through the same [`Outbox`] as outside of simulations. One more client is the operator.

use super::draw::Draw;
use super::keys::Signatures;
use super::movers::Movers;
use super::queue::Micros;
use crate::client::{Outbox, OutboxConfig};
use crate::command::{Command, RequestId, ResourceRequest, SignedCommand};
use crate::genesis::{ChainId, OPERATOR};
use crate::ledger::{Lease, LedgerEvent};
use crate::text::ShortText;
use daa_base::{AgentId, Bytes, DeviceId, LeaseId, Millis, OwnerId, Permille, Rng, Seed, Timestamp};
use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

/// Devices: so small that wishes collide.
const CAPACITIES: [u64; 2] = [100, 60];

/// Requests that an agent makes before it only tends what it has, so that a run is finite.
const MAX_REQUESTS: u64 = 400;

/// One agent, or the operator.
#[derive(Debug)]
pub(super) struct Client {
    pub(super) agent: AgentId,
    outbox: Outbox,
    /// The node whose replica it reads.
    pub(super) home: usize,
    /// Height up to which it has read.
    pub(super) seen: u64,
    leases: BTreeMap<LeaseId, Lease>,
    waiting: BTreeSet<RequestId>,
    /// Leases it has asked to end, which it does not ask again.
    leaving: BTreeSet<LeaseId>,
    rng: Rng,
    pub(super) requests: u64,
    /// For the operator: validators that come and go.
    movers: Option<Movers>,
    /// Its requests are for so long, in milliseconds.
    holds: (u64, u64),
    /// Commands that the outbox gave up on.
    pub(super) unknown: u64,
}

/// The moment at which a client acts.
#[derive(Debug, Clone, Copy)]
pub(super) struct Moment {
    pub(super) now: Micros,
    pub(super) wall: Timestamp,
    /// No new wishes: give back and withdraw everything.
    pub(super) draining: bool,
    /// Decided heights, and changes of who votes so far.
    pub(super) height: u64,
    pub(super) epoch: u64,
}

impl Moment {
    const fn monotonic(self) -> Duration {
        Duration::from_micros(self.now)
    }
}

fn outbox_config() -> OutboxConfig {
    OutboxConfig {
        capacity: 64,
        window: 16,
        resubmit_after: Millis(300),
        max_backoff: Millis(2_000),
        max_attempts: 1_000,
    }
}

impl Client {
    /// Agent `number`, or the operator for number 0.
    pub(super) fn new(
        number: u32,
        signatures: Signatures,
        chain: ChainId,
        home: usize,
        seed: Seed,
    ) -> Result<Self, crate::client::OutboxError> {
        let agent = AgentId(number);
        let key = if agent == OPERATOR {
            signatures.operator()
        } else {
            signatures.agent(number as usize)
        };
        Ok(Self {
            agent,
            outbox: Outbox::new(key, chain, agent, 0, outbox_config())?,
            home,
            seen: 0,
            leases: BTreeMap::new(),
            waiting: BTreeSet::new(),
            leaving: BTreeSet::new(),
            rng: seed.stream("simulation agents").child(u64::from(number)).rng(),
            requests: 0,
            movers: None,
            holds: (20, 600),
            unknown: 0,
        })
    }

    /// Whether it has nothing open: no command, no waiting request, no lease.
    pub(super) fn is_done(&self) -> bool {
        self.outbox.is_idle() && self.leases.is_empty() && self.waiting.is_empty()
    }

    /// What it has open, for people.
    pub(super) fn open(&self) -> String {
        format!(
            "{}: {} unanswered, {} waiting, {} leases, read to height {}",
            self.agent,
            self.outbox.unanswered(),
            self.waiting.len(),
            self.leases.len(),
            self.seen
        )
    }

    /// Hands the operator what becomes of validators.
    pub(super) fn may_move(&mut self, movers: Movers) {
        self.movers = Some(movers);
    }

    /// Its requests are for long: there is time to negotiate about what they bring.
    pub(super) const fn takes_its_time(&mut self) {
        self.holds = (300, 950);
    }

    fn move_one(&mut self, at: Moment, send: &mut Vec<SignedCommand>) {
        let Some(movers) = &mut self.movers else { return };
        let Some(command) = movers.next(&mut self.rng, at) else {
            return;
        };
        if let Some(seq) = self.submit(&command, at, send)
            && let Some(movers) = &mut self.movers
        {
            movers.sent(seq);
        }
    }

    /// Puts a command on its way that came about outside of its own wishes.
    pub(super) fn order(&mut self, command: &Command, at: Moment) -> Vec<SignedCommand> {
        let mut send = Vec::new();
        self.submit(command, at, &mut send);
        send
    }

    /// A request that waits.
    pub(super) fn some_waiting(&self) -> Option<RequestId> {
        self.waiting.first().copied()
    }

    /// The operator's first commands: devices, and the other clients.
    pub(super) fn begin(&mut self, agents: u32, signatures: Signatures, at: Moment) -> Vec<SignedCommand> {
        let mut send = Vec::new();
        for (device, capacity) in (0..).zip(CAPACITIES) {
            let command = Command::RegisterDevice {
                device: DeviceId(device),
                capacity: Bytes(capacity),
            };
            self.submit(&command, at, &mut send);
        }
        for number in 1..=agents {
            let command = Command::RegisterAgent {
                agent: AgentId(number),
                owner: OwnerId(1 + number % 2),
                key: signatures.agent(number as usize).public(),
            };
            self.submit(&command, at, &mut send);
        }
        send
    }

    /// A full outbox refuses: the wish is dropped, as an overloaded agent would.
    fn submit(&mut self, command: &Command, at: Moment, send: &mut Vec<SignedCommand>) -> Option<u64> {
        let (seq, effects) = self.outbox.submit(command, at.monotonic()).ok()?;
        if let Command::Request(_) = command {
            self.requests += 1;
            let agent = self.agent;
            self.waiting.insert(RequestId { agent, seq });
        }
        self.take(effects, send);
        Some(seq)
    }

    fn take(&mut self, effects: crate::client::Effects, send: &mut Vec<SignedCommand>) {
        send.extend(effects.send);
        let lost = |resolution: &crate::client::Resolution| {
            matches!(resolution, crate::client::Resolution::Unknown { .. })
        };
        self.unknown += effects.resolved.iter().filter(|one| lost(one)).count() as u64;
    }

    /// Sends again what has waited too long.
    pub(super) fn repeat(&mut self, at: Moment) -> Vec<SignedCommand> {
        let mut send = Vec::new();
        let effects = self.outbox.on_tick(at.monotonic());
        self.take(effects, &mut send);
        send
    }

    /// Reads the events of the next height.
    pub(super) fn read(&mut self, events: &[LedgerEvent], at: Moment) -> Vec<SignedCommand> {
        let mut send = Vec::new();
        self.seen += 1;
        for event in events {
            if let Some(movers) = &mut self.movers {
                movers.read(event);
            }
            if let Some(request) = event.ends_request() {
                self.waiting.remove(&request);
            }
            if let Some(lease) = event.ends_lease() {
                self.leases.remove(&lease.id);
                self.leaving.remove(&lease.id);
            }
            match event {
                LedgerEvent::LeaseGranted(lease) if lease.agent == self.agent || self.agent == OPERATOR => {
                    self.leases.insert(lease.id, lease.clone());
                }
                // What was asked about it under its old token is refused.
                LedgerEvent::LeaseChanged { lease, .. } if self.leases.contains_key(&lease.id) => {
                    self.leases.insert(lease.id, lease.clone());
                    self.leaving.remove(&lease.id);
                }
                LedgerEvent::LeaseRenewed { lease, until, .. } => {
                    if let Some(lease) = self.leases.get_mut(lease) {
                        lease.expires = *until;
                    }
                }
                _ => {}
            }
            let effects = self.outbox.on_event(event, at.monotonic());
            self.take(effects, &mut send);
        }
        send
    }

    /// What it wishes now.
    pub(super) fn act(&mut self, at: Moment) -> Vec<SignedCommand> {
        let mut send = Vec::new();
        if at.draining {
            self.wind_up(at, &mut send);
        } else if self.agent == OPERATOR {
            self.revoke_one(at, &mut send);
            if self.rng.chance(120) {
                self.move_one(at, &mut send);
            }
        } else {
            match self.rng.below(100) {
                0..55 => self.ask(at, &mut send),
                55..70 => self.prolong_one(at, &mut send),
                70..88 => self.give_one_back(at, &mut send),
                88..93 => self.withdraw_one(at, &mut send),
                _ => {}
            }
        }
        send
    }

    fn ask(&mut self, at: Moment, send: &mut Vec<SignedCommand>) {
        if self.requests >= MAX_REQUESTS || self.waiting.len() >= 6 {
            return;
        }
        let (shortest, longest) = self.holds;
        let rng = &mut self.rng;
        let wanted = ResourceRequest {
            device: rng.chance(400).then(|| DeviceId(rng.below(3) as u32)),
            bytes: Bytes(rng.within(0..=110)),
            share: Permille::new(rng.within(1..=700) as u16).unwrap_or(Permille::WHOLE),
            priority: rng.below(3) as u8,
            hold: Millis(rng.within(shortest..=longest)),
            deadline: rng
                .chance(300)
                .then(|| at.wall.after(Millis(rng.within(0..=500)))),
            purpose: ShortText::default(),
        };
        self.submit(&Command::Request(wanted), at, send);
    }

    fn some_lease(&mut self) -> Option<Lease> {
        let open: Vec<_> = self
            .leases
            .values()
            .filter(|lease| !self.leaving.contains(&lease.id))
            .collect();
        self.rng.pick(&open).map(|lease| (*lease).clone())
    }

    fn prolong_one(&mut self, at: Moment, send: &mut Vec<SignedCommand>) {
        let hold = Millis(self.rng.within(20..=600));
        if let Some(Lease { id, token, .. }) = self.some_lease() {
            self.submit(
                &Command::Renew {
                    lease: id,
                    token,
                    hold,
                },
                at,
                send,
            );
        }
    }

    fn give_one_back(&mut self, at: Moment, send: &mut Vec<SignedCommand>) {
        if let Some(Lease { id, token, .. }) = self.some_lease() {
            self.leaving.insert(id);
            self.submit(&Command::Release { lease: id, token }, at, send);
        }
    }

    fn withdraw_one(&mut self, at: Moment, send: &mut Vec<SignedCommand>) {
        let all: Vec<_> = self.waiting.iter().copied().collect();
        if let Some(&request) = self.rng.pick(&all) {
            self.submit(&Command::Cancel { request }, at, send);
        }
    }

    fn revoke_one(&mut self, at: Moment, send: &mut Vec<SignedCommand>) {
        if !self.rng.chance(150) {
            return;
        }
        if let Some(Lease { id, .. }) = self.some_lease() {
            let reason = ShortText::fitted("because");
            self.leaving.insert(id);
            self.submit(&Command::Revoke { lease: id, reason }, at, send);
        }
    }

    /// Gives everything back. Requests may wait on: leases that end serve them, and come back in turn.
    fn wind_up(&mut self, at: Moment, send: &mut Vec<SignedCommand>) {
        if self.agent == OPERATOR {
            return;
        }
        while let Some(Lease { id, token, .. }) = self.some_lease() {
            self.leaving.insert(id);
            self.submit(&Command::Release { lease: id, token }, at, send);
        }
    }
}
