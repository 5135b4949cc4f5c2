//! Tenants, the host's workers, fences and failover under many schedules: `cargo xtask interleave`.

use crate::failover::{Failover, Role};
use crate::image::{Command, CommandList, Dispatch};
use crate::pressure::Rung;
use crate::probe::{Expected, Probe};
use crate::program::{Access, BindingSpec, HostCall, Program};
use crate::sync::explore::explore;
use crate::{
    BreakerConfig, Bytes, Clear, ComputeContext, ContextConfig, DeviceChoice, FencingToken, GpuError, Image,
    Loaded, Slice, Tenant, TenantSpec, Ticket, Weight, Work,
};
use daa_base::{Clock, ManualClock, Permille, Seed, Timestamp};
use shuttle::thread;
use std::sync::Arc;
use std::time::Duration;

fn increase(mut call: HostCall<'_>) {
    // Others may be let in while a host function runs.
    thread::yield_now();
    for value in call.writes[0].iter_mut() {
        *value += 1;
    }
}

/// `values += 1`.
static INCREASE: Program = Program {
    name: "increase",
    wgsl: "",
    entry: "main",
    workgroup_size: [64, 1, 1],
    bindings: &[BindingSpec {
        name: "values",
        access: Access::ReadWrite,
    }],
    params_words: 0,
    host: increase,
};

const VALUES: Slice = Slice {
    offset: 0,
    bytes: 256,
};

fn image() -> Image {
    let dispatch = Dispatch {
        program: &INCREASE,
        params: vec![],
        bindings: vec![VALUES],
        groups: [1, 1, 1],
    };
    Image {
        arena: Bytes(256),
        constants: Bytes::ZERO,
        clear: Clear::Always,
        lists: vec![CommandList {
            name: "increase".to_owned(),
            commands: vec![Command::Dispatch(dispatch)],
        }],
        upload: Bytes(256),
        upload_ring: 1,
        readback: Bytes(256),
    }
}

fn config(cpu_workers: usize) -> ContextConfig {
    let mut config = ContextConfig {
        device: DeviceChoice::Cpu,
        cpu_workers,
        queue_depth: 2,
        ..ContextConfig::default()
    };
    config.memory.capacity = Some(image().footprint() + image().footprint());
    config
}

fn clock() -> Arc<ManualClock> {
    Arc::new(ManualClock::new(Timestamp(0)))
}

fn host(workers: usize) -> ComputeContext {
    ComputeContext::open_with_clock(&config(workers), clock()).expect("the host is there")
}

fn open(context: &ComputeContext, token: u64) -> Result<Tenant, crate::MemoryError> {
    context.tenant(TenantSpec {
        name: "t".to_owned(),
        budget: image().footprint(),
        token: FencingToken(token),
        weight: Weight::default(),
    })
}

fn run(loaded: &mut Loaded) -> Result<Ticket, GpuError> {
    loaded.submit(Work {
        list: Some(0),
        uploads: &[],
        reads: &[VALUES],
    })
}

/// The value that all words have.
fn value(bytes: &[u8]) -> u32 {
    let mut words = bytes
        .chunks_exact(4)
        .map(|word| u32::from_le_bytes(word.try_into().expect("four bytes")));
    let first = words.next().expect("the slice has words");
    assert!(words.all(|word| word == first), "a run was torn");
    first
}

fn check_empty(context: &ComputeContext) {
    let report = context.pool_report();
    assert_eq!(
        (report.in_use, report.spilled, report.tenants),
        (Bytes::ZERO, Bytes::ZERO, 0)
    );
    assert_eq!(report.reserved, report.cached);
    assert_eq!(context.open_tenants(), 0);
}

/// More tenants than workers, and images that move to the host in between: every submission is answered, in order.
#[test]
fn every_submission_has_its_turn_while_images_move() {
    explore(4000, || {
        let context = host(2);
        let threads: Vec<_> = (0..2)
            .map(|token| {
                let context = context.clone();
                thread::spawn(move || {
                    let tenant = open(&context, token).expect("there is room");
                    let mut loaded = tenant.load(&image()).expect("its budget is its own");
                    let start = 10_u32.to_le_bytes().repeat(64);
                    let upload = loaded.submit(Work {
                        uploads: &[(VALUES, &start)],
                        ..Work::default()
                    });
                    let first = run(&mut loaded).expect("submits");
                    let second = run(&mut loaded).expect("submits");
                    assert_eq!(value(&first.wait().expect("runs")), 11);
                    assert_eq!(value(&second.wait().expect("runs")), 12);
                    upload.expect("submits").wait().expect("runs");
                    let third = run(&mut loaded).expect("it comes back if it went");
                    assert_eq!(value(&third.wait().expect("runs")), 13);
                    assert_eq!(tenant.usage().in_use, image().footprint());
                })
            })
            .collect();
        context.reclaim(Rung::Spill, Bytes::MIB);
        let load = context.load();
        assert!(load.tenants.len() <= 2);
        context.reclaim(Rung::Trim, Bytes::MIB);
        for thread in threads {
            thread.join().expect("no thread panics");
        }
        check_empty(&context);
    });
}

