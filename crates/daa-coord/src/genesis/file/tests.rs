use super::*;
use crate::keys::AgentKey;
use proptest::prelude::*;

fn public(n: u8) -> PublicKey {
    AgentKey::from_secret(&[n; 32]).public()
}

fn sample(validators: u8) -> Genesis {
    let set = (1..=validators).map(|n| Validator {
        key: public(n),
        power: u64::from(n),
    });
    let set = ValidatorSet::new(set).expect("distinct keys");
    let name = ShortText::fitted("the \"lab\" \u{1f9ea}");
    let genesis = Genesis::new(name, public(9), LedgerConfig::default()).expect("valid");
    let members = (1..=validators).take(3).map(|n| Member {
        agent: AgentId(u32::from(n)),
        owner: OwnerId(7),
        key: public(n + 100),
    });
    let genesis = genesis.with_validators(set).with_members(members.collect());
    genesis.expect("distinct keys")
}

/// The sample with one value set, or taken away.
fn with(pointer: &str, value: Option<Value>) -> String {
    let mut json: Value = serde_json::from_str(&to_text(&sample(2))).expect("json");
    let (parent, name) = pointer.rsplit_once('/').expect("a pointer");
    let parent = json.pointer_mut(parent).and_then(Value::as_object_mut);
    let parent = parent.expect("an object");
    match value {
        Some(value) => parent.insert(name.to_owned(), value),
        None => parent.remove(name),
    };
    json.to_string()
}

#[test]
fn a_genesis_survives_its_file_and_keeps_its_chain() {
    let dir = tempfile::tempdir().expect("a folder");
    let path = dir.path().join("genesis.json");
    for validators in [0, 1, 4, 100] {
        let genesis = sample(validators);
        save(&path, &genesis, Existing::Replace).expect("written");
        let read = load(&path).expect("read");
        assert_eq!(read, genesis);
        assert_eq!(read.chain_id(), genesis.chain_id());
    }
    let again = save(&path, &sample(1), Existing::Keep);
    assert!(matches!(again, Err(GenesisFileError::Exists { .. })), "{again:?}");
}

#[test]
fn the_order_in_the_file_does_not_matter() {
    let mut json: Value = serde_json::from_str(&to_text(&sample(4))).expect("json");
    for list in ["validators", "members"] {
        json[list].as_array_mut().expect("a list").reverse();
    }
    let read = from_text(&json.to_string()).expect("valid");
    assert_eq!(read.chain_id(), sample(4).chain_id());
}

#[test]
fn what_is_wrong_is_named() {
    let weak = PublicKey([0; 32]).to_hex();
    for (pointer, value, words) in [
        (
            "/schema",
            Some("daa.genesis/2".into()),
            "schema is `daa.genesis/2`",
        ),
        ("/schema", None, "missing field `schema`"),
        ("/colour", Some(1.into()), "unknown field `colour`"),
        (
            "/rules/max_agnets",
            Some(1.into()),
            "`rules.max_agnets` is not a field",
        ),
        ("/rules/max_agents", None, "missing field `max_agents`"),
        (
            "/rules/max_agents",
            Some(0.into()),
            "max_agents is 0, allowed are 1 to 4096",
        ),
        ("/rules/max_agents", Some((-1).into()), "invalid value"),
        ("/rules/max_agents", Some(1.5.into()), "invalid type"),
        ("/validators/0/power", Some(0.into()), "has power 0"),
        ("/validators/0/weight", Some(1.into()), "unknown field `weight`"),
        (
            "/validators/1/key",
            Some("ab".into()),
            "validators[1].key: it has 2 bytes",
        ),
        (
            "/validators/1/key",
            Some(weak.clone().into()),
            "not a usable Ed25519",
        ),
        ("/operator", Some(weak.into()), "operator key"),
        ("/operator", Some("x".repeat(64).into()), "operator: byte 0 is no"),
        (
            "/name",
            Some("a\u{7}".into()),
            "name: the text holds the control character",
        ),
    ] {
        let text = with(pointer, value);
        let error = from_text(&text).expect_err(words).to_string();
        assert!(error.contains(words), "{pointer}: {error}");
    }
    let text = with("/validators/0/key", Some(public(2).to_hex().into()));
    let both = from_text(&text.replace(&public(1).to_hex(), &public(2).to_hex()));
    assert!(both.expect_err("twice").to_string().contains("named twice"));
}

#[test]
fn what_is_wrong_with_members_is_named() {
    let weak = PublicKey([0; 32]).to_hex();
    for (pointer, value, words) in [
        ("/members", None, "missing field `members`"),
        (
            "/members/0/agent",
            Some(0.into()),
            "members: agent is 0, allowed are 1 to 1023",
        ),
        (
            "/members/0/agent",
            Some(2.into()),
            "members: agent 2 is named twice",
        ),
        ("/members/0/name", Some("a".into()), "unknown field `name`"),
        ("/members/1/key", Some("xy".into()), "members[1].key: "),
        (
            "/members/1/key",
            Some(public(101).to_hex().into()),
            "another member's as well",
        ),
        ("/members/1/key", Some(weak.into()), "members: key of agent-2: "),
    ] {
        let text = with(pointer, value);
        let error = from_text(&text).expect_err(words).to_string();
        assert!(error.contains(words), "{pointer}: {error}");
    }
}

#[test]
fn a_field_given_twice_is_refused() {
    let text = to_text(&sample(1));
    for (field, doubled) in [
        ("\"max_agents\"", "\"max_agents\": 3, \"max_agents\""),
        ("\"operator\"", "\"operator\": \"\", \"operator\""),
    ] {
        let error = from_text(&text.replace(field, doubled)).expect_err("twice");
        assert!(error.to_string().contains("duplicate field"), "{error}");
    }
}

#[test]
fn size_depth_and_count_are_bounded() {
    let dir = tempfile::tempdir().expect("a folder");
    let path = dir.path().join("genesis.json");
    fs::write(&path, " ".repeat(MAX_GENESIS_FILE as usize + 10)).expect("written");
    assert!(matches!(
        load(&path),
        Err(GenesisFileError::Content {
            source: GenesisTextError::TooLarge { .. },
            ..
        })
    ));
    assert!(from_text(&"[".repeat(60_000)).is_err(), "depth");
    let one = to_text(&sample(1));
    let named = format!("{{\"key\":\"{}\",\"power\":1}}", public(1).to_hex());
    let mut json: Value = serde_json::from_str(&one).expect("json");
    let named: Value = serde_json::from_str(&named).expect("json");
    json["validators"] = Value::Array(vec![named; 129]);
    let error = from_text(&json.to_string()).expect_err("129");
    assert!(error.to_string().contains("there are 129 validators"), "{error}");
    assert!(load(dir.path()).is_err(), "a folder");
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(128))]
    #[test]
    fn any_text_parses_or_fails_without_harm(text in ".{0,200}") {
        prop_assert!(from_text(&text).is_err());
    }

    #[test]
    fn damaged_files_parse_to_something_valid_or_fail(at in 0_usize..900, byte in 0_u8..128) {
        let mut bytes = to_text(&sample(2)).into_bytes();
        let at = at % bytes.len();
        bytes[at] = byte;
        let text = String::from_utf8_lossy(&bytes);
        if let Ok(genesis) = from_text(&text) {
            prop_assert_eq!(genesis.validate(), Ok(()));
            prop_assert_eq!(from_text(&to_text(&genesis)).expect("round trip"), genesis);
        }
    }
}
