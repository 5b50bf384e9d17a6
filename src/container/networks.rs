//! A container among its networks: how it comes on one more and off one, and what becomes of one that shares another's.

use std::rc::Rc;
use std::sync::Arc;

use actix::prelude::*;

use super::estate::Live;
use super::plan::Plan;
use super::state::{self, Event, Phase};
use super::{Container, etc};
use crate::id::{ContainerId, Name, NetworkMode, NetworkName, Networking, Signal};
use crate::network::{self, Before, Endpoint, Vet};
use crate::refusal::Refusal;
use crate::tools::process::Held;
use crate::undo::Ground;
use crate::worker::beside;

/// Puts a container on one network more: at once where it runs, and for every start to come.
#[derive(Message)]
#[rtype(result = "Result<(), Refusal>")]
pub struct Connect(pub NetworkName);

/// Takes a container off one of its networks, likewise.
#[derive(Message)]
#[rtype(result = "Result<(), Refusal>")]
pub struct Disconnect(pub NetworkName);

/// Which of the two.
#[derive(Clone)]
enum Change {
    On(NetworkName),
    Off(NetworkName),
}

impl Handler<Connect> for Container {
    type Result = ResponseActFuture<Self, Result<(), Refusal>>;

    fn handle(&mut self, Connect(network): Connect, _: &mut Context<Self>) -> Self::Result {
        self.reconnect(Change::On(network))
    }
}

impl Handler<Disconnect> for Container {
    type Result = ResponseActFuture<Self, Result<(), Refusal>>;

    fn handle(&mut self, Disconnect(network): Disconnect, _: &mut Context<Self>) -> Self::Result {
        self.reconnect(Change::Off(network))
    }
}

impl Change {
    /// How the container is to be connected after it.
    fn of(&self, networking: &Networking) -> Result<Networking, Refusal> {
        let NetworkMode::On(mut names) = networking.mode.clone() else {
            let mode = &networking.mode;
            return Err(Refusal::wrong_state(format_args!("its network is {mode}, and is all it can have")));
        };
        let mut ip = networking.ip;
        let nth = |wanted: &NetworkName| names.iter().position(|name| name == wanted);
        match self {
            Self::On(network) if nth(network).is_some() => {
                return Err(Refusal::exists(format_args!("it is on the network {network} already")));
            }
            Self::On(network) => names.push(network.clone()),
            Self::Off(network) => {
                let nth = nth(network);
                let nth = nth.ok_or_else(|| Refusal::not_found(format_args!("it is not on the network {network}")))?;
                names.remove(nth);
                // The address is one of its first network.
                ip = ip.filter(|_| nth > 0);
            }
        }
        Ok(Networking { mode: NetworkMode::On(names), ip, alias: networking.alias.clone() })
    }

    /// Changes the links of a container that runs, and gives those it then has; of one that does not, sees that it can be.
    async fn carry_out(self, id: ContainerId, runs: bool, ground: Ground) -> Result<Vec<Endpoint>, Refusal> {
        match self {
            Self::On(network) if runs => network::ask(&ground.network, network::Connect { id, network }).await?,
            Self::Off(network) if runs => network::ask(&ground.network, network::Disconnect { id, network }).await?,
            Self::On(network) => {
                let networking = Networking { mode: NetworkMode::On(vec![network]), ..Networking::default() };
                let vet = Vet { networking, publishes: false };
                network::ask(&ground.network, vet).await?.map(|()| Vec::new())
            }
            Self::Off(_) => Ok(Vec::new()),
        }
    }
}

impl Container {
    fn reconnect(&self, change: Change) -> ResponseActFuture<Self, Result<(), Refusal>> {
        let runs = self.view.borrow().has_process();
        let checked = self.check_change(runs).and_then(|()| change.of(&self.plan.wishes.networking));
        let (plan, ground, asked) = (self.plan.clone(), self.ground.clone(), change.clone());
        let before = self.view.borrow().endpoints.clone();
        let done = async move {
            checked?;
            let endpoints = asked.carry_out(plan.id.clone(), runs, ground).await?;
            if runs {
                rewrite_etc(plan, before, endpoints.clone()).await;
            }
            Ok(endpoints)
        };
        Box::pin(done.into_actor(self).map(move |done, actor, _| {
            let entered = done.and_then(|endpoints| actor.enter_change(&change, runs, endpoints));
            entered.map_err(|refusal| refusal.within(&actor.plan.name))
        }))
    }

