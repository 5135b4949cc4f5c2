//! Predictions row by row: the first ones are kept for printing, all of them go to a CSV file if there is one.

use crate::exit::{Exit, Failure};
use daa_learn::data::{TableTarget, TargetEncoder};
use daa_learn::files;
use serde::Serialize;
use std::io::{self, BufWriter, Write as _};
use std::path::{Path, PathBuf};
use tempfile::NamedTempFile;

/// A class by its name, or a number.
#[derive(Debug, Clone, PartialEq, Serialize)]
#[serde(untagged)]
pub(super) enum Answer {
    Class(String),
    Value(f64),
}

impl Answer {
    fn text(&self) -> String {
        match self {
            Self::Class(name) => name.clone(),
            Self::Value(value) => value.to_string(),
        }
    }
}

/// What the model says about one row.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub(super) struct Row {
    /// Its number in the data, from 1.
    row: u64,
    prediction: Answer,
    /// Of the predicted class; absent for regression.
    #[serde(skip_serializing_if = "Option::is_none")]
    probability: Option<f32>,
    /// What the data say, if they say it.
    #[serde(skip_serializing_if = "Option::is_none")]
    target: Option<Answer>,
}

impl Row {
    fn cells(&self) -> Vec<String> {
        let mut cells = vec![self.row.to_string(), self.prediction.text()];
        cells.extend(self.probability.map(|probability| format!("{probability:.4}")));
        cells.extend(self.target.as_ref().map(Answer::text));
        cells
    }
}

/// From network outputs to what people know.
#[derive(Debug)]
pub(super) struct Answers<'a> {
    target: &'a TargetEncoder,
}

impl<'a> Answers<'a> {
    pub(super) const fn new(target: &'a TargetEncoder) -> Self {
        Self { target }
    }

    /// The answer for row `row` (from 0), whose most probable class is `class`.
    pub(super) fn row(&self, row: u32, class: u32, outputs: &[f32], known: Option<&TableTarget>) -> Row {
        let name = |class: u32| self.target.class_name(class).unwrap_or_default().to_owned();
        let output = outputs.get(class as usize).copied().unwrap_or_default();
        let (prediction, probability) = match self.target.value(output) {
            Some(value) => (Answer::Value(value), None),
            None => (Answer::Class(name(class)), Some(output)),
        };
        let at = row as usize;
        let target = known.and_then(|known| match known {
            TableTarget::Classes { labels, names } => {
                names.get(*labels.get(at)? as usize).cloned().map(Answer::Class)
            }
            TableTarget::Values(values) => values.get(at).copied().map(Answer::Value),
        });
        Row {
            row: u64::from(row) + 1,
            prediction,
            probability,
            target,
        }
    }
}

/// The rows so far.
#[derive(Debug)]
pub(super) struct Sheet {
    header: Vec<&'static str>,
    limit: usize,
    kept: Vec<Row>,
    added: usize,
    file: Option<(PathBuf, BufWriter<NamedTempFile>)>,
    written: Option<PathBuf>,
}

impl Sheet {
    /// Keeps `limit` rows, and writes all to a temporary file beside `out`.
    pub(super) fn new(
        limit: usize,
        out: Option<&Path>,
        has_probability: bool,
        has_target: bool,
    ) -> Result<Self, Failure> {
        let optional = [("probability", has_probability), ("target", has_target)];
        let header: Vec<&'static str> = ["row", "prediction"]
            .into_iter()
            .chain(optional.iter().filter(|(_, is)| *is).map(|(name, _)| *name))
            .collect();
        let mut sheet = Self {
            header,
            limit,
            kept: Vec::new(),
            added: 0,
            file: None,
            written: None,
        };
        if let Some(out) = out {
            let file = files::temporary_beside(out).map_err(|error| unwritable(out, error))?;
            let mut writer = BufWriter::new(file);
            writeln!(writer, "{}", sheet.header.join(",")).map_err(|error| unwritable(out, error))?;
            sheet.file = Some((out.to_owned(), writer));
        }
        Ok(sheet)
    }

