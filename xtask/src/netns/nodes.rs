//! Nodes and runs as processes on the hosts.

use super::hosts::Hosts;
use super::io;
use crate::ci::now;
use crate::failure::{Failure, Outcome};
use crate::process;
use serde_json::Value;
use std::fs::{self, File};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

const PORT: u16 = 9000;

/// Time between two looks.
const LOOK_EVERY: Duration = Duration::from_millis(200);

/// Waits between two looks at something that tells nobody when it changes.
#[expect(
    clippy::disallowed_methods,
    reason = "a file of another process tells nobody when it changes"
)]
pub(super) fn pause(time: Duration) {
    std::thread::sleep(time);
}

/// Keys, a genesis, and a folder for everything.
pub(super) struct Lab<'a> {
    program: PathBuf,
    folder: PathBuf,
    hosts: &'a Hosts,
}

impl<'a> Lab<'a> {
    pub(super) fn new(program: &Path, folder: &Path, hosts: &'a Hosts) -> Result<Self, Failure> {
        let lab = Self {
            program: program.to_owned(),
            folder: folder.to_owned(),
            hosts,
        };
        for name in (0..super::NODES)
            .map(|at| format!("node{at}"))
            .chain(["operator".to_owned()])
        {
            lab.make(&["keys".as_ref(), "new".as_ref(), lab.key(&name).as_os_str()])?;
        }
        let mut command = Command::new(&lab.program);
        command
            .args(["genesis", "new", "--name", "four hosts", "--operator"])
            .arg(lab.key("operator"));
        for at in 0..super::NODES {
            command.arg("--validator").arg(lab.key(&format!("node{at}")));
        }
        command.arg(lab.genesis()).args(["-q", "-o", "json"]);
        process::capture(&mut command)?;
        Ok(lab)
    }

    fn make(&self, args: &[&std::ffi::OsStr]) -> Outcome {
        process::capture(Command::new(&self.program).args(args).arg("-q")).map(drop)
    }

    fn key(&self, name: &str) -> PathBuf {
        self.folder.join(format!("{name}.key"))
    }

    fn genesis(&self) -> PathBuf {
        self.folder.join("genesis.json")
    }

    fn spawn(&self, at: usize, log: &str, arguments: impl FnOnce(&mut Command)) -> Result<Child, Failure> {
        let path = self.folder.join(log);
        let log = File::create(&path).map_err(|error| io("make", &path, &error))?;
        let mut command = self.hosts.command(at, &self.program);
        arguments(&mut command);
        command
            .env("DAA_INVITES", "off")
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(log);
        let child = command.spawn();
        child.map_err(|error| Failure::new(format!("cannot start a process on host {at}: {error}")))
    }

    pub(super) fn start(&self, at: usize) -> Result<Node, Failure> {
        let folder = self.folder.join(format!("node{at}"));
        let child = self.spawn(at, &format!("node{at}.log"), |command| {
            command.args(["node", "-v", "--device", "cpu", "--threads", "1"]);
            command.arg("--genesis").arg(self.genesis());
            command.arg("--key").arg(self.key(&format!("node{at}")));
            command.arg("--folder").arg(&folder);
            command.args(["--listen", &format!("{}:{PORT}", Hosts::address(at))]);
            for other in (0..super::NODES).filter(|other| *other != at) {
                command.args(["--peer", &format!("{}:{PORT}", Hosts::address(other))]);
            }
        })?;
        Ok(Node {
            name: format!("node{at}"),
            child,
            file: folder.join("status.json"),
        })
    }

    /// Starts a run on host `at` that joins the node there.
    pub(super) fn lead(&self, at: usize, job: &[String]) -> Result<Run, Failure> {
        let child = self.spawn(at, "run.log", |command| {
            command.args(["run", "-v", "--join", &format!("{}:{PORT}", Hosts::address(at))]);
            command.arg("--genesis").arg(self.genesis());
            command.arg("--key").arg(self.key(&format!("node{at}")));
            command.arg("--out").arg(self.folder.join("run")).args(job);
        })?;
        Ok(Run { child })
    }
}

pub(super) struct Node {
    name: String,
    child: Child,
    file: PathBuf,
}

impl Node {
    /// What the node says of itself; null before it has said anything.
    pub(super) fn status(&self) -> Value {
        let text = fs::read_to_string(&self.file).unwrap_or_default();
        serde_json::from_str(&text).unwrap_or(Value::Null)
    }

    pub(super) fn wait(&self, what: &str, longest: Duration, is: impl Fn(&Value) -> bool) -> Outcome {
        let until = now() + longest;
        while now() < until {
            if is(&self.status()) {
                return Ok(());
            }
            pause(LOOK_EVERY);
        }
        Err(Failure::new(format!(
            "{} never {what}: {}",
            self.name,
            self.status()
        )))
    }

    /// Waits for as long as `run` is under way.
    pub(super) fn wait_while(&self, what: &str, run: &mut Run, is: impl Fn(&Value) -> bool) -> Outcome {
        while run.is_under_way()? {
            if is(&self.status()) {
                return Ok(());
            }
            pause(LOOK_EVERY);
        }
        Err(
            Failure::new(format!("{} never {what} before the job was over", self.name))
                .hint("give a larger --epochs-budget"),
        )
    }

    /// Ends it as a power cut would.
    pub(super) fn kill(mut self) -> Outcome {
        let killed = self.child.kill().and_then(|()| self.child.wait());
        killed.map_err(|error| Failure::new(format!("cannot kill {}: {error}", self.name)))?;
        Ok(())
    }
}

impl Drop for Node {
    fn drop(&mut self) {
        let _gone = self.child.kill();
        let _gone = self.child.wait();
    }
}

pub(super) struct Run {
    child: Child,
}

impl Run {
    /// Whether it is; an error when it has failed.
    fn is_under_way(&mut self) -> Result<bool, Failure> {
        let ended = self.child.try_wait();
        match ended.map_err(|error| Failure::new(format!("cannot watch the run: {error}")))? {
            None => Ok(true),
            Some(status) if status.success() => Ok(false),
            Some(status) => Err(Failure::new(format!("the run failed ({status}): see run.log"))),
        }
    }

    /// Waits until then, also when the job is over before.
    pub(super) fn wait_until(&mut self, until: Instant) -> Outcome {
        while now() < until {
            self.is_under_way()?;
            pause(LOOK_EVERY);
        }
        Ok(())
    }

    pub(super) fn finish(&mut self, longest: Duration) -> Outcome {
        let until = now() + longest;
        while self.is_under_way()? {
            if now() >= until {
                return Err(Failure::new(format!(
                    "the job did not finish within {} s",
                    longest.as_secs()
                )));
            }
            pause(LOOK_EVERY);
        }
        Ok(())
    }
}

impl Drop for Run {
    fn drop(&mut self) {
        let _gone = self.child.kill();
        let _gone = self.child.wait();
    }
}
