//! Trainings that outlive their device: checkpoints in memory, replay, and the record of where each step ran.
//!
//! [`Trainer::run_recovering`] trains in intervals. Each begins at a checkpoint, the [`TrainState`] in memory, and is
//! accepted as a whole when its state has been read back; then that is the next checkpoint. When the device fails
//! within an interval, nothing of it is kept, and it is done again from its checkpoint where the failover says. So no
//! step is lost and none counts twice.
//!
//! A device computes other roundings than the host, so where a step ran is part of what comes out. The [`RunHistory`]
//! says it for every accepted step, and [`Trainer::run_along`] repeats a training along one, bit by bit.

use super::error::TrainError;
use super::state::{EpochRecord, TrainState};
use super::trainer::{Control, Outcome, Progress, Trainer};
use daa_gpu_core::{GpuError, Role};
use daa_kernels::error::RunError;
use daa_kernels::run::{DeviceWork, Place, Runner};
use daa_kernels::session::Session;
use serde::{Deserialize, Serialize};

/// What is done against silent corruption.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Verification {
    /// Nothing: a wrong word in the device's memory goes into the result.
    #[default]
    Off,
    /// Every interval is done twice from the same checkpoint and accepted when both ends are equal, bit by bit: at
    /// twice the time, a wrong word is noticed unless both runs go wrong in the same way. When they differ, the device
    /// counts as corrupt, and the interval is done again elsewhere.
    Repeat,
}

/// How a training guards against failing devices.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub struct Recovery {
    /// Steps between checkpoints, of training and validation, 1 to 1,000,000: the most that a failure costs.
    pub every: u32,
    /// Against silent corruption.
    pub verification: Verification,
}

/// Most steps between checkpoints.
const MAX_EVERY: u32 = 1_000_000;

/// How often one interval is done twice at most: its runs may differ, or the failover may switch between them.
const MAX_ROUNDS: u32 = 64;

impl Default for Recovery {
    fn default() -> Self {
        Self {
            every: 128,
            verification: Verification::Off,
        }
    }
}

impl Recovery {
    /// Checkpoints every `every` steps.
    #[must_use]
    pub const fn every(every: u32, verification: Verification) -> Self {
        Self { every, verification }
    }

    /// Checks every field.
    ///
    /// # Errors
    /// Names the field, its value and what is allowed.
    pub fn validate(&self) -> Result<(), TrainError> {
        if (1..=MAX_EVERY).contains(&self.every) {
            return Ok(());
        }
        Err(TrainError::Config {
            field: "recovery.every",
            value: self.every.to_string(),
            allowed: format!("1 to {MAX_EVERY}"),
        })
    }
}

/// Intervals in a row that ran on the same side.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Stretch {
    /// How many steps, of training and validation.
    pub steps: u64,
    /// On the device or on the host that stands in for it.
    pub role: Role,
    /// `host`, `vulkan`, `metal` or `dx12`.
    pub backend: String,
    /// The device's name.
    pub device: String,
}

/// Where the steps of a training ran, in order.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(transparent)]
pub struct RunHistory {
    stretches: Vec<Stretch>,
}

impl RunHistory {
    /// The stretches, in order.
    #[must_use]
    pub fn stretches(&self) -> &[Stretch] {
        &self.stretches
    }

    /// Accepted steps in all.
    #[must_use]
    pub fn steps(&self) -> u64 {
        self.stretches.iter().map(|stretch| stretch.steps).sum()
    }

    fn add(&mut self, steps: u32, place: &Place) {
        if steps == 0 {
            return;
        }
        let (steps, backend) = (u64::from(steps), place.device.backend.to_string());
        if let Some(last) = self.stretches.last_mut()
            && (last.role, last.backend.as_str(), last.device.as_str())
                == (place.role, backend.as_str(), place.device.name.as_str())
        {
            last.steps += steps;
            return;
        }
        self.stretches.push(Stretch {
            steps,
            role: place.role,
            backend,
            device: place.device.name.clone(),
        });
    }
}

impl DeviceWork for TrainError {
    fn gpu(&self) -> Option<&GpuError> {
        match self {
            Self::Run(RunError::Gpu(error)) => Some(error),
            _ => None,
        }
    }
}

/// How one interval ended.
#[derive(Debug)]
struct Interval {
    state: TrainState,
    outcome: Outcome,
    steps: u32,
}

/// How long an interval may be, and what its caller has said about it so far.
struct Bounds<'a> {
    control: &'a mut dyn FnMut(&Progress<'_>) -> Control,
    /// The epochs of the checkpoint: what the caller is told of, because only they are sure to stay.
    told: Vec<EpochRecord>,
    /// Steps at most.
    limit: u32,
    /// Steps that the caller has allowed; it is not asked again when they are repeated.
    allowed: u32,
    /// Whether it said to yield behind them.
    is_yielded: bool,
}

impl Bounds<'_> {
    /// Whether step number `step` of the interval is to be done.
    fn ask(&mut self, step: u32, progress: &Progress<'_>) -> Control {
        if step < self.allowed {
            return Control::Continue;
        }
        if self.is_yielded || step == self.limit {
            return Control::Yield;
        }
        let told = Progress {
            history: &self.told,
            ..*progress
        };
        let answer = (self.control)(&told);
        match answer {
            Control::Continue => self.allowed += 1,
            Control::Yield => self.is_yielded = true,
        }
        answer
    }
}

