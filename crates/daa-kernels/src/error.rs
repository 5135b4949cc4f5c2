//! Errors of launches, graphs, plans and sessions.

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
