//! Small random shifts of images: a pure function of seed, epoch and row.

use super::error::TrainError;
use crate::nn::InputShape;
use daa_base::{Seed, Stream};
use serde::{Deserialize, Serialize};

/// How images are varied while training.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Augment {
    /// Most pixels an image is shifted in each direction, 0 to 8. What moves in is the image's own edge.
    pub shift: u32,
    /// Whether images are mirrored left to right, each with probability one half.
    #[serde(default)]
    pub mirror: bool,
}

impl Augment {
    /// Largest shift.
    pub const MAX_SHIFT: u32 = 8;

    pub(crate) fn validate(self) -> Result<(), TrainError> {
        if self.shift <= Self::MAX_SHIFT {
            return Ok(());
        }
        Err(TrainError::Config {
            field: "augment.shift",
            value: self.shift.to_string(),
            allowed: format!("0 to {}", Self::MAX_SHIFT),
        })
    }

    /// Copies one example into `target`, varied by the generator of `epoch` and `row`. Flat data are copied as they
    /// are.
    pub(crate) fn copy(
        self,
        image: InputShape,
        source: &[f32],
        target: &mut [f32],
        epoch: &Stream,
        row: u32,
    ) {
        let InputShape::Image { height, width, .. } = image else {
            target.copy_from_slice(source);
            return;
        };
        let mut rng = epoch.child(u64::from(row)).rng();
        let span = self.shift as usize * 2 + 1;
        let (down, right) = (rng.below(span), rng.below(span));
        let is_mirrored = self.mirror && rng.next_u32() & 1 == 1;
        let clamp = |position: usize, offset: usize, length: usize| {
            (position + offset)
                .saturating_sub(self.shift as usize)
                .min(length - 1)
        };
        let planes = source
            .chunks_exact(height * width)
            .zip(target.chunks_exact_mut(height * width));
        for (from, to) in planes {
            for (y, line) in to.chunks_exact_mut(width).enumerate() {
                let from = &from[clamp(y, down, height) * width..][..width];
                for (x, pixel) in line.iter_mut().enumerate() {
                    let column = if is_mirrored { width - 1 - x } else { x };
                    *pixel = from[clamp(column, right, width)];
                }
            }
        }
    }
}

/// The stream of one epoch's variations.
pub(crate) fn epoch_stream(seed: Seed, epoch: u32) -> Stream {
    seed.stream("augment").child(u64::from(epoch))
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    const IMAGE: InputShape = InputShape::Image {
        channels: 2,
        height: 4,
        width: 5,
    };

    fn varied(augment: Augment, row: u32, epoch: u32) -> Vec<f32> {
        let source: Vec<f32> = (0..40_u8).map(f32::from).collect();
        let mut target = vec![-1.0; 40];
        augment.copy(IMAGE, &source, &mut target, &epoch_stream(Seed(1), epoch), row);
        target
    }

    #[test]
    fn no_shift_is_a_copy() {
        let source: Vec<f32> = (0..40_u8).map(f32::from).collect();
        assert_eq!(
            varied(
                Augment {
                    shift: 0,
                    mirror: false
                },
                3,
                0
            ),
            source
        );
    }

    proptest! {
        #[test]
        fn a_variation_repeats_and_invents_no_pixel(row: u32, epoch: u32, shift in 0_u32..9, mirror: bool) {
            let augment = Augment { shift, mirror };
            let image = varied(augment, row, epoch);
            prop_assert_eq!(&image, &varied(augment, row, epoch));
            prop_assert!(image[..20].iter().all(|&pixel| (0.0..20.0).contains(&pixel)), "channel 0 stays in place");
            prop_assert!(image[20..].iter().all(|&pixel| (20.0..40.0).contains(&pixel)), "channel 1 stays in place");
            for (a, b) in image[..20].iter().zip(&image[20..]) {
                prop_assert_eq!(a + 20.0, *b, "channels move together");
            }
        }
    }
}
