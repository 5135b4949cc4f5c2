//! Two sessions over a channel that loses, doubles, delays and reorders, beside a ledger that records the first contract.

use super::tests::{charter, profile};
use super::*;
use crate::genesis::ChainId;
use crate::keys::{PublicKey, Signature, SignatureScheme, Signed, Signer};
use daa_base::{Millis, Rng, Seed, Timestamp};
use std::collections::BTreeMap;

const CASES: u64 = 1500;

/// A signature that anybody could compute, but nobody in these tests does for another key.
#[derive(Debug, Clone, Copy)]
pub(super) struct Toy(pub(super) PublicKey);

fn toy_signature(key: PublicKey, message: &[u8]) -> Signature {
    let digest = *blake3::Hasher::new()
        .update(&key.0)
        .update(message)
        .finalize()
        .as_bytes();
    Signature::from((digest, digest))
}

impl Signer for Toy {
    fn public(&self) -> PublicKey {
        self.0
    }

    fn sign(&self, message: &[u8]) -> Signature {
        toy_signature(self.0, message)
    }
}

impl SignatureScheme for Toy {
    fn verify(&self, signed: &Signed<'_>) -> bool {
        toy_signature(signed.key, signed.message) == signed.signature
    }
}

/// Chances in thousandths.
#[derive(Debug, Clone, Copy)]
struct Channel {
    loss: usize,
    double: usize,
    delay: usize,
}

enum Event {
    Arrives(Side, Vec<u8>),
    Wakes(Side),
    Reaches(Box<Contract>),
}

struct World {
    charter: Charter,
    channel: Channel,
    rng: Rng,
    profiles: [Profile; 2],
    sides: [Option<Session>; 2],
    events: BTreeMap<(u64, u64), Event>,
    number: u64,
    recorded: Option<Contract>,
    sent: u64,
}

const SIDES: [Side; 2] = [Side::First, Side::Second];

impl World {
    fn new(seed: u64, channel: Channel) -> Self {
        let mut rng = Seed(seed).stream("negotiation").rng();
        let charter = charter(&mut rng);
        let profiles = [profile(&mut rng), profile(&mut rng)];
        let first = Session::new(charter.clone(), Side::First, profiles[0]).expect("valid");
        Self {
            charter,
            channel,
            rng,
            profiles,
            sides: [Some(first), None],
            events: BTreeMap::new(),
            number: 0,
            recorded: None,
            sent: 0,
        }
    }

    fn post(&mut self, at: u64, event: Event) {
        self.number += 1;
        self.events.insert((at, self.number), event);
    }

    fn chance(&mut self, thousandths: usize) -> bool {
        self.rng.below(1000) < thousandths
    }

    fn input(&mut self, now: u64, side: Side, input: Input<'_>) {
        let toy = Toy(self.charter.party(side).key);
        let keys = Keys {
            signer: &toy,
            scheme: &toy,
        };
        if self.sides[side.index()].is_none()
            && let Input::Message(message) = input
        {
            self.sides[side.index()] = Session::respond(message, &toy, self.profiles[side.index()]);
        }
        let Some(session) = &mut self.sides[side.index()] else {
            return;
        };
        for effect in session.step(keys, Timestamp(now), input) {
            match effect {
                Effect::Send(envelope) => self.send(now, side, &envelope),
                Effect::Wake(at) => self.post(at.get(), Event::Wakes(side)),
                Effect::Submit(contract) => {
                    let late = now + 1 + self.rng.below(self.channel.delay) as u64;
                    if !self.chance(self.channel.loss) {
                        self.post(late, Event::Reaches(Box::new(contract)));
                    }
                }
                Effect::Ignored(_) | Effect::Done(_) => {}
            }
        }
    }

    fn send(&mut self, now: u64, from: Side, envelope: &Envelope) {
        self.sent += 1;
        let copies = 1 + usize::from(self.chance(self.channel.double));
        for _ in 0..copies {
            if !self.chance(self.channel.loss) {
                let at = now + 1 + self.rng.below(self.channel.delay) as u64;
                self.post(at, Event::Arrives(from.other(), encode(envelope)));
            }
        }
    }

    fn run(&mut self) {
        self.input(0, Side::First, Input::Start);
        let expires = self.charter.expires.get();
        while let Some(((now, _), event)) = self.events.pop_first().filter(|((now, _), _)| *now < expires) {
            match event {
                Event::Arrives(side, bytes) => {
                    let envelope = decode(&bytes).expect("what was encoded");
                    self.input(now, side, Input::Message(&envelope));
                }
                Event::Wakes(side) => self.input(now, side, Input::Tick),
                Event::Reaches(contract) => self.record(now, &contract),
            }
        }
        for side in SIDES {
            self.input(expires, side, Input::LedgerTime(Timestamp(expires)));
        }
    }

    fn record(&mut self, now: u64, contract: &Contract) {
        let toy = Toy(PublicKey([0; 32]));
        contract
            .verify(&toy, ChainId([7; 32]), Timestamp(now))
            .expect("sessions submit what holds");
        if self.recorded.is_none() {
            self.recorded = Some(contract.clone());
            for side in SIDES {
                self.input(now, side, Input::Recorded(contract));
            }
        }
    }

