use super::super::{
    BlockId, Certificate, ConsensusBlock, Header, Height, JudgedBlock, NamedBlock, Sealed, Vote,
};
use super::*;
use crate::genesis::{Genesis, LedgerConfig};
use crate::keys::{AgentKey, Digest, Signature};
use crate::text::ShortText;
use crate::validators::ValidatorSet;
use arc_malachitebft_core_types::{NilOrVal, Round, VoteType};
use daa_base::Timestamp;

fn key() -> AgentKey {
    AgentKey::from_secret(&[1; 32])
}

fn genesis() -> Genesis {
    let set = ValidatorSet::equal([key().public()]).expect("one");
    Genesis::new(
        ShortText::fitted("storage"),
        key().public(),
        LedgerConfig::default(),
    )
    .expect("valid")
    .with_validators(set)
}

/// A chain of empty blocks with the ledgers after them.
fn chain(count: u64) -> Vec<(Decided, Ledger)> {
    let mut ledger = Ledger::new(genesis()).expect("valid");
    let mut parent = BlockId::default();
    (1..=count)
        .map(|height| {
            let block = ConsensusBlock {
                header: Header {
                    chain: genesis().chain_id(),
                    height,
                    time: Timestamp(height),
                    parent,
                    state: ledger.state_hash(),
                    proposer: key().public(),
                },
                entries: Vec::new(),
                evidence: Vec::new(),
            };
            let named = NamedBlock::new(block).expect("small");
            ledger.apply(&named.block().ledger_block()).expect("next");
            parent = named.id();
            let certificate = Certificate {
                round: 0,
                signatures: vec![(key().public(), Signature([7; 64]))],
            };
            (Decided { named, certificate }, ledger.clone())
        })
        .collect()
}

fn vote(height: u64, round: u32) -> WalRecord {
    WalRecord::Vote(Sealed {
        message: Vote {
            kind: VoteType::Prevote,
            height: Height(height),
            round: Round::new(round),
            value: NilOrVal::Val(BlockId(Digest([round as u8; 32]))),
            validator: key().public(),
        },
        signature: Signature([3; 64]),
    })
}

fn judged(decided: &Decided) -> WalRecord {
    WalRecord::Block(JudgedBlock {
        round: Round::new(0),
        pol_round: Round::Nil,
        proposer: key().public(),
        valid: true,
        synced: false,
        named: decided.named.clone(),
    })
}

#[test]
fn what_was_flushed_and_stored_comes_back() {
    let folder = tempfile::tempdir().expect("a folder");
    let chain = chain(3);
    {
        let (mut storage, found) = FileStorage::open(folder.path(), &genesis()).expect("opens");
        assert!(found.blocks.is_empty() && found.wal.is_empty() && found.base.is_none());
        for (decided, ledger) in &chain[..2] {
            storage.reset(decided.height()).expect("resets");
            for round in 0..3 {
                storage.append(&vote(decided.height(), round)).expect("appends");
            }
            storage.append(&judged(decided)).expect("appends");
            storage.flush().expect("flushes");
            storage.store(decided).expect("stores");
            storage.keep(ledger).expect("keeps");
        }
        storage.reset(3).expect("resets");
        storage.append(&vote(3, 0)).expect("appends");
        storage.flush().expect("flushes");
        storage.append(&vote(3, 1)).expect("appends, never flushed");
    }
    let (mut storage, found) = FileStorage::open(folder.path(), &genesis()).expect("opens again");
    let heights: Vec<_> = found.blocks.iter().map(|decided| decided.height()).collect();
    assert_eq!(heights, [1, 2]);
    assert_eq!(*found.blocks[0], chain[0].0);
    assert_eq!(
        found.wal,
        [vote(3, 0)],
        "not the records of earlier heights that lie behind"
    );
    storage.append(&vote(3, 2)).expect("appends");
    storage.flush().expect("flushes");
    drop(storage);
    let (_, found) = FileStorage::open(folder.path(), &genesis()).expect("opens again");
    assert_eq!(
        found.wal,
        [vote(3, 0), vote(3, 2)],
        "appended behind what was there"
    );
}

#[test]
fn a_torn_end_is_cut_off_at_every_byte() {
    let chain = chain(3);
    let folder = tempfile::tempdir().expect("a folder");
    {
        let (mut storage, _) = FileStorage::open(folder.path(), &genesis()).expect("opens");
        for (decided, ledger) in &chain {
            storage.store(decided).expect("stores");
            storage.keep(ledger).expect("keeps");
        }
        storage.append(&vote(4, 0)).expect("appends");
        storage.append(&vote(4, 1)).expect("appends");
        storage.flush().expect("flushes");
    }
    let (blocks, wal) = (folder.path().join("blocks-1"), folder.path().join("wal"));
    let (all_blocks, all_wal) = (
        std::fs::read(&blocks).expect("is there"),
        std::fs::read(&wal).expect("is there"),
    );
    for cut in (0..all_blocks.len()).rev().step_by(7) {
        std::fs::write(&blocks, &all_blocks[..cut]).expect("writes");
        let (_, found) = FileStorage::open(folder.path(), &genesis()).expect("a torn end is no error");
        assert_eq!(found.blocks.len(), cut / (all_blocks.len() / 3), "cut at {cut}");
        for (found, (stored, _)) in found.blocks.iter().zip(&chain) {
            assert_eq!(**found, *stored);
        }
    }
    std::fs::write(&blocks, &all_blocks).expect("writes");
    for cut in 0..all_wal.len() {
        std::fs::write(&wal, &all_wal[..cut]).expect("writes");
        let (_, found) = FileStorage::open(folder.path(), &genesis()).expect("a torn end is no error");
        assert_eq!(found.wal.len(), cut / (all_wal.len() / 2), "cut at {cut}");
    }
}

