//! The image store's actor: its messages, and what they start.

use std::path::PathBuf;
use std::rc::Rc;
use std::sync::Arc;

use actix::prelude::*;
use tokio::sync::{mpsc, watch};

use super::disk::Disk;
use super::flight::{self, Progress, State};
use super::image::Image;
use super::import::{self, ImportConfig};
use super::index::{Entry, unknown};
use super::open;
use super::pull::PullOptions;
use super::settle;
use super::shared::Shared;
use super::unpack::must_suit;
use crate::config::Config;
use crate::events::{Bus, Kind};
use crate::fault;
use crate::id::ImageRef;
use crate::link::{self, Post, Teller};
use crate::refusal::Refusal;
use crate::tools::Tools;
use crate::worker::beside;

/// The images of one root directory. What it works on, and the pulls on their way, outlive an actor that panics.
pub struct ImageStore {
    shared: Rc<Shared>,
    /// Where its successor comes from.
    fallen: Option<Teller<Self>>,
}

impl Actor for ImageStore {
    type Context = Context<Self>;
}

impl ImageStore {
    /// Opens the store under the root directory and starts its actor. What a dead run left half done is swept, and
    /// said. The time it takes grows with the number of images, not with what is in them.
    pub async fn start(config: &Config, tools: &Tools, bus: Bus) -> Result<Post<Self>, Refusal> {
        let root = config.root.join("images");
        let disk = Arc::new(beside(move || Disk::open(root)).await?);
        let shared = Shared::new(disk, tools.clone(), bus, config.max_image_size);
        open::open(&shared).await?;
        let letting_go = shared.clone();
        shared.keep_on(move || {
            let shared = letting_go.clone();
            async move { shared.follow_letting_go().await }
        });
        let arriving = shared.clone();
        shared.keep_on(move || {
            let shared = arriving.clone();
            async move { settle::follow_arrivals(&shared).await }
        });
        let settled = shared.clone();
        shared.keep_on(move || {
            let shared = settled.clone();
            async move { settle::follow_settled(&shared).await }
        });
        Ok(Self::reign(shared))
    }

    /// Starts the actor, and its successors.
    fn reign(shared: Rc<Shared>) -> Post<Self> {
        let (fallen, falls) = mpsc::unbounded_channel();
        let (office, post) = Post::of(Self { shared, fallen: Some(fallen) }.start());
        actix_rt::spawn(link::succeed(falls, office, async |mut next: Self, teller| {
            if let Err(refusal) = open::compare(&next.shared).await {
                log::error!("the image store could not be held against the disk: {refusal}");
            }
            next.fallen = Some(teller);
            next.shared.bus.publish(Kind::Daemon, "images", "recovered", Vec::new());
            Actor::start(next)
        }));
        post
    }
}

impl Drop for ImageStore {
    fn drop(&mut self) {
        let Some(fallen) = self.fallen.take().filter(|_| std::thread::panicking()) else { return };
        link::fall(&fallen, Self { shared: self.shared.clone(), fallen: None });
    }
}

impl ImageStore {
    /// What its messages work on, for those that are answered beside the actor.
    pub(super) fn shared(&self) -> Rc<Shared> {
        self.shared.clone()
    }
}

/// Ends the store: pulls on their way are given up, and leave nothing. Without it the store lives as long as the daemon,
/// whoever knows of it.
#[derive(Message, Clone)]
#[rtype(result = "()")]
pub struct Close;

impl Handler<Close> for ImageStore {
    type Result = ResponseActFuture<Self, ()>;

    fn handle(&mut self, _: Close, _: &mut Self::Context) -> Self::Result {
        let shared = self.shared.clone();
        // When images were last used is noted beside; what was not yet would be lost.
        let noted = async move { shared.note_letting_go().await };
        Box::pin(noted.into_actor(self).map(|(), store, ctx| {
            store.shared.close();
            ctx.stop();
        }))
    }
}

/// Whether an image is fetched.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum PullPolicy {
    /// Where it is not here.
    #[default]
    Missing,
    /// Each time: a tag may have moved. What is here already is not fetched again.
    Always,
    /// Not at all.
    Never,
}

/// Finds an image, fetching it where the policy says so. The future may be dropped: a pull that the last of its askers
/// has left is given up and leaves nothing.
pub async fn ensure(
    store: &Post<ImageStore>,
    reference: ImageRef,
    policy: PullPolicy,
    options: PullOptions,
    progress: Option<mpsc::Sender<Progress>>,
) -> Result<Arc<Image>, Refusal> {
    let found = ask(store, Find { reference, policy, options }).await?;
    match found {
        Found::Here(image) => Ok(image),
        Found::OnItsWay(place) => flight::land(place, progress).await,
    }
}

