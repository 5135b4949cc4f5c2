//! What an agent can really do with a task: the operations, and the search that follows the cognitive pattern.
//!
//! Everything here is a function of the task, the pattern and the time passed in; a network that is trained on a GPU
//! depends on the GPU too.

mod search;
mod train;

use crate::gpu::compute::Opened;
use crate::records::{CognitivePattern, Task};
use chrono::{DateTime, Utc};
use serde_json::{Map, Value, json};

pub use search::{Found, Polynomial, search};
pub(crate) use train::is_training;

/// Most numbers one operation takes.
pub const MAX_VALUES: usize = 1_000_000;
/// Most evaluations one search may use.
pub const MAX_BUDGET: usize = 100_000;
/// Evaluations of a search whose task names no `budget`.
const DEFAULT_BUDGET: usize = 64;

/// What came of the work.
#[derive(Debug, Clone, PartialEq)]
pub struct Outcome {
    /// Whether the task's own criterion was met.
    pub success: bool,
    /// What was computed; `null` where nothing was.
    pub result: Value,
    /// Why it did not succeed.
    pub reason: Option<String>,
    /// Measured values by name.
    pub metrics: Vec<(&'static str, f64)>,
}

impl Outcome {
    fn failed(reason: impl Into<String>) -> Self {
        Self {
            success: false,
            result: Value::Null,
            reason: Some(reason.into()),
            metrics: Vec::new(),
        }
    }
}

/// Does `task` the way `pattern` does it.
///
/// The context's `operation` says what to do; see the crate's README. A task that names none, an unknown one, wrong
/// arguments or a deadline before `now` is not done: `success` is false and `reason` says why.
#[must_use]
pub fn perform(pattern: &CognitivePattern, task: &Task, now: DateTime<Utc>) -> Outcome {
    perform_on(pattern, task, now, None)
}

/// As [`perform`]; networks are trained on `device`, or on the host's CPU where none is given.
pub(crate) fn perform_on(
    pattern: &CognitivePattern,
    task: &Task,
    now: DateTime<Utc>,
    device: Option<&dyn Opened>,
) -> Outcome {
    if let Some(deadline) = task.deadline.filter(|&deadline| deadline < now) {
        return Outcome::failed(format!("the deadline {deadline} has passed"));
    }
    if is_training(task) {
        return train::train(task, device).unwrap_or_else(Outcome::failed);
    }
    let Some(operation) = task.context.get("operation") else {
        return Outcome::failed("there is nothing to do: the context names no `operation`");
    };
    let Some(name) = operation.as_str() else {
        return Outcome::failed("`operation` is not a text");
    };
    let result = match name {
        "minimize" => minimize(pattern, task),
        _ => compute(name, task),
    };
    result.unwrap_or_else(Outcome::failed)
}

fn number(task: &Task, name: &str) -> Result<Option<f64>, String> {
    match task.context.get(name) {
        None => Ok(None),
        Some(value) => value
            .as_f64()
            .filter(|number| number.is_finite())
            .map(Some)
            .ok_or_else(|| format!("`{name}` is {value}, it must be a finite number")),
    }
}

fn numbers(task: &Task, name: &str) -> Result<Vec<f64>, String> {
    let Some(list) = task.context.get(name).and_then(Value::as_array) else {
        return Err(format!("`{name}` must be a list of numbers"));
    };
    if list.is_empty() || list.len() > MAX_VALUES {
        return Err(format!(
            "`{name}` has {} entries, allowed are 1 to {MAX_VALUES}",
            list.len()
        ));
    }
    let read = |(index, value): (usize, &Value)| {
        value
            .as_f64()
            .ok_or_else(|| format!("`{name}[{index}]` is {value}, it must be a number"))
    };
    list.iter().enumerate().map(read).collect()
}

/// Operations on the list `values`.
fn compute(name: &str, task: &Task) -> Result<Outcome, String> {
    type Compute = fn(&[f64]) -> f64;
    let fold: Compute = match name {
        "sum" => |values| values.iter().sum(),
        "mean" => |values| values.iter().sum::<f64>() / values.len() as f64,
        "minimum" => |values| values.iter().copied().fold(f64::INFINITY, f64::min),
        "maximum" => |values| values.iter().copied().fold(f64::NEG_INFINITY, f64::max),
        "sort" => return sort(task),
        "dot" => return dot(task),
        _ => {
            return Err(format!(
                "`operation` is `{name}`, allowed are sum, mean, minimum, maximum, sort, dot, minimize and train"
            ));
        }
    };
    let values = numbers(task, "values")?;
    judged(task, fold(&values), values.len())
}

fn dot(task: &Task) -> Result<Outcome, String> {
    let (left, right) = (numbers(task, "values")?, numbers(task, "weights")?);
    if left.len() != right.len() {
        return Err(format!(
            "`values` has {} entries and `weights` {}",
            left.len(),
            right.len()
        ));
    }
    judged(
        task,
        left.iter().zip(&right).map(|(a, b)| a * b).sum(),
        left.len(),
    )
}

fn sort(task: &Task) -> Result<Outcome, String> {
    let mut values = numbers(task, "values")?;
    values.sort_by(f64::total_cmp);
    let metrics = vec![("values", values.len() as f64)];
    Ok(Outcome {
        success: true,
        result: json!(values),
        reason: None,
        metrics,
    })
}

/// A computed number, a success unless the task says which number it expects and this is another.
fn judged(task: &Task, value: f64, count: usize) -> Result<Outcome, String> {
    if !value.is_finite() {
        return Err("the result is too large for a number".to_owned());
    }
    let wrong = number(task, "expected")?
        .filter(|expected| (value - expected).abs() > 1e-9 * expected.abs().max(1.0))
        .map(|expected| format!("the result is {value}, expected was {expected}"));
    let metrics = vec![("values", count as f64)];
    Ok(Outcome {
        success: wrong.is_none(),
        result: json!(value),
        reason: wrong,
        metrics,
    })
}

fn minimize(pattern: &CognitivePattern, task: &Task) -> Result<Outcome, String> {
    let coefficients = numbers(task, "coefficients")?;
    let need = |name: &str| number(task, name)?.ok_or_else(|| format!("`{name}` is missing"));
    let (lower, upper) = (need("lower")?, need("upper")?);
    let budget = match task.context.get("budget") {
        None => DEFAULT_BUDGET,
        Some(value) => value
            .as_u64()
            .and_then(|budget| usize::try_from(budget).ok())
            .filter(|budget| (1..=MAX_BUDGET).contains(budget))
            .ok_or_else(|| format!("`budget` is {value}, allowed are 1 to {MAX_BUDGET}"))?,
    };
    let polynomial = Polynomial::new(coefficients, lower, upper)?;
    let found = search(pattern, &polynomial, budget, &task.id);
    if !found.value.is_finite() {
        return Err("no finite value was found".to_owned());
    }
    let missed = number(task, "target")?
        .filter(|&target| found.value > target)
        .map(|target| format!("the best value is {}, the target was {target}", found.value));
    let mut result = Map::new();
    result.insert("x".to_owned(), json!(found.x));
    result.insert("value".to_owned(), json!(found.value));
    let metrics = vec![
        ("evaluations", found.evaluations as f64),
        ("best_value", found.value),
    ];
    Ok(Outcome {
        success: missed.is_none(),
        result: Value::Object(result),
        reason: missed,
        metrics,
    })
}

#[cfg(test)]
mod tests;
