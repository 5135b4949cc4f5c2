//! Where an agent computes, and buffers in that device's memory. Tasks themselves still run on the host's CPU.

use crate::error::{DAAError, DAAResult};
use daa_gpu_core::{
    Bytes, ComputeContext as Device, ContextConfig, DeviceChoice, DeviceClass, ErrorClass, FencingToken,
    GpuError, Image, Loaded, Slice, Tenant, TenantSpec, Work,
};
use std::fmt;
use std::marker::PhantomData;

/// Limit of a context that was given none, in MiB.
const DEFAULT_LIMIT_MB: u64 = 1024;
/// Size of the staging areas of one buffer; larger transfers go in pieces.
const STAGING: u64 = 1 << 20;

/// What kind of device is open.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum BackendType {
    /// The host's CPU.
    Cpu,
    /// A GPU through WebGPU.
    WebGpu,
}

/// The device of an agent, for numbers of type `T`. It is opened at the first use: the host's CPU, unless
/// [`initialize_gpu`](Self::initialize_gpu) opened a GPU before.
#[derive(Debug)]
pub struct ComputeContext<T> {
    open: Option<(Device, Tenant)>,
    limit: Bytes,
    numbers: PhantomData<fn() -> T>,
}

impl<T> Default for ComputeContext<T> {
    fn default() -> Self {
        Self::new()
    }
}

fn refused(error: impl fmt::Display) -> DAAError {
    DAAError::config(format!("the device: {error}"))
}

fn failed(error: &GpuError) -> DAAError {
    match error.class() {
        ErrorClass::OutOfMemory => DAAError::memory(error.to_string()),
        _ => refused(error),
    }
}

impl<T> ComputeContext<T> {
    /// A context with a limit of 1024 MiB.
    #[must_use]
    pub fn new() -> Self {
        Self::with_limit(DEFAULT_LIMIT_MB)
    }

    /// A context whose buffers together hold at most so many MiB, staging included.
    #[must_use]
    pub fn with_limit(memory_mb: u64) -> Self {
        Self {
            open: None,
            limit: Bytes::mib(memory_mb),
            numbers: PhantomData,
        }
    }

    /// What kind of device is open; the CPU before the first use.
    #[must_use]
    pub fn backend(&self) -> BackendType {
        let class = self.open.as_ref().map(|(device, _)| device.info().class);
        match class {
            None | Some(DeviceClass::Host | DeviceClass::Software) => BackendType::Cpu,
            Some(_) => BackendType::WebGpu,
        }
    }

    /// Whether a GPU is open.
    #[must_use]
    pub fn is_gpu_available(&self) -> bool {
        self.backend() == BackendType::WebGpu
    }

    /// Which device is open and why, in one line.
    #[must_use]
    pub fn reason(&self) -> String {
        let Some((device, _)) = &self.open else {
            return "no device is open yet; the first use opens the host's CPU".to_owned();
        };
        let chosen = device.selection().reports.iter().find(|report| report.chosen);
        chosen.map_or_else(|| device.info().to_string(), ToString::to_string)
    }

    /// Opens a GPU for the buffers to come; blocks while the driver starts. What is open stays if that fails.
    ///
    /// # Errors
    /// [`DAAError::ConfigError`] that says why: the feature `webgpu` is off, no GPU was found, or its driver refused.
    pub async fn initialize_gpu(&mut self) -> DAAResult<()> {
        if !cfg!(feature = "webgpu") {
            return Err(DAAError::config("a GPU needs the feature `webgpu`, which is off"));
        }
        self.open = Some(self.open_device(DeviceChoice::Gpu)?);
        Ok(())
    }

    fn open_device(&self, device: DeviceChoice) -> DAAResult<(Device, Tenant)> {
        let config = ContextConfig {
            device,
            cpu_workers: 1,
            ..ContextConfig::default()
        };
        let device = Device::open(&config).map_err(refused)?;
        let spec = TenantSpec {
            name: "agent".to_owned(),
            budget: self.limit,
            token: FencingToken(1),
        };
        let tenant = device.tenant(spec).map_err(refused)?;
        Ok((device, tenant))
    }
}

