//! Shape-checked graphs of ops over named tensors, recorded in phases.
//!
//! A graph holds *persistent* tensors (parameters, state, inputs), which live as long as a session, and *temporary*
//! ones, which live within one phase. A phase is a list of ops that runs as one submission: training records one
//! phase for a step, one for evaluation, one for prediction, all over the same parameters.
//!
//! Every method that records an op checks the shapes first; its error names the op and the shapes. Tensors are
//! row-major; images are `[batch, channels, height, width]`; the channel dimension is 1.

mod dense;
mod elementwise;
mod image;
mod loss;
mod op;
mod optimizer;
#[cfg(test)]
mod tests;

pub use image::{BatchNorm, BatchNormGrad, BatchNormOut, Conv2d, Pool2d};
pub use op::Op;
pub use optimizer::{ADAM_HYPER_WORDS, SGD_HYPER_WORDS};

use crate::error::GraphError;
use std::fmt;

/// A tensor of one [`Graph`].
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct TensorId(u32);

impl TensorId {
    pub(crate) const fn index(self) -> usize {
        self.0 as usize
    }
}

/// A phase of one [`Graph`]: ops that run as one submission.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct PhaseId(u32);

impl PhaseId {
    pub(crate) const fn index(self) -> usize {
        self.0 as usize
    }
}

/// What the 4-byte elements of a tensor are.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum DType {
    /// IEEE 754 binary32.
    F32,
    /// Unsigned 32-bit integer.
    U32,
}

impl fmt::Display for DType {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::F32 => "f32",
            Self::U32 => "u32",
        })
    }
}

/// Where a tensor lives.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Storage {
    /// Trained; zero until written.
    Parameter,
    /// Kept between runs and changed by ops; zero until written.
    State,
    /// Given by the caller; keeps its value until given again.
    Input,
    /// Made by one op and used within its phase.
    Temporary(PhaseId),
    /// The same memory as another tensor, under another shape.
    View(TensorId),
}

#[derive(Debug, Clone)]
pub(crate) struct Tensor {
    pub(crate) name: String,
    pub(crate) shape: Vec<usize>,
    pub(crate) dtype: DType,
    pub(crate) storage: Storage,
    /// Whether callers read it after its phase, so that its memory stays untouched until the phase ends.
    pub(crate) is_output: bool,
}

impl Tensor {
    pub(crate) fn elements(&self) -> usize {
        self.shape.iter().product()
    }

    pub(crate) fn bytes(&self) -> u64 {
        self.elements() as u64 * 4
    }
}

/// One recorded op. Its program binds `inputs`, then `outputs`, then `updates`.
#[derive(Debug, Clone)]
pub(crate) struct Node {
    pub(crate) phase: PhaseId,
    pub(crate) op: Op,
    pub(crate) inputs: Vec<TensorId>,
    pub(crate) outputs: Vec<TensorId>,
    /// Persistent tensors that the op changes in place.
    pub(crate) updates: Vec<TensorId>,
}

/// Most dimensions of a tensor.
pub const MAX_RANK: usize = 4;

/// Most elements of one tensor: indices in kernels are 32 bits wide.
pub const MAX_ELEMENTS: usize = 1 << 30;

/// A recorded computation. See the module documentation.
#[derive(Debug, Clone, Default)]
pub struct Graph {
    pub(crate) tensors: Vec<Tensor>,
    pub(crate) nodes: Vec<Node>,
    pub(crate) phases: Vec<String>,
}

impl Graph {
    /// A graph without tensors, ops or phases.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// A trained `f32` tensor; zero until it is written.
    ///
    /// # Errors
    /// A shape without elements, with too many dimensions or elements, or a name that is taken.
    pub fn parameter(&mut self, name: &str, shape: &[usize]) -> Result<TensorId, GraphError> {
        self.persistent(name, shape, DType::F32, Storage::Parameter)
    }

    /// An `f32` tensor that ops change in place and that is kept between runs (optimizer moments, running
    /// statistics, metric sums); zero until it is written.
    ///
    /// # Errors
    /// As [`Graph::parameter`].
    pub fn state(&mut self, name: &str, shape: &[usize]) -> Result<TensorId, GraphError> {
        self.persistent(name, shape, DType::F32, Storage::State)
    }

