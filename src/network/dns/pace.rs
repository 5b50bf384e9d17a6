//! How much of everything is served: questions in a time, and how many wait at once. So that a flood of questions costs
//! little of the daemon's thread, and one container's flood little of the others' answers.

use std::cell::{Cell, RefCell};
use std::collections::HashMap;
use std::net::Ipv4Addr;
use std::rc::Rc;
use std::time::{Duration, Instant};

/// One question each so long, after a burst. (The generic cell rate algorithm: a meter is one instant.)
#[derive(Debug)]
pub struct Meter {
    /// Each question's worth.
    each: Duration,
    /// How far ahead of the time a burst may run.
    burst: Duration,
    /// When all that was served will have been paid for.
    paid: Cell<Instant>,
}

impl Meter {
    /// A meter that lets `burst` questions through at once, and one more `each` so long.
    pub fn new(burst: u32, each: Duration) -> Self {
        Self { each, burst: each * burst, paid: Cell::new(Instant::now()) }
    }

    /// How long to wait for the next question; zero where it may come at once.
    pub fn wait(&self, now: Instant) -> Duration {
        (self.paid.get() + self.each).saturating_duration_since(now + self.burst)
    }

    /// Counts a question.
    pub fn count(&self, now: Instant) {
        self.paid.set(self.paid.get().max(now) + self.each);
    }

    /// Counts a question where one may come; false where it may not.
    pub fn admit(&self, now: Instant) -> bool {
        let may = self.wait(now).is_zero();
        if may {
            self.count(now);
        }
        may
    }
}

/// A meter for each asker. There are a fixed number of them, so some askers share one.
#[derive(Debug)]
pub struct Meters(Box<[Meter]>);

impl Meters {
    /// How many there are: a power of two.
    const COUNT: usize = 256;

    /// Meters like [`Meter::new`].
    pub fn new(burst: u32, each: Duration) -> Self {
        Self((0..Self::COUNT).map(|_| Meter::new(burst, each)).collect())
    }

    /// Counts a question of `asker` where one may come.
    pub fn admit(&self, asker: Ipv4Addr, now: Instant) -> bool {
        let index = asker.to_bits() as usize % Self::COUNT;
        self.0.get(index).is_some_and(|meter| meter.admit(now))
    }
}

/// Places of which there are so many, and for each asker fewer. Cheap to clone.
#[derive(Clone, Debug)]
pub struct Places {
    all: usize,
    each: usize,
    taken: Rc<RefCell<Taken>>,
}

#[derive(Debug, Default)]
struct Taken {
    all: usize,
    by: HashMap<Ipv4Addr, usize>,
}

/// One of them; free again when it is dropped.
#[derive(Debug)]
pub struct Place {
    taken: Rc<RefCell<Taken>>,
    asker: Ipv4Addr,
}

impl Places {
    /// `all` of them, and `each` for one asker.
    pub fn new(all: usize, each: usize) -> Self {
        Self { all, each, taken: Rc::default() }
    }

    /// One for `asker`, if there is one.
    pub fn take(&self, asker: Ipv4Addr) -> Option<Place> {
        let mut taken = self.taken.borrow_mut();
        if taken.all >= self.all || taken.by.get(&asker).is_some_and(|count| *count >= self.each) {
            return None;
        }
        taken.all += 1;
        *taken.by.entry(asker).or_default() += 1;
        Some(Place { taken: self.taken.clone(), asker })
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        let mut taken = self.taken.borrow_mut();
        taken.all -= 1;
        if let Some(count) = taken.by.get_mut(&self.asker) {
            *count -= 1;
            if *count == 0 {
                taken.by.remove(&self.asker);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_burst_goes_through_and_then_one_at_a_time() {
        let (meter, now) = (Meter::new(3, Duration::from_millis(10)), Instant::now());
        assert_eq!([(); 5].map(|()| meter.admit(now)), [true, true, true, false, false]);
        assert_eq!(meter.wait(now), Duration::from_millis(10));
        let later = now + Duration::from_millis(10);
        assert_eq!([(); 2].map(|()| meter.admit(later)), [true, false]);
        let much_later = now + Duration::from_secs(10);
        assert_eq!(
            [(); 4].map(|()| meter.admit(much_later)),
            [true, true, true, false],
            "what is not used is not saved"
        );
    }

    #[test]
    fn one_asker_leaves_the_others_theirs() {
        let (meters, now) = (Meters::new(2, Duration::from_secs(1)), Instant::now());
        let [one, other] = [1, 2].map(|last| Ipv4Addr::new(10, 0, 0, last));
        assert_eq!([one, one, one, other].map(|asker| meters.admit(asker, now)), [true, true, false, true]);
        let places = Places::new(3, 2);
        let mut had: Vec<_> = [one, one, one, other, other].map(|asker| places.take(asker)).into_iter().collect();
        assert_eq!(had.iter().map(Option::is_some).collect::<Vec<_>>(), [true, true, false, true, false]);
        had.clear();
        assert!(places.take(one).is_some() && places.taken.borrow().by.is_empty());
    }
}
