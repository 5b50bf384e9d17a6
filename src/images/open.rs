//! Opening the store: reads the names, and sweeps what no name needs.

use std::path::Path;
use std::rc::Rc;

use super::disk::{Disk, NameFile};
use super::image::Image;
use super::index::Index;
use super::settle;
use super::shared::Shared;
use crate::refusal::{Code, Refusal};
use crate::worker::beside;

/// Fills the index from the disk and takes away what a dead run left half done.
pub async fn open(shared: &Rc<Shared>) -> Result<(), Refusal> {
    let (disk, let_go) = (shared.disk.clone(), shared.let_go.clone());
    let (index, unsettled) = beside(move || {
        let mut unsettled = Vec::new();
        let work = disk.sweep_work()?;
        let mut index = Index::default();
        for NameFile { path, bytes, used } in disk.names()? {
            let loaded = bytes
                .and_then(|bytes| settle::read(&bytes))
                .and_then(|(record, settled)| Ok((Image::load(&disk, record, let_go.clone())?, settled)));
            match loaded {
                Ok((image, settled)) => {
                    unsettled.extend((!settled).then(|| image.name.clone()));
                    index.put(image, used);
                }
                Err(refusal) if is_proof(&refusal) => forget(&disk, &path, &refusal),
                Err(refusal) => {
                    let path = path.display();
                    log::error!("image store: {path} is left as it is, and nothing is swept until a start at which it can be read: {refusal}");
                    index.doubt();
                }
            }
        }
        let swept = disk.sweep(&index.keep(), None)?;
        if work + swept.blobs + swept.trees > 0 {
            log::info!(
                "image store: swept {work} unfinished pieces of work, {} blobs and {} trees of no image",
                swept.blobs,
                swept.trees
            );
        }
        Ok((index, unsettled))
    })
    .await?;
    shared.index.replace(index);
    unsettled.iter().for_each(|name| shared.arrivals.tell(name));
    Ok(())
}

/// Holds the index against the disk, where somebody may have panicked between the two.
pub async fn compare(shared: &Rc<Shared>) -> Result<(), Refusal> {
    let _writer = shared.writer().await;
    let disk = shared.disk.clone();
    let on_disk = beside(move || {
        let mut written = Vec::new();
        for NameFile { bytes, used, .. } in disk.names()? {
            written.extend(settle::read(&bytes?).ok().map(|(record, _)| (record, used)));
        }
        Ok(written)
    })
    .await?;
    let lacking: Vec<_> = {
        let mut index = shared.index.borrow_mut();
        let known: Vec<_> = index.iter().map(|entry| entry.image().record.clone()).collect();
        for record in known.iter().filter(|known| !on_disk.iter().any(|(record, _)| record.name == known.name)) {
            log::warn!("image store: {} is not on the disk any more", record.name);
            drop(index.strike(&record.name));
        }
        on_disk.into_iter().filter(|(record, _)| !known.contains(record)).collect()
    };
    for (record, used) in lacking {
        let (disk, let_go) = (shared.disk.clone(), shared.let_go.clone());
        let image = beside(move || Image::load(&disk, record, let_go)).await?;
        log::info!("image store: {} is found on the disk", image.name);
        shared.index.borrow_mut().put(image, used);
    }
    Ok(())
}

/// Whether that shows that an image is not whole: something of it is missing, or says nothing. It is not shown by a disk
/// or a machine that did not let us look.
fn is_proof(refusal: &Refusal) -> bool {
    matches!(refusal.code(), Code::NotFound | Code::ToolFailed | Code::Unsupported)
}

/// A name whose image is not whole is no name: the image can be pulled again.
fn forget(disk: &Disk, path: &Path, refusal: &Refusal) {
    log::warn!("image store: {} stands for nothing that is whole, and is removed: {refusal}", path.display());
    if let Err(e) = disk.discard(path) {
        log::warn!("{}: {e}", path.display());
    }
}
