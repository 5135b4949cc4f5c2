//! Where this user's programs keep what can be made again.

use std::ffi::OsString;
use std::path::PathBuf;

/// The folder for compiled kernels, by the custom of the operating system: on Linux below `XDG_CACHE_HOME` or
/// `~/.cache` (XDG Base Directory Specification 0.8), on macOS below `~/Library/Caches`, on Windows below
/// `%LOCALAPPDATA%`. `None` when the environment does not tell, or tells a path that is not absolute.
pub(crate) fn folder(variable: impl Fn(&str) -> Option<OsString>) -> Option<PathBuf> {
    base(variable).map(|base| base.join("pipelines"))
}

/// The folder of everything that can be made again.
pub(crate) fn base(variable: impl Fn(&str) -> Option<OsString>) -> Option<PathBuf> {
    let absolute = |name| {
        variable(name)
            .map(PathBuf::from)
            .filter(|path| path.is_absolute())
    };
    let base = if cfg!(windows) {
        absolute("LOCALAPPDATA")
    } else if cfg!(target_os = "macos") {
        absolute("HOME").map(|home| home.join("Library/Caches"))
    } else {
        absolute("XDG_CACHE_HOME").or_else(|| absolute("HOME").map(|home| home.join(".cache")))
    };
    base.map(|base| base.join("daa"))
}

#[cfg(all(test, target_os = "linux"))]
mod tests {
    use super::*;

    #[test]
    fn the_first_absolute_path_counts() {
        let told = |cache: &'static str, home: &'static str| {
            folder(move |name| match name {
                "XDG_CACHE_HOME" => Some(cache.into()),
                "HOME" => Some(home.into()),
                _ => None,
            })
        };
        let path = |text: &str| Some(PathBuf::from(text));
        assert_eq!(told("/c", "/h"), path("/c/daa/pipelines"));
        assert_eq!(told("", "/h"), path("/h/.cache/daa/pipelines"));
        assert_eq!(told("relative", "/h"), path("/h/.cache/daa/pipelines"));
        assert_eq!(told("", "h"), None);
        assert_eq!(folder(|_| None), None);
    }
}
