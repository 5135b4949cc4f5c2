use super::*;
use crate::program::samples::{IN_PLACE, sample};
use crate::program::{HostCall, Program};
use crossbeam::channel::{Receiver, Sender, bounded};
use std::sync::OnceLock;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

mod turns;

#[test]
fn lists_run_in_order_on_the_host() {
    lists_run_in_order(&host());
}

#[test]
fn nothing_is_made_after_the_first_step_on_the_host() {
    nothing_is_made_after_the_first_step(&host());
}

#[test]
fn large_transfers_go_in_pieces_on_the_host() {
    large_transfers_go_in_pieces(&host());
}

#[test]
fn an_arena_is_zero_at_load_on_the_host() {
    an_arena_is_zero_at_load_even_when_reused(&host());
}

#[test]
fn revoked_and_dropped_tenants_are_refused_on_the_host() {
    revoked_and_dropped_tenants_are_refused(&host());
}

#[test]
fn a_fence_ends_one_token_on_the_host() {
    a_fence_ends_one_token(&host());
}

#[test]
fn a_lost_device_keeps_no_buffer_on_the_host() {
    a_lost_device_keeps_no_buffer(&host());
}

#[test]
fn a_dispatch_reads_arena_and_constants_on_the_host() {
    memory::a_dispatch_reads_arena_and_constants(&host());
}

#[test]
fn only_its_own_may_be_left_in_memory_on_the_host() {
    memory::only_its_own_may_be_left_in_memory(&host());
}

#[test]
fn allocations_are_charged_and_reused_on_the_host() {
    memory::allocations_are_charged_and_reused(&host());
}

#[test]
fn spilled_images_return_intact_on_the_host() {
    moves::spilled_images_return_intact(&host());
}

#[test]
fn tenants_that_do_not_fit_take_turns_on_the_host() {
    let mut config = ContextConfig::default();
    config.memory.capacity = Some(Bytes(image().footprint().get() * 3 / 2 + 1024));
    let context = ComputeContext::host(&config).expect("the host is there");
    moves::tenants_that_do_not_fit_take_turns(&context);
}

#[test]
fn images_move_under_load_on_the_host() {
    let rungs = [crate::pressure::Rung::Trim, crate::pressure::Rung::Spill];
    moves::images_move_under_load(&host(), &rungs, |counters| counters.spills >= 50);
}

#[test]
fn no_more_than_the_configured_bytes_are_on_the_host() {
    let mut config = ContextConfig::default();
    config.memory.max_spilled = Bytes(1024);
    let context = ComputeContext::host(&config).expect("the host is there");
    let tenant = tenant(&context, Bytes::MIB);
    let images = [
        tenant.load(&image()).expect("loads"),
        tenant.load(&image()).expect("loads"),
    ];
    let all = Bytes(u64::MAX);
    let first = context.reclaim(crate::pressure::Rung::Spill, all);
    assert_eq!((first.images, first.skipped), (1, 1));
    drop(images);
    let mut again = tenant.load(&image()).expect("loads");
    assert_eq!(
        context.reclaim(crate::pressure::Rung::Spill, all).images,
        1,
        "room again"
    );
    again.submit(list(0)).expect("submits").wait().expect("runs");
}

#[test]
fn a_fence_counts_for_every_epoch_whichever_was_told() {
    let context = host();
    context.fence(FencingToken(3));
    let again = context.reopen().expect("the host is still there");
    assert!(under(&again, Bytes::MIB, 3).is_err());
    let tenant = under(&again, Bytes::MIB, 4).expect("opens");
    let old = under(&context, Bytes::MIB, 4).expect("opens");
    context.fence(FencingToken(4));
    assert!(tenant.is_revoked() && old.is_revoked());
}

