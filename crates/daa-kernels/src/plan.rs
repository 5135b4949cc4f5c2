//! Plans: one static memory layout and recorded command lists, whose peak is known before anything runs.

mod explain;
#[cfg(test)]
mod tests;

pub use explain::{Explanation, PhaseCost};

use crate::error::PlanError;
use crate::graph::{Graph, PhaseId, Storage, TensorId};
use daa_base::Bytes;
use daa_gpu_core::memory::layout::{self, Lifetime};
use daa_gpu_core::{Clear, Command, CommandList, Dispatch, Image, SLICE_ALIGN, Slice};

/// How a graph becomes a plan.
#[derive(Debug, Clone)]
#[non_exhaustive]
pub struct PlanOptions {
    /// Uploads in flight before a run waits for the oldest; 1 to 16. Two let the host prepare a step while the
    /// device works on the one before.
    pub upload_ring: u32,
    /// Most bytes read back in one piece, 4 to 2³⁰; larger reads take several. The staging area is no larger than
    /// the largest read.
    pub readback_limit: Bytes,
}

impl Default for PlanOptions {
    fn default() -> Self {
        Self {
            upload_ring: 2,
            readback_limit: Bytes::MIB,
        }
    }
}

/// A graph with a memory layout: what a session loads.
///
/// Tensors that persist have their own memory; temporary ones share theirs with others whose lifetimes do not meet,
/// across phases too.
#[derive(Debug)]
pub struct Plan {
    graph: Graph,
    image: Image,
    slices: Vec<Slice>,
    lower_bound: Bytes,
}

impl Plan {
    /// Lays out the tensors of `graph` and records its phases.
    ///
    /// # Errors
    /// A graph without ops, or an option out of range.
    pub fn compile(graph: Graph, options: &PlanOptions) -> Result<Self, PlanError> {
        check_options(options)?;
        if graph.nodes.is_empty() {
            return Err(PlanError::Empty);
        }
        let (slices, packing) = place(&graph)?;
        let lists = (0..graph.phases.len())
            .map(|phase| record(&graph, phase, &slices))
            .collect::<Result<Vec<_>, _>>()?;
        let image = Image {
            arena: Bytes(packing.peak),
            constants: Bytes::ZERO,
            clear: Clear::Always,
            lists,
            upload: Bytes(largest_upload(&graph)),
            upload_ring: options.upload_ring,
            readback: Bytes(largest_read(&graph).min(options.readback_limit.get())),
        };
        Ok(Self {
            graph,
            image,
            slices,
            lower_bound: Bytes(packing.lower_bound),
        })
    }

    /// Exactly the bytes that loading this plan reserves in a pool, on every backend, padding included.
    #[must_use]
    pub fn peak_bytes(&self) -> Bytes {
        self.image.footprint()
    }

    /// What a device loads.
    #[must_use]
    pub const fn image(&self) -> &Image {
        &self.image
    }

    /// The graph behind the plan.
    #[must_use]
    pub const fn graph(&self) -> &Graph {
        &self.graph
    }

    /// No layout of these lifetimes needs fewer arena bytes than this.
    #[must_use]
    pub const fn arena_lower_bound(&self) -> Bytes {
        self.lower_bound
    }

    /// Where a tensor lies in the arena.
    pub(crate) fn slice(&self, id: TensorId) -> Option<Slice> {
        let root = (id.index() < self.slices.len()).then(|| self.graph.root(id))?;
        self.slices.get(root.index()).copied()
    }
}

fn check_options(options: &PlanOptions) -> Result<(), PlanError> {
    if !(1..=16).contains(&options.upload_ring) {
        let value = u64::from(options.upload_ring);
        return Err(PlanError::Option {
            field: "upload_ring",
            value,
            allowed: "1 to 16",
        });
    }
    let limit = options.readback_limit.get();
    if !(4..=1 << 30).contains(&limit) {
        return Err(PlanError::Option {
            field: "readback_limit",
            value: limit,
            allowed: "4 to 2^30 bytes",
        });
    }
    Ok(())
}

/// One slice per tensor (views take their root's), and the packing's figures.
fn place(graph: &Graph) -> Result<(Vec<Slice>, layout::Packing), PlanError> {
    let lifetimes = lifetimes(graph);
    let lives: Vec<Lifetime> = lifetimes.iter().map(|(_, life)| *life).collect();
    let packing = layout::pack(&lives, SLICE_ALIGN)?;
    let mut slices = vec![Slice { offset: 0, bytes: 0 }; graph.tensors.len()];
    for ((id, life), &offset) in lifetimes.iter().zip(&packing.offsets) {
        slices[id.index()] = Slice {
            offset,
            bytes: life.size,
        };
    }
    Ok((slices, packing))
}

