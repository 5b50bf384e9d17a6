//! What the store's actor and its pulls have in common, and the changes they make to it, one at a time.

use std::cell::RefCell;
use std::collections::{BTreeSet, HashMap};
use std::panic::AssertUnwindSafe;
use std::path::PathBuf;
use std::rc::Rc;
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use futures::FutureExt;
use tokio::sync::{Mutex, MutexGuard, Semaphore, SemaphorePermit, watch};

use super::bound::Bound;
use super::digest::Digest;
use super::disk::{Disk, Staging, Swept};
use super::flight::{Fetches, Key, Reporter};
use super::image::{Image, Record};
use super::index::{Entry, Index, unknown};
use super::layout::Layout;
use super::pending::Pending;
use super::settle;
use super::unpack::ROOTFS;
use crate::du::Du;
use crate::events::{Bus, Kind};
use crate::id::ImageRef;
use crate::refusal::{Code, Refusal};
use crate::tools::Tools;
use crate::worker::{beside, look};

/// How many images are unpacked or packed at once; more wait in line.
const WORKERS: usize = 3;
/// How many are fetched at once: those from slow registries are not in the way of what is done here.
const LINES: usize = 8;
/// How long work that panicked rests.
const AGAIN: Duration = Duration::from_secs(1);

/// The store behind its actor. One thread's.
pub struct Shared {
    /// The directories.
    pub disk: Arc<Disk>,
    /// skopeo and umoci.
    pub tools: Tools,
    /// How much disk one image may take.
    pub bound: Bound,
    /// Which names stand for what.
    pub index: RefCell<Index>,
    /// The pulls on their way.
    pub flights: RefCell<HashMap<Key, Reporter>>,
    /// Who of them fetches which image.
    pub fetches: Fetches,
    /// Told when the last who held an image lets go of it.
    pub let_go: Arc<Pending>,
    /// Told of names that are not known to be on the disk yet.
    pub arrivals: Pending,
    /// Told of names that are.
    pub settled: Pending,
    /// Where it tells what happens.
    pub bus: Bus,
    /// True when the store is closed.
    closed: watch::Sender<bool>,
    /// Held by whoever changes blobs, trees and names: what is needed must not change while refuse is swept.
    writer: Mutex<()>,
    turns: Semaphore,
    lines: Semaphore,
}

/// An image that is ready to get its name.
pub struct Arrival {
    /// What is to be written down.
    pub record: Record,
    /// Where it was made, unless the store has all of it.
    pub staged: Option<Staged>,
    /// The image in the store that it shares its tree with: held, and so kept, until the new name is written.
    pub _twin: Option<Arc<Image>>,
}

/// An image in a directory of its own.
pub struct Staged {
    /// That directory.
    pub staging: Staging,
    /// The layout in it.
    pub layout: Layout,
    /// The blobs to take from there.
    pub blobs: BTreeSet<Digest>,
}

impl Shared {
    /// A store in `disk`, which is to be loaded; `max_image_size` in bytes, 0 for no bound.
    pub fn new(disk: Arc<Disk>, tools: Tools, bus: Bus, max_image_size: u64) -> Rc<Self> {
        Rc::new(Self {
            disk,
            tools,
            bound: Bound::new(max_image_size),
            index: RefCell::default(),
            flights: RefCell::default(),
            fetches: Fetches::default(),
            let_go: Arc::default(),
            arrivals: Pending::default(),
            settled: Pending::default(),
            bus,
            closed: watch::Sender::new(false),
            writer: Mutex::new(()),
            turns: Semaphore::new(WORKERS),
            lines: Semaphore::new(LINES),
        })
    }

    /// Runs `work` in a task of its own, until the store is closed.
    pub fn spawn(&self, work: impl Future<Output = ()> + 'static) {
        let mut closed = self.closed.subscribe();
        actix_rt::spawn(async move {
            tokio::select! {
                () = work => {}
                // An error means that nothing of the store is left.
                _ = closed.wait_for(|closed| *closed) => {}
            }
        });
    }

