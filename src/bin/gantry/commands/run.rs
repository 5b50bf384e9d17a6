//! `run` and `create`.

use std::os::unix::ffi::OsStrExt;

use crate::attached::{self, Output, With};
use crate::command::{Call, Outcome};
use crate::failure::Failure;
use crate::progress::{Progress, Show};
use crate::request::Request;
use crate::signals::Proxy;

/// Creates and starts a container; stays with it unless told to leave it in the background.
pub fn run(call: &mut Call<'_>) -> Outcome {
    let request = request(call)?;
    if call.has("detach")? {
        return make(call, &request);
    }
    let name = call.value("name").map(|name| name.to_string_lossy().into_owned());
    // On a terminal, keys are bytes for the process and not signals for the client.
    let passes_signals = call.is_on("sig-proxy", true)? && !call.has("tty")?;
    let proxy = passes_signals.then(|| Proxy::start(call.daemon, name)).transpose()?;
    let output = Output::new(progress(call)?, proxy.as_ref());
    let with = With::typed(call)?;
    attached::follow(call, &request.option("attach", b"yes"), output, with)
}

/// Creates a container.
pub fn create(call: &mut Call<'_>) -> Outcome {
    let request = request(call)?;
    make(call, &request)
}

fn make(call: &mut Call<'_>, request: &Request) -> Outcome {
    let mut progress = progress(call)?;
    let console = &mut *call.console;
    let done = call.daemon.connect()?.exchange(request, |line, _| {
        if line.head == "PROGRESS" {
            progress.update(line, console);
        }
        Ok(())
    })?;
    progress.clear();
    console.say(&done.get("id").unwrap_or_default())?;
    Ok(0)
}

/// A pull is shown to a person only: in a script, standard error is the container's.
fn progress(call: &Call<'_>) -> Result<Progress, Failure> {
    let is_shown = call.console.err_is_terminal && !call.has("quiet")?;
    Ok(Progress::new(if is_shown { Show::Bar } else { Show::Nothing }))
}

/// `IMAGE [options] [-- argv…]`; a directory tree stands in the image's place.
fn request(call: &Call<'_>) -> Result<Request, Failure> {
    let operands = call.operands();
    let mut words = operands.iter().map(|word| word.as_bytes());
    let mut request = Request::new(call.entry.verb);
    if call.value("rootfs").is_none() {
        let image =
            words.next().ok_or_else(|| Failure::Usage("name an image, or a directory with --rootfs".to_owned()))?;
        request = request.positional(image)?;
    }
    Ok(request.options(&call.options()?).argv(&words.collect::<Vec<_>>()))
}

#[cfg(test)]
mod tests {
    use crate::commands::scripted::Script;

    /// The request that a command line makes.
    fn line(typed: &str) -> String {
        Script::of(&[("*", "OK name=a:latest id=ab exit=0\n")])
            .run(&typed.split(' ').collect::<Vec<_>>())
            .requests
            .concat()
    }

    #[test]
    fn command_lines_become_requests() {
        for (typed, request) in [
            ("run -d busybox", "run busybox"),
            ("create --name web httpd:2.4", "create httpd:2.4 name=web"),
            ("run busybox echo -n --name x", "run busybox attach=yes text=quoted -- echo -n --name x"),
            ("run -d busybox -- ls", "run busybox -- -- ls"),
            ("run --rm -d -p 8080:80 -p 53:53/udp i", "run i rm=yes publish=8080:80 publish=53:53/udp"),
            ("run -dm 64M --cpus=1.5 --pids-limit 10 i", "run i memory=64m cpus=1.5 pids=10"),
            (
                "run -de A=1 -e B=2 -w /srv -u 1:2 -h box i",
                "run i hostname=box env=\"A=1\" env=\"B=2\" user=1:2 workdir=/srv",
            ),
            ("run -d --entrypoint= i sh", "run i entrypoint=\"\" -- sh"),
            ("run -d --tls-verify=false --pull always i", "run i tls-verify=no pull=always"),
            ("run -dit i", "run i stdin=yes tty=yes"),
            ("run -d --rootfs /srv/tree sh -c x", "run rootfs=/srv/tree -- sh -c x"),
            (
                "run -d --stop-signal INT --stop-timeout 3 -l a=b i",
                "run i label=\"a=b\" stop-signal=INT stop-timeout=3",
            ),
            ("run -d -v /a:/b:ro --tmpfs /t --read-only i", "run i volume=/a:/b:ro tmpfs=/t read-only=yes"),
            ("run -d --cap-drop ALL --security-opt no-new-privileges i", "run i cap-drop=ALL no-new-privileges=yes"),
            ("run -d --net none --add-host a:1.2.3.4 i", "run i network=none add-host=a:1.2.3.4"),
            ("run -d --health-cmd true --health-interval 1m30s i", "run i health-cmd=true health-interval=90s"),
            ("run -d --log-opt max-size=1m --restart on-failure:3 i", "run i restart=on-failure:3 log-max-size=1m"),
            ("run -d --name a --name b i", "run i name=b"),
            ("run -d --memory-swap -1 i", "run i memory-swap=-1"),
        ] {
            assert_eq!(line(typed), request, "{typed}");
        }
    }

    #[test]
    fn the_exit_status_is_the_containers() {
        let asked = "run i attach=yes text=quoted";
        for (reply, status) in [
            ("OK name=i:latest id=ab exit=0\n", 0),
            ("LOG stdout \"x\"\nOK name=i:latest id=ab exit=143\n", 143),
            ("ERR no-command sh is not in the image\n", 127),
            ("ERR not-executable /etc cannot be executed\n", 126),
            ("ERR not-found no image i\n", 125),
            ("LOG stdout \"half\"\n", 125),
            ("OK name=i:latest\n", 125),
        ] {
            assert_eq!(Script::of(&[(asked, reply)]).run(&["run", "i"]).status, status, "{reply}");
        }
    }

    #[test]
    fn both_streams_come_through() {
        let reply = "PROGRESS stage=pulling done=1 total=2\nLOG stdout \"a\"\nLOG stderr+ \"\\x00\\n\"\nOK exit=0\n";
        let ran = Script::of(&[("*", reply)]).run(&["run", "i"]);
        assert_eq!((ran.out.as_str(), ran.err.as_str()), ("a\n", "\0\n"));
    }

    #[test]
    fn a_background_run_prints_its_id() {
        let ran =
            Script::of(&[("run i", "PROGRESS stage=x\nOK name=i:latest id=abcdef pid=7\n")]).run(&["run", "-d", "i"]);
        assert_eq!((ran.out.as_str(), ran.err.as_str()), ("abcdef\n", ""));
    }

    #[test]
    fn what_is_not_offered_is_refused_by_name() {
        let ran = Script::of(&[]).run(&["run", "-P", "i"]);
        assert_eq!((ran.status, ran.err.as_str()), (125, "gantry: --publish-all: name each port with -p PORT\n"));
        assert_eq!(Script::of(&[]).run(&["run", "--rm=perhaps", "i"]).status, 125);
        assert_eq!(Script::of(&[]).run(&["run"]).status, 125);
    }

    #[test]
    fn nobody_there_is_told_with_the_remedy() {
        let ran = Script::of(&[]).without_daemon(&["run", "i"]);
        assert_eq!(ran.status, 125);
        assert!(ran.err.ends_with("is gantryd running? start it, or give --socket\n"), "{}", ran.err);
        assert_eq!(Script::of(&[]).without_daemon(&["ps"]).status, 1);
    }
}
