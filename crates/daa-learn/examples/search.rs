//! A whole search without agents: `cargo run --release -p daa-learn --example search -- [digits|fashion-mnist|PATH]
//! [SEED] [WORKERS] [EPOCHS]`. Workers are threads that run trials as they are decided; however many there are, the
//! result is the same.
#![expect(clippy::print_stdout, reason = "an example talks to the person who runs it")]

use daa_base::{Clock as _, FencingToken, Seed, SystemClock, TrialId};
use daa_gpu_core::{ComputeContext, ContextConfig, DeviceChoice, TenantSpec, Weight};
use daa_kernels::Session;
use daa_learn::data::{DataSource, Dataset, LoadOptions, Preprocess, SplitShares, Target, split};
use daa_learn::model::{Model, Predictor, TrainingSummary};
use daa_learn::nn::{Architecture, OutputHead, Purpose, compile};
use daa_learn::search::{
    Decision, FinalSpec, SearchConfig, SearchError, TrialResult, TrialSpec, decide, select_final,
};
use daa_learn::train::{Control, PreparedData, TrainConfig, TrainState, Trainer};
use std::error::Error;
use std::sync::{Arc, Condvar, Mutex, PoisonError};

type Fallible<T> = Result<T, Box<dyn Error + Send + Sync>>;

fn main() -> Fallible<()> {
    let mut args = std::env::args().skip(1);
    let source: DataSource = args.next().unwrap_or_else(|| "digits".to_owned()).parse()?;
    let seed = Seed(args.next().map_or(Ok(1), |text| text.parse())?);
    let workers: usize = args.next().map_or(Ok(2), |text| text.parse())?;
    let budget = args.next().map(|text| text.parse::<u32>()).transpose()?;
    let clock = SystemClock::new();
    let table = source.load(&LoadOptions::default())?;
    let parts = split(&table, &SplitShares::default(), &seed.stream("split"))?;
    let preprocess = Preprocess::fit(&table, &parts.train)?;
    let dataset = Arc::new(preprocess.dataset(&table)?);
    let output = match dataset.target() {
        Target::Classes { classes, .. } => OutputHead::Classes { count: *classes },
        Target::Values(_) => OutputHead::Regression {},
    };
    let data = PreparedData::new(Arc::clone(&dataset), parts.train.clone(), parts.validation)?;
    let config = SearchConfig::for_dataset(parts.train.len(), dataset.shape(), output, seed);
    let config = budget.map_or_else(|| config.clone(), |epochs| config.clone().with_budget(epochs));
    let context = ComputeContext::open(&ContextConfig {
        device: DeviceChoice::Auto,
        ..ContextConfig::default()
    })?;
    println!(
        "{}: {} rows, loaded after {:.1?}",
        context.info().name,
        dataset.rows(),
        clock.monotonic()
    );

    let chosen = search(&config, &Arc::new(data.clone()), &context, workers)?;
    let last = config.final_training(&chosen);
    let (time, epochs) = (clock.monotonic(), chosen.epochs);
    println!(
        "{} chosen after {time:.1?}: {} for {epochs} epochs",
        chosen.candidate, last.architecture
    );

    let merged = Arc::new(data.merged());
    let state = train(
        &context,
        &last.architecture,
        &last.config,
        &merged,
        last.seed,
        None,
    )?;
    let summary = TrainingSummary {
        seed,
        epochs,
        ..TrainingSummary::default()
    };
    let model = Model::new(last.architecture, state.result(), preprocess, summary)?;
    println!("weights {}", blake3::hash(&model.to_bytes()?.0).to_hex());
    score(&model, &context, &dataset, &parts.test)?;
    println!("finished after {:.1?}", clock.monotonic());
    Ok(())
}

