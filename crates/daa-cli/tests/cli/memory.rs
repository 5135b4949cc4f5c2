//! `daa memory`: traces from files.

use crate::support::{Place, clouds, short};
use daa_gpu_core::memory::trace::{TraceBuilder, Usage};
use serde_json::Value;
use std::fs;
use std::path::{Path, PathBuf};

/// Two blocks that overlap and one that comes after both.
const ROWS: &str = "size,id,lower,upper\n1000,a,0,10\n3000,b,5,20\n500,c,20,30\n";

fn replay(place: &Place, more: &[&str]) -> Value {
    place.json(&[&["memory", "replay", "trace", "-o", "json"], more].concat())
}

/// The six published lifetimes whose best plan is known.
fn published() -> [(&'static str, PathBuf); 6] {
    let root = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../daa-gpu-core/testdata/minimalloc");
    ["A", "B", "C", "D", "F", "H"].map(|name| (name, root.join(format!("{name}.1048576.csv"))))
}

/// Which of the gaps that are large enough is taken.
#[derive(Clone, Copy)]
enum Fit {
    First,
    Best,
}

/// How high an endless arena is filled, the plainest way.
fn height(path: &Path, fit: Fit) -> u64 {
    let text = fs::read_to_string(path).expect("readable");
    let rows: Vec<[u64; 4]> = text
        .lines()
        .skip(1)
        .map(|line| {
            let mut fields = line.split(',').map(|field| field.parse().expect("a number"));
            std::array::from_fn(|_| fields.next().expect("four fields"))
        })
        .collect();
    let mut order: Vec<usize> = (0..rows.len()).collect();
    order.sort_by_key(|&row| rows[row][1]);
    // Offset, size and end of life of what lives, by offset.
    let mut live: Vec<(u64, u64, u64)> = Vec::new();
    let mut highest = 0;
    for row in order {
        let [_, lower, upper, size] = rows[row];
        live.retain(|&(_, _, end)| end > lower);
        let (mut last, mut gaps) = (0, Vec::new());
        for &(offset, size, _) in &live {
            gaps.push((offset - last, last));
            last = offset + size;
        }
        gaps.retain(|&(gap, _)| gap >= size);
        let gap = match fit {
            Fit::First => gaps.first(),
            Fit::Best => gaps.iter().min(),
        };
        let offset = gap.map_or(last, |&(_, offset)| offset);
        live.push((offset, size, upper));
        live.sort_unstable();
        highest = highest.max(offset + size);
    }
    highest
}

#[test]
fn a_table_is_replayed_and_planned() {
    let place = Place::new();
    place.write("trace", ROWS);
    let report = replay(&place, &["--one-page", "--align", "1"]);
    assert_eq!(report["schema"], "daa.memory.replay/1");
    for (key, value) in [
        ("operations", 6),
        ("allocations", 3),
        ("lost", 0),
        ("refusals", 0),
        ("tenants", 1),
        ("alignment", 1),
        ("capacity_bytes", 1_u64 << 31),
        ("peak_live_bytes", 4000),
        ("peak_charged_bytes", 4096),
        ("peak_reserved_bytes", 4000),
        ("pages_created", 1),
        ("moved_blocks", 0),
    ] {
        assert_eq!(report[key], value, "{key} in {report}");
    }
    assert_eq!(report["against"], "one_page");
    assert_eq!(report["fragmentation"]["internal"], 0.0);
    assert!(
        report["ns_per_operation"].as_f64().is_some_and(|ns| ns > 0.0),
        "{report}"
    );
    assert!(
        report["timed_operations"]
            .as_u64()
            .is_some_and(|count| count >= 1 << 20)
    );
    let tiers = report["tiers"].as_array().expect("a list");
    let names: Vec<&str> = tiers.iter().filter_map(|tier| tier["tier"].as_str()).collect();
    assert_eq!(names, ["micro", "small", "medium", "large", "xlarge"]);
    assert_eq!(
        (&tiers[4]["hit_rate"], &tiers[1]["misses"]),
        (&Value::Null, &0.into())
    );
    let plan = place.json(&["memory", "plan", "trace", "-o", "json"]);
    assert_eq!(plan["schema"], "daa.memory.plan/1");
    assert_eq!(
        (&plan["peak_bytes"], &plan["lower_bound_bytes"]),
        (&4000.into(), &4000.into())
    );
    assert_eq!(plan["allocations"], 3);
    assert!(plan["seconds"].as_f64().is_some_and(|seconds| seconds >= 0.0));
    let aligned = place.json(&["memory", "plan", "trace", "--align", "1024", "-o", "json"]);
    assert_eq!(aligned["peak_bytes"], 4096);
    let text = place.run(&["memory", "replay", "trace"]);
    assert_eq!((text.code, text.stderr.as_str()), (Some(0), ""));
    assert!(
        text.stdout.contains("peak live") && text.stdout.contains("(4000 B)"),
        "{text:?}"
    );
    let text = place.run(&["memory", "plan", "trace"]);
    assert!(
        text.stdout.contains("lower bound") && text.stdout.contains("(4000 B)"),
        "{text:?}"
    );
}

#[test]
fn a_recorded_trace_is_read_and_a_cut_one_says_so() {
    let place = Place::new();
    let mut builder = TraceBuilder::new();
    let tenant = builder.tenant("a").expect("valid");
    for tick in 0..40 {
        builder
            .allocate(tick, tenant, Usage::ReadWrite, 2 << 20)
            .expect("valid");
    }
    builder.lost(3);
    place.write("trace", builder.finish().encode());
    let report = replay(&place, &["--capacity", "64MiB", "--heap"]);
    assert_eq!(report["against"], "heap");
    assert_eq!(
        (&report["lost"], &report["peak_live_bytes"]),
        (&3.into(), &(64_u64 << 20).into())
    );
    assert_eq!(report["refusals"], 8);
    let ended = place.run(&["memory", "replay", "trace"]);
    assert!(
        ended
            .stderr
            .starts_with("warning: the trace is cut: 3 allocations"),
        "{ended:?}"
    );
    let plan = place.json(&["memory", "plan", "trace", "-o", "json"]);
    assert_eq!(plan["peak_bytes"], 80_u64 << 20);
}

#[test]
fn compaction_moves_what_is_in_the_way() {
    let place = Place::new();
    let mut builder = TraceBuilder::new();
    let tenant = builder.tenant("a").expect("valid");
    let blocks: Vec<u32> = (0..64)
        .map(|_| {
            builder
                .allocate(0, tenant, Usage::ReadWrite, 1 << 20)
                .expect("valid")
        })
        .collect();
    for &id in blocks.iter().step_by(2) {
        builder.free(1, id).expect("live");
    }
    builder
        .allocate(2, tenant, Usage::ReadWrite, 24 << 20)
        .expect("valid");
    place.write("trace", builder.finish().encode());
    let refused = replay(&place, &["--capacity", "64MiB", "--heap"]);
    let served = replay(&place, &["--capacity", "64MiB", "--heap", "--compact"]);
    assert_eq!(
        (&refused["refusals"], &refused["moved_blocks"]),
        (&1.into(), &0.into())
    );
    assert_eq!(served["refusals"], 0, "{served}");
    assert!(
        served["moved_blocks"].as_u64().is_some_and(|moved| moved > 0),
        "{served}"
    );
}

#[test]
fn what_is_no_trace_is_told_with_its_place() {
    let place = Place::new();
    place.write("bad.csv", "id,lower,upper,size\na,0,1,1\nb,5,5,1\n");
    place.write("cut.trace", &b"\x89DAATR\r\n\x01"[..]);
    fs::create_dir(place.path("folder")).expect("made");
    for (file, words) in [
        (
            "bad.csv",
            "error: bad.csv: line 3: `upper` is 5, it must be more than `lower`, 5",
        ),
        (
            "cut.trace",
            "error: cut.trace: byte 9: the trace ends within the number of lost allocations",
        ),
        ("none.csv", "error: none.csv: "),
        ("folder", "error: folder: is a folder"),
    ] {
        for verb in ["replay", "plan"] {
            let ended = place.run(&["memory", verb, file, "-o", "json"]);
            assert_eq!((ended.code, ended.stdout.as_str()), (Some(3), ""), "{ended:?}");
            assert!(ended.stderr.starts_with(words), "{ended:?}");
            assert!(ended.stderr.contains("\nhint: "), "{ended:?}");
        }
    }
    for flags in [
        ["--heap", "--no-pages"],
        ["--one-page", "--no-pages"],
        ["--one-page", "--compact"],
    ] {
        let ended = place.run(&[&["memory", "replay", "bad.csv"], &flags[..]].concat());
        assert_eq!(ended.code, Some(2), "{ended:?}");
    }
    for (flag, value) in [("--align", "3"), ("--align", "131072"), ("--capacity", "7")] {
        let ended = place.run(&["memory", "replay", "bad.csv", flag, value]);
        assert_eq!(ended.code, Some(2), "{ended:?}");
        assert!(ended.stderr.contains("`daa help memory replay`"), "{ended:?}");
    }
}

/// Their capacity is 1,048,576 bytes: the planner reaches it on every file, and goes below where the lifetimes allow.
#[test]
fn published_lifetimes_are_planned_into_their_capacity() {
    for (name, path) in published() {
        let path = path.to_str().expect("UTF-8");
        let plan = Place::new().json(&["memory", "plan", path, "-o", "json"]);
        let peak = plan["peak_bytes"].as_u64().expect("a count");
        let expected = match name {
            "C" => 1_039_360,
            "D" => 1_031_168,
            _ => 1_048_576,
        };
        assert_eq!(peak, expected, "{name}");
        assert!(
            plan["lower_bound_bytes"]
                .as_u64()
                .is_some_and(|bound| bound <= peak),
            "{plan}"
        );
    }
}

/// Online, in one page without rounding: no higher than the better of first fit and best fit, on every file.
#[test]
fn published_lifetimes_are_replayed_as_low_as_the_better_of_two_fits() {
    let place = Place::new();
    for (name, path) in published() {
        let (first, best) = (height(&path, Fit::First), height(&path, Fit::Best));
        let path = path.to_str().expect("UTF-8");
        let args = [
            "memory",
            "replay",
            path,
            "--one-page",
            "--align",
            "1",
            "-o",
            "json",
        ];
        let report = place.json(&args);
        let peak = report["peak_reserved_bytes"].as_u64().expect("a count");
        assert!(
            peak <= first.min(best),
            "{name}: {peak}, first fit {first}, best fit {best}"
        );
        assert_eq!(report["fragmentation"]["internal"], 0.0);
    }
}

/// One agent, so one tenant at a time: the trace's highest charge is the largest plan, to the byte.
#[test]
fn a_run_is_recorded_and_replayed() {
    let place = clouds();
    let flags = "run --data clouds.csv --device cpu --epochs-budget 24 --agents 1 --out out -o json";
    let mut args: Vec<&str> = flags.split(' ').collect();
    args.extend(["--record-memory", "trace"]);
    let run = place.run(&args);
    assert_eq!(run.code, Some(0), "{run:?}");
    assert!(
        run.stderr
            .contains("look into them with: daa memory replay trace"),
        "{run:?}"
    );
    let run: Value = serde_json::from_str(&run.stdout).expect("one object");
    let peaks = run["trials"]
        .as_array()
        .expect("a list")
        .iter()
        .chain([&run["best"]]);
    let largest = peaks.filter_map(|trial| trial["plan_peak_bytes"].as_u64()).max();
    let report = replay(&place, &["--no-pages"]);
    assert_eq!(
        (&report["against"], &report["alignment"]),
        (&"pool_without_pages".into(), &Value::Null)
    );
    assert_eq!(report["peak_charged_bytes"].as_u64(), largest, "{report}");
    assert_eq!((&report["lost"], &report["refusals"]), (&0.into(), &0.into()));
    let count = |key: &str| report[key].as_u64().expect("a count");
    assert!(
        count("allocations") > 0 && count("operations") == 2 * count("allocations"),
        "{report}"
    );
    assert!(count("peak_live_bytes") <= count("peak_charged_bytes"));
    assert!(
        report["hit_rate"]
            .as_f64()
            .is_some_and(|rate| (0.0..1.0).contains(&rate)),
        "{report}"
    );
    assert!(count("peak_charged_bytes") <= count("peak_reserved_bytes"));
    let pages = replay(&place, &[]);
    assert_eq!(
        (&pages["against"], &pages["alignment"]),
        (&"pool".into(), &256.into())
    );
    assert_eq!(pages["peak_charged_bytes"], report["peak_charged_bytes"]);
    assert!(
        pages["peak_reserved_bytes"].as_u64() >= pages["peak_charged_bytes"].as_u64(),
        "{pages}"
    );
    let plan = place.json(&["memory", "plan", "trace", "-o", "json"]);
    assert_eq!(plan["lower_bound_bytes"], report["peak_live_bytes"]);
    let folder = place.run(&short("out2", &["--record-memory", "out"]));
    assert_eq!(folder.code, Some(3), "{folder:?}");
    assert!(
        folder
            .stderr
            .starts_with("error: --record-memory out: is a folder"),
        "{folder:?}"
    );
    let nowhere = place.run(&short("out2", &["--record-memory", "none/trace"]));
    assert_eq!(nowhere.code, Some(3), "{nowhere:?}");
    assert!(!place.path("out2").exists(), "refused before anything is done");
}

/// 8,192 times 1 PiB is 2^63, one byte too many.
#[test]
fn sums_beyond_the_range_are_refused_with_row_value_and_range() {
    let place = Place::new();
    let rows = (0..8192).map(|row| format!("r{row},{row},{},{}\n", row + 1, 1_u64 << 50));
    let text: String = std::iter::once("id,lower,upper,size\n".to_owned())
        .chain(rows)
        .collect();
    place.write("large.csv", text);
    let ended = place.run(&["memory", "plan", "large.csv"]);
    assert_eq!((ended.code, ended.stdout.as_str()), (Some(3), ""), "{ended:?}");
    let expected = "error: large.csv: row 8192, id `r8191`: `size` is 1125899906842624, allowed are 1 to 1125899906842623\n";
    assert!(ended.stderr.starts_with(expected), "{ended:?}");
    assert!(ended.stderr.contains("\nhint: all sizes"), "{ended:?}");
}

/// As many rows as may be planned, most of them together: the search is ended by effort or time, and says so.
#[test]
fn the_largest_table_is_planned_within_the_time_promised() {
    let place = Place::new();
    let rows = (0_u64..65_536).map(|row| {
        let lower = row * 2_654_435_761 % 1_000_003;
        let upper = lower + 1 + row * 40_503 % 900_001;
        format!("{row},{lower},{upper},{}\n", 1 + row * 7_919 % (1 << 20))
    });
    let text: String = std::iter::once("id,lower,upper,size\n".to_owned())
        .chain(rows)
        .collect();
    place.write("many.csv", &text);
    let plan = place.json(&["memory", "plan", "many.csv", "-o", "json"]);
    let count = |key: &str| plan[key].as_u64().expect("a count");
    assert!(count("lower_bound_bytes") <= count("peak_bytes"), "{plan}");
    assert!(
        count("peak_bytes") < count("lower_bound_bytes") * 2,
        "better than nothing: {plan}"
    );
    assert!(
        ["effort", "time"].contains(&plan["ended"].as_str().expect("a text")),
        "{plan}"
    );
    assert!(
        plan["seconds"].as_f64().is_some_and(|seconds| seconds <= 10.0),
        "{plan}"
    );
    place.write("more.csv", text + "65536,0,1,1\n");
    let ended = place.run(&["memory", "plan", "more.csv"]);
    assert_eq!(ended.code, Some(3), "{ended:?}");
    assert!(
        ended.stderr.contains("the trace has 65537 allocations"),
        "{ended:?}"
    );
}
