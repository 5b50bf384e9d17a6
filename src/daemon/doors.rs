//! The sockets: bound, opened to clients, closed.

use std::cell::RefCell;
use std::os::unix::fs::PermissionsExt;
use std::os::unix::net;
use std::path::{Path, PathBuf};
use std::rc::Rc;
use std::sync::Arc;
use std::time::Duration;

use actix_rt::task::JoinHandle;
use nix::sys::resource::{Resource, getrlimit};
use nix::sys::stat::{Mode, umask};
use tokio::net::{UnixListener, UnixStream};
use tokio::sync::watch;

use super::admit::admit;
use super::manager::Given;
use crate::config::Config;
use crate::container::user;
use crate::engine::Engine;
use crate::intake::Intake;
use crate::outbox::Postage;
use crate::refusal::Refusal;
use crate::session::{self, Terms, Turns};
use crate::wire::reply::Line;

/// The group that may use the control socket, where /etc/group has it.
const GROUP: &str = "gantry";
/// How long sessions have for the last of their replies.
const FAREWELL: Duration = Duration::from_millis(500);
/// How much may wait to be written to all clients of the control socket together, and how much of what they have sent to be
/// carried out, in bytes.
pub const WAITING_MAX: usize = 32 << 20;
/// How many clients the control socket serves at once, as far as there are descriptors: each takes one or two.
const CLIENTS_MAX: usize = 8192;
/// How many descriptors are kept from them, as far as that is no more than half of what there are.
const KEPT: usize = 2048;
/// How many requests of one of them may run at once.
const RUNNING_MAX: usize = 64;
/// The same for the read-only socket: whoever may look must not be able to starve who may act.
const LOOKERS_MAX: usize = 64;
const LOOKER_RUNNING_MAX: usize = 8;
const LOOKER_WAITING_MAX: usize = 2 << 20;

/// The sockets of this run.
pub struct Doors {
    control: PathBuf,
    read_only: Option<PathBuf>,
    /// Those that are open already.
    given: Given,
}

/// The open sockets.
pub struct Open {
    acceptors: RefCell<Vec<JoinHandle<()>>>,
    /// Those that are ours to remove.
    paths: Vec<PathBuf>,
    closing: watch::Sender<bool>,
}

impl Doors {
    /// Sees that no other daemon answers at the sockets' paths, and clears a dead one's away.
    pub fn claim(config: &Config, given: Given) -> Result<Self, Refusal> {
        let doors = Self { control: config.socket.clone(), read_only: config.ro_socket.clone(), given };
        for path in std::iter::once(&doors.control).chain(&doors.read_only) {
            if !doors.given.has(path) {
                clear(path)?;
            }
        }
        Ok(doors)
    }

    /// Binds the sockets and serves whoever comes.
    pub fn open(mut self, engine: &Rc<Engine>) -> Result<Open, Refusal> {
        let (closing, closed) = watch::channel(false);
        let mut open = Open { acceptors: RefCell::default(), paths: Vec::new(), closing };
        let (postage, intake) = (engine.postage.clone(), Arc::new(Intake::new(WAITING_MAX)));
        let turns = Rc::<Turns>::default();
        let terms = Terms { trusted: true, running_max: RUNNING_MAX, postage, intake, turns: turns.clone() };
        let listener = open.listener(self.control, &mut self.given, true)?;
        open.serve(listener, Door { terms, most: clients_max(descriptors()) }, engine, &closed);
        if let Some(path) = self.read_only {
            let postage = Rc::new(Postage::new(LOOKER_WAITING_MAX));
            let intake = Arc::new(Intake::new(LOOKER_WAITING_MAX));
            let terms = Terms { trusted: false, running_max: LOOKER_RUNNING_MAX, postage, intake, turns };
            let listener = open.listener(path, &mut self.given, false)?;
            open.serve(listener, Door { terms, most: LOOKERS_MAX }, engine, &closed);
        }
        Ok(open)
    }
}

/// Who comes in by a socket.
struct Door {
    terms: Terms,
    /// How many at once.
    most: usize,
}

/// How many descriptors we may have.
fn descriptors() -> usize {
    let limit = getrlimit(Resource::RLIMIT_NOFILE).map_or(0, |(soft, _)| soft);
    usize::try_from(limit).unwrap_or(usize::MAX)
}

