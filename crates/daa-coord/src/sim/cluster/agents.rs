//! Agents that negotiate and nodes that share what they know, over the links between their nodes.

use super::{Cluster, Event, MS, Phase};
use crate::ledger::{Ledger, LedgerEvent};
use crate::negotiate::Side;
use crate::sim::draw::Draw;
use crate::sim::haggle::{Dispute, Out, World, bone};
use crate::sim::plan::Lie;
use crate::sim::queue::Micros;
use std::sync::Arc;

/// Disputes of one run.
const MOST_DISPUTES: u64 = 4;

/// Time between two insights of one node.
const PAUSE: Micros = 180 * MS;

impl Cluster {
    /// What a node's clients read: the ledger of that node, if it is up.
    fn replica(&self, agent: u32) -> Option<Arc<Ledger>> {
        let home = self.clients[agent as usize].home;
        let host = self.nodes[home].host.as_ref()?;
        Some(Arc::clone(host.ledger()))
    }

    /// Runs something of the present dispute with what it may look at.
    fn with_dispute(&mut self, agent: u32, act: impl FnOnce(&mut Dispute, &mut World<'_>) -> Vec<Out>) {
        let now = self.wall();
        let Some(ledger) = self.replica(agent) else { return };
        let Some(dispute) = &mut self.dispute else { return };
        let mut world = World {
            ledger: &ledger,
            scheme: self.scheme.as_ref(),
            signatures: self.plan.signatures,
            now,
            audit: &mut self.checker.audit,
        };
        for out in act(dispute, &mut world) {
            self.carry(out);
        }
    }

    fn carry(&mut self, out: Out) {
        match out {
            Out::Say { from, bytes } => self.say_aside(from, &bytes),
            Out::Wake { side, at } => {
                let after = at.since(self.wall()).get().max(1) * MS;
                let dispute = self.disputes;
                self.queue.after(after, Event::Wake { dispute, side });
            }
            Out::Submit { agent, command } => {
                let at = self.moment();
                let home = self.clients[agent as usize].home;
                let send = self.clients[agent as usize].order(&command, at);
                self.offer(home, send);
            }
        }
    }

    /// Between agents a message takes the link between their nodes; on one node it takes a moment.
    fn say_aside(&mut self, from: Side, bytes: &[u8]) {
        let Some(dispute) = &self.dispute else { return };
        let homes = [from, from.other()].map(|side| self.clients[dispute.agent(side) as usize].home);
        let now = self.queue.now();
        let arrivals = if homes[0] == homes[1] {
            [Some(now + MS / 10), None]
        } else {
            let arrivals = self.network.carry(now, homes[0], homes[1]);
            [arrivals.first, arrivals.again]
        };
        for at in arrivals.into_iter().flatten() {
            let (dispute, to, bytes) = (self.disputes, from.other(), bytes.to_vec());
            self.queue.at(at, Event::Aside { dispute, to, bytes });
        }
    }

    /// A message of a negotiation arrives.
    pub(super) fn aside(&mut self, number: u64, to: Side, bytes: &[u8]) {
        if number == self.disputes
            && let Some(agent) = self.dispute.as_ref().map(|dispute| dispute.agent(to))
        {
            self.with_dispute(agent, |dispute, world| dispute.hear(to, bytes, world));
        }
    }

    /// One side of a dispute wants to be asked again.
    pub(super) fn wake(&mut self, number: u64, side: Side) {
        if number == self.disputes
            && let Some(agent) = self.dispute.as_ref().map(|dispute| dispute.agent(side))
        {
            self.with_dispute(agent, |dispute, world| dispute.wake(side, world));
        }
    }

    /// An agent has read these events; those of its dispute concern it.
    pub(super) fn tell_dispute(&mut self, agent: u32, events: &[LedgerEvent]) {
        for event in events {
            if let LedgerEvent::ContractCarriedOut { agent: by, seq, .. } = event
                && let Some(contract) = self.checker.audit.recorded.get(&(*by, *seq)).cloned()
            {
                self.with_dispute(agent, |dispute, world| dispute.recorded(agent, &contract, world));
            }
        }
    }

    /// Whether an agent is busy with a dispute.
    pub(super) fn is_in_dispute(&self, agent: u32) -> bool {
        let now = self.wall();
        let concerned = |dispute: &Dispute| dispute.concerns(agent) && dispute.is_alive(now);
        self.phase == Phase::Running && self.dispute.as_ref().is_some_and(concerned)
    }

    /// An agent looks after its dispute, or begins one.
    pub(super) fn negotiate(&mut self, agent: u32) {
        if !self.plan.negotiates || agent == 0 {
            return;
        }
        if self
            .dispute
            .as_ref()
            .is_some_and(|dispute| dispute.concerns(agent))
        {
            let seen = self.clients[agent as usize].seen;
            self.with_dispute(agent, |dispute, world| {
                let read = world.ledger.height() == seen;
                dispute.tick(agent, read, world)
            });
            self.close_dispute();
        } else if self.dispute.is_none() && self.phase == Phase::Running && self.disputes < MOST_DISPUTES {
            self.open_dispute(agent);
        }
    }

    fn open_dispute(&mut self, agent: u32) {
        let others = self.plan.agents as u64;
        let other = 1 + (u64::from(agent) + self.rng.within(0..=others - 2)) % others;
        let who = [agent, other as u32];
        let Some(ledger) = self.replica(agent) else { return };
        let Some(device) = bone(&ledger, who, self.wall()) else {
            return;
        };
        let number = self.disputes + 1;
        let rng = self.plan.seed.stream("simulation disputes").child(number).rng();
        let mut world = World {
            ledger: &ledger,
            scheme: self.scheme.as_ref(),
            signatures: self.plan.signatures,
            now: self.wall(),
            audit: &mut self.checker.audit,
        };
        self.dispute = Dispute::new(number, who, self.plan.haggler(), device, rng, &mut world);
        self.disputes = number;
        self.count("dispute", 1);
        let now = self.queue.now();
        self.story.tell(now, || {
            format!("agents {} and {} fall out over {device}", who[0], who[1])
        });
        self.with_dispute(agent, Dispute::begin);
    }

    fn close_dispute(&mut self) {
        let Some(dispute) = self.dispute.take_if(|dispute| dispute.is_over()) else {
            return;
        };
        for (kind, times) in dispute.lies().collect::<Vec<_>>() {
            self.count(kind, times);
        }
        if let Some(what) = dispute.differs() {
            return self.violate(what);
        }
        // The last step goes on record where there is a request that it is about.
        let agent = dispute.agent(Side::First);
        if let (Some(record), Some(request)) =
            (dispute.last_step(), self.clients[agent as usize].some_waiting())
        {
            let command = crate::command::Command::RecordConflict { request, record };
            self.carry(Out::Submit { agent, command });
        }
    }

    /// Nodes begin to say what they know.
    pub(super) fn begin_gossip(&mut self) {
        if self.gossip.is_some() {
            for node in 0..self.nodes.len() {
                let at = self.rng.within(0..=PAUSE);
                self.queue.at(at, Event::Muse(node));
            }
        }
    }

    /// A node tells the others what it knows.
    pub(super) fn muse(&mut self, node: usize) {
        let Some(gossip) = &mut self.gossip else { return };
        if self.phase != Phase::Running {
            return;
        }
        let says = if self.nodes[node].host.is_some() {
            gossip.speak(node)
        } else {
            Vec::new()
        };
        let now = self.queue.now();
        for (alone, bytes) in says {
            let bytes: Arc<[u8]> = bytes.into();
            for to in (0..self.nodes.len()).filter(|&to| to != node && alone.is_none_or(|alone| alone == to))
            {
                let arrivals = self.network.carry(now, node, to);
                for at in [arrivals.first, arrivals.again].into_iter().flatten() {
                    let bytes = Arc::clone(&bytes);
                    self.queue.at(at, Event::Insight { to, bytes });
                }
            }
        }
        self.queue.after(PAUSE, Event::Muse(node));
    }

    /// An insight arrives.
    pub(super) fn insight(&mut self, to: usize, bytes: &[u8]) {
        if self.nodes[to].host.is_some()
            && let Some(gossip) = &mut self.gossip
        {
            let outcome = gossip.hear(to, bytes, self.scheme.as_ref());
            self.require(outcome);
        }
    }

    /// A node that crashes forgets what it kept in memory only.
    pub(super) fn forget(&mut self, node: usize) {
        if let Some(gossip) = &mut self.gossip {
            let outcome = gossip.crash(node);
            self.require(outcome);
        }
    }

    /// Which nodes poison what the others know.
    pub(super) fn poisoners(plan: &crate::sim::plan::Plan) -> Vec<bool> {
        plan.nodes
            .iter()
            .map(|node| node.lies.contains(&Lie::Poison))
            .collect()
    }
}
