//! Sums in a fixed order that the compiler can vectorise.

/// How many partial sums run side by side.
const LANES: usize = 16;

/// The sum of `term` over pairs of elements, in an order that depends on the length only.
///
/// # Panics
/// When the slices differ in length.
pub(crate) fn sum_pairs(left: &[f32], right: &[f32], term: impl Fn(f32, f32) -> f32) -> f32 {
    assert_eq!(
        left.len(),
        right.len(),
        "sums of pairs need as many left as right elements"
    );
    let (left, left_rest) = left.as_chunks::<LANES>();
    let (right, right_rest) = right.as_chunks::<LANES>();
    let mut lanes = [0.0_f32; LANES];
    for (l, r) in left.iter().zip(right) {
        for lane in 0..LANES {
            lanes[lane] += term(l[lane], r[lane]);
        }
    }
    for (lane, (&l, &r)) in lanes.iter_mut().zip(left_rest.iter().zip(right_rest)) {
        *lane += term(l, r);
    }
    fold(lanes)
}

/// The sum of `term` over `values`, in an order that depends on the length only.
pub(crate) fn sum(values: &[f32], term: impl Fn(f32) -> f32) -> f32 {
    let (chunks, rest) = values.as_chunks::<LANES>();
    let mut lanes = [0.0_f32; LANES];
    for chunk in chunks {
        for lane in 0..LANES {
            lanes[lane] += term(chunk[lane]);
        }
    }
    for (lane, &value) in lanes.iter_mut().zip(rest) {
        *lane += term(value);
    }
    fold(lanes)
}

/// Adds up the lanes in a tree.
fn fold(mut lanes: [f32; LANES]) -> f32 {
    let mut width = LANES / 2;
    while width > 0 {
        for lane in 0..width {
            lanes[lane] += lanes[lane + width];
        }
        width /= 2;
    }
    lanes[0]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn counts_every_element_once() {
        for len in [0, 1, 15, 16, 17, 100] {
            let values: Vec<f32> = (1..=len).map(|i| i as f32).collect();
            assert_eq!(sum(&values, |v| v), (len * (len + 1) / 2) as f32);
            assert_eq!(sum_pairs(&values, &values, |l, r| l - r + 1.0), len as f32);
        }
    }
}
