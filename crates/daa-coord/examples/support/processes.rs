//! Validators of one chain as processes of their own over the loopback interface, each with its keys, files and connections.

use daa_base::{Clock, Seed};
use daa_coord::log::bft::{public_keys, validator_keys};
use daa_coord::log::engine::{EngineConfig, EngineNode};
use daa_coord::{AgentKey, Genesis, LedgerConfig, ShortText, ValidatorSet};
use std::error::Error;
use std::net::TcpListener;
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStdin, ChildStdout, Stdio};
use std::sync::Arc;

pub(crate) const NODES: usize = 4;

pub(crate) type Outcome<T> = Result<T, Box<dyn Error>>;

/// A free port for each node. Below those that systems give to outgoing connections, so that nobody takes the port of a node
/// that is down.
pub(crate) fn free_ports() -> Outcome<Vec<String>> {
    let first = 15_000 + (std::process::id() % 10_000) as u16;
    let ports = (first..first + 5_000).filter(|&port| TcpListener::bind(("127.0.0.1", port)).is_ok());
    let ports: Vec<String> = ports.take(NODES).map(|port| port.to_string()).collect();
    if ports.len() < NODES {
        return Err("no free ports".into());
    }
    Ok(ports)
}

/// Starts this program once more as node number `at`; its first argument is then `node`.
pub(crate) fn spawn(at: usize, ports: &[String], folder: &Path) -> Outcome<(Child, ChildStdin, ChildStdout)> {
    let mut child = std::process::Command::new(std::env::current_exe()?)
        .arg("node")
        .arg(at.to_string())
        .arg(folder)
        .args(ports)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()?;
    let input = child.stdin.take().ok_or("no input")?;
    let output = child.stdout.take().ok_or("no output")?;
    Ok((child, input, output))
}

/// Where a node keeps its files.
pub(crate) fn folder_of(folder: &Path, at: usize) -> PathBuf {
    folder.join(format!("node-{at}"))
}

/// What all processes of a run know.
pub(crate) struct Cast {
    pub(crate) genesis: Genesis,
    pub(crate) operator: AgentKey,
    keys: Vec<AgentKey>,
}

impl Cast {
    pub(crate) fn new(name: &str, config: LedgerConfig) -> Outcome<Self> {
        let keys = validator_keys(&Seed(1).stream("validators"), NODES);
        let operator = AgentKey::from_stream(&Seed(1).stream("operator"));
        let genesis = Genesis::new(ShortText::new(name)?, operator.public(), config)?
            .with_validators(ValidatorSet::equal(public_keys(&keys))?);
        Ok(Self {
            genesis,
            operator,
            keys,
        })
    }

    /// Runs the node that `arguments`, those of [`spawn`] behind `node`, say.
    pub(crate) fn start(&self, arguments: &[String], clock: Arc<dyn Clock>) -> Outcome<EngineNode> {
        let at: usize = arguments[0].parse()?;
        let mut peers = Vec::new();
        for port in &arguments[2..] {
            peers.push(format!("/ip4/127.0.0.1/tcp/{port}").parse()?);
        }
        let listen = peers.remove(at);
        let folder = folder_of(Path::new(&arguments[1]), at);
        let config = EngineConfig::new(listen, peers, folder);
        Ok(EngineNode::start(
            &self.genesis,
            self.keys[at].clone(),
            config,
            clock,
        )?)
    }
}
