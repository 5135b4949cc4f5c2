//! The same bodies run with the host in the part of the device and, where there is one, on a software device.

use super::*;
use crate::config::ContextConfig;
use crate::image::{Clear, Command, CommandList, Dispatch, Image, Slice};
use crate::injection::{Fault, Planned, Site};
use crate::probe::Expected;
use crate::program::samples::{IN_OUT, sample};
use crate::program::{Access, BindingSpec, HostCall, Program};
use crate::schedule::Weight;
use crate::tenant::{Loaded, Tenant, TenantSpec, Work};
use daa_base::{Bytes, FencingToken, ManualClock, Permille, Seed, Timestamp};

fn double(mut call: HostCall<'_>) {
    let reads = call.reads.remove(0);
    for (out, value) in call.writes[0].iter_mut().zip(reads) {
        *out = value.wrapping_mul(2);
    }
}

/// `out = 2 · values`, in whole numbers.
static DOUBLE: Program = sample(
    "double",
    "@group(0) @binding(0) var<storage, read_write> values: array<u32>;
        @group(0) @binding(1) var<storage, read_write> out: array<u32>;
        @compute @workgroup_size(64) fn main(@builtin(global_invocation_id) id: vec3<u32>) {
            if id.x < arrayLength(&out) { out[id.x] = values[id.x] * 2u; }
        }",
    IN_OUT,
    double,
);

fn probe_expecting(first: u32) -> Probe {
    let values: Vec<u32> = (0..64).collect();
    let mut doubled: Vec<u32> = values.iter().map(|value| value * 2).collect();
    doubled[0] = first;
    let bindings = [values, vec![0; 64]];
    Probe::new(&DOUBLE, vec![], [1, 1, 1], &bindings, 1, Expected::Exact(doubled))
        .expect("it fits the program")
}

const fn ms(millis: u64) -> Duration {
    Duration::from_millis(millis)
}

/// A failover whose clock is turned by hand.
struct World {
    failover: Failover,
    clock: Arc<ManualClock>,
}

fn world_on(primary: ComputeContext, probe: Probe) -> World {
    let clock = Arc::new(ManualClock::new(Timestamp(0)));
    let breaker = BreakerConfig {
        base: ms(100),
        cap: ms(10_000),
        jitter: Permille::ZERO,
        ..BreakerConfig::default()
    };
    let rng = Seed(1).stream("failover test").rng();
    let of_failover: Arc<dyn Clock> = clock.clone();
    let failover = Failover::new(primary, breaker, probe, of_failover, rng).expect("in range");
    World {
        failover: failover.as_device_for_test(),
        clock,
    }
}

fn config(device: DeviceChoice) -> ContextConfig {
    let mut config = ContextConfig {
        device,
        cpu_workers: 1,
        ..ContextConfig::default()
    };
    config.memory.capacity = Some(Bytes::mib(64));
    config
}

#[expect(clippy::print_stderr, reason = "a test that does not run must say why")]
fn software() -> Option<ComputeContext> {
    match ComputeContext::open(&config(DeviceChoice::Software)) {
        Ok(context) => Some(context),
        Err(error) => {
            let required = std::env::var("DAA_REQUIRE_SOFTWARE_GPU").is_ok_and(|value| value == "1");
            assert!(!required, "DAA_REQUIRE_SOFTWARE_GPU is 1, but: {error}");
            eprintln!("not run: {error}");
            None
        }
    }
}

fn host() -> ComputeContext {
    ComputeContext::open(&config(DeviceChoice::Cpu)).expect("the host is there")
}

/// Runs `body` with the host as the device, and then on the software device.
fn on_both(body: impl Fn(World)) {
    body(world_on(host(), probe_expecting(0)));
    if let Some(context) = software() {
        body(world_on(context, probe_expecting(0)));
    }
}

const VALUES: Slice = Slice {
    offset: 0,
    bytes: 256,
};
const OUT: Slice = Slice {
    offset: 256,
    bytes: 256,
};

