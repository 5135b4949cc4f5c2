//! One shader's text with its includes resolved, and the way back from an offset to the file that it came from.

use std::fs;
use std::path::{Path, PathBuf};

use crate::check::Problem;

/// A line of this form pulls in a file by its path below the shader folder, once per module.
const INCLUDE: &str = "//#include ";
const REFERENCE: &str = "// reference: ";

#[derive(Debug, Default)]
pub(crate) struct Source {
    /// The shader itself, then what it includes.
    pub(crate) files: Vec<PathBuf>,
    pub(crate) text: String,
    /// For each line of the text: index into `files`, line there from 1.
    origins: Vec<(usize, usize)>,
}

impl Source {
    pub(crate) fn load(dir: &Path, file: &Path) -> Result<Self, Problem> {
        let mut source = Self::default();
        let at = Problem {
            path: file.to_path_buf(),
            line: 1,
            column: 1,
            message: String::new(),
        };
        source.append(dir, file, &at)?;
        Ok(source)
    }

    fn append(&mut self, dir: &Path, file: &Path, asked_at: &Problem) -> Result<(), Problem> {
        let fail = |message: String| Problem {
            message,
            ..asked_at.clone()
        };
        let content = fs::read_to_string(file)
            .map_err(|error| fail(format!("cannot read {}: {error}", file.display())))?;
        let index = self.files.len();
        self.files.push(file.to_path_buf());
        for (line, text) in (1..).zip(content.lines()) {
            self.text.push_str(text);
            self.text.push('\n');
            self.origins.push((index, line));
            let Some(quoted) = text.strip_prefix(INCLUDE) else {
                continue;
            };
            let here = Problem {
                path: file.to_path_buf(),
                line,
                column: 1,
                message: String::new(),
            };
            let path = quoted
                .trim()
                .strip_prefix('"')
                .and_then(|rest| rest.strip_suffix('"'));
            let plain = path.filter(|path| !path.split('/').any(|part| part.is_empty() || part == ".."));
            let Some(path) = plain else {
                let message = "an include must be //#include \"path/below/the/shaders.wgsl\"".to_owned();
                return Err(Problem { message, ..here });
            };
            let path = dir.join(path);
            if !self.files.contains(&path) {
                self.append(dir, &path, &here)?;
            }
        }
        Ok(())
    }

    /// A problem at a byte offset of the text, reported at the original file and line.
    pub(crate) fn problem(&self, offset: usize, message: String) -> Problem {
        let before = self.text.get(..offset).unwrap_or_default();
        let line = before.matches('\n').count();
        let column = offset - before.rfind('\n').map_or(0, |newline| newline + 1) + 1;
        let (file, line) = self.origins.get(line).copied().unwrap_or((0, 1));
        Problem {
            path: self.files[file].clone(),
            line,
            column,
            message,
        }
    }

    /// What the last `// reference: cpu::<op>` line before `offset` in the shader itself names.
    pub(crate) fn reference_before(&self, offset: usize) -> Option<String> {
        let before = self.text.get(..offset)?;
        let own = before
            .lines()
            .zip(&self.origins)
            .filter(|(_, (file, _))| *file == 0);
        let reference = own
            .filter_map(|(line, _)| line.strip_prefix(REFERENCE))
            .last()?
            .trim();
        let op = reference.strip_prefix("cpu::")?;
        let path = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '_' || c == ':';
        (!op.is_empty() && op.chars().all(path)).then(|| reference.to_owned())
    }
}
