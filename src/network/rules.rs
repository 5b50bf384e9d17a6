//! The static ruleset as text, pure: everything that does not change while containers come and go. Published ports are
//! elements of its two maps (see `elements.rs`), never rules.

use super::dns;
use super::host::Base;
use super::names::LinkNames;

/// The comment by which a table is known for ours.
pub const COMMENT: &str = "gantry";
/// The map of ports published on every address: `proto . port : ip . port`.
pub const EVERYWHERE: &str = "published";
/// The map of ports published on one address: `ip . proto . port : ip . port`.
pub const ON_ADDRESS: &str = "published_on";
/// The same two of IPv6.
pub const EVERYWHERE6: &str = "published6";
/// See [`EVERYWHERE6`].
pub const ON_ADDRESS6: &str = "published6_on";

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
/// With `v6`, each rule that is about addresses stands there once more, for IPv6. Two differences: the kernel itself keeps
/// everyone off ::1, and leads nothing from there; and what comes from a link-local address it does not forward. Neither is
/// led to a container, so that it is refused at once, by the socket that holds the port (`ports.rs`).
///
/// The sets hold what the first network has, and further networks of ours come and go as further elements ([`add`],
/// [`remove`]). One that is internal is among the `sealed`: what it does not carry from container to container by itself
/// is dropped, also what would come or go by a published port.
pub fn table(base: &Base, v6: bool, dns: dns::Ports) -> String {
    let Base { bridge, subnet, gateway, .. } = base;
    let dns::Ports { udp, tcp } = dns;
    let six = |text: String| if v6 { text } else { String::new() };
    let elements6 = |element: String| base.ula.map_or_else(String::new, |_| format!(" elements = {{ {element} }}"));
    let ula = base.ula.map_or_else(String::new, |ula| ula.to_string());
    let sets6 = six(format!(
        r#"
    set subnets6 {{ type ipv6_addr; flags interval;{} }}
    set homes6 {{ type ipv6_addr . ifname; flags interval;{} }}
    map {EVERYWHERE6} {{ type inet_proto . inet_service : ipv6_addr . inet_service; }}
    map {ON_ADDRESS6} {{ type ipv6_addr . inet_proto . inet_service : ipv6_addr . inet_service; }}
    chain publish6 {{
        ip6 daddr ::1 return
        ip6 saddr fe80::/10 return
        dnat ip6 to ip6 daddr . meta l4proto . th dport map @{ON_ADDRESS6}
        dnat ip6 to meta l4proto . th dport map @{EVERYWHERE6}
    }}"#,
        elements6(ula.clone()),
        elements6(format!(r#"{ula} . "{bridge}""#)),
    ));
    let publish6 = six("
        meta nfproto ipv6 meta l4proto { tcp, udp } fib daddr type local jump publish6"
        .to_owned());
    let masquerade6 = six("
        ip6 saddr @subnets6 oifname != @bridges masquerade
        ct status dnat ip6 saddr . oifname @homes6 masquerade"
        .to_owned());
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
    }}{sets6}
    chain prerouting {{
        type nat hook prerouting priority dstnat - 1; policy accept;
        meta l4proto {{ tcp, udp }} th dport 53 dnat ip to iifname . ip daddr . meta l4proto map @resolvers
        ip daddr != 127.0.0.0/8 meta l4proto {{ tcp, udp }} fib daddr type local jump publish{publish6}
    }}
    chain output {{
        type nat hook output priority -101; policy accept;
        meta nfproto ipv4 meta l4proto {{ tcp, udp }} fib daddr type local jump publish{publish6}
    }}
    chain postrouting {{
        type nat hook postrouting priority srcnat - 1; policy accept;
        ip saddr @subnets oifname != @bridges masquerade
        ip saddr 127.0.0.0/8 oifname @bridges masquerade
        ct status dnat ip saddr . oifname @homes masquerade{masquerade6}
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

/// The text that makes the table `bridge TABLE`, or fails where there is one. It is for speed: every container that comes says
/// some four times which groups of IPv6 it is in (MLDv2, RFC 3810 5.2.14: all of it to ff02::16). There is nobody who wants to
/// know, for what is for a group goes to all; and on a bridge of five hundred links each such report is five hundred packets.
pub fn quiet(table: &str) -> String {
    let names = LinkNames::new(table);
    let links = names.prefix();
    format!(
        r#"create table bridge {table} {{ comment "{COMMENT}"; }}
table bridge {table} {{
    chain reports {{
        type filter hook prerouting priority filter; policy accept;
        iifname "{links}*" ip6 daddr ff02::16 drop
    }}
}}
"#
    )
}

/// The text after which there is no table `bridge TABLE`.
pub fn not_quiet(table: &str) -> String {
    format!("table bridge {table} {{ }}\ndelete table bridge {table}\n")
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
    let Base { bridge, subnet, gateway, ula, .. } = base;
    let among = |one: &str, other: &str| ("within", format!("\"{one}\" . \"{other}\""));
    let mut own = vec![("bridges", format!("\"{bridge}\"")), among(bridge, bridge)];
    own.extend(others.iter().flat_map(|other| [among(bridge, other), among(other, bridge)]));
    if internal {
        own.push(("sealed", format!("\"{bridge}\"")));
    } else {
        own.push(("homes", format!("{subnet} . \"{bridge}\"")));
        own.extend(ula.map(|ula| ("homes6", format!("{ula} . \"{bridge}\""))));
    }
    for (proto, port) in [("udp", dns.udp), ("tcp", dns.tcp)] {
        own.push(("resolvers", format!("\"{bridge}\" . {gateway} . {proto} : {gateway} . {port}")));
    }
    own.iter().map(|(set, element)| format!("{verb} element inet {table} {set} {{ {element} }}\n")).collect()
}

fn elements(verb: &str, table: &str, base: &Base, internal: bool) -> String {
    let Base { bridge, subnet, ula, .. } = base;
    let mut own = vec![("bridges", format!("\"{bridge}\"")), ("within", format!("\"{bridge}\" . \"{bridge}\""))];
    if internal {
        own.push(("sealed", format!("\"{bridge}\"")));
    } else {
        own.extend([("subnets", subnet.to_string()), ("homes", format!("{subnet} . \"{bridge}\""))]);
        own.extend(
            ula.iter().flat_map(|ula| [("subnets6", ula.to_string()), ("homes6", format!("{ula} . \"{bridge}\""))]),
        );
    }
    own.iter().map(|(set, element)| format!("{verb} element inet {table} {set} {{ {element} }}\n")).collect()
}

#[cfg(test)]
mod tests {
    use std::net::Ipv4Addr;

    use super::super::ula::Ula;
    use super::*;

    fn base(ula: Option<Ula>) -> Base {
        let (subnet, gateway) = ("10.67.0.0/16".parse().unwrap(), Ipv4Addr::new(10, 67, 0, 1));
        Base { bridge: "gantry0".to_owned(), index: 0, subnet, gateway, ula, routed: false }
    }

    const PORTS: dns::Ports = dns::Ports { udp: 40001, tcp: 40002 };

    #[test]
    fn every_brace_is_closed_and_every_name_is_put_in() {
        let text = table(&base(None), false, PORTS);
        assert_eq!(text.matches('{').count(), text.matches('}').count());
        assert!(text.starts_with("create table inet gantry0 {"));
        assert!(text.contains(r#"10.67.0.0/16 . "gantry0""#));
        assert!(text.contains(r#""gantry0" . 10.67.0.1 . udp : 10.67.0.1 . 40001"#));
        assert!(!text.contains("ip6") && !text.contains("ipv6"), "no IPv6 where there is none");
    }

    #[test]
    fn ipv6_has_rules_of_its_own() {
        let ula = Ula::choose("", "gantry0", "bridge", &[]).unwrap();
        let text = table(&base(Some(ula)), true, PORTS);
        assert_eq!(text.matches('{').count(), text.matches('}').count());
        assert!(text.contains(&format!("elements = {{ {ula} . \"gantry0\" }}")), "{text}");
        assert_eq!(text.matches("jump publish6").count(), 2);
        let further = add("gantry0", &base(Some(ula)), false, PORTS);
        assert!(further.contains(&format!("subnets6 {{ {ula} }}")), "{further}");
        assert!(!add("gantry0", &base(Some(ula)), true, PORTS).contains("subnets6"), "no way out of an internal one");
        assert!(!table(&base(None), true, PORTS).contains("/64"), "a network may have none all the same");
    }
}
