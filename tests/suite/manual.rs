//! protocol.md and the code say the same: every verb, option, reply key and error code of the one is in the other.

use std::collections::BTreeSet;

use gantry::refusal::Code;
use gantry::verbs::{Access, VERBS};
use gantry::wire::args::{Argv, Form};

use super::shell;

type Words = BTreeSet<String>;

/// The section of one verb: its form as the heading has it, and what stands below.
struct Section {
    form: String,
    body: String,
}

fn page() -> String {
    std::fs::read_to_string(shell::repository().join("protocol.md")).unwrap()
}

/// The part of the page from a heading to the next of its rank or higher.
fn part<'a>(page: &'a str, heading: &str) -> &'a str {
    let start = page.find(&format!("\n{heading}\n")).unwrap_or_else(|| panic!("no {heading}")) + heading.len() + 2;
    let rank = heading.chars().take_while(|c| *c == '#').count();
    let ends = (1..=rank).filter_map(|rank| page[start..].find(&format!("\n{} ", "#".repeat(rank))));
    &page[start..ends.min().map_or(page.len(), |end| start + end)]
}

/// The sections of verbs: those whose heading is a form.
fn sections(page: &str) -> Vec<Section> {
    let headings = page.lines().filter(|line| line.starts_with("### `"));
    let section = |heading: &str| Section {
        form: heading.trim_start_matches("### ").trim_matches('`').to_owned(),
        body: part(page, heading).to_owned(),
    };
    headings.map(section).collect()
}

/// The verb that a form is of: its words before the first that is no plain word.
fn verb_of(form: &str) -> String {
    let plain = |word: &&str| word.bytes().all(|b| b.is_ascii_lowercase() || b == b'-') && *word != "--";
    form.split(' ').take_while(plain).collect::<Vec<_>>().join(" ")
}

/// What stands between single backquotes in prose: fences are left out.
fn spans(text: &str) -> Vec<String> {
    let prose = text.split("```").step_by(2).collect::<String>();
    prose.split('`').skip(1).step_by(2).map(str::to_owned).collect()
}

fn is_key(word: &str) -> bool {
    !word.is_empty() && word.bytes().all(|b| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'-')
}

/// The keys of a form's options, or of spans that are options: words `key=VALUE`, brackets aside.
fn option_keys(text: &str) -> Words {
    let words = text.split([' ', '[', ']']);
    let keys = words.filter_map(|word| word.split_once('=')).filter(|(key, _)| is_key(key));
    keys.map(|(key, _)| key.to_owned()).collect()
}

impl Section {
    fn verb(&self) -> String {
        verb_of(&self.form)
    }

    /// The options of the heading, and of a table whose first column is options.
    fn options(&self) -> Words {
        let rows = self.body.lines().filter_map(|line| line.strip_prefix("| `")?.split_once('`'));
        let of_rows = rows.flat_map(|(option, _)| option_keys(option));
        option_keys(&self.form).into_iter().chain(of_rows).collect()
    }

    /// The keys of replies: the words `key=` without a value.
    fn reply_keys(&self) -> Words {
        let spans = spans(&self.body);
        let words = spans.iter().flat_map(|span| span.split_whitespace());
        words.filter_map(|word| word.strip_suffix('=')).filter(|key| is_key(key)).map(str::to_owned).collect()
    }
}

/// What the code takes.
fn honoured(form: &Form) -> Words {
    form.options.iter().map(|option| option.key.to_owned()).collect()
}

fn differ(what: &str, code: &Words, page: &Words) -> Option<String> {
    let only = |a: &Words, b: &Words| a.difference(b).cloned().collect::<Vec<_>>().join(" ");
    (code != page)
        .then(|| format!("{what}: only in the code: [{}], only in the page: [{}]", only(code, page), only(page, code)))
}

#[test]
fn every_verb_is_told_and_there() {
    let page = page();
    let told = sections(&page).iter().map(Section::verb).collect();
    let there = VERBS.iter().map(|verb| verb.form.name.to_owned()).collect();
    assert_eq!(differ("verbs", &there, &told), None);
}

#[test]
fn every_option_is_told_and_there() {
    let page = page();
    let sections = sections(&page);
    let create = sections.iter().find(|section| section.verb() == "create").expect("create").options();
    let mut wrong = Vec::new();
    for verb in VERBS {
        let Some(section) = sections.iter().find(|section| section.verb() == verb.form.name) else { continue };
        let mut told = section.options();
        if verb.form.name == "run" {
            told.extend(create.iter().cloned());
        }
        wrong.extend(differ(verb.form.name, &honoured(&verb.form), &told));
    }
    assert!(wrong.is_empty(), "{wrong:#?}");
}

#[test]
fn every_form_is_as_the_heading_has_it() {
    let page = page();
    for section in sections(&page) {
        let verb = section.verb();
        let Some(known) = VERBS.iter().find(|known| known.form.name == verb) else { continue };
        let words: Vec<&str> = section.form.split(' ').skip(verb.split(' ').count()).collect();
        for name in known.form.required {
            assert!(words.contains(name), "{}: {name}", section.form);
        }
        for name in known.form.optional {
            assert!(words.contains(&&*format!("[{name}]")), "{}: [{name}]", section.form);
        }
        let of_words = !matches!(known.form.argv, Argv::No | Argv::Word);
        assert_eq!(section.form.contains("-- argv…"), of_words, "{}", section.form);
        assert_eq!(section.form.contains("[-- WORD]"), known.form.argv == Argv::Word, "{}", section.form);
        assert_eq!(section.form.contains("[-- argv…]"), known.form.argv == Argv::Maybe, "{}", section.form);
        assert!(!known.about.is_empty(), "{verb}");
    }
}

#[test]
fn every_reply_key_is_told_and_there() {
    let page = page();
    let sections = sections(&page);
    let told = |verb: &str| sections.iter().find(|section| section.verb() == verb).map(Section::reply_keys);
    let known = VERBS.iter().filter_map(|verb| Some((verb, told(verb.form.name)?)));
    let there = |keys: &[&[&str]]| keys.concat().into_iter().map(str::to_owned).collect();
    let wrong: Vec<_> =
        known.filter_map(|(verb, told)| differ(verb.form.name, &there(verb.reply_keys), &told)).collect();
    assert!(wrong.is_empty(), "{wrong:#?}");
}

#[test]
fn every_error_code_is_told_and_there() {
    let page = page();
    let rows = part(&page, "## Errors").lines().filter_map(|line| line.strip_prefix("| `")?.split_once('`'));
    let told: Vec<_> = rows.map(|(code, _)| code).collect();
    assert_eq!(told, Code::ALL.iter().map(|code| code.as_str()).collect::<Vec<_>>());
    for section in sections(&page) {
        for span in spans(&section.body) {
            if let Some(code) = span.strip_prefix("ERR ") {
                assert!(told.contains(&code), "{}: {code}", section.form);
            }
        }
    }
}

#[test]
fn what_lookers_are_refused_is_told() {
    let page = std::fs::read_to_string(shell::repository().join("SECURITY.md")).unwrap();
    let (_, from) = page.split_once("\n  private: ").expect("the read-only socket's lines");
    let told = spans(from.split_once(" are refused there").expect("their end").0).into_iter().collect();
    let private = VERBS.iter().filter(|verb| verb.access == Access::Private);
    let there = private.map(|verb| verb.form.name.to_owned()).collect();
    assert_eq!(differ("private verbs", &there, &told), None);
}