    /// A tensor that the caller gives; it keeps its value until it is given again.
    ///
    /// # Errors
    /// As [`Graph::parameter`].
    pub fn input(&mut self, name: &str, shape: &[usize], dtype: DType) -> Result<TensorId, GraphError> {
        self.persistent(name, shape, dtype, Storage::Input)
    }

    /// Starts a phase: ops recorded from here on belong to it.
    pub fn phase(&mut self, name: &str) -> PhaseId {
        self.phases.push(name.to_owned());
        PhaseId(u32::try_from(self.phases.len() - 1).unwrap_or(u32::MAX))
    }

    /// The tensor's shape.
    ///
    /// # Panics
    /// When `id` comes from another graph that has more tensors.
    #[must_use]
    pub fn shape(&self, id: TensorId) -> &[usize] {
        &self.tensors[id.index()].shape
    }

    /// The tensor's element type.
    ///
    /// # Panics
    /// When `id` comes from another graph that has more tensors.
    #[must_use]
    pub fn dtype(&self, id: TensorId) -> DType {
        self.tensors[id.index()].dtype
    }

    /// The tensor's name; the op and number that made it for temporary ones.
    ///
    /// # Panics
    /// When `id` comes from another graph that has more tensors.
    #[must_use]
    pub fn name(&self, id: TensorId) -> &str {
        &self.tensors[id.index()].name
    }

