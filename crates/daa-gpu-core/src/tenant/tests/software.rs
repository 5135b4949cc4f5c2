use super::*;
use crate::DeviceChoice;
use crate::error::DeviceError;
use crate::program::Program;
use crate::program::samples::{IN_PLACE, sample};
use daa_base::{Clock, SystemClock};
use std::sync::Arc;

mod turns;

/// A context on the software driver. Without one: fails where it is required, else says so and gives `None`.
#[expect(clippy::print_stderr, reason = "a test that does not run must say why")]
fn software_with(config: ContextConfig, clock: Arc<dyn Clock>) -> Option<ComputeContext> {
    let config = ContextConfig {
        device: DeviceChoice::Software,
        ..config
    };
    match ComputeContext::open_with_clock(&config, clock) {
        Ok(context) => Some(context),
        Err(error @ DeviceError::NoAdapter { .. }) => {
            let required = std::env::var("DAA_REQUIRE_SOFTWARE_GPU").is_ok_and(|value| value == "1");
            assert!(!required, "DAA_REQUIRE_SOFTWARE_GPU is 1, but: {error}");
            eprintln!("not run: {error}");
            None
        }
        Err(error) => panic!("the software driver is there, but: {error}"),
    }
}

fn software() -> Option<ComputeContext> {
    software_with(ContextConfig::default(), Arc::new(SystemClock::new()))
}

pub(super) fn on_software(body: impl FnOnce(&ComputeContext)) {
    if let Some(context) = software() {
        body(&context);
        assert!(!context.is_lost());
    }
}

#[test]
fn lists_run_in_order_on_software() {
    on_software(lists_run_in_order);
}

#[test]
fn nothing_is_made_after_the_first_step_on_software() {
    on_software(nothing_is_made_after_the_first_step);
}

#[test]
fn large_transfers_go_in_pieces_on_software() {
    on_software(large_transfers_go_in_pieces);
}

#[test]
fn an_arena_is_zero_at_load_on_software() {
    on_software(an_arena_is_zero_at_load_even_when_reused);
}

#[test]
fn revoked_and_dropped_tenants_are_refused_on_software() {
    on_software(revoked_and_dropped_tenants_are_refused);
}

#[test]
fn a_fence_ends_one_token_on_software() {
    on_software(a_fence_ends_one_token);
}

#[test]
fn a_lost_device_keeps_no_buffer_on_software() {
    let Some(context) = software() else { return };
    a_lost_device_keeps_no_buffer(&context);
}

#[test]
fn a_budget_is_refused_as_a_whole_on_software() {
    on_software(a_budget_is_refused_as_a_whole);
}

#[test]
fn work_is_checked_on_software() {
    on_software(work_is_checked);
}

#[test]
fn a_dispatch_reads_arena_and_constants_on_software() {
    on_software(memory::a_dispatch_reads_arena_and_constants);
}

#[test]
fn only_its_own_may_be_left_in_memory_on_software() {
    on_software(memory::only_its_own_may_be_left_in_memory);
}

#[test]
fn allocations_are_charged_and_reused_on_software() {
    on_software(memory::allocations_are_charged_and_reused);
}

#[test]
fn spilled_images_return_intact_on_software() {
    on_software(moves::spilled_images_return_intact);
}

#[test]
fn tenants_that_do_not_fit_take_turns_on_software() {
    let mut config = ContextConfig {
        device: DeviceChoice::Software,
        ..ContextConfig::default()
    };
    config.memory.capacity = Some(Bytes(image().footprint().get() * 3 / 2 + 1024));
    if software().is_some() {
        let context = ComputeContext::open(&config).expect("the software driver is there");
        moves::tenants_that_do_not_fit_take_turns(&context);
    }
}

#[test]
fn images_move_under_load_on_software() {
    on_software(|context| {
        let rungs = [crate::pressure::Rung::Spill, crate::pressure::Rung::Compact];
        moves::images_move_under_load(context, &rungs, |counters| counters.spills >= 50);
    });
}

#[test]
fn pages_fall_free_when_images_move_together_on_software() {
    on_software(moves::pages_fall_free_when_images_move_together);
}

#[test]
fn footprints_are_exact_on_software() {
    on_software(|context| {
        proptest!(ProptestConfig::with_cases(24), |(images in proptest::collection::vec(any_image(), 1..3))| {
            footprints_are_exact(context, &images);
        });
    });
}

