//! The event bus: what happened, told to whoever listens, with a bound on what a slow listener can cost.

use std::cell::{Cell, OnceCell, RefCell};
use std::collections::VecDeque;
use std::rc::Rc;
use std::time::SystemTime;

use tokio::sync::broadcast;

use crate::wire::reply::Line;
use crate::wire::units;

/// How many events a listener may lag behind before it loses some (and is told how many).
const LAG_MAX: usize = 1024;
/// How many past events are kept for `since=`.
const HISTORY_MAX: usize = 1024;

/// The keys that every event carries.
pub const KEYS: [&str; 4] = ["time", "type", "name", "action"];

/// The keys an event may carry beyond `time`, `type`, `name` and `action`.
pub const DETAILS: [&str; 11] =
    ["id", "image", "signal", "exit", "oom", "container", "ip", "digest", "health", "restarts", ERROR];

/// A refusal, whose message may name what is the host's: not for everyone.
const ERROR: &str = "error";

/// What kind of thing an event is about.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// A container.
    Container,
    /// An image.
    Image,
    /// A network.
    Network,
    /// A volume.
    Volume,
    /// The daemon itself.
    Daemon,
}

impl Kind {
    /// Every kind.
    pub const ALL: &[Self] = &[Self::Container, Self::Image, Self::Network, Self::Volume, Self::Daemon];

    /// As the wire spells it.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Container => "container",
            Self::Image => "image",
            Self::Network => "network",
            Self::Volume => "volume",
            Self::Daemon => "daemon",
        }
    }
}

/// Something that happened.
#[derive(Debug)]
pub struct Event {
    /// When.
    pub time: SystemTime,
    /// To what kind of thing.
    pub kind: Kind,
    /// To which one.
    pub name: String,
    /// What happened, in one word of the manual's: `create`, `start`, `kill`, `exit`, `remove`, …
    pub action: &'static str,
    /// What else there is to say.
    pub details: Vec<(&'static str, String)>,
    /// How it is told.
    line: OnceCell<Line>,
    /// The same to who may only look, where that is another line.
    open_line: OnceCell<Line>,
}

impl Event {
    /// The line that tells of it: made once, however many are told. Who is not `trusted` hears of an error its code alone.
    pub fn line(&self, trusted: bool) -> &Line {
        let is_cut = !trusted && self.details.iter().any(|(key, _)| *key == ERROR);
        let line = if is_cut { &self.open_line } else { &self.line };
        line.get_or_init(|| {
            let time = units::rfc3339(self.time);
            let values = [time.as_str(), self.kind.as_str(), &self.name, self.action];
            let details = self.details.iter().map(|(key, value)| match value.split_once(' ') {
                Some((code, _)) if is_cut && *key == ERROR => (*key, code),
                _ => (*key, value.as_str()),
            });
            Line::event(KEYS.into_iter().zip(values).chain(details))
        })
    }
}

/// Where events are published and listened for. Cheap to clone; one thread's.
#[derive(Clone)]
pub struct Bus {
    sender: broadcast::Sender<Rc<Event>>,
    history: Rc<RefCell<VecDeque<Rc<Event>>>>,
    published: Rc<Cell<u64>>,
}

impl Default for Bus {
    fn default() -> Self {
        Self { sender: broadcast::Sender::new(LAG_MAX), history: Rc::default(), published: Rc::default() }
    }
}

impl Bus {
    /// Tells everyone. Never waits and never fails.
    pub fn publish(
        &self,
        kind: Kind,
        name: impl Into<String>,
        action: &'static str,
        details: Vec<(&'static str, String)>,
    ) {
        debug_assert!(details.iter().all(|(key, _)| DETAILS.contains(key)), "a key that no table has: {details:?}");
        let (time, name) = (SystemTime::now(), name.into());
        let (line, open_line) = (OnceCell::new(), OnceCell::new());
        let event = Rc::new(Event { time, kind, name, action, details, line, open_line });
        let mut history = self.history.borrow_mut();
        if history.len() == HISTORY_MAX {
            history.pop_front();
        }
        history.push_back(event.clone());
        drop(history);
        self.published.set(self.published.get() + 1);
        // An error means that nobody listens, which is no failure.
        let _ = self.sender.send(event);
    }

    /// How many events there were.
    pub fn published(&self) -> u64 {
        self.published.get()
    }

    /// What happened since `since` as far as it is kept, and everything from now on, without gap or overlap.
    pub fn subscribe(&self, since: Option<SystemTime>) -> (Vec<Rc<Event>>, broadcast::Receiver<Rc<Event>>) {
        let history = self.history.borrow();
        let past =
            since.map_or_else(Vec::new, |since| history.iter().filter(|event| event.time >= since).cloned().collect());
        (past, self.sender.subscribe())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::refusal::Refusal;

    #[test]
    fn the_past_is_kept_within_a_bound_and_never_told_twice() {
        let bus = Bus::default();
        for n in 0..HISTORY_MAX + 5 {
            bus.publish(Kind::Container, n.to_string(), "start", Vec::new());
        }
        let (past, mut live) = bus.subscribe(Some(SystemTime::UNIX_EPOCH));
        assert_eq!((past.len(), past[0].name.as_str()), (HISTORY_MAX, "5"));
        assert!(live.try_recv().is_err());
        bus.publish(Kind::Image, "x", "pull", Vec::new());
        assert_eq!(live.try_recv().unwrap().name, "x");
    }

    #[test]
    fn who_may_only_look_hears_the_code_of_an_error() {
        let bus = Bus::default();
        let (_, mut live) = bus.subscribe(None);
        let refusal = Refusal::tool_failed("crun: /srv/secret is not there");
        bus.publish(
            Kind::Container,
            "x:latest",
            "restart-failed",
            vec![("id", "7".into()), ("error", refusal.to_string())],
        );
        let event = live.try_recv().unwrap();
        let shown = |trusted| String::from_utf8_lossy(event.line(trusted).as_bytes()).into_owned();
        assert!(shown(true).ends_with(&format!(" id=7 error=\"{refusal}\"\n")), "{}", shown(true));
        assert!(shown(false).ends_with(" id=7 error=tool-failed\n"), "{}", shown(false));
    }

    #[test]
    fn a_listener_that_lags_is_told_how_much_it_lost() {
        let bus = Bus::default();
        let (_, mut live) = bus.subscribe(None);
        for n in 0..LAG_MAX + 7 {
            bus.publish(Kind::Container, n.to_string(), "start", Vec::new());
        }
        assert_eq!(live.try_recv().unwrap_err(), broadcast::error::TryRecvError::Lagged(7));
    }
}
