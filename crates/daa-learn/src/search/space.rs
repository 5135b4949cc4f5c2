//! The candidates of a search.

use super::error::SearchError;
use crate::data::InputShape;
use crate::nn::{Architecture, Layer, OutputHead, PoolKind};
use crate::train::{Augment, Optimizer, Schedule, TrainConfig};
use daa_base::{Rng, Seed};
use daa_kernels::activation::{Activation, ActivationKind};
use serde::{Deserialize, Serialize};
use std::fmt;

/// A candidate, numbered in the order in which they are started.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct CandidateId(pub u32);

impl fmt::Display for CandidateId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "candidate-{}", self.0)
    }
}

/// A network with the recipe that trains it.
#[derive(Debug, Clone, PartialEq)]
pub struct Candidate {
    /// Its number.
    pub id: CandidateId,
    /// The network.
    pub architecture: Architecture,
    /// How it is trained; `epochs` is the last rung.
    pub training: TrainConfig,
    /// The seed of its weights, order and dropout.
    pub seed: Seed,
}

/// A network and recipe that did well elsewhere on data of the same kind.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Suggestion {
    /// The network.
    pub architecture: Architecture,
    /// The learning rate, 10⁻⁶ to 0.1.
    pub learning_rate: f32,
    /// The weight decay, 0 to 1.
    pub weight_decay: f32,
}

/// Most suggestions in one search: what they may cost it is so many trainings to the first rung.
pub const MAX_SUGGESTIONS: usize = 4;

/// Which networks and recipes are tried.
///
/// Multi-layer perceptrons of one to three layers of 32 to 512 units for rows of numbers and small images;
/// convolutional networks of one or two blocks for images of at least 6 × 6 pixels. The first candidates are networks known to do well on such data
/// (see [`SearchSpace::known_good`]), then come those that are suggested; the others are drawn at random.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct SearchSpace {
    /// What one example is.
    pub input: InputShape,
    /// What is predicted.
    pub output: OutputHead,
    /// Training rows, which set batch sizes.
    pub train_rows: usize,
    /// Most multiplications of one forward pass of one example.
    pub max_multiplications: u64,
    /// Candidates that follow the known ones, at most [`MAX_SUGGESTIONS`]. They are compared like all others: nothing is
    /// believed of them.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub suggested: Vec<Suggestion>,
}

/// How often a drawn network may exceed the limit on multiplications before a known one stands in.
const ATTEMPTS: u64 = 32;

impl SearchSpace {
    /// The space for data of this kind.
    #[must_use]
    pub const fn new(train_rows: usize, input: InputShape, output: OutputHead) -> Self {
        Self {
            input,
            output,
            train_rows,
            max_multiplications: if train_rows > 10_000 { 1_500_000 } else { 1_000_000 },
            suggested: Vec::new(),
        }
    }

    pub(super) fn validate(&self) -> Result<(), SearchError> {
        let refuse = |field, value: String, allowed: &str| {
            Err(SearchError::Config {
                field,
                value,
                allowed: allowed.to_owned(),
            })
        };
        if self.train_rows == 0 {
            return refuse("space.train_rows", "0".to_owned(), "at least 1");
        }
        for architecture in self.known_good() {
            if let Err(error) = architecture.validate() {
                return refuse("space", error.to_string(), "shapes that networks can have");
            }
        }
        if self.suggested.len() > MAX_SUGGESTIONS {
            let value = self.suggested.len().to_string();
            return refuse("space.suggested (count)", value, "0 to 4");
        }
        if let Some(other) = self.suggested.iter().find(|suggestion| !self.admits(suggestion)) {
            let value = format!(
                "{} at {} with decay {}",
                other.architecture, other.learning_rate, other.weight_decay
            );
            return refuse("space.suggested", value, "networks and recipes of this space");
        }
        Ok(())
    }

