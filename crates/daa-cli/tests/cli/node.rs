//! Nodes as processes: four of them agree, and work for a run.

use crate::support::{Ended, Place, Running, clouds, end, short, signal};
use std::net::TcpListener;
use std::process::{Child, Stdio};

/// A run that is still under way when four nodes have joined on a busy machine.
const LONG_ENOUGH: [&str; 9] = [
    "run",
    "--data",
    "clouds.csv",
    "--device",
    "cpu",
    "--epochs-budget",
    "600",
    "--agents",
    "4",
];

/// A port that is free, with the next one free too: a node listens at both.
fn port() -> u16 {
    loop {
        let first = TcpListener::bind("127.0.0.1:0").expect("a port");
        let port = first.local_addr().expect("bound").port();
        let next = port
            .checked_add(1)
            .map(|next| TcpListener::bind(("127.0.0.1", next)));
        if let Some(Ok(_)) = next
            && port.checked_add(2).is_some()
        {
            return port;
        }
    }
}

/// Keys and a genesis for nodes that listen at `ports`.
fn found(place: &Place, ports: &[u16]) {
    let mut genesis: Vec<String> = ["genesis", "new", "genesis.json", "--operator", "operator.key"]
        .map(str::to_owned)
        .to_vec();
    place.json(&["keys", "new", "operator.key", "-o", "json"]);
    for at in 0..ports.len() {
        let key = format!("node{at}.key");
        place.json(&["keys", "new", &key, "-o", "json"]);
        genesis.extend(["--validator".to_owned(), key]);
    }
    genesis.extend(["-o", "json"].map(str::to_owned));
    let genesis: Vec<&str> = genesis.iter().map(String::as_str).collect();
    assert_eq!(place.json(&genesis)["tolerated_power"], 1);
}

/// The command line of the node that listens at the port `at`.
fn node(ports: &[u16], at: usize) -> Vec<String> {
    let address = |port: &u16| format!("127.0.0.1:{port}");
    let others = ports.iter().filter(|port| **port != ports[at]);
    let others: Vec<String> = others.map(address).collect();
    let flags = [
        ("--genesis", "genesis.json".to_owned()),
        ("--key", format!("node{at}.key")),
        ("--folder", format!("node{at}")),
        ("--listen", address(&ports[at])),
        ("--device", "cpu".to_owned()),
        ("--threads", "1".to_owned()),
        ("-o", "json".to_owned()),
    ];
    let peers = (!others.is_empty()).then(|| ("--peer", others.join(",")));
    let flags = flags
        .into_iter()
        .chain(peers)
        .flat_map(|(flag, value)| [flag.to_owned(), value]);
    ["node".to_owned()].into_iter().chain(flags).collect()
}

fn start(place: &Place, ports: &[u16], at: usize) -> Child {
    let args = node(ports, at);
    let args: Vec<&str> = args.iter().map(String::as_str).collect();
    let mut command = place.daa(&args);
    command
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .expect("started")
}

fn status(ended: &Ended) -> serde_json::Value {
    assert_eq!(ended.code, Some(0), "{ended:?}");
    serde_json::from_str(&ended.stdout).unwrap_or_else(|error| panic!("{error}: {ended:?}"))
}

