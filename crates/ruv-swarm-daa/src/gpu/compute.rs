//! Where an agent computes. In this version that is the host's CPU.

use crate::error::{DAAError, DAAResult};
use std::marker::PhantomData;

/// What computes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum BackendType {
    /// The host's CPU.
    Cpu,
    /// A GPU through WebGPU.
    WebGpu,
}

/// The device an agent computes on, for numbers of type `T`.
#[derive(Debug)]
pub struct ComputeContext<T> {
    reason: &'static str,
    numbers: PhantomData<fn() -> T>,
}

impl<T> Default for ComputeContext<T> {
    fn default() -> Self {
        Self::new()
    }
}

impl<T> ComputeContext<T> {
    /// A context on the host's CPU.
    #[must_use]
    pub fn new() -> Self {
        let reason = if cfg!(feature = "webgpu") {
            "GPU work is not built yet in this crate"
        } else {
            "the feature `webgpu` is off"
        };
        Self {
            reason,
            numbers: PhantomData,
        }
    }

    /// What computes.
    #[must_use]
    pub fn backend(&self) -> BackendType {
        BackendType::Cpu
    }

    /// Whether a GPU computes.
    #[must_use]
    pub fn is_gpu_available(&self) -> bool {
        self.backend() == BackendType::WebGpu
    }

    /// Why this backend was chosen.
    #[must_use]
    pub fn reason(&self) -> &'static str {
        self.reason
    }

    /// Would move to a GPU.
    ///
    /// # Errors
    /// Always [`DAAError::ConfigError`]: it is not built yet.
    pub async fn initialize_gpu(&mut self) -> DAAResult<()> {
        Err(DAAError::not_built("computing on a GPU through this crate"))
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
