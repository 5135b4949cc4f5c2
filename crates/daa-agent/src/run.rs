//! A whole run: read the data, search and train under leases, test once, and leave model and report behind.

mod finish;
mod inputs;

use crate::agent::{Agent, AgentHandle, Task, TaskEnd};
use crate::book::TrialBook;
use crate::chain::{Chain, DEVICE, agent_ids, fair_share};
use crate::config::{ConfigError, RunConfig, Trust};
use crate::crew::{Crew, Join, Line};
use crate::device::SharedDevice;
use crate::error::AgentError;
use crate::events::{EventKind, Observer};
use crate::folder::RunFolder;
use crate::job::Job;
use crate::orders::Orders;
use crate::recorder::{Recorder, iso8601};
use crate::sharing;
use crate::stop::StopHandle;
use crate::summary::Summary;
use daa_base::{Bytes, Clock, Seed, SystemClock, Timestamp};
use daa_gpu_core::DeviceChoice;
use daa_learn::train::Verification;
use finish::Finish;
use inputs::Inputs;
use std::path::PathBuf;
use std::sync::Arc;

/// Where a run lives.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Place {
    /// A new folder, or an empty one.
    New(PathBuf),
    /// The folder of a run that was interrupted.
    Resume(PathBuf),
}

/// What is to be run.
#[derive(Debug, Clone)]
pub struct RunRequest {
    /// The configuration. To resume a run, its folder's configuration counts; from this one are taken only a device
    /// other than [`DeviceChoice::Auto`], a memory limit, a number of threads, the folder of compiled kernels, and a
    /// recorder of memory.
    pub config: RunConfig,
    /// The run folder.
    pub place: Place,
    /// Nodes that are to do the trainings, on their devices; without, this process does them on its own.
    pub join: Option<Join>,
}

/// The usual place of a new run: `daa-runs/2026-11-22T10-30-00-seed1` in the current folder.
#[must_use]
pub fn default_run_dir(seed: Seed, now: Timestamp) -> PathBuf {
    let time: String = iso8601(now)
        .chars()
        .take_while(|&c| c != '.')
        .map(|c| if c == ':' { '-' } else { c })
        .collect();
    PathBuf::from("daa-runs").join(format!("{time}-seed{}", seed.0))
}

/// Runs `request` to its end, or until `stop` is pulled; then the folder can be resumed.
///
/// Must be called within a tokio runtime with time enabled. Nothing is written before the data are read and the
/// device is open.
///
/// # Errors
/// See [`AgentError`]. What was done until then is saved and can be resumed.
///
/// # Cancel safety
/// When the returned future is dropped, training stops with the runtime; the folder can be resumed.
pub async fn run(
    request: RunRequest,
    observer: Arc<dyn Observer>,
    stop: StopHandle,
) -> Result<Summary, AgentError> {
    let clock: Arc<dyn Clock> = Arc::new(SystemClock::new());
    let opened = Opened::open(&request)?;
    if let Some(summary) = opened.finished()? {
        // The test rows are scored once.
        return Ok(summary);
    }
    let mut config = opened.config.clone();
    config.validate()?;
    if request.join.is_some() {
        fits_nodes(&config, &request.place)?;
    }
    let inputs = Inputs::read(&config, opened.earlier_digest()).await?;
    let mut orders = orders_of(&config, &inputs)?;
    let (device, reason) = match &request.join {
        None => open_device(&config, &orders)?,
        Some(_) => open_host(&config)?,
    };
    let line = match request.join {
        None => None,
        Some(join) => Some(Line::open(join).await?),
    };
    // A run that goes on keeps the suggestions that it began with.
    let is_new = matches!(request.place, Place::New(_));
    let heard = match &line {
        Some(line) if config.knowledge && is_new => Some(sharing::ask(line.home(), &orders).await),
        _ => None,
    };
    if let Some(heard) = heard.as_ref().filter(|heard| !heard.suggested.is_empty()) {
        config.suggested.clone_from(&heard.suggested);
        orders = orders_of(&config, &inputs)?;
    }
    let (folder, resumed) = opened.folder(&request.place, &config, &inputs, clock.as_ref())?;
    let recorder = Arc::new(Recorder::new(Arc::clone(&folder), observer, Arc::clone(&clock))?);
    let crew = match line {
        None => None,
        Some(line) => Some(Arc::new(
            muster(line, &config, &inputs, &folder, &recorder).await?,
        )),
    };
    let running = Running {
        crew,
        config,
        inputs,
        orders,
        device,
        folder,
        recorder,
        clock,
        stop,
    };
    running.announce(resumed, reason);
    if let Some(heard) = heard {
        heard.announce(&running.recorder);
    }
    let result = running.perform().await;
    if let Err(error) = &result {
        let wall_seconds = running.recorder.elapsed().as_secs_f64();
        running.recorder.emit(EventKind::RunEnded {
            outcome: format!("failed: {error}"),
            wall_seconds,
        });
    }
    if let Some(crew) = &running.crew {
        crew.leave().await;
    }
    running.recorder.check()?;
    result
}

