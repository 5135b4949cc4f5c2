//! Submissions that a test's fault strikes.

use super::{Loaded, Slice, Ticket, Work};
use crate::error::GpuError;
use crate::injection::Fault;

impl Loaded {
    /// Submits `work` with what the plan has for it.
    pub(super) fn submit_struck(&mut self, work: Work<'_>, fault: Fault) -> Result<Ticket, GpuError> {
        if fault == Fault::DestroyBefore {
            self.shared.backend.destroy();
        }
        let ticket = self.hand_over(work)?;
        match fault {
            Fault::DestroyDuring => self.shared.backend.destroy(),
            Fault::DestroyAfter => {
                // What is submitted behind it is done after it.
                self.hand_over(Work::default())?.wait()?;
                self.shared.backend.destroy();
            }
            Fault::FlipBit { word, bit } => self.flip_for_test(word, bit)?,
            Fault::SayTimeout => {
                return Err(GpuError::Timeout {
                    what: "a submission, says a test,",
                    deadline: std::time::Duration::ZERO,
                });
            }
            Fault::DestroyBefore | Fault::SayOutOfMemory | Fault::SayRefused => {}
        }
        Ok(ticket)
    }

    /// Flips one bit of the arena behind everything submitted before: a fault of the memory, as far as the work sees.
    /// `word` counts modulo the length of the arena, `bit` modulo 32.
    ///
    /// # Errors
    /// As [`Self::submit`]; the image needs staging areas for upload and readback.
    pub fn flip_for_test(&mut self, word: u64, bit: u8) -> Result<(), GpuError> {
        let offset = word % (self.arena / 4).max(1) * 4;
        let slice = Slice { offset, bytes: 4 };
        let read = self.hand_over(Work {
            reads: &[slice],
            ..Work::default()
        })?;
        let mut bytes = read.wait()?;
        bytes[usize::from(bit % 32 / 8)] ^= 1 << (bit % 8);
        let written = self.hand_over(Work {
            uploads: &[(slice, &bytes)],
            ..Work::default()
        })?;
        written.wait().map(drop)
    }
}
