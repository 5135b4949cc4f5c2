//! daa-gpu-core works as a dependency on its own: a crate outside of the workspace builds with it alone, and runs.

use crate::xtask::root;
use daa_tests::software;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};

/// Where this test was built: `target` of `target/release/deps/it-…`.
fn target() -> PathBuf {
    let test = std::env::current_exe().expect("this test");
    let target = test
        .ancestors()
        .nth(3)
        .expect("cargo puts tests three folders deep");
    target.to_owned()
}

/// A copy of the crate, with the workspace's versions of everything, so that nothing is fetched and nothing is left behind
/// in the source tree.
fn copy(to: &Path) {
    let from = root().join("tests/standalone");
    let manifest = fs::read_to_string(from.join("Cargo.toml")).expect("readable");
    let path = root().join("crates/daa-gpu-core").display().to_string();
    let moved = manifest.replace("../../crates/daa-gpu-core", &path.replace('\\', "/"));
    assert_ne!(moved, manifest, "the manifest names the crate by its path");
    fs::create_dir(to.join("src")).expect("made");
    fs::write(to.join("Cargo.toml"), moved).expect("written");
    fs::copy(root().join("Cargo.lock"), to.join("Cargo.lock")).expect("copied");
    fs::copy(from.join("src/main.rs"), to.join("src/main.rs")).expect("copied");
}

/// Runs the crate on a device, and gives what it prints. It is built with the dependencies that the workspace has
/// compiled already.
fn run(folder: &Path, device: &str) -> String {
    let Output {
        status,
        stdout,
        stderr,
    } = Command::new(env!("CARGO"))
        .args(["run", "--quiet", "--release", "--offline", "--", device])
        .current_dir(folder)
        .env("CARGO_TARGET_DIR", target())
        .output()
        .expect("cargo runs");
    let stdout = String::from_utf8_lossy(&stdout).into_owned();
    assert!(status.success(), "{stdout}{}", String::from_utf8_lossy(&stderr));
    stdout
}

/// What the crate is built of on this machine, a line each.
fn tree(folder: &Path) -> String {
    let args = "tree --quiet --offline --edges normal,build --prefix none";
    let output = Command::new(env!("CARGO"))
        .args(args.split(' '))
        .current_dir(folder)
        .output()
        .expect("cargo runs");
    assert!(
        output.status.success(),
        "{}",
        String::from_utf8_lossy(&output.stderr)
    );
    String::from_utf8_lossy(&output.stdout).into_owned()
}

#[test]
fn a_crate_outside_of_the_workspace_builds_with_it_alone_and_runs() {
    let dir = tempfile::tempdir().expect("a folder");
    copy(dir.path());
    let mut devices = vec![("cpu", "host, host")];
    if software::context().is_some() {
        devices.push(("software", "software, vulkan"));
    }
    for (device, kind) in devices {
        let stdout = run(dir.path(), device);
        assert!(
            stdout.lines().next().is_some_and(|line| line.contains(kind)),
            "{stdout}"
        );
        for wanted in [
            "one: 256 numbers times 2",
            "other: 256 numbers times 3",
            "profile: scale ran 2 times",
        ] {
            assert!(
                stdout.lines().any(|line| line == wanted),
                "`{wanted}` in:\n{stdout}"
            );
        }
    }
    let tree = tree(dir.path());
    assert!(
        tree.lines().any(|line| line.starts_with("daa-gpu-core ")),
        "{tree}"
    );
    for other in ["daa-kernels", "daa-coord", "tokio", "clap"] {
        let needed = tree.lines().any(|line| line.starts_with(&format!("{other} ")));
        assert!(!needed, "it does not need {other}:\n{tree}");
    }
}
