//! `daa predict`: a trained model applied to data.

mod score;
mod sheet;

use crate::args::{DeviceArgs, Global, Output, PredictArgs};
use crate::exit::{Exit, Failure};
use crate::messages::Messages;
use crate::output;
use crate::signals::Signals;
use daa_base::{Bytes, FencingToken};
use daa_gpu_core::{ComputeContext, ContextConfig, TenantSpec, Weight};
use daa_learn::data::{DataSource, LoadOptions, Table, TargetEncoder};
use daa_learn::model::{Model, PredictError, Predictor};
use score::{Measured, Score};
use serde::Serialize;
use sheet::{Answers, Row, Sheet};
use std::path::Path;

const SCHEMA: &str = "daa.predict/1";

/// Rows that are normalized and predicted at once: bounds the memory for them.
const CHUNK: u32 = 4096;

/// What `-o json` prints.
#[derive(Debug, Serialize)]
struct Report<'a> {
    schema: &'static str,
    model: &'a Path,
    network: String,
    task: &'static str,
    target: &'a str,
    classes: &'a [String],
    data: DataReport<'a>,
    backend: String,
    device: &'a str,
    #[serde(flatten)]
    measured: Measured,
    predictions: &'a [Row],
    predictions_left_out: usize,
    out: Option<&'a Path>,
}

#[derive(Debug, Serialize)]
struct DataReport<'a> {
    source: &'a str,
    rows: usize,
    features: usize,
}

pub(crate) fn command(global: &Global, args: &PredictArgs, messages: &Messages) -> Result<Exit, Failure> {
    // Stopping between chunks, so that no temporary file is left behind.
    let signals = Signals::listen(|_| {}).map_err(|error| Failure::new(Exit::Unexpected, error))?;
    let model = load_model(&args.model)?;
    let source: DataSource = args
        .data
        .parse()
        .unwrap_or_else(|never: std::convert::Infallible| match never {});
    refuse_overwriting(args)?;
    let table = source.load_for(model.preprocess(), &LoadOptions::default())?;
    for warning in table.warnings() {
        messages.warning(&warning.to_string());
    }
    let context = ComputeContext::open(&context_config(&args.place))?;
    let limit = args
        .limit
        .map_or(if global.output == Output::Json { 1000 } else { 20 }, |limit| {
            limit as usize
        });
    let mut sheet = Sheet::new(
        limit,
        args.out.as_deref(),
        is_classification(&model),
        table.target().is_some(),
    )?;
    let mut score = Score::new(&model, &table)?;
    if let Some(exit) = predict(&model, &table, &context, &signals, &mut sheet, &mut score)? {
        messages.note("stopped: nothing was written");
        return Ok(exit);
    }
    sheet.finish()?;
    let measured = score.measured(model.preprocess().target());
    match global.output {
        Output::Text => output::text(&text(&model, &table, &sheet, measured))?,
        Output::Json => output::json(&report(args, &model, &table, &context, &sheet, measured))?,
    }
    Ok(Exit::Done)
}

/// Refuses to replace the data by their predictions.
fn refuse_overwriting(args: &PredictArgs) -> Result<(), Failure> {
    let real = |path: &Path| path.canonicalize().ok();
    let Some(out) = args.out.as_deref().and_then(real) else {
        return Ok(());
    };
    if real(Path::new(&args.data)) != Some(out) {
        return Ok(());
    }
    let error = format!("--out names the data file {}", args.data);
    Err(Failure::text(Exit::Usage, error)
        .with_hint("name another file: the predictions would replace the data"))
}

fn load_model(folder: &Path) -> Result<Model, Failure> {
    if folder.join("run.json").is_file() && !folder.join("model.json").is_file() {
        let shown = folder.display().to_string();
        let hint = format!(
            "finish the run first: daa run --resume {}",
            output::shell_word(&shown)
        );
        return Err(
            Failure::text(Exit::Input, format!("{shown}: the run has left no model yet")).with_hint(hint),
        );
    }
    Ok(Model::load(folder)?)
}

fn context_config(args: &DeviceArgs) -> ContextConfig {
    let mut config = ContextConfig {
        device: args.device,
        pipeline_cache: args.pipeline_cache(),
        ..ContextConfig::default()
    };
    config.memory.capacity = args.memory_limit;
    config.cpu_workers = args.threads.unwrap_or(config.cpu_workers);
    config
}

