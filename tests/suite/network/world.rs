//! The host that a test is, its neighbour, and those who ask and answer there.

use std::io::{Read, Write};
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr, TcpListener, TcpStream, UdpSocket};
use std::os::fd::{AsRawFd, OwnedFd};
use std::path::{Path, PathBuf};
use std::process::Command;
use std::rc::Rc;
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

use gantry::config::Config;
use gantry::events::Bus;
use gantry::id::{ContainerId, NetworkMode, Networking, Publish, PublishedPort};
use gantry::link::Post;
use gantry::network::{Attach, Close, Identity, Network, V6};
use gantry::refusal::{Code, Refusal};
use gantry::tools::Tools;
use nix::fcntl::{OFlag, open};
use nix::sched::{CloneFlags, setns, unshare};
use nix::sys::resource::{Resource, getrlimit, setrlimit};
use nix::sys::socket::{SockaddrStorage, recvfrom};
use nix::sys::stat::Mode;

use crate::shell;

/// The host's address on the wire to its neighbour, and the neighbour's.
pub const HOST: Ipv4Addr = Ipv4Addr::new(192, 168, 99, 1);
pub const NEIGHBOUR: Ipv4Addr = Ipv4Addr::new(192, 168, 99, 2);
pub const LOCALHOST: Ipv4Addr = Ipv4Addr::LOCALHOST;
/// The same on a host that has IPv6, and their link-local addresses.
pub const HOST6: Ipv6Addr = Ipv6Addr::new(0xfd99, 0, 0, 0, 0, 0, 0, 1);
pub const NEIGHBOUR6: Ipv6Addr = Ipv6Addr::new(0xfd99, 0, 0, 0, 0, 0, 0, 2);
pub const LINK6: [Ipv6Addr; 2] =
    [Ipv6Addr::new(0xfe80, 0, 0, 0, 0, 0, 0x99, 1), Ipv6Addr::new(0xfe80, 0, 0, 0, 0, 0, 0x99, 2)];

/// How long anything may take that is to succeed.
pub fn patience() -> Duration {
    shell::patience(30)
}

/// How long one is tried that must not.
pub fn impatience() -> Duration {
    shell::patience(1) * 7 / 10
}

/// A host: the network namespace of the test's thread.
pub struct World {
    pub here: PathBuf,
    pub neighbour: PathBuf,
    pub dir: PathBuf,
    _held: [OwnedFd; 2],
}

/// Runs `test` on a host of its own, which has no IPv6, and then sees whether the host is as it was before.
pub fn on_a_host<T: Future<Output = ()>>(test: impl FnOnce(Rc<World>) -> T + Send + 'static) {
    on_a_host_with(World::build, test);
}

/// The same on one that has IPv6.
pub fn on_a_host_of_both<T: Future<Output = ()>>(test: impl FnOnce(Rc<World>) -> T + Send + 'static) {
    on_a_host_with(|| World::build().with_v6(), test);
}

fn on_a_host_with<T: Future<Output = ()>>(
    build: impl FnOnce() -> World + Send + 'static,
    test: impl FnOnce(Rc<World>) -> T + Send + 'static,
) {
    assert!(nix::unistd::geteuid().is_root(), "these tests make network namespaces: run them as root");
    let name = std::thread::current().name().unwrap_or("test").to_owned();
    let thread = std::thread::Builder::new().name(name).spawn(move || {
        unshare(CloneFlags::CLONE_NEWNET).unwrap();
        // As the daemon does it at its start: a login has 1024 descriptors, and a published port takes one.
        let (_, most) = getrlimit(Resource::RLIMIT_NOFILE).unwrap();
        setrlimit(Resource::RLIMIT_NOFILE, most, most).unwrap();
        let world = Rc::new(build());
        let before = snapshot();
        actix::System::new().block_on(test(world.clone()));
        // A list of routes is cut short where some of them go meanwhile, as those of vanishing links do.
        let deadline = std::time::Instant::now() + patience();
        let mut after = snapshot();
        while after != before && std::time::Instant::now() < deadline {
            after = snapshot();
        }
        let only = |one: &str, other: &str| one.lines().filter(|l| !other.contains(l)).collect::<Vec<_>>().join("\n");
        assert!(after == before, "the host is not as it was: -{} +{}", only(&before, &after), only(&after, &before));
        std::fs::remove_dir(&world.dir).expect("no file is left");
    });
    if let Err(panic) = thread.unwrap().join() {
        std::panic::resume_unwind(panic);
    }
}

