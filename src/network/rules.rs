//! The static ruleset as text, pure: everything that does not change while containers come and go. Published ports are
//! elements of its two maps (see `elements.rs`), never rules.

use std::net::Ipv4Addr;

use super::dns;
use super::host::Base;
use crate::config::Subnet;

/// The comment by which a table is known for ours.
pub const COMMENT: &str = "gantry";
/// The map of ports published on every address: `proto . port : ip . port`.
pub const EVERYWHERE: &str = "published";
/// The map of ports published on one address: `ip . proto . port : ip . port`.
pub const ON_ADDRESS: &str = "published_on";

/// The text for `nft -f -` that makes the table `inet BRIDGE`, and fails where there is one already: nft carries it out
/// as one transaction, of which `create` is the part that minds. (nft 1.0.6 forgets what stands in the block of a
/// `create`, but for the comment; hence the two statements.)
///
/// - `publish` is asked for what is addressed to the host itself (`fib daddr type local`): from elsewhere and from
///   containers in `prerouting`, from the host in `output`. 127.0.0.0/8 is left out of `prerouting`: a neighbour that
///   forges such a destination must not reach what is published on 127.0.0.1 alone.
/// - `resolvers` leads what a container sends to port 53 of its bridge to the name server there (`dns/`). It comes first, so that whoever publishes a port 53 does not have the containers' questions.
/// - `postrouting` masquerades what leaves for the outside; what the host sends from 127.0.0.1, whose answer would
///   otherwise stay in the container; and what comes back in to the bridge it came from (hairpin), which must pass us
///   on its way home too. The last asks for the source address, as a bridged packet has no `iifname` there.
/// - `forward` lets in what was published, and answers; nothing else reaches a container from outside its bridge.
/// - `guard` is what keeps containers off the host's 127.0.0.1: `route_localnet`, which published ports need there,
///   opens it to them.
///
/// The sets have one element each in the beginning, and further networks of ours come and go as further elements ([`add`],
/// [`remove`]). One that is internal is among the `sealed`: what it does not carry from container to container by itself
/// is dropped, also what would come or go by a published port.
pub fn table(bridge: &str, subnet: Subnet, gateway: Ipv4Addr, dns: dns::Ports) -> String {
    let dns::Ports { udp, tcp } = dns;
    format!(
        r#"create table inet {bridge} {{ comment "{COMMENT}"; }}
table inet {bridge} {{
    set bridges {{ type ifname; elements = {{ "{bridge}" }} }}
    set within {{ type ifname . ifname; elements = {{ "{bridge}" . "{bridge}" }} }}
    set sealed {{ type ifname; }}
    set subnets {{ type ipv4_addr; flags interval; elements = {{ {subnet} }} }}
    set homes {{ type ipv4_addr . ifname; flags interval; elements = {{ {subnet} . "{bridge}" }} }}
    map resolvers {{
        type ifname . ipv4_addr . inet_proto : ipv4_addr . inet_service
        elements = {{
            "{bridge}" . {gateway} . udp : {gateway} . {udp},
            "{bridge}" . {gateway} . tcp : {gateway} . {tcp}
        }}
    }}
    map {EVERYWHERE} {{ type inet_proto . inet_service : ipv4_addr . inet_service; }}
    map {ON_ADDRESS} {{ type ipv4_addr . inet_proto . inet_service : ipv4_addr . inet_service; }}
    chain publish {{
        dnat ip to ip daddr . meta l4proto . th dport map @{ON_ADDRESS}
        dnat ip to meta l4proto . th dport map @{EVERYWHERE}
    }}
    chain prerouting {{
        type nat hook prerouting priority dstnat - 1; policy accept;
        meta l4proto {{ tcp, udp }} th dport 53 dnat ip to iifname . ip daddr . meta l4proto map @resolvers
        ip daddr != 127.0.0.0/8 meta l4proto {{ tcp, udp }} fib daddr type local jump publish
    }}
    chain output {{
        type nat hook output priority -101; policy accept;
        meta nfproto ipv4 meta l4proto {{ tcp, udp }} fib daddr type local jump publish
    }}
    chain postrouting {{
        type nat hook postrouting priority srcnat - 1; policy accept;
        ip saddr @subnets oifname != @bridges masquerade
        ip saddr 127.0.0.0/8 oifname @bridges masquerade
        ct status dnat ip saddr . oifname @homes masquerade
    }}
    chain forward {{
        type filter hook forward priority filter; policy accept;
        ct state established,related accept
        iifname . oifname @within accept
        iifname @sealed drop
        oifname @sealed drop
        ct status dnat accept
        oifname @bridges drop
    }}
    chain guard {{
        type filter hook prerouting priority raw; policy accept;
        iifname @bridges ip daddr 127.0.0.0/8 drop
    }}
}}
"#
    )
}

