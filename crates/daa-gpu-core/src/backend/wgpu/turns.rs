//! The submissions of all tenants on their way to the device: they queue here, not in the driver, so that whose turn it
//! is can be decided when there is room.
//!
//! At most [`IN_FLIGHT`] submissions are with the device: one that runs and one that the device can go on with at once.
//! Whoever finds room hands the next ones over, one thread at a time and without a lock: the thread that submits, so
//! that a lone tenant never waits for another thread, or the one that polls, when something has ended.

use super::device::caught;
use super::line::Line;
use super::staging::copied;
use super::{Buffer, Pooled, raw};
use crate::backend::{Tally, charge, count};
use crate::error::GpuError;
use crate::health::Health;
use crate::schedule::{FairQueue, Turn};
use crate::tenant::Effect;
use crossbeam::channel::Sender;
use daa_base::Clock;
use std::collections::VecDeque;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

/// Submissions that are with the device at once.
const IN_FLIGHT: usize = 2;

/// The answer to one submission: the bytes that were read.
pub(super) type Reply = Result<Vec<u8>, GpuError>;

/// One command buffer on its way to the device.
#[derive(Debug)]
pub(super) struct Submission {
    pub(super) commands: wgpu::CommandBuffer,
    pub(super) after: Vec<After>,
    /// Whose it is; `None` for what the pool does for itself.
    pub(super) line: Option<Arc<Line>>,
    pub(super) effect: Effect,
}

/// What follows when a submission has ended.
#[derive(Debug)]
pub(super) enum After {
    /// An upload area goes home, mapped again.
    Rest {
        area: Pooled<Buffer>,
        home: Sender<Pooled<Buffer>>,
    },
    /// The first bytes of a readback area are the answer.
    Read {
        area: Pooled<Buffer>,
        bytes: u64,
        home: Sender<Pooled<Buffer>>,
        reply: Sender<Reply>,
    },
    /// There is nothing to read.
    Done(Sender<Reply>),
}

/// A submission that is with the device.
#[derive(Debug)]
struct Flight {
    index: wgpu::SubmissionIndex,
    turn: Option<Turn>,
    line: Option<Arc<Line>>,
    done: Vec<Sender<Reply>>,
    handed_over: Duration,
}

/// What all loaded images of a device share to get their turns.
#[derive(Debug)]
pub(super) struct Turns {
    device: wgpu::Device,
    queue: wgpu::Queue,
    state: Mutex<State>,
    clock: Arc<dyn Clock>,
    pub(super) health: Arc<Health>,
    pub(super) tally: Arc<Tally>,
}

#[derive(Debug, Default)]
struct State {
    /// Bounded by the depth of each image's line.
    queue: FairQueue<Submission>,
    /// What goes before everything that waits: zeroing of memory that was just lent.
    first: VecDeque<Submission>,
    /// Oldest first.
    flights: VecDeque<Flight>,
    /// Whether a thread hands over at present; it looks again before it stops.
    handing_over: bool,
    /// Whether the poller waits for a signal.
    asleep: bool,
    /// Whether callbacks wait for a poll that no flight will cause.
    look: bool,
    /// How many flights were ever begun, and how many have ended.
    begun: u64,
    ended: u64,
    last_end: Duration,
    /// Turns that a test lets begin.
    #[cfg(test)]
    allowed: Option<usize>,
}

/// Whether the poller must be sent a signal.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[must_use]
pub(super) enum Wake {
    Yes,
    No,
}

/// What the poller does next.
#[derive(Debug)]
pub(super) enum Next {
    /// See this submission through, then call [`Turns::end_oldest`].
    SeeThrough(wgpu::SubmissionIndex),
    /// Poll once: callbacks wait.
    Look,
    /// Wait for a signal.
    Sleep,
}

impl State {
    /// What may be handed over now.
    fn pick(&mut self) -> Option<(Option<Turn>, Submission)> {
        if let Some(first) = self.first.pop_front() {
            return Some((None, first));
        }
        #[cfg(test)]
        if self.allowed == Some(0) {
            // Held by a test.
            return None;
        }
        let (turn, submission) = match self.flights.len() {
            0 => self.queue.begin(),
            1..IN_FLIGHT => self.queue.begin_early(),
            _ => None,
        }?;
        #[cfg(test)]
        if let Some(allowed) = &mut self.allowed {
            *allowed -= 1;
        }
        Some((Some(turn), submission))
    }
}

