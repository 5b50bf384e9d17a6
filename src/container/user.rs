//! Who a container's process is: `user=` resolved against the image's own `/etc/passwd` and `/etc/group`.

use std::collections::HashMap;
use std::io::Read;
use std::os::fd::AsRawFd;
use std::path::Path;

use crate::refusal::Refusal;
use crate::wire::units::number;

/// How much of an image's user files is read.
const FILE_MAX: u64 = 1 << 20;

/// A resolved user.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct User {
    /// User id.
    pub uid: u32,
    /// Primary group id.
    pub gid: u32,
    /// Supplementary group ids.
    pub groups: Vec<u32>,
    /// Home directory, where the image names one.
    pub home: Option<String>,
}

/// Resolves `USER[:GROUP]`, each a name or a number, against the files of `rootfs`. An empty one is root.
///
/// As Docker does: without a group, a user that the image knows has its own primary and supplementary groups; with one,
/// that group alone; an unknown name is refused, an unknown number stands for itself.
pub fn resolve(spec: &str, rootfs: &Path) -> Result<User, Refusal> {
    let passwd = read(rootfs, "etc/passwd")?;
    let group = read(rootfs, "etc/group")?;
    from_files(spec, &passwd, &group)
}

/// The names of users by their ids, as the files of `rootfs` have them; the first name of an id counts.
pub fn names(rootfs: &Path) -> Result<HashMap<u32, String>, Refusal> {
    let passwd = read(rootfs, "etc/passwd")?;
    Ok(passwd.lines().rev().filter_map(Entry::of).map(|entry| (entry.uid, entry.name.to_owned())).collect())
}

/// The same, by what the files hold.
pub(crate) fn from_files(spec: &str, passwd: &str, group: &str) -> Result<User, Refusal> {
    let (who, group_spec) = spec.split_once(':').map_or((spec, None), |(who, group)| (who, Some(group)));
    let who = if who.is_empty() { "0" } else { who };
    let entry = passwd.lines().filter_map(Entry::of).find(|e| e.name == who).or_else(|| {
        let uid = id_number(who)?;
        passwd.lines().filter_map(Entry::of).find(|e| e.uid == uid)
    });
    let mut user = match (&entry, id_number(who)) {
        (Some(entry), _) => {
            User { uid: entry.uid, gid: entry.gid, groups: Vec::new(), home: Some(entry.home.to_owned()) }
        }
        (None, Some(uid)) => User { uid, ..User::default() },
        (None, None) => return Err(Refusal::bad_value(format_args!("user {who:?} is not in the image's /etc/passwd"))),
    };
    match group_spec {
        Some(spec) => user.gid = group_id(spec, group)?,
        None => user.groups = entry.map_or_else(Vec::new, |e| memberships(e.name, e.gid, group)),
    }
    Ok(user)
}

/// A user or group id as Docker has them: setresuid(2) takes the highest number for "as it is", which is root.
fn id_number(text: &str) -> Option<u32> {
    number(text).filter(|id| *id <= i32::MAX as u32)
}

struct Entry<'a> {
    name: &'a str,
    uid: u32,
    gid: u32,
    home: &'a str,
}

impl<'a> Entry<'a> {
    /// A line of passwd(5).
    fn of(line: &'a str) -> Option<Self> {
        let mut fields = line.split(':');
        let (name, _, uid, gid, _, home) =
            (fields.next()?, fields.next()?, fields.next()?, fields.next()?, fields.next()?, fields.next()?);
        Some(Self { name, uid: id_number(uid)?, gid: id_number(gid)?, home })
    }
}

/// A line of group(5): name, id, members.
fn group_line(line: &str) -> Option<(&str, u32, &str)> {
    let mut fields = line.split(':');
    let (name, _, gid) = (fields.next()?, fields.next()?, fields.next()?);
    Some((name, id_number(gid)?, fields.next().unwrap_or("")))
}

fn group_id(spec: &str, group: &str) -> Result<u32, Refusal> {
    let named = group.lines().filter_map(group_line).find(|(name, ..)| *name == spec).map(|(_, gid, _)| gid);
    named
        .or_else(|| id_number(spec))
        .ok_or_else(|| Refusal::bad_value(format_args!("group {spec:?} is not in the image's /etc/group")))
}

fn memberships(name: &str, primary: u32, group: &str) -> Vec<u32> {
    let member = |members: &str| members.split(',').any(|m| m == name);
    group
        .lines()
        .filter_map(group_line)
        .filter(|(_, gid, members)| *gid != primary && member(members))
        .map(|(_, gid, _)| gid)
        .collect()
}

/// Reads a file of the image; a missing one is empty. Links are followed within the rootfs only.
fn read(rootfs: &Path, file: &str) -> Result<String, Refusal> {
    use nix::errno::Errno;
    use nix::fcntl::{OFlag, OpenHow, ResolveFlag, open, openat2};
    let failed = |e: Errno| Refusal::errno(format_args!("the image's /{file}"), e);
    let root = open(rootfs, OFlag::O_PATH | OFlag::O_DIRECTORY | OFlag::O_CLOEXEC, nix::sys::stat::Mode::empty())
        .map_err(failed)?;
    // Not opened for reading before it is known to be a file: an image may have a device there, and opening one can be
    // an act of its own.
    let how = OpenHow::new().flags(OFlag::O_PATH | OFlag::O_CLOEXEC).resolve(ResolveFlag::RESOLVE_IN_ROOT);
    let found = match openat2(&root, file, how) {
        Ok(fd) => std::fs::File::from(fd),
        Err(Errno::ENOENT | Errno::ENOTDIR) => return Ok(String::new()),
        Err(e) => return Err(failed(e)),
    };
    let unreadable = |e: std::io::Error| Refusal::io(format_args!("the image's /{file}"), &e);
    if !found.metadata().map_err(unreadable)?.is_file() {
        return Err(Refusal::bad_value(format_args!("the image's /{file} is no file")));
    }
    let mut bytes = Vec::new();
    let opened = std::fs::File::open(format!("/proc/self/fd/{}", found.as_raw_fd())).map_err(unreadable)?;
    opened.take(FILE_MAX).read_to_end(&mut bytes).map_err(unreadable)?;
    Ok(String::from_utf8_lossy(&bytes).into_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    const PASSWD: &str = "root:x:0:0:root:/root:/bin/sh\nweb:x:101:102::/srv:/bin/false\nbroken\n7:x:50:51::/n:\n";
    const GROUP: &str = "root:x:0:\nadm:x:4:syslog,web\nextra:x:200:web\nweb:x:102:web\n";

    fn resolved(spec: &str) -> Result<User, Refusal> {
        from_files(spec, PASSWD, GROUP)
    }

    #[test]
    fn names_numbers_and_groups() {
        let web = resolved("web").unwrap();
        assert_eq!((web.uid, web.gid, &web.groups[..], web.home.as_deref()), (101, 102, &[4, 200][..], Some("/srv")));
        assert_eq!(resolved("101").unwrap(), web);
        assert_eq!(resolved("").unwrap().home.as_deref(), Some("/root"));
        let alone = resolved("web:adm").unwrap();
        assert_eq!((alone.gid, alone.groups.len()), (4, 0));
        assert_eq!(resolved("4242:77").unwrap(), User { uid: 4242, gid: 77, ..User::default() });
        // A name of digits is a name first.
        assert_eq!(resolved("7").unwrap().uid, 50);
        assert!(
            resolved("ghost").is_err()
                && resolved("4294967295").is_err()
                && resolved("0:4294967295").is_err()
                && resolved("web:ghost").is_err()
                && resolved("-1").is_err()
        );
    }
}
