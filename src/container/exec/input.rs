//! What an exec reads: a client's pieces, written to its pipe or terminal.

use tokio::io::AsyncWriteExt;
use tokio::net::unix::pipe;
use tokio::sync::watch;
use tokio::time::sleep;

use super::End;
use crate::container::feed::Feed;
use crate::tools::terminal::{END_AGAIN, END_AGAIN_MAX, end_keys};

/// Writes what `feed` brings to `sink`, until the input or the process has ended. While nobody feeds it, it stays open: a
/// client that leaves is no end of input.
pub async fn pour(feed: Option<Feed>, sink: pipe::Sender, is_terminal: bool, mut end: watch::Receiver<End>) {
    tokio::select! {
        () = write(feed, sink, is_terminal) => {}
        _ = end.wait_for(Option::is_some) => {}
    }
}

async fn write(feed: Option<Feed>, mut sink: pipe::Sender, is_terminal: bool) {
    let Some(mut feed) = feed else { return std::future::pending().await };
    let mut typed = None;
    while let Some(piece) = feed.next().await {
        typed = piece.bytes.last().copied().or(typed);
        let mut written = sink.write_all(&piece.bytes).await;
        if piece.last && is_terminal && written.is_ok() {
            written = sink.write_all(end_keys(typed.take())).await;
        }
        if let Err(e) = written {
            return log::debug!("input for an exec: {e}");
        }
        let last = piece.last;
        piece.done();
        match last {
            true if is_terminal => return end_again(sink).await,
            true => return,
            false => {}
        }
    }
    std::future::pending::<()>().await;
}

/// Presses the keys that end a terminal's input for whoever reads on.
async fn end_again(mut sink: pipe::Sender) {
    let mut pause = END_AGAIN;
    loop {
        sleep(pause).await;
        if sink.write_all(end_keys(None)).await.is_err() {
            return;
        }
        pause = (pause * 2).min(END_AGAIN_MAX);
    }
}
