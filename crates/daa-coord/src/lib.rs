#![doc = include_str!("../README.md")]
#![forbid(unsafe_code)]

pub mod client;
pub mod command;
pub mod conflict;
pub mod consensus;
pub mod coordination;
pub mod discovery;
pub mod feed;
pub mod genesis;
pub mod health;
pub mod keys;
pub mod keystore;
pub mod knowledge;
pub mod ledger;
pub mod log;
pub mod negotiate;
pub mod policy;
#[cfg(any(test, feature = "sim"))]
pub mod sim;
pub mod streams;
pub mod text;
pub mod validators;

pub use client::{BlockingClient, LedgerNode, NodeUpdate, Outbox, OutboxConfig, Resolution};
pub use command::{Command, OperatorVerdict, RequestId, ResourceRequest, Said, SignedCommand, Statement};
pub use coordination::{CoordinationConfig, CoordinationHistory, CoordinationMetrics};
pub use genesis::{ChainId, ConfigError, Genesis, LedgerConfig, Member, OPERATOR, OnEvidence, Quorum};
pub use keys::{AgentKey, Digest, Ed25519, KeyError, PublicKey, Signature, SignatureScheme, Signer};
pub use ledger::{Lease, Ledger, LedgerError, LedgerEvent, TrialRecord, sponsor_of, sponsored};
pub use log::sequencer::{Sequencer, SequencerConfig, SequencerFaults};
pub use log::{Block, BlockStream, CommitLog, SubmitError, SubscribeError};
pub use text::{ShortText, TextError};
pub use validators::{Validator, ValidatorError, ValidatorSet};

#[cfg(test)]
extern crate self as daa_coord;
#[cfg(test)]
mod hostile;