/// How many clients there may be: clients alone are not to use up what containers need.
fn clients_max(descriptors: usize) -> usize {
    CLIENTS_MAX.min(descriptors.saturating_sub(KEPT).max(descriptors / 2) / 2)
}

fn clear(path: &Path) -> Result<(), Refusal> {
    if path.symlink_metadata().is_err() {
        return Ok(());
    }
    if net::UnixStream::connect(path).is_ok() {
        return Err(Refusal::in_use(format_args!("another daemon answers at {}", path.display())));
    }
    let is_socket = path.symlink_metadata().is_ok_and(|m| std::os::unix::fs::FileTypeExt::is_socket(&m.file_type()));
    if !is_socket {
        return Err(Refusal::in_use(format_args!("{} is there and no socket; move it away", path.display())));
    }
    std::fs::remove_file(path).map_err(|e| Refusal::io(path.display(), &e))
}

impl Open {
    /// The socket at `path`: the given one, whose mode and owner are for whoever opened it to say, or one of our own.
    fn listener(&mut self, path: PathBuf, given: &mut Given, trusted: bool) -> Result<UnixListener, Refusal> {
        let failed = |e: std::io::Error| Refusal::io(path.display(), &e);
        if let Some(given) = given.at(&path) {
            return UnixListener::from_std(given).map_err(failed);
        }
        if let Some(dir) = path.parent() {
            std::fs::create_dir_all(dir).map_err(failed)?;
        }
        // Nobody comes in before the mode is settled.
        let before = umask(Mode::from_bits_truncate(0o177));
        let bound = UnixListener::bind(&path);
        umask(before);
        let listener = bound.map_err(failed)?;
        permit(&path, trusted).map_err(failed)?;
        self.paths.push(path);
        Ok(listener)
    }

    fn serve(&self, listener: UnixListener, door: Door, engine: &Rc<Engine>, closing: &watch::Receiver<bool>) {
        let acceptor = actix_rt::spawn(accept(listener, door, engine.clone(), closing.clone()));
        self.acceptors.borrow_mut().push(acceptor);
    }

    /// Lets nobody in any more.
    pub fn stop_accepting(&self) {
        for acceptor in self.acceptors.borrow_mut().drain(..) {
            acceptor.abort();
        }
        for path in &self.paths {
            if let Err(e) = std::fs::remove_file(path) {
                log::warn!("{}: {e}", path.display());
            }
        }
    }

    /// Ends the sessions: each when its last reply is out, within a bound.
    pub async fn end_sessions(&self) {
        self.closing.send_replace(true);
        let _ = tokio::time::timeout(FAREWELL, self.closing.closed()).await;
    }
}

/// Whoever may write to the control socket is root on the host; everyone may look at the read-only one.
fn permit(path: &Path, trusted: bool) -> std::io::Result<()> {
    // Read by ourselves: what libc asks beside the file costs 700 KiB of libraries, for good.
    let group = user::resolve(&format!(":{GROUP}"), Path::new("/")).ok().map(|root| root.gid);
    let mode = match (trusted, group) {
        (true, Some(_)) => 0o660,
        (true, None) => 0o600,
        (false, _) => 0o666,
    };
    if let (true, Some(group)) = (trusted, group) {
        std::os::unix::fs::chown(path, None, Some(group))?;
    }
    std::fs::set_permissions(path, std::fs::Permissions::from_mode(mode))
}

async fn accept(listener: UnixListener, door: Door, engine: Rc<Engine>, closing: watch::Receiver<bool>) {
    let next = async || listener.accept().await.map(|(stream, _)| stream);
    let serve = |stream| session::serve(stream, engine.clone(), door.terms.clone(), closing.clone());
    admit("a client", door.most, next, serve, turn_away).await;
}

/// Says why, as far as that goes without waiting.
fn turn_away(stream: &UnixStream, why: &Refusal) {
    let _ = stream.try_write(Line::err(why).as_bytes());
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn clients_leave_descriptors_for_containers() {
        let most = [256, 1024, 4096, 20_000, 1 << 20].map(clients_max);
        assert_eq!(most, [64, 256, 1024, 8192, 8192]);
    }
}
