//! User namespaces: made by a child that does nothing else, for a process of several threads can neither make one for
//! itself nor enter one (unshare(2), setns(2)). The network namespace that comes with it is owned by it, so that its root
//! may set what is set there.

use std::fs;
use std::io;
use std::os::fd::{AsRawFd, OwnedFd};

use nix::fcntl::{OFlag, open};
use nix::sched::{CloneFlags, unshare};
use nix::sys::stat::Mode;
use nix::sys::wait::{Id, WaitPidFlag, waitid};
use nix::unistd::{ForkResult, Pid, fork, pipe2, read, write};

use super::spawn;

/// A user namespace and a network namespace of its own. They are there as long as the descriptors or processes in them.
#[derive(Debug)]
pub struct Namespaces {
    /// The user namespace.
    pub user: OwnedFd,
    /// The network namespace.
    pub network: OwnedFd,
}

/// What a child says when it has done its part.
const MADE: u8 = 1;

impl Namespaces {
    /// Makes them, with `count` ids from 0 on inside that are those from `first` on outside, of users and groups alike.
    /// It blocks.
    pub fn make(first: u32, count: u32) -> io::Result<Self> {
        let (told, tell) = pipe2(OFlag::O_CLOEXEC)?;
        let (wait, release) = pipe2(OFlag::O_CLOEXEC)?;
        // Registered, so that it is left for us to reap.
        let child = spawn::registered(|| fork_child((&told, &tell), (&wait, &release)))?;
        drop((tell, wait));
        let mut answer = [0; 5];
        let made = read(&told, &mut answer);
        let namespaces = match (made, answer) {
            (Ok(1), [MADE, ..]) => Self::of(child, first, count),
            (Ok(5), [_, a, b, c, d]) => Err(io::Error::from_raw_os_error(i32::from_ne_bytes([a, b, c, d]))),
            (Err(e), _) => Err(e.into()),
            _ => Err(io::Error::other("the child that makes a user namespace ended without a word")),
        };
        drop(release);
        waitid(Id::Pid(child), WaitPidFlag::WEXITED)?;
        namespaces
    }

    fn of(child: Pid, first: u32, count: u32) -> io::Result<Self> {
        for map in ["uid_map", "gid_map"] {
            fs::write(format!("/proc/{child}/{map}"), format!("0 {first} {count}\n"))?;
        }
        let open = |kind: &str| {
            let path = format!("/proc/{child}/ns/{kind}");
            open(path.as_str(), OFlag::O_RDONLY | OFlag::O_CLOEXEC, Mode::empty())
        };
        Ok(Self { user: open("user")?, network: open("net")? })
    }
}

/// Ends of a pipe: to read from, and to write to.
type Pipe<'a> = (&'a OwnedFd, &'a OwnedFd);

#[expect(unsafe_code, reason = "there is no other way to a process that executes nothing")]
fn fork_child((_, tell): Pipe<'_>, (wait, release): Pipe<'_>) -> io::Result<Pid> {
    // SAFETY: the child of this threaded process makes system calls alone: it allocates nothing, takes no lock and runs no
    // destructor, and ends by _exit.
    match unsafe { fork() }? {
        ForkResult::Parent { child } => Ok(child),
        ForkResult::Child => {
            let mut answer = [MADE, 0, 0, 0, 0];
            let mut length = 1;
            if let Err(e) = unshare(CloneFlags::CLONE_NEWUSER | CloneFlags::CLONE_NEWNET) {
                answer[0] = 0;
                answer[1..].copy_from_slice(&(e as i32).to_ne_bytes());
                length = answer.len();
            }
            let _ = write(tell, &answer[..length]);
            // SAFETY: our copy of the end that the parent lets go of, closed so that its end is seen; never used again.
            unsafe { nix::libc::close(release.as_raw_fd()) };
            // Until the parent has what it needs, or is gone.
            let _ = read(wait, &mut [0]);
            // SAFETY: ends this process and nothing else.
            unsafe { nix::libc::_exit(0) }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_network_is_the_users() {
        let made = Namespaces::make(0x7000_0000, 65536).unwrap();
        let link = |fd: &OwnedFd| fs::read_link(format!("/proc/self/fd/{}", fd.as_raw_fd())).unwrap();
        assert_ne!(link(&made.user), fs::read_link("/proc/self/ns/user").unwrap());
        assert_ne!(link(&made.network), fs::read_link("/proc/self/ns/net").unwrap());
    }
}
