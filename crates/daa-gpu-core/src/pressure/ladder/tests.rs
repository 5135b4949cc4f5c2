//! What the ladder promises.

use super::*;
use proptest::prelude::*;

fn ladder() -> Ladder {
    Ladder::new(LadderConfig::default()).expect("valid")
}

fn outlook(used: u64, upper: u64, reclaimable: [u64; 3]) -> Outlook {
    let thresholds = Thresholds::default();
    Outlook {
        level: thresholds.level(Bytes(used), Bytes(1000)),
        used: Bytes(used),
        capacity: Bytes(1000),
        upper: Some(Bytes(upper)),
        wanted: Bytes::ZERO,
        reclaimable: Reclaimable {
            trim: Bytes(reclaimable[0]),
            spill: Bytes(reclaimable[1]),
            compact: Bytes(reclaimable[2]),
        },
    }
}

#[test]
fn calm_memory_is_left_alone_and_a_forecast_wakes_the_ladder() {
    assert_eq!(ladder().ahead(&outlook(500, 550, [300, 300, 300])), None);
    let step = ladder()
        .ahead(&outlook(500, 720, [300, 300, 300]))
        .expect("a step");
    // 700 less the hysteresis of 20, less one: just below the level at which trimming starts.
    assert_eq!((step.rung, step.bytes), (Rung::Trim, Bytes(720 - 679)));
}

#[test]
fn rungs_come_in_order_and_each_once() {
    let mut ladder = ladder();
    let state = outlook(950, 950, [50, 50, 50]);
    let rungs: Vec<Rung> = std::iter::from_fn(|| ladder.ahead(&state))
        .map(|step| step.rung)
        .collect();
    assert_eq!(rungs, Rung::RECLAIMING);
    // Nothing changed, so nothing is done again; with more in use it is.
    assert_eq!(ladder.ahead(&state), None);
    assert_eq!(
        ladder
            .ahead(&outlook(960, 960, [50, 50, 50]))
            .map(|step| step.rung),
        Some(Rung::Trim)
    );
}

#[test]
fn rungs_that_cannot_help_are_passed_over() {
    assert_eq!(
        ladder()
            .ahead(&outlook(950, 950, [0, 0, 50]))
            .map(|step| step.rung),
        Some(Rung::Compact)
    );
    assert_eq!(
        ladder().ahead(&outlook(720, 720, [0, 50, 50])),
        None,
        "medium allows only trimming"
    );
    assert_eq!(
        ladder().ahead(&outlook(950, 950, [4, 4, 4])),
        None,
        "crumbs are not chased"
    );
}

#[test]
fn levels_that_fall_along_the_ladder_are_refused() {
    let config = LadderConfig {
        from: [Level::High, Level::Medium, Level::Critical],
        ..LadderConfig::default()
    };
    let error = Ladder::new(config).expect_err("falls");
    assert_eq!(
        (error.field, error.allowed.as_str()),
        ("pressure.from.spill", "high to critical")
    );
    let config = LadderConfig {
        from: [Level::None, Level::Medium, Level::Critical],
        ..LadderConfig::default()
    };
    assert_eq!(Ladder::new(config).expect_err("none").field, "pressure.from.trim");
}

/// A pool in which a rung gives at most what it promised, sometimes less.
#[derive(Debug, Clone, Copy)]
struct Pool {
    used: u64,
    reclaimable: [u64; 3],
    /// Thousandths of its promise that each rung keeps.
    keeps: [u64; 3],
}

impl Pool {
    fn outlook(&self, wanted: u64, upper: u64) -> Outlook {
        Outlook {
            wanted: Bytes(wanted),
            ..outlook(self.used, upper, self.reclaimable)
        }
    }

    fn take(&mut self, step: Step) -> u64 {
        let at = step.rung.index();
        let given = step.bytes.get().min(self.reclaimable[at]) * self.keeps[at] / 1000;
        let given = given.min(self.used);
        self.reclaimable[at] -= given;
        self.used -= given;
        given
    }
}

fn pools() -> impl Strategy<Value = Pool> {
    (
        0_u64..=1000,
        prop::array::uniform3(0_u64..400),
        prop::array::uniform3(prop_oneof![Just(0_u64), Just(1000), 0_u64..=1000]),
    )
        .prop_map(|(used, reclaimable, keeps)| Pool {
            used,
            reclaimable,
            keeps,
        })
}

proptest! {
    /// A request is refused only when every lower rung has given all that it has, or gave nothing when asked; and
    /// asking ends.
    #[test]
    fn nothing_is_refused_while_a_lower_rung_could_help(mut pool in pools(), wanted in 0_u64..1500) {
        let ladder = ladder();
        let mut dry = Vec::new();
        let mut steps = 0;
        while let Some(step) = ladder.need(&pool.outlook(wanted, pool.used), &dry) {
            steps += 1;
            prop_assert!(steps < 5_000, "asking does not end");
            if step.rung == Rung::Refuse {
                for rung in Rung::RECLAIMING {
                    prop_assert!(
                        pool.reclaimable[rung.index()] == 0 || dry.contains(&rung),
                        "refused though {} has {} to give", rung, pool.reclaimable[rung.index()]
                    );
                }
                prop_assert!(pool.used + wanted > 1000);
                break;
            }
            prop_assert!(step.bytes > Bytes::ZERO);
            for lower in Rung::RECLAIMING.into_iter().take_while(|lower| *lower < step.rung) {
                prop_assert!(pool.reclaimable[lower.index()] == 0 || dry.contains(&lower));
            }
            if pool.take(step) == 0 {
                dry.push(step.rung);
            }
        }
        if steps == 0 {
            prop_assert!(pool.used + wanted <= 1000);
        }
    }

    /// Ahead of need: at most one step a rung while use does not rise, in order, never a refusal, and never more than
    /// a rung promised.
    #[test]
    fn acting_ahead_ends_and_does_not_thrash(mut pool in pools(), rise in 0_u64..300, looks in 1_usize..40) {
        let mut ladder = ladder();
        let mut taken = Vec::new();
        for _ in 0..looks {
            // The same state again and again, as a monitor that is asked often sees it.
            while let Some(step) = ladder.ahead(&pool.outlook(0, pool.used + rise)) {
                prop_assert!(step.rung != Rung::Refuse);
                prop_assert!(step.bytes.get() <= pool.reclaimable[step.rung.index()]);
                taken.push(step.rung);
                pool.take(step);
                if ladder.spent == [None; 3] {
                    break;
                }
            }
        }
        let mut once = taken.clone();
        once.dedup();
        prop_assert_eq!(&taken, &once);
        prop_assert!(taken.len() <= 3, "{:?}", taken);
        prop_assert!(taken.is_sorted(), "{:?}", taken);
    }

    /// With rungs that keep their promises, use ends below the level at which trimming starts whenever they sum up to
    /// enough at a level that allows all of them.
    #[test]
    fn the_wall_is_met_with_room_to_spare(used in 900_u64..=1000, reclaimable in prop::array::uniform3(100_u64..400)) {
        let mut pool = Pool { used, reclaimable, keeps: [1000; 3] };
        let mut ladder = ladder();
        while let Some(step) = ladder.ahead(&pool.outlook(0, pool.used)) {
            pool.take(step);
        }
        prop_assert!(pool.used < 900, "{} in use", pool.used);
    }
}
