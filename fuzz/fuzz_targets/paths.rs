//! See `paths` in `src/`.
#![no_main]

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| sky_island_fuzz::paths::check(bytes));
