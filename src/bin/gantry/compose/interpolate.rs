//! `${…}`: variables in values, in every form that the compose specification has.

use std::collections::BTreeSet;

use super::node::{At, Node};
use crate::failure::Failure;

/// How deep defaults may stand within defaults.
const DEPTH_MAX: usize = 32;

/// Where variables come from.
pub type Lookup<'a> = &'a dyn Fn(&str) -> Option<String>;

/// Puts variables into every value of a tree, not into its keys. `unset` gathers those that are not there and have no
/// default.
pub fn tree(at: &At<'_>, lookup: Lookup<'_>, unset: &mut BTreeSet<String>) -> Result<Node, Failure> {
    Ok(match at.node {
        Node::Null => Node::Null,
        Node::Text(text, quoted) => Node::Text(expand(text, lookup, unset).map_err(|why| at.refuse(why))?, *quoted),
        Node::List(_) => {
            let items = at.items(false)?;
            Node::List(items.iter().map(|item| tree(item, lookup, unset)).collect::<Result<_, _>>()?)
        }
        Node::Map(_) => {
            // Extensions too: what is anchored there is used elsewhere.
            let entries = at.children().map(|(key, inner)| Ok((key.to_owned(), tree(&inner, lookup, unset)?)));
            Node::Map(entries.collect::<Result<_, Failure>>()?)
        }
    })
}

/// Puts variables into a text.
pub fn expand(text: &str, lookup: Lookup<'_>, unset: &mut BTreeSet<String>) -> Result<String, String> {
    Expansion { lookup, unset, depth: 0 }.text(text)
}

struct Expansion<'a, 'b> {
    lookup: Lookup<'a>,
    unset: &'b mut BTreeSet<String>,
    depth: usize,
}

impl Expansion<'_, '_> {
    fn text(&mut self, text: &str) -> Result<String, String> {
        let (mut rest, mut out) = (text, String::with_capacity(text.len()));
        while let Some((before, behind)) = rest.split_once('$') {
            out.push_str(before);
            rest = if let Some(behind) = behind.strip_prefix('$') {
                out.push('$');
                behind
            } else if let Some(behind) = behind.strip_prefix('{') {
                let (inner, behind) = braced(behind).ok_or_else(|| format!("{text:?}: a ${{ is not closed"))?;
                out.push_str(&self.form(inner)?);
                behind
            } else {
                let (name, behind) = behind.split_at(name_length(behind));
                if name.is_empty() {
                    return Err(format!("{text:?}: a $ that stands for itself is written $$"));
                }
                out.push_str(&self.value(name));
                behind
            };
        }
        out.push_str(rest);
        Ok(out)
    }

    /// What stands between braces: a name, and perhaps what else to do.
    fn form(&mut self, inner: &str) -> Result<String, String> {
        let (name, behind) = inner.split_at(name_length(inner));
        let (empty_is_unset, operator) = behind.strip_prefix(':').map_or((false, behind), |behind| (true, behind));
        let found = (self.lookup)(name).filter(|value| !(empty_is_unset && value.is_empty()));
        let mut characters = operator.chars();
        match (name, characters.next(), found) {
            ("", ..) => Err(format!("${{{inner}}} has no name")),
            (_, None, _) if !empty_is_unset => Ok(self.value(name)),
            (_, Some('-' | '?'), Some(value)) => Ok(value),
            (_, Some('-'), None) | (_, Some('+'), Some(_)) => self.inner(characters.as_str()),
            (_, Some('+'), None) => Ok(String::new()),
            (_, Some('?'), None) => {
                let why = self.inner(characters.as_str())?;
                let why = if why.is_empty() { "it is not set".to_owned() } else { why };
                Err(format!("the variable {name} is needed: {why}"))
            }
            _ => Err(format!("${{{inner}}} is none of the forms ${{A}}, :- - :? ? :+ +")),
        }
    }

    /// What stands behind an operator may have variables itself.
    fn inner(&mut self, text: &str) -> Result<String, String> {
        if self.depth >= DEPTH_MAX {
            return Err(format!("more than {DEPTH_MAX} defaults within each other"));
        }
        self.depth += 1;
        let expanded = self.text(text);
        self.depth -= 1;
        expanded
    }