#[test]
fn no_run_begins_and_no_tenant_opens_once_a_fence_stands() {
    explore(5000, || {
        let context = host(1);
        let tenant = open(&context, 5).expect("there is room");
        let worker = {
            let context = context.clone();
            thread::spawn(move || {
                let mut loaded = tenant.load(&image());
                for run_number in 1..=3 {
                    let Ok(loaded) = &mut loaded else { break };
                    match run(loaded).and_then(Ticket::wait) {
                        Ok(bytes) => assert_eq!(value(&bytes), run_number),
                        Err(GpuError::StaleToken { .. }) => assert!(tenant.is_revoked()),
                        Err(error) => panic!("{error}"),
                    }
                }
                assert!(loaded.is_ok() || tenant.is_revoked());
                drop((loaded, tenant));
                let again = open(&context, 5);
                drop(again);
            })
        };
        let other = {
            let context = context.clone();
            thread::spawn(move || drop(open(&context, 5)))
        };
        context.fence(FencingToken(5));
        let dispatched = context.counters().dispatches;
        assert!(open(&context, 5).is_err(), "the fence stands");
        for thread in [worker, other] {
            thread.join().expect("no thread panics");
        }
        // One run may have been past its check when the fence came.
        assert!(context.counters().dispatches <= dispatched + 1);
        check_empty(&context);
    });
}

#[test]
fn a_dropped_tenant_takes_everything_back_while_its_image_is_used() {
    explore(5000, || {
        let context = host(2);
        let tenant = open(&context, 5).expect("there is room");
        let mut loaded = tenant.load(&image()).expect("there is room");
        let user = thread::spawn(move || {
            for run_number in 1..=2 {
                match run(&mut loaded).and_then(Ticket::wait) {
                    Ok(bytes) => assert_eq!(value(&bytes), run_number),
                    Err(GpuError::StaleToken { .. }) => return loaded,
                    Err(error) => panic!("{error}"),
                }
            }
            loaded
        });
        drop(tenant);
        let next = open(&context, 6).expect("there is room");
        let mut fresh = next.load(&image()).expect("the footprints of two fit");
        let bytes = run(&mut fresh).and_then(Ticket::wait).expect("runs");
        assert_eq!(value(&bytes), 1, "nothing of what others left");
        let loaded = user.join().expect("no thread panics");
        drop((fresh, next));
        check_empty(&context);
        drop(loaded);
    });
}

#[test]
fn nothing_is_handed_out_once_the_epoch_is_over_and_nobody_waits_for_ever() {
    explore(5000, || {
        let context = host(1);
        let threads: Vec<_> = (0..2)
            .map(|token| {
                let context = context.clone();
                thread::spawn(move || {
                    let tenant = open(&context, token)?;
                    let mut loaded = tenant.load(&image())?;
                    for _ in 0..2 {
                        let ticket = run(&mut loaded)?;
                        let was_over = context.is_lost();
                        let answer = ticket.wait();
                        assert!(
                            !(was_over && answer.is_ok()),
                            "it came from an epoch that was over"
                        );
                        answer?;
                    }
                    Ok::<_, GpuError>(())
                })
            })
            .collect();
        context.destroy_device_for_test();
        for thread in threads {
            let ended = thread.join().expect("no thread panics");
            assert!(
                ended.is_ok() || matches!(ended, Err(GpuError::DeviceLost { .. })),
                "{ended:?}"
            );
        }
        let report = context.pool_report();
        assert_eq!(
            (report.in_use, report.cached, report.tenants),
            (Bytes::ZERO, Bytes::ZERO, 0)
        );
    });
}

fn failover(primary: ComputeContext, clock: Arc<dyn Clock>) -> Failover {
    let breaker = BreakerConfig {
        jitter: Permille::ZERO,
        ..BreakerConfig::default()
    };
    let probe = Probe::new(
        &INCREASE,
        vec![],
        [1, 1, 1],
        &[vec![0; 64]],
        0,
        Expected::Exact(vec![1; 64]),
    )
    .expect("it fits the program");
    let rng = Seed(1).stream("interleave").rng();
    Failover::new(primary, breaker, probe, clock, rng)
        .expect("in range")
        .as_device_for_test()
}

/// Two that work, one whose device goes away, one that probes: each loss opens the breaker once, and no context that was
/// known to be lost is given out.
#[test]
fn a_loss_is_counted_once_and_work_goes_on_elsewhere() {
    explore(1500, || {
        let clock = clock();
        let primary = ComputeContext::open_with_clock(&config(1), clock.clone()).expect("the host is there");
        let failover = Arc::new(failover(primary.clone(), clock.clone()));
        let workers: Vec<_> = (0..2)
            .map(|token| {
                let failover = Arc::clone(&failover);
                thread::spawn(move || {
                    for _ in 0..2 {
                        let acquired = failover.acquire().expect("the host is there");
                        let work = || {
                            let tenant = open(&acquired.context, token)?;
                            let mut loaded = tenant.load(&image())?;
                            run(&mut loaded)?.wait()
                        };
                        let outcome = work();
                        if let Ok(bytes) = &outcome {
                            assert_eq!(value(bytes), 1);
                        }
                        assert!(outcome.is_ok() || acquired.role == Role::Primary, "{outcome:?}");
                        let _ = failover.report(&acquired.context, outcome.as_ref().map(drop));
                    }
                })
            })
            .collect();
        primary.destroy_device_for_test();
        clock.advance(Duration::from_secs(3600));
        let _ = failover.tick();
        for worker in workers {
            worker.join().expect("no thread panics");
        }
        clock.advance(Duration::from_secs(3600));
        let before = failover.acquire().expect("the host is there");
        let _ = failover.tick();
        let after = failover.acquire().expect("the host is there");
        assert_eq!(after.role, Role::Primary, "its probe passes: {before:?}");
        assert!(after.context.epoch() > primary.epoch() && !after.context.is_lost());
        let counts = failover.counts();
        assert_eq!(
            (counts.openings, counts.probes_passed, counts.reopened),
            (1, 1, 1)
        );
    });
}
