//! What nodes say to each other, and its bytes.

use crate::command::SignedCommand;
use crate::genesis::ChainId;
use crate::health::{MAX_OPINIONS, Opinion};
use crate::keys::Digest;
use crate::knowledge::{InsightError, SignedInsight};
use crate::streams::{ContentId, MAX_CHUNK, MAX_MANIFEST};
use daa_base::codec::{self, CodecError};
use serde::{Deserialize, Serialize};

/// Commands in one request.
pub const MAX_COMMANDS: usize = 64;

/// Largest negotiation message in bytes.
pub const MAX_NEGOTIATION: usize = 16 << 10;

/// Largest order of work, and largest answer to one, in bytes.
pub const MAX_WORK: usize = 32 << 10;

/// Largest encoded [`Request`] in bytes.
pub const MAX_REQUEST: usize = 64 << 10;

/// Largest encoded [`Response`] in bytes: a manifest or a chunk and a few bytes around it.
pub const MAX_RESPONSE: usize = larger(MAX_MANIFEST, MAX_CHUNK as usize) + 64;

const fn larger(a: usize, b: usize) -> usize {
    if a > b { a } else { b }
}

/// Why bytes are no message.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum WireError {
    /// They are too many, or not the canonical form of a message.
    #[error("message: {0}")]
    Codec(#[from] CodecError),
    /// Something in it is too large or too many.
    #[error("{field} is {value}, allowed are 0 to {max}")]
    OutOfRange {
        /// What.
        field: &'static str,
        /// How large, or how many.
        value: usize,
        /// What is allowed.
        max: usize,
    },
    /// An insight in it is too large.
    #[error("{0}")]
    Insight(#[from] InsightError),
}

/// What a node asks or tells another. Variants are encoded by their position: new ones go to the end.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub enum Request {
    /// How far are you? Answered with [`Response::Status`].
    Status,
    /// Commands to be put into blocks; at most [`MAX_COMMANDS`].
    Commands(Vec<SignedCommand>),
    /// A message of a negotiation, at most [`MAX_NEGOTIATION`] bytes, in the form that negotiation gives it.
    Negotiation(Vec<u8>),
    /// An insight.
    Insight(SignedInsight),
    /// What the sender thinks about the health of others; at most [`MAX_OPINIONS`].
    Health(Vec<Opinion>),
    /// The manifest of content, please. Answered with [`Response::Manifest`].
    Manifest(ContentId),
    /// A chunk of content, please. Answered with [`Response::Chunk`].
    Chunk {
        /// Of which content.
        id: ContentId,
        /// Which one.
        index: u32,
    },
    /// An order of work, at most [`MAX_WORK`] bytes, in the form that agents give it. Answered with [`Response::Work`].
    Work(Vec<u8>),
}

/// Why a request was not served.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum Refusal {
    /// The peer is not allowed here.
    NotAllowed,
    /// The peer asks too much.
    TooMuch,
    /// The request cannot be read.
    Malformed,
    /// What is asked for is not here.
    NotHere,
    /// Nobody could serve it in time.
    Busy,
    /// It was read and turned down: stale, forged or of no use.
    Invalid,
}

/// How far a node is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Status {
    /// Its chain.
    pub chain: ChainId,
    /// The last block that it applied.
    pub height: u64,
    /// Its ledger's hash after that block.
    pub state: Digest,
}

/// The answer to a [`Request`].
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub enum Response {
    /// It was taken.
    Taken,
    /// It was not.
    Refused(Refusal),
    /// How far this node is.
    Status(Status),
    /// The answer in a negotiation, at most [`MAX_NEGOTIATION`] bytes.
    Negotiation(Vec<u8>),
    /// A manifest's canonical bytes, at most [`MAX_MANIFEST`].
    Manifest(Vec<u8>),
    /// A chunk, at most [`MAX_CHUNK`] bytes.
    Chunk(Vec<u8>),
    /// The answer to an order of work, at most [`MAX_WORK`] bytes.
    Work(Vec<u8>),
}

impl Request {
    /// The canonical bytes.
    ///
    /// # Errors
    /// [`WireError`] when it is larger than allowed.
    pub fn encode(&self) -> Result<Vec<u8>, WireError> {
        self.check()?;
        Ok(codec::encode::<MAX_REQUEST, _>(self)?)
    }

    /// The request in canonical `bytes`. Signatures in it are not checked.
    ///
    /// # Errors
    /// [`WireError`].
    pub fn decode(bytes: &[u8]) -> Result<Self, WireError> {
        let request: Self = codec::decode_canonical::<MAX_REQUEST, _>(bytes)?;
        request.check()?;
        Ok(request)
    }

    fn check(&self) -> Result<(), WireError> {
        match self {
            Self::Commands(commands) => {
                at_most("commands", commands.len(), MAX_COMMANDS)?;
                for command in commands {
                    at_most("payload", command.payload.len(), crate::command::MAX_PAYLOAD)?;
                }
                Ok(())
            }
            Self::Negotiation(bytes) => at_most("negotiation", bytes.len(), MAX_NEGOTIATION),
            Self::Insight(signed) => Ok(signed.insight.check_size()?),
            Self::Health(opinions) => at_most("opinions", opinions.len(), MAX_OPINIONS),
            Self::Work(bytes) => at_most("work", bytes.len(), MAX_WORK),
            Self::Status | Self::Manifest(_) | Self::Chunk { .. } => Ok(()),
        }
    }
}