/// Whether nodes can do what is asked for.
fn fits_nodes(config: &RunConfig, place: &Place) -> Result<(), AgentError> {
    let schedule = &config.schedule;
    let refuse = |field, value: String, allowed: &str| {
        let allowed = allowed.to_owned();
        Err(AgentError::from(ConfigError {
            field,
            value,
            allowed,
        }))
    };
    if schedule.verify == Verification::Repeat {
        let allowed = "off where nodes train: a run repeats what it computes itself";
        return refuse("verify", "repeat".to_owned(), allowed);
    }
    // A run that is resumed may have begun without nodes.
    if matches!(place, Place::New(_)) && !matches!(schedule.device, DeviceChoice::Auto | DeviceChoice::Cpu) {
        let allowed = "auto or cpu where nodes train, on what they were started with";
        return refuse("device", schedule.device.to_string(), allowed);
    }
    Ok(())
}

/// The trainings of the search, suggestions among them.
fn orders_of(config: &RunConfig, inputs: &Inputs) -> Result<Orders, AgentError> {
    let material = inputs.material.clone();
    Orders::new(config.seed, config.epochs_budget, config.recipes(), material)
}

/// Has the nodes of a ledger train for a run.
async fn muster(
    line: Line,
    config: &RunConfig,
    inputs: &Inputs,
    folder: &RunFolder,
    recorder: &Arc<Recorder>,
) -> Result<Crew, AgentError> {
    let job = Job {
        seed: config.seed,
        epochs_budget: config.epochs_budget,
        suggested: config.recipes(),
        material: inputs.material.clone(),
    };
    Crew::start(line, &job, folder.path().join("state"), Arc::clone(recorder)).await
}

/// Opens the host, for the one test: all trainings are done elsewhere.
fn open_host(config: &RunConfig) -> Result<(Arc<SharedDevice>, String), AgentError> {
    let host = SharedDevice::open(&crate::config::Schedule {
        device: DeviceChoice::Cpu,
        ..config.schedule.clone()
    })?;
    Ok((Arc::new(host), "nodes train, it only tests".to_owned()))
}

/// The folder before anything is written to it.
struct Opened {
    config: RunConfig,
    /// The open folder and what it says, when a run is resumed.
    earlier: Option<(RunFolder, crate::config::RunFile)>,
}

impl Opened {
    fn open(request: &RunRequest) -> Result<Self, AgentError> {
        let Place::Resume(path) = &request.place else {
            return Ok(Self {
                config: request.config.clone(),
                earlier: None,
            });
        };
        let folder = RunFolder::open(path)?;
        let file = finish::read_run_file(&folder)?;
        file.config.validate().map_err(|source| AgentError::RunFile {
            path: folder.path().join("run.json"),
            source,
        })?;
        let mut config = file.config.clone();
        let (asked, schedule) = (&request.config.schedule, &mut config.schedule);
        if asked.device != DeviceChoice::Auto {
            schedule.device = asked.device;
        }
        schedule.memory_limit = asked.memory_limit.or(schedule.memory_limit);
        schedule.threads = asked.threads.or(schedule.threads);
        schedule.pipeline_cache.clone_from(&asked.pipeline_cache);
        schedule.memory_recorder.clone_from(&asked.memory_recorder);
        if let Some(path) = &file.data_path {
            // The run may be resumed from another folder than it was started in.
            config.data = path.display().to_string();
        }
        Ok(Self {
            config,
            earlier: Some((folder, file)),
        })
    }

