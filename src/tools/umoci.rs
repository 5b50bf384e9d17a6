//! umoci's options, outputs and quirks (0.4.7 and later): trees out of images, and layers out of trees.
//!
//! `umoci gc` is deliberately absent: it knows one layout's index, and would delete what others share.

use std::ffi::OsString;
use std::path::Path;
use std::time::Duration;

use super::{Call, Output, Tool, Tools};
use crate::refusal::{Code, Refusal};
use crate::removal;
use crate::worker;

/// How long work on a whole tree may take: hours for the largest on the slowest of disks.
const TREE: Duration = Duration::from_secs(4 * 3600);

/// Unpacks all layers of `layout`'s image `tag` into `rootfs`, which must not be there: umoci would merge. Digests,
/// sizes and diff ids are verified on the way; a failure leaves no `rootfs`, a crash may.
pub async fn unpack(tools: &Tools, layout: &Path, tag: &str, rootfs: &Path) -> Result<(), Refusal> {
    for again in 0..CRASHES_MAX {
        if again > 0 {
            clear_away(rootfs).await?;
        }
        let call = tools.call(Tool::Umoci)?.args(["raw", "unpack", "--image"]).arg(image(layout, tag)).arg(rootfs);
        // One thread alone leaves little to race.
        let call = if again > 0 { call.env("GOMAXPROCS", "1") } else { call };
        match run(call).await {
            Err(refusal) if refusal.message().starts_with(CRASHED) => log::warn!("{refusal}; once more"),
            done => return done,
        }
    }
    Err(Refusal::tool_failed("umoci crashes each time it unpacks this; is the disk full?"))
}

/// Takes away what a crash left. Where that has filled the disk, it is why.
async fn clear_away(rootfs: &Path) -> Result<(), Refusal> {
    let rootfs = rootfs.to_owned();
    let cleared = move || {
        let is_full = rootfs.parent().is_some_and(is_full);
        removal::remove(&rootfs).map_err(|e| Refusal::io(rootfs.display(), &e))?;
        if is_full { Err(Refusal::no_space("umoci: it crashed, and the disk is full")) } else { Ok(()) }
    };
    worker::long(cleared).await
}

/// Whether there is no room for a file more. A file system that makes inodes as they are needed has none, and none free.
fn is_full(dir: &Path) -> bool {
    let free = |fs: rustix::fs::StatVfs| {
        fs.f_bfree.saturating_mul(fs.f_frsize) < ROOM_MIN || (fs.f_files > 0 && fs.f_ffree == 0)
    };
    rustix::fs::statvfs(dir).is_ok_and(free)
}

/// What a disk that was written full may have left, in bytes: less than what is written at once.
const ROOM_MIN: u64 = 64 << 10;
/// How often it is tried where it crashes. Where it cannot go on, as for a full disk, it sums up a blob that another of
/// its threads still reads, and as often as not dies of that before it has said what was wrong.
const CRASHES_MAX: usize = 4;
/// How a crash of a Go program begins, as it is told here.
const CRASHED: &str = "umoci: panic: ";

/// Adds a layer with everything in `dir` to `layout`'s image `tag`.
pub async fn insert(tools: &Tools, layout: &Path, tag: &str, dir: &Path) -> Result<(), Refusal> {
    let call = tools.call(Tool::Umoci)?.args(["insert", "--no-history", "--image"]).arg(image(layout, tag));
    run(call.arg("--").arg(dir).arg("/")).await
}

fn image(layout: &Path, tag: &str) -> OsString {
    let mut image = layout.as_os_str().to_owned();
    image.push(":");
    image.push(tag);
    image
}

async fn run(call: Call) -> Result<(), Refusal> {
    let output = call.deadline(TREE).finish().await?;
    if output.status.success() { Ok(()) } else { Err(refusal(&words(&output))) }
}

/// The line that umoci marks as an error; it goes to either output.
/// The line that says why.
pub(crate) fn words(output: &Output) -> String {
    let marked = |bytes: &[u8]| {
        let text = String::from_utf8_lossy(bytes).into_owned();
        text.lines().rev().find_map(|line| line.split_once('⨯').map(|(_, words)| words.trim().to_owned()))
    };
    let crash = || {
        let text = String::from_utf8_lossy(&output.stderr).into_owned();
        text.lines().find(|line| line.starts_with("panic: ")).map(str::to_owned)
    };
    marked(&output.stderr).or_else(|| marked(&output.stdout)).or_else(crash).unwrap_or_else(|| output.last_words())
}

/// What such a line means.
pub(crate) fn refusal(words: &str) -> Refusal {
    let code = if words.contains("no space left on device") || words.contains("disk quota exceeded") {
        Code::NoSpace
    } else if words.contains("cannot allocate memory") {
        Code::OutOfMemory
    } else {
        Code::ToolFailed
    };
    Refusal::new(code, format_args!("umoci: {words}"))
}

/// Whether umoci refused a blob for not being what its digest says.
pub fn found_damage(refusal: &Refusal) -> bool {
    refusal.message().starts_with("umoci: ") && speaks_of_damage(refusal)
}

/// Whether a tool's last words are of data that is not what it should be; skopeo has the same for a connection that was
/// cut off.
pub fn speaks_of_damage(refusal: &Refusal) -> bool {
    let words = refusal.message();
    refusal.code() == Code::ToolFailed
        && ["mismatch", "invalid tar header", "unexpected EOF", "gzip:"].iter().any(|sign| words.contains(sign))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_marked_line_speaks() {
        let stderr = "   • unpacking rootfs ...\n   ⨯ create rootfs: unpack layer: verified reader digest mismatch\n";
        let status = std::os::unix::process::ExitStatusExt::from_raw(256);
        let words = super::words(&Output { status, stdout: Vec::new(), stderr: stderr.into() });
        assert_eq!(words, "create rootfs: unpack layer: verified reader digest mismatch");
        assert!(found_damage(&refusal(&words)));
        assert_eq!(refusal("write: no space left on device").code(), Code::NoSpace);
        let stderr = "panic: d.nx != 0\n\ngoroutine 1 [running]:\nmain.main()\n\tmain.go:172 +0x32\n";
        let crash = refusal(&super::words(&Output { status, stdout: Vec::new(), stderr: stderr.into() }));
        assert!(crash.message().starts_with(CRASHED), "{crash}");
    }
}
