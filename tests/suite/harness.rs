//! The daemon under test: started in a place of its own, driven, ended, and looked after for what it left.

use std::fs::File;
use std::path::PathBuf;
use std::process::{Child, Command, ExitStatus, Stdio};

use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;

use super::conn::{Conn, Reply};
use super::host;
use super::manager::{Manager, WRAP};
use super::place::Place;
use super::shell::{self, Output};

/// How long the daemon may take to start, to leave and to settle. A bound on a hang, never a measure of speed.
const PATIENCE: u64 = 60;

/// How many network namespaces the daemon may keep for the next containers.
const MADE_AHEAD: usize = 4;

/// How a daemon is to be started, where it is not the usual way.
#[derive(Default)]
pub struct Setup {
    /// `--tools`.
    pub tools: Option<PathBuf>,
    /// Flags more.
    pub flags: Vec<String>,
    /// Variables more of its environment.
    pub env: Vec<(String, String)>,
    /// In network and mount namespaces of its own, with busybox's tree at `/srv/busybox` and the subnet that the manual
    /// shows: where fixed ports and paths disturb nobody.
    pub apart: bool,
    /// Started by a service manager.
    pub managed: bool,
    /// In the cgroup that has this `cgroup.procs`.
    pub cgroup: Option<PathBuf>,
    /// The step at which it dies, from its next start on (`gantry::fault`).
    pub fault: Option<&'static str>,
}

/// A running daemon. Dropped, it is ended by TERM, and the test fails where anything of it is left on the host.
pub struct Daemon {
    place: Place,
    setup: Setup,
    child: Option<Child>,
    /// Who started it, if not the test.
    manager: Option<Manager>,
    /// The descriptors it has open while one client is connected and nothing runs.
    idle: Vec<String>,
}

impl Setup {
    /// Starts it and waits for its socket.
    #[track_caller]
    pub fn start(self) -> Daemon {
        let place = Place::claim();
        let manager = self.managed.then(|| Manager::open(&place));
        let mut daemon = Daemon { place, setup: self, child: None, manager, idle: Vec::new() };
        daemon.restart();
        daemon
    }

    /// Its flags at `place`.
    fn arguments(&self, place: &Place) -> Vec<String> {
        let path = |path: PathBuf| path.display().to_string();
        let subnet = if self.apart { "10.67.0.0/16".to_owned() } else { place.subnet() };
        let mut flags = vec!["--socket".to_owned(), path(place.socket()), "--root".to_owned(), path(place.root())];
        flags.extend(["--run".to_owned(), path(place.run()), "--bridge".to_owned(), place.bridge()]);
        flags.extend(["--subnet".to_owned(), subnet]);
        if let Some(tools) = &self.tools {
            flags.extend(["--tools".to_owned(), path(tools.clone())]);
        }
        flags.extend(self.flags.iter().cloned());
        flags
    }

    fn command(&self, place: &Place) -> Command {
        // Ends with the test's thread, whatever becomes of that; setpriv and unshare leave no process of their own.
        let mut words: Vec<std::ffi::OsString> = vec!["setpriv".into(), "--pdeathsig".into(), "TERM".into()];
        words.push(shell::binary("gantryd").into());
        words.extend(self.arguments(place).into_iter().map(Into::into));
        if self.managed {
            words.splice(0..0, WRAP.map(Into::into));
        }
        if self.apart {
            let enter = "ip link set lo up; echo 0 >/proc/sys/net/ipv4/ip_forward; mount -t tmpfs none /srv; mkdir /srv/busybox; mount --bind \"$0\" /srv/busybox; exec \"$@\"";
            let unshare = ["unshare", "--net", "--mount", "sh", "-euc", enter].map(Into::into);
            words.splice(0..0, unshare.into_iter().chain([shell::busybox_rootfs().into()]));
        }
        if let Some(procs) = &self.cgroup {
            let enter = ["sh", "-euc", "echo $$ >\"$0\"; exec \"$@\""].map(Into::into);
            words.splice(0..0, enter.into_iter().chain([procs.into()]));
        }
        let mut command = Command::new(&words[0]);
        command.args(&words[1..]).env("GANTRY_LOG", std::env::var("GANTRY_LOG").unwrap_or_else(|_| "info".into()));
        command.envs(self.fault.map(|step| ("GANTRY_FAULT", step)));
        command.envs(self.env.iter().map(|(key, value)| (key, value)));
        command
    }
}

