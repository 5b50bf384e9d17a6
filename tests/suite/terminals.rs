//! What a person has a terminal for: `gantry shell` and `gantry top`, typed into and looked at.

use std::os::unix::fs::PermissionsExt;

use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;

use crate::harness::Daemon;
use crate::screen::Screen;
use crate::shell;

/// What a line that is empty looks like.
const PROMPT: &str = "gantry>";

/// Runs a command between two lines, the second of which tells its exit status and whether the terminal echoes again. (tmux
/// knows the status of what it runs itself, and now and then does not.) Ctrl-C is for the command alone.
fn between(command: &str) -> String {
    format!(
        "trap : INT; echo before; {command}; echo \"ended $? $(stty -a | tr ' ' '\\n' | grep -x -e echo -e -echo)\"; read -r wait"
    )
}

/// Ends what runs in the terminal by a signal.
#[track_caller]
fn signal_client(screen: &Screen, signal: Signal) {
    let shell = screen.knows("#{pane_pid}");
    let children = format!("/proc/{shell}/task/{shell}/children");
    let client = std::fs::read_to_string(children).unwrap();
    let client = client.split_whitespace().next().expect("the shell has a child");
    kill(Pid::from_raw(client.parse().unwrap()), signal).unwrap();
}

#[test]
fn lines_are_typed_and_answered() {
    let daemon = Daemon::start();
    daemon.import_busybox();
    let screen = Screen::open(&daemon, 100, 30, &between("gantry shell"));
    screen.shows(PROMPT);
    screen.say("ping");
    screen.shows("OK pong");
    screen.say("stpo web");
    screen.shows("ERR unknown-verb ");
    // What has a tag is told above the line that is being typed.
    screen.say("@e events type=container");
    screen.shows("@e EVENT type=subscribed");
    screen.type_in("vers");
    screen.shows("gantry> vers");
    daemon.ok("create busybox name=web -- true");
    screen.until("an event above the line", |text| {
        let event = text.find("name=web:latest action=create");
        event.zip(text.rfind("gantry> vers")).is_some_and(|(event, line)| event < line)
    });
    screen.say("ion");
    screen.shows("OK version=");
    screen.say("cancel e");
    screen.shows("@e ERR cancelled ");
    // A raw connection is none of lines, so it is left.
    screen.say("run busybox name=job attach=yes raw=yes rm=yes -- true");
    screen.shows("# a shell has lines");
    daemon.ok("rm web");
    screen.say("quit");
    screen.shows("ended 0 echo");
    shell::until(shell::patience(60), "the job is gone", || daemon.ok("ps").get("count") == "0");
}

#[test]
fn what_is_endless_is_given_up() {
    let daemon = Daemon::start();
    let screen = Screen::open(&daemon, 100, 30, &between("gantry shell"));
    screen.shows(PROMPT);
    screen.say("events type=image");
    screen.shows("EVENT type=subscribed");
    screen.press("C-c");
    screen.shows("# given up");
    screen.say("ping");
    screen.shows("OK pong");
    // At the prompt it throws the line away.
    screen.type_in("nonsense");
    screen.press("C-c");
    screen.say("version");
    screen.shows("OK version=");
    assert!(!screen.text().contains("ERR"), "{}", screen.text());
    // Before the prompt stands it would be the terminal's own end of input.
    screen.until("the prompt", |text| text.trim_end().ends_with(PROMPT));
    screen.press("C-d");
    screen.shows("ended 0 echo");
}

