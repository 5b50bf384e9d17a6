//! `compose config`: the file as it is understood, files put together and variables in their places.

use super::model::Project;
use super::node::Node;
use super::{session, yaml};
use crate::command::{Call, Outcome};
use crate::failure::Failure;

/// Prints it, or what of it was asked for; a file that is refused is a failure here too.
pub fn config(call: &mut Call<'_>) -> Outcome {
    let (loaded, project) = session::open(call)?;
    let on = || project.services.iter().filter(|service| project.is_on(&service.name));
    let lists: [(&str, Vec<&str>); 4] = [
        ("services", on().map(|service| service.name.as_str()).collect()),
        ("images", on().map(|service| service.image.as_str()).collect()),
        ("volumes", project.volumes.iter().map(|volume| volume.key.as_str()).collect()),
        ("networks", project.networks.iter().map(|network| network.key.as_str()).collect()),
    ];
    for (flag, list) in lists {
        if call.has(flag)? {
            list.iter().try_for_each(|line| call.console.say(line))?;
            return Ok(0);
        }
    }
    if call.has("quiet")? {
        return Ok(0);
    }
    let resolved = resolved(&loaded.tree, &project);
    match call.value("format").map(|typed| typed.as_encoded_bytes()) {
        None | Some(b"yaml") => call.console.say(yaml::write(&resolved).trim_end())?,
        Some(b"json") => call.console.say(&format!("{:#}", json(&resolved)))?,
        Some(_) => return Err(Failure::Usage("--format: the formats are yaml and json".to_owned())),
    }
    Ok(0)
}

/// The tree with the project's name, without services that are off, and with the environment that each service gets.
fn resolved(tree: &Node, project: &Project) -> Node {
    let mut whole = Node::Map(vec![("name".to_owned(), Node::text(project.name.as_str()))]);
    let Node::Map(entries) = tree else { return whole };
    for (key, node) in entries.iter().filter(|(key, _)| key != "name" && key != "version") {
        let node = if key == "services" { services(node, project) } else { node.clone() };
        whole.set(key, node);
    }
    whole
}

fn services(node: &Node, project: &Project) -> Node {
    let Node::Map(entries) = node else { return Node::Null };
    let on = entries.iter().filter(|(name, _)| project.is_on(name));
    Node::Map(on.map(|(name, service)| (name.clone(), with_environment(service, name, project))).collect())
}

fn with_environment(service: &Node, name: &str, project: &Project) -> Node {
    let options = project.service(name).map(|service| service.options.as_slice()).unwrap_or_default();
    let variables = options.iter().filter(|(key, _)| *key == "env").filter_map(|(_, pair)| {
        let (name, value) = std::str::from_utf8(pair).ok()?.split_once('=')?;
        Some((name.to_owned(), Node::Text(value.to_owned(), true)))
    });
    let variables: Vec<_> = variables.collect();
    let mut service = service.clone();
    if let Node::Map(entries) = &mut service {
        entries.retain(|(key, _)| key != "env_file" && key != "environment");
    }
    if !variables.is_empty() {
        service.set("environment", Node::Map(variables));
    }
    service
}

fn json(node: &Node) -> serde_json::Value {
    match node {
        Node::Null => serde_json::Value::Null,
        // What was written without quotes may be a number or a boolean.
        Node::Text(text, false) => match serde_json::from_str(text) {
            Ok(value @ (serde_json::Value::Number(_) | serde_json::Value::Bool(_))) => value,
            _ => text.as_str().into(),
        },
        Node::Text(text, true) => text.as_str().into(),
        Node::List(items) => items.iter().map(json).collect(),
        Node::Map(entries) => {
            serde_json::Value::Object(entries.iter().map(|(key, node)| (key.clone(), json(node))).collect())
        }
    }
}

#[cfg(test)]
mod tests {
    use super::super::model::tests::project;
    use super::*;

    #[test]
    fn the_file_is_shown_as_it_is_understood() {
        let text = "version: '3'\nservices: {a: {image: i, environment: [HOST, B=1]}, b: {image: i, profiles: [off]}}\nx-y: {n: 1}\n";
        let shown = resolved(&yaml::read(text).unwrap(), &project(text).unwrap());
        let text = "name: app\nservices:\n  a:\n    image: i\n    environment:\n      HOST: box\n      B: \"1\"\nx-y:\n  n: 1\n";
        assert_eq!(yaml::write(&shown), text);
        assert_eq!(
            json(&shown).to_string(),
            "{\"name\":\"app\",\"services\":{\"a\":{\"environment\":{\"B\":\"1\",\"HOST\":\"box\"},\"image\":\"i\"}},\"x-y\":{\"n\":1}}"
        );
    }
}
