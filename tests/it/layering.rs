//! Dependencies point down only. That violations are found is tested where the checker is, in `xtask/src/layers`.

use crate::xtask;

#[test]
fn every_crate_depends_on_lower_layers_only() {
    let table = xtask::run("layers");
    for name in [
        "daa-base",
        "daa-gpu-core",
        "daa-coord",
        "daa-kernels",
        "daa-learn",
        "daa-agent",
        "daa-cli",
    ] {
        assert!(
            table
                .lines()
                .any(|line| line.split_whitespace().nth(1) == Some(name)),
            "{name} in:\n{table}"
        );
    }
}
