//! Validators that lie. Each runs a real [`Host`](crate::consensus::Host), so that it knows what is going on, and twists
//! what that host says. It holds its own signing key and no other, like any attacker.

mod blocks;

use super::draw::Draw;
use super::plan::Lie;
use crate::consensus::{
    BlockId, BlockMessage, Certificate, Decided, Height, Message, NamedBlock, Proposal, Sealed, Vote,
};
use crate::genesis::ChainId;
use crate::keys::{PublicKey, Signer};
use arc_malachitebft_core_types::{NilOrVal, Round, VoteType};
use blocks::Spoiler;
use daa_base::{Rng, Timestamp};
use std::collections::{BTreeMap, VecDeque};

/// Messages that a liar keeps to say again.
const MEMORY: usize = 48;

/// Needless messages of one liar in one run.
const FLOOD: u32 = 1_500;

/// One liar.
#[derive(Debug)]
pub(super) struct Liar {
    lies: Vec<Lie>,
    pub(super) signer: Box<dyn Signer>,
    chain: ChainId,
    rng: Rng,
    memory: VecDeque<Message>,
    flooded: u32,
    /// Own blocks that were spoilt: what stands in for which.
    spoilt: BTreeMap<BlockId, NamedBlock>,
    /// The last block somebody named, for votes that contradict.
    last_seen: Option<BlockId>,
    pub(super) counts: BTreeMap<&'static str, u64>,
}

/// The two blocks of one round between which liars split the others.
#[derive(Debug, Clone)]
pub(super) struct SplitRound {
    pub(super) height: Height,
    pub(super) round: Round,
    pub(super) values: [BlockId; 2],
    pub(super) messages: [[Message; 2]; 2],
}

impl Liar {
    pub(super) fn new(lies: Vec<Lie>, signer: Box<dyn Signer>, chain: ChainId, rng: Rng) -> Self {
        Self {
            lies,
            signer,
            chain,
            rng,
            memory: VecDeque::new(),
            flooded: 0,
            spoilt: BTreeMap::new(),
            last_seen: None,
            counts: BTreeMap::new(),
        }
    }

    pub(super) fn tells(&self, lie: Lie) -> bool {
        self.lies.contains(&lie)
    }

    fn count(&mut self, lie: Lie) {
        *self.counts.entry(lie.name()).or_default() += 1;
    }

    fn me(&self) -> PublicKey {
        self.signer.public()
    }

    /// A signed vote of this liar.
    pub(super) fn vote(
        &self,
        kind: VoteType,
        height: Height,
        round: Round,
        value: NilOrVal<BlockId>,
    ) -> Message {
        let message = Vote {
            kind,
            height,
            round,
            value,
            validator: self.me(),
        };
        let signature = self.signer.sign(&message.signing_bytes(self.chain));
        Message::Vote(Sealed { message, signature })
    }

    fn proposal(&self, message: Proposal) -> Message {
        let signature = self.signer.sign(&message.signing_bytes(self.chain));
        Message::Proposal(Sealed { message, signature })
    }

    /// What it says to all when it hears something.
    pub(super) fn hear(&mut self, message: &Message) -> Vec<Message> {
        self.remember(message);
        let mut says = Vec::new();
        if let Message::Proposal(proposal) = message {
            let Proposal {
                height, round, value, ..
            } = proposal.message;
            self.last_seen = Some(value);
            if self.tells(Lie::VoteInvalid) {
                self.count(Lie::VoteInvalid);
                for kind in [VoteType::Prevote, VoteType::Precommit] {
                    says.push(self.vote(kind, height, round, NilOrVal::Val(value)));
                }
            }
        }
        if self.tells(Lie::Replay) && self.rng.chance(60) {
            let old: Vec<_> = self.memory.iter().cloned().collect();
            if let Some(old) = self.rng.pick(&old) {
                self.count(Lie::Replay);
                says.push(old.clone());
            }
        }
        if self.tells(Lie::Forge) && self.rng.chance(80) {
            says.extend(self.forge(message));
        }
        if self.tells(Lie::Flood) && self.flooded < FLOOD && self.rng.chance(40) {
            says.extend(self.flood(message));
        }
        says
    }

