//! Keys of a service that tell which files it sees.

use std::path::{Path, PathBuf, absolute};

use super::model::{Ground, Service};
use super::node::{At, Node};
use crate::failure::Failure;
use crate::value;

/// How later mounts of the host go on; `shared` is not among them, as the daemon has no such thing.
const PROPAGATIONS: [&str; 4] = ["rprivate", "private", "rslave", "slave"];

/// `volumes`: `SRC:DST[:OPTIONS]` or the long form, of binds, named volumes, volumes without a name, and tmpfs.
pub fn volumes(at: &At<'_>, service: &mut Service, ground: &Ground<'_>) -> Result<(), Failure> {
    for item in at.items(false)? {
        match item.node {
            Node::Map(_) => long(&item, service, ground)?,
            _ => short(&item, service, ground)?,
        }
    }
    Ok(())
}

fn short(at: &At<'_>, service: &mut Service, ground: &Ground<'_>) -> Result<(), Failure> {
    let text = at.text()?;
    let parts: Vec<_> = text.split(':').collect();
    let (source, target, mode) = match *parts.as_slice() {
        [target] => (None, target, ""),
        [source, target] => (Some(source), target, ""),
        [source, target, mode] => (Some(source), target, mode),
        _ => return Err(at.refuse(format_args!("{text:?} is not SOURCE:TARGET[:OPTIONS]"))),
    };
    let options: Vec<_> = mode.split(',').filter(|word| !word.is_empty()).collect();
    if let Some(other) = options.iter().find(|word| !matches!(**word, "ro" | "rw") && !PROPAGATIONS.contains(word)) {
        return Err(at.refuse(format_args!("{other} is not supported")));
    }
    match source {
        None => mount(service, "", target, &options),
        Some(source) if source.starts_with(['.', '/', '~']) => {
            let path = host_path(source, ground);
            mount(service, &path.display().to_string(), target, &options);
            // The specification has it so for this form.
            service.directories.push(path);
        }
        Some(source) => named(at, service, ground, source, target, &options)?,
    }
    Ok(())
}

/// The fields of the long form.
#[derive(Default)]
struct Fields<'a> {
    kind: &'a str,
    source: Option<&'a str>,
    target: Option<&'a str>,
    read_only: bool,
    propagation: Option<&'a str>,
    make: bool,
    tmpfs: Vec<String>,
}

fn long<'a>(at: &At<'a>, service: &mut Service, ground: &Ground<'_>) -> Result<(), Failure> {
    let mut fields = Fields::default();
    for (key, field) in at.entries_of(&["type", "source", "target", "read_only", "bind", "tmpfs"])? {
        match key {
            "type" => fields.kind = field.text()?,
            "source" => fields.source = Some(field.text()?),
            "target" => fields.target = Some(field.text()?),
            "read_only" => fields.read_only = field.yes()?,
            "bind" => {
                for (key, field) in field.entries_of(&["create_host_path", "propagation"])? {
                    match key {
                        "propagation" => fields.propagation = Some(propagation(&field)?),
                        _ => fields.make = field.yes()?,
                    }
                }
            }
            _ => fields.tmpfs = tmpfs_options(&field)?,
        }
    }
    let target = fields.target.ok_or_else(|| at.refuse("it has no target"))?;
    let of_bind = fields.make || fields.propagation.is_some();
    if fields.kind != "tmpfs" && !fields.tmpfs.is_empty() || fields.kind != "bind" && of_bind {
        return Err(at.refuse("options of another type than it has"));
    }
    let options: Vec<_> = fields.read_only.then_some("ro").into_iter().chain(fields.propagation).collect();
    match (fields.kind, fields.source) {
        ("volume", None) => mount(service, "", target, &options),
        ("volume", Some(source)) => named(at, service, ground, source, target, &options)?,
        ("bind", Some(source)) => {
            let path = host_path(source, ground);
            mount(service, &path.display().to_string(), target, &options);
            service.directories.extend(fields.make.then_some(path));
        }
        ("tmpfs", None) => {
            let read_only = fields.read_only.then(|| "ro".to_owned());
            let options = fields.tmpfs.into_iter().chain(read_only).collect::<Vec<_>>().join(",");
            let value = if options.is_empty() { target.to_owned() } else { format!("{target}:{options}") };
            service.options.push(("tmpfs", value.into_bytes()));
        }
        ("bind", None) => return Err(at.refuse("it has no source")),
        ("tmpfs", Some(_)) => return Err(at.refuse("a tmpfs has no source")),
        ("", _) => return Err(at.refuse("it has no type")),
        (kind, _) => return Err(at.refuse(format_args!("the type {kind} is not supported"))),
    }
    Ok(())
}

fn propagation<'a>(at: &At<'a>) -> Result<&'a str, Failure> {
    let word = at.text()?;
    if PROPAGATIONS.contains(&word) { Ok(word) } else { Err(at.refuse(format_args!("{word} is not supported"))) }
}

