//! Agents that ask for leases, give some back, and send again what nobody has answered.

use super::processes::{Cast, Outcome};
use super::record::Record;
use daa_base::{AgentId, Bytes, DeviceId, Millis, OwnerId, Permille, Rng, Seed};
use daa_coord::{AgentKey, Command, LedgerConfig, OPERATOR, ResourceRequest, ShortText, SignedCommand};
use std::collections::BTreeMap;
use std::time::Duration;

/// Agents 1 to this one want more than there is, all the time, and give back.
const BUSY: u32 = 5;
/// This one keeps what it gets.
const KEEPER: AgentId = AgentId(BUSY + 1);
/// What the busy ones share, and where the keeper has its leases.
const SHARED: (DeviceId, Bytes) = (DeviceId(0), Bytes::gib(64));
const KEPT: (DeviceId, Bytes) = (DeviceId(1), Bytes::gib(8));
/// Longer than a run.
const LONG: Millis = Millis(30 * 60_000);
const OPEN: u32 = 12;
const UNANSWERED: usize = 2;
const KEEP_EVERY: Duration = Duration::from_millis(500);
const REVOKE_EVERY: Duration = Duration::from_millis(1500);

pub(crate) fn config() -> LedgerConfig {
    LedgerConfig {
        max_hold: LONG,
        max_open_per_agent: LedgerConfig::default().max_open,
        ..LedgerConfig::default()
    }
}

struct Agent {
    id: AgentId,
    key: AgentKey,
    next: u64,
    unanswered: BTreeMap<u64, SignedCommand>,
    /// When it may do again what it does seldom.
    rests_until: Duration,
}

/// All of them, the operator first.
pub(crate) struct Agents {
    all: Vec<Agent>,
    rng: Rng,
    registered: u64,
}

impl Agents {
    pub(crate) fn new(cast: &Cast, seed: Seed) -> Outcome<Self> {
        let agent = |id: u32, key| Agent {
            id: AgentId(id),
            key,
            next: 0,
            unanswered: BTreeMap::new(),
            rests_until: Duration::ZERO,
        };
        let keys = seed.stream("agents");
        let mut all = vec![agent(OPERATOR.get(), cast.operator.clone())];
        all.extend((1..=KEEPER.get()).map(|id| agent(id, AgentKey::from_stream(&keys.child(id.into())))));
        let mut commands: Vec<_> = [SHARED, KEPT]
            .into_iter()
            .map(|(device, capacity)| Command::RegisterDevice { device, capacity })
            .collect();
        commands.extend(all[1..].iter().map(|agent| Command::RegisterAgent {
            agent: agent.id,
            owner: OwnerId(1),
            key: agent.key.public(),
        }));
        for command in &commands {
            all[0].sign(cast, command)?;
        }
        Ok(Self {
            all,
            rng: seed.stream("wishes").rng(),
            registered: commands.len() as u64,
        })
    }

    /// Forgets what was answered, and thinks of new commands, which are returned.
    pub(crate) fn act(
        &mut self,
        cast: &Cast,
        record: &mut Record,
        now: Duration,
    ) -> Outcome<Vec<SignedCommand>> {
        let mut fresh = Vec::new();
        for at in 0..self.all.len() {
            let id = self.all[at].id;
            let (_, next, open) = record.agents.get(&id).copied().unwrap_or_default();
            self.all[at].answered(next);
            while let Some(command) = self.wish(at, open, record, now)? {
                fresh.push(self.all[at].sign(cast, &command)?);
            }
        }
        Ok(fresh)
    }

    fn wish(&mut self, at: usize, open: u32, record: &mut Record, now: Duration) -> Outcome<Option<Command>> {
        let ready = record
            .agents
            .get(&OPERATOR)
            .is_some_and(|operator| operator.1 >= self.registered);
        let rng = &mut self.rng;
        let agent = &mut self.all[at];
        let waits = agent.unanswered.len();
        if !ready || waits >= UNANSWERED {
            return Ok(None);
        }
        if agent.id == OPERATOR || agent.id == KEEPER {
            if now < agent.rests_until {
                return Ok(None);
            }
            if agent.id == KEEPER {
                agent.rests_until = now + KEEP_EVERY;
                let (bytes, share) = (Bytes::mib(8), Permille::new(1)?);
                return request(KEPT.0, bytes, share, LONG).map(Some);
            }
            agent.rests_until = now + REVOKE_EVERY;
            let victims = record.held(AgentId(1 + rng.below(BUSY as usize) as u32));
            let Some(lease) = victims.first().map(|lease| lease.id) else {
                return Ok(None);
            };
            record.end(lease);
            let reason = ShortText::new("engine kills")?;
            return Ok(Some(Command::Revoke { lease, reason }));
        }
        let mut held = record.held(agent.id);
        // The others run out.
        held.retain(|lease| lease.left(lease.granted) == LONG);
        let full = open + waits as u32 >= OPEN;
        if !held.is_empty() && (full || rng.below(3) == 0) {
            let (lease, token) = {
                let lease = held[rng.below(held.len())];
                (lease.id, lease.token)
            };
            record.end(lease);
            return Ok(Some(Command::Release { lease, token }));
        }
        if full {
            return Ok(None);
        }
        let bytes = Bytes::mib(256 * (1 + rng.below(16) as u64));
        let hold = if rng.below(4) == 0 {
            Millis(500 + rng.below(2500) as u64)
        } else {
            LONG
        };
        request(SHARED.0, bytes, Permille::new(20)?, hold).map(Some)
    }

    /// All that nobody has answered.
    pub(crate) fn unanswered(&self) -> impl Iterator<Item = &SignedCommand> {
        self.all.iter().flat_map(|agent| agent.unanswered.values())
    }

    /// Forgets what was answered.
    pub(crate) fn hear(&mut self, record: &Record) {
        for agent in &mut self.all {
            agent.answered(record.agents.get(&agent.id).map_or(0, |known| known.1));
        }
    }
}

impl Agent {
    fn sign(&mut self, cast: &Cast, command: &Command) -> Outcome<SignedCommand> {
        let signed = SignedCommand::sign(&self.key, cast.genesis.chain_id(), self.id, self.next, command)?;
        self.unanswered.insert(self.next, signed.clone());
        self.next += 1;
        Ok(signed)
    }

    fn answered(&mut self, next: u64) {
        self.unanswered = self.unanswered.split_off(&next);
    }
}

fn request(device: DeviceId, bytes: Bytes, share: Permille, hold: Millis) -> Outcome<Command> {
    Ok(Command::Request(ResourceRequest {
        device: Some(device),
        bytes,
        share,
        priority: 1,
        hold,
        deadline: None,
        purpose: ShortText::new("engine kills")?,
    }))
}
