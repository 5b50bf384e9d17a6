//! A document as a tree with the order of its keys, and a place in it, which tells of itself by its path.

use crate::failure::Failure;

/// What a compose file may be made of. Numbers and booleans stay the text that they were written as.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Node {
    /// Nothing behind the key.
    Null,
    /// One value, and whether it was written in quotes.
    Text(String, bool),
    /// Values in their order.
    List(Vec<Node>),
    /// Keys in their order, none twice.
    Map(Vec<(String, Node)>),
}

impl Node {
    /// A value that needs no quotes.
    pub fn text(text: impl Into<String>) -> Self {
        Self::Text(text.into(), false)
    }

    /// What stands behind `key` in a map.
    pub fn get(&self, key: &str) -> Option<&Node> {
        match self {
            Self::Map(entries) => entries.iter().find(|(known, _)| known == key).map(|(_, node)| node),
            _ => None,
        }
    }

    /// Puts `node` behind `key`, in its place where that is there. No effect on what is no map.
    pub fn set(&mut self, key: &str, node: Node) {
        let Self::Map(entries) = self else { return };
        match entries.iter_mut().find(|(known, _)| known == key) {
            Some((_, old)) => *old = node,
            None => entries.push((key.to_owned(), node)),
        }
    }

    /// Its values: those of a list, itself where it is one alone, none where there is nothing.
    pub fn into_items(self) -> Vec<Node> {
        match self {
            Self::Null => Vec::new(),
            Self::List(items) => items,
            one => vec![one],
        }
    }
}

/// A place in a tree. What cannot be honoured there is refused by its path.
#[derive(Clone, Debug)]
pub struct At<'a> {
    /// As `services.web.ports[0]`.
    pub path: String,
    /// What is there.
    pub node: &'a Node,
}

impl<'a> At<'a> {
    /// The place of a whole document.
    pub fn top(node: &'a Node) -> Self {
        Self { path: String::new(), node }
    }

    /// The refusal of what is here.
    pub fn refuse(&self, why: impl std::fmt::Display) -> Failure {
        match self.path.as_str() {
            "" => Failure::Usage(format!("the compose file: {why}")),
            path => Failure::Usage(format!("{path}: {why}")),
        }
    }

    fn below(&self, key: &str) -> String {
        if self.path.is_empty() { key.to_owned() } else { format!("{}.{key}", self.path) }
    }

    /// One value.
    pub fn text(&self) -> Result<&'a str, Failure> {
        match self.node {
            Node::Text(text, _) => Ok(text),
            Node::Null => Err(self.refuse("a value is missing")),
            _ => Err(self.refuse("one value is expected, not several")),
        }
    }

    /// A number without sign.
    pub fn number<N: std::str::FromStr>(&self) -> Result<N, Failure> {
        let text = self.text()?;
        gantry::wire::units::number(text).ok_or_else(|| self.refuse(format_args!("{text:?} is no number")))
    }

    /// A boolean.
    pub fn yes(&self) -> Result<bool, Failure> {
        match self.text()? {
            "true" | "True" | "TRUE" | "yes" | "on" => Ok(true),
            "false" | "False" | "FALSE" | "no" | "off" => Ok(false),
            other => Err(self.refuse(format_args!("{other:?} is neither true nor false"))),
        }
    }

    /// The entries of a map whose keys are names, none where there is nothing.
    pub fn entries(&self) -> Result<Vec<(&'a str, At<'a>)>, Failure> {
        match self.node {
            Node::Null => Ok(Vec::new()),
            Node::Map(_) => Ok(self.children().collect()),
            _ => Err(self.refuse("a map is expected")),
        }
    }

    /// The entries of a map, none of what is no map.
    pub fn children(&self) -> impl Iterator<Item = (&'a str, At<'a>)> {
        let entries = if let Node::Map(entries) = self.node { entries.as_slice() } else { &[] };
        entries.iter().map(|(key, node)| (key.as_str(), At { path: self.below(key), node }))
    }

    /// The entries of a map that may hold these keys and no others, but for those that begin with `x-`, which are nobody's.
    pub fn entries_of(&self, known: &[&str]) -> Result<Vec<(&'a str, At<'a>)>, Failure> {
        let mut entries = self.entries()?;
        entries.retain(|(key, _)| !key.starts_with("x-"));
        match entries.iter().find(|(key, _)| !known.contains(key)) {
            Some((_, at)) => Err(at.refuse("not supported")),
            None => Ok(entries),
        }
    }

    /// What stands behind `key` in a map.
    pub fn get(&self, key: &str) -> Option<At<'a>> {
        self.node.get(key).map(|node| At { path: self.below(key), node })
    }

    /// The values of a list; one alone counts as a list of it where `or_one`.
    pub fn items(&self, or_one: bool) -> Result<Vec<At<'a>>, Failure> {
        match self.node {
            Node::Null => Ok(Vec::new()),
            Node::List(items) => Ok(items
                .iter()
                .enumerate()
                .map(|(index, node)| At { path: format!("{}[{index}]", self.path), node })
                .collect()),
            Node::Text(..) if or_one => Ok(vec![self.clone()]),
            _ => Err(self.refuse("a list is expected")),
        }
    }

    /// Names with values, written as a map or as a list of `NAME=VALUE`. A name alone has no value.
    pub fn pairs(&self) -> Result<Vec<(String, Option<String>)>, Failure> {
        if matches!(self.node, Node::List(_)) {
            return self.items(false)?.iter().map(At::pair).collect();
        }
        let one = |(key, at): (&str, At<'_>)| match at.node {
            Node::Null => Ok((key.to_owned(), None)),
            _ => Ok((key.to_owned(), Some(at.text()?.to_owned()))),
        };
        self.entries()?.into_iter().map(one).collect()
    }

    fn pair(&self) -> Result<(String, Option<String>), Failure> {
        let text = self.text()?;
        match text.split_once('=') {
            Some(("", _)) => Err(self.refuse(format_args!("{text:?} has no name"))),
            Some((name, value)) => Ok((name.to_owned(), Some(value.to_owned()))),
            None => Ok((text.to_owned(), None)),
        }
    }
}
