use super::*;
use crate::error::MemoryError;
use daa_base::{Bytes, Rng, Seed};
use proptest::prelude::*;

const fn ms(millis: u64) -> Duration {
    Duration::from_millis(millis)
}

fn config() -> BreakerConfig {
    BreakerConfig {
        base: ms(100),
        cap: ms(1_000),
        jitter: Permille::ZERO,
        probe_deadline: ms(50),
        ..BreakerConfig::default()
    }
}

fn rng() -> Rng {
    Seed(1).stream("breaker test").rng()
}

fn breaker() -> Breaker {
    Breaker::new(config()).expect("in range")
}

#[test]
fn each_class_opens_when_its_limit_says() {
    for class in CLASSES {
        let mut breaker = breaker();
        let threshold = config().threshold(class).expect("it counts");
        for _ in 1..threshold {
            assert!(!breaker.failed(class, ms(5), &mut rng()));
            assert_eq!(breaker.state(), State::Closed, "{class}");
        }
        assert!(breaker.failed(class, ms(5), &mut rng()), "{class}");
        let until = ms(105);
        assert_eq!(breaker.state(), State::Open { class, until });
        assert_eq!(
            threshold == 1,
            matches!(class, ErrorClass::DeviceLost | ErrorClass::Corruption)
        );
    }
}

#[test]
fn classes_do_not_add_up_and_success_starts_over() {
    let mut breaker = breaker();
    for class in [ErrorClass::Timeout, ErrorClass::Internal, ErrorClass::OutOfMemory] {
        assert!(!breaker.failed(class, ms(0), &mut rng()));
        assert!(!breaker.failed(class, ms(0), &mut rng()));
    }
    breaker.succeeded();
    assert!(!breaker.failed(ErrorClass::Timeout, ms(0), &mut rng()));
    assert!(!breaker.failed(ErrorClass::Timeout, ms(0), &mut rng()));
    assert!(breaker.failed(ErrorClass::Timeout, ms(0), &mut rng()));
}

#[test]
fn back_off_doubles_up_to_the_cap_and_starts_over_after_a_good_time() {
    let (mut breaker, mut rng) = (breaker(), rng());
    assert!(breaker.failed(ErrorClass::DeviceLost, ms(0), &mut rng));
    let mut now = ms(0);
    for wait in [100, 200, 400, 800, 1_000, 1_000] {
        assert_eq!(breaker.next_probe(), Some(now + ms(wait)));
        assert_eq!(breaker.try_probe(now + ms(wait - 1)), None);
        now += ms(wait);
        let permit = breaker.try_probe(now).expect("it is time");
        assert!(breaker.refuted(permit, ErrorClass::DeviceLost, now, &mut rng));
    }
    now += ms(1_000);
    let permit = breaker.try_probe(now).expect("it is time");
    assert!(breaker.passed(permit, now));
    assert_eq!((breaker.state(), breaker.next_probe()), (State::Closed, None));
    // A device that fails again at once is no better than one that fails its probe.
    assert!(breaker.failed(ErrorClass::DeviceLost, now, &mut rng));
    assert_eq!(breaker.next_probe(), Some(now + ms(1_000)));
    let permit = breaker.try_probe(now + ms(1_000)).expect("it is time");
    assert!(breaker.passed(permit, now + ms(1_000)));
    assert!(breaker.failed(ErrorClass::DeviceLost, now + ms(2_000), &mut rng));
    assert_eq!(breaker.next_probe(), Some(now + ms(2_100)));
    assert_eq!(breaker.openings(), 9, "the first, six probes, two more");
}

