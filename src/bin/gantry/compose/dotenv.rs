//! Files of variables as compose has them: `.env`, and `env_file` of a service.

use std::collections::BTreeSet;

use super::interpolate::{Lookup, expand};

/// A name and its value.
type Pair = (String, String);

/// Reads `NAME=VALUE` lines. `'…'` is taken literally; in `"…"` and in bare values variables are put in, those of the lines
/// before too; quoted values may go over several lines. A name alone has the value that `lookup` knows, if any.
pub fn read(text: &str, lookup: Lookup<'_>) -> Result<Vec<Pair>, String> {
    let mut pairs: Vec<Pair> = Vec::new();
    let mut rest = text.strip_prefix('\u{feff}').unwrap_or(text);
    let mut line = 1;
    while !rest.is_empty() {
        let known = |name: &str| {
            let before = pairs.iter().rev().find(|(known, _)| known == name).map(|(_, value)| value.clone());
            lookup(name).or(before)
        };
        let (pair, behind) = entry(rest, &known).map_err(|why| format!("line {line}: {why}"))?;
        line += rest.get(..rest.len() - behind.len()).unwrap_or_default().matches('\n').count();
        rest = behind;
        pairs.extend(pair);
    }
    Ok(pairs)
}

/// What stands at the start of `text`, and what is behind its last line.
fn entry<'a>(text: &'a str, known: Lookup<'_>) -> Result<(Option<Pair>, &'a str), String> {
    let (line, behind) = text.split_once('\n').unwrap_or((text, ""));
    let line = line.trim();
    if line.is_empty() || line.starts_with('#') {
        return Ok((None, behind));
    }
    let declared = line.strip_prefix("export ").unwrap_or(line);
    let (name, _) = declared.split_once('=').unwrap_or((declared, ""));
    let name = name.trim();
    if name.is_empty() || name.contains(|c: char| c.is_whitespace() || c == '"' || c == '\'') {
        return Err(format!("{line:?} is not NAME=VALUE"));
    }
    if !declared.contains('=') {
        return Ok((known(name).map(|value| (name.to_owned(), value)), behind));
    }
    let value = text.split_once('=').map_or("", |(_, value)| value).trim_start_matches([' ', '\t']);
    let (value, behind) = match value.chars().next() {
        Some(quote @ ('"' | '\'')) => quoted(value, quote)?,
        _ => (bare(value), behind),
    };
    let value =
        if let Value::Literal(text) = value { text } else { expand(value.text(), known, &mut BTreeSet::new())? };
    Ok((Some((name.to_owned(), value)), behind))
}

/// A value, before variables are put in.
enum Value {
    Literal(String),
    Template(String),
}

impl Value {
    fn text(&self) -> &str {
        match self {
            Self::Literal(text) | Self::Template(text) => text,
        }
    }
}

/// Up to the end of the line, or to a comment, which a blank stands before.
fn bare(text: &str) -> Value {
    let line = text.split('\n').next().unwrap_or_default();
    let end = line.match_indices('#').map(|(at, _)| at).find(|at| *at == 0 || line[..*at].ends_with([' ', '\t']));
    Value::Template(line[..end.unwrap_or(line.len())].trim_end().to_owned())
}

/// Up to the quote that closes, and what is behind the rest of its line, which may be a comment.
fn quoted(text: &str, quote: char) -> Result<(Value, &str), String> {
    let (mut value, mut characters) = (String::new(), text.char_indices().skip(1));
    while let Some((at, c)) = characters.next() {
        match c {
            c if c == quote => {
                let (rest, behind) = text[at + 1..].split_once('\n').unwrap_or((&text[at + 1..], ""));
                if !matches!(rest.trim_start().chars().next(), None | Some('#')) {
                    return Err(format!("{:?} stands behind a closing quote", rest.trim()));
                }
                return Ok((if quote == '"' { Value::Template(value) } else { Value::Literal(value) }, behind));
            }
            '\\' if quote == '"' => match characters.next().map(|(_, c)| c) {
                Some('n') => value.push('\n'),
                Some('r') => value.push('\r'),
                Some('t') => value.push('\t'),
                Some('$') => value.push_str("$$"),
                Some(c @ ('"' | '\\')) => value.push(c),
                Some(c) => value.extend(['\\', c]),
                None => break,
            },
            c => value.push(c),
        }
    }
    Err(format!("a {quote} is not closed"))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn pairs(text: &str) -> Result<Vec<(String, String)>, String> {
        read(text, &|name| (name == "HOME").then(|| "/root".to_owned()))
    }

    #[test]
    fn lines_are_read_as_compose_does() {
        let text = "# c\n\nA=1\nexport B = two words # comment\nC='$A # \\n'\nD=\"$A\\t\\\"x\\\" \\$A\" # c\nE=\nF=a#b\nHOME\nNONE\n\
            G=${NO:-d}$B\nH=\"two\nlines\"\nI=last";
        let read = pairs(text).unwrap();
        let read: Vec<_> = read.iter().map(|(name, value)| (name.as_str(), value.as_str())).collect();
        assert_eq!(
            read,
            [
                ("A", "1"),
                ("B", "two words"),
                ("C", "$A # \\n"),
                ("D", "1\t\"x\" $A"),
                ("E", ""),
                ("F", "a#b"),
                ("HOME", "/root"),
                ("G", "dtwo words"),
                ("H", "two\nlines"),
                ("I", "last"),
            ]
        );
    }

    #[test]
    fn what_makes_no_sense_is_told_with_its_line() {
        assert_eq!(pairs("A=1\nnot a pair\n").unwrap_err(), "line 2: \"not a pair\" is not NAME=VALUE");
        assert_eq!(pairs("A='1\n2'\nB=\"x").unwrap_err(), "line 3: a \" is not closed");
        assert!(pairs("A='x'y").is_err());
        assert!(pairs("A=${B:?no}").is_err());
        assert!(pairs("=x").is_err());
    }
}
