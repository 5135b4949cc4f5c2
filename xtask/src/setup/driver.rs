//! Finds a software Vulkan driver the way the Vulkan loader does: by its JSON manifest and the library it names.

use std::env;
use std::ffi::OsStr;
use std::fs;
use std::path::{Path, PathBuf};

use serde_json::Value;

/// Parts of library names that mark a driver which computes on the host CPU.
const SOFTWARE: &[&str] = &["vulkan_lvp", "lavapipe", "vk_swiftshader"];

/// The library that every Vulkan program loads first.
const LOADER: &str = "libvulkan.so.1";

/// Where to look.
#[derive(Debug, Default)]
pub(crate) struct Search {
    /// Folders with driver manifests.
    manifest_folders: Vec<PathBuf>,
    /// A variable that makes the loader ignore the folders, and the manifests that it names instead.
    only: Option<(&'static str, Vec<PathBuf>)>,
    /// Folders with shared libraries.
    library_folders: Vec<PathBuf>,
}

/// What the search found.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Finding {
    /// The manifest of a driver whose library is there, and the loader is there too.
    Driver(PathBuf),
    /// The variable restricts the loader to manifests of other drivers.
    Hidden {
        /// Name of the variable.
        variable: &'static str,
    },
    /// What is missing.
    Missing(String),
}

impl Search {
    /// The folders and variables that the Vulkan loader heeds on this machine.
    pub(crate) fn of_this_machine() -> Self {
        // The first name is the current one and wins; the second is its older form.
        let only = ["VK_DRIVER_FILES", "VK_ICD_FILENAMES"]
            .into_iter()
            .find_map(|variable| {
                let value = env::var_os(variable).filter(|value| !value.is_empty())?;
                Some((variable, manifests_named_by(&value)))
            });
        Self {
            manifest_folders: manifest_folders(),
            only,
            library_folders: library_folders(),
        }
    }

    /// Looks for the loader and for a software driver.
    pub(crate) fn software_driver(&self) -> Finding {
        if !self
            .library_folders
            .iter()
            .any(|folder| folder.join(LOADER).exists())
        {
            return Finding::Missing(format!("the Vulkan loader {LOADER} is missing"));
        }
        let manifests = match &self.only {
            Some((_, files)) => files.clone(),
            None => self
                .manifest_folders
                .iter()
                .flat_map(|folder| manifests_in(folder))
                .collect(),
        };
        match (
            manifests.into_iter().find(|manifest| self.is_software(manifest)),
            &self.only,
        ) {
            (Some(manifest), _) => Finding::Driver(manifest),
            (None, Some((variable, _))) => Finding::Hidden { variable },
            (None, None) => Finding::Missing("no software Vulkan driver is installed".to_owned()),
        }
    }

    fn is_software(&self, manifest: &Path) -> bool {
        let Some(library) = library_of(manifest) else {
            return false;
        };
        if !SOFTWARE
            .iter()
            .any(|part| library.to_string_lossy().contains(part))
        {
            return false;
        }
        if library.components().count() == 1 {
            return self
                .library_folders
                .iter()
                .any(|folder| folder.join(&library).exists());
        }
        // An absolute path stays as it is when joined.
        manifest
            .parent()
            .is_some_and(|folder| folder.join(&library).exists())
    }
}

fn library_of(manifest: &Path) -> Option<PathBuf> {
    let json: Value = serde_json::from_str(&fs::read_to_string(manifest).ok()?).ok()?;
    json["ICD"]["library_path"].as_str().map(PathBuf::from)
}

fn manifests_named_by(value: &OsStr) -> Vec<PathBuf> {
    let named = env::split_paths(value);
    named
        .flat_map(|path| {
            if path.is_dir() {
                manifests_in(&path)
            } else {
                vec![path]
            }
        })
        .collect()
}

fn manifests_in(folder: &Path) -> Vec<PathBuf> {
    let entries = fs::read_dir(folder).into_iter().flatten().flatten();
    let mut manifests: Vec<PathBuf> = entries
        .map(|entry| entry.path())
        .filter(|path| path.extension() == Some(OsStr::new("json")))
        .collect();
    manifests.sort();
    manifests
}

