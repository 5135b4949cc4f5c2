//! Network namespaces with an address each, on one bridge; all gone when dropped.

use crate::failure::{Failure, Outcome};
use crate::process;
use std::process::{Command, id};

pub(super) struct Hosts {
    names: Vec<String>,
    hub: String,
}

impl Hosts {
    pub(super) fn new(count: usize) -> Result<Self, Failure> {
        let hosts = Self {
            names: (1..=count).map(|at| format!("daa-{}-{at}", id())).collect(),
            hub: format!("daa-{}-hub", id()),
        };
        hosts.make().map_err(|failure: Failure| {
            failure.hint("this needs Linux with network namespaces, root, and `ip` (package iproute2)")
        })?;
        Ok(hosts)
    }

    fn make(&self) -> Outcome {
        ip(&["netns", "add", &self.hub])?;
        ip(&["-n", &self.hub, "link", "add", "br0", "type", "bridge"])?;
        ip(&["-n", &self.hub, "link", "set", "br0", "up"])?;
        for (at, name) in self.names.iter().enumerate() {
            let port = Self::port(at);
            ip(&["netns", "add", name])?;
            ip(&[
                "-n", &self.hub, "link", "add", &port, "type", "veth", "peer", "name", "eth0", "netns", name,
            ])?;
            ip(&["-n", &self.hub, "link", "set", &port, "master", "br0", "up"])?;
            let address = format!("{}/24", Self::address(at));
            ip(&["-n", name, "address", "add", &address, "dev", "eth0"])?;
            ip(&["-n", name, "link", "set", "eth0", "up"])?;
            ip(&["-n", name, "link", "set", "lo", "up"])?;
        }
        Ok(())
    }

    fn port(at: usize) -> String {
        format!("port{at}")
    }

    pub(super) fn address(at: usize) -> String {
        format!("10.77.0.{}", at + 1)
    }

    /// `program` on host `at`; the process is the program itself.
    pub(super) fn command(&self, at: usize, program: &std::path::Path) -> Command {
        let mut command = Command::new("ip");
        command.args(["netns", "exec", &self.names[at]]).arg(program);
        command
    }

    pub(super) fn cut(&self, at: usize) -> Outcome {
        ip(&["-n", &self.hub, "link", "set", &Self::port(at), "down"])
    }

    pub(super) fn heal(&self, at: usize) -> Outcome {
        ip(&["-n", &self.hub, "link", "set", &Self::port(at), "up"])
    }
}

impl Drop for Hosts {
    fn drop(&mut self) {
        for name in self.names.iter().chain([&self.hub]) {
            let _gone = process::succeeds(Command::new("ip").args(["netns", "del", name]));
        }
    }
}

fn ip(args: &[&str]) -> Outcome {
    process::run(Command::new("ip").args(args))
}
