//! What a run is asked to do.

use crate::knowledge::Suggested;
use daa_base::{Bytes, Millis, Seed};
use daa_gpu_core::DeviceChoice;
use daa_gpu_core::memory::trace::Recorder as MemoryRecorder;
use daa_learn::data::TaskKind;
use daa_learn::search::config::MAX_BUDGET;
use daa_learn::search::{MAX_SUGGESTIONS, Suggestion};
use daa_learn::train::Verification;
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;
use std::path::PathBuf;
use std::time::Duration;

/// Most agents of one run.
pub const MAX_AGENTS: usize = 64;

/// The configuration of a run. With the seed and the data it determines every byte of the model that a run on the
/// CPU leaves behind, except for [`RunConfig::schedule`], which only changes when and where things happen.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
#[non_exhaustive]
pub struct RunConfig {
    /// `digits`, `fashion-mnist`, or a path.
    pub data: String,
    /// The target column of a table; found by its name when absent.
    #[serde(default)]
    pub target: Option<String>,
    /// Classification, regression, or told apart by the target.
    #[serde(default)]
    pub task: TaskKind,
    /// The seed of everything random.
    pub seed: Seed,
    /// Epochs over all trials and the final training, which takes a third; 2 to [`MAX_BUDGET`], chosen by the size
    /// of the data when absent.
    #[serde(default)]
    pub epochs_budget: Option<u32>,
    /// Whether the run shares what it learns with the node of its owner: it asks for recipes before its search, and tells
    /// what it found after it.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub knowledge: bool,
    /// The recipes that the search tries because others found them good, at most [`MAX_SUGGESTIONS`]. A new run that
    /// shares what it learns fills them in before it begins.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub suggested: Vec<Suggested>,
    /// How the work is spread; never changes what comes out on the CPU.
    pub schedule: Schedule,
}

/// How the work is spread over agents, memory and time.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
#[non_exhaustive]
pub struct Schedule {
    /// Agents, 1 to [`MAX_AGENTS`].
    pub agents: usize,
    /// What to compute on.
    pub device: DeviceChoice,
    /// What leases may sum up to; the device's capacity when absent.
    #[serde(default)]
    pub memory_limit: Option<Bytes>,
    /// Worker threads of the CPU backend; one per core when absent.
    #[serde(default)]
    pub threads: Option<usize>,
    /// What is done against wrong results of a device.
    #[serde(default)]
    pub verify: Verification,
    /// Who agrees on leases.
    #[serde(default)]
    pub trust: Trust,
    /// Length of a lease; it is renewed as long as nobody waits. 10 ms to 10 minutes.
    pub lease: Millis,
    /// Longest wait for one submitted step, or for the log to answer.
    pub patience: Duration,
    /// Random delays for tests.
    #[serde(default)]
    pub delays: Option<Delays>,
    /// Where compiled kernels of a GPU are kept between processes; nowhere when absent. It is of the machine and not
    /// of the run: a run folder does not say it.
    #[serde(skip)]
    pub pipeline_cache: Option<PathBuf>,
    /// Writes down what is allocated on the device, while it is on. Not part of the run's file.
    #[serde(skip)]
    pub memory_recorder: Option<MemoryRecorder>,
}

/// Who agrees on leases.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Trust {
    /// Four validators from four agents on, else one sequencer.
    #[default]
    Auto,
    /// One sequencer: for agents of one owner on one machine.
    Local,
    /// Four validators, of which one may lie or fail.
    Bft,
}

impl Trust {
    /// How many validators agree in a run of `agents`; none where one sequencer gives the order.
    #[must_use]
    pub const fn validators(self, agents: usize) -> usize {
        match self {
            Self::Local => 0,
            Self::Bft => VALIDATORS,
            Self::Auto if agents >= VALIDATORS => VALIDATORS,
            Self::Auto => 0,
        }
    }
}

/// Validators of a run in one process: the fewest of which one may fail.
const VALIDATORS: usize = 4;

/// Random delays before an agent acts, before it takes up a lease, and before commands commit. They exist so that
/// tests can show that timing changes no byte of the result.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Delays {
    /// Seeds the delays.
    pub seed: Seed,
    /// The longest delay.
    pub longest: Millis,
}

impl Default for Schedule {
    fn default() -> Self {
        Self {
            agents: 4,
            device: DeviceChoice::Auto,
            memory_limit: None,
            threads: None,
            verify: Verification::Off,
            trust: Trust::Auto,
            lease: Millis(2_000),
            patience: Duration::from_secs(60),
            delays: None,
            pipeline_cache: None,
            memory_recorder: None,
        }
    }
}

impl Default for RunConfig {
    fn default() -> Self {
        Self {
            data: "digits".to_owned(),
            target: None,
            task: TaskKind::default(),
            seed: Seed(1),
            epochs_budget: None,
            knowledge: false,
            suggested: Vec::new(),
            schedule: Schedule::default(),
        }
    }
}

/// A field of the configuration is out of range.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{field} is {value}, allowed are {allowed}")]
pub struct ConfigError {
    /// The field, as the command line names it.
    pub field: &'static str,
    /// Its value.
    pub value: String,
    /// The values allowed.
    pub allowed: String,
}

