//! Whoever connects, let in as far as there is room: the one loop of every listener.

use std::io;
use std::rc::Rc;
use std::time::Duration;

use futures::FutureExt;

/// How long accepting rests when no descriptor is left for another.
const REST: Duration = Duration::from_millis(100);

/// Serves `most` connections at once of those that `next` gives; each one too many is turned away. `who` names them in
/// the log.
pub async fn admit<S, F: Future<Output = ()> + 'static>(
    who: &str,
    most: usize,
    next: impl AsyncFn() -> io::Result<S>,
    serve: impl Fn(S) -> F,
    turn_away: impl Fn(&S),
) {
    let inside = Rc::new(());
    loop {
        match next().await {
            // One reference is ours, each further one a connection's.
            Ok(stream) if Rc::strong_count(&inside) > most => turn_away(&stream),
            Ok(stream) => {
                let place = inside.clone();
                actix_rt::spawn(serve(stream).map(move |()| drop(place)));
            }
            Err(e) => {
                log::warn!("{who} could not be let in: {e}");
                tokio::time::sleep(REST).await;
            }
        }
    }
}
