//! When the end of one container is the end of all: `up --abort-on-container-exit` and its kin.

use super::model::{Condition, Project};
use crate::command::Call;
use crate::failure::Failure;

/// Whose end it is that ends all.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum On {
    Nobodys,
    Anybodys,
    AnyFailure,
}

/// What was asked for, and the exit status that comes of it.
#[derive(Debug)]
pub struct Abort {
    on: On,
    /// Whose exit status is the client's; without, that of the first to end all.
    from: Option<String>,
    status: Option<u8>,
}

impl Abort {
    /// What was typed.
    pub fn typed(call: &Call<'_>, project: &Project) -> Result<Self, Failure> {
        let from = call.value("exit-code-from").map(|name| name.to_string_lossy().into_owned());
        if let Some(unknown) = from.as_ref().filter(|name| project.service(name).is_none()) {
            return Err(Failure::Usage(format!("--exit-code-from: there is no service {unknown}")));
        }
        let on = match (call.has("abort-on-container-exit")?, call.has("abort-on-container-failure")?) {
            (true, true) => {
                let why = "--abort-on-container-exit and --abort-on-container-failure contradict each other";
                return Err(Failure::Usage(why.to_owned()));
            }
            (false, true) => On::AnyFailure,
            (false, false) if from.is_none() => On::Nobodys,
            _ => On::Anybodys,
        };
        let stays = !(call.has("detach")? || call.has("wait")? || call.has("no-start")?);
        if on != On::Nobodys && !stays {
            let why =
                "who leaves containers in the background does not see one end: leave out -d, --wait and --no-start";
            return Err(Failure::Usage(why.to_owned()));
        }
        Ok(Self { on, from, status: None })
    }

    /// A container of `service` has ended for good: whether all are to end. That one for which others wait has ended well
    /// is what they wait for.
    pub fn ended(&mut self, project: &Project, service: &str, exit: &str) -> bool {
        // Where it is gone, nobody knows.
        let exit: u8 = exit.parse().unwrap_or(1);
        let is_awaited = project.services.iter().flat_map(|other| &other.after);
        let mut is_awaited = is_awaited.filter(|after| after.condition == Condition::Completed);
        let ends_all = match self.on {
            On::Nobodys => false,
            On::AnyFailure => exit != 0,
            On::Anybodys => exit != 0 || !is_awaited.any(|after| after.service == service),
        };
        let counts = self.from.as_ref().map_or(ends_all, |from| from == service);
        if counts {
            self.status.get_or_insert(exit);
        }
        ends_all
    }

    /// Somebody else has ended all: what containers end with says nothing any more.
    pub fn leave(&mut self) {
        *self = Self { on: On::Nobodys, from: None, status: None };
    }

    /// The exit status, where a container's end has brought one about.
    pub fn status(&self) -> Option<u8> {
        self.status
    }
}

#[cfg(test)]
mod tests {
    use super::super::model::tests::project;
    use super::*;

    const FILE: &str =
        "services: {job: {image: i}, web: {image: i, depends_on: {job: {condition: service_completed_successfully}}}}";

    #[test]
    fn the_first_end_that_matters_is_the_end_of_all() {
        let project = project(FILE).unwrap();
        for (on, from, ends, is_end, status) in [
            (On::Nobodys, None, &[("web", "3")][..], false, None),
            (On::Anybodys, None, &[("job", "0")], false, None),
            (On::Anybodys, None, &[("job", "4"), ("web", "137")], true, Some(4)),
            (On::Anybodys, None, &[("job", "0"), ("web", "0")], true, Some(0)),
            (On::AnyFailure, None, &[("web", "0")], false, None),
            (On::AnyFailure, None, &[("web", "9")], true, Some(9)),
            (On::Anybodys, Some("web"), &[("job", "4"), ("web", "143")], true, Some(143)),
            (On::Anybodys, Some("job"), &[("job", "0"), ("web", "2")], true, Some(0)),
            (On::Anybodys, None, &[("web", "")], true, Some(1)),
        ] {
            let mut abort = Abort { on, from: from.map(str::to_owned), status: None };
            let mut ended = false;
            for (service, exit) in ends {
                ended |= abort.ended(&project, service, exit);
            }
            assert_eq!((ended, abort.status()), (is_end, status), "{abort:?} {ends:?}");
            abort.leave();
            assert!(!abort.ended(&project, "web", "9") && abort.status().is_none());
        }
    }
}
