//! Pulls on their way: one for each reference and way of asking, however many ask, and only as long as somebody does.

use std::cell::RefCell;
use std::collections::HashMap;
use std::panic::AssertUnwindSafe;
use std::pin::pin;
use std::rc::Rc;
use std::sync::{Arc, Weak};

use futures::FutureExt;
use futures::future::{Either, select};
use tokio::sync::{Mutex, OwnedMutexGuard, mpsc, watch};

use super::digest::Digest;
use super::image::Image;
use super::pull::{self, PullOptions};
use super::shared::{Arrival, Shared};
use crate::id::ImageRef;
use crate::refusal::Refusal;

/// How many pulls may be on their way or in line; their askers share them.
const PULLS_MAX: usize = 64;

/// How far a pull is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Progress {
    /// `resolve`, `fetch` or `unpack`.
    pub stage: &'static str,
    /// Bytes done of this stage.
    pub done: u64,
    /// Bytes there are to do; 0 where nobody knows.
    pub total: u64,
    /// The digest of the blob that this is of; all of the stage where there is none.
    pub blob: Option<Arc<str>>,
}

/// What makes two pulls the same.
pub type Key = (ImageRef, PullOptions);

/// What the askers of a pull see of it.
#[derive(Debug, Default)]
pub struct State {
    progress: Option<Progress>,
    landed: Option<Result<Arc<Image>, Refusal>>,
}

/// Where a pull tells how far it is.
#[derive(Clone)]
pub struct Reporter(Arc<watch::Sender<State>>);

impl Reporter {
    /// Tells it.
    pub fn report(&self, progress: Progress) {
        self.0.send_modify(|state| state.progress = Some(progress));
    }

    /// Tells that a stage begins, of so many bytes.
    pub fn begin(&self, stage: &'static str, total: u64) {
        self.report(Progress { stage, done: 0, total, blob: None });
    }
}

/// Whose turn it is to fetch an image, by its manifest's digest at the registry: of pulls that were asked for in different
/// ways, and turn out to be of the same, the first fetches it, and the others find it.
#[derive(Default)]
pub struct Fetches(RefCell<HashMap<Digest, Weak<Mutex<()>>>>);

impl Fetches {
    /// The turn at an image, for as long as what is given is held.
    pub async fn turn(&self, source: &Digest) -> OwnedMutexGuard<()> {
        let known = {
            let mut fetches = self.0.borrow_mut();
            fetches.retain(|_, turn| turn.strong_count() > 0);
            let known = fetches.get(source).and_then(Weak::upgrade).unwrap_or_default();
            fetches.insert(source.clone(), Arc::downgrade(&known));
            known
        };
        known.lock_owned().await
    }
}

/// A place among the askers of the pull that `key` names, and the pull itself where it has to be begun. The pull is
/// given up when the last of the places is.
pub fn board(
    shared: &Rc<Shared>,
    key: Key,
) -> Result<(watch::Receiver<State>, Option<impl Future<Output = ()> + use<>>), Refusal> {
    let mut flights = shared.flights.borrow_mut();
    if let Some(reporter) = flights.get(&key) {
        return Ok((reporter.0.subscribe(), None));
    }
    if flights.len() >= PULLS_MAX {
        return Err(Refusal::busy(format_args!("{PULLS_MAX} pulls are on their way; try again later")));
    }
    let (sender, receiver) = watch::channel(State::default());
    let reporter = Reporter(Arc::new(sender));
    flights.insert(key.clone(), reporter.clone());
    Ok((receiver, Some(fly(shared.clone(), key, reporter))))
}

/// What came of a pull in which a defect showed.
fn defect<T>() -> Result<T, Refusal> {
    Err(Refusal::internal("a defect ended the pull; try again"))
}

async fn fly(shared: Rc<Shared>, key: Key, reporter: Reporter) {
    let Some(fetched) = while_wanted(&shared, &key, &reporter).await else { return };
    // From here on it is a change begun, which is finished whoever still listens.
    let landed = match fetched {
        Ok((arrival, _turn)) => {
            AssertUnwindSafe(shared.adopt(arrival, "pull")).catch_unwind().await.unwrap_or_else(|_| defect())
        }
        Err(refusal) => Err(refusal.within(format_args!("image {}", key.0))),
    };
    shared.flights.borrow_mut().remove(&key);
    reporter.0.send_modify(|state| state.landed = Some(landed));
}

/// Fetches the image, unless the last asker goes: then the pull is off the list, and what it had is dropped.
async fn while_wanted(
    shared: &Shared,
    key: &Key,
    reporter: &Reporter,
) -> Option<Result<(Arrival, OwnedMutexGuard<()>), Refusal>> {
    let fetch = AssertUnwindSafe(shared.with_room(pull::fetch(shared, &key.0, &key.1, reporter))).catch_unwind();
    let mut work = pin!(fetch.map(|fetched| fetched.unwrap_or_else(|_| defect())));
    loop {
        match select(work.as_mut(), pin!(reporter.0.closed())).await {
            Either::Left((fetched, _)) => return Some(fetched),
            Either::Right(_) => {
                let mut flights = shared.flights.borrow_mut();
                // Another may have come aboard since the last one left.
                if reporter.0.receiver_count() == 0 {
                    flights.remove(key);
                    log::info!("pull of {} given up: nobody waits for it any more", key.0);
                    return None;
                }
            }
        }
    }
}

/// Waits for a pull to land, passing on how far it is to a listener that need not keep up.
pub async fn land(
    mut place: watch::Receiver<State>,
    listener: Option<mpsc::Sender<Progress>>,
) -> Result<Arc<Image>, Refusal> {
    let mut told = None;
    loop {
        let (progress, landed) = {
            let state = place.borrow_and_update();
            (state.progress.clone(), state.landed.clone())
        };
        if let (Some(listener), Some(progress)) = (&listener, progress)
            && told.replace(progress.clone()).as_ref() != Some(&progress)
        {
            // Full or gone: the next one tells more anyway.
            let _ = listener.try_send(progress);
        }
        if let Some(landed) = landed {
            return landed;
        }
        if place.changed().await.is_err() {
            return Err(Refusal::shutting_down("the image store was closed, and the pull given up"));
        }
    }
}