fn image() -> Image {
    let dispatch = Dispatch {
        program: &DOUBLE,
        params: vec![],
        bindings: vec![VALUES, OUT],
        groups: [1, 1, 1],
    };
    Image {
        arena: Bytes(512),
        constants: Bytes::ZERO,
        clear: Clear::Always,
        lists: vec![CommandList {
            name: "double".to_owned(),
            commands: vec![Command::Dispatch(dispatch)],
        }],
        upload: Bytes(512),
        upload_ring: 2,
        readback: Bytes(512),
    }
}

fn load(context: &ComputeContext) -> Result<(Tenant, Loaded), GpuError> {
    let tenant = context.tenant(TenantSpec {
        name: "work".to_owned(),
        budget: image().footprint(),
        token: FencingToken(3),
        weight: Weight::default(),
    })?;
    let loaded = tenant.load(&image())?;
    Ok((tenant, loaded))
}

/// Doubles 64 threes, if the device does.
fn compute(context: &ComputeContext) -> Result<Vec<u32>, GpuError> {
    let (_tenant, mut loaded) = load(context)?;
    let bytes: Vec<u8> = [3_u32; 64].iter().flat_map(|word| word.to_le_bytes()).collect();
    let work = Work {
        list: Some(0),
        uploads: &[(VALUES, &bytes)],
        reads: &[OUT],
    };
    Ok(bytemuck::pod_collect_to_vec(&loaded.submit(work)?.wait()?))
}

/// Acquires, computes, reports.
fn work(world: &World) -> (Role, Result<(), ErrorClass>, Option<Switch>) {
    let acquired = world.failover.acquire().expect("there is always the host");
    let outcome = compute(&acquired.context);
    if let Ok(words) = &outcome {
        assert_eq!(*words, [6; 64], "on {}", acquired.role);
    }
    let switch = world
        .failover
        .report(&acquired.context, outcome.as_ref().map(drop));
    (
        acquired.role,
        outcome.map(drop).map_err(|error| error.class()),
        switch,
    )
}

const fn at(site: Site, after: u64, fault: Fault) -> Planned {
    Planned { site, after, fault }
}

#[test]
fn a_lost_software_or_host_device_is_left_and_comes_back_as_the_next_epoch() {
    on_both(|world| {
        assert_eq!(work(&world), (Role::Primary, Ok(()), None));
        let first = world.failover.acquire().expect("it is there").context;
        first.inject_for_test(&[at(Site::Submit, 0, Fault::DestroyDuring)]);
        let (role, outcome, switch) = work(&world);
        assert_eq!((role, outcome), (Role::Primary, Err(ErrorClass::DeviceLost)));
        assert_eq!(switch.expect("the work moves").to, Role::Host);
        assert_eq!(work(&world).0, Role::Host);
        world.clock.advance(ms(99));
        assert!(!world.failover.is_due());
        assert_eq!(world.failover.tick(), None);
        world.clock.advance(ms(1));
        assert!(world.failover.is_due());
        assert_eq!(world.failover.tick().expect("the probe passes").to, Role::Primary);
        let acquired = world.failover.acquire().expect("it is back");
        assert_eq!((acquired.role, acquired.why), (Role::Primary, Why::Healthy));
        assert_eq!(acquired.context.epoch().get(), first.epoch().get() + 1);
        assert_eq!(work(&world), (Role::Primary, Ok(()), None));
        let counts = world.failover.counts();
        assert_eq!(
            (counts.openings, counts.probes_passed, counts.reopened),
            (1, 1, 1)
        );
    });
}

#[test]
fn results_of_a_dead_epoch_are_never_handed_out_on_software_or_host() {
    on_both(|world| {
        let context = world.failover.acquire().expect("it is there").context;
        for fault in [Fault::DestroyAfter, Fault::DestroyDuring, Fault::DestroyBefore] {
            let context = if context.is_lost() {
                context.reopen().expect("it opens")
            } else {
                context.clone()
            };
            context.inject_for_test(&[at(Site::Submit, 0, fault)]);
            let error = compute(&context).expect_err("the device is gone");
            assert_eq!(error.class(), ErrorClass::DeviceLost, "{fault:?}: {error}");
            assert_eq!(context.struck_for_test().len(), 1);
        }
    });
}

