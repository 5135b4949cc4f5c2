//! Pipelines in memory and on disk.

use super::*;
use crate::PipelineFileReport;
use std::fs;
use std::path::{Path, PathBuf};

fn config(folder: &Path) -> ContextConfig {
    ContextConfig {
        device: DeviceChoice::Software,
        pipeline_cache: Some(folder.to_owned()),
        ..ContextConfig::default()
    }
}

/// Loads and runs the common image on a new context.
fn session(config: &ContextConfig) -> ComputeContext {
    let context = ComputeContext::open(config).expect("opens");
    lists_run_in_order(&context);
    context
}

fn file(context: &ComputeContext) -> PipelineFileReport {
    context.pipeline_report().file.expect("the driver has a cache")
}

/// The one file in the folder that holds pipelines.
fn saved(folder: &Path) -> PathBuf {
    let entries = fs::read_dir(folder)
        .expect("there")
        .map(|entry| entry.expect("readable").path());
    let mut files = entries.filter(|path| path.extension().is_some_and(|ending| ending == "bin"));
    files.next().expect("saved")
}

#[test]
fn pipelines_outlive_the_process_on_software() {
    on_software(|context| {
        assert_eq!(context.pipeline_report().file, None, "off by default");
        let dir = tempfile::tempdir().expect("a folder");
        let folder = dir.path().join("cache");
        let first = session(&config(&folder));
        let report = file(&first);
        assert_eq!(
            (report.found, report.rebuilt, report.saved, report.failed),
            (0, 0, 1, 0)
        );
        let second = session(&config(&folder));
        let report = file(&second);
        assert_eq!((report.found, report.rebuilt), (2, 0));
        assert_eq!(report.saved, 0, "nothing is new");
        assert_eq!(second.pipeline_report().made, 2);
    });
}

#[test]
fn a_file_that_is_not_sound_is_made_anew_on_software() {
    on_software(|_| {
        let dir = tempfile::tempdir().expect("a folder");
        drop(session(&config(dir.path())));
        let path = saved(dir.path());
        let whole = fs::read(&path).expect("readable");
        let mut torn = whole.clone();
        torn[whole.len() / 2] ^= 4;
        for damaged in [
            &torn[..],
            &whole[..whole.len() / 2],
            &[],
            b"something else entirely",
        ] {
            fs::write(&path, damaged).expect("writable");
            let context = session(&config(dir.path()));
            let report = file(&context);
            assert_eq!(
                (report.found, report.rebuilt, report.saved, report.failed),
                (0, 1, 1, 0)
            );
            assert!(report.refusal.is_some_and(|text| text.starts_with("it")));
            assert_eq!(fs::read(&path).expect("readable").len(), whole.len());
        }
        let again = file(&session(&config(dir.path())));
        assert_eq!((again.found, again.rebuilt), (2, 0));
    });
}

#[test]
fn a_folder_that_cannot_be_written_costs_nothing_else_on_software() {
    on_software(|_| {
        let dir = tempfile::tempdir().expect("a folder");
        // A file where the folder should be: not even the superuser writes below it.
        let folder = dir.path().join("file");
        fs::write(&folder, "").expect("written");
        let context = session(&config(&folder));
        lists_run_in_order(&context);
        let report = file(&context);
        assert_eq!((report.found, report.saved, report.failed), (0, 0, 1));
    });
}

#[cfg(unix)]
#[test]
fn a_read_only_folder_costs_nothing_else_on_software() {
    use std::os::unix::fs::PermissionsExt as _;
    on_software(|_| {
        let dir = tempfile::tempdir().expect("a folder");
        let set =
            |mode| fs::set_permissions(dir.path(), fs::Permissions::from_mode(mode)).expect("the owner may");
        set(0o500);
        let report = file(&session(&config(dir.path())));
        set(0o700);
        // The superuser may write there all the same.
        assert_eq!((report.found, report.saved + report.failed), (0, 1));
    });
}

#[test]
fn contexts_side_by_side_share_a_file_on_software() {
    on_software(|_| {
        let dir = tempfile::tempdir().expect("a folder");
        std::thread::scope(|scope| {
            for _ in 0..3 {
                scope.spawn(|| assert_eq!(file(&session(&config(dir.path()))).failed, 0));
            }
        });
        let report = file(&session(&config(dir.path())));
        assert_eq!((report.found, report.rebuilt), (2, 0));
    });
}

#[test]
fn the_least_recently_used_pipeline_goes_on_software() {
    on_software(|_| {
        let config = ContextConfig {
            device: DeviceChoice::Software,
            max_pipelines: 1,
            ..ContextConfig::default()
        };
        let context = session(&config);
        let report = context.pipeline_report();
        assert_eq!(report.kept, 1);
        assert_eq!(report.made, report.evicted + 1);
        assert!(report.evicted >= 1, "{report:?}");
        // What was forgotten still runs, and is compiled again when it is loaded again.
        lists_run_in_order(&context);
        assert!(context.pipeline_report().made > report.made);
    });
}
