//! Messages between nodes, and what liars make of theirs.

use super::{Cluster, Event};
use crate::consensus::{HostInput, Message, Vote};
use crate::keys::PublicKey;
use crate::sim::keys::Signatures;
use crate::sim::liar::SplitRound;
use crate::sim::network::Arrivals;
use crate::sim::plan::Lie;
use arc_malachitebft_core_types::{NilOrVal, Round, VoteType};
use std::sync::Arc;

impl Cluster {
    /// A host says something to all others.
    pub(super) fn say_to_all(&mut self, at: usize, message: Message) {
        if self.nodes[at].liar.is_some() {
            return self.lie_to_all(at, message);
        }
        self.listen(at, &message);
        let message = Arc::new(message);
        for to in 0..self.nodes.len() {
            if to != at {
                self.send(at, to, &message);
            }
        }
    }

    /// The judge hears what correct nodes say.
    fn listen(&mut self, at: usize, message: &Message) {
        let node = &self.nodes[at];
        if node.plan.is_correct() {
            let is_durable = |vote: &Vote| node.disk.remembers(vote);
            let outcome = self.checker.on_sent(node.plan.validator, message, is_durable);
            self.require(outcome);
        }
    }

    /// A host says something to whoever holds a key.
    pub(super) fn say_to(&mut self, at: usize, key: PublicKey, message: &Arc<Message>) {
        self.listen(at, message);
        for to in 0..self.nodes.len() {
            if to == at || self.key_of(to) != key {
                continue;
            }
            let half = self.half(to);
            match &mut self.nodes[at].liar {
                None => self.send(at, to, message),
                Some(liar) => {
                    if let Some(message) = liar.tell(half, message) {
                        self.send(at, to, &Arc::new(message));
                    }
                }
            }
        }
    }

    fn send(&mut self, from: usize, to: usize, message: &Arc<Message>) {
        let now = self.queue.now();
        let Arrivals { first, again } = self.network.carry(now, from, to);
        for at in [first, again].into_iter().flatten() {
            let message = Arc::clone(message);
            self.queue.at(at, Event::Deliver { to, from, message });
        }
    }

    /// A message arrives: over the wire's form where the run is a real one in that too.
    pub(super) fn deliver(&mut self, to: usize, from: usize, message: Arc<Message>) {
        if self.nodes[to].host.is_none() {
            return;
        }
        let from_key = self.key_of(from);
        if let Some(liar) = &mut self.nodes[to].liar {
            let says = liar.hear(&message);
            for message in says {
                self.lie_to_all(to, message);
            }
        }
        let message = Arc::unwrap_or_clone(message);
        let message = if self.plan.signatures == Signatures::Real {
            match message.encode().and_then(|bytes| Message::decode(&bytes)) {
                Ok(decoded) if decoded == message => decoded,
                Ok(_) => return self.violate(format!("a {} changes on the wire", message.kind())),
                Err(_) => return self.count("message without a wire form", 1),
            }
        } else if message.check().is_ok() {
            message
        } else {
            return self.count("message without a wire form", 1);
        };
        let from = from_key;
        self.give(to, HostInput::Message { from, message });
    }

    /// On which side of the liars' split a node is: every other correct one.
    fn half(&self, node: usize) -> bool {
        let before = self.plan.correct().take_while(|&at| at < node).count();
        (before as u64 + self.plan.seed.0) % 2 == 1
    }

    fn lie_to_all(&mut self, at: usize, message: Message) {
        let wall = self.wall();
        let Some(liar) = &mut self.nodes[at].liar else {
            return;
        };
        let message = liar.twist(message, wall);
        if liar.tells(Lie::Split) && self.split(at, &message) {
            return;
        }
        let message = Arc::new(message);
        for to in 0..self.nodes.len() {
            if to == at {
                continue;
            }
            let half = self.half(to);
            let Some(liar) = &mut self.nodes[at].liar else {
                return;
            };
            match liar.tell(half, &message) {
                Some(other) if other == *message => self.send(at, to, &message),
                Some(other) => self.send(at, to, &Arc::new(other)),
                None => {}
            }
        }
    }

    /// Two blocks for one round, and the votes of all splitting liars for each. `true`: nothing else is said.
    fn split(&mut self, at: usize, message: &Message) -> bool {
        match message {
            Message::Block(block) if block.named.block().header.proposer == self.key_of(at) => {
                self.nodes[at].held = Some(block.clone());
                true
            }
            Message::Proposal(proposal) => {
                let held = self.nodes[at].held.take();
                let held = held.filter(|held| held.named.id() == proposal.message.value);
                let Some(held) = held else { return false };
                let node = &mut self.nodes[at];
                let fresh = proposal.message.pol_round == Round::Nil;
                let split = node
                    .liar
                    .as_mut()
                    .filter(|_| fresh)
                    .and_then(|liar| liar.split(&proposal.message, &held.named));
                match split {
                    Some(split) => self.play_split(at, &split),
                    None => self.say_plainly(at, &[Message::Block(held), message.clone()]),
                }
                true
            }
            Message::Vote(vote) => {
                let round = (vote.message.height.0, vote.message.round.as_i64());
                self.splits.contains(&round)
            }
            _ => false,
        }
    }

    fn say_plainly(&mut self, at: usize, messages: &[Message]) {
        for message in messages {
            let message = Arc::new(message.clone());
            for to in 0..self.nodes.len() {
                if to != at {
                    self.send(at, to, &message);
                }
            }
        }
    }

    fn play_split(&mut self, at: usize, split: &SplitRound) {
        self.splits.push((split.height.0, split.round.as_i64()));
        let fellows: Vec<usize> = (0..self.nodes.len())
            .filter(|&node| {
                let liar = self.nodes[node].liar.as_ref();
                liar.is_some_and(|liar| liar.tells(Lie::Split)) && self.nodes[node].host.is_some()
            })
            .collect();
        for to in 0..self.nodes.len() {
            let side = usize::from(self.half(to));
            if to != at {
                for message in &split.messages[side] {
                    self.send(at, to, &Arc::new(message.clone()));
                }
            }
            for &fellow in fellows.iter().filter(|&&fellow| fellow != to) {
                let Some(liar) = &self.nodes[fellow].liar else {
                    continue;
                };
                let value = NilOrVal::Val(split.values[side]);
                let votes = [VoteType::Prevote, VoteType::Precommit]
                    .map(|kind| liar.vote(kind, split.height, split.round, value));
                for vote in votes {
                    self.send(fellow, to, &Arc::new(vote));
                }
            }
        }
    }
}
