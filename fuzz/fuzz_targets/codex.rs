#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| crewlog_fuzz::streams::codex(data));
