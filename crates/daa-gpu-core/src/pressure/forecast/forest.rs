//! A quantile regression forest: which residuals were seen in similar states.

use super::features::FEATURES;
use daa_base::{Rng, Seed};

/// Trees of a forest.
const TREES: usize = 20;
/// States that a tree is grown from, at most; they are drawn evenly.
const MOST: usize = 6_000;
/// Fewest states of a leaf.
const LEAF: usize = 10;
/// Most residuals that a leaf keeps: evenly spaced quantiles of its own.
const KEPT: usize = 20;
/// Most residuals that are kept of all states together.
const KEPT_OF_ALL: usize = 1000;
/// Deepest leaf.
const DEPTH: usize = 14;
/// Thresholds tried per feature and node.
const TRIES: usize = 3;

/// One state with the residual that followed it.
#[derive(Debug, Clone, Copy)]
pub(super) struct Example {
    pub(super) features: [f64; FEATURES],
    pub(super) residual: f64,
}

#[derive(Debug, Clone, PartialEq)]
enum Node {
    /// States whose feature is at most the threshold go to the first child, others to the second.
    Split {
        feature: usize,
        threshold: f64,
        children: [usize; 2],
    },
    /// Residuals, sorted.
    Leaf(Vec<f64>),
}

/// Trees over states.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Forest {
    trees: Vec<Vec<Node>>,
    /// Residuals whatever the state, sorted and thinned.
    all: Vec<f64>,
}

impl Forest {
    /// Grows a forest; the same examples give the same one.
    pub(super) fn grow(examples: &[Example]) -> Self {
        let stride = examples.len().div_ceil(MOST).max(1);
        let chosen: Vec<&Example> = examples.iter().step_by(stride).collect();
        let stream = Seed(0).stream("pressure forecast forest");
        let trees = (0..TREES).map(|tree| {
            let mut rng = stream.child(tree as u64).rng();
            // Two thirds of the states each, about what a bootstrap would have of different ones.
            let mut drawn: Vec<usize> = (0..chosen.len()).filter(|_| rng.below(3) < 2).collect();
            if drawn.is_empty() {
                drawn = (0..chosen.len()).collect();
            }
            let mut nodes = Vec::new();
            Self::grow_node(&chosen, &mut drawn, DEPTH, &mut rng, &mut nodes);
            nodes
        });
        let everything: Vec<usize> = (0..chosen.len()).collect();
        Self {
            trees: trees.collect(),
            all: kept(&chosen, &everything, KEPT_OF_ALL),
        }
    }

    /// Grows the node over the examples `which` and everything below; gives its place.
    fn grow_node(
        examples: &[&Example],
        which: &mut [usize],
        depth: usize,
        rng: &mut Rng,
        nodes: &mut Vec<Node>,
    ) -> usize {
        let place = nodes.len();
        let split = if depth == 0 || which.len() < 2 * LEAF {
            None
        } else {
            best_split(examples, which, rng)
        };
        let Some((feature, threshold)) = split else {
            nodes.push(Node::Leaf(kept(examples, which, KEPT)));
            return place;
        };
        nodes.push(Node::Leaf(Vec::new()));
        which.sort_by_key(|&at| examples[at].features[feature] > threshold);
        let middle = which.partition_point(|&at| examples[at].features[feature] <= threshold);
        let (low, high) = which.split_at_mut(middle);
        let first = Self::grow_node(examples, low, depth - 1, rng, nodes);
        let second = Self::grow_node(examples, high, depth - 1, rng, nodes);
        nodes[place] = Node::Split {
            feature,
            threshold,
            children: [first, second],
        };
        place
    }

    /// Residuals whatever the state, sorted.
    pub(super) fn all(&self) -> &[f64] {
        &self.all
    }

    /// Puts the residuals of similar states into `into`, sorted.
    pub(super) fn similar(&self, features: &[f64; FEATURES], into: &mut Vec<f64>) {
        into.clear();
        for nodes in &self.trees {
            let mut at = 0;
            // Children come after their parents, so this ends.
            while let Some(Node::Split {
                feature,
                threshold,
                children,
            }) = nodes.get(at)
            {
                at = children[usize::from(features[*feature] > *threshold)];
            }
            if let Some(Node::Leaf(residuals)) = nodes.get(at) {
                into.extend_from_slice(residuals);
            }
        }
        into.sort_unstable_by(f64::total_cmp);
    }
}

/// The residuals of a leaf, sorted and thinned.
fn kept(examples: &[&Example], which: &[usize], most: usize) -> Vec<f64> {
    let mut all: Vec<f64> = which.iter().map(|&at| examples[at].residual).collect();
    all.sort_by(f64::total_cmp);
    if all.len() <= most {
        return all;
    }
    // The middles of equal shares.
    (0..most)
        .map(|part| all[(2 * part + 1) * all.len() / (2 * most)])
        .collect()
}

/// The split that lowers the variance of residuals most, of a few random ones per feature.
fn best_split(examples: &[&Example], which: &[usize], rng: &mut Rng) -> Option<(usize, f64)> {
    let count = which.len() as f64;
    let total: f64 = which.iter().map(|&at| examples[at].residual).sum();
    let mut best = None;
    let mut best_gain = 0.0;
    for feature in 0..FEATURES {
        for _ in 0..TRIES {
            let draw = |rng: &mut Rng| examples[which[rng.below(which.len())]].features[feature];
            let (a, b) = (draw(rng), draw(rng));
            if a == b {
                continue;
            }
            let threshold = a.min(b) + (a - b).abs() * rng.uniform();
            let (mut low, mut sum) = (0_usize, 0.0);
            for &at in which {
                if examples[at].features[feature] <= threshold {
                    low += 1;
                    sum += examples[at].residual;
                }
            }
            let high = which.len() - low;
            if low < LEAF || high < LEAF {
                continue;
            }
            // The variance between the two sides.
            let between = sum * sum / low as f64 + (total - sum) * (total - sum) / high as f64;
            let gain = between - total * total / count;
            if gain > best_gain {
                best_gain = gain;
                best = Some((feature, threshold));
            }
        }
    }
    best
}

#[cfg(test)]
mod tests {
    use super::super::quantile::quantile;
    use super::*;

    #[test]
    fn residuals_are_told_apart_by_state() {
        let mut rng = Seed(7).stream("test").rng();
        let examples: Vec<Example> = (0..2000)
            .map(|_| {
                let features = std::array::from_fn(|_| rng.uniform());
                // High states fall, low ones rise.
                let residual = if features[0] > 0.5 { -1.0 } else { 1.0 } + 0.1 * rng.uniform();
                Example { features, residual }
            })
            .collect();
        let forest = Forest::grow(&examples);
        assert_eq!(forest, Forest::grow(&examples), "the same every time");
        let mut similar = Vec::new();
        let mut at = |level: f64| {
            let mut features = [0.5; FEATURES];
            features[0] = level;
            forest.similar(&features, &mut similar);
            quantile(&similar, 0.9)
        };
        assert!(at(0.9) < -0.8 && at(0.1) > 1.0);
    }

    #[test]
    fn without_examples_nothing_is_similar() {
        let mut similar = vec![1.0];
        Forest::grow(&[]).similar(&[0.0; FEATURES], &mut similar);
        assert!(similar.is_empty());
    }
}
