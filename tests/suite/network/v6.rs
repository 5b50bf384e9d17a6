//! IPv6 beside IPv4: who reaches whom by it, and what of the host's it leaves as it was.

use std::io::ErrorKind;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddrV6, UdpSocket};
use std::os::fd::AsRawFd;
use std::rc::Rc;

use gantry::config::Config;
use gantry::events::Bus;
use gantry::id::NetworkName;
use gantry::link::Post;
use gantry::network::{Connect, Create, Detach, Disconnect, List, Network};
use gantry::tools::Tools;
use nix::sys::socket::{
    AddressFamily, MsgFlags, SockFlag, SockProtocol, SockType, SockaddrIn6, sendto, setsockopt, socket, sockopt,
};

use super::world::*;

const LOCALHOST6: Ipv6Addr = Ipv6Addr::LOCALHOST;

fn serve(place: &Place, called: &'static str) -> Service {
    Service::new(&place.netns, (Ipv6Addr::UNSPECIFIED, 80), called)
}

fn name(text: &str) -> NetworkName {
    text.parse().unwrap()
}

async fn create(network: &Post<Network>, called: &str, internal: bool) {
    network.send(Create { name: name(called), subnet: None, internal }).await.unwrap().unwrap();
}

/// On hosts whose rules see what is bridged, and on those whose do not.
#[test]
fn a_published_port_is_reached_from_everywhere_by_ipv6_too() {
    on_a_host_of_both(async |world: Rc<World>| {
        let knob = "/proc/sys/net/bridge/bridge-nf-call-ip6tables";
        for bridged in ["0", "1"] {
            sh(&format!("if [ -e {knob} ]; then echo {bridged} > {knob}; fi"));
            reach_from_everywhere(&world).await;
        }
    });
}

async fn reach_from_everywhere(world: &World) {
    let network = world.start("gantry0").await.unwrap();
    let ports = ["8080:80", "8080:80/udp", "[fd99::1]:9090:80", "[::]:9091:80", "0.0.0.0:9092:80"];
    let (_, web) = attach(&network, "web", &ports).await.unwrap();
    let (_, other) = attach(&network, "other", &[]).await.unwrap();
    let service = serve(&web, "web");
    let ((ip, gateway), (other_ip, _)) = (web.six(), other.six());
    let host = &world.here;
    for (who, path, to) in [
        ("the host by its address", host, HOST6),
        ("the host by the bridge", host, gateway),
        ("another host", &world.neighbour, HOST6),
        ("another container", &other.netns, HOST6),
        ("another container by the bridge", &other.netns, gateway),
        ("itself", &web.netns, HOST6),
        ("itself by the bridge", &web.netns, gateway),
    ] {
        let answer = ask_tcp(path, to, 8080, patience()).unwrap_or_else(|error| panic!("tcp from {who}: {error}"));
        assert!(answer.starts_with("web "), "{who}: {answer}");
        let answer = ask_udp(path, to, 8080).unwrap_or_else(|error| panic!("udp from {who}: {error}"));
        assert!(answer.starts_with("web "), "{who}: {answer}");
    }
    assert_eq!(ask_tcp(&world.neighbour, HOST6, 8080, patience()).unwrap(), format!("web {NEIGHBOUR6}"));
    assert_eq!(ask_tcp(&world.neighbour, HOST, 8080, patience()).unwrap(), format!("web {NEIGHBOUR}"));
    // What cannot be led is refused at once, so that the next address is tried.
    let refused = ask_tcp(host, LOCALHOST6, 8080, patience()).unwrap_err();
    assert_eq!(refused.kind(), ErrorKind::ConnectionRefused);
    for (to, port, reached) in [
        (IpAddr::from(HOST6), 9090, true),
        (gateway.into(), 9090, false),
        (HOST.into(), 9090, false),
        (HOST6.into(), 9091, true),
        (HOST.into(), 9091, false),
        (HOST.into(), 9092, true),
        (HOST6.into(), 9092, false),
    ] {
        let from = if reached { &world.neighbour } else { host };
        let answer = ask_tcp(from, to, port, if reached { patience() } else { impatience() });
        assert_eq!(answer.is_ok(), reached, "{to} {port}");
    }
    // Containers see each other as they are, the host sees them, and nobody else does.
    assert_eq!(ask_tcp(&other.netns, ip, 80, patience()).unwrap(), format!("web {other_ip}"));
    assert_eq!(ask_tcp(host, ip, 80, patience()).unwrap(), format!("web {gateway}"));
    assert!(ask_tcp(&world.neighbour, ip, 80, impatience()).is_err(), "what is not published is not routed in");
    let outside = Service::new(&world.neighbour, (NEIGHBOUR6, 80), "outside");
    assert_eq!(ask_tcp(&web.netns, NEIGHBOUR6, 80, patience()).unwrap(), format!("outside {HOST6}"));
    assert_eq!(ask_udp(&web.netns, NEIGHBOUR6, 80).unwrap(), format!("outside {HOST6}"));
    // Somebody takes the rules away.
    let table = || sh("nft list table inet gantry0 2>/dev/null || echo none");
    let whole = table();
    assert!(whole.contains(&ip.to_string()));
    sh("nft flush ruleset");
    until("the table is back", || table() == whole).await;
    assert!(ask_tcp(&world.neighbour, HOST6, 8080, patience()).is_ok());
    drop((service, outside));
    world.stop(network, "gantry0").await;
}

