//! One node: a host, the disk under it, and what becomes of its effects, one by one, so that it can stop between any two.

use super::words::{short_record, tale};
use super::{Cluster, DAWN, Event, MS};
use crate::consensus::{
    BlockMessage, Decided, Effect, Host, HostError, HostInput, Message, Now, TimerId, WalRecord,
};
use crate::genesis::ChainId;
use crate::keys::PublicKey;
use crate::ledger::{Ledger, LedgerEvent};
use crate::sim::disk::Disk;
use crate::sim::draw::Draw;
use crate::sim::keys::{key_number, validator_key};
use crate::sim::liar::Liar;
use crate::sim::plan::{NodePlan, Place, Plan};
use crate::sim::queue::Micros;
use crate::sim::witness::Witness;
use daa_base::Timestamp;
use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::sync::Arc;
use std::time::Duration;

#[cfg(test)]
mod tests;

/// Inputs that wait while the disk works; more are lost, as in a full socket.
const MAX_INBOX: usize = 8_192;

/// A crash that waits for effects comes at the latest after this.
const OVERDUE: Micros = 300 * MS;

/// Cancelled timers of a thousand that run out nevertheless.
const CANCELLED_TOO_LATE: u32 = 60;

/// A crash that waits for effects.
#[derive(Debug, Clone, Copy)]
struct Armed {
    /// Effects that are still carried out.
    effects: u64,
    away: Micros,
}

/// Something that takes time.
#[derive(Debug)]
enum DiskWork {
    Flush,
    Store(Arc<Decided>),
}

impl DiskWork {
    fn done(self, disk: &mut Disk) {
        match self {
            Self::Flush => disk.flush(),
            Self::Store(decided) => disk.store(decided),
        }
    }
}

/// One node.
#[derive(Debug)]
pub(super) struct Node {
    pub(super) plan: NodePlan,
    pub(super) key: PublicKey,
    /// Whether that is its second key.
    second: bool,
    /// Records that it has written to its log.
    records: u64,
    /// What it heard from liars at the height in work.
    pub(super) witness: Witness,
    pub(super) host: Option<Host>,
    pub(super) disk: Disk,
    effects: VecDeque<Effect>,
    inbox: VecDeque<HostInput>,
    /// What it waits for.
    at_disk: Option<DiskWork>,
    timers: BTreeMap<TimerId, u64>,
    timers_set: u64,
    /// Timers that have run out in this life, of heights that matter.
    fired: BTreeSet<TimerId>,
    life: u32,
    born: Micros,
    armed: Option<Armed>,
    /// The last height it has acknowledged.
    pub(super) committed: u64,
    halted: Option<HostError>,
    pub(super) liar: Option<Liar>,
    /// The block that a splitting liar holds back until its proposal comes.
    pub(super) held: Option<BlockMessage>,
}

impl Node {
    pub(super) fn new(plan: &Plan, at: usize, chain: ChainId) -> Self {
        let node = plan.nodes[at].clone();
        let rng = plan.seed.stream("simulation liars").child(at as u64).rng();
        let liar = (!node.lies.is_empty()).then(|| {
            let signer = plan.signatures.validator(node.validator);
            Liar::new(node.lies.clone(), signer, chain, rng)
        });
        Self {
            key: validator_key(node.validator),
            second: false,
            records: 0,
            witness: Witness::default(),
            plan: node,
            host: None,
            disk: Disk::default(),
            effects: VecDeque::new(),
            inbox: VecDeque::new(),
            at_disk: None,
            timers: BTreeMap::new(),
            timers_set: 0,
            fired: BTreeSet::new(),
            life: 0,
            born: 0,
            armed: None,
            committed: 0,
            halted: None,
            liar,
            held: None,
        }
    }

    fn clock(&self, now: Micros) -> Now {
        let clock = self.plan.clock;
        let ran = now.saturating_sub(self.born);
        let fast = (i128::from(ran) * i128::from(clock.rate_ppm) / 1_000_000) as i64;
        let wall = (DAWN + now / MS).saturating_add_signed(clock.skew_ms);
        Now {
            monotonic: Duration::from_micros(ran.saturating_add_signed(fast)),
            wall: Timestamp(wall),
        }
    }

    /// How long the world waits while this node's clock runs for `after`.
    fn in_true_time(&self, after: Duration) -> Micros {
        let rate = 1_000_000 + self.plan.clock.rate_ppm;
        (after.as_micros() as u64).saturating_mul(1_000_000) / rate.max(1) as u64
    }

