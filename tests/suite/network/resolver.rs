//! The name server on the bridge, and who is answered by it.

use std::net::{Ipv4Addr, TcpListener, UdpSocket};
use std::path::Path;
use std::rc::Rc;
use std::time::Duration;

use gantry::network::Detach;

use super::world::*;
use crate::dns::{self, Told};

/// Asks beside this thread, which is the server's too.
async fn ask(
    from: &Path,
    server: (Ipv4Addr, u16),
    name: &'static str,
    rtype: &'static str,
    patience: Duration,
) -> Option<Told> {
    let from = from.to_path_buf();
    tokio::task::spawn_blocking(move || dns::ask(&from, server, name, rtype, patience).ok()).await.unwrap()
}

async fn answer(from: &Path, server: Ipv4Addr, name: &'static str, rtype: &'static str) -> String {
    ask(from, (server, 53), name, rtype, patience()).await.expect("an answer").one().to_owned()
}

#[test]
fn names_come_and_go_with_their_containers() {
    on_a_host(async |world: Rc<World>| {
        let network = world.start("gantry0").await.unwrap();
        let (_, job) = attach(&network, "job", &[]).await.unwrap();
        let (from, gateway) = (job.netns.as_path(), job.gateway);
        assert_eq!(answer(from, gateway, "web.", "A").await, "NXDOMAIN");
        let (id, web) = attach(&network, "web:v1", &[]).await.unwrap();
        for name in ["web.", "WEB.", "v1.web.", "V1.Web."] {
            assert_eq!(answer(from, gateway, name, "A").await, web.ip.to_string(), "{name}");
        }
        assert_eq!(answer(from, gateway, "web.", "AAAA").await, "NOERROR");
        let reverse = web.ip.octets();
        let reverse = format!("{}.{}.{}.{}.in-addr.arpa.", reverse[3], reverse[2], reverse[1], reverse[0]);
        assert_eq!(answer(from, gateway, reverse.clone().leak(), "PTR").await, "v1.web");
        let (_, second) = attach(&network, "web:v2", &[]).await.unwrap();
        let mut first_of = Vec::new();
        for _ in 0..4 {
            let told = ask(from, (gateway, 53), "web.", "A", patience()).await.unwrap();
            assert_eq!(told.data.len(), 2);
            first_of.push(told.data[0].clone());
        }
        let [one, two] = [&web, &second].map(|attachment| attachment.ip.to_string());
        assert_eq!(first_of, [one.clone(), two.clone(), one, two.clone()], "in turn");
        let by_tcp = {
            let from = from.to_path_buf();
            tokio::task::spawn_blocking(move || dns::ask_by_tcp(&from, (gateway, 53), "v2.web.", "A")).await.unwrap()
        };
        assert_eq!(by_tcp.unwrap().one(), two);
        network.send(Detach { id }).await.unwrap();
        assert_eq!(answer(from, gateway, "web.", "A").await, two);
        assert_eq!(answer(from, gateway, reverse.leak(), "PTR").await, "NXDOMAIN");
        world.stop(network, "gantry0").await;
    });
}

#[test]
fn a_server_of_the_host_on_port_53_and_ours_do_not_meet() {
    on_a_host(async |world: Rc<World>| {
        let datagrams = UdpSocket::bind("0.0.0.0:53").unwrap();
        let listener = TcpListener::bind("0.0.0.0:53").unwrap();
        let network = world.start("gantry0").await.unwrap();
        let (_, web) = attach(&network, "web", &[]).await.unwrap();
        assert_eq!(answer(&web.netns, web.gateway, "web.", "A").await, web.ip.to_string());
        datagrams.set_nonblocking(true).unwrap();
        assert!(datagrams.recv(&mut [0; 512]).is_err(), "it is not asked");
        // Nor is a published port 53 in the way, nor is it hidden from others.
        end(listener);
        drop(datagrams);
        let (_, dns) = attach(&network, "dns", &["53:53", "53:53/udp"]).await.unwrap();
        assert_eq!(answer(&web.netns, web.gateway, "dns.", "A").await, dns.ip.to_string());
        let service = Service::new(&dns.netns, (Ipv4Addr::UNSPECIFIED, 53), "dns");
        assert!(ask_udp(&world.neighbour, HOST, 53).unwrap().starts_with("dns "));
        assert!(ask_udp(&web.netns, HOST, 53).unwrap().starts_with("dns "));
        drop(service);
        world.stop(network, "gantry0").await;
    });
}

#[test]
fn only_containers_of_the_network_are_answered() {
    on_a_host(async |world: Rc<World>| {
        let one = world.start("gantry0").await.unwrap();
        let two = world.start("gantry1").await.unwrap();
        let (_, web) = attach(&one, "web", &[]).await.unwrap();
        let (_, other) = attach(&two, "other", &[]).await.unwrap();
        assert_eq!(answer(&web.netns, web.gateway, "web.", "A").await, web.ip.to_string());
        assert_eq!(answer(&other.netns, other.gateway, "web.", "A").await, "NXDOMAIN", "it is of another network");
        // Where it listens in truth.
        let map = sh("nft list map inet gantry0 resolvers");
        let udp = map.split("udp : ").nth(1).and_then(|rest| rest.split(" . ").nth(1)).unwrap();
        let port: u16 = udp.split([',', ' ', '\n']).next().unwrap().parse().unwrap();
        for (who, from) in
            [("a neighbour", &world.neighbour), ("the host", &world.here), ("another network", &other.netns)]
        {
            for at in [port, 53] {
                let told = ask(from, (web.gateway, at), "web.", "A", impatience()).await;
                assert_eq!(told, None, "{who} at {at}");
            }
        }
        let told = ask(&web.netns, (web.gateway, port), "web.", "A", patience()).await;
        assert!(told.is_some(), "the port is right");
        world.stop(two, "gantry1").await;
        world.stop(one, "gantry0").await;
    });
}
