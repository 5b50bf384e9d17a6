//! Work that blocks (files, mounts, netlink), done by a few workers beside the daemon's thread.

use std::panic::{AssertUnwindSafe, catch_unwind};

use tokio::sync::{Semaphore, SemaphorePermit, oneshot};

use crate::refusal::Refusal;

/// How many threads may do blocking work at once; they end when they have had none for ten seconds.
pub const WORKERS: usize = 8;
/// Turns of work that may take long.
static LONG: Semaphore = Semaphore::const_new(WORKERS / 4);

/// Runs `work` on a worker. Once begun it is finished, also where nobody waits for it any more.
pub async fn beside<T: Send + 'static>(
    work: impl FnOnce() -> Result<T, Refusal> + Send + 'static,
) -> Result<T, Refusal> {
    look(work).await?
}

/// The same for work that cannot be refused.
pub async fn look<T: Send + 'static>(work: impl FnOnce() -> T + Send + 'static) -> Result<T, Refusal> {
    // It panics where there is no thread and none can be had.
    let begun = catch_unwind(AssertUnwindSafe(|| tokio::task::spawn_blocking(work)));
    let begun = begun.map_err(|_| Refusal::out_of_memory("no thread could be begun for it; try again later"))?;
    begun.await.map_err(|e| Refusal::internal(format_args!("a worker died: {e}")))
}

/// The same for work that may take long: no more than a quarter of the workers are ever busy with such, so that what is
/// short finds one.
pub async fn long<T: Send + 'static>(work: impl FnOnce() -> Result<T, Refusal> + Send + 'static) -> Result<T, Refusal> {
    let turn = long_turn().await;
    // The turn is over when the work is, whether or not anybody still waits for it.
    beside(move || {
        let _turn = turn;
        work()
    })
    .await
}

/// A turn to do what may take long, for who has something to do between having it and doing that.
pub async fn long_turn() -> Option<SemaphorePermit<'static>> {
    // It is never closed.
    LONG.acquire().await.ok()
}

/// Runs `work` on a thread of its own with `stack` bytes: what takes as long as a client pleases, or changes the thread
/// it runs on. It is not waited for where the daemon leaves. The bound on how many there are is the caller's.
pub async fn apart<T: Send + 'static>(
    name: &str,
    stack: usize,
    work: impl FnOnce() -> Result<T, Refusal> + Send + 'static,
) -> Result<T, Refusal> {
    let (done, end) = oneshot::channel();
    let thread = std::thread::Builder::new().name(name.to_owned()).stack_size(stack);
    // Where nobody listens any more, nobody is told.
    let spawned = thread.spawn(move || drop(done.send(work())));
    spawned.map_err(|e| Refusal::io("a thread", &e))?;
    end.await.unwrap_or_else(|_| Err(Refusal::internal(format_args!("the thread {name:?} died"))))
}
