//! Trained models at work.

use super::error::PredictError;
use super::store::Model;
use crate::data::Target;
use crate::nn::{Network, OutputHead, Purpose, compile};
use daa_base::{Bytes, FencingToken};
use daa_gpu_core::{ComputeContext, Tenant, TenantSpec, Weight};
use daa_kernels::graph::TensorId;
use daa_kernels::session::{Data, Session};
use std::sync::Arc;

/// Most rows per batch of a [`Predictor`].
pub const PREDICT_BATCH: usize = 256;

/// What a model says about rows.
#[derive(Debug, Clone, PartialEq)]
pub struct Predictions {
    /// Outputs per row: the number of classes, or 1.
    pub width: usize,
    /// Class probabilities or normalized values, row after row.
    pub values: Vec<f32>,
}

impl Predictions {
    /// The outputs of each row.
    pub fn rows(&self) -> std::slice::ChunksExact<'_, f32> {
        self.values.chunks_exact(self.width)
    }

    /// The most probable class of each row; the first of equals.
    pub fn classes(&self) -> impl Iterator<Item = u32> + '_ {
        self.rows().map(|row| {
            let best =
                (1..row.len()).fold(0, |best, class| if row[class] > row[best] { class } else { best });
            u32::try_from(best).unwrap_or(u32::MAX)
        })
    }

    /// How the predictions of `rows` compare with their targets: share of rows predicted right, or the root mean
    /// squared error of the normalized values. `rows` are the rows of `target` that were predicted, in order.
    ///
    /// # Panics
    /// When a row is not one of `target`.
    #[must_use]
    pub fn score(&self, target: &Target, rows: &[u32]) -> f64 {
        let count = rows.len().max(1) as f64;
        match target {
            Target::Classes { labels, .. } => {
                let hits = self
                    .classes()
                    .zip(rows)
                    .filter(|(class, row)| *class == labels[**row as usize])
                    .count();
                hits as f64 / count
            }
            Target::Values(values) => {
                let squares = self
                    .rows()
                    .zip(rows)
                    .map(|(row, &at)| (f64::from(row[0]) - f64::from(values[at as usize])).powi(2));
                (squares.sum::<f64>() / count).sqrt()
            }
        }
    }
}

/// A model loaded on a device.
#[derive(Debug)]
pub struct Predictor {
    network: Arc<Network>,
    session: Session,
    /// Kept so that the budget lives as long as the session.
    _tenant: Option<Tenant>,
}

impl Predictor {
    /// The network that [`Predictor::load`] wants for `model`; its [`Network::peak_bytes`] are what loading takes.
    ///
    /// # Errors
    /// When the network cannot be compiled.
    pub fn network(model: &Model) -> Result<Arc<Network>, PredictError> {
        Ok(Arc::new(compile(
            model.architecture(),
            PREDICT_BATCH,
            Purpose::Predict,
        )?))
    }

    /// Loads `model` on `context`, under a tenant with exactly the budget it needs.
    ///
    /// # Errors
    /// When the network cannot be compiled, the memory cannot be had, or the device fails.
    pub fn open(model: &Model, context: &ComputeContext) -> Result<Self, PredictError> {
        let network = Self::network(model)?;
        let budget: Bytes = network.peak_bytes();
        let tenant = context.tenant(TenantSpec {
            name: "predict".to_owned(),
            budget,
            token: FencingToken(0),
            weight: Weight::default(),
        })?;
        let mut this = Self::load(model, network, &tenant)?;
        this._tenant = Some(tenant);
        Ok(this)
    }

    /// Loads `model` under `tenant`, whose budget must cover `network`, made by [`Predictor::network`].
    ///
    /// # Errors
    /// When the budget is too small or the device fails.
    pub fn load(model: &Model, network: Arc<Network>, tenant: &Tenant) -> Result<Self, PredictError> {
        let mut session = Session::load(tenant, Arc::clone(network.plan()))?;
        let writes: Vec<(TensorId, Data<'_>)> = network
            .parameters()
            .iter()
            .zip(model.parameters())
            .map(|(&(_, id), data)| (id, Data::F32(data)))
            .collect();
        session.write(&writes)?;
        Ok(Self {
            network,
            session,
            _tenant: None,
        })
    }

    /// Predicts `features`: whole rows of the model's width, row after row, normalized by the model's preprocessing.
    ///
    /// # Errors
    /// Another row width, or a device that fails.
    pub fn predict(&mut self, features: &[f32]) -> Result<Predictions, PredictError> {
        let wanted = self.network.architecture().input.values();
        if !features.len().is_multiple_of(wanted) {
            return Err(PredictError::Width {
                found: features.len(),
                wanted,
            });
        }
        let rows: Vec<&[f32]> = features.chunks_exact(wanted).collect();
        self.batches(&rows)
    }

    /// Predicts the given rows of a data set that was made by the model's preprocessing.
    ///
    /// # Errors
    /// Another row width, or a device that fails.
    ///
    /// # Panics
    /// When a row is not one of `dataset`.
    pub fn predict_rows(
        &mut self,
        dataset: &crate::data::Dataset,
        rows: &[u32],
    ) -> Result<Predictions, PredictError> {
        let (found, wanted) = (dataset.columns(), self.network.architecture().input.values());
        if found != wanted {
            return Err(PredictError::Width { found, wanted });
        }
        let rows: Vec<&[f32]> = rows.iter().map(|&row| dataset.row(row as usize)).collect();
        self.batches(&rows)
    }

    fn batches(&mut self, rows: &[&[f32]]) -> Result<Predictions, PredictError> {
        let width = match self.network.architecture().output {
            OutputHead::Classes { count } => count,
            OutputHead::Regression {} => 1,
        };
        let features = self.network.architecture().input.values();
        let mut input = vec![0.0; self.network.batch() * features];
        let mut values = Vec::with_capacity(rows.len() * width);
        for batch in rows.chunks(self.network.batch()) {
            for (slot, row) in input.chunks_exact_mut(features).zip(batch) {
                slot.copy_from_slice(row);
            }
            let phase = self.network.phases().predict;
            let (id, output) = (self.network.features(), self.network.output());
            let read = self
                .session
                .run_and_read(phase, &[(id, Data::F32(&input))], &[output])?;
            values.extend_from_slice(&read[0][..batch.len() * width]);
        }
        Ok(Predictions { width, values })
    }
}
