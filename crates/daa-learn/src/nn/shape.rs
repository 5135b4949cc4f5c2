//! Checks a description and derives the shapes of its layers and parameters.

use super::architecture::{ARCHITECTURE_VERSION, Architecture, InputShape, Layer, OutputHead};
use super::error::ArchitectureError;
use daa_kernels::activation::Activation;

/// Most hidden layers.
pub const MAX_LAYERS: usize = 128;
/// Most features, units and classes: kernels add up one row in one loop, and adapters end longer loops.
pub const MAX_UNITS: usize = 65_534;
/// Most channels, and most pixels along a side.
pub const MAX_SIDE: usize = 4_096;
/// Largest kernel or pooling window side.
pub const MAX_KERNEL: usize = 15;
/// Largest stride.
pub const MAX_STRIDE: usize = 8;
/// Largest dropout rate.
pub const MAX_DROPOUT: f32 = 0.95;
/// Most parameters of a network: 1 GiB as `f32`.
pub const MAX_PARAMETERS: usize = 1 << 28;

/// What one example is between two layers.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Shape {
    /// A row of numbers.
    Flat(usize),
    /// Channels, rows, columns.
    Image(usize, usize, usize),
}

impl Shape {
    /// Numbers per example.
    #[must_use]
    pub const fn features(self) -> usize {
        match self {
            Self::Flat(features) => features,
            Self::Image(channels, height, width) => channels * height * width,
        }
    }

    /// The size of dimension 1: channels of an image, features of a row.
    #[must_use]
    pub const fn channels(self) -> usize {
        match self {
            Self::Flat(features) => features,
            Self::Image(channels, _, _) => channels,
        }
    }

    /// The tensor shape of a batch.
    #[must_use]
    pub fn batch(self, batch: usize) -> Vec<usize> {
        match self {
            Self::Flat(features) => vec![batch, features],
            Self::Image(channels, height, width) => vec![batch, channels, height, width],
        }
    }
}

/// What a parameter tensor is for.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum ParameterKind {
    /// A weight, drawn at random. The only kind that weight decay touches.
    Weight {
        /// Inputs of one output.
        fan_in: usize,
        /// Outputs of one input.
        fan_out: usize,
        /// What follows it, which decides the spread of the draw.
        activation: Option<Activation>,
    },
    /// A bias; begins at 0.
    Bias,
    /// Scale of a batch normalization; begins at 1.
    Gamma,
    /// Shift of a batch normalization; begins at 0.
    Beta,
    /// Running mean of a batch normalization; begins at 0, not trained.
    RunningMean,
    /// Running variance of a batch normalization; begins at 1, not trained.
    RunningVariance,
}

impl ParameterKind {
    /// Whether an optimizer changes it (running statistics are kept by the layer itself).
    #[must_use]
    pub const fn is_trained(self) -> bool {
        !matches!(self, Self::RunningMean | Self::RunningVariance)
    }
}

/// One parameter tensor of a network.
#[derive(Debug, Clone, PartialEq)]
pub struct ParameterSpec {
    /// `layer2.weight`, `head.bias`, …; unique in the network.
    pub name: String,
    /// Its shape.
    pub shape: Vec<usize>,
    /// What it is for.
    pub kind: ParameterKind,
}

impl ParameterSpec {
    /// Number of elements.
    #[must_use]
    pub fn elements(&self) -> usize {
        self.shape.iter().product()
    }
}

impl Architecture {
    /// Checks every field and every transition between layers.
    ///
    /// # Errors
    /// Names the layer, the field, its value and what is allowed.
    pub fn validate(&self) -> Result<(), ArchitectureError> {
        self.walk().map(|_| ())
    }

    /// The shape behind each hidden layer.
    ///
    /// # Errors
    /// As [`Architecture::validate`].
    pub fn shapes(&self) -> Result<Vec<Shape>, ArchitectureError> {
        self.walk().map(|walk| walk.shapes)
    }

    /// Every parameter tensor, first layer to head: the one order in which they are drawn, saved and loaded.
    ///
    /// # Errors
    /// As [`Architecture::validate`].
    pub fn parameters(&self) -> Result<Vec<ParameterSpec>, ArchitectureError> {
        self.walk().map(|walk| walk.parameters)
    }

    /// Trained numbers (running statistics do not count).
    ///
    /// # Errors
    /// As [`Architecture::validate`].
    pub fn parameter_count(&self) -> Result<usize, ArchitectureError> {
        let parameters = self.parameters()?;
        Ok(parameters
            .iter()
            .filter(|p| p.kind.is_trained())
            .map(ParameterSpec::elements)
            .sum())
    }

