//! More containers on a network than a bridge takes links.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::rc::Rc;
use std::time::{Duration, Instant};

use futures::StreamExt;
use gantry::config::Config;
use gantry::events::Bus;
use gantry::link::Post;
use gantry::network::{Detach, Network};
use gantry::tools::Tools;

use super::world::*;

/// Attaches so many, and answers with the last of them.
async fn fill(network: &Post<Network>, count: usize) -> Place {
    let attached = (0..count).map(|nth| {
        let network = network.clone();
        async move { attach(&network, &format!("c{nth}"), &[]).await.unwrap().1 }
    });
    // As many at once as the actor does jobs, so that none waits for its seat.
    let mut all: Vec<Place> = futures::stream::iter(attached).buffered(4).collect().await;
    all.pop().expect("at least one")
}

/// Asks the name server at the gateway for `name`, as `from` does, and gives the address.
async fn resolve(from: &Place, name: &str) -> Option<Ipv4Addr> {
    let mut question = vec![0, 7, 1, 0, 0, 1, 0, 0, 0, 0, 0, 0, name.len() as u8];
    question.extend(name.as_bytes());
    question.extend([0, 0, 1, 0, 1]);
    let asked = question.len();
    let socket = inside(&from.netns, || std::net::UdpSocket::bind("0.0.0.0:0").unwrap());
    socket.set_nonblocking(true).unwrap();
    // The server is on this very thread: it must not be blocked.
    let socket = tokio::net::UdpSocket::from_std(socket).unwrap();
    let mut answer = [0; 512];
    // As the C library does, again where no answer comes: while the neighbour table is full, a datagram is lost.
    for _ in 0..6 {
        let _ = socket.send_to(&question, (from.gateway, 53)).await;
        if let Ok(Ok(length)) = tokio::time::timeout(patience() / 6, socket.recv(&mut answer)).await {
            let last: [u8; 4] = answer[..length].last_chunk().copied()?;
            return (length > asked).then(|| last.into());
        }
    }
    None
}

