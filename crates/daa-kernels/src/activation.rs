//! Activation functions: the 18 of FANN, GELU and SiLU, each with a steepness.
//!
//! With `u = s·x`, `s` the steepness, and `d` the derivative by `x`:
//!
//! | kind | value `y` | derivative `d` | range | `d` from | ulps |
//! |-|-|-|-|-|-|
//! | `linear` | `u` | `s` | all | output | 1 |
//! | `threshold` | `0` if `x < 0`, else `1` | `0` | {0, 1} | output | 0 |
//! | `threshold_symmetric` | `-1` if `x < 0`, else `1` | `0` | {-1, 1} | output | 0 |
//! | `sigmoid` | `1 / (1 + exp(-2u))` | `2s·y·(1-y)` | (0, 1) | output | 4 |
//! | `sigmoid_symmetric` | `tanh(u)` | `s·(1-y²)` | (-1, 1) | output | 4 |
//! | `tanh` | the same as `sigmoid_symmetric` | | | output | 4 |
//! | `gaussian` | `exp(-u²)` | `-2s·u·exp(-u²)` | (0, 1] | input | 4 |
//! | `gaussian_symmetric` | `2·exp(-u²) - 1` | `-4s·u·exp(-u²)` | (-1, 1] | input | 4 |
//! | `elliot` | `u / 2 / (1+abs(u)) + 1/2` | `s/2 · (1-abs(2y-1))²` | (0, 1) | output | 4 |
//! | `elliot_symmetric` | `u / (1+abs(u))` | `s·(1-abs(y))²` | (-1, 1) | output | 4 |
//! | `linear_piece` | `u` clamped to [0, 1] | `s` if `0 < y < 1`, else `0` | [0, 1] | output | 1 |
//! | `linear_piece_symmetric` | `u` clamped to [-1, 1] | `s` if `-1 < y < 1`, else `0` | [-1, 1] | output | 1 |
//! | `relu` | `max(u, 0)` | `s` if `y > 0`, else `0` | [0, ∞) | output | 1 |
//! | `relu_leaky` | `u` if `u > 0`, else `0.01·u` | `s` if `y > 0`, else `0.01·s` | all | output | 2 |
//! | `sin` | `sin(u)/2 + 1/2` | `s·cos(u)/2` | [0, 1] | input | 4 |
//! | `cos` | `cos(u)/2 + 1/2` | `-s·sin(u)/2` | [0, 1] | input | 4 |
//! | `sin_symmetric` | `sin(u)` | `s·cos(u)` | [-1, 1] | input | 4 |
//! | `cos_symmetric` | `cos(u)` | `-s·sin(u)` | [-1, 1] | input | 4 |
//! | `gelu` | `u·P(u)`, `P(u) = (1 + tanh(√(2/π)·(u + 0.044715·u³))) / 2` | `s·(P + u·P')` | [-0.17, ∞) | input | 8 |
//! | `silu` | `u / (1 + exp(-u))` | `s·(P + u·P')`, `P` the quotient by `u` | [-0.28, ∞) | input | 4 |
//!
//! The formulas of the first 18 are those of libfann's documentation (`fann_activationfunc_enum`; ReLU and its leaky
//! form came later, here with the steepness inside like all others); where a clamped function has a corner, its
//! derivative is that of the flat side. FANN's logistic function is `1/(1+exp(-2u))`: steepness 0.5 gives the usual one.
//!
//! **Ulps.** Both forms, WGSL and host, compute the transcendental functions from additions and multiplications
//! alone (`shaders/shared/math.wgsl`, [`crate::cpu::math`]), so the bound does not depend on a vendor's `exp`:
//! `|computed - f(x)| ≤ ulps · 2⁻²³ · (T + |u·f'(u)|) + 2⁻¹²⁰ · (1 + |u|)`, where `T` is the sum of the absolute terms of the
//! outermost sum (`|f|` where there is none), for `|u| ≤ 8192` (sine and cosine lose accuracy beyond). The second term
//! is what rounding `u` itself can do. Gradients keep to twice the bound, times `|dy|`. The parity tests assert this
//! table, [`ActivationKind::ulps`], on every adapter they find.

use serde::{Deserialize, Serialize};
use std::fmt;
use std::str::FromStr;

/// Which function. The table in the [module documentation](self) defines them.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
#[expect(missing_docs, reason = "the module's table defines every variant")]
pub enum ActivationKind {
    Linear,
    Threshold,
    ThresholdSymmetric,
    Sigmoid,
    SigmoidSymmetric,
    Tanh,
    Gaussian,
    GaussianSymmetric,
    Elliot,
    ElliotSymmetric,
    LinearPiece,
    LinearPieceSymmetric,
    Relu,
    ReluLeaky,
    Sin,
    Cos,
    SinSymmetric,
    CosSymmetric,
    Gelu,
    Silu,
}

