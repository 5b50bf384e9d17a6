//! How long a run takes and how much memory the daemon takes, measured: `cargo bench`, as root. Prints a table.
//!
//! Each argument is one more `gantryd` to be measured, in turns with the one built here, so that a noisy machine is noisy
//! for all: `cargo bench -- /path/to/an/earlier/gantryd`. `GANTRY_BENCH_RUNS` says how many runs of each kind.
#![allow(clippy::disallowed_methods, reason = "a benchmark starts the daemon and crun itself")]
#![allow(clippy::unwrap_used, reason = "a benchmark that cannot measure ends there")]

use std::fs;
use std::io::{BufRead, BufReader, Write};
use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use serde_json::{Value, json};

/// What is run: the least that can be.
const RUN_ATTACHED: &str = "run busybox attach=yes rm=yes -- true";
/// What lets a machine come to rest between two runs: what the daemon does behind a reply is over by then.
const REST: Duration = Duration::from_millis(60);

fn main() {
    assert!(nix::unistd::geteuid().is_root(), "containers need root");
    enter_namespace();
    let runs = std::env::var("GANTRY_BENCH_RUNS").map_or(50, |n| n.parse().unwrap());
    let others = std::env::args().skip(1).filter(|arg| !arg.starts_with('-')).map(PathBuf::from);
    let daemons: Vec<PathBuf> = std::iter::once(env!("CARGO_BIN_EXE_gantryd").into()).chain(others).collect();
    let dir = PathBuf::from(format!("/tmp/gantry-bench-{}", std::process::id()));
    let rootfs = dir.join("busybox");
    done(Command::new("sh").arg(Path::new(env!("CARGO_MANIFEST_DIR")).join("examples/busybox-rootfs.sh")).arg(&rootfs));
    let started = daemons.iter().enumerate().map(|(n, program)| Daemon::start(program, &dir, n, &rootfs));
    let mut daemons: Vec<Daemon> = started.collect();
    let mut alone = Crun::prepare(&mut daemons[0], &dir, &rootfs);
    for _ in 0..runs {
        for daemon in &mut daemons {
            daemon.turn();
        }
        alone.turn();
    }
    println!("{runs} runs of each kind, in turns; milliseconds\n");
    println!("{:<44}{:>8}{:>8}{:>8}", "", "min", "median", "p90");
    for daemon in daemons {
        daemon.report();
    }
    row("crun run, same bundle, no daemon or network", &mut alone.times);
    drop(alone);
    fs::remove_dir_all(&dir).unwrap();
}

/// crun refuses a host with a v2 hierarchy that still holds a controller beside v1: hidden from it as the daemon does.
fn enter_namespace() {
    use nix::mount::{MntFlags, MsFlags, mount, umount2};
    let cgroups = gantry::cgroup::Cgroups::discover().unwrap();
    let (Some(_), Some(left)) = (cgroups.hybrid_leftover(), cgroups.hybrid_mount()) else { return };
    nix::sched::unshare(nix::sched::CloneFlags::CLONE_NEWNS).unwrap();
    mount(None::<&str>, "/", None::<&str>, MsFlags::MS_REC | MsFlags::MS_SLAVE, None::<&str>).unwrap();
    umount2(left, MntFlags::MNT_DETACH).unwrap();
}

/// A daemon under measurement.
struct Daemon {
    program: PathBuf,
    child: Child,
    run: PathBuf,
    client: BufReader<UnixStream>,
    idle_at_start: u64,
    rested: Vec<f64>,
    pressed: Vec<f64>,
    detached: Vec<f64>,
}

impl Daemon {
    fn start(program: &Path, dir: &Path, number: usize, rootfs: &Path) -> Self {
        let (run, root) = (dir.join(format!("run{number}")), dir.join(format!("root{number}")));
        let mut command = Command::new(program);
        command.arg("--run").arg(&run).arg("--root").arg(&root);
        command.args(["--bridge", &format!("gb{}x{number}", std::process::id())]);
        let child = command.env("GANTRY_LOG", "warn").stdin(Stdio::null()).spawn().unwrap();
        let socket = run.join("gantry.sock");
        let deadline = Instant::now() + Duration::from_secs(60);
        let client = loop {
            match UnixStream::connect(&socket) {
                Ok(stream) => break BufReader::new(stream),
                Err(e) => assert!(Instant::now() < deadline, "no answer from {}: {e}", program.display()),
            }
            std::thread::sleep(Duration::from_millis(5));
        };
        let mut daemon = Self {
            program: program.to_owned(),
            child,
            run,
            client,
            idle_at_start: 0,
            rested: Vec::new(),
            pressed: Vec::new(),
            detached: Vec::new(),
        };
        daemon.ask("ping");
        daemon.idle_at_start = daemon.memory();
        daemon.ask(&format!("image import {} busybox", rootfs.display()));
        daemon
    }