    pub(super) fn diagnosis(&self) -> String {
        let Self { plan, committed, .. } = self;
        let name = plan.validator;
        let lies: Vec<_> = plan.lies.iter().map(|lie| lie.name()).collect();
        let state = match (&self.halted, &self.host) {
            (Some(error), _) => format!("halted ({error})"),
            (None, None) => "down".to_owned(),
            (None, Some(host)) => {
                let counters = host.counters();
                format!(
                    "{host:?}, {} commands wait, {} extra rounds, {} dropped",
                    host.waiting(),
                    counters.extra_rounds,
                    counters.dropped
                )
            }
        };
        format!("node {name} [{}] at {committed}: {state}", lies.join(" "))
    }

    pub(super) fn count_faults(&self, faults: &mut BTreeMap<&'static str, u64>) {
        let mut add = |kind, count| *faults.entry(kind).or_default() += count;
        add("liar", u64::from(self.liar.is_some()));
        add("twin", u64::from(self.plan.twin));
        add("uneven weight", u64::from(self.plan.power != 1));
        add("slow disk", u64::from(self.plan.disk.flush > 0));
        add("clock skew", u64::from(self.plan.clock.skew_ms != 0));
        let far = self.plan.clock.skew_ms.unsigned_abs() > crate::sim::plan::DRIFT_MS;
        add("clock beyond drift", u64::from(far));
        for (&lie, &count) in self.liar.iter().flat_map(|liar| &liar.counts) {
            add(lie, count);
        }
    }
}

impl Cluster {
    /// An input reaches a node.
    pub(super) fn give(&mut self, at: usize, input: HostInput) {
        let node = &mut self.nodes[at];
        if node.host.is_some() && node.inbox.len() < MAX_INBOX {
            node.inbox.push_back(input);
            self.drive(at);
        }
    }

    /// Carries effects out and takes inputs in until the node waits for something.
    fn drive(&mut self, at: usize) {
        while self.wrong.is_none() {
            let now = self.queue.now();
            let node = &mut self.nodes[at];
            if node.at_disk.is_some() || node.host.is_none() {
                return;
            }
            if node.effects.is_empty() {
                let clock = node.clock(now);
                let (Some(host), Some(input)) = (&mut node.host, node.inbox.pop_front()) else {
                    return;
                };
                if let HostInput::Message { message, .. } = &input
                    && node.plan.is_correct()
                {
                    self.checker
                        .witness(&mut node.witness, host.height() + 1, message);
                }
                node.effects.extend(host.step(clock, input));
                continue;
            }
            match &mut node.armed {
                Some(Armed { effects: 0, .. }) => return self.crash(at, None),
                Some(armed) => armed.effects -= 1,
                None => {}
            }
            if let Some(effect) = node.effects.pop_front() {
                self.carry_out(at, effect);
            }
        }
    }

    /// The node writes to its log, and may crash there.
    fn log(&mut self, at: usize, record: WalRecord) {
        let node = &mut self.nodes[at];
        if let WalRecord::Timeout(height, timeout) = &record
            && !node.fired.contains(&TimerId::Round(*height, *timeout))
        {
            let what = short_record(&record);
            return self.violate(format!("node {at} acts on a timer that did not run out: {what}"));
        }
        let point = self
            .plan
            .wal_point
            .filter(|point| (point.node, point.record) == (at, node.records));
        node.records += 1;
        let before = point.is_some_and(|point| point.place == Place::Before);
        if !before {
            node.disk.append(record);
        }
        if let Some(point) = point {
            node.armed = Some(Armed {
                effects: 0,
                away: point.away,
            });
            self.crash(at, Some(point.place));
        }
    }

    fn carry_out(&mut self, at: usize, effect: Effect) {
        let now = self.queue.now();
        self.story.tell(now, || tale(at, &effect));
        let node = &mut self.nodes[at];
        match effect {
            Effect::Wal(record) => self.log(at, record),
            Effect::Flush => self.use_disk(at, DiskWork::Flush),
            Effect::Store(decided) => self.use_disk(at, DiskWork::Store(decided)),
            Effect::WalReset { height } => node.disk.reset(height),
            Effect::Broadcast(message) => self.say_to_all(at, message),
            Effect::Send { to, message } => self.say_to(at, to, &Arc::new(message)),
            Effect::ServeOld { to, first, count } => {
                let blocks = node.disk.stored(first, count);
                if !blocks.is_empty() {
                    self.count("served from disk", 1);
                    let message = Message::SyncResponse(blocks);
                    self.say_to(at, to, &Arc::new(message));
                }
            }
            Effect::SetTimer { id, after } => {
                node.timers_set += 1;
                let (life, set) = (node.life, node.timers_set);
                node.timers.insert(id, set);
                let after = node.in_true_time(after);
                let event = Event::Timer {
                    node: at,
                    life,
                    id,
                    set,
                };
                self.queue.after(after, event);
            }
            Effect::CancelTimer(id) => {
                // A cancelled timer may run out all the same.
                if !self.rng.chance(CANCELLED_TOO_LATE) {
                    node.timers.remove(&id);
                }
            }
            Effect::Committed {
                decided,
                events,
                ledger,
            } => self.committed(at, &decided, &events, &ledger),
            Effect::Halt(error) => {
                node.halted = Some(error.clone());
                node.host = None;
                if node.plan.is_correct() {
                    self.violate(format!("correct node {at} halts: {error}"));
                }
            }
        }
    }

