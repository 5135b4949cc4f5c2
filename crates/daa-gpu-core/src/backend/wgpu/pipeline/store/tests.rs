use super::*;
use std::io::{BufRead as _, BufReader};
use std::process::{Command, Stdio};

fn store(folder: &Path) -> Store {
    Store::new(folder, Identity::new("card"))
}

fn keys(count: u8) -> BTreeSet<Digest> {
    (0..count).map(|seed| Digest([seed; 32])).collect()
}

#[test]
fn the_last_save_is_found_again_and_only_by_the_same_adapter() {
    let dir = tempfile::tempdir().expect("a folder");
    let folder = dir.path().join("new/cache");
    let store = store(&folder);
    assert_eq!(store.load(), Ok(None));
    for round in 1..4_u8 {
        assert_eq!(
            store.save(&keys(round), &[round; 100]).expect("written"),
            Saved::Written
        );
        let read = store.load().expect("sound").expect("there");
        assert_eq!((read.keys(), read.data()), (&keys(round), &[round; 100][..]));
    }
    assert_eq!(Store::new(&folder, Identity::new("other")).load(), Ok(None));
    // Somebody put this adapter's file under the other one's name.
    let other = Store::new(&folder, Identity::new("other"));
    fs::copy(store.path("bin"), other.path("bin")).expect("copied");
    assert_eq!(other.load(), Err(Refused::Foreign));
    assert_eq!(other.save(&keys(1), b"own").expect("replaced"), Saved::Written);
    assert!(other.load().expect("sound").is_some());
}

#[test]
fn a_second_writer_steps_back() {
    let dir = tempfile::tempdir().expect("a folder");
    let store = store(dir.path());
    let lock = private()
        .write(true)
        .create(true)
        .truncate(false)
        .open(store.path("lock"))
        .expect("opened");
    lock.lock().expect("nobody else has it");
    assert_eq!(store.save(&keys(1), b"data").expect("no error"), Saved::Busy);
    assert_eq!(store.load(), Ok(None));
    drop(lock);
    assert_eq!(store.save(&keys(1), b"data").expect("written"), Saved::Written);
}

#[test]
fn too_much_is_not_saved_and_ends_the_old_file() {
    let dir = tempfile::tempdir().expect("a folder");
    let store = store(dir.path());
    store.save(&keys(1), b"data").expect("written");
    let data = vec![0; usize::try_from(MAX_FILE).expect("fits")];
    assert_eq!(store.save(&keys(1), &data).expect("no error"), Saved::TooLarge);
    assert_eq!(store.load(), Ok(None));
    let file = File::create(store.path("bin")).expect("made");
    file.set_len(MAX_FILE + 1).expect("sparse");
    let bytes = MAX_FILE + 1;
    assert_eq!(store.load(), Err(Refused::TooLarge { bytes }));
}

#[test]
fn what_cannot_be_read_or_written_is_an_error_and_no_panic() {
    let dir = tempfile::tempdir().expect("a folder");
    let store = store(dir.path());
    fs::create_dir(store.path("bin")).expect("a folder in the way of the file");
    assert!(store.load().is_err());
    assert!(store.save(&keys(1), b"data").is_err());
    let file = dir.path().join("file");
    fs::write(&file, "").expect("written");
    let store = Store::new(&file, Identity::new("card"));
    assert!(store.save(&keys(1), b"data").is_err(), "the folder is a file");
    assert!(store.load().is_err());
}

#[cfg(unix)]
#[test]
fn a_file_that_others_may_write_is_not_used() {
    use std::os::unix::fs::PermissionsExt as _;
    let dir = tempfile::tempdir().expect("a folder");
    let store = store(dir.path());
    store.save(&keys(1), b"data").expect("written");
    let set = |path: &Path, mode| {
        fs::set_permissions(path, fs::Permissions::from_mode(mode)).expect("the owner may");
    };
    set(&store.path("bin"), 0o666);
    assert_eq!(store.load(), Err(Refused::Exposed));
    set(&store.path("bin"), 0o600);
    set(dir.path(), 0o777);
    assert_eq!(store.load(), Err(Refused::Exposed));
    set(dir.path(), 0o755);
    assert!(store.load().expect("sound").is_some());
}

/// Names the folder that the child process below writes to.
const CHILD: &str = "DAA_TEST_PIPELINE_WRITER";

/// What round `round` of the child saves; every byte tells the round.
fn content(round: u8) -> (BTreeSet<Digest>, Vec<u8>) {
    (keys(round), vec![round; 3 << 20])
}

/// Not a test of its own: with [`CHILD`] set it saves until it is killed.
#[test]
#[expect(clippy::print_stdout, reason = "the parent reads it")]
fn a_writer_that_is_killed() {
    let Some(folder) = std::env::var_os(CHILD) else {
        return;
    };
    let store = store(Path::new(&folder));
    for round in (1..=200_u8).cycle() {
        let (keys, data) = content(round);
        println!("\nsaving {round}");
        store.save(&keys, &data).expect("written");
    }
}

#[cfg(unix)]
#[test]
fn a_kill_during_a_save_leaves_a_whole_file() {
    let dir = tempfile::tempdir().expect("a folder");
    let store = store(dir.path());
    let (mut torn, mut kills) = (0, 0);
    // Until it was caught in the middle of a file a few times, which mostly takes as many kills.
    while torn < 3 {
        kills += 1;
        assert!(kills <= 200, "never caught in the middle of a file");
        torn += usize::from(kill_in_the_middle(&store, dir.path()));
        let read = store.load().expect("whole").expect("an earlier save had ended");
        let (keys, data) = content(read.data()[0]);
        assert_eq!((read.keys(), read.data()), (&keys, &data[..]));
    }
    assert_eq!(
        store
            .save(&keys(1), b"after")
            .expect("the lock of the dead is free"),
        Saved::Written
    );
    assert_eq!(store.load().expect("sound").expect("there").data(), b"after");
    let left = fs::read_dir(dir.path()).expect("readable").count();
    assert!(left <= 3, "nothing piles up: {left} files");
}

/// Lets a child write and kills it, if possible between the first and the last byte of a file. Tells whether.
#[cfg(unix)]
fn kill_in_the_middle(store: &Store, folder: &Path) -> bool {
    let name = "backend::wgpu::pipeline::store::tests::a_writer_that_is_killed";
    let mut child = Command::new(std::env::current_exe().expect("this test"))
        .args(["--exact", name, "--nocapture"])
        .env(CHILD, folder)
        .stdout(Stdio::piped())
        .stderr(Stdio::null())
        .spawn()
        .expect("started");
    let output = BufReader::new(child.stdout.take().expect("piped"));
    // Read from until the end: a child whose lines nobody takes would end by itself.
    let mut lines = output.lines().map(|line| line.expect("text"));
    // The second line says that the first file is whole.
    let begun = lines.by_ref().filter(|line| line.starts_with("saving"));
    assert_eq!(begun.take(2).count(), 2);
    let written = || fs::metadata(store.path("new")).map_or(0, |meta| meta.len());
    let _ = (0..1_000_000).find(|_| (1..3 << 20).contains(&written()));
    child.kill().expect("killed");
    child.wait().expect("ended");
    drop(lines);
    (1..3 << 20).contains(&written())
}
