//! `gantry::fuzzing::tools` tells what must hold.

#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| gantry::fuzzing::tools(data));
