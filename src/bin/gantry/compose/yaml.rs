//! YAML: text to a tree and back. Anchors, aliases and merges (`<<`) are followed here, within bounds.

use std::collections::HashMap;
use std::fmt::Write as _;

use saphyr_parser::{Event, Parser, ScalarStyle, Tag};

use super::node::Node;

/// The most values of a document with its aliases written out: a few lines can mean billions.
const NODES_MAX: usize = 100_000;

/// How deep they may stand within each other.
const DEPTH_MAX: usize = 64;

/// Reads one document; one of nothing but comments is null.
pub fn read(text: &str) -> Result<Node, String> {
    let mut builder = Builder::default();
    for event in Parser::new_from_str(text) {
        let (event, span) = event.map_err(|error| format!("line {}: {}", error.marker().line(), error.info()))?;
        builder.take(event).map_err(|why| format!("line {}: {why}", span.start.line()))?;
    }
    Ok(builder.document.unwrap_or(Node::Null))
}

#[derive(Default)]
struct Builder {
    document: Option<Node>,
    open: Vec<Open>,
    anchors: HashMap<usize, Node>,
    nodes: usize,
}

/// A collection whose end is yet to come.
struct Open {
    anchor: usize,
    inner: Inner,
}

enum Inner {
    List(Vec<Node>),
    Map { entries: Vec<(String, Node)>, merged: Vec<Node>, key: Option<String> },
}

impl Builder {
    fn take(&mut self, event: Event<'_>) -> Result<(), String> {
        match event {
            Event::DocumentStart(_) if self.document.is_some() => Err("one document is expected".to_owned()),
            Event::Scalar(text, style, anchor, tag) => {
                let is_plain = matches!(style, ScalarStyle::Plain) && !is_string(tag.as_deref())?;
                self.add(scalar(&text, is_plain), anchor)
            }
            Event::SequenceStart(anchor, tag) => {
                is_string(tag.as_deref())?;
                self.begin(anchor, Inner::List(Vec::new()))
            }
            Event::MappingStart(anchor, tag) => {
                is_string(tag.as_deref())?;
                self.begin(anchor, Inner::Map { entries: Vec::new(), merged: Vec::new(), key: None })
            }
            Event::SequenceEnd | Event::MappingEnd => self.end(),
            Event::Alias(anchor) => {
                // An anchor is known from its end on: nothing can hold itself.
                let node = self.anchors.get(&anchor).cloned().ok_or("an alias of what it stands in")?;
                self.add(node, 0)
            }
            Event::Nothing | Event::StreamStart | Event::StreamEnd | Event::DocumentStart(_) | Event::DocumentEnd => {
                Ok(())
            }
        }
    }

    fn begin(&mut self, anchor: usize, inner: Inner) -> Result<(), String> {
        self.open.push(Open { anchor, inner });
        if self.open.len() > DEPTH_MAX { Err(format!("more than {DEPTH_MAX} levels")) } else { Ok(()) }
    }

    fn end(&mut self) -> Result<(), String> {
        let Some(Open { anchor, inner }) = self.open.pop() else { return Ok(()) };
        let node = match inner {
            Inner::List(items) => Node::List(items),
            Inner::Map { entries, merged, .. } => Node::Map(with_merged(entries, merged)?),
        };
        self.add(node, anchor)
    }

    /// Puts a finished value where it belongs.
    fn add(&mut self, node: Node, anchor: usize) -> Result<(), String> {
        let (count, depth) = extent(&node);
        self.nodes += count;
        if self.nodes > NODES_MAX || self.open.len() + depth > DEPTH_MAX {
            return Err(format!("more than {NODES_MAX} values or {DEPTH_MAX} levels, with aliases written out"));
        }
        if anchor > 0 {
            self.anchors.insert(anchor, node.clone());
        }
        match self.open.last_mut().map(|open| &mut open.inner) {
            None => self.document = Some(node),
            Some(Inner::List(items)) => items.push(node),
            Some(Inner::Map { entries, merged, key }) => match key.take() {
                None => *key = Some(as_key(node)?),
                Some(key) if key == "<<" => merged.push(node),
                Some(key) if entries.iter().any(|(known, _)| *known == key) => {
                    return Err(format!("{key:?} is there twice"));
                }
                Some(key) => entries.push((key, node)),
            },
        }
        Ok(())
    }
}

