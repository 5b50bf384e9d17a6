//! Which names stand for which images, and who may be removed. Pure: no file is touched here.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, Weak};
use std::time::SystemTime;

use super::digest::Digest;
use super::disk::Keep;
use super::image::Image;
use crate::id::ImageRef;
use crate::refusal::Refusal;

/// The images by name, and those that lost their name while somebody held them.
#[derive(Default)]
pub struct Index {
    names: BTreeMap<ImageRef, Entry>,
    nameless: Vec<Weak<Image>>,
    /// Those that the store's own work needs: they are kept, and not in use.
    needed: Vec<Weak<Image>>,
    /// The manifests of those whose blobs or trees are known to be damaged.
    damaged: BTreeSet<Digest>,
    /// Whether there are names of which nobody could read what they stand for.
    is_doubtful: bool,
}

/// An image with a name. The store's own copy is never given away, so that whoever holds one is somebody outside.
pub struct Entry {
    image: Image,
    lent: Weak<Image>,
    used: SystemTime,
}

impl Entry {
    /// The image, to look at.
    pub fn image(&self) -> &Image {
        &self.image
    }

    /// The image, to hold and use: all who hold it hold the same.
    pub fn lend(&mut self) -> Arc<Image> {
        self.lent.upgrade().unwrap_or_else(|| {
            let mut image = self.image.clone();
            image.is_lent = true;
            let image = Arc::new(image);
            self.lent = Arc::downgrade(&image);
            image
        })
    }

    /// When it was last used: now, where it is held.
    pub fn used(&self) -> SystemTime {
        if self.is_held() { SystemTime::now() } else { self.used }
    }

    /// Whether anybody holds it.
    pub fn is_held(&self) -> bool {
        self.lent.strong_count() > 0
    }
}

impl Index {
    /// The image that `reference` means among local ones: under its full name, or by a digest that its repository's
    /// registry knows it by.
    pub fn find(&mut self, reference: &ImageRef) -> Option<&mut Entry> {
        let name = self.name(reference)?;
        self.names.get_mut(&name)
    }

    /// The full name that `reference` means among local ones.
    pub fn name(&self, reference: &ImageRef) -> Option<ImageRef> {
        let by_digest = |full: &ImageRef| {
            let digest = full.digest()?;
            let fits = |(name, entry): &(&ImageRef, &Entry)| entry.image.digest == digest && name.is_beside(full);
            self.names.iter().find(fits).map(|(name, _)| name.clone())
        };
        let mut candidates = reference.candidates().into_iter().map(|full| full.canonical());
        candidates.find_map(|full| if self.names.contains_key(&full) { Some(full) } else { by_digest(&full) })
    }

    /// An image that was made of this manifest, under the repository of `reference`: what came from elsewhere has not
    /// been held against what the host's policy says of that one.
    pub fn find_source(&mut self, source: &Digest, reference: &ImageRef) -> Option<Arc<Image>> {
        let fits = |image: &&Image| image.record.source == *source && image.name.is_beside(reference);
        let image = self.whole().find(fits)?.clone();
        Some(self.need(image))
    }

    /// An image with this manifest in the store.
    pub fn find_manifest(&mut self, manifest: &Digest) -> Option<Arc<Image>> {
        let image = self.whole().find(|image| image.record.manifest == *manifest)?.clone();
        Some(self.need(image))
    }

    fn whole(&self) -> impl Iterator<Item = &Image> {
        self.iter().map(Entry::image).filter(|image| !self.damaged.contains(&image.record.manifest))
    }

    /// Notes whether the image of a manifest was found damaged: what comes anew does not share with such a one.
    pub fn mark(&mut self, manifest: &Digest, is_damaged: bool) {
        if is_damaged {
            self.damaged.insert(manifest.clone());
        } else {
            self.damaged.remove(manifest);
        }
    }

    /// Whether the image of a manifest was found damaged, and nobody uses it: it may be replaced.
    pub fn is_to_be_mended(&self, manifest: &Digest) -> bool {
        let is_it = |image: &Image| image.record.manifest == *manifest;
        let is_used = self.names.values().any(|entry| is_it(&entry.image) && entry.is_held())
            || self.nameless.iter().filter_map(Weak::upgrade).any(|image| is_it(&image));
        self.damaged.contains(manifest) && !is_used
    }

