//! Every refusal, with the words the user reads.

use super::*;
use daa_base::{Bytes, Permille, Seed};

/// Asserts message and hint of a CSV file's refusal.
#[track_caller]
fn refused(text: &str, options: &LoadOptions, message: &str, hint: &str) {
    let folder = Folder::new(&[("data.csv", text.as_bytes())]);
    let found = folder.refusal(folder.source("data.csv").load(options));
    assert_eq!((found.0.as_str(), found.1.as_str()), (message, hint));
}

fn default() -> LoadOptions {
    LoadOptions::default()
}

fn task(task: TaskKind) -> LoadOptions {
    LoadOptions { task, ..default() }
}

#[test]
fn files_that_are_not_there() {
    let folder = Folder::new(&[]);
    let found = folder.refusal(folder.source("no.csv").load(&default()));
    assert_eq!(found.0, "no.csv: no such file or folder");
    assert_eq!(
        found.1,
        "name `digits`, `fashion-mnist`, or the path of a .csv, .npy or idx file"
    );

    let typo: DataSource = "digts".parse().unwrap();
    assert_eq!(
        typo.load(&default()).unwrap_err().hint(),
        "did you mean the built-in data set `digits`?"
    );

    let found = folder.refusal(DataSource::Path(folder.0.path().to_owned()).load(&default()));
    assert!(found.0.ends_with("the folder holds no data set"), "{}", found.0);
    assert_eq!(
        found.1,
        "the folder needs train-images* and train-labels* (idx), or X.npy and y.npy"
    );

    let options = LoadOptions {
        fashion_mnist: Some(folder.path("nowhere")),
        ..default()
    };
    let found = folder.refusal(DataSource::FashionMnist.load(&options));
    assert_eq!(found.0, "fashion-mnist: no data in nowhere");
    assert!(found.1.contains("DAA_FASHION_MNIST"), "{}", found.1);
    assert_eq!(
        DataSource::FashionMnist.load(&options).unwrap_err().class(),
        DataErrorClass::NotFound
    );
}

#[test]
fn csv_without_content() {
    let end = "check that the file was written to its end";
    refused("", &default(), "data.csv: the file is empty", end);
    refused("\n\n", &default(), "data.csv: the file is empty", end);
    refused("a,b\n", &default(), "data.csv: a header and no rows", end);
    refused(
        "1,2\n3,4\n",
        &default(),
        "data.csv: no header: the first line holds only numbers (1,2)",
        "put a line with the column names first",
    );
}

#[test]
fn csv_of_broken_form() {
    refused(
        "a,b\n1,x\n2,y,3\n",
        &default(),
        "data.csv: row 2 (line 3) has 3 fields, the header has 2",
        "check that row for a missing field, or for a comma outside quotes",
    );
    refused(
        "a,b\n\"1\n1\",x\n2\n",
        &default(),
        "data.csv: row 2 (line 4) has 1 fields, the header has 2",
        "check that row for a missing field, or for a comma outside quotes",
    );
    refused(
        "a,b,a\n1,2,3\n",
        &default(),
        "data.csv: two columns are called \"a\"",
        "rename one of them",
    );
    let folder = Folder::new(&[
        ("data.csv", b"a,b\n1,x\n2,\xff\n"),
        ("utf16.csv", b"\xff\xfea\0,\0b\0"),
    ]);
    let found = folder.refusal(folder.source("data.csv").load(&default()));
    assert_eq!(
        found,
        (
            "data.csv: line 3 is not valid UTF-8".into(),
            "save the file as UTF-8".into()
        )
    );
    let found = folder.refusal(folder.source("utf16.csv").load(&default()));
    assert_eq!(
        found.0,
        "utf16.csv: not CSV, npy or idx data: it starts with ff fe 61 00 2c 00"
    );
    assert_eq!(found.1, "check that the file is what its name says");
}

