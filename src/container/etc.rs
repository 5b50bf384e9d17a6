//! The files that are made for a container's `/etc`: `hosts`, `hostname`, `resolv.conf`. It blocks, and is run off the
//! daemon's thread.

use std::fs;
use std::net::{IpAddr, Ipv4Addr};

use super::plan::Plan;
use super::rootfs;
use crate::id::NetworkMode;
use crate::network::Attachment;
use crate::network::dns::resolv;
use crate::refusal::Refusal;

const LOCALHOST: &str = "127.0.0.1\tlocalhost\n::1\tlocalhost ip6-localhost ip6-loopback\n";

/// Writes the files that are bound over the image's. One that shares another's network sees that one's files.
pub fn write(plan: &Plan, attachment: &Attachment) -> Result<(), Refusal> {
    if attachment.shared.is_some() {
        return Ok(());
    }
    let on_host = plan.wishes.networking.mode == NetworkMode::Host;
    let of_host = |file: &str| fs::read_to_string(file).unwrap_or_default();
    let resolv = of_host("/etc/resolv.conf");
    let hosts = match on_host {
        true => with_wishes(plan, of_host("/etc/hosts"), Ipv4Addr::LOCALHOST),
        false => hosts(plan, attachment),
    };
    let resolv = match (plan.wishes.dns.as_slice(), name_server(attachment)) {
        (servers, Some(ours)) => resolv::for_container(&resolv, ours, servers),
        ([], None) if on_host => resolv,
        ([], None) => without_loopback(&resolv),
        (servers, None) => with_servers(&resolv, servers),
    };
    let etc = plan.places.etc();
    rootfs::write(&etc.join("hosts"), hosts.as_bytes())?;
    rootfs::write(&etc.join("hostname"), format!("{}\n", plan.hostname).as_bytes())?;
    rootfs::write(&etc.join("resolv.conf"), resolv.as_bytes())
}

/// Who answers its questions: the name server of the first of its networks that knows the outside.
fn name_server(attachment: &Attachment) -> Option<Ipv4Addr> {
    let outward = attachment.endpoints.iter().find(|endpoint| !endpoint.internal);
    outward.or(attachment.first()).map(|endpoint| endpoint.gateway)
}

/// Its hostname stands for each of its addresses; for 127.0.0.1 where it has none.
fn hosts(plan: &Plan, attachment: &Attachment) -> String {
    let gateway = attachment.first().map_or(Ipv4Addr::LOCALHOST, |endpoint| endpoint.gateway);
    let mut own: Vec<Ipv4Addr> = attachment.endpoints.iter().map(|endpoint| endpoint.ip).collect();
    if own.is_empty() {
        own.push(Ipv4Addr::LOCALHOST);
    }
    let lines = own.iter().map(|ip| format!("{ip}\t{}\n", plan.hostname));
    with_wishes(plan, lines.fold(LOCALHOST.to_owned(), |hosts, line| hosts + &line), gateway)
}

fn with_wishes(plan: &Plan, hosts: String, host: Ipv4Addr) -> String {
    let line = |(name, address): &(String, Option<IpAddr>)| format!("{}\t{name}\n", address.unwrap_or(host.into()));
    plan.wishes.hosts.iter().map(line).fold(hosts, |hosts, line| hosts + &line)
}

/// The host's resolver configuration, with `servers` in place of its own.
fn with_servers(resolv: &str, servers: &[IpAddr]) -> String {
    let rest = resolv.lines().filter(|line| !line.starts_with("nameserver")).flat_map(|line| [line, "\n"]);
    servers.iter().map(|server| format!("nameserver {server}\n")).chain(rest.map(str::to_owned)).collect()
}

/// The host's resolver configuration without servers that only the host itself can reach.
fn without_loopback(resolv: &str) -> String {
    let loopback = |line: &str| {
        let server = line.strip_prefix("nameserver").map(str::trim);
        server.is_some_and(|s| s.starts_with("127.") || s == "::1")
    };
    resolv.lines().filter(|line| !loopback(line)).flat_map(|line| [line, "\n"]).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn servers_of_the_host_alone_are_left_out() {
        assert_eq!(
            without_loopback("search x\nnameserver 127.0.0.53\nnameserver 9.9.9.9\n"),
            "search x\nnameserver 9.9.9.9\n"
        );
        assert_eq!(
            with_servers("search x\nnameserver 127.0.0.53\n", &["::2".parse().unwrap()]),
            "nameserver ::2\nsearch x\n"
        );
    }
}
