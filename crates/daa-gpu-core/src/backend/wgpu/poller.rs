//! The one thread that polls a device: callbacks run on it, and what the driver throws ends here.

use super::turns::{Next, Turns};
use crate::config::ContextConfig;
use crate::error::DeviceError;
use crate::health::Health;
use crossbeam::channel::{Receiver, RecvTimeoutError, Sender, bounded};
use std::cell::Cell;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::JoinHandle;
use std::time::Duration;

/// Longest single wait inside the driver; between two, the thread looks whether it is to end.
const SLICE: Duration = Duration::from_millis(100);

/// What wakes the thread.
#[derive(Debug)]
pub(super) enum Signal {
    /// There is work with the device.
    Work,
    /// Look once, behind what is with the device now, then answer.
    Poll(Sender<()>),
}

/// Signals that wait for the thread at most; whoever has another waits for room. Work is signalled only while the
/// thread sleeps, so these are as many threads that want the device polled.
const SIGNALS: usize = 64;

/// The handle of the thread. Dropping it, after every sender of signals, joins the thread.
#[derive(Debug)]
pub(super) struct Poller {
    thread: Option<JoinHandle<()>>,
    /// Never sends: it disconnects when the thread has ended.
    ended: Receiver<()>,
    stop: Arc<AtomicBool>,
    deadline: Duration,
}

impl Poller {
    pub(super) fn start(
        device: &wgpu::Device,
        turns: &Arc<Turns>,
        config: &ContextConfig,
        health: &Arc<Health>,
    ) -> Result<(Self, Sender<Signal>), DeviceError> {
        let (sender, signals) = bounded(SIGNALS);
        let (alive, ended) = bounded::<()>(0);
        let stop = Arc::new(AtomicBool::new(false));
        let watch = Watch {
            device: device.clone(),
            turns: Arc::clone(turns),
            health: Arc::clone(health),
            stop: Arc::clone(&stop),
            broken: Cell::new(false),
        };
        let body = move || {
            let held = watch.run(&signals);
            // Closing a broken device may panic; this thread holds it last, so that it does so here.
            drop(catch_unwind(AssertUnwindSafe(move || drop(held))));
            drop(alive);
        };
        let thread = std::thread::Builder::new()
            .name("daa-gpu-poll".to_owned())
            .spawn(body)
            .map_err(|error| DeviceError::Thread {
                message: error.to_string(),
            })?;
        Ok((
            Self {
                thread: Some(thread),
                ended,
                stop,
                deadline: config.step_deadline,
            },
            sender,
        ))
    }
}

impl Drop for Poller {
    fn drop(&mut self) {
        self.stop.store(true, Ordering::Release);
        if self.ended.recv_timeout(self.deadline) == Err(RecvTimeoutError::Timeout) {
            tracing::warn!(deadline = ?self.deadline, "the driver does not return; the polling thread is left behind");
        } else if let Some(thread) = self.thread.take() {
            // It catches what the driver throws; there is nothing to learn from the result.
            drop(thread.join());
        }
    }
}

/// What the thread works with.
struct Watch {
    device: wgpu::Device,
    turns: Arc<Turns>,
    health: Arc<Health>,
    stop: Arc<AtomicBool>,
    /// Whether polling panicked; it is not tried again then.
    broken: Cell<bool>,
}

impl Watch {
    fn run(self, signals: &Receiver<Signal>) -> (Arc<Turns>, wgpu::Device) {
        loop {
            match self.turns.next() {
                Next::SeeThrough(index) => {
                    self.see_through(&index);
                    self.go_on();
                    while let Ok(signal) = signals.try_recv() {
                        self.answer(signal);
                    }
                }
                Next::Look => {
                    self.poll(wgpu::PollType::Poll);
                }
                Next::Sleep => match signals.recv() {
                    Ok(signal) => self.answer(signal),
                    Err(_) => break,
                },
            }
        }
        // Frees what was dropped since.
        self.poll(wgpu::PollType::Poll);
        (self.turns, self.device)
    }

    /// The oldest submission has ended; others get their turn.
    fn go_on(&self) {
        self.turns.end_oldest();
        // This is the thread that would be woken.
        let _ = self.turns.hand_over(|| {
            self.poll(wgpu::PollType::Poll);
        });
    }

    fn answer(&self, signal: Signal) {
        let Signal::Poll(done) = signal else { return };
        let (until, _) = self.turns.flights();
        while self.turns.flights().1 < until
            && let Next::SeeThrough(index) = self.turns.next()
        {
            self.see_through(&index);
            self.go_on();
        }
        self.poll(wgpu::PollType::Poll);
        // Whoever asked may have given up.
        let _ = done.try_send(());
    }

    /// Waits for a submission, and runs the callbacks of everything done by then.
    fn see_through(&self, index: &wgpu::SubmissionIndex) {
        let wait = || wgpu::PollType::Wait {
            submission_index: Some(index.clone()),
            timeout: Some(SLICE),
        };
        while let Some(Err(wgpu::PollError::Timeout)) = self.poll(wait()) {
            if self.stop.load(Ordering::Acquire) {
                return;
            }
        }
    }

    fn poll(&self, how: wgpu::PollType) -> Option<Result<wgpu::PollStatus, wgpu::PollError>> {
        if self.broken.get() {
            return None;
        }
        let polled = catch_unwind(AssertUnwindSafe(|| self.device.poll(how)));
        match polled {
            Ok(Err(error @ wgpu::PollError::WrongSubmissionIndex(..))) => {
                self.health
                    .lose(format!("the driver lost count of its work: {error}"));
                None
            }
            Ok(result) => Some(result),
            Err(_) => {
                self.broken.set(true);
                self.health
                    .lose("the driver failed while it was polled".to_owned());
                None
            }
        }
    }
}
