//! See `daa_learn_fuzz::state`.
#![no_main]

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| daa_learn_fuzz::state(bytes));
