//! Lifetimes from real programs, for tests. `testdata/minimalloc/README.md` tells where they come from.

use super::layout::Lifetime;

macro_rules! minimalloc {
    ($($name:literal),*) => {
        [$(($name, include_str!(concat!("../../testdata/minimalloc/", $name, ".1048576.csv")))),*]
    };
}

/// MiniMalloc's, by name.
pub(super) fn minimalloc() -> [(&'static str, Vec<Lifetime>); 6] {
    minimalloc!("A", "B", "C", "D", "F", "H").map(|(name, text)| (name, from_csv(text)))
}

fn from_csv(text: &str) -> Vec<Lifetime> {
    let rows = text.lines().skip(1).map(|line| {
        let row: Vec<u64> = line
            .split(',')
            .map(|field| field.trim().parse().unwrap())
            .collect();
        Lifetime {
            lower: u32::try_from(row[1]).unwrap(),
            upper: u32::try_from(row[2]).unwrap(),
            size: row[3],
        }
    });
    rows.collect()
}
