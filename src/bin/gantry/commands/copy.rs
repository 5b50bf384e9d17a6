//! `cp`: files between the host and a container.

use std::ffi::OsStr;
use std::os::unix::ffi::OsStrExt;

use crate::command::{Call, Outcome};
use crate::failure::Failure;
use crate::request::Request;
use crate::value;

/// Copies; which of the two is the container's, the daemon sees by its colon.
pub fn copy(call: &mut Call<'_>) -> Outcome {
    let operands = call.operands();
    let request = operands
        .iter()
        .try_fold(Request::new(call.entry.verb), |request, operand| request.positional(&place(operand)?))?;
    call.daemon.connect()?.ask(&request)?;
    Ok(0)
}

/// `NAME:PATH` as it stands; a path of the host made absolute. As in docker, a host path with a colon starts with `/`
/// or `.`.
fn place(typed: &OsStr) -> Result<Vec<u8>, Failure> {
    let bytes = typed.as_bytes();
    if bytes == b"-" {
        return Err(Failure::Usage("cp goes between files; for a stream use exec with tar".to_owned()));
    }
    let is_container = bytes.contains(&b':') && !bytes.starts_with(b"/") && !bytes.starts_with(b".");
    if is_container { Ok(bytes.to_vec()) } else { value::absolute_path(typed).map_err(Failure::Usage) }
}

#[cfg(test)]
mod tests {
    use crate::commands::scripted::Script;

    #[test]
    fn the_hosts_path_is_absolute() {
        let here = std::env::current_dir().unwrap();
        let asked = format!("cp web:1:/etc/passwd {}/x", here.display());
        assert_eq!(Script::of(&[(asked.as_str(), "OK\n")]).run(&["cp", "web:1:/etc/passwd", "x"]).status, 0);
        assert_eq!(Script::of(&[]).run(&["cp", "-", "web:/"]).status, 1);
    }
}
