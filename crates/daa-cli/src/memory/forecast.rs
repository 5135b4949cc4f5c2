//! `daa memory forecast`: fits a forecast to half of recorded runs and says how it does on the rest.

use super::series::{self, Table};
use crate::args::{ForecastArgs, Global, Output};
use crate::exit::{Exit, Failure};
use crate::messages::Messages;
use crate::output;
use daa_base::Bytes;
use daa_gpu_core::pressure::forecast::{
    Evaluation, ForecastConfig, ForecastError, Measured, Method, Model, Target, evaluate,
};
use serde::Serialize;
use std::sync::Arc;

const SCHEMA: &str = "daa.memory.forecast/1";

/// What `-o json` prints.
#[derive(Debug, Serialize)]
struct Report<'a> {
    schema: &'static str,
    horizon: usize,
    target: Target,
    stated_coverage: f64,
    method: Method,
    #[serde(flatten)]
    measured: Measured,
    baseline: Measured,
    bounds: usize,
    fitted: Vec<&'a str>,
    reported: Vec<&'a str>,
    left_out: Vec<&'a str>,
}

pub(crate) fn command(global: &Global, args: &ForecastArgs, messages: &Messages) -> Result<Exit, Failure> {
    let table = series::read(&args.csv).map_err(|error| {
        Failure::text(Exit::Input, format!("{}: {error}", args.csv.display()))
            .with_hint("the first column is time, rising; each other column a run in bytes")
    })?;
    if !table.is_even {
        messages.warning("the times are not evenly spaced; the horizon counts rows");
    }
    let config = ForecastConfig {
        horizon: args.horizon,
        coverage: args.coverage,
        target: args.target.into(),
    };
    let halves = Halves::of(&table, args.horizon);
    let done = halves
        .measure(&table, &config)
        .map_err(|error| told(&error, args))?;
    let report = Report {
        schema: SCHEMA,
        horizon: config.horizon,
        target: config.target,
        stated_coverage: config.coverage,
        method: done.method,
        measured: done.measured,
        baseline: done.baseline,
        bounds: done.bounds,
        fitted: names(&table, &halves.fitted),
        reported: names(&table, &halves.reported),
        left_out: names(&table, &halves.left_out),
    };
    match global.output {
        Output::Text => output::text(&text(&report))?,
        Output::Json => output::json(&report)?,
    }
    Ok(Exit::Done)
}

fn told(error: &ForecastError, args: &ForecastArgs) -> Failure {
    let failure = Failure::text(Exit::Input, format!("{}: {error}", args.csv.display()));
    match error {
        ForecastError::TooShort { .. } => {
            failure.with_hint("at least two series must have more rows than --horizon looks ahead")
        }
        _ => failure,
    }
}

/// Which series are fitted, which reported. Every second one is fitted, so that kinds of runs that stand together
/// come into both halves.
struct Halves {
    fitted: Vec<usize>,
    reported: Vec<usize>,
    /// Not longer than the horizon.
    left_out: Vec<usize>,
}

impl Halves {
    fn of(table: &Table, horizon: usize) -> Self {
        let (long, left_out): (Vec<usize>, Vec<usize>) =
            (0..table.runs.len()).partition(|&at| table.runs[at].len() > horizon);
        Self {
            fitted: long.iter().copied().step_by(2).collect(),
            reported: long.iter().copied().skip(1).step_by(2).collect(),
            left_out,
        }
    }

    fn measure(&self, table: &Table, config: &ForecastConfig) -> Result<Evaluation, ForecastError> {
        let runs =
            |which: &[usize]| -> Vec<&[f64]> { which.iter().map(|&at| table.runs[at].as_slice()).collect() };
        let longest = table.runs.iter().map(Vec::len).max().unwrap_or(0);
        if self.fitted.is_empty() || self.reported.is_empty() {
            config.validate()?;
            return Err(ForecastError::TooShort {
                half: if self.fitted.is_empty() {
                    "fitted"
                } else {
                    "reported"
                },
                horizon: config.horizon,
                longest,
            });
        }
        let model = Arc::new(Model::fit(&runs(&self.fitted), config)?);
        evaluate(&model, &runs(&self.reported))
    }
}

fn names<'a>(table: &'a Table, which: &[usize]) -> Vec<&'a str> {
    which.iter().map(|&at| table.names[at].as_str()).collect()
}

fn text(report: &Report<'_>) -> String {
    let amount = |bytes: f64| {
        let size = Bytes(bytes.abs() as u64);
        if bytes < 0.0 {
            format!("-{size}")
        } else {
            size.to_string()
        }
    };
    let share = |part: f64| format!("{:.1} %", part * 100.0);
    let target = match report.target {
        Target::Value => "the value",
        Target::Peak => "the peak within",
    };
    let method = match report.method {
        Method::Baseline => "last value + rolling residual quantile: nothing else does better on these runs",
        Method::SimilarStates => "residuals of similar states, adaptive",
    };
    output::fields(&[
        ("forecast", format!("{target} {} rows ahead", report.horizon)),
        (
            "runs",
            format!(
                "{} fitted, {} reported",
                report.fitted.len(),
                report.reported.len()
            ),
        ),
        (
            "left out",
            format!("{}, not longer than the horizon", report.left_out.len()),
        ),
        ("method", method.to_owned()),
        (
            "coverage",
            format!(
                "{} of {} bounds, {} stated",
                share(report.measured.coverage),
                report.bounds,
                share(report.stated_coverage)
            ),
        ),
        ("mean headroom", amount(report.measured.mean_headroom)),
        (
            "baseline",
            format!(
                "{} at {} coverage",
                amount(report.baseline.mean_headroom),
                share(report.baseline.coverage)
            ),
        ),
    ])
}
