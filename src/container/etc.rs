//! The files of `/etc` that are made for a container: `hosts`, `hostname`, `resolv.conf`. It blocks, and is run off the
//! daemon's thread.

use std::fs;
use std::net::{IpAddr, Ipv4Addr};
use std::path::Path;

use super::plan::Plan;
use super::rootfs;
use crate::id::NetworkMode;
use crate::network::dns::resolv;
use crate::network::{Attachment, Endpoint};
use crate::refusal::Refusal;
use crate::tools::process::beginning;

/// Names by which containers of docker and of podman know their host.
const HOST: [&str; 2] = ["host.docker.internal", "host.containers.internal"];
/// What every host has, as docker has it.
const LOCAL: &str = "127.0.0.1\tlocalhost\n::1\tlocalhost ip6-localhost ip6-loopback\nfe00::\tip6-localnet\n\
    ff00::\tip6-mcastprefix\nff02::1\tip6-allnodes\nff02::2\tip6-allrouters\n";
/// The resolver's configuration as systemd-resolved has it from the network, where the usual one names its stub alone
/// (systemd-resolved(8)).
const RESOLVED: &str = "/run/systemd/resolve/resolv.conf";
/// Where that stub listens.
const STUB: [&str; 2] = ["127.0.0.53", "127.0.0.54"];

/// Writes the files that are bound over the image's. One that shares another's network sees that one's files.
pub fn write(plan: &Plan, attachment: &Attachment) -> Result<(), Refusal> {
    if attachment.shared.is_some() {
        return Ok(());
    }
    let etc = plan.places.etc();
    files(plan, &attachment.endpoints)
        .iter()
        .try_for_each(|(name, text)| rootfs::write(&etc.join(name), text.as_bytes()))
}

/// Writes anew what changes where the container's links are others than `before`. In place, for the files are bound over
/// the image's; one that somebody has changed since is his.
pub fn rewrite(plan: &Plan, before: &[Endpoint], now: &[Endpoint]) -> Result<(), Refusal> {
    for ((name, was), (_, is)) in files(plan, before).into_iter().zip(files(plan, now)) {
        let path = plan.places.etc().join(name);
        if *was != is && holds(&path, &was) {
            rootfs::write(&path, is.as_bytes())?;
        }
    }
    Ok(())
}

/// Whether that is all there is in a file, which the container may have made as long as it likes.
fn holds(path: &Path, text: &str) -> bool {
    beginning(path, text.len() as u64 + 1).is_ok_and(|found| found == text.as_bytes())
}

/// What the files hold for a container with these links.
fn files(plan: &Plan, endpoints: &[Endpoint]) -> [(&'static str, String); 3] {
    let on_host = plan.wishes.networking.mode == NetworkMode::Host;
    let read = |path: &str| fs::read_to_string(path).unwrap_or_default();
    let hosts = match on_host {
        true => with_wishes(plan, read("/etc/hosts"), Ipv4Addr::LOCALHOST),
        false => hosts(plan, endpoints),
    };
    let servers = &plan.wishes.dns;
    let resolver = match host(endpoints) {
        Some(ours) => resolv::for_container(&read(resolv::PATH), ours, servers),
        None if on_host => with_servers(&read(resolv::PATH), servers, |_| true),
        // It may be connected while it runs: its servers are then those that it reaches.
        None => with_servers(&behind_the_stub(read), servers, is_reached),
    };
    [("hosts", hosts), ("hostname", format!("{}\n", plan.hostname)), ("resolv.conf", resolver)]
}

/// The host as it knows it, which also answers its questions: on the first of its networks that knows the outside.
fn host(endpoints: &[Endpoint]) -> Option<Ipv4Addr> {
    let outward = endpoints.iter().find(|endpoint| !endpoint.internal);
    outward.or(endpoints.first()).map(|endpoint| endpoint.gateway)
}

/// Its names stand for each of its addresses; for 127.0.0.1 where it has none, and then nothing stands for the host.
fn hosts(plan: &Plan, endpoints: &[Endpoint]) -> String {
    let names = own_names(&plan.hostname, plan.name.name()).join(" ");
    let mut hosts = LOCAL.to_owned();
    let mut own: Vec<IpAddr> = endpoints.iter().flat_map(Endpoint::addresses).collect();
    if own.is_empty() {
        own.push(Ipv4Addr::LOCALHOST.into());
    }
    for ip in own {
        hosts += &format!("{ip}\t{names}\n");
    }
    let Some(gateway) = host(endpoints) else { return with_wishes(plan, hosts, Ipv4Addr::LOCALHOST) };
    let is_wished = |name: &&str| plan.wishes.hosts.iter().any(|(wish, _)| wish == name);
    let host: Vec<&str> = HOST.into_iter().filter(|name| !is_wished(name)).collect();
    if !host.is_empty() {
        hosts += &format!("{gateway}\t{}\n", host.join(" "));
    }
    with_wishes(plan, hosts, gateway)
}

fn with_wishes(plan: &Plan, hosts: String, host: Ipv4Addr) -> String {
    let line = |(name, address): &(String, Option<IpAddr>)| format!("{}\t{name}\n", address.unwrap_or(host.into()));
    plan.wishes.hosts.iter().map(line).fold(hosts, |hosts, line| hosts + &line)
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

/// The host's resolver configuration, or the one that its stub was made from.
fn behind_the_stub(read: impl Fn(&str) -> String) -> String {
    let usual = read(resolv::PATH);
    let is_stub = usual.lines().filter_map(server).all(|server| STUB.contains(&server));
    if is_stub { Some(read(RESOLVED)).filter(|text| !text.is_empty()).unwrap_or(usual) } else { usual }
}

/// The configuration `host` with `servers`, or else with those of its own that are reached.
fn with_servers(host: &str, servers: &[IpAddr], is_reached: impl Fn(&str) -> bool) -> String {
    let kept = |line: &&str| server(line).is_none_or(|server| servers.is_empty() && is_reached(server));
    let given = servers.iter().map(|server| format!("nameserver {server}\n"));
    given.chain(host.lines().filter(kept).map(|line| format!("{line}\n"))).collect()
}

/// The name server that a line tells, if it does.
fn server(line: &str) -> Option<&str> {
    let mut words = line.split_whitespace();
    words.next().filter(|word| *word == "nameserver").map(|_| words.next().unwrap_or_default())
}

/// A container has a loopback of its own, and reaches by IPv6 what the host does, which may be nothing.
fn is_reached(server: &str) -> bool {
    server.parse::<Ipv4Addr>().is_ok_and(|address| !address.is_loopback() && !address.is_unspecified())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn shown(usual: &str, resolved: &str, servers: &[&str]) -> String {
        let servers: Vec<IpAddr> = servers.iter().map(|server| server.parse().unwrap()).collect();
        let host = behind_the_stub(|path| if path == resolv::PATH { usual.into() } else { resolved.into() });
        with_servers(&host, &servers, is_reached)
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
    fn on_the_hosts_network_its_own_servers_are_reached() {
        let stub = "nameserver 127.0.0.53\noptions edns0 trust-ad\n";
        assert_eq!(with_servers(stub, &[], |_| true), stub);
    }

    #[test]
    fn a_file_without_end_is_another() {
        assert!(!holds(Path::new("/dev/zero"), "\0\0"));
        assert!(holds(Path::new("/dev/null"), ""));
    }

    #[test]
    fn it_knows_its_own_names() {
        assert_eq!(own_names("web.example.org", "db"), ["web.example.org", "web", "db"]);
        assert_eq!(own_names("web", "web"), ["web"]);
    }
}
