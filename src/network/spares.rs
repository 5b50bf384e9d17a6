//! A few network namespaces made ahead, so that a start need not wait for one.

use std::cell::RefCell;
use std::rc::Rc;

use super::netns::{Mould, Namespace};

/// The stock. Cheap to clone; one thread's.
#[derive(Clone)]
pub struct Spares(Rc<RefCell<Stock>>);

struct Stock {
    /// How many are kept.
    most: usize,
    mould: Mould,
    ready: Vec<Namespace>,
    filling: bool,
    closed: bool,
}

impl Spares {
    /// An empty stock of at most so many, made by `mould`.
    pub fn new(most: usize, mould: Mould) -> Self {
        Self(Rc::new(RefCell::new(Stock { most, mould, ready: Vec::new(), filling: false, closed: false })))
    }

    /// What makes more of them.
    pub fn mould(&self) -> Mould {
        self.0.borrow().mould.clone()
    }

    /// One of the stock, if there is one.
    pub fn take(&self) -> Option<Namespace> {
        self.0.borrow_mut().ready.pop()
    }

    /// Fills the stock in the background: when nobody waits, for making a namespace holds up whoever makes a link.
    pub fn fill(&self) {
        let stock = self.0.borrow();
        if stock.filling || stock.closed || stock.ready.len() >= stock.most {
            return;
        }
        drop(stock);
        self.0.borrow_mut().filling = true;
        actix_rt::spawn(self.clone().filled());
    }

    /// Drops the stock, for good.
    pub fn close(&self) {
        let mut stock = self.0.borrow_mut();
        stock.closed = true;
        stock.ready.clear();
    }

    async fn filled(self) {
        while self.is_short() {
            let mould = self.mould();
            match tokio::task::spawn_blocking(move || mould.create()).await {
                Ok(Ok(namespace)) => self.0.borrow_mut().ready.push(namespace),
                // Whoever needs one makes it then, and is told why that fails.
                Ok(Err(error)) => {
                    log::debug!("no network namespace is made ahead: {error}");
                    break;
                }
                Err(_) => break,
            }
        }
        let mut stock = self.0.borrow_mut();
        stock.filling = false;
        if stock.closed {
            stock.ready.clear();
        }
    }

    fn is_short(&self) -> bool {
        let stock = self.0.borrow();
        !stock.closed && stock.ready.len() < stock.most
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn count(spares: &Spares) -> usize {
        spares.0.borrow().ready.len()
    }

    async fn filled(spares: &Spares) {
        while spares.0.borrow().filling {
            tokio::task::yield_now().await;
        }
    }

    #[test]
    fn there_are_as_many_as_may_be_however_often_it_is_filled() {
        actix_rt::System::new().block_on(async {
            let spares = Spares::new(3, Mould::new(false));
            (0..3).for_each(|_| spares.fill());
            filled(&spares).await;
            assert_eq!(count(&spares), 3);
            let taken = [spares.take(), spares.take()];
            assert!(taken.iter().all(Option::is_some));
            (0..3).for_each(|_| spares.fill());
            assert_eq!(count(&spares), 1);
            filled(&spares).await;
            assert_eq!(count(&spares), 3);
            // Whatever is being made while it is closed is dropped when it is made.
            spares.take();
            spares.fill();
            spares.close();
            assert_eq!(count(&spares), 0);
            filled(&spares).await;
            spares.fill();
            assert_eq!((count(&spares), spares.take().is_some()), (0, false));
        });
    }
}
