//! What comes over the connections between machines, behind the feature `net`.

use super::Decoder;
use daa_coord::discovery;
use daa_coord::log::engine::doors::{self, Wire};

pub(super) const DECODERS: [Decoder; 9] = [
    ("engine_part", engine_part, || doors::samples(Wire::Part)),
    ("engine_stream", engine_stream, || doors::samples(Wire::Stream)),
    ("engine_consensus", engine_consensus, || {
        doors::samples(Wire::Consensus)
    }),
    ("engine_liveness", engine_liveness, || {
        doors::samples(Wire::Liveness)
    }),
    ("engine_status", engine_status, || doors::samples(Wire::Status)),
    ("engine_request", engine_request, || doors::samples(Wire::Request)),
    ("engine_response", engine_response, || {
        doors::samples(Wire::Response)
    }),
    ("engine_frames", engine_frames, doors::frame_samples),
    ("discovery_frame", discovery_frame, || {
        vec![b"\x05\0\0\0hello".to_vec()]
    }),
];

fn comes_back(wire: Wire, bytes: &[u8]) {
    if let Some(again) = doors::again(wire, bytes) {
        assert_eq!(again, bytes, "{wire:?}");
    }
}

/// A piece of a block, commands, or a height.
pub fn engine_part(bytes: &[u8]) {
    comes_back(Wire::Part, bytes);
}

/// The same on its way, with a place in a stream.
pub fn engine_stream(bytes: &[u8]) {
    comes_back(Wire::Stream, bytes);
}

/// A vote or proposal.
pub fn engine_consensus(bytes: &[u8]) {
    comes_back(Wire::Consensus, bytes);
}

/// A vote or certificate, sent again.
pub fn engine_liveness(bytes: &[u8]) {
    comes_back(Wire::Liveness, bytes);
}

/// How far value sync can serve.
pub fn engine_status(bytes: &[u8]) {
    comes_back(Wire::Status, bytes);
}

/// A request for decided blocks.
pub fn engine_request(bytes: &[u8]) {
    comes_back(Wire::Request, bytes);
}

/// Decided blocks.
pub fn engine_response(bytes: &[u8]) {
    comes_back(Wire::Response, bytes);
}

/// A connection's frames, and what is in them.
pub fn engine_frames(bytes: &[u8]) {
    let (whole, messages) = doors::frames(bytes);
    assert_eq!(Some(&whole[..]), bytes.get(..whole.len()));
    for (message, again) in messages {
        assert!(again.is_none_or(|again| again == message));
    }
}

/// A frame between nodes.
pub fn discovery_frame(bytes: &[u8]) {
    for body in discovery::read_both(bytes).into_iter().flatten() {
        let length = (body.len() as u32).to_le_bytes();
        assert!(bytes.starts_with(&length) && bytes[4..].starts_with(&body));
    }
}
