//! Where the labels of array files lie.

use super::DataError;
use std::path::{Path, PathBuf};

/// Most entries of a folder that are looked at.
const MAX_ENTRIES: usize = 10_000;

/// Features with their labels, and the test part if the data set comes with one.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct ArrayFiles {
    pub(super) features: PathBuf,
    /// `None` if no file was found; the names tried are in `looked_for`.
    pub(super) labels: Option<PathBuf>,
    pub(super) looked_for: Vec<String>,
    pub(super) test: Option<(PathBuf, PathBuf)>,
}

/// The labels that lie beside the features file `path`: for `X.npy` that is `y.npy`; for a name with "images" in it
/// the same name with "labels" (and `idx1`, as MNIST's files are called); for any `NAME.EXT` it is `NAME-labels.EXT`
/// or `NAME_labels.EXT`. Each may be compressed (`.gz`) or not, whatever the features are.
pub(super) fn beside(path: &Path) -> ArrayFiles {
    let name = path
        .file_name()
        .unwrap_or_default()
        .to_string_lossy()
        .into_owned();
    let plain = name.strip_suffix(".gz").unwrap_or(&name);
    let (stem, extension) = match plain.rsplit_once('.') {
        Some((stem, extension)) if !stem.is_empty() => (stem, format!(".{extension}")),
        _ => (plain, String::new()),
    };
    let mut names = Vec::new();
    if stem == "X" {
        names.push(format!("y{extension}"));
    }
    if plain.contains("images") {
        let labels = plain.replace("images", "labels");
        names.push(
            ["idx2", "idx3", "idx4"]
                .iter()
                .fold(labels, |name, idx| name.replace(idx, "idx1")),
        );
    }
    names.push(format!("{stem}-labels{extension}"));
    names.push(format!("{stem}_labels{extension}"));
    let folder = path.parent().unwrap_or_else(|| Path::new(""));
    let labels = names
        .iter()
        .flat_map(|name| [name.clone(), format!("{name}.gz")])
        .map(|name| folder.join(name))
        .find(|candidate| candidate.is_file());
    ArrayFiles {
        features: path.to_owned(),
        labels,
        looked_for: names,
        test: None,
    }
}

/// The data set in `folder`: files called `train-images…` and `train-labels…`, with a test part in `t10k-images…` (or
/// `test-images…`) and its labels; or `X.npy` and `y.npy`. Of several candidates the first by name is taken.
pub(super) fn in_folder(folder: &Path) -> Result<ArrayFiles, DataError> {
    let broken = |source| DataError::Read {
        path: folder.to_owned(),
        source,
    };
    let mut names = Vec::new();
    for entry in std::fs::read_dir(folder).map_err(broken)?.take(MAX_ENTRIES) {
        names.push(entry.map_err(broken)?.file_name().to_string_lossy().into_owned());
    }
    names.sort_unstable();
    let find = |start: &str| {
        let path = names
            .iter()
            .find(|name| name.starts_with(start))
            .map(|name| folder.join(name));
        path.filter(|path| path.is_file())
    };
    if let Some(features) = find("train-images") {
        let test = [("t10k-images", "t10k-labels"), ("test-images", "test-labels")]
            .iter()
            .find_map(|(images, labels)| find(images).zip(find(labels)));
        let looked_for = vec!["train-labels…".to_owned()];
        return Ok(ArrayFiles {
            features,
            labels: find("train-labels"),
            looked_for,
            test,
        });
    }
    for name in ["X.npy", "X.npy.gz"] {
        if folder.join(name).is_file() {
            return Ok(beside(&folder.join(name)));
        }
    }
    Err(DataError::NothingInFolder {
        folder: folder.to_owned(),
    })
}