/// The text after which there is no table `inet TABLE`, whether there was one or not.
pub fn none(table: &str) -> String {
    format!("table inet {table} {{ }}\ndelete table inet {table}\n")
}

/// The text that adds a further network to the table `inet TABLE`.
pub fn add(table: &str, base: &Base, internal: bool, dns: dns::Ports) -> String {
    let Base { bridge, gateway, .. } = base;
    let lead = |proto: &str, port: u16| {
        let to = format!("{gateway} . {port}");
        format!("add element inet {table} resolvers {{ \"{bridge}\" . {gateway} . {proto} : {to} }}\n")
    };
    elements("add", table, base, internal) + &lead("udp", dns.udp) + &lead("tcp", dns.tcp)
}

/// The text that takes it out again.
pub fn remove(table: &str, base: &Base, internal: bool) -> String {
    let Base { bridge, gateway, .. } = base;
    let lead =
        |proto: &str| format!("delete element inet {table} resolvers {{ \"{bridge}\" . {gateway} . {proto} }}\n");
    elements("delete", table, base, internal) + &lead("udp") + &lead("tcp")
}

/// The text that adds a further bridge of a network to the table, or deletes it there: `others` are those that the network
/// has before it, its first among them. It is one network: they reach each other.
pub fn part(verb: &str, table: &str, base: &Base, others: &[&str], internal: bool, dns: dns::Ports) -> String {
    let Base { bridge, subnet, gateway, .. } = base;
    let among = |one: &str, other: &str| ("within", format!("\"{one}\" . \"{other}\""));
    let mut own = vec![("bridges", format!("\"{bridge}\"")), among(bridge, bridge)];
    own.extend(others.iter().flat_map(|other| [among(bridge, other), among(other, bridge)]));
    own.push(match internal {
        true => ("sealed", format!("\"{bridge}\"")),
        false => ("homes", format!("{subnet} . \"{bridge}\"")),
    });
    for (proto, port) in [("udp", dns.udp), ("tcp", dns.tcp)] {
        own.push(("resolvers", format!("\"{bridge}\" . {gateway} . {proto} : {gateway} . {port}")));
    }
    own.iter().map(|(set, element)| format!("{verb} element inet {table} {set} {{ {element} }}\n")).collect()
}

fn elements(verb: &str, table: &str, base: &Base, internal: bool) -> String {
    let Base { bridge, subnet, .. } = base;
    let own = [("bridges", format!("\"{bridge}\"")), ("within", format!("\"{bridge}\" . \"{bridge}\""))];
    let more = match internal {
        true => vec![("sealed", format!("\"{bridge}\""))],
        false => vec![("subnets", subnet.to_string()), ("homes", format!("{subnet} . \"{bridge}\""))],
    };
    own.iter()
        .chain(&more)
        .map(|(set, element)| format!("{verb} element inet {table} {set} {{ {element} }}\n"))
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_brace_is_closed_and_every_name_is_put_in() {
        let ports = dns::Ports { udp: 40001, tcp: 40002 };
        let text = table("gantry0", "10.67.0.0/16".parse().unwrap(), Ipv4Addr::new(10, 67, 0, 1), ports);
        assert_eq!(text.matches('{').count(), text.matches('}').count());
        assert!(text.starts_with("create table inet gantry0 {"));
        assert!(text.contains(r#"10.67.0.0/16 . "gantry0""#));
        assert!(text.contains(r#""gantry0" . 10.67.0.1 . udp : 10.67.0.1 . 40001"#));
    }
}
