//! Decoders of this crate, for fuzzing and for its own tests with hostile bytes.

use crate::config::RunConfig;
use crate::events::{EpochMetrics, Event, EventKind, LeaseEnd, RanOn, Work};
use crate::folder::take_lines;
use crate::job::{Job, Material};
use crate::knowledge;
use crate::order::Spec;
use crate::orders::Orders;
use crate::record::RunRecord;
use crate::report::render;
use crate::summary::{AgreementSummary, DataSummary, Summary, SummaryInput};
use crate::work::{Ask, Crowd, End, Grant, JobId, JobStage, MeasuredInsight, News, OrderId, Tell, What};
use daa_base::{AgentId, Bytes, FencingToken, LeaseId, Permille, Seed, TrialId};
use daa_coord::streams::ContentId;
use daa_coord::{AgentKey, Digest, ShortText};
use daa_learn::data::{Dataset, InputShape, Target};
use daa_learn::nn::{OptimizerKind, OutputHead, Purpose, compile};
use daa_learn::search::{CandidateId, FinalSpec, SearchConfig, SearchSpace, TrialSpec};
use daa_learn::train::PreparedData;
use std::sync::{Arc, OnceLock};

/// What a run asks, as bytes again; `None`: it is not. An order is compared with a search.
///
/// # Panics
/// When what was decoded cannot be encoded.
#[must_use]
pub fn ask(bytes: &[u8]) -> Option<Vec<u8>> {
    static ORDERS: OnceLock<Orders> = OnceLock::new();
    let ask = Ask::decode(bytes).ok()?;
    if let Ask::Do { what, .. } = &ask {
        let orders = ORDERS.get_or_init(|| orders(a_job(classes())).expect("a small job"));
        // A spec that is let in must be one that the search can make a configuration of.
        if orders.check(&what.spec).is_ok() {
            match &what.spec {
                Spec::Trial(spec) => drop(orders.search().training(spec)),
                Spec::Final(spec) => drop(orders.search().final_training(spec)),
            }
        }
    }
    Some(ask.encode().expect("it was decoded"))
}

/// What a node answers, as bytes again; `None`: it is no answer. Its news are taken into a record.
///
/// # Panics
/// When what was decoded cannot be encoded.
#[must_use]
pub fn tell(bytes: &[u8]) -> Option<Vec<u8>> {
    let tell = Tell::decode(bytes).ok()?;
    let again = tell.encode().expect("it was decoded");
    if let Tell::Going { news } | Tell::Ended { news, .. } = tell {
        let work = Work::Trial(TrialId(1));
        let mut record = RunRecord::default();
        for one in news {
            let kind = one.event(AgentId(1), work);
            record.apply(&event(kind));
        }
        let _page = page(&record);
    }
    Some(again)
}

/// A job, as bytes again; `None`: it is no job.
///
/// # Panics
/// When what was decoded cannot be encoded.
#[must_use]
pub fn job(bytes: &[u8]) -> Option<Vec<u8>> {
    let job = Job::decode(bytes).ok()?;
    Some(job.encode().expect("it was decoded"))
}

/// Whether a job's networks can be compiled; `None`: it is no job.
#[must_use]
pub fn orders_of_job(bytes: &[u8]) -> Option<bool> {
    let job = Job::decode(bytes).ok()?;
    Some(orders(job).is_some())
}

fn orders(job: Job) -> Option<Orders> {
    Orders::new(job.seed, job.epochs_budget, job.suggested, job.material).ok()
}

/// Takes recipes of others, and compiles their networks.
///
/// # Panics
/// When one is taken that the search would not take, or cannot compile.
pub fn recipes(bytes: &[u8]) {
    let space = space();
    let recipes = knowledge::recipes(&space, bytes);
    assert!(recipes.len() <= knowledge::MAX_RECIPES);
    for recipe in recipes {
        assert!(space.admits(&recipe));
        let compiled = compile(&recipe.architecture, 4, Purpose::Train(OptimizerKind::Adam));
        compiled.expect("what is admitted can be compiled");
    }
}

/// Reads the lines of a run's events and makes a page of them.
///
/// # Panics
/// When an event that was read cannot be written and read again.
pub fn events(bytes: &[u8]) {
    let mut events = Vec::new();
    take_lines(bytes, &mut events).expect("memory can be read");
    for event in &events {
        let line = serde_json::to_vec(event).expect("it was read");
        assert_eq!(serde_json::from_slice::<Event>(&line).ok().as_ref(), Some(event));
    }
    let _page = page(&RunRecord::from_events(&events));
}

