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

fn start(place: &Place, ports: &[u16], at: usize) -> Child {
    let (key, folder) = (format!("node{at}.key"), format!("node{at}"));
    let address = |port: &u16| format!("127.0.0.1:{port}");
    let mut args = vec![
        "node",
        "--genesis",
        "genesis.json",
        "--device",
        "cpu",
        "--threads",
        "1",
        "-o",
        "json",
    ];
    let others: Vec<String> = ports
        .iter()
        .filter(|port| **port != ports[at])
        .map(address)
        .collect();
    let (own, others) = (address(&ports[at]), others.join(","));
    args.extend([
        "--key", &key, "--folder", &folder, "--listen", &own, "--peer", &others,
    ]);
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
fn what_does_not_fit_is_told_with_its_range() {
    let place = Place::new();
    found(&place, &[port(), 1, 2, 3]);
    for (args, code, word) in [
        (
            &["node", "--genesis", "genesis.json", "--key", "operator.key"][..],
            3,
            "no member",
        ),
        (
            &[
                "node",
                "--genesis",
                "genesis.json",
                "--key",
                "node0.key",
                "--trust",
                "local",
            ],
            2,
            "4 validators",
        ),
        (
            &[
                "node",
                "--genesis",
                "genesis.json",
                "--key",
                "node0.key",
                "--listen",
                "127.0.0.1:65535",
            ],
            2,
            "65534",
        ),
        (
            &[
                "node",
                "--genesis",
                "genesis.json",
                "--key",
                "node0.key",
                "--agents",
                "33",
            ],
            2,
            "1 to 32",
        ),
        (
            &["node", "--genesis", "none.json", "--key", "node0.key"],
            3,
            "none.json",
        ),
        (&["run", "--join", "127.0.0.1:7000"], 2, "--genesis"),
        (&["run", "--genesis", "genesis.json"], 2, "--join"),
        (&["run", "--join", "somewhere:7000"], 2, "no address"),
    ] {
        let ended = place.run(args);
        assert_eq!(ended.code, Some(code), "{args:?}: {ended:?}");
        assert!(ended.stderr.contains(word), "{args:?}: {ended:?}");
        assert_eq!(ended.stdout, "", "{args:?}");
    }
}

#[test]
fn a_run_names_the_join_that_would_share_a_device_of_this_machine() {
    let place = clouds();
    // One sequencer: there is nobody to agree with.
    let port = port();
    place.json(&["keys", "new", "node.key", "-o", "json"]);
    let public = place.json(&["keys", "show", "node.key", "-o", "json"]);
    let member = format!("{}=1", public["public"].as_str().expect("a key"));
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
    let listen = format!("127.0.0.1:{port}");
    let args = [
        "node",
        "--genesis",
        "genesis.json",
        "--key",
        "node.key",
        "--listen",
        &listen,
        "--device",
        "cpu",
    ];
    let mut node = Running::start(&place, &args);
    node.until(|line| line.contains("it takes part"));
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
