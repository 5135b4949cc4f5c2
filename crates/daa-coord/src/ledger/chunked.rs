//! Parts of the state that remember their digest and share what did not change.
//!
//! Validators hash the state after every block and judge a proposed block on a copy. Both must cost what the block
//! changed, not what the ledger holds: a map is kept in chunks of neighbouring keys, each behind an [`Arc`] with its
//! digest beside it. Changing an entry copies one chunk (when it is shared) and forgets one digest. The only ways to
//! change a value are the methods here, so a stale digest cannot come about by forgetting to say that something changed.

use crate::keys::Digest;
use daa_base::codec;
use daa_base::{AgentId, DeviceId, LeaseId, OwnerId, TrialId};
use serde::{Deserialize, Deserializer, Serialize, Serializer};
use std::collections::BTreeMap;
use std::fmt::Debug;
use std::sync::{Arc, OnceLock};

/// Keys per chunk: near the square root of the largest maps' sizes, so that a chunk and the list of chunks cost alike.
const CHUNK: u64 = 64;

/// Far above what the configured bounds allow in one part.
const MAX_PART: usize = 1 << 30;

/// A key that is a number.
pub(super) trait Key: Copy + Ord + Debug {
    /// The number, in the order of the keys.
    fn number(self) -> u64;
}

macro_rules! keys {
    ($($type:ty),*) => {$(
        impl Key for $type {
            fn number(self) -> u64 {
                u64::from(self.get())
            }
        }
    )*};
}

keys!(AgentId, DeviceId, OwnerId, LeaseId, TrialId);

impl Key for u64 {
    fn number(self) -> u64 {
        self
    }
}

#[derive(Debug, Clone)]
struct Chunk<K, V> {
    entries: BTreeMap<K, V>,
    digest: OnceLock<Digest>,
}

impl<K: Key, V> Chunk<K, V> {
    const fn new() -> Self {
        Self {
            entries: BTreeMap::new(),
            digest: OnceLock::new(),
        }
    }
}

/// An ordered map whose digest and whose copies cost what changed since the last.
#[derive(Debug, Clone)]
pub(super) struct Chunked<K, V> {
    /// No chunk is empty.
    chunks: Arc<BTreeMap<u64, Arc<Chunk<K, V>>>>,
    len: usize,
    digest: OnceLock<Digest>,
}

impl<K: Key, V: Clone> Chunked<K, V> {
    pub(super) fn new() -> Self {
        Self {
            chunks: Arc::new(BTreeMap::new()),
            len: 0,
            digest: OnceLock::new(),
        }
    }

    pub(super) const fn len(&self) -> usize {
        self.len
    }

    pub(super) fn get(&self, key: &K) -> Option<&V> {
        self.chunks.get(&(key.number() / CHUNK))?.entries.get(key)
    }

    pub(super) fn contains_key(&self, key: &K) -> bool {
        self.get(key).is_some()
    }

    pub(super) fn get_mut(&mut self, key: &K) -> Option<&mut V> {
        if !self.contains_key(key) {
            return None;
        }
        self.chunk_mut(key).entries.get_mut(key)
    }

    pub(super) fn insert(&mut self, key: K, value: V) -> Option<V> {
        let old = self.chunk_mut(&key).entries.insert(key, value);
        self.len += usize::from(old.is_none());
        old
    }

    pub(super) fn remove(&mut self, key: &K) -> Option<V> {
        if !self.contains_key(key) {
            return None;
        }
        let chunk = self.chunk_mut(key);
        let old = chunk.entries.remove(key)?;
        if chunk.entries.is_empty() {
            Arc::make_mut(&mut self.chunks).remove(&(key.number() / CHUNK));
        }
        self.len -= 1;
        Some(old)
    }

    /// The chunk of `key`, about to change.
    fn chunk_mut(&mut self, key: &K) -> &mut Chunk<K, V> {
        self.digest = OnceLock::new();
        let chunk = Arc::make_mut(&mut self.chunks)
            .entry(key.number() / CHUNK)
            .or_insert_with(|| Arc::new(Chunk::new()));
        let chunk = Arc::make_mut(chunk);
        chunk.digest = OnceLock::new();
        chunk
    }

    pub(super) fn iter(&self) -> impl DoubleEndedIterator<Item = (&K, &V)> {
        self.chunks.values().flat_map(|chunk| &chunk.entries)
    }

    pub(super) fn keys(&self) -> impl DoubleEndedIterator<Item = &K> {
        self.iter().map(|(key, _)| key)
    }

    pub(super) fn values(&self) -> impl DoubleEndedIterator<Item = &V> {
        self.iter().map(|(_, value)| value)
    }
}

impl<K: Key + Serialize, V: Clone + Serialize> Chunked<K, V> {
    /// The digest of the whole map: of its chunks' numbers and digests. Equal maps have equal digests, however they
    /// came about.
    pub(super) fn digest(&self) -> Digest {
        *self.digest.get_or_init(|| {
            let mut hasher = blake3::Hasher::new_derive_key("daa-coord 2026 chunked map");
            for (number, chunk) in self.chunks.iter() {
                hasher.update(&number.to_le_bytes());
                hasher.update(&chunk.digest.get_or_init(|| digest_of(&chunk.entries)).0);
            }
            Digest(*hasher.finalize().as_bytes())
        })
    }
}

