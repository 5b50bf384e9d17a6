//! `metrics` over HTTP, for a Prometheus that asks for it: one page, and nothing else of the daemon.

use std::net::SocketAddr;
use std::rc::Rc;
use std::time::Duration;

use actix_rt::task::JoinHandle;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};

use super::admit::admit;
use crate::engine::Engine;
use crate::refusal::Refusal;
use crate::verbs;

/// The page's path.
const PATH: &str = "/metrics";
/// The media type of Prometheus' text format.
const MEDIA: &str = "text/plain; version=0.0.4; charset=utf-8";
/// How many may ask at once.
const ASKERS_MAX: usize = 8;
/// How long one of them has, from the first byte to the last.
const PATIENCE: Duration = Duration::from_secs(10);
/// How long a request may be, in bytes, and how many headers it may have.
const HEAD_MAX: usize = 8 << 10;
const HEADERS_MAX: usize = 64;

/// Serves the page at `address`, until what comes back is aborted.
pub async fn serve(address: SocketAddr, engine: &Rc<Engine>) -> Result<JoinHandle<()>, Refusal> {
    let bound = TcpListener::bind(address).await;
    let listener = bound.map_err(|e| Refusal::io(format_args!("metrics-listen: {address}"), &e))?;
    log::info!("metrics are at http://{}{PATH}", listener.local_addr().unwrap_or(address));
    Ok(actix_rt::spawn(accept(listener, engine.clone())))
}

async fn accept(listener: TcpListener, engine: Rc<Engine>) {
    let next = async || listener.accept().await.map(|(stream, _)| stream);
    let serve = |stream| {
        let engine = engine.clone();
        async move {
            // Whoever is too slow, or gone, asks again at its next interval.
            let _ = tokio::time::timeout(PATIENCE, answer(stream, &engine)).await;
        }
    };
    admit("a scrape", ASKERS_MAX, next, serve, |_, _| ()).await;
}

async fn answer(mut stream: TcpStream, engine: &Engine) -> std::io::Result<()> {
    let mut head = Vec::with_capacity(1 << 10);
    let asked = loop {
        match Asked::of(&head) {
            Some(asked) => break asked,
            None if head.len() >= HEAD_MAX => break Asked::Nonsense,
            None => {}
        }
        let room = HEAD_MAX - head.len();
        if (&mut stream).take(room as u64).read_buf(&mut head).await? == 0 {
            return Ok(());
        }
    };
    let (status, media, body) = match asked {
        Asked::Page { .. } => match verbs::metrics::page(engine).await {
            Ok(page) => ("200 OK", MEDIA, page),
            Err(refusal) => ("503 Service Unavailable", "text/plain", format!("{}\n", refusal.message())),
        },
        Asked::Other => ("404 Not Found", "text/plain", format!("there is only {PATH}\n")),
        Asked::Change => ("405 Method Not Allowed", "text/plain", "GET and HEAD are known\n".to_owned()),
        Asked::Nonsense => ("400 Bad Request", "text/plain", "not a request of HTTP/1\n".to_owned()),
    };
    let length = body.len();
    let mut reply =
        format!("HTTP/1.1 {status}\r\nContent-Type: {media}\r\nContent-Length: {length}\r\nConnection: close\r\n\r\n");
    if !matches!(asked, Asked::Page { head_only: true }) {
        reply.push_str(&body);
    }
    stream.write_all(reply.as_bytes()).await?;
    stream.shutdown().await
}

/// What a request is for.
#[derive(Debug, PartialEq, Eq)]
enum Asked {
    Page { head_only: bool },
    Other,
    Change,
    Nonsense,
}

impl Asked {
    /// Nothing where the request is not whole yet.
    fn of(head: &[u8]) -> Option<Self> {
        let mut headers = [httparse::EMPTY_HEADER; HEADERS_MAX];
        let mut request = httparse::Request::new(&mut headers);
        match request.parse(head) {
            Ok(status) if status.is_partial() => return None,
            Ok(_) => {}
            Err(_) => return Some(Self::Nonsense),
        }
        let path = request.path.unwrap_or_default().split('?').next();
        Some(match request.method {
            Some(method @ ("GET" | "HEAD")) if path == Some(PATH) => Self::Page { head_only: method == "HEAD" },
            Some("GET" | "HEAD") => Self::Other,
            _ => Self::Change,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn requests_are_told_apart() {
        let asked = |head: &str| Asked::of(head.as_bytes());
        assert_eq!(asked("GET /metrics HTTP/1.1\r\nHost: x\r\n"), None);
        assert_eq!(asked("GET /metrics HTTP/1.1\r\nHost: x\r\n\r\n"), Some(Asked::Page { head_only: false }));
        assert_eq!(asked("HEAD /metrics?a HTTP/1.0\r\n\r\n"), Some(Asked::Page { head_only: true }));
        assert_eq!(asked("GET /metricsx HTTP/1.1\r\n\r\n"), Some(Asked::Other));
        assert_eq!(asked("POST /metrics HTTP/1.1\r\n\r\n"), Some(Asked::Change));
        assert_eq!(asked("run busybox\r\n"), Some(Asked::Nonsense));
        let many = format!("GET / HTTP/1.1\r\n{}\r\n", "a: b\r\n".repeat(HEADERS_MAX + 1));
        assert_eq!(asked(&many), Some(Asked::Nonsense));
    }
}
