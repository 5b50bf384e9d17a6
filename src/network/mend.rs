//! Our table, taken away by somebody else (`nft flush ruleset`, a firewall that starts anew), and put back: the kernel
//! tells of it (`transactions.rs`), and what stood in the table stands in our books.

use std::time::Duration;

use actix::prelude::*;
use tokio::sync::{AcquireError, OwnedMutexGuard, OwnedSemaphorePermit};

use super::message::Target;
use super::notices::Heard;
use super::transactions::Watch;
use super::{Change, JOBS_MAX, Network, dns, docker, elements, rules, wrong};
use crate::events::Kind;
use crate::id::PublishedPort;
use crate::refusal::Refusal;
use crate::tools::nft;
use crate::worker::{beside, look};

/// How long the table is left alone once it was put back: whoever takes it away all the time has the host to himself in
/// between.
const PAUSE: Duration = Duration::from_millis(500);
/// How long after a failure it is tried again.
const RETRY: Duration = Duration::from_secs(1);

/// What is known of the table, and what is done about it.
pub struct Mending {
    /// What the kernel tells.
    pub watch: Watch,
    at_work: bool,
    again: bool,
    /// It is to be made anew, though nobody took it away.
    renew: bool,
    /// The table has its companion ([`rules::quiet`]).
    pub quiet: bool,
    /// What went wrong the last time: told once.
    failure: Option<String>,
}

/// Nobody makes networks or links while this is held.
type Quiet = (OwnedMutexGuard<()>, Result<OwnedSemaphorePermit, AcquireError>);

impl Mending {
    /// Of the table `inet TABLE`, which is whole, and has its companion or not.
    pub fn of(table: &str, quiet: bool) -> Self {
        let watch = Watch::over(table, quiet, docker::CHAIN);
        Self { watch, at_work: false, again: false, renew: false, quiet, failure: None }
    }
}

impl Network {
    /// Somebody changed rules of this host.
    pub(super) fn rules_changed(&mut self, heard: &Heard, ctx: &mut Context<Self>) {
        match heard {
            Heard::Told(datagram) => {
                let meaning = self.mending.watch.hear(datagram);
                if meaning.damaged {
                    self.mend(ctx);
                }
                if meaning.foreign {
                    self.look_soon(ctx);
                }
            }
            Heard::Lost => {
                self.mending.watch.lost();
                self.look_soon(ctx);
                // What was lost may be damage; or, while it is being made anew, our own: a table with thousands of ports is
                // more than the socket takes, each time.
                if !self.mending.at_work {
                    self.renew(ctx);
                }
            }
        }
    }

    /// Makes the table anew, by the books.
    pub(super) fn renew(&mut self, ctx: &mut Context<Self>) {
        self.mending.renew = true;
        self.mend(ctx);
    }

    /// Puts the table back.
    fn mend(&mut self, ctx: &mut Context<Self>) {
        if self.closing {
            return;
        }
        if self.mending.at_work {
            self.mending.again = true;
            return;
        }
        self.mending.at_work = true;
        // Every link is either in the books then or not begun: what is made meanwhile would be missed.
        let (turn, jobs) = (self.turn.clone().lock_owned(), self.jobs.clone().acquire_many_owned(JOBS_MAX as u32));
        let quiet = async move { (turn.await, jobs.await) };
        let mended = quiet.into_actor(self).then(|quiet, network, _| network.load_all(quiet));
        ctx.spawn(mended.map(|done, network, ctx| network.mended(done, ctx)));
    }

    fn load_all(&mut self, quiet: Quiet) -> Change<Result<usize, Refusal>> {
        let ruleset = match self.ruleset() {
            Ok(ruleset) if !self.closing => ruleset,
            Ok(_) => return Box::pin(actix::fut::ok(0)),
            Err(refusal) => return Box::pin(actix::fut::err(refusal)),
        };
        let (tools, rules, leads) = (self.tools.clone(), self.rules.clone(), self.leads());
        self.mending.watch.expect();
        let published: String = leads.iter().map(|(ports, to)| elements::published(&rules.table, ports, *to)).collect();
        let count = leads.iter().map(|(ports, _)| ports.len()).sum();
        let loaded = async move {
            let own = rules.clone();
            beside(move || see_that_it_is_ours(own.comment(), &own.table)).await?;
            nft::load(&tools, ruleset + &published).await?;
            drop(quiet);
            // Flows that began while nothing led on. What cannot be forgotten is told in the log.
            look(move || leads.iter().for_each(|(ports, _)| rules.forget_early(ports))).await?;
            Ok(count)
        };
        Box::pin(loaded.into_actor(self))
    }

    fn mended(&mut self, done: Result<usize, Refusal>, ctx: &mut Context<Self>) {
        let table = &self.rules.table;
        if done.is_ok() {
            self.mending.failure = None;
            // Whoever connected while nothing led on.
            self.members.values().filter_map(|m| m.held.as_ref()).for_each(|held| held.reserved.turn_away_the_early());
        }
        let pause = match done {
            _ if self.closing => return,
            Ok(ports) if std::mem::take(&mut self.mending.renew) => {
                log::info!("the nft table inet {table} is made anew, with {ports} published ports");
                PAUSE
            }
            Ok(ports) => {
                log::warn!("somebody took away the nft table inet {table}; it is back, with {ports} published ports");
                for name in self.nets.keys() {
                    self.bus.publish(Kind::Network, name.as_str(), "restore", Vec::new());
                }
                PAUSE
            }
            Err(refusal) => {
                self.mending.watch.expect_no_more();
                self.mending.again = true;
                let failure = refusal.to_string();
                if self.mending.failure.as_ref() != Some(&failure) {
                    log::error!("the nft table inet {table} is not whole, and cannot be made so yet: {failure}");
                    self.mending.failure = Some(failure);
                }
                RETRY
            }
        };
        ctx.run_later(pause, |network, ctx| {
            network.mending.at_work = false;
            if std::mem::take(&mut network.mending.again) {
                network.mend(ctx);
            }
        });
    }

    /// All that the table holds beside published ports, in place of whatever is left of it.
    fn ruleset(&self) -> Result<String, Refusal> {
        let closed = || Refusal::internal("a network has no name server");
        let table = &self.rules.table;
        let mut further = String::new();
        let mut whole = Err(closed());
        for net in self.nets.values() {
            let ports = net.resolver.as_ref().map(dns::Server::ports).ok_or_else(closed)?;
            match net.slot {
                0 => whole = Ok(rules::table(&net.base, self.v6, ports)),
                _ => further += &rules::add(table, &net.base, net.internal, ports),
            }
            further += &net.parts("add", table);
        }
        if self.mending.quiet {
            further += &rules::not_quiet(table);
            further += &rules::quiet(table);
        }
        Ok(rules::none(table) + &whole? + &further)
    }

    /// What is published, and where each leads.
    fn leads(&self) -> Vec<(Vec<PublishedPort>, Target)> {
        let held = self.members.values().filter_map(|member| match &member.held {
            Some(held) => Some((held.reserved.ports().to_vec(), held.answers_at()?)),
            None => member.leads.clone(),
        });
        held.filter(|(ports, _)| !ports.is_empty()).collect()
    }
}

/// Somebody else may have made one of the same name.
fn see_that_it_is_ours(comment: std::io::Result<Option<String>>, table: &str) -> Result<(), Refusal> {
    match comment.map_err(|error| wrong(&format!("the nft table inet {table}"), &error))? {
        Some(comment) if comment != rules::COMMENT => {
            Err(Refusal::in_use(format_args!("there is a table of that name that is not gantry's ({comment:?})")))
        }
        _ => Ok(()),
    }
}
