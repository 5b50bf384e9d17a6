//! Whoever connects, let in as far as there is room: the one loop of every listener.

use std::io;
use std::rc::Rc;
use std::time::Duration;

use futures::FutureExt;

use crate::memory;
use crate::refusal::Refusal;

/// How long accepting rests when no descriptor is left for another.
const REST: Duration = Duration::from_millis(100);

/// Serves `most` connections at once of those that `next` gives, and none more while memory is short; each one too many
/// is turned away, and told why. `who` names them in the log.
pub async fn admit<S, F: Future<Output = ()> + 'static>(
    who: &str,
    most: usize,
    next: impl AsyncFn() -> io::Result<S>,
    serve: impl Fn(S) -> F,
    turn_away: impl Fn(&S, &Refusal),
) {
    let inside = Rc::new(());
    loop {
        match next().await {
            // One reference is ours, each further one a connection's.
            Ok(stream) => match room(Rc::strong_count(&inside) - 1, most) {
                Ok(()) => {
                    let place = inside.clone();
                    actix_rt::spawn(serve(stream).map(move |()| drop(place)));
                }
                Err(refusal) => turn_away(&stream, &refusal),
            },
            Err(e) => {
                log::warn!("{who} could not be let in: {e}");
                tokio::time::sleep(REST).await;
            }
        }
    }
}

fn room(inside: usize, most: usize) -> Result<(), Refusal> {
    if inside >= most {
        return Err(Refusal::busy("too many clients are connected; try again later"));
    }
    memory::afford("a session")
}
