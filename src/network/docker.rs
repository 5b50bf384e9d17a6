//! Docker's chain for others: where it is there, and we are to ask, rules of ours stand in `DOCKER-USER`, which Docker asks
//! first (docs.docker.com, "Packet filtering and firewalls").
//!
//! They are known by their comment, so whoever comes after a crash finds them without a journal.

use std::io;

use super::names::LinkNames;
use super::nfnl::{self, Nfnl, Request, Verb};
use super::{foreign, wrong};
use crate::refusal::Refusal;

/// The table `filter`, of `ip` and of `ip6`, and the chain in it that Docker leaves to others.
pub const CHAIN: (&str, &str) = ("filter", "DOCKER-USER");

/// The comment of our rules in others' chains.
fn comment(bridge: &str) -> String {
    format!("gantry {bridge}")
}

/// Whether our leave is missing in Docker's chain of that family. What is left of one is taken away: it comes back whole.
pub fn lacks_leave(nfnl: &mut Nfnl, family: u8, bridge: &str) -> io::Result<bool> {
    let mut there = false;
    nfnl.dump(Verb::GetChain.kind(), family, &[], |chain| {
        let is = |kind, name: &str| chain.text(kind) == Some(name.as_bytes());
        there |= is(foreign::CHAIN.0, CHAIN.0) && is(foreign::CHAIN.1, CHAIN.1);
    })?;
    if !there {
        return Ok(false);
    }
    let lacks = own_rules(nfnl, family, bridge)?.len() != leave(family, bridge).lines().count();
    if lacks {
        remove(nfnl, family, bridge)?;
    }
    Ok(lacks)
}

/// Our rules in Docker's chain.
fn own_rules(nfnl: &mut Nfnl, family: u8, bridge: &str) -> io::Result<Vec<foreign::Rule>> {
    let own = comment(bridge);
    let mut rules = foreign::rules(nfnl, family, CHAIN.0)?;
    rules.retain(|rule| rule.chain == CHAIN.1 && rule.comment == own);
    Ok(rules)
}

/// What lets through Docker's chain what comes from our bridges or goes there. What does may still be dropped, by our own
/// rules. (As iptables can show it: it refuses to touch a chain with anything else.)
pub fn leave(family: u8, bridge: &str) -> String {
    let ((table, chain), family) = (CHAIN, foreign::name_of(family));
    let names = [bridge.to_owned(), format!("{}*", LinkNames::new(bridge).prefix())];
    let both = names.iter().flat_map(|name| ["iifname", "oifname"].map(|which| (which, name)));
    let rule = |(which, name): (&str, &String)| {
        let comment = comment(bridge);
        format!("insert rule {family} {table} {chain} {which} \"{name}\" counter accept comment \"{comment}\"\n")
    };
    both.map(rule).collect()
}

/// Takes our leave out of Docker's chain, and says whether it was there. Blocks.
pub fn withdraw(bridge: &str) -> Result<bool, Refusal> {
    let done = Nfnl::open().and_then(|mut nfnl| {
        let [v4, v6] = nfnl::IP.map(|family| remove(&mut nfnl, family, bridge));
        Ok(v4? | v6?)
    });
    done.map_err(|error| wrong("gantry's rules in the chain DOCKER-USER", &error))
}

fn remove(nfnl: &mut Nfnl, family: u8, bridge: &str) -> io::Result<bool> {
    let requests: Vec<_> = own_rules(nfnl, family, bridge)?
        .iter()
        .map(|rule| {
            let mut attributes = Vec::new();
            nfnl::text(&mut attributes, foreign::RULE.0, CHAIN.0);
            nfnl::text(&mut attributes, foreign::RULE.1, CHAIN.1);
            nfnl::attribute(&mut attributes, foreign::RULE.2, &rule.handle);
            Request { verb: Verb::DeleteRule, family, flags: 0, attributes }
        })
        .collect();
    if requests.is_empty() { Ok(false) } else { nfnl.commit(&requests).map(|()| true) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_leave_names_our_bridges_and_no_others() {
        let text = leave(nfnl::IP[0], "gantry0");
        assert_eq!(text.lines().count(), 4);
        assert!(text.contains("iifname \"gantry0\" counter accept comment \"gantry gantry0\""), "{text}");
        assert!(text.contains("oifname \"gantry0.*\""), "{text}");
        assert!(leave(nfnl::IP[1], "gantry0").lines().all(|line| line.starts_with("insert rule ip6 filter ")));
    }
}
