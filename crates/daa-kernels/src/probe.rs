//! The health probe: a real kernel on numbers whose result is exact in any order of summation.

use crate::error::LaunchError;
use crate::ops::matmul::{Transpose, launch};
use daa_gpu_core::config::ConfigError;
use daa_gpu_core::probe::{Expected, Probe};

/// Rows, columns and depth: more than one tile in each direction, and ragged at the edges.
const SIZES: [usize; 3] = [70, 37, 66];

/// Why the probe cannot be made: never, unless the kernel changes its bindings.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ProbeError {
    /// The kernel refuses the sizes.
    #[error(transparent)]
    Launch(#[from] LaunchError),
    /// The probe does not fit the kernel.
    #[error(transparent)]
    Probe(#[from] ConfigError),
}

/// A matrix product of small whole numbers, compared bit by bit: every sum stays below 2^24, so a device that rounds
/// at all is wrong.
///
/// # Errors
/// None as long as the kernel keeps its bindings; a test holds that.
pub fn health() -> Result<Probe, ProbeError> {
    let [m, k, n] = SIZES;
    let launch = launch(m, k, n, Transpose::None)?;
    let number = |index: usize, step: usize| ((index * step + 5) % 23) as f32 - 11.0;
    let a: Vec<f32> = (0..m * k).map(|index| number(index, 7)).collect();
    let b: Vec<f32> = (0..k * n).map(|index| number(index, 13)).collect();
    let product = (0..m * n).map(|cell| {
        (0..k)
            .map(|depth| a[cell / n * k + depth] * b[depth * n + cell % n])
            .sum()
    });
    let words = |values: &[f32]| values.iter().map(|value| value.to_bits()).collect::<Vec<u32>>();
    let right: Vec<f32> = product.collect();
    let bindings = [words(&a), words(&b), vec![f32::NAN.to_bits(); m * n]];
    let expected = Expected::Exact(words(&right));
    Ok(Probe::new(
        launch.program,
        launch.params,
        launch.groups,
        &bindings,
        2,
        expected,
    )?)
}

#[cfg(test)]
mod tests {
    use super::*;
    use daa_gpu_core::{ComputeContext, ContextConfig, DeviceChoice};
    use std::time::Duration;

    #[test]
    fn the_host_passes() {
        let config = ContextConfig {
            device: DeviceChoice::Cpu,
            ..ContextConfig::default()
        };
        let host = ComputeContext::open(&config).expect("the host is always there");
        let probe = health().expect("it fits its kernel");
        assert_eq!(probe.run(&host, Duration::from_secs(60)), Ok(()));
    }
}
