//! `compose exec`: one more process in a container of a service.

use std::io::{IsTerminal, stdin};
use std::os::unix::ffi::OsStrExt;

use super::session;
use super::there::containers;
use crate::attached::{self, Output, With};
use crate::command::{Call, Outcome};
use crate::failure::Failure;
use crate::progress::{Progress, Show};
use crate::request::Request;

/// Runs it, stays with it, and gives its exit status. As with docker's, it has a terminal where the client does.
pub fn exec(call: &mut Call<'_>) -> Outcome {
    let (_, project) = session::open(call)?;
    let operands = call.operands();
    let mut words = operands.iter().map(|word| word.as_bytes());
    let service = words.next().map(|word| String::from_utf8_lossy(word).into_owned()).unwrap_or_default();
    let argv: Vec<_> = words.collect();
    if argv.is_empty() {
        return Err(Failure::Usage("name a service and a command".to_owned()));
    }
    let container = container(call, &project.name, &service)?;
    let is_terminal = stdin().is_terminal() && call.console.out_is_terminal;
    let terminal = !call.has("no-tty")? && call.is_on("tty", is_terminal)?;
    let input = call.is_on("interactive", true)?;
    let yes_or_no = |is: bool| if is { b"yes".as_slice() } else { b"no" };
    let request = Request::new("exec")
        .positional(container.as_bytes())?
        .options(&call.options()?)
        .option("tty", yes_or_no(terminal))
        .option("stdin", yes_or_no(input))
        .argv(&argv);
    let output = Output::new(Progress::new(Show::Nothing), None);
    attached::follow(call, &request, output, With { terminal, input })
}

/// The container of the service with the number that was asked for.
fn container(call: &Call<'_>, project: &str, service: &str) -> Result<String, Failure> {
    let number = call.number("index")?.unwrap_or(1);
    let there = containers(call.daemon, project)?;
    let found = there.into_iter().find(|one| one.service == service && one.number == number);
    found
        .map(|one| one.name)
        .ok_or_else(|| Failure::Usage(format!("service {service} has no container {number}; see compose ps")))
}
