//! The verbs: one file each, named as the wire names them. [`VERBS`] is the only list of them: dispatch, `help`,
//! completions, the read-only rule and the checks of the manual derive from it.

mod attach;
mod call;
mod check;
mod commit;
mod cp;
pub(crate) mod create;
mod df;
mod diff;
mod events;
mod exec;
mod help;
mod image;
mod info;
mod input;
mod inspect;
mod kill;
mod logs;
pub mod metrics;
mod network;
mod pause;
mod ping;
mod ps;
mod resize;
mod restart;
mod resume;
mod rm;
mod run;
mod shutdown;
mod start;
mod stats;
mod stop;
mod stream;
mod streams;
mod top;
mod update;
mod version;
mod volume;
mod wait;

use futures::future::LocalBoxFuture;

pub use call::{Call, Ties};
pub use check::{findings, report};
pub use help::usage;
pub use input::{Input, read as read_input};
pub use streams::Raw;

use crate::refusal::Refusal;
use crate::wire::args::{Args, Argv, Form, Opt, nearest};
use crate::wire::reply::Line;
use crate::wire::words::Word;

/// What a verb becomes once its arguments are read: the final line, or why there is none.
pub type Reply = LocalBoxFuture<'static, Result<Line, Refusal>>;

/// What a verb does.
#[derive(Clone, Copy)]
pub enum Action {
    /// Reads its arguments at once, and gives back what remains to be done.
    Run(fn(Args, Call) -> Result<Reply, Refusal>),
    /// Ends a tagged request of this connection: the session's own.
    Cancel,
    /// Brings a tagged request's process something to read: the session's own.
    Input,
    /// Ends this connection: the session's own.
    Quit,
}

/// Who may use a verb.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Access {
    /// Changes nothing and shows nothing private: on the read-only socket too.
    Open,
    /// Changes nothing, but shows what not everyone should see.
    Private,
    /// Changes something; told in the daemon's log with who asked.
    Change,
}