/// Runs every trial on `workers` threads, prints what came out, and chooses.
fn search(
    config: &SearchConfig,
    data: &Arc<PreparedData>,
    context: &ComputeContext,
    workers: usize,
) -> Fallible<FinalSpec> {
    let search = Search {
        config,
        data,
        context,
        board: Mutex::default(),
        changed: Condvar::new(),
    };
    std::thread::scope(|scope| {
        let threads: Vec<_> = (0..workers).map(|_| scope.spawn(|| search.work())).collect();
        threads
            .into_iter()
            .try_for_each(|thread| thread.join().map_err(|_| "a worker panicked")?)
    })?;
    let board = search.board.into_inner().unwrap_or_else(PoisonError::into_inner);
    let results: Vec<TrialResult> = board.results.iter().flatten().copied().collect();
    for (
        TrialSpec {
            id, candidate, rung, ..
        },
        result,
    ) in board.specs.iter().zip(&results)
    {
        let network = config.candidate(*candidate).architecture;
        println!("{id} {candidate} rung {rung}: {} {network}", result.score_micro);
    }
    Ok(select_final(config, &board.specs, &results)?)
}

fn score(model: &Model, context: &ComputeContext, dataset: &Dataset, rows: &[u32]) -> Fallible<()> {
    let predictions = Predictor::open(model, context)?.predict_rows(dataset, rows)?;
    let name = if matches!(dataset.target(), Target::Values(_)) {
        "error"
    } else {
        "accuracy"
    };
    println!("test {name} {:.4}", predictions.score(dataset.target(), rows));
    Ok(())
}

fn train(
    context: &ComputeContext,
    architecture: &Architecture,
    config: &TrainConfig,
    data: &Arc<PreparedData>,
    seed: Seed,
    resume: Option<TrainState>,
) -> Fallible<TrainState> {
    let network = Arc::new(compile(
        architecture,
        config.batch,
        Purpose::Train(config.optimizer.kind()),
    )?);
    let budget = network.peak_bytes();
    let tenant = context.tenant(TenantSpec {
        name: "trial".to_owned(),
        budget,
        token: FencingToken(0),
        weight: Weight::default(),
    })?;
    let mut session = Session::load(&tenant, Arc::clone(network.plan()))?;
    let mut trainer = Trainer::new(network, Arc::clone(data), config.clone(), seed, resume)?;
    trainer.run(&mut session, &mut |_| Control::Continue)?;
    Ok(trainer.into_state())
}

#[derive(Default)]
struct Board {
    specs: Vec<TrialSpec>,
    results: Vec<Option<TrialResult>>,
    states: Vec<Option<TrainState>>,
    is_broken: bool,
}

struct Search<'a> {
    config: &'a SearchConfig,
    data: &'a Arc<PreparedData>,
    context: &'a ComputeContext,
    board: Mutex<Board>,
    changed: Condvar,
}

impl Search<'_> {
    fn work(&self) -> Fallible<()> {
        while let Some(spec) = self.claim()? {
            let outcome = self.trial(spec);
            let mut board = self.board.lock().unwrap_or_else(PoisonError::into_inner);
            board.is_broken |= outcome.is_err();
            self.changed.notify_all();
            let state = outcome?;
            board.results[spec.id.0 as usize] = Some(TrialResult::of(spec.id, &state));
            board.states[spec.id.0 as usize] = Some(state);
        }
        Ok(())
    }

    /// The next trial; waits while its decision needs results that are not there yet.
    fn claim(&self) -> Fallible<Option<TrialSpec>> {
        let mut board = self.board.lock().unwrap_or_else(PoisonError::into_inner);
        loop {
            if board.is_broken {
                return Ok(None);
            }
            let known: Vec<TrialResult> = board.results.iter().flatten().copied().collect();
            let k = TrialId(board.specs.len() as u32);
            match decide(self.config, k, &board.specs, &known) {
                Ok(Decision::Finished) => return Ok(None),
                Ok(Decision::Trial(spec)) => {
                    board.specs.push(spec);
                    board.results.push(None);
                    board.states.push(None);
                    return Ok(Some(spec));
                }
                Err(SearchError::MissingResult { .. }) => {
                    board = self.changed.wait(board).unwrap_or_else(PoisonError::into_inner);
                }
                Err(error) => return Err(error.into()),
            }
        }
    }

    fn trial(&self, spec: TrialSpec) -> Fallible<TrainState> {
        let candidate = self.config.candidate(spec.candidate);
        let before = spec.from.and_then(|id| {
            self.board.lock().unwrap_or_else(PoisonError::into_inner).states[id.0 as usize].clone()
        });
        train(
            self.context,
            &candidate.architecture,
            &self.config.training(&spec),
            self.data,
            candidate.seed,
            before,
        )
    }
}
