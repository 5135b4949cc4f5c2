use super::*;
use daa_base::{ManualClock, Rng, Seed, Timestamp};
use proptest::prelude::*;
use std::sync::Arc;
use std::time::Duration;

mod csv;

const LIMIT: u64 = 1 << 20;

/// A trace of `events` events, with sizes and ticks of every length.
fn random_trace(rng: &mut Rng, events: usize) -> Trace {
    let mut builder = TraceBuilder::new();
    let tenants = 1 + below(rng, 3);
    for tenant in 0..tenants {
        builder.tenant(&format!("tenant é {tenant}")).expect("valid");
    }
    builder.lost(below(rng, 2));
    let (mut tick, mut live) = (0, Vec::new());
    for _ in 0..events {
        let length = below(rng, 50);
        tick += below(rng, 1 << length);
        if live.is_empty() || below(rng, 100) < 60 {
            let tenant = u32::try_from(below(rng, tenants)).expect("small");
            let usage = Usage::ALL[below(rng, 5) as usize];
            let length = below(rng, 50);
            let bytes = 1 + below(rng, 1 << length);
            live.push(builder.allocate(tick, tenant, usage, bytes).expect("valid"));
        } else {
            let at = below(rng, live.len() as u64) as usize;
            builder.free(tick, live.swap_remove(at)).expect("live");
        }
    }
    builder.finish()
}

fn below(rng: &mut Rng, bound: u64) -> u64 {
    rng.below(usize::try_from(bound).expect("64 bits")) as u64
}

fn rng(name: &str) -> Rng {
    Seed(7).stream(name).rng()
}

fn decode(bytes: &[u8]) -> Result<Trace, TraceError> {
    Trace::decode(bytes, LIMIT)
}

/// `bytes` without their checksum, and with the right one.
fn seal(bytes: &[u8]) -> Vec<u8> {
    let mut sealed = bytes.to_vec();
    sealed.extend_from_slice(blake3::hash(bytes).as_bytes());
    sealed
}

/// Stored traces are kept: this is one, byte by byte.
#[test]
fn the_format_is_what_the_documentation_says() {
    let mut builder = TraceBuilder::new();
    let tenant = builder.tenant("a").expect("valid");
    let first = builder.allocate(3, tenant, Usage::ReadWrite, 300).expect("valid");
    let second = builder.allocate(3, tenant, Usage::Readback, 1).expect("valid");
    builder.free(20, first).expect("live");
    builder.free(20, second).expect("live");
    let trace = builder.finish();
    let bytes = trace.encode();
    let body = [
        &[0x89, b'D', b'A', b'A', b'T', b'R', 13, 10, 1][..],
        &[0, 1, 1, b'a', 4],
        &[3 << 3, 0xAC, 0x02, 0],
        &[4, 1, 0],
        &[0x8F, 0x01, 2],
        &[7, 1],
    ]
    .concat();
    assert_eq!(bytes, seal(&body));
    assert_eq!(decode(&bytes), Ok(trace.clone()));
    let events: Vec<Event> = trace.events().collect();
    let (id, tick) = (first, 3);
    assert_eq!(
        events[0],
        Event {
            tick,
            action: Action::Allocate {
                id,
                bytes: 300,
                usage: Usage::ReadWrite,
                tenant
            }
        }
    );
    assert_eq!(
        events[3],
        Event {
            tick: 20,
            action: Action::Free { id: second }
        }
    );
    assert_eq!((events.len() as u64, trace.allocations()), (trace.len(), 2));
}

