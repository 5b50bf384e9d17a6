//! What the kernel tells of rules, pure: whether somebody took our table away, or some of what stands in it.
//!
//! A transaction's notices come in its order, closed by `NFT_MSG_NEWGEN`
//! (`nf_tables_commit_notify` in the kernel's `net/netfilter/nf_tables_api.c`).

use super::nfread::{Message, messages_of};
use super::{foreign, nfnl, rules};

/// `NFT_MSG_NEWTABLE`, and those that say that a table, a chain, a rule or a set is gone.
const NEW_TABLE: u8 = 0;
const GONE: [u8; 4] = [2, 5, 8, 11];
/// `NFT_MSG_NEWCHAIN`.
const NEW_CHAIN: u8 = 3;
/// `NFT_MSG_NEWGEN`: the transaction's end.
const END: u8 = 15;
/// The attribute that says the table, the same in all of these messages, and that of a chain's and of a rule's name.
const TABLE: u16 = 1;
const CHAIN_NAMES: (u16, u16) = (3, 2);

/// What a datagram of notices means to us.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Meaning {
    /// What we need of our table may be gone.
    pub damaged: bool,
    /// A chain of others' that is asked about what is ours was made or changed; or that in which we ask another firewall for
    /// its leave was made, or rules in it are gone.
    pub foreign: bool,
}

/// What was heard of the transaction that is being told.
#[derive(Debug)]
pub struct Watch {
    /// The table `inet NAME`.
    table: String,
    /// It has its companion `bridge NAME` ([`rules::quiet`]).
    quiet: bool,
    /// A chain of others' whose rules matter to us: its table `ip NAME` or `ip6 NAME`, and its name.
    chain: (&'static str, &'static str),
    torn: bool,
    made: bool,
    foreign: bool,
    /// How many transactions of our own are under way that replace the table whole.
    own: u32,
}

impl Watch {
    /// Of the table `inet TABLE` with its companion, if it has that, and of `chain` of another.
    pub fn over(table: &str, quiet: bool, chain: (&'static str, &'static str)) -> Self {
        Self { table: table.to_owned(), quiet, chain, torn: false, made: false, foreign: false, own: 0 }
    }

    /// We are about to replace the table whole.
    pub fn expect(&mut self) {
        self.own += 1;
    }

    /// That came to nothing.
    pub fn expect_no_more(&mut self) {
        self.own = self.own.saturating_sub(1);
    }

    /// Some notices were lost: of what is under way nothing is known but what we are about to do ourselves. (Of a table with
    /// thousands of ports that may be what was lost.)
    pub fn lost(&mut self) {
        *self = Self { own: self.own, ..Self::over(&self.table, self.quiet, self.chain) };
    }

    /// Hears a datagram, and says what came of the transactions that end in it.
    pub fn hear(&mut self, datagram: &[u8]) -> Meaning {
        let mut meaning = Meaning::default();
        for message in messages_of(datagram).filter(|message| message.whole.get(5) == Some(&(nfnl::SUBSYSTEM as u8))) {
            match message.verb {
                END => {
                    let ended = self.end();
                    meaning.damaged |= ended.damaged;
                    meaning.foreign |= ended.foreign;
                }
                _ => self.note(&message),
            }
        }
        meaning
    }

    fn note(&mut self, message: &Message<'_>) {
        let is = |kind: u16, name: &str| message.text(kind).is_some_and(|text| text == name.as_bytes());
        let families: &[u8] = if self.quiet { &[nfnl::INET, nfnl::BRIDGE] } else { &[nfnl::INET] };
        if families.contains(&message.family) && is(TABLE, &self.table) {
            self.torn |= GONE.contains(&message.verb);
            self.made |= message.verb == NEW_TABLE && message.comment() == rules::COMMENT;
            return;
        }
        self.foreign |= message.verb == NEW_CHAIN && foreign::hook(message).is_some();
        let (table, chain) = self.chain;
        let named = match message.verb {
            NEW_CHAIN => CHAIN_NAMES.0,
            verb if GONE.contains(&verb) => CHAIN_NAMES.1,
            _ => return,
        };
        self.foreign |= nfnl::IP.contains(&message.family) && is(TABLE, table) && is(named, chain);
    }

