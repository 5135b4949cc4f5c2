//! Ctrl-C and SIGTERM: the first asks the command to stop, the second ends the program at once.

use crate::exit::Exit;
use std::io;
use std::sync::atomic::{AtomicU8, Ordering};
use std::sync::{Arc, mpsc};
use std::time::Duration;

/// Longest wait for the listening thread to be ready.
const READY: Duration = Duration::from_secs(10);

/// What was received so far.
#[derive(Debug, Clone, Default)]
pub(crate) struct Signals {
    /// The exit code that the first signal asks for; zero before.
    first: Arc<AtomicU8>,
}

impl Signals {
    /// Listens from now on. `on_first` is called on the first signal.
    ///
    /// The listener has a thread of its own, so that no amount of computing can keep it from hearing.
    pub(crate) fn listen(on_first: impl FnOnce(&'static str) + Send + 'static) -> io::Result<Self> {
        let signals = Self::default();
        let first = Arc::clone(&signals.first);
        let (ready, is_ready) = mpsc::channel();
        let listener = move || {
            let listening = tokio::runtime::Builder::new_current_thread().enable_all().build();
            let runtime = match listening {
                Ok(runtime) => runtime,
                Err(error) => return drop(ready.send(Err(error))),
            };
            runtime.block_on(hear(ready, &first, on_first));
        };
        std::thread::Builder::new()
            .name("daa-signals".to_owned())
            .spawn(listener)?;
        is_ready.recv_timeout(READY).map_err(io::Error::other)??;
        Ok(signals)
    }

    /// How the program ends if it was stopped.
    pub(crate) fn exit(&self) -> Option<Exit> {
        match self.first.load(Ordering::Acquire) {
            0 => None,
            code if code == Exit::Terminated.code() => Some(Exit::Terminated),
            _ => Some(Exit::Interrupted),
        }
    }
}

async fn hear(ready: mpsc::Sender<io::Result<()>>, first: &AtomicU8, on_first: impl FnOnce(&'static str)) {
    let mut sources = match Sources::new() {
        Ok(sources) => sources,
        Err(error) => return drop(ready.send(Err(error))),
    };
    drop(ready.send(Ok(())));
    let exit = sources.next().await;
    first.store(exit.code(), Ordering::Release);
    on_first(match exit {
        Exit::Terminated => "SIGTERM",
        _ => "Ctrl-C",
    });
    let exit = sources.next().await;
    std::process::exit(i32::from(exit.code()));
}

#[cfg(unix)]
struct Sources {
    interrupt: tokio::signal::unix::Signal,
    terminate: tokio::signal::unix::Signal,
}

#[cfg(unix)]
impl Sources {
    fn new() -> io::Result<Self> {
        use tokio::signal::unix::{SignalKind, signal};
        Ok(Self {
            interrupt: signal(SignalKind::interrupt())?,
            terminate: signal(SignalKind::terminate())?,
        })
    }

    async fn next(&mut self) -> Exit {
        tokio::select! {
            _ = self.interrupt.recv() => Exit::Interrupted,
            _ = self.terminate.recv() => Exit::Terminated,
        }
    }
}

#[cfg(not(unix))]
struct Sources;

#[cfg(not(unix))]
impl Sources {
    fn new() -> io::Result<Self> {
        Ok(Self)
    }

    async fn next(&mut self) -> Exit {
        if tokio::signal::ctrl_c().await.is_err() {
            // Nothing will ever come: wait for the program to end by itself.
            std::future::pending::<()>().await;
        }
        Exit::Interrupted
    }
}
