//! A file's content, holes as holes, as long as the file was when it was looked at: one that grows all the while has an end.

use std::fs::File;
use std::io::{self, Read, Seek, SeekFrom};

use rustix::fs::SeekFrom as Hole;
use rustix::io::Errno;

use super::Progress;

/// How much is copied between two looks at how far it is.
const CHUNK: u64 = 8 << 20;

/// Copies the first `length` bytes.
pub fn copy(mut from: &File, mut to: &File, length: u64, progress: &Progress) -> io::Result<u64> {
    let (mut at, mut copied) = (0, 0);
    while at < length {
        let Some(data) = data_from(from, at)? else { break };
        let end = hole_from(from, data)?.unwrap_or(length).min(length);
        if data >= end {
            break;
        }
        from.seek(SeekFrom::Start(data))?;
        to.seek(SeekFrom::Start(data))?;
        at = data;
        while at < end {
            // The kernel does the copying where both file systems can.
            let count = io::copy(&mut from.take(CHUNK.min(end - at)), &mut to)?;
            if count == 0 {
                // It was cut short meanwhile.
                to.set_len(at)?;
                return Ok(copied);
            }
            (at, copied) = (at + count, copied + count);
            progress.step(count)?;
        }
    }
    // What ends in a hole.
    if at < length {
        to.set_len(length)?;
    }
    Ok(copied)
}

/// Where the next data are, if there are any; a file system that knows no holes has them everywhere.
fn data_from(file: &File, at: u64) -> io::Result<Option<u64>> {
    match rustix::fs::seek(file, Hole::Data(at)) {
        Ok(found) => Ok(Some(found)),
        Err(Errno::NXIO) => Ok(None),
        Err(Errno::INVAL | Errno::NOTSUP) => Ok(Some(at)),
        Err(e) => Err(e.into()),
    }
}

fn hole_from(file: &File, at: u64) -> io::Result<Option<u64>> {
    match rustix::fs::seek(file, Hole::Hole(at)) {
        Ok(found) => Ok(Some(found)),
        Err(Errno::NXIO | Errno::INVAL | Errno::NOTSUP) => Ok(None),
        Err(e) => Err(e.into()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::io::Write;
    use std::os::unix::fs::MetadataExt;

    #[test]
    fn holes_stay_holes() {
        let dir = std::env::temp_dir().join(format!("gantry-content-{}", std::process::id()));
        std::fs::create_dir_all(&dir).unwrap();
        let mut from =
            File::options().read(true).write(true).create(true).truncate(true).open(dir.join("from")).unwrap();
        from.seek(SeekFrom::Start(64 << 20)).unwrap();
        from.write_all(b"end").unwrap();
        from.set_len(128 << 20).unwrap();
        let to = File::options().read(true).write(true).create(true).truncate(true).open(dir.join("to")).unwrap();
        let progress = Progress::default();
        copy(&from, &to, 128 << 20, &progress).unwrap();
        let (made, like) = (to.metadata().unwrap(), from.metadata().unwrap());
        assert_eq!(made.len(), like.len());
        assert!(made.blocks() <= like.blocks() + 64 && progress.bytes() < 1 << 20);
        let mut tail = [0; 3];
        std::os::unix::fs::FileExt::read_exact_at(&to, &mut tail, 64 << 20).unwrap();
        assert_eq!(&tail, b"end");
        // No more than was asked for, and no more than there is.
        let short = File::create(dir.join("short")).unwrap();
        copy(&from, &short, (64 << 20) + 1, &progress).unwrap();
        assert_eq!(short.metadata().unwrap().len(), (64 << 20) + 1);
        std::fs::remove_dir_all(&dir).unwrap();
    }
}
