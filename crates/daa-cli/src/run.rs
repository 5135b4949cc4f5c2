//! `daa run`: agents search and train networks, and leave a run folder.

use crate::args::{Global, Output, RunArgs};
use crate::exit::{Exit, Failure};
use crate::invite::{self, Invite, Posted};
use crate::join;
use crate::memory::recording::MemoryRecording;
use crate::messages::Messages;
use crate::output;
use crate::progress::Progress;
use crate::signals::Signals;
use anyhow::Context as _;
use clap::ArgMatches;
use clap::parser::ValueSource;
use daa_agent::summary::KnowledgeSummary;
use daa_agent::{
    AgentError, FolderError, Place, RunConfig, RunRequest, StopHandle, Summary, default_run_dir,
};
use daa_base::{Bytes, Clock as _, Seed, SystemClock};
use std::fs;
use std::io::ErrorKind;
use std::path::{Path, PathBuf};
use std::sync::Arc;

/// Most runs of one seed that begin in one second.
const MAX_SAME_SECOND: u32 = 1_000;

/// Flags that say what a run is; a run that goes on has said it already.
const FIXED_BY_RESUME: [(&str, &str); 10] = [
    ("data", "--data"),
    ("target", "--target"),
    ("task", "--task"),
    ("agents", "--agents"),
    ("epochs_budget", "--epochs-budget"),
    ("verify", "--verify"),
    ("trust", "--trust"),
    ("seed", "--seed"),
    ("knowledge", "--knowledge"),
    ("out", "--out"),
];

pub(crate) fn command(
    global: &Global,
    args: &RunArgs,
    given: &ArgMatches,
    messages: &Messages,
) -> Result<Exit, Failure> {
    let join = join::join(args, given)?;
    let (mut request, claim) = request(args, given)?;
    if join.is_none() {
        join::tell_of_others(messages);
    }
    let _posted = join.is_none().then(|| post(&request));
    request.join = join.as_ref().map(|joined| joined.join.clone());
    let recording = args
        .record_memory
        .as_deref()
        .map(MemoryRecording::start)
        .transpose()?;
    request.config.schedule.memory_recorder = recording.as_ref().map(MemoryRecording::recorder);
    let stop = StopHandle::new();
    let signals = listen(&stop, messages)?;
    let progress = Arc::new(Progress::new(messages));
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .enable_all()
        .build()
        .context("cannot start the threads of the agents")
        .map_err(|error| Failure::new(Exit::Unexpected, error))?;
    let outcome = runtime.block_on(Box::pin(daa_agent::run(
        request,
        Arc::clone(&progress) as _,
        stop,
    )));
    progress.clear();
    if let Some(recording) = recording {
        // A run that failed is the one whose memory people want to see.
        recording
            .finish(messages)
            .or_else(|failure| if outcome.is_ok() { Err(failure) } else { Ok(()) })?;
    }
    // Only an empty folder is removed: a run that has begun can be resumed.
    drop(claim);
    let summary = outcome?;
    let interrupted = summary.outcome == "interrupted";
    match global.output {
        Output::Json => output::json(&summary)?,
        Output::Text if !interrupted => output::text(&text(&summary))?,
        Output::Text => {}
    }
    if !interrupted {
        return Ok(Exit::Done);
    }
    messages.note(&format!(
        "stopped, nothing is lost; go on with: {}",
        resume_command(&summary.run_dir, args)
    ));
    Ok(signals.exit().unwrap_or(Exit::Interrupted))
}

/// Tells other processes of this run, which uses a device without asking anybody.
fn post(request: &RunRequest) -> Posted {
    let (Place::New(folder) | Place::Resume(folder)) = &request.place;
    let folder = std::path::absolute(folder).unwrap_or_else(|_| folder.clone());
    invite::post(&Invite {
        pid: std::process::id(),
        lock: folder.join("state").join("lock"),
        devices: format!("the device `{}`", request.config.schedule.device),
        node: None,
    })
}

/// On the first signal the run drains; the second ends the program.
fn listen(stop: &StopHandle, messages: &Messages) -> Result<Signals, Failure> {
    let (stop, messages) = (stop.clone(), messages.clone());
    let on_first = move |signal: &'static str| {
        stop.stop(signal);
        messages.note(&format!(
            "{signal}: saving state and giving back leases; once more ends at once"
        ));
    };
    let listening = Signals::listen(on_first).context("cannot listen for signals");
    listening.map_err(|error| Failure::new(Exit::Unexpected, error))
}

