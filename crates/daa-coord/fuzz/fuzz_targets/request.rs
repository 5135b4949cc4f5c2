//! See `daa_coord_fuzz::request`.
#![no_main]

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| daa_coord_fuzz::request(bytes));
