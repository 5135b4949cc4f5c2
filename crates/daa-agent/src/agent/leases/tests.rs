//! Leases that the ledger takes back: their holders leave, with their state saved, and go on under another lease.

use super::*;
use crate::agent::{AgentHandle, Task};
use crate::chain::Chain;
use crate::config::Schedule;
use crate::device::SharedDevice;
use crate::events::{Event, Observer};
use crate::folder::RunFolder;
use crate::order::Spec;
use crate::recorder::Recorder;
use crate::stop::StopHandle;
use daa_base::{AgentId, Clock, ManualClock, Millis, Seed, SystemClock, Timestamp, TrialId};
use daa_coord::Digest;
use daa_coord::ledger::reason::WithdrawReason;
use daa_gpu_core::injection::{Fault, Planned, Site};
use daa_gpu_core::{ContextConfig, DeviceChoice, Failover, TenantSpec, Weight};
use daa_kernels::Session;
use daa_learn::data::{Dataset, InputShape, Target};
use daa_learn::nn::{Architecture, OutputHead, Purpose, compile};
use daa_learn::search::{CandidateId, FinalSpec};
use daa_learn::train::{Optimizer, PreparedData, Schedule as RateSchedule, TrainConfig};
use tokio::sync::mpsc;

/// Hands every event on.
#[derive(Debug)]
struct Relay(mpsc::UnboundedSender<EventKind>);

impl Observer for Relay {
    fn observe(&self, event: &Event) {
        // Nobody listens any more once a test is over.
        let _ = self.0.send(event.kind.clone());
    }
}

/// One agent on one device, with a training that would take hours.
struct World {
    chain: Chain,
    agent: Agent,
    order: Arc<Order>,
    events: mpsc::UnboundedReceiver<EventKind>,
    stop: StopHandle,
    _dir: tempfile::TempDir,
}

async fn world() -> World {
    let dir = tempfile::tempdir().expect("a folder");
    let folder = Arc::new(RunFolder::create(&dir.path().join("run")).expect("made"));
    let clock: Arc<dyn Clock> = Arc::new(SystemClock::new());
    let mut schedule = Schedule::default();
    (schedule.agents, schedule.device, schedule.lease) = (1, DeviceChoice::Cpu, Millis(600_000));
    let device = Arc::new(SharedDevice::open(&schedule).expect("the host is always there"));
    let chain = Chain::start(Seed(1), &schedule, 8, device.capacity(), Arc::clone(&clock))
        .await
        .expect("starts");
    let (sender, events) = mpsc::unbounded_channel();
    let recorder =
        Recorder::new(Arc::clone(&folder), Arc::new(Relay(sender)), clock).expect("an empty folder");
    let stop = StopHandle::new();
    let agent = Agent {
        id: AgentId(1),
        client: chain.client(AgentId(1), schedule.patience).expect("registered"),
        device,
        device_id: crate::chain::DEVICE,
        crew: None,
        recorder: Arc::new(recorder),
        stop: stop.clone(),
        hold: schedule.lease,
        share: daa_base::Permille::WHOLE,
        patience: schedule.patience,
        delays: None,
        ran_on: None,
    };
    let order = Arc::new(long_order(&folder));
    World {
        chain,
        agent,
        order,
        events,
        stop,
        _dir: dir,
    }
}

fn long_order(folder: &RunFolder) -> Order {
    let input = InputShape::Flat { features: 2 };
    let features = (0..64_u8).map(|i| f32::from(i % 7)).collect();
    let labels = (0..32).map(|i| i % 2).collect();
    let dataset = Dataset::new(input, features, Target::Classes { labels, classes: 2 }).expect("valid");
    let architecture = Architecture::new(input, Vec::new(), OutputHead::Classes { count: 2 });
    let config = TrainConfig {
        epochs: 100_000,
        batch: 8,
        epoch_rows: None,
        optimizer: Optimizer::adam(1e-4),
        schedule: RateSchedule::Constant,
        patience: None,
        augment: None,
    };
    let network = compile(
        &architecture,
        config.batch,
        Purpose::Train(config.optimizer.kind()),
    )
    .expect("compiles");
    Order {
        work: Work::Final,
        spec: Spec::Final(FinalSpec {
            trial: TrialId(0),
            candidate: CandidateId(0),
            epochs: 100_000,
            score_micro: 0,
        }),
        architecture: architecture.to_string(),
        parameters: 6,
        network: Arc::new(network),
        data: Arc::new(PreparedData::new(Arc::new(dataset), (0..32).collect(), Vec::new()).expect("valid")),
        config,
        seed: Seed(1),
        from: None,
        dir: folder.work_dir(Work::Final).expect("made"),
        target_unit: 1.0,
    }
}

/// The next event that `wanted` picks, within the time that a loaded machine may take.
async fn next<T>(
    events: &mut mpsc::UnboundedReceiver<EventKind>,
    wanted: impl Fn(&EventKind) -> Option<T>,
) -> T {
    let found = async {
        loop {
            let event = events.recv().await.expect("the agent goes on telling");
            if let Some(found) = wanted(&event) {
                return found;
            }
        }
    };
    tokio::time::timeout(Duration::from_secs(60), found)
        .await
        .expect("the event comes")
}

