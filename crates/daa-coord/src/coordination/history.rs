//! What happened, kept in a file and found again.
//!
//! The file holds frames: the length of a record (4 bytes, little endian), the first 8 bytes of its BLAKE3 digest, the
//! record's canonical bytes. It only grows, but for two moments: a tail that a crash left torn or that does not match its
//! digest is cut off when the file is opened, and a file with twice the records that are kept is written anew without the
//! older half, beside the old one, and put in its place.

use crate::command::RequestId;
use crate::ledger::{Lease, LedgerEvent};
use daa_base::codec;
use daa_base::{AgentId, DeviceId, LeaseId, Timestamp};
use serde::{Deserialize, Serialize};
use std::collections::VecDeque;
use std::fs::{self, File, OpenOptions};
use std::io::{self, Read as _, Seek as _, SeekFrom, Write as _};
use std::path::{Path, PathBuf};

/// Longest text of a record in bytes; longer ones are cut.
const MAX_TEXT: usize = 256;

/// Largest encoded record in bytes.
const MAX_RECORD: usize = MAX_TEXT + 128;

/// Length and digest in front of a record.
const FRAME: usize = 12;

/// What an event is about.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub enum HistoryKind {
    /// Entries without effect, commands held back or rejected.
    Entry,
    /// Devices, agents and owners come, go or get quotas; policies change.
    Rule,
    /// Requests wait, are refused, withdrawn or decided by the operator.
    Request,
    /// Leases are granted or prolonged.
    Lease,
    /// Leases end.
    LeaseEnd,
    /// Conflicts, contracts and what the mediator divides.
    Conflict,
    /// Trials of the search.
    Trial,
    /// Validators come, go, lie.
    Membership,
    /// Agents are seen gone, or come back.
    Health,
}

/// One event.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct HistoryRecord {
    /// Height of its block.
    pub height: u64,
    /// Agreed time of its block.
    pub time: Timestamp,
    /// What it is about.
    pub kind: HistoryKind,
    /// The agent it is about.
    pub agent: Option<AgentId>,
    /// The lease it is about.
    pub lease: Option<LeaseId>,
    /// The device it is about.
    pub device: Option<DeviceId>,
    /// One line for people.
    pub text: String,
}

/// What to look for; `None`: anything.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct HistoryQuery {
    /// The agent.
    pub agent: Option<AgentId>,
    /// The lease.
    pub lease: Option<LeaseId>,
    /// The device.
    pub device: Option<DeviceId>,
    /// The kind.
    pub kind: Option<HistoryKind>,
    /// Not before.
    pub from: Option<Timestamp>,
    /// Not from here on.
    pub until: Option<Timestamp>,
}

/// Why the history cannot be kept.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum HistoryError {
    /// The bound is out of range.
    #[error("capacity is {value}, allowed are 1 to 1048576 records")]
    Capacity {
        /// Its value.
        value: usize,
    },
    /// The file cannot be read or written.
    #[error("history file {}: {source}", path.display())]
    File {
        /// Which file.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// The file is larger than a history of this capacity can be.
    #[error("history file {} has {found} bytes, allowed are 0 to {limit}", path.display())]
    TooLarge {
        /// Which file.
        path: PathBuf,
        /// Its size.
        found: u64,
        /// The limit.
        limit: u64,
    },
}

/// The last events of one ledger, in memory and in a file.
#[derive(Debug)]
pub struct CoordinationHistory {
    path: PathBuf,
    file: File,
    capacity: usize,
    records: VecDeque<HistoryRecord>,
    /// Records in the file.
    filed: usize,
    /// Bytes that were cut off when the file was opened.
    cut: u64,
}

impl CoordinationHistory {
    /// Opens the history at `path`, or begins one, and keeps the last `capacity` records (1 to 1 048 576).
    ///
    /// # Errors
    /// [`HistoryError`].
    pub fn open(path: impl Into<PathBuf>, capacity: usize) -> Result<Self, HistoryError> {
        if !(1..=1 << 20).contains(&capacity) {
            return Err(HistoryError::Capacity { value: capacity });
        }
        let path = path.into();
        let at = |source| HistoryError::File {
            path: path.clone(),
            source,
        };
        let mut options = OpenOptions::new();
        options.read(true).write(true).create(true).truncate(false);
        let mut file = options.open(&path).map_err(at)?;
        let found = file.metadata().map_err(at)?.len();
        let limit = (2 * capacity as u64 + 1) * (FRAME + MAX_RECORD) as u64;
        if found > limit {
            return Err(HistoryError::TooLarge { path, found, limit });
        }
        let mut bytes = Vec::new();
        (&mut file).take(limit).read_to_end(&mut bytes).map_err(at)?;
        let (all, whole) = read_frames(&bytes);
        file.set_len(whole as u64).map_err(at)?;
        file.seek(SeekFrom::Start(whole as u64)).map_err(at)?;
        let filed = all.len();
        let records = all.into_iter().skip(filed.saturating_sub(capacity)).collect();
        Ok(Self {
            cut: (bytes.len() - whole) as u64,
            path,
            file,
            capacity,
            records,
            filed,
        })
    }

