//! What a project is: its services, networks and volumes, read from the tree and checked against each other. What gantry
//! cannot honour is refused here, by its path.

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};

use super::load::Loaded;
use super::node::At;
use super::{order, service};
use crate::failure::Failure;
use crate::flag::Pair;

/// The key of the network that a service is on where it says none.
pub const DEFAULT: &str = "default";

/// The most containers of a service: each takes a thread of the client while it is followed.
pub const REPLICAS_MAX: usize = 512;

/// A project.
#[derive(Clone, Debug)]
pub struct Project {
    /// Its name.
    pub name: String,
    /// Its services, in the order of the file.
    pub services: Vec<Service>,
    /// The networks that are used, or declared.
    pub networks: Vec<Network>,
    /// The volumes that are declared.
    pub volumes: Vec<Volume>,
    /// Those of the services that the profiles leave off.
    off: BTreeSet<String>,
}

/// A network of a project.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Network {
    /// What the file calls it.
    pub key: String,
    /// What the daemon calls it.
    pub name: String,
    /// Its addresses, where the file says.
    pub subnet: Option<String>,
    /// Whether nothing gets out of it.
    pub internal: bool,
    /// Whether it is there before and behind the project.
    pub external: bool,
}

/// A named volume of a project.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Volume {
    /// What the file calls it.
    pub key: String,
    /// What the daemon calls it.
    pub name: String,
    /// Whether it is there before and behind the project.
    pub external: bool,
}

/// What a service waits for before its containers start.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct After {
    /// Another service.
    pub service: String,
    /// What has become of it.
    pub condition: Condition,
    /// Whether it must be there at all.
    pub required: bool,
}

/// A state of a service that another one waits for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Condition {
    /// Its containers run.
    Started,
    /// Their checks found them well.
    Healthy,
    /// They have ended, with exit status 0.
    Completed,
}

/// A service: what its containers are made with.
#[derive(Clone, Debug, Default)]
pub struct Service {
    /// Its name.
    pub name: String,
    /// Its image.
    pub image: String,
    /// Options of `create`, but for names and the labels of a project.
    pub options: Vec<Pair>,
    /// In place of the image's command; empty for that.
    pub argv: Vec<String>,
    /// What its only container is called in place of the usual.
    pub container_name: Option<String>,
    /// How many containers.
    pub replicas: usize,
    /// With which it is on; with none, always.
    pub profiles: Vec<String>,
    /// What it waits for.
    pub after: Vec<After>,
    /// The keys of its networks; none where it has another's, the host's, or nothing.
    pub networks: Vec<String>,
    /// The keys of its volumes.
    pub volumes: Vec<String>,
    /// Directories of the host that are made where they are not there.
    pub directories: Vec<PathBuf>,
    /// Another service whose network it shares.
    pub shares: Option<String>,
}

impl Service {
    /// What its container of this number, from 1, is called, with its tag. DNS then answers to the service's name with all of them.
    pub fn container(&self, project: &str, number: usize) -> String {
        match (&self.container_name, number) {
            (Some(name), _) if name.contains(':') => name.clone(),
            (Some(name), _) => format!("{name}:latest"),
            (None, 1) => format!("{}:{project}", self.name),
            (None, number) => format!("{}:{project}-{number}", self.name),
        }
    }

    /// Whether its containers are started again by themselves.
    pub fn restarts(&self) -> bool {
        self.options.iter().any(|(key, value)| *key == "restart" && value != b"no")
    }
}

/// What a service is read beside.
pub struct Ground<'a> {
    /// What relative paths are relative to.
    pub directory: &'a Path,
    /// Variables of the client and of `.env`.
    pub environment: &'a BTreeMap<String, String>,
    /// Declared networks, the default one among them.
    pub networks: &'a [Network],
    /// Declared volumes.
    pub volumes: &'a [Volume],
}

impl Project {
    /// Reads a project.
    pub fn read(loaded: &Loaded) -> Result<Self, Failure> {
        let top = At::top(&loaded.tree);
        // `version` says nothing any more, by the specification.
        let entries = top.entries_of(&["version", "name", "services", "networks", "volumes"])?;
        let part = |wanted: &str| entries.iter().find(|(key, _)| *key == wanted).map(|(_, at)| at);
        let networks = declared(part("networks"), |key, at| network(&loaded.name, key, at))?;
        let volumes = declared(part("volumes"), |key, at| volume(&loaded.name, key, at))?;
        let mut project =
            Self { name: loaded.name.clone(), services: Vec::new(), networks, volumes, off: BTreeSet::new() };
        if !project.networks.iter().any(|network| network.key == DEFAULT) {
            project.networks.push(Network::of(&loaded.name, DEFAULT));
        }
        project.services = project.services_of(part("services"), loaded)?;
        project.share_networks()?;
        let is_used = |key: &str| project.services.iter().any(|service| service.networks.iter().any(|k| k == key));
        let unused = !is_used(DEFAULT);
        project.networks.retain(|network| network.key != DEFAULT || !unused);
        let is_on = |service: &&Service| {
            service.profiles.is_empty() || loaded.profiles.iter().any(|on| on == "*" || service.profiles.contains(on))
        };
        project.off = project.services.iter().filter(|one| !is_on(one)).map(|one| one.name.clone()).collect();
        order::check(&project)?;
        Ok(project)
    }