#[test]
fn targets_that_cannot_be_learned() {
    let fill = "fill in the target or remove the row";
    for missing in ["NaN", "", "?", "null", "NA", "nan"] {
        let text = format!("a,y\n1,1\n2,{missing}\n");
        let message = format!("data.csv: row 2 has no target: column \"y\" holds \"{missing}\"");
        refused(&text, &default(), &message, fill);
    }
    // What a file calls its columns reaches nobody's terminal as it is.
    let message = r#"data.csv: row 1 has no target: column "w\u{7f}\ny" holds """#;
    refused("a,\"w\u{7f}\ny\"\n1,\n", &default(), message, fill);
    let other = "there is nothing to tell apart: name another column with --target";
    refused(
        "a,y\n1,no\n2,no\n",
        &default(),
        "data.csv: the target \"y\" has only one class, \"no\"",
        other,
    );
    refused(
        "a,y\n1,3\n2,3\n",
        &default(),
        "data.csv: the target \"y\" has only one class, \"3\"",
        other,
    );
    refused(
        "a,y\n1,1.5\n2,1.5\n",
        &default(),
        "data.csv: the target \"y\" is 1.5 in every row",
        other,
    );
    refused(
        "a,y\n1,1\n2,red\n",
        &task(TaskKind::Regression),
        "data.csv: row 2: target \"y\" is \"red\", regression needs numbers",
        "remove rows like \"red\", or state classification",
    );
    refused(
        "a,y\n1,1.5\n2,inf\n",
        &default(),
        "data.csv: row 2, column y: inf is not a finite 32-bit number",
        "remove the row, or leave the field empty in a CSV file",
    );
    refused(
        "a,y\n1,tom\n2,ann\n3,eve\n",
        &default(),
        "data.csv: the target \"y\" has 3 classes in 3 rows, allowed are at most 1",
        "this looks like a name or an id: name another column with --target",
    );
}

#[test]
fn columns_that_are_not_there() {
    let text = "age,income,spent\n1,2,a\n2,3,b\n3,4,a\n4,5,b\n";
    let message = "data.csv: no column \"incme\"";
    refused(
        text,
        &LoadOptions::with_target("incme"),
        message,
        "did you mean `income`?",
    );
    refused(
        text,
        &LoadOptions::with_target("INCOME"),
        "data.csv: no column \"INCOME\"",
        "did you mean `income`?",
    );
    refused(
        text,
        &LoadOptions::with_target("zzzz"),
        "data.csv: no column \"zzzz\"",
        "the columns are: age, income, spent",
    );
    let error = load_csv(text, &LoadOptions::with_target("incme")).unwrap_err();
    assert_eq!(error.class(), DataErrorClass::Mismatch);
    refused(
        "y\na\nb\na\nb\n",
        &default(),
        "data.csv: no usable feature column beside the target \"y\"",
        "add a column with numbers, or with repeating words",
    );
    let digits = DataSource::Digits
        .load(&LoadOptions::with_target("digit"))
        .unwrap_err();
    assert_eq!(
        (digits.to_string().as_str(), digits.hint().as_str()),
        (
            "digits: a target column \"digit\" was named, but this data has no named columns",
            "leave out --target: the labels come with the data"
        )
    );
}

#[test]
fn features_that_are_not_finite() {
    let hint = "remove the row, or leave the field empty in a CSV file";
    for (field, row) in [("inf", 2), ("1e39", 2), ("-Infinity", 2), ("-nan", 2)] {
        let text = format!("a,y\n1,p\n{field},q\n3,p\n4,q\n");
        let message = format!("data.csv: row {row}, column a: {field} is not a finite 32-bit number");
        refused(&text, &default(), &message, hint);
    }
    let folder = Folder::new(&[
        (
            "X.npy",
            &npy(&[2, 2], npyz::Order::C, &[1.0_f32, 2.0, f32::NAN, 4.0]),
        ),
        ("y.npy", &npy(&[2], npyz::Order::C, &[0_u8, 1])),
    ]);
    let found = folder.refusal(folder.source("X.npy").load(&task(TaskKind::Regression)));
    assert_eq!(
        found,
        (
            "X.npy: row 2, column 0: NaN is not a finite 32-bit number".into(),
            hint.into()
        )
    );
}

