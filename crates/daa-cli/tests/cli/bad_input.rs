//! What is wrong ends with one clear line, a hint, the documented code, and no half-written model.

use crate::support::{Ended, Place, clouds, models_in, short};
use flate2::Compression;
use flate2::write::GzEncoder;
use std::io::Write as _;

/// One line that names the fault, one hint, nothing on the standard output.
fn assert_told(ended: &Ended, code: i32, words: &[&str]) {
    assert_eq!(ended.code, Some(code), "{ended:?}");
    assert_eq!(ended.stdout, "", "{ended:?}");
    let errors: Vec<&str> = ended
        .stderr
        .lines()
        .filter(|line| line.starts_with("error: "))
        .collect();
    let hints = ended
        .stderr
        .lines()
        .filter(|line| line.starts_with("hint: "))
        .count();
    assert_eq!((errors.len(), hints), (1, 1), "{ended:?}");
    for word in words {
        assert!(ended.stderr.contains(word), "{word} is missing in {ended:?}");
    }
}

/// Runs on `data` with more flags, and checks that nothing like a model is left.
fn refused(place: &Place, data: &str, more: &[&str], code: i32, words: &[&str]) {
    let args = [&["run", "--device", "cpu", "--out", "out", "--data", data], more].concat();
    assert_told(&place.run(&args), code, words);
    assert_eq!(models_in(&place.path("out")), Vec::<String>::new());
}

fn gzip(bytes: &[u8]) -> Vec<u8> {
    let mut encoder = GzEncoder::new(Vec::new(), Compression::default());
    encoder.write_all(bytes).expect("compressed");
    encoder.finish().expect("compressed")
}

#[test]
fn a_missing_file_is_named_and_a_typing_error_gets_its_data_set() {
    let place = Place::new();
    refused(
        &place,
        "absent.csv",
        &[],
        3,
        &["absent.csv", "no such file", "digits"],
    );
    refused(&place, "digit", &[], 3, &["did you mean", "digits"]);
}

#[test]
fn an_empty_file_is_refused() {
    let place = Place::new();
    place.write("empty.csv", "");
    place.write("header.csv", "a,b,class\n");
    refused(&place, "empty.csv", &[], 3, &["empty.csv", "the file is empty"]);
    refused(&place, "header.csv", &[], 3, &["header.csv", "no rows"]);
}

#[test]
fn a_ragged_row_is_named_with_its_line() {
    let place = Place::new();
    place.write("ragged.csv", "a,b,class\n1,2,x\n3,y\n");
    refused(
        &place,
        "ragged.csv",
        &[],
        3,
        &["row 2 (line 3)", "2 fields", "header has 3"],
    );
}

#[test]
fn a_target_that_is_not_there_is_named_with_its_row() {
    let place = Place::new();
    place.write("nan.csv", "a,b,class\n1,2,3.5\n3,4,NaN\n5,6,1.5\n");
    refused(&place, "nan.csv", &[], 3, &["row 2", "class", "NaN"]);
}

#[test]
fn one_class_is_nothing_to_tell_apart() {
    let place = Place::new();
    place.write("one.csv", "a,b,class\n1,2,x\n3,4,x\n5,6,x\n");
    refused(
        &place,
        "one.csv",
        &[],
        3,
        &["only one class", "\"x\"", "--target"],
    );
}

#[test]
fn an_unknown_column_gets_the_nearest_one() {
    let place = clouds();
    refused(
        &place,
        "clouds.csv",
        &["--target", "color"],
        3,
        &["no column \"color\"", "did you mean `colour`?"],
    );
}

#[test]
fn truncated_idx_files_are_refused() {
    let place = Place::new();
    let images = [
        &[0, 0, 8, 3, 0, 0, 0, 9, 0, 0, 0, 8, 0, 0, 0, 8][..],
        &[7; 9 * 64],
    ]
    .concat();
    let labels = [&[0, 0, 8, 1, 0, 0, 0, 9][..], &[0, 1, 0, 1, 0, 1, 0, 1, 0]].concat();
    place.write("cut/train-images-idx3-ubyte", &images[..images.len() - 5]);
    place.write("cut/train-labels-idx1-ubyte", &labels);
    refused(&place, "cut", &[], 3, &["train-images-idx3-ubyte", "truncated"]);
    let zipped = gzip(&images);
    place.write("gz/train-images-idx3-ubyte.gz", &zipped[..zipped.len() / 2]);
    place.write("gz/train-labels-idx1-ubyte", &labels);
    refused(&place, "gz", &[], 3, &["train-images-idx3-ubyte.gz", "truncated"]);
}

