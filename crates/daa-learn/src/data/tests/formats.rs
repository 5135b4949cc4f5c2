//! What each reader makes of sound files.

use super::*;
use proptest::prelude::*;

#[test]
fn digits_are_complete() {
    let table = DataSource::Digits.load(&LoadOptions::default()).unwrap();
    assert_eq!(table.rows(), 1797);
    let (codes, names) = labels(&table);
    assert_eq!(names, ["0", "1", "2", "3", "4", "5", "6", "7", "8", "9"]);
    let mut counts = [0; 10];
    codes.iter().for_each(|&code| counts[code as usize] += 1);
    // The counts that the UCI description of the test part gives.
    assert_eq!(counts, [178, 182, 177, 183, 181, 182, 181, 179, 174, 180]);
    let Features::Dense {
        shape,
        values: DenseValues::Bytes(pixels),
    } = table.features()
    else {
        panic!("digits are bytes");
    };
    assert_eq!(
        *shape,
        InputShape::Image {
            channels: 1,
            height: 8,
            width: 8
        }
    );
    assert_eq!(pixels.len(), 1797 * 64);
    assert_eq!((pixels.iter().min(), pixels.iter().max()), (Some(&0), Some(&16)));
    assert_eq!(pixels[..8], [0, 0, 5, 13, 9, 1, 0, 0]);
    assert!(table.warnings().is_empty());
}

#[test]
fn fashion_mnist_is_complete_where_it_is_installed() {
    match DataSource::FashionMnist.load(&LoadOptions::default()) {
        Ok(table) => {
            assert_eq!((table.rows(), table.test_start()), (70_000, Some(60_000)));
            let (codes, names) = labels(&table);
            assert_eq!((names.len(), names[9].as_str()), (10, "Ankle boot"));
            assert_eq!(codes[0], 9, "the first picture is a boot");
            let mut counts = [0; 10];
            codes[60_000..]
                .iter()
                .for_each(|&code| counts[code as usize] += 1);
            assert_eq!(counts, [1000; 10]);
        }
        Err(error @ DataError::NoFashionMnist { .. }) => {
            let mut out = std::io::stderr();
            writeln!(out, "not read: {error}; {}", error.hint()).unwrap();
        }
        Err(other) => panic!("installed but broken: {other}"),
    }
}

#[test]
fn a_folder_of_idx_files_keeps_its_test_part() {
    let folder = Folder::new(&[
        (
            "train-images-idx3-ubyte.gz",
            &gz(&idx(&[4, 1, 2], &[1, 2, 3, 4, 5, 6, 7, 8])),
        ),
        ("train-labels-idx1-ubyte", &idx(&[4], &[5, 7, 5, 7])),
        ("t10k-images-idx3-ubyte", &idx(&[2, 1, 2], &[9, 10, 11, 12])),
        ("t10k-labels-idx1-ubyte.gz", &gz(&idx(&[2], &[7, 5]))),
    ]);
    let table = DataSource::Path(folder.0.path().to_owned())
        .load(&LoadOptions::default())
        .unwrap();
    assert_eq!((table.rows(), table.test_start()), (6, Some(4)));
    assert_eq!(
        labels(&table),
        (&[0, 1, 0, 1, 1, 0][..], &["5".to_owned(), "7".to_owned()][..])
    );
    let Features::Dense {
        values: DenseValues::Bytes(pixels),
        ..
    } = table.features()
    else {
        panic!("bytes")
    };
    assert_eq!(*pixels, (1..=12).collect::<Vec<u8>>());
    // The training part alone, by file.
    let part = folder
        .source("train-images-idx3-ubyte.gz")
        .load(&LoadOptions::default())
        .unwrap();
    assert_eq!((part.rows(), part.test_start()), (4, None));
    assert_ne!(part.fingerprint(), table.fingerprint());
}

#[test]
fn idx_elements_are_big_endian() {
    let mut floats = vec![0, 0, 0x0d, 2, 0, 0, 0, 2, 0, 0, 0, 1];
    floats.extend([1.5_f32, -2.0].iter().flat_map(|value| value.to_be_bytes()));
    let folder = Folder::new(&[("a.images", &floats), ("a.labels", &idx(&[2], &[0, 1]))]);
    let table = folder.source("a.images").load(&LoadOptions::default()).unwrap();
    let expected = Features::Dense {
        shape: InputShape::Flat { features: 1 },
        values: DenseValues::Floats(vec![1.5, -2.0]),
    };
    assert_eq!(*table.features(), expected);
}

