//! Published ports, told and true: from this host, from another, to another, and never twice.

use std::net::{TcpListener, UdpSocket};

use super::engine::{HTTPD, fetch, host_port};
use super::harness::{Daemon, Setup};
use super::peer::Peer;

#[test]
fn another_host_reaches_a_published_port_and_is_reached() {
    let daemon = Daemon::start();
    daemon.import_busybox();
    let peer = Peer::beside(&daemon);
    let run = daemon.ok(&format!("run busybox name=web publish=80 {HTTPD}"));
    let page = peer.sh(&fetch(&format!("{}:{}", peer.host, host_port(&run)))).succeeds();
    assert!(page.contains("It works"), "{page}");
    let unpublished = format!("curl -sS --max-time 1 http://{}/", run.get("ip"));
    assert!(!peer.sh(&unpublished).status.success(), "what is not published is not reached");
    // The other host answers one request, and tells who asked.
    let served = std::thread::scope(|scope| {
        let server = scope.spawn(|| peer.sh("socat -T 30 TCP-LISTEN:7000,reuseaddr SYSTEM:'echo $SOCAT_PEERADDR'"));
        let ask = format!("until nc -w 5 {} 7000 </dev/null; do sleep 0.1; done", peer.address);
        let asked = daemon.ok(&format!("run busybox name=asker attach=yes rm=yes -- sh -c '{ask}' ")).logs();
        server.join().unwrap().succeeds();
        asked
    });
    assert!(served.contains(&format!("stdout {}", peer.host)), "it comes from this host's address: {served:?}");
    daemon.ok("rm web force=yes");
}

#[test]
fn a_port_is_published_by_one_at_a_time() {
    // On a host of its own, where nobody else takes that port while it is free.
    let daemon = Setup { apart: true, ..Setup::default() }.start();
    daemon.import_busybox();
    let port = host_port(&daemon.ok(&format!("run busybox name=web publish=80 {HTTPD}")));
    let mut conn = daemon.conn();
    assert_eq!(conn.refused(&format!("run busybox name=x publish={port}:81 {HTTPD}")), "in-use");
    assert_eq!(conn.refused(&format!("run busybox name=x publish=127.0.0.1:{port}:81 {HTTPD}")), "in-use");
    conn.ok(&format!("run busybox name=udp publish={port}:80/udp -- sleep 1000"));
    conn.ok("rm web force=yes");
    conn.ok(&format!("run busybox name=x publish=127.0.0.1:{port}:80 {HTTPD}"));
    conn.ok("rm x force=yes");
    conn.ok("rm udp force=yes");
}

#[test]
fn a_port_of_any_process_of_the_host_is_taken() {
    let daemon = Daemon::start();
    daemon.import_busybox();
    let mut conn = daemon.conn();
    let tcp = TcpListener::bind("127.0.0.1:0").unwrap();
    let port = tcp.local_addr().unwrap().port();
    assert_eq!(conn.refused(&format!("run busybox name=x publish={port}:80 {HTTPD}")), "in-use");
    let udp = UdpSocket::bind("0.0.0.0:0").unwrap();
    let port = udp.local_addr().unwrap().port();
    assert_eq!(conn.refused(&format!("run busybox name=x publish={port}:80/udp {HTTPD}")), "in-use");
    assert_eq!(conn.ok("ps").get("count"), "0");
}

#[test]
fn containers_reach_published_ports_but_not_the_hosts_loopback() {
    let daemon = Daemon::start();
    daemon.import_busybox();
    let run = daemon.ok(&format!("run busybox name=web publish=80 {HTTPD}"));
    let port = host_port(&run);
    let gateway = run.get("ip").rsplit_once('.').map(|(net, _)| format!("{net}.1")).unwrap();
    // The server is there when the host has had the page.
    daemon.sh(&fetch(&format!("127.0.0.1:{port}"))).succeeds();
    let ask = format!("run busybox name=asker attach=yes rm=yes -- wget -q -O - http://{gateway}:{port}/");
    let page = daemon.ok(&ask).logs().concat();
    assert!(page.contains("It works"), "by the host's address: {page}");
    let secret = TcpListener::bind("127.0.0.1:0").unwrap();
    let port = secret.local_addr().unwrap().port();
    for address in ["127.0.0.1".to_owned(), gateway] {
        let ask = format!("run busybox name=asker attach=yes rm=yes -- nc -w 1 {address} {port}");
        assert_ne!(daemon.ok(&ask).get("exit"), "0", "{address}");
    }
    daemon.ok("rm web force=yes");
}

#[test]
fn udp_is_published_too() {
    let daemon = Daemon::start();
    daemon.import_busybox();
    // busybox has no UDP server but inetd's kin; the port's telling is checked, its traffic where the network is tested.
    let run = daemon.ok("run busybox name=u publish=127.0.0.1::53/udp -- sleep 1000");
    let ports = run.get("ports");
    assert!(ports.starts_with("127.0.0.1:") && ports.ends_with("->53/udp"), "{ports}");
    daemon.ok("rm u force=yes");
}
