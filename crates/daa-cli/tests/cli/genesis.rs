//! `daa keys` and `daa genesis`.

use crate::support::{Ended, Place};
use serde_json::Value;

/// Makes a key file and gives its public half.
fn key(place: &Place, name: &str) -> String {
    let ended = place.run(&["keys", "new", name, "-q"]);
    assert_eq!((ended.code, ended.stderr.as_str()), (Some(0), ""), "{ended:?}");
    ended.stdout.trim_end().to_owned()
}

fn refused(ended: &Ended, code: i32, words: &[&str]) {
    assert_eq!((ended.code, ended.stdout.as_str()), (Some(code), ""), "{ended:?}");
    let lines: Vec<&str> = ended.stderr.lines().collect();
    assert!(
        lines.len() == 2 && lines[0].starts_with("error: ") && lines[1].starts_with("hint: "),
        "{ended:?}"
    );
    for word in words {
        assert!(ended.stderr.contains(word), "{word} is missing in {ended:?}");
    }
}

#[test]
fn a_new_key_is_shown_and_never_overwritten_unasked() {
    let place = Place::new();
    let first = key(&place, "node.key");
    assert_eq!(first.len(), 64);
    let shown = place.json(&["keys", "show", "node.key", "-o", "json"]);
    let expected = serde_json::json!({ "schema": "daa.keys/1", "file": "node.key", "public": first });
    assert_eq!(shown, expected);
    refused(
        &place.run(&["keys", "new", "node.key"]),
        3,
        &["node.key", "--force"],
    );
    assert_eq!(place.run(&["keys", "show", "node.key"]).stdout.trim_end(), first);
    let ended = place.run(&["keys", "new", "node.key", "--force"]);
    assert_ne!(ended.stdout.trim_end(), first);
    assert!(ended.stderr.contains("keep it to yourself"), "{ended:?}");
    let secret = String::from_utf8(place.read("node.key")).expect("text");
    let secret = secret
        .lines()
        .last()
        .and_then(|line| line.strip_prefix("secret "))
        .expect("third");
    assert!(!ended.stdout.contains(secret) && !ended.stderr.contains(secret));
}

#[cfg(unix)]
#[test]
fn a_key_that_others_can_read_is_refused() {
    use std::os::unix::fs::PermissionsExt as _;
    let place = Place::new();
    key(&place, "node.key");
    let mode = |mode| std::fs::set_permissions(place.path("node.key"), std::fs::Permissions::from_mode(mode));
    mode(0o644).expect("set");
    refused(
        &place.run(&["keys", "show", "node.key"]),
        3,
        &["mode 0644", "at most 0600", "chmod 600 node.key"],
    );
}

#[test]
fn a_genesis_is_written_shown_and_checked() {
    let place = Place::new();
    let operator = key(&place, "operator.key");
    let validators: Vec<String> = (0..4).map(|n| key(&place, &format!("v{n}.key"))).collect();
    let args = [
        "genesis",
        "new",
        "g.json",
        "--name",
        "lab",
        "--operator",
        "operator.key",
        "--validator",
        "v0.key",
        "--validator",
        &validators[1],
        "--validator",
        "v2.key=1",
        "--validator",
        "v3.key",
        "-o",
        "json",
    ];
    let made = place.json(&args);
    let text = |value: &Value| value.as_str().expect("a text").to_owned();
    assert_eq!(
        (&made["schema"], &made["name"]),
        (&"daa.genesis.report/1".into(), &"lab".into())
    );
    assert_eq!(text(&made["operator"]), operator);
    let powers = ["total_power", "quorum_power", "tolerated_power"].map(|field| made[field].as_u64());
    assert_eq!(powers, [Some(4), Some(3), Some(1)]);
    assert_eq!(made["warnings"], serde_json::json!([]));
    let listed = made["validators"].as_array().expect("a list");
    let listed: Vec<String> = listed.iter().map(|validator| text(&validator["key"])).collect();
    let mut expected = validators.clone();
    expected.sort();
    assert_eq!(listed, expected);
    // Every validator is a member, in the order of the flags.
    let members = made["members"].as_array().expect("a list");
    assert_eq!(members.len(), 4);
    for (n, (member, key)) in (1..).zip(members.iter().zip(&validators)) {
        let expected = serde_json::json!({ "agent": n, "owner": n, "key": key });
        assert_eq!(*member, expected);
    }
    for verb in ["show", "check"] {
        assert_eq!(place.json(&["genesis", verb, "g.json", "-o", "json"]), made);
    }
    let shown = place.run(&["genesis", "show", "g.json"]);
    assert!(
        shown.stdout.contains("max_agents") && shown.stdout.contains("3 of 4"),
        "{shown:?}"
    );
    refused(&place.run(&args[..7]), 3, &["g.json", "--force"]);
    // Another rule, another chain; a misspelt one, an error.
    let file = String::from_utf8(place.read("g.json")).expect("text");
    let changed = file.replace("\"trial_window\": 8", "\"trial_window\": 9");
    assert_ne!(changed, file);
    place.write("g.json", changed);
    let changed = place.json(&["genesis", "check", "g.json", "-o", "json"]);
    assert_ne!(changed["chain"], made["chain"]);
    place.write("g.json", file.replace("trial_window", "trial_windows"));
    refused(
        &place.run(&["genesis", "check", "g.json"]),
        3,
        &["g.json", "trial_window"],
    );
}

