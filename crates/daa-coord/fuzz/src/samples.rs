//! Bytes that the decoders take whole, from the real encoders: where fuzzing begins.

use super::{CHAIN, framed, genesis, key, noted};
use arc_malachitebft_core_types::{NilOrVal, Round, Timeout, VoteType};
use daa_base::{
    AgentId, Bytes, DeviceId, FencingToken, LeaseId, Millis, OwnerId, Permille, Timestamp, TrialId, codec,
};
use daa_coord::command::{Plea, When};
use daa_coord::consensus::{
    BlockId, BlockMessage, Certificate, ConsensusBlock, Decided, Evidence, Header, Height, JudgedBlock,
    Message, NamedBlock, Polka, Proposal, RoundProof, Sealed, SignedVote, Vote, WalRecord,
};
use daa_coord::coordination::{HistoryKind, HistoryRecord};
use daa_coord::discovery::{Refusal, Request, Response, Status};
use daa_coord::genesis::file;
use daa_coord::health::Opinion;
use daa_coord::keystore;
use daa_coord::knowledge::SignedInsight;
use daa_coord::negotiate::{self, Body, Bundle, Charter, Contract, Envelope, Party, Side, Weights};
use daa_coord::policy::Quota;
use daa_coord::streams::{ContentId, MIN_CHUNK, Manifest};
use daa_coord::{
    AgentKey, Block, Command, Digest, Ledger, OPERATOR, OperatorVerdict, RequestId, ResourceRequest,
    ShortText, SignedCommand, Statement,
};

type Samples = Vec<Vec<u8>>;

fn other() -> AgentKey {
    AgentKey::from_secret(&[2; 32])
}

fn text(words: &str) -> ShortText {
    ShortText::fitted(words)
}

fn share(thousandths: u16) -> Permille {
    Permille::new(thousandths).expect("at most a thousand")
}

fn request(bytes: u64) -> Command {
    Command::Request(ResourceRequest {
        device: Some(DeviceId(1)),
        bytes: Bytes(bytes),
        share: share(100),
        priority: 3,
        hold: Millis(500),
        deadline: Some(Timestamp(2_000)),
        purpose: text("training"),
    })
}

fn bundle(bytes: u64, thousandths: u16, time: u64) -> Bundle {
    Bundle {
        bytes: Bytes(bytes),
        share: share(thousandths),
        time: Millis(time),
        priority: 1,
    }
}

fn charter() -> Charter {
    let party = |agent: u32, key: AgentKey, base| Party {
        agent: AgentId(agent),
        key: key.public(),
        base,
    };
    Charter {
        chain: CHAIN,
        session: 5,
        device: DeviceId(1),
        pie: bundle(1000, 500, 100),
        parties: [
            party(1, key(), bundle(600, 300, 50)),
            party(
                2,
                other(),
                Bundle {
                    priority: 0,
                    ..bundle(400, 200, 50)
                },
            ),
        ],
        rounds: 6,
        expires: Timestamp(9_000),
    }
}

fn agreed() -> Contract {
    Contract {
        charter: charter(),
        round: 3,
        first: bundle(500, 350, 40),
        signatures: [key().sign(b"terms"), other().sign(b"terms")],
    }
}

fn commands() -> Vec<Command> {
    let (lease, token, trial) = (LeaseId(4), FencingToken(7), TrialId(2));
    let charter = charter();
    let when = When { epoch: 2, until: 90 };
    vec![
        Command::RegisterDevice {
            device: DeviceId(1),
            capacity: Bytes(1 << 30),
        },
        Command::RegisterAgent {
            agent: AgentId(1),
            owner: OwnerId(1),
            key: key().public(),
        },
        request(400),
        Command::Cancel {
            request: RequestId {
                agent: AgentId(1),
                seq: 3,
            },
        },
        Command::Renew {
            lease,
            token,
            hold: Millis(80),
        },
        Command::Release { lease, token },
        Command::ClaimTrial {
            trial,
            digest: Digest([2; 32]),
        },
        Command::TouchTrial { trial },
        Command::TrialResult {
            trial,
            score_micro: -5,
            epochs: 3,
            checkpoint: Digest([9; 32]),
        },
        Command::Revoke {
            lease,
            reason: text("because"),
        },
        Command::SetValidator {
            key: other().public(),
            power: 3,
        },
        Command::Statement(Statement::rotate(&key(), &other(), CHAIN, when)),
        Command::SetQuota {
            owner: OwnerId(1),
            quota: Some(Quota::OPEN),
        },
        Command::Decide {
            request: RequestId {
                agent: AgentId(1),
                seq: 3,
            },
            verdict: OperatorVerdict::Hold,
            reason: text("a person said so"),
        },
        Command::Contract(Box::new(agreed())),
        Command::Mediate(Box::new(Plea {
            weights: [Weights::EVEN; 2],
            signatures: [key(), other()].map(|key| Plea::sign(&key, &charter, [Weights::EVEN; 2])),
            charter,
        })),
        Command::Present {
            challenge: Digest([8; 32]),
        },
    ]
}

