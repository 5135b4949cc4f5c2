//! See `daa_learn_fuzz::data_file`.
#![no_main]

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| daa_learn_fuzz::data_file(bytes));
