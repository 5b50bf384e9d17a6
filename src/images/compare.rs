//! Whether two trees are the same: names, kinds, owners, modes, times, attributes and contents.

use std::collections::BTreeSet;
use std::ffi::{CStr, CString, OsString};
use std::io::Read;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::MetadataExt;
use std::path::Path;

/// How many differences are told.
const TOLD_MAX: usize = 8;

/// What differs in `found` from `expected`, in a line each; nothing where they are the same.
pub fn differences(expected: &Path, found: &Path) -> std::io::Result<Vec<String>> {
    let (mut told, mut todo) = (Vec::new(), vec![std::path::PathBuf::new()]);
    while let Some(at) = todo.pop() {
        if told.len() >= TOLD_MAX {
            told.push("and maybe more".to_owned());
            break;
        }
        let (one, other) = (expected.join(&at), found.join(&at));
        let what = difference(&one, &other)?;
        if let Some(what) = what {
            told.push(format!("/{}: {what}", at.display()));
        } else if one.symlink_metadata()?.is_dir() {
            let names: BTreeSet<OsString> = names(&one)?.union(&names(&other)?).cloned().collect();
            todo.extend(names.into_iter().map(|name| at.join(name)));
        }
    }
    Ok(told)
}

fn names(dir: &Path) -> std::io::Result<BTreeSet<OsString>> {
    std::fs::read_dir(dir)?.map(|entry| Ok(entry?.file_name())).collect()
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
