//! One phase of a few ops over random inputs: what benchmarks of kernels run.

use crate::device::Device;
use daa_base::{Rng, Seed};
use daa_gpu_core::Tenant;
use daa_kernels::error::GraphError;
use daa_kernels::{DType, Data, Graph, PhaseId, Plan, PlanOptions, Session, TensorId};
use std::sync::Arc;

#[derive(Debug)]
enum Values {
    Floats(Vec<f32>),
    Words(Vec<u32>),
}

/// Records the ops and keeps what goes into them. Inputs are the same every time.
#[derive(Debug)]
pub struct Recorder {
    /// For recording ops.
    pub graph: Graph,
    phase: PhaseId,
    inputs: Vec<(TensorId, Values)>,
    rng: Rng,
}

impl Recorder {
    /// An `f32` input, uniform in [-1, 1).
    ///
    /// # Errors
    /// As [`Graph::input`].
    pub fn random(&mut self, shape: &[usize]) -> Result<TensorId, GraphError> {
        let count = shape.iter().product();
        let values = (0..count)
            .map(|_| (self.rng.uniform() * 2.0 - 1.0) as f32)
            .collect();
        self.given(shape, values)
    }

    /// An `f32` input.
    ///
    /// # Errors
    /// As [`Graph::input`].
    pub fn given(&mut self, shape: &[usize], values: Vec<f32>) -> Result<TensorId, GraphError> {
        let name = format!("input {}", self.inputs.len());
        let id = self.graph.input(&name, shape, DType::F32)?;
        self.inputs.push((id, Values::Floats(values)));
        Ok(id)
    }

    /// `rows` random class numbers below `classes`.
    ///
    /// # Errors
    /// As [`Graph::input`].
    pub fn labels(&mut self, rows: usize, classes: usize) -> Result<TensorId, GraphError> {
        let name = format!("input {}", self.inputs.len());
        let id = self.graph.input(&name, &[rows], DType::U32)?;
        let values = (0..rows).map(|_| self.rng.below(classes) as u32).collect();
        self.inputs.push((id, Values::Words(values)));
        Ok(id)
    }
}

/// Ops that are compiled, and what goes into them.
#[derive(Debug)]
pub struct Recorded {
    plan: Arc<Plan>,
    phase: PhaseId,
    inputs: Vec<(TensorId, Values)>,
}

impl Recorded {
    /// Records `ops` and compiles them.
    ///
    /// # Panics
    /// When an op refuses its shapes.
    #[must_use]
    pub fn new(ops: impl FnOnce(&mut Recorder) -> Result<(), GraphError>) -> Self {
        let mut graph = Graph::new();
        let phase = graph.phase("benchmark");
        let rng = Seed(1).stream("benchmark inputs").rng();
        let mut recorder = Recorder {
            graph,
            phase,
            inputs: Vec::new(),
            rng,
        };
        ops(&mut recorder).expect("the shapes of a benchmark fit");
        let Recorder {
            graph, phase, inputs, ..
        } = recorder;
        let plan = Plan::compile(graph, &PlanOptions::default()).expect("a benchmark has ops");
        Self {
            plan: Arc::new(plan),
            phase,
            inputs,
        }
    }

    /// Floating-point operations of one run, counted as [`Plan::explain`] does.
    #[must_use]
    pub fn flops(&self) -> u64 {
        self.plan.explain().phases[0].flops()
    }

    /// Bytes of one run, each operand of each op counted once.
    #[must_use]
    pub fn bytes(&self) -> u64 {
        self.plan.explain().phases[0].bytes().get()
    }

    /// Loads the plan and gives it its inputs, which it keeps.
    ///
    /// # Panics
    /// When the device refuses.
    #[must_use]
    pub fn load(&self, device: &Device) -> Loaded {
        let tenant = device.tenant(self.plan.peak_bytes());
        let mut session =
            Session::load(&tenant, Arc::clone(&self.plan)).expect("the budget is the plan's peak");
        let inputs: Vec<_> = self
            .inputs
            .iter()
            .map(|(id, values)| match values {
                Values::Floats(values) => (*id, Data::F32(values)),
                Values::Words(values) => (*id, Data::U32(values)),
            })
            .collect();
        session
            .write(&inputs)
            .expect("inputs have the shapes they were declared with");
        let mut loaded = Loaded {
            session,
            phase: self.phase,
            _tenant: tenant,
        };
        loaded.run();
        loaded
    }
}

/// Ops on a device, ready to run.
#[derive(Debug)]
pub struct Loaded {
    session: Session,
    phase: PhaseId,
    /// Dropping it would take the session's memory back.
    _tenant: Tenant,
}

impl Loaded {
    /// One submission, waited for.
    ///
    /// # Panics
    /// When the device fails.
    pub fn run(&mut self) {
        let ticket = self.session.run(self.phase, &[]).expect("the session is loaded");
        drop(ticket.wait().expect("the device works"));
    }
}