#[test]
fn four_nodes_train_for_a_run_and_one_may_die() {
    let place = clouds();
    let ports: Vec<u16> = (0..4).map(|_| port()).collect();
    found(&place, &ports);
    let mut nodes: Vec<Child> = (0..4).map(|at| start(&place, &ports, at)).collect();
    let address = format!("127.0.0.1:{}", ports[0]);
    // The genesis and the key are those of the node that listens there, as soon as it does.
    let join = [
        "--join",
        &address,
        "--genesis",
        "genesis.json",
        "--key",
        "node0.key",
    ];
    let args = [&LONG_ENOUGH[..], &["--out", "together"], &join].concat();
    let mut run = Running::start(&place, &[&args[..], &["-o", "json"]].concat());
    let mut joined = 0;
    run.until(|line| {
        joined += usize::from(line.contains(" joins with "));
        joined == 4
    });
    run.until(|line| line.contains("got lease"));
    let dead = nodes.remove(2);
    signal(dead.id(), "KILL");
    assert_eq!(end(dead).code, None);
    let ended = run.end();
    assert_eq!(ended.code, Some(0), "{ended:?}");
    let summary: serde_json::Value = serde_json::from_str(&ended.stdout).expect("one object");
    assert_eq!(summary["agreement"]["validators"], 4);
    let agreement = &summary["agreement"];
    let leases = summary["leases"]["granted"].as_u64().expect("a number");
    // The run's own replica counts: each lease has a block, and each block's certificate is checked.
    assert!(agreement["blocks"].as_u64() >= Some(leases / 4), "{summary}");
    assert!(agreement["signature_checks"].as_u64() > Some(0), "{summary}");
    assert!(summary["leases"]["granted"].as_u64() > Some(2), "{summary}");
    let alone = place.run(&[&LONG_ENOUGH[..], &["--out", "alone"]].concat());
    assert_eq!(alone.code, Some(0), "{alone:?}");
    let model = |run: &str| place.read(&format!("{run}/model.safetensors"));
    assert_eq!(model("together"), model("alone"));
    for node in &nodes {
        signal(node.id(), "TERM");
    }
    for node in nodes {
        let status = status(&end(node));
        assert!(status["height"].as_u64() > Some(3), "{status}");
        assert_eq!(status["leased"], 0, "{status}");
    }
}

#[test]
fn the_ledger_shares_one_place_between_runs_of_two_owners() {
    let place = clouds();
    let port = port();
    for key in ["operator", "node0", "guest"] {
        place.json(&["keys", "new", &format!("{key}.key"), "-o", "json"]);
    }
    place.json(&[
        "genesis",
        "new",
        "genesis.json",
        "--operator",
        "operator.key",
        "--validator",
        "node0.key",
        "--member",
        "node0.key=1",
        "--member",
        "guest.key=2",
        "-o",
        "json",
    ]);
    let args = node(&[port], 0);
    let args: Vec<&str> = args.iter().map(String::as_str).collect();
    let mut node = Running::start(&place, &args);
    node.until(|line| line.contains("it takes part"));
    let address = format!("127.0.0.1:{port}");
    let job = [
        "run",
        "--data",
        "clouds.csv",
        "--epochs-budget",
        "150",
        "-o",
        "json",
    ];
    let join = |key: &str, out: &str| {
        let join = [
            "--join",
            &address,
            "--genesis",
            "genesis.json",
            "--key",
            key,
            "--out",
            out,
        ];
        let mut run = Running::start(&place, &[&job[..], &join].concat());
        run.until(|line| line.contains("got lease"));
        run
    };
    let runs = [join("node0.key", "first"), join("guest.key", "second")];
    place.json(&[&job[..], &["--device", "cpu", "--out", "alone"]].concat());
    let model = |run: &str| place.read(&format!("{run}/model.safetensors"));
    for (run, out) in runs.into_iter().zip(["first", "second"]) {
        let ended = run.end();
        assert_eq!(ended.code, Some(0), "{ended:?}");
        assert_eq!(model(out), model("alone"));
        let events = String::from_utf8(place.read(&format!("{out}/events.jsonl"))).expect("text");
        let queued = events.lines().filter(|line| line.contains("lease_queued"));
        assert!(queued.count() > 0, "{out} never waited for the other");
    }
    signal(node.child.id(), "TERM");
    let status = status(&node.end());
    assert_eq!(status["leased"], 0, "{status}");
}

