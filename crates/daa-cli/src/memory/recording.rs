//! Recording the memory of a run.

use crate::exit::{Exit, Failure};
use crate::messages::Messages;
use crate::output;
use daa_base::SystemClock;
use daa_gpu_core::memory::trace::{RecordLimit, Recorder, Recording, Ticks};
use daa_learn::files;
use std::path::{Path, PathBuf};
use std::sync::Arc;

/// A recording under way, and where it goes.
#[derive(Debug)]
pub(crate) struct MemoryRecording {
    recorder: Recorder,
    recording: Recording,
    path: PathBuf,
}

impl MemoryRecording {
    /// Starts to record, if the file can be written as far as that can be told in advance.
    pub(crate) fn start(path: &Path) -> Result<Self, Failure> {
        let refused = |error: anyhow::Error| {
            let error = error.context(format!("--record-memory {}", path.display()));
            Failure::new(Exit::Input, error).with_hint("name a file in a folder that can be written to")
        };
        if path.is_dir() {
            return Err(refused(anyhow::anyhow!("is a folder")));
        }
        // Not to be told so after a long run.
        drop(files::temporary_beside(path).map_err(|error| refused(error.into()))?);
        let recorder = Recorder::new();
        let recording = recorder
            .start(
                RecordLimit::default(),
                Ticks::Micros(Arc::new(SystemClock::new())),
            )
            .map_err(|error| Failure::new(Exit::Unexpected, error))?;
        Ok(Self {
            recorder,
            recording,
            path: path.to_owned(),
        })
    }

    pub(crate) fn recorder(&self) -> Recorder {
        self.recorder.clone()
    }

    /// Writes the file.
    pub(crate) fn finish(self, messages: &Messages) -> Result<(), Failure> {
        let trace = self.recording.stop();
        let shown = self.path.display().to_string();
        files::write_whole(&self.path, &trace.encode()).map_err(|error| {
            let error = anyhow::Error::new(error).context(format!("{shown}: cannot be written"));
            Failure::new(Exit::Input, error)
        })?;
        if trace.lost() > 0 {
            messages.warning(&format!(
                "{shown}: the trace is cut: {} allocations found no room in it",
                trace.lost()
            ));
        }
        messages.note(&format!(
            "{} allocations recorded; look into them with: daa memory replay {}",
            trace.allocations(),
            output::shell_word(&shown)
        ));
        Ok(())
    }
}
