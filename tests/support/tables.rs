//! Small tables that networks can learn, the same on every machine.

use daa_base::Seed;
use std::fmt::Write as _;
use std::path::{Path, PathBuf};
use tempfile::TempDir;

/// A table in a folder of its own that goes away with it.
#[derive(Debug)]
pub struct CsvTable {
    path: PathBuf,
    _folder: TempDir,
}

impl CsvTable {
    fn new(name: &str, text: &str) -> Self {
        let folder = tempfile::tempdir().expect("a temporary folder can be made");
        let path = folder.path().join(name);
        std::fs::write(&path, text).expect("a file can be written");
        Self {
            path,
            _folder: folder,
        }
    }

    /// Where it lies.
    #[must_use]
    pub fn path(&self) -> &Path {
        &self.path
    }
}

/// `rows` rows of three kinds of flowers: five numbers that are noise around the kind's own, and a column of two
/// words; the target is the last column, `kind`.
#[must_use]
pub fn kinds(rows: usize) -> CsvTable {
    let mut rng = Seed(99).stream("tests.kinds").rng();
    let centres: [[f64; 5]; 3] = std::array::from_fn(|_| std::array::from_fn(|_| 1.6 * rng.normal()));
    let mut text = "a,b,c,d,e,site,kind\n".to_owned();
    for row in 0..rows {
        let kind = row % 3;
        for centre in centres[kind] {
            let value = centre + rng.normal();
            let _ = write!(text, "{value:.4},");
        }
        let site = ["north", "south"][rng.below(2)];
        let _ = writeln!(text, "{site},{}", ["iris", "rose", "tulip"][kind]);
    }
    CsvTable::new("kinds.csv", &text)
}

/// `rows` rows whose target `price` is a smooth function of three numbers with a little noise; with the standard
/// deviation of the target, which is the error of predicting its mean.
#[must_use]
pub fn prices(rows: usize) -> (CsvTable, f64) {
    let mut rng = Seed(98).stream("tests.prices").rng();
    let mut text = "size,age,noise,price\n".to_owned();
    let mut prices = Vec::with_capacity(rows);
    for _ in 0..rows {
        let (size, age, noise) = (rng.normal(), rng.normal(), rng.normal());
        let price = 250.0 + 40.0 * size - 25.0 * age + 10.0 * size * age + 2.0 * rng.normal();
        let _ = writeln!(text, "{size:.5},{age:.5},{noise:.5},{price:.5}");
        prices.push(price);
    }
    let mean = prices.iter().sum::<f64>() / rows as f64;
    let variance = prices.iter().map(|price| (price - mean).powi(2)).sum::<f64>() / rows as f64;
    (CsvTable::new("prices.csv", &text), variance.sqrt())
}
