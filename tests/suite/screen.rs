//! A terminal in which a test types and sees what a person would: a window of tmux, of a server of its own.

use std::path::PathBuf;
use std::process::{Child, Command, Stdio};

use super::harness::Daemon;
use super::shell;

/// How long something may take to be seen: a bound on a hang.
const PATIENCE: u64 = 60;

/// The terminal. Dropped, it is closed, and whatever runs in it is hung up.
pub struct Screen {
    server: Child,
    socket: PathBuf,
}

impl Screen {
    /// A terminal of so many columns and rows, in which a script of the shell runs whose daemon this is, and whose user
    /// has the daemon's directory for a home.
    #[track_caller]
    pub fn open(daemon: &Daemon, columns: u16, rows: u16, script: &str) -> Self {
        static COUNT: std::sync::atomic::AtomicU32 = std::sync::atomic::AtomicU32::new(0);
        let number = COUNT.fetch_add(1, std::sync::atomic::Ordering::Relaxed);
        let socket = daemon.place().dir().join(format!("tmux{number}"));
        let environment = shell::command("true");
        // No daemon of tmux's own: it ends with the test's thread, whatever becomes of that.
        let server = Command::new("setpriv")
            .args(["--pdeathsig", "KILL", "tmux", "-u", "-f", "/dev/null", "-D", "-S"])
            .arg(&socket)
            .envs(environment.get_envs().filter_map(|(key, value)| Some((key, value?))))
            .env("GANTRY_SOCKET", daemon.place().socket())
            .env("HOME", daemon.place().dir())
            .env_remove("XDG_STATE_HOME")
            .env_remove("NO_COLOR")
            .env_remove("TMUX")
            .env("SHELL", "/bin/sh")
            .stdin(Stdio::null())
            .spawn()
            .expect("tmux starts: make setup installs it");
        let screen = Self { server, socket };
        let (columns, rows) = (columns.to_string(), rows.to_string());
        let began = shell::waits(shell::patience(PATIENCE), || {
            let keep = ["set-option", "-g", "remain-on-exit", "on", ";", "set-option", "-g", "status", "off", ";"];
            let open = ["new-session", "-d", "-x", &columns, "-y", &rows, script];
            screen.socket.exists() && screen.tmux(&[&keep[..], &open].concat()).status.success()
        });
        assert!(began, "no window of tmux");
        screen
    }

    fn tmux(&self, words: &[&str]) -> shell::Output {
        shell::finish(shell::command("tmux").arg("-S").arg(&self.socket).args(words))
    }

    /// Types text as it stands.
    #[track_caller]
    pub fn type_in(&self, text: &str) {
        self.tmux(&["send-keys", "-l", text]).succeeds();
    }

    /// Presses a key by its name of tmux's: `Enter`, `Tab`, `C-c`, `Up`.
    #[track_caller]
    pub fn press(&self, key: &str) {
        self.tmux(&["send-keys", key]).succeeds();
    }

    /// Types a line.
    #[track_caller]
    pub fn say(&self, line: &str) {
        self.type_in(line);
        self.press("Enter");
    }

    /// What is seen.
    pub fn text(&self) -> String {
        self.tmux(&["capture-pane", "-p"]).stdout
    }

    /// What is seen, with the sequences that colour it.
    pub fn colours(&self) -> String {
        self.tmux(&["capture-pane", "-e", "-p"]).stdout
    }

    /// Waits until that is seen.
    #[track_caller]
    pub fn shows(&self, what: &str) {
        self.until(&format!("{what:?} is seen"), |text| text.contains(what));
    }

    /// Waits until what is seen is like that.
    #[track_caller]
    pub fn until(&self, what: &str, is_so: impl Fn(&str) -> bool) {
        let seen = shell::waits(shell::patience(PATIENCE), || is_so(&self.text()));
        assert!(seen, "not: {what}; but:\n{}", self.text());
    }

    /// Gives it another size.
    #[track_caller]
    pub fn resize(&self, columns: u16, rows: u16) {
        self.tmux(&["resize-window", "-x", &columns.to_string(), "-y", &rows.to_string()]).succeeds();
    }

    /// What tmux knows of the window: `#{pane_pid}`.
    #[track_caller]
    pub fn knows(&self, format: &str) -> String {
        self.tmux(&["display-message", "-p", format]).succeeds().trim().to_owned()
    }
}

impl Drop for Screen {
    fn drop(&mut self) {
        self.tmux(&["kill-server"]);
        let _ = self.server.kill();
        let _ = self.server.wait();
    }
}
