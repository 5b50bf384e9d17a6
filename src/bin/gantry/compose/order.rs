//! What comes before what: who waits for whom, which services a command means, and work done in that order.

use std::collections::BTreeSet;
use std::panic::resume_unwind;
use std::sync::mpsc;
use std::thread;

use super::model::Project;
use crate::failure::Failure;

/// Work on services: each with those that must be done before it.
pub type Graph = Vec<(String, Vec<String>)>;

/// How many services are worked on at once: each takes a connection.
const AT_ONCE: usize = 16;

/// Refuses services that wait for others which are not there, or for themselves in the end.
pub fn check(project: &Project) -> Result<(), Failure> {
    for service in &project.services {
        if let Some(missing) = service.after.iter().find(|after| project.service(&after.service).is_none()) {
            let (name, other) = (&service.name, &missing.service);
            return Err(Failure::Usage(format!("services.{name}.depends_on: there is no service {other}")));
        }
    }
    let mut left: Graph =
        project.services.iter().map(|one| (one.name.clone(), waits_for(project, &one.name))).collect();
    loop {
        let names: BTreeSet<_> = left.iter().map(|(name, _)| name.clone()).collect();
        let before = left.len();
        left.retain(|(_, others)| others.iter().any(|other| names.contains(other)));
        if left.is_empty() {
            return Ok(());
        }
        if left.len() == before {
            let names: Vec<_> = names.into_iter().collect();
            return Err(Failure::Usage(format!("services: {} wait for each other", names.join(", "))));
        }
    }
}

fn waits_for(project: &Project, service: &str) -> Vec<String> {
    project.service(service).map_or(Vec::new(), |one| one.after.iter().map(|after| after.service.clone()).collect())
}

/// The services that are meant: those named, which that turns on, or all that are on; unless `alone`, with all that these
/// wait for.
pub fn meant(project: &Project, named: &[String], alone: bool) -> Result<BTreeSet<String>, Failure> {
    if let Some(unknown) = named.iter().find(|name| project.service(name).is_none()) {
        return Err(Failure::Usage(format!("there is no service {unknown}")));
    }
    let all = || project.services.iter().map(|one| one.name.clone()).filter(|name| project.is_on(name)).collect();
    let mut open: Vec<String> = if named.is_empty() { all() } else { named.to_vec() };
    let mut meant = BTreeSet::new();
    while let Some(name) = open.pop() {
        if !meant.insert(name.clone()) || alone {
            continue;
        }
        for after in project.service(&name).map(|one| one.after.as_slice()).unwrap_or_default() {
            match (project.is_on(&after.service) || named.contains(&after.service), after.required) {
                (true, _) => open.push(after.service.clone()),
                (false, false) => {}
                (false, true) => {
                    let other = &after.service;
                    let why = format!("services.{name}.depends_on: {other} is of a profile that is not on");
                    return Err(Failure::Usage(why));
                }
            }
        }
    }
    Ok(meant)
}

/// These services, each with those of them that it waits for.
pub fn forwards(project: &Project, services: &BTreeSet<String>) -> Graph {
    let of = |name: &String| waits_for(project, name).into_iter().filter(|other| services.contains(other)).collect();
    services.iter().map(|name| (name.clone(), of(name))).collect()
}

/// These services, each with those of them that wait for it.
pub fn backwards(project: &Project, services: &BTreeSet<String>) -> Graph {
    let waiting = |name: &String| {
        services.iter().filter(|other| waits_for(project, other).contains(name)).cloned().collect::<Vec<_>>()
    };
    services.iter().map(|name| (name.clone(), waiting(name))).collect()
}

/// Does `work` for each service as soon as those before it are done, independent ones at the same time. After a failure
/// nothing more is begun, and the first failure is given back when all that was begun is over.
pub fn each(graph: Graph, work: &(dyn Fn(&str) -> Result<(), Failure> + Sync)) -> Result<(), Failure> {
    let (mut left, mut done, mut running) = (graph, BTreeSet::new(), 0);
    let mut outcome = Ok(());
    let (told, ended) = mpsc::channel();
    thread::scope(|scope| {
        loop {
            while let Some(next) = left.iter().position(|(_, before)| before.iter().all(|one| done.contains(one)))
                && running < AT_ONCE
                && outcome.is_ok()
            {
                let (name, _) = left.remove(next);
                let told = told.clone();
                running += 1;
                scope.spawn(move || {
                    let result = work(&name);
                    let _ = told.send((name, result));
                });
            }
            if running == 0 {
                return outcome;
            }
            let Ok((name, result)) = ended.recv() else { return outcome };
            running -= 1;
            match result {
                Ok(()) => drop(done.insert(name)),
                Err(failure) if outcome.is_ok() => outcome = Err(failure),
                Err(_) => {}
            }
        }
    })
}

