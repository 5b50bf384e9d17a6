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
