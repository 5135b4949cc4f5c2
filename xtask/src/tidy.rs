//! House rules that no compiler checks.

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use crate::failure::{Failure, Outcome};
use crate::workspace;

mod decisions;
mod links;
mod manifests;
mod source;
mod words;

/// The files of the repository as paths relative to its root, with `/` between the parts.
#[derive(Debug)]
pub(crate) struct Files {
    root: PathBuf,
    paths: BTreeSet<String>,
}

impl Files {
    /// The text of a file, or nothing for one that is not text.
    fn text(&self, path: &str) -> Option<String> {
        fs::read_to_string(self.root.join(path)).ok()
    }

    /// The files with this ending.
    fn ending<'a>(&'a self, ending: &'a str) -> impl Iterator<Item = &'a str> {
        self.paths
            .iter()
            .map(String::as_str)
            .filter(move |path| path.ends_with(ending))
    }
}

/// Applies every rule to every file.
pub(crate) fn run() -> Outcome {
    let root = workspace::root();
    let files = Files {
        paths: paths(&root)?,
        root,
    };
    let packages = workspace::load()?.packages;
    let mut findings = source::findings(&files);
    findings.extend(words::findings(&files));
    findings.extend(links::findings(&files));
    findings.extend(decisions::findings(&files));
    findings.extend(manifests::findings(&files, &packages));
    println!("{} files, {} crates", files.paths.len(), packages.len());
    Failure::of_findings("tidy", &findings)
}

/// What git knows or would add; every file where there is no git.
fn paths(root: &Path) -> Result<BTreeSet<String>, Failure> {
    let args = ["ls-files", "-z", "--cached", "--others", "--exclude-standard"];
    let listed = Command::new("git")
        .args(args)
        .current_dir(root)
        .stderr(Stdio::null())
        .output();
    if let Ok(listed) = listed
        && listed.status.success()
    {
        let text = String::from_utf8_lossy(&listed.stdout).into_owned();
        let there = text
            .split('\0')
            .filter(|path| !path.is_empty() && root.join(path).is_file());
        return Ok(there.map(str::to_owned).collect());
    }
    let mut found = BTreeSet::new();
    let mut open = vec![root.to_path_buf()];
    while let Some(folder) = open.pop() {
        let unreadable = |error| Failure::new(format!("{} cannot be read: {error}", folder.display()));
        for entry in fs::read_dir(&folder).map_err(unreadable)? {
            let entry = entry.map_err(unreadable)?;
            let kind = entry.file_type().map_err(unreadable)?;
            let left_out = ["target", "daa-runs", ".git"]
                .iter()
                .any(|name| entry.file_name() == *name);
            if kind.is_dir() && !left_out {
                open.push(entry.path());
            } else if kind.is_file() {
                let path = entry.path();
                let below = path.strip_prefix(root).unwrap_or(&path);
                found.insert(below.to_string_lossy().replace('\\', "/"));
            }
        }
    }
    Ok(found)
}
