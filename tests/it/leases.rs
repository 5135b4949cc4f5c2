//! What leases promise, read off the events of whole runs.

use crate::determinism::{reference, same_under};
use daa_agent::events::{Event, LeaseEnd};
use daa_agent::{Delays, EventKind, Place, RunRecord, Work};
use daa_base::{AgentId, Bytes, LeaseId, Millis, Seed, TrialId};
use daa_learn::{Model, Predictor};
use daa_tests::runs::{Folder, Ran, try_run};
use std::collections::{BTreeMap, BTreeSet};

/// A lease that is held.
struct Held {
    work: Work,
    bytes: Bytes,
    share: u16,
}

/// A lease that has ended.
struct Ended {
    work: Work,
    end: LeaseEnd,
    bytes: Bytes,
    high_water: Bytes,
}

/// A fold over events that holds every lease against the rules.
struct Watch {
    limit: Bytes,
    shares: BTreeMap<AgentId, u16>,
    held: BTreeMap<LeaseId, Held>,
    tokens: BTreeSet<u64>,
    /// Leases that the ledger has ended: their holders leave at the next step boundary.
    lapsed: BTreeSet<LeaseId>,
    granted: usize,
    most: Bytes,
    ended: Vec<Ended>,
}

impl Watch {
    /// The fold over a whole run under `limit`; all leases must have ended.
    fn over(events: &[Event], limit: Bytes) -> Self {
        let mut watch = Self {
            limit,
            shares: BTreeMap::new(),
            held: BTreeMap::new(),
            tokens: BTreeSet::new(),
            lapsed: BTreeSet::new(),
            granted: 0,
            most: Bytes::ZERO,
            ended: Vec::new(),
        };
        for event in events {
            watch.apply(&event.kind);
        }
        assert!(watch.held.is_empty(), "{} leases never ended", watch.held.len());
        assert_eq!(watch.granted, watch.ended.len(), "granted and ended");
        watch
    }

    fn apply(&mut self, kind: &EventKind) {
        match kind {
            EventKind::LeaseRequested { agent, share, .. } => {
                self.shares.insert(*agent, share.get());
            }
            EventKind::LeaseGranted {
                agent,
                work,
                lease,
                bytes,
                token,
                ..
            } => {
                let share = self.shares[agent];
                let (work, bytes) = (*work, *bytes);
                assert!(self.tokens.insert(token.0), "{token} was granted twice");
                assert!(
                    self.held.insert(*lease, Held { work, bytes, share }).is_none(),
                    "{lease} twice"
                );
                self.granted += 1;
                self.check_sums(*lease);
            }
            EventKind::LeaseLapsed { lease, .. } => {
                self.lapsed.insert(*lease);
            }
            EventKind::LeaseEnded {
                lease,
                end,
                bytes,
                high_water,
                ..
            } => {
                let held = self
                    .held
                    .remove(lease)
                    .unwrap_or_else(|| panic!("{lease} was not held"));
                assert_eq!(held.bytes, *bytes, "{lease}");
                let (work, end, bytes, high_water) = (held.work, *end, *bytes, *high_water);
                self.ended.push(Ended {
                    work,
                    end,
                    bytes,
                    high_water,
                });
            }
            _ => {}
        }
    }

    /// Holds the leases that count, now that `lease` was granted, against the limits.
    fn check_sums(&mut self, lease: LeaseId) {
        let counts = |held: &&LeaseId| !self.lapsed.contains(held);
        let held: Vec<&Held> = self.held.keys().filter(counts).map(|id| &self.held[id]).collect();
        let leased: Bytes = held.iter().map(|held| held.bytes).sum();
        assert!(
            leased <= self.limit,
            "{leased} are leased with {lease}, allowed are {}",
            self.limit
        );
        let shares: u16 = held.iter().map(|held| held.share).sum();
        assert!(shares <= 1000, "{shares} thousandths are leased with {lease}");
        self.most = self.most.max(leased);
    }

    /// Leases under which nothing was ever loaded.
    fn unused(&self) -> usize {
        self.ended
            .iter()
            .filter(|lease| lease.high_water == Bytes::ZERO)
            .count()
    }

    /// Holds every lease against the peak of the plan it was for, to the byte.
    fn compare_with(&self, peaks: &BTreeMap<Work, Bytes>) {
        for lease in &self.ended {
            assert_eq!(lease.bytes, peaks[&lease.work], "leased for {}", lease.work);
            if lease.high_water != Bytes::ZERO {
                assert_eq!(
                    lease.high_water, lease.bytes,
                    "reserved for {}, {:?}",
                    lease.work, lease.end
                );
            }
        }
        for (work, peak) in peaks {
            let loaded = self
                .ended
                .iter()
                .any(|lease| lease.work == *work && lease.high_water == *peak);
            assert!(loaded, "{work} was done without ever being loaded");
        }
    }
}

