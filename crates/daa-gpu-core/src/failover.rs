//! One device for work, the host for when it fails, and the way back.
//!
//! [`Failover::acquire`] gives the context that work is to use now, and says why. Whoever used it tells how it went
//! ([`Failover::report`]). A [`Breaker`] decides from that when the device is left for the host. When its back-off is
//! over, [`Failover::tick`] opens the device again if it is gone, as the next epoch, runs a [`Probe`] on it, and
//! gives it out again if the answer is right.
//!
//! A device that gave a wrong answer ends its epoch there and then: whatever was computed on it and not yet handed
//! out is void.

use crate::adapter::{DeviceChoice, DeviceClass};
use crate::breaker::{Breaker, BreakerConfig, Permit, State, blame};
use crate::context::{ComputeContext, Origin};
use crate::error::{DeviceError, ErrorClass, GpuError};
use crate::probe::Probe;
use crate::sync::{Arc, Mutex, MutexGuard, PoisonError};
use daa_base::{Clock, DeviceEpoch, FencingToken, Rng};
use serde::{Deserialize, Serialize};
use std::fmt;
use std::time::Duration;

/// Which of the two contexts.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Role {
    /// The device that was chosen.
    Primary,
    /// The host CPU that steps in for it.
    Host,
}

impl fmt::Display for Role {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Primary => "primary",
            Self::Host => "host",
        })
    }
}

/// Why a context was given out.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum Why {
    /// It is the device that was chosen, and nothing is wrong with it.
    Healthy,
    /// The chosen device failed; the host steps in.
    Broken {
        /// What it failed with.
        class: ErrorClass,
        /// When it is probed next, on the clock of the failover.
        probe_at: Duration,
    },
    /// The chosen device is being probed; the host steps in until that is over.
    Probing,
    /// The caller asked for this one.
    Asked,
}

/// A context to work on.
#[derive(Debug, Clone)]
pub struct Acquired {
    /// The context.
    pub context: ComputeContext,
    /// Which one it is.
    pub role: Role,
    /// Why it is this one.
    pub why: Why,
    /// The switch that was made only now, because nobody had told that the device is gone.
    pub switch: Option<Switch>,
}

/// Work moves from one context to the other.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Switch {
    /// Where it goes from now on.
    pub to: Role,
    /// What is left, or came back.
    pub device: String,
    /// Why, for people.
    pub reason: String,
}

/// What a failover did so far.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[non_exhaustive]
pub struct FailoverCounts {
    /// How often the device was given up, failed probes included.
    pub openings: u64,
    /// Probes with the right answer.
    pub probes_passed: u64,
    /// Probes with a wrong answer or none, and devices that could not be opened again.
    pub probes_failed: u64,
    /// Epochs opened after the first.
    pub reopened: u64,
}

/// Gives out a device while it works, and the host while it does not.
#[derive(Debug)]
pub struct Failover {
    inner: Mutex<Inner>,
    origin: Origin,
    class: DeviceClass,
    name: String,
    is_sole: bool,
    probe: Probe,
    probe_deadline: Duration,
    clock: Arc<dyn Clock>,
}

#[derive(Debug)]
struct Inner {
    /// `None` from the end of an epoch until the next one passed its probe.
    primary: Option<ComputeContext>,
    /// The newest epoch that was opened, or tried.
    epoch: DeviceEpoch,
    host: Option<ComputeContext>,
    breaker: Breaker,
    rng: Rng,
    counts: FailoverCounts,
}

impl Failover {
    /// Gives out `primary` and, when it fails, the host CPU, opened with the same limits when it is first needed. When
    /// `primary` is the host, there is nothing to fall back to and every failure stays with its work. `clock` times the
    /// back-off, `rng` spreads it.
    ///
    /// # Errors
    /// When a field of `breaker` is out of range.
    pub fn new(
        primary: ComputeContext,
        breaker: BreakerConfig,
        probe: Probe,
        clock: Arc<dyn Clock>,
        rng: Rng,
    ) -> Result<Self, DeviceError> {
        let breaker = Breaker::new(breaker)?;
        Ok(Self {
            origin: primary.origin(),
            class: primary.info().class,
            is_sole: primary.info().class == DeviceClass::Host,
            name: primary.info().name.clone(),
            probe,
            probe_deadline: breaker.config().probe_deadline,
            clock,
            inner: Mutex::new(Inner {
                epoch: primary.epoch(),
                primary: Some(primary),
                host: None,
                breaker,
                rng,
                counts: FailoverCounts::default(),
            }),
        })
    }

    fn lock(&self) -> MutexGuard<'_, Inner> {
        self.inner.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Whether the chosen device is the host, so that there is nothing to fall back to.
    #[must_use]
    pub const fn is_sole(&self) -> bool {
        self.is_sole
    }

    /// Treats a host context as a device that another host context stands in for, for tests without any driver.
    #[cfg(any(test, feature = "testing"))]
    #[must_use]
    pub const fn as_device_for_test(mut self) -> Self {
        self.is_sole = false;
        self
    }