#[test]
fn npy_in_both_orders_and_four_dimensions() {
    let labels_file = npy(&[2, 1], npyz::Order::C, &[3_i64, 4]);
    let c = npy(&[2, 3], npyz::Order::C, &[1.0_f64, 2.0, 3.0, 4.0, 5.0, 6.0]);
    let fortran = npy(&[2, 3], npyz::Order::Fortran, &[1.0_f64, 4.0, 2.0, 5.0, 3.0, 6.0]);
    let first = npy(
        &[2, 3, 1, 2],
        npyz::Order::C,
        &[1_i16, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12],
    );
    let last = npy(
        &[2, 1, 2, 3],
        npyz::Order::C,
        &[1_i16, 3, 5, 2, 4, 6, 7, 9, 11, 8, 10, 12],
    );
    // Height 1 could be a channel count; height 2 cannot.
    let tall = npy(
        &[2, 2, 1, 3],
        npyz::Order::C,
        &[1_i16, 3, 5, 2, 4, 6, 7, 9, 11, 8, 10, 12],
    );
    let folder = Folder::new(&[
        ("c.npy", &c),
        ("c-labels.npy", &labels_file),
        ("f.npy", &gz(&fortran)),
        ("f_labels.npy.gz", &gz(&labels_file)),
        ("first.npy", &first),
        ("first-labels.npy", &labels_file),
        ("tall.npy", &tall),
        ("tall-labels.npy", &labels_file),
        ("last.npy", &last),
        ("last-labels.npy", &labels_file),
    ]);
    let options = LoadOptions {
        task: TaskKind::Regression,
        ..LoadOptions::default()
    };
    let load = |name| folder.source(name).load(&options).unwrap();
    assert_eq!(load("c.npy").features(), load("f.npy").features());
    assert_eq!(load("c.npy").target(), Some(&TableTarget::Values(vec![3.0, 4.0])));
    let shape = |table: &Table| match table.features() {
        Features::Dense { shape, .. } => *shape,
        Features::Columns(_) => panic!("dense"),
    };
    assert_eq!(
        shape(&load("first.npy")),
        InputShape::Image {
            channels: 3,
            height: 1,
            width: 2
        }
    );
    assert_eq!(
        shape(&load("tall.npy")),
        InputShape::Image {
            channels: 3,
            height: 2,
            width: 1
        }
    );
    let values = |table: &Table| match table.features() {
        Features::Dense { values, .. } => values.clone(),
        Features::Columns(_) => panic!("dense"),
    };
    assert_eq!(values(&load("first.npy")), values(&load("tall.npy")));
    assert_eq!(
        shape(&load("last.npy")),
        InputShape::Image {
            channels: 1,
            height: 2,
            width: 3
        }
    );
}

#[test]
fn the_content_decides_and_not_the_name() {
    let folder = Folder::new(&[
        ("table.txt", &gz(b"a,y\n1,p\n2,q\n3,p\n4,q\n")),
        ("array.csv", &npy(&[4, 1], npyz::Order::C, &[1_u8, 2, 3, 4])),
        ("array-labels.csv", &npy(&[4], npyz::Order::C, &[0_u8, 1, 0, 1])),
    ]);
    assert_eq!(
        folder
            .source("table.txt")
            .load(&LoadOptions::default())
            .unwrap()
            .rows(),
        4
    );
    let array = folder.source("array.csv").load(&LoadOptions::default()).unwrap();
    assert_eq!(array.target_choice(), TargetChoice::Labels);
}

#[test]
fn csv_of_every_dialect_reads_alike() {
    let plain = "a,b,y\n1,x,p\n2,z,q\n3,x,p\n4,z,q\n";
    let reference = load_csv(plain, &LoadOptions::default()).unwrap();
    for text in [
        format!("\u{feff}{plain}"),
        plain.replace('\n', "\r\n"),
        plain.replace(',', ";"),
        plain.replace(',', "\t"),
        plain.replace(',', " , "),
        plain.replace('x', "\"x\""),
        plain.trim_end().to_owned(),
        plain.replace('\n', "\n\n"),
    ] {
        let table = load_csv(&text, &LoadOptions::default()).unwrap();
        assert_eq!(table.fingerprint(), reference.fingerprint(), "{text:?}");
        assert_eq!(table.features(), reference.features(), "{text:?}");
    }
    let quoted = load_csv(
        "a,y\n\"x, \"\"1\"\"\nz\",p\nw,q\nw,p\nw,q\n",
        &LoadOptions::default(),
    )
    .unwrap();
    let ColumnValues::Categorical { categories, .. } = &columns(&quoted)[0].values else {
        panic!("words")
    };
    assert_eq!(*categories, ["w", "x, \"1\"\nz"]);
}

