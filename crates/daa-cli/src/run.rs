//! `daa run`: agents search and train networks, and leave a run folder.

use crate::args::{Global, Output, RunArgs};
use crate::exit::{Exit, Failure};
use crate::messages::Messages;
use crate::output;
use crate::progress::Progress;
use crate::signals::Signals;
use anyhow::Context as _;
use clap::ArgMatches;
use clap::parser::ValueSource;
use daa_agent::{Place, RunConfig, RunRequest, StopHandle, Summary, default_run_dir};
use daa_base::{Bytes, Clock as _, Seed, SystemClock};
use std::path::Path;
use std::sync::Arc;

/// Flags that say what a run is; a run that goes on has said it already.
const FIXED_BY_RESUME: [(&str, &str); 7] = [
    ("data", "--data"),
    ("target", "--target"),
    ("task", "--task"),
    ("agents", "--agents"),
    ("epochs_budget", "--epochs-budget"),
    ("seed", "--seed"),
    ("out", "--out"),
];

pub(crate) fn command(
    global: &Global,
    args: &RunArgs,
    given: &ArgMatches,
    messages: &Messages,
) -> Result<Exit, Failure> {
    let request = request(args, given)?;
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
        resume_command(&summary.run_dir)
    ));
    Ok(signals.exit().unwrap_or(Exit::Interrupted))
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

fn request(args: &RunArgs, given: &ArgMatches) -> Result<RunRequest, Failure> {
    let on_command_line = |id: &str| given.value_source(id) == Some(ValueSource::CommandLine);
    if let Some(folder) = &args.resume {
        if let Some((_, flag)) = FIXED_BY_RESUME.iter().find(|(id, _)| on_command_line(id)) {
            let error = format!("{flag} cannot be given with --resume: the run folder has it already");
            let hint = format!("leave {flag} out; only --device, --memory-limit and --threads may differ");
            return Err(Failure::text(Exit::Usage, error).with_hint(hint));
        }
        let config = overrides(args, on_command_line);
        return Ok(RunRequest {
            config,
            place: Place::Resume(folder.clone()),
        });
    }
    let config = config(args);
    let folder = args
        .out
        .clone()
        .unwrap_or_else(|| default_run_dir(config.seed, SystemClock::new().wall()));
    Ok(RunRequest {
        config,
        place: Place::New(folder),
    })
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
    config
}

fn config(args: &RunArgs) -> RunConfig {
    let mut config = RunConfig::default();
    config.data.clone_from(&args.data);
    config.target.clone_from(&args.target);
    config.task = args.task.into();
    config.seed = Seed(args.seed);
    config.epochs_budget = args.epochs_budget;
    config.schedule.agents = args.agents;
    config.schedule.device = args.place.device;
    config.schedule.memory_limit = args.place.memory_limit;
    config.schedule.threads = args.place.threads;
    config
}

fn resume_command(folder: &Path) -> String {
    format!(
        "daa run --resume {}",
        output::shell_word(&folder.display().to_string())
    )
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
    lines.extend([
        ("device", format!("{} ({})", summary.device, summary.backend)),
        (
            "search",
            format!("{trials} trials by {agents} agents under {granted} leases"),
        ),
        ("time", format!("{:.1} s", summary.wall_seconds)),
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
