//! The reclaim ladder: which rung to take next, so that memory is given back before it is refused.
//!
//! Cheap rungs come first: [`Rung::Trim`] gives back what is kept for reuse and costs nothing but the next miss,
//! [`Rung::Spill`] moves cold images to host memory and costs a copy each way, [`Rung::Compact`] moves images between
//! pages so that whole pages fall free. [`Rung::Refuse`] is what is left when none of them can help.
//!
//! Spill comes before compaction because it frees what it moves, where compaction frees only what moving empties.

use super::level::{Level, Thresholds};
use crate::config::ConfigError;
use daa_base::{Bytes, Permille};
use serde::{Deserialize, Serialize};
use std::fmt;

/// One rung.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Rung {
    /// Give back what is kept for reuse.
    Trim,
    /// Move cold images to host memory.
    Spill,
    /// Move images between pages, so that pages fall free.
    Compact,
    /// Refuse the request.
    Refuse,
}

impl Rung {
    /// The rungs that give memory back, cheapest first.
    pub const RECLAIMING: [Self; 3] = [Self::Trim, Self::Spill, Self::Compact];

    /// Its place on the ladder, from 0.
    #[must_use]
    pub const fn index(self) -> usize {
        self as usize
    }
}

impl fmt::Display for Rung {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Trim => "trim",
            Self::Spill => "spill",
            Self::Compact => "compact",
            Self::Refuse => "refuse",
        })
    }
}

/// What each rung could give back, at most. Zero: it cannot help.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Reclaimable {
    /// By giving back what is kept for reuse.
    pub trim: Bytes,
    /// By moving cold images to host memory.
    pub spill: Bytes,
    /// By moving images between pages.
    pub compact: Bytes,
}

impl Reclaimable {
    /// What `rung` could give.
    #[must_use]
    pub const fn by(&self, rung: Rung) -> Bytes {
        match rung {
            Rung::Trim => self.trim,
            Rung::Spill => self.spill,
            Rung::Compact => self.compact,
            Rung::Refuse => Bytes::ZERO,
        }
    }
}

/// What the ladder decides by.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Outlook {
    /// The level at present.
    pub level: Level,
    /// Bytes in use.
    pub used: Bytes,
    /// Bytes that may be in use.
    pub capacity: Bytes,
    /// What the forecast says use stays below over its horizon; `None` while it does not know.
    pub upper: Option<Bytes>,
    /// What a request wants on top of `used`, zero if there is none at hand.
    pub wanted: Bytes,
    /// What rungs could give.
    pub reclaimable: Reclaimable,
}

/// When rungs are taken.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct LadderConfig {
    /// From which level on each of trim, spill and compact is taken though nothing is refused yet; rising, none may be
    /// [`Level::None`].
    pub from: [Level; 3],
    /// Thresholds that levels go by.
    pub thresholds: Thresholds,
    /// The least share of the capacity that a rung must promise to be taken ahead of need, so that crumbs are not
    /// chased; a request that would be refused takes any.
    pub least: Permille,
}

impl Default for LadderConfig {
    fn default() -> Self {
        Self {
            from: [Level::Medium, Level::High, Level::Critical],
            thresholds: Thresholds::default(),
            least: Permille::try_from(5).unwrap_or(Permille::ZERO),
        }
    }
}

/// The ladder. It remembers which rungs it has taken since pressure last fell, so that one that did not help is not
/// taken over and over.
#[derive(Debug, Clone)]
pub struct Ladder {
    config: LadderConfig,
    /// Use when a rung was last taken ahead of need; it is taken again only once use has risen beyond that.
    spent: [Option<Bytes>; 3],
}

/// A rung, and how many bytes to ask of it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Step {
    /// The rung.
    pub rung: Rung,
    /// Bytes to get back; not more than the rung could give. Zero for [`Rung::Refuse`].
    pub bytes: Bytes,
}

