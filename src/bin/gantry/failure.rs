//! Failures: everything that can end a command early, as one line for a person and an exit status for a script.

use std::fmt;
use std::io;
use std::path::PathBuf;

/// Why a command did not do what it was asked.
#[derive(Debug)]
pub enum Failure {
    /// What was typed makes no sense, before anything was sent.
    Usage(String),
    /// Nobody answers on the socket.
    Unreachable(PathBuf, io::Error),
    /// The connection ended before the reply did.
    WentAway,
    /// What came back is not the protocol.
    Garbled(String),
    /// The daemon said no: its code and its message.
    Refused(String, String),
    /// The client's own reading or writing failed.
    Io(String, io::Error),
    /// Nobody reads the output any more.
    NoReader,
}

/// The exit status of a failure that is not the container's own, for commands that give back a container's.
pub const NOT_THE_CONTAINERS: u8 = 125;

impl Failure {
    /// What an error at writing the output means.
    pub fn output(error: io::Error) -> Self {
        match error.kind() {
            io::ErrorKind::BrokenPipe => Self::NoReader,
            _ => Self::Io("cannot write the output".to_owned(), error),
        }
    }

    /// Reads the text of an `ERR` line.
    pub fn refused(text: &str) -> Self {
        let (code, message) = text.split_once(' ').unwrap_or((text, ""));
        Self::Refused(code.to_owned(), message.to_owned())
    }

    /// Whether the daemon gave this code.
    pub fn is(&self, wanted: gantry::refusal::Code) -> bool {
        matches!(self, Self::Refused(code, _) if code == wanted.as_str())
    }

    /// The exit status, `otherwise` where the failure has none of its own. The statuses of a missing and of a not
    /// executable program are for commands that give back a container's status, as a shell would.
    pub fn status(&self, otherwise: u8) -> u8 {
        use gantry::refusal::Code;
        // As a shell tells of a program that SIGPIPE ended.
        const ENDED_BY_SIGPIPE: u8 = 128 + 13;
        match self {
            Self::NoReader => ENDED_BY_SIGPIPE,
            _ if otherwise == NOT_THE_CONTAINERS && self.is(Code::NoCommand) => 127,
            _ if otherwise == NOT_THE_CONTAINERS && self.is(Code::NotExecutable) => 126,
            _ => otherwise,
        }
    }
}

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Usage(why) => f.write_str(why),
            Self::Unreachable(path, error) => {
                let remedy = match error.kind() {
                    io::ErrorKind::PermissionDenied => "only root and the group gantry may",
                    _ => "is gantryd running? start it, or give --socket",
                };
                write!(f, "cannot connect to {} ({}): {remedy}", path.display(), reason(error))
            }
            Self::WentAway => f.write_str("the daemon went away before it had answered"),
            Self::Garbled(what) => write!(f, "the daemon's answer makes no sense: {what}"),
            Self::Refused(code, message) if message.is_empty() => f.write_str(code),
            Self::Refused(code, message) => write!(f, "{message} ({code})"),
            Self::Io(what, error) => write!(f, "{what}: {}", reason(error)),
            Self::NoReader => f.write_str("nobody reads the output"),
        }
    }
}

/// What the system says of an error, without the number that std puts behind it.
fn reason(error: &io::Error) -> String {
    let text = error.to_string();
    text.split_once(" (os error").map_or(text.clone(), |(reason, _)| reason.to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn statuses_are_dockers() {
        let refused = |code: &str| Failure::refused(&format!("{code} why"));
        assert_eq!(refused("no-command").status(NOT_THE_CONTAINERS), 127);
        assert_eq!(refused("not-executable").status(NOT_THE_CONTAINERS), 126);
        assert_eq!(refused("not-found").status(NOT_THE_CONTAINERS), 125);
        assert_eq!(refused("no-command").status(1), 1);
        assert_eq!(Failure::output(io::Error::from(io::ErrorKind::BrokenPipe)).status(1), 141);
    }

    #[test]
    fn a_failure_is_one_line_with_its_code() {
        assert_eq!(Failure::refused("not-found no container web").to_string(), "no container web (not-found)");
        assert_eq!(Failure::refused("busy").to_string(), "busy");
    }
}