#[test]
fn tokens_below_the_newest_fenced_ones_open_nothing_but_what_is_open_stays() {
    let context = host();
    let old = under(&context, Bytes::MIB, 1).expect("opens");
    let mut loaded = old.load(&image()).expect("loads");
    (2..4098).for_each(|token| context.fence(FencingToken(token)));
    drop(under(&context, Bytes::MIB, 1).expect("4096 are remembered one by one"));
    context.fence(FencingToken(4098));
    assert!(matches!(
        under(&context, Bytes::MIB, 1),
        Err(MemoryError::Fenced {
            token: FencingToken(1),
            ..
        })
    ));
    drop(under(&context, Bytes::MIB, 4099).expect("newer than all"));
    drop(under(&context, Bytes::MIB, 0).expect("no lease, no fence"));
    loaded.submit(list(0)).expect("submits").wait().expect("runs");
    context.fence(FencingToken(1));
    assert_eq!(
        loaded
            .submit(list(0))
            .expect_err("fenced itself, below the floor"),
        stale(1)
    );
}

#[test]
fn fences_forget_tenants_that_are_gone() {
    let context = host();
    for token in 0..10 {
        let both = (
            under(&context, Bytes::MIB, token),
            under(&context, Bytes::MIB, token),
        );
        assert_eq!(context.open_tenants(), 2);
        drop(both);
        assert!(
            context
                .tenant(TenantSpec {
                    name: String::new(),
                    budget: Bytes(1),
                    token: FencingToken(token),
                    weight: Weight::default(),
                })
                .is_err()
        );
        assert_eq!(context.open_tenants(), 0);
    }
}

#[test]
fn a_budget_is_refused_as_a_whole_on_the_host() {
    a_budget_is_refused_as_a_whole(&host());
}

#[test]
fn work_is_checked_on_the_host() {
    work_is_checked(&host());
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(32))]
    #[test]
    fn footprints_are_exact_on_the_host(images in proptest::collection::vec(any_image(), 1..6)) {
        footprints_are_exact(&host(), &images);
    }
}

const fn in_place(name: &'static str, host: fn(HostCall<'_>)) -> Program {
    sample(name, "", IN_PLACE, host)
}

fn alone(program: &'static Program) -> Image {
    let run = Dispatch {
        program,
        params: vec![],
        bindings: vec![A],
        groups: [1, 1, 1],
    };
    let list = CommandList {
        name: "run".to_owned(),
        commands: vec![Command::Dispatch(run)],
    };
    Image {
        lists: vec![list],
        ..image()
    }
}

#[test]
fn a_host_function_that_panics_poisons_only_its_image() {
    static FAILS: Program = in_place("fails", |_| panic!("no good"));
    let context = host();
    let tenant = tenant(&context, Bytes::MIB);
    let (mut bad, mut good) = (
        tenant.load(&alone(&FAILS)).expect("loads"),
        tenant.load(&image()).expect("loads"),
    );
    let error = bad
        .submit(Work {
            list: Some(0),
            ..Work::default()
        })
        .expect("submits")
        .wait()
        .expect_err("panics");
    assert_eq!(error.class(), ErrorClass::Internal);
    assert!(error.to_string().contains("no good"), "{error}");
    assert_eq!(bad.submit(Work::default()).expect_err("poisoned"), error);
    good.submit(Work {
        list: Some(0),
        ..Work::default()
    })
    .expect("submits")
    .wait()
    .expect("is not affected");
    drop(bad);
    drop(good);
    assert_eq!(tenant.usage().in_use, Bytes::ZERO);
}

/// Lets a host function wait until its test says so.
struct Gate {
    open: Sender<()>,
    opened: Receiver<()>,
}

impl Gate {
    fn new() -> Self {
        let (open, opened) = bounded(8);
        Self { open, opened }
    }
}

#[test]
fn a_wait_ends_at_its_deadline_and_the_work_goes_on() {
    static GATE: OnceLock<Gate> = OnceLock::new();
    static SLOW: Program = in_place("slow", |mut call| {
        GATE.get_or_init(Gate::new)
            .opened
            .recv()
            .expect("the gate is static");
        call.writes[0][0] = 5;
    });
    let config = ContextConfig {
        cpu_workers: 1,
        step_deadline: Duration::from_millis(30),
        ..Default::default()
    };
    let context = ComputeContext::host(&config).expect("the host is there");
    let tenant = tenant(&context, Bytes::MIB);
    let mut loaded = tenant.load(&alone(&SLOW)).expect("loads");
    let late = loaded
        .submit(Work {
            list: Some(0),
            ..Work::default()
        })
        .expect("submits");
    let error = late.wait().expect_err("too slow");
    assert_eq!(
        (error.class(), error.is_retryable()),
        (ErrorClass::Timeout, true),
        "{error}"
    );
    let read = loaded
        .submit(Work {
            reads: &[slice(0, 4)],
            ..Work::default()
        })
        .expect("submits");
    GATE.get_or_init(Gate::new)
        .open
        .send(())
        .expect("the gate is static");
    assert_eq!(read.wait().expect("in order"), 5_u32.to_le_bytes());
}