#[test]
fn networks_are_isolated_from_each_other_by_ipv6_too() {
    on_a_host_of_both(async |world: Rc<World>| {
        let network = world.start("gantry0").await.unwrap();
        create(&network, "front", false).await;
        create(&network, "vault", true).await;
        let mut all = Vec::new();
        for (on, ports) in [("bridge", &["8080:80"][..]), ("front", &["8081:80"]), ("vault", &[])] {
            let (_, one) = attach_to(&network, &format!("on-{on}"), &[on], None, ports).await.unwrap();
            let (_, mate) = attach_to(&network, &format!("mate-{on}"), &[on], None, &[]).await.unwrap();
            all.push((one, mate));
        }
        let services: Vec<_> = all.iter().map(|(one, _)| serve(one, "web")).collect();
        let outside = Service::new(&world.neighbour, (NEIGHBOUR6, 80), "outside");
        // One that may do so makes itself a way out.
        inside(&all[2].1.netns, || sh("ip -6 route add default via fe80::1 dev eth0"));
        for (nth, (_, from)) in all.iter().enumerate() {
            for (other, (to, _)) in all.iter().enumerate() {
                let patience = if nth == other { patience() } else { impatience() };
                assert_eq!(ask_tcp(&from.netns, to.six().0, 80, patience).is_ok(), nth == other, "{from:?} {to:?}");
            }
            let is_out = nth < 2;
            let patience = if is_out { patience() } else { impatience() };
            assert_eq!(ask_tcp(&from.netns, NEIGHBOUR6, 80, patience).is_ok(), is_out, "{from:?}");
            assert_eq!(ask_tcp(&from.netns, HOST6, 8081, patience).is_ok(), is_out, "what is published, {from:?}");
            assert!(ask_tcp(&world.here, all[nth].0.six().0, 80, crate::shell::patience(30)).is_ok(), "the host");
            assert!(ask_tcp(&world.neighbour, all[nth].0.six().0, 80, impatience()).is_err());
        }
        drop((services, outside));
        world.stop(network, "gantry0").await;
    });
}

/// The answer of the name server to a question of one kind: the last bytes of its data.
async fn resolve(from: &Place, labels: &[&str], kind: u8, length: usize) -> Option<Vec<u8>> {
    let mut question = vec![0, 7, 1, 0, 0, 1, 0, 0, 0, 0, 0, 0];
    for label in labels {
        question.push(label.len() as u8);
        question.extend(label.as_bytes());
    }
    question.extend([0, 0, kind, 0, 1]);
    let socket = inside(&from.netns, || UdpSocket::bind("0.0.0.0:0").unwrap());
    socket.set_nonblocking(true).unwrap();
    // The server is on this very thread: it must not be blocked.
    let socket = tokio::net::UdpSocket::from_std(socket).unwrap();
    socket.send_to(&question, (from.gateway, 53)).await.ok()?;
    let mut answer = [0; 512];
    let received = tokio::time::timeout(patience(), socket.recv(&mut answer)).await.ok()?.ok()?;
    let data = received.checked_sub(length).filter(|start| *start > question.len())?;
    Some(answer[data..received].to_vec())
}