    fn remember(&mut self, message: &Message) {
        if self.memory.len() >= MEMORY {
            self.memory.pop_front();
        }
        if self.rng.chance(300) {
            self.memory.push_back(message.clone());
        }
    }

    /// A vote in somebody else's name, or one that somebody else signed for something else.
    fn forge(&mut self, message: &Message) -> Option<Message> {
        let Message::Vote(vote) = message else {
            return None;
        };
        self.count(Lie::Forge);
        let mut forged = vote.clone();
        match self.rng.below(4) {
            0 => forged.signature.0[3] ^= 1,
            1 => forged.message.value = NilOrVal::Nil,
            2 => forged.message.kind = VoteType::Precommit,
            _ => {
                forged.message.value = self.last_seen.map_or(NilOrVal::Nil, NilOrVal::Val);
                forged.signature = self.signer.sign(&forged.message.signing_bytes(self.chain));
            }
        }
        (forged != *vote).then_some(Message::Vote(forged))
    }

    fn flood(&mut self, message: &Message) -> Vec<Message> {
        let height = match message {
            Message::Vote(vote) => vote.message.height,
            Message::Proposal(proposal) => proposal.message.height,
            _ => return Vec::new(),
        };
        let mut says = Vec::new();
        for n in 0..self.rng.within(5..=40) as u32 {
            self.flooded += 1;
            self.count(Lie::Flood);
            let round = Round::new(self.rng.below(40) as u32);
            let ahead = Height(height.0 + self.rng.below(6) as u64);
            says.push(match n % 4 {
                0 => self.vote(VoteType::Prevote, ahead, round, NilOrVal::Nil),
                1 => Message::Status {
                    height: self.rng.next_u64(),
                },
                2 => Message::SyncRequest {
                    from: self.rng.within(0..=height.0 + 2),
                    count: self.rng.below(17) as u32,
                },
                _ => self.vote(VoteType::Precommit, height, round, NilOrVal::Nil),
            });
        }
        says
    }

    /// What it says instead of what its host wants to say to all.
    pub(super) fn twist(&mut self, message: Message, wall: Timestamp) -> Message {
        if !self.tells(Lie::ProposeInvalid) {
            return message;
        }
        match message {
            Message::Block(block) => self.spoil(block, wall),
            Message::Proposal(proposal) => {
                let mut message = proposal.message.clone();
                let Some(bad) = self.spoilt.get(&message.value) else {
                    return Message::Proposal(proposal);
                };
                message.value = bad.id();
                self.proposal(message)
            }
            Message::Vote(vote) => {
                let Vote {
                    kind, height, round, ..
                } = vote.message;
                let spoilt = match &vote.message.value {
                    NilOrVal::Val(id) => self.spoilt.get(id).map(NamedBlock::id),
                    NilOrVal::Nil => None,
                };
                match spoilt {
                    Some(id) => self.vote(kind, height, round, NilOrVal::Val(id)),
                    None => Message::Vote(vote),
                }
            }
            other => other,
        }
    }

    fn spoil(&mut self, block: BlockMessage, wall: Timestamp) -> Message {
        let good = block.named.id();
        let own = block.named.block().header.proposer == self.me();
        if !self.spoilt.contains_key(&good) && own && self.rng.chance(700) {
            let spoiler = Spoiler {
                signer: self.signer.as_ref(),
                chain: self.chain,
                wall,
            };
            if let Some((kind, bad)) = spoiler.spoil(block.named.block(), &mut self.rng) {
                *self.counts.entry(kind).or_default() += 1;
                self.spoilt.insert(good, bad);
            }
        }
        match self.spoilt.get(&good) {
            Some(bad) => Message::Block(BlockMessage {
                round: block.round,
                named: bad.clone(),
            }),
            None => Message::Block(block),
        }
    }