fn page(record: &RunRecord) -> String {
    let config = RunConfig::default();
    let input = SummaryInput {
        config: &config,
        outcome: "interrupted",
        run_dir: "run".into(),
        backend: "host".to_owned(),
        device: "a processor".to_owned(),
        data: DataSummary::default(),
        candidates: &[(TrialId(1), 3)],
        best: None,
        agreement: AgreementSummary::default(),
        wall_seconds: 1.0,
        kernels: Vec::new(),
        knowledge: None,
    };
    render(&Summary::new(input, record), record)
}

fn event(kind: EventKind) -> Event {
    Event {
        at_ms: 5,
        time: "2026-01-01T00:00:00Z".to_owned(),
        message: kind.to_string(),
        kind,
    }
}

/// Questions of all kinds.
///
/// # Panics
/// Never: they are small.
#[must_use]
pub fn asks() -> Vec<Vec<u8>> {
    let (content, order) = (ContentId(Digest([5; 32])), OrderId(3));
    let job = JobId { content, run: 11 };
    let topic = ShortText::fitted("recipes");
    let report = MeasuredInsight {
        author: AgentKey::from_secret(&[1; 32]).public(),
        version: 2,
        thousandths: -1000,
    };
    let trial = |rung, from: Option<u32>| {
        Spec::Trial(TrialSpec {
            id: TrialId(4),
            candidate: CandidateId(1),
            rung,
            from: from.map(TrialId),
            epochs_from: from.map_or(0, |_| 10),
            epochs_to: if from.is_some() { 30 } else { 10 },
        })
    };
    let chosen = Spec::Final(FinalSpec {
        candidate: CandidateId(1),
        trial: TrialId(4),
        score_micro: 5,
        epochs: 30,
    });
    let order_of = |spec, from| Ask::Do {
        job,
        order,
        what: What { spec, from },
        grant: Some(Grant {
            lease: LeaseId(2),
            token: FencingToken(5),
        }),
    };
    let asks = [
        Ask::Hello,
        Ask::Prepare { job },
        order_of(trial(0, None), None),
        order_of(trial(1, Some(2)), Some(content)),
        order_of(chosen, None),
        Ask::Look { job, order, told: 7 },
        Ask::Stop { job, order },
        Ask::Forget { job, order },
        Ask::Leave { job },
        Ask::Known {
            topic: topic.clone(),
            place: 1,
        },
        Ask::Measured {
            topic: topic.clone(),
            reports: vec![report; 2],
        },
        Ask::Found {
            topic,
            payload: b"recipes".to_vec(),
        },
    ];
    asks.map(|ask| ask.encode().expect("small")).to_vec()
}

/// Answers of all kinds.
///
/// # Panics
/// Never: they are small.
#[must_use]
pub fn tells() -> Vec<Vec<u8>> {
    let reason = "because".to_owned();
    let news = news();
    let done = End::Done {
        state: ContentId(Digest([6; 32])),
        diverged: false,
        ran_on: Some(RanOn {
            backend: "host".to_owned(),
            device: "a processor".to_owned(),
        }),
    };
    let tells = [
        Tell::Here {
            device: "a processor".to_owned(),
            capacity: Bytes(1 << 30),
            slots: 2,
            validators: 4,
            height: 9,
            peers: vec!["/ip4/127.0.0.1/tcp/7000".to_owned()],
        },
        Tell::Job(JobStage::Preparing),
        Tell::Job(JobStage::Refused {
            reason: reason.clone(),
        }),
        Tell::Taken,
        Tell::Full { why: Crowd::Places },
        Tell::Unknown,
        Tell::Invalid {
            reason: reason.clone(),
        },
        Tell::Going { news: news.clone() },
        Tell::Ended {
            news: Vec::new(),
            end: done,
        },
        Tell::Ended {
            news,
            end: End::Failed {
                reason: reason.clone(),
            },
        },
        Tell::Ended {
            news: Vec::new(),
            end: End::Left { reason },
        },
        Tell::Known { said: None },
        Tell::Counted { reports: 2 },
        Tell::Signed { version: 3 },
    ];
    tells.map(|tell| tell.encode().expect("small")).to_vec()
}

