//! Every WGSL entry point is valid.

use crate::failure::{Failure, Outcome};
use crate::process;
use crate::workspace;

/// The example of daa-kernels that validates all entry points and prints a table of them.
const EXAMPLE: &str = "shader_table";

/// Builds and runs the example. It lives in daa-kernels so that this program needs no shader compiler; it is built
/// with the features of the whole workspace, so that the tests find everything built already.
pub(crate) fn run() -> Outcome {
    process::run(&mut process::cargo(&[
        "build",
        "--quiet",
        "--release",
        "--workspace",
        "--example",
        EXAMPLE,
    ]))?;
    let program = workspace::load()?.target.join("release").join("examples");
    let program = program.join(format!("{EXAMPLE}{}", std::env::consts::EXE_SUFFIX));
    let table = process::capture(std::process::Command::new(program).current_dir(workspace::root()))?;
    print!("{table}");
    if table.lines().filter(|line| !line.trim().is_empty()).count() < 2 {
        return Err(Failure::new(
            "shaders: the table lists no entry point, so nothing was validated",
        ));
    }
    Ok(())
}
