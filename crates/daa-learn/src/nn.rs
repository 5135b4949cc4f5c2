//! Networks described as data, and their way to a compiled plan.
//!
//! An [`Architecture`] is plain data: it can be written to JSON, read back, checked ([`Architecture::validate`]) and
//! printed on one line. [`compile()`] turns it into a [`Network`]: one graph with the phases of training, evaluation and
//! prediction over the same parameters, its gradients derived by the [`Tape`] from the recorded forward ops.

pub mod architecture;
pub mod autodiff;
pub mod compile;
pub mod error;
pub mod init;
pub mod shape;

pub use architecture::{ARCHITECTURE_VERSION, Architecture, InputShape, Layer, OutputHead, PoolKind};
pub use autodiff::Tape;
pub use compile::{Network, OptimizerKind, Phases, Purpose, compile};
pub use error::{ArchitectureError, NetworkError};
pub use shape::{ParameterKind, ParameterSpec, Shape};
