//! What is known about the compute pipelines of a device.

use serde::{Deserialize, Serialize};

/// The compiled pipelines of a context, in memory and in the file that outlives it. All zero on the host backend,
/// which compiles nothing.
///
/// A pipeline is found by a hash of its program's name, entry point, WGSL text and layout, per adapter and driver.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[non_exhaustive]
pub struct PipelineReport {
    /// Kept in memory now; at most [`crate::ContextConfig::max_pipelines`].
    pub kept: u64,
    /// Compiled.
    pub made: u64,
    /// Found in memory.
    pub reused: u64,
    /// Dropped from memory, the least recently used first, because there were too many.
    pub evicted: u64,
    /// The file, where [`crate::ContextConfig::pipeline_cache`] names a folder and the driver has a cache to save.
    pub file: Option<PipelineFileReport>,
}

/// The file of compiled pipelines of one adapter and driver.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[non_exhaustive]
pub struct PipelineFileReport {
    /// Pipelines that the file already had when the context was opened.
    pub found: u64,
    /// Files that were there and not used, because they are damaged, too large, of another adapter, driver or version,
    /// or open to others. What was in them is compiled anew, and the next save replaces them.
    pub rebuilt: u64,
    /// Why the last of these was not used.
    pub refusal: Option<String>,
    /// Times the file was written.
    pub saved: u64,
    /// Times it could not be written; after one, this context tries no more.
    pub failed: u64,
}