#[test]
fn a_container_is_found_by_name_in_both_families() {
    on_a_host_of_both(async |world: Rc<World>| {
        let network = world.start("gantry0").await.unwrap();
        let (id, web) = attach(&network, "web", &[]).await.unwrap();
        let (_, asker) = attach(&network, "asker", &[]).await.unwrap();
        let (ip, _) = web.six();
        assert_eq!(resolve(&asker, &["web"], 1, 4).await, Some(web.ip.octets().to_vec()));
        assert_eq!(resolve(&asker, &["web"], 28, 16).await, Some(ip.octets().to_vec()));
        let digits: Vec<String> = ip
            .octets()
            .iter()
            .rev()
            .flat_map(|byte| [byte & 15, byte >> 4])
            .map(|digit| format!("{digit:x}"))
            .collect();
        let mut labels: Vec<&str> = digits.iter().map(String::as_str).collect();
        labels.extend(["ip6", "arpa"]);
        assert_eq!(resolve(&asker, &labels, 12, 12).await, Some(b"\x06latest\x03web\0".to_vec()));
        network.send(Detach { id }).await.unwrap();
        assert_eq!(resolve(&asker, &["web"], 28, 16).await, None);
        assert_eq!(resolve(&asker, &labels, 12, 12).await, None);
        world.stop(network, "gantry0").await;
    });
}

#[test]
fn a_network_of_several_bridges_is_one_by_ipv6_too() {
    on_a_host_of_both(async |world: Rc<World>| {
        let config = Config { bridge_links: 2, ..world.config("gantry0") };
        let network = Network::start(&config, &Tools::default(), Bus::default()).await.unwrap();
        let mut all = Vec::new();
        for (nth, port) in ["8080:80", "8081:80", "8082:80", "8083:80", "8084:80"].iter().enumerate() {
            all.push(attach(&network, &format!("c{nth}"), &[port]).await.unwrap());
        }
        assert!(sh("ip -o link").contains("gantry0.m002"));
        let services: Vec<_> = all.iter().map(|(_, place)| serve(place, "c")).collect();
        for (_, from) in &all {
            for (nth, (_, to)) in all.iter().enumerate() {
                let answer = ask_tcp(&from.netns, to.six().0, 80, patience()).unwrap();
                assert_eq!(answer, format!("c {}", from.six().0), "it is asked by its own address");
                assert!(ask_tcp(&from.netns, HOST6, 8080 + nth as u16, patience()).is_ok());
            }
        }
        assert!(ask_tcp(&world.neighbour, HOST6, 8084, patience()).is_ok());
        assert!(ask_tcp(&world.here, all[4].1.six().0, 80, patience()).is_ok());
        drop(services);
        let (id, last) = all.pop().unwrap();
        let route = format!("{} dev gantry0.m002", last.six().0);
        assert!(sh("ip -6 route").contains(&route), "{}", sh("ip -6 route"));
        network.send(Detach { id }).await.unwrap();
        until("the route is gone", || !sh("ip -6 route").contains(&route)).await;
        assert!(!sh("ip -6 neigh").contains(&format!("{} ", last.six().0)));
        world.stop(network, "gantry0").await;
    });
}

#[test]
fn what_leads_by_ipv6_follows_a_container_from_network_to_network() {
    on_a_host_of_both(async |world: Rc<World>| {
        let network = world.start("gantry0").await.unwrap();
        create(&network, "front", false).await;
        let (id, web) = attach(&network, "web", &["8080:80"]).await.unwrap();
        let service = serve(&web, "web");
        assert!(ask_tcp(&world.neighbour, HOST6, 8080, patience()).is_ok());
        let endpoints = network.send(Connect { id: id.clone(), network: name("front") }).await.unwrap().unwrap();
        let further = endpoints[1].v6.unwrap();
        let (_, mate) = attach_to(&network, "mate", &["front"], None, &[]).await.unwrap();
        assert_eq!(ask_tcp(&mate.netns, further.ip, 80, patience()).unwrap(), format!("web {}", mate.six().0));
        network.send(Disconnect { id: id.clone(), network: name("bridge") }).await.unwrap().unwrap();
        assert!(ask_tcp(&world.neighbour, HOST6, 8080, patience()).is_ok(), "by the other now");
        let outside = Service::new(&world.neighbour, (NEIGHBOUR6, 80), "outside");
        assert_eq!(ask_tcp(&web.netns, NEIGHBOUR6, 80, patience()).unwrap(), format!("outside {HOST6}"));
        drop((service, outside));
        world.stop(network, "gantry0").await;
    });
}

