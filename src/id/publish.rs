//! Published ports: what a client asks for, and what was given.

use std::fmt;
use std::net::Ipv4Addr;
use std::str::FromStr;

use crate::refusal::Refusal;

/// The transport of a published port.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Proto {
    /// `tcp`.
    Tcp,
    /// `udp`.
    Udp,
}

impl Proto {
    /// As the wire spells it.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Tcp => "tcp",
            Self::Udp => "udp",
        }
    }

    /// The protocol number of IP.
    pub fn number(self) -> u8 {
        match self {
            Self::Tcp => 6,
            Self::Udp => 17,
        }
    }
}

/// Which host ports a [`Publish`] asks for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum HostPorts {
    /// Any that are free.
    Free,
    /// As many as there are container ports, from this one on.
    From(u16),
}

/// `[IP:][HOST[-HOST]:]CTR[-CTR][/tcp|udp]`: a range of container ports and where the host answers for them.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Publish {
    /// The host's address; unspecified means all of them.
    pub ip: Ipv4Addr,
    /// The host's ports.
    pub host: HostPorts,
    /// The first container port, never 0.
    pub container: u16,
    /// How many ports, at least one.
    pub count: u16,
    /// The transport.
    pub proto: Proto,
}

impl FromStr for Publish {
    type Err = Refusal;

    fn from_str(text: &str) -> Result<Self, Refusal> {
        let wrong = |why: &str| {
            Refusal::bad_value(format_args!("{text:?}: {why}; the form is [IP:][HOST[-HOST]:]CTR[-CTR][/tcp|udp]"))
        };
        let (rest, proto) = match text.split_once('/') {
            None => (text, Proto::Tcp),
            Some((rest, "tcp")) => (rest, Proto::Tcp),
            Some((rest, "udp")) => (rest, Proto::Udp),
            Some(_) => return Err(wrong("the protocol is tcp or udp")),
        };
        let mut parts = rest.rsplitn(3, ':');
        let container =
            parts.next().and_then(ports).filter(|(first, _)| *first > 0).ok_or_else(|| wrong("no container port"))?;
        let host = match parts.next() {
            None | Some("" | "0") => None,
            Some(host) => Some(ports(host).filter(|(first, _)| *first > 0).ok_or_else(|| wrong("no host port"))?),
        };
        let ip = match parts.next() {
            None => Ipv4Addr::UNSPECIFIED,
            Some(ip) => {
                ip.parse::<Ipv4Addr>().ok().filter(is_local).ok_or_else(|| wrong("no IPv4 address of a host"))?
            }
        };
        let count = container.1;
        if host.is_some_and(|(_, many)| many != count) {
            return Err(wrong("the two ranges differ in length"));
        }
        Ok(Self {
            ip,
            host: host.map_or(HostPorts::Free, |(first, _)| HostPorts::From(first)),
            container: container.0,
            count,
            proto,
        })
    }
}

/// Neither a group's address nor everyone's.
fn is_local(ip: &Ipv4Addr) -> bool {
    !ip.is_multicast() && !ip.is_broadcast()
}

/// The first port of `PORT` or `PORT-PORT`, and how many they are.
fn ports(text: &str) -> Option<(u16, u16)> {
    let (first, last) = text.split_once('-').unwrap_or((text, text));
    let (first, last) = (crate::wire::units::number::<u16>(first)?, crate::wire::units::number::<u16>(last)?);
    let count = last.checked_sub(first)?.checked_add(1)?;
    Some((first, count))
}

/// One port that the host answers for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct PublishedPort {
    /// The host's address; unspecified means all of them.
    pub ip: Ipv4Addr,
    /// The host's port.
    pub host: u16,
    /// The container's port.
    pub container: u16,
    /// The transport.
    pub proto: Proto,
}

impl fmt::Display for PublishedPort {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}->{}/{}", self.ip, self.host, self.container, self.proto.as_str())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_form_reads() {
        let p: Publish = "80".parse().unwrap();
        assert_eq!(
            (p.ip, p.host, p.container, p.count, p.proto),
            (Ipv4Addr::UNSPECIFIED, HostPorts::Free, 80, 1, Proto::Tcp)
        );
        let p: Publish = "127.0.0.1:8000-8003:80-83/udp".parse().unwrap();
        assert_eq!(
            (p.ip, p.host, p.container, p.count, p.proto),
            (Ipv4Addr::LOCALHOST, HostPorts::From(8000), 80, 4, Proto::Udp)
        );
        assert_eq!("127.0.0.1::80".parse::<Publish>().unwrap().host, HostPorts::Free);
        assert_eq!("0:80".parse::<Publish>().unwrap().host, HostPorts::Free);
    }

    #[test]
    fn what_is_no_port_is_refused() {
        for bad in [
            "",
            "0",
            "x",
            "80:",
            "65536",
            "70000:80",
            "80-79",
            "1-2:80",
            "1.2.3:80:80",
            "80/sctp",
            "80/",
            "-80",
            "+80",
            "1:2:3:4",
            "0-65535",
        ] {
            assert!(bad.parse::<Publish>().is_err(), "{bad}");
        }
    }
}
