//! `inspect`: JSON documents for a person, gathered in one array as docker does.

use std::os::unix::ffi::OsStrExt;

use gantry::refusal::Code;
use serde_json::Value;

use crate::command::{Call, Format, Outcome};
use crate::connection::Connection;
use crate::failure::Failure;
use crate::request::Request;
use crate::template::{Fields, wire_key};

/// Prints those that were found, tells of those that were not.
pub fn inspect(call: &mut Call<'_>) -> Outcome {
    let template = match call.format()? {
        Format::Template(template) => Some(template),
        Format::Json | Format::Table => None,
    };
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
    match template {
        Some(template) => {
            let fields: Vec<_> = found.iter().map(|document| move |path: &str| at(document, path)).collect();
            let fields: Vec<Fields<'_>> = fields.iter().map(|fields| fields as Fields<'_>).collect();
            template.write(&mut *call.console.out, &fields)?;
        }
        None => call.console.say(&format!("{:#}", Value::Array(found)))?,
    }
    Ok(status)
}

/// What stands in a document at a path, as `network.ip`; the document itself at none.
fn at(document: &Value, path: &str) -> Option<Value> {
    let keys = path.split('.').filter(|key| !key.is_empty());
    keys.into_iter().try_fold(document, |value, key| value.get(key).or_else(|| value.get(wire_key(key)))).cloned()
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

/// The one document of a reply.
pub fn document(connection: &mut Connection, verb: &str, name: &[u8]) -> Result<Value, Failure> {
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
    fn fields_are_picked_by_their_path() {
        let document = "JSON {\"name\":\"a:latest\",\"network\":{\"ip\":\"10.0.0.2\"},\"lower-dir\":null}\nOK\n";
        let picked = |template: &str| Script::of(&[("inspect a", document)]).run(&["inspect", "-f", template, "a"]);
        assert_eq!(picked("{{.Name}} {{.network.ip}}{{.LowerDir}}").out, "a:latest 10.0.0.2\n");
        assert_eq!(picked("{{json .network}}").out, "{\"ip\":\"10.0.0.2\"}\n");
        assert_eq!(picked("{{.none}}").err, "gantry: --format: there is no field .none\n");
    }

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
