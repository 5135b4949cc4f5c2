//! Runs the task runner, for the tests that hold its rules.

use std::env;
use std::ffi::OsString;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

/// The root of the workspace.
pub(crate) fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR"))
        .parent()
        .expect("the tests are a member")
        .to_path_buf()
}

/// What `cargo xtask TASK` prints; panics with all of it if the task fails.
pub(crate) fn run(task: &str) -> String {
    let cargo = env::var_os("CARGO").unwrap_or_else(|| OsString::from(env!("CARGO")));
    let mut command = Command::new(cargo);
    command.args([
        "run",
        "--quiet",
        "--release",
        "--package",
        "xtask",
        "--bin",
        "xtask",
        "--",
        task,
    ]);
    let output = command
        .current_dir(root())
        .stdin(Stdio::null())
        .output()
        .expect("cargo runs");
    let stdout = String::from_utf8_lossy(&output.stdout).into_owned();
    let stderr = String::from_utf8_lossy(&output.stderr);
    assert!(
        output.status.success(),
        "cargo xtask {task} failed:\n{stdout}\n{stderr}"
    );
    stdout
}
