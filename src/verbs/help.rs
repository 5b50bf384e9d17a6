//! `help`: the verbs, or one verb with its options, out of the registry.

use super::{Access, Action, Argv, Call, Form, Line, Opt, Refusal, VERBS, Verb, nearest};

/// `help [VERB]` → `TEXT`…, `OK`
pub const VERB: Verb = Verb {
    form: Form { name: "help", required: &[], optional: &["VERB", "WORD"], options: &[], argv: Argv::No },
    about: "list the verbs, or tell what one takes",
    access: Access::Open,
    reply_keys: &[],
    action: Action::Run(|mut args, call| {
        let words: Vec<String> = std::iter::from_fn(|| args.positional()).collect();
        Ok(Box::pin(run(words.join(" "), call)))
    }),
};

async fn run(name: String, call: Call) -> Result<Line, Refusal> {
    let text = if name.is_empty() { all() } else { one(&name)? };
    for line in text {
        call.line(&Line::text(&line)).await;
    }
    Ok(Line::done())
}

fn all() -> Vec<String> {
    let mut lines: Vec<String> = VERBS.iter().map(|verb| format!("{:<44} {}", usage(&verb.form), verb.about)).collect();
    lines.push("'help VERB' tells the options of one verb.".to_owned());
    lines
}

fn one(name: &str) -> Result<Vec<String>, Refusal> {
    if let Some(verb) = VERBS.iter().find(|verb| verb.form.name == name) {
        let mut lines = vec![usage(&verb.form), format!("  {}", verb.about)];
        lines.extend(verb.form.options.iter().map(|option| describe(option)));
        return Ok(lines);
    }
    // A group's name: its verbs.
    let group: Vec<String> =
        VERBS.iter().filter(|v| v.form.name.split(' ').next() == Some(name)).map(|v| usage(&v.form)).collect();
    if !group.is_empty() {
        return Ok(group);
    }
    let hint = nearest(name, VERBS.iter().map(|verb| verb.form.name)).map(|known| format!("; did you mean {known}?"));
    Err(Refusal::not_found(format_args!("no verb {name:?}{}", hint.unwrap_or_default())))
}

/// A verb with what it takes, on one line.
pub fn usage(form: &Form) -> String {
    let mut text = form.name.to_owned();
    for name in form.required {
        text.push_str(&format!(" {name}"));
    }
    for name in form.optional {
        text.push_str(&format!(" [{name}]"));
    }
    if !form.options.is_empty() {
        text.push_str(" [option=…]");
    }
    match form.argv {
        Argv::No => {}
        Argv::Maybe => text.push_str(" [-- argv…]"),
        Argv::Must => text.push_str(" -- argv…"),
        Argv::Word => text.push_str(" [-- WORD]"),
    }
    text
}

fn describe(option: &Opt) -> String {
    let repeats = if option.repeats { " (may repeat)" } else { "" };
    format!("  {:<32} {}{repeats}", format!("{}={}", option.key, option.value), option.about)
}
