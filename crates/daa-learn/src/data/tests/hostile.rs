//! Bytes from anybody: every decoder accepts or refuses, and neither panics nor takes more than it was given.

use super::*;
use crate::data::read::{decompress, sniff};
use daa_base::Bytes;
use proptest::prelude::*;

/// Small enough that a decoder which trusted an announced size would be caught.
fn limits() -> Limits {
    Limits {
        file: Bytes(1 << 16),
        decoded: Bytes(1 << 16),
        rows: 200,
        columns: 50,
        values: 2_000,
    }
}

/// Sound files of every format.
fn sound() -> Vec<Vec<u8>> {
    let csv = b"a,b,w,y\n1,2,x,p\n3,,\"z, z\",q\n5,6,x,p\n7,8,?,q\n".to_vec();
    let images = idx(&[3, 2, 2], &[7; 12]);
    let array = npy(&[3, 4], npyz::Order::Fortran, &[0.5_f32; 12]);
    vec![gz(&csv), gz(&images), csv, images, array]
}

/// Random bytes, sound files cut short, and sound files with some bytes changed.
fn hostile() -> impl Strategy<Value = Vec<u8>> {
    let changes = prop::collection::vec((any::<prop::sample::Index>(), any::<u8>()), 0..6);
    let starts: Vec<Vec<u8>> = vec![
        Vec::new(),
        b"\x93NUMPY\x01\0".to_vec(),
        b"\x93NUMPY\x02\0".to_vec(),
        b"\x93NUMPY\x01\0\x20\0{'descr': '<f4', 'shape': (".to_vec(),
        vec![0, 0, 8, 3],
        vec![0, 0, 0x0d, 4],
        vec![0x1f, 0x8b, 8, 0],
        b"a,b,y\n".to_vec(),
    ];
    prop_oneof![
        (
            prop::sample::select(starts),
            prop::collection::vec(any::<u8>(), 0..200)
        )
            .prop_map(|(start, rest)| [start, rest].concat()),
        (
            prop::sample::select(sound()),
            changes,
            any::<prop::sample::Index>()
        )
            .prop_map(|(mut bytes, changes, cut)| {
                for (at, byte) in changes {
                    let at = at.index(bytes.len());
                    bytes[at] = byte;
                }
                bytes.truncate(cut.index(bytes.len() * 2));
                bytes
            }),
    ]
}

/// Values that a table holds, or the size of what it is made of.
fn size(table: &Table) -> usize {
    match table.features() {
        Features::Dense { values, .. } => values.len(),
        Features::Columns(columns) => columns.len() * table.rows(),
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(512))]

    #[test]
    fn decoders_survive_any_bytes(bytes in hostile()) {
        let limits = limits();
        let unpacked = match decompress("x", bytes.clone(), &limits) {
            Ok(unpacked) => unpacked,
            Err(error) => { prop_assert!(!error.hint().is_empty()); Vec::new() }
        };
        prop_assert!(unpacked.len() as u64 <= limits.decoded.get());
        for bytes in [&bytes, &unpacked] {
            let _ = sniff("x", bytes);
            if let Ok(table) = text::decode_csv("x", bytes, &limits) {
                prop_assert!(table.rows * table.header.len() <= limits.values);
                prop_assert!(table.columns.iter().all(|column| column.fields().count() == table.rows));
            }
            for array in [idx::decode_idx("x", bytes), npy::decode_npy("x", bytes)].into_iter().flatten() {
                // Every element is backed by at least a byte of the file.
                prop_assert!(array.dims.iter().product::<usize>() <= bytes.len());
                if let Ok(table) = array.clone().into_table("x", &limits) {
                    prop_assert!(size(&table) <= limits.values && table.rows() <= limits.rows);
                }
                let _ = array.into_labels("x", &limits);
            }
        }
    }

    #[test]
    fn loading_and_all_that_follows_survives_any_file(bytes in hostile(), labels in hostile()) {
        let folder = Folder::new(&[("data", &bytes), ("data-labels", &labels)]);
        let options = LoadOptions { limits: limits(), ..LoadOptions::default() };
        match folder.source("data").load(&options) {
            Err(error) => {
                let text = error.to_string();
                prop_assert!(!text.contains('\n') && !text.chars().any(|c| c.is_control()), "{text:?}");
                prop_assert!(!error.hint().contains('\n') && !error.hint().is_empty());
            }
            Ok(table) => {
                prop_assert!(size(&table) <= 2_000);
                let rows: Vec<u32> = (0..table.rows() as u32).collect();
                let data = Preprocess::fit(&table, &rows).unwrap().dataset(&table).unwrap();
                prop_assert!(data.features().iter().all(|value| value.is_finite()));
                let _ = split(&table, &SplitShares::default(), &daa_base::Seed(1).stream("split"));
            }
        }
        // The same bytes as something to predict.
        let digits = DataSource::Digits.load(&LoadOptions::default()).unwrap();
        let model = Preprocess::fit(&digits, &[0, 1]).unwrap();
        let _ = folder.source("data").load_for(&model, &options);
        let table = load_csv("a,b,w,y\n1,2,x,p\n2,3,z,q\n1,2,x,p\n2,3,z,q\n", &LoadOptions::default()).unwrap();
        let model = Preprocess::fit(&table, &[0, 1]).unwrap();
        if let Ok(table) = folder.source("data").load_for(&model, &options) {
            let rows: Vec<u32> = (0..table.rows() as u32).collect();
            prop_assert!(model.transform(&table, &rows).unwrap().values.iter().all(|value| value.is_finite()));
        }
    }

    #[test]
    fn stored_preprocessing_is_checked_or_refused(at in any::<prop::sample::Index>(), byte in any::<u8>()) {
        let table = load_csv("a,w,y\n1,x,1.5\n2,z,2.5\n1,,1\n2,z,9\n", &LoadOptions::default()).unwrap();
        let mut json = serde_json::to_vec(&Preprocess::fit(&table, &[0, 1, 2]).unwrap()).unwrap();
        let at = at.index(json.len());
        json[at] = byte;
        let changed = serde_json::from_slice::<Preprocess>(&json).ok();
        let matrix = changed.and_then(|changed| changed.transform(&table, &[0, 1, 2, 3]).ok());
        prop_assert!(matrix.is_none_or(|matrix| matrix.values.iter().all(|value| value.is_finite())));
    }
}

#[test]
fn endless_and_waiting_files_are_not_read() {
    let device = DataSource::Path(PathBuf::from("/dev/zero"));
    if exists(Path::new("/dev/zero")) {
        let error = device.load(&LoadOptions::default()).unwrap_err();
        assert_eq!(
            error.to_string(),
            "/dev/zero: what lies at this path is not supported, a regular file is needed"
        );
    }
}
