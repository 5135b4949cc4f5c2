//! The engine's decoders, for fuzzing and for this crate's own tests with hostile bytes.

use super::codec::{EngineCodec, EngineCodecError};
use super::links::read_all;
use crate::consensus::{
    BlockId, BlockPart, Certificate, ChainContext, Height, Part, Polka, Proposal, RoundProof, Sealed,
    SignedVote, Vote,
};
use crate::genesis::ChainId;
use crate::keys::{AgentKey, Digest};
use arc_malachitebft_app_channel::app::streaming::{StreamContent, StreamId, StreamMessage};
use arc_malachitebft_app_channel::app::types::{PeerId, SignedConsensusMsg};
use arc_malachitebft_codec::Codec;
use arc_malachitebft_core_consensus::LivenessMsg;
use arc_malachitebft_core_types::{NilOrVal, Round, VoteType};
use arc_malachitebft_sync::{RawDecidedValue, Request, Response, Status, ValueRequest, ValueResponse};
use bytes::Bytes;

/// A kind of bytes that the engine gets from peers.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Wire {
    /// A piece of a block, commands, a height.
    Part,
    /// The same on its way.
    Stream,
    /// A vote or proposal.
    Consensus,
    /// A vote or certificate, sent again.
    Liveness,
    /// How far value sync can serve.
    Status,
    /// A request for decided blocks.
    Request,
    /// Decided blocks.
    Response,
}

/// What `bytes` are decoded to, as bytes again; `None`: they do not decode.
///
/// # Panics
/// When what was decoded cannot be encoded.
#[must_use]
pub fn again(wire: Wire, bytes: &[u8]) -> Option<Vec<u8>> {
    fn through<T>(bytes: &[u8]) -> Option<Vec<u8>>
    where
        EngineCodec: Codec<T, Error = EngineCodecError>,
    {
        let value: T = EngineCodec.decode(Bytes::copy_from_slice(bytes)).ok()?;
        let again = EngineCodec.encode(&value);
        Some(again.expect("what was decoded can be encoded").to_vec())
    }
    match wire {
        Wire::Part => through::<Part>(bytes),
        Wire::Stream => through::<StreamMessage<Part>>(bytes),
        Wire::Consensus => through::<SignedConsensusMsg<ChainContext>>(bytes),
        Wire::Liveness => through::<LivenessMsg<ChainContext>>(bytes),
        Wire::Status => through::<Status<ChainContext>>(bytes),
        Wire::Request => through::<Request<ChainContext>>(bytes),
        Wire::Response => through::<Response<ChainContext>>(bytes),
    }
}

/// A message of a connection, and what [`again`] makes of it.
pub type Heard = (Vec<u8>, Option<Vec<u8>>);

/// Reads frames as from a connection, and what is in them. The bytes of the whole frames at the beginning of `bytes`, and
/// the messages of all frames that have one.
#[must_use]
pub fn frames(bytes: &[u8]) -> (Vec<u8>, Vec<Heard>) {
    let (mut whole, mut messages) = (Vec::new(), Vec::new());
    for (kind, body, message) in read_all(bytes) {
        whole.extend_from_slice(&(body.len() as u32).to_le_bytes());
        whole.push(kind);
        whole.extend_from_slice(&body);
        let wire = match kind {
            2 => Wire::Consensus,
            3 => Wire::Liveness,
            4 => Wire::Stream,
            5 => Wire::Status,
            6 => Wire::Request,
            7 => Wire::Response,
            _ => continue,
        };
        let again = again(wire, &message);
        messages.push((message.to_vec(), again));
    }
    (whole, messages)
}