/// Asks from a port of its own, that is: in one flow.
fn ask(socket: &UdpSocket) -> Option<String> {
    let mut buffer = [0; 64];
    for _ in 0..20 {
        // What was refused on its way is told by the next call.
        if socket.send_to(b"?", (HOST6, 8053)).is_err() {
            continue;
        }
        if let Ok((length, _)) = socket.recv_from(&mut buffer) {
            return Some(String::from_utf8_lossy(&buffer[..length]).into_owned());
        }
    }
    None
}

#[test]
fn flows_of_udp_by_ipv6_follow_the_port_to_whoever_has_it() {
    on_a_host_of_both(async |world: Rc<World>| {
        let network = world.start("gantry0").await.unwrap();
        let socket = inside(&world.neighbour, || {
            let socket = UdpSocket::bind("[::]:0").unwrap();
            socket.set_read_timeout(Some(impatience() / 2)).unwrap();
            socket
        });
        // A flow that began when nobody was there.
        socket.send_to(b"?", (HOST6, 8053)).unwrap();
        let (id, one) = attach(&network, "one", &["8053:80/udp"]).await.unwrap();
        let first = serve(&one, "one");
        assert_eq!(ask(&socket), Some(format!("one {NEIGHBOUR6}")));
        // The same flow, for it never rests, when the port is another's.
        drop(first);
        network.send(Detach { id }).await.unwrap();
        let (_, two) = attach(&network, "two", &["8053:80/udp"]).await.unwrap();
        let second = serve(&two, "two");
        assert_eq!(ask(&socket), Some(format!("two {NEIGHBOUR6}")));
        drop(second);
        world.stop(network, "gantry0").await;
    });
}

/// What a router says of itself: that everybody may send by it for half an hour (RFC 4861, 4.2).
fn advertise(world: &World) {
    inside(&world.neighbour, || {
        let protocol = SockProtocol::IcmpV6;
        let router = socket(AddressFamily::Inet6, SockType::Raw, SockFlag::SOCK_CLOEXEC, protocol).unwrap();
        // Of one that came from elsewhere nobody would believe it.
        setsockopt(&router, sockopt::Ipv6Ttl, &255).unwrap();
        let wire = nix::net::if_::if_nametoindex("wire1").unwrap();
        let to = SockaddrIn6::from(SocketAddrV6::new(LINK6[0], 0, 0, wire));
        let says = [134, 0, 0, 0, 64, 0, 7, 8, 0, 0, 0, 0, 0, 0, 0, 0];
        sendto(router.as_raw_fd(), &says, &to, MsgFlags::empty()).unwrap();
    });
}

fn has_default_route() -> bool {
    sh("ip -6 route show default").contains("wire0")
}

/// The values of `habit` on these links.
fn habits(habit: &str, links: &[&str]) -> String {
    let paths: Vec<_> = links.iter().map(|link| format!("{link}/{habit}")).collect();
    sh(&format!("cd /proc/sys/net/ipv6/conf; cat {} | tr -d '\\n'", paths.join(" ")))
}

