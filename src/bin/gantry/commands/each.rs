//! Commands that do the same to each of several names, and go on behind one that fails.

use std::os::unix::ffi::OsStrExt;

use gantry::wire::reply::Parsed;

use crate::command::{Call, Outcome};
use crate::failure::Failure;

/// Prints each name that it was done to.
pub fn names(call: &mut Call<'_>) -> Outcome {
    each(call, |name, _| name.to_owned())
}

/// Prints the exit status of each.
pub fn exits(call: &mut Call<'_>) -> Outcome {
    each(call, |_, reply| reply.get("exit").unwrap_or_default())
}

fn each(call: &mut Call<'_>, shown: fn(&str, &Parsed) -> String) -> Outcome {
    let options = call.options()?;
    let mut connection = call.daemon.connect()?;
    let mut status = 0;
    for name in call.operands() {
        let request = crate::request::Request::new(call.entry.verb).positional(name.as_bytes());
        match request.and_then(|request| connection.ask(&request.options(&options))) {
            Ok(reply) => {
                call.console.say(&shown(&name.to_string_lossy(), &reply))?;
                call.console.flush()?;
            }
            Err(failure @ (Failure::Refused(..) | Failure::Usage(_))) => {
                call.console.complain(&failure);
                status = call.entry.failed;
            }
            Err(failure) => return Err(failure),
        }
    }
    Ok(status)
}

#[cfg(test)]
mod tests {
    use crate::commands::scripted::Script;

    #[test]
    fn it_goes_on_behind_a_failure() {
        let script = Script::of(&[
            ("stop web timeout=3s", "OK name=web:latest exit=0\n"),
            ("stop nix timeout=3s", "ERR not-found no container nix:latest\n"),
            ("stop db timeout=3s", "OK name=db:latest exit=143\n"),
        ]);
        let ran = script.run(&["stop", "-t", "3s", "web", "nix", "db"]);
        assert_eq!((ran.status, ran.out.as_str()), (1, "web\ndb\n"));
        assert_eq!(ran.err, "gantry: no container nix:latest (not-found)\n");
    }

    #[test]
    fn wait_prints_exit_statuses() {
        let script = Script::of(&[("wait a", "OK name=a:latest exit=3 oom=no\n"), ("wait b", "OK exit=0\n")]);
        assert_eq!(script.run(&["wait", "a", "b"]).out, "3\n0\n");
    }

    #[test]
    fn a_name_is_never_an_option() {
        let script = Script::of(&[("rm web", "OK name=web:latest\n")]);
        let ran = script.run(&["rm", "force=yes", "web"]);
        assert_eq!((ran.status, ran.out.as_str()), (1, "web\n"));
    }
}
