//! What watches the daemon from outside: Prometheus by HTTP, and whoever reads its log.

use std::io::{Read, Write};
use std::net::TcpStream;

use super::harness::{Daemon, Setup};
use super::shell::{command, patience};

/// A daemon of this configuration, beside flags and environment.
fn configured(name: &str, toml: &str, env: &[(&str, &str)]) -> Daemon {
    let file = super::shell::scratch().join(format!("{name}-{}.toml", std::process::id()));
    std::fs::write(&file, toml).unwrap();
    let env = env.iter().map(|(key, value)| ((*key).to_owned(), (*value).to_owned())).collect();
    let flags = vec!["--config".to_owned(), file.display().to_string()];
    let daemon = Setup { flags, env, ..Setup::default() }.start();
    std::fs::remove_file(file).unwrap();
    daemon
}

/// Where it said that its metrics are.
fn address(daemon: &Daemon) -> String {
    let log = daemon.log();
    let said = log.lines().find_map(|line| line.split_once("metrics are at http://"));
    let (_, rest) = said.unwrap_or_else(|| panic!("no address in:\n{log}"));
    rest.split('/').next().unwrap().to_owned()
}

#[test]
fn metrics_are_scraped() {
    let daemon = configured("scrape", "metrics-listen = '127.0.0.1:0'\n", &[]);
    let address = address(&daemon);
    let curl = |args: &[&str], path: &str| {
        let output =
            command("curl").args(["-s", "-m", "20"]).args(args).arg(format!("http://{address}{path}")).output();
        String::from_utf8(output.unwrap().stdout).unwrap()
    };
    // Some who never ask, and one who asks for anything but HTTP.
    let idle: Vec<TcpStream> = (0..4).map(|_| TcpStream::connect(&address).unwrap()).collect();
    let page = curl(&["-i"], "/metrics");
    let (head, body) = page.split_once("\r\n\r\n").unwrap();
    assert!(head.starts_with("HTTP/1.1 200 OK\r\nContent-Type: text/plain; version=0.0.4"), "{head}");
    assert!(body.starts_with("# HELP gantry_info ") && body.ends_with('\n'), "{body}");
    // What the verb tells, but for what changes from one moment to the next.
    let names =
        |text: &str| text.lines().filter(|line| line.starts_with("# TYPE")).map(str::to_owned).collect::<Vec<_>>();
    let told: String = daemon.ok("metrics").lines.iter().map(|line| format!("{}\n", line.text())).collect();
    assert_eq!(names(body), names(&told));
    assert!(curl(&["-I"], "/metrics").ends_with("\r\n\r\n"));
    assert!(curl(&["-i"], "/").starts_with("HTTP/1.1 404 "));
    assert!(curl(&["-i", "-d", "x"], "/metrics").starts_with("HTTP/1.1 405 "));
    let mut other = TcpStream::connect(&address).unwrap();
    other.set_read_timeout(Some(patience(20))).unwrap();
    other.write_all(b"shutdown\r\n").unwrap();
    let mut said = String::new();
    other.read_to_string(&mut said).unwrap();
    assert!(said.starts_with("HTTP/1.1 400 "), "{said}");
    drop(idle);
}

#[test]
fn an_address_that_cannot_be_had_is_told() {
    let daemon = configured("taken", "metrics-listen = '127.0.0.1:0'\n", &[]);
    let file = super::shell::scratch().join(format!("taken-again-{}.toml", std::process::id()));
    std::fs::write(&file, format!("metrics-listen = '{}'\n", address(&daemon))).unwrap();
    let (place, config) = (daemon.place(), file.display().to_string());
    let elsewhere = |name: &str| place.dir().join("elsewhere").join(name).display().to_string();
    let (root, run, bridge) = (elsewhere("root"), elsewhere("run"), format!("{}x", place.bridge()));
    let output = daemon.start_beside(&["--config", &config, "--root", &root, "--run", &run, "--bridge", &bridge]);
    assert_eq!(output.status.code(), Some(1));
    assert!(output.stderr.contains("gantryd: metrics-listen: 127.0.0.1:"), "{}", output.stderr);
    std::fs::remove_file(file).unwrap();
}

#[test]
fn the_log_is_written_for_programs_too() {
    let daemon = configured("json", "", &[("GANTRY_LOG_FORMAT", "json")]);
    for line in daemon.log().lines() {
        let line: serde_json::Value = serde_json::from_str(line).unwrap_or_else(|e| panic!("{e}: {line}"));
        assert!(line["time"].is_string() && line["level"].is_string() && line["message"].is_string(), "{line}");
    }
    assert!(daemon.log().contains("\"message\":\"gantryd "));
    let daemon = configured("journal", "log-format = 'journal'\n", &[]);
    assert!(daemon.log().lines().all(|line| line.starts_with('<')), "{}", daemon.log());
    assert!(daemon.log().lines().any(|line| line.starts_with("<6>gantryd ")), "{}", daemon.log());
}