#[test]
fn pipelines_are_made_once_per_program_on_software() {
    on_software(|context| {
        let tenant = tenant(context, Bytes::MIB);
        let first = tenant.load(&image()).expect("loads");
        assert_eq!(context.counters().pipelines_created, 2);
        let second = tenant.load(&image()).expect("loads");
        assert_eq!(context.counters().pipelines_created, 2);
        assert_eq!(context.counters().bind_groups_created, 2 * 5);
        drop((first, second));
    });
}

#[test]
fn a_broken_shader_is_a_validation_error_that_names_it_on_software() {
    const NONSENSE: &str = "@compute @workgroup_size(1) fn main() { nonsense(); }";
    static BROKEN: Program = sample("broken", NONSENSE, IN_PLACE, |_| {});
    on_software(|context| {
        let tenant = tenant(context, Bytes::MIB);
        let run = Dispatch {
            program: &BROKEN,
            params: vec![],
            bindings: vec![A],
            groups: [1, 1, 1],
        };
        let list = CommandList {
            name: "run".to_owned(),
            commands: vec![Command::Dispatch(run)],
        };
        let error = tenant
            .load(&Image {
                lists: vec![list],
                ..image()
            })
            .expect_err("does not compile");
        assert_eq!(error.class(), ErrorClass::Validation);
        assert!(error.to_string().contains("program `broken`"), "{error}");
        assert_eq!(tenant.usage().in_use, Bytes::ZERO, "a failed load holds nothing");
        lists_run_in_order(context);
    });
}

#[test]
fn an_oversized_slice_is_refused_by_name_on_software() {
    on_software(|context| {
        let limit = context.info().limits.max_binding.get();
        let tenant = tenant(context, Bytes::gib(8));
        let big = slice(0, limit + 4);
        let list = CommandList {
            name: "run".to_owned(),
            commands: vec![scale(1.0, big)],
        };
        let arena = Bytes(limit + 1024);
        let error = tenant
            .load(&Image {
                arena,
                lists: vec![list],
                ..image()
            })
            .expect_err("too large");
        let text = format!("this device binds up to {limit} bytes at once");
        assert!(
            error.to_string().contains(&text) && error.to_string().contains("`values`"),
            "{error}"
        );
    });
}

#[test]
fn a_destroyed_device_voids_everything_on_software() {
    let Some(context) = software() else { return };
    let tenant = tenant(&context, Bytes::MIB);
    let mut loaded = tenant.load(&image()).expect("loads");
    let data = words(&[1.0; 64]);
    let work = Work {
        list: Some(0),
        uploads: &[(A, &data)],
        reads: &[C],
    };
    let before = loaded.submit(work).expect("submits");
    context.destroy_device_for_test();
    assert!(context.is_lost());
    assert_eq!(
        before.wait().expect_err("of a dead epoch").class(),
        ErrorClass::DeviceLost
    );
    let error = loaded.submit(work).expect_err("gone");
    assert_eq!(
        (error.class(), error.is_retryable()),
        (ErrorClass::DeviceLost, true),
        "{error}"
    );
    assert_eq!(
        tenant.load(&image()).expect_err("gone").class(),
        ErrorClass::DeviceLost
    );
    drop(loaded);
    drop(tenant);
    let report = context.pool_report();
    assert_eq!(
        (report.in_use, report.cached),
        (Bytes::ZERO, Bytes::ZERO),
        "nothing of it is kept"
    );
    let again = context.reopen().expect("the driver is still there");
    assert_eq!(again.epoch().get(), context.epoch().get() + 1);
    lists_run_in_order(&again);
}

#[test]
fn a_device_lost_between_submissions_is_noticed_on_software() {
    let Some(context) = software() else { return };
    let tenant = tenant(&context, Bytes::MIB);
    let mut loaded = tenant.load(&image()).expect("loads");
    std::thread::scope(|scope| {
        let other = context.clone();
        scope.spawn(move || other.destroy_device_for_test());
        // Until the loss is noticed everything works; from then on nothing does, and nothing panics or hangs.
        let error = loop {
            let work = Work {
                list: Some(0),
                uploads: &[],
                reads: &[C],
            };
            if let Err(error) = loaded.submit(work).and_then(Ticket::wait) {
                break error;
            }
        };
        assert_eq!(error.class(), ErrorClass::DeviceLost, "{error}");
    });
}