impl RunConfig {
    /// Checks every field against its range.
    ///
    /// # Errors
    /// The first field out of range.
    pub fn validate(&self) -> Result<(), ConfigError> {
        let schedule = &self.schedule;
        let check = |ok: bool, field, value: String, allowed: String| {
            if ok {
                Ok(())
            } else {
                Err(ConfigError {
                    field,
                    value,
                    allowed,
                })
            }
        };
        let agents = schedule.agents;
        check(
            (1..=MAX_AGENTS).contains(&agents),
            "agents",
            agents.to_string(),
            format!("1 to {MAX_AGENTS}"),
        )?;
        if let Some(epochs) = self.epochs_budget {
            check(
                (2..=MAX_BUDGET).contains(&epochs),
                "epochs-budget",
                epochs.to_string(),
                format!("2 to {MAX_BUDGET}"),
            )?;
        }
        let suggested = self.suggested.len();
        check(
            suggested <= MAX_SUGGESTIONS,
            "suggested",
            format!("{suggested} recipes"),
            format!("0 to {MAX_SUGGESTIONS}"),
        )?;
        if let Some(limit) = schedule.memory_limit {
            check(
                limit > Bytes::ZERO,
                "memory-limit",
                limit.to_string(),
                "more than 0 B".to_owned(),
            )?;
        }
        if let Some(threads) = schedule.threads {
            check(
                (1..=256).contains(&threads),
                "threads",
                threads.to_string(),
                "1 to 256".to_owned(),
            )?;
        }
        let lease = schedule.lease;
        check(
            (10..=600_000).contains(&lease.get()),
            "lease",
            lease.to_string(),
            "10 ms to 600000 ms".to_owned(),
        )?;
        let patience = schedule.patience;
        let allowed = "100 ms to 1 hour".to_owned();
        check(
            (100..=3_600_000).contains(&patience.as_millis()),
            "patience",
            format!("{patience:?}"),
            allowed,
        )
    }

    /// The recipes that others found good.
    pub(crate) fn recipes(&self) -> Vec<Suggestion> {
        self.suggested.iter().map(|one| one.recipe.clone()).collect()
    }

    /// The command line that starts the same run, but for what others suggested to it.
    #[must_use]
    pub fn command_line(&self) -> String {
        let mut words = vec!["daa run".to_owned(), format!("--data {}", shell_word(&self.data))];
        if let Some(target) = &self.target {
            words.push(format!("--target {}", shell_word(target)));
        }
        if self.task != TaskKind::default() {
            words.push(format!("--task {}", self.task));
        }
        words.push(format!("--agents {}", self.schedule.agents));
        words.push(format!("--device {}", self.schedule.device));
        if let Some(epochs) = self.epochs_budget {
            words.push(format!("--epochs-budget {epochs}"));
        }
        if let Some(limit) = self.schedule.memory_limit {
            words.push(format!("--memory-limit {}", limit.get()));
        }
        if self.schedule.verify == Verification::Repeat {
            words.push("--verify repeat".to_owned());
        }
        match self.schedule.trust {
            Trust::Auto => {}
            Trust::Local => words.push("--trust local".to_owned()),
            Trust::Bft => words.push("--trust bft".to_owned()),
        }
        words.push(format!("--seed {}", self.seed.0));
        words.join(" ")
    }
}

/// `text` as one word of a POSIX shell.
fn shell_word(text: &str) -> String {
    let plain = |c: char| c.is_ascii_alphanumeric() || "-_./,:=@%+".contains(c);
    if !text.is_empty() && text.chars().all(plain) {
        text.to_owned()
    } else {
        format!("'{}'", text.replace('\'', r"'\''"))
    }
}

/// What a run writes into `run.json` before anything else.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[non_exhaustive]
pub struct RunFile {
    /// `daa.run-config/1`.
    pub schema: String,
    /// Versions of what the run depends on: `daa`, and the schemas of its files.
    pub versions: BTreeMap<String, String>,
    /// When it began, ISO 8601 UTC.
    pub started: String,
    /// The configuration.
    pub config: RunConfig,
    /// Digest of the data that were read, in hexadecimal.
    pub data_digest: String,
    /// Where the data lay, absolute when they came from a path.
    pub data_path: Option<PathBuf>,
}

/// The schema of [`RunFile`].
pub const RUN_SCHEMA: &str = "daa.run-config/1";

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn fields_out_of_range_are_named_with_their_value_and_range() {
        let mut config = RunConfig::default();
        config.validate().expect("the default is valid");
        config.schedule.agents = 0;
        let error = config.validate().expect_err("no agents");
        assert_eq!(error.to_string(), "agents is 0, allowed are 1 to 64");
    }

    #[test]
    fn the_search_takes_every_budget_that_is_valid() {
        for (epochs, is_valid) in [
            (0, false),
            (1, false),
            (2, true),
            (MAX_BUDGET, true),
            (MAX_BUDGET + 1, false),
        ] {
            let config = RunConfig {
                epochs_budget: Some(epochs),
                ..RunConfig::default()
            };
            assert_eq!(config.validate().is_ok(), is_valid, "{epochs}");
            let search = daa_learn::search::SearchConfig::for_dataset(
                100,
                daa_learn::data::InputShape::Flat { features: 4 },
                daa_learn::nn::OutputHead::Regression {},
                Seed(1),
            );
            assert_eq!(
                search.with_budget(epochs).validate().is_ok(),
                is_valid,
                "{epochs}"
            );
        }
    }

    #[test]
    fn the_command_line_quotes_what_a_shell_would_split() {
        let config = RunConfig {
            data: "my data's.csv".to_owned(),
            ..RunConfig::default()
        };
        assert!(
            config
                .command_line()
                .starts_with(r"daa run --data 'my data'\''s.csv' --agents 4")
        );
    }
}
