//! Clients: when they look, what they send where.

use super::{Cluster, Event, MS, Phase};
use crate::command::SignedCommand;
use crate::consensus::HostInput;
use crate::sim::clients::Moment;
use crate::sim::draw::Draw;

impl Cluster {
    pub(super) fn moment(&self) -> Moment {
        Moment {
            now: self.queue.now(),
            wall: self.wall(),
            draining: self.phase != Phase::Running,
            height: self.checker.height(),
            epoch: self.checker.ledger().membership_epoch(),
        }
    }

    /// A client reads what its node has decided, and acts on it.
    pub(super) fn act(&mut self, number: usize) {
        let at = self.moment();
        let first = self.clients[number].requests == 0 && self.clients[number].seen == 0;
        let mut send = Vec::new();
        if number == 0 && first && self.clients[0].is_done() && self.checker.height() == 0 {
            let agents = self.plan.agents as u32;
            send.extend(self.clients[0].begin(agents, self.plan.signatures, at));
        }
        self.find_home(number);
        let home = self.clients[number].home;
        while self.nodes[home].host.is_some() && self.clients[number].seen < self.nodes[home].committed {
            let next = self.clients[number].seen + 1;
            let Some(events) = self.checker.events(next) else {
                break;
            };
            send.extend(self.clients[number].read(&events, at));
            self.tell_dispute(number as u32, &events);
        }
        self.offer(home, send);
        let again = self.clients[number].repeat(at);
        if !again.is_empty() {
            // What got lost once is tried elsewhere, with whomever.
            let other = self.rng.below(self.nodes.len());
            self.offer(other, again);
        }
        self.negotiate(number as u32);
        let talks = self.is_in_dispute(number as u32);
        let wishes = if number == 0 || (self.checker.height() > 0 && !talks) {
            self.clients[number].act(at)
        } else {
            Vec::new()
        };
        self.offer(home, wishes);
        let pace = self.plan.pace;
        let wait = self.rng.within(pace / 2..=pace * 3 / 2).max(MS);
        self.queue.after(wait, Event::Act(number));
        self.check_phase();
    }

    /// Clients of a node that is down go to another correct one.
    fn find_home(&mut self, number: usize) {
        if self.nodes[self.clients[number].home].host.is_some() {
            return;
        }
        let up: Vec<usize> = self
            .plan
            .correct()
            .filter(|&at| self.nodes[at].host.is_some())
            .collect();
        if let Some(&home) = self.rng.pick(&up) {
            self.clients[number].home = home;
        }
    }

    pub(super) fn offer(&mut self, node: usize, commands: Vec<SignedCommand>) {
        if commands.is_empty() {
            return;
        }
        let healed = self.queue.now() >= self.plan.heals;
        if !healed && self.rng.chance(30) {
            return self.count("submission lost", 1);
        }
        let after = self.rng.within(100..=2_000);
        self.queue.after(after, Event::Submit { node, commands });
    }

    pub(super) fn submit(&mut self, node: usize, commands: Vec<SignedCommand>) {
        let spread = true;
        self.give(node, HostInput::Submit { commands, spread });
    }
}
