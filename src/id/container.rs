//! The name/tag pair of a container, and its id.

use std::fmt;
use std::str::FromStr;

use crate::refusal::Refusal;

/// The tag where none is said.
const LATEST: &str = "latest";

/// What a container is referenced by: `name:tag`. At most one container has a given pair at a time.
#[derive(Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Name {
    text: String,
    colon: usize,
}

impl Name {
    /// The pair of `name` and `tag`.
    pub fn new(name: &str, tag: &str) -> Result<Self, Refusal> {
        if !is_name(name) {
            return Err(Refusal::bad_value(format_args!(
                "{name:?}: a name is [a-z0-9][a-z0-9._-]*, at most 63 characters"
            )));
        }
        if !is_tag(tag) {
            return Err(Refusal::bad_value(format_args!(
                "{tag:?}: a tag is [A-Za-z0-9_][A-Za-z0-9._-]*, at most 128 characters"
            )));
        }
        Ok(Self { text: format!("{name}:{tag}"), colon: name.len() })
    }

    /// The name without its tag.
    pub fn name(&self) -> &str {
        &self.text[..self.colon]
    }

    /// The tag.
    pub fn tag(&self) -> &str {
        &self.text[self.colon + 1..]
    }

    /// The whole pair.
    pub fn as_str(&self) -> &str {
        &self.text
    }
}

fn is_name(text: &str) -> bool {
    let start = |b: u8| b.is_ascii_lowercase() || b.is_ascii_digit();
    let inner = |b: u8| start(b) || matches!(b, b'.' | b'_' | b'-');
    text.len() <= 63 && text.bytes().next().is_some_and(start) && text.bytes().all(inner)
}

/// Whether `text` is a tag as the OCI distribution spec has it.
pub(super) fn is_tag(text: &str) -> bool {
    let start = |b: u8| b.is_ascii_alphanumeric() || b == b'_';
    let inner = |b: u8| start(b) || matches!(b, b'.' | b'-');
    text.len() <= 128 && text.bytes().next().is_some_and(start) && text.bytes().all(inner)
}

impl FromStr for Name {
    type Err = Refusal;

    fn from_str(text: &str) -> Result<Self, Refusal> {
        let (name, tag) = text.split_once(':').unwrap_or((text, LATEST));
        Self::new(name, tag)
    }
}

impl fmt::Display for Name {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.text)
    }
}

impl fmt::Debug for Name {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.text)
    }
}

/// 64 hexadecimal digits drawn at random.
pub(super) fn random_digits() -> Result<String, Refusal> {
    let mut bytes = [0u8; 32];
    getrandom::fill(&mut bytes).map_err(|e| Refusal::internal(format_args!("no random bytes: {e}")))?;
    Ok(bytes.iter().map(|byte| format!("{byte:02x}")).collect())
}

/// A container's id: 64 hexadecimal digits drawn at random.
#[derive(Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct ContainerId(String);

impl ContainerId {
    /// The shortest prefix that may stand for an id.
    pub const PREFIX_MIN: usize = 6;

    /// A new id.
    pub fn random() -> Result<Self, Refusal> {
        random_digits().map(Self)
    }

    /// The 64 digits.
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// The first twelve digits: enough for a person, and for a hostname.
    pub fn short(&self) -> &str {
        &self.0[..12]
    }

    /// Whether `text` could be a prefix of an id.
    pub fn is_prefix(text: &str) -> bool {
        (Self::PREFIX_MIN..=64).contains(&text.len()) && text.bytes().all(|b| matches!(b, b'0'..=b'9' | b'a'..=b'f'))
    }
}

impl FromStr for ContainerId {
    type Err = Refusal;

    fn from_str(text: &str) -> Result<Self, Refusal> {
        if text.len() != 64 || !Self::is_prefix(text) {
            return Err(Refusal::bad_value(format_args!("{text:?} is not an id of 64 hexadecimal digits")));
        }
        Ok(Self(text.to_owned()))
    }
}

impl fmt::Display for ContainerId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl fmt::Debug for ContainerId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.short())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_is_a_pair() {
        let name: Name = "web".parse().unwrap();
        assert_eq!((name.as_str(), name.name(), name.tag()), ("web:latest", "web", "latest"));
        let name: Name = "0a.b_c-d:V1.2".parse().unwrap();
        assert_eq!((name.name(), name.tag()), ("0a.b_c-d", "V1.2"));
    }

    #[test]
    fn what_is_no_name_is_refused() {
        let long = "a".repeat(64);
        for bad in ["", ":", "a:", ":b", "A", "-a", ".a", "a b", "a:b:c", "a/b", "é", "a:-b", &long] {
            assert!(bad.parse::<Name>().is_err(), "{bad}");
        }
    }

    #[test]
    fn ids_are_random_hex() {
        let (a, b) = (ContainerId::random().unwrap(), ContainerId::random().unwrap());
        assert_ne!(a, b);
        assert_eq!(a.as_str().parse::<ContainerId>().unwrap(), a);
        assert!(ContainerId::is_prefix(a.short()) && !ContainerId::is_prefix("abcde"));
    }
}
