//! `inspect`: JSON documents for a person, gathered in one array as docker does.

use std::os::unix::ffi::OsStrExt;

use gantry::refusal::Code;
use serde_json::Value;

use crate::command::{Call, Outcome};
use crate::connection::Connection;
use crate::failure::Failure;
use crate::request::Request;

/// Prints those that were found, tells of those that were not.
pub fn inspect(call: &mut Call<'_>) -> Outcome {
    let mut connection = call.daemon.connect()?;
    let (mut found, mut status) = (Vec::new(), 0);
    for name in call.operands() {
        match look(&mut connection, call.entry.verb, name.as_bytes()) {
            Ok(document) => found.push(document),
            Err(failure @ (Failure::Refused(..) | Failure::Usage(_))) => {
                call.console.complain(&failure);
                status = call.entry.failed;
            }
            Err(failure) => return Err(failure),
        }
    }
    call.console.say(&format!("{:#}", Value::Array(found)))?;
    Ok(status)
}

/// A name without kind may be an image's too.
fn look(connection: &mut Connection, verb: &str, name: &[u8]) -> Result<Value, Failure> {
    match document(connection, verb, name) {
        Err(missing) if verb == "inspect" && missing.is(Code::NotFound) => {
            document(connection, "image inspect", name).map_err(|_| missing)
        }
        looked => looked,
    }
}

fn document(connection: &mut Connection, verb: &str, name: &[u8]) -> Result<Value, Failure> {
    let mut document = None;
    connection.exchange(&Request::new(verb).positional(name)?, |line, _| {
        if line.head == "JSON" {
            document = serde_json::from_slice(&line.rest).ok();
        }
        Ok(())
    })?;
    document.ok_or_else(|| Failure::Garbled("no JSON document".to_owned()))
}

#[cfg(test)]
mod tests {
    use crate::commands::scripted::Script;

    #[test]
    fn documents_are_gathered() {
        let ran = Script::of(&[
            ("inspect a", "JSON {\"name\":\"a:latest\"}\nOK\n"),
            ("inspect img", "ERR not-found no container img:latest\n"),
            ("image inspect img", "JSON {\"os\":\"linux\"}\nOK\n"),
            ("inspect no", "ERR not-found no container no:latest\n"),
            ("image inspect no", "ERR not-found no image no\n"),
        ])
        .run(&["inspect", "a", "img", "no"]);
        assert_eq!(ran.out, "[\n  {\n    \"name\": \"a:latest\"\n  },\n  {\n    \"os\": \"linux\"\n  }\n]\n");
        assert_eq!((ran.status, ran.err.as_str()), (1, "gantry: no container no:latest (not-found)\n"));
    }
}
