//! Help, versions, devices, doctor.

use crate::support::{Place, end};
use serde_json::Value;
use std::collections::BTreeSet;
use std::process::Stdio;

const VERBS: [&str; 10] = [
    "run", "predict", "memory", "keys", "genesis", "node", "ledger", "replay", "devices", "doctor",
];

/// Verbs that have verbs of their own.
const SUB_VERBS: [(&str, &str); 17] = [
    ("memory", "forecast"),
    ("memory", "plan"),
    ("memory", "record"),
    ("memory", "replay"),
    ("keys", "new"),
    ("keys", "show"),
    ("genesis", "new"),
    ("genesis", "show"),
    ("genesis", "check"),
    ("ledger", "show"),
    ("ledger", "quota"),
    ("ledger", "policy"),
    ("ledger", "validator"),
    ("ledger", "member"),
    ("ledger", "remove"),
    ("ledger", "revoke"),
    ("ledger", "decide"),
];

/// The long flags that a text names.
fn flags(text: &str) -> BTreeSet<String> {
    let pieces = text.split(|c: char| !(c.is_ascii_alphanumeric() || c == '-'));
    let long = |piece: &&str| {
        piece
            .strip_prefix("--")
            .is_some_and(|name| name.starts_with(|c: char| c.is_ascii_lowercase()))
    };
    pieces.filter(long).map(str::to_owned).collect()
}

#[test]
fn the_version_is_the_package_version() {
    for args in [&["--version"][..], &["-V"], &["run", "--version"]] {
        let ended = Place::new().run(args);
        assert_eq!(ended.code, Some(0));
        assert!(
            ended.stdout.starts_with("daa") && ended.stdout.trim_end().ends_with(env!("CARGO_PKG_VERSION")),
            "{ended:?}"
        );
    }
}

#[test]
fn help_lists_the_verbs_and_each_verb_its_flags() {
    let place = Place::new();
    let help = place.run(&["help"]);
    assert_eq!(help.code, Some(0));
    for verb in VERBS {
        assert!(
            help.stdout.contains(&format!("\n  {verb} ")),
            "{verb}: {}",
            help.stdout
        );
        let ended = place.run(&["help", verb]);
        assert_eq!((ended.code, ended.stderr.as_str()), (Some(0), ""));
        assert!(ended.stdout.contains(&format!("Usage: daa {verb} ")), "{ended:?}");
    }
    for (above, verb) in SUB_VERBS {
        let listed = place.run(&["help", above]).stdout;
        assert!(listed.contains(&format!("\n  {verb} ")), "{verb}: {listed}");
        let ended = place.run(&["help", above, verb]);
        assert_eq!((ended.code, ended.stderr.as_str()), (Some(0), ""));
        assert!(
            ended.stdout.contains(&format!("Usage: daa {above} {verb} ")),
            "{ended:?}"
        );
    }
    let run = flags(&place.run(&["help", "run"]).stdout);
    for flag in [
        "--data",
        "--target",
        "--task",
        "--agents",
        "--device",
        "--epochs-budget",
        "--memory-limit",
        "--seed",
        "--out",
        "--resume",
        "--threads",
        "--verify",
        "--output",
        "--quiet",
        "--verbose",
        "--no-progress",
    ] {
        assert!(run.contains(flag), "{flag} is missing in {run:?}");
    }
}

#[test]
fn no_verb_is_a_wrong_command_line_that_gets_the_help() {
    let ended = Place::new().run(&[]);
    assert_eq!((ended.code, ended.stdout.as_str()), (Some(2), ""));
    assert!(ended.stderr.contains("Usage: daa"), "{ended:?}");
}

/// The reference lists every flag and variable of the program, and none that it does not have.
#[test]
fn the_reference_and_the_program_agree() {
    let reference = include_str!("../../../../docs/CLI.md");
    let place = Place::new();
    let mut help: String = VERBS
        .iter()
        .map(|verb| place.run(&["help", verb]).stdout)
        .collect();
    for (above, verb) in SUB_VERBS {
        let ended = place.run(&["help", above, verb]);
        assert!(
            ended.stdout.contains(&format!("Usage: daa {above} {verb} ")),
            "{ended:?}"
        );
        assert!(
            reference.contains(&format!("`daa {above} {verb}")),
            "{verb} is not described"
        );
        help.push_str(&ended.stdout);
    }
    let known: BTreeSet<String> = flags(&help)
        .into_iter()
        .filter(|flag| flag != "--help" && flag != "--version")
        .collect();
    let listed: BTreeSet<String> = flags(reference)
        .into_iter()
        .filter(|flag| flag != "--help" && flag != "--version")
        .collect();
    assert_eq!(listed, known);
    let variables = |text: &str| -> BTreeSet<String> {
        let words = text.split(|c: char| !(c.is_ascii_uppercase() || c == '_'));
        words
            .filter(|word| word.starts_with("DAA_"))
            .map(str::to_owned)
            .collect()
    };
    let elsewhere = ["DAA_LOG", "DAA_FASHION_MNIST", "DAA_INVITES"].map(str::to_owned);
    let set: BTreeSet<String> = variables(&help).into_iter().chain(elsewhere).collect();
    assert_eq!(variables(reference), set);
}