#[test]
fn more_than_the_limits_allow() {
    let hint = "take a sample of the rows, or split the file";
    let with = |change: &dyn Fn(&mut Limits)| {
        let mut options = default();
        change(&mut options.limits);
        options
    };
    let text = "a,b,y\n1,2,0\n2,3,1\n3,4,0\n4,5,1\n";
    for (options, message) in [
        (with(&|l| l.rows = 3), "data.csv: 4 rows, allowed are at most 3"),
        (
            with(&|l| l.columns = 2),
            "data.csv: 3 columns, allowed are at most 2",
        ),
        (
            with(&|l| l.values = 8),
            "data.csv: 9 values (rows × columns), allowed are at most 8",
        ),
        (
            with(&|l| l.file = Bytes(20)),
            "data.csv: 30 bytes, allowed are at most 20",
        ),
        (
            with(&|l| l.decoded = Bytes(20)),
            "data.csv: 30 bytes, allowed are at most 20",
        ),
    ] {
        refused(text, &options, message, hint);
    }
    let mut bomb = gz(&vec![b'a'; 1 << 20]);
    // A broken checksum at the end: only who unpacks it all would find it.
    let checksum = bomb.len() - 8;
    bomb[checksum] ^= 0xff;
    assert!(bomb.len() < 1 << 14, "the file itself is small");
    let folder = Folder::new(&[("bomb.csv.gz", &bomb)]);
    let found = folder.refusal(
        folder
            .source("bomb.csv.gz")
            .load(&with(&|l| l.decoded = Bytes(1 << 16))),
    );
    assert_eq!(
        found.0,
        "bomb.csv.gz: more than 65536 bytes after decompression, allowed are at most 65536"
    );
}

#[test]
fn broken_gzip() {
    let hint = "the file is damaged: copy or download it again";
    let whole = gz(b"a,y\n1,p\n2,q\n3,p\n4,q\n");
    let mut flipped = whole.clone();
    let crc = flipped.len() - 8;
    flipped[crc] ^= 0xff;
    let folder = Folder::new(&[
        ("cut.csv.gz", &whole[..whole.len() - 9]),
        ("crc.csv.gz", &flipped),
        ("empty.csv.gz", &gz(b"")),
    ]);
    let found = folder.refusal(folder.source("cut.csv.gz").load(&default()));
    let cut = format!(
        "cut.csv.gz: truncated: more compressed bytes announced, {} found",
        whole.len() - 9
    );
    assert_eq!(found, (cut, hint.into()));
    let found = folder.refusal(folder.source("crc.csv.gz").load(&default()));
    assert!(
        found.0.starts_with("crc.csv.gz: damaged gzip data: "),
        "{}",
        found.0
    );
    assert_eq!(found.1, hint);
    let found = folder.refusal(folder.source("empty.csv.gz").load(&default()));
    assert_eq!(found.0, "empty.csv.gz: the file is empty");
}

#[test]
fn splits_that_leave_a_part_empty() {
    let table = load_csv("a,y\n1,p\n2,q\n3,p\n4,q\n", &default()).unwrap();
    let stream = Seed(1).stream("split");
    let error = split(&table, &SplitShares::default(), &stream).unwrap_err();
    assert_eq!(
        error.to_string(),
        "4 rows are too few: the validation part would be empty"
    );
    assert_eq!(error.hint(), "add rows, or make the part's share larger");
    let shares = SplitShares {
        test: Permille::WHOLE,
        ..SplitShares::default()
    };
    let error = split(&table, &shares, &stream).unwrap_err();
    assert_eq!(
        error.to_string(),
        "test is 1000 thousandths, allowed are 0 to 999"
    );
    assert_eq!(error.hint(), "leave rows for training");
}

