//! README.md tells the truth: its commands are run, its configuration is read, its targets are the Makefile's.

use std::fs;

use super::harness::{Daemon, Setup};
use super::{shell, transcript};

/// What a reader runs in the repository to build and start; run by the Makefile and by continuous integration, not here.
const BUILDERS: &[&str] = &["make ", "cargo run"];

/// The fences of the page: what they are marked with, and their lines.
fn fences() -> Vec<(String, Vec<String>)> {
    let page = fs::read_to_string(shell::repository().join("README.md")).unwrap();
    let (mut fences, mut open) = (Vec::new(), None::<(String, Vec<String>)>);
    for line in page.lines() {
        match (line.strip_prefix("```"), &mut open) {
            (Some(mark), None) => open = Some((mark.to_owned(), Vec::new())),
            (Some(_), Some(_)) => fences.extend(open.take()),
            (None, Some((_, lines))) => lines.push(line.to_owned()),
            (None, None) => {}
        }
    }
    fences
}

fn lines_of(mark: &str) -> Vec<String> {
    fences().into_iter().filter(|(found, _)| found == mark).flat_map(|(_, lines)| lines).collect()
}

#[test]
fn every_fence_is_one_that_is_tried() {
    let marks: Vec<_> = fences()
        .into_iter()
        .map(|(mark, _)| mark)
        .filter(|mark| !["sh", "console", "toml"].contains(&&**mark))
        .collect();
    assert_eq!(marks, Vec::<String>::new());
}

#[test]
fn every_target_named_is_the_makefiles() {
    let makefile = fs::read_to_string(shell::repository().join("Makefile")).unwrap();
    let lines = lines_of("sh");
    let targets: Vec<_> = lines.iter().filter_map(|line| line.strip_prefix("make ")).collect();
    assert!(targets.contains(&"demo") && targets.contains(&"test"), "the two commands that matter: {targets:?}");
    for target in targets {
        assert!(makefile.lines().any(|line| line.starts_with(&format!("{target}:"))), "make {target}");
    }
}

#[test]
fn the_configuration_is_read() {
    let file = std::env::temp_dir().join(format!("gantry-readme-{}.toml", std::process::id()));
    fs::write(&file, lines_of("toml").join("\n")).unwrap();
    let matches = gantry::config::command().get_matches_from(["gantryd", "--config", file.to_str().unwrap()]);
    let config = gantry::config::Config::from_matches(&matches).unwrap();
    assert_eq!(config.root.to_str(), Some("/data/gantry"));
    fs::remove_file(file).unwrap();
}

/// What a reader types, in order; where the page tells what comes of it, that too, with its command.
fn typed() -> (String, Vec<(String, Vec<String>)>) {
    let (mut script, mut told): (String, Vec<(String, Vec<String>)>) = (String::new(), Vec::new());
    for (mark, lines) in fences() {
        for line in lines {
            match (mark.as_str(), line.strip_prefix("$ ")) {
                ("sh", _) if !BUILDERS.iter().any(|builder| line.starts_with(builder)) => {
                    script += &format!("{line}\n");
                }
                ("console", Some(command)) => {
                    // What comes stands between two lines that nothing else writes.
                    script += &format!("printf '\\n\\1begin\\n'\n{command}\nprintf '\\n\\1end\\n'\n");
                    told.push((command.to_owned(), Vec::new()));
                }
                ("console", None) => told.last_mut().expect("a command first").1.push(line),
                _ => {}
            }
        }
    }
    (script, told)
}

/// One reader who types everything from top to bottom, beside a daemon that is where the page has it, and compares.
#[test]
fn every_command_works_as_shown() {
    let daemon = Setup { apart: true, ..Setup::default() }.start();
    let (script, told) = typed();
    assert!(told.len() > 15, "the page shows how it is used");
    let printed = as_reader(&daemon, &script);
    let shown: Vec<Vec<&str>> = printed.split("\n\x01begin\n").skip(1).map(between).collect();
    assert_eq!(shown.len(), told.len(), "{printed}");
    let mut wrong = Vec::new();
    for ((command, expected), lines) in told.iter().zip(shown) {
        if !is_like(expected, &lines) {
            wrong.push(format!("$ {command}\n{}", lines.join("\n")));
        }
    }
    assert!(wrong.is_empty(), "other than the page has it:\n{}", wrong.join("\n"));
    for name in daemon.ok("ps").column("name") {
        daemon.ok(&format!("rm {name} force=yes"));
    }
}