    /// Whether a suggestion is for such data, a network that is not larger than others here, and a recipe within range.
    #[must_use]
    pub fn admits(&self, suggestion: &Suggestion) -> bool {
        let network = &suggestion.architecture;
        (network.input, network.output) == (self.input, self.output)
            && network.validate().is_ok()
            && network
                .multiplications()
                .is_ok_and(|count| count <= self.max_multiplications)
            && (1e-6..=0.1).contains(&suggestion.learning_rate)
            && (0.0..=1.0).contains(&suggestion.weight_decay)
    }

    /// The place among the suggestions of a candidate that is one.
    #[must_use]
    pub fn suggestion_of(&self, id: CandidateId) -> Option<usize> {
        let place = (id.0 as usize).checked_sub(self.known_good().len())?;
        (place < self.suggested.len()).then_some(place)
    }

    /// Networks that do well on such data without any search: they are the first candidates.
    #[must_use]
    pub fn known_good(&self) -> Vec<Architecture> {
        let relu = Some(Activation::relu());
        let dense = |units| Layer::Dense {
            units,
            activation: relu,
        };
        let drop = |rate| Layer::Dropout { rate };
        let build = |layers| Architecture::new(self.input, layers, self.output);
        let perceptron = build(vec![dense(128), drop(0.2), dense(64)]);
        let Some(side) = self.image_side() else {
            return vec![
                perceptron,
                build(vec![dense(64)]),
                build(vec![dense(32), dense(32)]),
            ];
        };
        let conv = |channels| Layer::Conv2d {
            channels,
            kernel: 3,
            stride: 1,
            padding: 1,
            activation: None,
        };
        let norm = || Layer::BatchNorm { activation: relu };
        let pool = || Layer::Pool {
            kind: PoolKind::Max,
            kernel: 2,
            stride: 2,
        };
        if side <= 12 {
            let wide = vec![conv(16), norm(), conv(32), norm(), pool(), drop(0.2), dense(64)];
            let fast = vec![
                conv(16),
                norm(),
                pool(),
                conv(32),
                norm(),
                pool(),
                drop(0.2),
                dense(64),
            ];
            return vec![build(wide), build(fast), perceptron];
        }
        let strided = |channels, kernel| Layer::Conv2d {
            channels,
            kernel,
            stride: 2,
            padding: kernel / 2,
            activation: None,
        };
        let fast = vec![
            strided(16, 3),
            norm(),
            conv(32),
            norm(),
            pool(),
            drop(0.2),
            dense(128),
        ];
        let deep = vec![
            conv(8),
            norm(),
            pool(),
            conv(32),
            norm(),
            pool(),
            drop(0.2),
            dense(64),
        ];
        let wide_perceptron = build(vec![dense(256), drop(0.2), dense(128)]);
        vec![build(fast), build(deep), wide_perceptron]
    }

    /// The shorter side of images that are large enough for a convolution and a pooling.
    const fn image_side(&self) -> Option<usize> {
        match self.input {
            InputShape::Image { height, width, .. } => {
                let side = if height < width { height } else { width };
                if side >= 6 { Some(side) } else { None }
            }
            InputShape::Flat { .. } => None,
        }
    }

    pub(super) fn candidate(
        &self,
        id: CandidateId,
        seed: Seed,
        epochs: u32,
        epoch_rows: Option<usize>,
    ) -> Candidate {
        let stream = seed.stream("search.candidate").child(u64::from(id.0));
        let known = self.known_good();
        let suggested = self.suggestion_of(id).and_then(|place| self.suggested.get(place));
        let (architecture, learning_rate, decay) = match (known.get(id.0 as usize), suggested) {
            (Some(architecture), _) => (architecture.clone(), 2e-3, 1e-2),
            (None, Some(suggestion)) => (
                suggestion.architecture.clone(),
                suggestion.learning_rate,
                suggestion.weight_decay,
            ),
            (None, None) => {
                let mut rng = stream.child(0).rng();
                let learning_rate = 10.0_f64.powf(rng.uniform().mul_add(1.2, -3.4)) as f32;
                let decay = [0.0, 1e-3, 1e-2, 5e-2][rng.below(4)];
                let drawn = (1..=ATTEMPTS).map(|attempt| self.draw(&mut stream.child(attempt).rng()));
                let fits = |network: &Architecture| {
                    network
                        .multiplications()
                        .is_ok_and(|count| count <= self.max_multiplications)
                };
                let fallback = || known[id.0 as usize % known.len()].clone();
                (
                    { drawn }.find(fits).unwrap_or_else(fallback),
                    learning_rate,
                    decay,
                )
            }
        };
        let is_image = self.image_side().is_some();
        let training = TrainConfig {
            epochs,
            batch: self.batch(),
            epoch_rows,
            optimizer: Optimizer::adam_w(learning_rate, decay),
            schedule: Schedule::Cosine {
                epochs,
                warmup_epochs: 0,
                floor: 0.01,
            },
            patience: None,
            augment: is_image.then_some(Augment {
                shift: 1,
                mirror: false,
            }),
        };
        Candidate {
            id,
            architecture,
            training,
            seed: Seed(stream.child(u64::MAX).rng().next_u64()),
        }
    }

