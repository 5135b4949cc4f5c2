//! A node's disk. What was made durable survives a crash; of what was not, a part of any length does, to the byte, and a
//! bit of that part may have turned.

use super::draw::Draw;
use super::plan::Place;
use crate::consensus::{Decided, Recovered, Vote, WalRecord, read_frames};
use daa_base::Rng;
use std::sync::Arc;

/// What is on it.
#[derive(Debug, Default)]
pub(super) struct Disk {
    durable: Vec<WalRecord>,
    pending: Vec<WalRecord>,
    /// Records that a reset gave up and that come back if the node crashes before the reset is durable.
    given_up: Option<Vec<WalRecord>>,
    blocks: Vec<Arc<Decided>>,
}

/// What a crash left.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(super) struct Damage {
    /// Records that were not durable.
    pub(super) pending: usize,
    /// Those of them that survived.
    pub(super) kept: usize,
    /// Whether a record was cut off or damaged.
    pub(super) torn: bool,
}

impl Disk {
    pub(super) fn append(&mut self, record: WalRecord) {
        self.pending.push(record);
    }

    pub(super) fn flush(&mut self) {
        self.given_up = None;
        self.durable.append(&mut self.pending);
    }

    /// Records before `height` may go. The file is cut at once; that the cut is durable is not waited for.
    pub(super) fn reset(&mut self, height: u64) {
        let before = self.durable.clone();
        self.durable.retain(|record| record.height() >= height);
        self.pending.retain(|record| record.height() >= height);
        if before.len() > self.durable.len() {
            self.given_up.get_or_insert(before);
        }
    }

    pub(super) fn store(&mut self, decided: Arc<Decided>) {
        self.blocks.push(decided);
    }

    /// Whether a node that starts from what is durable knows of this vote of its own, or needs it no more.
    pub(super) fn remembers(&self, own: &Vote) -> bool {
        own.height.0 <= self.height()
            || self
                .durable
                .iter()
                .any(|record| matches!(record, WalRecord::Vote(vote) if vote.message == *own))
    }

    /// Stored blocks from `first` on.
    pub(super) fn stored(&self, first: u64, count: u32) -> Vec<Decided> {
        let skip = usize::try_from(first.saturating_sub(1)).unwrap_or(usize::MAX);
        let blocks = self.blocks.iter().skip(skip).take(count as usize);
        blocks.map(|decided| Decided::clone(decided)).collect()
    }

    /// The node stops: what is not durable is lost, in part or whole.
    ///
    /// # Errors
    /// When a durable record does not read back: the log's own form is broken then.
    pub(super) fn crash(&mut self, rng: &mut Rng) -> Result<Damage, String> {
        let came_back = self.given_up.take().filter(|_| rng.chance(500));
        let undone = came_back.is_some();
        if let Some(records) = came_back {
            self.durable = records;
        }
        let tail = if undone {
            Vec::new()
        } else {
            frames(&self.pending)?
        };
        let keep = match rng.below(4) {
            0 => 0,
            1 => tail.len(),
            _ => rng.below(tail.len() + 1),
        };
        let mut tail = tail[..keep].to_vec();
        if keep > 0 && rng.chance(300) {
            let at = rng.below(keep);
            tail[at] ^= 1 << rng.below(8);
        }
        self.come_back(&tail)
    }

    /// The node stops at its last record, in this place.
    ///
    /// # Errors
    /// As [`Disk::crash`]; and when more or fewer whole records survive than were written.
    pub(super) fn crash_at(&mut self, place: Place) -> Result<Damage, String> {
        self.given_up = None;
        let before = self.pending.len() - usize::from(place != Place::Before).min(self.pending.len());
        let mut tail = frames(&self.pending[..before])?;
        let last = frames(&self.pending[before..])?;
        let keep = match place {
            Place::Before => 0,
            Place::InLength => 2,
            Place::InChecksum => 11,
            Place::InBody => usize::midpoint(HEADER, last.len()),
            Place::AlmostWhole => last.len() - 1,
            Place::Damaged | Place::Whole => last.len(),
        };
        tail.extend_from_slice(&last[..keep]);
        if place == Place::Damaged {
            let at = tail.len() - 1;
            tail[at] ^= 0x10;
        }
        let damage = self.come_back(&tail)?;
        let expected = before + usize::from(place == Place::Whole);
        if damage.kept != expected {
            return Err(format!(
                "{} of {expected} whole records of the log read back",
                damage.kept
            ));
        }
        Ok(damage)
    }

