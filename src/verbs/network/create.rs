//! `network create`: a network of its own for some containers.

use super::super::{Access, Action, Argv, Call, Form, Line, Opt, Refusal, Verb};
use crate::config::Subnet;
use crate::network::{Create, ask};

const OK: [&str; 2] = ["name", "subnet"];

/// `network create NAME [subnet=] [internal=yes]` → `OK name= subnet=`
pub const VERB: Verb = Verb {
    form: Form {
        name: "network create",
        required: &["NAME"],
        optional: &[],
        options: &[
            &Opt::once("subnet", "CIDR", "its addresses; without, some that are free on this host"),
            &Opt::once("internal", "yes|no", "nothing gets out of it or in"),
        ],
        argv: Argv::No,
    },
    about: "make a network",
    access: Access::Change,
    reply_keys: &[&OK],
    action: Action::Run(|mut args, call| {
        let name = args.required()?.parse()?;
        let subnet = args.value("subnet", |text| text.parse::<Subnet>().map_err(Refusal::bad_value))?;
        let create = Create { name, subnet, internal: args.flag("internal")? };
        Ok(Box::pin(run(create, call)))
    }),
};

async fn run(create: Create, call: Call) -> Result<Line, Refusal> {
    let network = call.engine.ground.network.clone();
    let made = call.finish(async move { ask(&network, create).await? }).await?;
    Ok(Line::ok(&OK, &[&made.name, &made.subnet]))
}
