//! What cargo says about the members of the workspace.

use std::env;
use std::path::{Path, PathBuf};

use serde_json::Value;

use crate::failure::Failure;
use crate::process;

/// The members and where cargo puts what it builds.
#[derive(Debug)]
pub(crate) struct Workspace {
    /// Every member, sorted by name.
    pub(crate) packages: Vec<Package>,
    /// Cargo's target directory.
    pub(crate) target: PathBuf,
}

/// One member, as far as the tasks ask for it.
#[derive(Debug)]
pub(crate) struct Package {
    /// Its name.
    pub(crate) name: String,
    /// The folder of its manifest.
    pub(crate) folder: PathBuf,
    /// Whether the manifest allows publishing it.
    pub(crate) publishable: bool,
    /// The manifest's keys that a publishable crate must have, and whether they are there.
    pub(crate) described: Vec<(&'static str, bool)>,
    /// Whether it has a library, whose documentation may hold examples.
    pub(crate) has_library: bool,
    /// What it depends on.
    pub(crate) dependencies: Vec<Dependency>,
}

/// One dependency of a member.
#[derive(Debug)]
pub(crate) struct Dependency {
    /// Name of the package depended on, whatever it is renamed to.
    pub(crate) name: String,
    /// `normal`, `build` or `dev`.
    pub(crate) kind: String,
}

/// The root of the workspace.
pub(crate) fn root() -> PathBuf {
    let own = env::var_os("CARGO_MANIFEST_DIR")
        .map_or_else(|| PathBuf::from(env!("CARGO_MANIFEST_DIR")), PathBuf::from);
    own.parent().map_or_else(|| own.clone(), Path::to_path_buf)
}

/// Asks cargo for the members of the workspace.
pub(crate) fn load() -> Result<Workspace, Failure> {
    let mut command = process::cargo(&["metadata", "--no-deps", "--format-version", "1"]);
    let text = process::capture(&mut command)?;
    let json: Value = serde_json::from_str(&text)
        .map_err(|error| Failure::new(format!("cargo metadata did not print JSON: {error}")))?;
    from_metadata(&json)
}

/// Reads the answer of `cargo metadata`.
pub(crate) fn from_metadata(json: &Value) -> Result<Workspace, Failure> {
    let list = json["packages"]
        .as_array()
        .ok_or_else(|| Failure::new("cargo metadata lists no packages"))?;
    let mut packages = list.iter().map(package).collect::<Result<Vec<_>, _>>()?;
    packages.sort_by(|a, b| a.name.cmp(&b.name));
    let target = json["target_directory"].as_str().unwrap_or("target");
    Ok(Workspace {
        packages,
        target: PathBuf::from(target),
    })
}

fn package(json: &Value) -> Result<Package, Failure> {
    let name = text(json, "name")?;
    let manifest = PathBuf::from(text(json, "manifest_path")?);
    let folder = manifest.parent().map(Path::to_path_buf).unwrap_or_default();
    let dependencies = json["dependencies"]
        .as_array()
        .map(Vec::as_slice)
        .unwrap_or_default();
    let dependencies = dependencies
        .iter()
        .map(dependency)
        .collect::<Result<Vec<_>, _>>()?;
    let described = ["description", "license", "repository", "readme"].map(|key| {
        (
            key,
            json[key].as_str().is_some_and(|value| !value.trim().is_empty()),
        )
    });
    let targets = json["targets"].as_array().map(Vec::as_slice).unwrap_or_default();
    let kinds = targets
        .iter()
        .flat_map(|target| target["kind"].as_array().map(Vec::as_slice).unwrap_or_default());
    let has_library = kinds.into_iter().any(|kind| kind == "lib");
    Ok(Package {
        name,
        has_library,
        folder,
        // `publish = false` is told as an empty list of registries, no word about it as null.
        publishable: json["publish"]
            .as_array()
            .is_none_or(|registries| !registries.is_empty()),
        described: described.to_vec(),
        dependencies,
    })
}

fn dependency(json: &Value) -> Result<Dependency, Failure> {
    let kind = json["kind"].as_str().unwrap_or("normal").to_owned();
    Ok(Dependency {
        name: text(json, "name")?,
        kind,
    })
}

fn text(json: &Value, key: &str) -> Result<String, Failure> {
    let value = json[key].as_str().map(str::to_owned);
    value.ok_or_else(|| Failure::new(format!("cargo metadata has no text under {key:?}")))
}