#[test]
fn tenants_on_many_threads_share_the_software_device() {
    on_software(|context| {
        std::thread::scope(|scope| {
            for agent in 0..4_u8 {
                scope.spawn(move || {
                    let tenant = tenant(context, Bytes::MIB);
                    let mut loaded = tenant.load(&image()).expect("loads");
                    for round in 0..20_u8 {
                        let value = f32::from(agent) + f32::from(round) / 32.0;
                        let data = words(&[value; 64]);
                        let work = Work {
                            list: Some(0),
                            uploads: &[(A, &data)],
                            reads: &[C],
                        };
                        assert_eq!(wait(loaded.submit(work).expect("submits")), vec![2.0 * value; 64]);
                    }
                });
            }
        });
    });
}

mod pipelines;

#[test]
fn rising_pressure_climbs_the_ladder_on_software() {
    on_software(pressure::rising_pressure_climbs_the_ladder);
}

#[test]
fn nothing_is_refused_while_images_can_move_on_software() {
    let config = ContextConfig {
        device: DeviceChoice::Software,
        memory: pressure::room_for_two(),
        ..ContextConfig::default()
    };
    if software().is_some() {
        pressure::nothing_is_refused_while_images_can_move(&ComputeContext::open(&config).expect("opens"));
    }
}

#[test]
fn what_is_foreseen_counts_on_software() {
    on_software(pressure::what_is_foreseen_counts);
}

#[test]
fn the_ladder_acts_before_the_wall_on_software() {
    let mut config = ContextConfig::default();
    config.memory.capacity = Some(Bytes::mib(64));
    // Not all may go to the host.
    config.memory.max_spilled = Bytes::mib(4);
    if let Some(context) = software_with(config, Arc::new(SystemClock::new())) {
        pressure::the_ladder_acts_before_the_wall(&context);
    }
}

#[test]
fn a_silent_source_is_passed_over_on_software() {
    on_software(pressure::a_silent_source_is_passed_over);
}

#[test]
fn pages_fall_free_under_load_on_software() {
    on_software(moves::pages_fall_free_under_load);
}

#[test]
fn loans_within_the_capacity_fit_the_device_on_software() {
    let mut config = ContextConfig::default();
    config.memory.capacity = Some(Bytes::mib(16));
    config.memory.max_reserved = Some(Bytes::mib(16));
    if let Some(context) = software_with(config, Arc::new(SystemClock::new())) {
        pressure::loans_within_the_capacity_fit_the_device(&context);
    }
}

#[test]
fn what_is_made_ahead_is_there_on_software() {
    let mut config = ContextConfig::default();
    let sizes = [
        (64 << 10, 512),
        (1 << 20, 5 << 10),
        (16 << 20, 3 << 20),
        (48 << 20, 12 << 20),
    ];
    for (tier, (ahead, _)) in config.memory.tiers.iter_mut().zip(sizes) {
        tier.preallocate = Bytes(ahead);
    }
    if let Some(context) = software_with(config, Arc::new(SystemClock::new())) {
        pressure::what_is_made_ahead_is_there(&context, &sizes);
    }
}

#[test]
fn what_cannot_be_made_ahead_is_refused_by_name_on_software() {
    let Some(largest) = software().map(|context| context.info().limits.max_buffer) else {
        return;
    };
    let mut config = ContextConfig {
        device: DeviceChoice::Software,
        ..ContextConfig::default()
    };
    config.memory.tiers[4].preallocate = Bytes(largest.get() + 1);
    let error = ComputeContext::open(&config).expect_err("no buffer is as large");
    let DeviceError::Config(error) = error else {
        panic!("{error}");
    };
    assert_eq!(error.field, "memory.tiers[xlarge].preallocate");
    config.memory.tiers[4].preallocate = Bytes::mib(104);
    config.memory.max_reserved = Some(Bytes::mib(64));
    let error = ComputeContext::open(&config).expect_err("more than loans may be");
    let text = "`memory.tiers[xlarge].preallocate` is 104 MiB, allowed are 0 B";
    assert!(error.to_string().contains(text), "{error}");
}
