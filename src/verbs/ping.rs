//! `ping`: is the daemon there?

use super::{Access, Action, Argv, Form, Line, Verb};

/// `ping` → `OK pong`
pub const VERB: Verb = Verb {
    form: Form { name: "ping", required: &[], optional: &[], options: &[], argv: Argv::No },
    about: "answer pong",
    access: Access::Open,
    reply_keys: &[],
    action: Action::Run(|_, _| Ok(Box::pin(std::future::ready(Ok(Line::pong()))))),
};
