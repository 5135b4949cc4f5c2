//! Every decoder of daa-coord that reads what a peer sent or a file holds, each with what must hold whatever the bytes are:
//! no panic, and what decodes encodes to the same bytes.
//!
//! The fuzz targets beside this file call it, and so does the crate's own suite with fewer and cheaper inputs.

use daa_base::{AgentId, codec};
use daa_coord::consensus::{ConsensusBlock, Message, read_frames};
use daa_coord::coordination;
use daa_coord::discovery::{Request, Response};
use daa_coord::genesis::file;
use daa_coord::keys::Signed;
use daa_coord::keystore;
use daa_coord::knowledge::SignedInsight;
use daa_coord::negotiate::{self, Contract};
use daa_coord::streams::{MAX_MANIFEST, Manifest};
use daa_coord::{
    AgentKey, ChainId, Genesis, Ledger, LedgerConfig, PublicKey, ShortText, Signature, SignatureScheme,
    SignedCommand, ValidatorSet,
};
use std::path::Path;
use std::sync::OnceLock;

#[cfg(feature = "net")]
pub mod engine;
mod samples;

/// A decoder: its name, what feeds it, and some bytes that it takes.
pub type Decoder = (&'static str, fn(&[u8]), fn() -> Vec<Vec<u8>>);

/// All of them.
pub fn decoders() -> impl Iterator<Item = Decoder> {
    #[cfg(feature = "net")]
    let of_the_engine = engine::DECODERS;
    #[cfg(not(feature = "net"))]
    let of_the_engine = [];
    DECODERS.into_iter().chain(of_the_engine)
}

/// Those that need no network.
const DECODERS: [Decoder; 15] = [
    ("command", command, samples::command),
    ("signed_command", signed_command, samples::signed_command),
    ("consensus_message", consensus_message, samples::consensus_message),
    ("block", block, samples::block),
    ("write_ahead_log", write_ahead_log, samples::write_ahead_log),
    ("snapshot", snapshot, samples::snapshot),
    ("genesis_file", genesis_file, samples::genesis_file),
    ("key_file", key_file, samples::key_file),
    ("manifest", manifest, samples::manifest),
    ("insight", insight, samples::insight),
    ("negotiation", negotiation, samples::negotiation),
    ("contract", contract, samples::contract),
    ("request", request, samples::ask),
    ("response", response, samples::answer),
    ("history", history, samples::history),
];

const CHAIN: ChainId = ChainId([7; 32]);

fn key() -> AgentKey {
    AgentKey::from_secret(&[1; 32])
}

/// Made once: making keys takes longer than any decoder.
fn genesis() -> &'static Genesis {
    static GENESIS: OnceLock<Genesis> = OnceLock::new();
    GENESIS.get_or_init(|| {
        let name = ShortText::fitted("hostile bytes");
        let genesis =
            Genesis::new(name, key().public(), LedgerConfig::default()).expect("the defaults are in range");
        let keys = (2..6).map(|n| AgentKey::from_secret(&[n; 32]).public());
        genesis.with_validators(ValidatorSet::equal(keys).expect("four keys"))
    })
}

/// A write-ahead log's frame around `body`, as the log itself makes it.
fn framed(body: &[u8]) -> Vec<u8> {
    let mut hasher = blake3::Hasher::new_derive_key("daa-coord 2026 write-ahead log");
    hasher.update(body);
    let length = (body.len() as u32).to_le_bytes();
    [&length[..], &hasher.finalize().as_bytes()[..16], body].concat()
}

/// Signatures that anybody can make: the fuzzer's time is for decoders, not for curves.
#[derive(Debug)]
struct Anything;

impl SignatureScheme for Anything {
    fn verify(&self, signed: &Signed<'_>) -> bool {
        signed.signature.0[0] == 0
    }
}

