//! Turns on the host, with time that passes only where a host function says so.

use super::*;
use crate::Weight;
use daa_base::{Clock, ManualClock, Timestamp};
use std::sync::{Arc, LazyLock, Mutex, PoisonError};

/// One test's clock, gate and record of what ran; host functions capture nothing, so each test has statics of its own.
struct Stage {
    clock: Arc<ManualClock>,
    gate: Gate,
    began: Gate,
    ran: Mutex<Vec<(usize, Duration)>>,
}

impl Stage {
    fn new() -> Self {
        Self {
            clock: Arc::new(ManualClock::new(Timestamp(0))),
            gate: Gate::new(),
            began: Gate::new(),
            ran: Mutex::default(),
        }
    }

    fn hold(&self) {
        self.began.open.send(()).expect("the gate is static");
        self.gate.opened.recv().expect("the gate is static");
    }

    fn open(&self) {
        self.gate.open.send(()).expect("the gate is static");
    }

    fn spend(&self, who: usize, cost: Duration) {
        self.clock.advance(cost);
        self.ran
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .push((who, cost));
    }

    /// One worker, whose time is this stage's.
    fn context(&self) -> ComputeContext {
        let config = ContextConfig {
            device: crate::DeviceChoice::Cpu,
            cpu_workers: 1,
            ..ContextConfig::default()
        };
        let clock: Arc<dyn Clock> = Arc::clone(&self.clock) as _;
        ComputeContext::open_with_clock(&config, clock).expect("the host is there")
    }
}

fn weighing(context: &ComputeContext, name: &str, weight: u16) -> Tenant {
    context
        .tenant(TenantSpec {
            name: name.to_owned(),
            budget: Bytes::MIB,
            token: FencingToken(0),
            weight: Weight::new(weight).expect("in range"),
        })
        .expect("opens")
}

/// Three tenants with everything queued before the first turn: while all have work left, each has had the part of the
/// worker's time that its weight says, though a turn of one takes ten times as long as another's.
#[test]
fn busy_tenants_share_a_worker_by_weight() {
    static STAGE: LazyLock<Stage> = LazyLock::new(Stage::new);
    static HELD: Program = in_place("held", |_| STAGE.hold());
    static PROGRAMS: [Program; 3] = [
        in_place("short", |_| STAGE.spend(0, Duration::from_micros(200))),
        in_place("middle", |_| STAGE.spend(1, Duration::from_micros(700))),
        in_place("long", |_| STAGE.spend(2, Duration::from_millis(2))),
    ];
    const WEIGHTS: [u16; 3] = [500, 300, 200];
    let context = STAGE.context();
    let first = weighing(&context, "first", 1000);
    let mut gate = first.load(&alone(&HELD)).expect("loads");
    let held = gate.submit(list(0)).expect("submits");
    let tenants = WEIGHTS.map(|weight| weighing(&context, "busy", weight));
    let mut loaded: Vec<_> = (0..3)
        .map(|who| tenants[who].load(&alone(&PROGRAMS[who])).expect("loads"))
        .collect();
    let mut tickets = vec![held];
    for _ in 0..200 {
        tickets.extend(
            loaded
                .iter_mut()
                .map(|loaded| loaded.submit(list(0)).expect("submits")),
        );
    }
    STAGE.open();
    for ticket in tickets {
        ticket.wait().expect("runs");
    }
    let ran = STAGE.ran.lock().unwrap_or_else(PoisonError::into_inner);
    let (mut left, mut busy) = ([200; 3], [Duration::ZERO; 3]);
    for &(who, cost) in &*ran {
        left[who] -= 1;
        busy[who] += cost;
        if left[who] == 0 {
            break;
        }
    }
    let whole: Duration = busy.iter().sum();
    for (who, weight) in WEIGHTS.into_iter().enumerate() {
        let share = busy[who].as_secs_f64() / whole.as_secs_f64();
        let want = f64::from(weight) / 1000.0;
        assert!(
            (share - want).abs() < 0.05,
            "{who} had {share} of the time, its weight is {want}"
        );
    }
    // And the report says what ran.
    let load = context.load();
    let spent: Duration = ran.iter().map(|&(_, cost)| cost).sum();
    assert_eq!((load.busy, load.wall, load.lanes), (spent, spent, 1));
    assert!((load.busy_fraction() - 1.0).abs() < 1e-9);
    for (who, tenant) in tenants.iter().enumerate() {
        let took: Duration = ran.iter().filter(|ran| ran.0 == who).map(|ran| ran.1).sum();
        assert_eq!(tenant.usage().busy, took);
        assert_eq!(
            (load.tenants[who + 1].busy, load.tenants[who + 1].weight),
            (took, tenant.weight())
        );
    }
    drop(tenants);
    let after = context.load();
    assert_eq!(
        (after.tenants.len(), after.busy),
        (1, spent),
        "time of tenants that are gone still counts"
    );
}

