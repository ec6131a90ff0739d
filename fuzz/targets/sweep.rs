//! Drives `checks::sweep`.
#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| etcdrx_fuzz::checks::sweep(data));
