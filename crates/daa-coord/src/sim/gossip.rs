//! Knowledge that nodes share: every node tells the others what it has found, some of them lies, and everyone's own trust decides
//! what becomes of it. The real [`KnowledgeBase`], and beside it a second account of what liars may bring about at most.

use super::draw::Draw;
use super::keys::{Signatures, validator_key};
use crate::genesis::ChainId;
use crate::keys::{PublicKey, SignatureScheme, Signer};
use crate::knowledge::{
    Contribution, KnowledgeBase, KnowledgeConfig, MAX_INSIGHT_PAYLOAD, Range, SignedInsight, TrustBook,
    TrustConfig, Usefulness,
};
use crate::text::ShortText;
use daa_base::Rng;
use std::collections::{BTreeMap, BTreeSet};

/// What everybody tries to find.
const TRUTH: i64 = 1_000;

/// What can be said about it.
const RANGE: Range = Range { low: 0, high: 2_000 };
const WIDTH: i128 = 2_000;

/// Honest values are off by up to this much.
const NOISE: u64 = 60;

/// Insights of one node in one run.
const MOST: u64 = 8;

/// What one author may take up at a receiver.
const TOPICS: usize = 2;
const BYTES: usize = 512;

/// What one receiver has seen of one liar, by the receiver's own reports.
#[derive(Debug, Clone, Copy, Default)]
struct Record {
    /// Harmful ones since the last useful one.
    row: u32,
    /// The sum of the weights at which harmful ones counted.
    harm: u64,
    useful: u64,
}

#[derive(Debug)]
struct Member {
    base: KnowledgeBase,
    own: i64,
    version: u64,
    /// What was said last, for liars that say it again.
    last: Option<Vec<u8>>,
    liar: bool,
    /// A liar that lies at once does not earn trust first.
    sincere_until: u64,
    records: BTreeMap<usize, Record>,
    /// Insights on which usefulness was reported.
    reported: BTreeSet<(usize, u64)>,
}

/// The nodes of one run as far as they share knowledge.
#[derive(Debug)]
pub(super) struct Gossip {
    signatures: Signatures,
    chain: ChainId,
    members: Vec<Member>,
    /// What honest nodes really said: author, version, value.
    said: BTreeSet<(usize, u64, i64)>,
    rng: Rng,
    pub(super) counts: BTreeMap<&'static str, u64>,
}

/// What a node says, and to whom alone if not to all.
pub(super) type Said = (Option<usize>, Vec<u8>);

fn topic() -> ShortText {
    ShortText::fitted("learning rate")
}

impl Gossip {
    /// `liars` says of each node whether it poisons.
    pub(super) fn new(
        signatures: Signatures,
        chain: ChainId,
        liars: &[bool],
        mut rng: Rng,
    ) -> Result<Self, String> {
        let mut members = Vec::with_capacity(liars.len());
        for &liar in liars {
            members.push(Member {
                base: base(chain, liars.len())?,
                own: TRUTH + rng.within(0..=2 * NOISE) as i64 - NOISE as i64,
                version: 0,
                last: None,
                liar,
                sincere_until: if rng.chance(500) { 0 } else { rng.within(1..=4) },
                records: BTreeMap::new(),
                reported: BTreeSet::new(),
            });
        }
        Ok(Self {
            signatures,
            chain,
            members,
            said: BTreeSet::new(),
            rng,
            counts: BTreeMap::new(),
        })
    }

    fn count(&mut self, kind: &'static str) {
        *self.counts.entry(kind).or_default() += 1;
    }

    /// A node forgets what it knew when it crashes. What it has said counts on: numbers go up.
    pub(super) fn crash(&mut self, node: usize) -> Result<(), String> {
        let nodes = self.members.len();
        let member = &mut self.members[node];
        member.base = base(self.chain, nodes)?;
        member.records.clear();
        member.reported.clear();
        Ok(())
    }

    /// What `node` tells the others now.
    pub(super) fn speak(&mut self, node: usize) -> Vec<Said> {
        let member = &mut self.members[node];
        if member.version >= MOST {
            return Vec::new();
        }
        member.version += 1;
        let (version, liar) = (member.version, member.liar);
        let value = member.own + self.rng.within(0..=20) as i64 - 10;
        if liar && version > member.sincere_until {
            return self.lie(node, version);
        }
        if !liar {
            self.said.insert((node, version, value));
        }
        let bytes = self.signed(node, node, version, value);
        self.members[node].last.clone_from(&bytes);
        bytes.into_iter().map(|bytes| (None, bytes)).collect()
    }