#[test]
fn wrong_answers_end_the_epoch_on_software_or_host() {
    on_both(|world| {
        let context = world.failover.acquire().expect("it is there").context;
        let (_tenant, mut loaded) = load(&context).expect("it loads");
        let pending = loaded
            .submit(Work {
                list: Some(0),
                reads: &[OUT],
                ..Work::default()
            })
            .expect("it is healthy");
        let wrong = GpuError::Corruption {
            message: "found by a test".to_owned(),
        };
        let switch = world.failover.report(&context, Err(&wrong)).expect("at once");
        assert!(switch.reason.contains("found by a test"), "{switch:?}");
        // Other work on the device may be wrong as well.
        let error = pending.wait().expect_err("void");
        assert_eq!(error.class(), ErrorClass::DeviceLost, "{error}");
        assert!(
            world.failover.report(&context, Err(&error)).is_none(),
            "told twice, counted once"
        );
        assert_eq!(world.failover.counts().openings, 1);
    });
}

#[test]
fn probes_that_fail_double_the_wait_and_open_a_new_epoch_on_software_or_host() {
    on_both(|world| {
        let context = world.failover.acquire().expect("it is there").context;
        context.inject_for_test(&[
            at(Site::Reopen, 0, Fault::SayRefused),
            at(Site::Probe, 0, Fault::FlipBit { word: 5, bit: 4 }),
            at(Site::Load, 1, Fault::SayOutOfMemory),
        ]);
        context.destroy_device_for_test();
        let acquired = world.failover.acquire().expect("the host steps in");
        assert_eq!(acquired.role, Role::Host);
        assert!(acquired.switch.is_some(), "nobody had told");
        assert!(
            matches!(acquired.why, Why::Broken { class: ErrorClass::DeviceLost, probe_at } if probe_at == ms(100))
        );
        let mut at = 0;
        for wait in [100, 200, 400] {
            at += wait;
            world.clock.advance(ms(wait - 1));
            assert_eq!(world.failover.tick(), None, "not yet");
            assert_eq!(world.failover.next_probe(), Some(ms(at)));
            world.clock.advance(ms(1));
            assert_eq!(world.failover.tick(), None, "the probe fails");
            assert_eq!(work(&world).0, Role::Host);
        }
        assert_eq!(
            context.struck_for_test().len(),
            3,
            "refused, wrong answer, out of memory"
        );
        world.clock.advance(ms(800));
        assert_eq!(world.failover.tick().expect("all is well").to, Role::Primary);
        assert_eq!(work(&world), (Role::Primary, Ok(()), None));
        let counts = world.failover.counts();
        assert_eq!((counts.probes_failed, counts.probes_passed), (3, 1));
        let epoch = world.failover.acquire().expect("it is there").context.epoch();
        assert_eq!(
            epoch.get(),
            context.epoch().get() + 4,
            "every attempt is an epoch of its own"
        );
    });
}

#[test]
fn a_probe_with_another_answer_keeps_the_device_out() {
    let world = world_on(host(), probe_expecting(1));
    world
        .failover
        .acquire()
        .expect("it is there")
        .context
        .destroy_device_for_test();
    assert_eq!(world.failover.acquire().expect("the host").role, Role::Host);
    world.clock.advance(ms(100));
    assert_eq!(world.failover.tick(), None);
    let again = world.failover.next_probe().expect("it stays open");
    assert_eq!(again, ms(300));
}

#[test]
fn timeouts_count_in_a_row_and_the_pool_never_on_software_or_host() {
    on_both(|world| {
        let context = world.failover.acquire().expect("it is there").context;
        for round in 0..5 {
            let poor = TenantSpec {
                name: "poor".to_owned(),
                budget: Bytes(1),
                token: FencingToken(4),
                weight: Weight::default(),
            };
            let refused = context
                .tenant(poor)
                .expect("opens")
                .load(&image())
                .expect_err("too poor");
            assert_eq!(
                world.failover.report(&context, Err(&refused)),
                None,
                "round {round}"
            );
        }
        context.inject_for_test(&[
            at(Site::Submit, 0, Fault::SayTimeout),
            at(Site::Submit, 1, Fault::SayTimeout),
            at(Site::Submit, 3, Fault::SayTimeout),
            at(Site::Submit, 4, Fault::SayTimeout),
            at(Site::Submit, 5, Fault::SayTimeout),
        ]);
        for wanted in [true, true, false, true, true] {
            let (role, outcome, switch) = work(&world);
            assert_eq!((role, outcome.is_err(), switch), (Role::Primary, wanted, None));
        }
        let (_, outcome, switch) = work(&world);
        assert_eq!(outcome, Err(ErrorClass::Timeout));
        assert_eq!(switch.expect("the third in a row").to, Role::Host);
        assert!(!context.is_lost(), "its epoch goes on");
        world.clock.advance(ms(100));
        assert_eq!(world.failover.tick().expect("the probe passes").to, Role::Primary);
        assert_eq!(world.failover.counts().reopened, 0);
    });
}

