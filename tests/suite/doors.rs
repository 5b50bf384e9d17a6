//! The sockets: who may do what through which, and how many.

use std::os::unix::fs::PermissionsExt;
use std::path::Path;

use super::conn::Conn;
use super::harness::Setup;

fn mode(path: &Path) -> u32 {
    std::fs::metadata(path).unwrap().permissions().mode() & 0o777
}

#[test]
fn the_read_only_socket_shows_and_changes_nothing() {
    let dir = std::env::temp_dir().join(format!("gantry-ro-{}", std::process::id()));
    std::fs::create_dir_all(&dir).unwrap();
    let path = dir.join("ro");
    let daemon = Setup { flags: vec!["--ro-socket".into(), path.display().to_string()], ..Setup::default() }.start();
    daemon.import_busybox();
    daemon.ok("run busybox name=web env=SECRET=x -- sleep 1000");
    assert_eq!(mode(&path), 0o666);
    assert!(matches!(mode(&daemon.place().socket()), 0o600 | 0o660));

    let mut looker = Conn::open(&path).unwrap();
    for open in ["ping", "version", "help", "ps", "stats web", "info", "image ls"] {
        let reply = looker.request(open);
        assert_eq!(reply.end.head, "OK", "{open}");
        let told: String = reply.lines.iter().map(|line| line.text()).collect();
        assert!(!told.contains("SECRET") && !told.contains("/tmp/"), "{open} shows what is private: {told}");
    }
    for closed in [
        "run busybox -- true",
        "stop web",
        "rm web force=yes",
        "inspect web",
        "logs web",
        "image rm busybox",
        "shutdown",
        "check",
    ] {
        assert_eq!(looker.refused(closed), "denied", "{closed}");
    }
    assert_eq!(daemon.ok("ps").column("state"), ["running"]);

    // Why a restart failed is told, and the path in it is not.
    let job = daemon.place().dir().join("job");
    std::fs::write(&job, "").unwrap();
    daemon.ok(&format!("run busybox name=job restart=always volume={}:/job -- false", job.display()));
    std::fs::remove_file(&job).unwrap();
    let [whole, cut] = [daemon.conn(), Conn::open(&path).unwrap()].map(|mut conn| {
        conn.send("events since=1h name=job");
        std::iter::repeat_with(|| conn.parsed()).find_map(|event| event.get("error")).unwrap()
    });
    assert!(whole.contains(&job.display().to_string()), "{whole}");
    assert_eq!(Some(cut.as_str()), whole.split(' ').next());
    daemon.ok("rm job force=yes");

    // Its places are few, and those of the control socket are not among them.
    let others: Vec<_> = (0..80).map(|_| Conn::open(&path).unwrap()).collect();
    let mut last = Conn::open(&path).unwrap();
    assert!(last.rest().starts_with(b"ERR busy"), "the 82nd is turned away");
    daemon.ok("ping");
    drop(others);
    daemon.ok("rm web force=yes");
    drop((looker, last));
    drop(daemon);
    assert!(!path.exists(), "it goes with the daemon");
    std::fs::remove_dir(&dir).unwrap();
}
