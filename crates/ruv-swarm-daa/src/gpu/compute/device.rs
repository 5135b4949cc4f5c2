//! A device behind a trait object.
//!
//! The types of a GPU driver are nested so deeply that the compiler gives up proving a future that holds one `Send`,
//! in this crate and in those that use it. Behind a trait object it has nothing to prove.

use crate::error::{DAAError, DAAResult};
use crate::neural::net::{self, Job, Trained};
use daa_gpu_core::{
    Bytes, Clear, ComputeContext, ContextConfig, DeviceChoice, DeviceClass, ErrorClass, FencingToken,
    GpuError, Image, Loaded, Slice, Tenant, TenantSpec, Weight, Work,
};
use daa_learn::nn::Architecture;
use std::fmt::{Debug, Display};
use std::sync::Arc;
use std::sync::atomic::AtomicBool;

/// Size of the staging areas of one buffer; larger transfers go in pieces.
const STAGING: u64 = 1 << 20;

/// An open device.
pub(crate) trait Opened: Debug + Send + Sync {
    fn is_gpu(&self) -> bool;
    fn reason(&self) -> String;
    /// Copies `bytes`, a multiple of 4 and not none, into the device's memory.
    fn upload(&self, bytes: &[u8]) -> DAAResult<Box<dyn Memory>>;
    /// Trains a network within the limit, until it is done or `leave` rises.
    fn train(&self, job: &Job, leave: &AtomicBool) -> DAAResult<Trained>;
    /// Asks a trained network.
    fn predict(
        &self,
        architecture: &Architecture,
        parameters: &[Vec<f32>],
        rows: &[&[f32]],
    ) -> DAAResult<Vec<Vec<f32>>>;
}

/// Some of its memory.
pub(crate) trait Memory: Debug + Send + Sync {
    fn download(&mut self) -> DAAResult<Vec<u8>>;
    fn context_bytes(&self) -> u64;
}

fn refused(error: impl Display) -> DAAError {
    DAAError::config(format!("the device: {error}"))
}

fn failed(error: &GpuError) -> DAAError {
    match error.class() {
        ErrorClass::OutOfMemory => DAAError::memory(error.to_string()),
        _ => refused(error),
    }
}

/// Opens a device for one tenant with that limit in MiB.
pub(super) fn open(choice: DeviceChoice, limit_mb: u64) -> DAAResult<Arc<dyn Opened>> {
    let config = ContextConfig {
        device: choice,
        cpu_workers: 1,
        ..ContextConfig::default()
    };
    let context = ComputeContext::open(&config).map_err(refused)?;
    let budget = Bytes::mib(limit_mb);
    let spec = TenantSpec {
        name: "agent".to_owned(),
        budget,
        token: FencingToken(1),
        weight: Weight::default(),
    };
    let tenant = context.tenant(spec).map_err(refused)?;
    Ok(Arc::new(Device { context, tenant }))
}

#[derive(Debug)]
struct Device {
    context: ComputeContext,
    tenant: Tenant,
}

impl Opened for Device {
    fn is_gpu(&self) -> bool {
        !matches!(
            self.context.info().class,
            DeviceClass::Host | DeviceClass::Software
        )
    }

    fn reason(&self) -> String {
        let chosen = self
            .context
            .selection()
            .reports
            .iter()
            .find(|report| report.chosen);
        chosen.map_or_else(|| self.context.info().to_string(), ToString::to_string)
    }

    fn train(&self, job: &Job, leave: &AtomicBool) -> DAAResult<Trained> {
        net::train(job, &self.tenant, leave)
    }

    fn predict(
        &self,
        architecture: &Architecture,
        parameters: &[Vec<f32>],
        rows: &[&[f32]],
    ) -> DAAResult<Vec<Vec<f32>>> {
        net::predict(architecture, parameters, rows, &self.tenant)
    }

    fn upload(&self, bytes: &[u8]) -> DAAResult<Box<dyn Memory>> {
        let slice = Slice {
            offset: 0,
            bytes: bytes.len() as u64,
        };
        let staging = Bytes(slice.bytes.min(STAGING));
        let image = Image {
            arena: Bytes(slice.bytes),
            constants: Bytes::ZERO,
            clear: Clear::Foreign,
            lists: Vec::new(),
            upload: staging,
            upload_ring: 1,
            readback: staging,
        };
        let mut loaded = self.tenant.load(&image).map_err(|error| failed(&error))?;
        let work = Work {
            list: None,
            uploads: &[(slice, bytes)],
            reads: &[],
        };
        let ticket = loaded.submit(work).map_err(|error| failed(&error))?;
        ticket.wait().map_err(|error| failed(&error))?;
        Ok(Box::new(Held { loaded, slice }))
    }
}

#[derive(Debug)]
struct Held {
    loaded: Loaded,
    slice: Slice,
}

impl Memory for Held {
    fn download(&mut self) -> DAAResult<Vec<u8>> {
        let work = Work {
            list: None,
            uploads: &[],
            reads: &[self.slice],
        };
        let ticket = self.loaded.submit(work).map_err(|error| failed(&error))?;
        ticket.wait().map_err(|error| failed(&error))
    }

    fn context_bytes(&self) -> u64 {
        self.loaded.tenant_usage().in_use.get()
    }
}