fn request(args: &RunArgs, given: &ArgMatches) -> Result<(RunRequest, Option<Claim>), Failure> {
    let on_command_line = |id: &str| given.value_source(id) == Some(ValueSource::CommandLine);
    if let Some(folder) = &args.resume {
        if let Some((_, flag)) = FIXED_BY_RESUME.iter().find(|(id, _)| on_command_line(id)) {
            let error = format!("{flag} cannot be given with --resume: the run folder has it already");
            let hint = format!("leave {flag} out; only --device, --memory-limit and --threads may differ");
            return Err(Failure::text(Exit::Usage, error).with_hint(hint));
        }
        let config = overrides(args, on_command_line);
        let place = Place::Resume(folder.clone());
        return Ok((
            RunRequest {
                config,
                place,
                join: None,
            },
            None,
        ));
    }
    let config = config(args);
    if let Some(out) = &args.out {
        let place = Place::New(out.clone());
        return Ok((
            RunRequest {
                config,
                place,
                join: None,
            },
            None,
        ));
    }
    let claim = Claim::first_free(&default_run_dir(config.seed, SystemClock::new().wall()))?;
    let place = Place::New(claim.folder.clone());
    Ok((
        RunRequest {
            config,
            place,
            join: None,
        },
        Some(claim),
    ))
}

/// A new empty folder of which no other process thinks that it is its own. Removed again if it stays empty.
#[derive(Debug)]
struct Claim {
    folder: PathBuf,
    /// The folder above, if it is new too.
    above: Option<PathBuf>,
}

impl Claim {
    /// Makes `wanted`, or, where that is taken, `wanted-2`, `wanted-3` and so on.
    fn first_free(wanted: &Path) -> Result<Self, Failure> {
        let io = |source| FolderError::Io {
            path: wanted.to_owned(),
            doing: "make the run folder",
            source,
        };
        let above = wanted
            .parent()
            .filter(|above| !above.exists())
            .map(Path::to_owned);
        if let Some(above) = &above {
            fs::create_dir_all(above).map_err(|source| AgentError::from(io(source)))?;
        }
        let mut folder = wanted.to_owned();
        for number in 2..=MAX_SAME_SECOND {
            match fs::create_dir(&folder) {
                Ok(()) => return Ok(Self { folder, above }),
                Err(error) if error.kind() == ErrorKind::AlreadyExists => {
                    let mut name = wanted.as_os_str().to_owned();
                    name.push(format!("-{number}"));
                    folder = name.into();
                }
                Err(error) => return Err(AgentError::from(io(error)).into()),
            }
        }
        let path = wanted.to_owned();
        Err(AgentError::from(FolderError::NotEmpty { path }).into())
    }
}

impl Drop for Claim {
    fn drop(&mut self) {
        // The operating system refuses to remove a folder with something in it.
        if fs::remove_dir(&self.folder).is_ok()
            && let Some(above) = &self.above
        {
            let _ = fs::remove_dir(above);
        }
    }
}

/// What a resumed run takes from the command line: only what was written there. Variables of the environment and
/// defaults speak of new runs.
fn overrides(args: &RunArgs, on_command_line: impl Fn(&str) -> bool) -> RunConfig {
    let mut config = RunConfig::default();
    if on_command_line("device") {
        config.schedule.device = args.place.device;
    }
    config.schedule.memory_limit = args
        .place
        .memory_limit
        .filter(|_| on_command_line("memory_limit"));
    config.schedule.threads = args.place.threads.filter(|_| on_command_line("threads"));
    // Of the machine, not of the run: its variable counts too.
    config.schedule.pipeline_cache = args.place.pipeline_cache();
    config
}

fn config(args: &RunArgs) -> RunConfig {
    let mut config = RunConfig::default();
    config.data.clone_from(&args.data);
    config.target.clone_from(&args.target);
    config.task = args.task.into();
    config.seed = Seed(args.seed);
    config.epochs_budget = args.epochs_budget;
    // Its variable may be there for runs that join.
    config.knowledge = args.knowledge && !args.join.is_empty();
    config.schedule.agents = args.agents;
    config.schedule.device = args.place.device;
    config.schedule.memory_limit = args.place.memory_limit;
    config.schedule.threads = args.place.threads;
    config.schedule.verify = args.verify.into();
    config.schedule.trust = args.trust.into();
    config.schedule.pipeline_cache = args.place.pipeline_cache();
    config
}

fn resume_command(folder: &Path, args: &RunArgs) -> String {
    let folder = output::shell_word(&folder.display().to_string());
    format!("daa run --resume {folder}{}", join::flags(args))
}

/// Who agreed on the leases.
fn agreement(summary: &Summary) -> String {
    let agreed = &summary.agreement;
    let blocks = agreed
        .blocks
        .map_or_else(String::new, |blocks| format!(", {blocks} blocks"));
    match agreed.validators {
        0 => format!("one sequencer{blocks}"),
        1 => format!("1 validator{blocks}"),
        count => format!("{count} validators{blocks}"),
    }
}

