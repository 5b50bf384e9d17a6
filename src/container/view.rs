//! What others see of a container: a picture of it, replaced whole at every change, so that looking never waits.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::SystemTime;

use super::plan::Plan;
use super::state::Phase;
use crate::id::{ContainerId, Name, PublishedPort};
use crate::network::Endpoint;

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
    /// How many times it was started anew by its policy.
    pub restarts: u32,
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
    /// A container that is being made.
    pub fn first(plan: &Plan, phase: Phase) -> Self {
        Self {
            name: plan.name.clone(),
            id: plan.id.clone(),
            image: plan.image.as_str().into(),
            phase,
            pid: None,
            endpoints: Vec::new(),
            shares: None,
            cut_off_by: None,
            ports: Vec::new(),
            exit: None,
            oom: false,
            restarts: 0,
            created: plan.created,
            started: None,
            finished: None,
            labels: plan.labels.clone(),
        }
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
        matches!(self.phase, Phase::Starting | Phase::Running | Phase::Paused | Phase::Stopping | Phase::Leaving)
    }

    /// Whether its process runs, frozen or not, so that its cgroup is there.
    pub fn has_process(&self) -> bool {
        matches!(self.phase, Phase::Running | Phase::Paused | Phase::Stopping)
    }

    /// Whether it ran and its end is told: by then its address and ports are free.
    pub fn has_ended(&self) -> bool {
        self.exit.is_some() && matches!(self.phase, Phase::Exited | Phase::Removing)
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
