//! See `daa_coord_fuzz::history`.
#![no_main]

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| daa_coord_fuzz::history(bytes));
