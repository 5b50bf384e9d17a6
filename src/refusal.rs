//! Refusals: the closed list of error codes, and the one place where a failure becomes text for a person.
//!
//! Everything that can go wrong on behalf of a client ends as a [`Refusal`]: a code a program can act on, and one line
//! that says what failed and what to do about it.

use std::fmt;

use crate::link::Unanswered;

macro_rules! codes {
    ($($(#[$doc:meta])* $variant:ident $make:ident $text:literal),+ $(,)?) => {
        /// Why a request was not carried out. Closed: a new kind of failure takes the nearest of these.
        #[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
        pub enum Code { $($(#[$doc])* $variant),+ }

        impl Code {
            /// Every code, in the order the manual lists them.
            pub const ALL: &[Code] = &[$(Code::$variant),+];

            /// The code as the wire spells it.
            pub fn as_str(self) -> &'static str {
                match self { $(Code::$variant => $text),+ }
            }
        }

        impl Refusal {
            $($(#[$doc])* pub fn $make(message: impl fmt::Display) -> Self { Self::new(Code::$variant, message) })+
        }
    };
}

codes! {
    /// The line is not a request: bad quoting, a missing or surplus positional.
    BadRequest bad_request "bad-request",
    /// No verb has that name.
    UnknownVerb unknown_verb "unknown-verb",
    /// The verb has no such option, or it was given twice.
    BadOption bad_option "bad-option",
    /// A value is of the wrong form or out of range.
    BadValue bad_value "bad-value",
    /// The line is longer than a line may be.
    TooLong too_long "too-long",
    /// No such container, image, network, volume or tag.
    NotFound not_found "not-found",
    /// The name is taken.
    Exists exists "exists",
    /// The container's state does not allow it.
    WrongState wrong_state "wrong-state",
    /// Something else uses it: a port, an image, a volume.
    InUse in_use "in-use",
    /// A bound was reached; try again later.
    Busy busy "busy",
    /// Not allowed here.
    Denied denied "denied",
    /// Part of the contract, but not of this version or not of this host.
    Unsupported unsupported "unsupported",
    /// It took longer than it may.
    Timeout timeout "timeout",
    /// The asker took it back.
    Cancelled cancelled "cancelled",
    /// The disk is full.
    NoSpace no_space "no-space",
    /// Memory is short.
    OutOfMemory out_of_memory "out-of-memory",
    /// The program is not in the image (a shell would say 127).
    NoCommand no_command "no-command",
    /// The program cannot be executed (a shell would say 126).
    NotExecutable not_executable "not-executable",
    /// One of the tools failed; the message carries its last words.
    ToolFailed tool_failed "tool-failed",
    /// The daemon is on its way out.
    ShuttingDown shutting_down "shutting-down",
    /// A defect of the daemon itself.
    Internal internal "internal",
}

/// The longest message, in bytes.
pub const MESSAGE_MAX: usize = 1024;

/// A failure as its asker hears of it: one code, one line of at most [`MESSAGE_MAX`] bytes without control characters.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Refusal {
    code: Code,
    message: String,
}

impl Refusal {
    /// A refusal with `message` made fit for one line: control characters become blanks, what is too long is cut.
    pub fn new(code: Code, message: impl fmt::Display) -> Self {
        let mut text: String =
            message.to_string().trim_end().chars().map(|c| if c.is_control() { ' ' } else { c }).collect();
        if text.len() > MESSAGE_MAX {
            text.truncate(text.floor_char_boundary(MESSAGE_MAX - '…'.len_utf8()));
            text.push('…');
        }
        Self { code, message: text }
    }

    /// The code.
    pub fn code(&self) -> Code {
        self.code
    }

    /// The message, fit for one line.
    pub fn message(&self) -> &str {
        &self.message
    }

    /// The same refusal with the circumstance it arose in put before its message.
    pub fn within(self, circumstance: impl fmt::Display) -> Self {
        Self::new(self.code, format_args!("{circumstance}: {}", self.message))
    }

    /// What an I/O error on `subject` means to the asker: a full disk and short memory have codes of their own.
    pub fn io(subject: impl fmt::Display, error: &std::io::Error) -> Self {
        use std::io::ErrorKind;
        let code = match error.kind() {
            ErrorKind::StorageFull | ErrorKind::QuotaExceeded => Code::NoSpace,
            ErrorKind::OutOfMemory => Code::OutOfMemory,
            ErrorKind::NotFound => Code::NotFound,
            ErrorKind::PermissionDenied => Code::Denied,
            ErrorKind::TimedOut => Code::Timeout,
            _ => Code::Internal,
        };
        Self::new(code, format_args!("{subject}: {error}"))
    }

    /// The same for an errno.
    pub fn errno(subject: impl fmt::Display, errno: nix::errno::Errno) -> Self {
        Self::io(subject, &std::io::Error::from(errno))
    }

    /// An actor did not answer: it died with the question, which is worth trying again, or the daemon is leaving.
    pub fn unanswered(who: &str, why: Unanswered) -> Self {
        match why {
            Unanswered::Died => Self::internal(format_args!("a defect ended what {who} was doing; try again")),
            Unanswered::Ended => Self::shutting_down(format_args!("{who} is gone: the daemon is on its way out")),
        }
    }
}

impl fmt::Display for Refusal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} {}", self.code.as_str(), self.message)
    }
}

impl std::error::Error for Refusal {}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_message_is_one_short_line() {
        let r = Refusal::internal(format!("a\nb\tc {}", "é".repeat(900)));
        assert!(r.message().starts_with("a b c "));
        assert!(r.message().len() <= MESSAGE_MAX && r.message().ends_with('…'));
    }

    #[test]
    fn io_errors_keep_their_meaning() {
        assert_eq!(Refusal::errno("x", nix::errno::Errno::ENOSPC).code(), Code::NoSpace);
        assert_eq!(Refusal::errno("x", nix::errno::Errno::ENOMEM).code(), Code::OutOfMemory);
    }
}