fn news() -> Vec<News> {
    let (lease, bytes) = (LeaseId(2), Bytes(1 << 20));
    let metrics = EpochMetrics {
        epoch: 1,
        train_loss: 0.5,
        validation_loss: Some(0.4),
        validation_accuracy: Some(0.9),
        validation_rmse: None,
    };
    vec![
        News::Requested {
            bytes,
            share: Permille::new(100).expect("at most a thousand"),
        },
        News::Queued {
            ahead: 1,
            reason: "others wait".to_owned(),
        },
        News::Granted {
            lease,
            bytes,
            token: FencingToken(3),
            waited_ms: Some(20),
        },
        News::Epoch(metrics),
        News::Yielded {
            epoch: 1,
            step: 2,
            reason: "others wait".to_owned(),
        },
        News::Ended {
            lease,
            end: LeaseEnd::Yielded,
            bytes,
            high_water: bytes,
        },
    ]
}

/// Jobs for classes and for numbers, of rows and of images.
///
/// # Panics
/// Never: they are small.
#[must_use]
pub fn jobs() -> Vec<Vec<u8>> {
    let values = || Target::Values((0_u8..8).map(|row| f32::from(row) / 7.0).collect());
    let image = InputShape::Image {
        channels: 1,
        height: 6,
        width: 6,
    };
    let flat = InputShape::Flat { features: 3 };
    [
        (flat, classes()),
        (flat, values()),
        (image, classes()),
        (image, values()),
    ]
    .map(|(shape, target)| job_of(shape, target).encode().expect("small"))
    .to_vec()
}

fn classes() -> Target {
    Target::Classes {
        labels: vec![0, 1, 0, 1, 1, 1, 0, 0],
        classes: 2,
    }
}

fn a_job(target: Target) -> Job {
    job_of(InputShape::Flat { features: 3 }, target)
}

fn job_of(shape: InputShape, target: Target) -> Job {
    let features = (0..8 * shape.values()).map(|at| (at % 7) as f32 - 3.0);
    let dataset = Dataset::new(shape, features.collect(), target).expect("it fits");
    let search = PreparedData::new(Arc::new(dataset), vec![0, 2, 5], vec![1, 7]).expect("it fits");
    Job {
        seed: Seed(5),
        epochs_budget: Some(60),
        suggested: Vec::new(),
        material: Material {
            merged: Arc::new(search.merged()),
            search: Arc::new(search),
            target_unit: 2.5,
        },
    }
}

fn space() -> SearchSpace {
    SearchSpace::new(
        8,
        InputShape::Flat { features: 3 },
        OutputHead::Classes { count: 2 },
    )
}

/// What a search tells others, and a part of it.
///
/// # Panics
/// Never: they are small.
#[must_use]
pub fn insights() -> Vec<Vec<u8>> {
    let space = space();
    let search = SearchConfig::for_dataset(8, space.input, space.output, Seed(5));
    let recipes = (0..6).map(|id| search.suggestion(CandidateId(id)));
    let recipes: Vec<_> = recipes
        .map(|recipe| serde_json::to_value(recipe).expect("numbers"))
        .collect();
    [1, 2, recipes.len()]
        .map(|count| {
            let told = serde_json::json!({ "schema": "daa.insight.recipes/1", "recipes": recipes[..count] });
            told.to_string().into_bytes()
        })
        .to_vec()
}

/// Events of a run, one line each, and all together.
///
/// # Panics
/// Never: they are small.
#[must_use]
pub fn lines() -> Vec<Vec<u8>> {
    let (agent, work) = (AgentId(1), Work::Trial(TrialId(1)));
    let started = EventKind::RunStarted {
        seed: 5,
        agents: 2,
        resumed: false,
    };
    let claimed = EventKind::WorkClaimed {
        agent,
        work,
        architecture: "fc8-2".to_owned(),
        from_epoch: 0,
        to_epoch: 10,
    };
    let done = EventKind::WorkDone {
        agent,
        work,
        score: Some(0.9),
        parameters: 42,
        plan_peak: Bytes(1 << 20),
        outcome: "done".to_owned(),
        ran_on: None,
    };
    let news = news().into_iter().map(|one| one.event(agent, work));
    let kinds = [started, claimed].into_iter().chain(news).chain([done]);
    let mut lines: Vec<Vec<u8>> = kinds
        .map(|kind| {
            let mut line = serde_json::to_vec(&event(kind)).expect("an event");
            line.push(b'\n');
            line
        })
        .collect();
    lines.push(lines.concat());
    lines
}
