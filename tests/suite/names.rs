//! Containers found by their names: from inside real ones, with what busybox has, and by questions of our own.

use std::io::{Read, Write};
use std::net::{Ipv4Addr, TcpStream, UdpSocket};
use std::path::PathBuf;
use std::sync::atomic::{AtomicBool, Ordering};

use super::dns::{self, Told, Upstream};
use super::harness::{Daemon, Setup};
use super::network::world::inside;
use super::shell;

/// A container that stays, and from which questions are asked.
struct Asker {
    namespace: PathBuf,
    server: (Ipv4Addr, u16),
}

impl Asker {
    fn start(daemon: &Daemon, options: &str) -> Self {
        let run = daemon.ok(&format!("run busybox {options} -- sleep 1000"));
        let gateway = daemon.place().subnet().replace(".0/24", ".1");
        Self { namespace: format!("/proc/{}/ns/net", run.get("pid")).into(), server: (gateway.parse().unwrap(), 53) }
    }

    #[track_caller]
    fn ask(&self, name: &str, rtype: &str) -> Told {
        dns::ask(&self.namespace, self.server, name, rtype, shell::patience(30)).unwrap()
    }

    fn ask_by_tcp(&self, name: &str, rtype: &str) -> Told {
        dns::ask_by_tcp(&self.namespace, self.server, name, rtype).unwrap()
    }
}

fn with_upstream(upstream: &Upstream) -> Daemon {
    let flags = vec!["--dns".to_owned(), upstream.address().to_string()];
    let daemon = Setup { flags, ..Setup::default() }.start();
    daemon.import_busybox();
    daemon
}

#[test]
fn a_container_reaches_another_by_its_name() {
    let daemon = Daemon::start();
    daemon.import_busybox();
    let serve = "mkdir -p /www && echo $TAG >/www/index.html && exec httpd -f -p 80 -h /www";
    for tag in ["v1", "v2"] {
        daemon.ok(&format!("run busybox name=web:{tag} env=TAG={tag} -- sh -c '{serve}'"));
    }
    let fetch = |host: &str| {
        // The server may need a moment until it listens.
        let script = format!("until wget -qO- http://{host}/ 2>/dev/null; do sleep 0.1; done");
        let run = daemon.ok(&format!("run busybox rm=yes attach=yes -- timeout 60 sh -c '{script}'"));
        run.written("stdout").trim_end().to_owned()
    };
    assert_eq!([fetch("v1.web"), fetch("V2.WEB")], ["v1", "v2"]);
    assert!(["v1", "v2"].contains(&&*fetch("web")));
    let script = "nslookup web; nslookup nobody || echo none";
    let run = daemon.ok(&format!("run busybox rm=yes attach=yes -- sh -c '{script}'"));
    let said = run.written("stdout").trim_end().to_owned();
    for ip in daemon.ok("ps").column("ip") {
        assert!(said.contains(&ip), "{ip} in {said}");
    }
    assert!(said.ends_with("none"), "{said}");
    for tag in ["v1", "v2"] {
        daemon.ok(&format!("rm web:{tag} force=yes"));
    }
}

#[test]
fn a_name_is_there_as_long_as_its_container_runs() {
    let daemon = Daemon::start();
    daemon.import_busybox();
    let asker = Asker::start(&daemon, "name=asker");
    for _ in 0..5 {
        let run = daemon.ok("run busybox name=web stop-signal=KILL -- sleep 1000");
        assert_eq!(asker.ask("web.", "A").one(), run.get("ip"));
        daemon.ok("stop web");
        assert_eq!(asker.ask("web.", "A").one(), "NXDOMAIN", "it is stopped");
        let start = daemon.ok("start web");
        assert_eq!(asker.ask("latest.web.", "A").one(), start.get("ip"));
        daemon.ok("rm web force=yes");
        assert_eq!(asker.ask("web.", "AAAA").one(), "NXDOMAIN");
    }
    daemon.ok("rm asker force=yes");
}

#[test]
fn what_is_not_ours_is_asked_elsewhere() {
    let upstream = Upstream::start();
    let daemon = with_upstream(&upstream);
    let asker = Asker::start(&daemon, "name=asker");
    assert_eq!(asker.ask("www.example.", "A").one(), "192.0.2.1");
    assert_eq!(asker.ask_by_tcp("www.example.", "A").one(), "192.0.2.1");
    assert_eq!(asker.ask("unknown.example.", "A").one(), "NXDOMAIN");
    assert_eq!(asker.ask("refused.example.", "A").one(), "REFUSED", "nobody else could be asked");
    assert_eq!(asker.ask("forged.example.", "A").one(), "192.0.2.1", "the forged answer is passed over");
    let big = asker.ask("big.example.", "A");
    assert!(big.truncated && big.data.is_empty(), "too long for a datagram: {big:?}");
    assert_eq!(asker.ask_by_tcp("big.example.", "A").data.len(), 100);
    let asked = upstream.asked();
    asker.ask("asker.", "A");
    asker.ask("nobody.", "A");
    assert_eq!(upstream.asked(), asked, "names of ours are nobody else's business");
    daemon.ok("rm asker force=yes");
}