    /// Adds the events of a block. Blocks at or below the last height that is kept were added before, and change nothing:
    /// a replica that replays its log tells them again.
    ///
    /// The bytes are handed to the system; [`CoordinationHistory::sync`] makes them durable.
    ///
    /// # Errors
    /// [`HistoryError::File`]; the records are kept in memory all the same.
    pub fn add(&mut self, height: u64, time: Timestamp, events: &[LedgerEvent]) -> Result<(), HistoryError> {
        if self.records.back().is_some_and(|last| height <= last.height) {
            return Ok(());
        }
        let mut bytes = Vec::new();
        for event in events {
            let record = record(height, time, event);
            bytes.extend(frame(&record));
            self.records.push_back(record);
            self.filed += 1;
        }
        while self.records.len() > self.capacity {
            self.records.pop_front();
        }
        if self.filed >= 2 * self.capacity {
            return self.rewrite();
        }
        self.file.write_all(&bytes).map_err(|source| self.fault(source))
    }

    fn rewrite(&mut self) -> Result<(), HistoryError> {
        let bytes: Vec<u8> = self.records.iter().flat_map(frame).collect();
        let fresh = self.path.with_extension("new");
        self.file = replace(&self.path, &fresh, &bytes).map_err(|source| self.fault(source))?;
        self.filed = self.records.len();
        Ok(())
    }

    fn fault(&self, source: io::Error) -> HistoryError {
        HistoryError::File {
            path: self.path.clone(),
            source,
        }
    }

    /// Makes everything added so far durable.
    ///
    /// # Errors
    /// [`HistoryError::File`].
    pub fn sync(&self) -> Result<(), HistoryError> {
        self.file.sync_data().map_err(|source| self.fault(source))
    }

    /// What is kept and matches, the oldest first.
    pub fn find<'a>(&'a self, query: &'a HistoryQuery) -> impl DoubleEndedIterator<Item = &'a HistoryRecord> {
        self.records.iter().filter(|record| query.matches(record))
    }

    /// Bytes that were torn or damaged, and cut off when the file was opened.
    #[must_use]
    pub const fn cut_bytes(&self) -> u64 {
        self.cut
    }
}

/// Writes `bytes` beside the file and puts them in its place.
fn replace(path: &Path, fresh: &Path, bytes: &[u8]) -> io::Result<File> {
    let mut file = File::create(fresh)?;
    file.write_all(bytes)?;
    file.sync_data()?;
    fs::rename(fresh, path)?;
    Ok(file)
}

fn frame(record: &HistoryRecord) -> Vec<u8> {
    let body = codec::encode::<MAX_RECORD, _>(record).expect("a record's text is cut to its bound");
    let length = u32::try_from(body.len()).expect("a record is small");
    let digest = blake3::hash(&body);
    [&length.to_le_bytes()[..], &digest.as_bytes()[..8], &body].concat()
}

/// The whole records at the beginning of `bytes`, and where they end.
fn read_frames(bytes: &[u8]) -> (Vec<HistoryRecord>, usize) {
    let (mut records, mut at) = (Vec::new(), 0);
    while let Some((record, length)) = read_frame(&bytes[at..]) {
        records.push(record);
        at += length;
    }
    (records, at)
}

/// The whole records at the beginning of a history's file, as they are written: for fuzzing and this crate's tests.
///
/// # Panics
/// When more was read than there is.
#[cfg(any(test, fuzzing))]
#[must_use]
pub fn read_again(bytes: &[u8]) -> Vec<u8> {
    let (records, whole) = read_frames(bytes);
    assert!(whole <= bytes.len());
    records.iter().flat_map(frame).collect()
}

fn read_frame(bytes: &[u8]) -> Option<(HistoryRecord, usize)> {
    let (length, rest) = bytes.split_first_chunk::<4>()?;
    let (digest, rest) = rest.split_first_chunk::<8>()?;
    let length = u32::from_le_bytes(*length) as usize;
    let body = rest.get(..length.min(MAX_RECORD + 1))?;
    if body.len() != length || blake3::hash(body).as_bytes()[..8] != *digest {
        return None;
    }
    let record = codec::decode_canonical::<MAX_RECORD, _>(body).ok()?;
    Some((record, FRAME + length))
}

