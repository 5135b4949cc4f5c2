//! Whole runs through the library, watched.

use daa_agent::events::Event;
use daa_agent::{AgentError, EventKind, Observer, Place, RunConfig, RunRequest, StopHandle, Summary};
use daa_base::{Bytes, Seed};
use daa_gpu_core::DeviceChoice;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};
use tempfile::TempDir;

/// Keeps every event, and may ask the run to stop at one of them.
#[derive(Debug, Default)]
struct Watcher {
    events: Mutex<Vec<Event>>,
    stop: Option<(usize, StopHandle)>,
}

impl Observer for Watcher {
    fn observe(&self, event: &Event) {
        let mut events = self.events.lock().unwrap_or_else(PoisonError::into_inner);
        events.push(event.clone());
        if let Some((at, stop)) = &self.stop
            && events.len() == *at
        {
            stop.stop("the test asks for it");
        }
    }
}

/// A run that came to its end, or to the stop that was asked for.
#[derive(Debug)]
pub struct Ran {
    /// What it returned.
    pub summary: Summary,
    /// Every event, in the order in which they happened.
    pub events: Vec<Event>,
}

impl Ran {
    /// How many events satisfy `is`.
    pub fn count(&self, is: impl Fn(&EventKind) -> bool) -> usize {
        self.events.iter().filter(|event| is(&event.kind)).count()
    }

    /// The largest memory peak of any plan of the run.
    ///
    /// # Panics
    /// When the run told none.
    #[must_use]
    pub fn largest_peak(&self) -> Bytes {
        let peak = |event: &Event| match event.kind {
            EventKind::SearchPlanned { largest_peak, .. } => Some(largest_peak),
            _ => None,
        };
        self.events.iter().find_map(peak).expect("a run plans its search")
    }

    /// Whether it came to its end.
    #[must_use]
    pub fn is_finished(&self) -> bool {
        self.summary.outcome == "finished"
    }
}

/// A run folder that goes away with the test.
#[derive(Debug)]
pub struct Folder {
    path: PathBuf,
    _parent: TempDir,
}

impl Folder {
    /// A place where nothing is yet.
    ///
    /// # Panics
    /// When there is no room for temporary files.
    #[must_use]
    #[expect(
        clippy::new_without_default,
        reason = "a default that makes a folder would surprise"
    )]
    pub fn new() -> Self {
        let parent = tempfile::tempdir().expect("a temporary folder can be made");
        Self {
            path: parent.path().join("run"),
            _parent: parent,
        }
    }

    /// Where it is.
    #[must_use]
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// The bytes of `model.safetensors` and `model.json`.
    ///
    /// # Panics
    /// When one of them is not there.
    #[must_use]
    pub fn model(&self) -> Model {
        let read = |name: &str| {
            let path = self.path.join(name);
            std::fs::read(&path).unwrap_or_else(|error| panic!("{}: {error}", path.display()))
        };
        Model {
            tensors: read("model.safetensors"),
            description: String::from_utf8(read("model.json")).expect("JSON is UTF-8"),
        }
    }
}

/// The bytes of a model.
#[derive(Clone, PartialEq, Eq)]
pub struct Model {
    /// `model.safetensors`.
    pub tensors: Vec<u8>,
    /// `model.json`.
    pub description: String,
}

impl std::fmt::Debug for Model {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let sum = self
            .tensors
            .iter()
            .fold(0_u64, |sum, &byte| sum.wrapping_mul(31).wrapping_add(byte.into()));
        write!(
            f,
            "{} bytes, checksum {sum:016x}, {}",
            self.tensors.len(),
            self.description
        )
    }
}

/// The configuration of a run on the CPU over the table at `data`.
#[must_use]
pub fn config(data: &Path, seed: u64, epochs_budget: u32) -> RunConfig {
    let mut config = RunConfig::default();
    config.data = data.display().to_string();
    config.seed = Seed(seed);
    config.epochs_budget = Some(epochs_budget);
    config.schedule.device = DeviceChoice::Cpu;
    config.schedule.threads = Some(1);
    config
}

/// Runs `config` at `place`; asks it to stop at event number `stop_at`, if any.
///
/// # Errors
/// Those of the run.
///
/// # Panics
/// When the operating system gives no threads.
pub fn try_run(config: &RunConfig, place: Place, stop_at: Option<usize>) -> Result<Ran, AgentError> {
    let stop = StopHandle::new();
    let watcher = Arc::new(Watcher {
        events: Mutex::default(),
        stop: stop_at.map(|at| (at, stop.clone())),
    });
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(2)
        .enable_time()
        .build()
        .expect("threads can be started");
    let request = RunRequest {
        join: None,
        config: config.clone(),
        place,
    };
    let observer: Arc<dyn Observer> = watcher.clone();
    let summary = runtime.block_on(daa_agent::run(request, observer, stop))?;
    drop(runtime);
    let events = std::mem::take(&mut *watcher.events.lock().unwrap_or_else(PoisonError::into_inner));
    Ok(Ran { summary, events })
}

/// Runs `config` to its end in a new folder.
///
/// # Panics
/// When the run fails.
#[must_use]
pub fn run(config: &RunConfig) -> (Ran, Folder) {
    let folder = Folder::new();
    let ran = try_run(config, Place::New(folder.path().to_owned()), None)
        .unwrap_or_else(|error| panic!("{error}, under {:?}", config.schedule));
    assert!(ran.is_finished(), "nobody asked to stop");
    (ran, folder)
}
