//! The messages of those verbs that look after images already here: `tag inspect load save prune verify`, and `df`.

use std::path::PathBuf;
use std::rc::Rc;
use std::sync::Arc;
use std::time::Duration;

use actix::prelude::*;

use super::commit::{self, Commit};
use super::image::{Image, Record};
use super::index::unknown;
use super::prune::Pruned;
use super::shared::{Arrival, Shared};
use super::store::{ImageStore, new_name};
use super::usage::Usage;
use super::verify::Verified;
use super::{inspect, load, prune, save, usage, verify};
use crate::id::ImageRef;
use crate::refusal::Refusal;

/// Declares messages that are answered beside the actor, each by one async function of the store.
macro_rules! answered_beside {
    ($($message:ident => $result:ty, |$shared:ident, $it:ident| $answer:expr;)+) => {$(
        impl Message for $message {
            type Result = Result<$result, Refusal>;
        }

        impl Handler<$message> for ImageStore {
            type Result = ResponseFuture<Result<$result, Refusal>>;

            fn handle(&mut self, $it: $message, _: &mut Self::Context) -> Self::Result {
                let $shared = self.shared();
                Box::pin(async move { $answer })
            }
        }
    )+};
}

/// Gives an image one name more; a short one is of `localhost/`. Whoever had it loses it.
#[derive(Debug)]
pub struct Tag {
    /// The image.
    pub reference: ImageRef,
    /// The new name.
    pub new: ImageRef,
}

/// Everything there is to say of an image, as one JSON document. It holds the image's environment and a host path.
#[derive(Debug)]
pub struct Inspect {
    /// The image.
    pub reference: ImageRef,
}

/// Takes in the images of a docker-archive or an oci-archive, or of an OCI layout. All or none get their names.
#[derive(Debug)]
pub struct Load {
    /// A file's path, or `oci:DIR[:TAG]`.
    pub path: String,
}

/// Writes an image to an oci-archive, whole or not at all.
#[derive(Debug)]
pub struct Save {
    /// The image.
    pub reference: ImageRef,
    /// The file, replaced where it is there.
    pub path: PathBuf,
}

/// Takes away what nobody needs: names that no container uses where it is asked for, and what no name needs always.
#[derive(Debug, Default)]
pub struct Prune {
    /// Every name that no container uses.
    pub all: bool,
    /// Only such as nobody has used for so long; said alone, it means `all` of those.
    pub unused: Option<Duration>,
}

/// Checks an image, or all, in full: every blob against its digest, every tree against its layers.
#[derive(Debug)]
pub struct Verify {
    /// Which; all where none is said.
    pub reference: Option<ImageRef>,
}

/// How much disk the store takes up.
#[derive(Debug)]
pub struct MeasureUsage;

answered_beside! {
    Commit => Arc<Image>, |shared, it| commit(&shared, it).await;
    Tag => Arc<Image>, |shared, it| tag(&shared, &it).await;
    Inspect => serde_json::Value, |shared, it| inspect::inspect(&shared, &it.reference).await;
    Load => Vec<Arc<Image>>, |shared, it| shared.adopt_all(shared.with_room(load::load(&shared, &it.path)).await?, "load").await;
    Save => (), |shared, it| shared.with_room(save::save(&shared, &it.reference, it.path)).await;
    Prune => Pruned, |shared, it| prune::prune(&shared, it.all, it.unused).await;
    Verify => Vec<Verified>, |shared, it| verify::verify(&shared, it.reference.as_ref()).await;
    MeasureUsage => Usage, |shared, _it| usage::measure(&shared).await;
}

async fn tag(shared: &Rc<Shared>, tag: &Tag) -> Result<Arc<Image>, Refusal> {
    let name = new_name(&tag.new)?.to_string();
    let image = shared.index.borrow_mut().hold(&tag.reference);
    let image = image.ok_or_else(|| unknown(&tag.reference))?;
    let record = Record { name, ..image.record.clone() };
    shared.adopt(Arrival { record, staged: None, _twin: Some(image) }, "tag").await
}

async fn commit(shared: &Rc<Shared>, it: Commit) -> Result<Arc<Image>, Refusal> {
    let name = new_name(&it.reference)?;
    let arrival = shared.with_room(commit::commit(shared, it, name)).await?;
    shared.adopt(arrival, "commit").await
}