/// The peak of the plan of every piece of work that was done.
fn peaks(ran: &Ran, test: Bytes) -> BTreeMap<Work, Bytes> {
    let mut peaks = BTreeMap::from([(Work::Test, test)]);
    for event in &ran.events {
        if let EventKind::WorkDone { work, plan_peak, .. } = event.kind {
            peaks.insert(work, plan_peak);
        }
    }
    peaks
}

/// The peak of the plan that the final test loads; the same in every run of the reference's task.
fn test_peak() -> Bytes {
    let folder = Folder::new();
    std::fs::create_dir_all(folder.path()).expect("a folder can be made");
    let bytes = &reference().model;
    std::fs::write(folder.path().join("model.safetensors"), &bytes.tensors).expect("written");
    std::fs::write(folder.path().join("model.json"), &bytes.description).expect("written");
    let model = Model::load(folder.path()).expect("a run's model loads");
    Predictor::network(&model).expect("it compiles").peak_bytes()
}

/// Bytes that tenants held at each sample.
fn in_use(ran: &Ran) -> Vec<Bytes> {
    let sample = |event: &Event| match &event.kind {
        EventKind::Memory { sample } => Some(sample.in_use.iter().copied().sum()),
        _ => None,
    };
    ran.events.iter().filter_map(sample).collect()
}

/// Tenants never held more than `limit`, and nothing at the end.
fn check_memory(ran: &Ran, limit: Bytes) {
    let samples = in_use(ran);
    assert_eq!(
        samples.last().copied().unwrap_or_default(),
        Bytes::ZERO,
        "at the end"
    );
    let most = samples.into_iter().max().unwrap_or_default();
    assert!(most <= limit, "{most} were in use, allowed are {limit}");
}

/// Every agent asked for a fair part of the device: as many thousandths as go to each of `agents`.
fn check_shares(ran: &Ran, agents: usize) {
    let mut asked = 0;
    for event in &ran.events {
        if let EventKind::LeaseRequested { agent, share, .. } = &event.kind {
            assert_eq!(usize::from(share.get()), 1000 / agents, "{agent} of {agents}");
            asked += 1;
        }
    }
    assert!(asked > 0, "nobody asked");
}

fn has_ended_early(ran: &Ran) -> bool {
    let is = |kind: &EventKind| {
        matches!(
            kind,
            EventKind::LeaseEnded {
                end: LeaseEnd::Expired | LeaseEnd::Revoked,
                ..
            }
        )
    };
    ran.count(is) > 0
}

#[test]
fn a_lease_is_used_to_the_byte() {
    let ran = &reference().ran;
    let watch = Watch::over(&ran.events, Bytes(u64::MAX));
    watch.compare_with(&peaks(ran, test_peak()));
    assert_eq!(watch.unused(), 0, "nobody was in the way");
    check_memory(ran, Bytes(u64::MAX));
    check_shares(ran, 1);
}

#[test]
fn what_a_lease_gave_back_is_kept_for_the_next() {
    let samples = reference()
        .ran
        .events
        .iter()
        .filter_map(|event| match &event.kind {
            EventKind::Memory { sample } => Some(*sample),
            _ => None,
        });
    let held = |sample: &daa_agent::events::MemorySample| sample.in_use.iter().copied().sum::<Bytes>();
    // With one agent nothing is in use between two leases, so whatever is there then is kept.
    let between: Vec<_> = samples.filter(|sample| held(sample) == Bytes::ZERO).collect();
    assert!(between.len() > 1, "{between:?}");
    assert!(
        between.iter().all(|sample| sample.cached > Bytes::ZERO),
        "{between:?}"
    );
}

#[test]
fn leases_never_sum_up_to_more_than_the_limit() {
    let peak = reference().ran.largest_peak();
    for (agents, limit, hold) in [
        (4, peak, Millis(1_000)),
        (3, Bytes(peak.get() * 2), Millis(200)),
        (8, Bytes(peak.get() * 3), Millis(60)),
    ] {
        let ran = same_under(|config| {
            config.schedule.agents = agents;
            config.schedule.memory_limit = Some(limit);
            config.schedule.lease = hold;
        });
        let watch = Watch::over(&ran.events, limit);
        watch.compare_with(&peaks(&ran, test_peak()));
        check_memory(&ran, limit);
        check_shares(&ran, agents);
        let leases = ran.summary.leases;
        assert_eq!((leases.granted, leases.refused), (watch.granted as u64, 0));
        assert_eq!(leases.peak_bytes, watch.most.get());
        assert!(watch.most > Bytes::ZERO, "something was leased");
        if !has_ended_early(&ran) {
            assert_eq!(watch.unused(), 0, "memory is given back before the lease is");
        }
    }
}

