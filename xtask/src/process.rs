//! Starting other programs.

use std::env;
use std::ffi::OsString;
use std::io::{self, BufRead, BufReader, Read, Write};
use std::process::{Command, Stdio};
use std::thread;

use crate::failure::{Failure, Outcome};
use crate::workspace;

/// Variables that `cargo run` sets for this program and that say nothing true about the programs it starts.
const OWN_VARIABLES: &[&str] = &[
    "CARGO_PKG_",
    "CARGO_MANIFEST_",
    "CARGO_BIN_",
    "CARGO_CRATE_NAME",
    "CARGO_PRIMARY_",
];

/// The cargo that runs this program, in the root of the workspace.
pub(crate) fn cargo(args: &[&str]) -> Command {
    let program = env::var_os("CARGO").unwrap_or_else(|| OsString::from("cargo"));
    let mut command = Command::new(program);
    command.current_dir(workspace::root()).args(args);
    for (name, _) in env::vars_os() {
        let name = name.to_string_lossy();
        if OWN_VARIABLES.iter().any(|own| name.starts_with(own)) {
            command.env_remove(&*name);
        }
    }
    command
}

/// Runs `command` with this program's output streams and no input.
pub(crate) fn run(command: &mut Command) -> Outcome {
    let status = command
        .stdin(Stdio::null())
        .status()
        .map_err(|error| cannot_start(command, &error))?;
    if status.success() {
        return Ok(());
    }
    Err(Failure::new(format!("`{}` failed ({status})", text(command))))
}

/// Runs `command` and returns what it wrote to its standard output; its errors go to this program's.
pub(crate) fn capture(command: &mut Command) -> Result<String, Failure> {
    let output = command
        .stdin(Stdio::null())
        .stderr(Stdio::inherit())
        .output()
        .map_err(|error| cannot_start(command, &error))?;
    if !output.status.success() {
        return Err(Failure::new(format!(
            "`{}` failed ({})",
            text(command),
            output.status
        )));
    }
    String::from_utf8(output.stdout)
        .map_err(|_| Failure::new(format!("`{}` printed bytes that are not UTF-8", text(command))))
}

/// Whether `command` starts and ends well; nothing of it is shown.
pub(crate) fn succeeds(command: &mut Command) -> bool {
    let status = command
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .status();
    status.is_ok_and(|status| status.success())
}

/// Runs `command`, passes both of its output streams on line by line, and returns the lines as well.
pub(crate) fn tee(command: &mut Command) -> Result<Teed, Failure> {
    let mut child = command
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .map_err(|error| cannot_start(command, &error))?;
    let out = child
        .stdout
        .take()
        .map(|stream| thread::spawn(|| pass_on(stream, io::stdout())));
    let err = child
        .stderr
        .take()
        .map(|stream| thread::spawn(|| pass_on(stream, io::stderr())));
    let lines = |reader: Option<thread::JoinHandle<Vec<String>>>| {
        reader.and_then(|reader| reader.join().ok()).unwrap_or_default()
    };
    let (stdout, stderr) = (lines(out), lines(err));
    let status = child.wait().map_err(|error| cannot_start(command, &error))?;
    let failure = (!status.success()).then(|| Failure::new(format!("`{}` failed ({status})", text(command))));
    Ok(Teed {
        stdout,
        stderr,
        failure,
    })
}

/// What a program printed, and whether it failed.
#[derive(Debug)]
pub(crate) struct Teed {
    /// Lines of the standard output.
    pub(crate) stdout: Vec<String>,
    /// Lines of the standard error.
    pub(crate) stderr: Vec<String>,
    /// Set when the program's exit status was not 0.
    pub(crate) failure: Option<Failure>,
}

fn pass_on(stream: impl Read, mut to: impl Write) -> Vec<String> {
    let mut reader = BufReader::new(stream);
    let mut lines = Vec::new();
    let mut line = Vec::new();
    while reader.read_until(b'\n', &mut line).is_ok_and(|read| read > 0) {
        // A closed terminal must not stop the program whose output this is.
        let _ = to.write_all(&line).and_then(|()| to.flush());
        lines.push(String::from_utf8_lossy(&line).trim_end().to_owned());
        line.clear();
    }
    lines
}

/// `command` as one would type it.
pub(crate) fn text(command: &Command) -> String {
    let program = std::path::Path::new(command.get_program())
        .file_name()
        .unwrap_or(command.get_program());
    let mut words = vec![program.to_string_lossy().into_owned()];
    words.extend(command.get_args().map(|arg| arg.to_string_lossy().into_owned()));
    words.join(" ")
}

fn cannot_start(command: &Command, error: &io::Error) -> Failure {
    Failure::new(format!("`{}` cannot be run: {error}", text(command)))
}
