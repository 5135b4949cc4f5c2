//! Everything the engine sends and stores, in our bounded canonical form.

use crate::consensus::{
    BlockId, Certificate, ChainContext, Height, MAX_BLOCK, MAX_COMMANDS, MAX_SYNC_BLOCKS, Message,
    NamedBlock, Part, WireError,
};
use arc_malachitebft_app_channel::app::streaming::{StreamContent, StreamId, StreamMessage};
use arc_malachitebft_app_channel::app::types::{PeerId, SignedConsensusMsg};
use arc_malachitebft_codec::{Codec, HasEncodedLen};
use arc_malachitebft_core_consensus::LivenessMsg;
use arc_malachitebft_sync::{RawDecidedValue, Request, Response, Status, ValueRequest, ValueResponse};
use bytes::Bytes;
use daa_base::codec::{self, CodecError};
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

/// Largest encoded part, and so largest piece of a block with its circumstances.
pub(super) const MAX_PART: usize = 1 << 20;

/// Largest name of a stream or peer.
const MAX_NAME: usize = 64;

/// Largest response with decided blocks.
pub(super) const MAX_RESPONSE: usize = 8 << 20;

/// Largest of the small messages: requests, status, proofs.
pub(super) const MAX_SMALL: usize = 1024;

/// Why something does not encode or decode.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum EngineCodecError {
    /// It is malformed or too large.
    #[error(transparent)]
    Codec(#[from] CodecError),
    /// It is malformed or too large.
    #[error(transparent)]
    Wire(#[from] WireError),
    /// It is well-formed, but does not belong there.
    #[error("a {found} message does not belong here")]
    Unexpected {
        /// What it is.
        found: &'static str,
    },
    /// A name or list is too long, or empty.
    #[error("{field} has {found} entries, allowed are 1 to {limit}")]
    Length {
        /// Which.
        field: &'static str,
        /// How many it has.
        found: usize,
        /// How many it may have.
        limit: usize,
    },
    /// A peer's name is malformed.
    #[error("the peer's name is malformed")]
    Peer,
}

type Outcome<T> = Result<T, EngineCodecError>;

/// Blocks that are not decided yet, by name. The engine names them only; the write-ahead log has them whole, and on a restart
/// they come back with it.
#[derive(Debug, Clone, Default)]
pub(super) struct Undecided(Arc<Mutex<BTreeMap<BlockId, NamedBlock>>>);

impl Undecided {
    fn lock(&self) -> MutexGuard<'_, BTreeMap<BlockId, NamedBlock>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(super) fn insert(&self, named: NamedBlock) {
        self.lock().insert(named.id(), named);
    }

    pub(super) fn get(&self, id: BlockId) -> Option<NamedBlock> {
        self.lock().get(&id).cloned()
    }

    pub(super) fn at(&self, height: u64) -> Vec<NamedBlock> {
        let blocks = self.lock();
        let wanted = blocks.values().filter(|named| named.height() == height);
        wanted.cloned().collect()
    }

    /// Forgets what is below `height`.
    pub(super) fn prune(&self, height: u64) {
        self.lock().retain(|_, named| named.height() >= height);
    }
}

/// The codec of the engine's network and value sync.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct EngineCodec;

fn bounded(field: &'static str, found: usize, limit: usize) -> Outcome<()> {
    if found == 0 || found > limit {
        return Err(EngineCodecError::Length { field, found, limit });
    }
    Ok(())
}

fn put<const LIMIT: usize>(value: &impl Serialize) -> Outcome<Bytes> {
    Ok(codec::encode::<LIMIT, _>(value)?.into())
}

fn take<const LIMIT: usize, T: serde::de::DeserializeOwned + Serialize>(bytes: &Bytes) -> Outcome<T> {
    Ok(codec::decode_canonical::<LIMIT, T>(bytes)?)
}

fn check_part(part: &Part) -> Outcome<()> {
    match part {
        Part::Block(part) => bounded("part", part.bytes.len(), MAX_PART),
        Part::Commands(commands) => bounded("commands", commands.len(), MAX_COMMANDS),
        Part::Status { .. } => Ok(()),
    }
}

impl Codec<Part> for EngineCodec {
    type Error = EngineCodecError;

    fn decode(&self, bytes: Bytes) -> Outcome<Part> {
        let part = take::<MAX_PART, Part>(&bytes)?;
        check_part(&part)?;
        Ok(part)
    }

    fn encode(&self, part: &Part) -> Outcome<Bytes> {
        check_part(part)?;
        put::<MAX_PART>(part)
    }
}

#[derive(Serialize, Deserialize)]
struct StreamBytes {
    stream: Vec<u8>,
    sequence: u64,
    part: Option<Part>,
}

impl Codec<StreamMessage<Part>> for EngineCodec {
    type Error = EngineCodecError;

    fn decode(&self, bytes: Bytes) -> Outcome<StreamMessage<Part>> {
        let StreamBytes {
            stream,
            sequence,
            part,
        } = take::<MAX_PART, _>(&bytes)?;
        bounded("stream", stream.len(), MAX_NAME)?;
        let content = match part {
            Some(part) => {
                check_part(&part)?;
                StreamContent::Data(part)
            }
            None => StreamContent::Fin,
        };
        Ok(StreamMessage::new(
            StreamId::new(stream.into()),
            sequence,
            content,
        ))
    }

    fn encode(&self, message: &StreamMessage<Part>) -> Outcome<Bytes> {
        put::<MAX_PART>(&StreamBytes {
            stream: message.stream_id.to_bytes().to_vec(),
            sequence: message.sequence,
            part: message.content.as_data().cloned(),
        })
    }
}

