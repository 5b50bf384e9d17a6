//! Who reaches whom, and who must not.

use std::net::Ipv4Addr;
use std::rc::Rc;

use gantry::network::counters;

use super::world::*;

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
        let answer = ask_tcp(path, ip, 8080, patience()).unwrap_or_else(|error| panic!("tcp from {who}: {error}"));
        assert!(answer.starts_with("web "), "{who}: {answer}");
        let answer = ask_udp(path, ip, 8080).unwrap_or_else(|error| panic!("udp from {who}: {error}"));
        assert!(answer.starts_with("web "), "{who}: {answer}");
    }
    assert_eq!(ask_tcp(&world.neighbour, HOST, 8080, patience()).unwrap(), format!("web {NEIGHBOUR}"));
    assert!(ask_tcp(host, LOCALHOST, 9090, patience()).is_ok());
    assert!(ask_tcp(&world.neighbour, HOST, 9090, impatience()).is_err(), "published on 127.0.0.1 alone");
    assert!(ask_tcp(&other.netns, web.ip, 80, patience()).is_ok(), "containers of a network see each other");
    assert!(ask_tcp(&world.neighbour, web.ip, 80, impatience()).is_err(), "what is not published is not routed in");
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
        assert!(ask_tcp(&world.neighbour, LOCALHOST, 9090, impatience()).is_err());
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
        assert_eq!(ask_tcp(&web.netns, NEIGHBOUR, 80, patience()).unwrap(), format!("outside {HOST}"));
        assert_eq!(ask_udp(&web.netns, NEIGHBOUR, 80).unwrap(), format!("outside {HOST}"));
        assert!(ask_tcp(&web.netns, web.gateway, 7778, patience()).is_ok(), "the host's public services are for all");
        let gateway = web.gateway;
        inside(&web.netns, || {
            sh(&format!(
                "echo 1 > /proc/sys/net/ipv4/conf/eth0/route_localnet
                ip route add 127.0.0.1/32 via {gateway} table 7
                ip rule add pref 0 lookup 7; ip rule del lookup local; ip rule add pref 9 lookup local"
            ));
        });
        assert!(ask_tcp(&web.netns, LOCALHOST, 7777, impatience()).is_err(), "the guard");
        drop((outside, private, open));
        let counted = counters(web.link.clone()).await.unwrap();
        assert!(counted.rx_bytes > 0 && counted.tx_bytes > 0, "{counted:?}");
        world.stop(network, "gantry0").await;
    });
}