#[test]
fn what_does_not_fit_is_told_with_its_range() {
    let place = Place::new();
    found(&place, &[port(), 1, 2, 3]);
    let refused = |args: &[&str], code, word: &str| {
        let ended = place.run(args);
        assert_eq!(ended.code, Some(code), "{args:?}: {ended:?}");
        assert!(ended.stderr.contains(word), "{args:?}: {ended:?}");
        assert_eq!(ended.stdout, "", "{args:?}");
    };
    let node = ["node", "--genesis", "genesis.json", "--key", "node0.key"];
    for (flags, word) in [
        (["--trust", "local"], "4 validators"),
        (["--listen", "127.0.0.1:65535"], "65534"),
        (["--agents", "33"], "1 to 32"),
        (["--device", "cpu,cpu"], "each device once"),
    ] {
        refused(&[&node[..], &flags].concat(), 2, word);
    }
    for (genesis, key, word) in [
        ("genesis.json", "operator.key", "no member"),
        ("none.json", "node0.key", "none.json"),
    ] {
        refused(&["node", "--genesis", genesis, "--key", key], 3, word);
    }
    for (flags, word) in [
        (["--join", "127.0.0.1:7000"], "--genesis"),
        (["--genesis", "genesis.json"], "--join"),
        (["--join", "somewhere:7000"], "no address"),
    ] {
        refused(&[&["run"][..], &flags].concat(), 2, word);
    }
    refused(&["run", "--knowledge"], 2, "--knowledge goes with --join");
}

#[test]
fn a_node_needs_addresses_and_a_folder_of_its_own() {
    let place = Place::new();
    let ports: Vec<u16> = (0..4).map(|_| port()).collect();
    found(&place, &ports);
    for taken in [ports[0], ports[0] + 1] {
        let _other = TcpListener::bind(("127.0.0.1", taken)).expect("free a moment ago");
        let ended = end(start(&place, &ports, 0));
        assert_eq!(ended.code, Some(3), "{ended:?}");
        let told = format!("cannot listen at 127.0.0.1:{taken}: ");
        assert!(ended.stderr.contains(&told), "{ended:?}");
    }
    let args = node(&ports, 0);
    let args: Vec<&str> = args.iter().map(String::as_str).collect();
    let mut running = Running::start(&place, &args);
    running.until(|line| line.contains("listens at"));
    signal(running.child.id(), "TERM");
    let status = status(&running.end());
    let file: serde_json::Value = serde_json::from_slice(&place.read("node0/status.json")).expect("JSON");
    assert_eq!(file, status, "what is printed is what the file says");
    let other = place.run(&[
        "node",
        "--genesis",
        "genesis.json",
        "--key",
        "node1.key",
        "--folder",
        "node0",
        "--device",
        "cpu",
    ]);
    assert_eq!(other.code, Some(3), "{other:?}");
    assert!(other.stderr.contains("node0 is the folder of node"), "{other:?}");
}

#[test]
fn what_nodes_cannot_do_is_refused() {
    let place = clouds();
    found(&place, &[port(), 1, 2, 3]);
    let join = [
        "run",
        "--data",
        "clouds.csv",
        "--join",
        "127.0.0.1:1",
        "--genesis",
        "genesis.json",
        "--key",
        "node0.key",
    ];
    for (flags, word) in [
        (["--verify", "repeat"], "verify is repeat"),
        (["--device", "software"], "device is software"),
    ] {
        let ended = place.run(&[&join[..], &flags].concat());
        assert_eq!(ended.code, Some(2), "{ended:?}");
        assert!(ended.stderr.contains(word), "{ended:?}");
    }
    let genesis = String::from_utf8(place.read("genesis.json")).expect("text");
    let strict = genesis.replace("\"consensus_threshold\": 0", "\"consensus_threshold\": 900");
    assert_ne!(strict, genesis);
    place.write("strict.json", strict);
    let ended = place.run(&["genesis", "check", "strict.json"]);
    assert_eq!(ended.code, Some(3), "{ended:?}");
    assert!(ended.stderr.contains("900/1000"), "{ended:?}");
}

