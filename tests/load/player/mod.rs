//! Plays load files against a daemon: used by `make load` in full, and by the suite briefly.

mod client;
mod outcome;
mod process;
mod script;

use std::path::Path;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::thread::{Scope, ScopedJoinHandle};
use std::time::{Duration, Instant};

use client::{Client, Seen};
pub use outcome::Outcome;
pub use process::Usage;
pub use script::{Clients, Part, Script, Section};

/// Everybody who plays, and what they share.
struct Play<'a> {
    script: &'a Script,
    socket: &'a Path,
    /// The next number that no round has had.
    rounds: AtomicUsize,
}

type Playing<'scope> = ScopedJoinHandle<'scope, Result<Seen, String>>;

/// Plays a script. Any refusal is an error, and so are replies that nobody asked for and events that were lost.
pub fn play(script: &Script, socket: &Path, daemon: u32) -> Result<Outcome, String> {
    let play = Play { script, socket, rounds: AtomicUsize::new(0) };
    play.alone(|part| if let Part::Before(times) = part { *times } else { 0 })?;
    let before = Usage::of(daemon)?;
    let mut outcome = std::thread::scope(|scope| play.together(scope, daemon, before))?;
    outcome.replies.sort_by(|a, b| a.0.cmp(&b.0));
    Ok(outcome)
}

impl Play<'_> {
    /// What one client does alone, before the others or after them.
    fn alone(&self, times: impl Fn(&Part) -> usize) -> Result<(), String> {
        let mut client = Client::connect(self.socket)?;
        for section in &self.script.sections {
            for number in 0..times(&section.part) {
                let lines = section.lines.iter().map(|line| self.script.line(line, number));
                client.send(lines.collect())?;
                client.await_at_most(0)?;
            }
        }
        Ok(())
    }

    /// Listeners first, then the groups; the end of the groups, then that of the listeners.
    fn together<'s>(&'s self, scope: &'s Scope<'s, '_>, daemon: u32, before: Usage) -> Result<Outcome, String> {
        let mut listeners = Vec::new();
        for section in &self.script.sections {
            let Part::Listeners(count, until) = &section.part else { continue };
            for _ in 0..*count {
                listeners.push(self.listener(scope, section, until.as_deref())?);
            }
        }
        let began = Instant::now();
        let mut groups: Vec<Playing<'s>> = Vec::new();
        for section in &self.script.sections {
            let Part::Clients(clients) = section.part else { continue };
            for _ in 0..clients.count {
                groups.push(scope.spawn(move || self.rounds(section, clients)));
            }
        }
        let seen = join(groups);
        let took = began.elapsed();
        // However the groups ended: the listeners wait for what is done afterwards.
        let after = self.alone(|part| if let Part::After(times) = part { *times } else { 0 });
        let heard = join(listeners);
        let usage = (before, Usage::of(daemon)?);
        let (seen, heard) = (seen?, after.and(heard)?);
        let lines = seen.iter().chain(&heard).map(|seen| seen.lines).sum();
        if heard.iter().any(|one| one.lines != heard[0].lines) {
            return Err(format!(
                "listeners heard differently: {:?}",
                heard.iter().map(|one| one.lines).collect::<Vec<_>>()
            ));
        }
        let replies = sort(seen.into_iter().flat_map(|seen| seen.replies));
        Ok(Outcome { took, replies, lines, heard: heard.first().map_or(0, |one| one.lines), usage })
    }

    /// A client that has begun to listen. One of an endless stream has its first line, so that it misses nothing.
    fn listener<'s>(
        &'s self,
        scope: &'s Scope<'s, '_>,
        section: &'s Section,
        until: Option<&'s str>,
    ) -> Result<Playing<'s>, String> {
        let mut client = Client::connect(self.socket)?;
        client.send(section.lines.clone())?;
        if until.is_some() {
            client.read()?;
        }
        Ok(scope.spawn(move || client.listen(until).map(|()| client.seen)))
    }

    /// All rounds of one client. While there is room in its window it sends rounds together.
    fn rounds(&self, section: &Section, clients: Clients) -> Result<Seen, String> {
        let mut client = Client::connect(self.socket)?;
        let size = section.lines.len();
        let mut left = clients.repeat;
        while left > 0 {
            let room = clients.window.saturating_sub(client.under_way()) / size;
            let rounds = room.clamp(1, left);
            let numbers = self.rounds.fetch_add(rounds, Ordering::Relaxed);
            let lines = (numbers..numbers + rounds)
                .flat_map(|number| section.lines.iter().map(move |line| self.script.line(line, number)));
            client.send(lines.collect())?;
            left -= rounds;
            client.await_at_most(clients.window / 2)?;
            if !clients.think.is_zero() {
                std::thread::sleep(clients.think);
            }
        }
        client.await_at_most(0)?;
        Ok(client.seen)
    }
}

fn join(playing: Vec<Playing<'_>>) -> Result<Vec<Seen>, String> {
    // Every one is waited for, so that the error told is a player's own.
    let ended: Vec<_> = playing.into_iter().map(|one| one.join().map_err(|_| "a player panicked".to_owned())).collect();
    ended.into_iter().map(|one| one.and_then(|seen| seen)).collect()
}

/// Times by verb, each in order.
fn sort(replies: impl Iterator<Item = (String, Duration)>) -> Vec<(String, Vec<Duration>)> {
    let mut verbs = std::collections::HashMap::<String, Vec<Duration>>::new();
    for (verb, time) in replies {
        verbs.entry(verb).or_default().push(time);
    }
    verbs.values_mut().for_each(|times| times.sort());
    verbs.into_iter().collect()
}