impl HistoryQuery {
    fn matches(&self, record: &HistoryRecord) -> bool {
        fn fits<T: PartialEq>(wanted: Option<T>, found: Option<T>) -> bool {
            wanted.is_none() || wanted == found
        }
        fits(self.agent, record.agent)
            && fits(self.lease, record.lease)
            && fits(self.device, record.device)
            && fits(self.kind, Some(record.kind))
            && self.from.is_none_or(|from| from <= record.time)
            && self.until.is_none_or(|until| record.time < until)
    }
}

fn record(height: u64, time: Timestamp, event: &LedgerEvent) -> HistoryRecord {
    let (kind, agent, lease) = subject(event);
    let mut text = event.to_string();
    let end = (0..=MAX_TEXT.min(text.len()))
        .rev()
        .find(|&end| text.is_char_boundary(end));
    text.truncate(end.unwrap_or(0));
    let device = match event {
        LedgerEvent::DeviceRegistered { device, .. } => Some(*device),
        _ => lease.map(|lease| lease.device),
    };
    let lease = match event {
        LedgerEvent::LeaseRenewed { lease, .. } | LedgerEvent::RenewRefused { lease, .. } => Some(*lease),
        _ => lease.map(|lease| lease.id),
    };
    HistoryRecord {
        height,
        time,
        kind,
        agent,
        lease,
        device,
        text,
    }
}

/// What an event is about, whom, and which lease.
fn subject(event: &LedgerEvent) -> (HistoryKind, Option<AgentId>, Option<&Lease>) {
    use HistoryKind::{Conflict, Entry, Health, LeaseEnd, Membership, Request, Rule, Trial};
    let of = |request: &RequestId| Some(request.agent);
    match event {
        LedgerEvent::Dropped { agent, .. }
        | LedgerEvent::Held { agent, .. }
        | LedgerEvent::Rejected { agent, .. } => (Entry, Some(*agent), None),
        LedgerEvent::AgentRegistered { registered, .. } => (Rule, Some(*registered), None),
        LedgerEvent::AgentUnregistered { unregistered, .. }
        | LedgerEvent::FollowerUnregistered { unregistered, .. } => (Rule, Some(*unregistered), None),
        LedgerEvent::DeviceRegistered { .. }
        | LedgerEvent::QuotaSet { .. }
        | LedgerEvent::PolicyAnnounced { .. }
        | LedgerEvent::PolicyInForce { .. } => (Rule, None, None),
        LedgerEvent::RequestQueued { request, .. }
        | LedgerEvent::RequestRefused { request, .. }
        | LedgerEvent::RequestCancelled { request, .. }
        | LedgerEvent::RequestDecided { request, .. } => (Request, of(request), None),
        LedgerEvent::ConflictRecorded { request, .. } => (Conflict, of(request), None),
        LedgerEvent::ContractCarriedOut { agent, .. } => (Conflict, Some(*agent), None),
        LedgerEvent::LeaseChanged { lease, .. } => (HistoryKind::Lease, Some(lease.agent), Some(lease)),
        LedgerEvent::CompensationOwed { agent, .. } => (Request, Some(*agent), None),
        LedgerEvent::LeaseGranted(lease) => (HistoryKind::Lease, Some(lease.agent), Some(lease)),
        LedgerEvent::LeaseRenewed { agent, .. } | LedgerEvent::RenewRefused { agent, .. } => {
            (HistoryKind::Lease, Some(*agent), None)
        }
        LedgerEvent::LeaseExpired { lease }
        | LedgerEvent::LeaseReleased { lease, .. }
        | LedgerEvent::LeaseRevoked { lease, .. }
        | LedgerEvent::LeaseWithdrawn { lease, .. } => (LeaseEnd, Some(lease.agent), Some(lease)),
        LedgerEvent::TrialClaimed { agent, .. }
        | LedgerEvent::TrialTouched { agent, .. }
        | LedgerEvent::TrialReleased { agent, .. } => (Trial, Some(*agent), None),
        LedgerEvent::TrialRecorded { record, .. } => (Trial, Some(record.agent), None),
        LedgerEvent::ValidatorsChanged { .. }
        | LedgerEvent::OffenceRecorded { .. }
        | LedgerEvent::EvidenceRefused { .. }
        | LedgerEvent::ValidatorRemoved { .. }
        | LedgerEvent::ValidatorStays { .. } => (Membership, None, None),
        LedgerEvent::AgentReported { about, .. } | LedgerEvent::AgentGone { about, .. } => {
            (Health, Some(*about), None)
        }
        LedgerEvent::AgentBack { agent, .. } => (Health, Some(*agent), None),
    }
}

#[cfg(test)]
mod tests;
