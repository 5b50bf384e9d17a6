//! Opening the store: reads the names, and sweeps what no name needs.

use std::path::Path;
use std::rc::Rc;

use super::disk::{Disk, NameFile};
use super::image::Image;
use super::index::Index;
use super::settle;
use super::shared::Shared;
use crate::refusal::Refusal;
use crate::worker::beside;

/// Fills the index from the disk and takes away what a dead run left half done.
pub async fn open(shared: &Rc<Shared>) -> Result<(), Refusal> {
    let (disk, let_go) = (shared.disk.clone(), shared.let_go.clone());
    let (index, unsettled) = beside(move || {
        let mut unsettled = Vec::new();
        let work = disk.sweep_work()?;
        let mut index = Index::default();
        for NameFile { path, bytes, used } in disk.names()? {
            let loaded = settle::read(&bytes)
                .and_then(|(record, settled)| Ok((Image::load(&disk, record, let_go.clone())?, settled)));
            match loaded {
                Ok((image, settled)) => {
                    unsettled.extend((!settled).then(|| image.name.clone()));
                    index.put(image, used);
                }
                Err(refusal) => forget(&disk, &path, &refusal),
            }
        }
        let swept = disk.sweep(&index.keep())?;
        if work + swept.blobs + swept.trees > 0 {
            log::info!(
                "image store: swept {work} unfinished pieces of work, {} blobs ({} bytes) and {} trees of no image",
                swept.blobs,
                swept.bytes,
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
        let written = |name: NameFile| settle::read(&name.bytes).ok().map(|(record, _)| (record, name.used));
        Ok(disk.names()?.into_iter().filter_map(written).collect::<Vec<_>>())
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

/// A name whose image is not whole is no name: the image can be pulled again.
fn forget(disk: &Disk, path: &Path, refusal: &Refusal) {
    log::warn!("image store: {} stands for nothing that is whole, and is removed: {refusal}", path.display());
    if let Err(e) = disk.discard(path) {
        log::warn!("{}: {e}", path.display());
    }
}
