//! Making images survive the loss of power, without letting anybody wait for the disk.
//!
//! A name is written with the boot it was written in, and is good for as long as that boot lasts: a killed daemon finds
//! everything that it wrote. Once the file system has written all of it down, which is asked for beside and may take
//! seconds, the name is written again without. A name of another boot tells that the machine went down in between: its
//! tree may have holes that nobody would notice, and it is given up.

use std::os::fd::AsFd;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use serde::{Deserialize, Serialize};
use tokio::sync::oneshot;

use super::disk::Disk;
use super::image::Record;
use super::share;
use super::shared::Shared;
use crate::id::ImageRef;
use crate::refusal::Refusal;
use crate::worker::{self, beside};

/// The stack of the thread that compares trees, in bytes: it walks them without recursion.
const SHARE_STACK: usize = 256 << 10;

/// How long it is until a file system that could not be synced is asked again.
const AGAIN: Duration = Duration::from_secs(10);

/// What stands in a name's file.
#[derive(Serialize, Deserialize)]
struct Written {
    #[serde(flatten)]
    record: Record,
    /// The boot in which it was written, until it is known to be on the disk.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    boot: Option<String>,
}

/// A record as it is written at first.
pub fn unsettled(record: &Record) -> Result<Vec<u8>, Refusal> {
    encode(record, Some(boot()?))
}

/// Reads a name's file. Refused where it is torn, or not known to have reached the disk before the machine went down.
/// Also says whether it is settled.
pub fn read(bytes: &[u8]) -> Result<(Record, bool), Refusal> {
    let written: Written = serde_json::from_slice(bytes).map_err(Refusal::tool_failed)?;
    match &written.boot {
        Some(then) if *then != boot()? => {
            Err(Refusal::not_found("the machine went down before all of it was on the disk"))
        }
        then => Ok((written.record, then.is_none())),
    }
}

fn encode(record: &Record, boot: Option<String>) -> Result<Vec<u8>, Refusal> {
    serde_json::to_vec(&Written { record: record.clone(), boot }).map_err(Refusal::internal)
}

fn boot() -> Result<String, Refusal> {
    let id = std::fs::read_to_string("/proc/sys/kernel/random/boot_id");
    id.map(|id| id.trim().to_owned()).map_err(|e| Refusal::io("the boot's id", &e))
}

/// Settles names as they arrive. Never ends.
pub async fn follow_arrivals(shared: &Shared) {
    loop {
        shared.arrivals.told().await;
        let names = shared.arrivals.take();
        if let Err(refusal) = sync(shared.disk.root().to_owned()).await {
            log::warn!("the image store could not be synced, and is asked to again: {refusal}");
            tokio::time::sleep(AGAIN).await;
            names.iter().for_each(|name| shared.arrivals.tell(name));
            continue;
        }
        for name in &names {
            if let Err(refusal) = settle(shared, name).await {
                log::warn!("image {name}: {refusal}");
            }
            // Only now: what is on the disk is compared without another write.
            shared.settled.tell(name);
        }
    }
}

/// Has the files of names that are settled share their extents, one after the other. It may take long, and holds nobody
/// up. Never ends.
pub async fn follow_settled(shared: &Shared) {
    loop {
        shared.settled.told().await;
        for name in shared.settled.take() {
            share(shared, &name).await;
        }
    }
}

async fn settle(shared: &Shared, name: &ImageRef) -> Result<(), Refusal> {
    let _writer = shared.writer().await;
    let record = shared.index.borrow_mut().find(name).map(|entry| entry.image().record.clone());
    // Removed meanwhile; or given to another image, which is in line itself.
    let Some(record) = record.filter(|record| !shared.arrivals.contains(name) && record.name == name.to_string())
    else {
        return Ok(());
    };
    let (disk, name): (Arc<Disk>, ImageRef) = (shared.disk.clone(), name.clone());
    beside(move || disk.put_name(&name, &encode(&record, None)?, true)).await
}

/// Has an image's files share their extents with those of another. It may take long, and nobody waits for it.
async fn share(shared: &Shared, name: &ImageRef) {
    let Some((tree, other)) = share::kin(&mut shared.index.borrow_mut(), name) else { return };
    match worker::apart("share", SHARE_STACK, move || Ok(share::share(&tree, &other))).await {
        Ok(bytes @ 1..) => log::info!("image {name}: {bytes} bytes are shared with another image"),
        Ok(_) => {}
        Err(refusal) => log::warn!("image {name}: {refusal}"),
    }
}

/// Has the file system write down everything. On a thread of its own, which nobody waits for when the daemon leaves.
async fn sync(root: PathBuf) -> Result<(), Refusal> {
    let (done, synced) = oneshot::channel();
    let work = move || {
        let result = std::fs::File::open(&root).and_then(|dir| Ok(nix::unistd::syncfs(dir.as_fd())?));
        // Nobody listens any more: the daemon leaves.
        let _ = done.send(result);
    };
    let failed = |e: std::io::Error| Refusal::io("syncfs", &e);
    std::thread::Builder::new().name("syncfs".to_owned()).spawn(work).map_err(failed)?;
    synced.await.unwrap_or_else(|_| Err(std::io::ErrorKind::Interrupted.into())).map_err(failed)
}