impl Daemon {
    /// Starts a daemon in a place of its own and waits for its socket.
    #[track_caller]
    pub fn start() -> Self {
        Setup::default().start()
    }

    /// Starts it again in the same place, after `term` or `kill`.
    #[track_caller]
    pub fn restart(&mut self) {
        self.spawn();
        let mut conn = None;
        shell::until(shell::patience(PATIENCE), "the daemon's socket answers", || {
            let ended = self.child.as_mut().is_some_and(|child| child.try_wait().unwrap().is_some());
            assert!(!ended, "the daemon ended at once:\n{}", self.log());
            conn = Conn::open(&self.place.socket()).ok();
            conn.is_some()
        });
        conn.take().expect("until left it there").ok("ping");
        if self.idle.is_empty() {
            self.await_stock();
            self.idle = self.descriptors_with_one_client();
        }
    }

    #[track_caller]
    fn spawn(&mut self) {
        assert!(self.child.is_none(), "it runs");
        let log = File::options().create(true).append(true).open(self.place.log()).unwrap();
        let mut command = self.setup.command(&self.place);
        command.stdin(Stdio::null()).stdout(log.try_clone().unwrap()).stderr(log);
        if let Some(manager) = &self.manager {
            manager.lend(&mut command);
        }
        self.child = Some(command.spawn().unwrap_or_else(|e| panic!("{command:?}: {e}")));
    }

    /// Starts it again, to die at `step` of its start or whenever else that comes.
    #[track_caller]
    pub fn start_to_die(&mut self, step: &'static str, at_the_start: bool) {
        self.setup.fault = Some(step);
        if at_the_start {
            self.spawn();
        } else {
            self.restart();
        }
        self.setup.fault = None;
    }

    /// Waits until the namespaces made ahead are all there: one that is half made has its socket yet to come, which would
    /// be taken for a leak. Where there are fewer of them, the wait is over in a while.
    fn await_stock(&self) {
        let stocked = || host::descriptors(self.pid()).iter().filter(|one| *one == "net").count() >= MADE_AHEAD;
        shell::waits(shell::patience(PATIENCE), || {
            stocked() && !host::threads(self.pid()).iter().any(|name| name == "netns")
        });
    }

    /// The same daemon as a second one would be started: to its end, for it must not stay.
    #[track_caller]
    pub fn start_beside(&self, flags: &[&str]) -> Output {
        shell::finish(shell::command(shell::binary("gantryd")).args(flags))
    }

    /// Its place.
    pub fn place(&self) -> &Place {
        &self.place
    }

    /// The service manager that started it.
    pub fn manager(&self) -> &Manager {
        self.manager.as_ref().expect("it is managed")
    }

    /// Its process.
    #[track_caller]
    pub fn pid(&self) -> u32 {
        self.child.as_ref().expect("it runs").id()
    }

    /// What it has said so far.
    pub fn log(&self) -> String {
        std::fs::read_to_string(self.place.log()).unwrap_or_default()
    }

    /// A new connection.
    #[track_caller]
    pub fn conn(&self) -> Conn {
        Conn::open(&self.place.socket()).unwrap_or_else(|e| panic!("connecting: {e}\n{}", self.log()))
    }

    /// One request on a connection of its own, which must be carried out.
    #[track_caller]
    pub fn ok(&self, line: &str) -> Reply {
        self.conn().ok(line)
    }

    /// The client, with its arguments.
    #[track_caller]
    pub fn client(&self, args: &[&str]) -> Output {
        shell::finish(shell::command(shell::binary("gantry")).env("GANTRY_SOCKET", self.place.socket()).args(args))
    }

    /// A script of the shell for which `$GANTRY_SOCKET` is the daemon's socket, in the daemon's network namespace.
    #[track_caller]
    pub fn sh(&self, script: &str) -> Output {
        let net = format!("--net=/proc/{}/ns/net", self.pid());
        let mut command = shell::command("nsenter");
        command.arg(net).args(["bash", "-o", "pipefail", "-euc", script]).env("GANTRY_SOCKET", self.place.socket());
        shell::finish(&mut command)
    }

