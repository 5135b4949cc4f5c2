//! The run folder: everything a run leaves behind, and everything it needs to go on after a crash.
//!
//! ```text
//! run.json             configuration, seed, versions
//! events.jsonl         what happened, a line each
//! metrics.jsonl        epochs and memory, a line each
//! state/…              results and checkpoints of finished and unfinished work
//! model.safetensors    the trained network   } written last, under a temporary name first
//! model.json           its description       }
//! report.html          the report
//! summary.json         what `-o json` prints
//! ```
//! Whole files are written under a temporary name and renamed; the two line files are appended to, and a line that a
//! crash cut off is dropped when the folder is opened again. They only tell what happened, so a line that is damaged
//! is passed over. A lock keeps a second process out.

mod lines;

use crate::error::FolderError;
use crate::events::{Event, Work};
use daa_learn::files;
#[cfg(any(test, fuzzing))]
pub(crate) use lines::take_lines;
use lines::{open_lines, read_lines};
use serde::Serialize;
use serde::de::DeserializeOwned;
use std::fs::{self, File, OpenOptions};
use std::io::{Read as _, Write as _};
use std::path::{Path, PathBuf};
use std::sync::{Mutex, PoisonError};

/// Most bytes of a JSON file that a run folder is believed to hold.
const MAX_JSON: u64 = 64 << 20;

/// An open run folder.
#[derive(Debug)]
pub struct RunFolder {
    root: PathBuf,
    lines: Mutex<Lines>,
    /// Held as long as the folder is open; the operating system lets go of it when the process dies.
    lock: File,
}

/// Closing the file would free the lock too, but not before a process that is just being started has closed the copy
/// that it inherited.
impl Drop for RunFolder {
    fn drop(&mut self) {
        let lines = self.lines.get_mut().unwrap_or_else(PoisonError::into_inner);
        for file in [&lines.events, &lines.metrics] {
            if let Err(error) = file.sync_data() {
                tracing::debug!(%error, "the last lines may not last through a power cut");
            }
        }
        if let Err(error) = self.lock.unlock() {
            tracing::debug!(%error, "the lock goes when the file is closed");
        }
    }
}

#[derive(Debug)]
struct Lines {
    events: File,
    metrics: File,
}

impl RunFolder {
    /// Makes the folder. It may exist if it is empty, or if a run was killed before it wrote anything into it.
    ///
    /// # Errors
    /// When it exists and holds something, or cannot be made.
    pub fn create(root: &Path) -> Result<Self, FolderError> {
        let io = |source| FolderError::Io {
            path: root.to_owned(),
            doing: "make the run folder",
            source,
        };
        fs::create_dir_all(root).map_err(io)?;
        if !is_unused(root).map_err(io)? {
            return Err(FolderError::NotEmpty {
                path: root.to_owned(),
            });
        }
        Self::open_at(root)
    }

    /// Opens the folder of an earlier run and drops what a crash left half-written.
    ///
    /// # Errors
    /// When it is not a run folder, or another process has it open.
    pub fn open(root: &Path) -> Result<Self, FolderError> {
        if !root.join("run.json").is_file() {
            return Err(FolderError::NotARun {
                path: root.to_owned(),
            });
        }
        Self::open_at(root)
    }

    fn open_at(root: &Path) -> Result<Self, FolderError> {
        let state = root.join("state");
        fs::create_dir_all(&state).map_err(|source| FolderError::Io {
            path: state.clone(),
            doing: "make the state folder",
            source,
        })?;
        let lock_path = state.join("lock");
        let lock = open_append(&lock_path)?;
        match lock.try_lock() {
            Ok(()) => {}
            Err(fs::TryLockError::WouldBlock) => {
                return Err(FolderError::InUse {
                    path: root.to_owned(),
                });
            }
            Err(fs::TryLockError::Error(source)) => {
                return Err(FolderError::Io {
                    path: lock_path,
                    doing: "lock",
                    source,
                });
            }
        }
        let events = open_lines(&root.join("events.jsonl"))?;
        let metrics = open_lines(&root.join("metrics.jsonl"))?;
        Ok(Self {
            root: root.to_owned(),
            lines: Mutex::new(Lines { events, metrics }),
            lock,
        })
    }

    /// Where the folder is.
    #[must_use]
    pub fn path(&self) -> &Path {
        &self.root
    }

    /// Where the state of `work` is kept. The folder is made if it is not there.
    ///
    /// # Errors
    /// When it cannot be made.
    pub fn work_dir(&self, work: Work) -> Result<PathBuf, FolderError> {
        let name = match work {
            Work::Trial(trial) => format!("trial-{:05}", trial.get()),
            Work::Final => "final".to_owned(),
            Work::Test => "test".to_owned(),
        };
        let path = self.root.join("state").join(name);
        fs::create_dir_all(&path).map_err(|source| FolderError::Io {
            path: path.clone(),
            doing: "make the state folder",
            source,
        })?;
        Ok(path)
    }

