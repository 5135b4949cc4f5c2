//! Which way of settling a conflict is tried next, and the record of it.

use crate::negotiate::Fallback;
use crate::policy::Why;
use daa_base::{Millis, Timestamp};
use serde::{Deserialize, Serialize};
use std::fmt;

/// A way of settling a conflict. The order is that of the ladder.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub enum Rung {
    /// The allocation policy finds room for both.
    Policy,
    /// The agents agree between themselves.
    Negotiation,
    /// The ledger divides what both want.
    Mediator,
    /// The ledger ends leases by its rule, and records what is owed for them.
    Preemption,
    /// A person decides.
    Hold,
}

impl Rung {
    /// All of them, in order.
    pub const ALL: [Self; 5] = [
        Self::Policy,
        Self::Negotiation,
        Self::Mediator,
        Self::Preemption,
        Self::Hold,
    ];
}

impl fmt::Display for Rung {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Policy => "policy",
            Self::Negotiation => "negotiation",
            Self::Mediator => "mediator",
            Self::Preemption => "preemption",
            Self::Hold => "operator hold",
        })
    }
}

/// How one rung is used.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct RungRule {
    /// Whether it is tried at all.
    pub enabled: bool,
    /// How often, 1 to 16.
    pub tries: u8,
    /// How long one try may take, 1 to 86 400 000 ms (a day).
    pub deadline: Millis,
}

/// How each rung is used.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct LadderConfig {
    /// [`Rung::Policy`].
    pub policy: RungRule,
    /// [`Rung::Negotiation`].
    pub negotiation: RungRule,
    /// [`Rung::Mediator`].
    pub mediator: RungRule,
    /// [`Rung::Preemption`].
    pub preemption: RungRule,
    /// [`Rung::Hold`].
    pub hold: RungRule,
}

impl Default for LadderConfig {
    fn default() -> Self {
        let rule = |tries, deadline| RungRule {
            enabled: true,
            tries,
            deadline: Millis(deadline),
        };
        Self {
            policy: rule(1, 1_000),
            negotiation: rule(3, 5_000),
            mediator: rule(1, 2_000),
            preemption: rule(1, 2_000),
            hold: rule(1, 3_600_000),
        }
    }
}

/// A rung's rule that is out of range.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("{field} of the rung {rung} is {value}, allowed are 1 to {max}")]
pub struct ConfigError {
    /// The rung.
    pub rung: Rung,
    /// Which of its fields.
    pub field: &'static str,
    /// Its value.
    pub value: u64,
    /// The largest that is allowed.
    pub max: u64,
}

impl LadderConfig {
    /// The rule of one rung.
    #[must_use]
    pub const fn rule(&self, rung: Rung) -> RungRule {
        match rung {
            Rung::Policy => self.policy,
            Rung::Negotiation => self.negotiation,
            Rung::Mediator => self.mediator,
            Rung::Preemption => self.preemption,
            Rung::Hold => self.hold,
        }
    }

    /// Whether every value is in range.
    ///
    /// # Errors
    /// [`ConfigError`] for the first that is not.
    pub fn validate(&self) -> Result<(), ConfigError> {
        for rung in Rung::ALL {
            let rule = self.rule(rung);
            let values = [
                ("tries", u64::from(rule.tries), 16),
                ("deadline", rule.deadline.get(), 86_400_000),
            ];
            for (field, value, max) in values {
                if !(1..=max).contains(&value) {
                    return Err(ConfigError {
                        rung,
                        field,
                        value,
                        max,
                    });
                }
            }
        }
        Ok(())
    }
}

/// Why a try did not settle the conflict.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[non_exhaustive]
pub enum Failure {
    /// The policy lets the request wait.
    Waits(Why),
    /// The agents did not agree.
    NoAgreement(Fallback),
    /// No division is worth more to both than what they have.
    NothingToGain,
    /// The rules name no lease that may be ended for it.
    NoVictims,
    /// The person in charge said no.
    Declined,
}

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Waits(why) => write!(f, "{why}"),
            Self::NoAgreement(why) => write!(f, "{why}"),
            Self::NothingToGain => f.write_str("no division is worth more to both than what they have"),
            Self::NoVictims => f.write_str("the rules name no lease that may be ended for it"),
            Self::Declined => f.write_str("the person in charge said no"),
        }
    }
}

/// What came of a try.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Report {
    /// The rung that was tried.
    pub rung: Rung,
    /// Which try, counted from 1.
    pub attempt: u8,
    /// Settled, or why not.
    pub result: Result<(), Failure>,
}

/// What the ladder wants done.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Action {
    /// Try this rung and report. Without a report at `until`, the try has failed.
    Try {
        /// The rung.
        rung: Rung,
        /// Which try, counted from 1.
        attempt: u8,
        /// When it is over.
        until: Timestamp,
    },
    /// It is over; nothing follows.
    Finished(Verdict),
}

