//! `daa doctor`: checks what a run needs, by doing it.

mod probe;

use crate::args::{Global, Output};
use crate::budget::Budget;
use crate::exit::{Exit, Failure};
use crate::messages::printable;
use crate::output;
use daa_gpu_core::{AdapterReport, DeviceChoice, DeviceClass};
use daa_learn::data::{DataError, DataSource, LoadOptions};
use serde::Serialize;
use std::io::Write as _;
use std::path::Path;

const SCHEMA: &str = "daa.doctor/1";

/// How a check ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
enum Status {
    /// As it should be.
    Ok,
    /// Something is missing that runs can do without.
    Warn,
    /// A run would fail.
    Fail,
}

/// One check.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
struct Check {
    name: &'static str,
    status: Status,
    detail: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    hint: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    memory: Option<Budget>,
}

impl Check {
    fn ok(name: &'static str, detail: impl Into<String>) -> Self {
        Self {
            name,
            status: Status::Ok,
            detail: detail.into(),
            hint: None,
            memory: None,
        }
    }

    /// A device that did its work.
    fn device(name: &'static str, (device, memory): (String, Budget)) -> Self {
        Self {
            memory: Some(memory),
            ..Self::ok(name, format!("computes right: {device}"))
        }
    }

    fn bad(name: &'static str, status: Status, detail: impl Into<String>, hint: impl Into<String>) -> Self {
        Self {
            name,
            status,
            detail: detail.into(),
            hint: Some(hint.into()),
            memory: None,
        }
    }
}

/// What `-o json` prints.
#[derive(Debug, Serialize)]
struct Report {
    schema: &'static str,
    version: &'static str,
    status: Status,
    checks: Vec<Check>,
}

pub(crate) fn command(global: &Global) -> Result<Exit, Failure> {
    let adapters = daa_gpu_core::survey(DeviceChoice::Auto);
    let checks = vec![
        version(),
        cpu(),
        gpu(&adapters),
        software(&adapters),
        fashion_mnist(),
        folder(Path::new(".")),
    ];
    let fails = checks.iter().filter(|check| check.status == Status::Fail).count();
    let warns = checks.iter().filter(|check| check.status == Status::Warn).count();
    let status = match (fails, warns) {
        (0, 0) => Status::Ok,
        (0, _) => Status::Warn,
        _ => Status::Fail,
    };
    match global.output {
        Output::Text => output::text(&text(&checks, fails, warns))?,
        Output::Json => output::json(&Report {
            schema: SCHEMA,
            version: env!("CARGO_PKG_VERSION"),
            status,
            checks,
        })?,
    }
    Ok(if fails == 0 { Exit::Done } else { Exit::Unexpected })
}

fn text(checks: &[Check], fails: usize, warns: usize) -> String {
    let line = |check: &Check| {
        let status = match check.status {
            Status::Ok => "ok",
            Status::Warn => "warn",
            Status::Fail => "fail",
        };
        let hint = check
            .hint
            .as_ref()
            .map(|hint| format!("{:21}hint: {}\n", "", printable(hint)));
        let memory = check
            .memory
            .as_ref()
            .map(|memory| format!("{:21}memory: {}\n", "", memory.text()));
        format!(
            "{status:4}  {:13}  {}\n{}{}",
            check.name,
            printable(&check.detail),
            memory.unwrap_or_default(),
            hint.unwrap_or_default()
        )
    };
    let lines: String = checks.iter().map(line).collect();
    let verdict = match (fails, warns) {
        (0, 0) => "everything is there".to_owned(),
        (0, _) => format!("runs work; to look at if you need them: {warns}"),
        _ => format!("failed: {fails}"),
    };
    format!("{lines}{verdict}\n")
}

fn version() -> Check {
    let (os, arch) = (std::env::consts::OS, std::env::consts::ARCH);
    let backends = if cfg!(feature = "gpu") {
        "CPU and GPU"
    } else {
        "CPU only"
    };
    Check::ok(
        "version",
        format!(
            "daa {} for {os} on {arch}, built for {backends}",
            env!("CARGO_PKG_VERSION")
        ),
    )
}

fn cpu() -> Check {
    match probe::run(DeviceChoice::Cpu) {
        Ok(device) => Check::device("cpu", device),
        Err(error) => Check::bad(
            "cpu",
            Status::Fail,
            error,
            "every run needs this: please report it with the output of `daa doctor -o json`",
        ),
    }
}

/// A GPU that is there is what `--device auto` takes, so it must work; none at all is fine.
fn gpu(adapters: &[AdapterReport]) -> Check {
    let is_gpu = |report: &&AdapterReport| {
        matches!(
            report.info.class,
            DeviceClass::Discrete | DeviceClass::Integrated | DeviceClass::Virtual
        )
    };
    if !adapters.iter().any(|report| is_gpu(&report)) {
        let hint = "runs take the CPU; if the machine has a GPU, install its Vulkan driver";
        return Check::bad("gpu", Status::Warn, "no GPU found", hint);
    }
    match probe::run(DeviceChoice::Gpu) {
        Ok(device) => Check::device("gpu", device),
        Err(error) => Check::bad(
            "gpu",
            Status::Fail,
            error,
            "update the driver, or run with --device cpu",
        ),
    }
}

/// Only tests need a software driver.
fn software(adapters: &[AdapterReport]) -> Check {
    if !adapters
        .iter()
        .any(|report| report.info.class == DeviceClass::Software)
    {
        let hint = "only the tests need one: `cargo xtask setup` installs it";
        return Check::bad("software-gpu", Status::Warn, "no software driver found", hint);
    }
    match probe::run(DeviceChoice::Software) {
        Ok(device) => Check::device("software-gpu", device),
        Err(error) => Check::bad(
            "software-gpu",
            Status::Warn,
            error,
            "only the tests need it: update the driver",
        ),
    }
}

fn fashion_mnist() -> Check {
    match DataSource::FashionMnist.load(&LoadOptions::default()) {
        Ok(table) => Check::ok("fashion-mnist", format!("{} rows", table.rows())),
        Err(error @ DataError::NoFashionMnist { .. }) => {
            let hint = format!("only `--data fashion-mnist` needs it: {}", error.hint());
            Check::bad("fashion-mnist", Status::Warn, error.to_string(), hint)
        }
        Err(error) => Check::bad("fashion-mnist", Status::Warn, error.to_string(), error.hint()),
    }
}

/// Runs leave their folders under the current one unless told otherwise.
fn folder(folder: &Path) -> Check {
    let shown = std::path::absolute(folder).unwrap_or_else(|_| folder.to_owned());
    let written = tempfile::NamedTempFile::new_in(folder).and_then(|mut file| {
        file.write_all(b"daa")?;
        file.as_file().sync_all()?;
        file.close()
    });
    match written {
        Ok(()) => Check::ok("folder", format!("{} can be written to", shown.display())),
        Err(error) => Check::bad(
            "folder",
            Status::Fail,
            format!("{} cannot be written to: {error}", shown.display()),
            "go to another folder, or name one with --out",
        ),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_folder_that_is_not_there_fails_with_a_hint() {
        let parent = tempfile::tempdir().expect("a folder");
        let check = folder(&parent.path().join("absent"));
        assert!(check.status == Status::Fail && check.hint.is_some(), "{check:?}");
        assert_eq!(folder(parent.path()).status, Status::Ok);
        assert_eq!(
            std::fs::read_dir(parent.path()).expect("read").count(),
            0,
            "nothing is left behind"
        );
    }
}
