//! A service manager as systemd is one: it opens the daemon's socket, and hears of its life.

use std::fs;
use std::net::TcpListener;
use std::os::fd::{AsFd, OwnedFd};
use std::os::unix::fs::{MetadataExt, PermissionsExt};
use std::os::unix::net::{UnixDatagram, UnixListener};
use std::process::Command;

use command_fds::{CommandFdExt, FdMapping};

use super::conn::Conn;
use super::harness::{Daemon, Setup};
use super::place::Place;
use super::shell::{self, patience};

/// What systemd is for one service.
pub struct Manager {
    socket: OwnedFd,
    notices: UnixDatagram,
    /// Where it hears notices.
    notify: std::path::PathBuf,
}

impl Manager {
    /// Opens the socket of the daemon at `place`.
    pub fn open(place: &Place) -> Self {
        fs::create_dir_all(place.run()).unwrap();
        let listener = UnixListener::bind(place.socket()).unwrap();
        fs::set_permissions(place.socket(), fs::Permissions::from_mode(0o640)).unwrap();
        let notify = place.dir().join("notify");
        let notices = UnixDatagram::bind(&notify).unwrap();
        notices.set_read_timeout(Some(patience(60))).unwrap();
        Self { socket: listener.into(), notices, notify }
    }

    /// Has `command`, once it is wrapped by [`Manager::WRAP`], find the socket.
    pub fn lend(&self, command: &mut Command) {
        lend(self.socket.as_fd().try_clone_to_owned().unwrap(), command);
        command.env("NOTIFY_SOCKET", &self.notify).env("WATCHDOG_USEC", "400000");
    }

    /// What the daemon told next.
    fn heard(&self) -> String {
        let mut text = [0; 1024];
        let length = self.notices.recv(&mut text).expect("a notice in time");
        String::from_utf8_lossy(&text[..length]).into_owned()
    }
}

/// A shell's words before those of the daemon: only what it becomes can know its own pid.
pub const WRAP: [&str; 3] = ["sh", "-euc", "export LISTEN_PID=$$ WATCHDOG_PID=$$; exec \"$0\" \"$@\""];

fn lend(socket: OwnedFd, command: &mut Command) {
    command.env("LISTEN_FDS", "1");
    command.fd_mappings(vec![FdMapping { parent_fd: socket, child_fd: 3 }]).unwrap();
}

#[test]
fn a_socket_that_is_open_already_is_served_and_stays() {
    let mut daemon = Setup { managed: true, ..Setup::default() }.start();
    let socket = daemon.place().socket();
    let of_socket = || fs::symlink_metadata(&socket).map(|found| (found.ino(), found.mode() & 0o777)).unwrap();
    let (inode, mode) = of_socket();
    assert_eq!(mode, 0o640, "whoever opened it says who may use it");
    assert!(daemon.term().success());
    assert_eq!(of_socket(), (inode, mode));
    // Who comes while nobody is there is answered by the next one.
    let mut early = Conn::open(&socket).unwrap();
    early.send("ping");
    daemon.restart();
    assert_eq!(early.reply().code(), "pong");
    assert_eq!(of_socket(), (inode, mode));
}

#[test]
fn a_manager_hears_of_its_life() {
    let mut daemon = Setup { managed: true, ..Setup::default() }.start();
    let ready = format!("READY=1\nSTATUS=Serving at {}\n", daemon.place().socket().display());
    assert_eq!(daemon.manager().heard(), ready);
    for _ in 0..3 {
        assert_eq!(daemon.manager().heard(), "WATCHDOG=1\n");
    }
    // A manager that does not read holds up nobody: as many as its socket takes are waiting by then.
    let depth: u64 = fs::read_to_string("/proc/sys/net/unix/max_dgram_qlen").unwrap().trim().parse().unwrap();
    let complains = |daemon: &Daemon| daemon.log().contains("the service manager is not told");
    shell::until(patience(10 + depth), "its socket is full", || complains(&daemon));
    daemon.ok("ping");
    // Nothing that it starts hears of the manager.
    daemon.import_busybox();
    assert_eq!(daemon.ok("run busybox name=job attach=yes rm=yes -- sh -c 'env | grep -E \"NOTIFY|LISTEN|WATCHDOG\"; ls /proc/self/fd | wc -l'").written("stdout"), "4\n");
    // Room for its last words.
    for _ in 0..=depth {
        assert_eq!(daemon.manager().heard(), "WATCHDOG=1\n");
    }
    assert!(daemon.term().success());
    let last = std::iter::repeat_with(|| daemon.manager().heard()).find(|notice| notice != "WATCHDOG=1\n");
    assert_eq!(last.unwrap(), "STOPPING=1\nSTATUS=Stopping the containers\n");
}

#[test]
fn sockets_that_are_not_the_daemons_are_refused() {
    let place = Place::claim();
    let elsewhere = UnixListener::bind(place.dir().join("other")).unwrap();
    let (datagrams, tcp) = (UnixDatagram::unbound().unwrap(), TcpListener::bind("127.0.0.1:0").unwrap());
    for (socket, why) in [
        (OwnedFd::from(elsewhere), format!("the socket {}/other", place.dir().display())),
        (datagrams.into(), "no listening socket".to_owned()),
        (tcp.into(), "no Unix socket".to_owned()),
    ] {
        let mut command = shell::command(WRAP[0]);
        command.args(&WRAP[1..]).arg(shell::binary("gantryd")).arg("--run").arg(place.run());
        lend(socket, &mut command);
        let output = shell::finish(&mut command);
        assert_eq!(output.status.code(), Some(1));
        assert!(output.stderr.contains(&why), "{why}: {}", output.stderr);
    }
    fs::remove_dir_all(place.dir()).unwrap();
}
