//! Commands that are one request and one answer.

use std::os::unix::ffi::OsStrExt;

use gantry::wire::reply::Parsed;

use crate::command::{Call, Outcome};
use crate::failure::Failure;
use crate::request::Request;

/// The request that flags and operands make as they stand.
pub fn request(call: &Call<'_>) -> Result<Request, Failure> {
    let operands = call.operands();
    let request =
        operands.iter().try_fold(Request::new(call.entry.verb), |request, word| request.positional(word.as_bytes()));
    Ok(request?.options(&call.options()?))
}

/// Sends it; prints what rows and keys come back, which is nothing where there is nothing to tell.
pub fn forward(call: &mut Call<'_>) -> Outcome {
    let request = request(call)?;
    let mut rows = Vec::new();
    let done = call.daemon.connect()?.exchange(&request, |line, _| {
        if line.head == "ROW" {
            rows.push(crate::row::Row::read(line)?);
        }
        Ok(())
    })?;
    crate::table::write_rows(&mut *call.console.out, &rows)?;
    tell(call, &done)
}

/// Prints the keys of an `OK` line.
pub fn tell(call: &mut Call<'_>, done: &Parsed) -> Outcome {
    crate::table::write_record(&mut *call.console.out, &crate::row::Row::read(done)?)?;
    Ok(0)
}

/// Sends it; prints the lines for a person that come back, and what a final line says without keys.
pub fn text(call: &mut Call<'_>) -> Outcome {
    let request = request(call)?;
    let mut said = Vec::new();
    let done = call.daemon.connect()?.exchange(&request, |line, _| {
        if line.head == "TEXT" {
            said.push(line.text());
        }
        Ok(())
    })?;
    said.extend(Some(done.text()).filter(|words| !words.is_empty()));
    for line in said {
        call.console.say(&line)?;
    }
    Ok(0)
}

/// Sends it; prints nothing.
pub fn quiet(call: &mut Call<'_>) -> Outcome {
    let request = request(call)?;
    call.daemon.connect()?.ask(&request)?;
    Ok(0)
}

/// Sends it; prints the name it was given.
pub fn named(call: &mut Call<'_>) -> Outcome {
    let request = request(call)?;
    call.daemon.connect()?.ask(&request)?;
    let name = call.operands().first().map(|name| name.to_string_lossy().into_owned());
    call.console.say(&name.unwrap_or_default())?;
    Ok(0)
}

#[cfg(test)]
mod tests {
    use crate::commands::scripted::Script;

    #[test]
    fn text_is_printed_as_it_is() {
        let ran = Script::of(&[("ping", "OK pong\n")]).run(&["ping"]);
        assert_eq!((ran.status, ran.out.as_str()), (0, "pong\n"));
        let ran = Script::of(&[("metrics", "TEXT # HELP a b\nTEXT a 1\nOK\n")]).run(&["metrics"]);
        assert_eq!(ran.out, "# HELP a b\na 1\n");
        let ran = Script::of(&[("shutdown timeout=3", "OK\n")]).run(&["shutdown", "-t", "3"]);
        assert_eq!((ran.status, ran.out.as_str()), (0, ""));
    }

    #[test]
    fn operands_and_flags_go_out_as_they_stand() {
        let ran = Script::of(&[("image tag a b:1", "OK name=b:1\n")]).run(&["tag", "a", "b:1"]);
        assert_eq!((ran.status, ran.out.as_str()), (0, ""));
        let ran = Script::of(&[("image prune all=yes unused=24h", "ROW name=x size=3\nOK count=1\n")])
            .run(&["image", "prune", "-a", "--unused", "24h"]);
        assert_eq!(ran.out, "NAME   SIZE\nx      3B\ncount: 1\n");
        let ran = Script::of(&[("network create n internal=yes", "OK name=n subnet=10.1.0.0/24\n")]).run(&[
            "network",
            "create",
            "--internal",
            "n",
        ]);
        assert_eq!(ran.out, "n\n");
    }
}