fn tmpfs_options(at: &At<'_>) -> Result<Vec<String>, Failure> {
    let mut options = Vec::new();
    for (key, field) in at.entries_of(&["size", "mode"])? {
        let converted = match key {
            "size" => value::size("size", std::ffi::OsStr::new(field.text()?)),
            // A number in YAML; written with a leading 0 it is octal already.
            _ => value::text("mode", std::ffi::OsStr::new(field.text()?)),
        };
        for (key, value) in converted.map_err(|why| field.refuse(why))? {
            options.push(format!("{key}={}", String::from_utf8_lossy(&value)));
        }
    }
    Ok(options)
}

/// A volume that is declared.
fn named(
    at: &At<'_>,
    service: &mut Service,
    ground: &Ground<'_>,
    source: &str,
    target: &str,
    options: &[&str],
) -> Result<(), Failure> {
    let volume = ground.volumes.iter().find(|volume| volume.key == source);
    let volume = volume.ok_or_else(|| at.refuse(format_args!("there is no volume {source} under volumes")))?;
    mount(service, &volume.name, target, options);
    service.volumes.push(volume.key.clone());
    Ok(())
}

fn mount(service: &mut Service, source: &str, target: &str, options: &[&str]) {
    let options = options.join(",");
    let parts = [source, target, &options];
    let value = parts.into_iter().filter(|part| !part.is_empty()).collect::<Vec<_>>().join(":");
    service.options.push(("volume", value.into_bytes()));
}

/// A path of the host, from the project's directory, or from the home of whoever asks.
fn host_path(typed: &str, ground: &Ground<'_>) -> PathBuf {
    let home = typed.strip_prefix('~').zip(ground.environment.get("HOME"));
    let path = match home {
        Some((rest, home)) if rest.is_empty() || rest.starts_with('/') => {
            Path::new(home).join(rest.trim_start_matches('/'))
        }
        _ => ground.directory.join(typed),
    };
    absolute(&path).unwrap_or(path)
}

#[cfg(test)]
mod tests {
    use super::super::model::tests::project;
    use super::super::service::tests::options;

    #[test]
    fn mounts_are_the_wires() {
        for (text, becomes) in [
            (
                "volumes: ['./html:/www:ro', '/etc/x:/x', 'data:/data', /scratch]",
                "volume=/srv/app/html:/www:ro volume=/etc/x:/x volume=app_data:/data volume=/scratch",
            ),
            ("volumes: [{type: bind, source: ../x, target: /x, read_only: true}]", "volume=/srv/app/../x:/x:ro"),
            (
                "volumes: [{type: volume, source: data, target: /d}, {type: volume, target: /e}]",
                "volume=app_data:/d volume=/e",
            ),
            ("volumes: [{type: tmpfs, target: /t, tmpfs: {size: 64m, mode: 0700}}]", "tmpfs=/t:size=64m,mode=0700"),
            ("volumes: [{type: tmpfs, target: /t}]", "tmpfs=/t"),
            (
                "volumes: ['/a:/x:ro,rslave', {type: bind, source: /b, target: /y, bind: {propagation: slave}}]",
                "volume=/a:/x:ro,rslave volume=/b:/y:slave",
            ),
        ] {
            assert_eq!(options(text).as_deref(), Ok(becomes), "{text}");
        }
    }

    #[test]
    fn the_short_form_makes_directories() {
        let text = "services: {a: {image: i, volumes: [./x:/x, {type: bind, source: ./y, target: /y}, \
            {type: bind, source: ./z, target: /z, bind: {create_host_path: true}}]}}";
        let made = project(text).unwrap().services[0].directories.clone();
        assert_eq!(made, ["/srv/app/x", "/srv/app/z"].map(std::path::PathBuf::from));
    }

    #[test]
    fn what_is_not_offered_is_refused() {
        for (text, why) in [
            ("volumes: ['none:/x']", "services.web.volumes[0]: there is no volume none under volumes"),
            ("volumes: ['./a:/x:z']", "services.web.volumes[0]: z is not supported"),
            (
                "volumes: [{type: bind, source: /a, target: /x, bind: {propagation: shared}}]",
                "services.web.volumes[0].bind.propagation: shared is not supported",
            ),
            (
                "volumes: [{type: volume, source: data, target: /x, volume: {nocopy: true}}]",
                "services.web.volumes[0].volume: not supported",
            ),
            (
                "volumes: [{type: npipe, source: a, target: /x}]",
                "services.web.volumes[0]: the type npipe is not supported",
            ),
            ("volumes: [{type: bind, source: /a}]", "services.web.volumes[0]: it has no target"),
        ] {
            assert_eq!(options(text), Err(why.to_owned()), "{text}");
        }
    }
}
