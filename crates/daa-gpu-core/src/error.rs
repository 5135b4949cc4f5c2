//! Errors, and the class that callers act on.

use crate::adapter::{AdapterReport, DeviceChoice};
use crate::config::ConfigError;
use crate::image::ImageError;
use crate::memory::tier::Tier;
use daa_base::{Bytes, DeviceEpoch, FencingToken};
use std::fmt;
use std::time::Duration;

/// What kind of failure an error is; breakers and retries go by it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, serde::Serialize, serde::Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum ErrorClass {
    /// The request was wrong; sending it again cannot help, and the device is not to blame.
    Validation,
    /// Memory is short: a budget, the pool's capacity or the driver.
    OutOfMemory,
    /// The device is gone; everything on it is void.
    DeviceLost,
    /// Something took longer than its deadline.
    Timeout,
    /// A fault of the driver or of a kernel.
    Internal,
    /// The device computed something wrong without saying so.
    Corruption,
}

impl fmt::Display for ErrorClass {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Validation => "validation",
            Self::OutOfMemory => "out of memory",
            Self::DeviceLost => "device lost",
            Self::Timeout => "timeout",
            Self::Internal => "internal",
            Self::Corruption => "corruption",
        })
    }
}

/// Why a device cannot be opened.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum DeviceError {
    /// A field of the configuration is out of range.
    #[error(transparent)]
    Config(#[from] ConfigError),
    /// No adapter matches the choice.
    #[error("no adapter for `{choice}`: {}", reasons(reports))]
    NoAdapter {
        /// What was asked for.
        choice: DeviceChoice,
        /// Every adapter seen, and why it was passed over.
        reports: Vec<AdapterReport>,
    },
    /// The adapter refused to give a device.
    #[error("{adapter} gives no device: {message}")]
    Refused {
        /// The adapter's name.
        adapter: String,
        /// The driver's words.
        message: String,
    },
    /// What a tier wants made ahead ([`crate::memory::heap::TierLimit::preallocate`]) could not be made.
    #[error("`{field}`: {bytes} cannot be made ahead: {source}")]
    Preallocation {
        /// The field of the configuration.
        field: &'static str,
        /// What it asks for.
        bytes: Bytes,
        /// What the driver said.
        source: GpuError,
    },
    /// The operating system gave no thread.
    #[error("cannot start a thread of the compute context: {message}")]
    Thread {
        /// The operating system's words.
        message: String,
    },
}

fn reasons(reports: &[AdapterReport]) -> String {
    if reports.is_empty() {
        return "no driver offers one".to_owned();
    }
    reports
        .iter()
        .map(AdapterReport::to_string)
        .collect::<Vec<_>>()
        .join("; ")
}

impl DeviceError {
    /// The class of the failure.
    #[must_use]
    pub const fn class(&self) -> ErrorClass {
        match self {
            Self::Config(_) | Self::NoAdapter { .. } => ErrorClass::Validation,
            Self::Refused { .. } | Self::Thread { .. } => ErrorClass::Internal,
            Self::Preallocation { source, .. } => source.class(),
        }
    }

    /// Whether the same request may succeed later.
    #[must_use]
    pub const fn is_retryable(&self) -> bool {
        matches!(
            self,
            Self::Refused { .. } | Self::Thread { .. } | Self::Preallocation { .. }
        )
    }
}

/// Why the pool refuses memory, or a tenant.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum MemoryError {
    /// The tenant's own budget is too small.
    #[error("tenant `{tenant}` wants {wanted} ({} B) more, holds {in_use} of its budget of {budget} ({} B)", wanted.get(), budget.get())]
    Budget {
        /// The tenant's name.
        tenant: String,
        /// What it asked for, rounded to size classes.
        wanted: Bytes,
        /// What it holds.
        in_use: Bytes,
        /// What it may hold.
        budget: Bytes,
    },
    /// The device's memory, as configured or known, is used up by all tenants together.
    #[error(
        "tenant `{tenant}` wants {wanted} more, but {in_use} of the capacity of {capacity} are in use by all tenants"
    )]
    Capacity {
        /// The tenant's name.
        tenant: String,
        /// What it asked for, rounded to size classes.
        wanted: Bytes,
        /// What all tenants hold.
        in_use: Bytes,
        /// What they may hold.
        capacity: Bytes,
    },
    /// The configured limit of a tier is reached by all tenants together.
    #[error(
        "tenant `{tenant}` wants {wanted} more of tier {tier}, of which {in_use} of {limit} are in use by all tenants"
    )]
    Tier {
        /// The tenant's name.
        tenant: String,
        /// Which tier.
        tier: Tier,
        /// What it asked for, rounded to its size class.
        wanted: Bytes,
        /// What all tenants hold of the tier.
        in_use: Bytes,
        /// What they may hold.
        limit: Bytes,
    },
    /// What the device has is taken, with what is between the loans of all tenants and what is kept for reuse.
    #[error("tenant `{tenant}` wants {wanted} more, but {reserved} of the {memory} of the device are taken")]
    Device {
        /// The tenant's name.
        tenant: String,
        /// What it asked for, rounded to its size class.
        wanted: Bytes,
        /// What the pool took of the device.
        reserved: Bytes,
        /// What the device has.
        memory: Bytes,
    },
    /// A tenant needs a name, for errors and reports.
    #[error("a tenant's name has {length} bytes, allowed are 1 to {limit}")]
    Name {
        /// Length of the name given.
        length: usize,
        /// Longest name allowed.
        limit: usize,
    },
    /// Too many tenants at once.
    #[error("there are {count} tenants already, allowed are up to {limit}")]
    TooManyTenants {
        /// How many there are.
        count: usize,
        /// How many there may be.
        limit: usize,
    },
    /// The token was fenced: the lease it belongs to has ended.
    #[error("tenant `{tenant}` is refused: the lease of {token} has ended")]
    Fenced {
        /// The tenant's name.
        tenant: String,
        /// The token it asked to work under.
        token: FencingToken,
    },
    /// The tenant was dropped.
    #[error("the tenant was dropped")]
    Gone,
}

