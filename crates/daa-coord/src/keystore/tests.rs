use super::*;
use proptest::prelude::*;

fn key(n: u8) -> AgentKey {
    AgentKey::from_secret(&[n; 32])
}

fn place() -> (tempfile::TempDir, PathBuf) {
    let dir = tempfile::tempdir().expect("a folder");
    let path = dir.path().join("node.key");
    (dir, path)
}

#[test]
fn a_key_survives_its_file() {
    let (_dir, path) = place();
    save(&path, &key(1), Existing::Keep).expect("written");
    assert_eq!(load(&path).expect("read").public(), key(1).public());
    let text = fs::read_to_string(&path).expect("text");
    let documented = include_str!("../keystore.rs");
    for line in text.lines() {
        assert!(documented.contains(&format!("//! {line}\n")), "{line}");
    }
}

#[test]
fn a_file_is_replaced_only_when_asked() {
    let (dir, path) = place();
    save(&path, &key(1), Existing::Keep).expect("written");
    let refused = save(&path, &key(2), Existing::Keep);
    assert!(matches!(refused, Err(KeyFileError::Exists { .. })), "{refused:?}");
    assert_eq!(load(&path).expect("read").public(), key(1).public());
    save(&path, &key(2), Existing::Replace).expect("asked for");
    assert_eq!(load(&path).expect("read").public(), key(2).public());
    assert_eq!(
        fs::read_dir(dir.path()).expect("listed").count(),
        1,
        "nothing temporary is left"
    );
}

#[cfg(unix)]
#[test]
fn only_the_owner_may_have_access() {
    use std::os::unix::fs::PermissionsExt as _;
    let (_dir, path) = place();
    for existing in [Existing::Keep, Existing::Replace] {
        save(&path, &key(1), existing).expect("written");
        let mode = fs::metadata(&path).expect("there").permissions().mode() & 0o777;
        assert_eq!(mode, 0o600);
    }
    for (mode, allowed) in [
        (0o600, true),
        (0o400, true),
        (0o640, false),
        (0o604, false),
        (0o602, false),
        (0o700, false),
    ] {
        fs::set_permissions(&path, fs::Permissions::from_mode(mode)).expect("set");
        let read = load(&path);
        assert_eq!(read.is_ok(), allowed, "{mode:o}: {read:?}");
        if let Err(error) = read {
            let shown = path.display();
            assert_eq!(
                error.to_string(),
                format!("{shown}: mode {mode:04o} lets others at a secret key, allowed is at most 0600")
            );
            assert!(
                error
                    .hint()
                    .expect("a hint")
                    .contains(&format!("chmod 600 {shown}"))
            );
        }
    }
}

#[test]
fn what_is_no_key_file_is_told_without_its_content() {
    let (dir, path) = place();
    assert!(matches!(load(&path), Err(KeyFileError::Io { .. })), "missing");
    assert!(
        matches!(load(dir.path()), Err(KeyFileError::NotAFile { .. })),
        "a folder"
    );
    let good = text_of(&key(7));
    let secret = "07".repeat(32);
    for (text, line) in [
        (String::new(), 1),
        (good.replace("daa.key/1", "daa.key/2"), 1),
        (good.replace("public", "private"), 2),
        (good.replace("secret ", "secret"), 3),
        (good.replace(&secret, &secret[2..]), 3),
        (good.replace(&secret, &secret.replace("7", "x")), 3),
        (format!("{good}\n"), 4),
    ] {
        let error = parse(&path, text.as_bytes()).expect_err("damaged");
        assert!(
            matches!(error, KeyFileError::Malformed { line: at, .. } if at == line),
            "{text}: {error}"
        );
        assert!(!error.to_string().contains("0707"), "{error}");
    }
    let other = good.replace(&secret, &"08".repeat(32));
    assert!(matches!(
        parse(&path, other.as_bytes()),
        Err(KeyFileError::Mismatch { .. })
    ));
    assert!(parse(&path, b"\xff\xfe").is_err());
}

#[test]
fn too_large_files_are_not_read() {
    let (_dir, path) = place();
    let mut text = text_of(&key(1));
    text.push_str(&"\n".repeat(600));
    save(&path, &key(1), Existing::Keep).expect("written");
    // Written over in place: the mode stays.
    fs::write(&path, text).expect("written");
    assert!(matches!(load(&path), Err(KeyFileError::TooLarge { .. })));
}

#[test]
fn two_new_keys_differ() {
    let (first, second) = (generate().expect("random"), generate().expect("random"));
    assert_ne!(first.public(), second.public());
    first.public().check().expect("usable");
}

proptest! {
    #[test]
    fn any_damage_is_found_or_harmless(at in 0_usize..154, byte: u8) {
        let path = Path::new("k");
        let mut bytes = text_of(&key(3)).into_bytes();
        prop_assert_eq!(bytes.len(), 154);
        bytes[at] = byte;
        if let Ok(read) = parse(path, &bytes) {
            prop_assert_eq!(read.public(), key(3).public());
        }
    }

    #[test]
    fn any_bytes_parse_or_fail_without_harm(bytes in prop::collection::vec(any::<u8>(), 0..300)) {
        prop_assert!(parse(Path::new("k"), &bytes).is_err());
    }
}
