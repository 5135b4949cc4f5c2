use super::lossy::Toy;
use super::*;
use crate::genesis::ChainId;
use crate::keys::{AgentKey, Ed25519, PublicKey};
use daa_base::{AgentId, Bytes, DeviceId, Millis, Permille, Rng, Seed, Timestamp};
use proptest::prelude::*;

const CHAIN: ChainId = ChainId([7; 32]);

const fn toy_key(number: u8) -> PublicKey {
    PublicKey([number + 1; 32])
}

fn amount(rng: &mut Rng, most: Bundle) -> Bundle {
    let issues = most.issues().map(|most| rng.below(most as usize + 1) as u64);
    Bundle::from_issues(issues, most)
}

pub(super) fn charter(rng: &mut Rng) -> Charter {
    let pie = Bundle {
        bytes: Bytes(1 + rng.below(1 << 34) as u64),
        share: Permille::new(rng.below(1001) as u16).expect("in range"),
        time: Millis(rng.below(100_000) as u64),
        priority: rng.below(11) as u8,
    };
    let first = amount(rng, pie);
    let second = amount(rng, pie.without(first));
    let party = |number: u8, base| Party {
        agent: AgentId(u32::from(number)),
        key: toy_key(number),
        base,
    };
    Charter {
        chain: CHAIN,
        session: 1,
        device: DeviceId(0),
        pie,
        parties: [party(0, first), party(1, second)],
        rounds: 1 + rng.below(12) as u16,
        expires: Timestamp(20_000),
    }
}

pub(super) fn profile(rng: &mut Rng) -> Profile {
    let mut weight = || 1 + rng.below(9) as u16;
    let weights = Weights {
        bytes: weight(),
        share: weight(),
        time: weight(),
        priority: weight(),
    };
    let tactic = match rng.below(3) {
        0 => Tactic::Boulware {
            exponent: 1 + rng.below(8) as u8,
        },
        1 => Tactic::Conceder {
            root: 1 + rng.below(8) as u8,
        },
        _ => Tactic::TitForTat {
            answer: rng.below(1500) as u16,
            nudge: rng.below(100_000) as u32,
        },
    };
    Profile {
        weights,
        tactic,
        ..Profile::default()
    }
}

fn any_charter() -> impl Strategy<Value = (Charter, Profile, Bundle)> {
    any::<u64>().prop_map(|seed| {
        let mut rng = Seed(seed).stream("charter").rng();
        let charter = charter(&mut rng);
        let from = amount(&mut rng, charter.pie);
        (charter, profile(&mut rng), from)
    })
}

fn real() -> (Charter, [AgentKey; 2]) {
    let keys = [AgentKey::from_secret(&[1; 32]), AgentKey::from_secret(&[2; 32])];
    let mut charter = charter(&mut Seed(5).stream("real").rng());
    for (party, key) in charter.parties.iter_mut().zip(&keys) {
        party.key = key.public();
    }
    charter.rounds = 4;
    (charter, keys)
}

fn signed() -> Contract {
    let (charter, keys) = real();
    let first = charter.parties[0].base;
    let signatures = [0, 1].map(|at| charter.sign(&keys[at], 2, first));
    Contract {
        charter,
        round: 2,
        first,
        signatures,
    }
}

#[test]
fn a_contract_holds_for_its_chain_time_and_terms_only() {
    let contract = signed();
    let now = Timestamp(19_999);
    let verify = |contract: &Contract| contract.verify(&Ed25519, CHAIN, now);
    assert_eq!(verify(&contract), Ok(()));
    let chain = ChainId([8; 32]);
    assert!(matches!(
        contract.verify(&Ed25519, chain, now),
        Err(ContractError::Chain { .. })
    ));
    assert!(matches!(
        contract.verify(&Ed25519, CHAIN, Timestamp(20_000)),
        Err(ContractError::Expired { .. })
    ));
    let agent = AgentId(0);
    let forged = Err(ContractError::Signature { agent });
    let changed = |change: fn(&mut Contract)| {
        let mut contract = contract.clone();
        change(&mut contract);
        verify(&contract)
    };
    assert_eq!(changed(|c| c.round = 3), forged);
    assert_eq!(changed(|c| c.charter.session = 2), forged);
    assert_eq!(changed(|c| c.charter.expires = Timestamp(30_000)), forged);
    assert_eq!(changed(|c| c.signatures.swap(0, 1)), forged);
    assert_eq!(changed(|c| c.first = Bundle::default()), forged);
    let rounds = 4;
    assert_eq!(
        changed(|c| c.round = 5),
        Err(ContractError::Round { round: 5, rounds })
    );
    assert_eq!(
        changed(|c| c.first.bytes = Bytes(u64::MAX)),
        Err(ContractError::Terms)
    );
    assert_eq!(
        changed(|c| c.charter.rounds = 65),
        Err(ContractError::Charter(CharterError::Rounds { rounds: 65 }))
    );
    assert_eq!(Contract::decode(&contract.encode()), Ok(contract));
}

