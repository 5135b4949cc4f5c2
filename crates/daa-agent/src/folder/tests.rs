use super::lines::{BLOCK, MAX_LINE, MAX_LINES};
use super::*;
use crate::events::EventKind;
use daa_base::TrialId;
use std::path::PathBuf;

fn event(at_ms: u64) -> Event {
    let kind = EventKind::StopRequested {
        reason: "a test".to_owned(),
    };
    Event {
        at_ms,
        time: "2026-01-01T00:00:00Z".to_owned(),
        message: kind.to_string(),
        kind,
    }
}

#[test]
fn a_folder_with_something_in_it_is_not_written_over() {
    let dir = tempfile::tempdir().expect("a folder");
    fs::write(dir.path().join("thesis.txt"), "years of work").expect("written");
    assert!(matches!(
        RunFolder::create(dir.path()),
        Err(FolderError::NotEmpty { .. })
    ));
    assert!(matches!(
        RunFolder::open(dir.path()),
        Err(FolderError::NotARun { .. })
    ));
}

#[test]
fn a_run_that_was_killed_before_it_wrote_anything_can_begin_again() {
    let dir = tempfile::tempdir().expect("a folder");
    drop(RunFolder::create(dir.path()).expect("made"));
    let folder = RunFolder::create(dir.path()).expect("nothing was written yet");
    folder.append(&event(1)).expect("appended");
    drop(folder);
    assert!(matches!(
        RunFolder::create(dir.path()),
        Err(FolderError::NotEmpty { .. })
    ));
}

#[test]
fn a_second_process_is_kept_out() {
    let dir = tempfile::tempdir().expect("a folder");
    let folder = RunFolder::create(&dir.path().join("run")).expect("made");
    folder.write_json("run.json", &1).expect("written");
    assert!(matches!(
        RunFolder::open(folder.path()),
        Err(FolderError::InUse { .. })
    ));
    let path = folder.path().to_owned();
    drop(folder);
    RunFolder::open(&path).expect("free again");
}

#[test]
fn a_folder_is_free_although_a_child_still_holds_a_copy_of_the_lock() {
    let dir = tempfile::tempdir().expect("a folder");
    let folder = RunFolder::create(&dir.path().join("run")).expect("made");
    folder.write_json("run.json", &1).expect("written");
    let (path, inherited) = (folder.path().to_owned(), folder.lock.try_clone().expect("a copy"));
    drop(folder);
    RunFolder::open(&path).expect("free again");
    drop(inherited);
}

/// A run folder in `dir` that was closed after two events, and the file of them.
fn ended_after_two_events(dir: &tempfile::TempDir) -> (PathBuf, PathBuf) {
    let root = dir.path().join("run");
    let folder = RunFolder::create(&root).expect("made");
    folder.write_json("run.json", &1).expect("written");
    folder.append(&event(1)).expect("appended");
    folder.append(&event(2)).expect("appended");
    let path = root.join("events.jsonl");
    (root, path)
}

#[test]
fn a_line_that_a_crash_cut_off_is_dropped() {
    let dir = tempfile::tempdir().expect("a folder");
    let (root, path) = ended_after_two_events(&dir);
    let bytes = fs::read(&path).expect("read");
    for cut in 0..bytes.len() {
        fs::write(&path, &bytes[..cut]).expect("cut");
        let folder = RunFolder::open(&root).expect("opens");
        let before = folder.events().expect("whole lines only").len();
        assert_eq!(
            before,
            bytes[..cut].iter().filter(|&&b| b == b'\n').count(),
            "cut at {cut}"
        );
        folder.append(&event(3)).expect("appended");
        assert_eq!(folder.events().expect("still whole").len(), before + 1);
    }
}

