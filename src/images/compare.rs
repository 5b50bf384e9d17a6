//! Whether two trees are the same: names, kinds, owners, modes, times, attributes and contents.

use std::ffi::{CStr, CString};
use std::io::Read;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::MetadataExt;
use std::path::Path;

use crate::walk::{Step, walk};

/// How many differences are told.
const TOLD_MAX: usize = 8;

/// What differs in `found` from `expected`, in a line each; nothing where they are the same.
pub fn differences(expected: &Path, found: &Path) -> std::io::Result<Vec<String>> {
    let (mut told, mut failed) = (Told(Vec::new()), None);
    let is_all = walk(expected, |one, metadata| {
        let at = one.strip_prefix(expected).unwrap_or(one);
        look(at, metadata.is_dir(), one, &found.join(at), &mut told).unwrap_or_else(|e| {
            failed = Some(e);
            Step::End
        })
    })?;
    match failed {
        Some(e) => return Err(e),
        None if !is_all => drop(told.tell(Path::new(""), "deeper than can be looked at")),
        None => {}
    }
    Ok(told.0)
}

/// What was found, up to a bound.
struct Told(Vec<String>);

impl Told {
    /// Tells of one difference more, and whether to go on.
    fn tell(&mut self, at: &Path, what: &str) -> Step {
        if self.0.len() >= TOLD_MAX {
            self.0.push("and maybe more".to_owned());
            return Step::End;
        }
        self.0.push(format!("/{}: {what}", at.display()));
        Step::Past
    }
}

/// Looks at what lies at `at` in both trees, and at what only the second has in there.
fn look(at: &Path, is_dir: bool, one: &Path, other: &Path, told: &mut Told) -> std::io::Result<Step> {
    if let Some(what) = difference(one, other)? {
        return Ok(told.tell(at, what));
    }
    if is_dir {
        for entry in std::fs::read_dir(other)? {
            let name = entry?.file_name();
            if one.join(&name).symlink_metadata().is_err() && told.tell(&at.join(name), "surplus") == Step::End {
                return Ok(Step::End);
            }
        }
    }
    Ok(Step::In)
}

fn difference(one: &Path, other: &Path) -> std::io::Result<Option<&'static str>> {
    let (a, b) = match (one.symlink_metadata(), other.symlink_metadata()) {
        (Ok(a), Ok(b)) => (a, b),
        (Ok(_), Err(_)) => return Ok(Some("missing")),
        (Err(_), _) => return Ok(Some("surplus")),
    };
    let kind = a.file_type();
    let differs = if a.mode() != b.mode() {
        Some("another kind or mode")
    } else if (a.uid(), a.gid()) != (b.uid(), b.gid()) {
        Some("another owner")
    } else if a.rdev() != b.rdev() {
        Some("another device")
    // A directory that no layer lists has the time of its unpacking, and a symbolic link's is nobody's business.
    } else if kind.is_file() && (a.mtime() != b.mtime() || a.size() != b.size()) {
        Some("another time or size")
    } else if attributes(one)? != attributes(other)? {
        Some("other extended attributes")
    } else if kind.is_symlink() && std::fs::read_link(one)? != std::fs::read_link(other)? {
        Some("another target")
    } else if kind.is_file() && !same_content(one, other)? {
        Some("other content")
    } else {
        None
    };
    Ok(differs)
}

fn same_content(one: &Path, other: &Path) -> std::io::Result<bool> {
    let (mut one, mut other) = (std::fs::File::open(one)?, std::fs::File::open(other)?);
    let (mut a, mut b) = (Vec::new(), Vec::new());
    loop {
        a.clear();
        b.clear();
        one.by_ref().take(1 << 20).read_to_end(&mut a)?;
        other.by_ref().take(1 << 20).read_to_end(&mut b)?;
        if a != b || a.is_empty() {
            return Ok(a == b);
        }
    }
}

/// The names and values of a file's extended attributes; a file system without any has none.
fn attributes(path: &Path) -> std::io::Result<Vec<(CString, Vec<u8>)>> {
    let c_path = CString::new(path.as_os_str().as_bytes())?;
    let mut list = vec![0; 64 << 10];
    let long = match rustix::fs::llistxattr(&c_path, &mut list) {
        Err(rustix::io::Errno::OPNOTSUPP) => return Ok(Vec::new()),
        long => long?,
    };
    let mut attributes = Vec::new();
    for name in list.get(..long).unwrap_or_default().split_inclusive(|byte| *byte == 0) {
        let Ok(name) = CStr::from_bytes_with_nul(name) else { continue };
        let mut value = vec![0; 64 << 10];
        let long = rustix::fs::lgetxattr(&c_path, name, &mut value)?;
        value.truncate(long);
        attributes.push((name.to_owned(), value));
    }
    attributes.sort();
    Ok(attributes)
}