    /// What it says to one node (`half`: on which side of its split that one is) instead of `message`.
    pub(super) fn tell(&mut self, half: bool, message: &Message) -> Option<Message> {
        if self.tells(Lie::Silent) {
            self.count(Lie::Silent);
            return None;
        }
        if self.tells(Lie::Withhold) && self.withholds(half, message) {
            self.count(Lie::Withhold);
            return None;
        }
        if half
            && self.tells(Lie::DoubleVote)
            && let Message::Vote(vote) = message
        {
            self.count(Lie::DoubleVote);
            let Vote {
                kind, height, round, ..
            } = vote.message;
            let value = match (&vote.message.value, self.last_seen) {
                (NilOrVal::Nil, Some(id)) => NilOrVal::Val(id),
                _ => NilOrVal::Nil,
            };
            return Some(self.vote(kind, height, round, value));
        }
        if self.tells(Lie::FakeSync) {
            return Some(self.lie_about_heights(message));
        }
        Some(message.clone())
    }

    fn withholds(&mut self, half: bool, message: &Message) -> bool {
        match message {
            Message::Vote(_) => self.rng.chance(if half { 700 } else { 200 }),
            Message::Block(_) | Message::Proposal(_) => self.rng.chance(if half { 600 } else { 100 }),
            Message::SyncResponse(_) => true,
            _ => self.rng.chance(300),
        }
    }

    fn lie_about_heights(&mut self, message: &Message) -> Message {
        match message {
            Message::Status { height } => {
                self.count(Lie::FakeSync);
                Message::Status {
                    height: height.saturating_add(self.rng.below(50) as u64),
                }
            }
            Message::SyncResponse(blocks) => {
                self.count(Lie::FakeSync);
                Message::SyncResponse(blocks.iter().map(|block| self.fake(block)).collect())
            }
            other => other.clone(),
        }
    }

    /// A block that was not decided, with a certificate that looks like one, or the right block with too little proof.
    fn fake(&mut self, real: &Decided) -> Decided {
        let mut fake = real.clone();
        let choice = self.rng.below(5);
        if choice < 3 {
            let mut block = real.block().as_ref().clone();
            block.header.time = block.header.time.after(daa_base::Millis(1));
            block.header.proposer = self.me();
            if let Ok(named) = NamedBlock::new(block) {
                fake.named = named;
            }
        }
        let own = |id| {
            let height = Height(real.height());
            let round = Round::new(real.certificate.round);
            match self.vote(VoteType::Precommit, height, round, NilOrVal::Val(id)) {
                Message::Vote(vote) => (self.me(), vote.signature),
                _ => unreachable!("a vote is a vote"),
            }
        };
        let mine = own(fake.id());
        let others = real.certificate.signatures.len();
        fake.certificate = Certificate {
            round: real.certificate.round,
            signatures: match choice {
                0 => real.certificate.signatures.clone(),
                1 => vec![mine; others],
                2 => real
                    .certificate
                    .signatures
                    .iter()
                    .map(|&(key, _)| (key, mine.1))
                    .collect(),
                3 => real.certificate.signatures[..others / 2].to_vec(),
                _ => vec![mine],
            },
        };
        fake
    }

    /// The other half of a split: a second block for the round of this one.
    pub(super) fn second_block(&self, first: &NamedBlock) -> Option<NamedBlock> {
        let mut block = first.block().as_ref().clone();
        if block.header.proposer != self.me() || block.header.height == 0 {
            return None;
        }
        block.header.time = block.header.time.after(daa_base::Millis(1));
        NamedBlock::new(block).ok()
    }

    /// Both proposals of a split, each with its block.
    pub(super) fn split(&mut self, proposal: &Proposal, first: &NamedBlock) -> Option<SplitRound> {
        let second = self.second_block(first)?;
        self.count(Lie::Split);
        let round = proposal.round.as_u32()?;
        let pair = |named: &NamedBlock| {
            let message = Proposal {
                value: named.id(),
                pol_round: Round::Nil,
                ..proposal.clone()
            };
            let block = BlockMessage {
                round,
                named: named.clone(),
            };
            [Message::Block(block), self.proposal(message)]
        };
        Some(SplitRound {
            height: proposal.height,
            round: proposal.round,
            values: [first.id(), second.id()],
            messages: [pair(first), pair(&second)],
        })
    }
}