#[test]
fn a_limit_below_the_largest_plan_names_what_it_takes() {
    let place = clouds();
    let args = short("out", &["--memory-limit", "2KiB"]);
    assert_told(&place.run(&args), 3, &["2.0 KiB", "--memory-limit"]);
    assert_eq!(models_in(&place.path("out")), Vec::<String>::new());
}

/// Without a driver the Vulkan loader finds no GPU, on whatever machine this runs.
#[cfg(target_os = "linux")]
#[test]
fn no_gpu_where_one_is_asked_for_is_refused() {
    use crate::support::end;
    use std::process::Stdio;

    let place = clouds();
    let mut command = place.daa(&["run", "--data", "clouds.csv", "--device", "gpu", "--out", "out"]);
    command
        .env("VK_DRIVER_FILES", "/nonexistent.json")
        .env("VK_ICD_FILENAMES", "/nonexistent.json");
    let ended = end(command
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .expect("started"));
    assert_told(&ended, 4, &["no adapter", "gpu", "daa devices"]);
    assert_eq!(models_in(&place.path("out")), Vec::<String>::new());
}

#[test]
fn wrong_command_lines_are_told_in_one_line() {
    let place = clouds();
    for (args, words) in [
        (&["run", "--agents", "0"][..], &["--agents", "'0'", "1 to 64"][..]),
        (&["run", "--agents", "65"], &["1 to 64"]),
        (&["run", "--agent", "2"], &["--agent", "--agents"]),
        (
            &["run", "--epochs-budget", "0"],
            &["--epochs-budget", "2..=100000"],
        ),
        (
            &["run", "--epochs-budget", "1"],
            &["--epochs-budget", "2..=100000"],
        ),
        (
            &["run", "--epochs-budget", "100001"],
            &["--epochs-budget", "2..=100000"],
        ),
        (
            &["run", "--memory-limit", "5 parsecs"],
            &["--memory-limit", "the unit is unknown"],
        ),
        (&["run", "--device", "tpu"], &["tpu", "software"]),
        (&["run", "--seed", "-1"], &["error"]),
        (
            &["run", "--resume", "x", "--data", "digits"],
            &["--data", "--resume"],
        ),
        (&["run", "--resume", "x", "--seed", "2"], &["--seed", "--resume"]),
        (&["predict", "--data", "digits"], &["--model"]),
        (&["runn"], &["runn", "hint: ", "'run'"]),
        (&["run", "-q", "-v"], &["--quiet", "--verbose"]),
    ] {
        assert_told(&place.run(args), 2, words);
    }
    assert!(!place.path("daa-runs").exists(), "nothing was begun");
}

#[test]
fn folders_that_cannot_be_used_are_refused() {
    let place = clouds();
    place.write("full/thesis.txt", "years of work");
    assert_told(
        &place.run(&short("full", &[])),
        3,
        &["full", "not empty", "--out"],
    );
    assert_told(&place.run(&["run", "--resume", "full"]), 3, &["full", "run.json"]);
    assert_told(&place.run(&["run", "--resume", "absent"]), 3, &["absent"]);
    assert_eq!(place.read("full/thesis.txt"), b"years of work");
    for out in ["clouds.csv", "clouds.csv/out"] {
        assert_told(&place.run(&short(out, &[])), 3, &["clouds.csv", "name a folder"]);
    }
}

#[test]
fn data_that_cannot_be_read_leave_no_run_folder() {
    let place = Place::new();
    assert_eq!(
        place
            .run(&["run", "--data", "absent.csv", "--device", "cpu"])
            .code,
        Some(3)
    );
    assert!(!place.path("daa-runs").exists(), "nothing was begun");
}

#[test]
fn a_target_that_is_not_finite_is_not_to_be_left_empty() {
    let place = Place::new();
    let rows: String = (0..20).map(|row| format!("{row},{row}.5\n")).collect();
    place.write("infinite.csv", format!("x,y\n{rows}3,inf\n"));
    let more = ["--task", "regression"];
    refused(
        &place,
        "infinite.csv",
        &more,
        3,
        &["row 21", "inf", "not the target"],
    );
}

#[test]
fn names_cannot_move_the_cursor() {
    let ended = Place::new().run(&["run", "--data", "a\u{1b}[2J.csv"]);
    assert_eq!(ended.code, Some(3));
    assert!(!ended.stderr.contains('\u{1b}'), "{ended:?}");
}
