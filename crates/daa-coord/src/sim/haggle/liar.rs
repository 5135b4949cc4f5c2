//! An agent that lies in negotiation. It has its own key and what it heard, and a real session tells it what comes next.

use super::Signs;
use crate::command::{Command, Plea};
use crate::keys::Signature;
use crate::negotiate::{Body, Bundle, Charter, Contract, Envelope, Side, Weights, encode};
use crate::sim::draw::Draw;
use daa_base::Rng;
use std::collections::{BTreeMap, VecDeque};

/// Messages that it keeps to say again.
const MEMORY: usize = 16;

/// False contracts of one dispute.
const MOST: u64 = 8;

/// The liar of one dispute.
#[derive(Debug)]
pub(super) struct Haggler {
    rng: Rng,
    memory: VecDeque<Vec<u8>>,
    /// Offers that the other side signed.
    offers: Vec<(u16, Bundle, Signature)>,
    forged: u64,
    counts: BTreeMap<&'static str, u64>,
}

impl Haggler {
    pub(super) const fn new(rng: Rng) -> Self {
        Self {
            rng,
            memory: VecDeque::new(),
            offers: Vec::new(),
            forged: 0,
            counts: BTreeMap::new(),
        }
    }

    pub(super) fn counts(&self) -> impl Iterator<Item = (&'static str, u64)> + '_ {
        self.counts.iter().map(|(&kind, &count)| (kind, count))
    }

    fn count(&mut self, kind: &'static str) {
        *self.counts.entry(kind).or_default() += 1;
    }

    /// A charter that makes the other side's policy share smaller than it is, now and then.
    pub(super) fn bend(&mut self, charter: &mut Charter) {
        if self.rng.chance(300) {
            self.count("charter with a false policy share");
            charter.parties[1].base = charter.parties[1].base.kept();
        }
    }

    /// What it says instead of `envelope`.
    pub(super) fn say(&mut self, envelope: Envelope, charter: &Charter, signer: Signs<'_>) -> Vec<Vec<u8>> {
        let honest = encode(&envelope);
        let said = match self.rng.below(12) {
            0 => {
                self.count("negotiation message withheld");
                return Vec::new();
            }
            1 => {
                self.count("negotiation message damaged");
                let mut bytes = honest.clone();
                let at = self.rng.below(bytes.len());
                bytes[at] ^= 1 << self.rng.below(8);
                vec![bytes]
            }
            2 => {
                let old: Vec<_> = self.memory.iter().cloned().collect();
                let mut says = vec![honest.clone()];
                if let Some(old) = self.rng.pick(&old) {
                    self.count("negotiation message replayed");
                    says.push(old.clone());
                }
                says
            }
            3 | 4 => {
                self.count("greedy offer");
                vec![self.offer(&envelope, charter, signer)]
            }
            5 => {
                self.count("acceptance of what was not offered");
                let round = self.rng.within(1..=u64::from(charter.rounds)) as u16;
                let first = self.terms(charter);
                let contract = charter.sign(signer, round, first);
                vec![self.sealed(
                    &envelope,
                    charter,
                    signer,
                    envelope.from,
                    Body::Accept { round, contract },
                )]
            }
            6 => {
                self.count("negotiation message in another's name");
                let body = envelope.body.clone();
                vec![self.sealed(&envelope, charter, signer, envelope.from.other(), body)]
            }
            _ => vec![honest.clone()],
        };
        self.memory.push_back(honest);
        if self.memory.len() > MEMORY {
            self.memory.pop_front();
        }
        said
    }

    fn sealed(
        &self,
        like: &Envelope,
        charter: &Charter,
        signer: Signs<'_>,
        from: Side,
        body: Body,
    ) -> Vec<u8> {
        encode(&Envelope::sign(
            signer,
            charter.chain,
            like.session,
            from,
            like.seq,
            body,
        ))
    }

    /// An offer in its turn that leaves the other side little.
    fn offer(&mut self, like: &Envelope, charter: &Charter, signer: Signs<'_>) -> Vec<u8> {
        let Body::Offer { round, .. } = like.body else {
            return encode(like);
        };
        let first = self.terms(charter);
        let contract = charter.sign(signer, round, first);
        let body = Body::Offer {
            round,
            first,
            contract,
        };
        self.sealed(like, charter, signer, like.from, body)
    }

    /// Any division, also of more than there is.
    fn terms(&mut self, charter: &Charter) -> Bundle {
        let most = charter.pie.issues();
        let issues = most.map(|most| self.rng.within(0..=most + 1));
        let whole = Bundle {
            bytes: daa_base::Bytes(u64::MAX),
            share: daa_base::Permille::WHOLE,
            time: daa_base::Millis(u64::MAX),
            priority: u8::MAX,
        };
        Bundle::from_issues(issues, whole)
    }

    /// What it hears it may bring before the ledger, in another form than it was meant.
    pub(super) fn hear(
        &mut self,
        heard: &Envelope,
        charters: &[&Charter],
        signer: Signs<'_>,
    ) -> Vec<Command> {
        let Body::Offer {
            round,
            first,
            contract,
        } = heard.body
        else {
            return Vec::new();
        };
        self.offers.push((round, first, contract));
        let Some(charter) = charters.iter().find(|charter| charter.id() == heard.session) else {
            return Vec::new();
        };
        if self.forged >= MOST || !self.rng.chance(400) {
            return Vec::new();
        }
        self.forged += 1;
        self.forge(charter, heard.from, signer)
    }

    fn forge(&mut self, charter: &Charter, peer: Side, signer: Signs<'_>) -> Vec<Command> {
        let Some(&(round, first, theirs)) = self.offers.last() else {
            return Vec::new();
        };
        let mut charter = charter.clone();
        let (mut terms, mut of_round, mut other) = (first, round, theirs);
        let mut own = charter.sign(signer, round, first);
        let kind = match self.rng.below(8) {
            0 => {
                terms = self.terms(&charter);
                own = charter.sign(signer, round, terms);
                "contract with changed terms"
            }
            1 => {
                other = own;
                "contract signed by one side only"
            }
            2 => {
                of_round = self.rng.within(0..=u64::from(charter.rounds) + 1) as u16;
                own = charter.sign(signer, of_round, first);
                "contract with another round's signature"
            }
            3 => {
                charter.session += 1;
                own = charter.sign(signer, round, first);
                "contract of another session"
            }
            4 => {
                charter.parties[peer.index()].base = Bundle::default();
                own = charter.sign(signer, round, first);
                "contract with a false policy share"
            }
            5 => {
                own.0[7] ^= 4;
                "contract with a damaged signature"
            }
            6 => {
                charter.expires = charter.expires.after(daa_base::Millis(60_000));
                own = charter.sign(signer, round, first);
                "contract that lasts longer"
            }
            _ => "contract of an earlier offer, twice",
        };
        self.count(kind);
        let contract = Contract {
            charter,
            round: of_round,
            first: terms,
            signatures: match peer {
                Side::First => [other, own],
                Side::Second => [own, other],
            },
        };
        let again = if kind.ends_with("twice") { 2 } else { 1 };
        vec![Command::Contract(Box::new(contract)); again]
    }

    /// Its part in a plea: nothing, a signature that does not hold, or other weights than were signed.
    pub(super) fn plead(
        &mut self,
        charter: &Charter,
        weights: &mut [Weights; 2],
        signatures: &mut [Signature; 2],
        signer: Signs<'_>,
    ) {
        match self.rng.below(4) {
            0 => {
                self.count("plea signed by one side only");
                *signatures = [Plea::sign(signer, charter, *weights); 2];
            }
            1 => {
                self.count("plea with changed weights");
                weights[0].bytes ^= 8;
            }
            2 => {
                self.count("plea with a damaged signature");
                signatures[1].0[0] ^= 1;
            }
            _ => {}
        }
    }
}
