//! Any bytes as zeek.
#![no_main]

#[path = "../target.rs"]
mod target;

libfuzzer_sys::fuzz_target!(|data: &[u8]| target::check(sekisho_exchange::Format::Zeek, data));
