//! See `daa_coord_fuzz::write_ahead_log`.
#![no_main]

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| daa_coord_fuzz::write_ahead_log(bytes));
