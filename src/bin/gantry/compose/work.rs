//! The work of `up`: containers are made, then started, each service when those that it waits for are ready.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant, SystemTime};

use gantry::wire::units::rfc3339;

use super::model::{Condition, Project, Service};
use super::notes::{Note, Teller, say};
use super::order::{self, at_once};
use super::plan::{Plan, Replace, plan};
use super::session::{ask, stop_and_remove};
use super::there::{Container, containers, shown, tree_of};
use super::waits::{self, Wait};
use super::{ground, pull, wanted};
use crate::connection::Daemon;
use crate::failure::Failure;
use crate::flag::Pair;

/// What `up` was asked for.
pub struct Asked {
    /// Whom for.
    pub daemon: Daemon,
    /// Of which project, with `--scale` in it.
    pub project: Project,
    /// The services that are meant.
    pub services: BTreeSet<String>,
    /// Those of them that were named, or all.
    pub named: BTreeSet<String>,
    /// Which containers are replaced.
    pub replace: Replace,
    /// Whether images are asked for again (`always`), or how else.
    pub pull: Option<Vec<u8>>,
    /// Options of where images come from.
    pub source: Vec<Pair>,
    /// How long a container that is replaced may take to stop.
    pub timeout: Vec<Pair>,
    /// Whether containers of services that are no longer there go.
    pub orphans_go: bool,
    /// Whether containers are made and not started.
    pub only_make: bool,
    /// Whether to wait until all are up and healthy, and how long.
    pub wait: Option<Option<Duration>>,
}

/// Brings the project up. `is_over` ends it between two steps.
pub fn bring_up(asked: &Asked, teller: &Teller, is_over: &AtomicBool) -> Result<(), Failure> {
    let there = containers(&asked.daemon, &asked.project.name)?;
    orphans(asked, &there, teller)?;
    pull_again(asked, teller)?;
    ground::prepare(&asked.daemon, &asked.project, &asked.services, teller)?;
    let plans = plans(asked, &there)?;
    let graph = || order::forwards(&asked.project, &asked.services);
    let step = |name: &str, work: &dyn Fn(&Service, &Plan) -> Result<(), Failure>| {
        if is_over.load(Ordering::Relaxed) {
            return Err(Failure::Usage("interrupted".to_owned()));
        }
        asked.project.service(name).zip(plans.get(name)).map_or(Ok(()), |(service, plan)| work(service, plan))
    };
    // All are made before the first is started: an image that is not to be had stops nothing halfway.
    order::each(graph(), &|name| step(name, &|service, plan| make(asked, service, plan, teller)))?;
    if asked.only_make {
        return Ok(());
    }
    order::each(graph(), &|name| {
        step(name, &|service, plan| {
            conditions(asked, service)?;
            if is_over.load(Ordering::Relaxed) { Ok(()) } else { start(asked, service, plan, teller) }
        })
    })?;
    asked.wait.map_or(Ok(()), |limit| all_are_up(asked, limit, teller))
}

/// Containers of the project whose service is no longer in the file.
fn orphans(asked: &Asked, there: &[Container], teller: &Teller) -> Result<(), Failure> {
    for orphan in there.iter().filter(|container| asked.project.service(&container.service).is_none()) {
        if asked.orphans_go {
            stop_and_remove(&asked.daemon, &orphan.name, &asked.timeout, teller)?;
        } else {
            let name = &orphan.name;
            say(teller, format!("{name} is of a service that the file no longer has; --remove-orphans removes it"));
        }
    }
    Ok(())
}

/// Asks for images again where that is wanted, so that a newer one is seen before containers are compared with it.
fn pull_again(asked: &Asked, teller: &Teller) -> Result<(), Failure> {
    let is_always = |service: &&Service| match &asked.pull {
        Some(when) => when == b"always",
        None => service.options.iter().any(|(key, value)| *key == "pull" && value == b"always"),
    };
    let services = asked.services.iter().filter_map(|name| asked.project.service(name)).filter(is_always);
    at_once(&pull::images(services), &|image| {
        pull::one(&asked.daemon, image, &asked.source)?;
        say(teller, pull::done(image));
        Ok(())
    })
}