#[test]
fn leases_keep_their_promises_under_delays_and_faults() {
    let peak = reference().ran.largest_peak();
    for seed in [21, 22] {
        let ran = same_under(|config| {
            config.schedule.agents = 4;
            config.schedule.memory_limit = Some(peak);
            config.schedule.lease = Millis(20);
            config.schedule.delays = Some(Delays {
                seed: Seed(seed),
                longest: Millis(10),
            });
        });
        let watch = Watch::over(&ran.events, peak);
        watch.compare_with(&peaks(&ran, test_peak()));
        check_memory(&ran, peak);
    }
}

#[test]
fn a_run_that_is_stopped_gives_every_lease_back() {
    let reference = reference();
    for stop_at in [9, 14, 25, 40] {
        let mut config = reference.config.clone();
        config.schedule.agents = 3;
        let folder = Folder::new();
        let ran =
            try_run(&config, Place::New(folder.path().to_owned()), Some(stop_at)).expect("it stops in order");
        assert!(!ran.is_finished(), "stopped at {stop_at}");
        Watch::over(&ran.events, Bytes(u64::MAX));
        check_memory(&ran, Bytes(u64::MAX));
    }
}

/// Where in the events each trial was claimed, and where the last lease of each trial ended: its result comes later.
fn claims_and_ends(events: &[Event]) -> (BTreeMap<TrialId, usize>, BTreeMap<TrialId, usize>) {
    let (mut claims, mut ends) = (BTreeMap::new(), BTreeMap::new());
    let mut of = BTreeMap::new();
    for (at, event) in events.iter().enumerate() {
        match &event.kind {
            EventKind::WorkClaimed {
                work: Work::Trial(trial),
                ..
            } => {
                claims.entry(*trial).or_insert(at);
            }
            EventKind::LeaseGranted {
                work: Work::Trial(trial),
                lease,
                ..
            } => {
                of.insert(*lease, *trial);
            }
            EventKind::LeaseEnded { lease, .. } => {
                if let Some(trial) = of.get(lease) {
                    ends.insert(*trial, at);
                }
            }
            _ => {}
        }
    }
    (claims, ends)
}

#[test]
fn a_trial_is_decided_after_the_results_below_its_window_and_not_after_all() {
    let ran = same_under(|config| config.schedule.agents = 4);
    let window = |event: &Event| match event.kind {
        EventKind::SearchPlanned { window, .. } => Some(window),
        _ => None,
    };
    let window = ran
        .events
        .iter()
        .find_map(window)
        .expect("the search was planned");
    let (claims, ends) = claims_and_ends(&ran.events);
    assert!(
        claims.len() > window as usize + 1,
        "{} trials do not reach the window {window}",
        claims.len()
    );
    let mut ahead = 0;
    for (trial, claimed) in &claims {
        let seen = trial.get().saturating_sub(window);
        for before in 0..trial.get() {
            let is_over = ends[&TrialId(before)] < *claimed;
            assert!(
                is_over || before >= seen,
                "{trial} was claimed before trial {before} was over"
            );
            ahead += usize::from(!is_over);
        }
    }
    assert!(
        ahead > 0,
        "every trial waited for all before it: nothing ran at the same time"
    );
}

/// Events that agents report late, in another order than the ledger's.
#[test]
fn a_lapsed_lease_counts_no_longer_whatever_is_told_first() {
    let granted = |lease: u64| EventKind::LeaseGranted {
        agent: AgentId(lease as u32),
        work: Work::Final,
        lease: LeaseId(lease),
        bytes: Bytes(100),
        token: daa_base::FencingToken(lease),
        waited_ms: None,
    };
    let lapsed = |lease: u64| EventKind::LeaseLapsed {
        agent: AgentId(lease as u32),
        lease: LeaseId(lease),
        end: LeaseEnd::Expired,
    };
    let ended = |lease: u64| EventKind::LeaseEnded {
        agent: AgentId(lease as u32),
        lease: LeaseId(lease),
        end: LeaseEnd::Expired,
        bytes: Bytes(100),
        high_water: Bytes(100),
    };
    let peak = |kinds: &[EventKind]| {
        let mut record = RunRecord::default();
        for kind in kinds {
            let (time, message) = (String::new(), kind.to_string());
            let kind = kind.clone();
            record.apply(&Event {
                at_ms: 0,
                time,
                message,
                kind,
            });
        }
        record.lease_counts.peak_bytes
    };
    assert_eq!(peak(&[granted(1), granted(2)]), Bytes(200));
    assert_eq!(peak(&[granted(1), ended(1), granted(2)]), Bytes(100));
    assert_eq!(peak(&[granted(1), lapsed(1), granted(2), ended(1)]), Bytes(100));
    assert_eq!(peak(&[lapsed(1), granted(2), granted(1), ended(1)]), Bytes(100));
    assert_eq!(peak(&[granted(1), ended(1), lapsed(1), granted(2)]), Bytes(100));
}
