//! Signals by name or number.

use std::fmt;
use std::str::FromStr;

use crate::refusal::Refusal;

/// A signal of Linux, 1 to 64; crun 1.8.1 takes an unknown name for success, so that names are read here.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Signal(u8);

/// `SIGRTMIN` as glibc and Docker count: the first two real-time signals are taken by the C library.
const RTMIN: u8 = 34;
const RTMAX: u8 = 64;

impl Signal {
    /// `SIGKILL`.
    pub const KILL: Self = Self(9);
    /// `SIGTERM`.
    pub const TERM: Self = Self(15);

    /// Its number.
    pub fn number(self) -> i32 {
        i32::from(self.0)
    }
}

impl FromStr for Signal {
    type Err = Refusal;

    fn from_str(text: &str) -> Result<Self, Refusal> {
        let wrong = || {
            Refusal::bad_value(format_args!(
                "{text:?} is not a signal: a name (TERM, SIGTERM, RTMIN+1) or a number from 1 to 64"
            ))
        };
        if let Some(number) = crate::wire::units::number::<u8>(text) {
            return if (1..=RTMAX).contains(&number) { Ok(Self(number)) } else { Err(wrong()) };
        }
        let upper = text.to_ascii_uppercase();
        let name = upper.strip_prefix("SIG").unwrap_or(&upper);
        let real_time = |base: u8, offset: Option<i16>| {
            u8::try_from(i16::from(base) + offset?).ok().filter(|n| (RTMIN..=RTMAX).contains(n))
        };
        let number = if let Some(rest) = name.strip_prefix("RTMIN") {
            real_time(RTMIN, offset(rest, '+', 1))
        } else if let Some(rest) = name.strip_prefix("RTMAX") {
            real_time(RTMAX, offset(rest, '-', -1))
        } else {
            nix::sys::signal::Signal::from_str(&format!("SIG{name}"))
                .ok()
                .and_then(|signal| u8::try_from(signal as i32).ok())
        };
        number.map(Self).ok_or_else(wrong)
    }
}

/// The number behind `RTMIN+` or `RTMAX-`; nothing there is 0.
fn offset(rest: &str, mark: char, sign: i16) -> Option<i16> {
    if rest.is_empty() {
        return Some(0);
    }
    rest.strip_prefix(mark).and_then(crate::wire::units::number::<u8>).map(|n| sign * i16::from(n))
}

impl fmt::Display for Signal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match nix::sys::signal::Signal::try_from(self.number()) {
            Ok(signal) => f.write_str(signal.as_str()),
            Err(_) => write!(f, "{}", self.0),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_and_numbers() {
        for (text, number) in [
            ("TERM", 15),
            ("SIGTERM", 15),
            ("sigkill", 9),
            ("9", 9),
            ("RTMIN", 34),
            ("SIGRTMIN+3", 37),
            ("RTMAX-1", 63),
            ("WINCH", 28),
        ] {
            assert_eq!(text.parse::<Signal>().unwrap().number(), number, "{text}");
        }
        for bad in ["", "0", "65", "-9", "SIG", "FOO", "RTMIN+99", "RTMAX+1", "9x"] {
            assert!(bad.parse::<Signal>().is_err(), "{bad}");
        }
    }
}
