//! The replicated ledger: a pure function from blocks to state and events.
//!
//! Replicas that apply the same blocks to the same genesis have the same [`Ledger::state_hash`]: there are only
//! integers, ordered maps, and the agreed time that blocks carry.
//!
//! # Sequence numbers
//! Each agent numbers its commands 0, 1, 2, … A command is carried out once, and only after its predecessors: one that
//! arrives early is held (up to `seq_window` numbers ahead), one that arrives again is dropped. In-order execution
//! was preferred to "any order within a window" because commands build on each other (a `Cancel` names an earlier
//! `Request`, a `Release` follows a `Renew`), and because one number per agent then says what has been applied. The
//! price: a lost command holds its successors up until its agent sends it again.
//!
//! # Who takes part
//! The members of the genesis from the beginning, and whoever the operator registers. Each of these may be a sponsor: it
//! registers up to [`MAX_SPONSORED`] further agents of its owner, and as many devices, under the numbers of its own block
//! ([`sponsored`]), and takes them back. It may change the capacity of its device, not below what is leased.
//!
//! # Allocation policy 1, the rotating queue
//! - Waiting requests are served by priority (larger first), then by arrival. What fits is granted at once.
//! - A request that fits may overtake one that is ahead of it (in this order or by arrival) and does not fit. After
//!   `max_overtakes` such grants on devices it could use, a request goes to the front, and these devices are kept
//!   free for it. So neither small requests nor important ones starve the others.
//! - A request that no registered device could ever hold is refused at once.
//! - A lease is not prolonged while a waiting request would fit if that lease ended, nor while it is one of the
//!   longest-held leases that must end together for the first waiting request to fit. The holder sees
//!   [`LedgerEvent::RenewRefused`], stops at its next step boundary and asks again, behind the others. As every lease
//!   ends and every refusal has a bound, nobody waits forever and nothing deadlocks.
//!
//! # Trials
//! Trial k can be claimed when it is the next number (or was released) and every trial numbered below k − W has a
//! result: the decision on k sees only those ([`Ledger::visible_records`]), so it is the same whoever makes it and
//! whenever. A claim that is not touched for `claim_timeout` of agreed time returns to the pool. A lease's activity
//! does not prolong a claim: an agent that renews its lease while its trial hangs would keep the trial forever.

mod allocate;
mod change;
mod chunked;
mod contracts;
mod dispatch;
mod event;
mod fair;
mod health;
mod invariant;
mod leases;
mod members;
mod offences;
pub mod reason;
mod register;
mod rules;
mod signatures;
mod snapshot;
mod sponsor;
mod state;
mod trials;
mod view;

#[cfg(test)]
mod proptests;
#[cfg(test)]
pub(crate) mod tests;

pub use change::MembershipChange;
pub use event::{Lease, LedgerEvent, TrialRecord};
pub use health::Gone;
pub use invariant::InvariantError;
pub use rules::{Credit, PolicyChoice};
pub use sponsor::{BLOCK, MAX_SPONSOR, MAX_SPONSORED, sponsor_of, sponsored};
pub use view::{AgentStatus, ClaimStatus, DeviceStatus, WaitingRequest};

use crate::consensus::MAX_BLOCK_EVIDENCE;
use crate::genesis::{ChainId, ConfigError, Genesis};
use crate::keys::{Ed25519, SignatureScheme};
use crate::log::Block;
use daa_base::CodecError;
use signatures::Verdicts;
use state::State;

