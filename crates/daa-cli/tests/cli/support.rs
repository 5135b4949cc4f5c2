//! The program as a child process, in a folder of its own, with nothing of the caller's settings.

use serde_json::Value;
use std::fmt::Write as _;
use std::fs;
use std::io::{BufRead as _, BufReader};
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStderr, Command, Output, Stdio};
use std::sync::mpsc;
use std::time::Duration;
use tempfile::TempDir;

/// Longest wait for one process; far more than any needs.
const DEADLINE: Duration = Duration::from_secs(120);

/// A folder to work in.
pub(crate) struct Place {
    dir: TempDir,
}

/// How a process ended.
#[derive(Debug)]
pub(crate) struct Ended {
    pub(crate) code: Option<i32>,
    pub(crate) stdout: String,
    pub(crate) stderr: String,
}

impl Place {
    pub(crate) fn new() -> Self {
        Self {
            dir: tempfile::tempdir().expect("a folder"),
        }
    }

    pub(crate) fn path(&self, name: &str) -> PathBuf {
        self.dir.path().join(name)
    }

    pub(crate) fn write(&self, name: &str, bytes: impl AsRef<[u8]>) {
        let path = self.path(name);
        fs::create_dir_all(path.parent().expect("a folder above")).expect("made");
        fs::write(path, bytes).expect("written");
    }

    pub(crate) fn read(&self, name: &str) -> Vec<u8> {
        fs::read(self.path(name)).unwrap_or_else(|error| panic!("{name}: {error}"))
    }

    /// The program with `args`, working in this folder.
    pub(crate) fn daa(&self, args: &[&str]) -> Command {
        let mut command = Command::new(env!("CARGO_BIN_EXE_daa"));
        let ours = std::env::vars_os().filter(|(name, _)| name.to_string_lossy().starts_with("DAA_"));
        for (name, _) in ours {
            command.env_remove(name);
        }
        command.env("DAA_FASHION_MNIST", self.path("no-fashion-mnist"));
        // Without it, a layer of Mesa's drivers writes to the standard error.
        command.env("XDG_RUNTIME_DIR", self.dir.path());
        command.env("XDG_CACHE_HOME", self.path("cache"));
        command
            .args(args)
            .current_dir(self.dir.path())
            .stdin(Stdio::null());
        command
    }

    /// Runs the program to its end.
    pub(crate) fn run(&self, args: &[&str]) -> Ended {
        end(self
            .daa(args)
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .expect("started"))
    }

    /// Runs the program, which must succeed, and reads the one object that it prints.
    pub(crate) fn json(&self, args: &[&str]) -> Value {
        let ended = self.run(args);
        assert_eq!(ended.code, Some(0), "{args:?}: {ended:?}");
        serde_json::from_str(&ended.stdout).unwrap_or_else(|error| panic!("{args:?}: {error}: {ended:?}"))
    }
}

/// Waits for the end of `child`, and kills it if that does not come.
pub(crate) fn end(child: Child) -> Ended {
    let id = child.id();
    let (done, is_done) = mpsc::channel();
    std::thread::spawn(move || done.send(child.wait_with_output()));
    match is_done.recv_timeout(DEADLINE) {
        Ok(output) => ended(&output.expect("waited for")),
        Err(_) => {
            signal(id, "KILL");
            panic!("process {id} did not end within {DEADLINE:?}");
        }
    }
}

fn ended(output: &Output) -> Ended {
    let text = |bytes: &[u8]| String::from_utf8(bytes.to_vec()).expect("UTF-8");
    Ended {
        code: output.status.code(),
        stdout: text(&output.stdout),
        stderr: text(&output.stderr),
    }
}

/// Sends a signal to a process that this test started.
pub(crate) fn signal(id: u32, name: &str) {
    let sent = Command::new("kill")
        .args([format!("-{name}"), id.to_string()])
        .status()
        .expect("kill is there");
    assert!(sent.success(), "signal {name} to {id}");
}

/// A run under way, which tells every event on its standard error.
pub(crate) struct Running {
    pub(crate) child: Child,
    lines: BufReader<ChildStderr>,
    seen: String,
}

impl Running {
    pub(crate) fn start(place: &Place, args: &[&str]) -> Self {
        let mut command = place.daa(args);
        let mut child = command
            .arg("-vv")
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .expect("started");
        let lines = BufReader::new(child.stderr.take().expect("piped"));
        Self {
            child,
            lines,
            seen: String::new(),
        }
    }

    /// Reads lines until `wanted` says that it has seen enough. Fails when the process ends before.
    pub(crate) fn until(&mut self, mut wanted: impl FnMut(&str) -> bool) {
        let mut line = String::new();
        while self.lines.read_line(&mut line).expect("readable") > 0 {
            self.seen.push_str(&line);
            if wanted(&line) {
                return;
            }
            line.clear();
        }
        panic!("the run ended too early:\n{}", self.seen);
    }

    /// Reads `count` lines, and says whether there were as many.
    pub(crate) fn lines(&mut self, count: usize) -> bool {
        let mut line = String::new();
        (0..count).all(|_| {
            line.clear();
            let read = self.lines.read_line(&mut line).expect("readable");
            self.seen.push_str(&line);
            read > 0
        })
    }

    /// Reads the rest and waits for the end.
    pub(crate) fn end(mut self) -> Ended {
        let mut line = String::new();
        while self.lines.read_line(&mut line).expect("readable") > 0 {
            self.seen.push_str(&line);
            line.clear();
        }
        let mut ended = end(self.child);
        ended.stderr = self.seen;
        ended
    }
}

/// 200 rows of two clouds that a small network tells apart.
pub(crate) fn two_clouds() -> String {
    let mut text = String::from("x,y,colour,class\n");
    let mut state = 1_u32;
    let mut noise = || {
        state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
        f64::from(state >> 8) / f64::from(1 << 24) - 0.5
    };
    for row in 0..200 {
        let (side, name) = if row % 2 == 0 {
            (-1.0, "left")
        } else {
            (1.0, "right")
        };
        let colour = if row % 3 == 0 { "red" } else { "blue" };
        let (x, y) = (side + noise(), noise());
        writeln!(text, "{x:.4},{y:.4},{colour},{name}").expect("a string takes everything");
    }
    text
}

/// The flags of a short run on the two clouds.
pub(crate) const SHORT: [&str; 9] = [
    "run",
    "--data",
    "clouds.csv",
    "--device",
    "cpu",
    "--epochs-budget",
    "24",
    "--agents",
    "2",
];

/// A short run into `out`, with more flags.
pub(crate) fn short<'a>(out: &'a str, more: &[&'a str]) -> Vec<&'a str> {
    [&SHORT, ["--out", out].as_slice(), more].concat()
}

/// A folder with the clouds.
pub(crate) fn clouds() -> Place {
    let place = Place::new();
    place.write("clouds.csv", two_clouds());
    place
}

/// The names in a folder that look like a model or a part of one.
pub(crate) fn models_in(folder: &Path) -> Vec<String> {
    let Ok(entries) = fs::read_dir(folder) else {
        return Vec::new();
    };
    let names = entries.map(|entry| {
        entry
            .expect("readable")
            .file_name()
            .to_string_lossy()
            .into_owned()
    });
    names
        .filter(|name| name.starts_with("model") || name.contains("safetensors"))
        .collect()
}
