//! The supervisor: knows every container by name and id, makes their actors, notices their deaths, and gives those that
//! panicked successors. Names are its: one pair, one container.

mod close;
mod departed;
mod reign;
mod wards;

use std::collections::{BTreeMap, HashMap};
use std::path::PathBuf;
use std::rc::Rc;
use std::sync::Arc;

use actix::prelude::*;
use tokio::sync::{oneshot, watch};

pub use self::close::ShutDown;
use self::departed::Departed;
use self::wards::Ward;
use crate::container::log_files::LogFiles;
use crate::container::plan::{Kept, Places, Plan, Source, Wishes};
use crate::container::seccomp::Profiles;
use crate::container::{Container, Keeper, View};
use crate::events::Bus;
use crate::fault;
use crate::id::{ContainerId, Name};
use crate::link::{Post, Teller};
use crate::refusal::Refusal;
use crate::undo::Ground;
use crate::volumes::Held;
use crate::worker;

/// A container as others reach it.
#[derive(Clone)]
pub struct Child {
    /// Its actor.
    pub addr: Post<Container>,
    /// Its picture, kept up to date.
    pub view: watch::Receiver<Arc<View>>,
    /// Its plan's places, for those who read its files.
    pub places: Arc<Places>,
    /// What it writes.
    pub logs: Arc<LogFiles>,
}

/// Asks for a container of that name, found by pair, id or a prefix of the id.
#[derive(Message)]
#[rtype(result = "Result<Found, Refusal>")]
pub struct Find(pub String);

/// What a name leads to.
pub enum Found {
    /// A container that is there.
    Here(Child),
    /// One that went less than a minute ago, as it was last seen.
    Gone(Arc<View>),
}

impl Found {
    /// The container, if it is there.
    pub fn here(self) -> Result<Child, Refusal> {
        match self {
            Self::Here(child) => Ok(child),
            Self::Gone(view) => Err(Refusal::not_found(format_args!("{} is gone", view.name))),
        }
    }
}

/// Asks for a new container. Answered when it is made.
#[derive(Message)]
#[rtype(result = "Result<Child, Refusal>")]
pub struct Create {
    /// Its pair.
    pub name: Name,
    /// What its root filesystem comes from.
    pub source: Source,
    /// What was asked for.
    pub wishes: Wishes,
    /// The named volumes that are asked for.
    pub volumes: Vec<Held>,
}

/// Asks for a picture of every container, ordered by name.
#[derive(Message)]
#[rtype(result = "Vec<Arc<View>>")]
pub struct List;

/// Where containers' things are made.
pub struct Grounds {
    /// Data directories of containers.
    pub data: PathBuf,
    /// Bundles of containers.
    pub bundles: PathBuf,
    /// Journals of containers.
    pub journals: PathBuf,
    /// The lowest layer of all containers' files.
    pub mount_points: PathBuf,
    /// Named volumes.
    pub volumes: PathBuf,
    /// The cgroup that is every container's parent.
    pub cgroup: String,
    /// How long a stop waits where neither request nor image says.
    pub stop_timeout: std::time::Duration,
    /// The bounds of a log where a request does not say.
    pub log_bounds: crate::config::LogBounds,
}

/// The supervisor.
pub struct Supervisor {
    grounds: Rc<Grounds>,
    ground: Ground,
    bus: Bus,
    /// Where containers tell what is for the supervisor.
    keeper: Keeper,
    /// Pairs that are taken: by a container, or by one in the making.
    names: BTreeMap<Name, ContainerId>,
    wards: HashMap<ContainerId, Ward>,
    departed: Departed,
    profiles: Profiles,
    closing: bool,
    /// Those who wait for the last container to be gone.
    closers: Vec<oneshot::Sender<()>>,
    /// Where its books go if it panics.
    fallen: Option<Teller<Self>>,
}

impl Supervisor {
    fn find(&self, text: &str) -> Result<Found, Refusal> {
        if let Some(ward) = text.parse::<Name>().ok().and_then(|name| self.wards.get(self.names.get(&name)?)) {
            return Ok(Found::Here(ward.child.clone()));
        }
        if ContainerId::is_prefix(text) {
            // One whose name is free is gone, though something of it may still be being removed.
            let here = |(id, ward): &(&ContainerId, &Ward)| {
                id.as_str().starts_with(text) && !ward.child.view.borrow().is_gone()
            };
            let mut matching = self.wards.iter().filter(here);
            match (matching.next(), matching.next()) {
                (Some((_, ward)), None) => return Ok(Found::Here(ward.child.clone())),
                (Some(_), Some(_)) => {
                    return Err(Refusal::bad_value(format_args!(
                        "{text} is the beginning of several ids; give more of it"
                    )));
                }
                (None, _) => {}
            }
        }
        let gone = self.departed.find(text).map(Found::Gone);
        gone.ok_or_else(|| Refusal::not_found(format_args!("no container {text}; 'ps' lists those there are")))
    }

