//! What the judge takes for said: what is durable or has left, and nothing that a crash has undone.

use super::*;
use crate::consensus::{
    Certificate, ConsensusBlock, Header, Height, NamedBlock, Polka, Sealed, SignedVote, Vote,
};
use crate::keys::Signature;
use crate::sim::plan::{Mode, Options};
use crate::sim::story::Story;
use arc_malachitebft_core_types::{NilOrVal, Round, VoteType};
use daa_base::Seed;

/// Four correct nodes; the disk of node 0 takes its time.
fn cluster() -> Cluster {
    let options = Options {
        mode: Mode::Calm,
        ..Options::default()
    };
    let mut plan = Plan::draw(options, Seed(1));
    plan.nodes[0].disk.flush = 50 * MS;
    Cluster::new(plan, Story::default()).expect("a world")
}

fn vote(cluster: &Cluster, node: usize, kind: VoteType, decided: Option<&Decided>) -> Vote {
    Vote {
        kind,
        height: Height(1),
        round: Round::ZERO,
        value: decided.map_or(NilOrVal::Nil, |decided| NilOrVal::Val(decided.id())),
        validator: cluster.nodes[node].key,
    }
}

fn signed(message: Vote) -> SignedVote {
    Sealed {
        message,
        signature: Signature([0; 64]),
    }
}

/// The node logs a vote, durably, and says it.
fn says(cluster: &mut Cluster, node: usize, vote: Vote) {
    let vote = signed(vote);
    cluster.nodes[node].disk.append(WalRecord::Vote(vote.clone()));
    cluster.nodes[node].disk.flush();
    cluster.carry_out(node, Effect::Broadcast(Message::Vote(vote)));
}

/// A block of height 1 that all have prevoted and all precommit.
fn decided(cluster: &mut Cluster) -> Arc<Decided> {
    let ledger = cluster.checker.ledger();
    let header = Header {
        chain: cluster.genesis.chain_id(),
        height: 1,
        time: ledger.time(),
        parent: crate::consensus::BlockId::default(),
        state: ledger.state_hash(),
        proposer: cluster.nodes[1].key,
    };
    let block = ConsensusBlock {
        header,
        entries: Vec::new(),
        evidence: Vec::new(),
    };
    let signers = cluster.nodes.iter().map(|node| (node.key, Signature([0; 64])));
    let decided = Decided {
        named: NamedBlock::new(block).expect("small"),
        certificate: Certificate {
            round: 0,
            signatures: signers.collect(),
        },
    };
    for node in 0..cluster.nodes.len() {
        let prevote = vote(cluster, node, VoteType::Prevote, Some(&decided));
        says(cluster, node, prevote);
    }
    assert_eq!(cluster.wrong, None);
    Arc::new(decided)
}

fn found(cluster: &Cluster) -> Option<&str> {
    cluster.wrong.as_ref().map(|(_, what)| what.as_str())
}

#[test]
fn a_block_that_a_crash_undoes_shows_no_precommit() {
    let mut cluster = cluster();
    let decided = decided(&mut cluster);
    cluster.carry_out(0, Effect::Store(decided));
    assert!(cluster.nodes[0].at_disk.is_some(), "the disk works on it");
    cluster.crash(0, None);
    assert_eq!(cluster.nodes[0].disk.height(), 0);
    let nil = vote(&cluster, 0, VoteType::Precommit, None);
    says(&mut cluster, 0, nil);
    assert_eq!(found(&cluster), None, "it had said nothing else");
}

#[test]
fn a_block_that_is_durable_shows_a_precommit() {
    let mut cluster = cluster();
    let decided = decided(&mut cluster);
    cluster.carry_out(0, Effect::Store(decided));
    let life = cluster.nodes[0].life;
    cluster.on_disk(0, life);
    assert_eq!(cluster.nodes[0].disk.height(), 1);
    cluster.crash(0, None);
    let nil = vote(&cluster, 0, VoteType::Precommit, None);
    says(&mut cluster, 0, nil);
    assert!(
        found(&cluster).is_some_and(|what| what.contains("precommits twice, differently")),
        "{:?}",
        cluster.wrong
    );
}

#[test]
fn whatever_shows_an_own_vote_waits_for_the_disk() {
    let served = |_: &Cluster, decided: &Arc<Decided>| Message::SyncResponse(vec![Decided::clone(decided)]);
    let said = |cluster: &Cluster, decided: &Arc<Decided>| {
        Message::Vote(signed(vote(cluster, 0, VoteType::Precommit, Some(decided))))
    };
    let proven = |cluster: &Cluster, decided: &Arc<Decided>| {
        Message::Polka(Polka {
            height: Height(1),
            round: Round::new(1),
            value: decided.id(),
            signatures: vec![(cluster.nodes[0].key, Signature([0; 64]))],
        })
    };
    let messages: [fn(&Cluster, &Arc<Decided>) -> Message; 3] = [served, said, proven];
    for make in messages {
        let mut cluster = cluster();
        let decided = decided(&mut cluster);
        let message = make(&cluster, &decided);
        let to = cluster.nodes[1].key;
        cluster.carry_out(0, Effect::Send { to, message });
        assert!(
            found(&cluster).is_some_and(|what| what.contains("could still forget it")),
            "{:?}",
            cluster.wrong
        );
    }
}
