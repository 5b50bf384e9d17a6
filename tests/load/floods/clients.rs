//! What one client of a flood does: always the same, until it is hung up on or dropped.

use std::convert::Infallible;
use std::io::{self, BufRead};
use std::os::unix::net;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::Ordering::Relaxed;
use std::time::Duration;

use futures::future::{LocalBoxFuture, try_join};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::UnixStream;
use tokio::net::unix::{ReadHalf, WriteHalf};
use tokio::time::{MissedTickBehavior, interval, sleep};

use super::Tally;

/// How many of those that flood with events make them; the others hear them.
const FEEDERS: usize = 4;
/// How many each of these makes at once, and how often.
const FED: (usize, Duration) = (25, Duration::from_millis(10));
/// What is always answered by more than was asked.
const HELP: &str = "help run\n";

/// What a client does, for ever.
#[derive(Clone, Copy)]
pub enum Kind {
    Crowd,
    Lister,
    Visitor,
    Pipeline,
    Deaf,
    Slow,
    Torn,
    HalfClosed,
    LongLines,
    Events,
}

/// It never ends well.
type Ended = io::Result<Infallible>;

impl Kind {
    /// Does it.
    pub fn play(self, client: Client) -> LocalBoxFuture<'static, Ended> {
        match self {
            Self::Crowd if client.number.is_multiple_of(5) => Box::pin(client.ask("ping\n")),
            Self::Crowd => Box::pin(client.listen()),
            Self::Lister => Box::pin(client.ask("ps\n")),
            Self::Visitor => Box::pin(client.visit()),
            Self::Pipeline => Box::pin(client.pipeline()),
            Self::Deaf => Box::pin(client.ask_only()),
            Self::Slow => Box::pin(client.read_slowly()),
            Self::Torn => Box::pin(client.stay_torn()),
            Self::HalfClosed => Box::pin(client.half_close()),
            Self::LongLines => Box::pin(client.ask_at_length()),
            Self::Events if client.number < FEEDERS => Box::pin(client.feed()),
            Self::Events => Box::pin(client.subscribe()),
        }
    }
}

/// One client.
pub struct Client {
    socket: PathBuf,
    stream: UnixStream,
    number: usize,
    tally: Arc<Tally>,
}

impl Client {
    /// Connects; waits while too many others do.
    pub fn connect(socket: &Path, number: usize, tally: &Arc<Tally>) -> io::Result<Self> {
        Ok(Self { socket: socket.to_owned(), stream: connect(socket)?, number, tally: tally.clone() })
    }

    /// One request after another, each when the one before it is answered.
    async fn ask(mut self, request: &'static str) -> Ended {
        loop {
            self.stream.write_all(request.as_bytes()).await?;
            self.await_answer().await?;
        }
    }

    async fn await_answer(&mut self) -> io::Result<()> {
        let (mut read, _) = self.stream.split();
        let mut buffer = [0; 4096];
        let mut last = Vec::new();
        // The final line begins with what no other line does, and stands last.
        loop {
            let count = hear(&mut read, &mut buffer, &self.tally).await?;
            last.extend_from_slice(&buffer[..count]);
            if let Some(whole) = last.strip_suffix(b"\n") {
                let line = whole.rsplit(|byte| *byte == b'\n').next().unwrap_or_default();
                if line.starts_with(b"OK") || line.starts_with(b"ERR") {
                    return Ok(());
                }
            }
        }
    }

    async fn listen(mut self) -> Ended {
        let (mut read, _) = self.stream.split();
        hear_all(&mut read, &self.tally).await
    }

    async fn visit(mut self) -> Ended {
        loop {
            self.stream.write_all(b"ping\n").await?;
            self.await_answer().await?;
            self.stream = connect(&self.socket)?;
        }
    }

    async fn pipeline(mut self) -> Ended {
        let (mut read, mut write) = self.stream.split();
        let block = "ping\n".repeat(2000);
        try_join(hear_all(&mut read, &self.tally), say_all(&mut write, block.as_bytes())).await.map(|(never, _)| never)
    }

    async fn ask_only(mut self) -> Ended {
        let (_, mut write) = self.stream.split();
        loop {
            write.write_all(HELP.as_bytes()).await?;
            self.tally.lines.fetch_add(1, Relaxed);
        }
    }

    async fn read_slowly(mut self) -> Ended {
        let (mut read, mut write) = self.stream.split();
        let block = HELP.repeat(200);
        let slowly = async {
            let mut buffer = [0; 4096];
            loop {
                hear(&mut read, &mut buffer, &self.tally).await?;
                sleep(Duration::from_millis(100)).await;
            }
        };
        try_join(slowly, say_all(&mut write, block.as_bytes())).await.map(|(never, _)| never)
    }

    async fn stay_torn(mut self) -> Ended {
        self.stream.write_all(&vec![b'x'; 60_000]).await?;
        self.tally.lines.fetch_add(1, Relaxed);
        self.listen().await
    }

    async fn half_close(mut self) -> Ended {
        self.stream.write_all(b"wait box\n").await?;
        self.stream.shutdown().await?;
        self.listen().await
    }

    async fn ask_at_length(mut self) -> Ended {
        let mut line = vec![b'x'; 1 << 20];
        line.push(b'\n');
        let (mut read, mut write) = self.stream.split();
        try_join(hear_all(&mut read, &self.tally), say_all(&mut write, &line)).await.map(|(never, _)| never)
    }

    async fn subscribe(mut self) -> Ended {
        self.stream.write_all(b"events type=container\n").await?;
        self.listen().await
    }

    /// Does what is told of at once, and costs no tool: a signal that is ignored.
    async fn feed(mut self) -> Ended {
        let (mut read, mut write) = self.stream.split();
        let (count, pause) = FED;
        let block = "kill box signal=WINCH\n".repeat(count);
        let mut at = interval(pause);
        at.set_missed_tick_behavior(MissedTickBehavior::Delay);
        let feed = async {
            loop {
                at.tick().await;
                write.write_all(block.as_bytes()).await?;
            }
        };
        let uncounted = Tally::default();
        try_join(hear_all(&mut read, &uncounted), feed).await.map(|(never, _): (Infallible, Infallible)| never)
    }
}

fn connect(socket: &Path) -> io::Result<UnixStream> {
    // A blocking one: it waits for its turn where one that does not block would fail.
    let stream = net::UnixStream::connect(socket)?;
    stream.set_nonblocking(true)?;
    UnixStream::from_std(stream)
}

/// Reads once, and counts the lines.
async fn hear(read: &mut ReadHalf<'_>, buffer: &mut [u8], tally: &Tally) -> io::Result<usize> {
    let count = read.read(buffer).await?;
    if count == 0 {
        return Err(io::ErrorKind::UnexpectedEof.into());
    }
    tally.lines.fetch_add(lines(&buffer[..count]), Relaxed);
    Ok(count)
}

/// How many lines end in `bytes`. By what is fast in a debug build too, as those who flood must be.
fn lines(mut bytes: &[u8]) -> u64 {
    let torn = u64::from(bytes.last().is_some_and(|last| *last != b'\n'));
    let mut pieces = 0;
    while bytes.skip_until(b'\n').is_ok_and(|count| count > 0) {
        pieces += 1;
    }
    pieces - torn
}

async fn hear_all(read: &mut ReadHalf<'_>, tally: &Tally) -> Ended {
    let mut buffer = vec![0; 16 << 10];
    loop {
        hear(read, &mut buffer, tally).await?;
    }
}

async fn say_all(write: &mut WriteHalf<'_>, block: &[u8]) -> Ended {
    loop {
        write.write_all(block).await?;
    }
}
