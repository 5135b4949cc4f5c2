use super::*;
use crate::command::{Command, MAX_PAYLOAD};
use crate::feed::FeedError;
use crate::genesis::{LedgerConfig, OPERATOR};
use crate::keys::AgentKey;
use crate::ledger::Ledger;
use crate::text::ShortText;
use daa_base::{ManualClock, Seed, SystemClock, Timestamp, TrialId};
use std::time::Duration;

const WAIT: Duration = Duration::from_secs(20);

fn key() -> AgentKey {
    AgentKey::from_secret(&[1; 32])
}

fn genesis(max_block_entries: u32) -> Genesis {
    let config = LedgerConfig {
        max_block_entries,
        ..LedgerConfig::default()
    };
    Genesis::new(ShortText::fitted("log"), key().public(), config).expect("valid")
}

fn core(config: SequencerConfig) -> SequencerCore {
    SequencerCore::new(genesis(2), config, Timestamp(5_000), Duration::from_secs(1)).expect("valid")
}

fn command(seq: u64) -> SignedCommand {
    let touch = Command::TouchTrial { trial: TrialId(0) };
    SignedCommand::sign(&key(), genesis(2).chain_id(), OPERATOR, seq, &touch).expect("small")
}

fn millis(millis: u64) -> Duration {
    Duration::from_millis(millis)
}

#[test]
fn blocks_are_numbered_stamped_and_bounded() {
    let mut core = core(SequencerConfig::default());
    for seq in 0..5 {
        core.submit(command(seq)).expect("room");
    }
    let blocks = core.cut(millis(1_030));
    let shape: Vec<_> = blocks
        .iter()
        .map(|b| (b.height, b.time.get(), b.entries.len()))
        .collect();
    assert_eq!(shape, [(1, 5_030, 2), (2, 5_030, 2), (3, 5_030, 1)]);
    assert!(core.cut(millis(1_079)).is_empty(), "no tick yet");
    assert_eq!(core.until_tick(millis(1_079)), millis(1));
    let tick = core.cut(millis(1_080));
    assert_eq!(
        (tick[0].height, tick[0].time, tick[0].entries.len()),
        (4, Timestamp(5_080), 0)
    );
    // A clock that goes back moves neither time nor ticks back.
    core.submit(command(5)).expect("room");
    assert_eq!(core.cut(millis(1_000))[0].time, Timestamp(5_080));
}

#[test]
fn submissions_are_bounded_in_number_and_size() {
    let mut core = core(SequencerConfig {
        max_pending: 1,
        ..SequencerConfig::default()
    });
    let mut large = command(0);
    large.payload = vec![0; MAX_PAYLOAD + 1];
    let size = MAX_PAYLOAD + 1;
    assert_eq!(
        core.submit(large),
        Err(SubmitError::TooLarge {
            size,
            limit: MAX_PAYLOAD
        })
    );
    assert_eq!(core.submit(command(0)), Ok(()));
    let full = core.submit(command(1)).expect_err("full");
    assert_eq!(full, SubmitError::Full { limit: 1 });
    assert!(full.is_retryable() && !SubmitError::Closed.is_retryable());
}

#[test]
fn old_blocks_leave_and_the_snapshot_stands_for_them() {
    let mut core = core(SequencerConfig {
        history: 2,
        ..SequencerConfig::default()
    });
    let mut replica = Ledger::new(genesis(2)).expect("valid");
    for seq in 0..6 {
        core.submit(command(seq)).expect("room");
        for block in core.cut(millis(1_000 + seq)) {
            replica.apply(&block).expect("in order");
        }
    }
    assert_eq!(
        core.blocks_from(4),
        Err(SubscribeError::TooOld { wanted: 4, oldest: 5 })
    );
    assert_eq!(
        core.blocks_from(8),
        Err(SubscribeError::Ahead { wanted: 8, next: 7 })
    );
    assert_eq!(core.blocks_from(7).map(|blocks| blocks.len()), Ok(0));
    let snapshot = core.snapshot();
    assert_eq!(snapshot.height, 4);
    let mut late = Ledger::restore(&genesis(2), &snapshot.bytes).expect("whole");
    for block in core.blocks_from(snapshot.height + 1).expect("kept") {
        late.apply(&block).expect("in order");
    }
    assert_eq!(late, replica);
}