    /// Makes the image `localhost/busybox:latest` and gives the reference by which requests name it.
    #[track_caller]
    pub fn import_busybox(&self) -> &'static str {
        self.ok(&format!("image import {} busybox", shell::busybox_rootfs().display()));
        "busybox"
    }

    /// Ends it by TERM.
    #[track_caller]
    pub fn term(&mut self) -> ExitStatus {
        self.signal(Signal::SIGTERM);
        self.wait()
    }

    /// Ends it by KILL.
    #[track_caller]
    pub fn kill(&mut self) {
        self.signal(Signal::SIGKILL);
        self.wait();
    }

    /// Sends it a signal.
    #[track_caller]
    pub fn signal(&self, signal: Signal) {
        kill(Pid::from_raw(self.pid() as i32), signal).expect("it runs");
    }

    /// Waits for its end.
    #[track_caller]
    pub fn wait(&mut self) -> ExitStatus {
        let mut child = self.child.take().expect("it runs");
        let mut status = None;
        let ended = shell::waits(shell::patience(PATIENCE), || {
            status = child.try_wait().unwrap();
            status.is_some()
        });
        if !ended {
            self.child = Some(child);
            panic!("the daemon does not end:\n{}", self.log());
        }
        status.expect("it ended")
    }

    /// Fails where anything of it is on the host. For a daemon that has ended.
    #[track_caller]
    pub fn assert_clean(&self) {
        assert!(self.child.is_none(), "it runs");
        // The kernel frees namespaces, and the links in them, a moment after their last user went.
        if !shell::waits(shell::patience(PATIENCE), || host::leftovers(&self.place).is_empty()) {
            panic!("left on the host: {:#?}\nthe daemon said:\n{}", host::leftovers(&self.place), self.log());
        }
    }

    /// Fails where it holds more than it did before anything ran. Only asked where no container is there.
    #[track_caller]
    fn assert_idle(&self) {
        if self.ok("ps").get("count") != "0" {
            return;
        }
        let settled = shell::waits(shell::patience(PATIENCE), || {
            host::children(self.pid()).is_empty() && self.opened_since().is_empty()
        });
        if !settled {
            let (children, open) = (host::children(self.pid()), self.opened_since());
            panic!("idle, it holds more than at its start: {open:#?}\nits children: {children:#?}\n{}", self.log());
        }
    }

    /// What it holds open beyond what it did when nothing had run yet.
    fn opened_since(&self) -> Vec<String> {
        let mut open = self.descriptors_with_one_client();
        for known in &self.idle {
            if let Some(at) = open.iter().position(|one| one == known) {
                open.swap_remove(at);
            }
        }
        open
    }

    /// Its descriptors while exactly one client is known to be connected: a reply proves the accept.
    fn descriptors_with_one_client(&self) -> Vec<String> {
        let mut conn = self.conn();
        conn.ok("ping");
        host::descriptors(self.pid())
    }

    fn end_badly(&mut self) {
        eprintln!("--- the daemon said:\n{}", self.log());
        if let Some(mut child) = self.child.take() {
            let _ = child.kill();
            let _ = child.wait();
        }
        host::clear(&self.place);
    }
}

impl Drop for Daemon {
    fn drop(&mut self) {
        if std::thread::panicking() {
            return self.end_badly();
        }
        let place = self.place.dir();
        let ending = Ending(self);
        if ending.0.child.is_some() {
            ending.0.assert_idle();
            let status = ending.0.term();
            assert!(status.success(), "TERM is no failure: {status}\n{}", ending.0.log());
        }
        if ending.0.manager.take().is_some() {
            std::fs::remove_file(ending.0.place.socket()).expect("the socket is its manager's");
        }
        ending.0.assert_clean();
        std::fs::remove_dir_all(place).expect("nothing holds the directory");
    }
}

/// Ends the daemon badly where a check at its end fails.
struct Ending<'a>(&'a mut Daemon);

impl Drop for Ending<'_> {
    fn drop(&mut self) {
        if std::thread::panicking() {
            self.0.end_badly();
        }
    }
}
