//! Why a description is no network, or a network no plan.

use daa_kernels::error::{GraphError, PlanError, RunError};

/// A description that is refused.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum ArchitectureError {
    /// The text is not the JSON form of a description.
    #[error("architecture: not a description: {reason}")]
    Json {
        /// What the reader found.
        reason: String,
    },
    /// Written by another version of this crate.
    #[error("architecture: version is {found}, this program reads version {wanted}")]
    Version {
        /// The version found.
        found: u32,
        /// The version read.
        wanted: u32,
    },
    /// A field outside its range. `place` is `input`, `output`, `layers` or `layer 3 (conv2d)`, counted from 0.
    #[error("architecture: {place}: {field} is {value}, allowed are {allowed}")]
    Range {
        /// Where.
        place: String,
        /// The field.
        field: &'static str,
        /// Its value.
        value: String,
        /// The values allowed.
        allowed: String,
    },
    /// A layer that wants an image stands behind one that gives a row of numbers.
    #[error("architecture: {place}: wants an image, but gets {features} flat features")]
    NeedsImage {
        /// Where.
        place: String,
        /// How many numbers it would get.
        features: usize,
    },
    /// More parameters than can be handled.
    #[error("architecture: {place}: {count} parameters, allowed are at most {limit}")]
    TooManyParameters {
        /// The layer at which the count exceeds the limit.
        place: String,
        /// Parameters up to and with that layer, capped at the largest representable number.
        count: usize,
        /// The limit.
        limit: usize,
    },
}

/// A network cannot be compiled or run.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum NetworkError {
    /// The description is refused.
    #[error(transparent)]
    Architecture(#[from] ArchitectureError),
    /// The batch size is outside its range.
    #[error("batch size is {value}, allowed are 1 to {limit}")]
    Batch {
        /// The batch size.
        value: usize,
        /// The largest allowed.
        limit: usize,
    },
    /// An op refuses its shapes.
    #[error(transparent)]
    Graph(#[from] GraphError),
    /// The plan refuses the graph.
    #[error(transparent)]
    Plan(#[from] PlanError),
    /// The device refused or failed.
    #[error(transparent)]
    Run(#[from] RunError),
}
