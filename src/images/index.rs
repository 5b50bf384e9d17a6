//! Which names stand for which images, and who may be removed. Pure: no file is touched here.

use std::collections::BTreeMap;
use std::sync::{Arc, Weak};

use super::digest::Digest;
use super::disk::Keep;
use super::image::Image;
use crate::id::ImageRef;
use crate::refusal::Refusal;

/// The images by name, and those that lost their name while somebody held them.
#[derive(Default)]
pub struct Index {
    names: BTreeMap<ImageRef, Arc<Image>>,
    nameless: Vec<Weak<Image>>,
}

impl Index {
    /// The image that `reference` means among local ones: under its full name, or by a digest that its repository's
    /// registry knows it by.
    pub fn find(&self, reference: &ImageRef) -> Option<&Arc<Image>> {
        let mut candidates = reference.candidates().into_iter().map(|full| full.canonical());
        candidates.find_map(|full| self.names.get(&full).or_else(|| self.find_by_digest(&full)))
    }

    fn find_by_digest(&self, full: &ImageRef) -> Option<&Arc<Image>> {
        let digest = full.digest()?;
        self.names.iter().find(|(name, image)| image.digest == digest && name.is_beside(full)).map(|(_, image)| image)
    }

    /// An image that was made of this manifest of a registry.
    pub fn find_source(&self, source: &Digest) -> Option<&Arc<Image>> {
        self.names.values().find(|image| image.record.source == *source)
    }

    /// An image with this manifest in the store.
    pub fn find_manifest(&self, manifest: &Digest) -> Option<&Arc<Image>> {
        self.names.values().find(|image| image.record.manifest == *manifest)
    }

    /// All images by name.
    pub fn iter(&self) -> impl Iterator<Item = &Arc<Image>> {
        self.names.values()
    }

    /// Gives an image its name. Whoever had it before loses it.
    pub fn put(&mut self, image: Arc<Image>) {
        if let Some(before) = self.names.insert(image.name.clone(), image) {
            self.retire(&before);
        }
    }

    fn retire(&mut self, image: &Arc<Image>) {
        self.nameless.push(Arc::downgrade(image));
    }

    /// Takes the name that `reference` means away, unless that is in use.
    pub fn take(&mut self, reference: &ImageRef) -> Result<Arc<Image>, Refusal> {
        let image = self.find(reference).ok_or_else(|| unknown(reference))?;
        self.may_go(image)?;
        let name = image.name.clone();
        self.names.remove(&name).ok_or_else(|| unknown(reference))
    }

    /// Whether an image's name may be taken away.
    pub fn may_go(&self, image: &Arc<Image>) -> Result<(), Refusal> {
        if Arc::strong_count(image) > 1 {
            let why = format_args!("{}: a container was made from it; remove the container first", image.name);
            return Err(Refusal::in_use(why));
        }
        let same = |other: &Image| other.record.manifest == image.record.manifest;
        let last = self.names.values().filter(|other| same(other)).count() == 1;
        let held = self.nameless.iter().filter_map(Weak::upgrade).any(|other| same(&other));
        if last && held {
            return Err(Refusal::in_use(format_args!(
                "{}: it is the last name of an image that a container uses; remove the container first",
                image.name
            )));
        }
        Ok(())
    }

    /// What the images with a name need, and those without that somebody holds.
    pub fn keep(&self) -> Keep {
        let mut keep = Keep::default();
        self.names.values().for_each(|image| image.keep(&mut keep));
        self.nameless.iter().filter_map(Weak::upgrade).for_each(|image| image.keep(&mut keep));
        keep
    }

    /// Forgets the nameless that nobody holds any more; whether there were any.
    pub fn forget(&mut self) -> bool {
        let before = self.nameless.len();
        self.nameless.retain(|image| image.strong_count() > 0);
        self.nameless.len() < before
    }
}

/// No image has that name.
pub fn unknown(reference: &ImageRef) -> Refusal {
    Refusal::not_found(format_args!("no image {reference} here; image ls shows those there are"))
}