/// What was queued when the lease ended is refused when its turn comes, and its image with it.
#[test]
fn queued_work_of_a_revoked_tenant_is_refused_at_its_turn() {
    static STAGE: LazyLock<Stage> = LazyLock::new(Stage::new);
    static HELD: Program = in_place("held", |_| STAGE.hold());
    static RUNS: Program = in_place("runs", |mut call| {
        call.writes[0][0] = 1;
        STAGE.spend(0, Duration::from_micros(1));
    });
    let context = STAGE.context();
    let holder = weighing(&context, "holder", 1000);
    let mut gate = holder.load(&alone(&HELD)).expect("loads");
    let tenant = tenant(&context, Bytes::MIB);
    let mut run = tenant.load(&alone(&RUNS)).expect("loads");
    let mut uploaded = tenant.load(&alone(&RUNS)).expect("loads");
    let mut kept = tenant.load(&alone(&RUNS)).expect("loads");
    kept.submit(list(0)).expect("submits").wait().expect("runs");
    let held = gate.submit(list(0)).expect("submits");
    let data = [7; 256];
    let refused = [
        run.submit(list(0)).expect("submits"),
        run.submit(read(&[A])).expect("submits"),
        uploaded.submit(upload(&[(A, &data)])).expect("submits"),
    ];
    let saved = kept.submit(read(&[slice(0, 4)])).expect("submits");
    context.fence(FencingToken(7));
    STAGE.open();
    held.wait().expect("its turn had come");
    for ticket in refused {
        assert_eq!(ticket.wait().expect_err("fenced"), stale(7));
    }
    assert_eq!(
        saved.wait().expect("nothing of this image was refused"),
        1_u32.to_le_bytes()
    );
    for loaded in [&mut run, &mut uploaded] {
        assert_eq!(loaded.submit(read(&[A])).expect_err("it lacks work"), stale(7));
    }
    wait(kept.submit(read(&[A])).expect("reading is still allowed"));
    assert_eq!(
        STAGE.ran.lock().unwrap_or_else(PoisonError::into_inner).len(),
        1,
        "nothing refused was done"
    );
    drop((run, uploaded, kept));
    assert_eq!(tenant.usage().in_use, Bytes::ZERO);
}

/// Dropping a tenant does not wait for work that nobody may see.
#[test]
fn queued_work_of_a_dropped_tenant_is_refused_at_its_turn() {
    static STAGE: LazyLock<Stage> = LazyLock::new(Stage::new);
    static HELD: Program = in_place("held", |_| STAGE.hold());
    let context = STAGE.context();
    let tenant = tenant(&context, Bytes::MIB);
    let mut loaded = tenant.load(&alone(&HELD)).expect("loads");
    let began = loaded.submit(list(0)).expect("submits");
    let queued = [list(0), read(&[A])].map(|work| loaded.submit(work).expect("submits"));
    STAGE.began.opened.recv().expect("the gate is static");
    std::thread::scope(|scope| {
        let dropping = scope.spawn(|| drop(tenant));
        STAGE.open();
        // The second may have begun before the tenant was dropped; it must not hang.
        STAGE.open();
        dropping.join().expect("drops");
    });
    began.wait().expect("its turn had come");
    for ticket in queued {
        if let Err(error) = ticket.wait() {
            assert_eq!(error, stale(7));
        }
    }
    assert_eq!(context.pool_report().in_use, Bytes::ZERO);
}

/// The worker that has nothing to do helps with a call that says that two could do it, and what both write is there.
#[test]
fn idle_workers_help_with_one_call() {
    static MEET: LazyLock<std::sync::Barrier> = LazyLock::new(|| std::sync::Barrier::new(2));
    static ROUND: AtomicUsize = AtomicUsize::new(0);
    static SHARED: Program = in_place("shared", |mut call| {
        let round = ROUND.fetch_add(1, Ordering::Relaxed);
        // Of the first call nobody knows what it could use; from the next on, the other worker comes.
        while call.scratch.hands(2) < 2 && round > 0 {
            std::thread::yield_now();
        }
        let words = std::mem::take(&mut call.writes).remove(0);
        let half = words.len().div_ceil(2);
        call.scratch
            .spread(words.chunks_mut(half).collect(), |part: &mut [u32], _| {
                part.iter_mut().for_each(|word| *word += 1);
            });
        if round == 0 {
            return;
        }
        // Until another worker has taken one of two parts, which hold each other up.
        call.scratch.spread(vec![(), ()], |(), _| {
            MEET.wait();
        });
    });
    let config = ContextConfig {
        device: crate::DeviceChoice::Cpu,
        cpu_workers: 2,
        ..ContextConfig::default()
    };
    let context = ComputeContext::open(&config).expect("the host is there");
    let tenant = tenant(&context, Bytes::MIB);
    let mut loaded = tenant.load(&alone(&SHARED)).expect("loads");
    loaded.submit(list(0)).expect("submits").wait().expect("runs");
    loaded.submit(list(0)).expect("submits").wait().expect("runs");
    let bytes = loaded.submit(read(&[A])).expect("submits").wait().expect("runs");
    let words = bytemuck::pod_collect_to_vec::<u8, u32>(&bytes);
    assert!(words.iter().all(|&word| word == 2), "{words:?}");
}

/// A part that panics fails its image.
#[test]
fn a_part_that_panics_fails_its_image() {
    static FAILS: Program = in_place("fails", |call| {
        call.scratch
            .spread(vec![0, 1], |part, _| assert!(part == 0, "in part {part}"));
    });
    let context = host();
    let tenant = tenant(&context, Bytes::MIB);
    let mut loaded = tenant.load(&alone(&FAILS)).expect("loads");
    let error = loaded
        .submit(list(0))
        .expect("submits")
        .wait()
        .expect_err("fails");
    assert!(error.to_string().contains("in part 1"), "{error}");
    assert!(loaded.submit(read(&[A])).is_err(), "its memory is half written");
}