impl Trainer {
    /// Trains until the end or until `control` says [`Control::Yield`], on the contexts that `runner`'s failover
    /// gives, with checkpoints in memory as `recovery` says. Appends to `history` where each accepted step ran.
    ///
    /// `control` is asked once before every step, also of those that have to be repeated; it is told the epochs
    /// finished by the last checkpoint.
    ///
    /// # Errors
    /// A field of `recovery` out of range, and what no device could do: the state is then that of the last
    /// checkpoint, so that it can be resumed.
    pub fn run_recovering(
        &mut self,
        runner: &mut Runner,
        recovery: &Recovery,
        history: &mut RunHistory,
        control: &mut dyn FnMut(&Progress<'_>) -> Control,
    ) -> Result<Outcome, TrainError> {
        recovery.validate()?;
        loop {
            let mut bounds = Bounds {
                told: self.state().history().to_vec(),
                control: &mut *control,
                limit: recovery.every,
                allowed: 0,
                is_yielded: false,
            };
            let (interval, place) = self.accepted(runner, recovery.verification, &mut bounds)?;
            let is_over = bounds.is_yielded || interval.outcome != Outcome::Yielded;
            history.add(interval.steps, &place);
            let outcome = interval.outcome;
            self.accept(interval.state);
            if is_over {
                return Ok(outcome);
            }
        }
    }

    /// As [`Trainer::run`], on the context that `runner`'s failover gives, as one interval without checkpoints:
    /// `control` is told of every epoch as it ends. For the host alone, which nothing stands in for.
    ///
    /// # Errors
    /// As [`Trainer::run`].
    pub fn run_once(
        &mut self,
        runner: &mut Runner,
        history: &mut RunHistory,
        control: &mut dyn FnMut(&Progress<'_>) -> Control,
    ) -> Result<Outcome, TrainError> {
        let (interval, place) = runner.run(None, &mut |session: &mut Session| {
            self.counted(session, &mut |_, progress| control(progress))
        })?;
        history.add(interval.steps, &place);
        self.accept(interval.state);
        Ok(interval.outcome)
    }

    /// Repeats a training along `history`: as many steps on each side as it says, then yields, unless the end came
    /// first. From the same start, on the same devices, it ends with the same bytes.
    ///
    /// # Errors
    /// When a device fails: there is no other place to go.
    pub fn run_along(&mut self, runner: &mut Runner, history: &RunHistory) -> Result<Outcome, TrainError> {
        let mut outcome = Outcome::Yielded;
        for stretch in history.stretches() {
            let mut left = stretch.steps;
            while left > 0 && outcome == Outcome::Yielded {
                let mut bounds = Bounds {
                    told: Vec::new(),
                    control: &mut |_| Control::Continue,
                    limit: u32::try_from(left).unwrap_or(u32::MAX),
                    allowed: 0,
                    is_yielded: false,
                };
                let (interval, _) = self.interval(runner, Some(stretch.role), &mut bounds)?;
                outcome = interval.outcome;
                left = left.saturating_sub(u64::from(interval.steps.max(1)));
                self.accept(interval.state);
            }
        }
        Ok(outcome)
    }

    /// One interval, verified as asked.
    fn accepted(
        &self,
        runner: &mut Runner,
        verification: Verification,
        bounds: &mut Bounds<'_>,
    ) -> Result<(Interval, Place), TrainError> {
        for _ in 0..MAX_ROUNDS {
            let (first, place) = self.interval(runner, None, bounds)?;
            if verification == Verification::Off || first.steps == 0 {
                return Ok((first, place));
            }
            // The second run need not be on the same side: the failover may have switched in between. Then the two
            // are not comparable, and the interval is done again.
            let (second, place_of_second) = self.interval(runner, None, bounds)?;
            if place != place_of_second {
                continue;
            }
            let is_same = first.outcome == second.outcome
                && first.steps == second.steps
                && first.state.is_bitwise(&second.state);
            if is_same {
                return Ok((second, place));
            }
            let what = format!(
                "two runs of {} steps from {} end differently",
                first.steps,
                self.place()
            );
            let error = GpuError::Corruption {
                message: format!("{what} on {}", place.device.name),
            };
            if !runner.disown(&error) {
                return Err(RunError::from(error).into());
            }
        }
        let message = format!("the steps from {} never ran twice on one device", self.place());
        Err(RunError::from(GpuError::Internal { message }).into())
    }

    fn place(&self) -> String {
        let position = self.state().position();
        format!(
            "epoch {}, {:?} step {}",
            position.epoch, position.stage, position.step
        )
    }

    /// One interval from the checkpoint, repeated while devices fail.
    fn interval(
        &self,
        runner: &mut Runner,
        role: Option<Role>,
        bounds: &mut Bounds<'_>,
    ) -> Result<(Interval, Place), TrainError> {
        runner.run(role, &mut |session: &mut Session| {
            self.counted(session, &mut |step, progress| bounds.ask(step, progress))
        })
    }

    /// One attempt; `control` hears the number of each step.
    fn counted(
        &self,
        session: &mut Session,
        control: &mut dyn FnMut(u32, &Progress<'_>) -> Control,
    ) -> Result<Interval, TrainError> {
        let mut steps = 0;
        let (outcome, state) = self.advance(session, &mut |progress| {
            let answer = control(steps, progress);
            steps += u32::from(answer == Control::Continue);
            answer
        })?;
        Ok(Interval {
            state,
            outcome,
            steps,
        })
    }
}

#[cfg(test)]
mod tests;