/// The kernels that took most.
fn kernels(summary: &Summary) -> String {
    let shown = summary.kernels.iter().take(4);
    let words: Vec<String> = shown
        .map(|kernel| format!("{} {:.0} %", kernel.kernel, kernel.share * 100.0))
        .collect();
    words.join(", ")
}

/// What was learned from others and told to them.
fn shared(knowledge: &KnowledgeSummary) -> Vec<(&'static str, String)> {
    let mut lines = Vec::new();
    for one in &knowledge.suggestions {
        let score = one.score.map_or_else(
            || "no score".to_owned(),
            |score| format!("validation score {score:.4}"),
        );
        let line = format!("{} by {:.8}, {score}", one.architecture, one.author);
        lines.push(("suggested", line));
    }
    if knowledge.suggestions.is_empty() {
        lines.push(("suggested", "nothing".to_owned()));
    }
    for one in &knowledge.measured {
        let usefulness = f64::from(one.thousandths) / 1000.0;
        lines.push((
            "usefulness",
            format!("{usefulness:+.3} of -1 to 1, recipes of {:.8}", one.author),
        ));
    }
    if let Some(told) = &knowledge.told {
        let line = format!(
            "{} recipes, by node {:.8} as version {}",
            told.recipes, told.node, told.version
        );
        lines.push(("told others", line));
    }
    lines
}

fn text(summary: &Summary) -> String {
    let mut lines = Vec::new();
    if let Some(best) = &summary.best {
        if let Some(accuracy) = best.test_accuracy {
            lines.push((
                "test accuracy",
                format!("{accuracy:.4} on {} rows", summary.data.test),
            ));
        }
        if let Some(rmse) = best.test_rmse {
            lines.push(("test RMSE", format!("{rmse:.6} on {} rows", summary.data.test)));
        }
        lines.push(("network", best.architecture.clone()));
        lines.push(("parameters", best.params.to_string()));
        lines.push((
            "memory",
            format!("{} leased to train it", Bytes(best.plan_peak_bytes)),
        ));
    }
    let (agents, trials, granted) = (summary.agents.len(), summary.trials.len(), summary.leases.granted);
    let folder = summary.run_dir.display().to_string();
    if let Some(knowledge) = &summary.knowledge {
        lines.extend(shared(knowledge));
    }
    lines.extend([
        ("device", format!("{} ({})", summary.device, summary.backend)),
        (
            "search",
            format!("{trials} trials by {agents} agents under {granted} leases"),
        ),
        ("agreed by", agreement(summary)),
        ("time", format!("{:.1} s", summary.wall_seconds)),
        ("spent in", kernels(summary)),
        ("run folder", folder.clone()),
        (
            "report",
            summary.run_dir.join("report.html").display().to_string(),
        ),
        (
            "use it",
            format!("daa predict --model {} --data FILE", output::shell_word(&folder)),
        ),
    ]);
    output::fields(&lines)
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::BTreeSet;

    #[test]
    fn runs_that_begin_in_the_same_second_get_folders_of_their_own() {
        let dir = tempfile::tempdir().expect("a folder");
        let wanted = dir.path().join("runs/now-seed1");
        let claims: Vec<Claim> = std::thread::scope(|scope| {
            let threads: Vec<_> = (0..8)
                .map(|_| scope.spawn(|| Claim::first_free(&wanted)))
                .collect();
            let joined = threads.into_iter().map(|thread| thread.join().expect("no panic"));
            joined.map(|claim| claim.expect("claimed")).collect()
        });
        let names: BTreeSet<String> = claims
            .iter()
            .map(|claim| {
                claim
                    .folder
                    .file_name()
                    .expect("a name")
                    .to_string_lossy()
                    .into_owned()
            })
            .collect();
        let mut all: BTreeSet<String> = (2..=8).map(|number| format!("now-seed1-{number}")).collect();
        all.insert("now-seed1".to_owned());
        assert_eq!(names, all);
        fs::write(claims[0].folder.join("run.json"), "{}").expect("written");
        let begun = claims[0].folder.clone();
        drop(claims);
        let left: Vec<PathBuf> = fs::read_dir(dir.path().join("runs"))
            .expect("kept for the run that began")
            .map(|entry| entry.expect("readable").path())
            .collect();
        assert_eq!(left, [begun]);
    }

    #[test]
    fn a_run_that_did_not_begin_leaves_nothing() {
        let dir = tempfile::tempdir().expect("a folder");
        drop(Claim::first_free(&dir.path().join("runs/now-seed1")).expect("claimed"));
        assert!(!dir.path().join("runs").exists());
    }
}
