//! `resize`: the size of the terminal of a container, or of an exec.

use super::streams::{self, COLS, ROWS};
use super::{Access, Action, Argv, Call, Form, Line, Refusal, Verb};
use crate::container::Resize;
use crate::engine::{Target, ask};
use crate::tools::terminal::Size;

const OK: [&str; 1] = ["name"];

/// `resize NAME rows=N cols=N` → `OK name=`
pub const VERB: Verb = Verb {
    form: Form { name: "resize", required: &["NAME"], optional: &[], options: &[&ROWS, &COLS], argv: Argv::No },
    about: "give the terminal of a container, or of an exec, a size",
    access: Access::Change,
    reply_keys: &[&OK],
    action: Action::Run(|mut args, call| {
        let name = args.required()?;
        let size = streams::size(&mut args)?.ok_or_else(|| Refusal::bad_request("resize needs rows= and cols="))?;
        Ok(Box::pin(run(name, size, call)))
    }),
};

async fn run(name: String, size: Size, call: Call) -> Result<Line, Refusal> {
    match call.engine.target(&name).await? {
        Target::Container(found) => {
            let child = found.here()?;
            ask(&child, Resize(size)).await??;
            let name = child.view.borrow().name.clone();
            Ok(Line::ok(&OK, &[&name]))
        }
        Target::Exec(exec) => {
            exec.resize(size).map_err(|refusal| refusal.within(&exec.id))?;
            Ok(Line::ok(&OK, &[&exec.container]))
        }
    }
}
