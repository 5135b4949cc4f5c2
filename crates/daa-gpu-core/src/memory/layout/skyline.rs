//! The highest of something over ranges of steps: a segment tree of maxima.

/// Heights over steps; ranges only rise.
#[derive(Debug)]
pub(super) struct Skyline {
    steps: usize,
    /// The highest below each node; leaves from `steps` on.
    highest: Vec<u64>,
    /// What the whole range of a node was raised to.
    raised: Vec<u64>,
}

impl Skyline {
    pub(super) fn new(heights: &[u64]) -> Self {
        let steps = heights.len();
        let mut highest = vec![0; steps];
        highest.extend_from_slice(heights);
        for node in (1..steps).rev() {
            highest[node] = highest[2 * node].max(highest[2 * node + 1]);
        }
        Self {
            steps,
            highest,
            raised: vec![0; 2 * steps],
        }
    }

    /// The highest of the steps from `from` to `to`, without the latter; 0 of none.
    pub(super) fn most(&self, from: usize, to: usize) -> u64 {
        let mut most = 0;
        self.cover(from, to, |node| most = self.highest[node].max(most));
        if from < to {
            for leaf in [self.steps + from, self.steps + to - 1] {
                for node in ancestors(leaf) {
                    most = self.raised[node].max(most);
                }
            }
        }
        most
    }

    /// Raises the steps from `from` to `to`, without the latter, to at least `height`.
    pub(super) fn raise(&mut self, from: usize, to: usize, height: u64) {
        let mut nodes = [0; 2 * usize::BITS as usize];
        let mut count = 0;
        self.cover(from, to, |node| {
            nodes[count] = node;
            count += 1;
        });
        for &node in &nodes[..count] {
            self.highest[node] = self.highest[node].max(height);
            self.raised[node] = self.raised[node].max(height);
            for above in ancestors(node) {
                self.highest[above] = self.highest[above].max(height);
            }
        }
    }

    /// The nodes whose ranges make up the range.
    fn cover(&self, from: usize, to: usize, mut visit: impl FnMut(usize)) {
        let (mut left, mut right) = (self.steps + from, self.steps + to);
        while left < right {
            if left % 2 == 1 {
                visit(left);
                left += 1;
            }
            if right % 2 == 1 {
                right -= 1;
                visit(right);
            }
            (left, right) = (left / 2, right / 2);
        }
    }
}

fn ancestors(node: usize) -> impl Iterator<Item = usize> {
    std::iter::successors(Some(node / 2), |node| Some(node / 2)).take_while(|&node| node > 0)
}

#[cfg(test)]
mod tests {
    use super::*;
    use daa_base::Seed;

    #[test]
    fn it_agrees_with_a_plain_list() {
        let mut rng = Seed(7).stream("skyline").rng();
        for steps in 1..40 {
            let mut plain: Vec<u64> = (0..steps).map(|_| rng.below(50) as u64).collect();
            let mut tree = Skyline::new(&plain);
            for _ in 0..60 {
                let from = rng.below(steps);
                let to = from + rng.below(steps - from + 1);
                let most = plain[from..to].iter().copied().max().unwrap_or(0);
                assert_eq!(tree.most(from, to), most, "{from}..{to} of {plain:?}");
                let height = rng.below(100) as u64;
                tree.raise(from, to, height);
                for step in &mut plain[from..to] {
                    *step = height.max(*step);
                }
            }
        }
    }
}
