//! What is placed so far, by offset.

/// Entries of a chunk at most: what an insertion moves.
const CHUNK: usize = 512;

/// One placed lifetime.
#[derive(Debug, Clone, Copy)]
pub(super) struct Entry {
    pub(super) start: u64,
    pub(super) end: u64,
    pub(super) lower: u32,
    pub(super) upper: u32,
}

/// Entries sorted by offset, those of equal offset in the order in which they came. In chunks, so that neither a walk
/// over many nor an insertion among them is slow.
#[derive(Debug, Default)]
pub(super) struct Placed {
    chunks: Vec<Vec<Entry>>,
    count: usize,
}

impl Placed {
    pub(super) fn clear(&mut self) {
        self.chunks.truncate(1);
        if let Some(first) = self.chunks.first_mut() {
            first.clear();
        }
        self.count = 0;
    }

    pub(super) const fn len(&self) -> usize {
        self.count
    }

    pub(super) fn iter(&self) -> impl Iterator<Item = &Entry> {
        self.chunks.iter().flatten()
    }

    pub(super) fn insert(&mut self, entry: Entry) {
        if self.chunks.is_empty() {
            self.chunks.push(Vec::new());
        }
        let from = |chunk: &Vec<Entry>| chunk.first().is_some_and(|first| first.start <= entry.start);
        let at = self.chunks.partition_point(from).saturating_sub(1);
        let chunk = &mut self.chunks[at];
        chunk.insert(chunk.partition_point(|other| other.start <= entry.start), entry);
        if chunk.len() >= CHUNK {
            let rest = chunk.split_off(CHUNK / 2);
            self.chunks.insert(at + 1, rest);
        }
        self.count += 1;
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use daa_base::Seed;

    #[test]
    fn many_entries_stay_sorted_and_equal_ones_in_their_order() {
        let mut rng = Seed(7).stream("placed").rng();
        let mut placed = Placed::default();
        let mut plain = Vec::new();
        for round in 0..2 {
            placed.clear();
            plain.clear();
            for number in 0..5_000 {
                let entry = Entry {
                    start: rng.below(700) as u64,
                    end: 0,
                    lower: number,
                    upper: 0,
                };
                placed.insert(entry);
                plain.push((entry.start, number));
            }
            plain.sort_unstable();
            let found: Vec<_> = placed.iter().map(|entry| (entry.start, entry.lower)).collect();
            assert!(found == plain && placed.len() == plain.len(), "round {round}");
        }
    }
}