impl MemoryError {
    /// The class of the failure.
    #[must_use]
    pub const fn class(&self) -> ErrorClass {
        match self {
            Self::Budget { .. } | Self::Capacity { .. } | Self::Tier { .. } | Self::Device { .. } => {
                ErrorClass::OutOfMemory
            }
            Self::Name { .. } | Self::TooManyTenants { .. } | Self::Fenced { .. } | Self::Gone => {
                ErrorClass::Validation
            }
        }
    }

    /// Whether the same request may succeed once others release memory. A budget is the tenant's own affair.
    #[must_use]
    pub const fn is_retryable(&self) -> bool {
        matches!(
            self,
            Self::Capacity { .. } | Self::Tier { .. } | Self::Device { .. } | Self::TooManyTenants { .. }
        )
    }
}

/// Why a submission is refused before it reaches the device.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum WorkError {
    /// There is no such command list.
    #[error("command list {list} does not exist, the image has {lists}")]
    List {
        /// The index asked for.
        list: usize,
        /// How many lists there are.
        lists: usize,
    },
    /// A transferred slice does not lie in the arena, or in the constants.
    #[error("{what} {index}: bytes {offset} to {end} leave the {region} of {size} bytes")]
    Range {
        /// `upload` or `read`.
        what: &'static str,
        /// Its place in the submission.
        index: usize,
        /// First byte.
        offset: u64,
        /// One past the last byte.
        end: u64,
        /// `arena` or `constants`.
        region: &'static str,
        /// Its size.
        size: u64,
    },
    /// A transferred slice is empty or not made of whole words.
    #[error("{what} {index}: offset {offset} and length {bytes} must be multiples of 4, the length not zero")]
    Words {
        /// `upload` or `read`.
        what: &'static str,
        /// Its place in the submission.
        index: usize,
        /// First byte.
        offset: u64,
        /// Length in bytes.
        bytes: u64,
    },
    /// The data of an upload has another length than its slice.
    #[error("upload {index}: {given} bytes are given for a slice of {slice} bytes")]
    Data {
        /// Its place in the submission.
        index: usize,
        /// Bytes given.
        given: u64,
        /// Bytes of the slice.
        slice: u64,
    },
    /// The image was loaded without the staging area that the transfer needs.
    #[error("the image has no staging area for a {what}: its `{what}` capacity is 0")]
    NoStaging {
        /// `upload` or `readback`.
        what: &'static str,
    },
}

/// Why work on a device failed.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum GpuError {
    /// The image is not well-formed.
    #[error(transparent)]
    Image(#[from] ImageError),
    /// The submission is not well-formed.
    #[error(transparent)]
    Work(#[from] WorkError),
    /// The pool refused.
    #[error(transparent)]
    Memory(#[from] MemoryError),
    /// The tenant was dropped; or it was revoked or its token fenced, and the work does more than read.
    #[error("tenant `{tenant}` no longer holds its lease ({token}): this is refused")]
    StaleToken {
        /// The tenant's name.
        tenant: String,
        /// The token it worked under.
        token: FencingToken,
    },
    /// The device is gone; results of this epoch are void.
    #[error("the device of {epoch} is lost: {reason}")]
    DeviceLost {
        /// The epoch that ended.
        epoch: DeviceEpoch,
        /// The driver's words.
        reason: String,
    },
    /// The driver has no memory left.
    #[error("the driver is out of memory: {message}")]
    OutOfMemory {
        /// The driver's words.
        message: String,
    },
    /// The driver's validation refused something that passed ours.
    #[error("the driver refused the work: {message}")]
    Validation {
        /// The driver's words.
        message: String,
    },
    /// A wait ended without its event.
    #[error("{what} took longer than {deadline:?}")]
    Timeout {
        /// What was waited for.
        what: &'static str,
        /// How long.
        deadline: Duration,
    },
    /// A fault of a kernel or of the driver.
    #[error("internal fault: {message}")]
    Internal {
        /// What happened.
        message: String,
    },
    /// The device gave a wrong answer.
    #[error("wrong answer: {message}")]
    Corruption {
        /// What was asked, and what came out.
        message: String,
    },
}

impl GpuError {
    /// The class of the failure.
    #[must_use]
    pub const fn class(&self) -> ErrorClass {
        match self {
            Self::Image(_) | Self::Work(_) | Self::StaleToken { .. } | Self::Validation { .. } => {
                ErrorClass::Validation
            }
            Self::Memory(error) => error.class(),
            Self::DeviceLost { .. } => ErrorClass::DeviceLost,
            Self::OutOfMemory { .. } => ErrorClass::OutOfMemory,
            Self::Timeout { .. } => ErrorClass::Timeout,
            Self::Internal { .. } => ErrorClass::Internal,
            Self::Corruption { .. } => ErrorClass::Corruption,
        }
    }

    /// Whether the same work may succeed later: on a reopened device after loss, or when memory or time allow.
    #[must_use]
    pub const fn is_retryable(&self) -> bool {
        match self {
            Self::Memory(error) => error.is_retryable(),
            Self::DeviceLost { .. }
            | Self::OutOfMemory { .. }
            | Self::Timeout { .. }
            | Self::Corruption { .. } => true,
            _ => false,
        }
    }
}
