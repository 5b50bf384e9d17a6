//! What the design leans on in actix, each as a fact of the version that is locked: an upgrade that changes one of them fails
//! here, and not in a daemon.

use std::cell::RefCell;
use std::rc::Rc;
use std::time::Duration;

use actix::prelude::*;
use gantry::link::{DeathGuard, Post, Unanswered, fall, succeed};
use tokio::sync::mpsc;

/// What happens, in its order.
type Seen = Rc<RefCell<Vec<&'static str>>>;

/// An actor that does as it is told.
struct Subject {
    seen: Seen,
    _guard: DeathGuard,
}

impl Subject {
    fn new(seen: &Seen) -> Self {
        let told = seen.clone();
        let tell = move |panicked| told.borrow_mut().push(if panicked { "panicked" } else { "ended" });
        Self { seen: seen.clone(), _guard: DeathGuard::new(tell) }
    }
}

impl Actor for Subject {
    type Context = Context<Self>;

    fn started(&mut self, _: &mut Context<Self>) {
        self.seen.borrow_mut().push("started");
    }

    fn stopping(&mut self, _: &mut Context<Self>) -> Running {
        self.seen.borrow_mut().push("stopping");
        Running::Stop
    }
}

impl Supervised for Subject {
    fn restarting(&mut self, _: &mut Context<Self>) {
        self.seen.borrow_mut().push("restarting");
    }
}

/// What it is told.
#[derive(Message, Clone, Copy)]
#[rtype(result = "u32")]
enum Do {
    Answer,
    Stop,
    Panic,
    /// In a future that its context runs.
    PanicLater,
}

impl Handler<Do> for Subject {
    type Result = u32;

    fn handle(&mut self, what: Do, ctx: &mut Context<Self>) -> u32 {
        match what {
            Do::Answer => {}
            Do::Stop => ctx.stop(),
            Do::Panic => panic!("as it was told"),
            Do::PanicLater => drop(ctx.spawn(async { panic!("as it was told") }.into_actor(self))),
        }
        7
    }
}

/// Answers in a task of its own.
#[derive(Message)]
#[rtype(result = "()")]
struct PanicBeside;

impl Handler<PanicBeside> for Subject {
    type Result = ResponseFuture<()>;

    fn handle(&mut self, _: PanicBeside, _: &mut Context<Self>) -> Self::Result {
        Box::pin(async { panic!("as it was told") })
    }
}

fn on_actix(test: impl Future<Output = ()>) {
    System::new().block_on(test);
}

#[test]
fn an_actor_that_panics_is_dropped_while_it_unwinds_and_its_askers_hear_it() {
    for what in [Do::Panic, Do::PanicLater] {
        on_actix(async {
            let seen = Seen::default();
            let (subject, beside) = (Subject::new(&seen).start(), Subject::new(&Seen::default()).start());
            // One whose question waits behind it hears it too.
            let (first, second) = futures::join!(subject.send(what), subject.send(Do::Panic));
            assert!(first.is_ok() || matches!(first, Err(MailboxError::Closed)), "{first:?}");
            assert!(matches!(second, Err(MailboxError::Closed)), "{second:?}");
            assert!(matches!(subject.send(Do::Answer).await, Err(MailboxError::Closed)) && !subject.connected());
            // `stopping` is called then too: what is only right at an end in peace has no place there.
            assert_eq!(*seen.borrow(), ["started", "stopping", "panicked"]);
            assert_eq!(beside.send(Do::Answer).await.unwrap(), 7, "its neighbours on the thread go on");
        });
    }
}

#[test]
fn an_end_in_peace_is_told_from_a_panic() {
    on_actix(async {
        let seen = Seen::default();
        let subject = Subject::new(&seen).start();
        assert_eq!(subject.send(Do::Stop).await.unwrap(), 7);
        assert!(subject.send(Do::Answer).await.is_err());
        assert_eq!(*seen.borrow(), ["started", "stopping", "ended"]);
    });
}

#[test]
fn the_supervisor_of_actix_restarts_what_stops_and_not_what_panics() {
    on_actix(async {
        let seen = Seen::default();
        let of = seen.clone();
        let subject = actix::Supervisor::start(move |_| Subject::new(&of));
        assert_eq!(subject.send(Do::Stop).await.unwrap(), 7);
        assert_eq!(subject.send(Do::Answer).await.unwrap(), 7);
        assert!(subject.send(Do::Panic).await.is_err());
        assert!(subject.send(Do::Answer).await.is_err() && !subject.connected());
        // The same object is used again, which is what a panic may have torn.
        assert_eq!(*seen.borrow(), ["started", "stopping", "restarting", "started", "stopping", "panicked"]);
    });
}

#[test]
fn an_answer_beside_the_actor_that_panics_leaves_the_actor_alone() {
    on_actix(async {
        let seen = Seen::default();
        let subject = Subject::new(&seen).start();
        assert!(matches!(subject.send(PanicBeside).await, Err(MailboxError::Closed)));
        assert_eq!(subject.send(Do::Answer).await.unwrap(), 7);
        assert_eq!(*seen.borrow(), ["started"]);
    });
}

#[test]
fn a_task_that_panics_is_its_own_end_alone() {
    on_actix(async {
        let task = actix_rt::spawn(async { panic!("as it was told") });
        assert!(task.await.unwrap_err().is_panic());
        assert_eq!(actix_rt::spawn(async { 7 }).await.unwrap(), 7);
    });
}

#[test]
fn a_task_goes_on_where_nobody_waits_for_it() {
    on_actix(async {
        let (sender, mut receiver) = mpsc::channel(1);
        drop(actix_rt::spawn(async move {
            tokio::time::sleep(Duration::from_millis(1)).await;
            let _ = sender.send(7).await;
        }));
        assert_eq!(receiver.recv().await, Some(7));
    });
}

/// Counts its askers, and leaves the count to its successor.
struct Counter {
    count: u32,
    fallen: Option<gantry::link::Teller<Self>>,
}

impl Actor for Counter {
    type Context = Context<Self>;
}

impl Handler<Do> for Counter {
    type Result = u32;

    fn handle(&mut self, what: Do, ctx: &mut Context<Self>) -> u32 {
        self.count += 1;
        match what {
            Do::Panic => panic!("as it was told"),
            Do::Stop => ctx.stop(),
            _ => {}
        }
        self.count
    }
}

impl Drop for Counter {
    fn drop(&mut self) {
        if let Some(fallen) = self.fallen.take().filter(|_| std::thread::panicking()) {
            fall(&fallen, Self { count: self.count, fallen: None });
        }
    }
}

#[test]
fn a_post_leads_to_the_successor_until_one_ends_in_peace() {
    on_actix(async {
        let (fallen, falls) = mpsc::unbounded_channel();
        let (office, post) = Post::of(Counter { count: 0, fallen: Some(fallen) }.start());
        actix_rt::spawn(succeed(falls, office, async |mut next: Counter, teller| {
            next.fallen = Some(teller);
            next.start()
        }));
        assert_eq!(post.send(Do::Answer).await, Ok(1));
        assert_eq!(post.send(Do::Panic).await, Err(Unanswered::Died));
        assert_eq!(
            post.send(Do::Answer).await,
            Ok(3),
            "what it left is there, and so is a successor by the time of the answer"
        );
        assert_eq!(post.send(Do::Stop).await, Ok(4));
        assert_eq!(post.send(Do::Answer).await, Err(Unanswered::Ended));
        assert_eq!(post.send_surely(Do::Answer).await, Err(Unanswered::Ended));
    });
}
