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

use crate::error::FolderError;
use crate::events::{Event, Work};
use serde::Serialize;
use serde::de::DeserializeOwned;
use std::fs::{self, File, OpenOptions};
use std::io::{BufRead, BufReader, Read as _, Seek as _, SeekFrom, Write as _};
use std::path::{Path, PathBuf};
use std::sync::{Mutex, PoisonError};

/// Most bytes of a JSON file that a run folder is believed to hold.
const MAX_JSON: u64 = 64 << 20;

/// Most bytes of a file of lines that is read back.
const MAX_LINES: u64 = 256 << 20;

/// Most bytes of one line; the longest events hold a path or a few warnings.
const MAX_LINE: usize = 1 << 20;

/// Latest time of an event that is believed, in milliseconds of a run: longer than any run, far from overflow.
const MAX_AT_MS: u64 = 1 << 52;

/// Bytes that are looked at together for the end of the last whole line.
const BLOCK: usize = 64 << 10;

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

fn write_whole(path: &Path, bytes: &[u8]) -> Result<(), FolderError> {
    let io = |source| FolderError::Io {
        path: path.to_owned(),
        doing: "write",
        source,
    };
    let folder = match path.parent() {
        Some(folder) if !folder.as_os_str().is_empty() => folder,
        _ => Path::new("."),
    };
    let mut file = temporary_in(folder).map_err(io)?;
    file.write_all(bytes).map_err(io)?;
    file.as_file().sync_all().map_err(io)?;
    file.persist(path).map_err(|error| io(error.error))?;
    sync_folder(folder);
    Ok(())
}

/// A temporary file in `folder` with the permissions of any other new file: tempfile's own are for its owner alone.
fn temporary_in(folder: &Path) -> std::io::Result<tempfile::NamedTempFile> {
    let mut builder = tempfile::Builder::new();
    builder.prefix(".tmp");
    // The operating system takes the umask off.
    #[cfg(unix)]
    builder.permissions(std::os::unix::fs::PermissionsExt::from_mode(0o666));
    builder.tempfile_in(folder)
}

