//! A job as nodes of a ledger get it: everything that its trainings depend on, as one content with a digest for a name.
//!
//! ```text
//! "daa.job/1\n" · u32 length of the header · header (canonical codec) · suggested recipes, JSON
//! · features, rows × columns of f32 · targets, rows of u32 or f32 · training rows, u32 · validation rows, u32
//! ```
//! Numbers are little-endian. The rows of the final test are not named: who trains does not know them.

use crate::error::AgentError;
use daa_base::Seed;
use daa_base::codec;
use daa_learn::data::{Dataset, InputShape, Target};
use daa_learn::search::{MAX_SUGGESTIONS, Suggestion};
use daa_learn::train::PreparedData;
use serde::{Deserialize, Serialize};
use std::sync::Arc;

const MAGIC: &[u8] = b"daa.job/1\n";

/// Largest encoded header in bytes.
const MAX_HEADER: usize = 256;

/// Largest bytes of the suggested recipes.
const MAX_RECIPES: u32 = 16 << 10;

/// What trainings are made of.
#[derive(Debug, Clone)]
pub(crate) struct Material {
    /// All rows, with those to train on and to validate with.
    pub(crate) search: Arc<PreparedData>,
    /// The same rows, all to train on: for the final training.
    pub(crate) merged: Arc<PreparedData>,
    /// Turns an error of the normalized target into one in the target's own units; 1 for classification.
    pub(crate) target_unit: f64,
}

/// Everything that the trainings of a run depend on.
#[derive(Debug, Clone)]
pub(crate) struct Job {
    pub(crate) seed: Seed,
    pub(crate) epochs_budget: Option<u32>,
    /// Recipes that the search tries, at most [`MAX_SUGGESTIONS`]; whether they are of its space, the search says.
    pub(crate) suggested: Vec<Suggestion>,
    pub(crate) material: Material,
}

/// Why bytes are no job.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum JobError {
    /// They do not begin like one.
    #[error("the job does not begin with `daa.job/1`")]
    Magic,
    /// Its header cannot be read.
    #[error("the job's header: {0}")]
    Header(#[from] codec::CodecError),
    /// It is longer or shorter than its header says.
    #[error("the job has {found} bytes behind its header, which speaks of {wanted}")]
    Length {
        /// Bytes that are there.
        found: u64,
        /// Bytes that there should be.
        wanted: u64,
    },
    /// A number is outside its range.
    #[error("the job's {field} is {value}, allowed are {allowed}")]
    OutOfRange {
        /// Which number.
        field: &'static str,
        /// Its value.
        value: String,
        /// The values allowed.
        allowed: &'static str,
    },
    /// Its recipes cannot be read.
    #[error("the job's suggested recipes: {0}")]
    Suggested(String),
    /// Its rows are no data to train on.
    #[error("the job's data: {0}")]
    Data(String),
}

#[derive(Debug, Serialize, Deserialize)]
struct Header {
    seed: Seed,
    epochs_budget: Option<u32>,
    shape: InputShape,
    /// Absent for regression.
    classes: Option<u64>,
    /// Bytes of the suggested recipes; 0: there are none.
    suggested: u32,
    rows: u64,
    train: u64,
    validation: u64,
    target_unit: f64,
}

impl Header {
    /// Bytes behind the header, if they can be counted.
    fn body(&self) -> Option<u64> {
        let columns = self.shape.checked_values()? as u64;
        let numbers = self.rows.checked_mul(columns.checked_add(1)?)?;
        let numbers = numbers.checked_add(self.train)?.checked_add(self.validation)?;
        numbers.checked_mul(4)?.checked_add(self.suggested.into())
    }
}

impl Job {
    /// The bytes that name it.
    ///
    /// # Errors
    /// Never for a job that was read or prepared here.
    pub(crate) fn encode(&self) -> Result<Vec<u8>, AgentError> {
        let data = &self.material.search;
        let dataset = data.dataset();
        let suggested = recipes(&self.suggested)?;
        let header = Header {
            seed: self.seed,
            epochs_budget: self.epochs_budget,
            shape: dataset.shape(),
            classes: match dataset.target() {
                Target::Classes { classes, .. } => Some(*classes as u64),
                Target::Values(_) => None,
            },
            // At most `MAX_RECIPES`.
            suggested: suggested.len() as u32,
            rows: dataset.rows() as u64,
            train: data.train().len() as u64,
            validation: data.validation().len() as u64,
            target_unit: self.material.target_unit,
        };
        let encoded = codec::encode::<MAX_HEADER, _>(&header)
            .map_err(|error| AgentError::internal("a job's header", error))?;
        let mut bytes = MAGIC.to_vec();
        // At most `MAX_HEADER`.
        bytes.extend_from_slice(&(encoded.len() as u32).to_le_bytes());
        bytes.extend_from_slice(&encoded);
        bytes.extend_from_slice(&suggested);
        put(&mut bytes, dataset.features(), f32::to_le_bytes);
        match dataset.target() {
            Target::Classes { labels, .. } => put(&mut bytes, labels, u32::to_le_bytes),
            Target::Values(values) => put(&mut bytes, values, f32::to_le_bytes),
        }
        put(&mut bytes, data.train(), u32::to_le_bytes);
        put(&mut bytes, data.validation(), u32::to_le_bytes);
        Ok(bytes)
    }

