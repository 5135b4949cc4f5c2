//! One batch on its way to the device.

use super::prepared::PreparedData;
use crate::data::Target;
use crate::nn::Network;
use daa_kernels::session::Data;

/// Features, targets and weights of one batch, reused from step to step.
pub(super) struct BatchBuffer {
    width: usize,
    pub(super) features: Vec<f32>,
    pub(super) targets: TargetBuffer,
    pub(super) weights: Vec<f32>,
}

pub(super) enum TargetBuffer {
    Classes(Vec<u32>),
    Values(Vec<f32>),
}

impl BatchBuffer {
    pub(super) fn new(network: &Network, data: &PreparedData) -> Self {
        let batch = network.batch();
        Self {
            width: data.dataset().columns(),
            features: vec![0.0; batch * data.dataset().columns()],
            targets: match data.dataset().target() {
                Target::Classes { .. } => TargetBuffer::Classes(vec![0; batch]),
                Target::Values(_) => TargetBuffer::Values(vec![0.0; batch]),
            },
            weights: vec![1.0; batch],
        }
    }

    pub(super) fn slot(&mut self, slot: usize) -> &mut [f32] {
        &mut self.features[slot * self.width..][..self.width]
    }
}

impl TargetBuffer {
    pub(super) fn set(&mut self, slot: usize, targets: &Target, row: u32) {
        match (self, targets) {
            (Self::Classes(buffer), Target::Classes { labels, .. }) => buffer[slot] = labels[row as usize],
            (Self::Values(buffer), Target::Values(values)) => buffer[slot] = values[row as usize],
            _ => unreachable!("the buffer is made for these targets"),
        }
    }

    pub(super) fn data(&self) -> Data<'_> {
        match self {
            Self::Classes(labels) => Data::U32(labels),
            Self::Values(values) => Data::F32(values),
        }
    }
}