    const fn batch(&self) -> usize {
        match self.train_rows {
            0..=500 => 16,
            501..=4_000 => 32,
            4_001..=20_000 => 64,
            _ => 128,
        }
    }

    fn draw(&self, rng: &mut Rng) -> Architecture {
        let kinds = [
            ActivationKind::Relu,
            ActivationKind::Gelu,
            ActivationKind::Silu,
            ActivationKind::ReluLeaky,
            ActivationKind::SigmoidSymmetric,
        ];
        let activation = Some(Activation::new(kinds[rng.below(kinds.len())]));
        let is_normalized = rng.below(2) == 1;
        let mut layers = Vec::new();
        // Three in four candidates for images are convolutional.
        match self.image_side() {
            Some(side) if rng.below(4) > 0 => {
                draw_blocks(rng, side, activation, &mut layers);
                push_dropout(rng, &mut layers);
                if rng.below(3) > 0 {
                    layers.push(Layer::Dense {
                        units: 32 << rng.below(3),
                        activation,
                    });
                }
            }
            _ => {
                let mut units = 64 << rng.below(4);
                for _ in 0..=rng.below(3) {
                    push_normalized(&mut layers, is_normalized, activation, |activation| {
                        Layer::Dense { units, activation }
                    });
                    push_dropout(rng, &mut layers);
                    units = (units / 2).max(32);
                }
            }
        }
        Architecture::new(self.input, layers, self.output)
    }
}

fn draw_blocks(rng: &mut Rng, side: usize, activation: Option<Activation>, layers: &mut Vec<Layer>) {
    let mut side = side;
    let mut channels = 8 << rng.below(3);
    let is_normalized = rng.below(3) > 0;
    for block in 0..=rng.below(2) {
        if side < 4 {
            break;
        }
        let kernel = if side >= 12 && rng.below(3) == 0 { 5 } else { 3 };
        // A first convolution that steps by two makes large images cheap.
        let stride = if block == 0 && side >= 16 && rng.below(2) == 1 {
            2
        } else {
            1
        };
        for depth in 0..=rng.below(2) {
            let stride = if depth == 0 { stride } else { 1 };
            push_normalized(layers, is_normalized, activation, |activation| Layer::Conv2d {
                channels,
                kernel,
                stride,
                padding: kernel / 2,
                activation,
            });
        }
        layers.push(Layer::Pool {
            kind: PoolKind::Max,
            kernel: 2,
            stride: 2,
        });
        side = side.div_ceil(stride) / 2;
        channels *= 2;
    }
}

fn push_normalized(
    layers: &mut Vec<Layer>,
    is_normalized: bool,
    activation: Option<Activation>,
    layer: impl FnOnce(Option<Activation>) -> Layer,
) {
    if is_normalized {
        layers.push(layer(None));
        layers.push(Layer::BatchNorm { activation });
    } else {
        layers.push(layer(activation));
    }
}

fn push_dropout(rng: &mut Rng, layers: &mut Vec<Layer>) {
    let rate = [0.0, 0.1, 0.2, 0.3, 0.5][rng.below(5)];
    if rate > 0.0 {
        layers.push(Layer::Dropout { rate });
    }
}

#[cfg(test)]
mod tests;