    /// The job in `bytes`, of which nothing is believed.
    ///
    /// # Errors
    /// [`JobError`].
    pub(crate) fn decode(bytes: &[u8]) -> Result<Self, JobError> {
        let rest = bytes.strip_prefix(MAGIC).ok_or(JobError::Magic)?;
        let (length, rest) = rest.split_first_chunk::<4>().ok_or(JobError::Magic)?;
        let length = u32::from_le_bytes(*length) as usize;
        let short = JobError::Length {
            found: rest.len() as u64,
            wanted: length as u64,
        };
        let (header, body) = rest.split_at_checked(length).ok_or(short)?;
        let header: Header = codec::decode_canonical::<MAX_HEADER, _>(header)?;
        check(&header)?;
        let found = body.len() as u64;
        let wanted = header.body().unwrap_or(u64::MAX);
        if found != wanted {
            return Err(JobError::Length { found, wanted });
        }
        let (suggested, rows) = body.split_at(header.suggested as usize);
        Ok(Self {
            seed: header.seed,
            epochs_budget: header.epochs_budget,
            suggested: read_recipes(suggested)?,
            material: material(&header, rows)?,
        })
    }
}

fn check(header: &Header) -> Result<(), JobError> {
    let refuse = |field, value: String, allowed| {
        Err(JobError::OutOfRange {
            field,
            value,
            allowed,
        })
    };
    if let Some(classes) = header.classes
        && !(1..=1 << 20).contains(&classes)
    {
        return refuse("number of classes", classes.to_string(), "1 to 1048576");
    }
    if !(header.target_unit.is_finite() && header.target_unit > 0.0) {
        return refuse("unit of the target", header.target_unit.to_string(), "above 0");
    }
    if header.suggested > MAX_RECIPES {
        let value = header.suggested.to_string();
        return refuse("bytes of suggested recipes", value, "0 to 16384");
    }
    if header.validation == 0 {
        return refuse("number of validation rows", "0".to_owned(), "1 and more");
    }
    Ok(())
}

/// Recipes as JSON, which networks are described in; no bytes for none.
fn recipes(suggested: &[Suggestion]) -> Result<Vec<u8>, AgentError> {
    if suggested.is_empty() {
        return Ok(Vec::new());
    }
    let text = serde_json::to_vec(suggested);
    let text = text.map_err(|error| AgentError::internal("a job's recipes", error))?;
    if text.len() > MAX_RECIPES as usize {
        let reason = format!("they have {} bytes, allowed are 0 to {MAX_RECIPES}", text.len());
        return Err(JobError::Suggested(reason).into());
    }
    Ok(text)
}

/// Only the bytes that [`recipes`] makes are taken.
fn read_recipes(text: &[u8]) -> Result<Vec<Suggestion>, JobError> {
    if text.is_empty() {
        return Ok(Vec::new());
    }
    let refuse = |reason: &str| JobError::Suggested(reason.to_owned());
    let suggested: Vec<Suggestion> =
        serde_json::from_slice(text).map_err(|error| refuse(&error.to_string()))?;
    if suggested.len() > MAX_SUGGESTIONS {
        return Err(refuse("there are more than a search takes"));
    }
    match recipes(&suggested) {
        Ok(same) if same == text => Ok(suggested),
        _ => Err(refuse("they are not in their canonical form")),
    }
}

/// `body` has the length that `header` speaks of.
fn material(header: &Header, body: &[u8]) -> Result<Material, JobError> {
    let data = |error: &dyn std::fmt::Display| JobError::Data(error.to_string());
    let columns = header.shape.checked_values().unwrap_or(0);
    // Each count is below the body's length, so it fits.
    let rows = header.rows as usize;
    let (features, rest) = body.split_at(rows * columns * 4);
    let (targets, rest) = rest.split_at(rows * 4);
    let (train, validation) = rest.split_at(header.train as usize * 4);
    let target = match header.classes {
        Some(classes) => Target::Classes {
            labels: take(targets, u32::from_le_bytes),
            classes: classes as usize,
        },
        None => Target::Values(take(targets, f32::from_le_bytes)),
    };
    let dataset = Dataset::new(header.shape, take(features, f32::from_le_bytes), target);
    let dataset = Arc::new(dataset.map_err(|error| data(&error))?);
    let (train, validation) = (
        take(train, u32::from_le_bytes),
        take(validation, u32::from_le_bytes),
    );
    let search = PreparedData::new(dataset, train, validation).map_err(|error| data(&error))?;
    Ok(Material {
        merged: Arc::new(search.merged()),
        search: Arc::new(search),
        target_unit: header.target_unit,
    })
}

