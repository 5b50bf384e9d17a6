//! The daemon's entry: flags to Config, Config to the daemon, its result to an exit code.
fn main() {}
