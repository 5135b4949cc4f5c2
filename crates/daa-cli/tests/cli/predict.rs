//! A model that a run left, applied to data.

use crate::support::{Ended, Place, clouds, short, two_clouds};
use std::fs;

fn trained() -> Place {
    let place = clouds();
    let ended = place.run(&short("out", &[]));
    assert_eq!(ended.code, Some(0), "{ended:?}");
    place
}

fn refused(ended: &Ended, words: &[&str]) {
    assert_eq!((ended.code, ended.stdout.as_str()), (Some(3), ""), "{ended:?}");
    assert_eq!(
        ended
            .stderr
            .lines()
            .filter(|line| line.starts_with("error: "))
            .count(),
        1,
        "{ended:?}"
    );
    assert_eq!(
        ended
            .stderr
            .lines()
            .filter(|line| line.starts_with("hint: "))
            .count(),
        1,
        "{ended:?}"
    );
    for word in words {
        assert!(ended.stderr.contains(word), "{word} is missing in {ended:?}");
    }
}

#[test]
fn predictions_are_scored_where_the_target_is_known() {
    let place = trained();
    let flags = [
        "predict",
        "--model",
        "out",
        "--data",
        "clouds.csv",
        "--device",
        "cpu",
        "--out",
        "p.csv",
    ];
    let report = place.json(&[&flags[..], &["-o", "json", "--limit", "7"]].concat());
    assert_eq!(
        (&report["schema"], &report["task"]),
        (&"daa.predict/1".into(), &"classification".into())
    );
    assert_eq!(
        (&report["target"], &report["backend"]),
        (&"class".into(), &"host".into())
    );
    assert_eq!(report["classes"], serde_json::json!(["left", "right"]));
    assert_eq!(report["data"]["rows"], 200);
    let accuracy = report["accuracy"].as_f64().expect("measured");
    assert!((0.95..=1.0).contains(&accuracy), "{accuracy}");
    let predictions = report["predictions"].as_array().expect("a list");
    assert_eq!(
        (predictions.len(), &report["predictions_left_out"]),
        (7, &193.into())
    );
    for (index, row) in predictions.iter().enumerate() {
        assert_eq!(row["row"], index + 1);
        assert!(
            row["prediction"] == "left" || row["prediction"] == "right",
            "{row}"
        );
        assert!(
            row["probability"]
                .as_f64()
                .is_some_and(|p| (0.5..=1.0).contains(&p)),
            "{row}"
        );
    }
    let file = String::from_utf8(place.read("p.csv")).expect("text");
    let mut lines = file.lines();
    assert_eq!(lines.next(), Some("row,prediction,probability,target"));
    let rows: Vec<Vec<&str>> = lines.map(|line| line.split(',').collect()).collect();
    assert_eq!(rows.len(), 200);
    let hits = rows.iter().filter(|row| row[1] == row[3]).count();
    assert_eq!(
        hits as f64 / 200.0,
        accuracy,
        "the file and the score tell the same"
    );
}

#[test]
fn data_without_the_target_are_predicted_all_the_same() {
    let place = trained();
    place.write("new.csv", "y,x\n0.1,-1.2\n-0.2,1.1\n0.3,\n");
    let ended = place.run(&[
        "predict", "--model", "out", "--data", "new.csv", "--device", "cpu",
    ]);
    refused(&ended, &["new.csv", "\"colour\""]);
    place.write("new.csv", "y,x,colour\n0.1,-1.2,red\n-0.2,1.1,green\n");
    let ended = place.run(&[
        "predict", "--model", "out", "--data", "new.csv", "--device", "cpu",
    ]);
    assert_eq!(ended.code, Some(0), "{ended:?}");
    let answers: Vec<&str> = ended
        .stdout
        .lines()
        .skip(1)
        .take(2)
        .filter_map(|line| line.split_whitespace().nth(1))
        .collect();
    assert_eq!(answers, ["left", "right"], "{ended:?}");
    assert!(ended.stdout.contains("no target to compare with"), "{ended:?}");
}

#[test]
fn data_of_another_shape_and_damaged_models_are_refused() {
    let place = trained();
    let predict = |model, data| place.run(&["predict", "--model", model, "--data", data, "--device", "cpu"]);
    refused(
        &predict("out", "digits"),
        &["the model takes", "the data is images of 1×8×8"],
    );
    place.write("other.csv", "a,b\n1,2\n");
    refused(&predict("out", "other.csv"), &["\"x\"", "\"y\"", "\"colour\""]);
    place.write("words.csv", "x,y,colour\nhigh,1,red\n");
    refused(&predict("out", "words.csv"), &["row 1", "high"]);
    refused(&predict("absent", "clouds.csv"), &["absent"]);

    let tensors = place.read("out/model.safetensors");
    let description = place.read("out/model.json");
    for cut in [0, 4, tensors.len() / 2, tensors.len() - 1] {
        place.write("cut/model.json", &description);
        place.write("cut/model.safetensors", &tensors[..cut]);
        refused(&predict("cut", "clouds.csv"), &["model.safetensors"]);
    }
    let mut changed = tensors.clone();
    *changed.last_mut().expect("not empty") ^= 1;
    place.write("cut/model.safetensors", &changed);
    refused(&predict("cut", "clouds.csv"), &["model.safetensors"]);
    place.write("cut/model.json", &description[..description.len() / 2]);
    refused(&predict("cut", "clouds.csv"), &["model.json"]);
    fs::remove_file(place.path("cut/model.json")).expect("removed");
    place.write("cut/run.json", "{}");
    refused(
        &predict("cut", "clouds.csv"),
        &["no model yet", "daa run --resume cut"],
    );
}

#[test]
fn a_limit_below_what_the_model_takes_is_told_in_bytes() {
    let place = trained();
    let flags = [
        "predict",
        "--model",
        "out",
        "--data",
        "clouds.csv",
        "--device",
        "cpu",
    ];
    let ended = place.run(&[&flags[..], &["--memory-limit", "2KiB"]].concat());
    refused(&ended, &["2.0 KiB (2048 bytes)", "--memory-limit "]);
    let wanted = ended.stderr.trim_end().rsplit(' ').next().expect("a number");
    let enough = place.run(&[&flags[..], &["--memory-limit", wanted]].concat());
    assert_eq!(enough.code, Some(0), "{enough:?}");
    let one_less = (wanted.parse::<u64>().expect("bytes") - 1).to_string();
    refused(
        &place.run(&[&flags[..], &["--memory-limit", &one_less]].concat()),
        &["--memory-limit"],
    );
}

#[test]
fn the_data_are_not_replaced_by_their_predictions() {
    let place = trained();
    let ended = place.run(&[
        "predict",
        "--model",
        "out",
        "--data",
        "clouds.csv",
        "--out",
        "clouds.csv",
    ]);
    assert_eq!(ended.code, Some(2), "{ended:?}");
    assert_eq!(place.read("clouds.csv"), two_clouds().as_bytes());
    let ended = place.run(&[
        "predict",
        "--model",
        "out",
        "--data",
        "clouds.csv",
        "--out",
        "no/folder.csv",
    ]);
    refused(&ended, &["no/folder.csv"]);
}