fn put<T: Copy>(bytes: &mut Vec<u8>, numbers: &[T], write: impl Fn(T) -> [u8; 4]) {
    bytes.reserve(numbers.len() * 4);
    for &number in numbers {
        bytes.extend_from_slice(&write(number));
    }
}

fn take<T>(bytes: &[u8], read: impl Fn([u8; 4]) -> T) -> Vec<T> {
    let (numbers, _) = bytes.as_chunks::<4>();
    numbers.iter().map(|number| read(*number)).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use daa_learn::nn::OutputHead;
    use daa_learn::search::{CandidateId, SearchConfig};
    use proptest::prelude::*;

    fn job(target: Target) -> Job {
        let features: Vec<f32> = (0_u8..24).map(f32::from).collect();
        let dataset = Dataset::new(InputShape::Flat { features: 3 }, features, target).expect("fits");
        let search = PreparedData::new(Arc::new(dataset), vec![0, 2, 5], vec![1, 7]).expect("fits");
        Job {
            seed: Seed(5),
            epochs_budget: Some(9),
            suggested: suggested(),
            material: Material {
                merged: Arc::new(search.merged()),
                search: Arc::new(search),
                target_unit: 2.5,
            },
        }
    }

    fn suggested() -> Vec<Suggestion> {
        let output = OutputHead::Classes { count: 2 };
        let search = SearchConfig::for_dataset(3, InputShape::Flat { features: 3 }, output, Seed(4));
        [5, 9].map(|id| search.suggestion(CandidateId(id))).to_vec()
    }

    fn classes() -> Target {
        Target::Classes {
            labels: vec![0, 1, 0, 1, 1, 1, 0, 0],
            classes: 2,
        }
    }

    #[test]
    fn jobs_survive_the_way_byte_for_byte() {
        let values = Target::Values((0_u8..8).map(|row| f32::from(row) / 7.0).collect());
        for target in [classes(), values] {
            let sent = job(target);
            let bytes = sent.encode().expect("small");
            let came = Job::decode(&bytes).expect("whole");
            assert_eq!((came.seed, came.epochs_budget), (Seed(5), Some(9)));
            assert_eq!(came.suggested, suggested());
            assert_eq!(came.material.search.dataset(), sent.material.search.dataset());
            assert_eq!(came.material.merged.train(), [0, 1, 2, 5, 7]);
            assert_eq!(came.encode().expect("small"), bytes);
        }
    }

    #[test]
    fn jobs_that_lie_about_themselves_are_refused() {
        let bytes = job(classes()).encode().expect("small");
        let cut = Job::decode(&bytes[..bytes.len() - 1]).expect_err("cut");
        assert!(matches!(cut, JobError::Length { .. }), "{cut}");
        let mut long = bytes.clone();
        long.push(0);
        assert!(matches!(Job::decode(&long), Err(JobError::Length { .. })));
        let mut far = bytes.clone();
        // The last validation row.
        let last = far.len() - 4;
        far[last..].copy_from_slice(&99_u32.to_le_bytes());
        assert!(matches!(Job::decode(&far), Err(JobError::Data(_))));
        assert_eq!(Job::decode(b"daa.job/2\n....").unwrap_err(), JobError::Magic);
        let mut odd = job(classes());
        odd.material.target_unit = f64::NAN;
        let odd = odd.encode().expect("small");
        assert!(matches!(Job::decode(&odd), Err(JobError::OutOfRange { .. })));
        let mut many = job(classes());
        many.suggested = [suggested(), suggested(), suggested()].concat();
        let many = many.encode().expect("small");
        assert!(matches!(Job::decode(&many), Err(JobError::Suggested(_))));
        let at = bytes
            .windows(2)
            .position(|pair| pair == b"[{")
            .expect("the recipes");
        let mut spaced = bytes.clone();
        spaced[at] = b' ';
        assert!(matches!(Job::decode(&spaced), Err(JobError::Suggested(_))));
    }

    proptest! {
        #[test]
        fn damaged_jobs_decode_or_fail_without_harm(at: usize, byte: u8, cut: usize) {
            let mut bytes = job(classes()).encode().expect("small");
            let at = at % bytes.len();
            bytes[at] = byte;
            let cut = cut % (bytes.len() + 1);
            for bytes in [&bytes[..], &bytes[..cut]] {
                if let Ok(job) = Job::decode(bytes) {
                    prop_assert_eq!(job.encode().expect("small"), bytes);
                }
            }
        }
    }
}