/// What a derivative is computed from.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum GradFrom {
    /// The function's argument.
    Input,
    /// The function's value; the argument need not be kept.
    Output,
}

impl ActivationKind {
    /// Every kind, in the order of the numbers that shaders know them by.
    pub const ALL: [Self; 20] = [
        Self::Linear,
        Self::Threshold,
        Self::ThresholdSymmetric,
        Self::Sigmoid,
        Self::SigmoidSymmetric,
        Self::Tanh,
        Self::Gaussian,
        Self::GaussianSymmetric,
        Self::Elliot,
        Self::ElliotSymmetric,
        Self::LinearPiece,
        Self::LinearPieceSymmetric,
        Self::Relu,
        Self::ReluLeaky,
        Self::Sin,
        Self::Cos,
        Self::SinSymmetric,
        Self::CosSymmetric,
        Self::Gelu,
        Self::Silu,
    ];

    /// The number that shaders know it by.
    #[must_use]
    pub const fn code(self) -> u32 {
        self as u32
    }

    /// The kind that a shader knows by `code`.
    #[must_use]
    pub fn from_code(code: u32) -> Option<Self> {
        Self::ALL.get(code as usize).copied()
    }

    /// The name in files and on the command line: snake case.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Linear => "linear",
            Self::Threshold => "threshold",
            Self::ThresholdSymmetric => "threshold_symmetric",
            Self::Sigmoid => "sigmoid",
            Self::SigmoidSymmetric => "sigmoid_symmetric",
            Self::Tanh => "tanh",
            Self::Gaussian => "gaussian",
            Self::GaussianSymmetric => "gaussian_symmetric",
            Self::Elliot => "elliot",
            Self::ElliotSymmetric => "elliot_symmetric",
            Self::LinearPiece => "linear_piece",
            Self::LinearPieceSymmetric => "linear_piece_symmetric",
            Self::Relu => "relu",
            Self::ReluLeaky => "relu_leaky",
            Self::Sin => "sin",
            Self::Cos => "cos",
            Self::SinSymmetric => "sin_symmetric",
            Self::CosSymmetric => "cos_symmetric",
            Self::Gelu => "gelu",
            Self::Silu => "silu",
        }
    }

    /// What the gradient kernel wants to see.
    #[must_use]
    pub const fn grad_from(self) -> GradFrom {
        match self {
            Self::Gaussian
            | Self::GaussianSymmetric
            | Self::Sin
            | Self::Cos
            | Self::SinSymmetric
            | Self::CosSymmetric
            | Self::Gelu
            | Self::Silu => GradFrom::Input,
            _ => GradFrom::Output,
        }
    }

    /// Whether its derivative is other than zero somewhere, so that gradient descent can pass through it.
    #[must_use]
    pub const fn is_trainable(self) -> bool {
        !matches!(self, Self::Threshold | Self::ThresholdSymmetric)
    }

    /// The ulps of the table in the [module documentation](self).
    #[must_use]
    pub const fn ulps(self) -> u32 {
        match self {
            Self::Threshold | Self::ThresholdSymmetric => 0,
            Self::Linear | Self::LinearPiece | Self::LinearPieceSymmetric | Self::Relu => 1,
            Self::ReluLeaky => 2,
            Self::Gelu => 8,
            _ => 4,
        }
    }
}

impl fmt::Display for ActivationKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.name())
    }
}

/// A name or a steepness is not one of an activation.
#[derive(Debug, Clone, PartialEq, thiserror::Error)]
#[non_exhaustive]
pub enum ActivationError {
    /// No activation has this name.
    #[error("activation is {0:?}, allowed are linear, relu, tanh and the other names of ActivationKind")]
    UnknownName(String),
    /// The steepness cannot be used.
    #[error("activation steepness is {0}, allowed are finite numbers above 0")]
    Steepness(f32),
}

impl FromStr for ActivationKind {
    type Err = ActivationError;

    fn from_str(name: &str) -> Result<Self, Self::Err> {
        let found = Self::ALL.into_iter().find(|kind| kind.name() == name);
        found.ok_or_else(|| ActivationError::UnknownName(name.chars().take(64).collect()))
    }
}

/// A function and its steepness.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[serde(try_from = "Unchecked")]
pub struct Activation {
    /// The function.
    pub kind: ActivationKind,
    /// What the argument is multiplied by first; finite, above 0.
    pub steepness: f32,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Unchecked {
    kind: ActivationKind,
    steepness: f32,
}

impl TryFrom<Unchecked> for Activation {
    type Error = ActivationError;