#[test]
fn what_cannot_have_happened_is_refused_and_changes_nothing() {
    let mut builder = TraceBuilder::new();
    assert_eq!(builder.tenant(""), Err(EventError::Name { length: 0 }));
    assert_eq!(
        builder.tenant(&"x".repeat(257)),
        Err(EventError::Name { length: 257 })
    );
    assert!(matches!(
        builder.allocate(0, 0, Usage::ReadOnly, 1),
        Err(EventError::Tenant { tenants: 0, .. })
    ));
    builder.tenant("a").expect("valid");
    let id = builder.allocate(5, 0, Usage::ReadOnly, 1).expect("valid");
    let before = builder.clone().finish();
    for bytes in [0, MAX_ALLOCATION + 1] {
        assert_eq!(
            builder.allocate(5, 0, Usage::ReadOnly, bytes),
            Err(EventError::Size { bytes })
        );
    }
    for tick in [4, MAX_TICK + 1] {
        assert_eq!(builder.free(tick, id), Err(EventError::Tick { tick, last: 5 }));
    }
    for id in [1, 64, u32::MAX] {
        assert_eq!(
            builder.free(5, id),
            Err(EventError::NotLive { id: u64::from(id) })
        );
    }
    assert_eq!(builder.clone().finish(), before);
    builder.free(5, id).expect("live");
    assert_eq!(builder.free(5, id), Err(EventError::NotLive { id: 0 }));
}

#[test]
fn every_trace_survives_and_every_changed_bit_is_noticed() {
    let mut rng = rng("bits");
    for events in [0, 1, 7, 40] {
        let trace = random_trace(&mut rng, events);
        let bytes = trace.encode();
        assert_eq!(decode(&bytes).as_ref(), Ok(&trace));
        assert_eq!(Trace::decode(&bytes[..], bytes.len() as u64).as_ref(), Ok(&trace));
        let over = bytes.len() as u64 - 1;
        assert_eq!(
            Trace::decode(&bytes[..], over),
            Err(TraceError::TooLarge { limit: over })
        );
        for end in 0..bytes.len() {
            let error = decode(&bytes[..end]).expect_err("cut");
            assert!(
                matches!(error, TraceError::Truncated { offset, .. } if offset == end as u64),
                "{end}: {error}"
            );
        }
        for bit in 0..bytes.len() * 8 {
            let mut changed = bytes.clone();
            changed[bit / 8] ^= 1 << (bit % 8);
            assert!(decode(&changed).is_err(), "bit {bit} of {bytes:?}");
        }
        let longer = [&bytes[..], &[0]].concat();
        let offset = bytes.len() as u64;
        assert_eq!(decode(&longer), Err(TraceError::Trailing { offset }));
    }
}

#[test]
fn each_kind_of_damage_is_named_with_its_place() {
    let head = [&wire::MAGIC[..], &[1]].concat();
    let with = |rest: &[u8]| decode(&seal(&[&head, rest].concat())).map_err(|error| error.to_string());
    let says = |rest: &[u8], text: &str| {
        let error = with(rest).expect_err("damaged");
        assert!(error.contains(text), "{error}");
    };
    assert_eq!(decode(b"id,lower"), Err(TraceError::Magic { offset: 0 }));
    assert_eq!(decode(b"\x89DAATR\n"), Err(TraceError::Magic { offset: 6 }));
    let other = [&wire::MAGIC[..], &[9]].concat();
    assert_eq!(decode(&other), Err(TraceError::Version { found: 9 }));
    says(
        &[0x80, 0],
        "byte 9: the number of lost allocations is not a number of the shortest form",
    );
    says(&[0xFF; 10], "byte 9: ");
    says(&[0, 0x81, 0x80, 4, 0], "byte 10: the number of tenants is 65537");
    says(&[0, 1, 0, 0], "byte 11: the length of a tenant's name is 0");
    says(&[0, 1, 1, 0xFF, 0], "byte 12: the name of tenant 0 is not UTF-8");
    says(
        &[0, 1, 1, b'a', 1, 0, 0, 0],
        "byte 14: event 0: the size is 0 bytes",
    );
    says(
        &[0, 1, 1, b'a', 1, 0, 1, 1],
        "byte 14: event 0: the tenant is 1, there are 1",
    );
    says(
        &[0, 1, 1, b'a', 1, 5],
        "byte 14: the kind of an event that does not allocate is 5",
    );
    says(&[0, 1, 1, b'a', 1, 7, 1], "byte 15: how many allocations ago");
    says(
        &[0, 1, 1, b'a', 3, 0, 1, 0, 7, 1, 7, 1],
        "byte 19: event 2: allocation 0 is freed",
    );
    // A claimed number of events takes no memory.
    let claim = [&head[..], &[0, 0, 0x80, 0x80, 0x80, 0x80, 4]].concat();
    let error = decode(&claim).expect_err("nothing follows").to_string();
    assert_eq!(error, "byte 16: the trace ends within an event");
    assert!(matches!(
        Trace::decode(Failing, LIMIT),
        Err(TraceError::Io { offset: 0, .. })
    ));
}