#[test]
fn charters_that_give_more_than_there_is_or_name_one_agent_are_refused() {
    let (charter, _) = real();
    let mut greedy = charter.clone();
    greedy.parties[1].base = greedy.pie;
    greedy.parties[0].base = greedy.pie;
    assert_eq!(greedy.check(), Err(CharterError::Bases));
    let mut alone = charter.clone();
    alone.parties[1].agent = alone.parties[0].agent;
    assert!(matches!(alone.check(), Err(CharterError::OneParty { .. })));
    let mut endless = charter;
    endless.rounds = 0;
    assert_eq!(endless.check(), Err(CharterError::Rounds { rounds: 0 }));
}

#[test]
fn messages_count_once_from_their_side_and_in_turn() {
    let (charter, keys) = real();
    let own = Keys {
        signer: &keys[1],
        scheme: &Ed25519,
    };
    let peer = Keys {
        signer: &keys[0],
        scheme: &Ed25519,
    };
    let now = Timestamp(0);
    let mut first = Session::new(charter.clone(), Side::First, Profile::default()).expect("valid");
    let sent: Vec<Envelope> = first
        .step(peer, now, Input::Start)
        .into_iter()
        .filter_map(|effect| match effect {
            Effect::Send(envelope) => Some(envelope),
            _ => None,
        })
        .collect();
    let [opening, offer] = &sent[..] else {
        unreachable!("an opening and an offer")
    };
    let mut second = Session::respond(opening, &Ed25519, Profile::default()).expect("opens");
    let mut ignored = |message: &Envelope| match &second.step(own, now, Input::Message(message))[..] {
        [Effect::Ignored(reason)] => Some(*reason),
        _ => None,
    };
    let change = |change: fn(&mut Envelope)| {
        let mut message = offer.clone();
        change(&mut message);
        message
    };
    assert_eq!(ignored(opening), Some(Ignored::Replayed));
    assert_eq!(ignored(&change(|m| m.seq = 9)), Some(Ignored::Forged));
    assert_eq!(
        ignored(&change(|m| m.from = Side::Second)),
        Some(Ignored::OwnSide)
    );
    assert_eq!(ignored(&change(|m| m.session.0[0] ^= 1)), Some(Ignored::NotOurs));
    let ahead = Body::Offer {
        round: 3,
        first: Bundle::default(),
        contract: charter.sign(&keys[0], 3, Bundle::default()),
    };
    let ahead = Envelope::sign(&keys[0], CHAIN, charter.id(), Side::First, 5, ahead);
    assert_eq!(ignored(&ahead), Some(Ignored::OutOfTurn));
    assert_eq!(ignored(offer), None);
    assert_eq!(ignored(offer), Some(Ignored::Replayed));
    let mut stranger = opening.clone();
    stranger.signature.0[0] ^= 1;
    assert!(Session::respond(&stranger, &Ed25519, Profile::default()).is_none());
}