/// When each tensor with memory of its own is live, in node numbers.
fn lifetimes(graph: &Graph) -> Vec<(TensorId, Lifetime)> {
    let count = graph.nodes.len();
    let mut spans: Vec<Option<(usize, usize)>> = vec![None; graph.tensors.len()];
    let mut phase_ends = vec![0; graph.phases.len()];
    for (at, node) in graph.nodes.iter().enumerate() {
        phase_ends[node.phase.index()] = at + 1;
        for &id in node.inputs.iter().chain(&node.outputs).chain(&node.updates) {
            let span = &mut spans[graph.root(id).index()];
            *span = Some((span.map_or(at, |(lower, _)| lower), at + 1));
        }
    }
    let live = |id: TensorId| {
        let tensor = graph.tensor(id);
        let (lower, upper) = match (&tensor.storage, spans[id.index()]) {
            (Storage::View(_), _) | (Storage::Temporary(_), None) => return None,
            (Storage::Temporary(phase), Some((lower, _))) if tensor.is_output => {
                (lower, phase_ends[phase.index()])
            }
            (Storage::Temporary(_), Some(span)) => span,
            (Storage::Parameter | Storage::State | Storage::Input, _) => (0, count),
        };
        // Nodes are far fewer than 2^32: tensors are, and each node makes or changes at least one.
        let number = |at: usize| u32::try_from(at).unwrap_or(u32::MAX);
        Some((
            id,
            Lifetime {
                lower: number(lower),
                upper: number(upper),
                size: tensor.bytes(),
            },
        ))
    };
    graph.ids().filter_map(live).collect()
}

fn record(graph: &Graph, phase: usize, slices: &[Slice]) -> Result<CommandList, PlanError> {
    let mut commands = Vec::new();
    for node in graph.nodes.iter().filter(|node| node.phase.index() == phase) {
        let launch = node
            .op
            .launch(graph, &node.inputs, &node.updates)
            .map_err(crate::error::GraphError::from)?;
        let operands = node.inputs.iter().chain(&node.outputs).chain(&node.updates);
        commands.push(Command::Dispatch(Dispatch {
            program: launch.program,
            params: launch.params,
            bindings: operands.map(|&id| slices[graph.root(id).index()]).collect(),
            groups: launch.groups,
        }));
    }
    Ok(CommandList {
        name: graph.phases[phase].clone(),
        commands,
    })
}

/// The most bytes that one run uploads when all inputs of its phase are given.
fn largest_upload(graph: &Graph) -> u64 {
    let of_phase = |phase: usize| {
        let mut inputs: Vec<TensorId> = graph
            .nodes
            .iter()
            .filter(|node| node.phase.index() == phase)
            .flat_map(|node| node.inputs.iter().map(|&id| graph.root(id)))
            .filter(|&id| graph.tensor(id).storage == Storage::Input)
            .collect();
        inputs.sort_unstable();
        inputs.dedup();
        inputs
            .iter()
            .map(|&id| graph.tensor(id).bytes().next_multiple_of(SLICE_ALIGN))
            .sum::<u64>()
    };
    // Parameters are written through the same staging area, so there is always one.
    (0..graph.phases.len())
        .map(of_phase)
        .max()
        .unwrap_or(0)
        .max(SLICE_ALIGN)
}

/// The most bytes that are read at once: the outputs of a phase, or all that persists.
fn largest_read(graph: &Graph) -> u64 {
    let rounded = |id: TensorId| graph.tensor(id).bytes().next_multiple_of(SLICE_ALIGN);
    let persistent: u64 = graph.parameters().chain(graph.states()).map(rounded).sum();
    let of_phase = |phase: usize| -> u64 {
        let made_here = |id: &TensorId| {
            let tensor = graph.tensor(*id);
            tensor.is_output && matches!(tensor.storage, Storage::Temporary(of) if of.index() == phase)
        };
        graph.ids().filter(made_here).map(rounded).sum()
    };
    (0..graph.phases.len())
        .map(of_phase)
        .max()
        .unwrap_or(0)
        .max(persistent)
        .max(4)
}

impl Plan {
    /// The list index of a phase, which is its number.
    pub(crate) fn list(&self, phase: PhaseId) -> Option<usize> {
        (phase.index() < self.image.lists.len()).then_some(phase.index())
    }
}