/// One verb.
pub struct Verb {
    /// What it takes.
    pub form: Form,
    /// What it does, in one line.
    pub about: &'static str,
    /// Who may use it.
    pub access: Access,
    /// Every key of its data lines and its final line.
    pub reply_keys: &'static [&'static [&'static str]],
    /// What it does.
    pub action: Action,
}

impl Verb {
    /// Whether it begins something that takes memory for long, and therefore not while that is short. What looks a moment,
    /// ends or frees goes on.
    pub fn begins(&self) -> bool {
        BEGIN.contains(&self.form.name)
    }
}

/// See [`Verb::begins`].
const BEGIN: &[&str] = &[
    "create",
    "start",
    "run",
    "restart",
    "exec",
    "attach",
    "logs",
    "commit",
    "cp",
    "image pull",
    "image load",
    "image save",
    "image import",
    "image verify",
    "network create",
    "network connect",
    "volume create",
];

/// Every verb of this version, in the manual's order.
pub const VERBS: &[&Verb] = &[
    &ping::VERB,
    &version::VERB,
    &help::VERB,
    &info::VERB,
    &check::VERB,
    &CANCEL,
    &QUIT,
    &shutdown::VERB,
    &events::VERB,
    &metrics::VERB,
    &df::VERB,
    &create::VERB,
    &start::VERB,
    &run::VERB,
    &stop::VERB,
    &kill::VERB,
    &pause::VERB,
    &resume::VERB,
    &restart::VERB,
    &rm::VERB,
    &wait::VERB,
    &ps::VERB,
    &inspect::VERB,
    &logs::VERB,
    &stats::VERB,
    &exec::VERB,
    &attach::VERB,
    &input::VERB,
    &resize::VERB,
    &top::VERB,
    &update::VERB,
    &diff::VERB,
    &commit::VERB,
    &cp::VERB,
    &image::pull::VERB,
    &image::ls::VERB,
    &image::inspect::VERB,
    &image::rm::VERB,
    &image::load::VERB,
    &image::save::VERB,
    &image::import::VERB,
    &image::tag::VERB,
    &image::prune::VERB,
    &image::verify::VERB,
    &network::create::VERB,
    &network::ls::VERB,
    &network::inspect::VERB,
    &network::rm::VERB,
    &network::connect::VERB,
    &network::disconnect::VERB,
    &volume::create::VERB,
    &volume::ls::VERB,
    &volume::inspect::VERB,
    &volume::rm::VERB,
    &volume::prune::VERB,
];

/// First words of verbs of two words.
const GROUPS: &[&str] = &["image", "network", "volume"];

const CANCEL: Verb = Verb {
    form: Form { name: "cancel", required: &["TAG"], optional: &[], options: &[], argv: Argv::No },
    about: "end the request with that tag, if it looks or waits",
    access: Access::Open,
    reply_keys: &[],
    action: Action::Cancel,
};

const QUIT: Verb = Verb {
    form: Form { name: "quit", required: &[], optional: &[], options: &[], argv: Argv::No },
    about: "end the connection",
    access: Access::Open,
    reply_keys: &[],
    action: Action::Quit,
};

/// Whether a request may turn its connection raw, as far as its words tell.
pub fn may_turn_raw(words: &[Word]) -> bool {
    let mut words = words.iter().map(Vec::as_slice).take_while(|word| *word != b"--");
    match words.next() {
        Some(b"run" | b"exec") => words.any(|word| matches!(word, b"raw=yes" | b"tty=yes")),
        Some(b"attach") => !words.any(|word| word == b"raw=no"),
        _ => false,
    }
}

/// Finds the verb that `words` begin with; what is left of them are its arguments.
pub fn find(words: Vec<Word>) -> Result<(&'static Verb, Vec<Word>), Refusal> {
    let mut words = words.into_iter();
    let mut name = words.next().map(|word| String::from_utf8_lossy(&word).into_owned()).unwrap_or_default();
    if GROUPS.contains(&name.as_str()) {
        let second = words.next().ok_or_else(|| unknown(&name))?;
        name = format!("{name} {}", String::from_utf8_lossy(&second));
    }
    let Some(verb) = VERBS.iter().find(|verb| verb.form.name == name) else {
        // A group's name misspelt: the verb of two words that was meant.
        let second = words.next().map(|word| format!("{name} {}", String::from_utf8_lossy(&word)));
        let known =
            |name: &String| nearest(name, VERBS.iter().map(|verb| verb.form.name)).is_some_and(|k| k.contains(' '));
        return Err(second.filter(known).map_or_else(|| unknown(&name), |both| unknown(&both)));
    };
    Ok((verb, words.collect()))
}

fn unknown(name: &str) -> Refusal {
    let hint = match nearest(name, VERBS.iter().map(|verb| verb.form.name)) {
        Some(known) => format!("did you mean {known}?"),
        None => "'help' lists the verbs".to_owned(),
    };
    Refusal::unknown_verb(format_args!("no verb {name:?}; {hint}"))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::refusal::Code;
    use crate::wire::words::split;

    fn refused(line: &str) -> Refusal {
        find(split(line.as_bytes()).unwrap()).and_then(|(verb, words)| Args::parse(&verb.form, words)).unwrap_err()
    }

    #[test]
    fn what_begins_is_a_verb() {
        assert!(BEGIN.iter().all(|name| VERBS.iter().any(|verb| verb.form.name == *name)));
    }

    #[test]
    fn verbs_are_found_by_one_or_two_words() {
        for line in ["ping", "image ls", "stop web timeout=3"] {
            assert!(find(split(line.as_bytes()).unwrap()).is_ok(), "{line}");
        }
        for (line, code) in [
            ("pong", Code::UnknownVerb),
            ("image", Code::UnknownVerb),
            ("image frob", Code::UnknownVerb),
            ("PING", Code::UnknownVerb),
            ("stop", Code::BadRequest),
            ("stop a b", Code::BadRequest),
            ("stop web tiemout=3", Code::BadOption),
        ] {
            assert_eq!(refused(line).code(), code, "{line}");
        }
        assert!(refused("imagels").message().contains("did you mean image ls"));
    }

    #[test]
    fn no_verb_stands_twice() {
        let mut names: Vec<_> = VERBS.iter().map(|verb| verb.form.name).collect();
        let count = names.len();
        names.sort_unstable();
        names.dedup();
        assert_eq!(names.len(), count);
    }
}