    /// One request, to its final line.
    fn ask(&mut self, request: &str) -> Duration {
        let began = Instant::now();
        self.client.get_mut().write_all(format!("{request}\n").as_bytes()).unwrap();
        let mut line = String::new();
        loop {
            line.clear();
            assert!(self.client.read_line(&mut line).unwrap() > 0, "{request}: the daemon hung up");
            match line.split([' ', '\n']).next() {
                Some("OK") => return began.elapsed(),
                Some("ERR") => panic!("{request}: {line}"),
                _ => {}
            }
        }
    }

    /// One run of each kind.
    fn turn(&mut self) {
        std::thread::sleep(REST);
        let rested = self.ask(RUN_ATTACHED);
        let pressed = self.ask(RUN_ATTACHED);
        std::thread::sleep(REST);
        let detached = self.ask("run busybox name=one -- true");
        self.ask("wait one");
        self.ask("rm one");
        for (times, time) in [(&mut self.rested, rested), (&mut self.pressed, pressed), (&mut self.detached, detached)]
        {
            times.push(milliseconds(time));
        }
    }

    /// Proportional set size, in KiB: memory shared with other processes is counted in parts.
    fn memory(&self) -> u64 {
        let rollup = fs::read_to_string(format!("/proc/{}/smaps_rollup", self.child.id())).unwrap();
        let pss = rollup.lines().find_map(|line| line.strip_prefix("Pss:")).unwrap();
        pss.trim().trim_end_matches(" kB").parse().unwrap()
    }

    fn report(mut self) {
        println!("{}", self.program.display());
        row("  run attach=yes rm=yes, request to last line", &mut self.rested);
        row("  the same right behind another", &mut self.pressed);
        row("  run detached, request to reply", &mut self.detached);
        // Threads without work have gone by then.
        std::thread::sleep(Duration::from_secs(12));
        println!("  idle, KiB PSS: {} at start, {} after the runs", self.idle_at_start, self.memory());
    }
}

impl Drop for Daemon {
    fn drop(&mut self) {
        let pid = nix::unistd::Pid::from_raw(self.child.id() as i32);
        let _ = nix::sys::signal::kill(pid, nix::sys::signal::Signal::SIGTERM);
        let _ = self.child.wait();
    }
}

/// crun by itself, with the spec that the daemon wrote.
struct Crun {
    bundle: PathBuf,
    times: Vec<f64>,
}

impl Crun {
    fn prepare(daemon: &mut Daemon, dir: &Path, rootfs: &Path) -> Self {
        daemon.ask("run busybox name=model -- sleep 1000");
        let made = fs::read_dir(daemon.run.join("bundles")).unwrap().flatten().next().unwrap().path();
        let text = fs::read(made.join("config.json")).unwrap();
        daemon.ask("rm model force=yes");
        let mut spec: Value = serde_json::from_slice(&text).unwrap();
        spec["root"]["path"] = json!(rootfs);
        spec["process"]["args"] = json!(["true"]);
        spec["linux"]["cgroupsPath"] = json!(format!("/gantry-bench-{}", std::process::id()));
        // What is the daemon's own: the namespace, and the files of the container.
        for namespace in spec["linux"]["namespaces"].as_array_mut().unwrap() {
            namespace.as_object_mut().unwrap().remove("path");
        }
        spec["mounts"].as_array_mut().unwrap().retain(|mount| mount["type"] != "bind");
        let bundle = dir.join("bundle");
        fs::create_dir(&bundle).unwrap();
        fs::write(bundle.join("config.json"), spec.to_string()).unwrap();
        Self { bundle, times: Vec::new() }
    }

    fn turn(&mut self) {
        std::thread::sleep(REST);
        let mut crun = Command::new("crun");
        crun.arg("--root").arg(self.bundle.join("state")).args(["run", "--bundle"]).arg(&self.bundle).arg("bench");
        let began = Instant::now();
        done(&mut crun);
        self.times.push(milliseconds(began.elapsed()));
    }
}

fn done(command: &mut Command) {
    let status = command.stdin(Stdio::null()).status().unwrap();
    assert!(status.success(), "{command:?}: {status}");
}

fn milliseconds(time: Duration) -> f64 {
    time.as_secs_f64() * 1000.0
}

fn row(what: &str, times: &mut [f64]) {
    times.sort_by(f64::total_cmp);
    let at = |percent: usize| times[(times.len() - 1) * percent / 100];
    println!("{what:<44}{:>8.1}{:>8.1}{:>8.1}", at(0), at(50), at(90));
}
