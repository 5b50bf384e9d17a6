//! Keys of a service that tell of its process: what runs, as what it is known, with which environment and bounds.

use std::ffi::OsStr;

use gantry::wire::words;

use super::load;
use super::model::{Ground, Service};
use super::node::{At, Node};
use crate::failure::Failure;
use crate::value;

/// Labels by which a project's containers are found; a file may not have any like them.
pub const LABELS: &str = "gantry.compose.";

/// `image`.
pub fn image(at: &At<'_>, service: &mut Service, _: &Ground<'_>) -> Result<(), Failure> {
    at.text()?.clone_into(&mut service.image);
    Ok(())
}

/// `container_name`.
pub fn container_name(at: &At<'_>, service: &mut Service, _: &Ground<'_>) -> Result<(), Failure> {
    service.container_name = Some(at.text()?.to_owned());
    Ok(())
}

/// `command`: words, or one text that is split as a shell would.
pub fn command(at: &At<'_>, service: &mut Service, _: &Ground<'_>) -> Result<(), Failure> {
    service.argv = words_of(at)?;
    match (service.argv.is_empty(), at.node) {
        (true, Node::Null) | (false, _) => Ok(()),
        (true, _) => {
            Err(at.refuse("an empty command is not supported; leave it out for the image's, or set entrypoint"))
        }
    }
}

/// `entrypoint`: likewise; an empty one is none.
pub fn entrypoint(at: &At<'_>, service: &mut Service, _: &Ground<'_>) -> Result<(), Failure> {
    if *at.node == Node::Null {
        return Ok(());
    }
    let mut line = Vec::new();
    for word in words_of(at)? {
        if !line.is_empty() {
            line.push(b' ');
        }
        words::quote_into(&mut line, word.as_bytes());
    }
    service.options.push(("entrypoint", line));
    Ok(())
}

/// The words of a command line, written as a list or as one text.
pub fn words_of(at: &At<'_>) -> Result<Vec<String>, Failure> {
    match at.node {
        Node::Text(text, _) => {
            shlex::split(text).ok_or_else(|| at.refuse(format_args!("{text:?}: a quote is not closed")))
        }
        _ => at.items(false)?.iter().map(|item| item.text().map(str::to_owned)).collect(),
    }
}

/// `env_file`: one path, several, or `path` with `required`.
pub fn env_file(at: &At<'_>, service: &mut Service, ground: &Ground<'_>) -> Result<(), Failure> {
    for item in at.items(true)? {
        let (path, required) = match item.node {
            Node::Map(_) => {
                let (mut path, mut required) = (None, true);
                for (key, field) in item.entries_of(&["path", "required"])? {
                    match key {
                        "path" => path = Some(field.text()?),
                        _ => required = field.yes()?,
                    }
                }
                (path.ok_or_else(|| item.refuse("it has no path"))?, required)
            }
            _ => (item.text()?, true),
        };
        let file = ground.directory.join(path);
        if required || file.is_file() {
            let pairs = load::variables(&file, ground.environment).map_err(|failure| item.refuse(failure))?;
            pairs.into_iter().for_each(|(name, value)| set_variable(service, &name, &value));
        }
    }
    Ok(())
}

/// `environment`: a name without a value has the client's, if that is set.
pub fn environment(at: &At<'_>, service: &mut Service, ground: &Ground<'_>) -> Result<(), Failure> {
    for (name, value) in at.pairs()? {
        if let Some(value) = value.as_ref().or_else(|| ground.environment.get(&name)) {
            set_variable(service, &name, value);
        }
    }
    Ok(())
}

fn set_variable(service: &mut Service, name: &str, value: &str) {
    let prefix = format!("{name}=");
    service.options.retain(|(key, pair)| *key != "env" || !pair.starts_with(prefix.as_bytes()));
    service.options.push(("env", format!("{prefix}{value}").into_bytes()));
}

/// `labels`.
pub fn labels(at: &At<'_>, service: &mut Service, _: &Ground<'_>) -> Result<(), Failure> {
    for (name, value) in at.pairs()? {
        if name.starts_with(LABELS) {
            return Err(at.refuse(format_args!("{LABELS}* are gantry's own")));
        }
        service.options.push(("label", format!("{name}={}", value.unwrap_or_default()).into_bytes()));
    }
    Ok(())
}