#[test]
fn columns_are_told_apart_by_content() {
    let mut text = "id,num,gap,word,empty,,y\n".to_owned();
    for row in 0..40 {
        let gap = if row % 4 == 0 {
            "NA".to_owned()
        } else {
            row.to_string()
        };
        let word = ["red", "", "blue", "?"][row % 4];
        text.push_str(&format!(
            "name{row},{row}.5,{gap},{word},NULL,{row},{}\n",
            row % 2
        ));
    }
    let table = load_csv(&text, &LoadOptions::default()).unwrap();
    let names: Vec<&str> = columns(&table)
        .iter()
        .map(|column| column.name.as_str())
        .collect();
    assert_eq!(names, ["num", "gap", "word"]);
    let ColumnValues::Numeric(gap) = &columns(&table)[1].values else {
        panic!("numbers")
    };
    assert!(gap[0].is_nan() && gap[1] == 1.0);
    let ColumnValues::Categorical { categories, codes } = &columns(&table)[2].values else {
        panic!("words")
    };
    assert_eq!(*categories, ["blue", "red"]);
    assert_eq!(codes[..4], [1, MISSING_CODE, 0, MISSING_CODE]);
    let warnings: Vec<String> = table.warnings().iter().map(ToString::to_string).collect();
    assert_eq!(
        warnings,
        [
            "column \"id\" has 40 different words in 40 rows and is left out as a name or id",
            "column \"empty\" has no values and is left out",
            "column 6 has no name and is left out",
        ]
    );
    let mut text = "many,a,y\n".to_owned();
    for row in 0..600 {
        text.push_str(&format!("w{},1,{}\n", row % (MAX_CATEGORIES + 1), row % 2));
    }
    let table = load_csv(&text, &LoadOptions::default()).unwrap();
    assert_eq!(
        table.warnings(),
        [DataWarning::TooManyCategories {
            column: "many".to_owned(),
            distinct: 129
        }]
    );
}

#[test]
fn the_target_is_the_named_one_or_a_well_known_one_or_the_last() {
    let text = "y,b,c,\n0,1,p,9\n1,2,q,9\n0,3,p,9\n1,4,q,9\n";
    let choice = |text: &str, options: &LoadOptions| {
        let table = load_csv(text, options).unwrap();
        (table.target_name().to_owned(), table.target_choice())
    };
    assert_eq!(
        choice(text, &LoadOptions::default()),
        ("y".into(), TargetChoice::WellKnown)
    );
    assert_eq!(
        choice(text, &LoadOptions::with_target("c")),
        ("c".into(), TargetChoice::Named)
    );
    let renamed = text.replace('y', "x");
    assert_eq!(
        choice(&renamed, &LoadOptions::default()),
        ("c".into(), TargetChoice::LastColumn)
    );
    let both = text.replace('b', "Label");
    assert_eq!(
        choice(&both, &LoadOptions::default()),
        ("Label".into(), TargetChoice::WellKnown)
    );
}

