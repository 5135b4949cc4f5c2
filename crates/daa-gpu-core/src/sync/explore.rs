//! Running a test under many schedules.

use shuttle::scheduler::{PctScheduler, RandomScheduler};
use shuttle::{Config, Runner};

/// What schedules and random choices are drawn from; `SHUTTLE_RANDOM_SEED` in the environment goes before it.
const SEED: u64 = 20_261_122;

/// Threads that change places at unlikely moments in a schedule by priorities.
const DEPTH: usize = 3;

/// Runs `body` under `schedules` random schedules, times `DAA_INTERLEAVE_TIMES`, and as many by random priorities (PCT: Burckhardt
/// et al., ASPLOS 2010). A schedule that fails is printed; a deadlock fails.
pub(crate) fn explore(schedules: usize, body: fn()) {
    let times = std::env::var("DAA_INTERLEAVE_TIMES");
    let times: usize = times.map_or(1, |times| times.parse().expect("a number of times"));
    let mut config = Config::new();
    config.stack_size = 1 << 18;
    Runner::new(
        RandomScheduler::new_from_seed(SEED, schedules * times),
        config.clone(),
    )
    .run(body);
    Runner::new(
        PctScheduler::new_from_seed(SEED, DEPTH, schedules * times),
        config,
    )
    .run(body);
}
