//! See `daa_coord_fuzz::engine::discovery_frame`.
#![no_main]

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| daa_coord_fuzz::engine::discovery_frame(bytes));