#[test]
fn the_operator_changes_what_the_ledger_says_and_nobody_else() {
    let place = Place::new();
    let port = port();
    for key in ["operator", "node0", "late"] {
        place.json(&["keys", "new", &format!("{key}.key"), "-o", "json"]);
    }
    let genesis = [
        "genesis",
        "new",
        "genesis.json",
        "--operator",
        "operator.key",
        "--validator",
        "node0.key",
        "-o",
        "json",
    ];
    place.json(&genesis);
    let args = node(&[port], 0);
    let args: Vec<&str> = args.iter().map(String::as_str).collect();
    let mut running = Running::start(&place, &args);
    running.until(|line| line.contains("it takes part"));
    let reach = format!("127.0.0.1:{port}");
    let reach = ["--join", &reach, "-o", "json"];
    let operator = ["--genesis", "genesis.json", "--key", "operator.key"];
    let by_operator = |words: &[&str]| place.json(&[&["ledger"], words, &reach[..], &operator].concat());
    let done = by_operator(&[
        "quota",
        "7",
        "--nominal",
        "1GiB/500",
        "--cohort",
        "1",
        "--weight",
        "2",
    ]);
    assert!(
        done["done"].as_str().is_some_and(|text| text.contains("owner-7")),
        "{done}"
    );
    by_operator(&["policy", "fair"]);
    by_operator(&["member", "late.key", "--agent", "9", "--owner", "7"]);
    // Genesis and key are those of the node on this machine.
    let shown = place.json(&[&["ledger", "show"], &reach[..]].concat());
    assert_eq!(shown["policy"], "fair");
    assert_eq!(shown["quotas"][0]["nominal"]["share"], 500);
    let agents = shown["agents"].as_array().expect("a list");
    assert!(
        agents.iter().any(|one| one["agent"] == 9 && one["owner"] == 7),
        "{shown}"
    );
    assert_eq!(shown["devices"].as_array().map(Vec::len), Some(1), "{shown}");
    by_operator(&["remove", "9"]);
    let last_vote = [&["validator", "node0.key", "0"][..], &operator].concat();
    for words in [&["policy", "queue"][..], &["remove", "1"], &last_vote] {
        let ended = place.run(&[&["ledger"], words, &reach[..]].concat());
        assert_eq!(ended.code, Some(3), "{words:?}: {ended:?}");
        assert!(
            ended.stderr.contains("the ledger refuses: "),
            "{words:?}: {ended:?}"
        );
    }
    signal(running.child.id(), "TERM");
    assert_eq!(running.end().code, Some(0));
}

/// A node of its own ledger, where one sequencer gives the order: there is nobody to agree with. Returned when it takes part.
fn start_alone(place: &Place, listen: &str) -> Running {
    let args = [
        "node",
        "--genesis",
        "genesis.json",
        "--key",
        "node.key",
        "--listen",
        listen,
        "--device",
        "cpu",
        "--threads",
        "1",
        "-o",
        "json",
    ];
    let mut node = Running::start(place, &args);
    node.until(|line| line.contains("it takes part"));
    node
}

/// The key and the genesis for [`start_alone`]; the public key.
fn found_alone(place: &Place) -> String {
    place.json(&["keys", "new", "node.key", "-o", "json"]);
    let public = place.json(&["keys", "show", "node.key", "-o", "json"]);
    let public = public["public"].as_str().expect("a key").to_owned();
    let member = format!("{public}=1");
    let genesis = [
        "genesis",
        "new",
        "genesis.json",
        "--operator",
        "node.key",
        "--member",
        &member,
        "-o",
        "json",
    ];
    place.json(&genesis);
    public
}

/// A run long enough to try suggestions, on the node that listens there.
fn run_at(place: &Place, listen: &str, out: &str, more: &[&str]) -> serde_json::Value {
    let args = ["--epochs-budget", "200", "--join", listen, "-o", "json"];
    let ended = place.run(&[&short(out, &[])[..5], &["--out", out], &args, more].concat());
    assert_eq!(ended.code, Some(0), "{ended:?}");
    serde_json::from_str(&ended.stdout).expect("one object")
}