#[test]
fn a_network_grows_beyond_one_bridge() {
    on_a_host(async |world: Rc<World>| {
        let config = Config { bridge_links: 4, ..world.config("gantry0") };
        let network = Network::start(&config, &Tools::default(), Bus::default()).await.unwrap();
        let (_, first) = attach(&network, "first", &["8080:80"]).await.unwrap();
        let crowd = fill(&network, 3).await;
        assert!(!sh("ip -o link").contains("gantry0.m"), "one bridge will do");
        let (id, beyond) = attach(&network, "beyond", &["8081:80", "8053:80/udp"]).await.unwrap();
        let (_, other) = attach(&network, "other", &[]).await.unwrap();
        let third = fill(&network, 4).await;
        for (bridge, links) in [("gantry0", 4), ("gantry0.m001", 4), ("gantry0.m002", 2)] {
            let there = sh(&format!("ip -o link show master {bridge} | wc -l"));
            assert_eq!(there.trim(), links.to_string(), "{bridge}");
        }
        assert_eq!((beyond.gateway, other.gateway), (first.gateway, first.gateway));
        let services = [(&first, "first"), (&beyond, "beyond")];
        let services = services.map(|(place, name)| Service::new(&place.netns, (Ipv4Addr::UNSPECIFIED, 80), name));
        for bridged in ["1", "0"] {
            let knob = "/proc/sys/net/bridge/bridge-nf-call-iptables";
            sh(&format!("if [ -e {knob} ]; then echo {bridged} > {knob}; fi"));
            // Across bridges, both ways, and within the further one.
            for (from, to, name) in [
                (&first, &beyond, "beyond"),
                (&crowd, &beyond, "beyond"),
                (&other, &beyond, "beyond"),
                (&beyond, &first, "first"),
                (&third, &beyond, "beyond"),
            ] {
                let answer = ask_tcp(&from.netns, to.ip, 80, patience()).unwrap();
                assert_eq!(answer, format!("{name} {}", from.ip), "it is asked by its own address");
                assert_eq!(resolve(from, name).await, Some(to.ip), "and found by name");
            }
            // By what is published: the neighbour, the host, others, and itself.
            for from in [&world.neighbour, &world.here, &first.netns, &other.netns, &beyond.netns] {
                assert!(ask_tcp(from, HOST, 8081, patience()).unwrap().starts_with("beyond"));
                assert!(ask_udp(from, HOST, 8053).unwrap().starts_with("beyond"));
                assert!(ask_tcp(from, HOST, 8080, patience()).unwrap().starts_with("first"));
            }
            assert!(ask_tcp(&third.netns, HOST, 8081, patience()).unwrap().starts_with("beyond"));
            assert!(ask_tcp(&world.here, LOCALHOST, 8081, patience()).unwrap().starts_with("beyond"));
            assert!(ask_tcp(&world.here, beyond.ip, 80, patience()).unwrap().starts_with("beyond"));
            assert!(ask_tcp(&world.neighbour, beyond.ip, 80, impatience()).is_err(), "not published, not routed in");
        }
        sh("if [ -e /proc/sys/net/bridge/bridge-nf-call-iptables ]; then
            echo 1 > /proc/sys/net/bridge/bridge-nf-call-iptables; fi");
        // Out into the world, behind the host's address.
        let outside = Service::new(&world.neighbour, (NEIGHBOUR, 80), "outside");
        assert_eq!(ask_tcp(&other.netns, NEIGHBOUR, 80, patience()).unwrap(), format!("outside {HOST}"));
        // Its table is rebuilt with the further bridge, and what led to somebody goes with him.
        let whole = sh("nft list table inet gantry0");
        sh("nft flush ruleset");
        until("the table is back", || sh("nft list ruleset").trim() == whole.trim()).await;
        assert!(ask_tcp(&first.netns, beyond.ip, 80, patience()).is_ok());
        drop((services, outside));
        let route = format!("{} dev gantry0.m001", beyond.ip);
        assert!(sh("ip route").contains(&route));
        network.send(Detach { id }).await.unwrap();
        until("the route is gone", || !sh("ip route").contains(&route)).await;
        assert!(!sh("ip neigh").contains(&format!("{} ", beyond.ip)));
        world.stop(network, "gantry0").await;
    });
}

/// Two thousand, on a host whose neighbour table and backlog are as they come. It takes minutes, and all the while nobody else
/// gets far; so it is asked for by name: `cargo test --test suite two_thousand -- --ignored --nocapture`.
#[test]
#[ignore = "takes minutes, and slows down every test beside it"]
fn two_thousand_on_one_network_all_answer() {
    const COUNT: usize = 2000;
    on_a_host_of_both(async |world: Rc<World>| {
        let network = world.start("gantry0").await.unwrap();
        let began = Instant::now();
        let attached = (0..COUNT).map(|nth| {
            let network = network.clone();
            async move {
                let began = Instant::now();
                let (id, place) = attach(&network, &format!("c{nth}"), &[]).await.unwrap();
                ((id, began.elapsed()), place)
            }
        });
        let (ids, all): (Vec<_>, Vec<Place>) = futures::stream::iter(attached).buffered(4).unzip().await;
        println!("{COUNT} attached in {:.1?}", began.elapsed());
        for quarter in ids.chunks(COUNT / 4) {
            let mut took: Vec<_> = quarter.iter().map(|(_, took)| *took).collect();
            took.sort();
            println!("  four at once, median of each in this quarter {:.2?}", took[took.len() / 2]);
        }
        // All of them serve at once, by both families, and each is asked by the host, by another and by its name.
        let began = Instant::now();
        let serve = |place: &Place| Service::new(&place.netns, (Ipv6Addr::UNSPECIFIED, 80), "one");
        let services: Vec<Service> = all.iter().map(serve).collect();
        for (nth, place) in all.iter().enumerate() {
            let other = &all[(nth + 777) % COUNT];
            for to in [IpAddr::from(place.ip), place.six().0.into()] {
                assert!(ask_tcp(&world.here, to, 80, patience()).is_ok(), "the host asks {nth} at {to}");
                assert!(ask_tcp(&other.netns, to, 80, patience()).is_ok(), "another asks {nth} at {to}");
            }
            assert_eq!(resolve(other, &format!("c{nth}")).await, Some(place.ip));
        }
        println!("{COUNT} answer, each to the host, to another and by name, in {:.1?}", began.elapsed());
        drop(services);
        let began = Instant::now();
        for (id, _) in ids {
            network.send(Detach { id }).await.unwrap();
        }
        println!("{COUNT} detached in {:.1?}", began.elapsed());
        let left = || sh("ip -o link | grep -c '@' || true").trim().parse::<usize>().unwrap();
        // The kernel takes them away one by one; a close would not wait so long.
        let deadline = Instant::now() + 10 * patience();
        while left() > 1 {
            assert!(Instant::now() < deadline, "{} links are there yet", left());
            tokio::time::sleep(Duration::from_millis(200)).await;
        }
        println!("and gone {:.1?} after that began", began.elapsed());
        world.stop(network, "gantry0").await;
    });
}
