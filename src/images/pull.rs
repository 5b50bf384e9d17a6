//! One pull: what the reference means, the blobs that are not here yet, the tree. Everything happens in a directory of
//! its own in `tmp/`, so that a pull that fails or is given up leaves the store as it was.

use std::cell::Cell;
use std::pin::pin;
use std::sync::Arc;
use std::time::Duration;

use futures::future::{Either, select};
use tokio::sync::OwnedMutexGuard;
use tokio::time::Instant;

use super::digest::Digest;
use super::disk::{Disk, Staging};
use super::flight::Reporter;
use super::image::Record;
use super::layout::Layout;
use super::manifest::{Document, Manifest, Platform, choose};
use super::meter::Meter;
use super::shared::{Arrival, Shared};
use super::unpack::{self, Copied, must_suit};
use crate::fault;
use crate::id::ImageRef;
use crate::refusal::Refusal;
use crate::tools::skopeo::{self, Access};
use crate::tools::umoci;
use crate::worker::{beside, look};

/// How long a copy may go without a byte.
const STALL: Duration = Duration::from_secs(120);
/// How often a copy's bytes are counted. skopeo tells nothing where it has no terminal, and inotify would cost one of
/// the host's few instances for each pull, to wake us at every write; so that here, and only while a pull runs, we look.
const LOOK: Duration = Duration::from_millis(100);

/// What the documents of an image may take beside its blobs, in bytes.
const SLACK: u64 = 8 << 20;

/// How an image is to be pulled.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash)]
pub struct PullOptions {
    /// Whether TLS is demanded of the registry; where nothing is said, registries.conf says.
    pub tls_verify: Option<bool>,
    /// Where credentials are, in place of skopeo's own places.
    pub authfile: Option<std::path::PathBuf>,
    /// `OS/ARCH[/VARIANT]` in place of this host's.
    pub platform: Option<String>,
}

impl PullOptions {
    fn access(&self) -> Access {
        Access { tls_verify: self.tls_verify, authfile: self.authfile.clone() }
    }

    /// The platform asked for.
    pub(super) fn wanted(&self) -> Result<Option<Platform>, Refusal> {
        self.platform.as_deref().map(str::parse).transpose()
    }
}

/// What a reference means at a registry.
struct Source {
    /// The digest of what stands under the reference.
    digest: Digest,
    /// The digest of the manifest for the platform: the same, or one of the index.
    instance: Digest,
    manifest: Manifest,
    /// `docker://REPOSITORY@INSTANCE`: a tag may move between two questions, a digest cannot.
    at: String,
}

impl Source {
    /// Refuses a registry that sends more than its manifest says: skopeo knows a blob for wrong only at its end.
    fn must_not_exceed(&self, bytes: u64) -> Result<(), Refusal> {
        let said = self.manifest.size();
        // What is packed anew has another length: a plain layer is gzipped, to little more than it was.
        let allowed = said.saturating_add(said / 64).saturating_add(SLACK);
        if bytes > allowed && !self.manifest.has_zstd() {
            return Err(Refusal::tool_failed(format_args!(
                "the registry sends more than the {said} bytes it spoke of"
            )));
        }
        Ok(())
    }
}

/// Fetches the image that `reference` means at its registry into a place of its own, unless it is in the store. The turn at
/// it is to be held until it has its name.
pub async fn fetch(
    shared: &Shared,
    reference: &ImageRef,
    options: &PullOptions,
    reporter: &Reporter,
) -> Result<(Arrival, OwnedMutexGuard<()>), Refusal> {
    let line = shared.line().await?;
    reporter.begin("resolve", 0);
    let pull = Pull { shared, reference, options, reporter, access: options.access(), reused: Cell::new(false) };
    let source = pull.resolve().await?;
    shared.bound.admit(source.manifest.size())?;
    // Who waits for another's fetch needs no line.
    drop(line);
    let turn = shared.fetches.turn(&source.instance).await;
    let _line = shared.line().await?;
    let present = shared.index.borrow_mut().find_source(&source.instance, reference);
    if let Some(image) = present {
        must_suit(&image.platform, options.wanted()?.as_ref())?;
        let record = Record { name: reference.to_string(), digest: source.digest, ..image.record.clone() };
        return Ok((Arrival { record, staged: None, _twin: Some(image) }, turn));
    }
    let arrival = match pull.attempt(&source, true).await {
        // One of the blobs that were here is not what its name says: none of them is trusted.
        Err(refusal) if pull.reused.get() && umoci::found_damage(&refusal) => {
            log::warn!("image {reference}: {refusal}; fetching all of it anew");
            pull.attempt(&source, false).await
        }
        done => done,
    };
    arrival.map(|arrival| (arrival, turn))
}

struct Pull<'a> {
    shared: &'a Shared,
    reference: &'a ImageRef,
    options: &'a PullOptions,
    reporter: &'a Reporter,
    access: Access,
    /// Whether a blob was taken from the store.
    reused: Cell<bool>,
}

