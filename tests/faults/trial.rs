//! One schedule: the training with its faults, and the one without that it must equal.

use crate::schedule::{LABELS, Schedule, label_of};
use daa_base::{Clock, FencingToken, ManualClock, Permille, Seed, Timestamp};
use daa_gpu_core::injection::Planned;
use daa_gpu_core::{
    BreakerConfig, Bytes, ComputeContext, ContextConfig, DeviceChoice, DeviceError, Failover, Role,
    TenantSpec, Weight,
};
use daa_kernels::Runner;
use daa_kernels::activation::Activation;
use daa_learn::data::InputShape;
use daa_learn::nn::Layer;
use daa_learn::train::{Control, Optimizer, Outcome, PreparedData, RunHistory, TrainState};
use daa_tests::training::Course;
use std::fmt;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::time::Duration;

/// Rows that one epoch trains on and validates on.
const ROWS: [usize; 2] = [192, 64];

/// Steps of the training: three epochs of six training and two validation steps, 32 rows each.
const STEPS: u64 = 24;

/// A device that takes part, and the one that is never harmed.
pub(crate) struct Trials {
    course: Course,
    harmed: ComputeContext,
    clean: Runner,
    is_host: bool,
}

/// What came of one schedule.
pub(crate) struct Ran {
    planned: Vec<Planned>,
    struck: Vec<Planned>,
    fate: Fate,
}

/// Where the work went.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Fate {
    /// It was repeated on the device, or had nothing to repeat.
    Stayed,
    /// It went to the host and came back.
    CameBack,
    /// It went to the host, and the training ended there.
    EndedOnHost,
}

fn layers(_: InputShape) -> Vec<Layer> {
    vec![
        Layer::Dense {
            units: 16,
            activation: Some(Activation::relu()),
        },
        Layer::Dropout { rate: 0.2 },
    ]
}

/// A small network on some of the digits.
fn course() -> Course {
    let mut course = Course::on_digits(layers, Optimizer::adam_w(5e-3, 1e-2));
    course.config.epochs = 3;
    let [train, validation] = ROWS;
    let data = PreparedData::new(
        Arc::clone(course.data.dataset()),
        course.data.train()[..train].to_vec(),
        course.data.validation()[..validation].to_vec(),
    );
    course.data = Arc::new(data.expect("rows in range"));
    course
}

impl Trials {
    /// Opens the software device, or the host in its part where there is none.
    pub(crate) fn open() -> Result<Self, String> {
        let mut config = ContextConfig {
            device: DeviceChoice::Software,
            cpu_workers: 1,
            ..ContextConfig::default()
        };
        config.memory.capacity = Some(Bytes::mib(64));
        let open = |config: &ContextConfig| ComputeContext::open(config);
        let is_host = match open(&config) {
            Ok(_) => false,
            Err(error @ DeviceError::NoAdapter { .. }) => {
                let is_required = std::env::var("DAA_REQUIRE_SOFTWARE_GPU").is_ok_and(|value| value == "1");
                if is_required {
                    return Err(format!("DAA_REQUIRE_SOFTWARE_GPU is 1, but: {error}"));
                }
                config.device = DeviceChoice::Cpu;
                true
            }
            Err(error) => return Err(error.to_string()),
        };
        let context = || open(&config).map_err(|error| error.to_string());
        let course = course();
        let clock: Arc<dyn Clock> = Arc::new(ManualClock::new(Timestamp(0)));
        let clean = runner(&course, &Arc::new(failover(context()?, clock, 0)?));
        Ok(Self {
            course,
            harmed: context()?,
            clean,
            is_host,
        })
    }

    /// One line about what takes part.
    pub(crate) fn describe(&self) -> String {
        let note = if self.is_host {
            " in the part of a device, as there is no software driver: a device that computes otherwise than the host is not tested"
        } else {
            ""
        };
        format!(
            "{STEPS} steps on {}{note}, with the host behind it",
            self.harmed.info()
        )
    }

    /// Runs one schedule and holds it against the training without faults.
    pub(crate) fn run(&mut self, schedule: &Schedule) -> Result<Ran, String> {
        if self.harmed.is_lost() {
            self.harmed.inject_for_test(&[]);
            self.harmed = self.harmed.reopen().map_err(|error| error.to_string())?;
        }
        let harmed = self.harmed.clone();
        let outcome = catch_unwind(AssertUnwindSafe(|| self.try_run(schedule)));
        harmed.inject_for_test(&[]);
        outcome.unwrap_or_else(|_| Err("it panicked, see above".to_owned()))
    }

