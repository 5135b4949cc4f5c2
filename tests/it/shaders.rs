//! A broken shader fails the build with its file, line and column.
//!
//! Cargo would compile the build script, with the WGSL compiler in it, a second time for a build with another
//! environment. So the tests run the build script that Cargo built for these tests, in the way in which Cargo runs it:
//! as a process in the crate's folder, with `OUT_DIR` set. A build script that ends with a failure fails the build, and
//! Cargo shows what follows `cargo::error=`.

use crate::xtask;
use std::ffi::OsStr;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};
use std::time::SystemTime;

/// The newest build script of `daa-kernels` beside the running test.
fn build_script() -> PathBuf {
    let test = std::env::current_exe().expect("a process knows its program");
    let profile = test
        .parent()
        .and_then(Path::parent)
        .expect("it lies in target/PROFILE/deps");
    let mut found: Vec<(SystemTime, PathBuf)> = Vec::new();
    for entry in fs::read_dir(profile.join("build"))
        .expect("there are build scripts")
        .flatten()
    {
        if entry.file_name().to_string_lossy().starts_with("daa-kernels-") {
            let script = entry
                .path()
                .join(format!("build-script-build{}", std::env::consts::EXE_SUFFIX));
            if let Ok(modified) = script.metadata().and_then(|data| data.modified()) {
                found.push((modified, script));
            }
        }
    }
    found
        .into_iter()
        .max()
        .expect("daa-kernels has a build script, and these tests depend on it")
        .1
}

/// A folder with a copy of all shaders.
fn copy_of_shaders() -> tempfile::TempDir {
    let folder = tempfile::tempdir().expect("a temporary folder can be made");
    copy(&xtask::root().join("shaders"), folder.path());
    folder
}

fn copy(from: &Path, to: &Path) {
    for entry in fs::read_dir(from).expect("the shaders are there") {
        let path = entry.expect("it can be listed").path();
        let target = to.join(path.file_name().expect("a listed file has a name"));
        if path.is_dir() {
            fs::create_dir(&target).expect("a folder can be made");
            copy(&path, &target);
        } else if path.extension() == Some(OsStr::new("wgsl")) {
            fs::copy(&path, &target).expect("it can be copied");
        }
    }
}

/// Runs the build script over the shaders in `shaders`.
fn build(shaders: &Path, out: &Path) -> Output {
    Command::new(build_script())
        .current_dir(xtask::root().join("crates/daa-kernels"))
        .env("DAA_SHADER_DIR", shaders)
        .env("OUT_DIR", out)
        .stdin(Stdio::null())
        .output()
        .expect("the build script runs")
}

#[test]
fn a_broken_shader_fails_the_build_with_file_line_and_column() {
    let (shaders, out) = (
        copy_of_shaders(),
        tempfile::tempdir().expect("a temporary folder can be made"),
    );
    let sound = build(shaders.path(), out.path());
    assert!(
        sound.status.success(),
        "{}",
        String::from_utf8_lossy(&sound.stdout)
    );
    let kernels = out.path().join("kernels.rs");
    assert!(kernels.is_file(), "a sound build embeds the shaders");
    fs::remove_file(&kernels).expect("it is there");

    let path = shaders.path().join("matmul.wgsl");
    let text = fs::read_to_string(&path).expect("there is a shader of products");
    let mut lines: Vec<_> = text.lines().map(str::to_owned).collect();
    let end = lines.len() + 1;
    lines.push("fn broken() -> f32 { return no_such_thing; }".to_owned());
    fs::write(&path, lines.join("\n") + "\n").expect("written");
    let broken = build(shaders.path(), out.path());
    let told = String::from_utf8_lossy(&broken.stdout);
    assert!(!broken.status.success(), "the build fails:\n{told}");
    let place = format!("matmul.wgsl:{end}:29: ");
    let error = told
        .lines()
        .find(|line| line.starts_with("cargo::error=") && line.contains(&place));
    let error = error.unwrap_or_else(|| panic!("`{place}` is missing in:\n{told}"));
    assert!(error.contains("no_such_thing"), "{error}");
    assert!(!kernels.exists(), "nothing is embedded");
}