    /// The context that work is to use now.
    ///
    /// # Errors
    /// When the host is needed and cannot be opened.
    pub fn acquire(&self) -> Result<Acquired, DeviceError> {
        let now = self.clock.monotonic();
        let (lost, opened, why) = {
            let mut inner = self.lock();
            let lost = inner.take_lost();
            let opened = lost.is_some() && inner.fail(ErrorClass::DeviceLost, now);
            let why = match inner.breaker.state() {
                State::Closed => Why::Healthy,
                State::Open { class, until } => Why::Broken {
                    class,
                    probe_at: until,
                },
                State::HalfOpen { .. } => Why::Probing,
            };
            if let (Some(context), true) = (&inner.primary, why == Why::Healthy || self.is_sole) {
                return Ok(Acquired {
                    context: context.clone(),
                    role: Role::Primary,
                    why: Why::Healthy,
                    switch: None,
                });
            }
            (lost, opened, why)
        };
        drop(lost);
        let unnoticed = || {
            self.switch(
                Role::Host,
                "its loss was noticed between two pieces of work".to_owned(),
            )
        };
        let switch = (opened && !self.is_sole).then(unnoticed);
        let role = if self.is_sole { Role::Primary } else { Role::Host };
        let context = self.context(role)?;
        Ok(Acquired {
            context,
            role,
            why,
            switch,
        })
    }

    /// Probes the device if it is time for that ([`Self::tick`]), then gives the context that work is to use now.
    /// `tell` hears of every switch. For a thread that may block.
    ///
    /// # Errors
    /// As [`Self::acquire`].
    pub fn renew(&self, mut tell: impl FnMut(Switch)) -> Result<Acquired, DeviceError> {
        self.tick().into_iter().for_each(&mut tell);
        let mut acquired = self.acquire()?;
        acquired.switch.take().into_iter().for_each(tell);
        Ok(acquired)
    }

    /// Whether work that failed on `role` with `error` may be repeated: the device is to blame, and something stands in
    /// for it.
    #[must_use]
    pub fn may_repeat(&self, role: Role, error: &GpuError) -> bool {
        role == Role::Primary && !self.is_sole && blame(error).is_some()
    }

    /// The context of `role`, whatever the breaker says: to repeat work where it was done before. A primary that is
    /// gone is opened as its next epoch, without a probe.
    ///
    /// # Errors
    /// When it has to be opened and cannot be.
    pub fn ask(&self, role: Role) -> Result<Acquired, DeviceError> {
        Ok(Acquired {
            context: self.context(role)?,
            role,
            why: Why::Asked,
            switch: None,
        })
    }

    fn context(&self, role: Role) -> Result<ComputeContext, DeviceError> {
        let (found, lost, epoch) = {
            let mut inner = self.lock();
            let lost = match role {
                Role::Primary => inner.take_lost(),
                Role::Host => inner.host.take_if(|context| context.is_lost()),
            };
            let found = match role {
                Role::Primary => inner.primary.clone(),
                Role::Host => inner.host.clone(),
            };
            if found.is_none() && role == Role::Primary {
                inner.epoch = DeviceEpoch(inner.epoch.get().saturating_add(1));
            }
            (found, lost, inner.epoch)
        };
        drop(lost);
        if let Some(context) = found {
            return Ok(context);
        }
        // Opened without the lock; of two threads that both do so, the second to end takes the first's.
        let opened = match role {
            Role::Primary => self.reopen(epoch)?,
            Role::Host => self.origin.open_beside(DeviceChoice::Cpu)?,
        };
        let mut inner = self.lock();
        let place = match role {
            Role::Primary => &mut inner.primary,
            Role::Host => &mut inner.host,
        };
        let kept = place.get_or_insert_with(|| opened.clone()).clone();
        drop(inner);
        Ok(kept)
    }

    /// Tells how work on `context` went. Returns the switch that follows, if one does; work on contexts of an epoch
    /// that is over changes nothing any more.
    pub fn report(&self, context: &ComputeContext, outcome: Result<(), &GpuError>) -> Option<Switch> {
        let now = self.clock.monotonic();
        let blamed = match outcome {
            _ if context.is_lost() => Some(ErrorClass::DeviceLost),
            Ok(()) => None,
            Err(error) => Some(blame(error)?),
        };
        let (ended, switch) = {
            let mut inner = self.lock();
            if !inner
                .primary
                .as_ref()
                .is_some_and(|primary| primary.is_same(context))
            {
                return None;
            }
            let Some(class) = blamed else {
                inner.breaker.succeeded();
                return None;
            };
            let opened = inner.fail(class, now);
            let is_over = matches!(class, ErrorClass::DeviceLost | ErrorClass::Corruption);
            (if is_over { inner.primary.take() } else { None }, opened)
        };
        let reason = match outcome {
            Err(error) => error.to_string(),
            Ok(()) => "its epoch ended while the work went on".to_owned(),
        };
        if let Some(context) = &ended {
            context.condemn(&reason);
        }
        drop(ended);
        (switch && !self.is_sole).then(|| self.switch(Role::Host, reason))
    }