    fn services_of(&self, part: Option<&At<'_>>, loaded: &Loaded) -> Result<Vec<Service>, Failure> {
        let ground = Ground {
            directory: &loaded.directory,
            environment: &loaded.environment,
            networks: &self.networks,
            volumes: &self.volumes,
        };
        let entries = part.map(At::entries).transpose()?.unwrap_or_default();
        if entries.is_empty() {
            return Err(Failure::Usage("services: there is none".to_owned()));
        }
        entries.into_iter().map(|(name, at)| service::read(name, &at, &ground)).collect()
    }

    /// A service that shares the network of another waits for it, and is made with the name of its container.
    fn share_networks(&mut self) -> Result<(), Failure> {
        let names: BTreeMap<_, _> =
            self.services.iter().map(|one| (one.name.clone(), one.container(&self.name, 1))).collect();
        for service in &mut self.services {
            let Some(other) = service.shares.clone() else { continue };
            let place = format!("services.{}.network_mode", service.name);
            let container =
                names.get(&other).ok_or_else(|| Failure::Usage(format!("{place}: there is no service {other}")))?;
            service.options.push(("network", format!("container:{container}").into_bytes()));
            if !service.after.iter().any(|after| after.service == other) {
                service.after.push(After { service: other, condition: Condition::Started, required: true });
            }
        }
        Ok(())
    }

    /// A service by its name.
    pub fn service(&self, name: &str) -> Option<&Service> {
        self.services.iter().find(|service| service.name == name)
    }

    /// Gives a service another number of containers.
    pub fn scale(&mut self, name: &str, replicas: usize) -> Result<(), Failure> {
        let service = self.services.iter_mut().find(|service| service.name == name);
        let service = service.ok_or_else(|| Failure::Usage(format!("there is no service {name}")))?;
        if replicas > 1 && service.container_name.is_some() || replicas > REPLICAS_MAX {
            return Err(Failure::Usage(format!("services.{name}: it cannot have {replicas} containers")));
        }
        service.replicas = replicas;
        Ok(())
    }

    /// Whether the profiles leave it on.
    pub fn is_on(&self, service: &str) -> bool {
        !self.off.contains(service)
    }
}

impl Network {
    /// A network of the project that the file says nothing more of.
    fn of(project: &str, key: &str) -> Self {
        Self { key: key.to_owned(), name: format!("{project}_{key}"), subnet: None, internal: false, external: false }
    }
}

fn declared<T>(part: Option<&At<'_>>, read: impl Fn(&str, &At<'_>) -> Result<T, Failure>) -> Result<Vec<T>, Failure> {
    let entries = part.map(At::entries).transpose()?.unwrap_or_default();
    entries.iter().map(|(key, at)| read(key, at)).collect()
}

fn network(project: &str, key: &str, at: &At<'_>) -> Result<Network, Failure> {
    let mut network = Network::of(project, key);
    for (field, at) in at.entries_of(&["name", "driver", "internal", "external", "ipam"])? {
        match field {
            "driver" if at.text()? != "bridge" => return Err(at.refuse("the only driver is bridge")),
            "internal" => network.internal = at.yes()?,
            "external" => network.external = at.yes()?,
            "ipam" => network.subnet = subnet(&at)?,
            _ => {}
        }
    }
    network.name = real_name(network.name, key, at, network.external)?;
    match at.get("ipam").or_else(|| at.get("internal")).filter(|_| network.external) {
        Some(at) => Err(at.refuse("an external network is taken as it is")),
        None => Ok(network),
    }
}

fn subnet(at: &At<'_>) -> Result<Option<String>, Failure> {
    let mut subnet = None;
    for (field, at) in at.entries_of(&["driver", "config"])? {
        if field == "driver" && at.text()? != "default" {
            return Err(at.refuse("the only driver is default"));
        }
        for (index, at) in if field == "config" { at.items(false)? } else { Vec::new() }.iter().enumerate() {
            if index > 0 {
                return Err(at.refuse("a network has one subnet"));
            }
            for (_, at) in at.entries_of(&["subnet"])? {
                subnet = Some(at.text()?.to_owned());
            }
        }
    }
    Ok(subnet)
}