#[test]
fn verbs_options_and_names_are_completed() {
    let daemon = Daemon::start();
    daemon.import_busybox();
    daemon.ok("create busybox name=web:1 -- true");
    let screen = Screen::open(&daemon, 100, 30, "exec gantry shell");
    screen.shows(PROMPT);
    for (typed, completed) in [
        ("vers", "gantry> version"),
        ("image insp", "gantry> image inspect"),
        ("rm we", "gantry> rm web:1"),
        ("rm web:1 fo", "gantry> rm web:1 force="),
        ("rm web:1 force=y", "gantry> rm web:1 force=yes"),
        ("image inspect loc", "gantry> image inspect localhost/busybox:latest"),
        ("network inspect br", "gantry> network inspect bridge"),
        ("run busybox network=br", "gantry> run busybox network=bridge"),
    ] {
        screen.type_in(typed);
        screen.press("Tab");
        screen.until(completed, |text| text.lines().any(|line| line.trim_end() == completed));
        screen.press("C-u");
        screen.until("an empty line", |text| text.lines().any(|line| line.trim_end() == "gantry>"));
        screen.press("C-l");
    }
    drop(screen);
    daemon.ok("rm web:1");
}

#[test]
fn lines_are_kept_for_the_next_session() {
    let daemon = Daemon::start();
    let first = Screen::open(&daemon, 100, 30, &between("umask 022; gantry shell"));
    first.shows(PROMPT);
    first.say("ping");
    first.shows("OK pong");
    // Behind a blank it is a secret.
    first.say(" check");
    first.shows("OK failed=");
    first.say("quit");
    first.shows("ended 0 echo");
    let file = daemon.place().dir().join(".local/state/gantry/history");
    assert_eq!(std::fs::metadata(&file).unwrap().permissions().mode() & 0o777, 0o600);
    assert_eq!(std::fs::metadata(file.parent().unwrap()).unwrap().permissions().mode() & 0o777, 0o700);
    let kept = std::fs::read_to_string(&file).unwrap();
    assert!(kept.ends_with("\nping\nquit\n") && !kept.contains("check"), "{kept}");
    // The file is bounded, whoever made it long.
    std::fs::write(&file, format!("#V2\n{}ping\n", "version\nhelp\n".repeat(2000))).unwrap();
    let second = Screen::open(&daemon, 100, 30, &between("gantry shell"));
    second.shows(PROMPT);
    second.press("Up");
    second.shows("gantry> ping");
    second.press("Enter");
    second.shows("OK pong");
    second.say("quit");
    second.shows("ended 0 echo");
    let kept = std::fs::read_to_string(&file).unwrap();
    assert!(kept.lines().count() <= 1001 && kept.ends_with("\nquit\n"), "{}", kept.lines().count());
}

#[test]
fn a_session_ends_with_the_daemon_or_a_signal_and_leaves_the_terminal_whole() {
    let mut daemon = Daemon::start();
    let [signalled, left] = [0, 1].map(|_| Screen::open(&daemon, 100, 30, &between("gantry shell")));
    for screen in [&signalled, &left] {
        screen.shows(PROMPT);
        screen.type_in("half a li");
        screen.shows("gantry> half a li");
    }
    signal_client(&signalled, Signal::SIGTERM);
    signalled.shows("ended 143 echo");
    assert!(daemon.term().success());
    left.shows("# the daemon has closed the connection");
    left.shows("ended 0 echo");
    drop((signalled, left));
}

#[test]
fn where_nobody_types_lines_go_out_and_come_back() {
    let daemon = Daemon::start();
    let asked = |script: &str| daemon.sh(&format!("PATH={}:$PATH; {script}", gantry_directory()));
    let well = asked("printf '# nobody\\nping\\n@v version\\n' | gantry shell");
    assert!(well.status.success() && well.stdout.starts_with("OK pong\n@v OK version="), "{well:?}");
    let ill = asked("printf 'ping\\nstpo\\nping\\n' | gantry shell");
    assert_eq!(ill.status.code(), Some(1));
    assert!(ill.stdout.starts_with("OK pong\nERR unknown-verb ") && ill.stdout.ends_with("\nOK pong\n"), "{ill:?}");
}

fn gantry_directory() -> String {
    shell::binary("gantry").parent().unwrap().display().to_string()
}

