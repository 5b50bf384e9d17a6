//! Where a command writes: two streams, and what is known of the terminals behind them.

use std::io::{BufWriter, IsTerminal, Write, stderr, stdout};

use crate::failure::Failure;

/// The client's standard output and standard error.
pub struct Console {
    /// For what was asked for.
    pub out: Box<dyn Write>,
    /// For a person watching.
    pub err: Box<dyn Write>,
    /// Whether a person watches `out`.
    pub out_is_terminal: bool,
    /// Whether a person watches `err`.
    pub err_is_terminal: bool,
}

impl Console {
    /// The process's own.
    pub fn of_process() -> Self {
        Self {
            out: Box::new(BufWriter::with_capacity(64 << 10, stdout())),
            err: Box::new(BufWriter::with_capacity(64 << 10, stderr())),
            out_is_terminal: stdout().is_terminal(),
            err_is_terminal: stderr().is_terminal(),
        }
    }

    /// Whether colours are wanted: on a terminal, unless somebody says no.
    pub fn is_coloured(&self, no_color: bool) -> bool {
        // https://no-color.org: present and not empty.
        let is_off = no_color || std::env::var_os("NO_COLOR").is_some_and(|value| !value.is_empty());
        self.out_is_terminal && !is_off
    }

    /// Writes one line of output.
    pub fn say(&mut self, line: &str) -> Result<(), Failure> {
        writeln!(self.out, "{line}").map_err(Failure::output)
    }

    /// Tells a person of a failure, in one line. Where even that cannot be written, the exit status has to do.
    pub fn complain(&mut self, failure: &Failure) {
        if !matches!(failure, Failure::NoReader) {
            let _ = self.flush();
            let _ = writeln!(self.err, "gantry: {failure}").and_then(|()| self.err.flush());
        }
    }

    /// Writes out what is buffered.
    pub fn flush(&mut self) -> Result<(), Failure> {
        self.out.flush().and_then(|()| self.err.flush()).map_err(Failure::output)
    }
}
