//! The service manager that started us, where one did (systemd): the sockets that it opened for us, and what it is told of
//! our life. sd_listen_fds(3), sd_notify(3). Where there is none, nothing of this does anything.

use std::ffi::OsStr;
use std::io;
use std::os::fd::{FromRawFd, OwnedFd};
use std::os::linux::net::SocketAddrExt;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::net::{SocketAddr, UnixDatagram, UnixListener};
use std::path::{Path, PathBuf};

use nix::sys::socket::{getsockopt, sockopt};
use sd_notify::NotifyState;

use crate::config::Config;
use crate::refusal::Refusal;

/// Sockets that are open already, by their paths.
#[derive(Default)]
pub struct Given(Vec<(PathBuf, UnixListener)>);

impl Given {
    /// Takes those that the manager opened. To be called once, before anything else opens a descriptor.
    pub fn take(config: &Config) -> Result<Self, Refusal> {
        let numbers = sd_notify::listen_fds().map_err(|e| Refusal::io("the sockets of the service manager", &e))?;
        let mut given = Self::default();
        for number in numbers {
            #[expect(unsafe_code, reason = "a descriptor that was inherited has no owner yet")]
            // SAFETY: the manager opened it for this very process (LISTEN_PID), and nobody else takes it: this is called
            // once, before the daemon opens anything of its own.
            let descriptor = unsafe { OwnedFd::from_raw_fd(number) };
            given.0.push(listener(descriptor, config)?);
        }
        Ok(given)
    }

    /// The one at `path`.
    pub fn at(&mut self, path: &Path) -> Option<UnixListener> {
        let nth = self.0.iter().position(|(own, _)| own == path)?;
        Some(self.0.swap_remove(nth).1)
    }

    /// Whether there is one at `path`.
    pub fn has(&self, path: &Path) -> bool {
        self.0.iter().any(|(own, _)| own == path)
    }
}

/// The socket as one to accept clients from, and where it is.
fn listener(descriptor: OwnedFd, config: &Config) -> Result<(PathBuf, UnixListener), Refusal> {
    let wrong = |what: &str| {
        Refusal::bad_value(format_args!(
            "the service manager opened {what}; it is to be {}{}",
            config.socket.display(),
            config.ro_socket.as_ref().map(|path| format!(" or {}", path.display())).unwrap_or_default()
        ))
    };
    if !getsockopt(&descriptor, sockopt::AcceptConn).unwrap_or(false) {
        return Err(wrong("what is no listening socket"));
    }
    let listener = UnixListener::from(descriptor);
    // An error where it is of another family.
    let address = listener.local_addr().map_err(|_| wrong("a socket that is no Unix socket"))?;
    let Some(path) = address.as_pathname() else { return Err(wrong("a Unix socket without a path")) };
    if path != config.socket && Some(path) != config.ro_socket.as_deref() {
        return Err(wrong(&format!("the socket {}", path.display())));
    }
    listener.set_nonblocking(true).map_err(|e| Refusal::io(path.display(), &e))?;
    Ok((path.to_owned(), listener))
}

/// Tells it that clients are answered, and from now on, as often as it wants to hear it, that we live.
pub fn ready(config: &Config) {
    tell(&[NotifyState::Ready, NotifyState::Status(&format!("Serving at {}", config.socket.display()))]);
    let Some(limit) = sd_notify::watchdog_enabled() else { return };
    actix_rt::spawn(async move {
        // Half of what it waits for, as sd_watchdog_enabled(3) advises. It is the thread that serves everything which
        // tells: where that stands still, nothing is told.
        let mut turns = tokio::time::interval(limit / 2);
        loop {
            turns.tick().await;
            tell(&[NotifyState::Watchdog]);
        }
    });
}

/// Tells it that we are about to end.
pub fn stopping() {
    tell(&[NotifyState::Stopping, NotifyState::Status("Stopping the containers")]);
}

fn tell(state: &[NotifyState<'_>]) {
    let Some(address) = std::env::var_os("NOTIFY_SOCKET") else { return };
    let text: String = state.iter().map(|one| format!("{one}\n")).collect();
    if let Err(e) = send(address.as_bytes(), text.as_bytes()) {
        log::warn!("the service manager is not told: {e}");
    }
}

/// Sends one datagram, without waiting where the manager does not read: `sd_notify::notify` would stand still with it.
fn send(address: &[u8], text: &[u8]) -> io::Result<()> {
    let address = match address.strip_prefix(b"@") {
        Some(name) => SocketAddr::from_abstract_name(name)?,
        None => SocketAddr::from_pathname(OsStr::from_bytes(address))?,
    };
    let socket = UnixDatagram::unbound()?;
    socket.set_nonblocking(true)?;
    socket.send_to_addr(text, &address).map(drop)
}
