//! What the crates below say about themselves, on the standard error.

use crate::args::Global;
use crate::messages::Messages;
use std::io;
use tracing_subscriber::EnvFilter;

/// Sends log lines to the standard error: as `DAA_LOG` says where it is set, else by -q and -v.
pub(crate) fn start(global: &Global, messages: &Messages) {
    let messages = messages.clone();
    // Fails only if a subscriber is there already; then that one serves.
    let _ = tracing_subscriber::fmt()
        .with_env_filter(filter(global))
        .with_ansi(false)
        .without_time()
        .with_target(false)
        .log_internal_errors(false)
        .with_writer(move || Lines(messages.clone()))
        .try_init();
}

fn filter(global: &Global) -> EnvFilter {
    if let Some(wanted) = std::env::var("DAA_LOG").ok().filter(|wanted| !wanted.is_empty()) {
        return EnvFilter::new(wanted);
    }
    // Drivers and libraries from outside speak only of errors unless asked with -vvv. The recorder of a run logs the
    // events that the progress display tells already.
    // The engine's network says that it ends as an error; why it ends, this program says.
    let quiet = "arc_malachitebft_engine::network=off";
    let levels = match (global.quiet, global.verbose) {
        (true, _) => "error",
        (false, 0) => "error,daa=warn",
        (false, 1) => "error,daa=info",
        (false, 2) => "warn,daa=debug,daa_agent::recorder=info",
        (false, _) => return EnvFilter::new("info,daa=trace,daa_agent::recorder=info"),
    };
    EnvFilter::new(format!("{levels},{quiet}"))
}

/// Whole lines, written between two drawings of the bars.
#[derive(Debug)]
struct Lines(Messages);

impl io::Write for Lines {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.0.raw(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}