#[test]
fn every_piece_of_work_has_its_own_place() {
    let dir = tempfile::tempdir().expect("a folder");
    let folder = RunFolder::create(&dir.path().join("run")).expect("made");
    let places: Vec<_> = [Work::Trial(TrialId(0)), Work::Trial(TrialId(1)), Work::Final]
        .into_iter()
        .map(|work| folder.work_dir(work).expect("made"))
        .collect();
    assert!(places.iter().all(|place| place.is_dir()) && places[0] != places[1] && places[1] != places[2]);
}

#[test]
fn damaged_lines_are_passed_over_and_a_tail_of_zeros_is_dropped() {
    let dir = tempfile::tempdir().expect("a folder");
    let (root, path) = ended_after_two_events(&dir);
    let whole = fs::read_to_string(&path).expect("read");
    let (first, second) = whole.split_once('\n').expect("two lines");
    let far = first.replace("\"at_ms\":1,", "\"at_ms\":18446744073709551615,");
    assert_ne!(far, first);
    let long = format!("{}{first}", " ".repeat(MAX_LINE + 1));
    let zeros = "\0".repeat(3 * BLOCK);
    for damage in ["", "{\"at_ms\":", "\0\0\0", "\u{fffd}", "7", &far, &long, &zeros] {
        fs::write(&path, format!("{first}\n{damage}\n{second}{zeros}")).expect("written");
        let folder = RunFolder::open(&root).expect("opens");
        folder.append(&event(3)).expect("appended");
        let times: Vec<u64> = folder
            .events()
            .expect("read")
            .iter()
            .map(|event| event.at_ms)
            .collect();
        assert_eq!(times, [1, 2, 3], "{:?}", damage.get(..9));
    }
    fs::write(&path, [b"\xff\xfe\n", whole.as_bytes()].concat()).expect("written");
    let folder = RunFolder::open(&root).expect("opens");
    assert_eq!(
        folder.events().expect("read").len(),
        2,
        "what is no UTF-8 is no event"
    );
}

#[test]
fn a_file_of_lines_without_bound_is_refused_before_it_is_read() {
    let dir = tempfile::tempdir().expect("a folder");
    let folder = RunFolder::create(&dir.path().join("run")).expect("made");
    // A file with a hole: it takes no space.
    let file = File::create(folder.path().join("metrics.jsonl")).expect("made");
    file.set_len(MAX_LINES + 1).expect("grown");
    let error = folder.events().expect_err("too large");
    assert!(matches!(error, FolderError::TooLarge { found, .. } if found == MAX_LINES + 1));
}

#[test]
fn the_last_whole_line_is_found_wherever_the_blocks_are_cut() {
    let dir = tempfile::tempdir().expect("a folder");
    let path = dir.path().join("lines");
    for line_end in [1, BLOCK - 1, BLOCK, BLOCK + 1, 2 * BLOCK] {
        for tail in [0, 1, BLOCK - 1, BLOCK, BLOCK + 1] {
            let mut bytes = vec![b'x'; line_end - 1];
            bytes.push(b'\n');
            bytes.resize(line_end + tail, 0);
            fs::write(&path, &bytes).expect("written");
            let length = open_lines(&path).expect("opens").metadata().expect("there").len();
            assert_eq!(length, line_end as u64, "{tail} bytes behind the line");
        }
    }
    fs::write(&path, vec![0; 2 * BLOCK]).expect("written");
    assert_eq!(
        open_lines(&path).expect("opens").metadata().expect("there").len(),
        0
    );
}

#[cfg(unix)]
#[test]
fn others_may_read_what_they_may_read_of_any_new_file() {
    use std::os::unix::fs::PermissionsExt as _;
    let dir = tempfile::tempdir().expect("a folder");
    let (usual, ours) = (dir.path().join("usual"), dir.path().join("ours"));
    fs::write(&usual, "x").expect("written");
    write_json(&ours, &1).expect("written");
    let mode = |path: &Path| fs::metadata(path).expect("there").permissions().mode();
    assert_eq!(mode(&ours), mode(&usual));
}
