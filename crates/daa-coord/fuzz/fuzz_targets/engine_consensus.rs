//! See `daa_coord_fuzz::engine::engine_consensus`.
#![no_main]

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| daa_coord_fuzz::engine::engine_consensus(bytes));
