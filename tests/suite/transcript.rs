//! The transcripts of protocol.md: fences marked `transcript`, read into steps, and lines matched against patterns.
//!
//! `> ` is what the client sends, `< ` what it gets. In a line that it gets, `…` stands for any text, and `{name}` for a
//! value that is kept: further on, sent or got, `{name}` is that value. A line `< …` stands for any number of lines. A
//! line in parentheses tells what happens beside lines.

use std::collections::BTreeMap;

/// One fence: one connection, from its first line to its last.
#[derive(Debug, PartialEq, Eq)]
pub struct Transcript {
    /// The line of the page on which it starts.
    pub at: usize,
    /// What happens, each with its line of the page.
    pub steps: Vec<(usize, Step)>,
}

impl Transcript {
    /// Whether no daemon is there at its end.
    pub fn ends_the_daemon(&self) -> bool {
        self.steps.iter().any(|(_, step)| matches!(step, Step::Send(line) if line.starts_with("shutdown")))
    }
}

/// One line of a transcript.
#[derive(Debug, PartialEq, Eq)]
pub enum Step {
    /// The client sends it.
    Send(String),
    /// The client gets a line like it.
    Get(String),
    /// The client gets any number of lines.
    GetAny,
    /// The client says that it sends no more.
    HalfClose,
    /// The server closes.
    Closed,
    /// Somebody takes the daemon's rules away.
    Unruled,
}

/// Values kept by name.
pub type Kept = BTreeMap<String, String>;

/// Reads every transcript of a page. A line that is none of a transcript's is an error, told with its number.
pub fn read(page: &str) -> Result<Vec<Transcript>, String> {
    let mut transcripts = Vec::new();
    let mut lines = page.lines().enumerate().map(|(number, line)| (number + 1, line));
    while let Some((at, line)) = lines.next() {
        if line == "```transcript" {
            let within = lines.by_ref().take_while(|(_, line)| *line != "```");
            let steps = within.map(|(number, line)| Ok((number, step(line).ok_or(format!("line {number}: {line}"))?)));
            transcripts.push(Transcript { at, steps: steps.collect::<Result<_, String>>()? });
        }
    }
    Ok(transcripts)
}

fn step(line: &str) -> Option<Step> {
    Some(match line {
        "< …" => Step::GetAny,
        "(the client half-closes)" => Step::HalfClose,
        "(the server closes)" => Step::Closed,
        "(somebody deletes the daemon's nft table)" => Step::Unruled,
        _ => match line.split_at_checked(2)? {
            ("> ", rest) => Step::Send(rest.to_owned()),
            ("< ", rest) => Step::Get(rest.to_owned()),
            _ => return None,
        },
    })
}

/// `text` with every `{name}` that is kept put in.
pub fn fill(text: &str, kept: &Kept) -> String {
    kept.iter().fold(text.to_owned(), |text, (name, value)| text.replace(&format!("{{{name}}}"), value))
}

/// Whether `line` is like `pattern`; what `{name}` stood for is kept then.
pub fn matches(pattern: &str, line: &str, kept: &mut Kept) -> bool {
    let filled = fill(pattern, kept);
    let mut found = Vec::new();
    let like = matches_from(&filled, line, &mut found);
    if like {
        kept.extend(found);
    }
    like
}

fn matches_from(pattern: &str, line: &str, found: &mut Vec<(String, String)>) -> bool {
    if let Some(rest) = pattern.strip_prefix('…') {
        let mut ends = line.char_indices().map(|(at, _)| at).chain([line.len()]);
        return ends.any(|end| matches_from(rest, &line[end..], found));
    }
    if let Some((name, rest)) = placeholder(pattern) {
        // A kept value is one bare word: it ends at a blank, or where the pattern goes on sooner.
        let most = line.find([' ', '"']).unwrap_or(line.len());
        return (1..=most).rev().filter(|end| line.is_char_boundary(*end)).any(|end| {
            found.push((name.to_owned(), line[..end].to_owned()));
            let like = matches_from(rest, &line[end..], found);
            if !like {
                found.pop();
            }
            like
        });
    }
    match (pattern.chars().next(), line.chars().next()) {
        (None, None) => true,
        (Some(a), Some(b)) if a == b => matches_from(&pattern[a.len_utf8()..], &line[b.len_utf8()..], found),
        _ => false,
    }
}

/// The name of the placeholder at the start of `pattern`, and what stands behind it.
fn placeholder(pattern: &str) -> Option<(&str, &str)> {
    let (name, rest) = pattern.strip_prefix('{')?.split_once('}')?;
    let plain = !name.is_empty() && name.bytes().all(|b| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'-');
    plain.then_some((name, rest))
}

#[test]
fn a_page_is_read() {
    let page = "x\n```transcript\n> ping\n< OK pong\n(the client half-closes)\n< …\n(the server closes)\n```\n```sh\n> x\n```\n";
    let steps = [Step::Send("ping".into()), Step::Get("OK pong".into()), Step::HalfClose, Step::GetAny, Step::Closed];
    let steps = (3..).zip(steps).collect();
    assert_eq!(read(page).unwrap(), [Transcript { at: 2, steps }]);
    assert_eq!(read("```transcript\nping\n```").unwrap_err(), "line 2: ping");
}

#[test]
fn lines_are_matched() {
    let like = |pattern, line| matches(pattern, line, &mut Kept::new());
    assert!(like("OK pid=… ip=…", "OK pid=12 ip=10.67.0.2"));
    assert!(like("OK …", "OK pid=12 ip=10.67.0.2"));
    assert!(like("JSON {\"id\":\"…\"}", "JSON {\"id\":\"ab\"}"));
    for (pattern, line) in [("OK", "OK x"), ("OK x", "OK"), ("OK pid=… x", "OK pid=12 y"), ("a{n}b", "ab")] {
        assert!(!like(pattern, line), "{pattern}");
    }
}

#[test]
fn values_are_kept() {
    let mut kept = Kept::new();
    assert!(matches("OK name=web:latest id={id} pid={pid}", "OK name=web:latest id=4f2a pid=7", &mut kept));
    assert_eq!(fill("stop {id} {other}", &kept), "stop 4f2a {other}");
    assert!(matches("OK id={id}", "OK id=4f2a", &mut kept) && !matches("OK id={id}", "OK id=4f2b", &mut kept));
    assert!(matches("ports=0.0.0.0:{port}->80/tcp exit=\"\"", "ports=0.0.0.0:3456->80/tcp exit=\"\"", &mut kept));
    assert_eq!(kept["port"], "3456");
}
