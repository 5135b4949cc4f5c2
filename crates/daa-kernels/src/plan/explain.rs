//! What a plan does and costs, for people.

use super::Plan;
use crate::graph::Graph;
use daa_base::Bytes;
use std::fmt;

/// One op of a phase with its cost.
#[derive(Debug, Clone, PartialEq)]
#[non_exhaustive]
pub struct OpCost {
    /// The op's name.
    pub op: &'static str,
    /// Shapes of what it reads and makes, as `[2, 3], [3] → [2]`.
    pub shapes: String,
    /// Bytes it reads and writes, each operand counted once.
    pub bytes: Bytes,
    /// Floating-point operations.
    pub flops: u64,
}

/// One phase with its cost.
#[derive(Debug, Clone, PartialEq)]
#[non_exhaustive]
pub struct PhaseCost {
    /// The phase's name.
    pub name: String,
    /// Its ops in order.
    pub ops: Vec<OpCost>,
}

impl PhaseCost {
    /// Bytes moved by one run, each operand of each op counted once.
    #[must_use]
    pub fn bytes(&self) -> Bytes {
        self.ops.iter().map(|op| op.bytes).sum()
    }

    /// Floating-point operations of one run.
    #[must_use]
    pub fn flops(&self) -> u64 {
        self.ops.iter().map(|op| op.flops).sum()
    }
}

/// What a plan does and costs. [`fmt::Display`] prints a table.
#[derive(Debug, Clone, PartialEq)]
#[non_exhaustive]
pub struct Explanation {
    /// The phases in the order they were recorded.
    pub phases: Vec<PhaseCost>,
    /// See [`Plan::peak_bytes`].
    pub peak: Bytes,
    /// Size of the arena: all tensors, packed by lifetime.
    pub arena: Bytes,
    /// See [`Plan::arena_lower_bound`].
    pub arena_lower_bound: Bytes,
    /// What the tensors would take if none shared memory.
    pub arena_unshared: Bytes,
}

impl Plan {
    /// What the plan does and costs.
    #[must_use]
    pub fn explain(&self) -> Explanation {
        let graph = self.graph();
        let phase = |(number, name): (usize, &String)| PhaseCost {
            name: name.clone(),
            ops: graph
                .nodes
                .iter()
                .filter(|n| n.phase.index() == number)
                .map(|n| cost(graph, n))
                .collect(),
        };
        let owners = graph.ids().filter(|&id| graph.root(id) == id);
        Explanation {
            phases: graph.phases.iter().enumerate().map(phase).collect(),
            peak: self.peak_bytes(),
            arena: self.image().arena,
            arena_lower_bound: self.arena_lower_bound(),
            arena_unshared: owners.map(|id| Bytes(graph.tensor(id).bytes())).sum(),
        }
    }
}

fn cost(graph: &Graph, node: &crate::graph::Node) -> OpCost {
    let shapes = |ids: &[crate::graph::TensorId]| {
        ids.iter()
            .map(|&id| format!("{:?}", graph.shape(id)))
            .collect::<Vec<_>>()
            .join(", ")
    };
    let operands = || node.inputs.iter().chain(&node.outputs).chain(&node.updates);
    let made = if node.outputs.is_empty() {
        &node.updates
    } else {
        &node.outputs
    };
    let elements = made.first().map_or(0, |&id| graph.tensor(id).elements() as u64);
    // What is changed in place is read and written.
    let updated: u64 = node.updates.iter().map(|&id| graph.tensor(id).bytes()).sum();
    OpCost {
        op: node.op.name(),
        shapes: format!("{} → {}", shapes(&node.inputs), shapes(made)),
        bytes: Bytes(operands().map(|&id| graph.tensor(id).bytes()).sum::<u64>() + updated),
        flops: node.op.flops(elements),
    }
}

impl fmt::Display for Explanation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for phase in &self.phases {
            writeln!(
                f,
                "phase {}: {} ops, {} moved, {:.3} MFLOP",
                phase.name,
                phase.ops.len(),
                phase.bytes(),
                phase.flops() as f64 / 1e6
            )?;
            for op in &phase.ops {
                writeln!(
                    f,
                    "  {:<20} {:>10}  {:>12} FLOP  {}",
                    op.op,
                    op.bytes.to_string(),
                    op.flops,
                    op.shapes
                )?;
            }
        }
        writeln!(
            f,
            "peak {} ({} bytes): arena {} (at least {}, unshared {})",
            self.peak,
            self.peak.get(),
            self.arena,
            self.arena_lower_bound,
            self.arena_unshared
        )
    }
}