/// Predicts all rows, unless a signal stops it.
fn predict(
    model: &Model,
    table: &Table,
    context: &ComputeContext,
    signals: &Signals,
    sheet: &mut Sheet,
    score: &mut Score,
) -> Result<Option<Exit>, Failure> {
    let network = Predictor::network(model)?;
    let budget = network.peak_bytes();
    check_memory(budget, context.capacity())?;
    let spec = TenantSpec {
        name: "predict".to_owned(),
        budget,
        token: FencingToken(0),
        weight: Weight::default(),
    };
    let tenant = context.tenant(spec).map_err(PredictError::from)?;
    let mut predictor = Predictor::load(model, network, &tenant)?;
    let answers = Answers::new(model.preprocess().target());
    // A table has fewer rows than 2^32: its limits say so.
    let rows = u32::try_from(table.rows()).unwrap_or(u32::MAX);
    let mut first = 0;
    while first < rows {
        if let Some(exit) = signals.exit() {
            return Ok(Some(exit));
        }
        let chunk: Vec<u32> = (first..first.saturating_add(CHUNK).min(rows)).collect();
        let matrix = model.preprocess().transform(table, &chunk)?;
        let predictions = predictor.predict(&matrix.values)?;
        score.add(&predictions, &chunk);
        for (&row, (class, outputs)) in chunk.iter().zip(predictions.classes().zip(predictions.rows())) {
            sheet.add(answers.row(row, class, outputs, table.target()))?;
        }
        first = first.saturating_add(CHUNK);
    }
    Ok(None)
}

/// Refuses before anything is loaded, and says what it would take.
fn check_memory(needed: Bytes, capacity: Bytes) -> Result<(), Failure> {
    if needed <= capacity {
        return Ok(());
    }
    let exact = |bytes: Bytes| format!("{bytes} ({} bytes)", bytes.get());
    let error = format!(
        "the model needs {} of device memory, {} may be reserved",
        exact(needed),
        exact(capacity)
    );
    let hint = format!("allow at least that much: --memory-limit {}", needed.get());
    Err(Failure::text(Exit::Input, error).with_hint(hint))
}

fn is_classification(model: &Model) -> bool {
    matches!(model.preprocess().target(), TargetEncoder::Classes { .. })
}

fn text(model: &Model, table: &Table, sheet: &Sheet, measured: Measured) -> String {
    let mut text = if sheet.rows().is_empty() {
        String::new()
    } else {
        output::table(sheet.header(), &sheet.cells())
    };
    if sheet.left_out() > 0 {
        text.push_str(&format!(
            "… {} more rows; --out FILE.csv writes all of them\n",
            sheet.left_out()
        ));
    }
    let target = model.preprocess().target_name();
    let mut closing = vec![
        ("rows", table.rows().to_string()),
        ("predicted", target.to_owned()),
    ];
    if let Some(accuracy) = measured.accuracy {
        closing.push(("accuracy", format!("{accuracy:.4}")));
    }
    if let Some(rmse) = measured.rmse {
        closing.push(("RMSE", format!("{rmse:.6}")));
    }
    if measured.accuracy.is_none() && measured.rmse.is_none() {
        closing.push((
            "score",
            "none: the data have no target to compare with".to_owned(),
        ));
    }
    if let Some(path) = sheet.path() {
        closing.push(("written to", path.display().to_string()));
    }
    format!("{text}\n{}", output::fields(&closing))
}

fn report<'a>(
    args: &'a PredictArgs,
    model: &'a Model,
    table: &'a Table,
    context: &'a ComputeContext,
    sheet: &'a Sheet,
    measured: Measured,
) -> Report<'a> {
    let preprocess = model.preprocess();
    Report {
        schema: SCHEMA,
        model: &args.model,
        network: model.architecture().to_string(),
        task: if is_classification(model) {
            "classification"
        } else {
            "regression"
        },
        target: preprocess.target_name(),
        classes: match preprocess.target() {
            TargetEncoder::Classes { names } => names,
            TargetEncoder::Values { .. } => &[],
        },
        data: DataReport {
            source: table.file(),
            rows: table.rows(),
            features: preprocess.shape().values(),
        },
        backend: context.info().backend.to_string(),
        device: &context.info().name,
        measured,
        predictions: sheet.rows(),
        predictions_left_out: sheet.left_out(),
        out: sheet.path(),
    }
}
