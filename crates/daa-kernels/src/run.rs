//! Running pieces of work where a failover says, and again elsewhere when they fail.
//!
//! A [`Runner`] keeps one plan loaded on the context in use, its *seat*. A piece of work starts from a state that the
//! caller holds, so it can be repeated: when it fails through the fault of the device, the seat is left, the failover
//! is told, and the work is done again from its state where the failover says. Nothing of a failed attempt is kept.

use crate::error::RunError;
use crate::graph::{PhaseId, TensorId};
use crate::plan::Plan;
use crate::session::{Data, Session};
use daa_base::Bytes;
use daa_gpu_core::failover::{Acquired, Failover, Role, Switch};
use daa_gpu_core::{ComputeContext, DeviceInfo, GpuError, Tenant, TenantSpec};
use std::fmt;
use std::sync::Arc;

/// Most attempts at one piece of work, unless [`Runner::with_attempts`] says otherwise.
pub const ATTEMPTS: u32 = 32;

/// An error of work on a device.
pub trait DeviceWork: From<RunError> {
    /// What the device said, if it was the device.
    fn gpu(&self) -> Option<&GpuError>;
}

impl DeviceWork for RunError {
    fn gpu(&self) -> Option<&GpuError> {
        match self {
            Self::Gpu(error) => Some(error),
            _ => None,
        }
    }
}

/// Where a piece of work was done.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Place {
    /// The device or its stand-in.
    pub role: Role,
    /// What it is.
    pub device: DeviceInfo,
}

impl Place {
    fn of(context: &ComputeContext, role: Role) -> Self {
        let device = context.info().clone();
        Self { role, device }
    }
}

/// A plan on a context.
#[derive(Debug)]
struct Seat {
    // In the order in which they must go.
    session: Session,
    tenant: Tenant,
    context: ComputeContext,
    role: Role,
}

/// Is told of switches as they happen.
pub trait Observer: fmt::Debug + Send {
    /// Work moves.
    fn switched(&self, switch: &Switch);
}

/// Runs pieces of work with one plan. Dropping it gives the memory back.
#[derive(Debug)]
pub struct Runner {
    failover: Arc<Failover>,
    plan: Arc<Plan>,
    spec: TenantSpec,
    attempts: u32,
    seat: Option<Seat>,
    high_water: Bytes,
    switches: Vec<Switch>,
    observer: Option<Box<dyn Observer>>,
}

/// Most switches that are remembered for [`Runner::take_switches`]; later ones are not.
const MAX_SWITCHES: usize = 64;

impl Runner {
    /// Runs `plan` on contexts of `failover`, each time under a tenant as `spec` says. Nothing is loaded yet.
    #[must_use]
    pub const fn new(failover: Arc<Failover>, plan: Arc<Plan>, spec: TenantSpec) -> Self {
        Self {
            failover,
            plan,
            spec,
            attempts: ATTEMPTS,
            seat: None,
            high_water: Bytes::ZERO,
            switches: Vec::new(),
            observer: None,
        }
    }

    /// Tells `observer` of switches at once, besides remembering them.
    #[must_use]
    pub fn observed(mut self, observer: Box<dyn Observer>) -> Self {
        self.observer = Some(observer);
        self
    }

    /// Loads the plan where the failover says, ahead of the first piece of work.
    ///
    /// # Errors
    /// As [`Self::run`].
    pub fn prepare(&mut self) -> Result<Place, RunError> {
        self.run::<(), RunError>(None, &mut |_| Ok(()))
            .map(|(_, place)| place)
    }

    /// Tries a piece of work at most `attempts` times, at least once.
    #[must_use]
    pub fn with_attempts(mut self, attempts: u32) -> Self {
        self.attempts = attempts.max(1);
        self
    }

    /// The failover that says where work runs.
    #[must_use]
    pub const fn failover(&self) -> &Arc<Failover> {
        &self.failover
    }

    /// The most that was reserved at once.
    #[must_use]
    pub fn high_water(&self) -> Bytes {
        let now = self.seat.as_ref().map(|seat| seat.tenant.usage().high_water);
        self.high_water.max(now.unwrap_or(Bytes::ZERO))
    }

    /// The switches that this runner brought about or saw since it was last asked, in order.
    pub fn take_switches(&mut self) -> Vec<Switch> {
        std::mem::take(&mut self.switches)
    }

    /// The context in use, if the plan is loaded.
    #[must_use]
    pub fn context(&self) -> Option<&ComputeContext> {
        self.seat.as_ref().map(|seat| &seat.context)
    }

    /// Gives the memory back until the next piece of work.
    pub fn leave(&mut self) {
        self.high_water = self.high_water();
        self.seat = None;
    }

