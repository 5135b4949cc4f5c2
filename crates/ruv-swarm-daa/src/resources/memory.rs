//! Memory as a resource.

use serde::{Deserialize, Serialize};

/// Urgency of an allocation.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum MemoryPriority {
    /// Can be dropped.
    Low,
    /// The usual.
    Normal,
    /// Keep if possible.
    High,
    /// Keep.
    Critical,
}

/// One allocation.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct MemoryAllocation {
    /// Identifier.
    pub id: String,
    /// Size in bytes.
    pub size: usize,
    /// Address, where there is one.
    pub address: Option<usize>,
    /// Urgency.
    pub priority: MemoryPriority,
    /// When it was made.
    pub allocated_at: u64,
}

/// Memory in bytes.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct MemoryStatistics {
    /// All.
    pub total_memory: usize,
    /// In use.
    pub allocated_memory: usize,
    /// Free.
    pub free_memory: usize,
    /// Fragmentation, 0 to 1.
    pub fragmentation: f64,
    /// Allocations held.
    pub allocation_count: usize,
}

/// How scarce memory is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum MemoryPressure {
    /// Not at all.
    None,
    /// A little.
    Low,
    /// Somewhat.
    Medium,
    /// Very.
    High,
    /// Nearly gone.
    Critical,
}

/// Bounds on memory in bytes.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct MemoryLimits {
    /// Most that may be used.
    pub max_memory: usize,
    /// Warn above this.
    pub warning_threshold: usize,
    /// Act above this.
    pub emergency_threshold: usize,
    /// Most in one allocation.
    pub max_allocation_size: usize,
}

/// What a collection did.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct GcResult {
    /// Bytes freed.
    pub memory_freed: usize,
    /// Objects dropped.
    pub objects_collected: usize,
    /// Time it took in milliseconds.
    pub gc_time: u64,
    /// Share of garbage found, 0 to 1.
    pub efficiency: f64,
}

/// What a compaction did.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct CompactionResult {
    /// Bytes moved.
    pub memory_compacted: usize,
    /// Change in fragmentation.
    pub fragmentation_reduced: f64,
    /// Time it took in milliseconds.
    pub compaction_time: u64,
}
