//! The network room on real traffic: each test is a host of its own (a fresh network namespace) with a neighbour.
#![allow(clippy::disallowed_methods, reason = "the tests' own tools: ip and nft, run in a namespace of the test")]
#![allow(clippy::unwrap_used, reason = "a test that cannot go on fails")]

use std::io::{Read, Write};
use std::net::{IpAddr, Ipv4Addr, SocketAddr, TcpListener, TcpStream, UdpSocket};
use std::os::fd::{AsRawFd, OwnedFd};
use std::path::{Path, PathBuf};
use std::process::Command;
use std::rc::Rc;
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

use actix::Addr;
use gantry::config::Config;
use gantry::events::Bus;
use gantry::id::{ContainerId, Publish};
use gantry::network::{Attach, Attachment, Close, Detach, List, Network, check, counters};
use gantry::refusal::{Code, Refusal};
use gantry::tools::Tools;
use nix::fcntl::{OFlag, open};
use nix::sched::{CloneFlags, setns, unshare};
use nix::sys::stat::Mode;

/// The host's address on the wire to its neighbour, and the neighbour's.
const HOST: Ipv4Addr = Ipv4Addr::new(192, 168, 99, 1);
const NEIGHBOUR: Ipv4Addr = Ipv4Addr::new(192, 168, 99, 2);
const LOCALHOST: Ipv4Addr = Ipv4Addr::LOCALHOST;
/// How long a connection may take that is to succeed, and how long one is tried that must not.
const PATIENCE: Duration = Duration::from_secs(5);
const IMPATIENCE: Duration = Duration::from_millis(700);

/// A host: the network namespace of the test's thread.
struct World {
    here: PathBuf,
    neighbour: PathBuf,
    dir: PathBuf,
    _held: [OwnedFd; 2],
}

/// Runs `test` on a host of its own, and then sees whether the host is as it was before.
fn on_a_host<T: Future<Output = ()>>(test: impl FnOnce(Rc<World>) -> T + Send + 'static) {
    assert!(nix::unistd::geteuid().is_root(), "these tests make network namespaces: run them as root");
    let name = std::thread::current().name().unwrap_or("test").to_owned();
    let thread = std::thread::Builder::new().name(name).spawn(move || {
        unshare(CloneFlags::CLONE_NEWNET).unwrap();
        let world = Rc::new(World::build());
        let before = snapshot();
        actix::System::new().block_on(test(world.clone()));
        let after = snapshot();
        let only = |one: &str, other: &str| one.lines().filter(|l| !other.contains(l)).collect::<Vec<_>>().join("\n");
        assert!(after == before, "the host is not as it was: -{} +{}", only(&before, &after), only(&after, &before));
        std::fs::remove_dir(&world.dir).expect("no file is left");
    });
    if let Err(panic) = thread.unwrap().join() {
        std::panic::resume_unwind(panic);
    }
}

