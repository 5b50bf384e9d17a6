//! `gantry compose` against the real daemon: projects come up, are looked at, change, and go.

use std::fs;
use std::io::{BufRead, BufReader, Read};
use std::path::PathBuf;
use std::process::{Child, Stdio};

use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;

use crate::harness::Daemon;
use crate::place::Place;
use crate::registry::Registry;
use crate::shell::{self, Output};

/// A project's directory beside a daemon of its own.
struct Project {
    daemon: Daemon,
    directory: PathBuf,
}

impl Project {
    /// A project of this file, which may use the image `busybox`.
    fn of(file: &str) -> Self {
        let daemon = Daemon::start();
        daemon.import_busybox();
        let directory = daemon.place().dir().join("shop");
        fs::create_dir(&directory).unwrap();
        let project = Self { daemon, directory };
        project.write("compose.yaml", file);
        project
    }

    fn write(&self, name: &str, text: &str) {
        fs::write(self.directory.join(name), text).unwrap();
    }

    /// The client in the project's directory.
    fn compose(&self, words: &[&str]) -> Output {
        let mut command = shell::command(shell::binary("gantry"));
        command.env("GANTRY_SOCKET", self.daemon.place().socket()).current_dir(&self.directory);
        shell::finish(command.arg("compose").args(words))
    }

    /// The same, which must succeed; gives what it printed.
    #[track_caller]
    fn ok(&self, words: &[&str]) -> String {
        let ended = self.compose(words);
        assert!(ended.status.success(), "{words:?}: {} {}\n{}", ended.status, ended.stderr, self.daemon.log());
        ended.stdout
    }

    /// The client in the foreground, with pipes in place of a terminal. Whoever sends it a signal sends it to the one who kills
    /// it at the deadline, and who hands on every signal and its exit status.
    fn foreground(&self, words: &[&str]) -> Child {
        let mut command = std::process::Command::new("timeout");
        let deadline = shell::patience(120).as_secs().to_string();
        command.args(["--foreground", "--signal=KILL", &deadline]).arg(shell::binary("gantry"));
        command.env("GANTRY_SOCKET", self.daemon.place().socket()).current_dir(&self.directory);
        command.arg("compose").args(words).stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
        command.spawn().unwrap()
    }

    /// Names of the containers that are there, in order.
    fn names(&self) -> Vec<String> {
        let mut names = self.daemon.ok("ps").column("name");
        names.sort();
        names
    }

    /// The id of a container.
    fn id(&self, name: &str) -> String {
        self.daemon.ok(&format!("ps name={name}")).column("id").remove(0)
    }

    /// Fails where anything but the image is left of it.
    #[track_caller]
    fn is_gone(&self) {
        assert_eq!(self.names(), Vec::<String>::new());
        assert_eq!(self.daemon.ok("network ls").column("name"), ["bridge"]);
        assert_eq!(self.daemon.ok("volume ls").get("count"), "0");
    }
}

/// A service that serves until it is stopped.
const WEB: &str = "
  web:
    image: busybox
    command: httpd -f -p 80 -h /www
    stop_signal: KILL
";