impl LadderConfig {
    /// Checks every field.
    ///
    /// # Errors
    /// Names the first field out of range, its value and the allowed range.
    pub fn validate(&self) -> Result<(), ConfigError> {
        self.thresholds.validate()?;
        let mut before = Level::Low;
        for (level, field) in self.from.into_iter().zip([
            "pressure.from.trim",
            "pressure.from.spill",
            "pressure.from.compact",
        ]) {
            if level < before {
                return Err(ConfigError {
                    field,
                    value: level.to_string(),
                    allowed: format!("{before} to critical"),
                });
            }
            before = level;
        }
        Ok(())
    }
}

impl Ladder {
    /// # Errors
    /// As [`LadderConfig::validate`].
    pub fn new(config: LadderConfig) -> Result<Self, ConfigError> {
        config.validate()?;
        Ok(Self {
            config,
            spent: [None; 3],
        })
    }

    /// The level that counts: the higher of the present one and the one that the forecast's upper bound reaches.
    #[must_use]
    pub fn level(&self, level: Level, upper: Option<Bytes>, capacity: Bytes) -> Level {
        upper.map_or(level, |upper| {
            level.max(self.config.thresholds.level(upper, capacity))
        })
    }

    /// What it goes by.
    #[must_use]
    pub const fn config(&self) -> &LadderConfig {
        &self.config
    }

    /// The next step for a request that does not fit (`wanted` beyond what is free): the cheapest rung that can give
    /// anything, else [`Rung::Refuse`]; `None` if it fits. Doing what it says and asking again ends: each step takes
    /// from what is reclaimable, and `done` rungs, those that gave nothing when asked, are passed over.
    #[must_use]
    pub fn need(&self, outlook: &Outlook, done: &[Rung]) -> Option<Step> {
        let after = u128::from(outlook.used.get()) + u128::from(outlook.wanted.get());
        let over = after.saturating_sub(u128::from(outlook.capacity.get()));
        if over == 0 {
            return None;
        }
        let over = Bytes(u64::try_from(over).unwrap_or(u64::MAX));
        let helps = |rung: &Rung| !done.contains(rung) && outlook.reclaimable.by(*rung) > Bytes::ZERO;
        let Some(rung) = Rung::RECLAIMING.into_iter().find(helps) else {
            return Some(Step {
                rung: Rung::Refuse,
                bytes: Bytes::ZERO,
            });
        };
        Some(Step {
            rung,
            bytes: over.min(outlook.reclaimable.by(rung)),
        })
    }

    /// Pressure fell: every rung may be taken again.
    pub const fn rest(&mut self) {
        self.spent = [None; 3];
    }

    /// The next step ahead of need, `None` to leave things be. Call until it says so, after each step with the outlook
    /// as it is then: rungs come in order and each at most once until use rises beyond where it left off or pressure
    /// falls, so the calls end and do not thrash.
    ///
    /// The level that counts ([`Self::level`]) looks ahead: the wall is met with room to spare, not touched. What is asked for is what brings the higher of both use and
    /// forecast just below the level at which trimming starts.
    pub fn ahead(&mut self, outlook: &Outlook) -> Option<Step> {
        let peak = outlook.upper.unwrap_or(outlook.used).max(outlook.used);
        let level = self.level(outlook.level, Some(peak), outlook.capacity);
        if level < self.config.from[0] {
            self.rest();
            return None;
        }
        let target = self
            .config
            .thresholds
            .leave(self.config.from[0], outlook.capacity);
        let excess = peak.saturating_sub(target);
        let least = u128::from(outlook.capacity.get()) * u128::from(self.config.least.get()) / 1000;
        let least = Bytes(u64::try_from(least).unwrap_or(u64::MAX)).max(Bytes(1));
        for rung in Rung::RECLAIMING {
            let at = rung.index();
            let can = outlook.reclaimable.by(rung);
            let spent = self.spent[at].is_some_and(|mark| outlook.used <= mark);
            if level < self.config.from[at] || can < least || spent || excess == Bytes::ZERO {
                continue;
            }
            self.spent[at] = Some(outlook.used);
            return Some(Step {
                rung,
                bytes: excess.min(can),
            });
        }
        None
    }
}

#[cfg(test)]
mod tests;