/// `pull_policy`.
pub fn pull_policy(at: &At<'_>, service: &mut Service, _: &Ground<'_>) -> Result<(), Failure> {
    let when = match at.text()? {
        when @ ("always" | "never" | "missing") => when,
        "if_not_present" => "missing",
        other => return Err(at.refuse(format_args!("{other:?}: it is always, missing or never"))),
    };
    service.options.push(("pull", when.into()));
    Ok(())
}

/// `ulimits`: a number for both, or `soft` and `hard`.
pub fn ulimits(at: &At<'_>, service: &mut Service, _: &Ground<'_>) -> Result<(), Failure> {
    for (name, limit) in at.entries()? {
        let value = match limit.node {
            Node::Map(_) => {
                limit.entries_of(&["soft", "hard"])?;
                let bound = |key: &str| {
                    let at = limit.get(key).ok_or_else(|| limit.refuse(format_args!("it has no {key}")))?;
                    at.text().map(str::to_owned)
                };
                format!("{name}={}:{}", bound("soft")?, bound("hard")?)
            }
            _ => format!("{name}={}", limit.text()?),
        };
        service.options.push(("ulimit", value.into_bytes()));
    }
    Ok(())
}

/// `logging`: there is one log, whose bounds can be said.
pub fn logging(at: &At<'_>, service: &mut Service, _: &Ground<'_>) -> Result<(), Failure> {
    for (key, field) in at.entries_of(&["driver", "options"])? {
        if key == "driver" && !matches!(field.text()?, "json-file" | "local") {
            return Err(field.refuse("there is one log; see gantry logs"));
        }
        for (name, option) in if key == "options" { field.entries()? } else { Vec::new() } {
            let typed = format!("{name}={}", option.text()?);
            let pairs = value::log_opt("log", OsStr::new(&typed)).map_err(|why| option.refuse(why))?;
            service.options.extend(pairs);
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::super::service::tests::options;

    #[test]
    fn commands_are_words() {
        for (text, becomes) in [
            ("command: 'sh -c \"echo $x\"'", "-- sh|-c|echo $x"),
            ("command: [sh, -c, 'a b']", "-- sh|-c|a b"),
            ("command: null", ""),
            ("entrypoint: [/bin/x, 'a b']", "entrypoint=/bin/x \"a b\""),
            ("entrypoint: []", "entrypoint="),
            ("entrypoint: ''", "entrypoint="),
        ] {
            assert_eq!(options(text).as_deref(), Ok(becomes), "{text}");
        }
        assert!(options("command: []").unwrap_err().starts_with("services.web.command: an empty command"));
        assert!(options("command: 'a \"b'").unwrap_err().contains("not closed"));
    }

    #[test]
    fn environments_are_lists_or_maps() {
        assert_eq!(options("environment: [A=1, 'B=x y', HOST, NONE]").as_deref(), Ok("env=A=1 env=B=x y env=HOST=box"));
        assert_eq!(
            options("environment: {A: 1, B: true, HOST: , C: ''}").as_deref(),
            Ok("env=A=1 env=B=true env=HOST=box env=C=")
        );
        assert!(options("environment: [=1]").is_err());
        assert!(options("env_file: /no/such/file").unwrap_err().starts_with("services.web.env_file: cannot read "));
        assert_eq!(options("env_file: [{path: /no/such/file, required: false}]").as_deref(), Ok(""));
    }

    #[test]
    fn limits_labels_and_logs() {
        assert_eq!(
            options("ulimits: {nproc: 10, nofile: {soft: 1, hard: 2}}").as_deref(),
            Ok("ulimit=nproc=10 ulimit=nofile=1:2")
        );
        assert_eq!(options("labels: {a: b}").as_deref(), Ok("label=a=b"));
        // A name is a name, whatever it begins with.
        assert_eq!(options("labels: {x-a: b}, environment: {x-b: c}").as_deref(), Ok("env=x-b=c label=x-a=b"));
        assert_eq!(options("labels: [a]").as_deref(), Ok("label=a="));
        assert!(options("labels: {gantry.compose.project: b}").is_err());
        assert_eq!(
            options("logging: {driver: local, options: {max-size: 10m, max-file: 3}}").as_deref(),
            Ok("log-max-size=10m log-max-files=3")
        );
        assert!(options("logging: {driver: syslog}").unwrap_err().starts_with("services.web.logging.driver: "));
        assert_eq!(options("pull_policy: if_not_present").as_deref(), Ok("pull=missing"));
        assert!(options("pull_policy: build").is_err());
    }
}