#[test]
fn services_start_in_order_and_find_each_other() {
    let project = Project::of(&format!(
        "services:{WEB}
    healthcheck: {{test: wget -q -O /dev/null http://127.0.0.1/, interval: 100ms, retries: 1000}}
  asker:
    image: busybox
    depends_on: {{web: {{condition: service_healthy}}}}
    command: [sh, -c, 'wget -q -O - http://web/ && echo found >&2']
  last:
    image: busybox
    depends_on: {{asker: {{condition: service_completed_successfully}}}}
    command: echo done
"
    ));
    project.ok(&["up", "-d"]);
    assert_eq!(project.daemon.ok("wait last:shop").get("exit"), "0");
    assert_eq!(project.names(), ["asker:shop", "last:shop", "web:shop"]);
    let logs = project.compose(&["logs", "asker", "last"]);
    assert!(logs.stdout.contains("asker-1  | ") && logs.stdout.ends_with("last-1   | done\n"), "{}", logs.stdout);
    assert_eq!(logs.stderr, "asker-1  | found\n");
    assert_eq!(project.ok(&["ps", "--services"]), "web\n");
    assert!(project.ok(&["ps", "-a"]).starts_with("NAME "));
    assert!(project.ok(&["ps", "--format", "json"]).starts_with("{\"service\":\"web\",\"name\":\"web:shop\","));
    project.ok(&["down"]);
    project.is_gone();
}

#[test]
fn what_a_service_waits_for_may_fail() {
    let project = Project::of(
        "services:
  job: {image: busybox, command: sh -c 'exit 3'}
  after: {image: busybox, command: 'true', depends_on: {job: {condition: service_completed_successfully}}}
",
    );
    let ended = project.compose(&["up", "-d"]);
    assert_eq!(ended.status.code(), Some(1), "{}", ended.stderr);
    assert!(
        ended.stderr.contains("services.after.depends_on: job:shop has ended with exit status 3"),
        "{}",
        ended.stderr
    );
    assert_eq!(project.daemon.ok("ps name=after:shop").column("state"), ["created"]);
    project.ok(&["down"]);
    project.is_gone();
}

#[test]
fn only_what_changed_is_replaced() {
    let file = |level: &str| {
        format!(
            "services:{WEB}  db:\n    image: busybox\n    command: sleep 1000\n    stop_signal: KILL\n    environment: {{LEVEL: {level}}}\n"
        )
    };
    let project = Project::of(&file("1"));
    project.ok(&["up", "--wait"]);
    let (web, db) = (project.id("web:shop"), project.id("db:shop"));
    project.ok(&["up", "-d"]);
    assert_eq!((project.id("web:shop"), project.id("db:shop")), (web.clone(), db.clone()));
    project.write("compose.yaml", &file("2"));
    project.ok(&["up", "-d"]);
    assert_eq!(project.id("web:shop"), web);
    assert_ne!(project.id("db:shop"), db);
    project.ok(&["up", "-d", "--force-recreate", "--no-deps", "web"]);
    assert_ne!(project.id("web:shop"), web);
    // What was stopped is started again, not made anew.
    let web = project.id("web:shop");
    project.ok(&["stop", "web"]);
    assert_eq!(project.ok(&["ps", "--services"]), "db\n");
    project.ok(&["up", "-d"]);
    assert_eq!(project.ok(&["ps", "-q"]).lines().count(), 2);
    assert_eq!(project.id("web:shop"), web);
    project.ok(&["down"]);
    project.is_gone();
}

#[test]
fn services_are_scaled_and_orphans_told() {
    let project =
        Project::of(&format!("services:{WEB}  old: {{image: busybox, command: sleep 1000, stop_signal: KILL}}\n"));
    project.ok(&["up", "-d", "--scale", "web=3"]);
    assert_eq!(project.names(), ["old:shop", "web:shop", "web:shop-2", "web:shop-3"]);
    // The name of the service is that of all of them.
    let found = project.ok(&["exec", "-T", "old", "nslookup", "web"]);
    assert_eq!(found.matches("Address: 10.").count(), 3, "{found}");
    project.write("compose.yaml", &format!("services:{WEB}"));
    let told = project.compose(&["up", "-d"]);
    assert!(told.stderr.contains("old:shop is of a service that the file no longer has"), "{}", told.stderr);
    assert_eq!(project.names(), ["old:shop", "web:shop"]);
    project.ok(&["up", "-d", "--remove-orphans"]);
    assert_eq!(project.names(), ["web:shop"]);
    project.ok(&["down"]);
    project.is_gone();
}

#[test]
fn the_file_is_filled_from_the_environment() {
    let project = Project::of(
        "name: ${NAME:-shop}
x-common: &common
  image: ${IMAGE:?an image}
  stop_signal: KILL
services:
  web:
    <<: *common
    command: sh -c 'ip address; echo $$WORD $GREETING; cat /data/kept /html/page'
    environment: [GREETING]
    env_file: words.env
    volumes: ['data:/data', './html:/html:ro', {type: tmpfs, target: /fast, tmpfs: {size: 1m}}]
    networks: {back: {ipv4_address: '${PREFIX}.9', aliases: [www]}}
    deploy: {resources: {limits: {memory: 32m, pids: 20}}}
  off: {<<: *common, profiles: [never]}
networks: {back: {internal: true, ipam: {config: [{subnet: '${PREFIX}.0/24'}]}}}
volumes: {data: }
",
    );
    // A subnet that no other test has.
    let elsewhere = Place::claim();
    let prefix = elsewhere.subnet().trim_end_matches(".0/24").to_owned();
    fs::remove_dir(elsewhere.dir()).unwrap();
    project.write(".env", &format!("IMAGE=busybox\nGREETING=hello\nPREFIX={prefix}\n"));
    project.write("words.env", "WORD='a word'\n");
    fs::create_dir(project.directory.join("html")).unwrap();
    project.write("html/page", "a page\n");
    project.ok(&["up", "-d", "--no-start"]);
    project.daemon.ok("cp /etc/hostname web:shop:/data/kept");
    project.ok(&["up", "-d"]);
    let inspected = project.daemon.ok("inspect web:shop").json().to_string();
    assert!(inspected.contains("33554432") && inspected.contains("www"), "{inspected}");
    assert_eq!(project.daemon.ok("wait web:shop").get("exit"), "0");
    let shown = project.ok(&["logs", "--no-log-prefix", "web"]);
    assert!(shown.contains("\na word hello\n") && shown.ends_with("a page\n"), "{shown}");
    assert!(shown.contains(&format!("inet {prefix}.9/24 ")), "{shown}");
    let config = project.ok(&["config"]);
    assert!(
        config.starts_with("name: shop\n") && config.contains("image: busybox\n") && !config.contains("off:"),
        "{config}"
    );
    project.ok(&["down"]);
    // A volume outlives the project, unless it is said otherwise.
    assert_eq!(project.daemon.ok("volume ls").column("name"), ["shop_data"]);
    project.ok(&["down", "-v"]);
    project.is_gone();
}

#[test]
fn what_cannot_be_honoured_is_refused_by_its_path() {
    let project = Project::of("services:\n  web: {image: busybox, build: .}\n");
    for (file, why) in [
        ("services:\n  web: {image: busybox, build: .}\n", "gantry: services.web.build: not supported\n"),
        ("services:\n  web: {image: busybox}\nsecrets: {a: {file: b}}\n", "gantry: secrets: not supported\n"),
        (
            "services:\n  web: {image: '${NO:?name one}'}\n",
            "gantry: services.web.image: the variable NO is needed: name one\n",
        ),
    ] {
        project.write("compose.yaml", file);
        let ended = project.compose(&["up", "-d"]);
        assert_eq!((ended.status.code(), ended.stderr.as_str()), (Some(1), why));
    }
    let ended = project.compose(&["-f", "none.yaml", "config", "-q"]);
    assert_eq!(
        (ended.status.code(), ended.stderr.as_str()),
        (Some(1), "gantry: cannot read none.yaml: No such file or directory\n")
    );
    project.is_gone();
}

#[test]
fn processes_run_in_containers_of_services() {
    let project = Project::of(&format!("services:{WEB}"));
    project.ok(&["up", "-d"]);
    let ended = project.compose(&["exec", "-T", "-e", "A=b c", "web", "sh", "-c", "echo \"$A\"; echo no >&2; exit 3"]);
    assert_eq!((ended.status.code(), ended.stdout.as_str(), ended.stderr.as_str()), (Some(3), "b c\n", "no\n"));
    assert_eq!(project.compose(&["exec", "none", "true"]).status.code(), Some(125));
    let id = project.id("web:shop");
    let started = || project.daemon.ok("ps name=web:shop").column("started");
    let before = started();
    project.ok(&["restart"]);
    assert_eq!(project.id("web:shop"), id);
    assert_ne!(started(), before);
    project.ok(&["down"]);
    project.is_gone();
}

#[test]
fn the_foreground_shows_lines_and_stops_what_it_started() {
    let project = Project::of(
        "services:
  one: {image: busybox, command: sh -c 'trap \"echo bye; exit 0\" TERM; echo ready; while :; do sleep 0.1; done'}
  two: {image: busybox, command: echo short}
",
    );
    let mut client = project.foreground(&["up"]);
    let mut lines = BufReader::new(client.stdout.take().unwrap()).lines();
    let mut seen: Vec<String> = lines.by_ref().take(2).map(Result::unwrap).collect();
    seen.sort();
    assert_eq!(seen, ["one-1  | ready", "two-1  | short"]);
    kill(Pid::from_raw(client.id() as i32), Signal::SIGINT).unwrap();
    let rest: Vec<_> = lines.map(Result::unwrap).collect();
    let mut told = String::new();
    client.stderr.take().unwrap().read_to_string(&mut told).unwrap();
    assert_eq!((client.wait().unwrap().code(), rest), (Some(130), vec!["one-1  | bye".to_owned()]), "{told}");
    assert!(told.contains("two-1 exited with code 0") && told.contains("Stopping; once more kills"), "{told}");
    assert_eq!(project.daemon.ok("ps state=running").get("count"), "0");
    // Where all end by themselves, so does the client.
    let ended = project.compose(&["up", "two"]);
    assert_eq!((ended.status.code(), ended.stdout.as_str()), (Some(0), "two-1  | short\n"), "{}", ended.stderr);
    project.ok(&["down"]);
    project.is_gone();
}

#[test]
fn what_is_started_again_is_shown_again() {
    let project = Project::of(
        "services:
  one: {image: busybox, stop_signal: KILL, command: sh -c 'echo ready; exec sleep 1000'}
  two: {image: busybox, stop_signal: KILL, command: sleep 1000}
",
    );
    let mut client = project.foreground(&["up"]);
    let mut lines = BufReader::new(client.stdout.take().unwrap()).lines();
    let mut next = || lines.next().unwrap().unwrap();
    assert_eq!(next(), "one-1  | ready");
    project.ok(&["restart", "one"]);
    assert_eq!(next(), "one-1  | ready");
    kill(Pid::from_raw(client.id() as i32), Signal::SIGTERM).unwrap();
    let mut told = String::new();
    client.stderr.take().unwrap().read_to_string(&mut told).unwrap();
    assert_eq!(client.wait().unwrap().code(), Some(130), "{told}");
    project.ok(&["down"]);
    project.is_gone();
}

#[test]
fn a_second_interruption_kills() {
    let project = Project::of(
        "services:\n  deaf: {image: busybox, stop_grace_period: 1h, command: sh -c 'trap \"echo no\" TERM; echo ready; while :; do sleep 0.1; done'}\n",
    );
    let mut client = project.foreground(&["up"]);
    let mut lines = BufReader::new(client.stdout.take().unwrap()).lines();
    let mut next = || lines.next().unwrap().unwrap();
    assert_eq!(next(), "deaf-1  | ready");
    kill(Pid::from_raw(client.id() as i32), Signal::SIGINT).unwrap();
    assert_eq!(next(), "deaf-1  | no");
    kill(Pid::from_raw(client.id() as i32), Signal::SIGINT).unwrap();
    let mut told = String::new();
    client.stderr.take().unwrap().read_to_string(&mut told).unwrap();
    assert_eq!(client.wait().unwrap().code(), Some(130), "{told}");
    assert_eq!(project.daemon.ok("ps state=running").get("count"), "0");
    project.ok(&["down"]);
    project.is_gone();
}

#[test]
fn the_end_of_one_is_the_end_of_all() {
    let project = Project::of(&format!(
        "services:{WEB}
  first: {{image: busybox, command: 'true'}}
  job:
    image: busybox
    command: sh -c 'exit 7'
    depends_on: {{web: {{condition: service_started}}, first: {{condition: service_completed_successfully}}}}
"
    ));
    let ended = project.compose(&["up", "--abort-on-container-exit"]);
    assert_eq!(ended.status.code(), Some(7), "{}", ended.stderr);
    assert!(ended.stderr.contains("job-1 exited with code 7"), "{}", ended.stderr);
    assert_eq!(project.daemon.ok("ps state=running").get("count"), "0");
    // Whose exit status it is can be said; that of web is KILL's.
    let ended = project.compose(&["up", "--exit-code-from", "web"]);
    assert_eq!(ended.status.code(), Some(137), "{}", ended.stderr);
    for wrong in [&["up", "-d", "--abort-on-container-exit"][..], &["up", "--exit-code-from", "none"]] {
        let ended = project.compose(wrong);
        assert_eq!((ended.status.code(), ended.stderr.lines().count()), (Some(1), 1), "{}", ended.stderr);
    }
    project.ok(&["down"]);
    project.is_gone();
}

#[test]
fn signals_go_to_what_runs() {
    let project = Project::of(
        "services:
  one: {image: busybox, stop_signal: KILL, command: sh -c 'trap \"echo heard; exit 5\" USR1; echo ready; while :; do sleep 0.1; done'}
  two: {image: busybox, stop_signal: KILL, command: sleep 1000}
",
    );
    let mut client = project.foreground(&["up", "one", "two"]);
    let mut lines = BufReader::new(client.stdout.take().unwrap()).lines();
    let mut next = || lines.next().unwrap().unwrap();
    assert_eq!(next(), "one-1  | ready");
    let told = project.compose(&["kill", "-s", "USR1", "one"]);
    assert!(told.status.success() && told.stderr.contains("one:shop  Killed"), "{}", told.stderr);
    assert_eq!(next(), "one-1  | heard");
    assert_eq!(project.daemon.ok("wait one:shop").get("exit"), "5");
    // What has ended is no reason to fail.
    project.ok(&["kill"]);
    assert_eq!(project.daemon.ok("wait two:shop").get("exit"), "137");
    let mut told = String::new();
    client.stderr.take().unwrap().read_to_string(&mut told).unwrap();
    assert_eq!(client.wait().unwrap().code(), Some(0), "{told}");
    project.ok(&["down"]);
    project.is_gone();
}

#[test]
fn images_are_pulled_before_they_are_wanted() {
    let registry = Registry::start();
    let image = registry.push_busybox("httpd:1");
    let project = Project::of(&format!(
        "services:
  web: {{image: {image}}}
  again: {{image: {image}}}
  own: {{image: busybox, pull_policy: never}}
  none: {{image: {}/none:1}}
",
        registry.address()
    ));
    let pulled = project.compose(&["pull", "--tls-verify=false", "web", "again", "own"]);
    assert_eq!((pulled.status.code(), pulled.stderr), (Some(0), format!("Image {image}  Pulled\n")));
    assert!(project.daemon.ok("image ls").column("name").contains(&image));
    assert_eq!(project.names(), Vec::<String>::new());
    let refused = project.compose(&["pull", "--tls-verify=false"]);
    assert!(refused.status.code() == Some(1) && refused.stderr.contains("/none:1: "), "{}", refused.stderr);
    let quiet = project.compose(&["pull", "-q", "--tls-verify=false", "--ignore-pull-failures"]);
    assert_eq!((quiet.status.code(), quiet.stderr.lines().count()), (Some(0), 1), "{}", quiet.stderr);
    assert!(quiet.stderr.starts_with("not pulled: ") && quiet.stderr.contains("/none:1"), "{}", quiet.stderr);
}
