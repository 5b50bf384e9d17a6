//! What is for a group: it goes to all of the network. Reports of who is in which go to nobody.

use std::net::{Ipv4Addr, Ipv6Addr, UdpSocket};
use std::path::Path;
use std::rc::Rc;

use super::world::*;

const GROUP: Ipv4Addr = Ipv4Addr::new(239, 4, 4, 2);
const GROUP6: Ipv6Addr = Ipv6Addr::new(0xff05, 0, 0, 0, 0, 0, 4, 2);

/// A member of both groups, at a port of each family.
fn member(netns: &Path) -> [UdpSocket; 2] {
    inside(netns, || {
        let (v4, v6) = (UdpSocket::bind("0.0.0.0:4442").unwrap(), UdpSocket::bind("[::]:4446").unwrap());
        v4.join_multicast_v4(&GROUP, &Ipv4Addr::UNSPECIFIED).unwrap();
        v6.join_multicast_v6(&GROUP6, 0).unwrap();
        [v4, v6].map(|socket| {
            socket.set_read_timeout(Some(patience())).unwrap();
            socket
        })
    })
}

/// How often the container has said which groups it is in.
fn reports(netns: &Path) -> u64 {
    let sent = inside(netns, || sh("awk '$1 == \"Icmp6OutMLDv2Reports\" { print $2 }' /proc/net/snmp6"));
    sent.trim().parse().unwrap()
}

#[test]
fn a_group_hears_what_is_for_it_and_nobody_who_is_in_it() {
    on_a_host_of_both(async |world: Rc<World>| {
        let network = world.start("gantry0").await.unwrap();
        let companion = || sh("nft list table bridge gantry0 2>/dev/null || echo none");
        let whole = companion();
        sh("nft flush ruleset");
        until("its rule is back", || companion() == whole).await;
        let (_, one) = attach(&network, "one", &[]).await.unwrap();
        let (_, two) = attach(&network, "two", &[]).await.unwrap();
        // Whatever comes from the other by IPv6.
        let [a, b, c, d] = two.ip.octets();
        inside(&one.netns, || {
            sh(&format!(
                "nft 'add table ip6 t; add chain ip6 t c {{ type filter hook prerouting priority 0; }}
                add rule ip6 t c ether saddr 02:42:{a:02x}:{b:02x}:{c:02x}:{d:02x} counter'"
            ))
        });
        let [v4, v6] = member(&one.netns);
        let other = member(&two.netns);
        let before = reports(&two.netns);
        drop(other);
        until("the other has said that it left", || reports(&two.netns) > before).await;
        assert!(inside(&two.netns, || !sh("ip -6 addr").contains("tentative")), "its addresses are good at once");
        inside(&two.netns, || {
            UdpSocket::bind("0.0.0.0:0").unwrap().send_to(b"four", (GROUP, 4442)).unwrap();
            UdpSocket::bind("[::]:0").unwrap().send_to(b"six", (GROUP6, 4446)).unwrap();
        });
        let mut buffer = [0; 8];
        assert_eq!(v4.recv_from(&mut buffer).unwrap().1.ip(), two.ip);
        assert_eq!(v6.recv_from(&mut buffer).unwrap().1.ip(), two.six().0);
        let heard = inside(&one.netns, || sh("nft list table ip6 t"));
        assert!(heard.contains("packets 1 "), "the one datagram: {heard}");
        drop((v4, v6));
        world.stop(network, "gantry0").await;
    });
}

#[test]
fn a_table_of_somebody_elses_is_done_without_and_left_alone() {
    on_a_host_of_both(async |world: Rc<World>| {
        sh("nft add table bridge gantry0");
        let theirs = || sh("nft list table bridge gantry0");
        let before = theirs();
        let network = world.start("gantry0").await.unwrap();
        let (_, one) = attach(&network, "one", &["8080:80"]).await.unwrap();
        let service = Service::new(&one.netns, (Ipv6Addr::UNSPECIFIED, 80), "one");
        let ours = || sh("nft list table inet gantry0 2>/dev/null || echo none");
        let whole = ours();
        sh("nft delete table inet gantry0");
        until("the table is back", || ours() == whole).await;
        assert!(ask_tcp(&world.neighbour, HOST6, 8080, patience()).is_ok());
        drop(service);
        world.stop(network, "gantry0").await;
        assert_eq!(theirs(), before);
        sh("nft delete table bridge gantry0");
    });
}