/// Whether a tag says that a value is a string; tags that say more than the value does are none of ours.
fn is_string(tag: Option<&Tag>) -> Result<bool, String> {
    match tag {
        None => Ok(false),
        Some(tag) if tag.is_yaml_core_schema() => Ok(tag.suffix == "str"),
        Some(tag) => Err(format!("the tag {tag} is not supported")),
    }
}

fn scalar(text: &str, is_plain: bool) -> Node {
    match text {
        "" | "~" | "null" | "Null" | "NULL" if is_plain => Node::Null,
        text => Node::Text(text.to_owned(), !is_plain),
    }
}

fn as_key(node: Node) -> Result<String, String> {
    match node {
        Node::Text(text, _) => Ok(text),
        _ => Err("a key is one word".to_owned()),
    }
}

/// The entries of a map, and those of the maps behind its `<<` that it does not have itself; the first of them wins.
fn with_merged(mut entries: Vec<(String, Node)>, merged: Vec<Node>) -> Result<Vec<(String, Node)>, String> {
    for source in merged.into_iter().flat_map(Node::into_items) {
        let Node::Map(source) = source else { return Err("<< takes maps".to_owned()) };
        for (key, node) in source {
            if !entries.iter().any(|(known, _)| *known == key) {
                entries.push((key, node));
            }
        }
    }
    Ok(entries)
}

/// How many values a tree has, and how deep it is. Its depth is bounded.
fn extent(node: &Node) -> (usize, usize) {
    let join = |inner: &mut dyn Iterator<Item = &Node>| {
        let (count, depth) = inner.map(extent).fold((0, 0), |(c, d), (count, depth)| (c + count, d.max(depth)));
        (count + 1, depth + 1)
    };
    match node {
        Node::Null | Node::Text(..) => (1, 0),
        Node::List(items) => join(&mut items.iter()),
        Node::Map(entries) => join(&mut entries.iter().map(|(_, node)| node)),
    }
}

/// Writes a document.
pub fn write(node: &Node) -> String {
    let mut text = String::new();
    block(&mut text, node, 0);
    text
}

/// Writes the lines of a collection, or one line.
fn block(text: &mut String, node: &Node, indent: usize) {
    match node {
        Node::Map(entries) if !entries.is_empty() => {
            for (key, value) in entries {
                let _ = write!(text, "{:indent$}{}:", "", word(key, false));
                value_behind(text, value, indent + 2);
            }
        }
        Node::List(items) if !items.is_empty() => {
            for item in items {
                let _ = write!(text, "{:indent$}-", "");
                item_behind(text, item, indent + 2);
            }
        }
        one => {
            let _ = writeln!(text, "{:indent$}{}", "", inline(one));
        }
    }
}

fn value_behind(text: &mut String, node: &Node, indent: usize) {
    if is_inline(node) {
        let _ = writeln!(text, " {}", inline(node));
    } else {
        text.push('\n');
        block(text, node, indent);
    }
}

/// A collection in a list begins on the line of its dash.
fn item_behind(text: &mut String, node: &Node, indent: usize) {
    if is_inline(node) {
        return value_behind(text, node, indent);
    }
    let mut inner = String::new();
    block(&mut inner, node, indent);
    text.push(' ');
    text.push_str(inner.trim_start_matches(' '));
}

fn is_inline(node: &Node) -> bool {
    match node {
        Node::Null | Node::Text(..) => true,
        Node::List(items) => items.is_empty(),
        Node::Map(entries) => entries.is_empty(),
    }
}

fn inline(node: &Node) -> String {
    match node {
        Node::Text(text, quoted) => word(text, *quoted),
        Node::List(_) => "[]".to_owned(),
        Node::Map(_) => "{}".to_owned(),
        Node::Null => "null".to_owned(),
    }
}