    /// Probes the device if it is time for that: opens it if it is gone, runs the probe, and takes it back into use or
    /// leaves it alone for longer. Blocks for the time of a probe; to be called from a thread that may.
    pub fn tick(&self) -> Option<Switch> {
        if self.is_sole {
            return None;
        }
        let (permit, primary, epoch) = {
            let mut inner = self.lock();
            let permit = inner.breaker.try_probe(self.clock.monotonic())?;
            let lost = inner.take_lost();
            let primary = inner.primary.clone();
            if primary.is_none() {
                inner.epoch = DeviceEpoch(inner.epoch.get().saturating_add(1));
            }
            let epoch = inner.epoch;
            drop(inner);
            drop(lost);
            (permit, primary, epoch)
        };
        let is_new = primary.is_none();
        let opened = match primary {
            Some(context) => Ok(context),
            None => self
                .reopen(epoch)
                .map_err(|error| (error.class(), error.to_string())),
        };
        let probed = opened.and_then(|context| {
            let answer = self.probe.run(&context, self.probe_deadline);
            answer.map_err(|error| {
                let class = blame(&error).unwrap_or(ErrorClass::Validation);
                if class != ErrorClass::Validation {
                    context.condemn(&error.to_string());
                }
                (class, error.to_string())
            })?;
            Ok(context)
        });
        self.conclude(permit, probed, is_new)
    }

    /// Writes down how a probe went.
    fn conclude(
        &self,
        permit: Permit,
        probed: Result<ComputeContext, (ErrorClass, String)>,
        is_new: bool,
    ) -> Option<Switch> {
        let now = self.clock.monotonic();
        let mut inner = self.lock();
        match probed {
            Ok(context) => {
                if !inner.breaker.passed(permit, now) {
                    drop(inner);
                    return None;
                }
                inner.counts.probes_passed += 1;
                inner.counts.reopened += u64::from(is_new);
                let before = inner.primary.replace(context);
                drop(inner);
                drop(before);
                Some(self.switch(Role::Primary, "its probe gave the right answer".to_owned()))
            }
            Err((class, reason)) => {
                let Inner { breaker, rng, .. } = &mut *inner;
                if breaker.refuted(permit, class, now, rng) {
                    inner.counts.probes_failed += 1;
                    inner.counts.openings = inner.breaker.openings();
                }
                let lost = inner.take_lost();
                drop(inner);
                drop(lost);
                tracing::warn!(device = %self.name, %reason, "a health probe failed");
                None
            }
        }
    }

    fn switch(&self, to: Role, reason: String) -> Switch {
        let device = self.name.clone();
        tracing::warn!(%device, %to, %reason, "work moves");
        Switch { to, device, reason }
    }

    /// Opens the chosen device as `epoch`. Another kind of device is none: automatic choice takes the host where the
    /// GPU is missing, and the host is here already.
    fn reopen(&self, epoch: DeviceEpoch) -> Result<ComputeContext, DeviceError> {
        let context = self.origin.open(epoch)?;
        if context.info().class == self.class {
            return Ok(context);
        }
        Err(DeviceError::Refused {
            adapter: self.name.clone(),
            message: format!("it is gone, {} is what is left", context.info().name),
        })
    }

    /// Ends what a lease allowed, on the device, its later epochs and the host: see [`ComputeContext::fence`].
    pub fn fence(&self, token: FencingToken) {
        self.origin.fence(token);
    }

    /// The contexts that are open now: the device, if it is not gone, and the host, if it was ever needed.
    #[must_use]
    pub fn contexts(&self) -> Vec<ComputeContext> {
        let inner = self.lock();
        inner.primary.iter().chain(&inner.host).cloned().collect()
    }

    /// When [`Self::tick`] has something to do next, on the clock of the failover; `None` while the device is in use.
    #[must_use]
    pub fn next_probe(&self) -> Option<Duration> {
        self.lock().breaker.next_probe()
    }

    /// Whether [`Self::tick`] would probe now.
    #[must_use]
    pub fn is_due(&self) -> bool {
        self.next_probe()
            .is_some_and(|at| !self.is_sole && self.clock.monotonic() >= at)
    }

    /// What was done so far.
    #[must_use]
    pub fn counts(&self) -> FailoverCounts {
        self.lock().counts
    }
}

impl Inner {
    fn fail(&mut self, class: ErrorClass, now: Duration) -> bool {
        let opened = self.breaker.failed(class, now, &mut self.rng);
        self.counts.openings = self.breaker.openings();
        opened
    }

    /// A primary whose device is gone: of no use any more, to be dropped without the lock.
    fn take_lost(&mut self) -> Option<ComputeContext> {
        self.primary.take_if(|context| context.is_lost())
    }
}

#[cfg(test)]
mod tests;
