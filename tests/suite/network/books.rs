//! Attaching and detaching: addresses and ports are had by one at a time, and are free again at once.

use std::net::{Ipv4Addr, TcpListener, UdpSocket};
use std::rc::Rc;

use gantry::config::Config;
use gantry::events::Bus;
use gantry::id::ContainerId;
use gantry::network::{Attach, Before, Detach, List, Network};
use gantry::refusal::Code;
use gantry::tools::Tools;

use super::world::*;

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
        end(process);
        drop(datagrams);
        let (first, _) = attach(&network, "first:v1", &["8080:80"]).await.unwrap();
        let refusal = attach(&network, "second", &["8081:80", "127.0.0.1:8080:80"]).await.unwrap_err();
        assert!(refusal.code() == Code::InUse && refusal.message().contains("first:v1"), "{refusal}");
        assert!(!is_free(8080), "nor can a process have it");
        assert!(is_free(8081), "a refused attempt keeps no port");
        network.send(Detach { id: first.clone() }).await.unwrap();
        network.send(Detach { id: first }).await.unwrap();
        assert!(is_free(8080), "free when the detach is answered");
        let (_, again) = attach(&network, "again", &["8080:80"]).await.unwrap();
        let service = Service::new(&again.netns, (Ipv4Addr::UNSPECIFIED, 80), "again");
        assert!(ask_tcp(&world.neighbour, HOST, 8080, patience()).unwrap().starts_with("again"));
        drop(service);
        world.stop(network, "gantry0").await;
    });
}

#[test]
fn what_it_had_it_can_have_again() {
    on_a_host(async |world: Rc<World>| {
        let network = world.start("gantry0").await.unwrap();
        let (id, first) = attach(&network, "web", &["80", "8053:53/udp"]).await.unwrap();
        network.send(Detach { id: id.clone() }).await.unwrap();
        let before =
            Some(Before { addresses: vec![(gantry::id::NetworkName::bridge(), first.ip)], ports: first.ports.clone() });
        let attach_again = |before| Attach { before, ..request(&id, "web", &["80", "8053:53/udp"]) };
        let again = network.send(attach_again(before.clone())).await.unwrap().unwrap();
        assert_eq!(again.first().map(|endpoint| endpoint.ip), Some(first.ip));
        assert_eq!(again.ports, first.ports);
        let moved = attach(&network, "other", &["80"]).await.unwrap().1;
        assert!(moved.ip != first.ip && moved.ports != first.ports[..1]);
        network.send(Detach { id: id.clone() }).await.unwrap();
        // Taken meanwhile: another will do, for whoever asked for none by number.
        let process = TcpListener::bind(("0.0.0.0", first.ports[0].host)).unwrap();
        let third = network.send(attach_again(before)).await.unwrap().unwrap();
        assert!(third.ports[0].host != first.ports[0].host && third.ports[1] == first.ports[1], "{third:?}");
        end(process);
        world.stop(network, "gantry0").await;
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
        let distinct = |of: fn(&Place) -> String| {
            let mut values: Vec<_> = all.iter().map(|(_, attachment)| of(attachment)).collect();
            values.sort();
            values.dedup();
            values.len()
        };
        assert_eq!(distinct(|a| a.ip.to_string()), 50);
        assert_eq!(distinct(|a| a.link.clone()), 50);
        assert_eq!(distinct(|a| a.ports[0].host.to_string()), 50);
        let rows = network.send(List).await.unwrap();
        assert_eq!((rows[0].name.as_str(), rows[0].containers.len()), ("bridge", 50));
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
        assert!(ask_tcp(&world.neighbour, HOST, 20999, patience()).is_ok());
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
fn an_address_asked_for_is_had_by_one_and_free_again_at_once() {
    on_a_host(async |world: Rc<World>| {
        let network = world.start("gantry0").await.unwrap();
        let wanted = Ipv4Addr::new(10, 67, 0, 9);
        for round in 0..5 {
            let (id, web) = attach_to(&network, "web", &[], Some(wanted), &[]).await.unwrap();
            assert_eq!(web.ip, wanted);
            let refusal = attach_to(&network, "other", &[], Some(wanted), &[]).await.unwrap_err();
            assert!(refusal.code() == Code::InUse && refusal.message().contains("web:latest"), "{round}: {refusal}");
            // Its link is about to vanish when this is answered: the next one waits for that.
            network.send(Detach { id }).await.unwrap();
        }
        for outside in ["10.67.0.1", "10.67.255.255", "10.68.0.2", "127.0.0.1"] {
            let refused = attach_to(&network, "web", &[], outside.parse().ok(), &[]).await;
            assert_eq!(code(refused), Code::BadValue, "{outside}");
        }
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
fn a_container_is_detached_while_it_is_being_attached() {
    on_a_host(async |world: Rc<World>| {
        let network = world.start("gantry0").await.unwrap();
        let id = ContainerId::random().unwrap();
        let message = |id: &ContainerId| request(id, "web", &["8080:80"]);
        let (attached, twice, (), ()) = futures::join!(
            async { network.send(message(&id)).await.unwrap() },
            async { network.send(message(&id)).await.unwrap() },
            async { network.send(Detach { id: id.clone() }).await.unwrap() },
            async { network.send(Detach { id: id.clone() }).await.unwrap() },
        );
        assert_eq!(code(attached), Code::Cancelled);
        assert_eq!(code(twice), Code::Internal);
        assert!(is_free(8080));
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
