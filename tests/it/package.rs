//! Each crate packs what it needs and carries what every crate must.

use crate::xtask;

#[test]
fn every_crate_packs_what_it_needs() {
    let table = xtask::run("package");
    assert_eq!(
        table.lines().count(),
        8,
        "one line for each publishable crate:\n{table}"
    );
}

#[test]
fn house_rules_hold() {
    let summary = xtask::run("tidy");
    assert!(summary.contains(" files, 11 crates"), "{summary}");
}