    fn check_open(&self) -> Result<(), Refusal> {
        if self.closing { Err(Refusal::shutting_down("the daemon is on its way out")) } else { Ok(()) }
    }

    /// Takes the name, or refuses. The actor is made once the plan is, off this thread.
    fn claim(&mut self, name: &Name) -> Result<ContainerId, Refusal> {
        self.check_open()?;
        if self.names.contains_key(name) {
            return Err(Refusal::exists(format_args!(
                "{name} is there already; remove it, or choose another name or tag"
            )));
        }
        let id = ContainerId::random()?;
        self.names.insert(name.clone(), id.clone());
        Ok(id)
    }

    fn places(&self, id: &ContainerId) -> Places {
        Places {
            data: self.grounds.data.join(id.as_str()),
            bundle: self.grounds.bundles.join(id.as_str()),
            mount_points: self.grounds.mount_points.clone(),
            volumes: self.grounds.volumes.clone(),
            cgroup: format!("{}/{id}", self.grounds.cgroup),
            cgroup_v1: !self.ground.cgroups.is_v2(),
            stop_timeout: self.grounds.stop_timeout,
            log_bounds: self.grounds.log_bounds,
        }
    }

    /// The name is free, and the last picture is kept for those who ask late.
    fn let_go(&mut self, id: &ContainerId) {
        let Some(ward) = self.wards.get(id) else { return };
        let view = ward.child.view.borrow().clone();
        if self.names.get(&view.name) == Some(id) {
            self.names.remove(&view.name);
            self.departed.add(view);
        }
    }

    fn forget(&mut self, id: &ContainerId) {
        self.let_go(id);
        self.wards.remove(id);
        self.close_if_done();
    }

    fn close_if_done(&mut self) {
        if self.closing && self.names.is_empty() && self.wards.is_empty() {
            for closer in self.closers.drain(..) {
                let _ = closer.send(());
            }
        }
    }
}

impl Actor for Supervisor {
    type Context = Context<Self>;

    fn started(&mut self, ctx: &mut Context<Self>) {
        self.look_after_all(ctx);
    }
}

impl Handler<Find> for Supervisor {
    type Result = Result<Found, Refusal>;

    fn handle(&mut self, Find(text): Find, _: &mut Context<Self>) -> Self::Result {
        fault::panic_at("supervisor");
        self.find(&text)
    }
}

impl Handler<List> for Supervisor {
    type Result = MessageResult<List>;

    fn handle(&mut self, _: List, _: &mut Context<Self>) -> Self::Result {
        fault::panic_at("supervisor-list");
        let named = self.names.values().filter_map(|id| self.wards.get(id));
        MessageResult(named.map(|ward| ward.child.view.borrow().clone()).collect())
    }
}

impl Handler<Create> for Supervisor {
    type Result = ResponseActFuture<Self, Result<Child, Refusal>>;

    fn handle(&mut self, create: Create, _: &mut Context<Self>) -> Self::Result {
        let Create { name, source, wishes, volumes } = create;
        let id = match self.claim(&name) {
            Ok(id) => id,
            Err(refusal) => return Box::pin(fut::ready(Err(refusal))),
        };
        let (places, claimed, profiles) = (self.places(&id), name.clone(), self.profiles.clone());
        let planned = worker::beside(move || {
            let plan = Plan::make((name, id), &source, places, wishes, &profiles)?;
            Ok((plan, Kept { source, volumes }))
        });
        let adopted = planned.into_actor(self).map(move |planned, actor, _| {
            let adopted = planned.and_then(|plan| actor.adopt(plan));
            if adopted.is_err() {
                actor.names.remove(&claimed);
                actor.close_if_done();
            }
            adopted
        });
        Box::pin(adopted.then(|adopted, actor, _| {
            let made = async {
                let (child, prepared) = adopted?;
                prepared
                    .await
                    .unwrap_or_else(|_| Err(Refusal::internal("the container's actor is gone; try again")))?;
                Ok(child)
            };
            made.into_actor(actor)
        }))
    }
}
