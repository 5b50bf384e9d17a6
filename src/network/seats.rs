//! Seats on a network: an address and a port of one of its bridges each. A seat is free again when the link that had it has
//! vanished from the host, not when its container has ended.

use std::cell::RefCell;
use std::net::Ipv4Addr;
use std::rc::Rc;
use std::sync::Arc;
use std::time::Duration;

use tokio::sync::{Notify, OwnedSemaphorePermit, Semaphore};

use super::growth::{BRIDGES_MAX, LINKS_MAX};
use super::pool::{Pool, Unfit};
use crate::config::Subnet;
use crate::refusal::Refusal;

/// How long a seat is waited for that is about to be free.
const WAIT_MAX: Duration = Duration::from_secs(10);

/// All seats of one network.
pub struct Seats {
    books: Rc<Books>,
    permits: Arc<Semaphore>,
    count: usize,
}

struct Books {
    /// How many links a bridge takes.
    links: usize,
    pool: RefCell<Pool>,
    /// Ports of the bridges that were had and are free again; beside them those from `ports.1` on.
    ports: RefCell<(Vec<u16>, u16)>,
    /// Told when a seat becomes free.
    freed: Notify,
}

/// One of them; free again when it is dropped.
pub struct Seat {
    ip: Ipv4Addr,
    port: u16,
    books: Rc<Books>,
    /// Released after the address, so that whoever has a permit finds an address.
    _permit: OwnedSemaphorePermit,
}

/// Which address a seat is to have.
#[derive(Clone, Copy, Debug)]
pub enum Wish {
    /// Any.
    Any,
    /// This one where nobody has it, else any.
    Again(Ipv4Addr),
    /// This one, which is about to be free, else any.
    Awaited(Ipv4Addr),
    /// This one.
    This(Ipv4Addr),
}

/// Why a seat cannot be had.
#[derive(Debug)]
pub enum Refused {
    /// Somebody has the address that was asked for.
    Held,
    /// Anything else, told already.
    Otherwise(Refusal),
}

impl Seats {
    /// As many as its bridges, of `links` links each, take together and `subnet` has addresses.
    pub fn new(subnet: Subnet, links: usize) -> Self {
        let pool = Pool::new(subnet);
        let count = pool.capacity().min(links * BRIDGES_MAX).min(LINKS_MAX);
        let books = Books { links, pool: RefCell::new(pool), ports: RefCell::default(), freed: Notify::new() };
        Self { books: Rc::new(books), permits: Arc::new(Semaphore::new(count)), count }
    }

    /// Whether `ip` is an address that a seat may have.
    pub fn holds(&self, ip: Ipv4Addr) -> bool {
        self.books.pool.borrow().holds(ip)
    }

    /// A free seat, as wished for. Where there is none and `some_are_leaving`, one of those is waited for.
    pub fn take(&self, wish: Wish, some_are_leaving: bool) -> impl Future<Output = Result<Seat, Refused>> + use<> {
        let (books, permits, count) = (self.books.clone(), self.permits.clone(), self.count);
        async move {
            let full =
                || Refused::Otherwise(Refusal::busy(format_args!("all {count} places on the network are taken")));
            let permit = match permits.clone().try_acquire_owned() {
                Ok(permit) => permit,
                Err(_) if !some_are_leaving => return Err(full()),
                Err(_) => {
                    let wait = tokio::time::timeout(WAIT_MAX, permits.acquire_owned()).await;
                    wait.ok().and_then(Result::ok).ok_or_else(full)?
                }
            };
            let ip = match wish {
                Wish::Any => books.pool.borrow_mut().take().ok_or_else(full)?,
                Wish::Again(ip) => books.pool.borrow_mut().take_again(ip).ok_or_else(full)?,
                Wish::Awaited(ip) => match books.take_this(ip, true).await {
                    Ok(ip) => ip,
                    Err(_) => books.pool.borrow_mut().take().ok_or_else(full)?,
                },
                Wish::This(ip) => books.take_this(ip, some_are_leaving).await?,
            };
            let port = books.take_port();
            Ok(Seat { ip, port, books, _permit: permit })
        }
    }
}

