//! Faults that a test asks for. Built only for tests and under the feature `testing`.
//!
//! A plan names faults by where they strike and how many times that place was passed before. It belongs to a device
//! across its epochs, so that it can strike the reopened device too. What is real and what is only said to have
//! happened is told at each [`Fault`].

use crate::error::{DeviceError, GpuError};
use crate::sync::{Mutex, MutexGuard, PoisonError};
use daa_base::DeviceEpoch;
use std::collections::BTreeMap;

/// Where a fault strikes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Site {
    /// A device is opened again.
    Reopen,
    /// An image is loaded.
    Load,
    /// Work is submitted, that of probes too.
    Submit,
    /// A probe has uploaded its input.
    Probe,
}

/// What happens.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Fault {
    /// The device is really destroyed before the work is handed over. At [`Site::Submit`].
    DestroyBefore,
    /// The device is really destroyed as soon as the work was handed over. At [`Site::Submit`].
    DestroyDuring,
    /// The device is really destroyed when the work is done, before its result is asked for. At [`Site::Submit`].
    DestroyAfter,
    /// One bit of a word of the arena is really flipped behind the work. At [`Site::Submit`]; at [`Site::Probe`] in
    /// the input of the probe.
    FlipBit {
        /// Which word, modulo the length of the arena.
        word: u64,
        /// Which of its bits, modulo 32.
        bit: u8,
    },
    /// The work is really done, but said to have missed its deadline. Simulated; at [`Site::Submit`].
    SayTimeout,
    /// The driver is said to have no memory, without being asked. Simulated; at [`Site::Load`].
    SayOutOfMemory,
    /// The driver is said to give no device, without being asked. Simulated; at [`Site::Reopen`].
    SayRefused,
}

/// A fault at a place, after that place was passed `after` times.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Planned {
    /// The place.
    pub site: Site,
    /// How often it is passed unharmed, counted from when the plan was made.
    pub after: u64,
    /// What happens then.
    pub fault: Fault,
}

/// The plan of a device, and what came of it.
#[derive(Debug, Default)]
pub(crate) struct Injection {
    books: Mutex<Books>,
}

#[derive(Debug, Default)]
struct Books {
    plan: BTreeMap<(Site, u64), Fault>,
    passed: BTreeMap<Site, u64>,
    struck: Vec<Planned>,
}

impl Injection {
    fn lock(&self) -> MutexGuard<'_, Books> {
        self.books.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Replaces the plan; counting starts over.
    pub(crate) fn plan(&self, faults: &[Planned]) {
        let plan = faults
            .iter()
            .map(|planned| ((planned.site, planned.after), planned.fault));
        *self.lock() = Books {
            plan: plan.collect(),
            ..Books::default()
        };
    }

    /// The faults that struck, in order.
    pub(crate) fn struck(&self) -> Vec<Planned> {
        self.lock().struck.clone()
    }

    /// Passes a place once.
    pub(crate) fn pass(&self, site: Site) -> Option<Fault> {
        let mut books = self.lock();
        let passed = books.passed.entry(site).or_default();
        let after = *passed;
        *passed += 1;
        let fault = books.plan.remove(&(site, after))?;
        books.struck.push(Planned { site, after, fault });
        Some(fault)
    }

    /// A device is opened as `epoch`.
    pub(crate) fn open(&self, epoch: DeviceEpoch) -> Result<(), DeviceError> {
        match self.pass(Site::Reopen) {
            Some(Fault::SayRefused) => Err(DeviceError::Refused {
                adapter: "the device".to_owned(),
                message: format!("a test refuses {epoch}"),
            }),
            _ => Ok(()),
        }
    }

    /// An image is loaded.
    pub(crate) fn load(&self) -> Result<(), GpuError> {
        match self.pass(Site::Load) {
            Some(Fault::SayOutOfMemory) => Err(GpuError::OutOfMemory {
                message: "says a test".to_owned(),
            }),
            _ => Ok(()),
        }
    }
}