    fn signer(&self, node: usize) -> Box<dyn Signer> {
        self.signatures.validator(node)
    }

    fn signed(&self, by: usize, name: usize, version: u64, value: i64) -> Option<Vec<u8>> {
        let payload = value.to_le_bytes().to_vec();
        let signer = self.signer(by);
        let mut signed = SignedInsight::sign(signer.as_ref(), self.chain, topic(), version, payload).ok()?;
        signed.insight.author = validator_key(name);
        signed.encode().ok()
    }

    fn lie(&mut self, node: usize, version: u64) -> Vec<Said> {
        let extreme = [0, 2_000, i64::MIN, i64::MAX];
        let value = extreme[self.rng.below(extreme.len())];
        let nodes = self.members.len();
        match self.rng.below(8) {
            0 => {
                self.count("insight in another's name");
                let other = (node + 1) % nodes;
                let bytes = self.signed(node, other, version, value);
                bytes.into_iter().map(|bytes| (None, bytes)).collect()
            }
            1 => {
                self.count("two insights under one number");
                let both = [value, TRUTH].map(|value| self.signed(node, node, version, value));
                let mut says = Vec::new();
                for to in 0..nodes {
                    // Half hear one of them first, half the other.
                    let order = if to % 2 == 0 { [0, 1] } else { [1, 0] };
                    says.extend(order.iter().filter_map(|&at| Some((Some(to), both[at].clone()?))));
                }
                says
            }
            2 => {
                self.count("insights on too many topics");
                let signer = self.signer(node);
                let sign = |number: u64| {
                    let topic = ShortText::fitted(&format!("topic {number}"));
                    let payload = value.to_le_bytes().to_vec();
                    let signed = SignedInsight::sign(signer.as_ref(), self.chain, topic, version, payload);
                    signed.ok()?.encode().ok()
                };
                (0..6).filter_map(sign).map(|bytes| (None, bytes)).collect()
            }
            3 => {
                self.count("oversized insight");
                let size = if self.rng.chance(500) {
                    MAX_INSIGHT_PAYLOAD
                } else {
                    BYTES + 1
                };
                let signer = self.signer(node);
                let signed =
                    SignedInsight::sign(signer.as_ref(), self.chain, topic(), version, vec![1; size]);
                let bytes = signed.ok().and_then(|signed| signed.encode().ok());
                bytes.into_iter().map(|bytes| (None, bytes)).collect()
            }
            4 => {
                self.count("insight replayed");
                let all: Vec<_> = self.members.iter().filter_map(|one| one.last.clone()).collect();
                let old = self.rng.pick(&all).cloned();
                old.into_iter().map(|bytes| (None, bytes)).collect()
            }
            5 => {
                self.count("damaged insight");
                let Some(mut bytes) = self.signed(node, node, version, value) else {
                    return Vec::new();
                };
                let at = self.rng.below(bytes.len());
                bytes[at] ^= 1 << self.rng.below(8);
                vec![(None, bytes)]
            }
            _ => {
                self.count("poisoned insight");
                let bytes = self.signed(node, node, version, value);
                bytes.into_iter().map(|bytes| (None, bytes)).collect()
            }
        }
    }

    /// Bytes reach `node`, which takes them or does not, measures what they are good for, and goes on.
    pub(super) fn hear(
        &mut self,
        node: usize,
        bytes: &[u8],
        scheme: &dyn SignatureScheme,
    ) -> Result<(), String> {
        let Ok(signed) = SignedInsight::decode(bytes) else {
            return Ok(());
        };
        let author = signed.insight.author;
        let Some(from) = (0..self.members.len()).find(|&at| validator_key(at) == author) else {
            return Ok(());
        };
        let before = self.members[node].base.trust().weight(&author);
        let taken = self.members[node].base.take(scheme, signed);
        let most = self.members.len() * BYTES;
        let held = self.members[node].base.bytes();
        if held > most {
            return Err(format!(
                "node {node} keeps {held} bytes of insights, allowed are {most}"
            ));
        }
        match taken {
            Ok(taken) if taken.insight.topic == topic() => {
                let (version, value) = (taken.insight.version, value_of(&taken.insight.payload));
                self.check_author(node, from, version, value)?;
                self.measure(node, from, version, value)?;
            }
            Ok(_) => {}
            Err(crate::knowledge::InsightError::Conflict { .. }) => {
                if !self.members[from].liar {
                    return Err(format!(
                        "node {node} finds that honest node {from} contradicts itself"
                    ));
                }
                self.harmed(node, from, before);
            }
            Err(_) => {}
        }
        self.check_bound(node)
    }

