//! The state as bytes, its hash, and the way back.

use super::state::State;
use super::{Ledger, LedgerError};
use crate::genesis::{ChainId, Genesis};
use crate::keys::Digest;
use daa_base::codec::{self, CodecError};

/// Version of the encoded state; grows with every change of its form or meaning.
const STATE_VERSION: u8 = 3;

/// The largest state that a valid configuration allows is near half of this: 4096 agents with 64 held commands of
/// 0.6 KB, 65 536 open requests of 0.5 KB, a million trials of 0.15 KB.
const MAX_STATE: usize = 1 << 30;

const HEADER: usize = 33;

impl Ledger {
    fn encoded(&self) -> Vec<u8> {
        codec::encode::<MAX_STATE, _>(&self.state)
            .expect("the configured bounds keep the state below the limit")
    }

    /// The digest of everything replicas must agree on. Costs what changed since the last one was taken.
    ///
    /// # Panics
    /// Never: the configuration's bounds keep the state encodable.
    #[must_use]
    pub fn state_hash(&self) -> Digest {
        hash(self.chain, &self.state)
    }

    /// The state as bytes: a version byte, the state hash, the canonical encoding.
    ///
    /// # Panics
    /// Never: the configuration's bounds keep the state encodable.
    #[must_use]
    pub fn snapshot(&self) -> Vec<u8> {
        let encoded = self.encoded();
        let mut bytes = Vec::with_capacity(HEADER + encoded.len());
        bytes.push(STATE_VERSION);
        bytes.extend_from_slice(&self.state_hash().0);
        bytes.extend_from_slice(&encoded);
        bytes
    }

    /// The ledger of `genesis` as a snapshot describes it.
    ///
    /// The hash inside shows that the bytes are whole, not that they are agreed: a snapshot from somebody who is not
    /// trusted must be compared with an agreed [`Ledger::state_hash`].
    ///
    /// # Errors
    /// [`LedgerError`] when the bytes are of another version, damaged, not canonical, of another chain, or break an
    /// invariant.
    pub fn restore(genesis: &Genesis, bytes: &[u8]) -> Result<Self, LedgerError> {
        let (&found, rest) = bytes.split_first().ok_or_else(too_short)?;
        if found != STATE_VERSION {
            return Err(LedgerError::SnapshotVersion {
                found,
                expected: STATE_VERSION,
            });
        }
        let (named, encoded) = rest.split_at_checked(HEADER - 1).ok_or_else(too_short)?;
        let state: State = codec::decode_canonical::<MAX_STATE, _>(encoded)?;
        state.genesis.validate()?;
        let (expected, found) = (genesis.chain_id(), state.genesis.chain_id());
        if found != expected {
            return Err(LedgerError::WrongChain { expected, found });
        }
        // Fuzzing must get behind the hash: whoever makes a snapshot up makes the hash up as well.
        if !cfg!(fuzzing) && hash(expected, &state).0 != named {
            return Err(LedgerError::SnapshotHash);
        }
        state.check_invariants()?;
        Ok(Self {
            state,
            chain: expected,
        })
    }
}

/// Every part of the state enters the hash: the genesis as its chain, the small numbers as they are, the rest by digest.
pub(super) fn hash(chain: ChainId, state: &State) -> Digest {
    let State {
        genesis: _,
        height,
        time,
        agents,
        devices,
        queue,
        next_arrival,
        leases,
        next_lease,
        trials,
        rules,
        contracts,
        members,
        offences,
        health,
        records,
        desk: _,
    } = state;
    let mut hasher = blake3::Hasher::new_derive_key("daa-coord 2026 ledger state");
    hasher.update(&[STATE_VERSION]);
    hasher.update(&chain.0);
    for number in [*height, time.get(), *next_arrival, *next_lease] {
        hasher.update(&number.to_le_bytes());
    }
    let parts = [
        agents.digest(),
        devices.digest(),
        queue.digest(),
        leases.digest(),
        trials.digest(),
        rules.digest(),
        contracts.digest(),
        members.digest(),
        offences.digest(),
        health.digest(),
        records.digest(),
    ];
    for part in parts {
        hasher.update(&part.0);
    }
    Digest(*hasher.finalize().as_bytes())
}

fn too_short() -> LedgerError {
    LedgerError::Snapshot(CodecError::Malformed {
        reason: format!("a snapshot has at least {HEADER} bytes"),
    })
}