#[test]
fn silence_ends_the_resending_and_the_ledger_ends_the_session() {
    let (charter, keys) = real();
    let own = Keys {
        signer: &keys[0],
        scheme: &Ed25519,
    };
    let mut session = Session::new(charter, Side::First, Profile::default()).expect("valid");
    let mut wakes = vec![];
    let mut take = |effects: Vec<Effect>| {
        let mut sent = 0;
        for effect in effects {
            match effect {
                Effect::Wake(at) => wakes.push(at),
                Effect::Send(_) => sent += 1,
                other => unreachable!("{other:?}"),
            }
        }
        (sent, wakes.pop())
    };
    let (mut sent, mut wake) = take(session.step(own, Timestamp(0), Input::Start));
    while let Some(at) = wake {
        let (more, next) = take(session.step(own, at, Input::Tick));
        (sent, wake) = (sent + more, next);
    }
    assert_eq!(sent, 22, "opening and offer, each once and ten times more");
    assert_eq!(session.hindrance(), Fallback::Silent);
    assert_eq!(session.outcome(), None, "a contract could still come");
    let end = Input::LedgerTime(Timestamp(20_000));
    assert_eq!(
        session.step(own, Timestamp(0), end),
        [Effect::Done(Outcome::PolicyShare)]
    );
    assert_eq!(session.step(own, Timestamp(0), end), []);
}

#[test]
fn tactics_fall_from_everything_to_the_policy_share() {
    let reserve = 200_000;
    let curve = |tactic: Tactic| -> Vec<u32> {
        (0..5)
            .map(|number| tactic.target(number, 5, reserve, MICRO, 0))
            .collect()
    };
    assert_eq!(
        curve(Tactic::Boulware { exponent: 1 }),
        [1_000_000, 800_000, 600_000, 400_000, 200_000]
    );
    assert_eq!(
        curve(Tactic::Boulware { exponent: 2 }),
        [1_000_000, 950_000, 800_000, 550_000, 200_000]
    );
    assert_eq!(
        curve(Tactic::Conceder { root: 2 }),
        [1_000_000, 600_000, 434_315, 307_180, 200_000]
    );
    let like = Tactic::TitForTat {
        answer: 500,
        nudge: 1000,
    };
    assert_eq!(like.target(1, 5, reserve, 900_000, 100_000), 849_000);
    assert_eq!(like.target(1, 5, reserve, 210_000, 100_000), reserve);
    assert_eq!(like.target(4, 5, reserve, 900_000, 0), reserve);
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(128))]

    #[test]
    fn raising_reaches_its_target_and_lowers_nothing((charter, own, from) in any_charter(), target in 0..=MICRO) {
        let raised = own.weights.raise(from, target, charter.pie, charter.pie);
        prop_assert!(own.weights.utility(raised, charter.pie) >= target);
        let most = charter.pie.without(charter.parties[0].base.kept());
        let capped = own.weights.raise(Bundle::default(), target, most, charter.pie);
        prop_assert!(capped.within(most));
        let reached = own.weights.utility(capped, charter.pie);
        prop_assert!(reached >= target.min(own.weights.utility(most, charter.pie)));
        prop_assert!(from.within(raised) && raised.within(charter.pie));
    }

    #[test]
    fn any_bytes_are_a_message_or_an_error(bytes in prop::collection::vec(any::<u8>(), 0..700)) {
        if let Ok(envelope) = decode(&bytes) {
            prop_assert_eq!(encode(&envelope), bytes.clone());
        }
        if let Ok(contract) = Contract::decode(&bytes) {
            prop_assert_eq!(contract.encode(), bytes);
        }
    }

    #[test]
    fn damaged_messages_do_not_hold((charter, own, first) in any_charter(), at in any::<prop::sample::Index>(), bit in 0_u8..8) {
        let toy = Toy(charter.parties[0].key);
        let contract = charter.sign(&toy, 1, first);
        let body = match own.weights.bytes % 4 {
            0 => Body::Open(charter.clone()),
            1 => Body::Accept { round: 1, contract },
            2 => Body::Withdraw,
            _ => Body::Offer { round: 1, first, contract },
        };
        let sound = Envelope::sign(&toy, CHAIN, charter.id(), Side::First, 3, body);
        prop_assert!(sound.verify(&toy, CHAIN, toy.0));
        let mut bytes = encode(&sound);
        prop_assert!(bytes.len() <= MAX_MESSAGE);
        prop_assert_eq!(decode(&bytes), Ok(sound));
        let at = at.index(bytes.len());
        bytes[at] ^= 1_u8 << bit;
        if let Ok(damaged) = decode(&bytes) {
            prop_assert!(!damaged.verify(&toy, CHAIN, toy.0));
        }
    }
}
