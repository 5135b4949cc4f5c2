//! Each crate builds alone, without default features.

use crate::failure::Outcome;
use crate::process;
use crate::workspace;

/// One `cargo check` per crate: built together, the features that one crate asks for hide what another forgot.
pub(crate) fn run() -> Outcome {
    for package in workspace::load()?
        .packages
        .iter()
        .filter(|package| package.publishable)
    {
        println!("{} without default features", package.name);
        let args = [
            "check",
            "--quiet",
            "--release",
            "--no-default-features",
            "--package",
            &package.name,
        ];
        process::run(&mut process::cargo(&args))?;
    }
    Ok(())
}
