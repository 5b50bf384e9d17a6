//! `network connect`: one network more for a container, whether it runs or not.

use super::super::{Access, Action, Argv, Form, Verb};
use super::{LINKED, relink};
use crate::container::Connect;

/// `network connect NETWORK NAME` → `OK name= ip=`
pub const VERB: Verb = Verb {
    form: Form { name: "network connect", required: &["NETWORK", "NAME"], optional: &[], options: &[], argv: Argv::No },
    about: "give a container a link to one network more",
    access: Access::Change,
    reply_keys: &[&LINKED],
    action: Action::Run(|mut args, call| {
        let (network, name) = (args.required()?.parse()?, args.required()?);
        Ok(Box::pin(relink(name, Connect(network), call)))
    }),
};