    fn try_run(&mut self, schedule: &Schedule) -> Result<Ran, String> {
        let clock = Arc::new(ManualClock::new(Timestamp(0)));
        let failover = Arc::new(failover(self.harmed.clone(), clock.clone(), schedule.seed)?);
        let mut trainer = self.course.trainer();
        let mut runner = runner(&self.course, &failover);
        let (mut history, mut asked) = (RunHistory::default(), 0);
        self.harmed.inject_for_test(&schedule.planned);
        let outcome = trainer.run_recovering(&mut runner, &schedule.recovery, &mut history, &mut |_| {
            asked += 1;
            clock.advance(schedule.tick);
            Control::Continue
        });
        let struck = self.harmed.struck_for_test();
        self.harmed.inject_for_test(&[]);
        let outcome = outcome.map_err(|error| format!("it ended with {error}"))?;
        let state = trainer.into_state();
        ensure(outcome == Outcome::Finished, || format!("it ended {outcome:?}"))?;
        ensure((history.steps(), asked) == (STEPS, STEPS), || {
            format!(
                "{} steps were accepted and {asked} begun instead of {STEPS}",
                history.steps()
            )
        })?;
        let switches = runner.take_switches().len() as u64;
        drop(runner);
        let context = failover
            .ask(Role::Primary)
            .map_err(|error| error.to_string())?
            .context;
        let report = context.pool_report();
        ensure((report.in_use, report.tenants) == (Bytes::ZERO, 0), || {
            format!("it left {} behind", report.in_use)
        })?;
        self.compare(&state, &history)?;
        // The next schedule goes on with the newest epoch, whose pipelines are made already.
        self.harmed = context;
        Ok(Ran {
            planned: schedule.planned.clone(),
            struck,
            fate: Fate::of(&history, switches),
        })
    }

    /// Trains without faults along `history`.
    fn compare(&mut self, state: &TrainState, history: &RunHistory) -> Result<(), String> {
        let mut trainer = self.course.trainer();
        let outcome = trainer.run_along(&mut self.clean, history);
        outcome.map_err(|error| format!("the run without faults failed: {error}"))?;
        ensure(trainer.state().is_bitwise(state), || {
            format!(
                "it differs from the run without faults along {:?}",
                history.stretches()
            )
        })
    }
}

fn ensure(is_so: bool, reason: impl FnOnce() -> String) -> Result<(), String> {
    if is_so { Ok(()) } else { Err(reason()) }
}

fn failover(primary: ComputeContext, clock: Arc<dyn Clock>, seed: u64) -> Result<Failover, String> {
    let mut breaker = BreakerConfig::default();
    breaker.base = Duration::from_secs(1);
    breaker.cap = Duration::from_secs(60);
    breaker.jitter = Permille::new(500).map_err(|error| error.to_string())?;
    let probe = daa_kernels::probe::health().map_err(|error| error.to_string())?;
    let rng = Seed(seed).stream("back-off").rng();
    let failover = Failover::new(primary, breaker, probe, clock, rng).map_err(|error| error.to_string())?;
    Ok(failover.as_device_for_test())
}

fn runner(course: &Course, failover: &Arc<Failover>) -> Runner {
    let spec = TenantSpec {
        name: "training".to_owned(),
        budget: course.network.peak_bytes(),
        token: FencingToken(1),
        weight: Weight::default(),
    };
    Runner::new(Arc::clone(failover), Arc::clone(course.network.plan()), spec)
}

impl Fate {
    fn of(history: &RunHistory, switches: u64) -> Self {
        match history.stretches().last().map(|stretch| stretch.role) {
            Some(Role::Host) => Self::EndedOnHost,
            _ if switches > 0 => Self::CameBack,
            _ => Self::Stayed,
        }
    }
}

/// How often each fault was planned and struck, and what became of the trainings in which it struck.
#[derive(Debug, Default)]
pub(crate) struct Table {
    rows: [Row; LABELS.len()],
}

#[derive(Debug, Default, Clone, Copy)]
struct Row {
    planned: u64,
    struck: u64,
    runs: u64,
    fates: [u64; 3],
}

impl Table {
    pub(crate) fn add(&mut self, ran: &Ran) {
        for (label, row) in LABELS.iter().zip(&mut self.rows) {
            let count = |faults: &[Planned]| {
                faults
                    .iter()
                    .filter(|planned| label_of(planned) == *label)
                    .count() as u64
            };
            let struck = count(&ran.struck);
            row.planned += count(&ran.planned);
            row.struck += struck;
            if struck > 0 {
                row.runs += 1;
                row.fates[ran.fate as usize] += 1;
            }
        }
    }
}

impl fmt::Display for Table {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(
            f,
            "\n{:38} {:>8} {:>7}   {:>5} {:>7} {:>10} {:>13}",
            "fault", "planned", "struck", "runs", "stayed", "came back", "ended on host"
        )?;
        for (label, row) in LABELS.iter().zip(&self.rows) {
            let [stayed, back, host] = row.fates;
            writeln!(
                f,
                "{label:38} {:>8} {:>7}   {:>5} {stayed:>7} {back:>10} {host:>13}",
                row.planned, row.struck, row.runs
            )?;
        }
        f.write_str("runs: trainings in which the fault struck, and where they ended")
    }
}
