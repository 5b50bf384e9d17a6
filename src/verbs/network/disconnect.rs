//! `network disconnect`: one network less for a container, whether it runs or not.

use super::super::{Access, Action, Argv, Form, Verb};
use super::{LINKED, relink};
use crate::container::Disconnect;

/// `network disconnect NETWORK NAME` → `OK name= ip=`
pub const VERB: Verb = Verb {
    form: Form {
        name: "network disconnect",
        required: &["NETWORK", "NAME"],
        optional: &[],
        options: &[],
        argv: Argv::No,
    },
    about: "take a container off a network",
    access: Access::Change,
    reply_keys: &[&LINKED],
    action: Action::Run(|mut args, call| {
        let (network, name) = (args.required()?.parse()?, args.required()?);
        Ok(Box::pin(relink(name, Disconnect(network), call)))
    }),
};
