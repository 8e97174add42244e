//! See `heads` in `src/`.
#![no_main]

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| sky_island_fuzz::heads::check(bytes));