#[test]
fn a_full_ring_waits_and_is_counted() {
    static GATE: OnceLock<Gate> = OnceLock::new();
    static HELD: Program = in_place("held", |_| {
        GATE.get_or_init(Gate::new)
            .opened
            .recv()
            .expect("the gate is static");
    });
    let config = ContextConfig {
        cpu_workers: 1,
        step_deadline: Duration::from_millis(30),
        ..Default::default()
    };
    let context = ComputeContext::host(&config).expect("the host is there");
    let tenant = tenant(&context, Bytes::MIB);
    let mut loaded = tenant.load(&alone(&HELD)).expect("loads");
    let data = [0_u8; 256];
    let work = Work {
        list: Some(0),
        uploads: &[(A, &data)],
        reads: &[],
    };
    let tickets = [
        loaded.submit(work).expect("first area"),
        loaded.submit(work).expect("second area"),
    ];
    assert_eq!(context.counters().host_waits, 0);
    let error = loaded.submit(work).expect_err("both areas are in use");
    assert_eq!(
        (error.class(), context.counters().host_waits),
        (ErrorClass::Timeout, 1),
        "{error}"
    );
    let gate = &GATE.get_or_init(Gate::new).open;
    gate.send(()).expect("the gate is static");
    gate.send(()).expect("the gate is static");
    for ticket in tickets {
        ticket.wait().expect("runs");
    }
    gate.send(()).expect("the gate is static");
    loaded
        .submit(work)
        .expect("an area is free again")
        .wait()
        .expect("runs");
}

#[test]
fn a_full_queue_waits_and_refuses_at_the_deadline() {
    static GATE: OnceLock<Gate> = OnceLock::new();
    static HELD: Program = in_place("held", |_| {
        GATE.get_or_init(Gate::new)
            .opened
            .recv()
            .expect("the gate is static");
    });
    let deadline = Duration::from_millis(30);
    let config = ContextConfig {
        cpu_workers: 1,
        step_deadline: deadline,
        queue_depth: 1,
        ..Default::default()
    };
    let context = ComputeContext::host(&config).expect("the host is there");
    let tenant = tenant(&context, Bytes::MIB);
    let mut loaded = tenant.load(&alone(&HELD)).expect("loads");
    let work = Work {
        list: Some(0),
        ..Work::default()
    };
    // One runs or waits, one more may wait behind it; the third or fourth finds the queue full.
    let mut tickets = Vec::new();
    let error = loop {
        match loaded.submit(work) {
            Ok(ticket) => tickets.push(ticket),
            Err(error) => break error,
        }
        assert!(tickets.len() < 4, "the queue has a bound");
    };
    assert_eq!(error.class(), ErrorClass::Timeout);
    for ticket in tickets {
        GATE.get_or_init(Gate::new)
            .open
            .send(())
            .expect("the gate is static");
        ticket.wait().expect("runs");
    }
}

#[test]
fn tenants_on_many_threads_get_their_own_results() {
    let context = host();
    std::thread::scope(|scope| {
        for agent in 0..6_u8 {
            let context = context.clone();
            scope.spawn(move || {
                let tenant = tenant(&context, Bytes::MIB);
                for round in 0..20_u8 {
                    let mut loaded = tenant.load(&image()).expect("loads");
                    let value = f32::from(agent) + f32::from(round) / 32.0;
                    let data = words(&[value; 64]);
                    let work = Work {
                        list: Some(0),
                        uploads: &[(A, &data)],
                        reads: &[C],
                    };
                    let ticket = loaded.submit(work).expect("submits");
                    assert_eq!(wait(ticket), vec![2.0 * value; 64]);
                }
            });
        }
    });
    assert_eq!(
        (context.pool_report().in_use, context.pool_report().tenants),
        (Bytes::ZERO, 0)
    );
}