#[test]
fn devices_end_with_the_host_that_the_cpu_choice_takes() {
    let place = Place::new();
    let report = place.json(&["devices", "--device", "cpu", "-o", "json"]);
    assert_eq!(report["schema"], "daa.devices/1");
    assert_eq!(report["requested"], "cpu");
    let devices = report["devices"].as_array().expect("a list");
    let chosen: Vec<&Value> = devices.iter().filter(|device| device["chosen"] == true).collect();
    assert_eq!(chosen.len(), 1);
    assert_eq!(
        (&chosen[0]["class"], &chosen[0]["backend"]),
        (&"host".into(), &"host".into())
    );
    for (index, device) in devices.iter().enumerate() {
        assert_eq!(device["index"], index);
        for key in ["name", "class", "backend", "driver", "memory_source", "reason"] {
            assert!(
                device[key].as_str().is_some_and(|text| !text.is_empty()),
                "{key} in {device}"
            );
        }
        check_budget(device);
        assert!(device["limits"]["max_buffer"].is_u64(), "{device}");
    }
    let table = place.run(&["devices", "--device", "cpu"]);
    let mut lines = table.stdout.lines();
    let header: Vec<&str> = lines.next().expect("a header").split_whitespace().collect();
    assert_eq!(
        header,
        [
            "#", "name", "class", "backend", "driver", "memory", "for", "runs", "chosen", "reason"
        ]
    );
    assert_eq!(lines.count(), devices.len());
}

/// Three quarters of what there is, whoever says so; of what the driver says, all or nothing.
fn check_budget(memory: &Value) {
    let known = memory["memory_bytes"].as_u64();
    assert!(known.is_some() || memory["memory_bytes"].is_null(), "{memory}");
    let source = memory["memory_source"].as_str().expect("a source");
    assert_eq!(known.is_some(), source != "unknown", "{memory}");
    let capacity = known.map_or(4 << 30, |known| known / 4 * 3);
    assert_eq!(memory["capacity_bytes"], capacity, "{memory}");
    let told = memory["driver_budget_bytes"].is_u64();
    assert_eq!(memory["driver_used_bytes"].is_u64(), told, "{memory}");
    assert_eq!(memory["driver_silent"].is_string(), !told, "{memory}");
}

#[test]
fn the_doctor_computes_on_the_cpu_and_says_what_is_missing() {
    let place = Place::new();
    let report = place.json(&["doctor", "-o", "json"]);
    assert_eq!(report["schema"], "daa.doctor/1");
    assert_eq!(report["version"], env!("CARGO_PKG_VERSION"));
    let checks = report["checks"].as_array().expect("a list");
    let names: Vec<&str> = checks.iter().filter_map(|check| check["name"].as_str()).collect();
    assert_eq!(
        names,
        ["version", "cpu", "gpu", "software-gpu", "fashion-mnist", "folder"]
    );
    for check in checks {
        let status = check["status"].as_str().expect("a status");
        assert!(
            ["ok", "warn", "fail"].contains(&status) && check["detail"].is_string(),
            "{check}"
        );
        assert_eq!(
            check["hint"].is_string(),
            status != "ok",
            "a hint where one is due: {check}"
        );
        let name = check["name"].as_str().expect("a name");
        let computed = ["cpu", "gpu", "software-gpu"].contains(&name) && status == "ok";
        assert_eq!(check["memory"].is_object(), computed, "{check}");
        if computed {
            check_budget(&check["memory"]);
        }
    }
    let status = |name: &str| {
        checks
            .iter()
            .find(|check| check["name"] == name)
            .map(|check| &check["status"])
    };
    assert_eq!(status("cpu"), Some(&"ok".into()));
    assert_eq!(status("folder"), Some(&"ok".into()));
    assert_eq!(
        status("fashion-mnist"),
        Some(&"warn".into()),
        "it is hidden from this test"
    );
    let text = place.run(&["doctor"]);
    assert_eq!(text.code, Some(0));
    assert!(
        text.stdout.contains("ok    cpu")
            && text.stdout.contains("memory: runs may use ")
            && text.stdout.contains("hint: "),
        "{text:?}"
    );
}

/// Where a software driver is there, the doctor must find it and it must compute right.
#[test]
fn the_doctor_computes_on_the_software_gpu() {
    let report = Place::new().json(&["doctor", "-o", "json"]);
    let check = &report["checks"][3];
    assert_eq!(check["name"], "software-gpu");
    if std::env::var_os("DAA_REQUIRE_SOFTWARE_GPU").is_some() {
        assert_eq!(check["status"], "ok", "{check}");
    }
}

#[test]
fn a_reader_that_leaves_is_no_error() {
    for args in [
        &["devices", "--device", "cpu"][..],
        &["devices", "-o", "json"],
        &["help"],
    ] {
        let (reader, writer) = std::io::pipe().expect("a pipe");
        drop(reader);
        let place = Place::new();
        let mut command = place.daa(args);
        let child = command
            .stdout(writer)
            .stderr(Stdio::piped())
            .spawn()
            .expect("started");
        drop(command);
        let ended = end(child);
        assert_eq!((ended.code, ended.stderr.as_str()), (Some(0), ""), "{args:?}");
    }
}