    /// Multiplications of one forward pass of one example: a measure of cost for comparisons between networks.
    ///
    /// # Errors
    /// As [`Architecture::validate`].
    pub fn multiplications(&self) -> Result<u64, ArchitectureError> {
        let walk = self.walk()?;
        let head = walk
            .shapes
            .last()
            .copied()
            .unwrap_or_else(|| input_shape(self.input));
        let mut total = (head.features() * self.output.width()) as u64;
        let mut before = input_shape(self.input);
        for (layer, &after) in self.layers.iter().zip(&walk.shapes) {
            total += match *layer {
                Layer::Dense { units, .. } => (before.features() * units) as u64,
                Layer::Conv2d { kernel, .. } => {
                    (before.channels() * kernel * kernel) as u64 * after.features() as u64
                }
                _ => 0,
            };
            before = after;
        }
        Ok(total)
    }

    fn walk(&self) -> Result<Walk, ArchitectureError> {
        if self.version != ARCHITECTURE_VERSION {
            return Err(ArchitectureError::Version {
                found: self.version,
                wanted: ARCHITECTURE_VERSION,
            });
        }
        check_input(self.input)?;
        range("layers", "count", self.layers.len(), 0, MAX_LAYERS)?;
        if let OutputHead::Classes { count } = self.output {
            range("output", "count", count, 2, MAX_UNITS)?;
        }
        let mut walk = Walk {
            shape: input_shape(self.input),
            shapes: Vec::new(),
            parameters: Vec::new(),
            count: 0,
        };
        for (index, layer) in self.layers.iter().enumerate() {
            walk.layer(index, layer)?;
            walk.shapes.push(walk.shape);
        }
        let features = walk.shape.features();
        range("output", "features before the head", features, 1, MAX_UNITS)?;
        walk.dense("output", "head", features, self.output.width(), None)?;
        Ok(walk)
    }
}

/// The shape that an input has before the first layer.
#[must_use]
pub const fn input_shape(input: InputShape) -> Shape {
    match input {
        InputShape::Flat { features } => Shape::Flat(features),
        InputShape::Image {
            channels,
            height,
            width,
        } => Shape::Image(channels, height, width),
    }
}

struct Walk {
    shape: Shape,
    shapes: Vec<Shape>,
    parameters: Vec<ParameterSpec>,
    count: usize,
}

impl Walk {
    fn layer(&mut self, index: usize, layer: &Layer) -> Result<(), ArchitectureError> {
        let place = format!("layer {index} ({})", kind_name(layer));
        let prefix = format!("layer{index}");
        match *layer {
            Layer::Dense { units, activation } => {
                let features = self.shape.features();
                range(&place, "units", units, 1, MAX_UNITS)?;
                range(&place, "features before it", features, 1, MAX_UNITS)?;
                check_activation(&place, activation)?;
                self.dense(&place, &prefix, features, units, activation)?;
                self.shape = Shape::Flat(units);
            }
            Layer::Conv2d { .. } => self.conv(&place, &prefix, layer)?,
            Layer::Pool { kernel, stride, .. } => {
                let (c, h, w) = self.image(&place)?;
                range(&place, "kernel", kernel, 1, MAX_KERNEL.min(h).min(w))?;
                range(&place, "stride", stride, 1, MAX_STRIDE)?;
                let side = |length: usize| (length - kernel) / stride + 1;
                self.shape = Shape::Image(c, side(h), side(w));
            }
            Layer::BatchNorm { activation } => {
                check_activation(&place, activation)?;
                let channels = vec![self.shape.channels()];
                self.push(&place, &prefix, "gamma", channels.clone(), ParameterKind::Gamma)?;
                self.push(&place, &prefix, "beta", channels.clone(), ParameterKind::Beta)?;
                self.push(
                    &place,
                    &prefix,
                    "running_mean",
                    channels.clone(),
                    ParameterKind::RunningMean,
                )?;
                self.push(
                    &place,
                    &prefix,
                    "running_var",
                    channels,
                    ParameterKind::RunningVariance,
                )?;
            }
            Layer::Dropout { rate } => {
                if !(0.0..=MAX_DROPOUT).contains(&rate) {
                    return Err(refused(&place, "rate", rate, format!("0 to {MAX_DROPOUT}")));
                }
            }
            Layer::Flatten {} => self.shape = Shape::Flat(self.shape.features()),
        }
        Ok(())
    }

