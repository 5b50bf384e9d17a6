//! A tool that hangs is ended at its deadline, with all that it has started, and told by its name; what it was to do is undone,
//! and can be done again.
//!
//! (The deadline is a short one in builds with debug assertions alone: see `gantry::fault`.)
#![cfg(debug_assertions)]

use std::os::unix::fs::symlink;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU32, Ordering};

use super::conn::Conn;
use super::harness::{Daemon, Setup};
use super::registry::Registry;
use super::shell::{self, patience, until};

/// How long a tool may take here, in seconds: for one that does not hang it is plenty.
const DEADLINE: u64 = 12;

/// Tools of which one hangs when it is called as is written in a file.
struct Hanging {
    dir: PathBuf,
}

impl Hanging {
    fn make() -> Self {
        static NEXT: AtomicU32 = AtomicU32::new(0);
        let nth = NEXT.fetch_add(1, Ordering::Relaxed);
        let dir = std::env::temp_dir().join(format!("gantry-hanging-{}-{nth}", std::process::id()));
        std::fs::create_dir_all(&dir).unwrap();
        for tool in ["crun", "conmon", "skopeo", "umoci", "nft"] {
            let real = shell::sh(&format!("PATH=$PATH:/usr/sbin:/sbin command -v {tool}")).succeeds();
            let script = format!(
                "#!/bin/sh\n\
                 want=$(cat {dir}/want 2>/dev/null)\n\
                 case \"{tool} $*\" in $want) echo $$ >>{dir}/hung; {dir}/hang 100000 ;; esac\n\
                 want=$(cat {dir}/want-behind 2>/dev/null)\n\
                 case \"{tool} $*\" in $want) {real} \"$@\"; echo $$ >>{dir}/hung; exec {dir}/hang 100000 ;; esac\n\
                 exec {real} \"$@\"\n",
                dir = dir.display(),
                real = real.trim()
            );
            shell::program(&dir.join(tool), &script);
        }
        // The child of a tool, known by its name.
        let sleep = shell::sh("command -v sleep").succeeds();
        symlink(sleep.trim(), dir.join("hang")).unwrap();
        Self { dir }
    }

    fn start(&self) -> Daemon {
        let deadline = patience(DEADLINE).as_secs().to_string();
        let env = vec![("GANTRY_DEADLINE".to_owned(), deadline)];
        Setup { tools: Some(self.dir.clone()), env, ..Setup::default() }.start()
    }

    /// From now on a call that is written so hangs.
    fn want(&self, pattern: &str) {
        std::fs::write(self.dir.join("want"), pattern).unwrap();
    }

    /// From now on one hangs when it has done what it is to do.
    fn want_behind(&self, pattern: &str) {
        std::fs::write(self.dir.join("want-behind"), pattern).unwrap();
    }

    /// None does any more, and nothing is left of those that did: there was one at least.
    #[track_caller]
    fn is_over(&self, pattern: &str) {
        self.want("");
        self.want_behind("");
        assert!(self.dir.join("hung").exists(), "{pattern}: nothing was called so");
        std::fs::remove_file(self.dir.join("hung")).unwrap();
        let hang = self.dir.join("hang");
        until(patience(60), &format!("{pattern}: what it has started is gone"), || !runs(&hang));
    }

    /// A request that comes to nothing because a tool hangs.
    #[track_caller]
    fn ends(&self, conn: &mut Conn, pattern: &str, line: &str) {
        self.want(pattern);
        let refused = conn.request(line);
        assert_eq!(refused.code(), "timeout", "{pattern}: {refused:?}");
        let tool = pattern.split(' ').next().unwrap();
        assert!(refused.end.text().contains(tool), "{pattern}: {refused:?}");
        self.is_over(pattern);
    }
}

impl Drop for Hanging {
    fn drop(&mut self) {
        let _ = std::fs::remove_dir_all(&self.dir);
    }
}

/// Whether a process runs that was called by that path.
fn runs(program: &Path) -> bool {
    let processes = std::fs::read_dir("/proc").unwrap().flatten();
    let program = program.to_string_lossy();
    processes.into_iter().any(|process| {
        let arguments = std::fs::read(process.path().join("cmdline")).unwrap_or_default();
        arguments.starts_with(program.as_bytes())
    })
}

#[test]
fn what_runs_containers() {
    let tools = Hanging::make();
    let daemon = tools.start();
    daemon.import_busybox();
    let mut conn = daemon.conn();
    conn.ok("run busybox name=web -- sleep 1000");
    for pattern in ["crun * create *", "conmon *"] {
        tools.ends(&mut conn, pattern, "run busybox name=x publish=80 -- sleep 1000");
        assert_eq!(conn.ok("ps").column("name"), ["web:latest"], "{pattern}: nothing is left of it");
    }
    tools.ends(&mut conn, "crun * exec *", "exec web -- true");
    assert_eq!(conn.ok("exec web -- true").get("exit"), "0");
    // Nor is one waited for that has nothing more to do.
    tools.want_behind("crun * exec *");
    assert_eq!(conn.refused("exec web -- true"), "timeout");
    tools.is_over("crun * exec *");
    // What has the runtime forget a run is not waited for by who waits for the end.
    conn.ok("run busybox name=x -- sleep 1000");
    tools.want("crun * delete *");
    conn.ok("kill x");
    assert_eq!(conn.ok("wait x").get("exit"), "137");
    until(patience(120), "it is told", || daemon.log().contains("crun did not end within"));
    tools.is_over("crun * delete *");
    conn.ok("start x");
    conn.ok("rm x force=yes");
    conn.ok("rm web force=yes");
}

#[test]
fn what_makes_images_and_networks() {
    let (tools, registry) = (Hanging::make(), Registry::start());
    let name = registry.push_busybox("httpd:1");
    let daemon = tools.start();
    let mut conn = daemon.conn();
    for pattern in ["skopeo inspect *", "skopeo copy *", "umoci raw unpack *"] {
        tools.ends(&mut conn, pattern, &format!("image pull {name} tls-verify=no"));
        assert!(conn.ok("image ls").lines.is_empty(), "{pattern}");
    }
    tools.ends(&mut conn, "nft *", "network create back");
    assert_eq!(conn.ok("network ls").column("name"), ["bridge"]);
    conn.ok("network create back");
    conn.ok("network rm back");
    conn.ok(&format!("image pull {name} tls-verify=no"));
    let import = format!("image import {} kept", shell::busybox_rootfs().display());
    tools.ends(&mut conn, "umoci insert *", &import);
    conn.ok(&import);
}
