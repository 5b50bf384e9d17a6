//! Work that blocks (files, mounts, netlink), done by a few workers beside the daemon's thread.

use crate::refusal::Refusal;

/// Runs `work` on a worker. Once begun it is finished, also where nobody waits for it any more.
pub async fn beside<T: Send + 'static>(
    work: impl FnOnce() -> Result<T, Refusal> + Send + 'static,
) -> Result<T, Refusal> {
    look(work).await?
}

/// The same for work that cannot be refused.
pub async fn look<T: Send + 'static>(work: impl FnOnce() -> T + Send + 'static) -> Result<T, Refusal> {
    let done = tokio::task::spawn_blocking(work).await;
    done.map_err(|e| Refusal::internal(format_args!("a worker died: {e}")))
}
