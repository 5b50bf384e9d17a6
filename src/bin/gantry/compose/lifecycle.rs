//! Keys of a service that tell when its containers start, how many there are, and how they are looked after.

use std::ffi::OsStr;

use super::model::{After, Condition, Ground, REPLICAS_MAX, Service};
use super::node::{At, Node};
use super::process::words_of;
use crate::failure::Failure;
use crate::value;

/// `depends_on`: names, or a map with a condition for each.
pub fn depends_on(at: &At<'_>, service: &mut Service, _: &Ground<'_>) -> Result<(), Failure> {
    if let Node::List(_) = at.node {
        for item in at.items(false)? {
            let name = item.text()?.to_owned();
            service.after.push(After { service: name, condition: Condition::Started, required: true });
        }
        return Ok(());
    }
    for (name, at) in at.entries()? {
        let mut after = After { service: name.to_owned(), condition: Condition::Started, required: true };
        for (key, field) in at.entries_of(&["condition", "required"])? {
            match (key, field.text()?) {
                ("required", _) => after.required = field.yes()?,
                (_, "service_started") => after.condition = Condition::Started,
                (_, "service_healthy") => after.condition = Condition::Healthy,
                (_, "service_completed_successfully") => after.condition = Condition::Completed,
                (_, other) => return Err(field.refuse(format_args!("{other} is no condition"))),
            }
        }
        service.after.push(after);
    }
    Ok(())
}

/// `healthcheck`. A check in words is quoted for the shell, by which gantry runs every check.
pub fn healthcheck(at: &At<'_>, service: &mut Service, _: &Ground<'_>) -> Result<(), Failure> {
    let mut command = None;
    for (key, field) in at.entries_of(&["test", "disable", "interval", "timeout", "retries", "start_period"])? {
        let typed = || field.text().map(OsStr::new);
        let converted = match key {
            "test" => {
                command = Some(test(&field)?);
                continue;
            }
            "disable" => {
                command = if field.yes()? { Some("none".to_owned()) } else { command };
                continue;
            }
            "interval" => value::duration("health-interval", typed()?),
            "timeout" => value::duration("health-timeout", typed()?),
            "start_period" => value::duration("health-start-period", typed()?),
            _ => value::text("health-retries", typed()?),
        };
        service.options.extend(converted.map_err(|why| field.refuse(why))?);
    }
    service.options.extend(command.map(|command| ("health-cmd", command.into_bytes())));
    Ok(())
}

fn test(at: &At<'_>) -> Result<String, Failure> {
    if let Node::Text(text, _) = at.node {
        return Ok(text.clone());
    }
    let words = words_of(at)?;
    match words.iter().map(String::as_str).collect::<Vec<_>>().as_slice() {
        ["NONE"] => Ok("none".to_owned()),
        ["CMD-SHELL", command] => Ok((*command).to_owned()),
        ["CMD", words @ ..] if !words.is_empty() => {
            shlex::try_join(words.iter().copied()).map_err(|error| at.refuse(error))
        }
        _ => Err(at.refuse("it begins with NONE, CMD or CMD-SHELL")),
    }
}

/// `profiles`.
pub fn profiles(at: &At<'_>, service: &mut Service, _: &Ground<'_>) -> Result<(), Failure> {
    service.profiles = at.items(false)?.iter().map(|item| item.text().map(str::to_owned)).collect::<Result<_, _>>()?;
    Ok(())
}

/// `scale`.
pub fn scale(at: &At<'_>, service: &mut Service, _: &Ground<'_>) -> Result<(), Failure> {
    service.replicas = replicas(at)?;
    Ok(())
}

fn replicas(at: &At<'_>) -> Result<usize, Failure> {
    let count = at.number()?;
    if count > REPLICAS_MAX { Err(at.refuse(format_args!("at most {REPLICAS_MAX}"))) } else { Ok(count) }
}

