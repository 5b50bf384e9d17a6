//! The supervisor's own beginning and succession: one that panics leaves its books to the next, who holds them against the
//! containers that are there.

use std::cell::OnceCell;
use std::collections::{BTreeMap, HashMap};
use std::rc::Rc;

use actix::prelude::*;
use tokio::sync::mpsc;

use super::departed::Departed;
use super::{Grounds, Supervisor};
use crate::container::Word;
use crate::container::seccomp::Profiles;
use crate::events::{Bus, Kind};
use crate::link::{self, Post};
use crate::undo::Ground;

impl Supervisor {
    /// Begins to make containers on `grounds`.
    pub fn begin(grounds: Grounds, ground: Ground, bus: Bus) -> Post<Self> {
        let place = Rc::new(OnceCell::<Post<Self>>::new());
        let known = place.clone();
        // What a dead one is told is found by its successor.
        let keeper = Rc::new(move |word: Word| {
            if let Some(post) = known.get() {
                post.holder().do_send(word);
            }
        });
        let (fallen, falls) = mpsc::unbounded_channel();
        let first = Self {
            grounds: Rc::new(grounds),
            ground,
            bus,
            keeper,
            names: BTreeMap::new(),
            wards: HashMap::new(),
            departed: Departed::default(),
            profiles: Profiles::default(),
            closing: false,
            closers: Vec::new(),
            fallen: Some(fallen),
        };
        let (office, post) = Post::of(first.start());
        actix_rt::spawn(link::succeed(falls, office, async |mut next: Self, teller| {
            next.fallen = Some(teller);
            next.take_stock();
            next.bus.publish(Kind::Daemon, "supervisor", "recovered", Vec::new());
            next.start()
        }));
        // Empty until here.
        let _ = place.set(post.clone());
        post
    }

    /// Names are those of the containers that are there: what was being planned is known to nobody any more.
    fn take_stock(&mut self) {
        let named = self.wards.iter().filter(|(_, ward)| ward.has_name());
        self.names = named.map(|(id, ward)| (ward.child.view.borrow().name.clone(), id.clone())).collect();
    }

    /// Sees to those whose end was told to a predecessor that was dead.
    pub(super) fn look_after_all(&mut self, ctx: &mut Context<Self>) {
        let dead = self.wards.iter().filter(|(_, ward)| !ward.is_alive());
        let dead: Vec<_> = dead.map(|(id, ward)| (id.clone(), ward.has_ended())).collect();
        for (id, ended) in dead {
            if ended { self.forget(&id) } else { self.succeed(&id, ctx) }
        }
    }
}

impl Drop for Supervisor {
    fn drop(&mut self) {
        let Some(fallen) = self.fallen.take().filter(|_| std::thread::panicking()) else { return };
        let next = Self {
            grounds: self.grounds.clone(),
            ground: self.ground.clone(),
            bus: self.bus.clone(),
            keeper: self.keeper.clone(),
            names: BTreeMap::new(),
            wards: std::mem::take(&mut self.wards),
            departed: std::mem::take(&mut self.departed),
            profiles: self.profiles.clone(),
            closing: self.closing,
            closers: std::mem::take(&mut self.closers),
            fallen: None,
        };
        link::fall(&fallen, next);
    }
}