    /// The node does nothing else until its disk is done; if it crashes before that, nothing has happened.
    fn use_disk(&mut self, at: usize, work: DiskWork) {
        let node = &mut self.nodes[at];
        let longest = node.plan.disk.flush;
        let wait = if longest == 0 {
            0
        } else {
            self.rng.within(0..=longest)
        };
        if wait == 0 {
            return self.disk_is_done(at, work);
        }
        node.at_disk = Some(work);
        let life = node.life;
        self.queue.after(wait, Event::Disk { node: at, life });
    }

    /// What was given to the disk is durable now, and was not before.
    fn disk_is_done(&mut self, at: usize, work: DiskWork) {
        let node = &mut self.nodes[at];
        let stored = match &work {
            DiskWork::Store(decided) if node.plan.is_correct() => Some(Arc::clone(decided)),
            _ => None,
        };
        work.done(&mut node.disk);
        if let Some(decided) = stored {
            let outcome = self.checker.on_stored(node.plan.validator, &decided);
            self.require(outcome);
        }
    }

    pub(super) fn on_disk(&mut self, at: usize, life: u32) {
        let node = &mut self.nodes[at];
        if node.life != life {
            return;
        }
        if let Some(work) = node.at_disk.take() {
            self.disk_is_done(at, work);
        }
        self.drive(at);
    }

    pub(super) fn on_timer(&mut self, at: usize, life: u32, id: TimerId, set: u64) {
        let node = &mut self.nodes[at];
        if node.life == life && node.timers.get(&id) == Some(&set) {
            node.timers.remove(&id);
            let height = node.committed;
            node.fired
                .retain(|id| matches!(id, TimerId::Round(of, _) if of.0 > height));
            node.fired.insert(id);
            self.give(at, HostInput::Timer(id));
        }
    }

    fn committed(&mut self, at: usize, decided: &Decided, events: &[LedgerEvent], ledger: &Ledger) {
        let node = &mut self.nodes[at];
        let (height, before) = (decided.height(), node.committed);
        node.committed = height;
        if !node.plan.is_correct() {
            return;
        }
        let validator = node.plan.validator;
        let state = ledger.state_hash();
        if height != before + 1 {
            return self.violate(format!("node {at} acknowledges height {height} after {before}"));
        }
        let wall = self.wall();
        let outcome = self.checker.on_committed(validator, wall, decided, events, state);
        self.require(outcome);
        self.settle_witness(at, height);
        self.change_key(at, height + 1);
    }

    /// Whoever the ledger knows by another key at the next height soon stops, and starts again with that.
    fn change_key(&mut self, at: usize, next: u64) {
        let node = &mut self.nodes[at];
        if self.checker.is_second(node.plan.validator, next) != node.second && node.armed.is_none() {
            node.armed = Some(Armed {
                effects: self.rng.within(0..=24),
                away: self.rng.within(1..=50) * MS,
            });
            let life = node.life;
            self.queue.after(OVERDUE, Event::Fell { node: at, life });
        }
    }

    /// Who contradicted itself in this node's hearing at a height that is over: the node has proof, or the ledger.
    fn settle_witness(&mut self, at: usize, height: u64) {
        let node = &mut self.nodes[at];
        let witness = std::mem::take(&mut node.witness);
        let Some(host) = &node.host else { return };
        let mut unproven = None;
        let mut proven = 0;
        for offender in witness.offenders(height) {
            let same = |of: PublicKey, at: u64| (of, at) == (offender, height);
            let mut offences = host.ledger().offences().filter(|one| one.validator == offender);
            let recorded = offences.clone().any(|one| same(one.validator, one.height));
            // The ledger keeps so many of one validator.
            let full = offences.nth(15).is_some();
            let mut proofs = host.evidence().filter_map(|proof| proof.offence().ok());
            if recorded || full || proofs.any(|one| same(one.validator, one.height)) {
                proven += 1;
            } else {
                unproven = Some(offender);
            }
        }
        if proven > 0 {
            self.count("contradiction proven", proven);
        }
        if let Some(offender) = unproven {
            self.violate(format!(
                "node {at} heard {offender} contradict itself at height {height} and has no proof"
            ));
        }
    }

    /// Whether a correct validator still has a proof that the ledger wants.
    pub(super) fn has_evidence(&self) -> bool {
        self.plan.correct().any(|at| {
            self.nodes[at].host.as_ref().is_some_and(|host| {
                host.ledger().validators().get(&host.validator()).is_some()
                    && host.evidence().next().is_some()
            })
        })
    }

