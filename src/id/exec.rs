//! The id of an exec.

use std::fmt;

use super::container::random_digits;
use crate::refusal::Refusal;

/// The id of one more process in a container: 64 hexadecimal digits drawn at random, as a container's.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct ExecId(String);

impl ExecId {
    /// A new id.
    pub fn random() -> Result<Self, Refusal> {
        random_digits().map(Self)
    }

    /// The 64 digits.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for ExecId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}
