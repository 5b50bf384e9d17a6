//! `input`: bytes for the standard input of a process that a tagged request of this connection is with.

use super::{Access, Action, Args, Argv, Form, Opt, Refusal, Verb};

/// `input TAG [eof=yes] [-- WORD]` → `OK`
pub const VERB: Verb = Verb {
    form: Form {
        name: "input",
        required: &["TAG"],
        optional: &[],
        options: &[&Opt::once("eof", "yes|no", "end its input, behind WORD")],
        argv: Argv::Word,
    },
    about: "feed the standard input of a tagged run, exec or attach",
    access: Access::Change,
    reply_keys: &[],
    action: Action::Input,
};

/// What is to be fed.
pub struct Input {
    /// The request that is with the process, without `@`.
    pub tag: String,
    /// What the process is to read.
    pub bytes: Vec<u8>,
    /// Nothing comes behind them.
    pub last: bool,
}

/// Reads the arguments.
pub fn read(mut args: Args) -> Result<Input, Refusal> {
    let tag = args.required()?;
    let (word, last) = (args.argv().and_then(|words| words.into_iter().next()), args.flag("eof")?);
    if word.is_none() && !last {
        return Err(Refusal::bad_request("input needs -- and a word, or eof=yes"));
    }
    let tag = tag.strip_prefix('@').unwrap_or(&tag).to_owned();
    Ok(Input { tag, bytes: word.unwrap_or_default(), last })
}
