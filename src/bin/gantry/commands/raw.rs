//! `raw`: one line of the protocol, and the reply as it comes.

use std::os::unix::ffi::OsStrExt;

use gantry::wire::reply::Parsed;
use gantry::wire::words;

use crate::command::{Call, Outcome};
use crate::failure::Failure;

/// Sends the words, joined by blanks and otherwise as they were typed; 1 where the answer is `ERR`.
pub fn raw(call: &mut Call<'_>) -> Outcome {
    let operands = call.operands();
    if operands.is_empty() {
        return Err(Failure::Usage("name a verb; gantry raw help lists them".to_owned()));
    }
    let line = operands.iter().map(|word| word.as_bytes()).collect::<Vec<_>>().join(&b' ');
    if line.contains(&b'\n') {
        return Err(Failure::Usage("one line at a time".to_owned()));
    }
    // An empty line and a comment are never answered; a line that cannot be split is, with the reason.
    if words::split(&line).is_ok_and(|words| words.is_empty()) {
        return Ok(0);
    }
    let mut connection = call.daemon.connect()?;
    connection.send(&[&line, b"\n".as_slice()].concat())?;
    loop {
        let reply = connection.next_line()?;
        let parsed = Parsed::read(reply);
        let shown = call.console.out.write_all(reply).and_then(|()| call.console.out.write_all(b"\n"));
        shown.and_then(|()| call.console.out.flush()).map_err(Failure::output)?;
        if parsed.is_final() {
            return Ok(u8::from(parsed.head == "ERR"));
        }
    }
}

#[cfg(test)]
mod tests {
    use crate::commands::scripted::Script;

    #[test]
    fn lines_go_out_and_come_back_as_they_are() {
        let ran = Script::of(&[("@t1 ps state=running", "@t1 ROW name=a\n@t1 OK count=1\n")]).run(&[
            "raw",
            "@t1",
            "ps",
            "state=running",
        ]);
        assert_eq!((ran.status, ran.out.as_str()), (0, "@t1 ROW name=a\n@t1 OK count=1\n"));
        let ran = Script::of(&[("x 'a b'", "ERR unknown-verb x\n")]).run(&["raw", "x 'a b'"]);
        assert_eq!((ran.status, ran.out.as_str()), (1, "ERR unknown-verb x\n"));
        assert_eq!(Script::of(&[]).run(&["raw", "# nothing"]).status, 0);
        assert_eq!(Script::of(&[]).run(&["raw"]).status, 1);
    }
}
