//! Shared by the tests below: files in a folder that goes away, and errors without that folder's name.

mod bad_arrays;
mod bad_input;
mod formats;
mod hostile;
mod preprocessing;
mod splitting;

use super::*;
use std::io::Write;
use std::path::{Path, PathBuf};

/// A folder with `files`, gone when dropped.
struct Folder(tempfile::TempDir);

impl Folder {
    fn new(files: &[(&str, &[u8])]) -> Self {
        let folder = Self(tempfile::tempdir().unwrap());
        for (name, bytes) in files {
            std::fs::write(folder.path(name), bytes).unwrap();
        }
        folder
    }

    fn path(&self, name: &str) -> PathBuf {
        self.0.path().join(name)
    }

    fn source(&self, name: &str) -> DataSource {
        DataSource::Path(self.path(name))
    }

    /// What the user reads, with the folder cut out of it: message and hint.
    fn refusal<T: std::fmt::Debug>(&self, result: Result<T, DataError>) -> (String, String) {
        let error = result.unwrap_err();
        let root = format!("{}/", self.0.path().display());
        let message = error.to_string().replace(&root, "");
        assert!(
            !message.contains('\n') && !error.hint().contains('\n'),
            "one line each: {message:?}"
        );
        (message, error.hint())
    }
}

/// Reads one CSV file to train on.
fn load_csv(text: &str, options: &LoadOptions) -> Result<Table, DataError> {
    Folder::new(&[("data.csv", text.as_bytes())])
        .source("data.csv")
        .load(options)
}

fn gz(bytes: &[u8]) -> Vec<u8> {
    let mut encoder = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
    encoder.write_all(bytes).unwrap();
    encoder.finish().unwrap()
}

/// An idx file of bytes.
fn idx(dims: &[u32], body: &[u8]) -> Vec<u8> {
    let mut bytes = vec![0, 0, 0x08, dims.len() as u8];
    bytes.extend(dims.iter().flat_map(|dim| dim.to_be_bytes()));
    bytes.extend_from_slice(body);
    bytes
}

/// An npy file, written by another implementation than the one that reads it here.
fn npy<T: npyz::AutoSerialize + Copy>(shape: &[u64], order: npyz::Order, values: &[T]) -> Vec<u8> {
    use npyz::WriterBuilder;
    let mut bytes = Vec::new();
    let mut writer = npyz::WriteOptions::new()
        .default_dtype()
        .order(order)
        .shape(shape)
        .writer(&mut bytes)
        .begin_nd()
        .unwrap();
    writer.extend(values.iter().copied()).unwrap();
    writer.finish().unwrap();
    bytes
}

fn columns(table: &Table) -> &[Column] {
    match table.features() {
        Features::Columns(columns) => columns,
        Features::Dense { .. } => panic!("expected columns"),
    }
}

fn labels(table: &Table) -> (&[u32], &[String]) {
    match table.target() {
        Some(TableTarget::Classes { labels, names }) => (labels, names),
        other => panic!("expected classes, found {other:?}"),
    }
}

fn exists(path: &Path) -> bool {
    std::fs::metadata(path).is_ok()
}
