//! `exec`: one more process in a running container.

use std::os::unix::ffi::OsStrExt;

use crate::attached::{self, Output, With};
use crate::command::{Call, Outcome};
use crate::failure::Failure;
use crate::progress::{Progress, Show};
use crate::request::Request;

/// Runs it, stays with it, and gives its exit status.
pub fn exec(call: &mut Call<'_>) -> Outcome {
    let operands = call.operands();
    let mut words = operands.iter().map(|word| word.as_bytes());
    let missing = || Failure::Usage("name a container and a command".to_owned());
    let request = Request::new(call.entry.verb).positional(words.next().ok_or_else(missing)?)?;
    let argv: Vec<_> = words.collect();
    if argv.is_empty() {
        return Err(missing());
    }
    let request = request.options(&call.options()?).argv(&argv);
    let with = With::typed(call)?;
    attached::follow(call, &request, Output::new(Progress::new(Show::Nothing), None), with)
}

#[cfg(test)]
mod tests {
    use crate::commands::scripted::Script;

    #[test]
    fn its_status_is_the_clients() {
        let asked = "exec web env=\"A=1\" user=1 text=quoted -- sh -c \"exit 3\"";
        let ran = Script::of(&[(asked, "LOG stderr \"no\"\nOK id=ab exit=3\n")])
            .run(&["exec", "-u", "1", "-e", "A=1", "web", "sh", "-c", "exit 3"]);
        assert_eq!((ran.status, ran.err.as_str()), (3, "no\n"));
        assert_eq!(Script::of(&[]).run(&["exec", "web"]).status, 125);
    }
}
