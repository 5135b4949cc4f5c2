//! The wgpu backend.

use super::{Backend, Buffer, Parts, Resident, Tally};
use crate::config::ContextConfig;
use crate::error::{DeviceError, GpuError};
use crate::health::Health;
use crate::image::Image;
use crate::memory::pool::BufferUsage;
use daa_base::Bytes;
use std::sync::Arc;

#[derive(Debug)]
pub(crate) enum WgpuBackend {}

impl WgpuBackend {
    pub(crate) fn open(
        adapter: &::wgpu::Adapter,
        _config: &ContextConfig,
        _health: &Arc<Health>,
        _tally: &Arc<Tally>,
    ) -> Result<Self, DeviceError> {
        Err(DeviceError::Refused {
            adapter: adapter.get_info().name,
            message: "the wgpu backend is not written yet".to_owned(),
        })
    }
}

impl Backend for WgpuBackend {
    fn create(&self, _usage: BufferUsage, _size: Bytes) -> Result<Buffer, GpuError> {
        match *self {}
    }
    fn load(&self, _image: &Image, _parts: Parts) -> Result<Box<dyn Resident>, GpuError> {
        match *self {}
    }
    #[cfg(any(test, feature = "testing"))]
    fn destroy(&self) {
        match *self {}
    }
}