#[test]
fn classes_and_numbers_are_told_apart() {
    let table = |values: &[&str], task| {
        let rows: String = values
            .iter()
            .enumerate()
            .map(|(at, value)| format!("{at},{value}\n"))
            .collect();
        load_csv(
            &format!("a,y\n{rows}"),
            &LoadOptions {
                task,
                ..LoadOptions::default()
            },
        )
        .unwrap()
    };
    let names = |values: &[&str], task| labels(&table(values, task)).1.to_vec();
    assert_eq!(names(&["10", "9", "10.0", "9"], TaskKind::Auto), ["9", "10"]);
    assert_eq!(names(&["b", "a", "b", "a"], TaskKind::Auto), ["a", "b"]);
    assert_eq!(
        names(&["True", "1", "False", "True", "1", "False"], TaskKind::Auto),
        ["1", "False", "True"]
    );
    assert_eq!(
        names(&["0", "-0", "1", "-1", "1", "-1"], TaskKind::Auto),
        ["-1", "0", "1"]
    );
    let measured = |values: &[&str], task| match table(values, task).target() {
        Some(TableTarget::Values(values)) => values.clone(),
        other => panic!("expected numbers, found {other:?}"),
    };
    assert_eq!(
        measured(&["1", "2", "3", "4"], TaskKind::Auto),
        [1.0, 2.0, 3.0, 4.0]
    );
    assert_eq!(
        measured(&["1.5", "2", "1.5", "2"], TaskKind::Auto),
        [1.5, 2.0, 1.5, 2.0]
    );
    assert_eq!(
        measured(&["1", "2", "1", "2"], TaskKind::Regression),
        [1.0, 2.0, 1.0, 2.0]
    );
    assert_eq!(
        names(&["1.5", "2", "1.5", "2"], TaskKind::Classification),
        ["1.5", "2"]
    );
    // Twenty whole numbers are classes, twenty-one are not.
    let text = |count: usize| (0..100).map(|row| (row % count).to_string()).collect::<Vec<_>>();
    let (twenty, more) = (text(20), text(21));
    let refs = |texts: &[String]| {
        texts
            .iter()
            .map(String::as_str)
            .map(str::to_owned)
            .collect::<Vec<_>>()
    };
    let twenty: Vec<&str> = twenty.iter().map(String::as_str).collect();
    assert_eq!(names(&twenty, TaskKind::Auto).len(), 20);
    let more = refs(&more);
    let more: Vec<&str> = more.iter().map(String::as_str).collect();
    assert_eq!(measured(&more, TaskKind::Auto).len(), 100);
}

#[test]
fn sources_print_as_they_are_written() {
    for text in ["digits", "fashion-mnist", "./digits", "a/b.csv"] {
        assert_eq!(text.parse::<DataSource>().unwrap().to_string(), text);
    }
    assert!(!exists(Path::new("a/b.csv")));
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    #[test]
    fn csv_gives_back_what_was_written(
        rows in prop::collection::vec((prop::option::of(-1e30_f64..1e30), 0_usize..4, 0_u32..3), 6..30)
    ) {
        const WORDS: [&str; 4] = ["plain", "with, comma", "with \"quotes\"", "two\nlines"];
        let mut writer = csv::Writer::from_writer(Vec::new());
        writer.write_record(["n", "w", "y"]).unwrap();
        for (number, word, class) in &rows {
            let number = number.map_or_else(String::new, |number| number.to_string());
            writer.write_record([number, WORDS[*word].to_owned(), format!("class {class}")]).unwrap();
        }
        let bytes = writer.into_inner().unwrap();
        let folder = Folder::new(&[("data.csv", &bytes)]);
        let loaded = folder.source("data.csv").load(&LoadOptions::default());
        let classes: std::collections::BTreeSet<u32> = rows.iter().map(|row| row.2).collect();
        prop_assume!(classes.len() > 1);
        let table = loaded.unwrap();
        let (codes, names) = labels(&table);
        for (at, row) in rows.iter().enumerate() {
            prop_assert_eq!(&names[codes[at] as usize], &format!("class {}", row.2));
        }
        for column in columns(&table) {
            match &column.values {
                ColumnValues::Numeric(values) => {
                    let back: Vec<Option<f64>> = values.iter().map(|v| (!v.is_nan()).then_some(*v)).collect();
                    prop_assert_eq!(back, rows.iter().map(|row| row.0).collect::<Vec<_>>());
                }
                ColumnValues::Categorical { categories, codes } => {
                    for (code, row) in codes.iter().zip(&rows) {
                        prop_assert_eq!(categories[*code as usize].as_str(), WORDS[row.1]);
                    }
                }
            }
        }
    }

    #[test]
    fn npy_gives_back_what_was_written(rows in 1_u64..6, width in 1_u64..6, seed in any::<u64>()) {
        let count = (rows * width) as usize;
        let mut rng = daa_base::Seed(seed).stream("npy").rng();
        let values: Vec<f32> = (0..count).map(|_| rng.normal() as f32).collect();
        let bytes = npy(&[rows, width], npyz::Order::C, &values);
        let array = npy::decode_npy("x", &bytes).unwrap();
        prop_assert_eq!(array.dims, vec![rows as usize, width as usize]);
        prop_assert_eq!(array.elements, array::Elements::Single(values));
    }
}