/// Asks the store, and takes its absence for the refusal that it is.
pub async fn ask<M, T>(store: &Post<ImageStore>, message: M) -> Result<T, Refusal>
where
    M: Message<Result = Result<T, Refusal>> + Send + 'static,
    T: Send + 'static,
    ImageStore: Handler<M>,
{
    store.send(message).await.map_err(|e| Refusal::unanswered("the image store", e))?
}

/// The image that a reference means, or a place among those who wait for it.
#[derive(Message)]
#[rtype(result = "Result<Found, Refusal>")]
struct Find {
    reference: ImageRef,
    policy: PullPolicy,
    options: PullOptions,
}

enum Found {
    Here(Arc<Image>),
    OnItsWay(watch::Receiver<State>),
}

impl Handler<Find> for ImageStore {
    type Result = Result<Found, Refusal>;

    fn handle(&mut self, find: Find, _: &mut Self::Context) -> Self::Result {
        fault::panic_at("images");
        let wanted = find.options.wanted()?;
        let here = self.shared.index.borrow_mut().find(&find.reference).map(Entry::lend);
        match (here, find.policy) {
            (Some(image), PullPolicy::Never) => {
                let suits = must_suit(&image.platform, wanted.as_ref());
                return suits.map(|()| Found::Here(image)).map_err(|refusal| refusal.within(&find.reference));
            }
            // One for another platform is not the one that is missing.
            (Some(image), PullPolicy::Missing) if wanted.is_none_or(|wanted| image.platform.suits(&wanted)) => {
                return Ok(Found::Here(image));
            }
            (_, PullPolicy::Never) => return Err(unknown(&find.reference)),
            (here, _) if find.reference.is_local() => return Err(made_here(&find.reference, here.is_some())),
            _ => {}
        }
        let (place, pull) = flight::board(&self.shared, (find.reference.remote().canonical(), find.options))?;
        if let Some(pull) = pull {
            self.shared.spawn(pull);
        }
        Ok(Found::OnItsWay(place))
    }
}

/// No registry can be asked for what is made on this host.
fn made_here(reference: &ImageRef, is_here: bool) -> Refusal {
    if is_here {
        return Refusal::not_found(format_args!("{reference} was made on this host: no registry has it to pull"));
    }
    unknown(reference)
}

/// Every image, by name.
#[derive(Message)]
#[rtype(result = "Vec<Listed>")]
pub struct List;

/// What a listing says of an image. It does not hold it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Listed {
    /// The full reference.
    pub name: ImageRef,
    /// The digest as the registry names it.
    pub digest: String,
    /// Bytes, as [`Image::size`].
    pub size: u64,
    /// When it was made, as it says itself.
    pub created: Option<String>,
}

impl Handler<List> for ImageStore {
    type Result = MessageResult<List>;

    fn handle(&mut self, _: List, _: &mut Self::Context) -> Self::Result {
        let listed = |entry: &Entry| Listed {
            name: entry.image().name.clone(),
            digest: entry.image().digest.clone(),
            size: entry.image().size,
            created: entry.image().created.clone(),
        };
        MessageResult(self.shared.index.borrow().iter().map(listed).collect())
    }
}

/// Takes a name away, and the image with its last one; answers with the full name. Refused with `in-use` while a
/// container needs it.
#[derive(Message)]
#[rtype(result = "Result<ImageRef, Refusal>")]
pub struct Remove {
    /// Which.
    pub reference: ImageRef,
}

impl Handler<Remove> for ImageStore {
    type Result = ResponseFuture<Result<ImageRef, Refusal>>;

    fn handle(&mut self, remove: Remove, _: &mut Self::Context) -> Self::Result {
        let shared = self.shared.clone();
        Box::pin(async move { shared.remove(&remove.reference).await })
    }
}

/// Makes a one-layer image of a directory or a tar archive, plain or gzipped.
#[derive(Message)]
#[rtype(result = "Result<Arc<Image>, Refusal>")]
pub struct Import {
    /// The directory or the archive.
    pub path: PathBuf,
    /// The name it gets; a short one is of `localhost/`. Whoever had it loses it.
    pub reference: ImageRef,
    /// How it wants to be run.
    pub config: ImportConfig,
}

impl Handler<Import> for ImageStore {
    type Result = ResponseFuture<Result<Arc<Image>, Refusal>>;

    fn handle(&mut self, import: Import, _: &mut Self::Context) -> Self::Result {
        let shared = self.shared.clone();
        Box::pin(async move {
            let name = new_name(&import.reference)?;
            let arrival = shared.with_room(import::import(&shared, import.path, name, import.config)).await?;
            shared.adopt(arrival, "import").await
        })
    }
}

/// The full name for an image made here.
pub(super) fn new_name(reference: &ImageRef) -> Result<ImageRef, Refusal> {
    match reference.digest() {
        Some(_) => Err(Refusal::bad_value(format_args!("{reference}: a digest is found, not given; name it by a tag"))),
        None => Ok(reference.local().canonical()),
    }
}