/// Why a block or a snapshot is refused. The ledger is unchanged then.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum LedgerError {
    /// The genesis is out of range.
    #[error("genesis: {0}")]
    Config(#[from] ConfigError),
    /// The block is not the next one.
    #[error("the block has height {found}, expected is {expected}")]
    Height {
        /// The height that comes next.
        expected: u64,
        /// The block's height.
        found: u64,
    },
    /// The block has more entries than the ledger allows.
    #[error("the block has {found} entries, allowed are 0 to {limit}")]
    TooManyEntries {
        /// How many it has.
        found: usize,
        /// How many it may have.
        limit: u32,
    },
    /// The block has more evidence than allowed.
    #[error("the block has {found} pieces of evidence, allowed are 0 to {MAX_BLOCK_EVIDENCE}")]
    TooMuchEvidence {
        /// How many it has.
        found: usize,
    },
    /// The snapshot does not decode.
    #[error("snapshot: {0}")]
    Snapshot(#[from] CodecError),
    /// The snapshot was written by a version that this one cannot read.
    #[error("the snapshot has version {found}, readable is {expected}")]
    SnapshotVersion {
        /// Its version.
        found: u8,
        /// This program's version.
        expected: u8,
    },
    /// The snapshot's content does not have the hash that it names.
    #[error("the snapshot's content does not have the hash that it names")]
    SnapshotHash,
    /// The snapshot belongs to another chain.
    #[error("the snapshot belongs to chain {found}, expected is {expected}")]
    WrongChain {
        /// The expected chain.
        expected: ChainId,
        /// The snapshot's chain.
        found: ChainId,
    },
    /// The snapshot's content contradicts itself.
    #[error(transparent)]
    Invariant(#[from] InvariantError),
}

/// One replica.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Ledger {
    state: State,
    /// Derived from the genesis, kept because every signature check needs it.
    chain: ChainId,
}

impl Ledger {
    /// The ledger before its first block.
    ///
    /// # Errors
    /// [`LedgerError::Config`] when the genesis is out of range.
    pub fn new(genesis: Genesis) -> Result<Self, LedgerError> {
        genesis.validate()?;
        Ok(Self {
            chain: genesis.chain_id(),
            state: State::new(genesis),
        })
    }

    /// Applies the next block and says what it changed, in order.
    ///
    /// Agreed time never goes back: a block stamped earlier than its predecessor happens at its predecessor's time.
    /// What time has ended (leases, deadlines, claims) ends before the first entry is looked at.
    ///
    /// # Errors
    /// [`LedgerError::Height`] or [`LedgerError::TooManyEntries`]; nothing has changed then.
    pub fn apply(&mut self, block: &Block) -> Result<Vec<LedgerEvent>, LedgerError> {
        self.apply_checked(block, &Ed25519)
    }

    /// Like [`Ledger::apply`], with signatures as `scheme` checks them. All replicas of a ledger use equal schemes.
    ///
    /// The signatures of a block are checked in one batch, with the same result as one by one.
    ///
    /// # Errors
    /// Those of [`Ledger::apply`].
    pub fn apply_checked(
        &mut self,
        block: &Block,
        scheme: &dyn SignatureScheme,
    ) -> Result<Vec<LedgerEvent>, LedgerError> {
        let verdicts = Verdicts::new(&self.state, scheme, self.chain, &block.entries);
        self.carry_out(block, &verdicts)
    }

    /// Applies a block again that a quorum decided: the own signatures of its entries were checked by then.
    ///
    /// # Errors
    /// Those of [`Ledger::apply`].
    pub(crate) fn apply_decided(
        &mut self,
        block: &Block,
        scheme: &dyn SignatureScheme,
    ) -> Result<Vec<LedgerEvent>, LedgerError> {
        let verdicts = Verdicts::vouched(scheme, self.chain);
        self.carry_out(block, &verdicts)
    }

    fn carry_out(&mut self, block: &Block, verdicts: &Verdicts<'_>) -> Result<Vec<LedgerEvent>, LedgerError> {
        let expected = self.state.height + 1;
        if block.height != expected {
            return Err(LedgerError::Height {
                expected,
                found: block.height,
            });
        }
        let limit = self.state.config().max_block_entries;
        if block.entries.len() > limit as usize {
            return Err(LedgerError::TooManyEntries {
                found: block.entries.len(),
                limit,
            });
        }
        let found = block.evidence.len();
        if found > MAX_BLOCK_EVIDENCE {
            return Err(LedgerError::TooMuchEvidence { found });
        }
        let mut events = Vec::new();
        self.state.height = block.height;
        self.state.time = self.state.time.max(block.time);
        self.state.next_arrival = fair::first_arrival(block.height).max(self.state.next_arrival);
        self.state.advance_members();
        self.state.advance_rules(&mut events);
        self.state.prune_reports();
        self.state.prune_contracts();
        self.state.expire(&mut events);
        self.state.expire_claims(&mut events);
        self.state.retry_removals(&mut events);
        for evidence in &block.evidence {
            self.state
                .hear_evidence((verdicts.scheme(), self.chain), evidence, &mut events);
        }
        for entry in block.entries.iter().enumerate() {
            self.state.admit(verdicts, entry, &mut events);
        }
        self.state.settle(&mut events);
        self.state.finish_block();
        Ok(events)
    }

    /// Checks that no device is leased beyond its capacity, every count is right and every bound holds.
    ///
    /// # Errors
    /// The first [`InvariantError`] found.
    pub fn check_invariants(&self) -> Result<(), InvariantError> {
        self.state.check_invariants()
    }
}
