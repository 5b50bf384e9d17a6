//! Requests over HTTP, as fast as they are answered: by wrk.

use std::io::{Read, Write};
use std::net::TcpStream;
use std::process::Command;
use std::time::Duration;

use super::arena::said;
use super::engine::until;

/// Each thread asks a port of its own: from the environment's `BASE` on, `PORTS` of them in turn.
const SPREAD: &str = r#"
local started = 0
function setup(thread)
  thread.addr = wrk.lookup("127.0.0.1", tostring(os.getenv("BASE") + started % os.getenv("PORTS")))[1]
  started = started + 1
end
"#;

/// How to ask.
pub struct Wrk {
    threads: usize,
    connections: usize,
    time: Duration,
}

/// What came of it.
#[derive(Clone, Copy, Debug, Default)]
pub struct Seen {
    /// Requests answered in all.
    pub requests: f64,
    /// Requests a second.
    pub rate: f64,
    /// Half of them took no longer, in milliseconds.
    pub p50: f64,
    /// 99 of 100 took no longer.
    pub p99: f64,
    /// Those that failed: no connection, no answer, an answer other than a page.
    pub errors: f64,
}

impl Wrk {
    /// So many threads and connections, for so long.
    pub fn new(threads: usize, connections: usize, time: Duration) -> Self {
        Self { threads, connections, time }
    }

    /// Asks `ports` ports from `base` on, in the network of this thread.
    pub fn against(&self, base: u16, ports: usize) -> Seen {
        let script = "/run/versus/spread.lua";
        std::fs::write(script, SPREAD).unwrap();
        let mut command = Command::new("wrk");
        command.args(["-t", &self.threads.to_string(), "-c", &self.connections.to_string()]);
        command.args([
            "-d",
            &format!("{}s", self.time.as_secs().max(1)),
            "--latency",
            "--timeout",
            "10s",
            "-s",
            script,
        ]);
        command.arg(format!("http://127.0.0.1:{base}/")).env("BASE", base.to_string()).env("PORTS", ports.to_string());
        read(&said(&mut command))
    }
}

/// Waits until a page comes from a port.
pub fn await_page(port: u16) {
    until("a page", || {
        let Ok(mut stream) = TcpStream::connect(("127.0.0.1", port)) else { return false };
        let mut answer = String::new();
        let asked = stream.write_all(b"GET / HTTP/1.0\r\n\r\n").and_then(|()| stream.read_to_string(&mut answer));
        asked.is_ok() && answer.contains("It works")
    });
}

fn read(text: &str) -> Seen {
    let mut seen = Seen::default();
    for line in text.lines() {
        let words: Vec<&str> = line.split_whitespace().collect();
        match words[..] {
            ["50%", time] => seen.p50 = milliseconds(time),
            ["99%", time] => seen.p99 = milliseconds(time),
            ["Requests/sec:", rate] => seen.rate = rate.parse().unwrap(),
            [count, "requests", "in", ..] => seen.requests = count.parse().unwrap(),
            ["Socket", "errors:", ..] => seen.errors += numbers(&words),
            ["Non-2xx", ..] => seen.errors += numbers(&words),
            _ => {}
        }
    }
    assert!(seen.rate > 0.0, "wrk was not answered: {text}");
    seen
}

fn numbers(words: &[&str]) -> f64 {
    words.iter().filter_map(|word| word.trim_end_matches(',').parse::<f64>().ok()).sum()
}

fn milliseconds(text: &str) -> f64 {
    let units = [("us", 0.001), ("ms", 1.0), ("s", 1000.0), ("m", 60_000.0)];
    let read = |(unit, factor): (&str, f64)| text.strip_suffix(unit)?.parse::<f64>().ok().map(|number| number * factor);
    units.into_iter().find_map(read).unwrap_or_else(|| panic!("{text}: no time"))
}
