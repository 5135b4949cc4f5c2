//! A map that holds so many values and no more.

use std::collections::BTreeMap;

/// The values that were used last, by key.
#[derive(Debug)]
pub(super) struct Recent<K, V> {
    limit: usize,
    /// Counts uses.
    now: u64,
    values: BTreeMap<K, (V, u64)>,
    /// The keys in the order of their last use.
    order: BTreeMap<u64, K>,
}

impl<K: Ord + Copy, V: Clone> Recent<K, V> {
    pub(super) const fn new(limit: usize) -> Self {
        Self {
            limit,
            now: 0,
            values: BTreeMap::new(),
            order: BTreeMap::new(),
        }
    }

    pub(super) fn len(&self) -> usize {
        self.values.len()
    }

    pub(super) fn get(&mut self, key: K) -> Option<V> {
        self.now += 1;
        let (value, used) = self.values.get_mut(&key)?;
        self.order.remove(used);
        self.order.insert(self.now, key);
        *used = self.now;
        Some(value.clone())
    }

    /// Keeps `value`, unless there is one for the key already: that one is returned. Then forgets the least recently
    /// used beyond the limit, and returns how many.
    pub(super) fn keep(&mut self, key: K, value: V) -> (V, u64) {
        if let Some(kept) = self.get(key) {
            return (kept, 0);
        }
        self.values.insert(key, (value.clone(), self.now));
        self.order.insert(self.now, key);
        let mut evicted = 0;
        while self.values.len() > self.limit
            && let Some((_, key)) = self.order.pop_first()
        {
            self.values.remove(&key);
            evicted += 1;
        }
        (value, evicted)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn the_first_value_of_a_key_stays() {
        let mut recent = Recent::new(2);
        assert_eq!(recent.keep(1, "one"), ("one", 0));
        assert_eq!(recent.keep(1, "another"), ("one", 0));
        assert_eq!((recent.get(1), recent.get(2)), (Some("one"), None));
    }

    proptest! {
        /// Against a list that is searched from end to end.
        #[test]
        fn the_least_recently_used_goes(limit in 1_usize..6, keys in proptest::collection::vec(0_u8..12, 0..80)) {
            let mut recent = Recent::new(limit);
            let mut model: Vec<u8> = Vec::new();
            for key in keys {
                let found = model.iter().position(|kept| *kept == key).map(|at| model.remove(at));
                model.push(key);
                let evicted = model.len().saturating_sub(limit);
                model.drain(..evicted);
                prop_assert_eq!(recent.get(key), found);
                if found.is_none() {
                    prop_assert_eq!(recent.keep(key, key), (key, evicted as u64));
                }
                prop_assert_eq!(recent.len(), model.len());
                prop_assert_eq!(recent.order.values().copied().collect::<Vec<_>>(), model.clone());
            }
        }
    }
}
