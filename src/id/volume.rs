//! The name of a volume.

use std::fmt;
use std::str::FromStr;

use crate::refusal::Refusal;

/// What a volume is called: fit to be a file's name that is not hidden.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct VolumeName(String);

impl VolumeName {
    /// As text.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl FromStr for VolumeName {
    type Err = Refusal;

    fn from_str(text: &str) -> Result<Self, Refusal> {
        let inner = |b: u8| b.is_ascii_alphanumeric() || matches!(b, b'.' | b'_' | b'-');
        let start = text.bytes().next().is_some_and(|b| b.is_ascii_alphanumeric());
        if start && text.len() <= 63 && text.bytes().all(inner) {
            Ok(Self(text.to_owned()))
        } else {
            Err(Refusal::bad_value(format_args!(
                "{text:?}: a volume's name is [A-Za-z0-9][A-Za-z0-9._-]*, at most 63 characters; a path of the host starts with /"
            )))
        }
    }
}

impl fmt::Display for VolumeName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_those_of_files() {
        assert!("Data_1.x-y".parse::<VolumeName>().is_ok());
        for bad in ["", ".hidden", "..", "a/b", "-a", "a b", &"x".repeat(64)] {
            assert!(bad.parse::<VolumeName>().is_err(), "{bad}");
        }
    }
}
