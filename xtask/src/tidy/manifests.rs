//! Every crate says what it is and carries what it needs.

use std::fs;
use std::path::Path;

use super::Files;
use crate::workspace::Package;

/// Real copies in every published crate, because a package cannot reach above its own folder.
const LICENCES: &[&str] = &["LICENSE-MIT", "LICENSE-APACHE"];

/// The one link: daa-kernels sees the shaders, and packs them as files.
const SHADERS: (&str, &str) = ("crates/daa-kernels/shaders", "../../shaders");

pub(super) fn findings(files: &Files, packages: &[Package]) -> Vec<String> {
    let mut findings = Vec::new();
    for package in packages.iter().filter(|package| package.publishable) {
        let lacking = package.described.iter().filter(|(_, there)| !there);
        findings.extend(lacking.map(|(key, _)| format!("the manifest of {} has no {key}", package.name)));
        if fs::read_to_string(package.folder.join("README.md")).is_ok_and(|text| text.trim().is_empty()) {
            findings.push(format!("the README.md of {} is empty", package.name));
        }
        for licence in LICENCES {
            let copy = package.folder.join(licence);
            let real = fs::symlink_metadata(&copy).is_ok_and(|found| found.is_file());
            let original = fs::read(files.root.join(licence)).ok();
            if !real || original.is_none() || fs::read(&copy).ok() != original {
                findings.push(format!(
                    "{}/{licence} must be a copy of the file at the top",
                    package.name
                ));
            }
        }
    }
    for package in packages {
        let manifest = fs::read_to_string(package.folder.join("Cargo.toml")).unwrap_or_default();
        if !manifest.contains("[lints]\nworkspace = true") {
            findings.push(format!(
                "{} does not take the lints of the workspace",
                package.name
            ));
        }
    }
    if !leads_to(&files.root.join(SHADERS.0), SHADERS.1) {
        findings.push(format!("{} must be a link to {}", SHADERS.0, SHADERS.1));
    }
    findings
}

/// Whether `link` is a link to `target`, or what git makes of one on a file system without links: a file with its text.
fn leads_to(link: &Path, target: &str) -> bool {
    match fs::read_link(link) {
        Ok(found) => found == Path::new(target),
        Err(_) => fs::read_to_string(link).is_ok_and(|text| text == target),
    }
}
