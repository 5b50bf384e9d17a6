//! How many instructions each case takes, counted by callgrind, and held against what is kept in the repository.

use std::fmt::Write;
use std::hint::black_box;
use std::path::PathBuf;
use std::process::Command;

use super::cases;

/// The first argument of this program where it is to do nothing but repeat a case.
pub const MARK: &str = "--repeat";
/// By how many percent a case may take more than is kept before that is called worse.
const TOLERANCE: f64 = 5.0;
/// How often a case is repeated: the count is that of the second less that of the first, so that what is not the case's
/// own falls away.
const REPEATS: (u64, u64) = (200, 1200);

/// Does a case so often, and nothing else.
pub fn repeat(name: &str, times: u64) {
    let (_, case) = cases::ALL.into_iter().find(|(known, _)| *known == name).expect("a case");
    let mut case = case();
    for _ in 0..times {
        black_box(case());
    }
}

/// Counts every case, prints it beside what is kept, and ends the program with 1 where one is worse.
pub fn check() {
    if Command::new("valgrind").arg("--version").output().is_err() {
        return println!("no valgrind here: instructions are not counted");
    }
    let kept = std::fs::read_to_string(file()).unwrap_or_default();
    let (mut worse, mut text) = (false, String::new());
    println!("{:<34}{:>14}{:>14}", "instructions", "now", "kept");
    for (name, _) in cases::ALL {
        let now = (count(name, REPEATS.1) - count(name, REPEATS.0)) / (REPEATS.1 - REPEATS.0);
        let known = kept.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix('\t')?.parse::<u64>().ok());
        let more = known.map_or(0.0, |known| (now as f64 / known as f64 - 1.0) * 100.0);
        let told = known.map_or("–".to_owned(), |known| known.to_string());
        println!("{name:<34}{now:>14}{told:>14}{}", if more > TOLERANCE { "  MORE" } else { "" });
        worse |= more > TOLERANCE;
        let _ = writeln!(text, "{name}\t{now}");
    }
    if std::env::var("BLESS").is_ok_and(|bless| bless == "yes") {
        std::fs::write(file(), text).unwrap();
    } else if worse {
        std::process::exit(1);
    }
}

fn file() -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("benches/pure/instructions.txt")
}

/// The instructions of this program when it repeats a case so often.
fn count(name: &str, times: u64) -> u64 {
    let mut command = Command::new("valgrind");
    command.args(["--tool=callgrind", "--callgrind-out-file=/dev/null"]).arg(std::env::current_exe().unwrap());
    let output = command.args([MARK, name, &times.to_string()]).output().unwrap();
    let said = String::from_utf8_lossy(&output.stderr).into_owned();
    let counted = said.lines().find_map(|line| line.split_once("Collected :")).map(|(_, count)| count.trim().parse());
    counted.unwrap_or_else(|| panic!("callgrind: {said}")).unwrap()
}
