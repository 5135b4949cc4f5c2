//! Files that are cut, damaged, full; and what is found in them.

use super::*;
use crate::Command;
use crate::genesis::LedgerConfig;
use crate::ledger::tests::{DEVICE, Scene, wish};
use std::sync::atomic::{AtomicU32, Ordering};

/// A folder of its own, gone with the test.
struct Folder(PathBuf);

impl Folder {
    fn new() -> Self {
        static NEXT: AtomicU32 = AtomicU32::new(0);
        let number = NEXT.fetch_add(1, Ordering::Relaxed);
        let path = std::env::temp_dir().join(format!("daa-history-{}-{number}", std::process::id()));
        fs::create_dir_all(&path).expect("a temporary folder");
        Self(path)
    }

    fn file(&self) -> PathBuf {
        self.0.join("history")
    }
}

impl Drop for Folder {
    fn drop(&mut self) {
        drop(fs::remove_dir_all(&self.0));
    }
}

fn fill(history: &mut CoordinationHistory) -> Scene {
    let mut scene = Scene::new(LedgerConfig::default());
    let mut add = |scene: &Scene, events: &[LedgerEvent]| {
        let ledger = &scene.ledger;
        history
            .add(ledger.height(), ledger.time(), events)
            .expect("written");
    };
    for agent in [1, 2, 1] {
        let events = scene.run(agent, &Command::Request(wish(600)));
        add(&scene, &events);
        let events = scene.pass(100);
        add(&scene, &events);
    }
    scene
}

fn all(history: &CoordinationHistory) -> Vec<HistoryRecord> {
    history.find(&HistoryQuery::default()).cloned().collect()
}

#[test]
fn what_was_added_is_found_by_whom_what_and_when() {
    let folder = Folder::new();
    let mut history = CoordinationHistory::open(folder.file(), 100).expect("opens");
    fill(&mut history);
    assert_eq!(all(&history).len(), 6);
    let count = |query: HistoryQuery| history.find(&query).count();
    let any = HistoryQuery::default;
    assert_eq!(
        count(HistoryQuery {
            agent: Some(AgentId(1)),
            ..any()
        }),
        4
    );
    assert_eq!(
        count(HistoryQuery {
            lease: Some(LeaseId(2)),
            ..any()
        }),
        2
    );
    assert_eq!(
        count(HistoryQuery {
            device: Some(DEVICE),
            ..any()
        }),
        6
    );
    assert_eq!(
        count(HistoryQuery {
            device: Some(DeviceId(9)),
            ..any()
        }),
        0
    );
    assert_eq!(
        count(HistoryQuery {
            kind: Some(HistoryKind::LeaseEnd),
            ..any()
        }),
        3
    );
    let window = HistoryQuery {
        from: Some(Timestamp(1_100)),
        until: Some(Timestamp(1_200)),
        ..any()
    };
    assert_eq!(count(window), 2, "an end and the next grant");
    assert_eq!(all(&history)[1].text, "lease-1 of agent-1 ran out, 600 B free");
}

#[test]
fn a_history_survives_a_restart_and_is_not_told_twice() {
    let folder = Folder::new();
    let mut history = CoordinationHistory::open(folder.file(), 100).expect("opens");
    fill(&mut history);
    history.sync().expect("durable");
    let before = all(&history);
    drop(history);
    let mut again = CoordinationHistory::open(folder.file(), 100).expect("opens");
    assert_eq!((all(&again), again.cut_bytes()), (before.clone(), 0));
    fill(&mut again);
    assert_eq!(all(&again), before, "the same blocks again change nothing");
}

#[test]
fn a_torn_or_damaged_tail_is_cut_and_the_rest_stays() {
    let folder = Folder::new();
    let mut history = CoordinationHistory::open(folder.file(), 100).expect("opens");
    fill(&mut history);
    let records = all(&history);
    drop(history);
    let bytes = fs::read(folder.file()).expect("there");
    let last = frame(&records[5]).len();
    for keep in bytes.len() - last..bytes.len() {
        fs::write(folder.file(), &bytes[..keep]).expect("written");
        let history = CoordinationHistory::open(folder.file(), 100).expect("opens");
        assert_eq!(all(&history), records[..5], "cut at {keep}");
        assert_eq!(history.cut_bytes(), (keep + last - bytes.len()) as u64);
    }
    for at in bytes.len() - last..bytes.len() {
        let mut damaged = bytes.clone();
        damaged[at] ^= 0x40;
        fs::write(folder.file(), &damaged).expect("written");
        let history = CoordinationHistory::open(folder.file(), 100).expect("opens");
        assert_eq!(all(&history), records[..5], "damaged at {at}");
        assert_eq!(
            fs::metadata(folder.file()).expect("there").len() as usize,
            bytes.len() - last
        );
    }
}

#[test]
fn only_so_much_is_kept_in_memory_and_on_disk() {
    let folder = Folder::new();
    let mut history = CoordinationHistory::open(folder.file(), 4).expect("opens");
    let event = [LedgerEvent::AgentBack {
        agent: AgentId(1),
        seq: 0,
    }];
    for height in 1..=100 {
        history.add(height, Timestamp(height), &event).expect("written");
        let on_disk = fs::metadata(folder.file()).expect("there").len() as usize;
        assert!(on_disk <= 8 * frame(&all(&history)[0]).len());
    }
    let heights = |history: &CoordinationHistory| -> Vec<u64> {
        all(history).iter().map(|record| record.height).collect()
    };
    assert_eq!(heights(&history), [97, 98, 99, 100]);
    drop(history);
    let history = CoordinationHistory::open(folder.file(), 4).expect("opens");
    assert_eq!(heights(&history), [97, 98, 99, 100]);
    assert!(matches!(
        CoordinationHistory::open(folder.file(), 0),
        Err(HistoryError::Capacity { value: 0 })
    ));
    fs::write(folder.file(), vec![0; 100_000]).expect("written");
    assert!(matches!(
        CoordinationHistory::open(folder.file(), 4),
        Err(HistoryError::TooLarge { .. })
    ));
}