impl<K: Key, V: Clone> FromIterator<(K, V)> for Chunked<K, V> {
    fn from_iter<I: IntoIterator<Item = (K, V)>>(entries: I) -> Self {
        let mut map = Self::new();
        for (key, value) in entries {
            map.insert(key, value);
        }
        map
    }
}

impl<K: Key, V: Clone> Default for Chunked<K, V> {
    fn default() -> Self {
        Self::new()
    }
}

impl<K: Key, V: Clone + PartialEq> PartialEq for Chunked<K, V> {
    fn eq(&self, other: &Self) -> bool {
        self.len == other.len && self.iter().eq(other.iter())
    }
}

impl<K: Key, V: Clone + Eq> Eq for Chunked<K, V> {}

impl<K: Key + Serialize, V: Clone + Serialize> Serialize for Chunked<K, V> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        use serde::ser::SerializeMap;
        let mut map = serializer.serialize_map(Some(self.len))?;
        for (key, value) in self.iter() {
            map.serialize_entry(key, value)?;
        }
        map.end()
    }
}

impl<'de, K: Key + Deserialize<'de>, V: Clone + Deserialize<'de>> Deserialize<'de> for Chunked<K, V> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        Ok(BTreeMap::deserialize(deserializer)?.into_iter().collect())
    }
}

/// A value that remembers its digest and is copied only when a copy changes.
#[derive(Debug, Clone, Default)]
pub(super) struct Part<T> {
    value: Arc<T>,
    digest: OnceLock<Digest>,
}

impl<T> Part<T> {
    pub(super) fn new(value: T) -> Self {
        Self {
            value: Arc::new(value),
            digest: OnceLock::new(),
        }
    }
}

impl<T: Serialize> Part<T> {
    pub(super) fn digest(&self) -> Digest {
        *self.digest.get_or_init(|| digest_of(&*self.value))
    }
}

impl<T> std::ops::Deref for Part<T> {
    type Target = T;
    fn deref(&self) -> &T {
        &self.value
    }
}

impl<T: Clone> std::ops::DerefMut for Part<T> {
    fn deref_mut(&mut self) -> &mut T {
        self.digest = OnceLock::new();
        Arc::make_mut(&mut self.value)
    }
}

impl<T: PartialEq> PartialEq for Part<T> {
    fn eq(&self, other: &Self) -> bool {
        self.value == other.value
    }
}

impl<T: Eq> Eq for Part<T> {}

impl<T: Serialize> Serialize for Part<T> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        self.value.serialize(serializer)
    }
}

impl<'de, T: Deserialize<'de>> Deserialize<'de> for Part<T> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        Ok(Self::new(T::deserialize(deserializer)?))
    }
}

fn digest_of<T: Serialize>(value: &T) -> Digest {
    let bytes = codec::encode::<MAX_PART, _>(value)
        .expect("the configured bounds keep every part of the state below the limit");
    Digest::of(&bytes)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn a_chunked_map_is_a_map_and_its_digest_that_of_a_fresh_one(
            steps in prop::collection::vec((0_u8..5, 0_u64..300, any::<u16>()), 0..120),
        ) {
            let mut map = Chunked::<u64, u16>::new();
            let mut model = BTreeMap::new();
            let mut copies = Vec::new();
            for (kind, key, value) in steps {
                match kind {
                    0 | 1 => prop_assert_eq!(map.insert(key, value), model.insert(key, value)),
                    2 => prop_assert_eq!(map.remove(&key), model.remove(&key)),
                    3 => {
                        prop_assert_eq!(map.get_mut(&key).is_some(), model.contains_key(&key));
                        if let (Some(one), Some(other)) = (map.get_mut(&key), model.get_mut(&key)) {
                            (*one, *other) = (value, value);
                        }
                    }
                    _ => copies.push((map.clone(), map.digest())),
                }
                prop_assert_eq!(map.len(), model.len());
                prop_assert!(map.iter().eq(model.iter()));
                let fresh: Chunked<u64, u16> = model.clone().into_iter().collect();
                prop_assert_eq!(map.digest(), fresh.digest());
            }
            for (copy, digest) in copies {
                let fresh: Chunked<u64, u16> = copy.iter().map(|(&key, &value)| (key, value)).collect();
                prop_assert_eq!(fresh.digest(), digest, "a copy is not changed through its original");
            }
            let bytes = codec::encode::<65_536, _>(&map).expect("fits");
            prop_assert_eq!(&bytes, &codec::encode::<65_536, _>(&model).expect("fits"));
            prop_assert_eq!(codec::decode_canonical::<65_536, Chunked<u64, u16>>(&bytes), Ok(map));
        }
    }

    #[test]
    fn a_part_forgets_its_digest_when_it_changes() {
        let mut part = Part::new(vec![1_u8]);
        let (before, copy) = (part.digest(), part.clone());
        part.push(2);
        assert_ne!(part.digest(), before);
        assert_eq!((copy.digest(), &**copy), (before, &[1][..]));
        assert_eq!(part.digest(), Part::new(vec![1_u8, 2]).digest());
    }
}
