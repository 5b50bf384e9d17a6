//! README.md tells the truth: its commands are run, its configuration is read, its targets are the Makefile's.

use std::fs;

use super::harness::{Daemon, Setup};
use super::shell;

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
    let marks: Vec<_> =
        fences().into_iter().map(|(mark, _)| mark).filter(|mark| mark != "sh" && mark != "toml").collect();
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

/// One reader who types everything from top to bottom, beside a daemon that is where the page has it.
#[test]
fn every_command_works_as_shown() {
    let daemon = Setup { apart: true, ..Setup::default() }.start();
    let typed: Vec<_> =
        lines_of("sh").into_iter().filter(|line| !BUILDERS.iter().any(|builder| line.starts_with(builder))).collect();
    assert!(typed.len() > 15, "the page shows how it is used");
    as_reader(&daemon, &typed.join("\n"));
    for name in daemon.ok("ps").column("name") {
        daemon.ok(&format!("rm {name} force=yes"));
    }
}

/// A shell in which the default socket is the daemon's, and what is written to /srv is thrown away.
fn as_reader(daemon: &Daemon, script: &str) {
    let enter = format!(
        "export SCRIPT={}; unshare --mount bash -euc 'mount -t tmpfs none /mnt; mount --bind {} /mnt
        mount -t tmpfs none /run; mount -t tmpfs none /srv; mkdir /run/gantry; mount --bind /mnt /run/gantry
        unset GANTRY_SOCKET; exec bash -euxo pipefail -c \"$SCRIPT\"'",
        quoted(script),
        daemon.place().run().display()
    );
    let output = daemon.sh(&enter);
    assert!(output.status.success(), "{}{}\n{}", output.stdout, output.stderr, daemon.log());
}

/// `text` as one word of the shell.
fn quoted(text: &str) -> String {
    format!("'{}'", text.replace('\'', "'\\''"))
}
