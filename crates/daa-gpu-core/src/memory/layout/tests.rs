use super::*;
use proptest::prelude::*;

fn life(lower: u32, upper: u32, size: u64) -> Lifetime {
    Lifetime { lower, upper, size }
}

fn check(items: &[Lifetime], align: u64) -> Packing {
    let packing = pack(items, align);
    assert_eq!(packing.offsets.len(), items.len());
    let end = |i: usize| packing.offsets[i] + round_up(items[i].size, align.max(1));
    for i in 0..items.len() {
        assert_eq!(packing.offsets[i] % align.max(1), 0, "offset of {i} is aligned");
        assert!(end(i) <= packing.peak, "{i} ends within the peak");
        for j in 0..i {
            let together = items[i].lower < items[j].upper && items[j].lower < items[i].upper;
            let live = items[i].lower < items[i].upper && items[j].lower < items[j].upper;
            let apart = end(i) <= packing.offsets[j] || end(j) <= packing.offsets[i];
            assert!(!(together && live) || apart, "{i} and {j} overlap");
        }
    }
    assert!(packing.peak >= packing.lower_bound);
    packing
}

#[test]
fn disjoint_lifetimes_share_memory() {
    let packing = check(&[life(0, 2, 100), life(2, 4, 50), life(4, 6, 100)], 256);
    assert_eq!((packing.peak, packing.lower_bound), (256, 256));
}

#[test]
fn nothing_needs_nothing() {
    assert_eq!(
        pack(&[], 256),
        Packing {
            offsets: Vec::new(),
            peak: 0,
            lower_bound: 0
        }
    );
    let packing = check(&[life(3, 3, 10)], 4);
    assert_eq!((packing.peak, packing.lower_bound), (12, 0));
}

#[test]
fn a_chain_of_activations_reaches_the_lower_bound() {
    // A forward and backward pass: activation i lives until its gradient is taken.
    let steps = 60_u32;
    let items: Vec<_> = (0..steps)
        .map(|i| life(i, 2 * steps - i, 1000 + u64::from(i * 37 % 11) * 512))
        .collect();
    let packing = check(&items, 256);
    assert_eq!(packing.peak, packing.lower_bound);
}

#[test]
fn a_thousand_random_lifetimes_pack_close_to_the_bound() {
    let mut state = 1_u64;
    let mut next = |limit: u64| {
        state = state
            .wrapping_mul(6_364_136_223_846_793_005)
            .wrapping_add(1_442_695_040_888_963_407);
        (state >> 33) % limit
    };
    let items: Vec<_> = (0..1000)
        .map(|_| {
            let lower = next(1000) as u32;
            life(lower, lower + 1 + next(80) as u32, 256 * (1 + next(200)))
        })
        .collect();
    let packing = check(&items, 256);
    assert!(
        packing.peak * 100 <= packing.lower_bound * 110,
        "{} over {}",
        packing.peak,
        packing.lower_bound
    );
    assert_eq!(pack(&items, 256), packing, "equal inputs pack equally");
}

#[test]
fn sums_beyond_the_address_space_saturate() {
    let packing = pack(&[life(0, 2, u64::MAX), life(0, 2, u64::MAX)], 256);
    assert_eq!(packing.lower_bound, u64::MAX);
    assert_eq!(packing.peak, u64::MAX);
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(48))]
    #[test]
    fn live_ranges_never_overlap(
        raw in proptest::collection::vec((0_u32..40, 0_u32..20, 0_u64..5000), 0..60),
        align in prop_oneof![Just(0_u64), Just(1), Just(4), Just(256)],
    ) {
        let items: Vec<_> = raw.iter().map(|&(lower, span, size)| life(lower, lower + span, size)).collect();
        check(&items, align);
    }
}
