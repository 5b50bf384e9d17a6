//! The line protocol: bytes to words to typed arguments, and replies back to bytes. No I/O and no verbs.

pub mod args;
pub mod line;
pub mod reply;
pub mod units;
pub mod words;