impl Response {
    /// The canonical bytes.
    ///
    /// # Errors
    /// [`WireError`] when it is larger than allowed.
    pub fn encode(&self) -> Result<Vec<u8>, WireError> {
        self.check()?;
        Ok(codec::encode::<MAX_RESPONSE, _>(self)?)
    }

    /// The response in canonical `bytes`.
    ///
    /// # Errors
    /// [`WireError`].
    pub fn decode(bytes: &[u8]) -> Result<Self, WireError> {
        let response: Self = codec::decode_canonical::<MAX_RESPONSE, _>(bytes)?;
        response.check()?;
        Ok(response)
    }

    fn check(&self) -> Result<(), WireError> {
        match self {
            Self::Negotiation(bytes) => at_most("negotiation", bytes.len(), MAX_NEGOTIATION),
            Self::Manifest(bytes) => at_most("manifest", bytes.len(), MAX_MANIFEST),
            Self::Chunk(bytes) => at_most("chunk", bytes.len(), MAX_CHUNK as usize),
            Self::Work(bytes) => at_most("work", bytes.len(), MAX_WORK),
            Self::Taken | Self::Refused(_) | Self::Status(_) => Ok(()),
        }
    }
}

const fn at_most(field: &'static str, value: usize, max: usize) -> Result<(), WireError> {
    if value > max {
        return Err(WireError::OutOfRange { field, value, max });
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::command::Command;
    use crate::keys::{AgentKey, PublicKey};
    use crate::text::ShortText;
    use daa_base::{AgentId, TrialId};
    use proptest::prelude::*;

    const CHAIN: ChainId = ChainId([3; 32]);

    fn requests() -> Vec<Request> {
        let key = AgentKey::from_secret(&[1; 32]);
        let command = Command::TouchTrial { trial: TrialId(1) };
        let command = SignedCommand::sign(&key, CHAIN, AgentId(1), 0, &command).expect("small");
        let insight =
            SignedInsight::sign(&key, CHAIN, ShortText::fitted("lr"), 1, vec![1; 50]).expect("small");
        let about = PublicKey([2; 32]);
        let id = ContentId(Digest([5; 32]));
        vec![
            Request::Status,
            Request::Commands(vec![command; 3]),
            Request::Negotiation(vec![7; 100]),
            Request::Insight(insight),
            Request::Health(vec![Opinion { about, phi_milli: 7 }; 4]),
            Request::Manifest(id),
            Request::Chunk { id, index: 9 },
            Request::Work(vec![8; MAX_WORK]),
        ]
    }

    #[test]
    fn every_message_survives() {
        for request in requests() {
            let bytes = request.encode().expect("small");
            assert_eq!(Request::decode(&bytes), Ok(request));
        }
        let status = Status {
            chain: CHAIN,
            height: 4,
            state: Digest([1; 32]),
        };
        for response in [
            Response::Taken,
            Response::Refused(Refusal::TooMuch),
            Response::Status(status),
            Response::Negotiation(vec![1; MAX_NEGOTIATION]),
            Response::Manifest(vec![1; MAX_MANIFEST]),
            Response::Chunk(vec![1; MAX_CHUNK as usize]),
            Response::Work(vec![1; MAX_WORK]),
        ] {
            let bytes = response.encode().expect("at its limit");
            assert_eq!(Response::decode(&bytes), Ok(response));
        }
    }

    #[test]
    fn limits_hold_in_both_directions() {
        let key = PublicKey([1; 32]);
        let over = Request::Health(vec![
            Opinion {
                about: key,
                phi_milli: 0
            };
            MAX_OPINIONS + 1
        ]);
        let error = over.encode().expect_err("129");
        assert_eq!(error.to_string(), "opinions is 129, allowed are 0 to 128");
        let bytes = codec::encode::<MAX_REQUEST, _>(&over).expect("below the outer limit");
        assert_eq!(Request::decode(&bytes), Err(error));
        assert!(
            Request::Negotiation(vec![0; MAX_NEGOTIATION + 1])
                .encode()
                .is_err()
        );
        assert!(Response::Chunk(vec![0; MAX_CHUNK as usize + 1]).encode().is_err());
        assert!(Request::Work(vec![0; MAX_WORK + 1]).encode().is_err());
        assert!(Response::Work(vec![0; MAX_WORK + 1]).encode().is_err());
        let over = Request::Work(vec![0; MAX_WORK + 1]);
        let bytes = codec::encode::<MAX_REQUEST, _>(&over).expect("below the outer limit");
        let error = Request::decode(&bytes).expect_err("beyond its own limit");
        assert_eq!(error.to_string(), "work is 32769, allowed are 0 to 32768");
        assert!(Request::decode(&vec![0; MAX_REQUEST + 1]).is_err());
    }

    proptest! {
        #[test]
        fn any_bytes_decode_or_fail_without_harm(bytes in prop::collection::vec(any::<u8>(), 0..300)) {
            if let Ok(request) = Request::decode(&bytes) {
                prop_assert_eq!(request.encode().expect("fits"), bytes.clone());
            }
            if let Ok(response) = Response::decode(&bytes) {
                prop_assert_eq!(response.encode().expect("fits"), bytes);
            }
        }

        #[test]
        fn damaged_requests_decode_or_fail_without_harm(which in 0_usize..8, at: usize, byte: u8, cut: usize) {
            let mut bytes = requests()[which].encode().expect("small");
            let at = at % bytes.len();
            bytes[at] = byte;
            let cut = cut % (bytes.len() + 1);
            for bytes in [&bytes[..], &bytes[..cut]] {
                if let Ok(request) = Request::decode(bytes) {
                    prop_assert_eq!(request.encode().expect("fits"), bytes);
                }
            }
        }
    }
}
