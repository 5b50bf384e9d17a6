//! Input on its way from a client to a process: pieces in the order given, each answered once the process's pipe or
//! terminal has it. The two ends outlive each other: a client that leaves ends nothing, and a process that no longer reads
//! refuses what comes.

use std::cell::Cell;

use tokio::sync::{mpsc, oneshot, watch};

use crate::intake::Load;
use crate::refusal::Refusal;

/// The client's end. Dropped, it ends the wait of those whose piece is not yet taken, and not the input.
pub struct Feeder {
    pieces: mpsc::UnboundedSender<Piece>,
    here: watch::Sender<()>,
    ended: Cell<bool>,
}

/// The process's end. What waits in it counts as what its clients have sent, or is one piece for each who asks.
pub struct Feed {
    pieces: mpsc::UnboundedReceiver<Piece>,
    there: watch::Receiver<()>,
}

/// Some bytes, or the end of the input, or both.
pub struct Piece {
    /// What the process is to read.
    pub bytes: Vec<u8>,
    /// Nothing comes behind them.
    pub last: bool,
    taken: oneshot::Sender<()>,
    /// They count as long as they are here, also where nobody waits for them to be taken any more.
    _load: Option<Load>,
}

/// Both ends.
pub fn channel() -> (Feeder, Feed) {
    let (pieces, receiver) = mpsc::unbounded_channel();
    let (here, there) = watch::channel(());
    (Feeder { pieces, here, ended: Cell::new(false) }, Feed { pieces: receiver, there })
}

impl Feeder {
    /// Puts a piece behind those before it, at once; what is given back waits until the process has it.
    pub fn push(&self, bytes: Vec<u8>, last: bool) -> impl Future<Output = Result<(), Refusal>> + use<> {
        self.push_counted(bytes, last, None)
    }

    /// The same for bytes that are a `load`.
    pub fn push_counted(
        &self,
        bytes: Vec<u8>,
        last: bool,
        load: Option<Load>,
    ) -> impl Future<Output = Result<(), Refusal>> + use<> {
        let (taken, answer) = oneshot::channel();
        let mut here = self.here.subscribe();
        if !self.ended.replace(self.ended.get() || last) {
            // Where nobody receives, the answer is lost with the piece, and that is told below.
            let _ = self.pieces.send(Piece { bytes, last, taken, _load: load });
        }
        async move {
            tokio::select! {
                biased;
                answer = answer => answer.map_err(|_| Refusal::wrong_state("its standard input is closed")),
                _ = here.changed() => Err(Refusal::wrong_state("the request ended before it was taken")),
            }
        }
    }

    /// Ends the input, if that was not done.
    pub fn end(&self) {
        drop(self.push(Vec::new(), true));
    }
}

impl Feed {
    /// The next piece; none when the client's end is gone.
    pub async fn next(&mut self) -> Option<Piece> {
        self.pieces.recv().await
    }

    /// Waits until the client's end is gone, whatever it left here.
    pub async fn abandoned(&mut self) {
        while self.there.changed().await.is_ok() {}
    }
}

impl Piece {
    /// The process has it.
    pub fn done(self) {
        // Who asked may have left.
        let _ = self.taken.send(());
    }
}

#[cfg(test)]
mod tests {
    use futures::FutureExt;

    use super::*;
    use crate::refusal::Code;

    #[test]
    fn pieces_keep_their_order_and_are_answered_when_taken() {
        let (feeder, mut feed) = channel();
        let (mut first, second) = (Box::pin(feeder.push(b"a".to_vec(), false)), feeder.push(b"b".to_vec(), true));
        let late = feeder.push(b"c".to_vec(), false);
        assert!((&mut first).now_or_never().is_none());
        let piece = feed.next().now_or_never().flatten().unwrap();
        assert_eq!((piece.bytes.as_slice(), piece.last), (&b"a"[..], false));
        piece.done();
        assert!(first.now_or_never().unwrap().is_ok());
        assert!(late.now_or_never().unwrap().is_err_and(|e| e.code() == Code::WrongState), "nothing follows the end");
        let piece = feed.next().now_or_never().flatten().unwrap();
        assert!(piece.last && piece.bytes == b"b");
        drop(feeder);
        assert!(second.now_or_never().unwrap().is_err(), "nobody waits for what is not taken");
        assert!(feed.next().now_or_never().unwrap().is_none());
    }

    #[test]
    fn who_reads_no_more_refuses() {
        let (feeder, feed) = channel();
        drop(feed);
        assert!(feeder.push(b"a".to_vec(), false).now_or_never().unwrap().is_err());
        feeder.end();
        feeder.end();
    }
}