    pub(super) fn add(&mut self, row: Row) -> Result<(), Failure> {
        if let Some((path, writer)) = &mut self.file {
            let cells: Vec<String> = row.cells().iter().map(|cell| csv_field(cell)).collect();
            writeln!(writer, "{}", cells.join(",")).map_err(|error| unwritable(path, error))?;
        }
        self.added += 1;
        if self.kept.len() < self.limit {
            self.kept.push(row);
        }
        Ok(())
    }

    /// Gives the file its name: whole, or not at all.
    pub(super) fn finish(&mut self) -> Result<(), Failure> {
        let Some((path, writer)) = self.file.take() else {
            return Ok(());
        };
        let failed = |error| unwritable(&path, error);
        let file = writer.into_inner().map_err(|error| failed(error.into_error()))?;
        files::put(file, &path).map_err(failed)?;
        self.written = Some(path);
        Ok(())
    }

    pub(super) fn header(&self) -> &[&'static str] {
        &self.header
    }

    pub(super) fn rows(&self) -> &[Row] {
        &self.kept
    }

    /// The rows kept, as text.
    pub(super) fn cells(&self) -> Vec<Vec<String>> {
        self.kept.iter().map(Row::cells).collect()
    }

    /// Rows that are not kept.
    pub(super) fn left_out(&self) -> usize {
        self.added - self.kept.len()
    }

    /// The finished file.
    pub(super) fn path(&self) -> Option<&Path> {
        self.written.as_deref()
    }
}

fn unwritable(path: &Path, error: io::Error) -> Failure {
    let error = anyhow::Error::new(error).context(format!("{}: cannot be written", path.display()));
    Failure::new(Exit::Input, error).with_hint("check that its folder exists and can be written to")
}

/// `text` as one field of a CSV file (RFC 4180).
fn csv_field(text: &str) -> String {
    if text.contains([',', '"', '\n', '\r']) {
        format!("\"{}\"", text.replace('"', "\"\""))
    } else {
        text.to_owned()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn rows(names: &[&str]) -> (TargetEncoder, TableTarget) {
        let names: Vec<String> = names.iter().map(|&name| name.to_owned()).collect();
        (
            TargetEncoder::Classes { names: names.clone() },
            TableTarget::Classes {
                labels: vec![1, 0],
                names,
            },
        )
    }

    #[test]
    fn all_rows_are_written_and_the_first_are_kept() {
        let folder = tempfile::tempdir().expect("a folder");
        let path = folder.path().join("out.csv");
        let (encoder, known) = rows(&["a,b", "c\"d"]);
        let answers = Answers::new(&encoder);
        let mut sheet = Sheet::new(1, Some(&path), true, true).expect("opened");
        for row in 0..2 {
            sheet
                .add(answers.row(row, row, &[0.75, 0.25], Some(&known)))
                .expect("added");
        }
        assert!(!path.exists(), "nothing has its name before it is whole");
        sheet.finish().expect("written");
        let text = std::fs::read_to_string(&path).expect("there");
        assert_eq!(
            text,
            "row,prediction,probability,target\n1,\"a,b\",0.7500,\"c\"\"d\"\n2,\"c\"\"d\",0.2500,\"a,b\"\n"
        );
        assert_eq!((sheet.rows().len(), sheet.left_out()), (1, 1));
    }

    #[cfg(unix)]
    #[test]
    fn others_may_read_what_they_may_read_of_any_new_file() {
        use std::os::unix::fs::PermissionsExt as _;
        let folder = tempfile::tempdir().expect("a folder");
        let (usual, ours) = (folder.path().join("usual"), folder.path().join("ours.csv"));
        std::fs::write(&usual, "x").expect("written");
        let mut sheet = Sheet::new(1, Some(&ours), true, true).expect("opened");
        sheet.finish().expect("written");
        let mode = |path: &Path| std::fs::metadata(path).expect("there").permissions().mode();
        assert_eq!(mode(&ours), mode(&usual));
    }

    #[test]
    fn values_are_in_units_of_the_target() {
        let encoder = TargetEncoder::Values { mean: 10.0, std: 2.0 };
        let row = Answers::new(&encoder).row(0, 0, &[1.5], None);
        assert_eq!(
            row,
            Row {
                row: 1,
                prediction: Answer::Value(13.0),
                probability: None,
                target: None
            }
        );
    }
}
