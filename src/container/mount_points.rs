//! The lowest layer of every container's overlay: what is mounted on in every container, so that the runtime need not make
//! it in each upper directory where the image lacks it. Files of the image lie over it, and nobody writes to it.

use std::fs::{DirBuilder, File};
use std::os::unix::fs::DirBuilderExt;
use std::path::Path;

use crate::refusal::Refusal;

/// Directories, parents first.
const DIRS: [&str; 4] = ["dev", "etc", "proc", "sys"];
/// Empty files.
const FILES: [&str; 3] = ["etc/hostname", "etc/hosts", "etc/resolv.conf"];

/// Makes what is missing of it at `root`.
pub fn make(root: &Path) -> Result<(), Refusal> {
    for dir in [root.to_owned()].into_iter().chain(DIRS.map(|dir| root.join(dir))) {
        let made = DirBuilder::new().recursive(true).mode(0o755).create(&dir);
        made.map_err(|e| Refusal::io(dir.display(), &e))?;
    }
    for file in FILES.map(|file| root.join(file)) {
        let made = File::options().append(true).create(true).open(&file);
        made.map_err(|e| Refusal::io(file.display(), &e))?;
    }
    Ok(())
}