impl Turns {
    pub(super) fn new(
        device: wgpu::Device,
        queue: wgpu::Queue,
        clock: &Arc<dyn Clock>,
        health: &Arc<Health>,
        tally: &Arc<Tally>,
    ) -> Self {
        Self {
            device,
            queue,
            state: Mutex::default(),
            clock: Arc::clone(clock),
            health: Arc::clone(health),
            tally: Arc::clone(tally),
        }
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Queues a submission behind the earlier ones of its tenant.
    pub(super) fn push(&self, submission: Submission) {
        let Some(line) = &submission.line else {
            return self.push_first(submission);
        };
        line.enter();
        let (member, weight) = (line.lease().member(), line.lease().weight());
        self.lock().queue.push(member, weight, submission);
    }

    /// Queues a submission before everything that waits.
    pub(super) fn push_first(&self, submission: Submission) {
        if let Some(line) = &submission.line {
            line.enter();
        }
        self.lock().first.push_back(submission);
    }

    /// Hands over what there is room for, unless another thread is at it, which then does. `poll` has the device looked
    /// at once, to tell a mistake from a device that is gone.
    pub(super) fn hand_over(&self, poll: impl Fn()) -> Wake {
        let mut state = self.lock();
        if !state.handing_over {
            state.handing_over = true;
            while let Some((turn, submission)) = state.pick() {
                drop(state);
                match self.submit(submission, turn, &poll) {
                    Ok(flight) => {
                        state = self.lock();
                        state.begun += 1;
                        state.flights.push_back(flight);
                    }
                    Err(turn) => {
                        state = self.lock();
                        state.look = true;
                        if let Some(turn) = turn {
                            state.queue.cancel(turn);
                        }
                    }
                }
            }
            state.handing_over = false;
        }
        let has_work = state.look || !state.flights.is_empty();
        if has_work && std::mem::take(&mut state.asleep) {
            Wake::Yes
        } else {
            Wake::No
        }
    }

    /// Gives one submission to the driver, or refuses it and gives its turn back.
    fn submit(
        &self,
        submission: Submission,
        turn: Option<Turn>,
        poll: impl Fn(),
    ) -> Result<Flight, Option<Turn>> {
        let Submission {
            commands,
            after,
            line,
            effect,
        } = submission;
        let refuse = |error: GpuError, after: Vec<After>, line: Option<Arc<Line>>| {
            if let Some(line) = &line {
                line.poison(&error);
            }
            after.into_iter().for_each(|after| self.abandon(after, &error));
            if let Some(line) = line {
                line.leave();
            }
        };
        let allowed = self.health.check().and_then(|()| {
            line.as_ref().map_or(Ok(()), |line| {
                line.check()?;
                line.lease().allows(effect)
            })
        });
        if let Err(error) = allowed {
            refuse(error, after, line);
            return Err(turn);
        }
        let handed_over = self.clock.monotonic();
        let submitted = catch_unwind(AssertUnwindSafe(|| {
            caught(&self.device, || self.queue.submit([commands]))
        }));
        let index = match submitted {
            Ok((index, None)) => index,
            Ok((_, Some(error))) => {
                poll();
                refuse(self.health.check().err().unwrap_or(error), after, line);
                return Err(turn);
            }
            Err(_) => {
                self.health
                    .lose("the driver failed while work was submitted".to_owned());
                let message = "the driver failed".to_owned();
                refuse(
                    self.health
                        .check()
                        .err()
                        .unwrap_or(GpuError::Internal { message }),
                    after,
                    line,
                );
                return Err(turn);
            }
        };
        count(&self.tally.submits, 1);
        Ok(Flight {
            index,
            turn,
            line,
            done: after.into_iter().filter_map(|after| self.follow(after)).collect(),
            handed_over,
        })
    }

    /// Starts what follows a submission; returns who is told when it has ended.
    fn follow(&self, after: After) -> Option<Sender<Reply>> {
        match after {
            After::Rest { area, home } => self.rest(area, home),
            After::Read {
                area,
                bytes,
                home,
                reply,
            } => self.read(area, bytes, home, reply),
            After::Done(reply) => return Some(reply),
        }
        None
    }

    /// The same for a submission that the device never saw.
    fn abandon(&self, after: After, error: &GpuError) {
        let told = match after {
            After::Rest { area, home } => return self.rest(area, home),
            After::Read {
                area, home, reply, ..
            } => {
                // There is room for every area; the image may be gone.
                drop(home.try_send(area));
                reply
            }
            After::Done(reply) => reply,
        };
        // Nobody may be waiting.
        drop(told.try_send(Err(error.clone())));
    }

    /// Maps an upload area again as soon as the device is done with it.
    fn rest(&self, area: Pooled<Buffer>, home: Sender<Pooled<Buffer>>) {
        let health = Arc::clone(&self.health);
        let buffer = raw(&area).clone();
        buffer.map_async(wgpu::MapMode::Write, .., move |mapped| {
            if let Err(error) = mapped {
                health.lose(format!("an upload staging area cannot be mapped again: {error}"));
            }
            drop(home.try_send(area));
        });
    }

    /// Answers with the bytes of a readback area as soon as they have arrived.
    fn read(&self, area: Pooled<Buffer>, bytes: u64, home: Sender<Pooled<Buffer>>, reply: Sender<Reply>) {
        let health = Arc::clone(&self.health);
        let buffer = raw(&area).clone();
        let staging = buffer.clone();
        buffer.map_async(wgpu::MapMode::Read, 0..bytes, move |mapped| {
            let read = mapped.map_err(|error| error.to_string());
            let read = read.and_then(|()| copied(&staging, bytes));
            if read.is_err() {
                health.lose("a readback area cannot be mapped".to_owned());
            }
            let answer =
                read.map_err(|message| health.check().err().unwrap_or(GpuError::Internal { message }));
            // Home first: whoever waits for the answer may read again at once.
            drop(home.try_send(area));
            drop(reply.try_send(answer));
        });
    }

    /// What the poller does next. It promises to come back after [`Next::Sleep`] when it was woken.
    pub(super) fn next(&self) -> Next {
        let mut state = self.lock();
        if let Some(oldest) = state.flights.front() {
            return Next::SeeThrough(oldest.index.clone());
        }
        if std::mem::take(&mut state.look) {
            return Next::Look;
        }
        state.asleep = true;
        Next::Sleep
    }

    /// How many flights were ever begun and how many of them have ended.
    pub(super) fn flights(&self) -> (u64, u64) {
        let state = self.lock();
        (state.begun, state.ended)
    }

    /// The oldest submission that is with the device has ended. It took the device from its handing over, or from the
    /// end of the one before, if that came later.
    pub(super) fn end_oldest(&self) {
        let now = self.clock.monotonic();
        let mut state = self.lock();
        let Some(flight) = state.flights.pop_front() else {
            return;
        };
        let cost = now.saturating_sub(flight.handed_over.max(state.last_end));
        state.last_end = now;
        state.ended += 1;
        if let Some(turn) = flight.turn {
            state.queue.end(turn, cost);
        }
        drop(state);
        for reply in flight.done {
            drop(reply.try_send(self.health.check().map(|()| Vec::new())));
        }
        match flight.line {
            Some(line) => {
                charge(&self.tally, line.lease(), cost);
                line.leave();
            }
            None => count(
                &self.tally.busy,
                u64::try_from(cost.as_nanos()).unwrap_or(u64::MAX),
            ),
        }
    }

    /// Lets so many turns begin and no more; `None` for any number.
    #[cfg(test)]
    pub(super) fn allow_for_test(&self, turns: Option<usize>) {
        self.lock().allowed = turns;
    }
    /// Whether nothing is with the device and nothing may begin.
    #[cfg(test)]
    pub(super) fn is_quiet_for_test(&self) -> bool {
        let state = self.lock();
        state.flights.is_empty() && (state.queue.waiting() == 0 || state.allowed == Some(0))
    }
}
