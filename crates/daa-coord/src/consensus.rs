//! Byzantine agreement on blocks: Malachite's Tendermint core, and everything it leaves to its host.
//!
//! One validator is a [`Host`]: a pure core that takes messages, timers and commands and answers with effects. Drivers carry
//! the effects out: threads and channels in one process ([`crate::log::bft`]), virtual time in the simulator. The rules by
//! which a block is judged are the ledger's own; whoever drives, they are the same.
//!
//! # What the host adds to the core
//! - signing, and signature checks that are made once ([`CheckedSignatures`]);
//! - blocks beside proposals: a block is decoded, named by its digest and judged by the ledger before anybody votes for it;
//! - the write-ahead log: a record is durable before anything that follows from it is published, so a validator that
//!   crashed never contradicts itself;
//! - catching up: whoever is behind asks for decided blocks with their certificates;
//! - no blocks without need: a height begins when there is something to decide, when agreed time has to pass, or when another
//!   validator has begun it;
//! - timeouts that follow the measured pace, so that a dead proposer costs little;
//! - evidence of misbehaviour, which goes into the next block.
//!
//! Tendermint: Buchman, Kwon, Milosevic 2018, "The latest gossip on BFT consensus" (arXiv 1807.04938). Agreement holds while
//! less than a third of the weight lies; progress needs in addition that messages arrive eventually.

mod application;
mod block;
mod context;
pub mod evidence;
pub mod host;
mod mempool;
pub mod planted;
pub mod storage;
#[expect(
    clippy::result_large_err,
    reason = "the engine's own error type, made on failure only"
)]
mod verify;
mod wal;
mod wire;

#[cfg(feature = "net")]
pub(crate) use application::Application;
pub use block::{
    Certificate, CertificateError, ConsensusBlock, Decided, Header, MAX_BLOCK, MAX_BLOCK_EVIDENCE, NamedBlock,
};
pub use context::{
    BlockId, BlockPart, ChainContext, ChainSigning, Height, LengthError, Part, Proposal, Vote,
};
pub use evidence::{Evidence, EvidenceError, Offence, OffenceKind};
pub use host::{
    Effect, Host, HostConfig, HostCounters, HostError, HostInput, Now, Recovered, Timeouts, TimerId,
};
pub use mempool::{Mempool, Offered};
pub use verify::{CheckCounts, CheckedSignatures};
pub use wal::{JudgedBlock, MAX_RECORD, WalContents, WalRecord, read_frames};
pub use wire::{
    BlockMessage, MAX_COMMANDS, MAX_MESSAGE, MAX_SYNC_BLOCKS, Message, Polka, RoundProof, Sealed,
    SignedProposal, SignedVote, WireError,
};
