//! What strangers write, and what must hold of it whatever it is: the bodies of the fuzz targets (`fuzz/`), built for them
//! and for tests alone. The test below plays every corpus, so that what was found once stays mended.

use std::fmt::{Debug, Display};
use std::str::FromStr;

use crate::container::devices::DeviceWish;
use crate::container::health::Check;
use crate::container::limits::Ulimit;
use crate::container::log::Record;
use crate::container::plan::Wishes;
use crate::container::restart::Policy;
use crate::container::security::Capabilities;
use crate::container::storage::Tmpfs;
use crate::container::user;
use crate::container::volumes::VolumeWish;
use crate::id::{ContainerId, ImageRef, Name, NetworkMode, NetworkName, Publish, Signal, VolumeName};
use crate::images::{config, load, manifest};
use crate::refusal::{MESSAGE_MAX, Refusal};
use crate::tools::{conmon, exec, skopeo, umoci};
use crate::verbs;
use crate::wire::args::{Args, Form};
use crate::wire::line::{Frame, Framer, LINE_MAX};
use crate::wire::reply::{Line, Parsed};
use crate::wire::{units, words};

/// A target: its name, which is that of its corpus too, and its body.
pub type Target = (&'static str, fn(&[u8]));

/// All of them.
pub const TARGETS: &[Target] = &[
    ("lines", lines),
    ("split", split),
    ("requests", requests),
    ("replies", replies),
    ("names", names),
    ("values", values),
    ("log", log),
    ("users", users),
    ("tools", tools),
    ("images", images),
];

/// Bytes in any pieces are the same lines, none longer than it may be, and no more of them waits than a line. The first
/// byte says how long the pieces are.
pub fn lines(data: &[u8]) {
    let Some((size, stream)) = data.split_first() else { return };
    let cut = |size: usize| {
        let (mut framer, mut frames) = (Framer::default(), Vec::new());
        for piece in stream.chunks(size) {
            assert_eq!(framer.push(piece), Ok(()));
            frames.extend(std::iter::from_fn(|| framer.next_frame()));
            assert!(framer.waiting() <= LINE_MAX + 1, "an unfinished line has a bound");
        }
        frames
    };
    let whole = cut(stream.len().max(1));
    assert_eq!(whole, cut(usize::from(*size).max(1)));
    for frame in whole {
        assert!(frame.len() <= LINE_MAX + 1);
        if let Frame::Line(line) = frame {
            assert!(!line.contains(&b'\n'));
        }
    }
}

/// Words that are quoted are the same words when they are read.
pub fn split(line: &[u8]) {
    let Some(found) = told(words::split(line)) else { return };
    let (mut bare, mut quoted) = (Vec::new(), Vec::new());
    for word in &found {
        // A blank before each: at the start of a line, `#` begins a comment.
        bare.push(b' ');
        words::quote_into(&mut bare, word);
        quoted.push(b' ');
        words::quote_always_into(&mut quoted, word);
    }
    for again in [bare, quoted] {
        assert!(!again.iter().any(u8::is_ascii_control), "what is quoted is one line");
        assert_eq!(words::split(&again).as_ref(), Ok(&found));
    }
}

/// A request is read or refused; what `create` and `run` take is read to the end.
pub fn requests(line: &[u8]) {
    let Some(words) = told(words::split(line)).filter(|words| !words.is_empty()) else { return };
    verbs::may_turn_raw(&words);
    let Some((verb, words)) = told(verbs::find(words)) else { return };
    let Some(mut args) = told(Args::parse(&verb.form, words)) else { return };
    match verb.form {
        Form { name: "create" | "run", .. } => drop(told(verbs::create::Request::read(&mut args))),
        Form { name: "input", .. } => drop(told(verbs::read_input(args))),
        _ => {}
    }
}

/// A reply is read or not; what is written by the daemon is read as it was meant.
pub fn replies(line: &[u8]) {
    let reply = Parsed::read(line);
    reply.is_final();
    reply.text();
    let Some(pairs) = told(reply.pairs()) else { return };
    for (key, value) in pairs {
        assert!(reply.get(&key).is_some());
        let written = Line::row(&["key"], &[&value]);
        let line = written.as_bytes().strip_suffix(b"\n").unwrap_or_default();
        assert_eq!(Parsed::read(line).get("key"), Some(value), "{}", String::from_utf8_lossy(line));
    }
}

/// Names that are taken are shown as what is taken again, and as the same.
pub fn names(data: &[u8]) {
    let Ok(text) = std::str::from_utf8(data) else { return };
    same::<Name>(text);
    same::<ContainerId>(text);
    same::<NetworkName>(text);
    same::<VolumeName>(text);
    same::<Signal>(text);
    same::<Policy>(text);
    if let Some(reference) = told(text.parse::<ImageRef>()) {
        // Shown with the tag that silence means.
        same::<ImageRef>(&reference.to_string());
        same::<ImageRef>(&reference.canonical().to_string());
        told(reference.container_name());
        reference.candidates().iter().for_each(|one| same::<ImageRef>(&one.to_string()));
        assert!(!reference.for_transport().contains(|c: char| c.is_whitespace() || c.is_control()));
    }
}

/// Values of options are read or refused.
pub fn values(data: &[u8]) {
    let Ok(text) = std::str::from_utf8(data) else { return };
    told(text.parse::<Publish>());
    told(text.parse::<VolumeWish>());
    told(text.parse::<Tmpfs>());
    told(text.parse::<DeviceWish>());
    told(text.parse::<Capabilities>());
    same::<Ulimit>(text);
    told(NetworkMode::read(&[text.to_owned()]));
    told(units::size(text));
    if let Some(duration) = told(units::duration(text)) {
        assert!(std::time::SystemTime::UNIX_EPOCH.checked_add(duration).is_some(), "{text}");
    }
    told(units::moment(text, std::time::SystemTime::UNIX_EPOCH)).map(units::rfc3339);
}

/// A line of conmon's log is a record or none.
pub fn log(line: &[u8]) {
    let Some(record) = Record::read(line) else { return };
    assert!(line.ends_with(record.text));
    record.time();
    record.is_since("2026-11-22T00:00:00.000000000Z");
}

/// An image's `/etc/passwd` and `/etc/group` name users or do not: the first line is the user, an empty line parts the
/// files.
pub fn users(data: &[u8]) {
    let text = String::from_utf8_lossy(data);
    let (spec, files) = text.split_once('\n').unwrap_or((&text, ""));
    let (passwd, group) = files.split_once("\n\n").unwrap_or((files, ""));
    told(user::from_files(spec, passwd, group));
}

/// What tools write as they fail is a refusal of one line.
pub fn tools(data: &[u8]) {
    told(conmon::verdict(data));
    exec::last_error(data);
    let output = || crate::tools::Output {
        status: std::os::unix::process::ExitStatusExt::from_raw(256),
        stdout: Vec::new(),
        stderr: data.to_vec(),
    };
    whole(&skopeo::refusal(&output()));
    whole(&umoci::refusal(&umoci::words(&output())));
}

/// Documents of an image are read or refused; the health check that one asks for is planned or refused.
pub fn images(data: &[u8]) {
    told(manifest::Document::read(data));
    told(load::names(data, None));
    let Some(document) = told(config::Document::read(data)) else { return };
    told(Check::plan(&Wishes::default().health, document.config.healthcheck.as_ref(), &document.config.shell));
}

/// What is read from `text` is shown as something from which the same is read.
fn same<T: FromStr<Err = Refusal> + Display + Debug + PartialEq>(text: &str) {
    let Some(read) = told(text.parse::<T>()) else { return };
    let shown = read.to_string();
    assert_eq!(shown.parse::<T>(), Ok(read), "{text:?} is shown as {shown:?}");
}

/// What was read, or nothing where it was refused in a whole line.
fn told<T>(result: Result<T, Refusal>) -> Option<T> {
    result.inspect_err(whole).ok()
}

fn whole(refusal: &Refusal) {
    let message = refusal.message();
    assert!(message.len() <= MESSAGE_MAX && !message.chars().any(char::is_control), "{refusal:?}");
    assert!(!message.is_empty(), "{refusal:?} says nothing");
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn corpora_hold() {
        for (name, target) in TARGETS {
            let dir = format!("{}/fuzz/corpus/{name}", env!("CARGO_MANIFEST_DIR"));
            let inputs = std::fs::read_dir(&dir).unwrap_or_else(|e| panic!("{dir}: {e}"));
            let count = inputs.map(|input| target(&std::fs::read(input.unwrap().path()).unwrap())).count();
            assert!(count > 0, "{dir} is empty");
        }
    }
}
