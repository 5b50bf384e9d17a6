//! The pictures of docs/pictures.md show what the code does.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::time::Duration;

use gantry::container::restart::{Pace, Policy, Restarts};
use gantry::container::state::{Event, Phase, Rules, State};
use gantry::id::Signal;

use super::shell;

fn page() -> String {
    fs::read_to_string(shell::repository().join("docs/pictures.md")).unwrap()
}

/// The lines of the picture under this heading.
fn picture(heading: &str) -> Vec<String> {
    let page = page();
    let section = page.split("\n## ").find(|section| section.starts_with(heading)).expect("the heading");
    let picture = section.split("```mermaid\n").nth(1).expect("a picture").split("```").next().unwrap_or_default();
    picture.lines().map(|line| line.trim().to_owned()).collect()
}

/// What can happen to a container, each with its name in the picture.
fn events() -> Vec<Event> {
    let ended = |failed| Event::Ended { failed, ran: Duration::from_secs(1) };
    let asked = [Event::Start, Event::Stop, Event::Pause, Event::Resume, Event::Kill(Signal::TERM)];
    let more = [Event::Kill(Signal::KILL), Event::Remove { force: false }, Event::Remove { force: true }];
    let made = [Event::Prepared, Event::PrepareFailed, Event::Launched, Event::LaunchFailed, Event::FreezeFailed];
    let ends = [ended(false), ended(true), Event::DeadlinePassed, Event::Rested, Event::Unhealthy];
    let gone = [Event::Released, Event::Reaped, Event::Freed];
    asked.into_iter().chain(more).chain(made).chain(ends).chain(gone).collect()
}

/// A state without what makes no difference to where it can go: how often it was tried to restart it, beyond the first.
fn likeness(state: &State) -> String {
    let all = format!("{state:?}");
    let (before, behind) = all.split_once("tried: ").expect("it counts");
    let digits = behind.find(|c: char| !c.is_ascii_digit()).unwrap_or(behind.len());
    format!("{before}{}{}", behind[..digits].parse::<u32>().unwrap().min(2), &behind[digits..])
}

/// Every change of phase that any container can go through, each with the events that bring it about.
fn changes() -> BTreeMap<(String, String), BTreeSet<String>> {
    let mut changes: BTreeMap<_, BTreeSet<_>> = BTreeMap::new();
    for (remove_at_end, policy) in
        [(false, Policy::No), (true, Policy::No), (false, Policy::OnFailure { most: Some(1) })]
    {
        let pace = Pace { most: Pace::default().first, ..Pace::default() };
        let restarts = Restarts::new(policy, pace);
        let rules = Rules { remove_at_end, restarts, stop_signal: Signal::TERM, checked: true };
        let mut open = vec![State::new(rules)];
        let mut known = BTreeSet::new();
        while let Some(state) = open.pop() {
            if !known.insert(likeness(&state)) {
                continue;
            }
            for event in events() {
                let mut next = state.clone();
                // The runtime is asked to forget a run behind its release.
                let is_early = event == Event::Reaped && state.phase == Phase::Leaving;
                if is_early || next.step(&event).is_err() {
                    continue;
                }
                // How often it was restarted makes no difference to where it can go.
                next.restarted = 0;
                if next.phase != state.phase {
                    let ends = (format!("{:?}", state.phase), format!("{:?}", next.phase));
                    let name = format!("{event:?}").split(|c: char| !c.is_alphanumeric()).next().map(str::to_owned);
                    changes.entry(ends).or_default().extend(name);
                }
                open.push(next);
            }
        }
    }
    changes
}

#[test]
fn the_states_are_those_of_the_machine() {
    let arrows: BTreeSet<String> = picture("The states").into_iter().filter(|line| line.contains("-->")).collect();
    let shown: BTreeSet<String> = arrows.into_iter().filter(|line| !line.contains("[*]")).collect();
    let told = changes()
        .into_iter()
        .map(|((from, to), events)| format!("{from} --> {to} : {}", events.into_iter().collect::<Vec<_>>().join(", ")));
    let told: BTreeSet<String> = told.collect();
    let (missing, surplus) = (told.difference(&shown), shown.difference(&told));
    let differences: Vec<_> =
        missing.map(|one| format!("missing: {one}")).chain(surplus.map(|one| format!("wrong: {one}"))).collect();
    assert!(differences.is_empty(), "{differences:#?}");
}

#[test]
fn every_actor_is_in_the_tree() {
    let sources = shell::sh("grep -rhoE '^impl Actor for [A-Za-z]+' src").succeeds();
    let actors: BTreeSet<&str> = sources.lines().filter_map(|line| line.rsplit(' ').next()).collect();
    assert!(actors.len() >= 4, "{actors:?}");
    let tree = picture("The actors").join("\n");
    for actor in actors {
        assert!(tree.contains(actor), "{actor} is not in the tree");
    }
}

#[test]
fn the_path_of_a_request_leads_through_modules_that_are_there() {
    let path = picture("The path");
    let files: Vec<_> = path.iter().flat_map(|line| line.split('`').skip(1).step_by(2)).collect();
    assert!(files.len() > 5, "{files:?}");
    for file in files {
        assert!(shell::repository().join("src").join(file).exists(), "src/{file}");
    }
}

#[test]
fn what_pages_link_to_is_there() {
    for page in ["README.md", "SECURITY.md", "docs/pictures.md", "docs/compose.md", "docs/budget.md"] {
        let file = shell::repository().join(page);
        let text = fs::read_to_string(&file).unwrap();
        let links = text.split("](").skip(1).filter_map(|rest| rest.split(')').next());
        for link in links.filter(|link| !link.starts_with("http") && !link.starts_with('#')) {
            let path = link.split('#').next().unwrap_or_default();
            assert!(file.parent().unwrap().join(path).exists(), "{page}: {link}");
        }
    }
}

#[test]
fn the_recording_shows_what_the_view_shows() {
    let recording = fs::read_to_string(shell::repository().join("docs/top.svg")).unwrap();
    // What `make record` waits for; where the view says it otherwise now, it is time for another recording.
    for seen in
        ["gantry top: ", "NAME", "STATUS", "PIDS", "stop busy:latest?", "stop busy:latest: done", "log of visitor"]
    {
        assert!(recording.contains(seen), "{seen}");
    }
}