    /// The summary of the run, if it is a finished one.
    fn finished(&self) -> Result<Option<Summary>, AgentError> {
        let Some((folder, _)) = &self.earlier else {
            return Ok(None);
        };
        finish::finished_summary(folder)
    }

    fn earlier_digest(&self) -> Option<(String, String)> {
        let (folder, file) = self.earlier.as_ref()?;
        Some((folder.path().display().to_string(), file.data_digest.clone()))
    }

    fn folder(
        self,
        place: &Place,
        config: &RunConfig,
        inputs: &Inputs,
        clock: &dyn Clock,
    ) -> Result<(Arc<RunFolder>, bool), AgentError> {
        if let Some((folder, _)) = self.earlier {
            return Ok((Arc::new(folder), true));
        }
        let (Place::New(path) | Place::Resume(path)) = place;
        let folder = RunFolder::create(path)?;
        finish::write_run_file(&folder, config, inputs, clock.wall())?;
        Ok((Arc::new(folder), false))
    }
}

/// Opens the device; falls from a GPU that is too small to the CPU, unless the GPU was asked for.
fn open_device(config: &RunConfig, orders: &Orders) -> Result<(Arc<SharedDevice>, String), AgentError> {
    let schedule = &config.schedule;
    let device = SharedDevice::open(schedule)?;
    let (info, reason) = (device.info().clone(), device.reason().to_owned());
    let (what, peak) = orders.largest_peak();
    let limit = device.capacity();
    if peak <= limit {
        return Ok((Arc::new(device), reason));
    }
    let given = schedule.memory_limit.is_some();
    if schedule.device == DeviceChoice::Auto && !given && info.class != daa_gpu_core::DeviceClass::Host {
        let name = info.name;
        let host = SharedDevice::open(&crate::config::Schedule {
            device: DeviceChoice::Cpu,
            ..schedule.clone()
        })?;
        if peak <= host.capacity() {
            return Ok((
                Arc::new(host),
                format!("{name} has {limit} to lease, {what} needs {peak}"),
            ));
        }
    }
    Err(AgentError::MemoryLimit {
        what,
        peak,
        limit,
        given,
    })
}

/// A run under way.
struct Running {
    crew: Option<Arc<Crew>>,
    config: RunConfig,
    inputs: Inputs,
    orders: Orders,
    device: Arc<SharedDevice>,
    folder: Arc<RunFolder>,
    recorder: Arc<Recorder>,
    clock: Arc<dyn Clock>,
    stop: StopHandle,
}

impl Running {
    fn announce(&self, resumed: bool, reason: String) {
        let emit = |kind| self.recorder.emit(kind);
        let info = self.device.info();
        emit(EventKind::RunStarted {
            seed: self.config.seed.0,
            agents: self.config.schedule.agents,
            resumed,
        });
        emit(EventKind::DeviceChosen {
            device: info.name.clone(),
            backend: info.backend.to_string(),
            reason,
            capacity: self.device.capacity(),
        });
        let data = &self.inputs.summary;
        emit(EventKind::DataRead {
            source: data.source.clone(),
            rows: data.rows,
            features: data.features,
            classes: data.classes,
            train: data.train,
            validation: data.validation,
            test: data.test,
        });
        for warning in &self.inputs.warnings {
            emit(EventKind::DataWarning {
                warning: warning.clone(),
            });
        }
        let search = self.orders.search();
        emit(EventKind::SearchPlanned {
            candidates: search.max_candidates(),
            epochs_budget: search.epochs_budget,
            window: search.window,
            largest_peak: self.orders.largest_peak().1,
        });
    }