    /// The parameters in the order they were declared.
    pub fn parameters(&self) -> impl Iterator<Item = TensorId> + '_ {
        self.stored_as(&Storage::Parameter)
    }

    /// The state tensors in the order they were declared.
    pub fn states(&self) -> impl Iterator<Item = TensorId> + '_ {
        self.stored_as(&Storage::State)
    }

    /// Marks `x` as read by the caller after its phase has run.
    ///
    /// # Errors
    /// When `x` is not of this graph.
    pub fn output(&mut self, x: TensorId) -> Result<(), GraphError> {
        self.check("output", x)?;
        let root = self.root(x);
        self.tensors[root.index()].is_output = true;
        Ok(())
    }

    /// The same elements under another shape; no memory moves.
    ///
    /// # Errors
    /// When the number of elements differs.
    pub fn reshape(&mut self, x: TensorId, shape: &[usize]) -> Result<TensorId, GraphError> {
        self.check("reshape", x)?;
        check_shape("reshape", shape)?;
        let from = &self.tensors[x.index()];
        if from.elements() != shape.iter().product::<usize>() {
            return Err(GraphError::shape(
                "reshape",
                &[&from.shape, shape],
                "the numbers of elements differ",
            ));
        }
        let view = Tensor {
            name: from.name.clone(),
            shape: shape.to_vec(),
            dtype: from.dtype,
            storage: Storage::View(self.root(x)),
            is_output: false,
        };
        self.push(view)
    }

    /// The tensor whose memory `id` names: itself unless it is a view.
    pub(crate) fn root(&self, id: TensorId) -> TensorId {
        match self.tensors[id.index()].storage {
            Storage::View(of) => of,
            _ => id,
        }
    }

    pub(crate) fn tensor(&self, id: TensorId) -> &Tensor {
        &self.tensors[id.index()]
    }

    pub(crate) fn ids(&self) -> impl Iterator<Item = TensorId> + use<> {
        (0..u32::try_from(self.tensors.len()).unwrap_or(u32::MAX)).map(TensorId)
    }

    fn stored_as<'a>(&'a self, storage: &'a Storage) -> impl Iterator<Item = TensorId> + 'a {
        self.ids()
            .filter(move |id| self.tensors[id.index()].storage == *storage)
    }

    fn persistent(
        &mut self,
        name: &str,
        shape: &[usize],
        dtype: DType,
        storage: Storage,
    ) -> Result<TensorId, GraphError> {
        check_shape("declare", shape)?;
        let taken =
            |t: &Tensor| t.name == name && !matches!(t.storage, Storage::Temporary(_) | Storage::View(_));
        if self.tensors.iter().any(taken) {
            return Err(GraphError::NameTaken {
                name: name.to_owned(),
            });
        }
        self.push(Tensor {
            name: name.to_owned(),
            shape: shape.to_vec(),
            dtype,
            storage,
            is_output: false,
        })
    }

    fn push(&mut self, tensor: Tensor) -> Result<TensorId, GraphError> {
        let index = u32::try_from(self.tensors.len()).map_err(|_| GraphError::TooManyTensors)?;
        self.tensors.push(tensor);
        Ok(TensorId(index))
    }

    /// Records `op` over `inputs`; makes one temporary `f32` tensor per shape in `outputs`.
    fn record<const N: usize>(
        &mut self,
        op: Op,
        inputs: &[TensorId],
        outputs: [&[usize]; N],
        updates: &[TensorId],
    ) -> Result<[TensorId; N], GraphError> {
        let name = op.name();
        let phase = match self.phases.len() {
            0 => return Err(GraphError::NoPhase { op: name }),
            count => PhaseId(u32::try_from(count - 1).map_err(|_| GraphError::TooManyTensors)?),
        };
        for &input in inputs {
            self.check(name, input)?;
            self.check_readable(name, input, phase)?;
        }
        for &update in updates {
            self.check(name, update)?;
            if !matches!(
                self.tensor(self.root(update)).storage,
                Storage::Parameter | Storage::State
            ) {
                return Err(GraphError::NotUpdatable {
                    op: name,
                    tensor: self.name(update).to_owned(),
                });
            }
        }
        op.launch(self, inputs, updates)?;
        let mut ids = [TensorId(0); N];
        for (id, shape) in ids.iter_mut().zip(outputs) {
            check_shape(name, shape)?;
            *id = self.push(Tensor {
                name: format!("{name}#{}", self.nodes.len()),
                shape: shape.to_vec(),
                dtype: DType::F32,
                storage: Storage::Temporary(phase),
                is_output: false,
            })?;
        }
        let node = Node {
            phase,
            op,
            inputs: inputs.to_vec(),
            outputs: ids.to_vec(),
            updates: updates.to_vec(),
        };
        self.nodes.push(node);
        Ok(ids)
    }

    fn check(&self, op: &'static str, id: TensorId) -> Result<(), GraphError> {
        if id.index() < self.tensors.len() {
            Ok(())
        } else {
            Err(GraphError::UnknownTensor { op })
        }
    }

    fn check_readable(&self, op: &'static str, id: TensorId, phase: PhaseId) -> Result<(), GraphError> {
        match self.tensor(self.root(id)).storage {
            Storage::Temporary(made_in) if made_in != phase => Err(GraphError::OtherPhase {
                op,
                tensor: self.name(id).to_owned(),
                made_in: self.phases[made_in.index()].clone(),
                used_in: self.phases[phase.index()].clone(),
            }),
            _ => Ok(()),
        }
    }

    /// The shape of `id`, which must be an `f32` tensor of this graph.
    fn floats(&self, op: &'static str, id: TensorId) -> Result<&[usize], GraphError> {
        self.typed(op, id, DType::F32)
    }

    fn typed(&self, op: &'static str, id: TensorId, wanted: DType) -> Result<&[usize], GraphError> {
        self.check(op, id)?;
        let tensor = self.tensor(id);
        if tensor.dtype != wanted {
            return Err(GraphError::DType {
                op,
                tensor: tensor.name.clone(),
                wanted,
                found: tensor.dtype,
            });
        }
        Ok(&tensor.shape)
    }

    /// Refuses `shapes` unless they are all the same.
    fn same(&self, op: &'static str, ids: &[TensorId]) -> Result<Vec<usize>, GraphError> {
        let shapes = ids
            .iter()
            .map(|&id| self.floats(op, id))
            .collect::<Result<Vec<_>, _>>()?;
        if shapes.windows(2).any(|pair| pair[0] != pair[1]) {
            return Err(GraphError::shape(op, &shapes, "the shapes must be equal"));
        }
        Ok(shapes[0].to_vec())
    }
}

fn check_shape(op: &'static str, shape: &[usize]) -> Result<(), GraphError> {
    let elements = shape
        .iter()
        .try_fold(1_usize, |product, &dim| product.checked_mul(dim));
    match elements {
        _ if shape.is_empty() || shape.len() > MAX_RANK => {
            Err(GraphError::shape(op, &[shape], "a tensor has 1 to 4 dimensions"))
        }
        Some(1..=MAX_ELEMENTS) => Ok(()),
        _ => Err(GraphError::shape(op, &[shape], "a tensor has 1 to 2^30 elements")),
    }
}