/// `deploy`: of it `replicas` and `resources.limits`.
pub fn deploy(at: &At<'_>, service: &mut Service, _: &Ground<'_>) -> Result<(), Failure> {
    for (key, field) in at.entries_of(&["mode", "replicas", "resources"])? {
        match key {
            "mode" if field.text()? == "replicated" => {}
            "mode" => return Err(field.refuse("the only mode is replicated")),
            "replicas" => service.replicas = replicas(&field)?,
            _ => {
                for (_, limits) in field.entries_of(&["limits"])? {
                    limited(&limits, service)?;
                }
            }
        }
    }
    Ok(())
}

fn limited(at: &At<'_>, service: &mut Service) -> Result<(), Failure> {
    for (key, field) in at.entries_of(&["cpus", "memory", "pids"])? {
        let typed = OsStr::new(field.text()?);
        let converted = match key {
            "cpus" => value::text("cpus", typed),
            "memory" => value::size("memory", typed),
            _ => value::text("pids", typed),
        };
        service.options.extend(converted.map_err(|why| field.refuse(why))?);
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::super::model::Condition;
    use super::super::model::tests::project;
    use super::super::service::tests::options;

    #[test]
    fn checks_of_health_are_commands_of_the_shell() {
        for (text, becomes) in [
            (
                "healthcheck: {test: 'wget -q localhost', interval: 1m30s, retries: 5}",
                "health-interval=90s health-retries=5 health-cmd=wget -q localhost",
            ),
            (
                "healthcheck: {test: [CMD, test, -f, '/a b'], timeout: 3s, start_period: 500ms}",
                "health-timeout=3s health-start-period=500ms health-cmd=test -f '/a b'",
            ),
            ("healthcheck: {test: [CMD-SHELL, 'a || b']}", "health-cmd=a || b"),
            ("healthcheck: {test: [NONE]}", "health-cmd=none"),
            ("healthcheck: {disable: true}", "health-cmd=none"),
        ] {
            assert_eq!(options(text).as_deref(), Ok(becomes), "{text}");
        }
        assert_eq!(
            options("healthcheck: {start_interval: 1s}").unwrap_err(),
            "services.web.healthcheck.start_interval: not supported"
        );
        assert!(options("healthcheck: {test: [true]}").is_err());
    }

    #[test]
    fn limits_and_numbers() {
        assert_eq!(
            options("deploy: {resources: {limits: {cpus: '0.5', memory: 64M, pids: 5}}}").as_deref(),
            Ok("cpus=0.5 memory=64m pids=5")
        );
        assert_eq!(
            options("deploy: {resources: {reservations: {cpus: 1}}}").unwrap_err(),
            "services.web.deploy.resources.reservations: not supported"
        );
        assert_eq!(
            options("deploy: {mode: global}").unwrap_err(),
            "services.web.deploy.mode: the only mode is replicated"
        );
        assert_eq!(
            options("deploy: {restart_policy: {}}").unwrap_err(),
            "services.web.deploy.restart_policy: not supported"
        );
        let replicas =
            |text: &str| project(&format!("services: {{a: {{image: i, {text}}}}}")).map(|p| p.services[0].replicas);
        assert_eq!(
            (replicas("scale: 3"), replicas("deploy: {replicas: 0}"), replicas("tty: true")),
            (Ok(3), Ok(0), Ok(1))
        );
        assert!(replicas("scale: 5000").is_err() && replicas("scale: many").is_err());
    }

    #[test]
    fn dependencies_have_conditions() {
        let text = "services: {a: {image: i, depends_on: {b: {condition: service_healthy}, c: {condition: service_completed_successfully, required: false}}}, b: {image: i, depends_on: [c]}, c: {image: i}}";
        let project = project(text).unwrap();
        let after: Vec<_> =
            project.services[0].after.iter().map(|a| (a.service.as_str(), a.condition, a.required)).collect();
        assert_eq!(after, [("b", Condition::Healthy, true), ("c", Condition::Completed, false)]);
        assert_eq!(project.services[1].after[0].condition, Condition::Started);
        assert_eq!(
            options("depends_on: {db: {condition: never}}").unwrap_err(),
            "services.web.depends_on.db.condition: never is no condition"
        );
        assert_eq!(
            options("depends_on: {db: {restart: true}}").unwrap_err(),
            "services.web.depends_on.db.restart: not supported"
        );
    }
}
