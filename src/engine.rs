//! The engine as verbs see it: the actors' addresses and what is asked of several of them at once.

mod samples;

use std::rc::Rc;
use std::sync::Arc;
use std::time::{Duration, Instant};

use actix::{Handler, Message};
use tokio::sync::{Mutex, Notify, Semaphore};

pub use self::samples::{Sample, Sampler};
use crate::config::Config;
use crate::container::Container;
use crate::container::exec::{Exec, Execs};
use crate::container::view::View;
use crate::events::Bus;
use crate::images::ImageStore;
use crate::link::{Post, Unanswered};
use crate::outbox::Postage;
use crate::refusal::{Code, Refusal};
use crate::supervisor::{Child, Find, Found, List, ShutDown, Supervisor};
use crate::undo::Ground;
use crate::volumes::Volumes;

/// Everything a verb may turn to. One thread's; sessions share it.
pub struct Engine {
    /// The daemon's configuration.
    pub config: Config,
    /// The event bus.
    pub bus: Bus,
    /// Who knows the containers.
    pub supervisor: Post<Supervisor>,
    /// Who keeps the images.
    pub images: Post<ImageStore>,
    /// The named volumes.
    pub volumes: Volumes,
    /// The tools, the network and the control groups.
    pub ground: Ground,
    /// More processes in containers.
    pub execs: Rc<Execs>,
    /// Samples what containers use, for those who follow.
    pub sampler: Sampler,
    /// What waits to be written to clients of the control socket.
    pub postage: Rc<Postage>,
    /// Held by whoever measures how much disk things take: one at a time, however many ask.
    pub measuring: Arc<Mutex<()>>,
    /// Held by whoever copies a container's files on a thread of its own: so many at once.
    pub walkers: Arc<Semaphore>,
    /// The same of those who look through them at their own pace: they are not to hold up the others.
    pub lookers: Arc<Semaphore>,
    /// When the daemon began.
    pub began: Instant,
    /// Told when the daemon is to end.
    pub leave: Notify,
}

/// What runs, or ran, under a name.
pub enum Target {
    /// A container.
    Container(Found),
    /// One more process in a container.
    Exec(Rc<Exec>),
}

impl Engine {
    /// A container as [`Engine::find`] has it, else an exec by its id or a prefix of that.
    pub async fn target(&self, name: &str) -> Result<Target, Refusal> {
        match self.find(name).await {
            Ok(found) => Ok(Target::Container(found)),
            Err(refusal) if refusal.code() == Code::NotFound => self.execs.find(name)?.map(Target::Exec).ok_or(refusal),
            Err(refusal) => Err(refusal),
        }
    }

    /// A container by its pair, id or a prefix of the id, or one that went less than a minute ago.
    pub async fn find(&self, name: &str) -> Result<Found, Refusal> {
        self.supervisor.send(Find(name.to_owned())).await.map_err(|e| Refusal::unanswered("the supervisor", e))?
    }

    /// A container that is there.
    pub async fn child(&self, name: &str) -> Result<Child, Refusal> {
        self.find(name).await?.here()
    }

    /// A picture of every container, by name.
    pub async fn list(&self) -> Result<Vec<Arc<View>>, Refusal> {
        self.supervisor.send(List).await.map_err(|e| Refusal::unanswered("the supervisor", e))
    }

    /// Every container, to reach.
    pub async fn children(&self) -> Result<Vec<Child>, Refusal> {
        let mut children = Vec::new();
        for view in self.list().await? {
            // One that went meanwhile is none.
            if let Ok(Found::Here(child)) = self.find(view.id.as_str()).await {
                children.push(child);
            }
        }
        Ok(children)
    }

    /// The cgroup of a container, from a hierarchy's root.
    pub fn cgroup_of(&self, view: &View) -> String {
        format!("{}/{}", self.config.cgroup_parent(), view.id)
    }

    /// Stops and removes every container, and makes no more. False where that has come to a standstill.
    pub async fn shut_down(&self, timeout: Option<Duration>) -> bool {
        self.supervisor.send_surely(ShutDown { timeout }).await.unwrap_or_else(|e| {
            log::error!("{}", Refusal::unanswered("the supervisor", e));
            false
        })
    }
}

/// Asks a container's actor, or tells it something.
pub async fn ask<M>(child: &Child, message: M) -> Result<M::Result, Refusal>
where
    M: Message<Result: Send> + Send + 'static,
    Container: Handler<M>,
{
    child.addr.send(message).await.map_err(|why| match why {
        Unanswered::Died => Refusal::unanswered("the container's actor", why),
        Unanswered::Ended => Refusal::not_found(format_args!("{} is gone", child.view.borrow().name)),
    })
}