#[test]
fn data_of_another_shape_than_the_model() {
    let table = load_csv("a,b,y\n1,x,p\n2,z,q\n3,x,p\n4,z,q\n", &default()).unwrap();
    let model = Preprocess::fit(&table, &[0, 1, 2, 3]).unwrap();
    let folder = Folder::new(&[("few.csv", b"b,z\nx,1\n"), ("text.csv", b"a,b\n1,x\nhot,x\n")]);
    let found = folder.refusal(folder.source("few.csv").load_for(&model, &default()));
    assert_eq!(
        found.0,
        "few.csv: the model needs the columns \"a\", which are missing"
    );
    assert_eq!(
        found.1,
        "use a file with the columns that the model was trained on"
    );
    let found = folder.refusal(folder.source("text.csv").load_for(&model, &default()));
    assert_eq!(
        found.0,
        "text.csv: row 2, column \"a\": \"hot\" is not a number, the model was trained on numbers"
    );
    assert_eq!(found.1, "correct the value, or leave the field empty");
    let error = DataSource::Digits.load_for(&model, &default()).unwrap_err();
    assert_eq!(
        error.to_string(),
        "digits: the model takes a table with 2 named columns, the data is images of 1×8×8 (channels × height × width)"
    );
    assert_eq!(error.hint(), "use data of the kind that the model was trained on");
    let digits = DataSource::Digits.load(&default()).unwrap();
    let model = Preprocess::fit(&digits, &[0, 1]).unwrap();
    let found = folder.refusal(folder.source("few.csv").load_for(&model, &default()));
    assert_eq!(
        found.0,
        "few.csv: the model takes images of 1×8×8 (channels × height × width), the data is a CSV file of 2 columns"
    );
    let idx_folder = Folder::new(&[("t-images", &idx(&[1, 4, 4], &[0; 16]))]);
    let found = idx_folder.refusal(idx_folder.source("t-images").load_for(&model, &default()));
    assert!(
        found
            .0
            .ends_with("the data is images of 1×4×4 (channels × height × width)"),
        "{}",
        found.0
    );
}

#[test]
fn stored_preprocessing_that_cannot_be_true() {
    let good = r#"{"input":{"columns":[{"name":"a","kind":{"numeric":{"mean":0.5,"std":2.0,"fill":0.5,"indicator":false}}}]},"target_name":"y","target":{"classes":{"names":["p","q"]}}}"#;
    serde_json::from_str::<Preprocess>(good).unwrap();
    for (from, to, reason) in [
        (
            r#""std":2.0"#,
            r#""std":0.0"#,
            "column \"a\" has a mean, deviation or fill out of range",
        ),
        (
            r#""mean":0.5"#,
            r#""mean":1e300"#,
            "column \"a\" has a mean, deviation or fill out of range",
        ),
        (r#"["p","q"]"#, r#"["p","p"]"#, "two classes have one name"),
        (r#"["p","q"]"#, "[]", "0 classes, allowed are 1 to 1024"),
        (
            r#"{"numeric":{"mean":0.5,"std":2.0,"fill":0.5,"indicator":false}}"#,
            r#"{"categorical":{"categories":["b","a"],"missing":false}}"#,
            "column \"a\" has categories that are not sorted and distinct",
        ),
        (
            r#"{"columns":[{"name":"a","kind":{"numeric":{"mean":0.5,"std":2.0,"fill":0.5,"indicator":false}}}]}"#,
            r#"{"dense":{"shape":{"flat":{"features":2}},"mean":[0.0],"std":[1.0]}}"#,
            "1 means and 1 deviations for rows of 2 numbers",
        ),
        (
            r#"{"columns":[{"name":"a","kind":{"numeric":{"mean":0.5,"std":2.0,"fill":0.5,"indicator":false}}}]}"#,
            r#"{"dense":{"shape":{"image":{"channels":4294967296,"height":4294967296,"width":4294967296}},"mean":[],"std":[]}}"#,
            "a row holds no values",
        ),
    ] {
        let text = good.replace(from, to);
        assert_ne!(text, good, "the change applies");
        let error = serde_json::from_str::<Preprocess>(&text).unwrap_err().to_string();
        assert!(
            error.starts_with(&format!("the stored preprocessing is damaged: {reason}")),
            "{error}"
        );
    }
}
