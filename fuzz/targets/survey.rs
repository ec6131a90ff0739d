//! Drives `checks::survey`.
#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| etcdrx_fuzz::checks::survey(data));
