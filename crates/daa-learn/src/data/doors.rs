//! Readers of data files, for fuzzing and for this crate's own tests with hostile bytes.

use super::idx::decode_idx;
use super::npy::decode_npy;
use super::read::{decompress, sniff};
use super::text::decode_csv;
use super::{Features, Limits, Table};
use daa_base::Bytes;

/// Small, so that a reader which trusts an announced size is caught.
fn limits() -> Limits {
    Limits {
        file: Bytes(1 << 16),
        decoded: Bytes(1 << 16),
        rows: 200,
        columns: 50,
        values: 2_000,
    }
}

/// Values that a table holds, or the size of what it is made of.
fn size(table: &Table) -> usize {
    match table.features() {
        Features::Dense { values, .. } => values.len(),
        Features::Columns(columns) => columns.len() * table.rows(),
    }
}

/// Reads a data file in every format.
///
/// # Panics
/// When more comes out than the limits allow, or than went in.
pub fn data_file(bytes: &[u8]) {
    let limits = limits();
    let unpacked = decompress("fuzzed", bytes.to_vec(), &limits).unwrap_or_default();
    assert!(unpacked.len() as u64 <= limits.decoded.get());
    for bytes in [bytes, &unpacked] {
        let _any = sniff("fuzzed", bytes);
        if let Ok(table) = decode_csv("fuzzed", bytes, &limits) {
            assert!(table.rows * table.header.len() <= limits.values);
            let whole = |column: &super::text::TextColumn| column.fields().count() == table.rows;
            assert!(table.columns.iter().all(whole));
        }
        for array in [decode_idx("fuzzed", bytes), decode_npy("fuzzed", bytes)]
            .into_iter()
            .flatten()
        {
            // Every element is backed by at least a byte of the file.
            assert!(array.dims.iter().product::<usize>() <= bytes.len());
            if let Ok(table) = array.clone().into_table("fuzzed", &limits) {
                assert!(size(&table) <= limits.values && table.rows() <= limits.rows);
            }
            let _any = array.into_labels("fuzzed", &limits);
        }
    }
}
