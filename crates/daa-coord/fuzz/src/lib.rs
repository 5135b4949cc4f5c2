//! Every decoder of daa-coord that reads what a peer sent or a file holds, each with what must hold whatever the bytes are:
//! no panic, and what decodes encodes to the same bytes.
//!
//! The fuzz targets beside this file call it, and so does the crate's own suite with fewer and cheaper inputs.

use daa_base::{AgentId, Timestamp, TrialId, codec};
use daa_coord::consensus::{BlockId, ConsensusBlock, Header, Message, read_frames};
use daa_coord::discovery::{Request, Response};
use daa_coord::genesis::file;
use daa_coord::keystore;
use daa_coord::knowledge::SignedInsight;
use daa_coord::negotiate::{self, Body, Contract, Envelope, Side};
use daa_coord::streams::{MAX_MANIFEST, MIN_CHUNK, Manifest};
use daa_coord::{
    AgentKey, ChainId, Command, Digest, Genesis, Ledger, LedgerConfig, ShortText, SignedCommand, ValidatorSet,
};
use std::path::Path;

/// A decoder: its name, what feeds it, and bytes that it takes.
pub type Decoder = (&'static str, fn(&[u8]), fn() -> Vec<u8>);

/// All of them.
pub const DECODERS: [Decoder; 14] = [
    ("command", command, command_sample),
    ("signed_command", signed_command, signed_command_sample),
    ("consensus_message", consensus_message, consensus_message_sample),
    ("block", block, block_sample),
    ("write_ahead_log", write_ahead_log, write_ahead_log_sample),
    ("snapshot", snapshot, snapshot_sample),
    ("genesis_file", genesis_file, genesis_file_sample),
    ("key_file", key_file, key_file_sample),
    ("manifest", manifest, manifest_sample),
    ("insight", insight, insight_sample),
    ("negotiation", negotiation, negotiation_sample),
    ("contract", contract, contract_sample),
    ("request", request, request_sample),
    ("response", response, response_sample),
];

const CHAIN: ChainId = ChainId([7; 32]);

fn key() -> AgentKey {
    AgentKey::from_secret(&[1; 32])
}

fn genesis() -> Genesis {
    let name = ShortText::fitted("hostile bytes");
    let genesis =
        Genesis::new(name, key().public(), LedgerConfig::default()).expect("the defaults are in range");
    let keys = (2..6).map(|n| AgentKey::from_secret(&[n; 32]).public());
    genesis.with_validators(ValidatorSet::equal(keys).expect("four keys"))
}

fn sample_command() -> SignedCommand {
    let command = Command::TouchTrial { trial: TrialId(3) };
    SignedCommand::sign(&key(), CHAIN, AgentId(1), 9, &command).expect("small")
}

/// What an agent asks, as its payload.
pub fn command(bytes: &[u8]) {
    let signed = SignedCommand {
        payload: bytes.to_vec(),
        ..sample_command()
    };
    if let Ok(command) = signed.command() {
        assert_eq!(codec::encode::<512, _>(&command).as_deref(), Ok(bytes));
    }
}

fn command_sample() -> Vec<u8> {
    sample_command().payload
}

/// A command with its signature.
pub fn signed_command(bytes: &[u8]) {
    if let Ok(signed) = codec::decode_canonical::<1024, SignedCommand>(bytes) {
        // Whether the payload or the signature is of any use is another question; asking it must do no harm.
        let _ = (signed.command(), signed.verify(CHAIN, &key().public()));
    }
}

fn signed_command_sample() -> Vec<u8> {
    codec::encode::<1024, _>(&sample_command()).expect("small")
}

/// What validators say to each other.
pub fn consensus_message(bytes: &[u8]) {
    if let Ok(message) = Message::decode(bytes) {
        assert_eq!(message.encode().as_deref(), Ok(bytes));
    }
}

fn consensus_message_sample() -> Vec<u8> {
    Message::Commands(vec![sample_command(); 2])
        .encode()
        .expect("small")
}

/// A block.
pub fn block(bytes: &[u8]) {
    if let Ok(block) = ConsensusBlock::decode(bytes) {
        assert_eq!(block.encode().as_deref(), Ok(bytes));
    }
}

fn block_sample() -> Vec<u8> {
    let header = Header {
        chain: CHAIN,
        height: 1,
        time: Timestamp(5),
        parent: BlockId::default(),
        state: Digest([3; 32]),
        proposer: key().public(),
    };
    let block = ConsensusBlock {
        header,
        entries: vec![sample_command(); 2],
        evidence: Vec::new(),
    };
    block.encode().expect("small")
}

/// A validator's write-ahead log.
pub fn write_ahead_log(bytes: &[u8]) {
    let contents = read_frames(bytes);
    assert!(contents.whole <= bytes.len());
    let again: Vec<u8> = contents
        .records
        .iter()
        .flat_map(|record| record.frame().expect("it was read"))
        .collect();
    assert_eq!(again, bytes[..contents.whole]);
}

fn write_ahead_log_sample() -> Vec<u8> {
    // A frame of nothing, whose checksum does not hold.
    vec![0; 20]
}

/// A ledger's snapshot.
pub fn snapshot(bytes: &[u8]) {
    if let Ok(ledger) = Ledger::restore(&genesis(), bytes) {
        assert_eq!(ledger.snapshot(), bytes);
    }
}

fn snapshot_sample() -> Vec<u8> {
    Ledger::new(genesis()).expect("valid").snapshot()
}

/// A genesis file.
pub fn genesis_file(bytes: &[u8]) {
    let Ok(text) = std::str::from_utf8(bytes) else {
        return;
    };
    if let Ok(genesis) = file::from_text(text) {
        assert_eq!(genesis.validate(), Ok(()));
        assert_eq!(file::from_text(&file::to_text(&genesis)).ok(), Some(genesis));
    }
}

fn genesis_file_sample() -> Vec<u8> {
    file::to_text(&genesis()).into_bytes()
}

/// A key file.
pub fn key_file(bytes: &[u8]) {
    if let Ok(key) = keystore::parse(Path::new("fuzzed"), bytes) {
        assert_eq!(key.public().check(), Ok(()));
    }
}

fn key_file_sample() -> Vec<u8> {
    let public = key().public().to_hex();
    format!(
        "{}\npublic {public}\nsecret {}\n",
        keystore::SCHEMA,
        "01".repeat(32)
    )
    .into_bytes()
}

/// The manifest of bulk data.
pub fn manifest(bytes: &[u8]) {
    if let Ok(manifest) = codec::decode_canonical::<MAX_MANIFEST, Manifest>(bytes) {
        assert_eq!(Manifest::decode(manifest.id(), bytes).as_ref(), Ok(&manifest));
        let mut end = 0;
        for index in 0..manifest.chunks() {
            let (offset, length) = manifest.place(index).expect("it exists");
            assert_eq!(offset, end);
            end += u64::from(length);
        }
        assert_eq!(end, manifest.bytes());
    }
}

fn manifest_sample() -> Vec<u8> {
    Manifest::of(&[9; 5000][..], MIN_CHUNK)
        .expect("in range")
        .encode()
}

/// A signed insight.
pub fn insight(bytes: &[u8]) {
    if let Ok(signed) = SignedInsight::decode(bytes) {
        assert_eq!(signed.encode().as_deref(), Ok(bytes));
    }
}

fn insight_sample() -> Vec<u8> {
    let topic = ShortText::fitted("learning rate");
    let signed = SignedInsight::sign(&key(), CHAIN, topic, 4, vec![1; 100]).expect("small");
    signed.encode().expect("small")
}

/// A message of a negotiation.
pub fn negotiation(bytes: &[u8]) {
    if let Ok(envelope) = negotiate::decode(bytes) {
        assert_eq!(negotiate::encode(&envelope), bytes);
    }
}

fn negotiation_sample() -> Vec<u8> {
    negotiate::encode(&Envelope {
        session: Digest([4; 32]),
        from: Side::First,
        seq: 2,
        body: Body::Accept {
            round: 3,
            contract: key().sign(b"terms"),
        },
        signature: key().sign(b"message"),
    })
}

/// What two have agreed on.
pub fn contract(bytes: &[u8]) {
    if let Ok(contract) = Contract::decode(bytes) {
        assert_eq!(contract.encode(), bytes);
    }
}

fn contract_sample() -> Vec<u8> {
    // Any bytes of the right length are some contract or none.
    vec![1; 300]
}

/// What nodes ask each other.
pub fn request(bytes: &[u8]) {
    if let Ok(request) = Request::decode(bytes) {
        assert_eq!(request.encode().as_deref(), Ok(bytes));
    }
}

fn request_sample() -> Vec<u8> {
    Request::Commands(vec![sample_command(); 2])
        .encode()
        .expect("small")
}

/// What nodes answer.
pub fn response(bytes: &[u8]) {
    if let Ok(response) = Response::decode(bytes) {
        assert_eq!(response.encode().as_deref(), Ok(bytes));
    }
}

fn response_sample() -> Vec<u8> {
    Response::Chunk(vec![5; 300]).encode().expect("small")
}