struct Failing;

impl Read for Failing {
    fn read(&mut self, _: &mut [u8]) -> io::Result<usize> {
        Err(io::Error::other("no"))
    }
}

/// 60,000 damaged traces, each with the checksum of what it holds, so that every check behind that is reached.
#[test]
fn damaged_traces_are_refused_or_mean_exactly_their_bytes() {
    let mut rng = rng("fuzz");
    let (mut read, mut refused) = (0, 0);
    for _ in 0..600 {
        let events = below(&mut rng, 30) as usize;
        let whole = random_trace(&mut rng, events).encode();
        let body = &whole[..whole.len() - 32];
        for _ in 0..100 {
            let mut body = body.to_vec();
            for _ in 0..=below(&mut rng, 3) {
                // The first nine bytes are checked above.
                let at = 9 + below(&mut rng, body.len() as u64 - 9) as usize;
                match below(&mut rng, 4) {
                    0 => body[at] = below(&mut rng, 256) as u8,
                    1 => body[at] ^= 1 << below(&mut rng, 8),
                    2 => body.insert(at, below(&mut rng, 256) as u8),
                    _ if body.len() > 11 => drop(body.remove(at)),
                    _ => body.push(0),
                }
            }
            let bytes = seal(&body);
            match decode(&bytes) {
                Ok(trace) => {
                    read += 1;
                    assert_eq!(trace.encode(), bytes, "one form");
                    assert_eq!(trace.events().count() as u64, trace.len());
                    assert_eq!(trace.lifetimes().len(), trace.allocations() as usize);
                }
                Err(_) => refused += 1,
            }
        }
    }
    assert!(
        read > 1000 && refused > 10_000,
        "{read} {refused}: both must happen"
    );
}

proptest! {
    #[test]
    fn any_bytes_are_refused_without_harm(bytes in prop::collection::vec(any::<u8>(), 0..300)) {
        prop_assert!(decode(&bytes).is_err());
        let whole = seal(&[&wire::MAGIC[..], &[1], &bytes].concat());
        if let Ok(trace) = decode(&whole) {
            prop_assert_eq!(trace.encode(), whole);
        }
        let _ = TraceFile::read(&bytes[..], LIMIT);
    }

    #[test]
    fn traces_of_any_length_survive(seed in any::<u64>(), events in 0_usize..400) {
        let trace = random_trace(&mut Seed(seed).stream("any").rng(), events);
        prop_assert_eq!(decode(&trace.encode()), Ok(trace.clone()));
        let read = TraceFile::read(&trace.encode()[..], LIMIT).expect("a trace");
        prop_assert_eq!(read.lifetimes(), trace.lifetimes());
    }
}

#[test]
fn lifetimes_of_a_trace_are_places_among_its_events() {
    let mut builder = TraceBuilder::new();
    let tenant = builder.tenant("a").expect("valid");
    let first = builder.allocate(9, tenant, Usage::ReadWrite, 10).expect("valid");
    builder.free(9, first).expect("live");
    builder.allocate(9, tenant, Usage::ReadWrite, 20).expect("valid");
    let life = |lower, upper, size| Lifetime { lower, upper, size };
    assert_eq!(builder.finish().lifetimes(), [life(0, 1, 10), life(2, 3, 20)]);
}