impl Pull<'_> {
    async fn resolve(&self) -> Result<Source, Refusal> {
        self.check_authfile().await?;
        let named = format!("docker://{}", self.reference.for_transport());
        let bytes = skopeo::manifest(&self.shared.tools, &named, &self.access).await?;
        let digest = Digest::of(&bytes);
        if self.reference.digest().is_some_and(|wanted| wanted != digest.to_string()) {
            return Err(Refusal::tool_failed(format_args!("the registry gave {digest} for it")));
        }
        match Document::read(&bytes)? {
            Document::Image(manifest) => {
                Ok(Source { at: self.at(&digest), instance: digest.clone(), digest, manifest })
            }
            Document::Index(index) => {
                let wanted = self.options.wanted()?.unwrap_or_else(Platform::host);
                let instance = choose(&index, &wanted)?.digest.clone();
                let at = self.at(&instance);
                let bytes = skopeo::manifest(&self.shared.tools, &at, &self.access).await?;
                match Document::read(&bytes)? {
                    Document::Image(manifest) if Digest::of(&bytes) == instance => {
                        Ok(Source { digest, instance, manifest, at })
                    }
                    _ => Err(Refusal::tool_failed(format_args!("what the registry gave for {instance} is not that"))),
                }
            }
        }
    }

    fn at(&self, digest: &Digest) -> String {
        format!("docker://{}", self.reference.with_digest(&digest.to_string()))
    }

    /// skopeo takes a file that is not there for one without credentials, which nobody means who names it.
    async fn check_authfile(&self) -> Result<(), Refusal> {
        let Some(file) = self.access.authfile.clone() else { return Ok(()) };
        beside(move || {
            std::fs::metadata(&file).map(drop).map_err(|e| Refusal::io(format_args!("authfile {}", file.display()), &e))
        })
        .await
    }

    async fn attempt(&self, source: &Source, reuse: bool) -> Result<Arrival, Refusal> {
        let (disk, manifest) = (self.shared.disk.clone(), source.manifest.clone());
        let (staging, layout, reused) = beside(move || prepare(&disk, &manifest, reuse)).await?;
        self.reused.set(reused);
        if let Err(refusal) = self.copy(source, &staging, &layout).await {
            self.keep_whole(&refusal, layout).await;
            return Err(refusal);
        }
        let docker_config = self.docker_config(source, &layout).await?;
        let _turn = self.shared.turn().await?;
        self.reporter.begin("unpack", source.manifest.size());
        let registry = Some((source.digest.clone(), source.instance.clone()));
        let wanted = self.options.wanted()?;
        let name = self.reference.clone();
        unpack::unpack(self.shared, Copied { staging, layout, name, registry, docker_config, wanted }, &[]).await
    }

    /// What a copy that was cut off has fetched is kept for the next one.
    async fn keep_whole(&self, refusal: &Refusal, layout: Layout) {
        if !skopeo::was_cut_off(refusal) {
            return;
        }
        let (disk, bound) = (self.shared.disk.clone(), self.shared.bound);
        let kept = look(move || {
            let kept = disk.salvage(&layout.blobs());
            disk.trim_partial(bound);
            kept
        });
        if let Ok(kept @ 1..) = kept.await {
            log::info!("image {}: cut off; {kept} blobs are kept for a day, to go on from", self.reference);
        }
    }

    /// Copies what is missing, telling how far it is, and gives up on a registry that sends nothing any more.
    async fn copy(&self, source: &Source, staging: &Staging, layout: &Layout) -> Result<(), Refusal> {
        let written = || {
            let dir = layout.dir().to_owned();
            beside(move || Ok(skopeo::written(&dir)))
        };
        let before = written().await?;
        let mut meter = Meter::new(self.reporter, &source.manifest, &before);
        let to = layout.transport();
        let mut copy = pin!(skopeo::copy(&self.shared.tools, &source.at, &to, staging.dir(), &self.access));
        let (mut bytes, mut moved) = (before.bytes(), Instant::now());
        loop {
            match select(copy.as_mut(), pin!(tokio::time::sleep(LOOK))).await {
                Either::Left((copied, _)) => return copied,
                Either::Right(_) => {
                    let now = written().await?;
                    meter.tell(&now);
                    if now.bytes() != bytes {
                        (bytes, moved) = (now.bytes(), Instant::now());
                        self.shared.bound.admit(bytes)?;
                        source.must_not_exceed(bytes)?;
                    } else if moved.elapsed() > fault::deadline(STALL) {
                        return Err(Refusal::timeout(format_args!(
                            "skopeo: the registry sent nothing for {:?}",
                            fault::deadline(STALL)
                        )));
                    }
                }
            }
        }
    }

    /// The configuration as it was before skopeo converted it: what OCI has no word for is lost on the way.
    async fn docker_config(&self, source: &Source, layout: &Layout) -> Result<Option<Digest>, Refusal> {
        if !source.manifest.is_docker() {
            return Ok(None);
        }
        let bytes = skopeo::config(&self.shared.tools, &source.at, &self.access).await?;
        if Digest::of(&bytes) != source.manifest.config.digest {
            return Err(Refusal::tool_failed("the registry gave another configuration than its manifest says"));
        }
        let layout = layout.clone();
        beside(move || layout.put(&bytes).map(Some)).await
    }
}

/// A layout to copy into, with those of the image's blobs that are in the store, so that they are not fetched again.
fn prepare(disk: &Arc<Disk>, manifest: &Manifest, reuse: bool) -> Result<(Staging, Layout, bool), Refusal> {
    let staging = disk.stage("pull")?;
    let layout = Layout::create(staging.path("layout"))?;
    let mut reused = false;
    for blob in manifest.blobs().filter(|_| reuse) {
        // A hard link: whatever is removed from the store meanwhile stays here. Not there is the usual case.
        let at = layout.blob(&blob.digest);
        reused |= std::fs::hard_link(disk.blob(&blob.digest), &at).is_ok()
            || std::fs::hard_link(disk.partial(&blob.digest), &at).is_ok();
    }
    Ok((staging, layout, reused))
}
