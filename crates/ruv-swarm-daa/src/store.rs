//! A log of records with a bound on their number and on their size.

use serde::Serialize;
use std::collections::VecDeque;
use std::io;

/// Bytes of the JSON form of `value`; 0 for what has none.
pub(crate) fn json_bytes<T: Serialize>(value: &T) -> usize {
    struct Counter(usize);
    impl io::Write for Counter {
        fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
            self.0 += bytes.len();
            Ok(bytes.len())
        }
        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }
    let mut counter = Counter(0);
    serde_json::to_writer(&mut counter, value).map_or(0, |()| counter.0)
}

/// Records, oldest first. Above a bound the oldest goes.
#[derive(Debug)]
pub(crate) struct BoundedLog<T> {
    records: VecDeque<(usize, T)>,
    bytes: usize,
    max_records: usize,
    max_bytes: usize,
}

/// A record that is larger than the whole log may be.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct TooLarge {
    /// Size of the record's JSON form in bytes.
    pub(crate) size: usize,
    /// The log's bound in bytes.
    pub(crate) limit: usize,
}

impl<T: Serialize> BoundedLog<T> {
    pub(crate) fn new(max_records: usize, max_bytes: usize) -> Self {
        Self {
            records: VecDeque::new(),
            bytes: 0,
            max_records,
            max_bytes,
        }
    }

    /// Stores `record`. A log of no records stores none.
    pub(crate) fn push(&mut self, record: T) -> Result<(), TooLarge> {
        let size = json_bytes(&record);
        if size > self.max_bytes {
            return Err(TooLarge {
                size,
                limit: self.max_bytes,
            });
        }
        self.bytes += size;
        self.records.push_back((size, record));
        while self.records.len() > self.max_records || self.bytes > self.max_bytes {
            self.drop_oldest();
        }
        Ok(())
    }

    /// Drops the records for which `keep` is false.
    pub(crate) fn retain(&mut self, mut keep: impl FnMut(&T) -> bool) {
        let bytes = &mut self.bytes;
        self.records.retain(|(size, record)| {
            let kept = keep(record);
            if !kept {
                *bytes -= size;
            }
            kept
        });
    }

    fn drop_oldest(&mut self) {
        if let Some((size, _)) = self.records.pop_front() {
            self.bytes -= size;
        }
    }

    pub(crate) fn iter(&self) -> impl DoubleEndedIterator<Item = &T> {
        self.records.iter().map(|(_, record)| record)
    }

    pub(crate) fn len(&self) -> usize {
        self.records.len()
    }

    /// Size of all records' JSON forms in bytes.
    pub(crate) fn bytes(&self) -> usize {
        self.bytes
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn both_bounds_hold_and_the_newest_stay(
            sizes in prop::collection::vec(0_usize..40, 0..60), max_records in 0_usize..10, max_bytes in 0_usize..100,
        ) {
            let mut log = BoundedLog::new(max_records, max_bytes);
            let mut accepted = Vec::new();
            for size in sizes {
                let text = "x".repeat(size);
                let result = log.push(text.clone());
                prop_assert_eq!(result.is_ok(), size + 2 <= max_bytes, "quotes are part of the JSON form");
                if result.is_ok() {
                    accepted.push(text);
                }
                prop_assert!(log.len() <= max_records && log.bytes() <= max_bytes);
                prop_assert_eq!(log.bytes(), log.iter().map(json_bytes).sum::<usize>());
                let kept: Vec<String> = log.iter().cloned().collect();
                prop_assert!(accepted.ends_with(&kept), "what stays is the newest");
            }
            log.retain(|text| text.len() % 2 == 0);
            prop_assert_eq!(log.bytes(), log.iter().map(json_bytes).sum::<usize>());
        }
    }
}