    /// What is there after a crash: what was durable, and `tail`.
    fn come_back(&mut self, tail: &[u8]) -> Result<Damage, String> {
        let pending = std::mem::take(&mut self.pending).len();
        let durable = std::mem::take(&mut self.durable);
        let mut bytes = frames(&durable)?;
        bytes.extend_from_slice(tail);
        let contents = read_frames(&bytes);
        let kept = contents.records.len().checked_sub(durable.len());
        let kept = kept.ok_or("a durable record of the write-ahead log does not read back")?;
        self.durable = contents.records;
        Ok(Damage {
            pending,
            kept,
            torn: contents.whole < bytes.len(),
        })
    }

    /// What a node that starts finds.
    pub(super) fn recover(&self) -> Recovered {
        Recovered {
            base: None,
            blocks: self.blocks.clone(),
            wal: self.durable.clone(),
        }
    }

    /// Blocks stored.
    pub(super) const fn height(&self) -> u64 {
        self.blocks.len() as u64
    }
}

/// A frame's length and checksum.
const HEADER: usize = 20;

fn frames(records: &[WalRecord]) -> Result<Vec<u8>, String> {
    let mut bytes = Vec::new();
    for record in records {
        bytes.extend(record.frame().map_err(|error| error.to_string())?);
    }
    Ok(bytes)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::consensus::{Height, Polka};
    use arc_malachitebft_core_types::Round;
    use daa_base::Seed;

    fn record(height: u64) -> WalRecord {
        WalRecord::Polka(Polka {
            height: Height(height),
            round: Round::new(0),
            value: crate::consensus::BlockId::default(),
            signatures: Vec::new(),
        })
    }

    #[test]
    fn durable_records_survive_every_crash_and_others_any_part_of_the_time() {
        let mut seen = std::collections::BTreeSet::new();
        let mut torn = 0;
        for seed in 0..400 {
            let mut disk = Disk::default();
            disk.append(record(5));
            disk.flush();
            (0..3).for_each(|_| disk.append(record(5)));
            let damage = disk.crash(&mut Seed(seed).stream("crash").rng()).expect("reads");
            assert_eq!(disk.recover().wal.len(), 1 + damage.kept);
            seen.insert(damage.kept);
            torn += u32::from(damage.torn);
        }
        assert_eq!(seen.into_iter().collect::<Vec<_>>(), [0, 1, 2, 3]);
        assert!(torn > 100, "{torn} of 400 crashes tore a record");
    }

    #[test]
    fn a_crash_at_a_record_leaves_what_its_place_says() {
        for place in Place::ALL {
            let mut disk = Disk::default();
            disk.append(record(5));
            disk.flush();
            (0..3).for_each(|_| disk.append(record(5)));
            let damage = disk.crash_at(place).expect("reads");
            let kept = match place {
                Place::Before | Place::Whole => 3,
                _ => 2,
            };
            assert_eq!(
                (damage.kept, disk.recover().wal.len()),
                (kept, 1 + kept),
                "{place:?}"
            );
            assert_eq!(damage.torn, kept == 2, "{place:?}");
        }
    }

    #[test]
    fn a_reset_that_is_not_durable_may_be_undone() {
        let mut lengths = std::collections::BTreeSet::new();
        for seed in 0..40 {
            let mut disk = Disk::default();
            disk.append(record(5));
            disk.flush();
            disk.reset(6);
            disk.crash(&mut Seed(seed).stream("crash").rng()).expect("reads");
            lengths.insert(disk.recover().wal.len());
        }
        assert_eq!(lengths.into_iter().collect::<Vec<_>>(), [0, 1]);
    }
}