impl Books {
    async fn take_this(&self, ip: Ipv4Addr, some_are_leaving: bool) -> Result<Ipv4Addr, Refused> {
        let wait = async {
            loop {
                // Listened for before it is tried, so that nothing freed in between is missed.
                let freed = self.freed.notified();
                let taken = self.pool.borrow_mut().take_this(ip);
                match taken {
                    Err(Unfit::Given) if some_are_leaving => freed.await,
                    taken => return taken,
                }
            }
        };
        match tokio::time::timeout(WAIT_MAX, wait).await {
            Ok(Ok(ip)) => Ok(ip),
            Ok(Err(Unfit::Outside)) => Err(Refused::Otherwise(outside(ip))),
            Ok(Err(Unfit::Given)) | Err(_) => Err(Refused::Held),
        }
    }

    fn take_port(&self) -> u16 {
        let (free, next) = &mut *self.ports.borrow_mut();
        free.pop().unwrap_or_else(|| {
            *next += 1;
            *next - 1
        })
    }
}

/// An address that no container can have.
pub fn outside(ip: Ipv4Addr) -> Refusal {
    Refusal::bad_value(format_args!("ip={ip} is no address of the network that a container can have"))
}

impl Seat {
    /// Its address.
    pub fn ip(&self) -> Ipv4Addr {
        self.ip
    }

    /// Its port of the network's bridges: those of the first, and then of the next. Had by one at a time.
    pub fn port(&self) -> u16 {
        self.port
    }

    /// Which of its network's bridges it is on: 0 is the first.
    pub fn part(&self) -> usize {
        usize::from(self.port) / self.books.links
    }
}

impl Drop for Seat {
    fn drop(&mut self) {
        self.books.pool.borrow_mut().give_back(self.ip);
        self.books.ports.borrow_mut().0.push(self.port);
        self.books.freed.notify_waiters();
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::refusal::Code;

    #[actix::test]
    async fn the_last_seat_is_told_and_a_leaving_one_is_waited_for() {
        let seats = Seats::new("10.0.0.0/29".parse().unwrap(), 2);
        let mut taken = Vec::new();
        for _ in 0..5 {
            taken.push(seats.take(Wish::Any, false).await.unwrap());
        }
        assert_eq!(taken.iter().map(Seat::part).collect::<Vec<_>>(), [0, 0, 1, 1, 2]);
        let Err(Refused::Otherwise(refusal)) = seats.take(Wish::Any, false).await else { panic!("there is none") };
        assert_eq!(refusal.code(), Code::Busy);
        let (waited, ()) = futures::join!(seats.take(Wish::Any, true), async { drop(taken.swap_remove(2)) });
        assert_eq!(waited.unwrap().ip(), Ipv4Addr::new(10, 0, 0, 4));
    }

    #[actix::test]
    async fn a_certain_seat_is_waited_for_where_it_may_be_leaving() {
        let seats = Seats::new("10.0.0.0/29".parse().unwrap(), 1023);
        let ip = Ipv4Addr::new(10, 0, 0, 3);
        let wanted = Wish::This(ip);
        let held = seats.take(wanted, false).await.unwrap();
        assert!(matches!(seats.take(wanted, false).await, Err(Refused::Held)));
        let other = seats.take(Wish::Any, false).await.unwrap();
        assert_ne!(other.port(), held.port());
        let (waited, ()) = futures::join!(seats.take(wanted, true), async { drop((other, held)) });
        assert_eq!(waited.unwrap().ip(), ip);
        let outside = seats.take(Wish::This(Ipv4Addr::new(10, 0, 0, 1)), true).await;
        assert!(matches!(outside, Err(Refused::Otherwise(refusal)) if refusal.code() == Code::BadValue));
    }
}
