//! See `daa_agent_fuzz::job`.
#![no_main]

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| daa_agent_fuzz::job(bytes));
