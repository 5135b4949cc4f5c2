//! First values of the parameters: He for rectifying activations, Glorot for the others.
//!
//! Sources: K. He et al. 2015, "Delving Deep into Rectifiers" (normal, variance 2 / fan in); X. Glorot and Y. Bengio
//! 2010, "Understanding the difficulty of training deep feedforward neural networks" (uniform, ±√(6 / (in + out))).

use super::architecture::Architecture;
use super::error::ArchitectureError;
use super::shape::{ParameterKind, ParameterSpec};
use daa_base::Seed;
use daa_kernels::activation::{Activation, ActivationKind};

/// The first values of every parameter, in the order of [`Architecture::parameters`].
///
/// Each tensor draws from the stream `init.NAME` of `seed`, so adding a layer changes no other layer's values.
///
/// # Errors
/// As [`Architecture::validate`].
pub fn initial(architecture: &Architecture, seed: Seed) -> Result<Vec<Vec<f32>>, ArchitectureError> {
    Ok(architecture
        .parameters()?
        .iter()
        .map(|spec| tensor(spec, seed))
        .collect())
}

fn tensor(spec: &ParameterSpec, seed: Seed) -> Vec<f32> {
    let elements = spec.elements();
    match spec.kind {
        ParameterKind::Bias | ParameterKind::Beta | ParameterKind::RunningMean => vec![0.0; elements],
        ParameterKind::Gamma | ParameterKind::RunningVariance => vec![1.0; elements],
        ParameterKind::Weight {
            fan_in,
            fan_out,
            activation,
        } => {
            let mut rng = seed.stream(&format!("init.{}", spec.name)).rng();
            if is_rectifying(activation) {
                let deviation = (2.0 / fan_in as f64).sqrt();
                (0..elements).map(|_| (rng.normal() * deviation) as f32).collect()
            } else {
                let bound = (6.0 / (fan_in + fan_out) as f64).sqrt();
                (0..elements)
                    .map(|_| ((rng.uniform() * 2.0 - 1.0) * bound) as f32)
                    .collect()
            }
        }
    }
}

const fn is_rectifying(activation: Option<Activation>) -> bool {
    match activation {
        Some(Activation { kind, .. }) => matches!(
            kind,
            ActivationKind::Relu | ActivationKind::ReluLeaky | ActivationKind::Gelu | ActivationKind::Silu
        ),
        None => false,
    }
}