/// What is to be done of each service.
fn plans(asked: &Asked, there: &[Container]) -> Result<BTreeMap<String, Plan>, Failure> {
    let mut plans: BTreeMap<String, Plan> = BTreeMap::new();
    // In the order in which they come: a service that shares the network of another's container is remade with it.
    let mut left = order::forwards(&asked.project, &asked.services);
    while let Some(next) = left.iter().position(|(_, before)| before.iter().all(|one| plans.contains_key(one))) {
        let (name, _) = left.remove(next);
        let Some(service) = asked.project.service(&name) else { continue };
        let is_cut_off = service.shares.as_ref().and_then(|other| plans.get(other)).is_some_and(|p| !p.make.is_empty());
        let replace = match asked.replace {
            Replace::Always if !asked.named.contains(&name) => Replace::Changed,
            other => other,
        };
        let replace = if is_cut_off { Replace::Always } else { replace };
        let tree = tree_of(&asked.daemon, &service.image)?;
        plans.insert(name, plan(service, &wanted::digest(service)?, tree.as_deref(), there, replace));
    }
    Ok(plans)
}

/// Removes what is to go of a service, and makes what is to be.
fn make(asked: &Asked, service: &Service, plan: &Plan, teller: &Teller) -> Result<(), Failure> {
    at_once(&plan.remove, &|name: &String| stop_and_remove(&asked.daemon, name, &asked.timeout, teller))?;
    // What was pulled a moment ago is not asked for again.
    let when = asked.pull.as_ref().map(|when| if when == b"always" { b"missing".to_vec() } else { when.clone() });
    let extra: Vec<Pair> = asked.source.iter().cloned().chain(when.map(|when| ("pull", when))).collect();
    at_once(&plan.make, &|number| {
        let number = *number;
        let request = wanted::request(&asked.project, service, number, &extra)?;
        let name = service.container(&asked.project.name, number);
        asked.daemon.connect()?.ask(&request).map_err(|failure| within(service, failure))?;
        say(teller, format!("Container {name}  Created"));
        Ok(())
    })
}

/// A refusal with the service that it is about.
fn within(service: &Service, failure: Failure) -> Failure {
    match failure {
        Failure::Refused(code, message) => Failure::Refused(code, format!("services.{}: {message}", service.name)),
        other => other,
    }
}

/// Waits for those that a service waits for.
fn conditions(asked: &Asked, service: &Service) -> Result<(), Failure> {
    for after in service.after.iter().filter(|after| asked.services.contains(&after.service)) {
        let Some(other) = asked.project.service(&after.service) else { continue };
        for number in 1..=other.replicas {
            let container = other.container(&asked.project.name, number);
            let wait = Wait { container: &container, restarts: other.restarts(), deadline: None };
            let waited = waits::until(&asked.daemon, &wait, after.condition);
            match waited {
                Err(failure) if after.required => {
                    return Err(Failure::Usage(format!("services.{}.depends_on: {failure}", service.name)));
                }
                _ => {}
            }
        }
    }
    Ok(())
}

/// Starts what does not run of a service, and tells of all that runs then.
fn start(asked: &Asked, service: &Service, plan: &Plan, teller: &Teller) -> Result<(), Failure> {
    let numbers: Vec<_> = (1..=service.replicas).collect();
    at_once(&numbers, &|number| {
        let number = *number;
        let name = service.container(&asked.project.name, number);
        let is_new = plan.make.contains(&number);
        let before = rfc3339(SystemTime::now()).into_bytes();
        let started = ask(&asked.daemon, "start", &name, &[]);
        let (done, from) = match started {
            Ok(()) if is_new => ("Started", Vec::new()),
            Ok(()) => ("Started", vec![("since", before)]),
            Err(failure) if !is_new && failure.is(gantry::refusal::Code::WrongState) => {
                ("Running", vec![("tail", b"0".to_vec())])
            }
            Err(failure) => return Err(within(service, failure)),
        };
        say(teller, format!("Container {name}  {done}"));
        let shown = shown(&name, &service.name, number);
        let _ = teller.send(Note::Runs { name, shown, from });
        Ok(())
    })
}

/// Waits until every container runs, and is healthy where it has a check; one that others wait for to end may end well.
fn all_are_up(asked: &Asked, limit: Option<Duration>, teller: &Teller) -> Result<(), Failure> {
    let deadline = limit.map(|limit| Instant::now() + limit);
    for name in &asked.services {
        let Some(service) = asked.project.service(name) else { continue };
        let ends = asked.project.services.iter().flat_map(|other| &other.after);
        let ends = ends.filter(|after| after.service == *name).any(|after| after.condition == Condition::Completed);
        for number in 1..=service.replicas {
            let container = service.container(&asked.project.name, number);
            let wait = Wait { container: &container, restarts: service.restarts(), deadline };
            if ends {
                waits::until(&asked.daemon, &wait, Condition::Completed)?;
            } else {
                waits::up(&asked.daemon, &wait)?;
            }
            say(teller, format!("Container {container}  {}", if ends { "Exited" } else { "Up" }));
        }
    }
    Ok(())
}
