//! `version`: which daemon, and which protocol.

use super::{Access, Action, Argv, Form, Line, Verb};

/// The version of the line protocol; it changes when a client that knew it would break.
const PROTOCOL: u32 = 1;
const OK: [&str; 2] = ["version", "protocol"];

/// `version` → `OK version= protocol=1`
pub const VERB: Verb = Verb {
    form: Form { name: "version", required: &[], optional: &[], options: &[], argv: Argv::No },
    about: "tell the daemon's version and the protocol's",
    access: Access::Open,
    reply_keys: &[&OK],
    action: Action::Run(|_, _| {
        Ok(Box::pin(std::future::ready(Ok(Line::ok(&OK, &[&env!("CARGO_PKG_VERSION"), &PROTOCOL])))))
    }),
};
