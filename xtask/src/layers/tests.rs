use serde_json::{Value, json};

use super::*;

fn package(name: &str, dependencies: &[(&str, Option<&str>)]) -> Value {
    let dependencies: Vec<Value> = dependencies
        .iter()
        .map(|(name, kind)| json!({ "name": name, "kind": kind }))
        .collect();
    json!({
        "name": name,
        "manifest_path": format!("crates/{name}/Cargo.toml"),
        "publish": null,
        "description": "d",
        "dependencies": dependencies,
    })
}

fn findings(packages: &[Value]) -> Vec<String> {
    let workspace = workspace::from_metadata(&json!({ "packages": packages })).expect("metadata is complete");
    manifest_findings(&workspace.packages)
}

#[test]
fn pointing_down_is_allowed() {
    let good = [
        package("daa-base", &[("bincode", None), ("serde", None)]),
        package("daa-gpu-core", &[("daa-base", None), ("wgpu", None)]),
        package(
            "daa-kernels",
            &[
                ("daa-gpu-core", None),
                ("naga", Some("build")),
                ("daa-base", Some("dev")),
            ],
        ),
        package("ruv-swarm-daa", &[("daa-agent", None)]),
        package("daa-tests", &[("ruv-swarm-daa", Some("dev")), ("daa-cli", None)]),
    ];
    assert_eq!(findings(&good), Vec::<String>::new());
}

#[test]
fn pointing_up_is_found_for_every_kind() {
    for (kind, word) in [(None, "normal"), (Some("build"), "build"), (Some("dev"), "dev")] {
        let found = findings(&[package("daa-gpu-core", &[("daa-learn", kind)])]);
        assert_eq!(
            found,
            [format!(
                "daa-gpu-core (rank 1) has the {word} dependency daa-learn (rank 3): only lower ranks are allowed"
            )]
        );
    }
}

#[test]
fn equal_ranks_never_meet() {
    assert_eq!(
        findings(&[package("daa-coord", &[("daa-gpu-core", Some("dev"))])]).len(),
        1
    );
    assert_eq!(
        findings(&[package("ruv-swarm-daa", &[("daa-cli", None)])]).len(),
        1
    );
    assert_eq!(
        findings(&[package("daa-agent", &[("daa-agent", Some("dev"))])]).len(),
        1
    );
}

#[test]
fn unknown_members_are_found_on_both_sides() {
    let found = findings(&[
        package("daa-new", &[]),
        package("daa-agent", &[("daa-newer", None)]),
    ]);
    assert_eq!(found.len(), 2, "{found:?}");
    assert!(
        found.iter().any(|line| line.contains("daa-new has no rank")),
        "{found:?}"
    );
    assert!(
        found
            .iter()
            .any(|line| line.contains("unknown normal dependency daa-newer")),
        "{found:?}"
    );
}

#[test]
fn crates_with_a_sole_user_are_fenced() {
    let found = findings(&[package(
        "daa-kernels",
        &[("wgpu", Some("dev")), ("bincode", None)],
    )]);
    assert_eq!(found.len(), 2, "{found:?}");
    assert!(
        found[0].contains("wgpu, which only daa-gpu-core may name"),
        "{found:?}"
    );
    assert!(
        found[1].contains("bincode, which only daa-base may name"),
        "{found:?}"
    );
}

#[test]
fn a_tree_is_held_to_its_row() {
    let row = Requirement {
        package: "daa-coord",
        default_features: true,
        has: &["daa-base"],
        lacks: &["tokio"],
    };
    let tree = |names: &[&str]| names.iter().map(|name| (*name).to_owned()).collect::<Vec<_>>();
    assert_eq!(
        tree_findings(row, &tree(&["daa-coord", "daa-base", "tokio-util"])),
        Vec::<String>::new()
    );
    assert_eq!(tree_findings(row, &tree(&["daa-coord", "tokio"])).len(), 2);
}

#[test]
fn metadata_without_packages_is_an_error() {
    assert!(workspace::from_metadata(&json!({})).is_err());
    assert!(workspace::from_metadata(&json!({ "packages": [{ "name": "daa-base" }] })).is_err());
}