/// Does the same to each of several things, as many at once as may be; the first failure is given back.
pub fn at_once<T: Sync>(things: &[T], work: &(dyn Fn(&T) -> Result<(), Failure> + Sync)) -> Result<(), Failure> {
    for some in things.chunks(AT_ONCE) {
        let outcomes: Vec<_> = thread::scope(|scope| {
            let threads: Vec<_> = some.iter().map(|thing| scope.spawn(move || work(thing))).collect();
            threads.into_iter().map(|thread| thread.join().unwrap_or_else(|panic| resume_unwind(panic))).collect()
        });
        outcomes.into_iter().collect::<Result<(), Failure>>()?;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use std::sync::Mutex;

    use super::super::model::tests::project;
    use super::*;

    const DIAMOND: &str = "services: {top: {image: i, depends_on: [left, right]}, left: {image: i, depends_on: [base]}, \
        right: {image: i, depends_on: [base]}, base: {image: i}, other: {image: i, profiles: [off]}}";

    fn worked(graph: Graph, fails: &str) -> (Vec<String>, bool) {
        let order = Mutex::new(Vec::new());
        let outcome = each(graph, &|name| {
            order.lock().unwrap().push(name.to_owned());
            if name == fails { Err(Failure::Usage(name.to_owned())) } else { Ok(()) }
        });
        (order.into_inner().unwrap(), outcome.is_ok())
    }

    #[test]
    fn work_follows_the_order() {
        let project = project(DIAMOND).unwrap();
        let all = meant(&project, &[], false).unwrap();
        assert_eq!(all.iter().map(String::as_str).collect::<Vec<_>>(), ["base", "left", "right", "top"]);
        let (order, is_ok) = worked(forwards(&project, &all), "");
        assert!(is_ok && order[0] == "base" && order[3] == "top", "{order:?}");
        let (order, _) = worked(backwards(&project, &all), "");
        assert!(order[0] == "top" && order[3] == "base", "{order:?}");
    }

    #[test]
    fn nothing_is_begun_behind_a_failure() {
        let project = project(DIAMOND).unwrap();
        let all = meant(&project, &[], false).unwrap();
        assert_eq!(worked(forwards(&project, &all), "base"), (vec!["base".to_owned()], false));
    }

    #[test]
    fn independent_ones_run_at_the_same_time() {
        let project = project(DIAMOND).unwrap();
        let both = ["left".to_owned(), "right".to_owned()];
        let graph = forwards(&project, &meant(&project, &both, true).unwrap());
        // Each waits for the other: done one by one, this would never end.
        let barrier = std::sync::Barrier::new(2);
        each(graph, &|_| {
            barrier.wait();
            Ok(())
        })
        .unwrap();
    }

    #[test]
    fn many_things_are_done_and_a_failure_told() {
        let numbers: Vec<_> = (0..50).collect();
        let done = Mutex::new(0);
        at_once(&numbers, &|_| {
            *done.lock().unwrap() += 1;
            Ok(())
        })
        .unwrap();
        assert_eq!(done.into_inner().unwrap(), 50);
        assert!(at_once(&numbers, &|number| if *number == 3 { Err(Failure::NoReader) } else { Ok(()) }).is_err());
    }

    #[test]
    fn names_bring_those_they_wait_for() {
        let project = project(DIAMOND).unwrap();
        let names = |named: &str, alone| {
            meant(&project, &[named.to_owned()], alone).unwrap().into_iter().collect::<Vec<_>>().join(" ")
        };
        assert_eq!((names("left", false).as_str(), names("left", true).as_str()), ("base left", "left"));
        assert_eq!(names("other", false), "other");
        assert!(meant(&project, &["none".to_owned()], false).is_err());
    }

    #[test]
    fn what_cannot_be_ordered_is_refused() {
        for (text, why) in [
            (
                "services: {a: {image: i, depends_on: [b]}, b: {image: i, depends_on: [c]}, c: {image: i, depends_on: [b]}}",
                "services: a, b, c wait for each other",
            ),
            ("services: {a: {image: i, depends_on: [a]}}", "services: a wait for each other"),
            ("services: {a: {image: i, depends_on: [b]}}", "services.a.depends_on: there is no service b"),
        ] {
            assert_eq!(project(text).map(|_| ()), Err(why.to_owned()));
        }
        let text = "services: {a: {image: i, depends_on: [b]}, b: {image: i, profiles: [off]}}";
        assert_eq!(
            meant(&project(text).unwrap(), &[], false).unwrap_err().to_string(),
            "services.a.depends_on: b is of a profile that is not on"
        );
        let text = text.replace("[b]", "{b: {required: false}}");
        assert_eq!(meant(&project(&text).unwrap(), &[], false).unwrap().len(), 1);
    }
}