/// The lines before the mark of the end, but for those that say only that something takes its time.
fn between(shown: &str) -> Vec<&str> {
    let lines = shown.split("\n\x01end\n").next().unwrap_or_default().lines();
    lines.filter(|line| !line.starts_with("PROGRESS")).collect()
}

/// Whether lines are as the page has them: a line `…` stands for any number of them. How wide a column is, is nobody's business.
fn is_like(expected: &[String], lines: &[&str]) -> bool {
    match expected.split_first() {
        None => lines.is_empty(),
        Some((first, rest)) if first == "…" => (0..=lines.len()).any(|at| is_like(rest, &lines[at..])),
        Some((first, rest)) => lines.split_first().is_some_and(|(line, others)| {
            let bare = line.split_whitespace().collect::<Vec<_>>().join(" ");
            transcript::matches(&pattern(first), &bare, &mut transcript::Kept::new()) && is_like(rest, others)
        }),
    }
}

/// What a line of the page stands for: a column, a word or a value that ends in `…` is an example of what may stand there.
fn pattern(line: &str) -> String {
    let columns: Vec<_> = line.split("  ").map(str::trim).filter(|column| !column.is_empty()).collect();
    let word = |word: &str| match word.strip_suffix('…') {
        Some(example) => example.split_once('=').map_or("…".to_owned(), |(key, _)| format!("{key}=…")),
        None => word.to_owned(),
    };
    let words = |column: &str| column.split_whitespace().map(word).collect::<Vec<_>>().join(" ");
    let is_example = |column: &str| columns.len() > 1 && column.ends_with('…') && !column.contains('=');
    let column = |column: &&str| if is_example(column) { "…".to_owned() } else { words(column) };
    columns.iter().map(column).collect::<Vec<_>>().join(" ")
}

#[test]
fn what_is_shown_is_compared() {
    let like = |expected: &[&str], lines: &[&str]| {
        is_like(&expected.iter().map(|line| (*line).to_owned()).collect::<Vec<_>>(), lines)
    };
    assert!(like(&["ID   NAME", "5 days ago…   web"], &["ID NAME", "now   web"]));
    assert!(like(&["hello from b92b…"], &["hello from 0a12"]) && !like(&["hello from b92b…"], &["hello to 0a12"]));
    assert!(like(&["OK id=b92b… pid=1… x"], &["OK id=77 pid=22 x"]));
    assert!(like(&["a", "…", "z"], &["a", "b", "c", "z"]) && like(&[], &[]));
    assert!(!like(&["OK id=b92b… x"], &["OK ip=77 x"]));
    assert!(!like(&["a"], &["a", "b"]) && !like(&["a", "b"], &["a"]) && !like(&["web 1"], &["web 2"]));
}

/// A shell in which the default socket is the daemon's, and what is written to /srv is thrown away.
/// Gives what was written to the output.
fn as_reader(daemon: &Daemon, script: &str) -> String {
    // A socat that bears more silence than by itself.
    let enter = format!(
        "socat() {{ command socat -t {} \"$@\"; }}; export -f socat
        export SCRIPT={}; unshare --mount bash -euc 'mount -t tmpfs none /mnt; mount --bind {} /mnt
        mount -t tmpfs none /run; mount -t tmpfs none /srv; mkdir /run/gantry; mount --bind /mnt /run/gantry
        unset GANTRY_SOCKET; exec bash -euxo pipefail -c \"$SCRIPT\"'",
        shell::socat_bears(),
        quoted(script),
        daemon.place().run().display()
    );
    let output = daemon.sh(&enter);
    assert!(output.status.success(), "{}{}\n{}", output.stdout, output.stderr, daemon.log());
    output.stdout
}

/// `text` as one word of the shell.
fn quoted(text: &str) -> String {
    format!("'{}'", text.replace('\'', "'\\''"))
}
