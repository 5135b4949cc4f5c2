//! What the processes say to each other: one value per line, in the house's encoding, as hexadecimal digits.

use super::processes::Outcome;
use daa_base::codec;
use daa_base::{AgentId, LeaseId, Timestamp};
use daa_coord::consensus::BlockId;
use daa_coord::{Digest, Lease, Ledger};
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;
use std::fmt::Write as _;

const MAX_LINE: usize = 1 << 20;

/// What a node says.
#[derive(Serialize, Deserialize)]
pub(crate) enum Report {
    /// What was stored when it started, before it listened to anybody.
    Found { height: u64, tip: Option<BlockId> },
    /// A block that it published, by a digest of what the ledger applies.
    Block { height: u64, digest: Digest },
    /// Its published ledger.
    Situation(Box<Situation>),
}

/// A published ledger, as far as it differs from the one before.
#[derive(Serialize, Deserialize)]
pub(crate) struct Situation {
    pub(crate) height: u64,
    pub(crate) time: Timestamp,
    pub(crate) hash: Digest,
    /// New leases.
    pub(crate) leases: Vec<Lease>,
    /// Leases that are no more.
    pub(crate) gone: Vec<LeaseId>,
    /// All agents with their next number and what they have open.
    pub(crate) agents: Vec<(AgentId, u64, u32)>,
}

impl Situation {
    pub(crate) fn since(before: Option<&Ledger>, now: &Ledger) -> Self {
        let of = |ledger: &Ledger| -> BTreeMap<LeaseId, Lease> {
            ledger.leases().map(|lease| (lease.id, lease.clone())).collect()
        };
        let (mut old, new) = (before.map(of).unwrap_or_default(), of(now));
        let leases = new.iter().filter(|(id, lease)| old.get(id) != Some(lease));
        let leases = leases.map(|(_, lease)| lease.clone()).collect();
        old.retain(|id, _| !new.contains_key(id));
        Self {
            height: now.height(),
            time: now.time(),
            hash: now.state_hash(),
            leases,
            gone: old.into_keys().collect(),
            agents: now
                .agents()
                .map(|agent| (agent.agent, agent.next_seq, agent.open))
                .collect(),
        }
    }
}

/// One line, without its end.
pub(crate) fn to_line<T: Serialize>(value: &T) -> Outcome<String> {
    let bytes = codec::encode::<MAX_LINE, _>(value)?;
    let mut line = String::with_capacity(bytes.len() * 2);
    for byte in bytes {
        write!(line, "{byte:02x}")?;
    }
    Ok(line)
}

/// The value behind a line.
pub(crate) fn from_line<T: DeserializeOwned>(line: &str) -> Outcome<T> {
    let digits = line.trim_end().as_bytes();
    let bytes = digits
        .chunks(2)
        .map(|pair| Ok(u8::from_str_radix(std::str::from_utf8(pair)?, 16)?))
        .collect::<Outcome<Vec<u8>>>()?;
    Ok(codec::decode::<MAX_LINE, _>(&bytes)?)
}
