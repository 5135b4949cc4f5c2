//! The program across machines: four network namespaces on this host, each with its own address, joined by a bridge.
//!
//! One job runs across four nodes while one is killed, one is cut off for half a minute, or one starts late. It must finish,
//! leave the same model bytes as in one process, and the nodes must end in equal ledgers. Needs Linux, root and `ip`.

mod hosts;
mod nodes;

use crate::ci::now;
use crate::failure::{Failure, Outcome};
use crate::{process, workspace};
use hosts::Hosts;
use nodes::{Lab, Node};
use serde_json::{Value, json};
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

const NODES: usize = 4;

/// Longest wait for anything.
const DEADLINE: Duration = Duration::from_secs(240);

/// How long a node is cut off.
const CUT: Duration = Duration::from_secs(30);

const USAGE: &str = "cargo xtask netns [kill|cut|late].. [--epochs-budget E] [-o json]; as root";

/// What is done while the job runs.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Scene {
    Kill,
    Cut,
    Late,
}

impl Scene {
    const ALL: [Self; 3] = [Self::Kill, Self::Cut, Self::Late];

    const fn name(self) -> &'static str {
        match self {
            Self::Kill => "kill",
            Self::Cut => "cut",
            Self::Late => "late",
        }
    }
}

/// Plays the scenes named in `args`, all of them without.
pub(crate) fn run(args: &[String]) -> Outcome {
    let plan = Plan::parse(args)?;
    process::run(&mut process::cargo(&[
        "build",
        "--release",
        "--quiet",
        "--package",
        "daa-cli",
    ]))?;
    let program = workspace::root().join("target").join("release").join("daa");
    let scratch = workspace::root().join("target").join("netns");
    if scratch.exists() {
        fs::remove_dir_all(&scratch).map_err(|error| io("empty", &scratch, &error))?;
    }
    fs::create_dir_all(&scratch).map_err(|error| io("make", &scratch, &error))?;
    let alone = plan.alone(&program, &scratch)?;
    let mut told = Vec::new();
    for scene in &plan.scenes {
        let folder = scratch.join(scene.name());
        let began = now();
        let ledger = plan.play(*scene, &program, &folder)?;
        let together = model(&folder.join("run"))?;
        if together != alone {
            return Err(Failure::new(format!(
                "{}: the model differs from that of one process",
                scene.name()
            )));
        }
        let seconds = began.elapsed().as_secs_f64();
        let (height, state) = ledger;
        if !plan.json {
            println!(
                "{:5} {seconds:6.1} s, the job finished with the bytes of one process; all nodes at block {height}, state {state:.16}",
                scene.name()
            );
        }
        told.push(json!({
            "scene": scene.name(), "seconds": seconds, "height": height, "state": state, "equal_model": true,
        }));
    }
    if plan.json {
        println!(
            "{}",
            json!({ "schema": "daa.netns/1", "nodes": NODES, "scenes": told })
        );
    }
    Ok(())
}

struct Plan {
    scenes: Vec<Scene>,
    epochs_budget: String,
    json: bool,
}

impl Plan {
    fn parse(args: &[String]) -> Result<Self, Failure> {
        let mut plan = Self {
            scenes: Vec::new(),
            epochs_budget: "400".to_owned(),
            json: false,
        };
        let mut args = args.iter();
        while let Some(arg) = args.next() {
            let scene = Scene::ALL.into_iter().find(|scene| scene.name() == arg);
            match (scene, arg.as_str()) {
                (Some(scene), _) => plan.scenes.push(scene),
                (None, "--epochs-budget") => {
                    plan.epochs_budget = args.next().cloned().unwrap_or_default();
                }
                (None, "-o") if args.next().is_some_and(|form| form == "json") => plan.json = true,
                _ => return Err(Failure::new(format!("{arg:?} is no scene")).hint(USAGE)),
            }
        }
        if plan.scenes.is_empty() {
            plan.scenes = Scene::ALL.to_vec();
        }
        Ok(plan)
    }

    fn job(&self) -> Vec<String> {
        let words = [
            "--data",
            "digits",
            "--seed",
            "1",
            "--device",
            "cpu",
            "--epochs-budget",
        ];
        let words = words.into_iter().map(str::to_owned);
        words.chain([self.epochs_budget.clone()]).collect()
    }

    /// The model that one process makes.
    fn alone(&self, program: &Path, scratch: &Path) -> Result<Vec<u8>, Failure> {
        let out = scratch.join("alone");
        let mut command = Command::new(program);
        command
            .args(["run", "--quiet", "--out"])
            .arg(&out)
            .args(self.job());
        command
            .env("DAA_INVITES", "off")
            .stdout(std::process::Stdio::null());
        process::run(&mut command)?;
        model(&out)
    }

    /// Height and state in which all nodes that live end.
    fn play(&self, scene: Scene, program: &Path, folder: &Path) -> Result<(u64, String), Failure> {
        fs::create_dir_all(folder).map_err(|error| io("make", folder, &error))?;
        let hosts = Hosts::new(NODES)?;
        let lab = Lab::new(program, folder, &hosts)?;
        let started = if scene == Scene::Late { NODES - 1 } else { NODES };
        let mut nodes = (0..started)
            .map(|at| lab.start(at))
            .collect::<Result<Vec<Node>, _>>()?;
        for node in &nodes {
            node.wait("takes part", DEADLINE, |status| {
                status["places"].as_u64() > Some(0)
            })?;
        }
        let mut run = lab.lead(0, &self.job())?;
        // Not the one that the run knows by its address, and not the one that is given up in another scene.
        let other = NODES - 2;
        nodes[other].wait_while("works", &mut run, |status| status["busy"].as_u64() > Some(0))?;
        match scene {
            Scene::Kill => nodes.remove(other).kill()?,
            Scene::Cut => {
                hosts.cut(other)?;
                let until = now() + CUT;
                run.wait_until(until)?;
                hosts.heal(other)?;
            }
            Scene::Late => nodes.push(lab.start(NODES - 1)?),
        }
        run.finish(DEADLINE)?;
        agree(&nodes)
    }
}

/// Waits until all nodes stand at the same block with the same state, and stay.
fn agree(nodes: &[Node]) -> Result<(u64, String), Failure> {
    let until = now() + DEADLINE;
    let mut last = Vec::new();
    while now() < until {
        let now: Vec<Value> = nodes.iter().map(Node::status).collect();
        let places: Vec<(Value, Value)> = now
            .iter()
            .map(|status| (status["height"].clone(), status["state"].clone()))
            .collect();
        let idle = now
            .iter()
            .all(|status| status["busy"] == 0 && status["places"].as_u64() > Some(0));
        if idle && places == last && places.windows(2).all(|pair| pair[0] == pair[1]) {
            let (height, state) = &places[0];
            let state = state.as_str().unwrap_or_default().to_owned();
            return Ok((height.as_u64().unwrap_or_default(), state));
        }
        last = places;
        nodes::pause(Duration::from_secs(2));
    }
    Err(Failure::new(format!(
        "the nodes do not come to one ledger: {last:?}"
    )))
}

fn model(run: &Path) -> Result<Vec<u8>, Failure> {
    let path: PathBuf = run.join("model.safetensors");
    fs::read(&path).map_err(|error| io("read", &path, &error))
}

fn io(doing: &str, path: &Path, error: &std::io::Error) -> Failure {
    Failure::new(format!("cannot {doing} `{}`: {error}", path.display()))
}