#[test]
fn a_host_that_heeds_routers_does_so_on_and_has_its_habits_back() {
    on_a_host_of_both(async |world: Rc<World>| {
        // The habits of one who has thought about it: a link that forwards though the host does not.
        sh("echo 1 > /proc/sys/net/ipv6/conf/lo/forwarding");
        // Or its answer, when it is asked after some seconds whether it is there, says that it is no router any more.
        inside(&world.neighbour, || sh("echo 1 > /proc/sys/net/ipv6/conf/all/forwarding"));
        advertise(&world);
        until("the route that the router told", has_default_route).await;
        let before = snapshot();
        let one = world.start("gantry0").await.unwrap();
        let (_, web) = attach(&one, "web", &[]).await.unwrap();
        assert_eq!(
            (habits("forwarding", &["all", "wire0"]), habits("accept_ra", &["wire0", "gantry0"])),
            ("11".into(), "20".into())
        );
        assert!(has_default_route(), "{}", sh("ip -6 route"));
        sh("ip -6 route del default");
        advertise(&world);
        until("it is heard again", has_default_route).await;
        assert_eq!(inside(&web.netns, || habits("forwarding", &["all", "eth0"])), "00");
        // The second daemon knows what the first has found, and outlives it.
        let two = world.start("gantry01").await.unwrap();
        world.stop(one, "gantry0").await;
        assert_eq!(habits("forwarding", &["all", "lo", "wire0"]), "111");
        // What it left behind is put back without its journal too.
        two.holder().do_send(Crash);
        until("the actor is gone", || !two.holder().connected()).await;
        std::fs::remove_file(world.dir.join("gantry01/network.journal")).unwrap();
        let two = world.start("gantry01").await.unwrap();
        assert_eq!(habits("forwarding", &["all", "wire0"]), "11");
        world.stop(two, "gantry01").await;
        // A list of routes is cut short where some of them go meanwhile, as those of vanishing links do.
        until("the host is as it was", || snapshot() == before).await;
        until("its way out is there", has_default_route).await;
        sh("ip -6 route del default; echo 0 > /proc/sys/net/ipv6/conf/lo/forwarding");
    });
}

#[test]
fn a_host_that_forwards_already_is_left_alone() {
    on_a_host_of_both(async |world: Rc<World>| {
        sh("echo 1 > /proc/sys/net/ipv6/conf/all/forwarding");
        let before = snapshot();
        let network = world.start("gantry0").await.unwrap();
        assert_eq!(habits("accept_ra", &["wire0"]), "1", "it did not heed routers before");
        world.stop(network, "gantry0").await;
        until("the host is as it was", || snapshot() == before).await;
        sh("echo 0 > /proc/sys/net/ipv6/conf/all/forwarding");
    });
}

#[test]
fn without_ipv6_nothing_is_made_of_it() {
    on_a_host_of_both(async |world: Rc<World>| {
        let config = Config { ipv6: false, ..world.config("gantry0") };
        let network = Network::start(&config, &Tools::default(), Bus::default()).await.unwrap();
        let (_, web) = attach(&network, "web", &["8080:80"]).await.unwrap();
        assert_eq!(web.v6, None);
        assert_eq!(inside(&web.netns, || sh("ip -6 -o addr show dev eth0")), "");
        assert_eq!(habits("forwarding", &["all"]), "0");
        assert!(!sh("nft list table inet gantry0").contains("ip6"));
        assert!(network.send(List).await.unwrap().iter().all(|row| row.ula.is_none()));
        assert!(std::net::TcpListener::bind("[::1]:8080").map(end).is_ok(), "the port of IPv6 is anybody's");
        let service = Service::new(&web.netns, (Ipv4Addr::UNSPECIFIED, 80), "web");
        assert!(ask_tcp(&world.neighbour, HOST, 8080, patience()).is_ok());
        drop(service);
        assert_eq!(code(attach(&network, "two", &["[::]:8081:80"]).await), gantry::refusal::Code::Unsupported);
        world.stop(network, "gantry0").await;
    });
}

#[test]
fn addresses_of_ipv6_are_the_same_at_each_start_and_nobody_elses() {
    on_a_host_of_both(async |world: Rc<World>| {
        let mut seen = Vec::new();
        for _ in 0..2 {
            let network = world.start("gantry0").await.unwrap();
            create(&network, "front", false).await;
            seen.push(network.send(List).await.unwrap().iter().map(|row| row.ula.unwrap()).collect::<Vec<_>>());
            world.stop(network, "gantry0").await;
        }
        assert!(seen[0] == seen[1] && seen[0][0] != seen[0][1], "{seen:?}");
        // Somebody else has them meanwhile.
        sh(&format!("ip -6 route add {} via {NEIGHBOUR6}", seen[0][0]));
        let network = world.start("gantry0").await.unwrap();
        let now = network.send(List).await.unwrap()[0].ula.unwrap();
        assert_ne!(now, seen[0][0]);
        let (_, web) = attach(&network, "web", &[]).await.unwrap();
        assert!(inside(&web.netns, || sh("ip -6 -o addr show dev eth0")).contains(&web.six().0.to_string()));
        world.stop(network, "gantry0").await;
        sh(&format!("ip -6 route del {}", seen[0][0]));
    });
}
