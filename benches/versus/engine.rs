//! What all engines can do: the words of docker's command line, which the three share.

use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use super::arena::{Network, done};

/// The image that everything is run from.
pub const IMAGE: &str = "busybox";
/// The server of a container.
pub const HTTPD: [&str; 6] = ["httpd", "-f", "-p", "80", "-h", "/www"];
/// How long anything may take: a bound on a hang.
pub const PATIENCE: Duration = Duration::from_secs(600);

/// An engine under comparison.
pub trait Engine: Send + Sync {
    /// Its name.
    fn name(&self) -> &'static str;

    /// Its network.
    fn network(&self) -> &Network;

    /// Its client, with what leads it to this engine and no other.
    fn client(&self) -> Command;

    /// What `run` and `create` are given besides.
    fn run_options(&self) -> Vec<String> {
        Vec::new()
    }

    /// The words that pull an image from a registry that speaks plain HTTP.
    fn pull(&self, reference: &str) -> Vec<String>;

    /// Starts its daemon, where it has one, and waits until it answers.
    fn start(&mut self);

    /// Ends its daemon.
    fn stop(&mut self);

    /// Its version, and that of what it runs containers with.
    fn version(&self) -> String;

    /// A daemon that is only there to be asked, of an engine that needs none.
    fn spare_daemon(&mut self) {}

    /// Makes [`IMAGE`] of a tar archive.
    fn import(&self, tar: &Path) {
        self.done(&["import".to_owned(), tar.display().to_string(), IMAGE.to_owned()]);
    }

    /// Runs the client to its end, which must be a good one.
    fn done(&self, words: &[String]) {
        self.network().inside(|| done(self.client().args(words)));
    }

    /// The same; what it took.
    fn timed(&self, words: &[String]) -> Duration {
        self.network().inside(|| self.timed_here(words))
    }

    /// The same for a thread that is inside already.
    fn timed_here(&self, words: &[String]) -> Duration {
        let mut command = self.client();
        command.args(words).stdin(Stdio::null()).stdout(Stdio::null());
        let began = Instant::now();
        let status = command.status().unwrap_or_else(|e| panic!("{command:?}: {e}"));
        let took = began.elapsed();
        assert!(status.success(), "{command:?}: {status}");
        took
    }

    /// The words that start an httpd in the background, which answers on `port` of 127.0.0.1 where there is one.
    fn httpd(&self, name: &str, port: Option<u16>) -> Vec<String> {
        let port = port.map(|port| ["-p".to_owned(), format!("127.0.0.1:{port}:80")]);
        let mut words = self.words(&["run", "-d", "--name", name]);
        words.extend(port.into_iter().flatten());
        words.push(IMAGE.to_owned());
        words.extend(HTTPD.map(str::to_owned));
        words
    }

    /// The words that create a container that sleeps.
    fn sleeper(&self, name: &str) -> Vec<String> {
        let mut words = self.words(&["create", "--name", name]);
        words.extend([IMAGE, "sleep", "1000"].map(str::to_owned));
        words
    }

    /// The words of a run that does nothing.
    fn run_true(&self) -> Vec<String> {
        let mut words = self.words(&["run", "--rm"]);
        words.extend([IMAGE, "true"].map(str::to_owned));
        words
    }

    /// These words, and what this engine is given besides.
    fn words(&self, words: &[&str]) -> Vec<String> {
        words.iter().map(|word| (*word).to_owned()).chain(self.run_options()).collect()
    }

    /// Removes containers, whether or not they run.
    fn remove(&self, names: &[String]) {
        for some in names.chunks(25) {
            self.done(&[&["rm".to_owned(), "-f".to_owned()], some].concat());
        }
    }
}

/// Waits for something, and fails where it does not come.
pub fn until(what: &str, mut there: impl FnMut() -> bool) {
    let end = Instant::now() + PATIENCE;
    while !there() {
        assert!(Instant::now() < end, "not within {PATIENCE:?}: {what}");
        std::thread::sleep(Duration::from_millis(5));
    }
}

/// Ends a daemon by TERM, and waits for its end.
pub fn end(child: &mut Child) {
    let pid = nix::unistd::Pid::from_raw(child.id().cast_signed());
    let _ = nix::sys::signal::kill(pid, nix::sys::signal::Signal::SIGTERM);
    until("the daemon's end", || child.try_wait().unwrap().is_some());
}
