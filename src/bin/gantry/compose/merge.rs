//! Several files as one: what a later file says stands over what an earlier one says, by the specification's rules.

use super::node::Node;

/// Sequences that a later file replaces as a whole.
const REPLACED: &[&str] = &["command", "entrypoint", "test"];

/// Maps that may be written as lists of `NAME=VALUE`.
const PAIRS: &[&str] = &["environment", "labels", "sysctls", "annotations"];

/// `base` with `over` put over it; `key` is the one they stand behind.
pub fn merge(key: &str, base: Node, over: Node) -> Node {
    let (base, over) = (alike(key, base), alike(key, over));
    match (base, over) {
        (base, Node::Null) => base,
        (Node::Map(entries), Node::Map(others)) => {
            let mut map = Node::Map(entries);
            for (key, other) in others {
                let merged = match map.get(&key) {
                    Some(one) => merge(&key, one.clone(), other),
                    None => other,
                };
                map.set(&key, merged);
            }
            map
        }
        (_, over) if REPLACED.contains(&key) => over,
        (base @ Node::List(_), over) | (base, over @ Node::List(_)) => joined(key, base, over),
        (_, over) => over,
    }
}

/// One form of what can be written in several.
fn alike(key: &str, node: Node) -> Node {
    let Node::List(items) = &node else { return node };
    let named = |value: fn(Option<&str>) -> Node| {
        let entries = items.iter().filter_map(|item| match item {
            Node::Text(text, _) => {
                let (name, behind) = text.split_once('=').map_or((text.as_str(), None), |(n, v)| (n, Some(v)));
                Some((name.to_owned(), value(behind)))
            }
            _ => None,
        });
        let mut map = Node::Map(Vec::new());
        entries.for_each(|(name, value)| map.set(&name, value));
        map
    };
    match key {
        key if PAIRS.contains(&key) => {
            named(|value| value.map_or(Node::Null, |value| Node::Text(value.to_owned(), true)))
        }
        "depends_on" => named(|_| Node::Map(vec![("condition".to_owned(), Node::text("service_started"))])),
        "networks" => named(|_| Node::Null),
        _ => node,
    }
}

/// The items of both; of mounts, one for each target, the later.
fn joined(key: &str, base: Node, over: Node) -> Node {
    let mut items = base.into_items();
    for item in over.into_items() {
        let target = (key == "volumes").then(|| target(&item)).flatten();
        match items.iter_mut().find(|known| **known == item || (target.is_some() && self::target(known) == target)) {
            Some(known) => *known = item,
            None => items.push(item),
        }
    }
    Node::List(items)
}

/// Where in the container a mount is.
fn target(mount: &Node) -> Option<&str> {
    match mount {
        Node::Text(text, _) => text.split(':').nth(1).or(Some(text)),
        mount => match mount.get("target") {
            Some(Node::Text(text, _)) => Some(text),
            _ => None,
        },
    }
}

#[cfg(test)]
mod tests {
    use super::super::yaml;
    use super::*;

    fn merged(base: &str, over: &str) -> String {
        yaml::write(&merge("", yaml::read(base).unwrap(), yaml::read(over).unwrap()))
    }

    #[test]
    fn later_files_stand_over_earlier_ones() {
        for (base, over, both) in [
            ("a: {b: 1, c: 2}", "a: {b: 3, d: 4}", "a:\n  b: 3\n  c: 2\n  d: 4\n"),
            ("command: [a, b]", "command: [c]", "command:\n  - c\n"),
            ("command: a", "command:", "command: a\n"),
            ("environment: [A=1, B=2]", "environment: {B: 3}", "environment:\n  A: \"1\"\n  B: 3\n"),
            ("ports: ['80', '81']", "ports: ['82', '80']", "ports:\n  - \"80\"\n  - \"81\"\n  - \"82\"\n"),
            (
                "volumes: ['./a:/x', 'b:/y']",
                "volumes: [{type: bind, source: /c, target: /x}]",
                "volumes:\n  - type: bind\n    source: /c\n    target: /x\n  - \"b:/y\"\n",
            ),
            (
                "depends_on: [db]",
                "depends_on: {db: {condition: service_healthy}}",
                "depends_on:\n  db:\n    condition: service_healthy\n",
            ),
            ("dns: 1.1.1.1", "dns: [8.8.8.8]", "dns:\n  - 1.1.1.1\n  - 8.8.8.8\n"),
        ] {
            assert_eq!(merged(base, over), both, "{base} | {over}");
        }
    }
}
