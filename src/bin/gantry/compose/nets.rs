//! Keys of a service that tell how it is connected: networks, names, published ports.

use super::model::{DEFAULT, Ground, Service};
use super::node::{At, Node};
use crate::failure::Failure;

/// `ports`: docker's short form, which is the wire's, or `target` with `published`, `host_ip` and `protocol`.
pub fn ports(at: &At<'_>, service: &mut Service, _: &Ground<'_>) -> Result<(), Failure> {
    for item in at.items(false)? {
        let publish = match item.node {
            Node::Map(_) => long_port(&item)?,
            // No port of the host is any that is free, which the wire writes as 0 behind an address.
            _ => item.text()?.replace("::", ":0:"),
        };
        service.options.push(("publish", publish.into_bytes()));
    }
    Ok(())
}

fn long_port(at: &At<'_>) -> Result<String, Failure> {
    let (mut target, mut published, mut ip, mut protocol) = (None, None, String::new(), String::new());
    for (key, field) in at.entries_of(&["target", "published", "host_ip", "protocol", "mode"])? {
        let text = field.text()?;
        match key {
            "target" => target = Some(text),
            "published" => published = Some(text),
            "host_ip" => ip = format!("{text}:"),
            "protocol" => protocol = format!("/{text}"),
            // With one host there is no difference between the two.
            _ if matches!(text, "host" | "ingress") => {}
            _ => return Err(field.refuse("it is host or ingress")),
        }
    }
    let target = target.ok_or_else(|| at.refuse("it has no target"))?;
    Ok(format!("{ip}{}:{target}{protocol}", published.unwrap_or("0")))
}

/// `networks`: names, or a map with `aliases` and `ipv4_address`.
pub fn networks(at: &At<'_>, service: &mut Service, ground: &Ground<'_>) -> Result<(), Failure> {
    let wanted = match at.node {
        Node::List(_) => at.items(false)?.into_iter().map(|item| Ok((item.text()?, None, Vec::new()))).collect(),
        _ => at.entries()?.iter().map(|(key, at)| one_network(key, at)).collect::<Result<Vec<_>, Failure>>(),
    }?;
    let mut wanted = wanted;
    // The wire's `ip=` is of the first network.
    wanted.sort_by_key(|(_, address, _)| address.is_none());
    if wanted.iter().filter(|(_, address, _)| address.is_some()).count() > 1 {
        return Err(at.refuse("an ipv4_address on one network alone is supported"));
    }
    let mut aliases: Vec<&str> = Vec::new();
    for (key, address, names) in &wanted {
        if !ground.networks.iter().any(|network| network.key == *key) {
            return Err(at.refuse(format_args!("there is no network {key} under networks")));
        }
        service.networks.push((*key).to_owned());
        if let Some(address) = address {
            service.options.push(("ip", address.as_bytes().to_vec()));
        }
        let names = names.iter().copied().filter(|name| *name != service.name);
        names.for_each(|name| {
            if !aliases.contains(&name) {
                aliases.push(name);
            }
        });
    }
    match aliases.as_slice() {
        [] => Ok(()),
        // The wire's alias is of the container, on all of its networks.
        [alias] if wanted.iter().all(|(_, _, names)| names.contains(alias)) => {
            service.options.push(("alias", alias.as_bytes().to_vec()));
            Ok(())
        }
        [_] => Err(at.refuse("an alias on some of its networks alone is not supported; name it on each")),
        _ => Err(at.refuse(format_args!("{}: more than one alias is not supported", aliases.join(", ")))),
    }
}

/// A network's key, the address on it, and the names on it.
type Wanted<'a> = (&'a str, Option<&'a str>, Vec<&'a str>);

fn one_network<'a>(key: &'a str, at: &At<'a>) -> Result<Wanted<'a>, Failure> {
    let (mut address, mut aliases) = (None, Vec::new());
    for (field, at) in at.entries_of(&["aliases", "ipv4_address"])? {
        match field {
            "ipv4_address" => address = Some(at.text()?),
            _ => aliases = at.items(false)?.iter().map(At::text).collect::<Result<_, _>>()?,
        }
    }
    Ok((key, address, aliases))
}

/// `network_mode`: `none`, `host`, `bridge`, `service:NAME` or `container:NAME`.
pub fn network_mode(at: &At<'_>, service: &mut Service, _: &Ground<'_>) -> Result<(), Failure> {
    if !service.networks.is_empty() {
        return Err(at.refuse("it does not go with networks"));
    }
    match at.text()? {
        mode @ ("none" | "host" | "bridge") => service.options.push(("network", mode.into())),
        mode if mode.starts_with("container:") => service.options.push(("network", mode.into())),
        mode => match mode.strip_prefix("service:") {
            Some(other) => service.shares = Some(other.to_owned()),
            None => return Err(at.refuse(format_args!("{mode:?} is not supported"))),
        },
    }
    Ok(())
}