#[test]
fn servers_that_do_not_answer_are_told_and_hold_up_nobody() {
    let upstream = Upstream::start();
    let daemon = with_upstream(&upstream);
    let asker = Asker::start(&daemon, "name=asker");
    let waiting = inside(&asker.namespace, || {
        let socket = UdpSocket::bind("0.0.0.0:0").unwrap();
        socket.set_read_timeout(Some(shell::patience(60))).unwrap();
        socket.connect(asker.server).unwrap();
        for _ in 0..100 {
            socket.send(&dns::question("silent.example.", "A")).unwrap();
        }
        socket
    });
    // Beyond those that may wait, the rest is told at once; own names are answered meanwhile.
    assert_eq!(asker.ask("asker.", "A").rcode, "NOERROR");
    for nth in 0..100 {
        let mut reply = [0; 512];
        waiting.recv(&mut reply).unwrap_or_else(|e| panic!("answer {nth}: {e}"));
        assert_eq!(reply[3] & 15, 2, "SERVFAIL");
    }
    let asked = upstream.asked();
    assert!(asked <= 2 * 64, "{asked} questions went out");
    let second = Asker::start(&daemon, "name=second");
    assert_eq!(second.ask("www.example.", "A").one(), "192.0.2.1", "others have their own places");
    drop(upstream);
    assert_eq!(second.ask("www.example.", "A").one(), "SERVFAIL");
    daemon.ok("rm asker force=yes");
    daemon.ok("rm second force=yes");
}

#[test]
fn a_container_s_own_servers_are_asked_on_its_behalf() {
    let daemon = Daemon::start();
    daemon.import_busybox();
    let asker = Asker::start(&daemon, "name=asker dns=192.0.2.77 dns=::2");
    let file = daemon.ok("exec asker -- cat /etc/resolv.conf").written("stdout").trim_end().to_owned();
    assert!(file.contains("192.0.2.77 ::2"), "{file}");
    assert_eq!(asker.ask("asker.", "A").rcode, "NOERROR");
    daemon.ok("rm asker force=yes");
    let run = daemon.ok("run busybox rm=yes attach=yes dns=127.0.0.1 -- grep nameserver /etc/resolv.conf");
    assert_eq!(run.written("stdout").trim_end().to_owned(), "nameserver 127.0.0.1", "only it can ask that one");
}

#[test]
fn a_flood_of_questions_and_of_connections_holds_up_nobody() {
    let daemon = Daemon::start();
    daemon.import_busybox();
    let flooder = Asker::start(&daemon, "name=flooder");
    let asker = Asker::start(&daemon, "name=asker");
    let done = AtomicBool::new(false);
    std::thread::scope(|scope| {
        scope.spawn(|| {
            inside(&flooder.namespace, || {
                let socket = UdpSocket::bind("0.0.0.0:0").unwrap();
                socket.connect(flooder.server).unwrap();
                let question = dns::question("asker.", "A");
                while !done.load(Ordering::SeqCst) {
                    let _ = socket.send(&question);
                    let _ = socket.send(&[0xff; 100]);
                }
            });
        });
        let idle: Vec<_> =
            inside(&flooder.namespace, || (0..40).map(|_| TcpStream::connect(flooder.server).unwrap()).collect());
        let mut conn = daemon.conn();
        for _ in 0..50 {
            conn.ok("ping");
        }
        daemon.ok("run busybox name=web -- sleep 1000");
        // A datagram is lost now and then when the socket's buffer is full: it is asked again, as a resolver does.
        shell::until(shell::patience(60), "an answer meanwhile", || {
            let told = dns::ask(&asker.namespace, asker.server, "web.", "A", shell::patience(1));
            told.is_ok_and(|told| told.rcode == "NOERROR")
        });
        assert_eq!(asker.ask_by_tcp("web.", "A").rcode, "NOERROR", "its own connections");
        done.store(true, Ordering::SeqCst);
        drop(idle);
    });
    for name in ["flooder", "asker", "web"] {
        daemon.ok(&format!("rm {name} force=yes"));
    }
}

#[test]
fn connections_that_talk_nonsense_are_ended() {
    let daemon = Daemon::start();
    daemon.import_busybox();
    let asker = Asker::start(&daemon, "name=asker");
    for nonsense in [&[0xff; 64][..], &[0, 3, 1, 2, 3], &[0, 0]] {
        let mut rest = Vec::new();
        let mut stream = inside(&asker.namespace, || TcpStream::connect(asker.server).unwrap());
        stream.set_read_timeout(Some(shell::patience(60))).unwrap();
        stream.write_all(nonsense).unwrap();
        // The end may be a reset, where bytes were left unread.
        let _ = stream.read_to_end(&mut rest);
        assert!(rest.is_empty(), "{nonsense:?}: {rest:?}");
    }
    assert_eq!(asker.ask_by_tcp("asker.", "A").rcode, "NOERROR");
    daemon.ok("rm asker force=yes");
}
