//! Dependencies point down only.
//!
//! Two fences. The first reads the manifests: every dependency of every kind on a crate of this workspace must have a
//! lower rank (cargo itself accepts cycles through dev-dependencies, so nothing else would notice), and a few outside
//! crates may be named by one manifest only. The second asks `cargo tree` what a crate really pulls in.

use crate::failure::{Failure, Outcome};
use crate::process;
use crate::workspace::{self, Package};

#[cfg(test)]
mod tests;

/// The layer of every member; 6 holds what stands above the program and is never published.
const RANKS: &[(&str, u8)] = &[
    ("daa-base", 0),
    ("daa-gpu-core", 1),
    ("daa-coord", 1),
    ("daa-kernels", 2),
    ("daa-learn", 3),
    ("daa-agent", 4),
    ("daa-cli", 5),
    ("ruv-swarm-daa", 5),
    ("daa-tests", 6),
    ("daa-benches", 6),
    ("xtask", 6),
];

/// Outside crates that only one manifest may name, so that they can be replaced in one place.
const SOLE_USERS: &[(&str, &str)] = &[("wgpu", "daa-gpu-core"), ("bincode", "daa-base")];

/// What a crate's tree of normal dependencies must and must not hold.
#[derive(Debug, Clone, Copy)]
struct Requirement {
    package: &'static str,
    default_features: bool,
    has: &'static [&'static str],
    lacks: &'static [&'static str],
}

/// The rows with `has` prove that the reading of the tree works at all.
const REQUIREMENTS: &[Requirement] = &[
    Requirement {
        package: "daa-base",
        default_features: true,
        has: &["bincode"],
        lacks: &["wgpu", "naga", "ash", "tokio"],
    },
    Requirement {
        package: "daa-coord",
        default_features: true,
        has: &["daa-base", "libp2p"],
        lacks: &["wgpu", "naga", "ash", "daa-gpu-core"],
    },
    // Malachite's core names tokio without features; what runs or connects stands for it here.
    Requirement {
        package: "daa-coord",
        default_features: false,
        has: &["daa-base"],
        lacks: &["wgpu", "naga", "ash", "mio", "socket2", "libp2p", "daa-gpu-core"],
    },
    Requirement {
        package: "daa-gpu-core",
        default_features: true,
        has: &["wgpu"],
        lacks: &["tokio"],
    },
    Requirement {
        package: "daa-gpu-core",
        default_features: false,
        has: &["daa-base"],
        lacks: &["wgpu", "tokio"],
    },
    Requirement {
        package: "daa-learn",
        default_features: true,
        has: &["daa-kernels"],
        lacks: &["tokio"],
    },
    Requirement {
        package: "daa-learn",
        default_features: false,
        has: &["daa-kernels"],
        lacks: &["wgpu"],
    },
];

/// Checks both fences and prints them as tables.
pub(crate) fn run() -> Outcome {
    let workspace = workspace::load()?;
    println!("{:4} {:14} depends on", "rank", "crate");
    let mut ranked: Vec<&Package> = workspace.packages.iter().collect();
    ranked.sort_by_key(|package| (rank(&package.name), package.name.as_str()));
    for package in ranked {
        let rank = rank(&package.name).map_or_else(|| "?".to_owned(), |rank| rank.to_string());
        println!("{rank:4} {:14} {}", package.name, inside(package).join(" "));
    }
    let mut findings = manifest_findings(&workspace.packages);

    println!("\n{:14} {:20} holds / must not hold", "crate", "features");
    for requirement in REQUIREMENTS {
        let features = if requirement.default_features {
            "default"
        } else {
            "no default"
        };
        let (has, lacks) = (requirement.has.join(" "), requirement.lacks.join(" "));
        println!("{:14} {features:20} {has} / {lacks}", requirement.package);
        findings.extend(tree_findings(*requirement, &tree(*requirement)?));
    }
    Failure::of_findings("layers", &findings)
}

fn rank(name: &str) -> Option<u8> {
    RANKS
        .iter()
        .find(|(member, _)| *member == name)
        .map(|(_, rank)| *rank)
}

fn is_inside(name: &str) -> bool {
    name.starts_with("daa-") || rank(name).is_some()
}

fn inside(package: &Package) -> Vec<&str> {
    let names = package
        .dependencies
        .iter()
        .map(|dependency| dependency.name.as_str());
    let mut names: Vec<&str> = names.filter(|name| is_inside(name)).collect();
    names.sort_unstable();
    names.dedup();
    names
}

/// What is wrong with the manifests: pure, over what cargo says of them.
fn manifest_findings(packages: &[Package]) -> Vec<String> {
    let mut findings = Vec::new();
    for package in packages {
        let own = rank(&package.name);
        if own.is_none() {
            findings.push(format!(
                "{} has no rank: give it one in xtask/src/layers.rs",
                package.name
            ));
        }
        for dependency in &package.dependencies {
            let (from, kind, to) = (&package.name, &dependency.kind, &dependency.name);
            match (own, rank(to)) {
                (_, None) if is_inside(to) => {
                    findings.push(format!("{from} has the unknown {kind} dependency {to}"));
                }
                (Some(own), Some(other)) if other >= own => findings.push(format!(
                    "{from} (rank {own}) has the {kind} dependency {to} (rank {other}): only lower ranks are allowed"
                )),
                _ => {}
            }
            if let Some((_, user)) = SOLE_USERS.iter().find(|(name, user)| name == to && user != from) {
                findings.push(format!(
                    "{from} has the {kind} dependency {to}, which only {user} may name"
                ));
            }
        }
    }
    findings
}

fn tree(requirement: Requirement) -> Result<Vec<String>, Failure> {
    let args = [
        "tree",
        "--edges",
        "normal",
        "--prefix",
        "none",
        "--format",
        "{p}",
        "--package",
        requirement.package,
    ];
    let mut command = process::cargo(&args);
    if !requirement.default_features {
        command.arg("--no-default-features");
    }
    let text = process::capture(&mut command)?;
    let names = text.lines().filter_map(|line| line.split_whitespace().next());
    Ok(names.map(str::to_owned).collect())
}

/// What is wrong with one crate's tree, given the names in it.
fn tree_findings(requirement: Requirement, names: &[String]) -> Vec<String> {
    let holds = |wanted: &str| names.iter().any(|name| name == wanted);
    let features = if requirement.default_features {
        ""
    } else {
        " without default features"
    };
    let package = requirement.package;
    let missing = requirement.has.iter().filter(|name| !holds(name));
    let missing = missing.map(|name| format!("{package}{features} must depend on {name}, and does not"));
    let present = requirement.lacks.iter().filter(|name| holds(name));
    let present = present.map(|name| {
        format!(
            "{package}{features} must not depend on {name}: see `cargo tree -p {package} -i {name} -e normal`"
        )
    });
    missing.chain(present).collect()
}