#[test]
fn a_fence_holds_on_the_device_the_host_and_later_epochs() {
    let world = world_on(host(), probe_expecting(0));
    let context = world.failover.acquire().expect("it is there").context;
    context.fence(FencingToken(3));
    let other = world.failover.ask(Role::Host).expect("it opens").context;
    assert!(!other.is_same(&context));
    let error = load(&other).expect_err("fenced");
    assert_eq!(error.class(), ErrorClass::Validation, "{error}");
    context.destroy_device_for_test();
    let later = world.failover.ask(Role::Primary).expect("it opens").context;
    assert!(!later.is_lost() && !later.is_same(&context));
    assert!(load(&later).is_err());
}

#[test]
fn a_run_on_the_host_alone_has_nothing_to_fall_back_to() {
    let World { mut failover, clock } = world_on(host(), probe_expecting(0));
    failover.is_sole = true;
    let first = failover.acquire().expect("it is there").context;
    first.destroy_device_for_test();
    let acquired = failover.acquire().expect("it opens again");
    assert_eq!((acquired.role, acquired.switch), (Role::Primary, None));
    assert_eq!(compute(&acquired.context).expect("it works"), [6; 64]);
    clock.advance(Duration::from_secs(3600));
    assert!(!failover.is_due() && failover.tick().is_none());
}

fn spin(mut call: HostCall<'_>) {
    // As long as the other form, which the host never runs in these tests.
    call.writes[0].fill(0);
}

/// Computes for a good while on a software device: no invocation loops longer than its driver lets it.
static SPIN: Program = Program {
    name: "spin",
    wgsl: "@group(0) @binding(0) var<storage, read_write> out: array<u32>;
        @compute @workgroup_size(64) fn main(@builtin(global_invocation_id) id: vec3<u32>) {
            var x = id.x;
            for (var i = 0u; i < 60000u; i++) { x = (x ^ (x << 13u)) * 1664525u + i; }
            out[id.x % arrayLength(&out)] = x;
        }",
    entry: "main",
    workgroup_size: [64, 1, 1],
    bindings: &[BindingSpec {
        name: "out",
        access: Access::ReadWrite,
    }],
    params_words: 0,
    host: spin,
};

/// A real dispatch that takes longer than the deadline, three times in a row.
#[test]
fn dispatches_beyond_their_deadline_open_the_breaker_on_software() {
    let Some(context) = software() else { return };
    let world = world_on(context.clone(), probe_expecting(0));
    let dispatch = Dispatch {
        program: &SPIN,
        params: vec![],
        bindings: vec![VALUES],
        groups: [300, 1, 1],
    };
    let mut long = image();
    long.lists[0].commands = vec![Command::Dispatch(dispatch)];
    let tenant = context
        .tenant(TenantSpec {
            name: "long".to_owned(),
            budget: long.footprint(),
            token: FencingToken(9),
            weight: Weight::default(),
        })
        .expect("opens");
    let mut loaded = tenant.load(&long).expect("loads");
    let run = Work {
        list: Some(0),
        ..Work::default()
    };
    for round in 1..=3 {
        let error = loaded
            .submit(run)
            .and_then(|ticket| ticket.wait_within(ms(5)))
            .expect_err("it takes longer than its deadline");
        assert_eq!(error.class(), ErrorClass::Timeout, "{error}");
        let switch = world.failover.report(&context, Err(&error));
        assert_eq!(switch.map(|switch| switch.to), (round == 3).then_some(Role::Host));
    }
    assert!(!context.is_lost(), "slow is not gone");
    assert_eq!(work(&world).0, Role::Host);
}