    async fn perform(&self) -> Result<Summary, AgentError> {
        let mut schedule = self.config.schedule.clone();
        if self.crew.is_some() {
            // Which of its own trials comes next is nobody's business but the run's; leases are agreed on by the nodes.
            schedule.trust = Trust::Local;
        }
        let window = self.orders.search().window;
        let capacity: Bytes = self.device.capacity();
        let clock = Arc::clone(&self.clock);
        let chain = Chain::start(self.config.seed, &schedule, window, capacity, clock).await?;
        chain.tell_of_lapsed_leases(Arc::clone(&self.recorder))?;
        let agents = self.spawn_agents(&chain)?;
        let result = self.search_and_finish(&chain, &agents).await;
        // Whatever happened, every agent ends before the log does, so that leases are given back through it.
        if result.is_err() {
            self.stop.stop("the run failed");
        }
        let mut ends = Vec::new();
        for agent in agents {
            ends.push(agent.finish().await);
        }
        chain.shutdown();
        let summary = result?;
        ends.into_iter().collect::<Result<(), _>>()?;
        Ok(summary)
    }

    fn spawn_agents(&self, chain: &Chain) -> Result<Vec<AgentHandle>, AgentError> {
        let schedule = &self.config.schedule;
        let agent = |id| {
            let delays = schedule.delays.map(|delays| {
                (
                    delays,
                    delays
                        .seed
                        .stream("agent delays")
                        .child(u64::from(daa_base::AgentId::get(id)))
                        .rng(),
                )
            });
            Ok(Agent {
                id,
                client: chain.client(id, schedule.patience)?,
                device: Arc::clone(&self.device),
                device_id: DEVICE,
                crew: self.crew.clone(),
                recorder: Arc::clone(&self.recorder),
                stop: self.stop.clone(),
                hold: schedule.lease,
                share: fair_share(schedule.agents),
                patience: schedule.patience,
                delays,
                ran_on: None,
            }
            .spawn())
        };
        agent_ids(schedule.agents).map(agent).collect()
    }

    async fn search_and_finish(&self, chain: &Chain, agents: &[AgentHandle]) -> Result<Summary, AgentError> {
        let book = Arc::new(TrialBook::new(
            self.orders.search().clone(),
            Arc::clone(&self.folder),
        ));
        let maker = self.orders.maker(&self.folder);
        // All at once: each agent works until the search is over.
        let searches = agents.iter().map(|agent| {
            agent.give(Task::Search {
                book: Arc::clone(&book),
                orders: Arc::clone(&maker),
            })
        });
        let stop = self.stop.clone();
        let ends = join_all(searches, move || stop.stop("an agent failed")).await?;
        let finish = Finish {
            config: &self.config,
            inputs: &self.inputs,
            orders: &self.orders,
            device: &self.device,
            folder: &self.folder,
            recorder: &self.recorder,
            book: &book,
            chain,
            crew: self.crew.as_deref(),
        };
        if ends.contains(&TaskEnd::Stopped) || self.stop.is_stopped() {
            return finish.interrupted(&self.stop).await;
        }
        let Some(agent) = agents.first() else {
            return Err(AgentError::internal("the run", "it has no agents"));
        };
        match finish.train_and_test(agent).await? {
            Some(best) => finish.finished(best).await,
            None => finish.interrupted(&self.stop).await,
        }
    }
}

/// Drives all futures to their ends, in one task. When one fails, `on_error` tells the others to stop, and the first
/// error is returned once all have ended.
async fn join_all<T>(
    futures: impl IntoIterator<Item = impl Future<Output = Result<T, AgentError>>>,
    on_error: impl Fn(),
) -> Result<Vec<T>, AgentError> {
    let mut pending: Vec<_> = futures.into_iter().map(|future| Some(Box::pin(future))).collect();
    let mut ends = Vec::new();
    let mut first_error = None;
    std::future::poll_fn(|context| {
        for slot in &mut pending {
            let Some(future) = slot else { continue };
            if let std::task::Poll::Ready(end) = future.as_mut().poll(context) {
                *slot = None;
                match end {
                    Ok(end) => ends.push(end),
                    Err(error) => {
                        on_error();
                        first_error.get_or_insert(error);
                    }
                }
            }
        }
        if pending.iter().all(Option::is_none) {
            std::task::Poll::Ready(())
        } else {
            std::task::Poll::Pending
        }
    })
    .await;
    first_error.map_or(Ok(ends), Err)
}
