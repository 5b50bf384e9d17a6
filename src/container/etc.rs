//! The files of `/etc` that are made for a container: `hosts`, `hostname`, `resolv.conf`.

use std::fs;
use std::net::{IpAddr, Ipv4Addr};

use super::plan::Plan;
use super::rootfs::write;
use crate::refusal::Refusal;

/// Names by which containers of docker and of podman know their host.
const HOST: [&str; 2] = ["host.docker.internal", "host.containers.internal"];
/// What every host has, as docker has it.
const LOCAL: &str = "127.0.0.1\tlocalhost\n::1\tlocalhost ip6-localhost ip6-loopback\nfe00::\tip6-localnet\n\
    ff00::\tip6-mcastprefix\nff02::1\tip6-allnodes\nff02::2\tip6-allrouters\n";
/// The resolver's configuration.
const RESOLVER: &str = "/etc/resolv.conf";
/// The same as systemd-resolved has it from the network, where the usual one names its stub alone (systemd-resolved(8)).
const RESOLVED: &str = "/run/systemd/resolve/resolv.conf";
/// Where that stub listens.
const STUB: [&str; 2] = ["127.0.0.53", "127.0.0.54"];

/// Writes them, for the address that it has and that of its gateway. Not for the daemon's thread.
pub fn write_all(plan: &Plan, ip: Ipv4Addr, gateway: Ipv4Addr) -> Result<(), Refusal> {
    let etc = plan.places.data.join("etc");
    let resolver = resolver(|path| fs::read_to_string(path).unwrap_or_default(), &plan.wishes.dns);
    write(&etc.join("hosts"), hosts(plan, ip, gateway).as_bytes())?;
    write(&etc.join("hostname"), format!("{}\n", plan.hostname).as_bytes())?;
    write(&etc.join("resolv.conf"), resolver.as_bytes())
}

fn hosts(plan: &Plan, ip: Ipv4Addr, gateway: Ipv4Addr) -> String {
    let wished = &plan.wishes.hosts;
    let mut hosts = format!("{LOCAL}{ip}\t{}\n", own_names(&plan.hostname, plan.name.name()).join(" "));
    let is_wished = |name: &&str| wished.iter().any(|(wish, _)| wish == name);
    let host: Vec<&str> = HOST.into_iter().filter(|name| !is_wished(name)).collect();
    if !host.is_empty() {
        hosts += &format!("{gateway}\t{}\n", host.join(" "));
    }
    for (name, address) in wished {
        hosts += &format!("{}\t{name}\n", address.unwrap_or(gateway.into()));
    }
    hosts
}

/// What a container calls itself: its host name, that without its domain, and its name.
fn own_names<'a>(hostname: &'a str, name: &'a str) -> Vec<&'a str> {
    let short = hostname.split('.').next().unwrap_or(hostname);
    let mut names = vec![hostname];
    for other in [short, name] {
        if !names.contains(&other) {
            names.push(other);
        }
    }
    names
}

/// The host's configuration with `servers`, or else with those of its own that a container reaches.
fn resolver(read: impl Fn(&str) -> String, servers: &[IpAddr]) -> String {
    let usual = read(RESOLVER);
    let stub = usual.lines().filter_map(server).all(|server| STUB.contains(&server));
    let host = if stub { Some(read(RESOLVED)).filter(|text| !text.is_empty()).unwrap_or(usual) } else { usual };
    let kept = |line: &&str| server(line).is_none_or(|server| servers.is_empty() && is_reached(server));
    let given = servers.iter().map(|server| format!("nameserver {server}\n"));
    given.chain(host.lines().filter(kept).map(|line| format!("{line}\n"))).collect()
}

/// The name server that a line tells, if it does.
fn server(line: &str) -> Option<&str> {
    let mut words = line.split_whitespace();
    words.next().filter(|word| *word == "nameserver").map(|_| words.next().unwrap_or_default())
}

/// A container has an address of IPv4 alone, and a loopback of its own.
fn is_reached(server: &str) -> bool {
    server.parse::<Ipv4Addr>().is_ok_and(|address| !address.is_loopback() && !address.is_unspecified())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn shown(usual: &str, resolved: &str, servers: &[&str]) -> String {
        let servers: Vec<IpAddr> = servers.iter().map(|server| server.parse().unwrap()).collect();
        resolver(|path| if path == RESOLVER { usual.into() } else { resolved.into() }, &servers)
    }

    #[test]
    fn servers_that_only_the_host_reaches_are_left_out() {
        let usual = "search x\nnameserver 127.0.0.1\nnameserver  9.9.9.9 \nnameserver ::1\nnameserver 2001:db8::1\n";
        assert_eq!(shown(usual, "nameserver 1.1.1.1\n", &[]), "search x\nnameserver  9.9.9.9 \n");
        assert_eq!(shown("nameserver\nnameserver 127.0.0.1", "", &[]), "");
    }

    #[test]
    fn the_stub_stands_for_the_servers_behind_it() {
        let stub = "nameserver 127.0.0.53\noptions edns0 trust-ad\n";
        let behind = "nameserver 192.0.2.1\nsearch home\n";
        assert_eq!(shown(stub, behind, &[]), behind);
        assert_eq!(shown(stub, "", &[]), "options edns0 trust-ad\n");
        assert_eq!(shown("nameserver 127.0.0.53\nnameserver 9.9.9.9\n", behind, &[]), "nameserver 9.9.9.9\n");
    }

    #[test]
    fn servers_that_are_given_replace_the_hosts() {
        assert_eq!(
            shown("search x\nnameserver 9.9.9.9\n", "", &["::2", "1.2.3.4"]),
            "nameserver ::2\nnameserver 1.2.3.4\nsearch x\n"
        );
    }

    #[test]
    fn it_knows_its_own_names() {
        assert_eq!(own_names("web.example.org", "db"), ["web.example.org", "web", "db"]);
        assert_eq!(own_names("web", "web"), ["web"]);
    }
}