#[test]
fn the_last_handle_joins_the_workers() {
    static ENDED: AtomicUsize = AtomicUsize::new(0);
    struct AtExit;
    impl Drop for AtExit {
        fn drop(&mut self) {
            ENDED.fetch_add(1, Ordering::SeqCst);
        }
    }
    thread_local! {
        static GUARD: AtExit = const { AtExit };
    }
    static MARKS: Program = in_place("marks", |_| GUARD.with(|_| ()));
    let config = ContextConfig {
        cpu_workers: 1,
        ..ContextConfig::default()
    };
    let context = ComputeContext::host(&config).expect("the host is there");
    let tenant = tenant(&context, Bytes::MIB);
    let mut loaded = tenant.load(&alone(&MARKS)).expect("loads");
    loaded.submit(list(0)).expect("submits").wait().expect("runs");
    drop(context);
    drop(tenant);
    assert_eq!(
        ENDED.load(Ordering::SeqCst),
        0,
        "a loaded image keeps the context"
    );
    drop(loaded);
    assert_eq!(
        ENDED.load(Ordering::SeqCst),
        1,
        "the worker has ended when the drop returns"
    );
}

#[test]
fn a_lost_host_gives_nothing_out_and_reopens_as_the_next_epoch() {
    let context = host();
    let tenant = tenant(&context, Bytes::MIB);
    let mut loaded = tenant.load(&image()).expect("loads");
    let ticket = loaded
        .submit(Work {
            reads: &[A],
            ..Work::default()
        })
        .expect("submits");
    context.destroy_device_for_test();
    assert!(context.is_lost());
    assert_eq!(ticket.wait().expect_err("void").class(), ErrorClass::DeviceLost);
    assert_eq!(
        loaded.submit(Work::default()).expect_err("void").class(),
        ErrorClass::DeviceLost
    );
    let again = context.reopen().expect("the host is still there");
    assert_eq!(
        (again.epoch().get(), again.is_lost()),
        (context.epoch().get() + 1, false)
    );
    lists_run_in_order(&again);
}

#[cfg(not(feature = "gpu"))]
#[test]
fn a_build_without_gpu_says_so() {
    for device in [crate::DeviceChoice::Gpu, crate::DeviceChoice::Software] {
        let config = ContextConfig {
            device,
            ..ContextConfig::default()
        };
        let error = ComputeContext::open(&config).expect_err("there is none");
        assert!(error.to_string().contains("without the `gpu` feature"), "{error}");
    }
}

#[test]
fn rising_pressure_climbs_the_ladder_on_the_host() {
    pressure::rising_pressure_climbs_the_ladder(&host());
}

#[test]
fn nothing_is_refused_while_images_can_move_on_the_host() {
    let config = ContextConfig {
        memory: pressure::room_for_two(),
        ..ContextConfig::default()
    };
    pressure::nothing_is_refused_while_images_can_move(&ComputeContext::host(&config).expect("opens"));
}

#[test]
fn what_is_foreseen_counts_on_the_host() {
    pressure::what_is_foreseen_counts(&host());
}

#[test]
fn the_ladder_acts_before_the_wall_on_the_host() {
    let mut config = ContextConfig::default();
    config.memory.capacity = Some(Bytes::gib(1));
    pressure::the_ladder_acts_before_the_wall(&ComputeContext::host(&config).expect("opens"));
}

#[test]
fn a_silent_source_is_passed_over_on_the_host() {
    pressure::a_silent_source_is_passed_over(&host());
}

/// The system gives zeros that take no room until they are written: there is nothing to make ahead.
#[test]
fn nothing_is_made_ahead_on_the_host_and_the_fields_are_checked() {
    let mut config = ContextConfig::default();
    config.memory.tiers[2].preallocate = Bytes::mib(8);
    let context = ComputeContext::host(&config).expect("opens");
    assert_eq!(context.counters().buffers_created, 0);
    assert_eq!(context.pool_report().reserved, Bytes::ZERO);
    config.memory.tiers[2].preallocate = Bytes(u64::MAX);
    assert!(ComputeContext::host(&config).is_err());
}