const fn granted(event: &EventKind) -> Option<daa_base::LeaseId> {
    match event {
        EventKind::LeaseGranted { lease, .. } => Some(*lease),
        _ => None,
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_revoked_holder_saves_its_state_leaves_and_goes_on_under_another_lease() {
    let World {
        chain,
        agent,
        order,
        mut events,
        stop,
        _dir,
    } = world().await;
    let handle: AgentHandle = agent.spawn();
    let progress = order.progress_path();
    let task = Task::Train {
        order,
        decision: Digest::of(b"a decision"),
    };
    let operator = async {
        let lease = next(&mut events, granted).await;
        // Once it has trained for an epoch, so that there is something to save.
        next(&mut events, |event| {
            matches!(event, EventKind::EpochEnded { .. }).then_some(())
        })
        .await;
        let mut operator = chain.operator().expect("the operator has a key");
        let reason = ShortText::fitted("a test");
        operator
            .call(&Command::Revoke { lease, reason })
            .await
            .expect("the log answers");
        let ended = |event: &EventKind| match event {
            EventKind::LeaseEnded { lease: of, end, .. } if *of == lease => Some(*end),
            _ => None,
        };
        assert_eq!(next(&mut events, ended).await, LeaseEnd::Revoked);
        let reason = next(&mut events, |event| match event {
            EventKind::WorkYielded { reason, .. } => Some(reason.clone()),
            _ => None,
        })
        .await;
        assert!(reason.contains("revoked: a test"), "{reason}");
        assert!(progress.is_file(), "its state is saved");
        let again = next(&mut events, granted).await;
        assert!(
            again > lease,
            "it goes on under another lease: {again} after {lease}"
        );
        stop.stop("the test is over");
    };
    let (end, ()) = tokio::join!(handle.give(task), operator);
    assert_eq!(end.expect("no error"), TaskEnd::Stopped);
    handle.finish().await.expect("the agent ends");
    chain.shutdown();
}

#[tokio::test]
async fn only_the_end_of_its_own_lease_makes_a_holder_leave() {
    let World { chain, mut agent, .. } = world().await;
    let bytes = Bytes::MIB;
    let mut lease = agent
        .acquire(Work::Final, bytes)
        .await
        .expect("no error")
        .expect("granted");
    let other = Lease {
        id: daa_base::LeaseId(999),
        ..lease.clone()
    };
    let expired = |lease: &Lease| Signal::Event(LedgerEvent::LeaseExpired { lease: lease.clone() });
    let revoked = |lease: &Lease| {
        Signal::Event(LedgerEvent::LeaseRevoked {
            lease: lease.clone(),
            seq: 1,
            reason: ShortText::fitted("why"),
        })
    };
    let withdrawn = |lease: &Lease| {
        Signal::Event(LedgerEvent::LeaseWithdrawn {
            lease: lease.clone(),
            reason: WithdrawReason::HolderGone,
        })
    };
    for (signal, wanted) in [
        (expired(&other), None),
        (revoked(&other), None),
        (withdrawn(&other), None),
        (Signal::Resynced, None),
        (expired(&lease), Some(LeaseEnd::Expired)),
        (revoked(&lease), Some(LeaseEnd::Revoked)),
        (withdrawn(&lease), Some(LeaseEnd::Revoked)),
    ] {
        let mut ending = Ending::default();
        let why = agent.lease_signal(signal.clone(), &mut lease, &mut ending);
        assert_eq!(
            (why.is_some(), ending.over),
            (wanted.is_some(), wanted),
            "{signal:?}"
        );
    }
    let shrunk = Lease {
        bytes: Bytes(1),
        ..lease.clone()
    };
    let changed = Signal::Event(LedgerEvent::LeaseChanged {
        lease: shrunk.clone(),
        before: lease.clone(),
    });
    let (mut held, mut ending) = (lease.clone(), Ending::default());
    let why = agent.lease_signal(changed, &mut held, &mut ending);
    assert_eq!((why.is_some(), ending.over, held), (true, None, shrunk));
    agent
        .give_back(&lease, LeaseEnd::Released, Bytes::ZERO)
        .await
        .expect("given back");
    let mut ending = Ending::default();
    let why = agent.lease_signal(Signal::Resynced, &mut lease, &mut ending);
    assert!(
        why.is_some(),
        "after a gap, a lease that the ledger does not know has ended"
    );
    chain.shutdown();
}

/// The host in the part of a device that another host context stands in for.
fn breakable(clock: &Arc<ManualClock>) -> (ComputeContext, Arc<SharedDevice>) {
    let config = ContextConfig {
        device: DeviceChoice::Cpu,
        cpu_workers: 1,
        ..ContextConfig::default()
    };
    let context = ComputeContext::open(&config).expect("the host is always there");
    let of_device: Arc<dyn Clock> = clock.clone();
    let device =
        SharedDevice::over(context.clone(), of_device, Failover::as_device_for_test).expect("shared");
    (context, Arc::new(device))
}

/// An order of a few dozen steps.
fn short_order(long: &Order) -> Order {
    Order {
        work: Work::Final,
        spec: Spec::Final(FinalSpec {
            trial: TrialId(0),
            candidate: CandidateId(0),
            epochs: 100_000,
            score_micro: 0,
        }),
        architecture: long.architecture.clone(),
        parameters: long.parameters,
        network: Arc::clone(&long.network),
        data: Arc::clone(&long.data),
        config: TrainConfig {
            epochs: 20,
            ..long.config.clone()
        },
        seed: long.seed,
        from: None,
        dir: long.dir.clone(),
        target_unit: 1.0,
    }
}

/// Trains `order` under a lease on `device`, on its own chain and agent.
async fn train_on(device: &Arc<SharedDevice>, world: &mut World, order: &Arc<Order>) -> TrainState {
    world.agent.device = Arc::clone(device);
    let carried = world.agent.carry_out(order).await.expect("the work ends");
    match carried {
        Carried::Finished { outcome, state } => {
            assert_eq!(outcome, Outcome::Finished);
            *state
        }
        Carried::Stopped => panic!("nobody asked to stop"),
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn work_leaves_a_failing_device_and_comes_back_and_says_so() {
    let mut world = world().await;
    let order = Arc::new(short_order(&world.order));
    let clock = Arc::new(ManualClock::new(Timestamp(0)));
    let (_, healthy) = breakable(&clock);
    let whole = train_on(&healthy, &mut world, &order).await;
    let (context, device) = breakable(&clock);
    context.inject_for_test(&[Planned {
        site: Site::Submit,
        after: 30,
        fault: Fault::DestroyDuring,
    }]);
    while world.events.try_recv().is_ok() {}
    let state = train_on(&device, &mut world, &order).await;
    assert!(
        state.is_bitwise(&whole),
        "both sides are the host, so nothing differs"
    );
    let error = next(&mut world.events, |event| match event {
        EventKind::DeviceFailed { error, fallback } => Some(format!("{error} {fallback}")),
        _ => None,
    })
    .await;
    assert!(
        error.contains("lost") && error.contains("the host CPU"),
        "{error}"
    );
    let ended = |event: &EventKind| match event {
        EventKind::LeaseEnded {
            bytes, high_water, ..
        } => Some((*bytes, *high_water)),
        _ => None,
    };
    let (bytes, high_water) = next(&mut world.events, ended).await;
    assert_eq!(high_water, bytes, "one plan, wherever it is loaded");
    clock.advance(Duration::from_secs(600));
    let state = train_on(&device, &mut world, &order).await;
    assert!(state.is_bitwise(&whole));
    let back = next(&mut world.events, |event| match event {
        EventKind::DeviceReturned { reason, .. } => Some(reason.clone()),
        _ => None,
    })
    .await;
    assert!(back.contains("probe"), "{back}");
    world.chain.shutdown();
}

/// A short job, such as the test of a model, is done again on the host.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_short_job_is_repeated_where_the_device_says() {
    let mut world = world().await;
    let clock = Arc::new(ManualClock::new(Timestamp(0)));
    let (context, device) = breakable(&clock);
    world.agent.device = device;
    let (of_job, network) = (context.clone(), Arc::clone(&world.order.network));
    let bytes = network.peak_bytes();
    let job: Arc<LeasedJob> = Arc::new(move |lease, context| {
        of_job.destroy_device_for_test();
        let tenant = context.tenant(TenantSpec {
            name: "short".to_owned(),
            budget: lease.bytes,
            token: lease.token,
            weight: Weight::default(),
        })?;
        drop(Session::load(&tenant, Arc::clone(network.plan()))?);
        Ok(tenant.usage().high_water)
    });
    let end = world
        .agent
        .leased(Work::Test, bytes, &job)
        .await
        .expect("the host does it");
    assert_eq!(end, TaskEnd::Done);
    let first = next(&mut world.events, granted).await;
    let error = next(&mut world.events, |event| match event {
        EventKind::DeviceFailed { error, .. } => Some(error.clone()),
        _ => None,
    })
    .await;
    assert!(error.contains("lost"), "{error}");
    assert!(
        next(&mut world.events, granted).await > first,
        "under a lease of its own"
    );
    world.chain.shutdown();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_job_that_panics_leaves_no_lease_behind() {
    let World {
        chain,
        mut agent,
        mut events,
        ..
    } = world().await;
    let job: Arc<LeasedJob> = Arc::new(|_, _| panic!("on purpose"));
    let error = agent
        .leased(Work::Test, Bytes::MIB, &job)
        .await
        .expect_err("the panic is an error");
    assert!(matches!(error, AgentError::Internal { .. }), "{error}");
    let lease = next(&mut events, granted).await;
    next(&mut events, |event| {
        matches!(event, EventKind::LeaseEnded { lease: of, .. } if *of == lease).then_some(())
    })
    .await;
    assert_eq!(agent.client.node().view(|ledger| ledger.leases().count()), 0);
    chain.shutdown();
}