#[test]
fn a_recorder_writes_down_what_it_is_told_while_it_is_on() {
    let clock = Arc::new(ManualClock::new(Timestamp(0)));
    let recorder = Recorder::new();
    let before = recorder.allocated(1, "early", Usage::ReadWrite, 1);
    assert_eq!(before, Recorded::default());
    clock.advance(Duration::from_micros(100));
    let recording = recorder
        .start(RecordLimit::default(), Ticks::Micros(clock.clone()))
        .expect("off");
    assert!(matches!(
        recorder.start(RecordLimit::default(), Ticks::Micros(clock.clone())),
        Err(RecordError::Busy)
    ));
    recorder.released(before);
    let a = recorder.allocated(1, "a", Usage::ReadWrite, 10);
    clock.advance(Duration::from_micros(7));
    let b = recorder.allocated(2, "b", Usage::Upload, 20);
    // Another pool's tenant with the same key.
    let c = recorder.allocated(1, "c", Usage::ReadOnly, 30);
    recorder.released(a);
    recorder.released(c);
    let trace = recording.stop();
    recorder.released(b);
    assert_eq!(trace.tenants(), ["a", "b", "c"]);
    let events: Vec<(u64, Action)> = trace.events().map(|event| (event.tick, event.action)).collect();
    let allocate = |id, bytes, usage, tenant| Action::Allocate {
        id,
        bytes,
        usage,
        tenant,
    };
    assert_eq!(
        events,
        [
            (0, allocate(0, 10, Usage::ReadWrite, 0)),
            (7, allocate(1, 20, Usage::Upload, 1)),
            (7, allocate(2, 30, Usage::ReadOnly, 2)),
            (7, Action::Free { id: 0 }),
            (7, Action::Free { id: 2 }),
        ]
    );
    assert!(!recorder.is_on());
    // Marks of the first recording mean nothing in the second.
    let recording = recorder
        .start(RecordLimit::default(), Ticks::Micros(clock))
        .expect("off");
    let _ = recorder.allocated(1, "a", Usage::ReadWrite, 10);
    recorder.released(a);
    assert_eq!(recording.stop().len(), 1);
}

#[test]
fn a_full_recorder_says_what_it_lost_and_still_takes_every_release() {
    let recorder = Recorder::new();
    for events in [0, 1, MAX_EVENTS + 1] {
        let error = recorder
            .start(RecordLimit { events }, Ticks::Events)
            .expect_err("out of range");
        assert!(error.to_string().contains(&events.to_string()), "{error}");
    }
    let recording = recorder
        .start(RecordLimit { events: 10 }, Ticks::Events)
        .expect("off");
    let marks: Vec<Recorded> = (0..9)
        .map(|_| recorder.allocated(1, "a", Usage::ReadWrite, 10))
        .collect();
    for mark in marks {
        recorder.released(mark);
    }
    let _ = recorder.allocated(1, "a", Usage::ReadWrite, 10);
    let trace = recording.stop();
    let ticks: Vec<u64> = trace.events().map(|event| event.tick).collect();
    assert_eq!(ticks, (0..10).collect::<Vec<u64>>(), "they count the events");
    assert_eq!((trace.allocations(), trace.len(), trace.lost()), (5, 10, 5));
    assert_eq!(decode(&trace.encode()), Ok(trace));
}

#[test]
fn a_recording_that_is_dropped_ends() {
    let recorder = Recorder::new();
    let clock = Arc::new(ManualClock::new(Timestamp(0)));
    drop(
        recorder
            .start(RecordLimit::default(), Ticks::Micros(clock.clone()))
            .expect("off"),
    );
    assert!(!recorder.is_on());
    assert!(
        recorder
            .start(RecordLimit::default(), Ticks::Micros(clock))
            .expect("off")
            .stop()
            .is_empty()
    );
}

/// Many threads, one recorder: every event is there once, and the trace is one that could have happened.
#[test]
fn threads_may_share_a_recorder() {
    let recorder = Recorder::new();
    let recording = recorder
        .start(RecordLimit::default(), Ticks::Events)
        .expect("off");
    std::thread::scope(|scope| {
        for thread in 0..4_u64 {
            let recorder = &recorder;
            scope.spawn(move || {
                for round in 1..=500 {
                    let mark = recorder.allocated(thread, &format!("t{thread}"), Usage::ReadWrite, round);
                    recorder.released(mark);
                }
            });
        }
    });
    let trace = recording.stop();
    assert_eq!((trace.len(), trace.allocations(), trace.lost()), (4000, 2000, 0));
    let decoded = decode(&trace.encode()).expect("could have happened");
    let mut bytes = vec![0_u64; 4];
    for event in decoded.events() {
        if let Action::Allocate {
            bytes: size, tenant, ..
        } = event.action
        {
            bytes[tenant as usize] += size;
        }
    }
    assert_eq!(bytes, [500 * 501 / 2; 4]);
}