/// Bytes that decode.
///
/// # Panics
/// Never: they are small.
#[must_use]
pub fn samples(wire: Wire) -> Vec<Vec<u8>> {
    fn all<T>(values: impl IntoIterator<Item = T>) -> Vec<Vec<u8>>
    where
        EngineCodec: Codec<T, Error = EngineCodecError>,
    {
        let values = values.into_iter();
        values
            .map(|value| EngineCodec.encode(&value).expect("small").to_vec())
            .collect()
    }
    let stream = |part| StreamMessage::new(StreamId::new(Bytes::from_static(b"stream")), 3, part);
    match wire {
        Wire::Part => all(parts()),
        Wire::Stream => {
            let data = parts().map(StreamContent::Data);
            all(data.into_iter().chain([StreamContent::Fin]).map(stream))
        }
        Wire::Consensus => all([
            SignedConsensusMsg::Vote(vote(NilOrVal::Nil).into()),
            SignedConsensusMsg::Vote(vote(NilOrVal::Val(id())).into()),
            SignedConsensusMsg::Proposal(proposal().into()),
        ]),
        Wire::Liveness => all([
            LivenessMsg::Vote(vote(NilOrVal::Nil).into()),
            LivenessMsg::PolkaCertificate((&polka()).into()),
            LivenessMsg::SkipRoundCertificate((&round_proof(true)).into()),
            LivenessMsg::SkipRoundCertificate((&round_proof(false)).into()),
        ]),
        Wire::Status => all([Status {
            peer_id: peer(),
            tip_height: Height(9),
            history_min_height: Height(2),
        }]),
        Wire::Request => {
            let ranges = [(2, 9), (9, 2), (0, u64::MAX), (u64::MAX, 0)];
            all(ranges
                .map(|(first, last)| Request::ValueRequest(ValueRequest::new(Height(first)..=Height(last)))))
        }
        Wire::Response => all([0, 1, 2].map(|count| {
            let values = (0..count).map(|at| {
                let certificate = certificate().to_extended(4 + at, id());
                RawDecidedValue::new(Bytes::from_static(b"a block"), certificate)
            });
            Response::ValueResponse(ValueResponse::new(Height(4), values.collect()))
        })),
    }
}

/// Connections on which one of everything comes.
#[must_use]
pub fn frame_samples() -> Vec<Vec<u8>> {
    let frame = |kind: u8, number: Option<u64>, message: &[u8]| {
        let number = number.map(u64::to_le_bytes);
        let number = number.as_ref().map_or(&[][..], |number| &number[..]);
        let length = (number.len() + message.len()) as u32;
        [&length.to_le_bytes()[..], &[kind], number, message].concat()
    };
    let kinds = [
        (2, Wire::Consensus, None),
        (3, Wire::Liveness, None),
        (4, Wire::Stream, None),
        (5, Wire::Status, None),
        (6, Wire::Request, Some(1)),
        (7, Wire::Response, Some(1)),
    ];
    let one_each = kinds.map(|(kind, wire, number)| frame(kind, number, &samples(wire)[0]));
    let mut connections = one_each.to_vec();
    connections.push([frame(0, None, &[]), frame(1, None, &[]), one_each.concat()].concat());
    connections
}

fn key() -> AgentKey {
    AgentKey::from_secret(&[1; 32])
}

fn peer() -> PeerId {
    let peer = crate::discovery::peer_id(&key().public()).expect("an Ed25519 key");
    PeerId::from_bytes(&peer.to_bytes()).expect("the same form")
}

const fn id() -> BlockId {
    BlockId(Digest([4; 32]))
}

fn parts() -> [Part; 4] {
    let command = crate::command::Command::Present {
        challenge: Digest([8; 32]),
    };
    let command = crate::command::SignedCommand::sign(&key(), CHAIN, daa_base::AgentId(1), 3, &command);
    let command = command.expect("small");
    [
        Part::Block(BlockPart {
            height: Height(3),
            round: Round::new(1),
            pol_round: Round::Nil,
            proposer: key().public(),
            index: 0,
            count: 2,
            bytes: b"piece".to_vec(),
        }),
        Part::Commands(vec![command.clone(); 2]),
        Part::Commands(vec![command]),
        Part::Status { height: 7 },
    ]
}

const CHAIN: ChainId = ChainId([7; 32]);

fn vote(value: NilOrVal<BlockId>) -> SignedVote {
    let message = Vote {
        kind: VoteType::Precommit,
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
        value: id(),
        pol_round: Round::new(0),
        proposer: key().public(),
    };
    let signature = key().sign(&message.signing_bytes(CHAIN));
    Sealed { message, signature }
}

fn certificate() -> Certificate {
    Certificate {
        round: 1,
        signatures: vec![(key().public(), key().sign(b"vote")); 3],
    }
}

fn polka() -> Polka {
    Polka {
        height: Height(3),
        round: Round::new(1),
        value: id(),
        signatures: certificate().signatures,
    }
}

fn round_proof(precommits: bool) -> RoundProof {
    let (key, signature) = certificate().signatures[0];
    RoundProof {
        height: Height(3),
        round: Round::new(1),
        precommits,
        votes: vec![
            (VoteType::Precommit, NilOrVal::Val(id()), key, signature),
            (VoteType::Prevote, NilOrVal::Nil, key, signature),
        ],
    }
}