    /// Does `work`, which must start from a state that it writes itself, on the context that the failover gives, or on
    /// that of `role` if given. After a failure of the device the work is done again, from the same state, where the
    /// failover then says; with `role`, there again. Returns what came out and where the successful attempt was made.
    ///
    /// `work` may be called many times; only what the last call returns counts.
    ///
    /// # Errors
    /// What `work` returns, when the device is not to blame, or it is the host that failed, or the attempts are used
    /// up.
    pub fn run<T, E: DeviceWork>(
        &mut self,
        role: Option<Role>,
        work: &mut dyn FnMut(&mut Session) -> Result<T, E>,
    ) -> Result<(T, Place), E> {
        let mut left = self.attempts;
        loop {
            left -= 1;
            let error = match self.attempt(role, work) {
                Ok(done) => return Ok(done),
                Err(Failed { error, may_repeat }) if !may_repeat || left == 0 => return Err(error),
                Err(Failed { error, .. }) => error,
            };
            let text = error.gpu().map(ToString::to_string);
            tracing::warn!(error = text, left, "work is repeated");
        }
    }

    fn attempt<T, E: DeviceWork>(
        &mut self,
        role: Option<Role>,
        work: &mut dyn FnMut(&mut Session) -> Result<T, E>,
    ) -> Result<(T, Place), Failed<E>> {
        let acquired = self
            .acquire(role)
            .map_err(|error| Failed::for_good(error.into()))?;
        let Acquired { context, role, .. } = acquired;
        let outcome = match self.sit(&context, role) {
            Ok(session) => work(session),
            Err(error) => Err(error.into()),
        };
        let told = match &outcome {
            Ok(_) => Ok(()),
            Err(error) => match error.gpu() {
                Some(error) => Err(error),
                // Not the device's fault, and no proof that it is well.
                None => {
                    return outcome
                        .map(|value| (value, Place::of(&context, role)))
                        .map_err(Failed::for_good);
                }
            },
        };
        let may_repeat = told.is_err_and(|error| self.failover.may_repeat(role, error));
        let switch = self.failover.report(&context, told);
        self.note(switch);
        match outcome {
            Ok(value) => Ok((value, Place::of(&context, role))),
            Err(error) => {
                self.leave();
                Err(Failed { error, may_repeat })
            }
        }
    }

    /// Says that what came from the seat last was wrong: the device ends its epoch. Whether it may be done again.
    pub fn disown(&mut self, error: &GpuError) -> bool {
        let Some(seat) = &self.seat else { return false };
        let (context, role) = (seat.context.clone(), seat.role);
        let switch = self.failover.report(&context, Err(error));
        self.note(switch);
        self.leave();
        self.failover.may_repeat(role, error)
    }

    fn acquire(&mut self, role: Option<Role>) -> Result<Acquired, RunError> {
        if let Some(role) = role {
            return Ok(self.failover.ask(role)?);
        }
        let failover = Arc::clone(&self.failover);
        Ok(failover.renew(|switch| self.note(Some(switch)))?)
    }

    /// The session on `context`; loads the plan there if it is not.
    fn sit(&mut self, context: &ComputeContext, role: Role) -> Result<&mut Session, RunError> {
        if !self
            .seat
            .as_ref()
            .is_some_and(|seat| seat.context.is_same(context))
        {
            self.leave();
        }
        if self.seat.is_none() {
            let tenant = context.tenant(self.spec.clone()).map_err(GpuError::from)?;
            let loaded = Session::load(&tenant, Arc::clone(&self.plan));
            self.high_water = self.high_water.max(tenant.usage().high_water);
            self.seat = Some(Seat {
                session: loaded?,
                tenant,
                context: context.clone(),
                role,
            });
        }
        let seat = self.seat.as_mut().expect("set above");
        Ok(&mut seat.session)
    }

    fn note(&mut self, switch: Option<Switch>) {
        if let (Some(switch), Some(observer)) = (&switch, &self.observer) {
            observer.switched(switch);
        }
        if self.switches.len() < MAX_SWITCHES {
            self.switches.extend(switch);
        }
    }

    /// Replays `steps` from `state` and reads `outputs` behind the last of them, on the context that the failover
    /// gives, or on that of `role` if given; again elsewhere when the device fails.
    ///
    /// # Errors
    /// As [`Self::run`], and what [`Session::write`], [`Session::run`] and [`Session::read`] refuse.
    pub fn replay(
        &mut self,
        role: Option<Role>,
        state: &[(TensorId, Data<'_>)],
        steps: &[Step<'_>],
        outputs: &[TensorId],
    ) -> Result<(Vec<Vec<f32>>, Place), RunError> {
        self.run(role, &mut |session| {
            session.write(state)?;
            for step in steps {
                // Not waited for: its failure comes back with the read.
                drop(session.run(step.phase, &step.inputs)?);
            }
            session.read(outputs)
        })
    }
}

/// One step of a range that can be replayed.
#[derive(Debug, Clone)]
pub struct Step<'a> {
    /// What runs.
    pub phase: PhaseId,
    /// What is written before it.
    pub inputs: Vec<(TensorId, Data<'a>)>,
}

struct Failed<E> {
    error: E,
    may_repeat: bool,
}

impl<E> Failed<E> {
    const fn for_good(error: E) -> Self {
        Self {
            error,
            may_repeat: false,
        }
    }
}

#[cfg(test)]
mod tests;
