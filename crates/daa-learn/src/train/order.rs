//! Which rows make which batch: a pure function of seed, epoch and step.

use daa_base::Seed;

/// The rows of one epoch, in the order in which they are trained.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct EpochOrder {
    rows: Vec<u32>,
}

impl EpochOrder {
    /// Shuffles `rows` for `epoch` and keeps the first `limit` of them.
    #[must_use]
    pub fn new(rows: &[u32], seed: Seed, epoch: u32, limit: Option<usize>) -> Self {
        let mut rows = rows.to_vec();
        seed.stream("order")
            .child(u64::from(epoch))
            .rng()
            .shuffle(&mut rows);
        rows.truncate(limit.unwrap_or(usize::MAX));
        Self { rows }
    }

    /// The rows of the batch at `step`. The last batch is filled up from the start of the epoch.
    pub fn batch(&self, step: usize, batch: usize) -> impl Iterator<Item = u32> + '_ {
        let start = step * batch;
        (start..start + batch).map(|position| self.rows[position % self.rows.len()])
    }
}

/// Steps that `rows` rows take, `batch` at a time, at most `limit` rows.
#[must_use]
pub fn steps(rows: usize, limit: Option<usize>, batch: usize) -> usize {
    rows.min(limit.unwrap_or(usize::MAX)).div_ceil(batch)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn an_epoch_shows_every_row_once_and_then_wraps(count in 1_u32..80, batch in 1_usize..20, seed: u64, epoch: u32) {
            let rows: Vec<u32> = (0..count).map(|row| row * 3).collect();
            let order = EpochOrder::new(&rows, Seed(seed), epoch, None);
            let steps = steps(rows.len(), None, batch);
            let shown: Vec<u32> = (0..steps).flat_map(|step| order.batch(step, batch).collect::<Vec<_>>()).collect();
            prop_assert_eq!(shown.len(), steps * batch);
            let mut first = shown[..rows.len()].to_vec();
            first.sort_unstable();
            prop_assert_eq!(first, rows, "the first {} are a permutation", count);
            prop_assert_eq!(&shown[count as usize..], &shown[..shown.len() - count as usize], "the rest starts over");
        }

        #[test]
        fn a_limit_keeps_that_many_and_another_epoch_keeps_others(limit in 1_usize..50) {
            let rows: Vec<u32> = (0..1000).collect();
            let of = |epoch| EpochOrder::new(&rows, Seed(5), epoch, Some(limit)).batch(0, limit).collect::<Vec<_>>();
            prop_assert_eq!(of(0).len(), limit);
            prop_assert_eq!(of(0), of(0));
            prop_assert_eq!(steps(rows.len(), Some(limit), 7), limit.div_ceil(7));
        }
    }

    #[test]
    fn epochs_and_seeds_differ() {
        let rows: Vec<u32> = (0..1000).collect();
        let of = |seed, epoch| EpochOrder::new(&rows, Seed(seed), epoch, None);
        assert_ne!(of(1, 0), of(1, 1), "another epoch");
        assert_ne!(of(1, 0), of(2, 0), "another seed");
    }
}
