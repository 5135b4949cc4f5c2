//! How an agent concedes (Faratin, Sierra and Jennings 1998), in integers.

use super::terms::MICRO;
use serde::{Deserialize, Serialize};

/// How the utility that an agent asks for falls from everything to its policy share.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum Tactic {
    /// By time: the conceded part is the elapsed part to the power of `exponent`, 1 to 8. With 1 it is linear; the larger,
    /// the longer it holds out.
    Boulware {
        /// The exponent.
        exponent: u8,
    },
    /// By time: the conceded part is the `root`-th root of the elapsed part, 1 to 8: most is given early.
    Conceder {
        /// Which root.
        root: u8,
    },
    /// By behaviour: it concedes what the other side conceded since its last offer, as this agent values it.
    TitForTat {
        /// How much of it, in thousandths; 1000 is like for like.
        answer: u16,
        /// Conceded in any case, in millionths of everything, lest two of a kind stand still.
        nudge: u32,
    },
}

impl Default for Tactic {
    fn default() -> Self {
        Self::Boulware { exponent: 2 }
    }
}

impl Tactic {
    /// What to ask for in the own offer `number` (counted from 0) of `count`, in millionths, at least `reserve`.
    ///
    /// `before` is what was asked for in the offer before; `given` is by how much the last offer of the other side was
    /// better than the one before it.
    #[must_use]
    pub fn target(self, number: u16, count: u16, reserve: u32, before: u32, given: u32) -> u32 {
        let reserve = reserve.min(MICRO);
        if number + 1 >= count {
            return reserve;
        }
        let conceded = match self {
            Self::Boulware { exponent } => power(elapsed(number, count), exponent.clamp(1, 8)),
            Self::Conceder { root } => nth_root(elapsed(number, count), root.clamp(1, 8)),
            Self::TitForTat { answer, nudge } => {
                if number == 0 {
                    return MICRO;
                }
                let answered = u64::from(given) * u64::from(answer) / 1000;
                let step = answered.saturating_add(u64::from(nudge));
                let asked = u64::from(before).saturating_sub(step);
                return u32::try_from(asked).unwrap_or(MICRO).clamp(reserve, MICRO);
            }
        };
        let range = u64::from(MICRO - reserve);
        MICRO - u32::try_from(range * conceded / u64::from(MICRO)).unwrap_or(MICRO - reserve)
    }
}

/// The elapsed part in millionths, with offers to come: 0 for the first.
fn elapsed(number: u16, count: u16) -> u64 {
    u64::from(number) * u64::from(MICRO) / u64::from(count - 1)
}

/// `part` to the power of `exponent`, in millionths, rounded down in each step.
fn power(part: u64, exponent: u8) -> u64 {
    (0..exponent).fold(u64::from(MICRO), |product, _| product * part / u64::from(MICRO))
}

/// The largest number of millionths whose power, rounded down in each step, is at most `part`; of nothing, nothing.
fn nth_root(part: u64, root: u8) -> u64 {
    if part == 0 {
        return 0;
    }
    let (mut low, mut high) = (0, u64::from(MICRO));
    while low < high {
        let middle = (low + high).div_ceil(2);
        if power(middle, root) <= part {
            low = middle;
        } else {
            high = middle - 1;
        }
    }
    low
}