    /// Appends `event` to `metrics.jsonl` or `events.jsonl`.
    ///
    /// # Errors
    /// When the disk refuses.
    pub fn append(&self, event: &Event) -> Result<(), FolderError> {
        let metric = event.kind.is_metric();
        let path = self
            .root
            .join(if metric { "metrics.jsonl" } else { "events.jsonl" });
        let mut line = serde_json::to_vec(event).map_err(|error| FolderError::Json {
            path: path.clone(),
            reason: error.to_string(),
        })?;
        line.push(b'\n');
        let mut lines = self.lines.lock().unwrap_or_else(PoisonError::into_inner);
        let file = if metric {
            &mut lines.metrics
        } else {
            &mut lines.events
        };
        // One write call a line: a crash cuts at most the last one.
        file.write_all(&line).map_err(|source| FolderError::Io {
            path,
            doing: "append to",
            source,
        })
    }

    /// All events so far, metrics among them, in the order of their times. Lines that are not events are passed over
    /// and counted in a warning of the log: nothing that a run leaves behind but its report depends on them.
    ///
    /// # Errors
    /// When a file cannot be read, or is larger than 256 MiB.
    pub fn events(&self) -> Result<Vec<Event>, FolderError> {
        let mut events = Vec::new();
        for name in ["events.jsonl", "metrics.jsonl"] {
            let path = self.root.join(name);
            let damaged = read_lines(&path, &mut events)?;
            if damaged > 0 {
                tracing::warn!(path = %path.display(), damaged, "damaged lines are passed over");
            }
        }
        // Stable: at equal times the event that announces work stays before the metrics of that work.
        events.sort_by_key(|event| event.at_ms);
        Ok(events)
    }

    /// Writes `value` as JSON to `name` (relative to the folder), whole or not at all.
    ///
    /// # Errors
    /// When the disk refuses.
    pub fn write_json(&self, name: &str, value: &impl Serialize) -> Result<(), FolderError> {
        write_json(&self.root.join(name), value)
    }

    /// Writes `text` to `name` (relative to the folder), whole or not at all.
    ///
    /// # Errors
    /// When the disk refuses.
    pub fn write_text(&self, name: &str, text: &str) -> Result<(), FolderError> {
        write_whole(&self.root.join(name), text.as_bytes())
    }
}

/// Writes `value` as JSON to `path`, whole or not at all.
///
/// # Errors
/// When the disk refuses.
pub(crate) fn write_json(path: &Path, value: &impl Serialize) -> Result<(), FolderError> {
    let mut bytes = serde_json::to_vec_pretty(value).map_err(|error| FolderError::Json {
        path: path.to_owned(),
        reason: error.to_string(),
    })?;
    bytes.push(b'\n');
    write_whole(path, &bytes)
}

/// Reads `path` as JSON; `None` when there is no such file.
///
/// # Errors
/// When it cannot be read, is too large, or is not the JSON wanted.
pub(crate) fn read_json<T: DeserializeOwned>(path: &Path) -> Result<Option<T>, FolderError> {
    let io = |source| FolderError::Io {
        path: path.to_owned(),
        doing: "read",
        source,
    };
    let file = match File::open(path) {
        Ok(file) => file,
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(None),
        Err(error) => return Err(io(error)),
    };
    let size = file.metadata().map_err(io)?.len();
    let json = |reason: String| FolderError::Json {
        path: path.to_owned(),
        reason,
    };
    if size > MAX_JSON {
        return Err(json(format!("it has {size} bytes, allowed are 0 to {MAX_JSON}")));
    }
    let mut bytes = Vec::new();
    file.take(MAX_JSON).read_to_end(&mut bytes).map_err(io)?;
    serde_json::from_slice(&bytes)
        .map(Some)
        .map_err(|error| json(error.to_string()))
}

pub(crate) fn write_whole(path: &Path, bytes: &[u8]) -> Result<(), FolderError> {
    files::write_whole(path, bytes).map_err(|source| FolderError::Io {
        path: path.to_owned(),
        doing: "write",
        source,
    })
}

/// Whether nothing is in `root` but what [`RunFolder::create`] itself makes, and that is empty too.
fn is_unused(root: &Path) -> std::io::Result<bool> {
    for entry in fs::read_dir(root)? {
        let entry = entry?;
        let name = entry.file_name();
        let is_ours = if name == "state" && entry.file_type()?.is_dir() {
            let mut inside = fs::read_dir(entry.path())?;
            inside.all(|inner| inner.is_ok_and(|inner| inner.file_name() == "lock"))
        } else {
            (name == "events.jsonl" || name == "metrics.jsonl") && entry.metadata()?.len() == 0
        };
        if !is_ours {
            return Ok(false);
        }
    }
    Ok(true)
}

fn open_append(path: &Path) -> Result<File, FolderError> {
    OpenOptions::new()
        .create(true)
        .read(true)
        .append(true)
        .open(path)
        .map_err(|source| FolderError::Io {
            path: path.to_owned(),
            doing: "open",
            source,
        })
}

#[cfg(test)]
mod tests;
