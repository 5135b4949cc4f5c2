//! Every call of this crate that the compiler cannot check, each with the argument why it is sound.

#![expect(unsafe_code, reason = "the one module of this crate that may")]

use crate::backend::wgpu::CheckedCache;

/// A driver's pipeline cache, which begins with what `saved` has, if that is given and the driver takes it.
pub(crate) fn create_pipeline_cache(
    device: &wgpu::Device,
    saved: Option<&CheckedCache>,
) -> wgpu::PipelineCache {
    let descriptor = wgpu::PipelineCacheDescriptor {
        label: Some("daa"),
        data: saved.map(CheckedCache::data),
        // Data of another version of the driver is passed over.
        fallback: true,
    };
    // SAFETY: the data must come from `PipelineCache::get_data`. The only way to a `CheckedCache` is reading a file that
    // carries this crate's magic, version and a 256-bit checksum over all of it, was written by this crate out of
    // `get_data` under an identity of adapter and driver that is this one's, lies in a folder that nobody but its
    // owner may write, and is written under another name first. wgpu and the driver check their own headers again.
    unsafe { device.create_pipeline_cache(&descriptor) }
}
