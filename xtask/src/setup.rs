//! Makes the machine ready for the tests: a software Vulkan driver, from the system's own package manager.
//!
//! Nothing else is installed: Rust is there, or this program would not run, and cargo-nextest is used when it is
//! there. Run twice, the second time only looks.

use std::process::Command;

use crate::failure::Failure;
use crate::process;

mod driver;
mod install;

use driver::{Finding, Search};
use install::{Machine, Plan};

/// Whether the tests can count on a software Vulkan driver.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum SoftwareGpu {
    /// It is there: a test that needs it must not skip.
    Ready,
    /// This system has none, or the caller goes without: a test that needs it says so and skips.
    NotUsed,
}

/// Looks for the driver and installs it where it is missing and this user may.
///
/// Fails with the exact command to run where this user may not.
pub(crate) fn run() -> Result<SoftwareGpu, Failure> {
    if cfg!(windows) {
        println!("setup: Windows brings a software adapter (WARP); nothing to install");
        return Ok(SoftwareGpu::NotUsed);
    }
    if cfg!(target_os = "macos") {
        println!(
            "setup: Metal has no software adapter, and no Homebrew package adds one; tests that need it skip"
        );
        return Ok(SoftwareGpu::NotUsed);
    }
    let missing = match Search::of_this_machine().software_driver() {
        Finding::Driver(path) => return Ok(ready(&path)),
        Finding::Hidden { variable } => return Err(hidden(variable)),
        Finding::Missing(what) => what,
    };
    println!("setup: {missing}");
    for words in commands()? {
        println!("setup: running {}", words.join(" "));
        let (program, args) = words
            .split_first()
            .ok_or_else(|| Failure::new("an empty command was planned"))?;
        process::run(Command::new(program).args(args)).map_err(|failure| failure.hint(GOING_WITHOUT))?;
    }
    match Search::of_this_machine().software_driver() {
        Finding::Driver(path) => Ok(ready(&path)),
        Finding::Hidden { variable } => Err(hidden(variable)),
        Finding::Missing(what) => Err(Failure::new(format!("the packages are installed, but {what}"))),
    }
}

/// How to run the tests all the same.
const GOING_WITHOUT: &str =
    "`cargo xtask test --without-software-gpu` runs all tests but those on that driver";

fn commands() -> Result<Vec<Vec<String>>, Failure> {
    let wanted = "the tests need a software Vulkan driver";
    match install::plan(&Machine::this()) {
        Plan::Run(commands) => Ok(commands),
        Plan::MayNot(command) => {
            Err(Failure::new(format!("{wanted}, and only root may install it. Run this, then again: {command}"))
                .hint(GOING_WITHOUT))
        }
        Plan::NoManager => Err(Failure::new(format!(
            "{wanted}, and none of apt-get, dnf, pacman, zypper and apk is here to install it: install Mesa's lavapipe and the Vulkan loader"
        ))
        .hint(GOING_WITHOUT)),
    }
}

fn ready(driver: &std::path::Path) -> SoftwareGpu {
    println!("setup: software Vulkan driver {}", driver.display());
    SoftwareGpu::Ready
}

fn hidden(variable: &str) -> Failure {
    Failure::new(format!(
        "{variable} is set and names no software Vulkan driver, so the loader sees none"
    ))
    .hint(format!("unset {variable}, or add the driver's JSON file to it"))
}
