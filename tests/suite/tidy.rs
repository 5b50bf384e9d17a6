//! The rules of the house that no compiler keeps: who may use whom, how long a file may be, that it says what it owns.

use std::fs;
use std::path::{Path, PathBuf};

use super::shell;

/// The layers from the top down: a module uses only what stands behind it. Those of one layer do not use each other.
const LAYERS: &[&[&str]] = &[
    &["daemon", "fuzzing"],
    &["session"],
    &["verbs"],
    &["engine"],
    &["supervisor"],
    &["container"],
    &["undo"],
    &["images", "network", "volumes"],
    &["tools"],
];

/// Used by every layer; they use only each other.
const LEAVES: &[&str] = &[
    "wire",
    "id",
    "refusal",
    "events",
    "fault",
    "journal",
    "link",
    "logging",
    "memory",
    "oom",
    "config",
    "cgroup",
    "changes",
    "du",
    "intake",
    "outbox",
    "overlay",
    "readiness",
    "removal",
    "walk",
    "worker",
];

/// The most lines of a file.
const LINES_MAX: usize = 400;

fn sources() -> Vec<(PathBuf, String)> {
    let root = shell::repository().join("src");
    let mut files = Vec::new();
    collect(&root, &mut files);
    assert!(files.len() > 10, "the sources are there");
    let read = |path: PathBuf| (path.strip_prefix(&root).unwrap().to_owned(), fs::read_to_string(&path).unwrap());
    files.into_iter().map(read).collect()
}

fn collect(dir: &Path, files: &mut Vec<PathBuf>) {
    for entry in fs::read_dir(dir).unwrap().flatten() {
        let path = entry.path();
        if path.is_dir() {
            collect(&path, files);
        } else if path.extension().is_some_and(|e| e == "rs") {
            files.push(path);
        }
    }
}

/// The module of the first level that a file belongs to.
fn module(path: &Path) -> String {
    let first = path.components().next().unwrap().as_os_str().to_string_lossy().into_owned();
    first.trim_end_matches(".rs").to_owned()
}

/// The modules of the first level that a source names by `crate::`, in code, not in comments.
fn used(source: &str) -> Vec<String> {
    let code = source.lines().map(str::trim).filter(|line| !line.starts_with("//")).collect::<Vec<_>>().join(" ");
    let behind = code.match_indices("crate::").map(|(at, found)| &code[at + found.len()..]);
    behind.flat_map(|rest| heads(rest).into_iter().map(ident)).collect()
}

/// The paths of a `{…}` group, or the one path.
fn heads(rest: &str) -> Vec<&str> {
    let Some(group) = rest.strip_prefix('{') else { return vec![rest] };
    let (mut depth, mut start, mut heads) = (1, 0, Vec::new());
    for (at, c) in group.char_indices() {
        match c {
            '{' => depth += 1,
            '}' => depth -= 1,
            _ => {}
        }
        if depth == 0 || (depth == 1 && c == ',') {
            heads.push(&group[start..at]);
            start = at + 1;
        }
        if depth == 0 {
            break;
        }
    }
    heads.retain(|head| !head.trim().is_empty());
    heads
}

fn ident(path: &str) -> String {
    path.trim().chars().take_while(|c| c.is_alphanumeric() || *c == '_').collect()
}

fn layer(module: &str) -> Option<usize> {
    LAYERS.iter().position(|layer| layer.contains(&module))
}

/// Why `user` may not use `used`, where it may not.
fn offence(user: &str, used: &str) -> Option<String> {
    let may = match (layer(user), layer(used)) {
        _ if user == used || LEAVES.contains(&used) => true,
        (Some(upper), Some(lower)) => upper < lower,
        _ => false,
    };
    (!may).then(|| format!("{user} uses {used}"))
}

#[test]
fn every_module_uses_only_what_stands_below_it() {
    let mut offences = Vec::new();
    // The crate's root and the binaries stand above every layer.
    let inner = sources().into_iter().filter(|(path, _)| !matches!(module(path).as_str(), "lib" | "bin"));
    for (path, source) in inner {
        let user = module(&path);
        assert!(layer(&user).is_some() || LEAVES.contains(&&*user), "{}: a room that the map lacks", path.display());
        let found = used(&source).into_iter().filter_map(|used| offence(&user, &used));
        offences.extend(found.map(|what| format!("src/{}: {what}", path.display())));
    }
    assert!(offences.is_empty(), "{offences:#?}");
}

#[test]
fn the_rule_tells_up_from_down() {
    assert_eq!(
        used("use crate::{wire::args::Form, tools};\n// crate::x\nlet a = crate::verbs::VERBS;"),
        ["wire", "tools", "verbs"]
    );
    for (user, used) in
        [("verbs", "engine"), ("session", "wire"), ("wire", "refusal"), ("tools", "tools"), ("undo", "network")]
    {
        assert_eq!(offence(user, used), None);
    }
    for (user, used) in
        [("engine", "verbs"), ("images", "network"), ("wire", "tools"), ("tools", "undo"), ("verbs", "nothing")]
    {
        assert!(offence(user, used).is_some(), "{user} {used}");
    }
}

#[test]
fn every_file_says_what_it_owns_and_is_short() {
    let files = sources();
    let long =
        files.iter().map(|(path, source)| (path, source.lines().count())).filter(|(_, lines)| *lines > LINES_MAX);
    assert_eq!(long.collect::<Vec<_>>(), []);
    let mute = files.iter().filter(|(_, source)| !source.starts_with("//! ")).map(|(path, _)| path);
    assert_eq!(mute.collect::<Vec<_>>(), Vec::<&PathBuf>::new());
}
