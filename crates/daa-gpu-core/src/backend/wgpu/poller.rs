//! The one thread that polls a device: callbacks run on it, and what the driver throws ends here.

use crate::config::ContextConfig;
use crate::error::DeviceError;
use crate::health::Health;
use crossbeam::channel::{Receiver, RecvTimeoutError, Sender, bounded};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::JoinHandle;
use std::time::Duration;

/// Longest single wait inside the driver; between two, the thread looks whether it is to end.
const SLICE: Duration = Duration::from_millis(100);

/// What the thread is asked to do.
#[derive(Debug)]
pub(super) enum Signal {
    /// See this submission through.
    Submitted(wgpu::SubmissionIndex),
    /// Look once, then answer.
    Poll(Sender<()>),
}

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
        queue: &wgpu::Queue,
        config: &ContextConfig,
        health: &Arc<Health>,
    ) -> Result<(Self, Sender<Signal>), DeviceError> {
        let (sender, signals) = bounded(config.queue_depth);
        let (alive, ended) = bounded::<()>(0);
        let stop = Arc::new(AtomicBool::new(false));
        let watch = Watch {
            device: device.clone(),
            health: Arc::clone(health),
            stop: Arc::clone(&stop),
            broken: false,
        };
        let queue = queue.clone();
        let body = move || {
            let device = watch.run(&signals);
            // Closing a broken device may panic; this thread holds it last, so that it does so here.
            drop(catch_unwind(AssertUnwindSafe(move || drop((queue, device)))));
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
    health: Arc<Health>,
    stop: Arc<AtomicBool>,
    /// Whether polling panicked; it is not tried again then.
    broken: bool,
}

impl Watch {
    fn run(mut self, signals: &Receiver<Signal>) -> wgpu::Device {
        while let Ok(signal) = signals.recv() {
            match signal {
                Signal::Submitted(index) => self.see_through(&index),
                Signal::Poll(done) => {
                    self.poll(wgpu::PollType::Poll);
                    // Whoever asked may have given up.
                    let _ = done.try_send(());
                }
            }
        }
        // Frees what was dropped since.
        self.poll(wgpu::PollType::Poll);
        self.device
    }

    /// Waits for a submission, and runs the callbacks of everything done by then.
    fn see_through(&mut self, index: &wgpu::SubmissionIndex) {
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

    fn poll(&mut self, how: wgpu::PollType) -> Option<Result<wgpu::PollStatus, wgpu::PollError>> {
        if self.broken {
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
                self.broken = true;
                self.health
                    .lose("the driver failed while it was polled".to_owned());
                None
            }
        }
    }
}