/// `extra_hosts`: `NAME:ADDRESS`, `NAME=ADDRESS`, or a map.
pub fn extra_hosts(at: &At<'_>, service: &mut Service, _: &Ground<'_>) -> Result<(), Failure> {
    let lines = match at.node {
        Node::List(_) => at.items(false)?.iter().map(|item| Ok(item.text()?.replacen('=', ":", 1))).collect(),
        _ => at.entries()?.iter().map(|(name, at)| Ok(format!("{name}:{}", at.text()?))).collect::<Result<Vec<_>, _>>(),
    }?;
    service.options.extend(lines.into_iter().map(|line| ("add-host", line.into_bytes())));
    Ok(())
}

/// Puts a service that says nothing of networks on the default one, and gives one with a container's name the service's
/// name in the DNS.
pub fn finish(at: &At<'_>, service: &mut Service, ground: &Ground<'_>) -> Result<(), Failure> {
    let is_said = service.shares.is_some() || service.options.iter().any(|(key, _)| *key == "network");
    if service.networks.is_empty() && !is_said {
        service.networks.push(DEFAULT.to_owned());
    }
    for key in &service.networks {
        let network = ground.networks.iter().find(|network| network.key == *key);
        service.options.extend(network.map(|network| ("network", network.name.clone().into_bytes())));
    }
    let is_renamed = service.container_name.as_ref().is_some_and(|name| *name != service.name);
    if !is_renamed || service.networks.is_empty() {
        return Ok(());
    }
    if service.options.iter().any(|(key, _)| *key == "alias") {
        return Err(
            at.refuse("an alias beside a container_name is not supported: the one it has is the service's name")
        );
    }
    service.options.push(("alias", service.name.clone().into_bytes()));
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::super::service::tests::options;

    #[test]
    fn ports_are_the_wires() {
        for (text, becomes) in [
            (
                "ports: ['8080:80', 81, '127.0.0.1:82:82/udp', '90-91:90-91']",
                "publish=8080:80 publish=81 publish=127.0.0.1:82:82/udp publish=90-91:90-91",
            ),
            ("ports: ['127.0.0.1::80']", "publish=127.0.0.1:0:80"),
            ("ports: [{target: 80}]", "publish=0:80"),
            (
                "ports: [{target: 80, published: '8080', host_ip: 127.0.0.1, protocol: udp, mode: host}]",
                "publish=127.0.0.1:8080:80/udp",
            ),
        ] {
            assert_eq!(options(text).as_deref(), Ok(becomes), "{text}");
        }
        assert_eq!(options("ports: [{published: 80}]").unwrap_err(), "services.web.ports[0]: it has no target");
        assert_eq!(
            options("ports: [{target: 80, app_protocol: http}]").unwrap_err(),
            "services.web.ports[0].app_protocol: not supported"
        );
    }

    #[test]
    fn networks_are_the_projects() {
        for (text, becomes) in [
            ("networks: [n, m]", "network=app_n network=app_m"),
            ("networks: {n: , m: {ipv4_address: 10.9.0.5}}", "ip=10.9.0.5 network=app_m network=app_n"),
            ("networks: {n: {aliases: [www, web]}}", "alias=www network=app_n"),
            ("network_mode: none", "network=none"),
            ("network_mode: 'container:other:1'", "network=container:other:1"),
            ("network_mode: 'service:db'", "network=container:db:app"),
            ("container_name: one", "alias=web"),
            ("container_name: web", ""),
            ("extra_hosts: ['a:1.2.3.4', 'b=1.2.3.5']", "add-host=a:1.2.3.4 add-host=b:1.2.3.5"),
            ("extra_hosts: {a: host-gateway}", "add-host=a:host-gateway"),
        ] {
            assert_eq!(options(text).as_deref(), Ok(becomes), "{text}");
        }
    }

    #[test]
    fn what_the_wire_cannot_say_is_refused() {
        for (text, why) in [
            ("networks: [other]", "services.web.networks: there is no network other under networks"),
            ("networks: {n: {aliases: [a, b]}}", "services.web.networks: a, b: more than one alias is not supported"),
            (
                "networks: {n: {aliases: [a]}, m: }",
                "services.web.networks: an alias on some of its networks alone is not supported; name it on each",
            ),
            (
                "networks: {n: {ipv4_address: 1.1.1.1}, m: {ipv4_address: 1.1.1.2}}",
                "services.web.networks: an ipv4_address on one network alone is supported",
            ),
            ("networks: {n: {ipv6_address: '::1'}}", "services.web.networks.n.ipv6_address: not supported"),
            ("networks: [n], network_mode: host", "services.web.network_mode: it does not go with networks"),
            ("network_mode: weird", "services.web.network_mode: \"weird\" is not supported"),
            (
                "container_name: one, networks: {n: {aliases: [a]}}",
                "services.web: an alias beside a container_name is not supported: the one it has is the service's name",
            ),
        ] {
            assert_eq!(options(text), Err(why.to_owned()), "{text}");
        }
    }
}