    /// The crash `number` of the plan comes near.
    pub(super) fn arm(&mut self, number: usize) {
        let crash = self.plan.crashes[number];
        let node = &mut self.nodes[crash.node];
        if node.host.is_none() || node.armed.is_some() {
            return;
        }
        node.armed = Some(Armed {
            effects: crash.effects,
            away: crash.away,
        });
        let life = node.life;
        if !self.plan.is_systematic() {
            let event = Event::Fell {
                node: crash.node,
                life,
            };
            self.queue.after(OVERDUE, event);
        }
    }

    pub(super) fn fall(&mut self, at: usize, life: u32) {
        let node = &self.nodes[at];
        if node.life == life && node.armed.is_some() && node.host.is_some() {
            self.crash(at, None);
        }
    }

    /// The node stops, somewhere or at a place of its log, and starts again later.
    fn crash(&mut self, at: usize, place: Option<Place>) {
        let now = self.queue.now();
        let node = &mut self.nodes[at];
        let away = node.armed.take().map_or(MS, |armed| armed.away);
        node.host = None;
        node.life += 1;
        node.at_disk = None;
        node.effects.clear();
        node.inbox.clear();
        node.timers.clear();
        node.fired.clear();
        node.witness = Witness::default();
        let damage = match place {
            None => node.disk.crash(&mut self.rng),
            Some(place) => node.disk.crash_at(place),
        };
        if let Some(place) = place {
            self.count(place.name(), 1);
        }
        self.forget(at);
        match damage {
            Ok(damage) => {
                self.count("crash", 1);
                self.count(
                    "record lost",
                    (damage.pending - damage.kept.min(damage.pending)) as u64,
                );
                self.count("torn log", u64::from(damage.torn));
                self.story.tell(now, || {
                    let torn = if damage.torn { ", one of them torn" } else { "" };
                    format!(
                        "node {at} crashes: {} of {} records that were not durable survive{torn}",
                        damage.kept, damage.pending
                    )
                });
            }
            Err(what) => self.violate(format!("node {at}: {what}")),
        }
        self.queue.after(away, Event::Start { node: at });
    }

    pub(super) fn start(&mut self, at: usize) {
        let now = self.queue.now();
        let node = &mut self.nodes[at];
        if node.host.is_some() || node.halted.is_some() {
            return;
        }
        node.born = now;
        let lost = (node.committed > node.disk.height()).then_some(node.committed);
        let validator = node.plan.validator;
        let second = node.plan.is_correct() && self.checker.is_second(validator, node.disk.height() + 1);
        let number = key_number(self.plan.options.nodes, validator, second);
        let changed = second != node.second;
        (node.second, node.key) = (second, validator_key(number));
        let made = Host::new(
            self.genesis.clone(),
            self.plan.signatures.validator(number),
            Arc::clone(&self.scheme),
            self.config.clone(),
            node.disk.recover(),
            node.clock(now),
        );
        self.story.tell(now, || {
            let with = if changed { " with a new key" } else { "" };
            format!(
                "node {at} starts from height {}{with}",
                self.nodes[at].disk.height()
            )
        });
        self.count("key changed", u64::from(changed));
        let node = &mut self.nodes[at];
        match made {
            Ok((host, effects)) => {
                let height = node.disk.height();
                if let Some(acknowledged) = lost {
                    return self.violate(format!(
                        "node {at} acknowledged height {acknowledged} and starts again from {height}"
                    ));
                }
                // A block that was stored but not acknowledged before the crash is acknowledged by being served. The host
                // may be a block further: what its log makes it decide it stores and acknowledges now.
                node.committed = height;
                node.host = Some(host);
                node.effects.extend(effects);
                self.catch_up_checks(at);
                self.drive(at);
            }
            Err(error) => {
                node.halted = Some(error.clone());
                self.violate(format!("node {at} does not start again: {error}"));
            }
        }
    }

    /// A block that a node stored and did not live to acknowledge was decided all the same.
    fn catch_up_checks(&mut self, at: usize) {
        let node = &self.nodes[at];
        let Some(host) = node.host.as_ref().filter(|_| node.plan.is_correct()) else {
            return;
        };
        let (height, validator) = (node.disk.height(), node.plan.validator);
        let outcome = if height > self.checker.height() {
            self.stored_unheard(at, height)
        } else {
            self.checker.on_ledger(validator, host.ledger())
        };
        self.require(outcome);
    }

    fn stored_unheard(&mut self, at: usize, height: u64) -> Result<(), String> {
        let node = &self.nodes[at];
        let wall = self.wall();
        for decided in node.disk.stored(self.checker.height() + 1, height as u32) {
            self.checker.adopt(node.plan.validator, wall, &decided)?;
        }
        Ok(())
    }
}
