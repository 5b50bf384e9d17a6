//! `attach`: the standard streams of a container that is there.

use crate::attached::{self, Output, With};
use crate::command::{Call, Outcome};
use crate::failure::Failure;
use crate::progress::{Progress, Show};
use crate::request::Request;
use crate::signals::Proxy;

/// Is its streams, or its terminal, until it ends or is left, and gives its exit status.
pub fn attach(call: &mut Call<'_>) -> Outcome {
    let operands = call.operands();
    let name = operands.first().map(|name| name.as_encoded_bytes()).unwrap_or_default();
    let request = Request::new(call.entry.verb).positional(name)?;
    let made = made(call, name)?;
    let takes_input = made.stdin && !call.has("no-stdin")?;
    // On a terminal, keys are bytes for the process and not signals for the client.
    let passes_signals = call.is_on("sig-proxy", true)? && !made.tty;
    let named = String::from_utf8_lossy(name).into_owned();
    let proxy = passes_signals.then(|| Proxy::start(call.daemon, Some(named))).transpose()?;
    let output = Output::new(Progress::new(Show::Nothing), proxy.as_ref());
    let with = With { terminal: made.tty, input: takes_input };
    let request = if takes_input && !made.tty { request.option("stdin", b"yes") } else { request };
    attached::follow(call, &request, output, with)
}

/// What a container was given.
struct Made {
    tty: bool,
    stdin: bool,
}

fn made(call: &Call<'_>, name: &[u8]) -> Result<Made, Failure> {
    let mut document = serde_json::Value::Null;
    call.daemon.connect()?.exchange(&Request::new("inspect").positional(name)?, |line, _| {
        document = serde_json::from_slice(&line.rest).map_err(|e| Failure::Garbled(e.to_string()))?;
        Ok(())
    })?;
    let is = |key: &str| document.get(key).and_then(serde_json::Value::as_bool).unwrap_or(false);
    Ok(Made { tty: is("tty"), stdin: is("stdin") })
}

#[cfg(test)]
mod tests {
    use crate::commands::scripted::Script;

    #[test]
    fn what_it_was_given_tells_how_to_attach() {
        let ran = Script::of(&[
            ("inspect web", "JSON {\"tty\":false,\"stdin\":false}\nOK\n"),
            ("attach web text=quoted", "LOG stdout \"a\"\nOK name=web:latest exit=3\n"),
        ])
        .run(&["attach", "web"]);
        assert_eq!((ran.status, ran.out.as_str()), (3, "a\n"));
        let ran = Script::of(&[("inspect web", "ERR not-found no container web\n")]).run(&["attach", "web"]);
        assert_eq!(ran.status, 125);
    }
}