/// A container that serves, is looked after, and says something.
const WEB: &str = "run busybox name=web memory=64m stop-signal=KILL health-cmd=true health-interval=100ms -- \
    sh -c 'echo hello from web; exec httpd -f -p 80 -h /www'";

#[test]
fn containers_are_seen_and_steered() {
    let daemon = Daemon::start();
    daemon.import_busybox();
    daemon.ok(WEB);
    let screen = Screen::open(&daemon, 150, 20, &between("gantry top"));
    screen.until("web with all it uses", |text| {
        let row = text.lines().find(|line| line.contains("web:latest")).unwrap_or_default();
        row.contains("Up ") && row.contains("(healthy)") && row.contains(" / 64MiB") && row.contains("% ")
    });
    assert_eq!(screen.knows("#{alternate_on}"), "1");
    assert!(screen.colours().contains("\x1b[38;5;2mUp "), "{}", screen.colours());
    // What happens is seen.
    daemon.ok("create busybox name=job -- true");
    screen.until("a container more", |text| text.contains("job:latest") && text.contains("Created"));
    screen.press("G");
    screen.type_in("s");
    screen.shows("stop web:latest?");
    screen.type_in("n");
    screen.until("no question", |text| !text.contains("stop web:latest?"));
    screen.type_in("sy");
    screen.until("it has been stopped", |text| text.contains("Exited (137)") && text.contains("stop web:latest: done"));
    screen.type_in("ry");
    screen.until("it runs again", |text| text.contains("restart web:latest: done") && !text.contains("Exited"));
    screen.type_in("l");
    screen.until("its log, of both runs", |text| text.matches("hello from web").count() == 2);
    screen.type_in("q");
    screen.shows("PIDS");
    // Another size, another picture.
    screen.resize(60, 8);
    screen.until("fewer columns", |text| text.contains("CPU %") && !text.contains("PIDS"));
    screen.resize(150, 20);
    screen.shows("PIDS");
    daemon.ok("rm job");
    screen.until("it has gone", |text| !text.contains("job:latest"));
    screen.type_in("q");
    screen.shows("ended 0 echo");
    screen.shows("before");
    assert!(!screen.text().contains("PIDS"), "{}", screen.text());
    assert_eq!(screen.knows("#{alternate_on}"), "0");
    drop(screen);
    daemon.ok("rm web force=yes");
}

#[test]
fn nothing_is_coloured_where_that_is_not_wanted() {
    let daemon = Daemon::start();
    daemon.import_busybox();
    daemon.ok(WEB);
    let screen = Screen::open(&daemon, 150, 20, "NO_COLOR=1 exec gantry top");
    screen.until("web is well", |text| text.contains("Up ") && text.contains("(healthy)"));
    // Bold, faint and reverse are no colours.
    assert!(!screen.colours().contains("\x1b[38;"), "{}", screen.colours());
    drop(screen);
    daemon.ok("rm web force=yes");
}

#[test]
fn the_view_ends_with_the_daemon_or_a_signal_and_leaves_the_terminal_whole() {
    let mut daemon = Daemon::start();
    let [signalled, interrupted, left] = [0, 1, 2].map(|_| Screen::open(&daemon, 100, 10, &between("gantry top")));
    for screen in [&signalled, &interrupted, &left] {
        screen.shows("0 of 0 running");
    }
    // One after the other: whoever is slow to see its own end would see the daemon's.
    signal_client(&signalled, Signal::SIGTERM);
    signalled.shows("ended 143 echo");
    interrupted.press("C-c");
    interrupted.shows("ended 0 echo");
    assert!(daemon.term().success());
    left.shows("ended 1 echo");
    for screen in [&signalled, &interrupted, &left] {
        screen.shows("before");
        assert_eq!(screen.knows("#{alternate_on}"), "0");
    }
    left.shows("gantry: ");
    drop((signalled, interrupted, left));
}
