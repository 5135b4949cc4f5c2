//! Faults that a process of its own must suffer: see `tests/faults/child.rs` for what the child checks.

use daa_tests::software;
use std::path::PathBuf;
use std::process::{Command, Output};

const CHILD: &str = env!("CARGO_BIN_EXE_faults");

fn said(output: &Output) -> String {
    let (out, err) = (&output.stdout, &output.stderr);
    format!("{}{}", String::from_utf8_lossy(out), String::from_utf8_lossy(err))
}

/// Kibibytes of address space: enough for the driver and its compiler, and some 256 MiB pieces.
#[cfg(target_os = "linux")]
const ADDRESS_SPACE: u32 = 3_500_000;

#[cfg(target_os = "linux")]
fn limited(child: &str) -> String {
    let script = format!("ulimit -v {ADDRESS_SPACE} && exec \"$0\" \"$1\"");
    let output = Command::new("sh")
        .args(["-c", &script, CHILD, child])
        .output()
        .expect("a shell can be started");
    assert!(output.status.success(), "{}: {}", output.status, said(&output));
    said(&output)
}

#[cfg(target_os = "linux")]
#[test]
fn a_software_driver_out_of_memory_is_an_error_and_not_the_end() {
    if software::is_there() {
        let said = limited("out-of-memory");
        assert!(said.contains("then refused 3 times and works again"), "{said}");
    }
}

#[cfg(target_os = "linux")]
#[test]
fn a_software_driver_out_of_memory_has_sparse_pages_moved_together() {
    if software::is_there() {
        let said = limited("sparse");
        assert!(said.contains("moved together and no byte lost"), "{said}");
    }
}

/// The manifest of the software driver, where the Vulkan loader of this system looks.
#[cfg(target_os = "linux")]
fn manifest() -> Option<PathBuf> {
    let folders = [
        "/etc/vulkan/icd.d",
        "/usr/local/share/vulkan/icd.d",
        "/usr/share/vulkan/icd.d",
    ];
    let files = folders
        .iter()
        .filter_map(|folder| std::fs::read_dir(folder).ok())
        .flatten();
    let mut paths: Vec<PathBuf> = files.filter_map(|file| Some(file.ok()?.path())).collect();
    for variable in ["VK_DRIVER_FILES", "VK_ICD_FILENAMES"] {
        paths.extend(std::env::var_os(variable).iter().flat_map(std::env::split_paths));
    }
    let is_software = |path: &PathBuf| {
        path.file_name()
            .is_some_and(|name| name.to_string_lossy().starts_with("lvp"))
    };
    paths.into_iter().find(is_software)
}

#[cfg(target_os = "linux")]
#[test]
fn a_software_driver_that_disappears_is_waited_for() {
    if !software::is_there() {
        return;
    }
    let manifest = manifest().expect("a software device has a driver with a manifest");
    let folder = tempfile::tempdir().expect("a temporary folder");
    let copy = folder.path().join("driver.json");
    std::fs::copy(&manifest, &copy).expect("it can be copied");
    let output = Command::new(CHILD)
        .arg("driver-gone")
        .arg(&copy)
        .env("VK_DRIVER_FILES", &copy)
        .env("VK_ICD_FILENAMES", &copy)
        .output()
        .expect("it can be started");
    assert!(output.status.success(), "{}: {}", output.status, said(&output));
    assert!(said(&output).contains("the host stepped in"), "{}", said(&output));
}

/// Nothing is left that could be opened: the choice of a software device says so and does not hang.
#[cfg(target_os = "linux")]
#[test]
fn without_any_driver_there_is_no_device_and_schedules_run_on_the_host() {
    let child = |args: &[&str]| {
        Command::new(CHILD)
            .args(args)
            .env("VK_DRIVER_FILES", "/nonexistent.json")
            .env("VK_ICD_FILENAMES", "/nonexistent.json")
            .env_remove("DAA_REQUIRE_SOFTWARE_GPU")
            .output()
            .expect("it can be started")
    };
    let output = child(&["out-of-memory"]);
    assert!(
        !output.status.success() && said(&output).contains("no adapter"),
        "{}",
        said(&output)
    );
    let output = child(&["--schedules", "4", "--seed", "3"]);
    assert!(output.status.success(), "{}: {}", output.status, said(&output));
    let text = said(&output);
    assert!(
        text.contains("as there is no software driver") && text.contains("4 of 4 schedules"),
        "{text}"
    );
}
