//! Drives `checks::store`.
#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| etcdrx_fuzz::checks::store(data));
