//! How processes of one user on one machine find each other: a file per node and per run, for as long as it lives.
//!
//! Whoever reads a file believes it only while the lock that it names is held, which the operating system lets go of when
//! the process dies.

use crate::cache;
use serde::{Deserialize, Serialize};
use std::fs::{self, File};
use std::io::Read as _;
use std::path::{Path, PathBuf};

/// Names the folder of these files; `off`: there is none.
const FOLDER: &str = "DAA_INVITES";

/// Largest file that is read, in bytes.
const MAX_BYTES: u64 = 64 << 10;

/// Files that are looked at.
const MAX_FILES: usize = 256;

/// A process that uses this machine's devices.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Invite {
    pub(crate) pid: u32,
    /// Held as long as the process lives.
    pub(crate) lock: PathBuf,
    /// What it uses.
    pub(crate) devices: String,
    /// How to join it; absent for runs, which cannot be joined.
    pub(crate) node: Option<NodeInvite>,
}

/// How to join a node.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct NodeInvite {
    pub(crate) address: String,
    pub(crate) genesis: PathBuf,
    pub(crate) key: PathBuf,
}

/// The file, removed when dropped.
#[derive(Debug)]
pub(crate) struct Posted(Option<PathBuf>);

impl Drop for Posted {
    fn drop(&mut self) {
        if let Some(path) = self.0.take() {
            // Not there any more is as good.
            let _gone = fs::remove_file(path);
        }
    }
}

fn folder() -> Option<PathBuf> {
    match std::env::var_os(FOLDER) {
        Some(folder) if folder == "off" => None,
        Some(folder) if !folder.is_empty() => Some(folder.into()),
        _ => cache::base(|name| std::env::var_os(name)).map(|base| base.join("invites")),
    }
}

/// Tells others of this process. That it cannot be told is no reason not to work.
pub(crate) fn post(invite: &Invite) -> Posted {
    let written = folder().map(|folder| -> std::io::Result<PathBuf> {
        fs::create_dir_all(&folder)?;
        let path = folder.join(format!("{}.json", invite.pid));
        daa_learn::files::write_whole(&path, &serde_json::to_vec_pretty(invite)?)?;
        Ok(path)
    });
    match written {
        Some(Ok(path)) => Posted(Some(path)),
        Some(Err(error)) => {
            tracing::debug!(%error, "other processes will not find this one");
            Posted(None)
        }
        None => Posted(None),
    }
}

/// The other processes that use this machine's devices.
pub(crate) fn others() -> Vec<Invite> {
    let Some(entries) = folder().and_then(|folder| fs::read_dir(folder).ok()) else {
        return Vec::new();
    };
    let paths = entries
        .take(MAX_FILES)
        .filter_map(|entry| Some(entry.ok()?.path()));
    let mut found: Vec<Invite> = paths.filter_map(|path| read(&path)).collect();
    found.retain(|invite| invite.pid != std::process::id() && is_held(&invite.lock));
    found.sort_by_key(|invite| (invite.node.is_none(), invite.pid));
    found
}

/// A number below `seats` that no other process of this user on this machine has for `name`, and what keeps it; `None`: all
/// are taken.
pub(crate) fn seat(name: &str, seats: u16) -> Option<(u16, Option<File>)> {
    let Some(folder) = folder() else {
        return Some((0, None));
    };
    if fs::create_dir_all(&folder).is_err() {
        return Some((0, None));
    }
    (0..seats).find_map(|seat| {
        let file = File::create(folder.join(format!("{name}.{seat}.seat"))).ok()?;
        file.try_lock().ok()?;
        Some((seat, Some(file)))
    })
}

fn read(path: &Path) -> Option<Invite> {
    let mut text = String::new();
    let file = File::open(path).ok()?;
    file.take(MAX_BYTES).read_to_string(&mut text).ok()?;
    serde_json::from_str(&text).ok()
}

fn is_held(lock: &Path) -> bool {
    File::open(lock).is_ok_and(|file| matches!(file.try_lock_shared(), Err(fs::TryLockError::WouldBlock)))
}
