//! `daa devices`: what there is to compute on, and why one is taken.

use crate::args::{DevicesArgs, Global, Output};
use crate::budget::Budget;
use crate::exit::{Exit, Failure};
use crate::output;
use daa_gpu_core::{AdapterReport, DeviceChoice, DeviceError, DeviceLimits};
use serde::Serialize;

const SCHEMA: &str = "daa.devices/1";

/// What `-o json` prints.
#[derive(Debug, Serialize)]
struct Report<'a> {
    schema: &'static str,
    requested: DeviceChoice,
    devices: Vec<Device<'a>>,
}

#[derive(Debug, Serialize)]
struct Device<'a> {
    index: usize,
    name: &'a str,
    class: String,
    backend: String,
    driver: &'a str,
    #[serde(flatten)]
    budget: Budget,
    limits: DeviceLimits,
    chosen: bool,
    reason: &'a str,
}

pub(crate) fn command(global: &Global, args: &DevicesArgs) -> Result<Exit, Failure> {
    let reports = daa_gpu_core::survey(args.device);
    match global.output {
        Output::Text => output::text(&table(&reports))?,
        Output::Json => {
            let devices = reports.iter().enumerate().map(device).collect();
            output::json(&Report {
                schema: SCHEMA,
                requested: args.device,
                devices,
            })?;
        }
    }
    if reports.iter().any(|report| report.chosen) {
        return Ok(Exit::Done);
    }
    // What there is was printed; that nothing fits is still an answer that a script must see.
    Err(DeviceError::NoAdapter {
        choice: args.device,
        reports,
    }
    .into())
}

fn device((index, report): (usize, &AdapterReport)) -> Device<'_> {
    let info = &report.info;
    Device {
        index,
        name: &info.name,
        class: info.class.to_string(),
        backend: info.backend.to_string(),
        driver: &info.driver,
        budget: Budget::of(info, &report.driver_memory),
        limits: info.limits,
        chosen: report.chosen,
        reason: &report.reason,
    }
}

fn table(reports: &[AdapterReport]) -> String {
    let row = |(index, report): (usize, &AdapterReport)| {
        let info = &report.info;
        vec![
            index.to_string(),
            info.name.clone(),
            info.class.to_string(),
            info.backend.to_string(),
            info.driver.clone(),
            info.memory
                .map_or_else(|| "unknown".to_owned(), |memory| memory.to_string()),
            Budget::of(info, &report.driver_memory).capacity().to_string(),
            if report.chosen { "yes" } else { "no" }.to_owned(),
            report.reason.clone(),
        ]
    };
    let rows: Vec<Vec<String>> = reports.iter().enumerate().map(row).collect();
    output::table(
        &[
            "#", "name", "class", "backend", "driver", "memory", "for runs", "chosen", "reason",
        ],
        &rows,
    )
}
