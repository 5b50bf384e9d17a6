//! The load files are played, each briefly: every reply is what it must be, and nothing is left. How fast is not asked.

use std::fs;
use std::path::PathBuf;

use super::harness::Daemon;
use super::player::{Part, Script, play};
use super::shell;

/// How many rounds, times and clients there are at most.
const ROUNDS: usize = 4;

fn files() -> Vec<PathBuf> {
    let entries = fs::read_dir(shell::repository().join("tests/load")).unwrap().flatten().map(|entry| entry.path());
    let mut files: Vec<_> = entries.filter(|path| path.extension().is_some_and(|e| e == "load")).collect();
    files.sort();
    files
}

fn script(file: &PathBuf) -> Script {
    Script::parse(&fs::read_to_string(file).unwrap()).unwrap_or_else(|e| panic!("{}: {e}", file.display()))
}

#[test]
fn every_file_plays() {
    let daemon = Daemon::start();
    daemon.import_busybox();
    assert!(files().len() >= 7, "{:?}", files());
    for file in files() {
        let script = script(&file).briefly(ROUNDS);
        let outcome = play(&script, &daemon.place().socket(), daemon.pid());
        let outcome = outcome.unwrap_or_else(|e| panic!("{}: {e}\n{}", file.display(), daemon.log()));
        println!("{}\n{outcome}", file.display());
        let replies: usize = outcome.replies.iter().map(|(_, times)| times.len()).sum();
        assert!(replies > 0, "{}: nobody was answered", file.display());
        let listens = script.sections.iter().any(|section| matches!(section.part, Part::Listeners(..)));
        assert!(outcome.heard > 0 || !listens, "{}: the listeners heard nothing", file.display());
        assert_eq!(daemon.ok("ps").get("count"), "0", "{} cleans up", file.display());
    }
}

#[test]
fn a_file_is_played_by_hand() {
    let daemon = Daemon::start();
    daemon.import_busybox();
    for file in files() {
        // What listens would go on for ever.
        let typed = format!("{{ cat {}; echo quit; }} | socat -t 60 - UNIX-CONNECT:$GANTRY_SOCKET", file.display());
        let said = daemon.sh(&typed).succeeds();
        assert!(!said.contains("ERR "), "{}: {said}", file.display());
    }
}

#[test]
fn a_refusal_ends_the_play() {
    let daemon = Daemon::start();
    let script = Script::parse("# no image\n#: clients 2 repeat 3\nping\nrm nobody").unwrap();
    let refused = play(&script, &daemon.place().socket(), daemon.pid()).err().expect("nobody is not there");
    assert!(refused.starts_with("rm nobody: not-found"), "{refused}");
}

#[test]
fn what_a_file_may_not_say() {
    for (text, why) in [
        ("ping", "before the first"),
        ("#: client 1\nping", "no such directive"),
        ("#: clients one\nping", "not a number"),
        ("#: clients 1 repeat\nping", "repeat what"),
        ("#: clients 1", "no lines"),
        ("#: budget speed=1\n", "no such budget"),
    ] {
        let refused = Script::parse(text).expect_err(text);
        assert!(refused.contains(why), "{text}: {refused}");
    }
    let script = Script::parse("# t\n#: number job0\n#: clients 2 repeat 3 think 5ms window 4\nrm job0").unwrap();
    assert_eq!((script.title.as_str(), script.line("rm job0", 17)), ("t", "rm job17".to_owned()));
}
