//! Training a network as a task.

use super::{Outcome, number};
use crate::gpu::compute::{Opened, host};
use crate::neural::net::{self, Job};
use crate::records::{NeuralConfig, Task, TrainingData};
use serde_json::{Value, json};
use std::sync::atomic::AtomicBool;

/// Units of the hidden layer of a task that names no `layers`.
const HIDDEN: u32 = 16;
/// Step size of a task that names none.
const LEARNING_RATE: f64 = 0.01;

/// Whether the task is to train a network.
pub(crate) fn is_training(task: &Task) -> bool {
    match task.context.get("operation") {
        Some(operation) => operation == "train",
        None => task.context.contains_key("inputs") && task.context.contains_key("targets"),
    }
}

/// Trains the network that the task describes, on `device` or the host's CPU, and asks it about `predict`.
pub(super) fn train(task: &Task, device: Option<&dyn Opened>) -> Result<Outcome, String> {
    let said = |error: crate::DAAError| error.to_string();
    let (inputs, targets) = (rows(task, "inputs")?, rows(task, "targets")?);
    let asked = task
        .context
        .contains_key("predict")
        .then(|| rows(task, "predict"))
        .transpose()?;
    let config = config(task, inputs.first(), targets.first())?;
    let network = net::describe(&config).map_err(said)?;
    let architecture = network.architecture.clone();
    if let Some(asked) = &asked {
        net::check_rows("predict", asked, architecture.input.values()).map_err(said)?;
    }
    let data = TrainingData {
        inputs,
        targets,
        metadata: task.context.clone(),
    };
    let job = Job::new(network, &data).map_err(said)?;
    let opened;
    let device = match device {
        Some(device) => device,
        None => {
            opened = host().map_err(said)?;
            &*opened
        }
    };
    let trained = device.train(&job, &AtomicBool::new(false)).map_err(said)?;
    let predictions = match asked {
        None => Value::Null,
        Some(asked) => {
            let asked: Vec<&[f32]> = asked.iter().map(Vec::as_slice).collect();
            let outputs = device.predict(&architecture, &trained.parameters, &asked);
            json!(outputs.map_err(said)?)
        }
    };
    judged(task, &architecture.to_string(), &trained, predictions)
}

/// A success unless the task says how good the network must be and it is not.
fn judged(task: &Task, network: &str, trained: &net::Trained, predictions: Value) -> Result<Outcome, String> {
    let worse_loss = number(task, "target_loss")?
        .filter(|&target| trained.loss > target)
        .map(|target| format!("the loss is {}, the target was {target}", trained.loss));
    let missed = match worse_loss {
        Some(reason) => Some(reason),
        None => number(task, "target_accuracy")?
            .filter(|&target| trained.accuracy < target)
            .map(|target| format!("the accuracy is {}, the target was {target}", trained.accuracy)),
    };
    let result = json!({
        "network": network,
        "epochs": trained.epochs,
        "final_loss": trained.loss,
        "accuracy": trained.accuracy,
        "predictions": predictions,
    });
    Ok(Outcome {
        success: missed.is_none(),
        result,
        reason: missed,
        metrics: vec![
            ("epochs", f64::from(trained.epochs)),
            ("final_loss", trained.loss),
            ("accuracy", trained.accuracy),
        ],
    })
}

fn config(task: &Task, input: Option<&Vec<f32>>, target: Option<&Vec<f32>>) -> Result<NeuralConfig, String> {
    let text = |name: &str, default: &str| match task.context.get(name) {
        None => Ok(default.to_owned()),
        Some(Value::String(text)) => Ok(text.clone()),
        Some(other) => Err(format!("`{name}` is {other}, it must be a text")),
    };
    let width = |row: Option<&Vec<f32>>| row.map_or(0, |row| u32::try_from(row.len()).unwrap_or(u32::MAX));
    let layers = match task.context.get("layers") {
        None => vec![width(input), HIDDEN, width(target)],
        Some(value) => serde_json::from_value(value.clone())
            .map_err(|_| format!("`layers` is {value}, it must be a list of whole numbers"))?,
    };
    Ok(NeuralConfig {
        network_type: "task".to_owned(),
        layers,
        activation: text("activation", "tanh")?,
        learning_rate: number(task, "learning_rate")?.unwrap_or(LEARNING_RATE),
        optimizer: text("optimizer", "adam")?,
        use_simd: true,
    })
}

fn rows(task: &Task, name: &str) -> Result<Vec<Vec<f32>>, String> {
    let wrong = || format!("`{name}` must be a list of lists of numbers, at least 1");
    let list = task
        .context
        .get(name)
        .and_then(Value::as_array)
        .ok_or_else(wrong)?;
    let row = |row: &Value| {
        let numbers = row.as_array()?.iter().map(|x| x.as_f64().map(|x| x as f32));
        numbers.collect::<Option<Vec<f32>>>()
    };
    let rows: Option<Vec<Vec<f32>>> = list.iter().map(row).collect();
    rows.filter(|rows| !rows.is_empty()).ok_or_else(wrong)
}