#[test]
fn faults_come_from_the_seed_and_never_invent_commands() {
    let run = |seed| {
        let mut core = core(SequencerConfig {
            faults: Some(SequencerFaults::harsh(Seed(seed))),
            ..SequencerConfig::default()
        });
        let confirmed: Vec<_> = (0..200).map(|seq| core.submit(command(seq))).collect();
        let blocks: Vec<_> = (1..20)
            .flat_map(|turn| core.cut(millis(1_000 + 50 * turn)))
            .collect();
        (confirmed, blocks, core.fault_counts())
    };
    let (confirmed, blocks, counts) = run(1);
    assert_eq!((&confirmed, &blocks), (&run(1).0, &run(1).1));
    assert_ne!(blocks, run(2).1);
    let committed: Vec<u64> = blocks.iter().flat_map(|b| &b.entries).map(|c| c.seq).collect();
    assert!(
        blocks
            .iter()
            .flat_map(|b| &b.entries)
            .all(|entry| *entry == command(entry.seq))
    );
    assert_eq!(committed.len() as u64, 200 - counts.lost + counts.duplicated);
    let timeouts = confirmed
        .iter()
        .filter(|c| **c == Err(SubmitError::Timeout))
        .count() as u64;
    assert!(
        timeouts > counts.committed_with_timeout,
        "some timeouts lost the command, some did not"
    );
    for (name, count) in [
        ("lost", counts.lost),
        ("committed with timeout", counts.committed_with_timeout),
        ("duplicated", counts.duplicated),
        ("delayed", counts.delayed),
        ("shuffled", counts.shuffled),
    ] {
        assert!(count > 0, "{name} never happened");
    }
}

#[test]
fn configurations_out_of_range_are_refused_by_name() {
    let config = SequencerConfig {
        history: 0,
        ..SequencerConfig::default()
    };
    let error = config.validate().expect_err("zero");
    assert_eq!(error.to_string(), "history is 0, allowed are 1 to 1048576");
}

fn start(config: SequencerConfig, clock: Arc<dyn Clock>) -> Sequencer {
    Sequencer::start(genesis(2), config, clock).expect("starts")
}

#[test]
fn the_thread_commits_ticks_and_ends_its_streams() {
    let sequencer = start(
        SequencerConfig {
            tick: Millis(2),
            ..SequencerConfig::default()
        },
        Arc::new(SystemClock::new()),
    );
    let mut stream = sequencer.subscribe(1).expect("room");
    sequencer.submit(command(0)).expect("room");
    let mut next = 1;
    loop {
        let block = stream.recv_timeout(WAIT).expect("a block comes");
        assert_eq!(block.height, next);
        next += 1;
        if !block.entries.is_empty() {
            break;
        }
    }
    let tick = stream.recv_timeout(WAIT).expect("time passes without commands");
    assert_eq!(tick.height, next);
    sequencer.submit(command(1)).expect("room");
    sequencer.shutdown();
    let mut rest = Vec::new();
    let end = loop {
        match stream.try_recv() {
            Ok(block) => rest.extend(block.entries.clone()),
            Err(end) => break end,
        }
    };
    assert_eq!(
        (rest, end),
        (vec![command(1)], FeedError::Closed),
        "what waited is committed"
    );
    assert_eq!(sequencer.submit(command(2)), Err(SubmitError::Closed));
    assert!(matches!(sequencer.subscribe(1), Err(SubscribeError::Closed)));
    assert_eq!(sequencer.snapshot(), Err(SubscribeError::Closed));
}

#[test]
fn a_slow_subscriber_is_cut_off_and_can_come_back() {
    let clock = Arc::new(ManualClock::new(Timestamp(1)));
    let sequencer = start(
        SequencerConfig {
            subscriber_buffer: 1,
            max_subscribers: 2,
            ..SequencerConfig::default()
        },
        clock,
    );
    let mut slow = sequencer.subscribe(1).expect("room");
    let mut steady = sequencer.subscribe(1).expect("room");
    assert!(matches!(
        sequencer.subscribe(1),
        Err(SubscribeError::TooMany { limit: 2 })
    ));
    for seq in 0..3 {
        sequencer.submit(command(seq)).expect("room");
        steady.recv_timeout(WAIT).expect("steady keeps up");
    }
    assert_eq!(slow.recv_timeout(WAIT).map(|block| block.height), Ok(1));
    assert_eq!(slow.recv_timeout(WAIT), Err(FeedError::Lagged));
    let mut again = sequencer.subscribe(2).expect("the slow one's place is free");
    assert_eq!(again.recv_timeout(WAIT).map(|block| block.height), Ok(2));
    assert_eq!(again.recv_timeout(WAIT).map(|block| block.height), Ok(3));
}
