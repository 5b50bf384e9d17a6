//! The terminal: taken for the whole screen, and given back as it was whichever way the client ends.

use std::io::{Stdout, stdout};
use std::panic;
use std::process;
use std::time::SystemTime;

use ratatui::Terminal;
use ratatui::backend::CrosstermBackend;
use ratatui::crossterm::cursor::{Hide, Show};
use ratatui::crossterm::execute;
use ratatui::crossterm::terminal::{EnterAlternateScreen, LeaveAlternateScreen, disable_raw_mode, enable_raw_mode};

use super::model::Model;
use super::view;
use crate::failure::Failure;

/// The exit status of a program of Rust that panicked.
const PANICKED: i32 = 101;

/// The screen, while it is ours. Dropped, it is given back.
pub struct Screen {
    terminal: Terminal<CrosstermBackend<Stdout>>,
    is_coloured: bool,
}

impl Screen {
    /// Takes the terminal of the process.
    pub fn enter(is_coloured: bool) -> Result<Self, Failure> {
        give_back_at_a_panic();
        let taken = enable_raw_mode().and_then(|()| execute!(stdout(), EnterAlternateScreen, Hide));
        let terminal = taken.and_then(|()| Terminal::new(CrosstermBackend::new(stdout())));
        match terminal {
            Ok(terminal) => Ok(Self { terminal, is_coloured }),
            Err(error) => {
                give_back();
                Err(Failure::Io("cannot use the terminal".to_owned(), error))
            }
        }
    }

    /// Draws what is to be seen now, in the size that the terminal has now.
    pub fn draw(&mut self, model: &mut Model, now: SystemTime) -> Result<(), Failure> {
        let is_coloured = self.is_coloured;
        self.terminal.draw(|frame| view::draw(frame, model, now, is_coloured)).map(|_| ()).map_err(Failure::output)
    }
}

impl Drop for Screen {
    fn drop(&mut self) {
        give_back();
    }
}

fn give_back() {
    // A terminal that has gone needs nothing.
    let _ = execute!(stdout(), LeaveAlternateScreen, Show);
    let _ = disable_raw_mode();
}

/// What a panic says is to be read: so the screen is given back first. Whichever thread it is, it is the end.
fn give_back_at_a_panic() {
    let before = panic::take_hook();
    panic::set_hook(Box::new(move |info| {
        give_back();
        before(info);
        process::exit(PANICKED);
    }));
}

#[cfg(test)]
mod tests {
    use std::fs::File;
    use std::io::Read;
    use std::process::{Command, Stdio};

    use nix::pty::{Winsize, openpty};
    use nix::sys::termios::{LocalFlags, tcgetattr};

    use super::*;

    /// Set for a process of the test itself.
    const VARIABLE: &str = "GANTRY_TEST_PANICS_ON_A_SCREEN";

    /// Does nothing but in a process of the test below.
    #[test]
    fn panics_in_a_process_of_its_own() {
        if std::env::var_os(VARIABLE).is_some() {
            let _screen = Screen::enter(false).unwrap();
            panic!("for the test");
        }
    }

    #[test]
    #[allow(clippy::disallowed_methods, reason = "a panic hook is a process's, so the test needs one of its own")]
    fn a_panic_gives_the_terminal_back_and_is_read() {
        let size = Winsize { ws_row: 24, ws_col: 80, ws_xpixel: 0, ws_ypixel: 0 };
        let pair = openpty(&size, None).unwrap();
        let (mut person, slave) = (File::from(pair.master), File::from(pair.slave));
        let handle = || Stdio::from(slave.try_clone().unwrap());
        let mut child = Command::new(std::env::current_exe().unwrap())
            .args(["--exact", "live::screen::tests::panics_in_a_process_of_its_own", "--nocapture"])
            .env(VARIABLE, "1")
            .stdin(handle())
            .stdout(handle())
            .stderr(handle())
            .spawn()
            .unwrap();
        assert_eq!(child.wait().unwrap().code(), Some(PANICKED));
        let echoes = tcgetattr(&slave).unwrap().local_flags.contains(LocalFlags::ECHO);
        // The reader is told of the end only once nobody has the other side.
        drop(slave);
        let mut shown = Vec::new();
        let _ = person.read_to_end(&mut shown);
        let shown = String::from_utf8_lossy(&shown).into_owned();
        let at = |what: &str| shown.find(what).unwrap_or_else(|| panic!("no {what:?} in {shown:?}"));
        assert!(at("\x1b[?1049h") < at("\x1b[?1049l") && at("\x1b[?1049l") < at("for the test"), "{shown:?}");
        assert!(echoes);
    }
}