fn signed(command: &Command, seq: u64) -> SignedCommand {
    SignedCommand::sign(&key(), CHAIN, AgentId(1), seq, command).expect("small")
}

pub(super) fn command() -> Samples {
    commands()
        .iter()
        .map(|command| signed(command, 0).payload)
        .collect()
}

pub(super) fn signed_command() -> Samples {
    let whole = |command| codec::encode::<1024, _>(&signed(command, 9)).expect("small");
    commands().iter().map(whole).collect()
}

fn vote(kind: VoteType, value: NilOrVal<BlockId>) -> SignedVote {
    let message = Vote {
        kind,
        height: Height(3),
        round: Round::new(1),
        value,
        validator: key().public(),
    };
    let signature = key().sign(&message.signing_bytes(CHAIN));
    Sealed { message, signature }
}

fn proposal() -> Sealed<Proposal> {
    let message = Proposal {
        height: Height(3),
        round: Round::new(1),
        value: BlockId(Digest([4; 32])),
        pol_round: Round::new(0),
        proposer: key().public(),
    };
    let signature = key().sign(&message.signing_bytes(CHAIN));
    Sealed { message, signature }
}

fn some_block() -> ConsensusBlock {
    let value = NilOrVal::Val(BlockId(Digest([4; 32])));
    ConsensusBlock {
        header: Header {
            chain: CHAIN,
            height: 1,
            time: Timestamp(5),
            parent: BlockId::default(),
            state: Digest([3; 32]),
            proposer: key().public(),
        },
        entries: vec![signed(&request(10), 0), signed(&request(20), 1)],
        evidence: vec![Evidence::of_votes(
            vote(VoteType::Prevote, NilOrVal::Nil),
            vote(VoteType::Prevote, value),
        )],
    }
}

fn named() -> NamedBlock {
    NamedBlock::new(some_block()).expect("small")
}

pub(super) fn consensus_message() -> Samples {
    let some = NilOrVal::Val(BlockId(Digest([4; 32])));
    let mine = (key().public(), key().sign(b"vote"));
    let decided = Decided {
        named: named(),
        certificate: Certificate {
            round: 1,
            signatures: vec![mine; 3],
        },
    };
    let messages = [
        Message::Vote(vote(VoteType::Precommit, some)),
        Message::Vote(vote(VoteType::Prevote, NilOrVal::Nil)),
        Message::Proposal(proposal()),
        Message::Block(BlockMessage {
            round: 1,
            named: named(),
        }),
        Message::Polka(Polka {
            height: Height(3),
            round: Round::new(1),
            value: BlockId(Digest([4; 32])),
            signatures: vec![mine; 3],
        }),
        Message::RoundProof(RoundProof {
            height: Height(3),
            round: Round::new(1),
            precommits: true,
            votes: vec![(VoteType::Precommit, some, mine.0, mine.1); 2],
        }),
        Message::Commands(vec![signed(&request(10), 0); 2]),
        Message::Status { height: 5 },
        Message::SyncRequest { from: 2, count: 9 },
        Message::SyncResponse(vec![decided; 2]),
    ];
    let whole = |message: &Message| message.encode().expect("small");
    messages.iter().map(whole).collect()
}

pub(super) fn block() -> Samples {
    let empty = ConsensusBlock {
        entries: Vec::new(),
        evidence: Vec::new(),
        ..some_block()
    };
    [some_block(), empty]
        .iter()
        .map(|block| block.encode().expect("small"))
        .collect()
}

/// Whole frames, with and without something torn after them, and the bodies of single ones.
pub(super) fn write_ahead_log() -> Samples {
    let some = NilOrVal::Val(BlockId(Digest([4; 32])));
    let records = [
        WalRecord::Vote(vote(VoteType::Precommit, some)),
        WalRecord::Proposal(proposal()),
        WalRecord::Block(JudgedBlock {
            round: Round::new(1),
            pol_round: Round::Nil,
            proposer: key().public(),
            valid: true,
            synced: false,
            named: named(),
        }),
        WalRecord::Timeout(Height(3), Timeout::prevote(Round::new(1))),
        WalRecord::Polka(Polka {
            height: Height(3),
            round: Round::new(1),
            value: BlockId(Digest([4; 32])),
            signatures: vec![(key().public(), key().sign(b"vote"))],
        }),
    ];
    let frames: Samples = records
        .iter()
        .map(|record| record.frame().expect("small"))
        .collect();
    let log = frames.concat();
    let torn = log[..log.len() - 7].to_vec();
    let mut samples = vec![log, torn];
    for frame in frames {
        let body = frame[20..].to_vec();
        assert_eq!(framed(&body), frame);
        samples.push(body);
    }
    samples
}

