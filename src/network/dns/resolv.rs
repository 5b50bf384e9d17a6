//! `resolv.conf`, pure (man page `resolv.conf(5)`): whom the host asks, and what a container is given in its place.

use std::net::{IpAddr, Ipv4Addr, SocketAddr, SocketAddrV6};

/// Where the host's is.
pub const PATH: &str = "/etc/resolv.conf";
/// The port of name servers.
const PORT: u16 = 53;
/// How many servers are asked, as the C library does (`MAXNS`).
const SERVERS_MAX: usize = 3;

/// The servers that `text` names; like the C library's, this host's own where there is none.
pub fn servers(text: &str) -> Vec<SocketAddr> {
    let named = text.lines().filter_map(|line| server(value(line, "nameserver")?));
    let servers: Vec<_> = named.take(SERVERS_MAX).collect();
    if servers.is_empty() { vec![SocketAddr::new(Ipv4Addr::LOCALHOST.into(), PORT)] } else { servers }
}

/// The servers at `addresses`.
pub fn at(addresses: &[IpAddr]) -> Vec<SocketAddr> {
    addresses.iter().take(SERVERS_MAX).map(|ip| SocketAddr::new(*ip, PORT)).collect()
}

/// The file of a container whose network's own server is at `gateway`. What the host searches and its options stay.
///
/// Servers of the container's own (`asked`) are asked by ours, on its behalf: so it keeps the names of its network. Those
/// on its own loopback only it can ask, and so it does, without us.
pub fn for_container(host: &str, gateway: Ipv4Addr, asked: &[IpAddr]) -> String {
    let mut text = if asked.iter().any(IpAddr::is_loopback) {
        asked.iter().map(|server| format!("nameserver {server}\n")).collect()
    } else {
        let list: Vec<_> = asked.iter().map(IpAddr::to_string).collect();
        let whom = if list.is_empty() { "the host's servers".to_owned() } else { list.join(" ") };
        format!("# gantry: names of this network, and what {whom} know\nnameserver {gateway}\n")
    };
    for line in host.lines().filter(|line| ["search", "domain", "options"].iter().any(|key| value(line, key).is_some()))
    {
        text.push_str(line);
        text.push('\n');
    }
    text
}

/// What follows `key` on a line that begins with it.
fn value<'a>(line: &'a str, key: &str) -> Option<&'a str> {
    let rest = line.strip_prefix(key)?;
    rest.starts_with([' ', '\t']).then(|| rest.trim())
}

/// `ADDRESS`, or `ADDRESS%LINK` of a link-local one.
fn server(text: &str) -> Option<SocketAddr> {
    let text = text.split([' ', '\t', '#', ';']).next()?;
    let Some((address, link)) = text.split_once('%') else {
        return Some(SocketAddr::new(text.parse().ok()?, PORT));
    };
    let scope = link.parse().ok().or_else(|| nix::net::if_::if_nametoindex(link).ok())?;
    Some(SocketAddrV6::new(address.parse().ok()?, PORT, 0, scope).into())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn servers_are_read_as_the_c_library_does() {
        let text = "# a comment\nnameserver 127.0.0.53\n nameserver 1.1.1.1\nnameserver\tfe80::1%1 # x\nnameserver one\n\
                    nameservers 9.9.9.9\nsearch x\nnameserver 10.0.0.1\nnameserver 10.0.0.2\n";
        let read: Vec<_> = servers(text).iter().map(ToString::to_string).collect();
        assert_eq!(read, ["127.0.0.53:53", "[fe80::1%1]:53", "10.0.0.1:53"]);
        assert_eq!(servers("search x\n"), at(&[Ipv4Addr::LOCALHOST.into()]));
    }

    #[test]
    fn a_container_asks_us_and_searches_as_the_host_does() {
        let host = "# by hand\nnameserver 127.0.0.53\noptions edns0 trust-ad\nsearch example.org x\n";
        let gateway = Ipv4Addr::new(10, 67, 0, 1);
        let given = for_container(host, gateway, &[]);
        let rest = "nameserver 10.67.0.1\noptions edns0 trust-ad\nsearch example.org x\n";
        assert_eq!(given.split_once('\n').unwrap().1, rest);
        let given = for_container(host, gateway, &["192.0.2.1".parse().unwrap(), "2001:db8::1".parse().unwrap()]);
        let (comment, behind) = given.split_once('\n').unwrap();
        assert!(comment.starts_with("# ") && comment.contains(" 192.0.2.1 2001:db8::1 "), "{comment}");
        assert_eq!(behind, rest);
        let given = for_container("search x\n", gateway, &["127.0.0.1".parse().unwrap()]);
        assert_eq!(given, "nameserver 127.0.0.1\nsearch x\n");
    }
}
