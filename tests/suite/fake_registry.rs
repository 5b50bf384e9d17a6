//! A registry that does what a test says: the errors, the lies and the delays that no real one can be asked for.

use std::io::{BufRead, BufReader, Write};
use std::net::{TcpListener, TcpStream};
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

/// What it answers.
pub enum Answer {
    /// A status as `404 Not Found`, headers each with its CRLF, a body.
    Reply(&'static str, String, Vec<u8>),
    /// So much of a body that is said to be longer, and the end of the connection.
    CutOff(Vec<u8>),
    /// A body without an end, of noise.
    Endless,
}

impl Answer {
    /// 200 with a body.
    pub fn ok(body: impl Into<Vec<u8>>) -> Self {
        Self::Reply("200 OK", String::new(), body.into())
    }

    /// An error as the distribution specification writes it.
    pub fn error(status: &'static str, code: &str) -> Self {
        let body = format!(r#"{{"errors":[{{"code":"{code}","message":"as the test wants it"}}]}}"#);
        Self::Reply(status, "Content-Type: application/json\r\n".to_owned(), body.into_bytes())
    }
}

/// A server on loopback that speaks plain HTTP. Ended when it is dropped.
pub struct FakeRegistry {
    address: String,
    ended: Arc<AtomicBool>,
}

impl FakeRegistry {
    /// Answers each path, as `/v2/box/manifests/1`, as `answer` says.
    pub fn start(answer: impl Fn(&str) -> Answer + Send + Sync + 'static) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap().to_string();
        let (ended, answer) = (Arc::new(AtomicBool::new(false)), Arc::new(answer));
        let stop = ended.clone();
        std::thread::spawn(move || {
            for stream in listener.incoming().map_while(Result::ok) {
                if stop.load(Ordering::SeqCst) {
                    break;
                }
                let answer = answer.clone();
                // Whoever asked and went away is no concern of the test's.
                std::thread::spawn(move || drop(converse(&stream, &*answer)));
            }
        });
        Self { address, ended }
    }

    /// One that has the image `image` of an OCI layout, under every name, but for those paths for which `instead` has
    /// another answer.
    pub fn with(layout: &Path, instead: impl Fn(&str) -> Option<Answer> + Send + Sync + 'static) -> Self {
        let layout = layout.to_owned();
        Self::start(move |path| instead(path).unwrap_or_else(|| image(&layout, path)))
    }

    /// `127.0.0.1:PORT`.
    pub fn address(&self) -> &str {
        &self.address
    }
}

impl Drop for FakeRegistry {
    fn drop(&mut self) {
        self.ended.store(true, Ordering::SeqCst);
        // Wakes it.
        let _ = TcpStream::connect(&self.address);
    }
}

/// What an honest registry with that one image answers.
fn image(layout: &Path, path: &str) -> Answer {
    if path == "/v2/" {
        return Answer::ok("{}");
    }
    let blob = |digest: &str| std::fs::read(layout.join("blobs/sha256").join(digest.trim_start_matches("sha256:")));
    let last = path.rsplit('/').next().unwrap_or_default();
    if path.contains("/blobs/") {
        return blob(last).map_or_else(|_| Answer::error("404 Not Found", "BLOB_UNKNOWN"), Answer::ok);
    }
    let index = std::fs::read(layout.join("index.json")).unwrap();
    let index: serde_json::Value = serde_json::from_slice(&index).unwrap();
    let of_tag = index["manifests"][0]["digest"].as_str().unwrap();
    let digest = if last.starts_with("sha256:") { last } else { of_tag };
    let Ok(body) = blob(digest) else { return Answer::error("404 Not Found", "MANIFEST_UNKNOWN") };
    let document: serde_json::Value = serde_json::from_slice(&body).unwrap();
    let kind = document["mediaType"].as_str().unwrap_or("application/vnd.oci.image.manifest.v1+json");
    Answer::Reply("200 OK", format!("Content-Type: {kind}\r\nDocker-Content-Digest: {digest}\r\n"), body)
}

/// Bytes that do not become fewer by being packed, always the same.
pub fn noise(seed: u64, long: usize) -> Vec<u8> {
    let mut state = seed;
    // xorshift64*, by Vigna.
    let next = || {
        state ^= state >> 12;
        state ^= state << 25;
        state ^= state >> 27;
        Some((state.wrapping_mul(0x2545_f491_4f6c_dd1d) >> 56) as u8)
    };
    std::iter::from_fn(next).take(long).collect()
}

fn converse(stream: &TcpStream, answer: &dyn Fn(&str) -> Answer) -> std::io::Result<()> {
    let mut lines = BufReader::new(stream).lines();
    let request = lines.next().unwrap_or_else(|| Ok(String::new()))?;
    for line in &mut lines {
        if line?.is_empty() {
            break;
        }
    }
    let mut words = request.split(' ');
    let (method, path) = (words.next().unwrap_or_default(), words.next().unwrap_or_default());
    let (mut stream, head) = (stream, |length: usize| format!("Content-Length: {length}\r\nConnection: close\r\n\r\n"));
    match answer(path.split('?').next().unwrap_or_default()) {
        Answer::Reply(status, headers, body) => {
            write!(stream, "HTTP/1.1 {status}\r\n{headers}{}", head(body.len()))?;
            if method != "HEAD" {
                stream.write_all(&body)?;
            }
        }
        Answer::CutOff(body) => {
            write!(stream, "HTTP/1.1 200 OK\r\n{}", head(body.len() * 2 + 1000))?;
            stream.write_all(&body)?;
        }
        Answer::Endless => {
            write!(stream, "HTTP/1.1 200 OK\r\nConnection: close\r\n\r\n")?;
            // Noise, which does not become less by being packed.
            let noise = noise(1, 1 << 16);
            while stream.write_all(&noise).is_ok() {}
        }
    }
    Ok(())
}