impl World {
    pub fn build() -> Self {
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

    /// Gives both hosts IPv6: addresses that are there at once, and none that the kernel makes a moment later.
    fn with_v6(self) -> Self {
        let [link, link_there] = LINK6;
        let on = "cd /proc/sys/net/ipv6/conf; for f in */addr_gen_mode; do echo 1 > $f; done
            for f in */disable_ipv6; do echo 0 > $f; done; echo 0 > all/forwarding";
        sh(&format!(
            "{on}; ip addr add {HOST6}/64 dev wire0 nodad; ip addr add {link}/64 dev wire0 nodad
            cd ../..; if [ -d bridge ]; then echo 1 > bridge/bridge-nf-call-ip6tables; fi"
        ));
        inside(&self.neighbour, || {
            sh(&format!(
                "{on}; ip addr add {NEIGHBOUR6}/64 dev wire1 nodad; ip addr add {link_there}/64 dev wire1 nodad
                ip route add fd00::/8 via {HOST6}"
            ));
        });
        // The kernel leads to an address when it has heard that the wire is whole, a moment later.
        let leads_to = |ip: &Ipv6Addr| sh("ip -6 route show table local").contains(&format!("local {ip} dev wire0 "));
        assert!(shell::waits(patience(), || [HOST6, link].iter().all(leads_to)));
        self
    }

    pub fn config(&self, bridge: &str) -> Config {
        let run = self.dir.join(bridge);
        std::fs::create_dir_all(&run).unwrap();
        Config {
            socket: run.join("gantry.sock"),
            ro_socket: None,
            root: "/var/lib/gantry-test".into(),
            run,
            bridge: bridge.to_owned(),
            subnet: None,
            ipv6: true,
            dns: Vec::new(),
            tools: None,
            stop_timeout: patience(),
            log_bounds: gantry::config::LogBounds::default(),
            firewall_cooperate: false,
            bridge_links: 512,
            network_spares: 4,
            max_image_size: gantry::config::MAX_IMAGE_SIZE,
            metrics_listen: None,
            log_format: None,
            check: false,
        }
    }

    /// Starts it, also where another was that has just ended.
    pub async fn start(&self, bridge: &str) -> Result<Post<Network>, Refusal> {
        start_as(&self.config(bridge), &Bus::default()).await
    }

    /// The same at once or not at all.
    pub async fn start_once(&self, bridge: &str) -> Result<Post<Network>, Refusal> {
        Network::start(&self.config(bridge), &Tools::default(), Bus::default()).await
    }

    pub async fn stop(&self, network: Post<Network>, bridge: &str) {
        network.send(Close).await.unwrap();
        std::fs::remove_dir(self.dir.join(bridge)).unwrap();
    }
}

/// Starts a network as that says, also where another was that has just ended: a process that another test is just starting
/// may have a copy of that one's lock.
pub async fn start_as(config: &Config, bus: &Bus) -> Result<Post<Network>, Refusal> {
    let deadline = std::time::Instant::now() + patience();
    loop {
        match Network::start(config, &Tools::default(), bus.clone()).await {
            Err(refusal)
                if refusal.message().contains("in use by another daemon") && std::time::Instant::now() < deadline =>
            {
                tokio::task::yield_now().await;
            }
            started => return started,
        }
    }
}

/// The calling thread's network namespace.
pub fn namespace() -> OwnedFd {
    open("/proc/thread-self/ns/net", OFlag::O_RDONLY | OFlag::O_CLOEXEC, Mode::empty()).unwrap()
}

/// Runs `work` in the network namespace at `path`.
pub fn inside<T: Send>(path: &Path, work: impl FnOnce() -> T + Send) -> T {
    let namespace = open(path, OFlag::O_RDONLY | OFlag::O_CLOEXEC, Mode::empty()).unwrap();
    std::thread::scope(|scope| {
        let thread = scope.spawn(|| {
            setns(&namespace, CloneFlags::CLONE_NEWNET).unwrap();
            work()
        });
        thread.join().unwrap_or_else(|panic| std::panic::resume_unwind(panic))
    })
}

pub fn sh(script: &str) -> String {
    let output = Command::new("sh").args(["-ec", script]).output().unwrap();
    assert!(output.status.success(), "{script}: {}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8(output.stdout).unwrap()
}

/// All of the host that the network could have changed.
pub fn snapshot() -> String {
    // The kernel tells of a link's carrier when it comes to it.
    sh("ip -o link | sed 's/<[^>]*>//; s/ state [A-Z]*//'; ip -o addr
        ip route show table all | sed 's/ linkdown//; s/ expires [0-9]*sec//'; nft list ruleset
        grep -r . /proc/sys/net/ipv4/ip_forward /proc/sys/net/ipv4/conf /proc/sys/net/bridge /proc/sys/net/ipv6/conf \
            2>/dev/null | sort")
}

/// A TCP and a UDP service that answer with their name and who asks. Ended when dropped: a socket holds its namespace.
pub struct Service {
    listener: Arc<TcpListener>,
    datagrams: Arc<UdpSocket>,
    threads: Vec<std::thread::JoinHandle<()>>,
}

impl Service {
    pub fn new(namespace: &Path, (ip, port): (impl Into<IpAddr>, u16), name: &'static str) -> Self {
        let at = SocketAddr::new(ip.into(), port);
        let sockets = inside(namespace, || (TcpListener::bind(at).unwrap(), UdpSocket::bind(at).unwrap()));
        let (listener, datagrams) = (Arc::new(sockets.0), Arc::new(sockets.1));
        let threads = vec![
            std::thread::spawn({
                let listener = listener.clone();
                move || {
                    while let Ok((mut stream, who)) = listener.accept() {
                        let _ = write!(stream, "{name} {}", who.ip().to_canonical());
                    }
                }
            }),
            std::thread::spawn({
                let datagrams = datagrams.clone();
                move || {
                    let mut buffer = [0; 16];
                    while let Some(who) = sender(&datagrams, &mut buffer) {
                        let _ = datagrams.send_to(format!("{name} {}", who.ip().to_canonical()).as_bytes(), who);
                    }
                }
            }),
        ];
        Self { listener, datagrams, threads }
    }
}

/// Who sent the next datagram; none where the socket was shut down. (The standard library takes what is no address then for one.)
fn sender(socket: &UdpSocket, buffer: &mut [u8]) -> Option<SocketAddr> {
    let (_, who) = recvfrom::<SockaddrStorage>(socket.as_raw_fd(), buffer).ok()?;
    let who = who?;
    let v6 = || who.as_sockaddr_in6().map(|who| SocketAddr::V6((*who).into()));
    who.as_sockaddr_in().map(|who| SocketAddr::V4((*who).into())).or_else(v6)
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

pub fn ask_tcp(from: &Path, ip: impl Into<IpAddr>, port: u16, patience: Duration) -> std::io::Result<String> {
    let to = SocketAddr::new(ip.into(), port);
    inside(from, || {
        let mut stream = TcpStream::connect_timeout(&to, patience)?;
        stream.set_read_timeout(Some(patience))?;
        let mut text = String::new();
        stream.read_to_string(&mut text)?;
        Ok(text)
    })
}

pub fn ask_udp(from: &Path, ip: impl Into<IpAddr>, port: u16) -> std::io::Result<String> {
    let to = SocketAddr::new(ip.into(), port);
    inside(from, || {
        let socket = UdpSocket::bind(if to.is_ipv4() { "0.0.0.0:0" } else { "[::]:0" })?;
        socket.set_read_timeout(Some(patience()))?;
        socket.send_to(b"?", to)?;
        let mut buffer = [0; 64];
        let (length, _) = socket.recv_from(&mut buffer)?;
        Ok(String::from_utf8_lossy(&buffer[..length]).into_owned())
    })
}

pub fn published(ports: &[&str]) -> Vec<Publish> {
    ports.iter().map(|text| text.parse().unwrap()).collect()
}

/// What a test needs to know of a container that is on networks: most of it of its first link.
#[derive(Clone, Debug)]
pub struct Place {
    pub netns: PathBuf,
    pub ip: Ipv4Addr,
    pub ips: Vec<Ipv4Addr>,
    pub link: String,
    pub gateway: Ipv4Addr,
    pub v6: Option<V6>,
    pub ports: Vec<PublishedPort>,
}

impl Place {
    /// Its address of IPv6, and its network's gateway.
    pub fn six(&self) -> (Ipv6Addr, Ipv6Addr) {
        let v6 = self.v6.expect("it has IPv6");
        (v6.ip, v6.ula.gateway())
    }
}

/// A request to join the default network.
pub fn request(id: &ContainerId, name: &str, ports: &[&str]) -> Attach {
    Attach {
        id: id.clone(),
        name: name.parse().unwrap(),
        networking: Networking::default(),
        publish: published(ports),
        dns: Vec::new(),
        identity: Identity::default(),
        namespace: None,
        before: None,
    }
}

pub async fn attach(network: &Post<Network>, name: &str, ports: &[&str]) -> Result<(ContainerId, Place), Refusal> {
    attach_to(network, name, &[], None, ports).await
}

/// The same on those networks, with that address on the first.
pub async fn attach_to(
    network: &Post<Network>,
    name: &str,
    networks: &[&str],
    ip: Option<Ipv4Addr>,
    ports: &[&str],
) -> Result<(ContainerId, Place), Refusal> {
    let id = ContainerId::random().unwrap();
    let values: Vec<String> = networks.iter().map(|name| (*name).to_owned()).collect();
    let networking = Networking { mode: NetworkMode::read(&values)?, ip, alias: None };
    let attachment = network.send(Attach { networking, ..request(&id, name, ports) }).await.unwrap()?;
    let first = attachment.first().expect("a link").clone();
    let ips = attachment.endpoints.iter().map(|endpoint| endpoint.ip).collect();
    let (netns, ports) = (attachment.netns.expect("a namespace"), attachment.ports);
    Ok((id, Place { netns, ip: first.ip, ips, link: first.link, gateway: first.gateway, v6: first.v6, ports }))
}

pub fn code<T: std::fmt::Debug>(result: Result<T, Refusal>) -> Code {
    result.unwrap_err().code()
}

/// Ends a listener though a process that another test is just starting may have a copy of it.
pub fn end(listener: TcpListener) {
    nix::sys::socket::shutdown(listener.as_raw_fd(), nix::sys::socket::Shutdown::Both).unwrap();
    drop(listener);
}

/// Whether a process could have the port.
pub fn is_free(port: u16) -> bool {
    TcpListener::bind((Ipv4Addr::UNSPECIFIED, port)).map(end).is_ok()
}

/// Waits for what becomes true by itself.
pub async fn until(what: &str, holds: impl Fn() -> bool) {
    let deadline = std::time::Instant::now() + patience();
    while !holds() {
        assert!(std::time::Instant::now() < deadline, "{what}: not within {:?}", patience());
        tokio::task::yield_now().await;
    }
}

/// Ends the actor as a crash would: it is dropped in the middle of its work, without a word.
#[derive(actix::Message)]
#[rtype(result = "()")]
pub struct Crash;

impl actix::Handler<Crash> for Network {
    type Result = ();

    fn handle(&mut self, _: Crash, ctx: &mut actix::Context<Self>) {
        actix::ActorContext::terminate(ctx);
    }
}