    fn value(&mut self, name: &str) -> String {
        (self.lookup)(name).unwrap_or_else(|| {
            self.unset.insert(name.to_owned());
            String::new()
        })
    }
}

/// How long the name at the start of `text` is.
fn name_length(text: &str) -> usize {
    let is_of_name = |(at, c): &(usize, char)| c.is_ascii_alphabetic() || *c == '_' || (*at > 0 && c.is_ascii_digit());
    text.char_indices().take_while(is_of_name).map(|(at, c)| at + c.len_utf8()).last().unwrap_or(0)
}

/// Splits behind the brace that closes the one already open.
fn braced(text: &str) -> Option<(&str, &str)> {
    let (mut depth, mut before) = (1, '\0');
    for (at, c) in text.char_indices() {
        match (before, c) {
            ('$', '{') => depth += 1,
            (_, '}') => depth -= 1,
            _ => {}
        }
        if depth == 0 {
            return Some((&text[..at], &text[at + 1..]));
        }
        // An escaped dollar opens nothing.
        before = if (before, c) == ('$', '$') { '\0' } else { c };
    }
    None
}

#[cfg(test)]
mod tests {
    use super::*;

    fn lookup(name: &str) -> Option<String> {
        match name {
            "A" => Some("a".to_owned()),
            "EMPTY" => Some(String::new()),
            _ => None,
        }
    }

    fn expanded(text: &str) -> Result<String, String> {
        expand(text, &lookup, &mut BTreeSet::new())
    }

    #[test]
    fn every_form_of_the_specification() {
        for (from, to) in [
            ("$A-${A}.$A_", "a-a."),
            ("${NO:-x}${EMPTY:-y}${A:-z}", "xya"),
            ("${NO-x}${EMPTY-y}${A-z}", "xa"),
            ("${A:?no}${A?no}${EMPTY?no}", "aa"),
            ("${A:+x}${EMPTY:+y}${NO:+z}", "x"),
            ("${A+x}${EMPTY+y}${NO+z}", "xy"),
            ("$$A $${A} 100$$", "$A ${A} 100$"),
            ("${NO:-${ALSO_NO:-${A}}}", "a"),
            ("${NO:-a$$}b", "a$b"),
            ("${NO:-{x}}", "{x}"),
            ("${NO:-}", ""),
            ("no variable", "no variable"),
        ] {
            assert_eq!(expanded(from).as_deref(), Ok(to), "{from}");
        }
    }

    #[test]
    fn what_is_missing_is_told() {
        assert_eq!(expanded("${NO:?give one}"), Err("the variable NO is needed: give one".to_owned()));
        assert_eq!(expanded("${EMPTY:?}"), Err("the variable EMPTY is needed: it is not set".to_owned()));
        assert_eq!(expanded("${NO?${A}}"), Err("the variable NO is needed: a".to_owned()));
        for bad in ["$", "a $ b", "${", "${A", "${}", "${1}", "${A!x}", "${A:}", "$1"] {
            assert!(expanded(bad).is_err(), "{bad}");
        }
        assert!(expanded(&("${NO:-".repeat(100) + &"}".repeat(100))).is_err());
    }

    #[test]
    fn what_is_not_set_is_gathered() {
        let mut unset = BTreeSet::new();
        assert_eq!(expand("$NO ${ALSO} ${NO:-x}", &lookup, &mut unset).as_deref(), Ok("  x"));
        assert_eq!(unset.into_iter().collect::<Vec<_>>(), ["ALSO", "NO"]);
    }

    #[test]
    fn a_bad_value_is_told_by_its_path() {
        let document = super::super::yaml::read("services: {web: {ports: ['80', '${P:?a port}']}}").unwrap();
        let refused = tree(&At::top(&document), &lookup, &mut BTreeSet::new()).unwrap_err();
        assert_eq!(refused.to_string(), "services.web.ports[1]: the variable P is needed: a port");
    }
}
