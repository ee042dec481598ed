#![no_main]

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| stackc_fuzz::unit(bytes));
