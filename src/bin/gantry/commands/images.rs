//! `images`: docker's columns from the wire's rows.

use std::time::SystemTime;

use crate::command::{Call, Outcome};
use crate::commands::rows;
use crate::filter::{Filters, is_like};
use crate::human;
use crate::row::Row;
use crate::table;

/// Lists images, or those whose name ends in one that was given.
pub fn images(call: &mut Call<'_>) -> Outcome {
    let (format, quiet) = (call.format()?, call.has("quiet")?);
    let filters = Filters::read(call, &["reference", "dangling"])?;
    let is_whole = call.has("no-trunc")? || call.has("digests")?;
    let wanted: Vec<_> = call.operands().iter().map(|word| word.to_string_lossy().into_owned()).collect();
    let mut images = rows::collect(&mut call.daemon.connect()?, &call.request()?)?;
    images.retain(|image| wanted.is_empty() || wanted.iter().any(|wanted| is_meant(image.get("name"), wanted)));
    images.retain(|image| is_wanted(image.get("name"), &filters));
    if quiet {
        images.iter().try_for_each(|image| call.console.say(image.get("name")))?;
        return Ok(0);
    }
    rows::write(call.console, &format, &images, field, |out| {
        let now = SystemTime::now();
        let cells: Vec<_> = images.iter().map(|image| cells(image, is_whole, now)).collect();
        table::write(out, &["REPOSITORY", "TAG", "DIGEST", "CREATED", "SIZE"], &cells)
    })?;
    Ok(0)
}

/// Every image has a name, so that none dangles.
fn is_wanted(name: &str, filters: &Filters) -> bool {
    let names = [name, split(name).0, short(name), split(short(name)).0];
    filters.fit("reference", |pattern| names.iter().any(|name| is_like(name, pattern)))
        && filters.fit_yes("dangling", false)
}

/// A name without what it has where nothing else is said.
fn short(name: &str) -> &str {
    name.strip_prefix("docker.io/library/").or_else(|| name.strip_prefix("localhost/")).unwrap_or(name)
}

/// Docker's names of fields.
fn field(image: &Row, name: &str) -> Option<String> {
    let (repository, tag) = split(image.get("name"));
    let now = SystemTime::now();
    Some(match name {
        "Repository" => repository.to_owned(),
        "Tag" => tag.unwrap_or("<none>").to_owned(),
        "ID" | "Digest" => image.get("digest").to_owned(),
        "CreatedSince" => human::ago(image.get("created"), now),
        "CreatedAt" => image.get("created").to_owned(),
        "Size" => human::size(image.get("size")),
        _ => return None,
    })
}

fn cells(image: &Row, is_whole: bool, now: SystemTime) -> Vec<String> {
    let (repository, tag) = split(image.get("name"));
    let digest = image.get("digest");
    let short = digest.strip_prefix("sha256:").map_or(digest, |hex| hex.get(..12).unwrap_or(hex));
    vec![
        repository.to_owned(),
        tag.unwrap_or("<none>").to_owned(),
        if is_whole { digest } else { short }.to_owned(),
        human::ago(image.get("created"), now),
        human::size(image.get("size")),
    ]
}

/// The repository of a full reference, and its tag.
fn split(name: &str) -> (&str, Option<&str>) {
    let name = name.split_once('@').map_or(name, |(name, _)| name);
    match name.rsplit_once(':') {
        // A colon before a slash is that of a port.
        Some((repository, tag)) if !tag.contains('/') => (repository, Some(tag)),
        _ => (name, None),
    }
}

/// Whether a full reference is one that `wanted` may stand for: it or its repository ends in it.
pub fn is_meant(name: &str, wanted: &str) -> bool {
    let ends_in = |whole: &str, wanted: &str| {
        whole.strip_suffix(wanted).is_some_and(|before| before.is_empty() || before.ends_with('/'))
    };
    ends_in(name, wanted) || ends_in(split(name).0, wanted)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::commands::scripted::Script;

    const REPLY: &str = "ROW name=docker.io/library/httpd:2.4 digest=sha256:0123456789abcdef size=148000000 created=1999-01-01T00:00:00Z\n\
        ROW name=localhost:5000/box@sha256:77 digest=sha256:77 size=10 created=\"\"\nOK count=2\n";

    #[test]
    fn names_are_split() {
        assert_eq!(split("localhost:5000/box"), ("localhost:5000/box", None));
        assert_eq!(split("localhost:5000/box:1"), ("localhost:5000/box", Some("1")));
    }

    #[test]
    fn columns_are_dockers() {
        let ran = Script::of(&[("image ls", REPLY)]).run(&["images"]);
        let lines: Vec<_> = ran.out.lines().collect();
        assert_eq!(lines[0], "REPOSITORY                TAG      DIGEST         CREATED        SIZE");
        assert!(lines[1].starts_with("docker.io/library/httpd   2.4      0123456789ab   2"), "{}", lines[1]);
        assert!(lines[1].ends_with(" years ago   148MB"), "{}", lines[1]);
        assert_eq!(lines[2], "localhost:5000/box        <none>   77                            10B");
    }

    #[test]
    fn filters_and_templates_are_dockers() {
        let images = |words: &[&str]| Script::of(&[("image ls", REPLY)]).run(&[&["images"], words].concat()).out;
        assert_eq!(
            images(&["--format", "{{.Repository}}:{{.Tag}} {{.Size}}", "-f", "reference=http*"]),
            "docker.io/library/httpd:2.4 148MB\n"
        );
        assert_eq!(images(&["-q", "-f", "reference=*/box*"]), "localhost:5000/box@sha256:77\n");
        assert_eq!(images(&["-q", "-f", "dangling=true"]), "");
        assert_eq!(images(&["-q", "-f", "dangling=false"]).lines().count(), 2);
    }

    #[test]
    fn names_alone_can_be_removed() {
        let ran = Script::of(&[("image ls", REPLY)]).run(&["images", "-q", "httpd"]);
        assert_eq!(ran.out, "docker.io/library/httpd:2.4\n");
    }
}
