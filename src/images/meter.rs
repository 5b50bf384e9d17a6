//! How far a copy is, for those who wait for it: all of it, and the blobs one by one.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use super::flight::{Progress, Reporter};
use super::manifest::Manifest;
use crate::tools::skopeo::Written;

/// What is told of one copy. It is asked to look at most ten times a second, and tells one thing each time.
pub struct Meter<'a> {
    reporter: &'a Reporter,
    /// The blobs that have to come, by the digits of their digest, and how long each is.
    wanted: BTreeMap<String, u64>,
    config: String,
    /// What was there before anything came.
    here: u64,
    total: u64,
    /// Those of which it was told that they are whole.
    told: BTreeSet<String>,
    is_blobs_turn: bool,
}

impl<'a> Meter<'a> {
    /// For a copy of what `manifest` names and `before` lacks.
    pub fn new(reporter: &'a Reporter, manifest: &Manifest, before: &Written) -> Self {
        let missing = manifest.blobs().filter(|blob| !before.whole.contains_key(blob.digest.hex()));
        let wanted: BTreeMap<String, u64> = missing.map(|blob| (blob.digest.hex().to_owned(), blob.size)).collect();
        let total = wanted.values().fold(0, |sum: u64, size| sum.saturating_add(*size));
        let (config, here) = (manifest.config.digest.hex().to_owned(), before.bytes());
        let mut meter = Self { reporter, wanted, config, here, total, told: BTreeSet::new(), is_blobs_turn: false };
        meter.tell(before);
        meter
    }

    /// Tells of what is there now: in turn of all of it, and of one blob.
    pub fn tell(&mut self, now: &Written) {
        let blob = if self.is_blobs_turn { self.blob(now) } else { None };
        self.is_blobs_turn = !self.is_blobs_turn;
        let done = now.bytes().saturating_sub(self.here).min(self.total);
        self.reporter.report(blob.unwrap_or(Progress { stage: "fetch", done, total: self.total, blob: None }));
    }

    /// One that has become whole; else the last one that is missing, as far as it is. What of several grows is not
    /// known: their files have no names before they are whole.
    fn blob(&mut self, now: &Written) -> Option<Progress> {
        let is_whole = |hex: &&String| now.whole.contains_key(*hex);
        let progress = |hex: &str, done, total| {
            let blob = Some(Arc::from(format!("sha256:{hex}")));
            Some(Progress { stage: "fetch", done, total, blob })
        };
        let fresh = self.wanted.iter().find(|(hex, _)| is_whole(hex) && !self.told.contains(*hex));
        if let Some((hex, size)) = fresh {
            self.told.insert(hex.clone());
            return progress(hex, *size, *size);
        }
        // The configuration comes last, and at once.
        let is_layer = |hex: &String| *hex != self.config;
        let mut missing = self.wanted.iter().filter(|(hex, _)| is_layer(hex) && !is_whole(hex));
        match (missing.next(), missing.next()) {
            (Some((hex, size)), None) => progress(hex, now.growing.min(*size), *size),
            _ => None,
        }
    }
}