#[test]
fn one_probe_at_a_time_and_old_permits_mean_nothing() {
    let (mut breaker, mut rng) = (breaker(), rng());
    assert!(breaker.failed(ErrorClass::Corruption, ms(0), &mut rng));
    let first = breaker.try_probe(ms(100)).expect("it is time");
    assert_eq!(breaker.state(), State::HalfOpen { since: ms(100) });
    assert_eq!(breaker.try_probe(ms(149)), None);
    let second = breaker.try_probe(ms(150)).expect("the first was abandoned");
    assert!(
        !breaker.passed(first, ms(151)) && !breaker.refuted(first, ErrorClass::Timeout, ms(151), &mut rng)
    );
    assert_eq!(breaker.state(), State::HalfOpen { since: ms(150) });
    // Late failures of earlier work do not disturb it, but a loss ends it.
    assert!(!breaker.failed(ErrorClass::Timeout, ms(152), &mut rng));
    assert!(breaker.failed(ErrorClass::DeviceLost, ms(152), &mut rng));
    assert!(!breaker.passed(second, ms(153)));
    assert!(matches!(breaker.state(), State::Open { .. }));
}

#[test]
fn a_probe_that_could_not_be_tried_is_no_failure() {
    let (mut breaker, mut rng) = (breaker(), rng());
    assert!(breaker.failed(ErrorClass::DeviceLost, ms(0), &mut rng));
    let permit = breaker.try_probe(ms(100)).expect("it is time");
    assert!(breaker.refuted(permit, ErrorClass::Validation, ms(100), &mut rng));
    assert_eq!(breaker.next_probe(), Some(ms(200)), "as long as before");
}

#[test]
fn the_pool_and_the_caller_are_not_the_device() {
    let budget = GpuError::Memory(MemoryError::Budget {
        tenant: "t".to_owned(),
        wanted: Bytes(2),
        in_use: Bytes(0),
        budget: Bytes(1),
    });
    assert_eq!(budget.class(), ErrorClass::OutOfMemory);
    assert_eq!(blame(&budget), None);
    let driver = GpuError::OutOfMemory {
        message: String::new(),
    };
    assert_eq!(blame(&driver), Some(ErrorClass::OutOfMemory));
    let validation = GpuError::Validation {
        message: String::new(),
    };
    assert_eq!(blame(&validation), None);
}

#[test]
fn fields_out_of_range_are_named() {
    assert_eq!(BreakerConfig::default().validate(), Ok(()));
    let broken = [
        (
            "breaker.timeout",
            BreakerConfig {
                timeout: 0,
                ..config()
            },
        ),
        (
            "breaker.base",
            BreakerConfig {
                base: ms(0),
                ..config()
            },
        ),
        (
            "breaker.cap",
            BreakerConfig {
                cap: ms(99),
                ..config()
            },
        ),
        (
            "breaker.probe_deadline",
            BreakerConfig {
                probe_deadline: ms(3_600_001),
                ..config()
            },
        ),
    ];
    for (field, config) in broken {
        let error = config.validate().expect_err("out of range");
        assert_eq!(error.field, field, "{error}");
    }
}

/// What can happen to a breaker.
#[derive(Debug, Clone, Copy)]
enum Move {
    Wait(u64),
    Succeed,
    Fail(ErrorClass),
    Probe,
    Pass(usize),
    Refute(usize, ErrorClass),
}

fn any_class() -> impl Strategy<Value = ErrorClass> {
    prop::sample::select([&CLASSES[..], &[ErrorClass::Validation]].concat())
}

fn any_move() -> impl Strategy<Value = Move> {
    prop_oneof![
        3 => (0_u64..400).prop_map(Move::Wait),
        1 => Just(Move::Succeed),
        3 => any_class().prop_map(Move::Fail),
        3 => Just(Move::Probe),
        1 => (0_usize..3).prop_map(Move::Pass),
        1 => ((0_usize..3), any_class()).prop_map(|(back, class)| Move::Refute(back, class)),
    ]
}

/// What was seen of a breaker, to hold the next state against.
struct Seen {
    now: Duration,
    in_a_row: [u32; CLASSES.len()],
    permits: Vec<Permit>,
}