    /// The outcome that both agree on: a side that never heard of the session has its policy share.
    fn outcome(&self, seed: u64) -> Outcome {
        let ends: Vec<_> = self
            .sides
            .iter()
            .map(|side| match side {
                None => Outcome::PolicyShare,
                Some(session) => session.outcome().expect("every session ends").clone(),
            })
            .collect();
        assert_eq!(ends[0], ends[1], "seed {seed}: the sides end differently");
        ends[0].clone()
    }

    fn gains(&self, contract: &Contract) -> [i64; 2] {
        SIDES.map(|side| {
            let base = self.charter.party(side).base;
            let profile = &self.profiles[side.index()];
            let worth = |bundle| i64::from(profile.value(bundle, base, self.charter.pie));
            worth(contract.part(side)) - worth(base)
        })
    }
}

#[test]
fn both_sides_end_alike_and_no_worse_than_by_policy_whatever_the_channel_does() {
    let (mut agreed, mut apart) = (0, 0);
    for seed in 0..CASES {
        let mut draw = Seed(seed).stream("channel").rng();
        let channel = Channel {
            loss: draw.below(900),
            double: draw.below(500),
            delay: 1 + draw.below(300),
        };
        let mut world = World::new(seed, channel);
        world.run();
        match world.outcome(seed) {
            Outcome::PolicyShare => apart += 1,
            Outcome::Agreed(contract) => {
                agreed += 1;
                assert!(
                    world.gains(&contract).iter().all(|gain| *gain >= 0),
                    "seed {seed}"
                );
                assert!(contract.first.within(world.charter.pie), "seed {seed}");
            }
        }
        // Each message at most 1 + resends times, the opening beside the first offer.
        let messages = u64::from(world.charter.rounds) + 4;
        assert!(
            world.sent <= messages * 11,
            "seed {seed}: {} messages",
            world.sent
        );
    }
    assert!(
        agreed > CASES / 4 && apart > CASES / 20,
        "{agreed} agreed, {apart} did not"
    );
}

#[test]
#[expect(clippy::print_stdout, reason = "the documentation quotes these counts")]
fn honest_sides_that_hear_one_another_always_agree() {
    let (mut better, mut sum) = (0, [0; 2]);
    for seed in 0..CASES {
        let channel = Channel {
            loss: 0,
            double: 100,
            delay: 20,
        };
        let mut world = World::new(seed, channel);
        world.run();
        let Outcome::Agreed(contract) = world.outcome(seed) else {
            unreachable!("seed {seed}: no agreement over a sound channel");
        };
        let gains = world.gains(&contract);
        better += u64::from(gains.iter().all(|gain| *gain > 0));
        (sum[0], sum[1]) = (sum[0] + gains[0], sum[1] + gains[1]);
        for side in &world.sides {
            assert!(side.is_some(), "seed {seed}");
        }
    }
    let mean = sum.map(|sum| sum / CASES as i64);
    println!("of {CASES}, both gain in {better}; on average {mean:?} millionths");
    assert_eq!((better, mean), (528, [113_231, 190_968]));
}

#[test]
fn a_hostile_peer_gets_nothing_signed_below_the_policy_share() {
    for seed in 0..CASES {
        let mut rng = Seed(seed).stream("hostile").rng();
        let charter = charter(&mut rng);
        let side = SIDES[rng.below(2)];
        let own = profile(&mut rng);
        let mut session = Session::new(charter.clone(), side, own).expect("valid");
        let peer = Toy(charter.party(side.other()).key);
        let toy = Toy(charter.party(side).key);
        let keys = Keys {
            signer: &toy,
            scheme: &toy,
        };
        let mut now = 0;
        let mut effects = session.step(keys, Timestamp(now), Input::Start);
        for seq in 0..40 {
            now += rng.below(100) as u64;
            let part = |most: u64, rng: &mut Rng| rng.below(most as usize + 2) as u64;
            let issues = charter.pie.issues().map(|most| part(most, &mut rng));
            let whole = Bundle {
                bytes: daa_base::Bytes(u64::MAX),
                share: daa_base::Permille::WHOLE,
                time: Millis(u64::MAX),
                priority: u8::MAX,
            };
            let first = Bundle::from_issues(issues, whole);
            let round = 1 + rng.below(charter.rounds as usize) as u16;
            let contract = charter.sign(&peer, round, first);
            let body = match rng.below(6) {
                0 => Body::Accept { round, contract },
                1 => Body::Withdraw,
                2 => Body::Open(charter.clone()),
                _ => Body::Offer {
                    round,
                    first,
                    contract,
                },
            };
            let mut envelope = Envelope::sign(&peer, charter.chain, charter.id(), side.other(), seq, body);
            if rng.below(4) == 0 {
                let mut bytes = encode(&envelope);
                let at = rng.below(bytes.len());
                bytes[at] ^= 1 << rng.below(8);
                let Ok(damaged) = decode(&bytes) else { continue };
                envelope = damaged;
            }
            effects.extend(session.step(keys, Timestamp(now), Input::Message(&envelope)));
            effects.extend(session.step(keys, Timestamp(now), Input::Tick));
        }
        for effect in effects {
            let terms = match effect {
                Effect::Submit(contract) => contract.first,
                Effect::Send(envelope) => match envelope.body {
                    Body::Offer { first, .. } => first,
                    _ => continue,
                },
                _ => continue,
            };
            let base = charter.party(side).base;
            let worth = own.value(charter.part(terms, side), base, charter.pie);
            assert!(
                worth >= session.reserve(),
                "seed {seed}: {worth} < {}",
                session.reserve()
            );
        }
    }
}
