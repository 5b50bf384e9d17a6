//! What others see of a container: a picture of it, replaced whole at every change, so that looking never waits.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::SystemTime;

use super::health::Health;
use super::plan::Plan;
use super::state::Phase;
use crate::id::{ContainerId, Name, PublishedPort};
use crate::network::{Attachment, Endpoint};

/// A container at one moment.
#[derive(Clone, Debug)]
pub struct View {
    /// Its name/tag pair.
    pub name: Name,
    /// Its id.
    pub id: ContainerId,
    /// The full name of the image that it was made from; empty for a directory.
    pub image: Arc<str>,
    /// Where it is in its life.
    pub phase: Phase,
    /// Its first process in the daemon's pid namespace, while it runs.
    pub pid: Option<i32>,
    /// Its links, while it runs; those of the other where it shares another's network.
    pub endpoints: Vec<Endpoint>,
    /// Whose network it shares, while it runs.
    pub shares: Option<Name>,
    /// Whose end was the end of its last run, as it shared that one's network.
    pub cut_off_by: Option<Name>,
    /// Its published ports, while it runs.
    pub ports: Vec<PublishedPort>,
    /// How its last run ended: the exit code, or 128 and the signal.
    pub exit: Option<i32>,
    /// Whether the OOM killer ended a process of its last run.
    pub oom: bool,
    /// How many times it was started anew by its policy, or because it was unhealthy.
    pub restarts: u32,
    /// It starts again by itself: the last end of it is yet to come.
    pub goes_on: bool,
    /// Its health, where it has a check.
    pub health: Option<Arc<Health>>,
    /// When it was made.
    pub created: SystemTime,
    /// When its last run began.
    pub started: Option<SystemTime>,
    /// When its last run ended.
    pub finished: Option<SystemTime>,
    /// Its labels.
    pub labels: Arc<BTreeMap<String, String>>,
}

impl View {
    /// The picture of a container of `plan` that is not made yet.
    pub fn first(plan: &Plan) -> Self {
        Self {
            name: plan.name.clone(),
            id: plan.id.clone(),
            image: plan.image.as_str().into(),
            phase: Phase::Preparing,
            pid: None,
            endpoints: Vec::new(),
            shares: None,
            cut_off_by: None,
            ports: Vec::new(),
            exit: None,
            oom: false,
            restarts: 0,
            goes_on: false,
            health: None,
            created: plan.created,
            started: None,
            finished: None,
            labels: plan.labels.clone(),
        }
    }

    /// Its state as the wire names it.
    pub fn state(&self) -> &'static str {
        match self.phase {
            // One that ran is not made anew by being started again.
            Phase::Starting if self.finished.is_some() => Phase::Exited.as_str(),
            Phase::Failed if self.pid.is_some() => Phase::Running.as_str(),
            Phase::Failed if self.finished.is_none() => Phase::Created.as_str(),
            phase => phase.as_str(),
        }
    }

    /// How well it is, as the wire says it; nothing where it has no check or does not run.
    pub fn health_text(&self) -> &'static str {
        self.health.as_ref().and_then(|health| health.status).map_or("", |status| status.as_str())
    }

    /// Shows what it has of its networks.
    pub(super) fn join(&mut self, attachment: &Attachment) {
        self.endpoints.clone_from(&attachment.endpoints);
        self.shares = attachment.shared.as_ref().map(|shared| shared.with.clone());
        self.cut_off_by = None;
        self.ports.clone_from(&attachment.ports);
    }

    /// Shows that it is on no network.
    pub(super) fn leave(&mut self) {
        self.endpoints.clear();
        self.shares = None;
        self.ports.clear();
    }

    /// Its addresses as the wire shows them.
    pub fn ips_text(&self) -> String {
        self.endpoints.iter().map(|endpoint| endpoint.ip.to_string()).collect::<Vec<_>>().join(",")
    }

    /// The host's ends of its own links: what goes over shared ones is counted where they are.
    pub fn links(&self) -> Vec<String> {
        let own = self.endpoints.iter().filter(|_| self.shares.is_none());
        own.map(|endpoint| endpoint.link.clone()).collect()
    }

    /// Whether it has a run that has not ended, or is about to have one.
    pub fn is_up(&self) -> bool {
        matches!(self.phase, Phase::Starting | Phase::Leaving) || self.has_process()
    }

    /// Whether its process runs, frozen or not, so that its cgroup is there.
    pub fn has_process(&self) -> bool {
        matches!(self.phase, Phase::Running | Phase::Paused | Phase::Stopping)
            || (self.has_failed() && self.pid.is_some())
    }

    /// Whether it ran and its last end is told: by then its address and ports are free.
    pub fn has_ended(&self) -> bool {
        self.exit.is_some() && !self.goes_on && matches!(self.phase, Phase::Exited | Phase::Removing | Phase::Failed)
    }

    /// Whether nothing but its removal can be asked for.
    pub fn has_failed(&self) -> bool {
        self.phase == Phase::Failed
    }

    /// Whether its name is free for another.
    pub fn is_gone(&self) -> bool {
        self.phase == Phase::Removing
    }

    /// Its published ports as the wire shows them.
    pub fn ports_text(&self) -> String {
        self.ports.iter().map(ToString::to_string).collect::<Vec<_>>().join(",")
    }
}
