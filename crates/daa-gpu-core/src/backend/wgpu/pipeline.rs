//! Compute pipelines, compiled once per program and device, and kept between processes where the driver can.

mod file;
pub(crate) mod frame;
mod key;
mod recent;
mod store;

use super::device::Gpu;
use crate::backend::count;
use crate::config::ContextConfig;
use crate::error::GpuError;
use crate::pipelines::PipelineReport;
use crate::program::{Access, Program};
use file::CacheFile;
use key::{Digest, Identity};
use recent::Recent;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

/// A compiled program and the layout of its bindings.
#[derive(Debug)]
pub(super) struct Pipeline {
    pub(super) pipeline: wgpu::ComputePipeline,
    pub(super) layout: wgpu::BindGroupLayout,
}

/// The pipelines of one device.
#[derive(Debug)]
pub(super) struct Pipelines {
    kept: Mutex<Recent<Digest, Arc<Pipeline>>>,
    file: Option<CacheFile>,
    made: AtomicU64,
    reused: AtomicU64,
    evicted: AtomicU64,
}

impl Pipelines {
    pub(super) fn open(device: &wgpu::Device, adapter: &wgpu::AdapterInfo, config: &ContextConfig) -> Self {
        let folder = config.pipeline_cache.as_deref();
        let saves = device.features().contains(wgpu::Features::PIPELINE_CACHE);
        Self {
            kept: Mutex::new(Recent::new(config.max_pipelines)),
            file: folder
                .filter(|_| saves)
                .map(|folder| CacheFile::open(device, folder, Identity::of(adapter))),
            made: AtomicU64::new(0),
            reused: AtomicU64::new(0),
            evicted: AtomicU64::new(0),
        }
    }

    fn lock(&self) -> MutexGuard<'_, Recent<Digest, Arc<Pipeline>>> {
        self.kept.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The pipeline of a program. The lock is not held while it is compiled: two images that are loaded at once may
    /// both compile it, and one result is kept.
    pub(super) fn get(&self, gpu: &Gpu, program: &'static Program) -> Result<Arc<Pipeline>, GpuError> {
        let layout = layout(program);
        let key = key::of_program(
            program,
            &layout.iter().map(|kind| *kind as u8).collect::<Vec<_>>(),
        );
        let found = self.lock().get(key);
        if let Some(found) = found {
            count(&self.reused, 1);
            return Ok(found);
        }
        let cache = self.file.as_ref().and_then(CacheFile::cache);
        let made = gpu
            .scoped(|| compile(&gpu.device, program, &layout, cache))
            .map_err(|error| match error {
                GpuError::Validation { message } => GpuError::Validation {
                    message: format!("program `{}`: {message}", program.name),
                },
                other => other,
            })?;
        count(&gpu.tally.pipelines_created, 1);
        count(&self.made, 1);
        if let Some(file) = &self.file {
            file.made(key);
        }
        let (kept, evicted) = self.lock().keep(key, Arc::new(made));
        count(&self.evicted, evicted);
        Ok(kept)
    }

    /// Saves what was compiled since the last save, if anything was.
    pub(super) fn save(&self) {
        if let Some(file) = &self.file {
            file.save();
        }
    }

    pub(super) fn report(&self) -> PipelineReport {
        let get = |cell: &AtomicU64| cell.load(Ordering::Relaxed);
        PipelineReport {
            kept: self.lock().len() as u64,
            made: get(&self.made),
            reused: get(&self.reused),
            evicted: get(&self.evicted),
            file: self.file.as_ref().map(CacheFile::report),
        }
    }
}

fn compile(
    device: &wgpu::Device,
    program: &'static Program,
    layout: &[Binding],
    cache: Option<&wgpu::PipelineCache>,
) -> Pipeline {
    let entries: Vec<_> = (0..).zip(layout).map(|(at, kind)| kind.entry(at)).collect();
    let layout = device.create_bind_group_layout(&wgpu::BindGroupLayoutDescriptor {
        label: Some(program.name),
        entries: &entries,
    });
    let pipeline_layout = device.create_pipeline_layout(&wgpu::PipelineLayoutDescriptor {
        label: Some(program.name),
        bind_group_layouts: &[Some(&layout)],
        immediate_size: 0,
    });
    let module = device.create_shader_module(wgpu::ShaderModuleDescriptor {
        label: Some(program.name),
        source: wgpu::ShaderSource::Wgsl(program.wgsl.into()),
    });
    let pipeline = device.create_compute_pipeline(&wgpu::ComputePipelineDescriptor {
        label: Some(program.name),
        layout: Some(&pipeline_layout),
        module: &module,
        entry_point: Some(program.entry),
        compilation_options: wgpu::PipelineCompilationOptions::default(),
        cache,
    });
    Pipeline { pipeline, layout }
}

/// One entry of a layout. The numbers are part of the key, and so of files.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Binding {
    Storage = 0,
    Params = 1,
    Constant = 2,
}

impl Binding {
    const fn entry(self, binding: u32) -> wgpu::BindGroupLayoutEntry {
        let ty = match self {
            Self::Storage => wgpu::BufferBindingType::Storage { read_only: false },
            Self::Params => wgpu::BufferBindingType::Uniform,
            Self::Constant => wgpu::BufferBindingType::Storage { read_only: true },
        };
        wgpu::BindGroupLayoutEntry {
            binding,
            visibility: wgpu::ShaderStages::COMPUTE,
            ty: wgpu::BindingType::Buffer {
                ty,
                has_dynamic_offset: false,
                min_binding_size: None,
            },
            count: None,
        }
    }
}

/// Storage bindings first, then the parameters, as [`Program`] says.
fn layout(program: &Program) -> Vec<Binding> {
    let storage = program.bindings.iter().map(|spec| match spec.access {
        Access::Constant => Binding::Constant,
        _ => Binding::Storage,
    });
    let params = (program.params_words > 0).then_some(Binding::Params);
    storage.chain(params).collect()
}
