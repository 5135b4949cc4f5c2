//! Where an agent computes, and buffers in that device's memory. Networks are trained there; other tasks run on the host's CPU.

mod device;

use crate::error::{DAAError, DAAResult};
use daa_gpu_core::DeviceChoice;
use device::{Memory, open};
use std::marker::PhantomData;
use std::sync::Arc;

pub(crate) use device::Opened;

/// Limit of a context that was given none, in MiB.
const DEFAULT_LIMIT_MB: u64 = 1024;

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
    open: Option<Arc<dyn Opened>>,
    limit_mb: u64,
    numbers: PhantomData<fn() -> T>,
}

impl<T> Default for ComputeContext<T> {
    fn default() -> Self {
        Self::new()
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
            limit_mb: memory_mb,
            numbers: PhantomData,
        }
    }

    /// What kind of device is open; the CPU before the first use.
    #[must_use]
    pub fn backend(&self) -> BackendType {
        let is_gpu = self.open.as_ref().is_some_and(|device| device.is_gpu());
        if is_gpu {
            BackendType::WebGpu
        } else {
            BackendType::Cpu
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
        let none = || "no device is open yet; the first use opens the host's CPU".to_owned();
        self.open.as_ref().map_or_else(none, |device| device.reason())
    }

    /// Opens a GPU for the buffers to come; blocks while the driver starts. What is open stays if that fails.
    ///
    /// # Errors
    /// [`DAAError::ConfigError`] that says why: the feature `webgpu` is off, no GPU was found, or its driver refused.
    pub async fn initialize_gpu(&mut self) -> DAAResult<()> {
        if !cfg!(feature = "webgpu") {
            return Err(DAAError::config("a GPU needs the feature `webgpu`, which is off"));
        }
        self.open = Some(open(DeviceChoice::Gpu, self.limit_mb)?);
        Ok(())
    }
}

/// The host's CPU, with the limit of a context that was given none.
pub(crate) fn host() -> DAAResult<Arc<dyn Opened>> {
    open(DeviceChoice::Cpu, DEFAULT_LIMIT_MB)
}

impl ComputeContext<f32> {
    /// The open device; the host's CPU is opened where none is.
    pub(crate) fn device(&mut self) -> DAAResult<Arc<dyn Opened>> {
        let device = match self.open.take() {
            Some(device) => device,
            None => open(DeviceChoice::Cpu, self.limit_mb)?,
        };
        Ok(Arc::clone(self.open.insert(device)))
    }

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
        let bytes: Vec<u8> = values.iter().flat_map(|value| value.to_le_bytes()).collect();
        let memory = self.device()?.upload(&bytes)?;
        Ok(DeviceBuffer { memory })
    }
}

/// Numbers in a device's memory. Dropping it gives the memory back.
#[derive(Debug)]
pub struct DeviceBuffer {
    memory: Box<dyn Memory>,
}

impl DeviceBuffer {
    /// Copies the numbers back; blocks until that is done.
    ///
    /// # Errors
    /// [`DAAError::ConfigError`] for what the device refuses, for example once it is lost.
    pub fn download(&mut self) -> DAAResult<Vec<f32>> {
        let bytes = self.memory.download()?;
        let (words, _) = bytes.as_chunks::<4>();
        Ok(words.iter().map(|word| f32::from_le_bytes(*word)).collect())
    }

    /// Bytes that all buffers of the same context hold, staging included.
    #[must_use]
    pub fn context_bytes(&self) -> u64 {
        self.memory.context_bytes()
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
