//! Validates every shader and embeds it: a broken one fails the build with its file, line and column.
#![forbid(unsafe_code)]

#[path = "build/check.rs"]
mod check;
#[path = "build/emit.rs"]
mod emit;
#[path = "build/source.rs"]
mod source;

use std::env;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::ExitCode;

/// Names another shader folder, so that a test can show what a broken shader does to the build.
const SHADER_DIR: &str = "DAA_SHADER_DIR";

fn main() -> ExitCode {
    println!("cargo::rerun-if-env-changed={SHADER_DIR}");
    println!("cargo::rerun-if-changed=build.rs");
    println!("cargo::rerun-if-changed=build");
    match build() {
        Ok(()) => ExitCode::SUCCESS,
        Err(problems) => {
            for problem in problems {
                println!("cargo::error={}", problem.replace('\n', " "));
            }
            ExitCode::FAILURE
        }
    }
}

fn build() -> Result<(), Vec<String>> {
    let dir = shader_dir().map_err(|problem| vec![problem])?;
    watch(&dir);
    let modules = check::check_dir(&dir)
        .map_err(|problems| problems.iter().map(ToString::to_string).collect::<Vec<_>>())?;
    let out =
        env::var_os("OUT_DIR").ok_or_else(|| vec!["Cargo sets OUT_DIR for build scripts".to_owned()])?;
    let path = Path::new(&out).join("kernels.rs");
    fs::write(&path, emit::emit(&modules))
        .map_err(|error| vec![format!("cannot write {}: {error}", path.display())])
}

/// `shaders/` in this crate: a symbolic link in a checkout, a plain folder in a package. Where links check out as
/// files, the folder it stands for.
fn shader_dir() -> Result<PathBuf, String> {
    if let Some(dir) = env::var_os(SHADER_DIR) {
        return Ok(PathBuf::from(dir));
    }
    let candidates = ["shaders", "../../shaders"].map(PathBuf::from);
    candidates
        .into_iter()
        .find(|dir| dir.is_dir())
        .ok_or_else(|| "no shaders: neither shaders/ nor ../../shaders is a folder".to_owned())
}

/// Rebuilds when a file changes, appears or goes. Real paths: a link itself never changes.
fn watch(dir: &Path) {
    let dir = dir.canonicalize().unwrap_or_else(|_| dir.to_path_buf());
    println!("cargo::rerun-if-changed={}", dir.display());
    let Ok(entries) = fs::read_dir(&dir) else { return };
    for path in entries.flatten().map(|entry| entry.path()) {
        if path.is_dir() {
            watch(&path);
        } else {
            println!("cargo::rerun-if-changed={}", path.display());
        }
    }
}
