//! What each crate would publish.

use std::fs;
use std::path::Path;

use crate::failure::{Failure, Outcome};
use crate::process;
use crate::workspace::{self, Package};

/// Files that every published crate holds.
const EVERYWHERE: &[&str] = &[
    "Cargo.toml",
    "README.md",
    "LICENSE-MIT",
    "LICENSE-APACHE",
    "src/lib.rs",
];

/// Folders and endings that come from running things, and have no place in a published crate.
const ODD_FOLDERS: &[&str] = &["target", ".git", "daa-runs", "proptest-regressions"];
const ODD_ENDINGS: &[&str] = &[
    ".snap.new",
    ".profraw",
    ".tmp",
    ".rej",
    ".log",
    ".jsonl",
    ".safetensors",
];

/// Lists what each publishable crate packs and compares it with what it needs.
pub(crate) fn run() -> Outcome {
    let shaders = shader_files(&workspace::root().join("shaders"))?;
    let mut findings = Vec::new();
    for package in workspace::load()?
        .packages
        .iter()
        .filter(|package| package.publishable)
    {
        let args = [
            "package",
            "--quiet",
            "--list",
            "--allow-dirty",
            "--package",
            &package.name,
        ];
        let listed = process::capture(&mut process::cargo(&args))?;
        let listed: Vec<String> = listed.lines().map(|line| line.replace('\\', "/")).collect();
        println!("{:14} {} files", package.name, listed.len());
        findings.extend(list_findings(&package.name, &listed, &needed(package, &shaders)));
    }
    Failure::of_findings("package", &findings)
}

fn needed(package: &Package, shaders: &[String]) -> Vec<String> {
    let mut needed: Vec<String> = EVERYWHERE.iter().map(|name| (*name).to_owned()).collect();
    match package.name.as_str() {
        "daa-kernels" => {
            needed.push("build.rs".to_owned());
            needed.extend(shaders.iter().map(|name| format!("shaders/{name}")));
        }
        "daa-learn" => needed.push("data/digits.csv.gz".to_owned()),
        "daa-cli" => needed.push("src/main.rs".to_owned()),
        _ => {}
    }
    needed
}

/// The `.wgsl` files below `folder`, as paths relative to it.
fn shader_files(folder: &Path) -> Result<Vec<String>, Failure> {
    let mut found = Vec::new();
    let mut open = vec![folder.to_path_buf()];
    while let Some(next) = open.pop() {
        let unreadable = |error| Failure::new(format!("{} cannot be read: {error}", next.display()));
        for entry in fs::read_dir(&next).map_err(unreadable)? {
            let path = entry.map_err(unreadable)?.path();
            if path.is_dir() {
                open.push(path);
            } else if path.extension().is_some_and(|ending| ending == "wgsl") {
                let below = path.strip_prefix(folder).unwrap_or(&path);
                found.push(below.to_string_lossy().replace('\\', "/"));
            }
        }
    }
    found.sort();
    if found.is_empty() {
        return Err(Failure::new(format!("{} holds no shader", folder.display())));
    }
    Ok(found)
}

/// What is missing from a crate's list, and what is odd in it.
fn list_findings(package: &str, listed: &[String], needed: &[String]) -> Vec<String> {
    let missing = needed.iter().filter(|name| !listed.contains(name));
    let missing = missing.map(|name| format!("{package} does not pack {name}"));
    let odd = listed.iter().filter(|name| is_odd(name));
    let odd = odd.map(|name| format!("{package} packs {name}, which is left over from running something"));
    missing.chain(odd).collect()
}

fn is_odd(name: &str) -> bool {
    name.split('/').any(|part| ODD_FOLDERS.contains(&part))
        || ODD_ENDINGS.iter().any(|end| name.ends_with(end))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn names(list: &[&str]) -> Vec<String> {
        list.iter().map(|name| (*name).to_owned()).collect()
    }

    #[test]
    fn a_missing_file_and_an_odd_one_are_found() {
        let listed = names(&["Cargo.toml", "src/lib.rs", "target/x", "src/a.snap.new"]);
        let found = list_findings("daa-x", &listed, &names(&["Cargo.toml", "LICENSE-MIT"]));
        assert_eq!(found.len(), 3, "{found:?}");
        assert_eq!(found[0], "daa-x does not pack LICENSE-MIT");
    }

    #[test]
    fn a_complete_list_has_no_findings() {
        let listed = names(&["Cargo.toml", "src/target.rs", "src/lib.rs"]);
        assert_eq!(
            list_findings("daa-x", &listed, &names(&["src/lib.rs"])),
            Vec::<String>::new()
        );
    }
}
