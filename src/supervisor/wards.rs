//! Containers as the supervisor keeps them: the actor of each is watched, and given a successor where it panics.

use std::rc::Rc;
use std::time::{Duration, Instant};

use actix::prelude::*;
use tokio::sync::{oneshot, watch};

use super::{Child, Supervisor};
use crate::container::plan::{Kept, Plan};
use crate::container::{Container, Estate, Word};
use crate::events::Kind;
use crate::id::ContainerId;
use crate::journal::Journal;
use crate::link::{Deaths, Post};
use crate::refusal::Refusal;
use crate::undo;

/// A container, and what is to be known for its actor's successor.
pub struct Ward {
    /// As others reach it.
    pub child: Child,
    /// Where the successor is entered.
    office: watch::Sender<Addr<Container>>,
    estate: Rc<Estate>,
    deaths: Deaths,
    /// There are to be no more of them.
    given_up: bool,
}

impl Ward {
    /// Whether its name is its own yet.
    pub fn has_name(&self) -> bool {
        self.estate.kept.borrow().is_some()
    }

    /// How long its stop waits where nobody says otherwise.
    pub fn stop_timeout(&self) -> Duration {
        self.estate.plan().stop_timeout
    }

    /// Whether there is an actor that looks after it.
    pub fn is_alive(&self) -> bool {
        self.child.addr.holder().connected()
    }

    /// Whether the last of them has ended in peace.
    pub fn has_ended(&self) -> bool {
        self.estate.is_gone.get()
    }
}

impl Supervisor {
    /// Makes the actor of a planned container.
    pub(super) fn adopt(
        &mut self,
        planned: (Plan, Kept),
    ) -> Result<(Child, oneshot::Receiver<Result<(), Refusal>>), Refusal> {
        self.check_open()?;
        let (id, places) = (planned.0.id.clone(), planned.0.places.clone().into());
        let estate = Estate::new(planned, &self.grounds.journals.join(id.as_str()))?;
        let (sender, prepared) = oneshot::channel();
        let container = self.container(&estate, Some(sender));
        let (view, logs) = (estate.view.subscribe(), estate.logs.clone());
        let (office, addr) = Post::of(container.start());
        let child = Child { addr, view, places, logs };
        let ward = Ward { child: child.clone(), office, estate, deaths: Deaths::default(), given_up: false };
        self.wards.insert(id, ward);
        Ok((child, prepared))
    }

    fn container(&self, estate: &Rc<Estate>, prepared: Option<oneshot::Sender<Result<(), Refusal>>>) -> Container {
        Container::new(estate.clone(), self.ground.clone(), self.bus.clone(), self.keeper.clone(), prepared)
    }

    /// Gives a container whose actor panicked another, or gives it up.
    pub(super) fn succeed(&mut self, id: &ContainerId, ctx: &mut Context<Self>) {
        // One that is alive has been seen to before this was told.
        let Some(ward) = self.wards.get_mut(id).filter(|ward| !ward.is_alive()) else { return };
        let name = ward.child.view.borrow().name.to_string();
        let too_many = ward.deaths.is_too_many(Instant::now());
        if ward.given_up {
            log::error!("the actor of {name}, which was given up, panicked; the container is being removed");
            return self.clean_up_after(id, ctx);
        }
        ward.given_up = too_many;
        let estate = ward.estate.clone();
        let mut successor = self.container(&estate, None);
        successor.is_given_up = too_many;
        let (action, what) = match too_many {
            true => ("failed", "too often: the container is left alone"),
            false => ("recovered", "and has a successor"),
        };
        log::error!("the actor of {name} panicked, {what}");
        let details = vec![("id", id.to_string())];
        self.bus.publish(Kind::Container, name, action, details);
        if let Some(ward) = self.wards.get(id) {
            ward.office.send_replace(successor.start());
        }
    }

    /// The last resort: everything that its journal names is undone, so that nothing is left without a keeper.
    fn clean_up_after(&self, id: &ContainerId, ctx: &mut Context<Self>) {
        let (path, ground, id) = (self.grounds.journals.join(id.as_str()), self.ground.clone(), id.clone());
        let work = async move {
            match Journal::read(&path) {
                Ok(steps) => {
                    if undo::all(steps.into_iter().rev().collect(), &ground).await.is_empty() {
                        let _ = std::fs::remove_file(&path);
                    }
                }
                Err(refusal) => log::warn!("{refusal}"),
            }
        };
        ctx.spawn(work.into_actor(self).map(move |(), actor, _| actor.forget(&id)));
    }
}

impl Handler<Word> for Supervisor {
    type Result = ();

    fn handle(&mut self, word: Word, ctx: &mut Context<Self>) {
        match word {
            Word::LetGo(id) => self.let_go(&id),
            Word::Died { who, panicked: false } => self.forget(&who),
            Word::Died { who, panicked: true } => self.succeed(&who, ctx),
        }
    }
}