    fn try_from(Unchecked { kind, steepness }: Unchecked) -> Result<Self, Self::Error> {
        Self::checked(kind, steepness)
    }
}

impl Activation {
    /// `kind` with steepness 1.
    #[must_use]
    pub const fn new(kind: ActivationKind) -> Self {
        Self { kind, steepness: 1.0 }
    }

    /// `kind` with a steepness from outside.
    ///
    /// # Errors
    /// [`ActivationError::Steepness`] unless it is finite and above 0.
    pub fn checked(kind: ActivationKind, steepness: f32) -> Result<Self, ActivationError> {
        if steepness.is_finite() && steepness > 0.0 {
            Ok(Self { kind, steepness })
        } else {
            Err(ActivationError::Steepness(steepness))
        }
    }

    /// `x`: no activation.
    #[must_use]
    pub const fn linear() -> Self {
        Self::new(ActivationKind::Linear)
    }

    /// `max(x, 0)`.
    #[must_use]
    pub const fn relu() -> Self {
        Self::new(ActivationKind::Relu)
    }

    /// `tanh(x)`.
    #[must_use]
    pub const fn tanh() -> Self {
        Self::new(ActivationKind::Tanh)
    }

    /// The usual logistic function `1 / (1 + exp(-x))`: FANN's sigmoid at steepness 0.5.
    #[must_use]
    pub const fn logistic() -> Self {
        Self {
            kind: ActivationKind::Sigmoid,
            steepness: 0.5,
        }
    }

    /// GELU, in its form with tanh.
    #[must_use]
    pub const fn gelu() -> Self {
        Self::new(ActivationKind::Gelu)
    }

    /// `x / (1 + exp(-x))`.
    #[must_use]
    pub const fn silu() -> Self {
        Self::new(ActivationKind::Silu)
    }

    /// What the gradient kernel wants to see.
    #[must_use]
    pub const fn grad_from(self) -> GradFrom {
        self.kind.grad_from()
    }

    /// The two parameter words of kernels that end in an activation: the kind's code and the steepness's bits. `None`
    /// is the linear function of steepness 1, which changes no bit.
    #[must_use]
    pub fn words(activation: Option<Self>) -> [u32; 2] {
        let Self { kind, steepness } = activation.unwrap_or(Self::linear());
        [kind.code(), steepness.to_bits()]
    }

    /// The activation behind two parameter words; a code that no kind has is the linear function, as in WGSL.
    #[must_use]
    pub fn from_words(code: u32, steepness: u32) -> Self {
        let kind = ActivationKind::from_code(code).unwrap_or(ActivationKind::Linear);
        Self {
            kind,
            steepness: f32::from_bits(steepness),
        }
    }
}

impl fmt::Display for Activation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        #[expect(
            clippy::float_cmp,
            reason = "exactly 1 is the default that goes without saying"
        )]
        if self.steepness == 1.0 {
            write!(f, "{}", self.kind)
        } else {
            write!(f, "{}({})", self.kind, self.steepness)
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_codes_and_order_agree() {
        for (index, kind) in (0..).zip(ActivationKind::ALL) {
            assert_eq!(kind.code(), index);
            assert_eq!(ActivationKind::from_code(index), Some(kind));
            assert_eq!(kind.name().parse::<ActivationKind>(), Ok(kind));
            assert_eq!(kind.to_string(), kind.name());
            assert_eq!(
                Activation::from_words(index, 2.0_f32.to_bits()),
                Activation { kind, steepness: 2.0 }
            );
        }
        assert_eq!(ActivationKind::from_code(20), None);
        assert_eq!(
            "ReLU".parse::<ActivationKind>(),
            Err(ActivationError::UnknownName("ReLU".into()))
        );
    }

    #[test]
    fn a_steepness_from_outside_must_be_usable() {
        for bad in [0.0, -1.0, f32::NAN, f32::INFINITY] {
            let error = Activation::checked(ActivationKind::Tanh, bad).expect_err("it cannot be used");
            assert!(error.to_string().contains("steepness is"), "{error}");
        }
        assert_eq!(
            Activation::checked(ActivationKind::Tanh, 1.0),
            Ok(Activation::tanh())
        );
    }

    #[test]
    fn no_activation_is_the_identity() {
        assert_eq!(Activation::words(None), [0, 1.0_f32.to_bits()]);
        assert_eq!(
            Activation::words(Some(Activation::relu()))[0],
            ActivationKind::Relu.code()
        );
    }

    #[test]
    fn it_prints_its_steepness_when_it_has_one() {
        assert_eq!(Activation::relu().to_string(), "relu");
        assert_eq!(Activation::logistic().to_string(), "sigmoid(0.5)");
    }
}
