//! Commands that bring an image in, or write one out.

use std::ffi::OsStr;
use std::os::unix::ffi::OsStrExt;

use gantry::wire::reply::Parsed;

use crate::command::{Call, Outcome};
use crate::commands::once;
use crate::failure::Failure;
use crate::progress::{Progress, Show};
use crate::request::Request;
use crate::value;

/// Prints the digest, and the full name on the last line; with `-q` the name alone.
pub fn pull(call: &mut Call<'_>) -> Outcome {
    let request = once::request(call)?;
    let done = exchange(call, &request)?;
    if !call.has("quiet")? {
        call.console.say(&format!("Digest: {}", done.get("digest").unwrap_or_default()))?;
    }
    call.console.say(&done.get("name").unwrap_or_default())?;
    Ok(0)
}

/// Prints the name that the image has got.
pub fn import(call: &mut Call<'_>) -> Outcome {
    let operands = call.operands();
    let (Some(source), Some(name)) = (operands.first(), operands.get(1)) else { return Ok(call.entry.failed) };
    let request = Request::new(call.entry.verb).positional(&host_path(source)?)?.positional(name.as_bytes())?;
    let done = exchange(call, &request.options(&call.options()?))?;
    call.console.say(&done.get("name").unwrap_or_else(|| name.to_string_lossy().into_owned()))?;
    Ok(0)
}

/// Prints the name of each image that was taken in.
pub fn load(call: &mut Call<'_>) -> Outcome {
    let source = call.value("input").ok_or_else(|| Failure::Usage("name the archive with -i PATH".to_owned()))?;
    let source = match source.as_bytes().strip_prefix(b"oci:") {
        // The tag behind a colon stays where it is: the path before it is made absolute.
        Some(directory) => [b"oci:".as_slice(), &host_path(OsStr::from_bytes(directory))?].concat(),
        None => host_path(source)?,
    };
    let request = Request::new(call.entry.verb).positional(&source)?;
    let mut names = Vec::new();
    exchange_with(call, &request, |row| names.push(row.get("name").unwrap_or_default()))?;
    names.iter().try_for_each(|name| call.console.say(&format!("Loaded image: {name}")))?;
    Ok(0)
}

/// Prints nothing: the archive is what was asked for.
pub fn save(call: &mut Call<'_>) -> Outcome {
    let target = call.value("output").ok_or_else(|| Failure::Usage("name the archive with -o FILE".to_owned()))?;
    let target = host_path(target)?;
    let request = once::request(call)?.positional(&target)?;
    exchange(call, &request)?;
    Ok(0)
}

fn host_path(typed: &OsStr) -> Result<Vec<u8>, Failure> {
    value::absolute_path(typed).map_err(Failure::Usage)
}

/// Sends a request that may take long, and shows how it gets on.
fn exchange(call: &mut Call<'_>, request: &Request) -> Result<Parsed, Failure> {
    exchange_with(call, request, |_| {})
}

/// The same for one that has rows.
fn exchange_with(call: &mut Call<'_>, request: &Request, mut row: impl FnMut(&Parsed)) -> Result<Parsed, Failure> {
    let show = match (call.has("quiet")?, call.console.err_is_terminal) {
        (true, _) => Show::Nothing,
        (false, true) => Show::Bar,
        (false, false) => Show::Lines,
    };
    let mut progress = Progress::new(show);
    call.daemon.connect()?.exchange(request, |line, _| {
        match line.head.as_str() {
            "PROGRESS" => progress.update(line, call.console),
            "ROW" => row(line),
            _ => {}
        }
        Ok(())
    })
}

#[cfg(test)]
mod tests {
    use crate::commands::scripted::Script;

    const PULLED: &str = "PROGRESS stage=copying done=1 total=9\nPROGRESS stage=copying done=9 total=9\nPROGRESS\n\
        PROGRESS stage=unpacking\nOK name=docker.io/library/httpd:2.4 digest=sha256:ab size=99\n";

    #[test]
    fn a_pull_tells_its_stages_once() {
        let ran = Script::of(&[("image pull httpd:2.4 tls-verify=no", PULLED)]).run(&[
            "pull",
            "--tls-verify=false",
            "httpd:2.4",
        ]);
        assert_eq!(ran.err, "copying\nunpacking\n");
        assert_eq!(ran.out, "Digest: sha256:ab\ndocker.io/library/httpd:2.4\n");
        let ran = Script::of(&[("image pull httpd:2.4", PULLED)]).run(&["image", "pull", "-q", "httpd:2.4"]);
        assert_eq!((ran.out.as_str(), ran.err.as_str()), ("docker.io/library/httpd:2.4\n", ""));
    }

    #[test]
    fn host_paths_are_absolute() {
        let here = std::env::current_dir().unwrap();
        let asked = format!("image import {}/tree box:1 cmd=\"httpd -f\" env=\"A=1\"", here.display());
        let ran = Script::of(&[(asked.as_str(), "OK name=localhost/box:1 digest=sha256:ab size=9\n")])
            .run(&["import", "tree", "box:1", "--cmd", "httpd -f", "-e", "A=1"]);
        assert_eq!(ran.out, "localhost/box:1\n");
        let ran = Script::of(&[("image save box:1 /tmp/x.tar", "OK\n")]).run(&["save", "-o", "/tmp/x.tar", "box:1"]);
        assert_eq!((ran.status, ran.out.as_str()), (0, ""));
        let ran =
            Script::of(&[("image load oci:/tmp/x:1", "ROW name=localhost/x:1 digest=sha256:ab size=9\nOK count=1\n")])
                .run(&["load", "-i", "oci:/tmp/x:1"]);
        assert_eq!(ran.out, "Loaded image: localhost/x:1\n");
    }
}