    /// The image that `reference` means, for work of the store's own: it is kept as long as it is held, but whoever looks
    /// at an image does not use it, and is in nobody's way who removes its name.
    pub fn hold(&mut self, reference: &ImageRef) -> Option<Arc<Image>> {
        let image = self.find(reference)?.image.clone();
        Some(self.need(image))
    }

    fn need(&mut self, image: Image) -> Arc<Image> {
        let image = Arc::new(image);
        self.needed.push(Arc::downgrade(&image));
        image
    }

    /// All images by name.
    pub fn iter(&self) -> impl Iterator<Item = &Entry> {
        self.names.values()
    }

    /// Gives an image its name. Whoever had it before loses it, and stays as long as he is held.
    pub fn put(&mut self, image: Image, used: SystemTime) {
        let entry = Entry { image, lent: Weak::new(), used };
        if let Some(before) = self.names.insert(entry.image.name.clone(), entry)
            && before.is_held()
        {
            self.nameless.push(before.lent);
        }
    }

    /// Takes the name that `reference` means away, unless that is in use.
    pub fn take(&mut self, reference: &ImageRef) -> Result<Image, Refusal> {
        let name = self.name(reference).ok_or_else(|| unknown(reference))?;
        self.may_go(&name)?;
        self.names.remove(&name).map(|entry| entry.image).ok_or_else(|| unknown(reference))
    }

    /// Takes a name away that is none any more; whoever holds the image goes on holding it.
    pub fn strike(&mut self, name: &str) -> Option<Image> {
        let name = self.names.keys().find(|known| known.to_string() == name)?.clone();
        let entry = self.names.remove(&name)?;
        if entry.is_held() {
            self.nameless.push(entry.lent);
        }
        Some(entry.image)
    }

    /// Whether a name may be taken away.
    pub fn may_go(&self, name: &ImageRef) -> Result<(), Refusal> {
        let entry = self.names.get(name).ok_or_else(|| unknown(name))?;
        let held =
            |fits: &dyn Fn(&Image) -> bool| self.nameless.iter().filter_map(Weak::upgrade).any(|other| fits(&other));
        if entry.is_held() || held(&|other| other.name == *name) {
            let why = format_args!("{name}: a container was made from it; remove the container first");
            return Err(Refusal::in_use(why));
        }
        let same = |other: &Image| other.record.manifest == entry.image.record.manifest;
        let last = self.names.values().filter(|other| same(&other.image)).count() == 1;
        if last && held(&same) {
            return Err(Refusal::in_use(format_args!(
                "{name}: it is the last name of an image that a container uses; remove the container first"
            )));
        }
        Ok(())
    }

    /// Notes that there is a name of which nobody could read what it stands for.
    pub fn doubt(&mut self) {
        self.is_doubtful = true;
    }

    /// What the images with a name need, and those that somebody holds.
    pub fn keep(&self) -> Keep {
        let mut keep = Keep { all: self.is_doubtful, ..Keep::default() };
        self.names.values().for_each(|entry| entry.image.keep(&mut keep));
        let held = self.nameless.iter().chain(&self.needed);
        held.filter_map(Weak::upgrade).for_each(|image| image.keep(&mut keep));
        keep
    }

    /// Notes that a name was in use until now.
    pub fn touch(&mut self, name: &ImageRef) {
        if let Some(entry) = self.names.get_mut(name) {
            entry.used = SystemTime::now();
        }
    }

    /// Forgets those without a name that nobody holds any more; whether there were any.
    pub fn forget(&mut self) -> bool {
        let before = self.nameless.len() + self.needed.len();
        self.nameless.retain(|image| image.strong_count() > 0);
        self.needed.retain(|image| image.strong_count() > 0);
        self.nameless.len() + self.needed.len() < before
    }
}

/// No image has that name.
pub fn unknown(reference: &ImageRef) -> Refusal {
    Refusal::not_found(format_args!("no image {reference} here; image ls shows those there are"))
}
