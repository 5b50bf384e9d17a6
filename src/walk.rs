//! Trees walked entry by entry: what is held meanwhile grows with how deep a tree is, and not with how many files somebody
//! has put into it.

use std::fs::{Metadata, ReadDir};
use std::io::{Error, ErrorKind, Result};
use std::path::Path;

/// How deep it is gone, in directories: each level on the way is an open one.
const DEPTH_MAX: usize = 512;

/// Where a walk goes from what it has met.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Step {
    /// Into it, where it is a directory.
    In,
    /// Past it.
    Past,
    /// Nowhere: it has seen enough.
    End,
}

/// Shows `visit` what lies in a tree, a directory before what is in it, the root first; links are not followed. What goes
/// away meanwhile, or is not there, is passed over. Gives whether everything was seen: what lies so deep that it has no
/// path, or is beyond some hundreds of directories, is not. Touches files: not for the daemon's thread.
pub fn walk(root: &Path, mut visit: impl FnMut(&Path, &Metadata) -> Step) -> Result<bool> {
    let (mut open, mut is_all) = (Vec::<ReadDir>::new(), true);
    let mut met = root.symlink_metadata().ok().map(|metadata| (root.to_owned(), metadata));
    loop {
        if let Some((path, metadata)) = met.take() {
            match visit(&path, &metadata) {
                Step::End => return Ok(is_all),
                Step::In if metadata.is_dir() => match enter(&path, open.len()) {
                    Ok(dir) => open.push(dir),
                    Err(e) if e.kind() == ErrorKind::NotFound => {}
                    Err(e) if e.kind() == ErrorKind::InvalidFilename => is_all = false,
                    Err(e) => return Err(e),
                },
                Step::In | Step::Past => {}
            }
        }
        let Some(dir) = open.last_mut() else { return Ok(is_all) };
        match dir.next() {
            Some(Ok(entry)) => met = entry.metadata().ok().map(|metadata| (entry.path(), metadata)),
            Some(Err(_)) | None => drop(open.pop()),
        }
    }
}

fn enter(dir: &Path, depth: usize) -> Result<ReadDir> {
    if depth >= DEPTH_MAX { Err(Error::from(ErrorKind::InvalidFilename)) } else { std::fs::read_dir(dir) }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use super::*;

    #[test]
    fn all_of_a_tree_is_met_once_and_no_link_followed() {
        let dir = std::env::temp_dir().join(format!("gantry-walk-{}", std::process::id()));
        std::fs::create_dir_all(dir.join("a/b")).unwrap();
        std::fs::create_dir_all(dir.join("c")).unwrap();
        (0..3).for_each(|n| std::fs::write(dir.join(format!("a/b/{n}")), "").unwrap());
        std::os::unix::fs::symlink(&dir, dir.join("c/up")).unwrap();
        let met = |stop: &str, step: Step| {
            let mut met = BTreeMap::new();
            let all = walk(&dir, |path, _| {
                let name = path.strip_prefix(&dir).unwrap().to_str().unwrap().to_owned();
                let is_stop = name == stop;
                *met.entry(name).or_insert(0) += 1;
                if is_stop { step } else { Step::In }
            });
            assert!(all.unwrap() && met.values().all(|times| *times == 1), "{met:?}");
            met.into_keys().collect::<Vec<_>>()
        };
        let all = met("nothing", Step::In);
        let past = met("a", Step::Past);
        let end = met("", Step::End);
        let deep = std::iter::repeat_n("d", DEPTH_MAX + 1).fold(dir.join("deep"), |path, name| path.join(name));
        std::fs::create_dir_all(&deep).unwrap();
        let (mut count, is_all) = (0, walk(&dir.join("deep"), |_, _| Step::In));
        let _ = walk(&dir.join("deep"), |_, _| {
            count += 1;
            Step::In
        });
        std::fs::remove_dir_all(&dir).unwrap();
        assert_eq!(all, ["", "a", "a/b", "a/b/0", "a/b/1", "a/b/2", "c", "c/up"]);
        assert_eq!((past, end), (vec!["".into(), "a".into(), "c".into(), "c/up".into()], vec![String::new()]));
        assert_eq!((is_all.unwrap(), count), (false, DEPTH_MAX + 1));
        assert!(walk(&dir, |_, _| Step::In).unwrap(), "none where there is none");
    }
}