/// A value bare where that reads back as the same, else in quotes, whose escapes are those of JSON.
fn word(text: &str, quoted: bool) -> String {
    let first_is_plain = text.starts_with(|c: char| c.is_ascii_alphanumeric() || matches!(c, '/' | '_' | '.'));
    let is_plain = |c: char| c.is_ascii_alphanumeric() || matches!(c, '_' | '.' | '/' | '-' | '+' | '@');
    let says_more = matches!(
        text.to_ascii_lowercase().as_str(),
        "null" | "true" | "false" | "yes" | "no" | "on" | "off" | "y" | "n"
    ) || text.starts_with(|c: char| c.is_ascii_digit() || c == '.');
    if first_is_plain && text.chars().all(is_plain) && !(quoted && says_more) && !text.eq_ignore_ascii_case("null") {
        return text.to_owned();
    }
    serde_json::Value::from(text).to_string()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn round(text: &str) -> String {
        write(&read(text).unwrap())
    }

    #[test]
    fn anchors_and_merges_are_written_out() {
        let text = "x: &a\n  k: 1\n  l: [1, \"2\"]\ny:\n  <<: *a\n  k: 2\nz:\n  <<: [{m: 3}, *a]\n";
        assert_eq!(
            round(text),
            "x:\n  k: 1\n  l:\n    - 1\n    - \"2\"\ny:\n  k: 2\n  l:\n    - 1\n    - \"2\"\nz:\n  m: 3\n  k: 1\n  l:\n    - 1\n    - \"2\"\n"
        );
    }

    /// A tree in which it does not count how values are written.
    fn bare(node: &Node) -> Node {
        match node {
            Node::Null => Node::Null,
            Node::Text(text, _) => Node::text(text.as_str()),
            Node::List(items) => Node::List(items.iter().map(bare).collect()),
            Node::Map(entries) => Node::Map(entries.iter().map(|(key, node)| (key.clone(), bare(node))).collect()),
        }
    }

    #[test]
    fn what_is_written_reads_back_the_same() {
        for text in [
            "a: \"true\"\nb: true\nc: null\nd: \"\"\ne: []\nf: {}\n",
            "a:\n  - b: 1\n    c: x y\n  - - d\n    - e\n",
            "k: |\n  two\n  lines: here\n",
            "a: 'it''s # no comment'\nb: \"\\u00e9\\t\"\n\"c: d\": ~\n",
            "- \"0644\"\n- 0644\n- \"null\"\n- .5\n",
        ] {
            let tree = read(text).unwrap();
            let again = read(&write(&tree)).unwrap();
            assert_eq!(bare(&again), bare(&tree), "{text}\n{}", write(&tree));
            assert_eq!(write(&again), write(&tree));
        }
    }

    #[test]
    fn what_makes_no_sense_is_told_with_its_line() {
        for (text, why) in [
            ("a: 1\na: 2\n", "line 2: \"a\" is there twice"),
            ("a: [1\nb: 2", "line 2: "),
            ("a: *none\n", "line 1: "),
            ("a: &a [*a]\n", "line 1: an alias of what it stands in"),
            ("a: !reset null\n", "line 1: the tag !reset is not supported"),
            ("a: 1\n---\nb: 2\n", "line 2: one document is expected"),
            ("<<: 1\n", "line 2: << takes maps"),
        ] {
            let told = read(text).unwrap_err();
            assert!(told.starts_with(why), "{text}: {told}");
        }
        assert_eq!(read("# nothing\n").unwrap(), Node::Null);
    }

    #[test]
    fn aliases_of_aliases_have_a_bound() {
        let mut text = "a0: &a0 [x, x, x, x, x, x, x, x, x, x]\n".to_owned();
        for level in 1..9 {
            let of = vec![format!("*a{}", level - 1); 10].join(", ");
            let _ = writeln!(text, "a{level}: &a{level} [{of}]");
        }
        assert!(read(&text).unwrap_err().contains("100000 values"));
        assert!(read(&"[".repeat(100)).is_err());
    }
}
