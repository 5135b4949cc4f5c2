//! Decoders of this crate, for fuzzing and for its own tests with hostile bytes.

use crate::data;
use crate::train::TrainState;
use std::path::Path;

pub use data::doors::data_file;

/// The state in the bytes of a checkpoint.
#[must_use]
pub fn state(bytes: &[u8]) -> Option<TrainState> {
    TrainState::from_bytes(Path::new("fuzzed"), bytes).ok()
}

/// The bytes of `state`'s checkpoint.
///
/// # Panics
/// Never for a state that was read or trained.
#[must_use]
pub fn state_bytes(state: &TrainState) -> Vec<u8> {
    state.to_bytes().expect("it was read or trained")
}

/// What the checkpoint of `state` says beside its tensors.
///
/// # Panics
/// Never for a state that was read or trained.
#[must_use]
pub fn state_body(state: &TrainState) -> String {
    state.body().expect("it was read or trained")
}

/// The bytes of a checkpoint with the tensors of `state` and another `body`, under the right digest.
///
/// # Panics
/// Never for a state that was read or trained.
#[must_use]
pub fn state_with_body(state: &TrainState, body: &str) -> Vec<u8> {
    state.with_body(body.to_owned()).expect("it was read or trained")
}