/// Makes a rename in `folder` last through a power cut, where the file system can. The file itself is whole already.
fn sync_folder(folder: &Path) {
    #[cfg(unix)]
    if let Err(error) = File::open(folder).and_then(|folder| folder.sync_all()) {
        tracing::debug!(%error, folder = %folder.display(), "cannot flush a folder");
    }
    #[cfg(not(unix))]
    let _ = folder;
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

/// Opens a file of lines for appending, without the last line if a crash cut it off.
fn open_lines(path: &Path) -> Result<File, FolderError> {
    let io = |source| FolderError::Io {
        path: path.to_owned(),
        doing: "open",
        source,
    };
    let mut file = open_append(path)?;
    let length = file.metadata().map_err(io)?.len();
    let whole = end_of_last_line(&mut file, length).map_err(io)?;
    if whole < length {
        file.set_len(whole).map_err(io)?;
    }
    Ok(file)
}

/// Where the last whole line of `file` ends, looking backwards from `length`; 0 when it holds none.
fn end_of_last_line(file: &mut File, length: u64) -> std::io::Result<u64> {
    let mut block = vec![0; BLOCK];
    let mut end = length;
    while end > 0 {
        let start = end.saturating_sub(BLOCK as u64);
        let block = &mut block[..(end - start) as usize];
        file.seek(SeekFrom::Start(start))?;
        file.read_exact(block)?;
        if let Some(at) = block.iter().rposition(|&byte| byte == b'\n') {
            return Ok(start + at as u64 + 1);
        }
        end = start;
    }
    Ok(0)
}

/// Adds the events of the file at `path` to `events`, and gives the number of lines that are none.
fn read_lines(path: &Path, events: &mut Vec<Event>) -> Result<u64, FolderError> {
    let io = |source| FolderError::Io {
        path: path.to_owned(),
        doing: "read",
        source,
    };
    let file = File::open(path).map_err(io)?;
    let found = file.metadata().map_err(io)?.len();
    if found > MAX_LINES {
        return Err(FolderError::TooLarge {
            path: path.to_owned(),
            found,
            limit: MAX_LINES,
        });
    }
    // The file may grow while it is read.
    let mut lines = BufReader::new(file.take(MAX_LINES));
    let mut line = Vec::new();
    let mut damaged = 0;
    while read_line(&mut lines, &mut line).map_err(io)? {
        let event = serde_json::from_slice::<Event>(&line).ok();
        match event.filter(|event| event.at_ms <= MAX_AT_MS) {
            Some(event) => events.push(event),
            None => damaged += 1,
        }
    }
    Ok(damaged)
}

/// Reads the next line into `line`, without its end; whether there was one. Of a line that is too long to be an
/// event, only the beginning is kept.
fn read_line(lines: &mut impl BufRead, line: &mut Vec<u8>) -> std::io::Result<bool> {
    line.clear();
    let mut is_any = false;
    loop {
        let block = lines.fill_buf()?;
        if block.is_empty() {
            return Ok(is_any);
        }
        is_any = true;
        let end = block.iter().position(|&byte| byte == b'\n');
        let part = &block[..end.unwrap_or(block.len())];
        let room = MAX_LINE.saturating_sub(line.len()).min(part.len());
        line.extend_from_slice(&part[..room]);
        let used = part.len() + usize::from(end.is_some());
        lines.consume(used);
        if end.is_some() {
            return Ok(true);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::events::EventKind;
    use daa_base::TrialId;

    fn event(at_ms: u64) -> Event {
        let kind = EventKind::StopRequested {
            reason: "a test".to_owned(),
        };
        Event {
            at_ms,
            time: "2026-01-01T00:00:00Z".to_owned(),
            message: kind.to_string(),
            kind,
        }
    }

    #[test]
    fn a_folder_with_something_in_it_is_not_written_over() {
        let dir = tempfile::tempdir().expect("a folder");
        fs::write(dir.path().join("thesis.txt"), "years of work").expect("written");
        assert!(matches!(
            RunFolder::create(dir.path()),
            Err(FolderError::NotEmpty { .. })
        ));
        assert!(matches!(
            RunFolder::open(dir.path()),
            Err(FolderError::NotARun { .. })
        ));
    }

    #[test]
    fn a_run_that_was_killed_before_it_wrote_anything_can_begin_again() {
        let dir = tempfile::tempdir().expect("a folder");
        drop(RunFolder::create(dir.path()).expect("made"));
        let folder = RunFolder::create(dir.path()).expect("nothing was written yet");
        folder.append(&event(1)).expect("appended");
        drop(folder);
        assert!(matches!(
            RunFolder::create(dir.path()),
            Err(FolderError::NotEmpty { .. })
        ));
    }

    #[test]
    fn a_second_process_is_kept_out() {
        let dir = tempfile::tempdir().expect("a folder");
        let folder = RunFolder::create(&dir.path().join("run")).expect("made");
        folder.write_json("run.json", &1).expect("written");
        assert!(matches!(
            RunFolder::open(folder.path()),
            Err(FolderError::InUse { .. })
        ));
        let path = folder.path().to_owned();
        drop(folder);
        RunFolder::open(&path).expect("free again");
    }

    #[test]
    fn a_folder_is_free_although_a_child_still_holds_a_copy_of_the_lock() {
        let dir = tempfile::tempdir().expect("a folder");
        let folder = RunFolder::create(&dir.path().join("run")).expect("made");
        folder.write_json("run.json", &1).expect("written");
        let (path, inherited) = (folder.path().to_owned(), folder.lock.try_clone().expect("a copy"));
        drop(folder);
        RunFolder::open(&path).expect("free again");
        drop(inherited);
    }

    #[test]
    fn a_line_that_a_crash_cut_off_is_dropped() {
        let dir = tempfile::tempdir().expect("a folder");
        let root = dir.path().join("run");
        let folder = RunFolder::create(&root).expect("made");
        folder.write_json("run.json", &1).expect("written");
        folder.append(&event(1)).expect("appended");
        folder.append(&event(2)).expect("appended");
        drop(folder);
        let path = root.join("events.jsonl");
        let bytes = fs::read(&path).expect("read");
        for cut in 0..bytes.len() {
            fs::write(&path, &bytes[..cut]).expect("cut");
            let folder = RunFolder::open(&root).expect("opens");
            let before = folder.events().expect("whole lines only").len();
            assert_eq!(
                before,
                bytes[..cut].iter().filter(|&&b| b == b'\n').count(),
                "cut at {cut}"
            );
            folder.append(&event(3)).expect("appended");
            assert_eq!(folder.events().expect("still whole").len(), before + 1);
        }
    }

    #[test]
    fn every_piece_of_work_has_its_own_place() {
        let dir = tempfile::tempdir().expect("a folder");
        let folder = RunFolder::create(&dir.path().join("run")).expect("made");
        let places: Vec<_> = [Work::Trial(TrialId(0)), Work::Trial(TrialId(1)), Work::Final]
            .into_iter()
            .map(|work| folder.work_dir(work).expect("made"))
            .collect();
        assert!(
            places.iter().all(|place| place.is_dir()) && places[0] != places[1] && places[1] != places[2]
        );
    }

    #[test]
    fn damaged_lines_are_passed_over_and_a_tail_of_zeros_is_dropped() {
        let dir = tempfile::tempdir().expect("a folder");
        let root = dir.path().join("run");
        let folder = RunFolder::create(&root).expect("made");
        folder.write_json("run.json", &1).expect("written");
        folder.append(&event(1)).expect("appended");
        folder.append(&event(2)).expect("appended");
        drop(folder);
        let path = root.join("events.jsonl");
        let whole = fs::read_to_string(&path).expect("read");
        let (first, second) = whole.split_once('\n').expect("two lines");
        let far = first.replace("\"at_ms\":1,", "\"at_ms\":18446744073709551615,");
        assert_ne!(far, first);
        let long = format!("{}{first}", " ".repeat(MAX_LINE + 1));
        let zeros = "\0".repeat(3 * BLOCK);
        for damage in ["", "{\"at_ms\":", "\0\0\0", "\u{fffd}", "7", &far, &long, &zeros] {
            fs::write(&path, format!("{first}\n{damage}\n{second}{zeros}")).expect("written");
            let folder = RunFolder::open(&root).expect("opens");
            folder.append(&event(3)).expect("appended");
            let times: Vec<u64> = folder
                .events()
                .expect("read")
                .iter()
                .map(|event| event.at_ms)
                .collect();
            assert_eq!(times, [1, 2, 3], "{:?}", damage.get(..9));
        }
        fs::write(&path, [b"\xff\xfe\n", whole.as_bytes()].concat()).expect("written");
        let folder = RunFolder::open(&root).expect("opens");
        assert_eq!(
            folder.events().expect("read").len(),
            2,
            "what is no UTF-8 is no event"
        );
    }

    #[test]
    fn a_file_of_lines_without_bound_is_refused_before_it_is_read() {
        let dir = tempfile::tempdir().expect("a folder");
        let folder = RunFolder::create(&dir.path().join("run")).expect("made");
        // A file with a hole: it takes no space.
        let file = File::create(folder.path().join("metrics.jsonl")).expect("made");
        file.set_len(MAX_LINES + 1).expect("grown");
        let error = folder.events().expect_err("too large");
        assert!(matches!(error, FolderError::TooLarge { found, .. } if found == MAX_LINES + 1));
    }

    #[test]
    fn the_last_whole_line_is_found_wherever_the_blocks_are_cut() {
        let dir = tempfile::tempdir().expect("a folder");
        let path = dir.path().join("lines");
        for line_end in [1, BLOCK - 1, BLOCK, BLOCK + 1, 2 * BLOCK] {
            for tail in [0, 1, BLOCK - 1, BLOCK, BLOCK + 1] {
                let mut bytes = vec![b'x'; line_end - 1];
                bytes.push(b'\n');
                bytes.resize(line_end + tail, 0);
                fs::write(&path, &bytes).expect("written");
                let length = open_lines(&path).expect("opens").metadata().expect("there").len();
                assert_eq!(length, line_end as u64, "{tail} bytes behind the line");
            }
        }
        fs::write(&path, vec![0; 2 * BLOCK]).expect("written");
        assert_eq!(
            open_lines(&path).expect("opens").metadata().expect("there").len(),
            0
        );
    }

    #[cfg(unix)]
    #[test]
    fn others_may_read_what_they_may_read_of_any_new_file() {
        use std::os::unix::fs::PermissionsExt as _;
        let dir = tempfile::tempdir().expect("a folder");
        let (usual, ours) = (dir.path().join("usual"), dir.path().join("ours"));
        fs::write(&usual, "x").expect("written");
        write_json(&ours, &1).expect("written");
        let mode = |path: &Path| fs::metadata(path).expect("there").permissions().mode();
        assert_eq!(mode(&ours), mode(&usual));
    }
}
