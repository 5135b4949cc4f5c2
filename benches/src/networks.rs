//! The networks and the data that benchmarks train with.

use daa_base::Seed;
use daa_kernels::activation::Activation;
use daa_learn::data::{DataError, DataSource, Dataset, InputShape, LoadOptions, Preprocess, Target};
use daa_learn::nn::{Architecture, Layer, OutputHead, PoolKind};
use daa_learn::train::PreparedData;
use std::sync::Arc;

const HEAD: OutputHead = OutputHead::Classes { count: 10 };

/// Images of 28 × 28 grey pixels.
const IMAGE: InputShape = InputShape::Image {
    channels: 1,
    height: 28,
    width: 28,
};

const fn dense(units: usize) -> Layer {
    Layer::Dense {
        units,
        activation: Some(Activation::relu()),
    }
}

const fn conv(channels: usize) -> Layer {
    Layer::Conv2d {
        channels,
        kernel: 3,
        stride: 1,
        padding: 1,
        activation: Some(Activation::relu()),
    }
}

const POOL: Layer = Layer::Pool {
    kind: PoolKind::Max,
    kernel: 2,
    stride: 2,
};

/// A multi-layer perceptron 784-128-10 with ReLU: 101,770 parameters.
#[must_use]
pub fn mlp() -> Architecture {
    Architecture::new(InputShape::Flat { features: 784 }, vec![dense(128)], HEAD)
}

/// conv 3×3×16, pool, conv 3×3×32, pool, fc 64, fc 10 over images of 28 × 28: 105,866 parameters.
#[must_use]
pub fn cnn() -> Architecture {
    Architecture::new(IMAGE, vec![conv(16), POOL, conv(32), POOL, dense(64)], HEAD)
}

/// `rows` rows of uniform noise in [0, 1) in ten classes, without validation rows.
///
/// # Panics
/// When `rows` is 0.
#[must_use]
pub fn noise(shape: InputShape, rows: usize) -> PreparedData {
    let mut rng = Seed(1).stream("benchmark data").rng();
    let count = rows * shape.values();
    let features = (0..count).map(|_| rng.uniform() as f32).collect();
    let labels = (0..rows).map(|_| rng.below(10) as u32).collect();
    let target = Target::Classes { labels, classes: 10 };
    let dataset = Dataset::new(shape, features, target).expect("finite values that fit");
    every_row(dataset, rows)
}

/// The 60,000 training images of Fashion-MNIST, normalized.
///
/// # Errors
/// When the data set is not on this machine, or damaged.
///
/// # Panics
/// Never: what was loaded can be prepared.
pub fn fashion_mnist() -> Result<PreparedData, DataError> {
    let table = DataSource::FashionMnist.load(&LoadOptions::default())?;
    let rows: Vec<u32> = (0..60_000).collect();
    let preprocess = Preprocess::fit(&table, &rows)?;
    Ok(every_row(preprocess.dataset(&table)?, rows.len()))
}

fn every_row(dataset: Dataset, rows: usize) -> PreparedData {
    let train = (0..rows as u32).collect();
    PreparedData::new(Arc::new(dataset), train, Vec::new()).expect("the data set has these rows")
}
