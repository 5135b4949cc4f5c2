//! `daa node`: takes part in a ledger and lends devices, until it is asked to stop.

use crate::args::{Global, NodeArgs, Output};
use crate::exit::{Exit, Failure};
use crate::invite::{self, Invite, NodeInvite, Posted};
use crate::messages::Messages;
use crate::signals::Signals;
use crate::{cache, genesis, keys, output};
use anyhow::Context as _;
use daa_agent::node::agents_address;
use daa_agent::{Node, NodeConfig, NodeStatus, StopHandle};
use daa_base::SystemClock;
use std::path::absolute;
use std::sync::Arc;
use std::time::Duration;

/// Time between two looks at whether the node still follows its ledger.
const LOOK_EVERY: Duration = Duration::from_secs(1);

/// Looks after which people are told that the node does not take part.
const PATIENT_LOOKS: u32 = 10;

pub(crate) fn command(global: &Global, args: &NodeArgs, messages: &Messages) -> Result<Exit, Failure> {
    let config = config(args)?;
    let stop = StopHandle::new();
    let _signals = listen(&stop, messages)?;
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .enable_all()
        .build()
        .context("cannot start the threads of the node")
        .map_err(|error| Failure::new(Exit::Unexpected, error))?;
    let (status, ended) = runtime.block_on(Box::pin(live(config, args, messages, &stop)))?;
    if let Some(reason) = ended {
        let failure = Failure::text(
            Exit::Unexpected,
            format!("the node follows its ledger no more: {reason}"),
        );
        return Err(failure.with_hint("start it again: what was decided is kept"));
    }
    match global.output {
        Output::Json => output::json(&status)?,
        Output::Text => output::text(&text(&status))?,
    }
    // It was asked to stop, which is how a node ends.
    Ok(Exit::Done)
}

async fn live(
    config: NodeConfig,
    args: &NodeArgs,
    messages: &Messages,
    stop: &StopHandle,
) -> Result<(NodeStatus, Option<String>), Failure> {
    let lock = config.folder.join("lock");
    let node = Node::start(config, Arc::new(SystemClock::new())).await?;
    let status = node.status();
    let _posted = post(args, &lock, &status);
    messages.note(&format!(
        "node {:.8} listens at {}, and for agents at the next port; Ctrl-C ends it",
        status.node, args.listen
    ));
    let mut look = tokio::time::interval(LOOK_EVERY);
    let mut takes_part = false;
    let (mut looks, mut waits) = (0_u32, false);
    let ended = loop {
        tokio::select! {
            _ = stop.stopped() => break None,
            _ = look.tick() => {}
        }
        if let Some(reason) = node.ended() {
            break Some(reason);
        }
        let now = node.status();
        looks += 1;
        if now.places > 0 && !takes_part {
            takes_part = true;
            let (places, devices) = (now.places, status.devices.join(" and "));
            messages.note(&format!("it takes part: {places} at a time on {devices}"));
        } else if now.places == 0 && looks >= PATIENT_LOOKS && !waits {
            waits = true;
            messages.note(&format!(
                "it does not take part yet: {} are connected, and the last block is {}; a quorum of the {} validators has to \
                 answer",
                now.peers.len(),
                now.height,
                now.validators
            ));
        }
    };
    Ok((node.stop().await, ended))
}

fn post(args: &NodeArgs, lock: &std::path::Path, status: &NodeStatus) -> Posted {
    let whole = |path: &std::path::Path| absolute(path).unwrap_or_else(|_| path.to_owned());
    invite::post(&Invite {
        pid: std::process::id(),
        lock: whole(lock),
        devices: status.devices.join(" and "),
        node: Some(NodeInvite {
            address: args.listen.to_string(),
            genesis: whole(&args.genesis),
            key: whole(&args.key),
        }),
    })
}

fn config(args: &NodeArgs) -> Result<NodeConfig, Failure> {
    for address in args.peers.iter().chain([&args.listen]) {
        agents_address(address).map_err(|error| {
            Failure::new(Exit::Usage, error).with_hint("`daa help node` lists all flags and their values")
        })?;
    }
    let genesis = genesis::load(&args.genesis)?;
    let key = keys::secret(&args.key)?;
    let mut config = NodeConfig::new(genesis, key, args.listen.clone(), args.folder.clone());
    config.peers.clone_from(&args.peers);
    config.trust = args.trust.into();
    config.devices.clone_from(&args.devices);
    config.memory_limit = args.memory_limit;
    config.threads = args.threads;
    config.slots = args.agents.unwrap_or(args.devices.len());
    config.mdns = args.mdns;
    config.pipeline_cache = cache::folder(|name| std::env::var_os(name));
    Ok(config)
}

fn listen(stop: &StopHandle, messages: &Messages) -> Result<Signals, Failure> {
    let (stop, messages) = (stop.clone(), messages.clone());
    let on_first = move |signal: &'static str| {
        stop.stop(signal);
        messages.note(&format!("{signal}: giving back leases; once more ends at once"));
    };
    let listening = Signals::listen(on_first).context("cannot listen for signals");
    listening.map_err(|error| Failure::new(Exit::Unexpected, error))
}

fn text(status: &NodeStatus) -> String {
    output::fields(&[
        ("node", status.node.clone()),
        ("chain", status.chain.clone()),
        ("last block", status.height.to_string()),
        ("state", status.state.clone()),
        ("validators", status.validators.to_string()),
        ("lent", format!("{} of {}", status.leased, status.capacity)),
        ("knowledge", knowledge(status)),
    ])
}

/// What it knows, and by whom.
fn knowledge(status: &NodeStatus) -> String {
    let known = &status.knowledge;
    let authors = known.authors.iter();
    let authors: Vec<String> = authors
        .map(|one| format!("{:.8} ({}, weight {})", one.author, one.insights, one.weight))
        .collect();
    if authors.is_empty() {
        return "nothing".to_owned();
    }
    format!("{} insights, by {}", known.insights, authors.join(", "))
}