    fn conv(&mut self, place: &str, prefix: &str, layer: &Layer) -> Result<(), ArchitectureError> {
        let &Layer::Conv2d {
            channels,
            kernel,
            stride,
            padding,
            activation,
        } = layer
        else {
            return Ok(());
        };
        let (c, h, w) = self.image(place)?;
        range(place, "channels", channels, 1, MAX_SIDE)?;
        range(place, "kernel", kernel, 1, MAX_KERNEL)?;
        range(place, "padding", padding, 0, kernel - 1)?;
        range(place, "stride", stride, 1, MAX_STRIDE)?;
        range(place, "kernel", kernel, 1, h.min(w) + 2 * padding)?;
        range(place, "products per output", c * kernel * kernel, 1, MAX_UNITS)?;
        check_activation(place, activation)?;
        let area = kernel * kernel;
        let weight = ParameterKind::Weight {
            fan_in: c * area,
            fan_out: channels * area,
            activation,
        };
        self.push(place, prefix, "weight", vec![channels, c, kernel, kernel], weight)?;
        self.push(place, prefix, "bias", vec![channels], ParameterKind::Bias)?;
        let side = |length: usize| (length + 2 * padding - kernel) / stride + 1;
        self.shape = Shape::Image(channels, side(h), side(w));
        Ok(())
    }

    fn image(&self, place: &str) -> Result<(usize, usize, usize), ArchitectureError> {
        match self.shape {
            Shape::Image(channels, height, width) => Ok((channels, height, width)),
            Shape::Flat(features) => Err(ArchitectureError::NeedsImage {
                place: place.to_owned(),
                features,
            }),
        }
    }

    fn dense(
        &mut self,
        place: &str,
        prefix: &str,
        features: usize,
        units: usize,
        activation: Option<Activation>,
    ) -> Result<(), ArchitectureError> {
        let weight = ParameterKind::Weight {
            fan_in: features,
            fan_out: units,
            activation,
        };
        self.push(place, prefix, "weight", vec![features, units], weight)?;
        self.push(place, prefix, "bias", vec![units], ParameterKind::Bias)
    }

    fn push(
        &mut self,
        place: &str,
        prefix: &str,
        name: &str,
        shape: Vec<usize>,
        kind: ParameterKind,
    ) -> Result<(), ArchitectureError> {
        let elements = shape
            .iter()
            .fold(1_usize, |product, &dim| product.saturating_mul(dim));
        self.count = self.count.saturating_add(elements);
        if self.count > MAX_PARAMETERS {
            return Err(ArchitectureError::TooManyParameters {
                place: place.to_owned(),
                count: self.count,
                limit: MAX_PARAMETERS,
            });
        }
        self.parameters.push(ParameterSpec {
            name: format!("{prefix}.{name}"),
            shape,
            kind,
        });
        Ok(())
    }
}

fn check_input(input: InputShape) -> Result<(), ArchitectureError> {
    match input {
        InputShape::Flat { features } => range("input", "features", features, 1, MAX_UNITS),
        InputShape::Image {
            channels,
            height,
            width,
        } => {
            range("input", "channels", channels, 1, MAX_SIDE)?;
            range("input", "height", height, 1, MAX_SIDE)?;
            range("input", "width", width, 1, MAX_SIDE)
        }
    }
}

fn check_activation(place: &str, activation: Option<Activation>) -> Result<(), ArchitectureError> {
    match activation {
        Some(Activation { steepness, .. })
            if !(steepness.is_finite() && steepness > 0.0 && steepness <= 100.0) =>
        {
            Err(refused(
                place,
                "steepness",
                steepness,
                "above 0 to 100".to_owned(),
            ))
        }
        _ => Ok(()),
    }
}

fn range(
    place: &str,
    field: &'static str,
    value: usize,
    low: usize,
    high: usize,
) -> Result<(), ArchitectureError> {
    if (low..=high).contains(&value) {
        return Ok(());
    }
    Err(refused(place, field, value, format!("{low} to {high}")))
}

fn refused(place: &str, field: &'static str, value: impl ToString, allowed: String) -> ArchitectureError {
    ArchitectureError::Range {
        place: place.to_owned(),
        field,
        value: value.to_string(),
        allowed,
    }
}

const fn kind_name(layer: &Layer) -> &'static str {
    match layer {
        Layer::Dense { .. } => "dense",
        Layer::Conv2d { .. } => "conv2d",
        Layer::Pool { .. } => "pool",
        Layer::BatchNorm { .. } => "batch_norm",
        Layer::Dropout { .. } => "dropout",
        Layer::Flatten {} => "flatten",
    }
}