fn volume(project: &str, key: &str, at: &At<'_>) -> Result<Volume, Failure> {
    let mut external = false;
    for (field, at) in at.entries_of(&["name", "driver", "external"])? {
        match field {
            "driver" if at.text()? != "local" => return Err(at.refuse("the only driver is local")),
            "external" => external = at.yes()?,
            _ => {}
        }
    }
    Ok(Volume { key: key.to_owned(), name: real_name(format!("{project}_{key}"), key, at, external)?, external })
}

/// The name that is given, else the key where somebody else made it, else the usual.
fn real_name(usual: String, key: &str, at: &At<'_>, external: bool) -> Result<String, Failure> {
    match at.get("name") {
        Some(at) => Ok(at.text()?.to_owned()),
        None => Ok(if external { key.to_owned() } else { usual }),
    }
}

#[cfg(test)]
pub mod tests {
    use super::super::yaml;
    use super::*;

    /// A project of this text, in `/srv/app`, where `HOST` is `box`.
    pub fn project(text: &str) -> Result<Project, String> {
        let loaded = Loaded {
            name: "app".to_owned(),
            directory: PathBuf::from("/srv/app"),
            tree: yaml::read(text).unwrap(),
            environment: [("HOST".to_owned(), "box".to_owned())].into(),
            profiles: vec!["dev".to_owned()],
            warnings: Vec::new(),
        };
        Project::read(&loaded).map_err(|failure| failure.to_string())
    }

    #[test]
    fn networks_and_volumes_have_names_of_the_project() {
        let text = "services: {web: {image: i, networks: [front, out]}}\n\
            networks: {front: {internal: true, ipam: {config: [{subnet: 10.9.0.0/24}]}}, out: {external: true}}\n\
            volumes: {data: , kept: {external: true, name: Kept}}\nx-more: {a: 1}\nversion: '3'\n";
        let project = project(text).unwrap();
        let networks: Vec<_> =
            project.networks.iter().map(|n| (n.name.as_str(), n.subnet.as_deref(), n.internal, n.external)).collect();
        assert_eq!(networks, [("app_front", Some("10.9.0.0/24"), true, false), ("out", None, false, true)]);
        let volumes: Vec<_> = project.volumes.iter().map(|v| (v.name.as_str(), v.external)).collect();
        assert_eq!(volumes, [("app_data", false), ("Kept", true)]);
    }

    #[test]
    fn what_is_not_offered_is_refused_by_its_path() {
        for (text, why) in [
            ("services: {web: {build: .}}", "services.web.build: not supported"),
            ("services: {web: {image: i}}\nconfigs: {}", "configs: not supported"),
            (
                "services: {web: {image: i}}\nnetworks: {n: {driver: overlay}}",
                "networks.n.driver: the only driver is bridge",
            ),
            (
                "services: {web: {image: i}}\nnetworks: {n: {ipam: {config: [{gateway: x}]}}}",
                "networks.n.ipam.config[0].gateway: not supported",
            ),
            (
                "services: {web: {image: i}}\nnetworks: {n: {external: true, internal: true}}",
                "networks.n.internal: an external network is taken as it is",
            ),
            (
                "services: {web: {image: i}}\nvolumes: {v: {driver_opts: {a: b}}}",
                "volumes.v.driver_opts: not supported",
            ),
            ("services: {}", "services: there is none"),
            ("services: {a: {image: i, network_mode: 'service:b'}}", "services.a.network_mode: there is no service b"),
            ("[]", "the compose file: a map is expected"),
        ] {
            assert_eq!(project(text).map(|_| ()), Err(why.to_owned()), "{text}");
        }
    }

    #[test]
    fn profiles_turn_services_on() {
        let project =
            project("services: {a: {image: i}, b: {image: i, profiles: [dev]}, c: {image: i, profiles: [x]}}").unwrap();
        assert_eq!(["a", "b", "c"].map(|name| project.is_on(name)), [true, true, false]);
    }

    #[test]
    fn containers_are_called_so_that_dns_finds_them() {
        let project = project("services: {a: {image: i}, b: {image: i, container_name: bee}}").unwrap();
        let name = |service: &str, number| project.service(service).unwrap().container("app", number);
        assert_eq!([name("a", 1), name("a", 2), name("b", 1)], ["a:app", "a:app-2", "bee:latest"]);
    }
}