    /// Whoever takes the table away and puts one of ours in its place is ourselves, where we are about to; else it is
    /// somebody who restores rules that he once saved, and with them what was published then.
    fn end(&mut self) -> Meaning {
        let replaced = self.torn && self.made && self.own > 0;
        if replaced {
            self.own -= 1;
        }
        let meaning = Meaning { damaged: self.torn && !replaced, foreign: self.foreign };
        (self.torn, self.made, self.foreign) = (false, false, false);
        meaning
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn told(verb: u8, family: u8, texts: &[(u16, &str)]) -> Vec<u8> {
        let mut attributes = Vec::new();
        for (kind, value) in texts {
            nfnl::text(&mut attributes, *kind, value);
        }
        if verb == NEW_TABLE {
            nfnl::attribute(&mut attributes, 6, &[&[0, 7][..], b"gantry\0"].concat());
        }
        let mut message = ((20 + attributes.len()) as u32).to_ne_bytes().to_vec();
        message.extend([verb, 10, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, family, 0, 0, 0]);
        message.extend(attributes);
        message
    }

    fn end() -> Vec<u8> {
        told(END, 0, &[])
    }

    #[test]
    fn what_is_taken_from_our_table_is_damage_and_nothing_else() {
        let mut watch = Watch::over("gantry0", true, ("filter", "DOCKER-USER"));
        let mut hears = |parts: &[Vec<u8>]| watch.hear(&parts.concat());
        for verb in GONE {
            assert!(hears(&[told(verb, 1, &[(1, "gantry0")]), end()]).damaged, "{verb}");
            assert!(!hears(&[told(verb, 1, &[(1, "gantry01")]), end()]).damaged, "another's table");
            assert!(!hears(&[told(verb, 2, &[(1, "gantry0")]), end()]).damaged, "another family's");
        }
        assert!(hears(&[told(2, 7, &[(1, "gantry0")]), end()]).damaged, "its companion is part of it");
        assert!(!hears(&[told(14, 1, &[(1, "gantry0")]), end()]).damaged, "elements come and go");
        assert!(!hears(&[told(2, 1, &[(1, "gantry0")])]).damaged, "the transaction goes on");
        assert!(hears(&[end()]).damaged);
        assert!(!hears(&[end()]).damaged);
    }

    #[test]
    fn our_own_replacement_is_no_damage_and_somebody_elses_is() {
        let mut watch = Watch::over("gantry0", true, ("filter", "DOCKER-USER"));
        let replaced = [told(2, 1, &[(1, "gantry0")]), told(0, 1, &[(1, "gantry0")]), end()].concat();
        assert!(watch.hear(&replaced).damaged, "an older one was restored");
        watch.expect();
        assert!(watch.hear(&[told(2, 1, &[(1, "gantry0")]), end()].concat()).damaged, "gone meanwhile");
        assert!(!watch.hear(&replaced).damaged);
        assert!(watch.hear(&replaced).damaged, "but once");
        watch.expect();
        watch.lost();
        assert!(!watch.hear(&replaced).damaged, "what is heard behind a gap may be ours all the same");
    }

    #[test]
    fn another_firewalls_chain_is_known() {
        let mut watch = Watch::over("gantry0", true, ("filter", "DOCKER-USER"));
        let made = |family: u8, chain: &str| [told(3, family, &[(1, "filter"), (3, chain)]), end()].concat();
        assert!(watch.hear(&made(2, "DOCKER-USER")).foreign && watch.hear(&made(10, "DOCKER-USER")).foreign);
        assert!(!watch.hear(&made(1, "DOCKER-USER")).foreign && !watch.hear(&made(2, "FORWARD")).foreign);
        assert!(watch.hear(&[told(8, 2, &[(1, "filter"), (2, "DOCKER-USER")]), end()].concat()).foreign);
        // A chain on a hook where what is ours passes: with the number of that, whoever it is of but ourselves.
        let mut on = |table: &str, hook: u8| {
            let mut chain = told(3, 1, &[(1, table), (3, "any")]);
            let mut number = Vec::new();
            nfnl::attribute(&mut number, 1, &[0, 0, 0, hook]);
            nfnl::nest(&mut chain, 4, &number);
            let length = (chain.len() as u32).to_ne_bytes();
            chain[..4].copy_from_slice(&length);
            watch.hear(&[chain, end()].concat()).foreign
        };
        assert!(on("mine", 1) && on("mine", 2));
        assert!(!on("mine", 0) && !on("gantry0", 2));
    }

    #[test]
    fn torn_notices_are_no_panic() {
        let mut watch = Watch::over("gantry0", true, ("filter", "DOCKER-USER"));
        let whole = told(2, 1, &[(1, "gantry0")]);
        for length in 0..whole.len() {
            assert_eq!(watch.hear(&whole[..length]), Meaning::default());
        }
        assert_eq!(watch.hear(&[255; 64]), Meaning::default());
    }
}
