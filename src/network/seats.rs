//! Seats on the bridge: an address and a port of the bridge each. A seat is free again when the link that had it has
//! vanished from the host, not when its container has ended.

use std::cell::RefCell;
use std::net::Ipv4Addr;
use std::rc::Rc;
use std::sync::Arc;
use std::time::Duration;

use tokio::sync::{OwnedSemaphorePermit, Semaphore};

use super::bridge::PORTS_MAX;
use super::pool::Pool;
use crate::config::Subnet;
use crate::refusal::Refusal;

/// How long a seat is waited for that is about to be free.
const WAIT_MAX: Duration = Duration::from_secs(5);

/// All seats of one bridge.
pub struct Seats {
    pool: Rc<RefCell<Pool>>,
    permits: Arc<Semaphore>,
    count: usize,
}

/// One of them; free again when it is dropped.
pub struct Seat {
    ip: Ipv4Addr,
    pool: Rc<RefCell<Pool>>,
    /// Released after the address, so that whoever has a permit finds an address.
    _permit: OwnedSemaphorePermit,
}

impl Seats {
    /// As many as the bridge takes links and `subnet` has addresses.
    pub fn new(subnet: Subnet) -> Self {
        let pool = Pool::new(subnet);
        let count = pool.capacity().min(PORTS_MAX);
        Self { pool: Rc::new(RefCell::new(pool)), permits: Arc::new(Semaphore::new(count)), count }
    }

    /// A free seat, with the address `before` where that is free. Where there is none and `some_are_leaving`, one of those is waited for.
    pub fn take(
        &self,
        before: Option<Ipv4Addr>,
        some_are_leaving: bool,
    ) -> impl Future<Output = Result<Seat, Refusal>> + use<> {
        let (pool, permits, count) = (self.pool.clone(), self.permits.clone(), self.count);
        async move {
            let full = || Refusal::busy(format_args!("all {count} places on the network are taken"));
            let permit = match permits.clone().try_acquire_owned() {
                Ok(permit) => permit,
                Err(_) if !some_are_leaving => return Err(full()),
                Err(_) => {
                    let wait = tokio::time::timeout(WAIT_MAX, permits.acquire_owned()).await;
                    wait.ok().and_then(Result::ok).ok_or_else(full)?
                }
            };
            let again = before.filter(|ip| pool.borrow_mut().take_again(*ip));
            let ip = again.or_else(|| pool.borrow_mut().take()).ok_or_else(full)?;
            Ok(Seat { ip, pool, _permit: permit })
        }
    }
}

impl Seat {
    /// Its address.
    pub fn ip(&self) -> Ipv4Addr {
        self.ip
    }
}

impl Drop for Seat {
    fn drop(&mut self) {
        self.pool.borrow_mut().give_back(self.ip);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::refusal::Code;

    #[actix::test]
    async fn the_last_seat_is_told_and_a_leaving_one_is_waited_for() {
        let seats = Seats::new("10.0.0.0/29".parse().unwrap());
        let mut taken = Vec::new();
        for _ in 0..5 {
            taken.push(seats.take(None, false).await.unwrap());
        }
        assert_eq!(seats.take(None, false).await.err().unwrap().code(), Code::Busy);
        let (waited, ()) = futures::join!(seats.take(None, true), async { drop(taken.swap_remove(2)) });
        assert_eq!(waited.unwrap().ip(), Ipv4Addr::new(10, 0, 0, 4));
    }
}