    /// Does the same with work that is never done, and begins it anew where it panics.
    pub fn keep_on<W: Future<Output = ()> + 'static>(&self, mut begin: impl FnMut() -> W + 'static) {
        self.spawn(async move {
            while AssertUnwindSafe(begin()).catch_unwind().await.is_err() {
                log::error!("work of the image store panicked, and is begun anew");
                tokio::time::sleep(AGAIN).await;
            }
        });
    }

    /// Ends all that was begun so.
    pub fn close(&self) {
        self.closed.send_replace(true);
        self.flights.borrow_mut().clear();
    }

    /// A turn at heavy work; first come, first served.
    pub async fn turn(&self) -> Result<SemaphorePermit<'_>, Refusal> {
        self.turns.acquire().await.map_err(|_| Refusal::shutting_down("the image store is closed"))
    }

    /// One of the lines to registries; first come, first served.
    pub async fn line(&self) -> Result<SemaphorePermit<'_>, Refusal> {
        self.lines.acquire().await.map_err(|_| Refusal::shutting_down("the image store is closed"))
    }

    /// Leave to change blobs, trees and names.
    pub async fn writer(&self) -> MutexGuard<'_, ()> {
        self.writer.lock().await
    }

    /// Brings an image in and gives it its name, which is the last step: until then the store is as it was.
    pub async fn adopt(&self, arrival: Arrival, action: &'static str) -> Result<Arc<Image>, Refusal> {
        let adopted = self.adopt_all(vec![arrival], action).await?;
        adopted.into_iter().next().ok_or_else(|| Refusal::internal("an image came, and is not there"))
    }

    /// The same with several, whose names are all given or none. One may need what comes with another before it.
    pub async fn adopt_all(&self, arrivals: Vec<Arrival>, action: &'static str) -> Result<Vec<Arc<Image>>, Refusal> {
        let _writer = self.writer.lock().await;
        let names = arrivals.iter().map(|arrival| arrival.record.name.parse());
        let names = names.collect::<Result<Vec<ImageRef>, Refusal>>()?;
        let new: Vec<Arrival> = {
            let pairs = arrivals.into_iter().zip(&names);
            pairs.filter(|(arrival, name)| !self.has(name, &arrival.record)).map(|(arrival, _)| arrival).collect()
        };
        if !new.is_empty() {
            self.make_way(&new);
            let (disk, let_go) = (self.disk.clone(), self.let_go.clone());
            let images = match beside(move || bring_in(&disk, &new, &let_go)).await {
                Ok(images) => images,
                Err(refusal) => {
                    self.sweep().await;
                    return Err(refusal);
                }
            };
            for image in images {
                let name = image.name.clone();
                self.index.borrow_mut().put(image, SystemTime::now());
                self.arrivals.tell(&name);
            }
            // Whoever had the name before may be refuse now.
            self.sweep().await;
        }
        let mut adopted = Vec::new();
        for name in &names {
            let image = self.index.borrow_mut().find(name).map(Entry::lend).ok_or_else(|| unknown(name))?;
            self.bus.publish(Kind::Image, name.to_string(), action, vec![("digest", image.digest.clone())]);
            adopted.push(image);
        }
        Ok(adopted)
    }

    /// Takes damaged trees out of the way of those that come for them, where no container has them.
    fn make_way(&self, arrivals: &[Arrival]) {
        let mut index = self.index.borrow_mut();
        let manifests =
            arrivals.iter().filter(|it| it.staged.is_some() && it._twin.is_none()).map(|it| &it.record.manifest);
        for manifest in manifests {
            if index.is_to_be_mended(manifest) {
                match self.disk.discard(&self.disk.rootfs(manifest)) {
                    Ok(()) => index.mark(manifest, false),
                    Err(e) => log::warn!("{manifest}: {e}"),
                }
            }
        }
    }

    /// Whether that name stands for just that already, and it is as it should be: then nobody who holds it is to lose it.
    fn has(&self, name: &ImageRef, record: &Record) -> bool {
        let mut index = self.index.borrow_mut();
        !index.is_to_be_mended(&record.manifest)
            && index.find(name).is_some_and(|entry| entry.image().record == *record)
    }

    /// Takes a name away, and what only it needed.
    pub async fn remove(&self, reference: &ImageRef) -> Result<ImageRef, Refusal> {
        let _writer = self.writer.lock().await;
        let name = self.strike(reference).await?;
        self.sweep().await;
        Ok(name)
    }

    /// Takes those names away that nobody uses by now, and what no image needs; gives the names, and the bytes that come
    /// free.
    pub async fn remove_unused(&self, names: Vec<ImageRef>) -> Result<(Vec<ImageRef>, u64), Refusal> {
        let _writer = self.writer.lock().await;
        let mut removed = Vec::new();
        for name in names {
            match self.strike(&name).await {
                Ok(name) => removed.push(name),
                // Taken into use, or away, since somebody looked.
                Err(refusal) if matches!(refusal.code(), Code::InUse | Code::NotFound) => {}
                Err(refusal) => return Err(refusal),
            }
        }
        let swept = self.sweep_with(Some(Du::default())).await;
        Ok((removed, swept.bytes))
    }

    /// Takes a name away; the writer's lock is held by whoever calls it, and a sweep follows.
    async fn strike(&self, reference: &ImageRef) -> Result<ImageRef, Refusal> {
        // Out of the index first, so that nobody is given the image while its file goes.
        let image = self.index.borrow_mut().take(reference)?;
        let (disk, name) = (self.disk.clone(), image.name.clone());
        if let Err(refusal) = beside(move || disk.remove_name(&name)).await {
            self.index.borrow_mut().put(image, SystemTime::now());
            return Err(refusal);
        }
        self.bus.publish(Kind::Image, image.name.to_string(), "remove", Vec::new());
        Ok(image.name.clone())
    }

    /// Notes when images are let go of, and takes away what only those needed that lost their name. Never ends.
    pub async fn follow_letting_go(&self) {
        loop {
            self.let_go.told().await;
            self.note_letting_go().await;
        }
    }

    /// The same, once.
    pub async fn note_letting_go(&self) {
        let _writer = self.writer.lock().await;
        let names = self.let_go.take();
        names.iter().for_each(|name| self.index.borrow_mut().touch(name));
        let disk = self.disk.clone();
        let touched = beside(move || {
            names.iter().for_each(|name| disk.touch_name(name));
            Ok(())
        });
        if let Err(refusal) = touched.await {
            log::warn!("{refusal}");
        }
        if self.index.borrow_mut().forget() {
            self.sweep().await;
        }
    }

    /// Takes away what no image needs; the writer's lock is held by whoever calls it. A failure leaves refuse, which
    /// the next sweep finds again.
    async fn sweep(&self) {
        self.sweep_with(None).await;
    }

    async fn sweep_with(&self, du: Option<Du>) -> Swept {
        let (disk, keep) = (self.disk.clone(), self.index.borrow().keep());
        beside(move || disk.sweep(&keep, du)).await.unwrap_or_else(|refusal| {
            log::warn!("sweeping the image store: {refusal}");
            Swept::default()
        })
    }

    /// What comes of work that needs room. Where there is none, what pulls that were cut off have left is given up, so that
    /// the next try has more.
    pub async fn with_room<T>(&self, work: impl Future<Output = Result<T, Refusal>>) -> Result<T, Refusal> {
        let done = work.await;
        if done.as_ref().is_err_and(|refusal| refusal.code() == Code::NoSpace) {
            let disk = self.disk.clone();
            let freed = look(move || disk.clear_partial()).await.unwrap_or_default();
            log::info!("image store: the disk is full; {freed} bytes of pulls that were cut off are given up");
        }
        done
    }
}

fn bring_in(disk: &Disk, arrivals: &[Arrival], let_go: &Arc<Pending>) -> Result<Vec<Image>, Refusal> {
    let move_to = |to: PathBuf, from: PathBuf| std::fs::rename(from, &to).map_err(|e| Refusal::io(to.display(), &e));
    for (Staged { staging, layout, blobs }, record) in
        arrivals.iter().filter_map(|it| Some((it.staged.as_ref()?, &it.record)))
    {
        blobs.iter().try_for_each(|blob| move_to(disk.blob(blob), layout.blob(blob)))?;
        let rootfs = disk.rootfs(&record.manifest);
        if !rootfs.exists() {
            move_to(rootfs, staging.path(ROOTFS))?;
        }
    }
    let load = |it: &Arrival| Image::load(disk, it.record.clone(), let_go.clone());
    let images = arrivals.iter().map(load).collect::<Result<Vec<_>, _>>()?;
    let written = |it: &Arrival| Ok((it.record.name.parse()?, settle::unsettled(&it.record)?));
    disk.put_names(&arrivals.iter().map(written).collect::<Result<Vec<_>, Refusal>>()?)?;
    Ok(images)
}
