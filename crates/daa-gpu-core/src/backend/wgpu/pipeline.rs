//! Compute pipelines, made once per program and device.

use super::device::Gpu;
use crate::backend::count;
use crate::error::GpuError;
use crate::program::Program;
use std::collections::BTreeMap;
use std::hash::{DefaultHasher, Hash, Hasher};
use std::sync::{Arc, Mutex, PoisonError};

/// Pipelines kept at most; programs beyond are compiled for each image that has them.
const KEPT: usize = 4096;

/// A compiled program and the layout of its bindings.
#[derive(Debug)]
pub(super) struct Pipeline {
    pub(super) pipeline: wgpu::ComputePipeline,
    pub(super) layout: wgpu::BindGroupLayout,
}

/// What tells programs apart: name, entry point, a hash of the text, and the shape of the bindings.
type Key = (&'static str, &'static str, u64, usize, bool);

/// The pipelines of one device.
#[derive(Debug, Default)]
pub(super) struct Pipelines {
    made: Mutex<BTreeMap<Key, Arc<Pipeline>>>,
}

impl Pipelines {
    /// The pipeline of a program. The lock is not held while it is compiled: two images that are loaded at once may
    /// both compile it, and one result is kept.
    pub(super) fn get(&self, gpu: &Gpu, program: &'static Program) -> Result<Arc<Pipeline>, GpuError> {
        let mut hasher = DefaultHasher::new();
        program.wgsl.hash(&mut hasher);
        let key = (
            program.name,
            program.entry,
            hasher.finish(),
            program.bindings.len(),
            program.params_words > 0,
        );
        if let Some(found) = self.made.lock().unwrap_or_else(PoisonError::into_inner).get(&key) {
            return Ok(Arc::clone(found));
        }
        let made = gpu
            .scoped(|| compile(&gpu.device, program))
            .map_err(|error| match error {
                GpuError::Validation { message } => GpuError::Validation {
                    message: format!("program `{}`: {message}", program.name),
                },
                other => other,
            })?;
        count(&gpu.tally.pipelines_created, 1);
        let made = Arc::new(made);
        let mut kept = self.made.lock().unwrap_or_else(PoisonError::into_inner);
        if kept.len() < KEPT {
            return Ok(Arc::clone(kept.entry(key).or_insert(made)));
        }
        Ok(made)
    }
}

fn compile(device: &wgpu::Device, program: &'static Program) -> Pipeline {
    let entries = layout_entries(program);
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
        cache: None,
    });
    Pipeline { pipeline, layout }
}

/// Storage bindings first, then the parameters, as [`Program`] says.
fn layout_entries(program: &Program) -> Vec<wgpu::BindGroupLayoutEntry> {
    let entry = |binding: usize, ty| wgpu::BindGroupLayoutEntry {
        binding: u32::try_from(binding).unwrap_or(u32::MAX),
        visibility: wgpu::ShaderStages::COMPUTE,
        ty: wgpu::BindingType::Buffer {
            ty,
            has_dynamic_offset: false,
            min_binding_size: None,
        },
        count: None,
    };
    let storage = wgpu::BufferBindingType::Storage { read_only: false };
    let count = program.bindings.len();
    let mut entries: Vec<_> = (0..count).map(|binding| entry(binding, storage)).collect();
    if program.params_words > 0 {
        entries.push(entry(count, wgpu::BufferBindingType::Uniform));
    }
    entries
}