impl Codec<SignedConsensusMsg<ChainContext>> for EngineCodec {
    type Error = EngineCodecError;

    fn decode(&self, bytes: Bytes) -> Outcome<SignedConsensusMsg<ChainContext>> {
        match Message::decode(&bytes)? {
            Message::Vote(vote) => Ok(SignedConsensusMsg::Vote(vote.into())),
            Message::Proposal(proposal) => Ok(SignedConsensusMsg::Proposal(proposal.into())),
            other => Err(EngineCodecError::Unexpected { found: other.kind() }),
        }
    }

    fn encode(&self, message: &SignedConsensusMsg<ChainContext>) -> Outcome<Bytes> {
        let message = match message.clone() {
            SignedConsensusMsg::Vote(vote) => Message::Vote(vote.into()),
            SignedConsensusMsg::Proposal(proposal) => Message::Proposal(proposal.into()),
        };
        Ok(message.encode()?.into())
    }
}

impl Codec<LivenessMsg<ChainContext>> for EngineCodec {
    type Error = EngineCodecError;

    fn decode(&self, bytes: Bytes) -> Outcome<LivenessMsg<ChainContext>> {
        match Message::decode(&bytes)? {
            Message::Vote(vote) => Ok(LivenessMsg::Vote(vote.into())),
            Message::Polka(polka) => Ok(LivenessMsg::PolkaCertificate((&polka).into())),
            Message::RoundProof(proof) => Ok(LivenessMsg::SkipRoundCertificate((&proof).into())),
            other => Err(EngineCodecError::Unexpected { found: other.kind() }),
        }
    }

    fn encode(&self, message: &LivenessMsg<ChainContext>) -> Outcome<Bytes> {
        let message = match message {
            LivenessMsg::Vote(vote) => Message::Vote(vote.clone().into()),
            LivenessMsg::PolkaCertificate(polka) => Message::Polka(polka.into()),
            LivenessMsg::SkipRoundCertificate(proof) => Message::RoundProof(proof.into()),
        };
        Ok(message.encode()?.into())
    }
}

#[derive(Serialize, Deserialize)]
struct StatusBytes {
    peer: Vec<u8>,
    tip: Height,
    oldest: Height,
}

impl Codec<Status<ChainContext>> for EngineCodec {
    type Error = EngineCodecError;

    fn decode(&self, bytes: Bytes) -> Outcome<Status<ChainContext>> {
        let StatusBytes { peer, tip, oldest } = take::<MAX_SMALL, _>(&bytes)?;
        Ok(Status {
            peer_id: PeerId::from_bytes(&peer).map_err(|_| EngineCodecError::Peer)?,
            tip_height: tip,
            history_min_height: oldest,
        })
    }

    fn encode(&self, status: &Status<ChainContext>) -> Outcome<Bytes> {
        put::<MAX_SMALL>(&StatusBytes {
            peer: status.peer_id.to_bytes(),
            tip: status.tip_height,
            oldest: status.history_min_height,
        })
    }
}

impl Codec<Request<ChainContext>> for EngineCodec {
    type Error = EngineCodecError;

    fn decode(&self, bytes: Bytes) -> Outcome<Request<ChainContext>> {
        let (first, last) = take::<MAX_SMALL, (Height, Height)>(&bytes)?;
        Ok(Request::ValueRequest(ValueRequest::new(first..=last)))
    }

    fn encode(&self, request: &Request<ChainContext>) -> Outcome<Bytes> {
        let Request::ValueRequest(request) = request;
        put::<MAX_SMALL>(&(*request.range.start(), *request.range.end()))
    }
}

#[derive(Serialize, Deserialize)]
struct ResponseBytes {
    first: Height,
    values: Vec<ValueBytes>,
}

#[derive(Serialize, Deserialize)]
struct ValueBytes {
    height: Height,
    id: BlockId,
    certificate: Certificate,
    block: Vec<u8>,
}

fn response_bytes(response: &Response<ChainContext>) -> ResponseBytes {
    let Response::ValueResponse(response) = response;
    let values = response.values.iter().map(|value| ValueBytes {
        height: value.certificate.height,
        id: value.certificate.value_id,
        certificate: Certificate::from_extended(&value.certificate),
        block: value.value_bytes.to_vec(),
    });
    ResponseBytes {
        first: response.start_height,
        values: values.collect(),
    }
}

impl Codec<Response<ChainContext>> for EngineCodec {
    type Error = EngineCodecError;

    fn decode(&self, bytes: Bytes) -> Outcome<Response<ChainContext>> {
        let ResponseBytes { first, values } = take::<MAX_RESPONSE, _>(&bytes)?;
        if values.len() > MAX_SYNC_BLOCKS {
            bounded("values", values.len(), MAX_SYNC_BLOCKS)?;
        }
        let mut decided = Vec::with_capacity(values.len());
        for value in values {
            bounded("block", value.block.len(), MAX_BLOCK)?;
            if !value.certificate.is_bounded() {
                return Err(EngineCodecError::Unexpected {
                    found: "certificate with too many signatures",
                });
            }
            let certificate = value.certificate.to_extended(value.height.0, value.id);
            decided.push(RawDecidedValue::new(value.block.into(), certificate));
        }
        Ok(Response::ValueResponse(ValueResponse::new(first, decided)))
    }

    fn encode(&self, response: &Response<ChainContext>) -> Outcome<Bytes> {
        put::<MAX_RESPONSE>(&response_bytes(response))
    }
}

impl HasEncodedLen<Response<ChainContext>> for EngineCodec {
    fn encoded_len(&self, response: &Response<ChainContext>) -> Outcome<usize> {
        Ok(self.encode(response)?.len())
    }
}
