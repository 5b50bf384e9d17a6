//! Published ports: what a client asks for, and what was given.

use std::fmt;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
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
    /// The host's address; an unspecified one means all of its family, and none all of both.
    pub ip: Option<IpAddr>,
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
        let ip = parts.next().map(address).transpose().map_err(wrong)?;
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

/// An address of a host: one of IPv4, or one of IPv6 in brackets.
fn address(text: &str) -> Result<IpAddr, &'static str> {
    const NONE: &str = "no address of a host, like 192.0.2.1 or [2001:db8::1]";
    let bare = text.strip_prefix('[').and_then(|text| text.strip_suffix(']'));
    let Some(bare) = bare else {
        let ip = text.parse::<Ipv4Addr>().ok().filter(|ip| !ip.is_multicast() && !ip.is_broadcast());
        return ip.map(IpAddr::V4).ok_or(NONE);
    };
    match bare.parse::<Ipv6Addr>().map_err(|_| NONE)? {
        // What is sent from ::1 the kernel leads nowhere else.
        ip if ip.is_loopback() => Err("[::1] cannot be led to a container; 127.0.0.1 can"),
        ip if ip.is_multicast() || ip.is_unicast_link_local() || ip.to_ipv4_mapped().is_some() => Err(NONE),
        ip => Ok(ip.into()),
    }
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
    /// The host's address; an unspecified one means all of its family, and none all of both.
    pub ip: Option<IpAddr>,
    /// The host's port.
    pub host: u16,
    /// The container's port.
    pub container: u16,
    /// The transport.
    pub proto: Proto,
}

impl fmt::Display for PublishedPort {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}->{}/{}", At(self.ip, self.host), self.container, self.proto.as_str())
    }
}

/// Where on the host, as the wire spells it.
#[derive(Clone, Copy, Debug)]
pub struct At(pub Option<IpAddr>, pub u16);

impl fmt::Display for At {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        SocketAddr::new(self.0.unwrap_or(Ipv4Addr::UNSPECIFIED.into()), self.1).fmt(f)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_form_reads() {
        let p: Publish = "80".parse().unwrap();
        assert_eq!((p.ip, p.host, p.container, p.count, p.proto), (None, HostPorts::Free, 80, 1, Proto::Tcp));
        let p: Publish = "127.0.0.1:8000-8003:80-83/udp".parse().unwrap();
        assert_eq!(
            (p.ip, p.host, p.container, p.count, p.proto),
            (Some(Ipv4Addr::LOCALHOST.into()), HostPorts::From(8000), 80, 4, Proto::Udp)
        );
        let p: Publish = "[2001:db8::1]:8080:80".parse().unwrap();
        assert_eq!((p.ip, p.host), (Some("2001:db8::1".parse().unwrap()), HostPorts::From(8080)));
        assert_eq!("[::]::80".parse::<Publish>().unwrap().ip, Some(Ipv6Addr::UNSPECIFIED.into()));
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
            "[::1]:80:80",
            "[fe80::1]:80:80",
            "[ff02::1]:80:80",
            "[::ffff:127.0.0.1]:80:80",
            "[127.0.0.1]:80:80",
            "::1:80:80",
            "[::]80:80",
        ] {
            assert!(bad.parse::<Publish>().is_err(), "{bad}");
        }
    }

    #[test]
    fn ports_are_told_as_they_are_asked_for() {
        let told = |ip: Option<&str>| {
            let ip = ip.map(|ip| ip.parse().unwrap());
            PublishedPort { ip, host: 8080, container: 80, proto: Proto::Tcp }.to_string()
        };
        assert_eq!(told(None), "0.0.0.0:8080->80/tcp");
        assert_eq!(told(Some("127.0.0.1")), "127.0.0.1:8080->80/tcp");
        assert_eq!(told(Some("2001:db8::1")), "[2001:db8::1]:8080->80/tcp");
    }
}
