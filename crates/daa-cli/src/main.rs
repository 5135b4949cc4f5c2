//! The program `daa`.
#![forbid(unsafe_code)]

use std::io::Write as _;
use std::process::ExitCode;

fn main() -> ExitCode {
    std::panic::set_hook(Box::new(|panic| {
        let panic = panic.to_string().replace('\n', " ");
        // A closed standard error must not turn one panic into two.
        let _ = writeln!(
            std::io::stderr(),
            "error: internal: {panic}\nhint: this is a fault of daa; please report it at {} with the command line",
            env!("CARGO_PKG_REPOSITORY")
        );
    }));
    let ended = std::panic::catch_unwind(|| daa_cli::main(std::env::args_os()));
    ended.unwrap_or(ExitCode::from(daa_cli::Exit::Unexpected))
}
