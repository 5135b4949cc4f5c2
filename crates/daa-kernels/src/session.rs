//! Running a plan: tensors by id on top of a loaded image.

use crate::error::RunError;
use crate::graph::{DType, PhaseId, Storage, TensorId};
use crate::plan::Plan;
use daa_gpu_core::{Loaded, Slice, Tenant, Ticket, Work};
use std::sync::Arc;

/// Elements that the caller gives for a tensor.
#[derive(Debug, Clone, Copy)]
pub enum Data<'a> {
    /// Floats.
    F32(&'a [f32]),
    /// Unsigned integers.
    U32(&'a [u32]),
}

impl<'a> Data<'a> {
    const fn dtype(self) -> DType {
        match self {
            Self::F32(_) => DType::F32,
            Self::U32(_) => DType::U32,
        }
    }

    const fn len(self) -> usize {
        match self {
            Self::F32(data) => data.len(),
            Self::U32(data) => data.len(),
        }
    }

    fn bytes(self) -> &'a [u8] {
        match self {
            Self::F32(data) => bytemuck::cast_slice(data),
            Self::U32(data) => bytemuck::cast_slice(data),
        }
    }
}

/// A plan loaded under a tenant's budget. Dropping it gives the memory back.
#[derive(Debug)]
pub struct Session {
    plan: Arc<Plan>,
    loaded: Loaded,
}

impl Session {
    /// Reserves exactly [`Plan::peak_bytes`] under `tenant` and loads the plan. All tensors start as zero.
    ///
    /// # Errors
    /// When the budget is too small or the device refuses.
    pub fn load(tenant: &Tenant, plan: Arc<Plan>) -> Result<Self, RunError> {
        let loaded = tenant.load(plan.image())?;
        Ok(Self { plan, loaded })
    }

    /// The plan that is loaded.
    #[must_use]
    pub const fn plan(&self) -> &Arc<Plan> {
        &self.plan
    }

    /// Writes persistent tensors.
    ///
    /// # Errors
    /// Data of another length or type, a temporary tensor, or a device that failed.
    pub fn write(&mut self, data: &[(TensorId, Data<'_>)]) -> Result<(), RunError> {
        let uploads = self.uploads(data)?;
        // Later submissions run after this one, so nobody needs to wait here; a failure surfaces with the next one.
        drop(self.loaded.submit(Work {
            list: None,
            uploads: &uploads,
            reads: &[],
        })?);
        Ok(())
    }

    /// Uploads `inputs` and runs `phase`. Returns once the work is queued: the host waits only when the plan's ring
    /// of uploads in flight is full.
    ///
    /// # Errors
    /// As [`Session::write`].
    pub fn run(&mut self, phase: PhaseId, inputs: &[(TensorId, Data<'_>)]) -> Result<Ticket, RunError> {
        let list = self.plan.list(phase).ok_or(RunError::Unknown { what: "phase" })?;
        let uploads = self.uploads(inputs)?;
        Ok(self.loaded.submit(Work {
            list: Some(list),
            uploads: &uploads,
            reads: &[],
        })?)
    }

    /// Uploads `inputs`, runs `phase`, and reads `outputs`, in one submission where they fit the staging areas.
    ///
    /// # Errors
    /// As [`Session::write`], and outputs that the phase does not keep ([`crate::Graph::output`]).
    pub fn run_and_read(
        &mut self,
        phase: PhaseId,
        inputs: &[(TensorId, Data<'_>)],
        outputs: &[TensorId],
    ) -> Result<Vec<Vec<f32>>, RunError> {
        let list = self.plan.list(phase).ok_or(RunError::Unknown { what: "phase" })?;
        let uploads = self.uploads(inputs)?;
        let reads = outputs
            .iter()
            .map(|&id| self.readable(id, Some(phase)))
            .collect::<Result<Vec<_>, _>>()?;
        let ticket = self.loaded.submit(Work {
            list: Some(list),
            uploads: &uploads,
            reads: &reads,
        })?;
        Ok(split(&ticket.wait()?, &reads))
    }

    /// Reads persistent tensors, after all that was submitted before.
    ///
    /// # Errors
    /// Temporary tensors, or a device that failed.
    pub fn read(&mut self, tensors: &[TensorId]) -> Result<Vec<Vec<f32>>, RunError> {
        let reads = tensors
            .iter()
            .map(|&id| self.readable(id, None))
            .collect::<Result<Vec<_>, _>>()?;
        let ticket = self.loaded.submit(Work {
            list: None,
            uploads: &[],
            reads: &reads,
        })?;
        Ok(split(&ticket.wait()?, &reads))
    }

    fn uploads<'d>(&self, data: &[(TensorId, Data<'d>)]) -> Result<Vec<(Slice, &'d [u8])>, RunError> {
        data.iter()
            .map(|&(id, data)| Ok((self.writable(id, data)?, data.bytes())))
            .collect()
    }

    fn writable(&self, id: TensorId, data: Data<'_>) -> Result<Slice, RunError> {
        let slice = self.plan.slice(id).ok_or(RunError::Unknown { what: "tensor" })?;
        let tensor = self.plan.graph().tensor(self.plan.graph().root(id));
        if matches!(tensor.storage, Storage::Temporary(_)) {
            return Err(RunError::NotWritable {
                tensor: tensor.name.clone(),
            });
        }
        if tensor.dtype != data.dtype() {
            let (wanted, given) = (tensor.dtype, data.dtype());
            return Err(RunError::DType {
                tensor: tensor.name.clone(),
                wanted,
                given,
            });
        }
        if tensor.elements() != data.len() {
            let (wanted, given) = (tensor.elements(), data.len());
            return Err(RunError::Length {
                tensor: tensor.name.clone(),
                wanted,
                given,
            });
        }
        Ok(slice)
    }

    fn readable(&self, id: TensorId, after: Option<PhaseId>) -> Result<Slice, RunError> {
        let slice = self.plan.slice(id).ok_or(RunError::Unknown { what: "tensor" })?;
        let tensor = self.plan.graph().tensor(self.plan.graph().root(id));
        match tensor.storage {
            Storage::Temporary(phase) if !tensor.is_output || Some(phase) != after => {
                Err(RunError::NotReadable {
                    tensor: tensor.name.clone(),
                })
            }
            _ if tensor.dtype != DType::F32 => {
                let (wanted, given) = (DType::F32, tensor.dtype);
                Err(RunError::DType {
                    tensor: tensor.name.clone(),
                    wanted,
                    given,
                })
            }
            _ => Ok(slice),
        }
    }
}

/// The bytes of the reads, concatenated in order, as one vector each.
fn split(bytes: &[u8], reads: &[Slice]) -> Vec<Vec<f32>> {
    let mut at = 0;
    reads
        .iter()
        .map(|slice| {
            let end = at + slice.bytes as usize;
            let floats = bytemuck::pod_collect_to_vec(&bytes[at..end]);
            at = end;
            floats
        })
        .collect()
}