impl ComputeContext<f32> {
    /// Copies `values` into the device's memory; blocks until that is done.
    ///
    /// # Errors
    /// [`DAAError::MemoryError`] past the limit, [`DAAError::ConfigError`] for no values and for what the device
    /// refuses.
    pub fn upload(&mut self, values: &[f32]) -> DAAResult<DeviceBuffer> {
        if values.is_empty() {
            return Err(DAAError::config(
                "there are no values to upload, at least 1 is needed",
            ));
        }
        if self.open.is_none() {
            self.open = Some(self.open_device(DeviceChoice::Cpu)?);
        }
        let Some((_, tenant)) = &self.open else {
            return Err(refused("it is not open"));
        };
        let bytes: Vec<u8> = values.iter().flat_map(|value| value.to_le_bytes()).collect();
        let slice = Slice {
            offset: 0,
            bytes: bytes.len() as u64,
        };
        let staging = Bytes(slice.bytes.min(STAGING));
        let image = Image {
            arena: Bytes(slice.bytes),
            lists: Vec::new(),
            upload: staging,
            upload_ring: 1,
            readback: staging,
        };
        let mut loaded = tenant.load(&image).map_err(|error| failed(&error))?;
        let work = Work {
            list: None,
            uploads: &[(slice, &bytes)],
            reads: &[],
        };
        let ticket = loaded.submit(work).map_err(|error| failed(&error))?;
        ticket.wait().map_err(|error| failed(&error))?;
        Ok(DeviceBuffer { loaded, slice })
    }
}

/// Numbers in a device's memory. Dropping it gives the memory back.
#[derive(Debug)]
pub struct DeviceBuffer {
    loaded: Loaded,
    slice: Slice,
}

impl DeviceBuffer {
    /// Copies the numbers back; blocks until that is done.
    ///
    /// # Errors
    /// [`DAAError::ConfigError`] for what the device refuses, for example once it is lost.
    pub fn download(&mut self) -> DAAResult<Vec<f32>> {
        let work = Work {
            list: None,
            uploads: &[],
            reads: &[self.slice],
        };
        let ticket = self.loaded.submit(work).map_err(|error| failed(&error))?;
        let bytes = ticket.wait().map_err(|error| failed(&error))?;
        let (words, _) = bytes.as_chunks::<4>();
        Ok(words.iter().map(|word| f32::from_le_bytes(*word)).collect())
    }

    /// Bytes that all buffers of the same context hold, staging included.
    #[must_use]
    pub fn context_bytes(&self) -> u64 {
        self.loaded.tenant_usage().in_use.get()
    }
}

/// Compiled pipelines. Nothing compiles pipelines here yet, so it is empty.
#[derive(Debug, Default)]
pub struct PipelineCache {
    misses: u64,
}

impl PipelineCache {
    /// An empty cache.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// Would compile the pipeline called `name`.
    ///
    /// # Errors
    /// Always [`DAAError::ConfigError`]: it is not built yet.
    pub fn get_or_compile(&mut self, name: &str) -> DAAResult<()> {
        self.misses += 1;
        Err(DAAError::not_built(&format!(
            "compiling the pipeline `{name}` through this crate"
        )))
    }

    /// Pipelines that were asked for and not there.
    #[must_use]
    pub fn misses(&self) -> u64 {
        self.misses
    }
}

/// Picks kernel variants. Nothing runs kernels here yet.
#[derive(Debug, Default)]
pub struct KernelOptimizer {
    requests: u64,
}

impl KernelOptimizer {
    /// An optimizer that was asked nothing.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// Would measure the variants of the kernel called `name`.
    ///
    /// # Errors
    /// Always [`DAAError::ConfigError`]: it is not built yet.
    pub fn optimize(&mut self, name: &str) -> DAAResult<()> {
        self.requests += 1;
        Err(DAAError::not_built(&format!(
            "tuning the kernel `{name}` through this crate"
        )))
    }

    /// How often it was asked.
    #[must_use]
    pub fn requests(&self) -> u64 {
        self.requests
    }
}