/// A ledger in which something has happened.
fn ledger() -> Ledger {
    let mut ledger = Ledger::new(genesis().clone()).expect("valid");
    let chain = ledger.chain_id();
    let mut operator = commands();
    operator.retain(|command| {
        matches!(
            command,
            Command::RegisterDevice { .. } | Command::RegisterAgent { .. }
        )
    });
    let sign = |agent, seq, command: &Command| {
        SignedCommand::sign(&key(), chain, agent, seq, command).expect("small")
    };
    let operators = (0..)
        .zip(&operator)
        .map(|(seq, command)| sign(OPERATOR, seq, command));
    let agents = (0..).zip([request(1 << 29), request(1 << 28), request(1 << 29)]);
    let own = agents.map(|(seq, command)| sign(AgentId(1), seq, &command));
    let block = Block {
        height: 1,
        time: Timestamp(1_000),
        entries: operators.chain(own).collect(),
        evidence: Vec::new(),
    };
    ledger.apply(&block).expect("the first block");
    ledger
}

pub(super) fn snapshot() -> Samples {
    vec![
        Ledger::new(genesis().clone()).expect("valid").snapshot(),
        ledger().snapshot(),
    ]
}

pub(super) fn genesis_file() -> Samples {
    vec![file::to_text(genesis()).into_bytes()]
}

pub(super) fn key_file() -> Samples {
    let (schema, public) = (keystore::SCHEMA, key().public().to_hex());
    vec![format!("{schema}\npublic {public}\nsecret {}\n", "01".repeat(32)).into_bytes()]
}

pub(super) fn manifest() -> Samples {
    [0_usize, 1, 5_000]
        .map(|size| {
            Manifest::of(&vec![9; size][..], MIN_CHUNK)
                .expect("in range")
                .encode()
        })
        .to_vec()
}

fn some_insight() -> SignedInsight {
    SignedInsight::sign(&key(), CHAIN, text("learning rate"), 4, vec![1; 60]).expect("small")
}

pub(super) fn insight() -> Samples {
    vec![some_insight().encode().expect("small")]
}

pub(super) fn negotiation() -> Samples {
    let signature = key().sign(b"message");
    let bodies = [
        Body::Open(charter()),
        Body::Offer {
            round: 3,
            first: bundle(500, 350, 40),
            contract: signature,
        },
        Body::Accept {
            round: 3,
            contract: signature,
        },
        Body::Withdraw,
    ];
    let whole = |body| {
        negotiate::encode(&Envelope {
            session: charter().id(),
            from: Side::First,
            seq: 2,
            body,
            signature,
        })
    };
    bodies.map(whole).to_vec()
}

pub(super) fn contract() -> Samples {
    vec![agreed().encode()]
}

pub(super) fn ask() -> Samples {
    let requests = [
        Request::Status,
        Request::Commands(vec![signed(&request(10), 0); 2]),
        Request::Negotiation(negotiation().remove(0)),
        Request::Insight(some_insight()),
        Request::Health(vec![Opinion {
            about: other().public(),
            phi_milli: 9_000,
        }]),
        Request::Manifest(ContentId(Digest([6; 32]))),
        Request::Work(vec![7; 90]),
        Request::Chunk {
            id: ContentId(Digest([6; 32])),
            index: 3,
        },
    ];
    requests.map(|request| request.encode().expect("small")).to_vec()
}

pub(super) fn answer() -> Samples {
    let responses = [
        Response::Taken,
        Response::Refused(Refusal::Busy),
        Response::Status(Status {
            chain: CHAIN,
            height: 7,
            state: Digest([3; 32]),
        }),
        Response::Negotiation(negotiation().remove(1)),
        Response::Manifest(manifest().remove(2)),
        Response::Chunk(vec![5; 300]),
        Response::Work(vec![7; 90]),
    ];
    responses
        .map(|response| response.encode().expect("small"))
        .to_vec()
}

/// A whole file, and the bodies of its frames.
pub(super) fn history() -> Samples {
    let record = |kind, text: &str| HistoryRecord {
        height: 3,
        time: Timestamp(5),
        kind,
        agent: Some(AgentId(1)),
        lease: Some(LeaseId(4)),
        device: None,
        text: text.to_owned(),
    };
    let records = [
        record(HistoryKind::Lease, "lease-4 is agent-1's"),
        record(HistoryKind::Health, ""),
    ];
    let mut samples: Samples = records
        .iter()
        .map(|record| codec::encode::<512, _>(record).expect("small"))
        .collect();
    let file = samples.iter().flat_map(|body| noted(body)).collect();
    samples.push(file);
    samples
}
