//! Blocks that break a rule.

use super::super::draw::Draw;
use crate::command::{Command, SignedCommand};
use crate::consensus::{BlockId, ConsensusBlock, Evidence, Height, NamedBlock, Sealed, Vote};
use crate::genesis::{ChainId, OPERATOR};
use crate::keys::{Digest, Signer};
use arc_malachitebft_core_types::{NilOrVal, Round, VoteType};
use daa_base::{Bytes, DeviceId, Millis, Rng, Timestamp};

/// Makes sound blocks unsound.
pub(super) struct Spoiler<'a> {
    pub(super) signer: &'a dyn Signer,
    pub(super) chain: ChainId,
    pub(super) wall: Timestamp,
}

impl Spoiler<'_> {
    /// A block that breaks one rule, and which.
    pub(super) fn spoil(&self, good: &ConsensusBlock, rng: &mut Rng) -> Option<(&'static str, NamedBlock)> {
        let mut block = good.clone();
        let header = &mut block.header;
        let kind = match rng.below(9) {
            0 => {
                header.parent = BlockId(Digest([7; 32]));
                "block with a wrong parent"
            }
            1 => {
                header.state = Digest([7; 32]);
                "block with a wrong state"
            }
            2 => {
                header.time = self.wall.after(Millis(rng.within(60_000..=3_600_000)));
                "block from the future"
            }
            3 if header.time.0 > 0 => {
                header.time = Timestamp(header.time.0 / 2);
                "block from the past"
            }
            4 => {
                header.height += 1;
                "block of another height"
            }
            5 => {
                let (first, _) = (block.entries.first().cloned()?, ());
                block.entries.push(first);
                "block with a command twice"
            }
            6 => {
                let spoilt = block.entries.first_mut()?;
                spoilt.signature.0[5] ^= 1;
                "block with a forged signature"
            }
            7 => {
                block.evidence.push(self.accusation(good)?);
                "block with a false accusation"
            }
            _ => {
                block.entries.push(self.usurp(rng)?);
                "block with an operator's command by another"
            }
        };
        Some((kind, NamedBlock::new(block).ok()?))
    }

    /// A command of the operator that the operator did not sign: it would double what a device can hold.
    fn usurp(&self, rng: &mut Rng) -> Option<SignedCommand> {
        let command = Command::RegisterDevice {
            device: DeviceId(7),
            capacity: Bytes(1 << 40),
        };
        SignedCommand::sign(self.signer, self.chain, OPERATOR, rng.within(0..=40), &command).ok()
    }

    /// Two votes that contradict each other, in the name of one who cast neither.
    fn accusation(&self, good: &ConsensusBlock) -> Option<Evidence> {
        let innocent = good.entries.first()?;
        let other = crate::sim::keys::validator_key(innocent.seq as usize % 4);
        let vote = |value| {
            let message = Vote {
                kind: VoteType::Prevote,
                height: Height(good.header.height),
                round: Round::new(0),
                value,
                validator: other,
            };
            let signature = self.signer.sign(&message.signing_bytes(self.chain));
            Sealed { message, signature }
        };
        let value = NilOrVal::Val(BlockId(Digest([3; 32])));
        (other != self.signer.public()).then(|| Evidence::of_votes(vote(NilOrVal::Nil), vote(value)))
    }
}
