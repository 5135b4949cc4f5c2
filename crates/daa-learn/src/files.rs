//! Files that are there whole or not at all: written under a temporary name beside their own, then renamed.

use std::io::{Result, Write as _};
use std::path::Path;
use tempfile::NamedTempFile;

/// Writes `bytes` to `path`, through the disk's caches, whole or not at all.
///
/// # Errors
/// When the folder cannot be written to; then what was at `path` is still there.
pub fn write_whole(path: &Path, bytes: &[u8]) -> Result<()> {
    put(stage(path, bytes)?, path)
}

/// Writes `bytes` under a temporary name beside `path`; [`put`] gives it its own. Dropped, it is gone.
///
/// # Errors
/// When the folder cannot be written to.
pub fn stage(path: &Path, bytes: &[u8]) -> Result<NamedTempFile> {
    let mut file = temporary_beside(path)?;
    file.write_all(bytes)?;
    Ok(file)
}

/// An empty file under a temporary name beside `path`, with the permissions of any other new file: those that tempfile
/// gives by itself are for the owner alone.
///
/// # Errors
/// When the folder cannot be written to.
pub fn temporary_beside(path: &Path) -> Result<NamedTempFile> {
    let mut builder = tempfile::Builder::new();
    builder.prefix(".tmp");
    // The operating system takes the umask off.
    #[cfg(unix)]
    builder.permissions(std::os::unix::fs::PermissionsExt::from_mode(0o666));
    builder.tempfile_in(folder_of(path))
}

/// Flushes `file` to the disk and renames it to `path`.
///
/// # Errors
/// When the disk or the folder refuses; then what was at `path` is still there.
pub fn put(file: NamedTempFile, path: &Path) -> Result<()> {
    file.as_file().sync_all()?;
    file.persist(path).map_err(|error| error.error)?;
    sync_folder(folder_of(path));
    Ok(())
}

fn folder_of(path: &Path) -> &Path {
    match path.parent() {
        Some(folder) if !folder.as_os_str().is_empty() => folder,
        _ => Path::new("."),
    }
}

/// Makes a rename in `folder` last through a power cut, where the file system can. The file itself is whole already.
fn sync_folder(folder: &Path) {
    #[cfg(unix)]
    let _ = std::fs::File::open(folder).and_then(|folder| folder.sync_all());
    #[cfg(not(unix))]
    let _ = folder;
}

#[cfg(all(test, unix))]
mod tests {
    use super::*;
    use std::os::unix::fs::PermissionsExt as _;

    #[test]
    fn others_may_read_what_they_may_read_of_any_new_file() {
        let dir = tempfile::tempdir().expect("a folder");
        let (usual, ours) = (dir.path().join("usual"), dir.path().join("ours"));
        std::fs::write(&usual, "x").expect("written");
        write_whole(&ours, b"x").expect("written");
        let mode = |path: &Path| std::fs::metadata(path).expect("there").permissions().mode();
        assert_eq!(mode(&ours), mode(&usual));
    }
}
