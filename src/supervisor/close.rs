//! The end of every container, at the daemon's: each is told once, and where none of them moves any more they are not
//! waited for.

use std::sync::Arc;
use std::time::Duration;

use actix::prelude::*;
use futures::stream::{self, Stream, StreamExt};
use tokio::sync::{oneshot, watch};
use tokio::time::timeout;

use super::Supervisor;
use crate::container::{Close, View};
use crate::fault;

/// How long a tool that a container needs may take at most.
const TOOL: Duration = Duration::from_secs(60);

/// Asks for everything to be stopped and removed, each container with its own stop timeout or `timeout`; from the asking on
/// nothing new is made, and nothing is started. Answered with whether nothing is left: false where that has come to a
/// standstill.
#[derive(Message, Clone)]
#[rtype(result = "bool")]
pub struct ShutDown {
    /// In place of each container's own stop timeout.
    pub timeout: Option<Duration>,
}

impl Handler<ShutDown> for Supervisor {
    type Result = ResponseFuture<bool>;

    fn handle(&mut self, ShutDown { timeout }: ShutDown, _: &mut Context<Self>) -> Self::Result {
        self.closing = true;
        fault::panic_at("supervisor-close");
        let mut longest = Duration::ZERO;
        for ward in self.wards.values() {
            longest = longest.max(timeout.unwrap_or_else(|| ward.stop_timeout()));
            let addr = ward.child.addr.clone();
            // An error means that it is gone, which is what is wanted.
            actix_rt::spawn(async move {
                let _ = addr.send_surely(Close { timeout }).await;
            });
        }
        let views = self.wards.values().map(|ward| ward.child.view.clone()).collect();
        let (closer, closed) = oneshot::channel();
        self.closers.push(closer);
        self.close_if_done();
        let stopped = standstill(views, longest.saturating_add(fault::deadline(TOOL) * 3 / 2));
        Box::pin(async {
            tokio::select! {
                biased;
                closed = closed => closed.is_ok(),
                () = stopped => false,
            }
        })
    }
}

/// Ends when none of them has come any further for so long: more than a stop or a tool has, so that one that hangs is ended
/// first. Told to close, a container comes from phase to phase and never back, so that this ends for sure.
async fn standstill(views: Vec<watch::Receiver<Arc<View>>>, limit: Duration) {
    let moves = stream::select_all(views.into_iter().map(|view| moves(view).boxed_local()));
    // With the last of them gone there may be one yet whose plan is being made.
    let mut moves = moves.chain(stream::pending());
    while timeout(limit, moves.next()).await.is_ok() {}
}

/// Tells each phase that a container comes to, and its end.
fn moves(view: watch::Receiver<Arc<View>>) -> impl Stream<Item = ()> {
    stream::unfold(Some(view), |view| async {
        let mut view = view?;
        let phase = view.borrow().phase;
        let moved = view.wait_for(|v| v.phase != phase).await.is_ok();
        Some(((), moved.then_some(view)))
    })
}
