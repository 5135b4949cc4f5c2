//! How long tests beside a model go on.

/// `normal` operations, times `DAA_MODEL_TIMES`; few under Miri.
pub(super) fn operations(normal: usize) -> usize {
    if cfg!(miri) {
        return normal / 10_000;
    }
    let times = std::env::var("DAA_MODEL_TIMES");
    normal * times.map_or(1, |times| times.parse().expect("a number of times"))
}