/// What an agent asks, as its payload.
pub fn command(bytes: &[u8]) {
    let signed = SignedCommand {
        agent: AgentId(1),
        seq: 9,
        payload: bytes.to_vec(),
        signature: Signature([0; 64]),
    };
    if let Ok(command) = signed.command() {
        assert_eq!(codec::encode::<512, _>(&command).as_deref(), Ok(bytes));
    }
}

/// A command with its signature.
pub fn signed_command(bytes: &[u8]) {
    if let Ok(signed) = codec::decode_canonical::<1024, SignedCommand>(bytes) {
        // Whether the payload or the signature is of any use is another question; asking it must do no harm.
        let _ = (
            signed.command(),
            SignedCommand::verify_all(&Anything, CHAIN, &[(&signed, PublicKey([3; 32]))]),
        );
    }
}

/// What validators say to each other.
pub fn consensus_message(bytes: &[u8]) {
    if let Ok(message) = Message::decode(bytes) {
        assert_eq!(message.encode().as_deref(), Ok(bytes));
    }
}

/// A block.
pub fn block(bytes: &[u8]) {
    if let Ok(block) = ConsensusBlock::decode(bytes) {
        assert_eq!(block.encode().as_deref(), Ok(bytes));
    }
}

/// A validator's write-ahead log.
///
/// No fuzzer finds a checksum, so the bytes are read as they are and once more as the body of a frame.
pub fn write_ahead_log(bytes: &[u8]) {
    read_log(bytes);
    read_log(&framed(bytes));
}

fn read_log(bytes: &[u8]) {
    let contents = read_frames(bytes);
    assert!(contents.whole <= bytes.len());
    let again: Vec<u8> = contents
        .records
        .iter()
        .flat_map(|record| record.frame().expect("it was read"))
        .collect();
    assert_eq!(again, bytes[..contents.whole]);
}

/// The file of a history: as it is, and as the body of a frame with the right digest.
pub fn history(bytes: &[u8]) {
    for bytes in [bytes, &noted(bytes)] {
        let again = coordination::read_again(bytes);
        assert_eq!(Some(&again[..]), bytes.get(..again.len()));
    }
}

/// A history's frame around `body`, as the history itself makes it.
fn noted(body: &[u8]) -> Vec<u8> {
    let length = (body.len() as u32).to_le_bytes();
    [&length[..], &blake3::hash(body).as_bytes()[..8], body].concat()
}

/// A ledger's snapshot.
pub fn snapshot(bytes: &[u8]) {
    if let Ok(ledger) = Ledger::restore(genesis(), bytes) {
        // With `--cfg fuzzing` the hash inside is not looked at, so that what lies behind it is reached.
        let again = ledger.snapshot();
        assert_eq!((again[0], &again[33..]), (bytes[0], &bytes[33..]));
        assert!(cfg!(fuzzing) || again == bytes);
    }
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

/// A key file.
pub fn key_file(bytes: &[u8]) {
    if let Ok(key) = keystore::parse(Path::new("fuzzed"), bytes) {
        assert_eq!(key.public().check(), Ok(()));
    }
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

/// A signed insight.
pub fn insight(bytes: &[u8]) {
    if let Ok(signed) = SignedInsight::decode(bytes) {
        assert_eq!(signed.encode().as_deref(), Ok(bytes));
    }
}

/// A message of a negotiation.
pub fn negotiation(bytes: &[u8]) {
    if let Ok(envelope) = negotiate::decode(bytes) {
        assert_eq!(negotiate::encode(&envelope), bytes);
    }
}

/// What two have agreed on.
pub fn contract(bytes: &[u8]) {
    if let Ok(contract) = Contract::decode(bytes) {
        assert_eq!(contract.encode(), bytes);
    }
}

/// What nodes ask each other.
pub fn request(bytes: &[u8]) {
    if let Ok(request) = Request::decode(bytes) {
        assert_eq!(request.encode().as_deref(), Ok(bytes));
    }
}

/// What nodes answer.
pub fn response(bytes: &[u8]) {
    if let Ok(response) = Response::decode(bytes) {
        assert_eq!(response.encode().as_deref(), Ok(bytes));
    }
}