fn manifest_folders() -> Vec<PathBuf> {
    let listed = |variable: &str, default: &str| {
        let value = env::var_os(variable).filter(|value| !value.is_empty());
        env::split_paths(&value.unwrap_or_else(|| default.into())).collect::<Vec<_>>()
    };
    let home = env::var_os("HOME").map(PathBuf::from);
    let mut bases = listed("XDG_CONFIG_DIRS", "/etc/xdg");
    bases.extend(listed("XDG_DATA_DIRS", "/usr/local/share:/usr/share"));
    bases.extend(["/etc", "/usr/local/etc", "/usr/share", "/usr/local/share"].map(PathBuf::from));
    bases.push(PathBuf::from("/run/opengl-driver/share"));
    bases.extend(
        home.iter()
            .flat_map(|home| [home.join(".config"), home.join(".local/share")]),
    );
    bases.extend(
        ["XDG_CONFIG_HOME", "XDG_DATA_HOME"]
            .iter()
            .filter_map(env::var_os)
            .map(PathBuf::from),
    );
    bases
        .into_iter()
        .map(|base| base.join("vulkan").join("icd.d"))
        .collect()
}

fn library_folders() -> Vec<PathBuf> {
    let mut folders: Vec<PathBuf> = env::var_os("LD_LIBRARY_PATH")
        .iter()
        .flat_map(env::split_paths)
        .collect();
    for base in [
        "/usr/lib",
        "/usr/lib64",
        "/lib",
        "/lib64",
        "/usr/local/lib",
        "/usr/local/lib64",
    ] {
        let below = fs::read_dir(base)
            .into_iter()
            .flatten()
            .flatten()
            .map(|entry| entry.path());
        // Debian and its kin keep libraries one folder down, named for the target.
        folders.extend(below.filter(|path| path.to_string_lossy().contains("-linux-")));
        folders.push(PathBuf::from(base));
    }
    folders
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A machine in a folder of its own, removed at the end.
    struct Machine(PathBuf);

    impl Machine {
        fn new(name: &str) -> Self {
            let folder = env::temp_dir().join(format!("xtask-driver-{}-{name}", std::process::id()));
            fs::create_dir_all(folder.join("lib")).expect("temporary folder");
            fs::create_dir_all(folder.join("icd.d")).expect("temporary folder");
            Self(folder)
        }

        fn library(self, name: &str) -> Self {
            fs::write(self.0.join("lib").join(name), "").expect("temporary file");
            self
        }

        fn manifest(self, name: &str, library: &str) -> Self {
            let text = format!(r#"{{ "ICD": {{ "library_path": "{library}" }} }}"#);
            fs::write(self.0.join("icd.d").join(name), text).expect("temporary file");
            self
        }

        fn search(&self) -> Search {
            Search {
                manifest_folders: vec![self.0.join("absent"), self.0.join("icd.d")],
                only: None,
                library_folders: vec![self.0.join("lib")],
            }
        }
    }

    impl Drop for Machine {
        fn drop(&mut self) {
            let _ = fs::remove_dir_all(&self.0);
        }
    }

    #[test]
    fn a_driver_by_bare_name_and_by_path_is_found() {
        for (name, library) in [("bare", "libvulkan_lvp.so"), ("path", "../lib/libvulkan_lvp.so")] {
            let machine = Machine::new(name).library(LOADER).library("libvulkan_lvp.so");
            let machine = machine
                .manifest("lvp_icd.json", library)
                .manifest("a_broken.json", "\"");
            assert_eq!(
                machine.search().software_driver(),
                Finding::Driver(machine.0.join("icd.d/lvp_icd.json"))
            );
        }
    }

    #[test]
    fn a_manifest_without_its_library_does_not_count() {
        let machine = Machine::new("no-library")
            .library(LOADER)
            .manifest("lvp_icd.json", "libvulkan_lvp.so");
        assert!(matches!(machine.search().software_driver(), Finding::Missing(_)));
    }

    #[test]
    fn hardware_drivers_do_not_count() {
        let machine = Machine::new("hardware")
            .library(LOADER)
            .library("libvulkan_radeon.so");
        let machine = machine.manifest("radeon_icd.json", "libvulkan_radeon.so");
        assert!(matches!(machine.search().software_driver(), Finding::Missing(_)));
    }

    #[test]
    fn a_missing_loader_is_named() {
        let machine = Machine::new("no-loader")
            .library("libvulkan_lvp.so")
            .manifest("l.json", "libvulkan_lvp.so");
        let Finding::Missing(what) = machine.search().software_driver() else {
            panic!("no loader is there")
        };
        assert!(what.contains(LOADER), "{what}");
    }

    #[test]
    fn a_variable_can_hide_the_driver() {
        let machine = Machine::new("hidden").library(LOADER).library("libvulkan_lvp.so");
        let machine = machine.manifest("lvp_icd.json", "libvulkan_lvp.so");
        let search = Search {
            only: Some(("VK_DRIVER_FILES", vec![])),
            ..machine.search()
        };
        assert_eq!(
            search.software_driver(),
            Finding::Hidden {
                variable: "VK_DRIVER_FILES"
            }
        );
    }
}