/// How it ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum Verdict {
    /// Settled on this rung.
    Settled(Rung),
    /// Not settled: each keeps its policy share.
    PolicyShare,
}

/// What happened on a rung.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum Reason {
    /// It is switched off.
    Disabled,
    /// It was tried, and this came of it.
    Failed(Failure),
    /// Nothing came of it in time.
    TimedOut,
    /// It settled the conflict.
    Settled,
}

/// One step, for people and for the ledger.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Record {
    /// When the step ended.
    pub at: Timestamp,
    /// On which rung.
    pub rung: Rung,
    /// Which try, counted from 1; 0 for a rung that is switched off.
    pub attempt: u8,
    /// How many tries the rung has.
    pub tries: u8,
    /// What happened.
    pub reason: Reason,
}

impl fmt::Display for Record {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self {
            rung, attempt, tries, ..
        } = self;
        match self.reason {
            Reason::Disabled => write!(f, "{rung}: switched off"),
            Reason::Failed(why) => write!(f, "{rung}, try {attempt} of {tries}: {why}"),
            Reason::TimedOut => write!(f, "{rung}, try {attempt} of {tries}: nothing came of it in time"),
            Reason::Settled => write!(f, "{rung}, try {attempt} of {tries}: settled"),
        }
    }
}

/// One conflict on its way up. Pure: times come in, actions go out.
#[derive(Debug, Clone)]
pub struct Ladder {
    config: LadderConfig,
    /// Rung, try and its end; `None` before the start and after the end.
    current: Option<(Rung, u8, Timestamp)>,
    verdict: Option<Verdict>,
    /// At most 16 tries of five rungs.
    records: Vec<Record>,
}

impl Ladder {
    /// A ladder at its foot.
    ///
    /// # Errors
    /// [`ConfigError`].
    pub fn new(config: LadderConfig) -> Result<Self, ConfigError> {
        config.validate()?;
        Ok(Self {
            config,
            current: None,
            verdict: None,
            records: Vec::new(),
        })
    }

    /// Begins at the first rung that is enabled. Nothing once it has begun.
    pub fn start(&mut self, now: Timestamp) -> Option<Action> {
        if self.current.is_some() || self.verdict.is_some() {
            return None;
        }
        Some(self.climb(now, 0))
    }

    /// Takes the result of a try. Reports of other tries than the current one are late, and change nothing.
    pub fn report(&mut self, now: Timestamp, report: Report) -> Option<Action> {
        if let Some(action) = self.tick(now) {
            return Some(action);
        }
        let (rung, attempt, _) = self.current?;
        if (rung, attempt) != (report.rung, report.attempt) {
            return None;
        }
        match report.result {
            Ok(()) => {
                self.record(now, rung, attempt, Reason::Settled);
                Some(self.finish(Verdict::Settled(rung)))
            }
            Err(why) => Some(self.next(now, Reason::Failed(why))),
        }
    }

    /// Ends the current try when its time is over.
    pub fn tick(&mut self, now: Timestamp) -> Option<Action> {
        let (_, _, until) = self.current?;
        (now >= until).then(|| self.next(now, Reason::TimedOut))
    }

    /// When [`Ladder::tick`] should be called.
    #[must_use]
    pub fn next_deadline(&self) -> Option<Timestamp> {
        self.current.map(|(_, _, until)| until)
    }

    /// How it ended, once it has.
    #[must_use]
    pub const fn verdict(&self) -> Option<Verdict> {
        self.verdict
    }

    /// Every step so far.
    #[must_use]
    pub fn records(&self) -> &[Record] {
        &self.records
    }

    fn next(&mut self, now: Timestamp, reason: Reason) -> Action {
        let Some((rung, attempt, _)) = self.current else {
            return self.finish(Verdict::PolicyShare);
        };
        self.record(now, rung, attempt, reason);
        if attempt < self.config.rule(rung).tries {
            self.begin(now, rung, attempt + 1)
        } else {
            self.climb(now, rung as usize + 1)
        }
    }

    fn climb(&mut self, now: Timestamp, from: usize) -> Action {
        for rung in Rung::ALL.into_iter().skip(from) {
            if self.config.rule(rung).enabled {
                return self.begin(now, rung, 1);
            }
            self.record(now, rung, 0, Reason::Disabled);
        }
        self.finish(Verdict::PolicyShare)
    }

    fn begin(&mut self, now: Timestamp, rung: Rung, attempt: u8) -> Action {
        let until = now.after(self.config.rule(rung).deadline);
        self.current = Some((rung, attempt, until));
        Action::Try { rung, attempt, until }
    }

    const fn finish(&mut self, verdict: Verdict) -> Action {
        self.current = None;
        self.verdict = Some(verdict);
        Action::Finished(verdict)
    }

    fn record(&mut self, at: Timestamp, rung: Rung, attempt: u8, reason: Reason) {
        self.records.push(Record {
            at,
            rung,
            attempt,
            tries: self.config.rule(rung).tries,
            reason,
        });
    }
}
