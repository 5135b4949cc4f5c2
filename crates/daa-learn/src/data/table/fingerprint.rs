//! One hash for everything in a table that training sees.

use super::{ColumnValues, DenseValues, Features, Table, TableTarget};

impl Table {
    /// A hash of everything that training sees, as 64 hexadecimal digits: two tables with the same fingerprint
    /// train the same model. File names and warnings do not count.
    #[must_use]
    pub fn fingerprint(&self) -> String {
        let mut hasher = blake3::Hasher::new_derive_key("daa-learn 2026 table fingerprint");
        hash_count(&mut hasher, self.rows);
        hash_count(&mut hasher, self.test_start.map_or(0, |start| start + 1));
        hash_text(&mut hasher, &self.target_name);
        hash_features(&mut hasher, &self.features);
        match &self.target {
            None => hash_text(&mut hasher, "none"),
            Some(TableTarget::Classes { labels, names }) => {
                hash_text(&mut hasher, "classes");
                hash_words(&mut hasher, names, labels);
            }
            Some(TableTarget::Values(values)) => {
                hash_text(&mut hasher, "values");
                hash_numbers(&mut hasher, values);
            }
        }
        hasher.finalize().to_hex().to_string()
    }
}

fn hash_count(hasher: &mut blake3::Hasher, count: usize) {
    hasher.update(&(count as u64).to_le_bytes());
}

fn hash_text(hasher: &mut blake3::Hasher, text: &str) {
    hash_count(hasher, text.len());
    hasher.update(text.as_bytes());
}

fn hash_numbers(hasher: &mut blake3::Hasher, values: &[f64]) {
    hash_count(hasher, values.len());
    for value in values {
        hasher.update(&value.to_le_bytes());
    }
}

fn hash_words(hasher: &mut blake3::Hasher, words: &[String], codes: &[u32]) {
    hash_count(hasher, words.len());
    for word in words {
        hash_text(hasher, word);
    }
    hash_count(hasher, codes.len());
    for code in codes {
        hasher.update(&code.to_le_bytes());
    }
}

fn hash_features(hasher: &mut blake3::Hasher, features: &Features) {
    match features {
        Features::Columns(columns) => {
            hash_count(hasher, columns.len());
            for column in columns {
                hash_text(hasher, &column.name);
                match &column.values {
                    ColumnValues::Numeric(values) => {
                        hash_text(hasher, "numeric");
                        hash_numbers(hasher, values);
                    }
                    ColumnValues::Categorical { categories, codes } => {
                        hash_text(hasher, "categorical");
                        hash_words(hasher, categories, codes);
                    }
                }
            }
        }
        Features::Dense { shape, values } => {
            hash_text(hasher, &shape.to_string());
            match values {
                DenseValues::Bytes(bytes) => {
                    hash_text(hasher, "bytes");
                    hasher.update(bytes);
                }
                DenseValues::Floats(floats) => {
                    hash_text(hasher, "floats");
                    // In blocks: a call per number would take longer than the hashing itself.
                    let mut block = Vec::with_capacity(4 * 4096);
                    for chunk in floats.chunks(4096) {
                        block.clear();
                        block.extend(chunk.iter().flat_map(|value| value.to_le_bytes()));
                        hasher.update(&block);
                    }
                }
            }
        }
    }
}
