//! What is to go wrong in one training, drawn from a seed.

use daa_base::{Rng, Seed};
use daa_gpu_core::injection::{Fault, Planned, Site};
use daa_learn::train::{Recovery, Verification};
use std::time::Duration;

/// The faults, as they are called in the table.
pub(crate) const LABELS: [&str; 8] = [
    "device destroyed before a submission",
    "device destroyed during a submission",
    "device destroyed after a submission",
    "bit flipped in the arena",
    "bit flipped in a probe",
    "missed deadline (simulated)",
    "out of memory at load (simulated)",
    "reopening refused (simulated)",
];

const fn label(fault: Fault) -> &'static str {
    match fault {
        Fault::DestroyBefore => LABELS[0],
        Fault::DestroyDuring => LABELS[1],
        Fault::DestroyAfter => LABELS[2],
        Fault::FlipBit { .. } => LABELS[3],
        Fault::SayTimeout => LABELS[5],
        Fault::SayOutOfMemory => LABELS[6],
        Fault::SayRefused => LABELS[7],
    }
}

/// The label of a planned fault.
pub(crate) const fn label_of(planned: &Planned) -> &'static str {
    match (planned.site, planned.fault) {
        (Site::Probe, _) => LABELS[4],
        (_, fault) => label(fault),
    }
}

/// One training and what goes wrong in it.
#[derive(Debug)]
pub(crate) struct Schedule {
    pub(crate) seed: u64,
    pub(crate) planned: Vec<Planned>,
    pub(crate) recovery: Recovery,
    /// What passes on the clock before every step.
    pub(crate) tick: Duration,
}

/// Submissions of a training without verification, and without faults, are fewer than this; with it, twice as many.
const SUBMISSIONS: usize = 60;

impl Schedule {
    /// The schedule of `seed`.
    pub(crate) fn draw(seed: u64) -> Self {
        let mut rng = Seed(seed).stream("fault schedule").rng();
        let mut planned = Vec::new();
        for _ in 0..=rng.below(3) {
            draw_fault(&mut rng, &mut planned);
        }
        planned.sort_unstable();
        planned.dedup_by_key(|planned| (planned.site, planned.after));
        // What is flipped in the arena is found by repeating, and only by that.
        let is_flipped = planned
            .iter()
            .any(|planned| planned.site == Site::Submit && matches!(planned.fault, Fault::FlipBit { .. }));
        let verification = if is_flipped || rng.below(4) == 0 {
            Verification::Repeat
        } else {
            Verification::Off
        };
        Self {
            seed,
            planned,
            recovery: Recovery::every(1 + rng.below(8) as u32, verification),
            tick: Duration::from_millis(rng.below(600) as u64),
        }
    }
}

/// Adds one fault, or several of a kind in a row.
fn draw_fault(rng: &mut Rng, planned: &mut Vec<Planned>) {
    let after = rng.below(SUBMISSIONS) as u64;
    let flip = |rng: &mut Rng| Fault::FlipBit {
        // Half of them among the first parameters, where they matter most.
        word: if rng.below(2) == 0 {
            rng.below(600) as u64
        } else {
            rng.next_u64()
        },
        bit: rng.below(32) as u8,
    };
    let (site, fault, first, count) = match rng.below(LABELS.len()) {
        0 => (Site::Submit, Fault::DestroyBefore, after, 1),
        1 => (Site::Submit, Fault::DestroyDuring, after, 1),
        2 => (Site::Submit, Fault::DestroyAfter, after, 1),
        3 => (Site::Submit, flip(rng), after, 1),
        4 => {
            lose(rng, planned);
            (Site::Probe, flip(rng), rng.below(2) as u64, 1)
        }
        5 => (Site::Submit, Fault::SayTimeout, after, 1 + rng.below(4) as u64),
        6 => (
            Site::Load,
            Fault::SayOutOfMemory,
            rng.below(2) as u64,
            1 + rng.below(4) as u64,
        ),
        _ => {
            lose(rng, planned);
            (Site::Reopen, Fault::SayRefused, 0, 1 + rng.below(3) as u64)
        }
    };
    planned.extend((first..first + count).map(|after| Planned { site, after, fault }));
}

/// Loses the device early, so that there is something to probe and to reopen.
fn lose(rng: &mut Rng, planned: &mut Vec<Planned>) {
    planned.push(Planned {
        site: Site::Submit,
        after: rng.below(12) as u64,
        fault: Fault::DestroyDuring,
    });
}
