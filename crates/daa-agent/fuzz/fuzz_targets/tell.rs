//! See `daa_agent_fuzz::tell`.
#![no_main]

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| daa_agent_fuzz::tell(bytes));
