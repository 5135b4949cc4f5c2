//! daa-gpu-core and daa-coord work as dependencies on their own: a crate outside of the workspace builds with one alone, and
//! runs.

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

/// A copy of a crate of `tests/standalone`, with the workspace's versions of everything, so that nothing is fetched and nothing
/// is left behind in the source tree.
fn copy(name: &str, to: &Path) {
    let from = root().join("tests/standalone").join(name);
    let manifest = fs::read_to_string(from.join("Cargo.toml")).expect("readable");
    let crates = root().join("crates").display().to_string();
    let moved = manifest.replace("../../../crates", &crates.replace('\\', "/"));
    assert_ne!(moved, manifest, "the manifest names crates by their paths");
    fs::create_dir(to.join("src")).expect("made");
    fs::write(to.join("Cargo.toml"), moved).expect("written");
    fs::copy(root().join("Cargo.lock"), to.join("Cargo.lock")).expect("copied");
    fs::copy(from.join("src/main.rs"), to.join("src/main.rs")).expect("copied");
}

/// Runs the crate, and gives what it prints. It is built with the dependencies that the workspace has
/// compiled already.
fn run(folder: &Path, arguments: &[&str]) -> String {
    let Output {
        status,
        stdout,
        stderr,
    } = Command::new(env!("CARGO"))
        .args(["run", "--quiet", "--release", "--offline", "--"])
        .args(arguments)
        .current_dir(folder)
        .env("CARGO_TARGET_DIR", target())
        .output()
        .expect("cargo runs");
    let stdout = String::from_utf8_lossy(&stdout).into_owned();
    assert!(status.success(), "{stdout}{}", String::from_utf8_lossy(&stderr));
    stdout
}

/// What the crate is built of on this machine, a line each.
fn tree(folder: &Path, more: &[&str]) -> String {
    let args = "tree --quiet --offline --prefix none";
    let output = Command::new(env!("CARGO"))
        .args(args.split(' '))
        .args(more)
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
fn a_crate_outside_of_the_workspace_builds_with_gpu_core_alone_and_runs() {
    let dir = tempfile::tempdir().expect("a folder");
    copy("gpu", dir.path());
    let mut devices = vec![("cpu", "host, host")];
    if software::context().is_some() {
        devices.push(("software", "software, vulkan"));
    }
    for (device, kind) in devices {
        let stdout = run(dir.path(), &[device]);
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
    let tree = tree(dir.path(), &["--edges", "normal,build"]);
    assert!(
        tree.lines().any(|line| line.starts_with("daa-gpu-core ")),
        "{tree}"
    );
    for other in ["daa-kernels", "daa-coord", "tokio", "clap"] {
        let needed = tree.lines().any(|line| line.starts_with(&format!("{other} ")));
        assert!(!needed, "it does not need {other}:\n{tree}");
    }
}

#[test]
fn a_crate_outside_of_the_workspace_has_validators_without_sockets_and_runtimes() {
    let dir = tempfile::tempdir().expect("a folder");
    copy("coord", dir.path());
    let stdout = run(dir.path(), &[]);
    let lines: Vec<_> = stdout.lines().collect();
    assert_eq!(
        lines,
        ["four validators granted 512.0 MiB", "three of them took it back"]
    );
    let packages = tree(dir.path(), &["--edges", "normal,build"]);
    assert!(
        packages.lines().any(|line| line.starts_with("daa-coord ")),
        "{packages}"
    );
    for other in ["daa-gpu-core", "mio", "socket2", "libp2p", "polling"] {
        let needed = packages
            .lines()
            .any(|line| line.starts_with(&format!("{other} ")));
        assert!(!needed, "it does not need {other}:\n{packages}");
    }
    // Malachite's core names tokio; what would run or connect is a feature of it.
    let features = tree(dir.path(), &["--edges", "features", "--invert", "tokio"]);
    assert!(features.starts_with("tokio "), "{features}");
    for feature in ["rt", "rt-multi-thread", "net"] {
        let line = format!("tokio feature \"{feature}\"");
        assert!(
            !features
                .lines()
                .any(|other| other.trim_end_matches(" (*)") == line),
            "{features}"
        );
    }
}