/// Makes one move and checks what it may do.
fn make(breaker: &mut Breaker, seen: &mut Seen, step: Move, rng: &mut Rng) {
    let (before, now) = (breaker.state(), seen.now);
    match step {
        Move::Wait(millis) => seen.now += ms(millis),
        Move::Succeed => {
            breaker.succeeded();
            seen.in_a_row = [0; CLASSES.len()];
            assert_eq!(breaker.state(), before);
        }
        Move::Fail(ErrorClass::Validation) => {
            assert!(!breaker.failed(ErrorClass::Validation, now, rng));
            assert_eq!(breaker.state(), before);
        }
        Move::Fail(class) => {
            let threshold = breaker.config().threshold(class).expect("it counts");
            let row = &mut seen.in_a_row[index(class).expect("it has a circuit")];
            *row += u32::from(before == State::Closed);
            let opens = match before {
                State::Closed => *row == threshold,
                State::HalfOpen { .. } => threshold == 1,
                State::Open { .. } => false,
            };
            if opens {
                *row = 0;
            }
            assert_eq!(breaker.failed(class, now, rng), opens);
        }
        Move::Probe => {
            let due = breaker.next_probe().is_some_and(|at| now >= at);
            let permit = breaker.try_probe(now);
            assert_eq!(permit.is_some(), due, "{before:?} at {now:?}");
            seen.permits.extend(permit);
        }
        Move::Pass(back) | Move::Refute(back, _) => {
            let Some(&permit) = seen.permits.iter().rev().nth(back) else {
                return;
            };
            let counts = back == 0 && matches!(before, State::HalfOpen { .. });
            let (took, after) = if let Move::Refute(_, class) = step {
                let took = breaker.refuted(permit, class, now, rng);
                (took, matches!(breaker.state(), State::Open { .. }))
            } else {
                seen.in_a_row = if counts { [0; CLASSES.len()] } else { seen.in_a_row };
                let took = breaker.passed(permit, now);
                (took, breaker.state() == State::Closed)
            };
            assert_eq!(took, counts, "{step:?} in {before:?}");
            assert!(if took { after } else { breaker.state() == before });
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(if cfg!(miri) { 1 } else { 300 }))]

    #[test]
    fn every_path_keeps_the_rules(moves in prop::collection::vec(any_move(), 1..120), jitter in 0_u16..=1000, seed: u64) {
        let jitter = Permille::new(jitter).expect("in range");
        let mut breaker = Breaker::new(BreakerConfig { jitter, ..config() }).expect("in range");
        let mut rng = Seed(seed).stream("moves").rng();
        let mut seen = Seen { now: ms(0), in_a_row: [0; CLASSES.len()], permits: Vec::new() };
        for step in moves {
            let before = breaker.state();
            make(&mut breaker, &mut seen, step, &mut rng);
            if let State::Open { until, .. } = breaker.state() {
                prop_assert!(until <= seen.now + ms(1_000), "no longer than the cap");
                if !matches!(before, State::Open { .. }) {
                    let (_, least) = breaker.config().back_off(0);
                    prop_assert!(until >= seen.now + least, "no shorter than what jitter leaves");
                }
            }
        }
    }

    #[test]
    fn back_off_is_drawn_between_its_bounds(level in 0_u32..80, jitter in 0_u16..=1000, seed: u64) {
        let jitter = Permille::new(jitter).expect("in range");
        let config = BreakerConfig { jitter, ..config() };
        let (longest, shortest) = config.back_off(level);
        let drawn = config.draw(level, &mut Seed(seed).stream("draw").rng());
        prop_assert!(shortest <= drawn && drawn <= longest && longest <= config.cap);
        prop_assert_eq!(longest, config.base.saturating_mul(1 << level.min(20)).min(config.cap));
    }

    #[test]
    fn the_same_seed_gives_the_same_waits(seed: u64) {
        let waits = |seed: u64| {
            let mut breaker = Breaker::new(BreakerConfig { jitter: Permille::WHOLE, ..config() }).expect("in range");
            let mut rng = Seed(seed).stream("waits").rng();
            breaker.failed(ErrorClass::DeviceLost, ms(0), &mut rng);
            breaker.next_probe()
        };
        prop_assert_eq!(waits(seed), waits(seed));
    }
}