#[test]
fn members_are_named_with_their_owners() {
    let place = Place::new();
    let keys: Vec<String> = (0..3).map(|n| key(&place, &format!("{n}.key"))).collect();
    let make = |flags: &[&str]| {
        let start = [
            "genesis",
            "new",
            "g.json",
            "--force",
            "-o",
            "json",
            "--operator",
            &keys[2],
        ];
        let args: Vec<&str> = start.into_iter().chain(flags.iter().copied()).collect();
        place.run(&args)
    };
    let second = format!("{}=0", keys[1]);
    let ended = make(&["--validator", "0.key", "--member", "2.key=7", "--member", &second]);
    assert_eq!(ended.code, Some(0), "{ended:?}");
    let made: Value = serde_json::from_str(&ended.stdout).expect("json");
    let expected = serde_json::json!([
        { "agent": 1, "owner": 7, "key": keys[2] },
        { "agent": 2, "owner": 0, "key": keys[1] },
    ]);
    assert_eq!(made["members"], expected);
    let warnings = made["warnings"].to_string();
    assert!(
        warnings.contains(&format!("{} votes, but is no member", keys[0])),
        "{warnings}"
    );
    let shown = place.run(&["genesis", "show", "g.json"]);
    assert!(
        shown.stdout.contains("owner") && shown.stdout.contains(&keys[1]),
        "{shown:?}"
    );
    let file = String::from_utf8(place.read("g.json")).expect("text");
    place.write("g.json", file.replace("\"owner\": 7", "\"owner\": 8"));
    let other = place.json(&["genesis", "check", "g.json", "-o", "json"]);
    assert_ne!(other["chain"], made["chain"]);
    for (member, words) in [
        ("0.key", "has no owner"),
        ("0.key=you", "`you` is no owner"),
        ("0.key=-1", "`-1` is no owner"),
    ] {
        refused(&make(&["--member", member]), 2, &[words]);
    }
    refused(
        &make(&["--member", "0.key=1", "--member", "0.key=2"]),
        2,
        &["another member's"],
    );
    refused(&make(&["--member", "nobody.key=1"]), 3, &["nobody.key"]);
}

#[test]
fn validators_that_survive_nothing_are_warned_of() {
    let place = Place::new();
    let keys: Vec<String> = (0..4).map(|n| key(&place, &format!("{n}.key"))).collect();
    let make = |validators: &[String]| {
        let mut args = vec!["genesis", "new", "g.json", "--force", "--operator", &keys[0]];
        for validator in validators {
            args.extend(["--validator", validator]);
        }
        place.run(&args)
    };
    for (validators, words) in [
        (vec![], "one process orders"),
        (keys[..3].to_vec(), "survive no fault"),
        (
            vec![
                format!("{}=3", keys[0]),
                keys[1].clone(),
                keys[2].clone(),
                keys[3].clone(),
            ],
            "nothing is decided without",
        ),
    ] {
        let ended = make(&validators);
        assert_eq!(ended.code, Some(0), "{ended:?}");
        assert!(
            ended.stderr.starts_with("warning: ") && ended.stderr.contains(words),
            "{ended:?}"
        );
    }
    assert_eq!(make(&keys).stderr, "");
    refused(&make(&[keys[0].clone(), keys[0].clone()]), 2, &["named twice"]);
    refused(&make(&[format!("{}=x", keys[0])]), 2, &["`x` is no weight"]);
    refused(
        &make(&["nobody.key".to_owned()]),
        3,
        &["nobody.key", "daa keys show"],
    );
}