    /// Whether its networks can be changed now.
    fn check_change(&self, runs: bool) -> Result<(), Refusal> {
        match self.state.phase {
            Phase::Removing => Err(Refusal::not_found("it is being removed")),
            Phase::Failed => Err(state::failed()),
            Phase::Preparing | Phase::Created | Phase::Exited => Ok(()),
            _ if runs => Ok(()),
            // Its links are being made, or taken away, at this moment.
            _ => Err(Refusal::wrong_state("it is just starting or ending; try again")),
        }
    }

    /// Enters what was changed, in what is there by now.
    fn enter_change(&mut self, change: &Change, ran: bool, endpoints: Vec<Endpoint>) -> Result<(), Refusal> {
        if !ran {
            // One that was started in between was started as it was before.
            self.check_change(false)?;
        }
        let networking = change.of(&self.plan.wishes.networking)?;
        self.replan(|plan| plan.wishes.networking = networking);
        if ran && self.view.borrow().has_process() {
            if let Some(before) = &mut *self.estate.before.borrow_mut() {
                before.addresses = Before::addresses(&endpoints);
            }
            if let Some(run) = &mut *self.estate.run.borrow_mut() {
                run.attachment.endpoints.clone_from(&endpoints);
            }
            self.change_view(|view| view.endpoints = endpoints);
        }
        Ok(())
    }
}

/// Its name server may be another now, and so may its own addresses.
async fn rewrite_etc(plan: Arc<Plan>, before: Vec<Endpoint>, now: Vec<Endpoint>) {
    let name = plan.name.clone();
    if let Err(refusal) = beside(move || etc::rewrite(&plan, &before, &now)).await {
        ::log::warn!("{name}: its files in /etc are as they were before its networks changed: {refusal}");
    }
}

impl Container {
    /// Sees to it that a run which shares another's network does not outlast it.
    pub(super) fn watch_over(&self, run: &Live, ctx: &mut Context<Self>) {
        let Some(shared) = run.attachment.shared.clone() else { return };
        let process = run.init.held.clone();
        let ending = async move {
            let mut lasts = shared.lasts;
            tokio::select! {
                // The one change there is: its end.
                _ = lasts.changed() => Some((shared.with, process)),
                _ = process.ended() => None,
            }
        };
        ctx.spawn(ending.into_actor(self).map(|cut_off, actor, ctx| {
            if let Some((with, process)) = cut_off {
                actor.cut_off(with, process, ctx);
            }
        }));
    }

    /// What it shared leads nowhere any more: it is asked to stop, and killed where it does not.
    fn cut_off(&mut self, by: Name, process: Rc<Held>, ctx: &mut Context<Self>) {
        if !self.runs(&process) || self.state.phase == Phase::Stopping {
            return;
        }
        ::log::info!("{}: the network of {by}, which it shares, is gone; it is stopped", self.plan.name);
        self.tell("cut-off", vec![("container", by.to_string())]);
        self.change_view(|view| view.cut_off_by = Some(by));
        self.happened(&Event::Kill(self.plan.stop_signal), ctx);
        ctx.run_later(self.plan.stop_timeout, move |actor, ctx| {
            if actor.runs(&process) {
                actor.happened(&Event::Kill(Signal::KILL), ctx);
            }
        });
    }

    /// Whether the run of this process goes on.
    fn runs(&self, process: &Rc<Held>) -> bool {
        let is_it = |run: &Live| Rc::ptr_eq(&run.init.held, process);
        self.view.borrow().has_process() && self.estate.run.borrow().as_ref().is_some_and(is_it)
    }
}
