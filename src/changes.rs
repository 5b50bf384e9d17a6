//! Told by the kernel when files change. Knows nothing of what lies in them.

use std::cell::RefCell;
use std::collections::HashMap;
use std::io;
use std::os::fd::{AsFd, OwnedFd};
use std::path::Path;
use std::rc::Rc;

use nix::errno::Errno;
use nix::sys::inotify::{AddWatchFlags, InitFlags, Inotify, WatchDescriptor};
use tokio::io::Interest;
use tokio::sync::oneshot;

use crate::{fault, readiness};

/// Tells when files change. One inotify instance serves every listener, as a host has few of them
/// (`fs.inotify.max_user_instances`, 128).
pub struct Changes {
    /// None where the host had none left.
    inotify: RefCell<Option<Rc<Inotify>>>,
    waiting: Rc<Waiting>,
}

/// Who waits for a change, by what is watched.
type Waiting = RefCell<HashMap<WatchDescriptor, Vec<oneshot::Sender<()>>>>;

impl Changes {
    /// Takes an inotify instance. Where the host has none left, this is told, and it is tried again when one is needed.
    pub fn start() -> Rc<Self> {
        let changes = Rc::new(Self { inotify: RefCell::default(), waiting: Rc::default() });
        if let Err(e) = changes.instance() {
            log::warn!("logs that grow are looked at by time: {e}");
        }
        changes
    }

    /// The instance, which is listened to for as long as the daemon lives.
    fn instance(&self) -> io::Result<Rc<Inotify>> {
        if let Some(inotify) = &*self.inotify.borrow() {
            return Ok(inotify.clone());
        }
        if fault::is_used_up("inotify") {
            return Err(none_left(Errno::EMFILE));
        }
        let inotify = Rc::new(Inotify::init(InitFlags::IN_NONBLOCK | InitFlags::IN_CLOEXEC).map_err(none_left)?);
        let fd: OwnedFd = inotify.as_fd().try_clone_to_owned()?;
        let events = readiness::watch(fd, Interest::READABLE)?;
        let (waiting, source) = (self.waiting.clone(), inotify.clone());
        actix_rt::spawn(async move {
            while let Ok(mut ready) = events.readable().await {
                if !deliver(&source, &waiting) {
                    ready.clear_ready();
                }
            }
        });
        self.inotify.replace(Some(inotify.clone()));
        Ok(inotify)
    }

    /// Arms a notice of the next write to the file at `path`, or of a name that it gains or loses: told once, by the end of
    /// the wait. Look once more before waiting for it, as what came before the arming is not told. A file that nobody
    /// writes to costs nothing while it is watched.
    pub fn arm(&self, path: &Path) -> io::Result<oneshot::Receiver<()>> {
        // One set for all: whoever watches a file that is watched already replaces what was watched for.
        let once = AddWatchFlags::IN_MODIFY | AddWatchFlags::IN_ATTRIB | AddWatchFlags::IN_ONESHOT;
        let watch = self.instance()?.add_watch(path, once)?;
        let (sender, receiver) = oneshot::channel();
        let mut waiting = self.waiting.borrow_mut();
        let listeners = waiting.entry(watch).or_default();
        listeners.retain(|listener| !listener.is_closed());
        listeners.push(sender);
        Ok(receiver)
    }
}

/// Tells those who wait of what has changed. False when there was nothing to read.
fn deliver(inotify: &Inotify, waiting: &Waiting) -> bool {
    match inotify.read_events() {
        Ok(events) => {
            for event in events {
                if event.mask.contains(AddWatchFlags::IN_Q_OVERFLOW) {
                    // Some notices are lost, nobody knows whose: everyone looks again.
                    waiting.borrow_mut().clear();
                }
                for listener in waiting.borrow_mut().remove(&event.wd).unwrap_or_default() {
                    // One that has stopped listening is no failure.
                    let _ = listener.send(());
                }
            }
            true
        }
        Err(Errno::EINTR) => true,
        Err(_) => false,
    }
}

fn none_left(e: Errno) -> io::Error {
    match e {
        Errno::EMFILE => io::Error::other("the host has no inotify instance left; raise fs.inotify.max_user_instances"),
        e => e.into(),
    }
}