#[test]
fn one_process_at_a_time() {
    let folder = tempfile::tempdir().expect("a folder");
    let first = FileStorage::open(folder.path(), &genesis()).expect("opens");
    let second = FileStorage::open(folder.path(), &genesis());
    assert!(matches!(second, Err(StorageError::InUse { .. })), "{second:?}");
    drop(first);
    assert!(FileStorage::open(folder.path(), &genesis()).is_ok());
}

#[test]
fn old_blocks_make_room_and_the_ledger_goes_on_from_a_kept_state() {
    let folder = tempfile::tempdir().expect("a folder");
    let count = 3 * FileStorage::SEGMENT + 5;
    let chain = chain(count);
    let (mut storage, _) = FileStorage::open(folder.path(), &genesis()).expect("opens");
    // Writing every block durably would take minutes: all but the last of a file go in as one append.
    let mut bytes = Vec::new();
    for (decided, ledger) in &chain {
        let height = decided.height();
        if height.is_multiple_of(FileStorage::SEGMENT) || height == count {
            let first = (height - 1) / FileStorage::SEGMENT * FileStorage::SEGMENT + 1;
            std::fs::write(folder.path().join(format!("blocks-{first}")), &bytes).expect("writes");
            bytes.clear();
            storage.store(decided).expect("stores");
            storage.keep(ledger).expect("keeps");
        } else {
            bytes.extend(frame_bytes(
                &codec::encode::<MAX_DECIDED, _>(decided).expect("small"),
            ));
        }
    }
    drop(storage);
    let (mut storage, found) = FileStorage::open(folder.path(), &genesis()).expect("opens");
    let (base, block) = found.base.expect("earlier blocks are gone");
    assert_eq!(block.height(), 3 * FileStorage::SEGMENT);
    assert_eq!(
        base.state_hash(),
        chain[block.height() as usize - 1].1.state_hash()
    );
    assert_eq!(found.blocks.len(), 5);
    let served = storage.blocks(block.height() - 2, 16).expect("reads");
    assert_eq!(served.first().map(Decided::height), Some(block.height() - 2));
    let first = storage.blocks(1, 16).expect("reads");
    assert_eq!(first.len(), 16, "kept for others that are behind");
    assert_eq!(*first[15].block(), *chain[15].0.block());
    assert!(
        storage.blocks(count + 1, 16).expect("reads").is_empty(),
        "not there yet"
    );
}

#[test]
fn damage_before_the_end_is_told_from_a_torn_end() {
    let chain = chain(3);
    let folder = tempfile::tempdir().expect("a folder");
    let (mut storage, _) = FileStorage::open(folder.path(), &genesis()).expect("opens");
    for (decided, _) in &chain {
        storage.store(decided).expect("stores");
    }
    drop(storage);
    let path = folder.path().join("blocks-1");
    let whole = std::fs::read(&path).expect("is there");
    let one = whole.len() / 3;
    for at in (0..2 * one).step_by(11) {
        let mut damaged = whole.clone();
        damaged[at] ^= 1;
        std::fs::write(&path, &damaged).expect("writes");
        let found = FileStorage::open(folder.path(), &genesis());
        assert!(matches!(found, Err(StorageError::Damaged { .. })), "at {at}");
        assert_eq!(
            std::fs::read(&path).expect("is there"),
            damaged,
            "nothing is cut off"
        );
    }
    // A file that grew before its bytes came.
    let mut torn = whole[..2 * one].to_vec();
    torn.resize(3 * one, 0);
    std::fs::write(&path, &torn).expect("writes");
    let (_, found) = FileStorage::open(folder.path(), &genesis()).expect("a torn end is no error");
    assert_eq!(found.blocks.len(), 2);
}

#[test]
fn a_torn_record_does_not_come_back_behind_a_new_one() {
    let folder = tempfile::tempdir().expect("a folder");
    let (mut storage, _) = FileStorage::open(folder.path(), &genesis()).expect("opens");
    for round in 0..3 {
        storage.append(&vote(1, round)).expect("appends");
    }
    storage.flush().expect("flushes");
    drop(storage);
    let path = folder.path().join("wal");
    let mut bytes = std::fs::read(&path).expect("is there");
    let one = bytes.len() / 3;
    bytes[one + 30] ^= 1;
    std::fs::write(&path, &bytes).expect("the second did not reach the disk, the third did");
    let (mut storage, found) = FileStorage::open(folder.path(), &genesis()).expect("opens");
    assert_eq!(found.wal, [vote(1, 0)]);
    storage.append(&vote(1, 9)).expect("appends");
    storage.flush().expect("flushes");
    drop(storage);
    let (_, found) = FileStorage::open(folder.path(), &genesis()).expect("opens");
    assert_eq!(found.wal, [vote(1, 0), vote(1, 9)]);
}

#[test]
fn the_oldest_files_go() {
    let folder = tempfile::tempdir().expect("a folder");
    let (mut storage, _) = FileStorage::open(folder.path(), &genesis()).expect("opens");
    let kept = FileStorage::KEPT as u64;
    for at in 0..kept + 3 {
        let first = at * FileStorage::SEGMENT + 1;
        std::fs::write(folder.path().join(format!("blocks-{first}")), b"").expect("writes");
    }
    let (_, ledger) = chain(1).swap_remove(0);
    storage
        .blocks
        .rotate(FileStorage::SEGMENT, &ledger)
        .expect("rotates");
    let left = numbered(folder.path(), "blocks-").expect("reads");
    assert_eq!((left.len() as u64, left[0]), (kept, 3 * FileStorage::SEGMENT + 1));
}
