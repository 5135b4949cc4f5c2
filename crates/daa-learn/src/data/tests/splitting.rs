//! Stratified splits.

use super::*;
use daa_base::{Permille, Seed};
use proptest::prelude::*;

fn table_of(target: TableTarget) -> Table {
    let values = (0..target.rows()).map(|row| row as f32).collect();
    Table::from_memory("t", InputShape::Flat { features: 1 }, values, target).unwrap()
}

fn classes_of(counts: &[usize]) -> Table {
    let labels = counts
        .iter()
        .zip(0..)
        .flat_map(|(&count, class)| std::iter::repeat_n(class, count))
        .collect();
    let names = (0..counts.len()).map(|class| class.to_string()).collect();
    table_of(TableTarget::Classes { labels, names })
}

fn shares(test: u16, validation: u16) -> SplitShares {
    SplitShares {
        test: Permille::new(test).unwrap(),
        validation: Permille::new(validation).unwrap(),
    }
}

/// Asserts that the parts are ascending and hold each row once.
fn assert_partition(parts: &Split, rows: usize) {
    for part in [&parts.train, &parts.validation, &parts.test] {
        assert!(part.is_sorted_by(|a, b| a < b), "{part:?}");
    }
    let mut all = [&parts.train[..], &parts.validation, &parts.test].concat();
    all.sort_unstable();
    assert_eq!(all, (0..rows as u32).collect::<Vec<_>>());
}

fn per_class(table: &Table, part: &[u32]) -> Vec<usize> {
    let (codes, names) = labels(table);
    let mut counts = vec![0; names.len()];
    part.iter()
        .for_each(|&row| counts[codes[row as usize] as usize] += 1);
    counts
}

proptest! {
    #[test]
    fn every_class_is_within_a_row_of_its_share(
        counts in prop::collection::vec(0_usize..60, 2..8),
        test in 0_u16..1000,
        validation in 0_u16..1000,
        seed in any::<u64>(),
    ) {
        prop_assume!(counts.iter().sum::<usize>() > 0);
        let table = classes_of(&counts);
        let of = |validation| split(&table, &shares(test, validation), &Seed(seed).stream("split"));
        let parts = match of(validation) {
            Ok(parts) => parts,
            // Refused is only a share that rounds to no row, or that no class has a row to spare for.
            Err(_) => {
                let refused = |counts: &[usize], share: u16| {
                    let rows = counts.iter().sum::<usize>() * usize::from(share);
                    share > 0 && (rows < 500 || counts.iter().all(|&count| count < 2))
                };
                let rest = of(0).map(|parts| per_class(&table, &parts.train));
                prop_assert!(rest.map_or_else(|_| refused(&counts, test), |rest| refused(&rest, validation)));
                return Ok(());
            }
        };
        assert_partition(&parts, table.rows());
        let (tests, validations) = (per_class(&table, &parts.test), per_class(&table, &parts.validation));
        let trains = per_class(&table, &parts.train);
        for class in 0..counts.len() {
            let within = |held: usize, of: usize, share: u16| {
                (held as f64 - of as f64 * f64::from(share) / 1000.0).abs() < 1.0
            };
            let rest = counts[class] - tests[class];
            prop_assert!(within(tests[class], counts[class], test), "test of {counts:?}: {tests:?}");
            prop_assert!(within(validations[class], rest, validation), "validation: {validations:?}");
            prop_assert!((trains[class] > 0) == (counts[class] > 0), "train: {trains:?}");
        }
        // Where no class is too small to give, the part as a whole has its share to half a row.
        if counts.iter().all(|&count| count == 0 || (count * usize::from(test)).div_ceil(1000) < count) {
            let share = table.rows() as f64 * f64::from(test) / 1000.0;
            prop_assert!((parts.test.len() as f64 - share).abs() <= 0.5, "{} of {share}", parts.test.len());
        }
    }

    #[test]
    fn values_are_split_over_their_whole_range(count in 100_usize..300, seed in any::<u64>()) {
        let mut rng = Seed(seed).stream("values").rng();
        let values: Vec<f64> = (0..count).map(|_| rng.normal().exp()).collect();
        let table = table_of(TableTarget::Values(values.clone()));
        let parts = split(&table, &SplitShares::default(), &Seed(seed).stream("split")).unwrap();
        assert_partition(&parts, count);
        let mut sorted = values.clone();
        sorted.sort_by(f64::total_cmp);
        let median = sorted[count / 2];
        let below = parts.test.iter().filter(|&&row| values[row as usize] < median).count() as f64;
        // At most ten bins, each off by less than a row: both halves hold nearly the same number of test rows.
        prop_assert!((below - parts.test.len() as f64 / 2.0).abs() <= 6.0, "{below} of {}", parts.test.len());
    }
}

#[test]
fn the_same_stream_gives_the_same_split_and_another_seed_another() {
    let table = DataSource::Digits.load(&LoadOptions::default()).unwrap();
    let of = |seed: u64, shares: &SplitShares| split(&table, shares, &Seed(seed).stream("split")).unwrap();
    let parts = of(1, &SplitShares::default());
    assert_eq!(parts, of(1, &SplitShares::default()));
    assert_ne!(parts.test, of(2, &SplitShares::default()).test);
    assert_eq!(
        parts.test,
        of(1, &shares(200, 300)).test,
        "the validation share does not move test rows"
    );
    assert_eq!(
        (parts.test.len(), parts.validation.len(), parts.train.len()),
        (359, 180, 1258)
    );
    assert_partition(&parts, 1797);
}

#[test]
fn a_class_never_gives_its_last_row() {
    let table = classes_of(&[1, 2, 40]);
    let parts = split(&table, &shares(500, 500), &Seed(3).stream("split")).unwrap();
    assert_eq!(per_class(&table, &parts.train)[0], 1);
    assert_eq!(per_class(&table, &parts.train)[1], 1);
    // Many classes of two rows: none has a whole test row as its share, together they have.
    let table = classes_of(&[2; 50]);
    let parts = split(&table, &shares(200, 0), &Seed(3).stream("split")).unwrap();
    assert_eq!(
        (parts.test.len(), parts.validation.len(), parts.train.len()),
        (20, 0, 80)
    );
}

#[test]
fn a_test_part_that_comes_with_the_data_is_kept() {
    let mut table = classes_of(&[30, 30, 30]);
    table.test_start = Some(60);
    let parts = split(&table, &SplitShares::default(), &Seed(1).stream("split")).unwrap();
    assert_partition(&parts, 90);
    assert_eq!(parts.test, (60..90).collect::<Vec<_>>());
    assert_eq!(per_class(&table, &parts.validation), [4, 4, 0]);
    let stored = serde_json::to_string(&parts).unwrap();
    assert_eq!(serde_json::from_str::<Split>(&stored).unwrap(), parts);
}
