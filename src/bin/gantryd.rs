//! The daemon's entry: flags to configuration, configuration to the daemon, its result to an exit code.

use std::process::ExitCode;

use gantry::config::{Config, command};
use gantry::daemon;
use gantry::logging::{self, Format};
use gantry::memory::Heap;

#[global_allocator]
static HEAP: Heap = Heap;

fn main() -> ExitCode {
    let config = match Config::from_matches(&command().get_matches()) {
        Ok(config) => config,
        Err(message) => return fail(&message),
    };
    logging::start(config.log_format.unwrap_or_else(Format::of_stderr));
    if config.check {
        return match daemon::check(&config) {
            Ok(true) => ExitCode::SUCCESS,
            Ok(false) => ExitCode::FAILURE,
            Err(refusal) => fail(refusal.message()),
        };
    }
    match daemon::run(config) {
        Ok(()) => ExitCode::SUCCESS,
        Err(refusal) => fail(refusal.message()),
    }
}

fn fail(message: &str) -> ExitCode {
    eprintln!("gantryd: {message}");
    ExitCode::FAILURE
}