    fn check_author(&self, node: usize, from: usize, version: u64, value: Option<i64>) -> Result<(), String> {
        let known = value.is_some_and(|value| self.said.contains(&(from, version, value)));
        if self.members[from].liar || known {
            return Ok(());
        }
        Err(format!(
            "node {node} takes an insight of node {from}, version {version}, that it never gave"
        ))
    }

    /// The receiver tries it out: near the truth it helps, far from it it harms.
    fn measure(&mut self, node: usize, from: usize, version: u64, value: Option<i64>) -> Result<(), String> {
        if !self.members[node].reported.insert((from, version)) {
            return Err(format!(
                "node {node} takes version {version} of node {from} twice"
            ));
        }
        let off = value.map_or(2_000, |value| value.clamp(RANGE.low, RANGE.high).abs_diff(TRUTH));
        let useful = off <= 200;
        let author = validator_key(from);
        let before = self.members[node].base.trust().weight(&author);
        let usefulness = Usefulness::new(if useful { 1_000 } else { -1_000 });
        let reported = self.members[node]
            .base
            .report(&author, &topic(), version, usefulness);
        reported.map_err(|error| format!("node {node} cannot report what it took: {error}"))?;
        if useful {
            let record = self.members[node].records.entry(from).or_default();
            record.row = 0;
            record.useful += 1;
        } else {
            self.harmed(node, from, before);
        }
        Ok(())
    }

    fn harmed(&mut self, node: usize, from: usize, before: u32) {
        let record = self.members[node].records.entry(from).or_default();
        record.row += 1;
        record.harm += u64::from(before);
    }

    /// The bounds that the documentation of [`crate::knowledge`] states, worked out from outside.
    fn check_bound(&self, node: usize) -> Result<(), String> {
        let config = TrustConfig::default();
        let member = &self.members[node];
        let book = member.base.trust();
        for (&from, record) in &member.records {
            let weight = book.weight(&validator_key(from));
            let most = config.most >> record.row.min(31);
            if weight > most {
                let row = record.row;
                return Err(format!(
                    "node {from} weighs {weight} at node {node} after {row} lies in a row"
                ));
            }
            let paid = 2 * (u64::from(config.initial) + record.useful * u64::from(config.gain));
            if record.harm > paid {
                let harm = record.harm;
                return Err(format!(
                    "lies of node {from} weighed {harm} at node {node}, paid for were {paid}"
                ));
            }
        }
        let topic = topic();
        let (mut all, mut without, mut weight) = (Vec::new(), Vec::new(), 0);
        for (insight, trust) in member.base.on(&topic) {
            let author = insight.insight.author;
            let value = value_of(&insight.insight.payload).unwrap_or(i64::MAX);
            all.push(Contribution { author, value });
            if self.is_liar(&author) {
                weight += i128::from(trust);
            } else {
                without.push(Contribution { author, value });
            }
        }
        let mean = |said: &[Contribution]| i128::from(book.aggregate(RANGE, member.own, said));
        let moved = (mean(&all) - mean(&without)).abs();
        let most = WIDTH * weight / (i128::from(config.own) + weight) + 1;
        if moved > most {
            return Err(format!(
                "liars move what node {node} believes by {moved}, allowed are {most}"
            ));
        }
        Ok(())
    }

    fn is_liar(&self, author: &PublicKey) -> bool {
        (0..self.members.len()).any(|at| self.members[at].liar && validator_key(at) == *author)
    }
}

fn value_of(payload: &[u8]) -> Option<i64> {
    Some(i64::from_le_bytes(payload.try_into().ok()?))
}

fn base(chain: ChainId, nodes: usize) -> Result<KnowledgeBase, String> {
    let trust = TrustBook::new(TrustConfig::default()).map_err(|error| error.to_string())?;
    let config = KnowledgeConfig {
        topics_per_author: TOPICS,
        bytes_per_author: BYTES,
    };
    let mut base = KnowledgeBase::new(chain, config, trust);
    base.set_authors((0..nodes).map(validator_key));
    Ok(base)
}
