//! A terminal put back as it was found, whichever way the client ends.

use std::io::stdin;

use rustix::termios::{OptionalActions, Termios, tcgetattr, tcsetattr};

/// How the terminal of standard input was; nothing where there is none.
#[derive(Clone)]
pub struct Terminal(Option<Termios>);

impl Terminal {
    /// As it is now.
    pub fn now() -> Self {
        Self(tcgetattr(stdin()).ok())
    }

    /// Whether nobody has changed its modes, or has put them back.
    pub fn is_as_it_was(&self) -> bool {
        let modes = |terminal: Termios| terminal.local_modes;
        tcgetattr(stdin()).ok().map(modes) == self.0.clone().map(modes)
    }

    /// Makes it so again.
    pub fn restore(&self) {
        if let Some(before) = &self.0 {
            let _ = tcsetattr(stdin(), OptionalActions::Drain, before);
        }
    }
}
