//! The name of a network, and how a container is to be connected.

use std::fmt;
use std::net::Ipv4Addr;
use std::str::FromStr;

use crate::refusal::Refusal;

/// What the network is called that is there from the start.
pub const BRIDGE: &str = "bridge";
/// Words that `network=` takes for something else.
const RESERVED: [&str; 2] = ["none", "host"];

/// What a network is called.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct NetworkName(String);

impl NetworkName {
    /// As text.
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// The network that is there from the start.
    pub fn bridge() -> Self {
        Self(BRIDGE.to_owned())
    }
}

impl FromStr for NetworkName {
    type Err = Refusal;

    fn from_str(text: &str) -> Result<Self, Refusal> {
        let inner = |b: u8| b.is_ascii_alphanumeric() || matches!(b, b'.' | b'_' | b'-');
        let start = text.bytes().next().is_some_and(|b| b.is_ascii_alphanumeric());
        if RESERVED.contains(&text) {
            return Err(Refusal::bad_value(format_args!("{text}: no network can be called so")));
        }
        if start && text.len() <= 63 && text.bytes().all(inner) {
            return Ok(Self(text.to_owned()));
        }
        Err(Refusal::bad_value(format_args!(
            "{text:?}: a network's name is [A-Za-z0-9][A-Za-z0-9._-]*, at most 63 characters"
        )))
    }
}

impl fmt::Display for NetworkName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// Where a container's network namespace comes from, and what is in it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum NetworkMode {
    /// One of its own, with a link for each of these networks, in this order; at least one.
    On(Vec<NetworkName>),
    /// One of its own, with nothing but its loopback link.
    None,
    /// The host's.
    Host,
    /// That of another container, named by its pair.
    Container(String),
}

impl Default for NetworkMode {
    fn default() -> Self {
        Self::On(vec![NetworkName::bridge()])
    }
}

impl NetworkMode {
    /// Reads the values of `network=`, in the order given; none is the default network.
    pub fn read(values: &[String]) -> Result<Self, Refusal> {
        match values {
            [] => Ok(Self::default()),
            [one] if one == "none" => Ok(Self::None),
            [one] if one == "host" => Ok(Self::Host),
            [one] if one.starts_with("container:") => match one.trim_start_matches("container:") {
                "" => Err(Refusal::bad_value("container: is followed by a container's name")),
                name => Ok(Self::Container(name.to_owned())),
            },
            several => Self::networks(several),
        }
    }

    fn networks(values: &[String]) -> Result<Self, Refusal> {
        let mut names: Vec<NetworkName> = Vec::new();
        for value in values {
            if RESERVED.contains(&value.as_str()) || value.starts_with("container:") {
                return Err(Refusal::bad_option(format_args!("network={value} stands alone")));
            }
            let name = value.parse()?;
            if names.contains(&name) {
                return Err(Refusal::bad_option(format_args!("network={name} is given twice")));
            }
            names.push(name);
        }
        Ok(Self::On(names))
    }
}

impl fmt::Display for NetworkMode {
    /// As `network=` has it.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::On(names) => f.write_str(&names.iter().map(NetworkName::as_str).collect::<Vec<_>>().join(",")),
            Self::None => f.write_str("none"),
            Self::Host => f.write_str("host"),
            Self::Container(name) => write!(f, "container:{name}"),
        }
    }
}

/// How a container is to be connected.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Networking {
    /// Where its namespace comes from.
    pub mode: NetworkMode,
    /// The address that it is to have on the first of its networks.
    pub ip: Option<Ipv4Addr>,
    /// Another name that it answers to on its networks.
    pub alias: Option<String>,
}

impl Networking {
    /// Refuses what only goes with networks of ours where it is on none.
    pub fn check(&self, publishes: bool) -> Result<(), Refusal> {
        if matches!(self.mode, NetworkMode::On(_)) {
            return Ok(());
        }
        let asked = [(publishes, "publish"), (self.ip.is_some(), "ip"), (self.alias.is_some(), "alias")];
        match asked.iter().find(|(asked, _)| *asked) {
            Some((_, key)) => Err(Refusal::bad_option(format_args!("{key}= does not go with network={}", self.mode))),
            None => Ok(()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::refusal::Code;

    fn read(values: &[&str]) -> Result<String, Refusal> {
        let values: Vec<String> = values.iter().map(|value| (*value).to_owned()).collect();
        NetworkMode::read(&values).map(|mode| mode.to_string())
    }

    #[test]
    fn modes_are_read_as_they_are_shown() {
        assert_eq!(read(&[]).unwrap(), "bridge");
        assert_eq!(read(&["front", "back"]).unwrap(), "front,back");
        for mode in ["none", "host", "container:web:1", "bridge", "Net_1.x"] {
            assert_eq!(read(&[mode]).unwrap(), mode);
        }
    }

    #[test]
    fn what_does_not_go_together_is_refused() {
        for (values, code) in [
            (["none", "front"], Code::BadOption),
            (["front", "container:web"], Code::BadOption),
            (["front", "front"], Code::BadOption),
            (["front", "-x"], Code::BadValue),
            (["", "front"], Code::BadValue),
        ] {
            assert_eq!(read(&values).unwrap_err().code(), code, "{values:?}");
        }
        assert_eq!(read(&["container:"]).unwrap_err().code(), Code::BadValue);
        assert!("host".parse::<NetworkName>().is_err() && "x".repeat(64).parse::<NetworkName>().is_err());
    }
}
