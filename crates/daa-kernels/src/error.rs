//! Errors of launches, graphs, plans and sessions.

use crate::graph::DType;
use daa_gpu_core::{DeviceError, GpuError};

/// A kernel cannot be launched on these sizes.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum LaunchError {
    /// A size is beyond what the kernel handles.
    #[error("{op}: {what} is {value}, allowed are 1 to {limit}")]
    TooLarge {
        /// The op.
        op: &'static str,
        /// Which of its sizes.
        what: &'static str,
        /// The size asked for.
        value: u64,
        /// The largest size allowed.
        limit: u64,
    },
    /// A parameter is outside its range.
    #[error("{op}: {what} is {value}, allowed are {allowed}")]
    OutOfRange {
        /// The op.
        op: &'static str,
        /// Which of its parameters.
        what: &'static str,
        /// The value asked for.
        value: String,
        /// The values allowed.
        allowed: &'static str,
    },
}

/// An op cannot be recorded.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum GraphError {
    /// The shapes do not fit the op.
    #[error("{op} {shapes}: {reason}")]
    Shape {
        /// The op.
        op: &'static str,
        /// The shapes, as `[2, 3] and [4]`.
        shapes: String,
        /// What does not fit.
        reason: String,
    },
    /// A tensor has another element type than the op wants.
    #[error("{op}: tensor `{tensor}` holds {found}, wanted is {wanted}")]
    DType {
        /// The op.
        op: &'static str,
        /// The tensor's name.
        tensor: String,
        /// What the op wants.
        wanted: DType,
        /// What the tensor holds.
        found: DType,
    },
    /// A temporary tensor is used outside the phase that makes it.
    #[error("{op}: tensor `{tensor}` is made in phase `{made_in}` and gone in phase `{used_in}`")]
    OtherPhase {
        /// The op.
        op: &'static str,
        /// The tensor's name.
        tensor: String,
        /// The phase that makes it.
        made_in: String,
        /// The phase that wants it.
        used_in: String,
    },
    /// Only parameters and state can be changed in place.
    #[error("{op}: tensor `{tensor}` is neither a parameter nor state, so it cannot be changed in place")]
    NotUpdatable {
        /// The op.
        op: &'static str,
        /// The tensor's name.
        tensor: String,
    },
    /// An op was recorded before the first phase began.
    #[error("{op}: no phase has begun")]
    NoPhase {
        /// The op.
        op: &'static str,
    },
    /// A tensor id of another graph.
    #[error("{op}: the tensor is not of this graph")]
    UnknownTensor {
        /// The op.
        op: &'static str,
    },
    /// Two persistent tensors of one name.
    #[error("the tensor name `{name}` is taken")]
    NameTaken {
        /// The name.
        name: String,
    },
    /// More tensors than ids.
    #[error("a graph holds at most 2^32 tensors")]
    TooManyTensors,
    /// The kernel refuses the sizes.
    #[error(transparent)]
    Launch(#[from] LaunchError),
}

impl GraphError {
    /// A shape error over `shapes`.
    pub(crate) fn shape(op: &'static str, shapes: &[&[usize]], reason: impl Into<String>) -> Self {
        let shapes: Vec<String> = shapes.iter().map(|shape| format!("{shape:?}")).collect();
        Self::Shape {
            op,
            shapes: shapes.join(" and "),
            reason: reason.into(),
        }
    }
}

/// A graph cannot become a plan.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum PlanError {
    /// The graph holds no op.
    #[error("the graph holds no op, so there is nothing to plan")]
    Empty,
    /// An option is outside its range.
    #[error("plan option {field} is {value}, allowed are {allowed}")]
    Option {
        /// Which option.
        field: &'static str,
        /// Its value.
        value: u64,
        /// The values allowed.
        allowed: &'static str,
    },
    /// An op's kernel refuses its sizes.
    #[error(transparent)]
    Graph(#[from] GraphError),
    /// The tensors take more than an arena can have.
    #[error(transparent)]
    Layout(#[from] daa_gpu_core::memory::layout::SumError),
}

/// A session cannot do what it was asked.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum RunError {
    /// Data of another length than the tensor.
    #[error("tensor `{tensor}` holds {wanted} elements, given were {given}")]
    Length {
        /// The tensor's name.
        tensor: String,
        /// Its number of elements.
        wanted: usize,
        /// The number of elements given.
        given: usize,
    },
    /// Data of another type than the tensor.
    #[error("tensor `{tensor}` holds {wanted}, given was {given}")]
    DType {
        /// The tensor's name.
        tensor: String,
        /// What it holds.
        wanted: DType,
        /// What was given.
        given: DType,
    },
    /// The tensor cannot be written from the host.
    #[error("tensor `{tensor}` is temporary: only inputs, parameters and state can be written")]
    NotWritable {
        /// The tensor's name.
        tensor: String,
    },
    /// The tensor's memory is reused by the time it would be read.
    #[error("tensor `{tensor}` is temporary and not an output of the phase, so it cannot be read")]
    NotReadable {
        /// The tensor's name.
        tensor: String,
    },
    /// A tensor or phase id of another graph.
    #[error("the {what} is not of this plan's graph")]
    Unknown {
        /// `tensor` or `phase`.
        what: &'static str,
    },
    /// The device refused or failed.
    #[error(transparent)]
    Gpu(#[from] GpuError),
    /// No device can be opened to run on.
    #[error(transparent)]
    Device(#[from] DeviceError),
}