/// What the weight of whoever is new becomes by one report.
fn weight_after(thousandths: i64) -> i64 {
    match thousandths {
        ..-50 => 50,
        -50..=0 => 100,
        _ => 100 + 20 * thousandths / 1000,
    }
}

#[test]
fn runs_of_one_owner_learn_from_each_other_through_its_node() {
    let place = clouds();
    let node_key = found_alone(&place);
    let listen = format!("127.0.0.1:{}", port());
    let mut node = start_alone(&place, &listen);
    let run = |out: &str, seed: &str, more: &[&str]| {
        run_at(&place, &listen, out, &[&["--seed", seed], more].concat())
    };
    let first = run("first", "1", &["--knowledge"]);
    assert_eq!(
        first["knowledge"]["suggestions"],
        serde_json::json!([]),
        "{first}"
    );
    let told = &first["knowledge"]["told"];
    assert_eq!(told["node"], node_key.as_str(), "{first}");
    assert!(told["recipes"].as_u64() > Some(0), "{first}");
    // The node remembers after a restart.
    signal(node.child.id(), "TERM");
    let status_before = status(&node.end());
    let known = &status_before["knowledge"];
    assert_eq!(known["insights"], 1, "{status_before}");
    assert_eq!(known["authors"][0]["weight"], 100, "{status_before}");
    node = start_alone(&place, &listen);
    let second = run("second", "2", &["--knowledge"]);
    let knowledge = &second["knowledge"];
    let suggested = &knowledge["suggestions"][0];
    assert_eq!(suggested["author"], node_key.as_str(), "{second}");
    assert_eq!(suggested["version"], told["version"], "{second}");
    assert!(suggested["score"].as_f64() > Some(0.0), "it was tried: {second}");
    assert_eq!(knowledge["measured"][0]["counted"], true, "{second}");
    assert_eq!(knowledge["not_shared"], serde_json::json!([]), "{second}");
    let report = String::from_utf8(place.read("second/report.html")).expect("text");
    assert!(report.contains("Shared knowledge") && report.contains(&node_key[..8]));
    // Without the flag, the run is that of one process.
    let plain = run("plain", "2", &[]);
    assert_eq!(plain.get("knowledge"), None, "{plain}");
    let alone = [
        &short("alone", &[])[..5],
        &["--epochs-budget", "200", "--seed", "2", "--out", "alone"],
    ]
    .concat();
    assert_eq!(place.run(&alone).code, Some(0));
    let model = |run: &str| place.read(&format!("{run}/model.safetensors"));
    assert_eq!(model("plain"), model("alone"));
    signal(node.child.id(), "TERM");
    let status = status(&node.end());
    let points = knowledge["measured"][0]["thousandths"]
        .as_i64()
        .expect("a number");
    let weight = status["knowledge"]["authors"][0]["weight"]
        .as_i64()
        .expect("a number");
    assert_eq!(weight, weight_after(points), "{status}");
}

#[test]
fn a_run_names_the_join_that_would_share_a_device_of_this_machine() {
    let place = clouds();
    found_alone(&place);
    let port = port();
    let listen = format!("127.0.0.1:{port}");
    let node = start_alone(&place, &listen);
    let told = place.run(&short("alone", &[]));
    let join = format!("daa run --join /ip4/127.0.0.1/tcp/{port}");
    assert!(told.stderr.contains(&join), "{told:?}");
    // Two runs at once, both known by this machine's key, share the one place of the node.
    let runs = ["first", "second"].map(|out| Running::start(&place, &short(out, &["--join", &listen])));
    for run in runs {
        let ended = run.end();
        assert_eq!(ended.code, Some(0), "{ended:?}");
        assert!(!ended.stderr.contains("is taken from node"), "{ended:?}");
    }
    let model = |run: &str| place.read(&format!("{run}/model.safetensors"));
    assert_eq!(model("first"), model("alone"));
    assert_eq!(model("second"), model("alone"));
    signal(node.child.id(), "TERM");
    assert_eq!(node.end().code, Some(0));
}