impl World {
    fn build() -> Self {
        static COUNT: AtomicU32 = AtomicU32::new(0);
        let nth = COUNT.fetch_add(1, Ordering::SeqCst);
        let here = namespace();
        let there = std::thread::spawn(|| {
            unshare(CloneFlags::CLONE_NEWNET).unwrap();
            namespace()
        });
        let held = [here, there.join().unwrap()];
        let [here, neighbour] = held.each_ref().map(|fd| PathBuf::from(format!("/proc/self/fd/{}", fd.as_raw_fd())));
        let dir = std::env::temp_dir().join(format!("gantry-net-{}-{nth}", std::process::id()));
        std::fs::create_dir_all(&dir).unwrap();
        let pid = format!("/proc/{}/fd/{}", std::process::id(), held[1].as_raw_fd());
        sh(&format!(
            "ip link set lo up; ip link add wire0 type veth peer name wire1; ip link set wire1 netns {pid}
            ip addr add {HOST}/24 dev wire0; ip link set wire0 up"
        ));
        inside(&neighbour, || {
            sh(&format!(
                "ip link set lo up; ip addr add {NEIGHBOUR}/24 dev wire1; ip link set wire1 up
                ip route add 10.0.0.0/8 via {HOST}"
            ));
        });
        // A namespace inherits habits of its maker. And the links' addresses of IPv6, which turn up a moment later, would
        // look like something left behind.
        sh("cd /proc/sys/net; for f in ipv6/conf/*/disable_ipv6; do echo 1 > $f; done
            echo 0 > ipv4/ip_forward; echo 1 > ipv4/conf/all/accept_redirects
            for f in ipv4/conf/*/rp_filter; do echo 0 > $f; done
            if [ -d bridge ]; then echo 1 > bridge/bridge-nf-call-iptables; fi");
        Self { here, neighbour, dir, _held: held }
    }

    fn config(&self, bridge: &str) -> Config {
        let run = self.dir.join(bridge);
        std::fs::create_dir_all(&run).unwrap();
        Config {
            socket: run.join("gantry.sock"),
            ro_socket: None,
            root: "/var/lib/gantry-test".into(),
            run,
            bridge: bridge.to_owned(),
            subnet: None,
            tools: None,
            stop_timeout: PATIENCE,
            check: false,
        }
    }

    async fn start(&self, bridge: &str) -> Result<Addr<Network>, Refusal> {
        Network::start(&self.config(bridge), &Tools::default(), Bus::default()).await
    }

    async fn stop(&self, network: Addr<Network>, bridge: &str) {
        network.send(Close).await.unwrap();
        std::fs::remove_dir(self.dir.join(bridge)).unwrap();
    }
}

/// The calling thread's network namespace.
fn namespace() -> OwnedFd {
    open("/proc/thread-self/ns/net", OFlag::O_RDONLY | OFlag::O_CLOEXEC, Mode::empty()).unwrap()
}

/// Runs `work` in the network namespace at `path`.
fn inside<T: Send>(path: &Path, work: impl FnOnce() -> T + Send) -> T {
    let namespace = open(path, OFlag::O_RDONLY | OFlag::O_CLOEXEC, Mode::empty()).unwrap();
    std::thread::scope(|scope| {
        let thread = scope.spawn(|| {
            setns(&namespace, CloneFlags::CLONE_NEWNET).unwrap();
            work()
        });
        thread.join().unwrap_or_else(|panic| std::panic::resume_unwind(panic))
    })
}

fn sh(script: &str) -> String {
    let output = Command::new("sh").args(["-ec", script]).output().unwrap();
    assert!(output.status.success(), "{script}: {}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8(output.stdout).unwrap()
}

/// All of the host that the network could have changed.
fn snapshot() -> String {
    sh("ip -o link; ip -o addr; ip route show table all; nft list ruleset
        grep -r . /proc/sys/net/ipv4/ip_forward /proc/sys/net/ipv4/conf /proc/sys/net/bridge 2>/dev/null | sort")
}

/// A TCP and a UDP service that answer with their name and who asks. Ended when dropped: a socket holds its namespace.
struct Service {
    listener: Arc<TcpListener>,
    datagrams: Arc<UdpSocket>,
    threads: Vec<std::thread::JoinHandle<()>>,
}

impl Service {
    fn new(namespace: &Path, at: (Ipv4Addr, u16), name: &'static str) -> Self {
        let sockets = inside(namespace, || (TcpListener::bind(at).unwrap(), UdpSocket::bind(at).unwrap()));
        let (listener, datagrams) = (Arc::new(sockets.0), Arc::new(sockets.1));
        let threads = vec![
            std::thread::spawn({
                let listener = listener.clone();
                move || {
                    while let Ok((mut stream, who)) = listener.accept() {
                        let _ = write!(stream, "{name} {}", who.ip());
                    }
                }
            }),
            std::thread::spawn({
                let datagrams = datagrams.clone();
                move || {
                    let mut buffer = [0; 16];
                    while let Ok((1.., who)) = datagrams.recv_from(&mut buffer) {
                        let _ = datagrams.send_to(format!("{name} {}", who.ip()).as_bytes(), who);
                    }
                }
            }),
        ];
        Self { listener, datagrams, threads }
    }
}

impl Drop for Service {
    fn drop(&mut self) {
        use nix::sys::socket::{Shutdown, shutdown};
        let _ = shutdown(self.listener.as_raw_fd(), Shutdown::Both);
        // A datagram socket without a peer refuses this and wakes its reader all the same.
        let _ = shutdown(self.datagrams.as_raw_fd(), Shutdown::Both);
        for thread in self.threads.drain(..) {
            thread.join().unwrap();
        }
    }
}

fn ask_tcp(from: &Path, ip: Ipv4Addr, port: u16, patience: Duration) -> std::io::Result<String> {
    inside(from, || {
        let mut stream = TcpStream::connect_timeout(&SocketAddr::new(IpAddr::V4(ip), port), patience)?;
        stream.set_read_timeout(Some(patience))?;
        let mut text = String::new();
        stream.read_to_string(&mut text)?;
        Ok(text)
    })
}

fn ask_udp(from: &Path, ip: Ipv4Addr, port: u16) -> std::io::Result<String> {
    inside(from, || {
        let socket = UdpSocket::bind("0.0.0.0:0")?;
        socket.set_read_timeout(Some(PATIENCE))?;
        socket.send_to(b"?", (ip, port))?;
        let mut buffer = [0; 64];
        let (length, _) = socket.recv_from(&mut buffer)?;
        Ok(String::from_utf8_lossy(&buffer[..length]).into_owned())
    })
}

fn published(ports: &[&str]) -> Vec<Publish> {
    ports.iter().map(|text| text.parse().unwrap()).collect()
}

async fn attach(network: &Addr<Network>, name: &str, ports: &[&str]) -> Result<(ContainerId, Attachment), Refusal> {
    let id = ContainerId::random().unwrap();
    let message = Attach { id: id.clone(), name: name.parse().unwrap(), publish: published(ports) };
    network.send(message).await.unwrap().map(|attachment| (id, attachment))
}

fn code<T: std::fmt::Debug>(result: Result<T, Refusal>) -> Code {
    result.unwrap_err().code()
}

/// Waits for what becomes true by itself.
async fn until(what: &str, holds: impl Fn() -> bool) {
    let deadline = std::time::Instant::now() + PATIENCE;
    while !holds() {
        assert!(std::time::Instant::now() < deadline, "{what}: not within {PATIENCE:?}");
        tokio::task::yield_now().await;
    }
}

#[test]
fn a_published_port_is_reached_from_everywhere() {
    on_a_host(async |world: Rc<World>| reach_from_everywhere(&world).await);
}

/// Hosts differ in whether the rules see what is bridged, and in how strictly they look at where a packet comes from.
#[test]
fn a_published_port_is_reached_on_hosts_of_other_habits() {
    on_a_host(async |world: Rc<World>| {
        sh("cd /proc/sys/net; for f in bridge/bridge-nf-call-iptables; do if [ -e $f ]; then echo 0 > $f; fi; done
            echo 1 > ipv4/conf/all/rp_filter; echo 1 > ipv4/conf/default/rp_filter");
        reach_from_everywhere(&world).await;
        sh("cd /proc/sys/net; for f in bridge/bridge-nf-call-iptables; do if [ -e $f ]; then echo 1 > $f; fi; done
            echo 0 > ipv4/conf/all/rp_filter; echo 0 > ipv4/conf/default/rp_filter");
    });
}

async fn reach_from_everywhere(world: &World) {
    let network = world.start("gantry0").await.unwrap();
    let (_, web) = attach(&network, "web", &["8080:80", "8080:80/udp", "127.0.0.1:9090:80"]).await.unwrap();
    let (_, other) = attach(&network, "other", &[]).await.unwrap();
    let service = Service::new(&web.netns, (Ipv4Addr::UNSPECIFIED, 80), "web");
    let host = &world.here;
    let from = [
        ("the host by 127.0.0.1", host, LOCALHOST),
        ("the host by 127.9.9.9", host, Ipv4Addr::new(127, 9, 9, 9)),
        ("the host by its address", host, HOST),
        ("the host by the bridge", host, web.gateway),
        ("another host", &world.neighbour, HOST),
        ("another container", &other.netns, HOST),
        ("another container by the bridge", &other.netns, web.gateway),
        ("itself", &web.netns, HOST),
        ("itself by the bridge", &web.netns, web.gateway),
    ];
    for (who, path, ip) in from {
        let answer = ask_tcp(path, ip, 8080, PATIENCE).unwrap_or_else(|error| panic!("tcp from {who}: {error}"));
        assert!(answer.starts_with("web "), "{who}: {answer}");
        let answer = ask_udp(path, ip, 8080).unwrap_or_else(|error| panic!("udp from {who}: {error}"));
        assert!(answer.starts_with("web "), "{who}: {answer}");
    }
    assert_eq!(ask_tcp(&world.neighbour, HOST, 8080, PATIENCE).unwrap(), format!("web {NEIGHBOUR}"));
    assert!(ask_tcp(host, LOCALHOST, 9090, PATIENCE).is_ok());
    assert!(ask_tcp(&world.neighbour, HOST, 9090, IMPATIENCE).is_err(), "published on 127.0.0.1 alone");
    assert!(ask_tcp(&other.netns, web.ip, 80, PATIENCE).is_ok(), "containers of a network see each other");
    assert!(ask_tcp(&world.neighbour, web.ip, 80, IMPATIENCE).is_err(), "what is not published is not routed in");
    drop(service);
    world.stop(network, "gantry0").await;
}

#[test]
fn a_neighbour_cannot_forge_its_way_to_127_0_0_1() {
    on_a_host(async |world: Rc<World>| {
        let network = world.start("gantry0").await.unwrap();
        let (_, web) = attach(&network, "web", &["127.0.0.1:9090:80"]).await.unwrap();
        let service = Service::new(&web.netns, (Ipv4Addr::UNSPECIFIED, 80), "web");
        // The neighbour sends what is for 127.0.0.1 to the host, as anyone on the same wire can.
        inside(&world.neighbour, || {
            sh(&format!(
                "echo 1 > /proc/sys/net/ipv4/conf/wire1/route_localnet; ip link set lo down
                ip route add 127.0.0.1/32 via {HOST} dev wire1 src {NEIGHBOUR} table 7
                ip rule add pref 0 lookup 7; ip rule del lookup local; ip rule add pref 9 lookup local"
            ));
        });
        assert!(ask_tcp(&world.neighbour, LOCALHOST, 9090, IMPATIENCE).is_err());
        drop(service);
        world.stop(network, "gantry0").await;
    });
}

#[test]
fn containers_reach_the_outside_masqueraded_and_never_the_hosts_127_0_0_1() {
    on_a_host(async |world: Rc<World>| {
        let network = world.start("gantry0").await.unwrap();
        let (_, web) = attach(&network, "web", &[]).await.unwrap();
        let outside = Service::new(&world.neighbour, (NEIGHBOUR, 80), "outside");
        let private = Service::new(&world.here, (LOCALHOST, 7777), "private");
        let open = Service::new(&world.here, (Ipv4Addr::UNSPECIFIED, 7778), "open");
        assert_eq!(ask_tcp(&web.netns, NEIGHBOUR, 80, PATIENCE).unwrap(), format!("outside {HOST}"));
        assert_eq!(ask_udp(&web.netns, NEIGHBOUR, 80).unwrap(), format!("outside {HOST}"));
        assert!(ask_tcp(&web.netns, web.gateway, 7778, PATIENCE).is_ok(), "the host's public services are for all");
        let gateway = web.gateway;
        inside(&web.netns, || {
            sh(&format!(
                "echo 1 > /proc/sys/net/ipv4/conf/eth0/route_localnet
                ip route add 127.0.0.1/32 via {gateway} table 7
                ip rule add pref 0 lookup 7; ip rule del lookup local; ip rule add pref 9 lookup local"
            ));
        });
        assert!(ask_tcp(&web.netns, LOCALHOST, 7777, IMPATIENCE).is_err(), "the guard");
        drop((outside, private, open));
        let counted = counters(web.link.clone()).await.unwrap();
        assert!(counted.rx_bytes > 0 && counted.tx_bytes > 0, "{counted:?}");
        world.stop(network, "gantry0").await;
    });
}

#[test]
fn a_port_that_is_taken_is_told_before_anything_is_made() {
    on_a_host(async |world: Rc<World>| {
        let network = world.start("gantry0").await.unwrap();
        let process = TcpListener::bind("0.0.0.0:8080").unwrap();
        let datagrams = UdpSocket::bind("127.0.0.1:8053").unwrap();
        let links = sh("ip -o link | wc -l");
        for port in ["8080:80", "127.0.0.1:8080:80", "8079-8081:79-81", "8053:53/udp"] {
            let refusal = attach(&network, "web", &[port]).await.unwrap_err();
            assert_eq!(refusal.code(), Code::InUse, "{port}");
            assert!(refusal.message().contains("80") && refusal.message().contains("process"), "{refusal}");
        }
        assert_eq!(sh("ip -o link | wc -l"), links);
        assert_eq!(code(attach(&network, "web", &["192.0.2.7:8082:80"]).await), Code::BadValue);
        drop((process, datagrams));
        let (first, _) = attach(&network, "first:v1", &["8080:80"]).await.unwrap();
        let refusal = attach(&network, "second", &["8081:80", "127.0.0.1:8080:80"]).await.unwrap_err();
        assert!(refusal.code() == Code::InUse && refusal.message().contains("first:v1"), "{refusal}");
        assert!(TcpListener::bind("0.0.0.0:8080").is_err(), "nor can a process have it");
        drop(TcpListener::bind("0.0.0.0:8081").expect("a refused attempt keeps no port"));
        network.send(Detach { id: first.clone() }).await.unwrap();
        network.send(Detach { id: first }).await.unwrap();
        drop(TcpListener::bind("0.0.0.0:8080").expect("free when the detach is answered"));
        let (_, again) = attach(&network, "again", &["8080:80"]).await.unwrap();
        let service = Service::new(&again.netns, (Ipv4Addr::UNSPECIFIED, 80), "again");
        assert!(ask_tcp(&world.neighbour, HOST, 8080, PATIENCE).unwrap().starts_with("again"));
        drop(service);
        world.stop(network, "gantry0").await;
    });
}

#[test]
fn two_daemons_stand_side_by_side() {
    on_a_host(async |world: Rc<World>| {
        let one = world.start("gantry0").await.unwrap();
        let two = world.start("gantry01").await.unwrap();
        assert_eq!(code(world.start("gantry0").await.map(drop)), Code::InUse, "a bridge has one daemon");
        let (_, web) = attach(&one, "web", &["8080:80"]).await.unwrap();
        assert_eq!(code(attach(&two, "web", &["8080:80"]).await), Code::InUse);
        let (_, web_two) = attach(&two, "web", &["8081:80"]).await.unwrap();
        assert_ne!(web.ip.octets()[1], web_two.ip.octets()[1], "subnets differ");
        let services = [&web, &web_two].map(|web| Service::new(&web.netns, (Ipv4Addr::UNSPECIFIED, 80), "web"));
        assert!(ask_tcp(&world.neighbour, HOST, 8080, PATIENCE).is_ok());
        assert!(ask_tcp(&web.netns, HOST, 8081, PATIENCE).is_ok(), "from a container of the other");
        assert!(ask_tcp(&web.netns, web_two.ip, 80, IMPATIENCE).is_err(), "but not past the published port");
        let [first, second] = services;
        drop(first);
        world.stop(one, "gantry0").await;
        assert!(ask_tcp(&world.neighbour, HOST, 8081, PATIENCE).is_ok(), "the other's end does not matter");
        drop(second);
        world.stop(two, "gantry01").await;
    });
}

#[test]
fn fifty_at_once_have_fifty_addresses() {
    on_a_host(async |world: Rc<World>| {
        let network = world.start("gantry0").await.unwrap();
        let all = (0..50).map(|nth| {
            let network = network.clone();
            async move { attach(&network, &format!("c{nth}"), &["80", "127.0.0.1::53/udp"]).await.unwrap() }
        });
        let all = futures::future::join_all(all).await;
        let distinct = |of: fn(&Attachment) -> String| {
            let mut values: Vec<_> = all.iter().map(|(_, attachment)| of(attachment)).collect();
            values.sort();
            values.dedup();
            values.len()
        };
        assert_eq!(distinct(|a| a.ip.to_string()), 50);
        assert_eq!(distinct(|a| a.link.clone()), 50);
        assert_eq!(distinct(|a| a.ports[0].host.to_string()), 50);
        let rows = network.send(List).await.unwrap();
        assert_eq!((rows[0].name.as_str(), rows[0].containers), ("bridge", 50));
        assert_eq!(sh("nft list map inet gantry0 published | grep -o ' tcp \\. ' | wc -l").trim(), "50");
        world.stop(network, "gantry0").await;
    });
}

#[test]
fn a_range_of_a_thousand_ports_is_one_transaction() {
    on_a_host(async |world: Rc<World>| {
        let network = world.start("gantry0").await.unwrap();
        let (id, web) =
            attach(&network, "web", &["20000-20999:1000-1999", "127.0.0.1:20000-21499:1-1500/udp"]).await.unwrap();
        assert_eq!(web.ports.len(), 2500);
        let service = Service::new(&web.netns, (Ipv4Addr::UNSPECIFIED, 1999), "last");
        assert!(ask_tcp(&world.neighbour, HOST, 20999, PATIENCE).is_ok());
        drop(service);
        // Somebody takes one element away: the others go all the same.
        sh("nft delete element inet gantry0 published '{ tcp . 20500 }'");
        network.send(Detach { id }).await.unwrap();
        let left = sh("nft list map inet gantry0 published; nft list map inet gantry0 published_on");
        assert!(!left.contains("elements"), "{left}");
        world.stop(network, "gantry0").await;
    });
}

#[test]
fn a_small_subnet_is_used_again_and_again() {
    on_a_host(async |world: Rc<World>| {
        let config = Config { subnet: Some("10.9.8.0/29".parse().unwrap()), ..world.config("gantry0") };
        let network = Network::start(&config, &Tools::default(), Bus::default()).await.unwrap();
        let mut held = Vec::new();
        for nth in 0..5 {
            held.push(attach(&network, &format!("c{nth}"), &[]).await.unwrap());
        }
        assert_eq!(code(attach(&network, "sixth", &[]).await), Code::Busy);
        for round in 0..10 {
            let (id, was) = held.remove(0);
            network.send(Detach { id }).await.unwrap();
            held.push(attach(&network, &format!("r{round}"), &["8080"]).await.unwrap());
            assert_eq!(held[4].1.ip, was.ip);
        }
        world.stop(network, "gantry0").await;
    });
}

#[test]
fn what_a_dead_run_left_is_swept_and_what_it_found_is_restored() {
    on_a_host(async |world: Rc<World>| {
        let dead = world.start("gantry0").await.unwrap();
        let (_, attachment) = attach(&dead, "web", &["8080:80"]).await.unwrap();
        // A process of the dead run lives on in its namespace.
        let process = Service::new(&attachment.netns, (Ipv4Addr::UNSPECIFIED, 80), "orphan");
        dead.do_send(Crash);
        until("the actor is gone", || !dead.connected()).await;
        let left = snapshot();
        assert!(left.contains("table inet gantry0") && left.contains(&attachment.link), "{left}");
        std::fs::remove_file(world.dir.join("gantry0/network.journal")).unwrap();
        let network = world.start("gantry0").await.unwrap();
        assert!(!snapshot().contains(&format!("{}@", attachment.link)));
        let (_, again) = attach(&network, "web", &["8080:80"]).await.unwrap();
        assert_eq!(again.ip, attachment.ip);
        drop(process);
        world.stop(network, "gantry0").await;
    });
}

#[test]
fn the_last_one_out_restores_whatever_became_of_the_first() {
    on_a_host(async |world: Rc<World>| {
        sh("echo 0 > /proc/sys/net/ipv4/conf/all/accept_redirects");
        let before = snapshot();
        let forwards = || sh("cat /proc/sys/net/ipv4/ip_forward").trim() == "1";
        let first = world.start("gantry0").await.unwrap();
        let second = world.start("gantry1").await.unwrap();
        first.do_send(Crash);
        until("the actor is gone", || !first.connected()).await;
        world.stop(second, "gantry1").await;
        assert!(forwards(), "the first one's bridge is there yet");
        let third = world.start("gantry2").await.unwrap();
        // Only the journal knows now what the first one found.
        sh("ip link del gantry0");
        let again = world.start("gantry0").await.unwrap();
        world.stop(again, "gantry0").await;
        assert!(forwards(), "the third needs it");
        world.stop(third, "gantry2").await;
        assert_eq!(snapshot(), before);
        sh("echo 1 > /proc/sys/net/ipv4/conf/all/accept_redirects");
    });
}

#[test]
fn a_bridge_that_was_not_marked_yet_is_swept() {
    on_a_host(async |world: Rc<World>| {
        let config = world.config("gantry0");
        sh("ip link add gantry0 address 02:42:0a:43:00:01 type bridge");
        assert_eq!(code(world.start("gantry0").await.map(drop)), Code::InUse, "nobody says that it is ours");
        std::fs::write(config.run.join("network.journal"), "link gantry0\n").unwrap();
        let network = world.start("gantry0").await.unwrap();
        world.stop(network, "gantry0").await;
    });
}

#[test]
fn a_process_that_stays_in_its_namespace_holds_nothing_up() {
    on_a_host(async |world: Rc<World>| {
        let network = world.start("gantry0").await.unwrap();
        let (_, web) = attach(&network, "web", &["8080:80"]).await.unwrap();
        let process = Service::new(&web.netns, (Ipv4Addr::UNSPECIFIED, 80), "web");
        world.stop(network, "gantry0").await;
        drop(process);
    });
}

#[test]
fn what_is_not_ours_is_refused_and_left_alone() {
    on_a_host(async |world: Rc<World>| {
        let before = snapshot();
        sh("ip link add gantry0 type bridge; nft add table inet gantry1");
        let with = snapshot();
        for bridge in ["gantry0", "gantry1"] {
            let refusal = world.start(bridge).await.unwrap_err();
            assert!(refusal.code() == Code::InUse && refusal.message().contains("not gantry's"), "{refusal}");
            std::fs::remove_dir(world.dir.join(bridge)).unwrap();
        }
        assert_eq!(snapshot(), with);
        sh("ip link del gantry0; nft delete table inet gantry1");
        assert_eq!(snapshot(), before);
        let config = Config { subnet: Some("192.168.0.0/16".parse().unwrap()), ..world.config("gantry0") };
        let refusal = Network::start(&config, &Tools::default(), Bus::default()).await.unwrap_err();
        assert!(refusal.code() == Code::InUse && refusal.message().contains("wire0"), "{refusal}");
        std::fs::remove_dir(world.dir.join("gantry0")).unwrap();
    });
}

#[test]
fn a_container_is_detached_while_it_is_being_attached() {
    on_a_host(async |world: Rc<World>| {
        let network = world.start("gantry0").await.unwrap();
        let id = ContainerId::random().unwrap();
        let message = |id: &ContainerId| Attach {
            id: id.clone(),
            name: "web".parse().unwrap(),
            publish: published(&["8080:80"]),
        };
        let (attached, twice, (), ()) = futures::join!(
            async { network.send(message(&id)).await.unwrap() },
            async { network.send(message(&id)).await.unwrap() },
            async { network.send(Detach { id: id.clone() }).await.unwrap() },
            async { network.send(Detach { id: id.clone() }).await.unwrap() },
        );
        assert_eq!(code(attached), Code::Cancelled);
        assert_eq!(code(twice), Code::Internal);
        drop(TcpListener::bind("0.0.0.0:8080").unwrap());
        assert!(network.send(message(&id)).await.unwrap().is_ok());
        world.stop(network, "gantry0").await;
    });
}

#[test]
fn a_close_ends_what_is_under_way() {
    on_a_host(async |world: Rc<World>| {
        let network = world.start("gantry0").await.unwrap();
        let (attached, ()) = futures::join!(attach(&network, "web", &["8080:80"]), async {
            world.stop(network.clone(), "gantry0").await;
        });
        assert!(attached.is_err());
        assert_eq!(code(attach(&network, "late", &[]).await), Code::ShuttingDown);
    });
}

#[test]
fn without_nft_nothing_is_left_behind() {
    on_a_host(async |world: Rc<World>| {
        let config = world.config("gantry0");
        let nft = config.run.join("nft");
        std::fs::write(&nft, "#!/bin/sh\necho '1:1-2: Error: no such luck' >&2; exit 1\n").unwrap();
        sh(&format!("chmod +x {}", nft.display()));
        let tools = Tools::new(Some(config.run.clone()));
        let refusal = Network::start(&config, &tools, Bus::default()).await.unwrap_err();
        assert!(refusal.code() == Code::ToolFailed && refusal.message().contains("no such luck"), "{refusal}");
        let findings = check(&config, &tools).await;
        assert!(findings.iter().any(|finding| finding.check == "nft" && !finding.ok), "{findings:?}");
        std::fs::remove_file(nft).unwrap();
        let findings = check(&config, &tools).await;
        assert!(findings.iter().all(|finding| finding.ok), "{findings:?}");
        std::fs::remove_dir(config.run).unwrap();
    });
}

/// Ends the actor as a crash would: it is dropped in the middle of its work, without a word.
#[derive(actix::Message)]
#[rtype(result = "()")]
struct Crash;

impl actix::Handler<Crash> for Network {
    type Result = ();

    fn handle(&mut self, _: Crash, ctx: &mut actix::Context<Self>) {
        actix::ActorContext::terminate(ctx);
    }
}
