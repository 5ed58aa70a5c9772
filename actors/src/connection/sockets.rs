//! How many sockets there are, and whether one more may come.
//!
//! Owns the counts that all worker threads share, and the way to tell every socket at once that the server restarts.
//! Never knows whose socket it is: connections of a user are the hub's to count.

use std::collections::HashMap;
use std::net::{IpAddr, Ipv6Addr};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use crate::close::{Close, CloseCode};
use crate::outbox::Outbox;

/// Bounds over all sockets of the process.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct SocketLimits {
    /// Open at the same time.
    pub open: usize,
    /// Of those, such as have not said hello.
    pub waiting: usize,
    /// Of one address; of one /64 network with IPv6, since that is what one household has.
    pub per_address: usize,
}

/// Why a socket is not admitted.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum Refused {
    /// The server ends.
    #[error("the server restarts")]
    Draining,
    /// As many as may be.
    #[error("too many sockets are open")]
    Full,
    /// As many without hello as may be.
    #[error("too many sockets have not said hello")]
    TooManyWaiting,
    /// As many from there as may be.
    #[error("too many sockets are open from this address")]
    TooManyFromAddress,
}

/// How many there are, for `/readyz` and metrics.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct SocketStatus {
    /// Open.
    pub open: usize,
    /// Of those, such as have not said hello.
    pub waiting: usize,
    /// Addresses they come from.
    pub addresses: usize,
    /// Whether the server ends.
    pub draining: bool,
}

/// A handle to the counts; clones share them.
#[derive(Debug, Clone)]
pub struct Sockets(Arc<Shared>);

#[derive(Debug)]
struct Shared {
    limits: SocketLimits,
    counts: Mutex<Counts>,
}

#[derive(Debug, Default)]
struct Counts {
    open: usize,
    waiting: usize,
    by_address: HashMap<IpAddr, usize>,
    /// Those that have an outbox, by their ticket's number.
    outboxes: HashMap<u64, Arc<Outbox>>,
    last: u64,
    /// While it is set nobody is admitted: how long clients are to be spread over.
    draining: Option<Duration>,
}

impl Sockets {
    /// None is open.
    pub fn new(limits: SocketLimits) -> Self {
        Self(Arc::new(Shared {
            limits,
            counts: Mutex::default(),
        }))
    }

    /// A place for one more. Without an address (a socket of the file system) only the other bounds count.
    pub fn admit(&self, address: Option<IpAddr>) -> Result<SocketTicket, Refused> {
        let limits = self.0.limits;
        let address = address.map(network);
        let mut counts = self.0.lock();
        let from_there = address
            .and_then(|address| counts.by_address.get(&address))
            .copied()
            .unwrap_or(0);
        if counts.draining.is_some() {
            return Err(Refused::Draining);
        }
        if counts.open >= limits.open {
            return Err(Refused::Full);
        }
        if counts.waiting >= limits.waiting {
            return Err(Refused::TooManyWaiting);
        }
        if from_there >= limits.per_address {
            return Err(Refused::TooManyFromAddress);
        }
        counts.open += 1;
        counts.waiting += 1;
        counts.last += 1;
        if let Some(address) = address {
            counts.by_address.insert(address, from_there + 1);
        }
        Ok(SocketTicket {
            sockets: self.clone(),
            number: counts.last,
            address,
            waiting: true,
        })
    }

    /// The server ends: every socket is closed with 3001 and a random time within `spread` after which to come back,
    /// and no more are admitted.
    pub fn drain(&self, spread: Duration) {
        let outboxes: Vec<_> = {
            let mut counts = self.0.lock();
            counts.draining = Some(spread);
            counts.outboxes.values().cloned().collect()
        };
        // Outside the lock, since each wakes somebody.
        for outbox in outboxes {
            outbox.close(restart(spread));
        }
    }

    /// Closes every socket as [`Sockets::drain`] does, and goes on admitting them.
    pub fn restart(&self, spread: Duration) {
        let outboxes: Vec<_> = self.0.lock().outboxes.values().cloned().collect();
        for outbox in outboxes {
            outbox.close(restart(spread));
        }
    }

    /// How many there are.
    pub fn status(&self) -> SocketStatus {
        let counts = self.0.lock();
        SocketStatus {
            open: counts.open,
            waiting: counts.waiting,
            addresses: counts.by_address.len(),
            draining: counts.draining.is_some(),
        }
    }
}

impl Shared {
    fn lock(&self) -> MutexGuard<'_, Counts> {
        self.counts.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// A socket's place, given back when dropped.
#[derive(Debug)]
pub struct SocketTicket {
    sockets: Sockets,
    number: u64,
    address: Option<IpAddr>,
    waiting: bool,
}

impl SocketTicket {
    /// The socket's hello was good: it counts no more among those that wait.
    pub fn greeted(&mut self) {
        if std::mem::take(&mut self.waiting) {
            self.sockets.0.lock().waiting -= 1;
        }
    }

    /// Where the socket is told to end. While the server ends it is told at once.
    pub(super) fn reach(&self, outbox: &Arc<Outbox>) {
        let draining = {
            let mut counts = self.sockets.0.lock();
            counts.outboxes.insert(self.number, Arc::clone(outbox));
            counts.draining
        };
        if let Some(spread) = draining {
            outbox.close(restart(spread));
        }
    }
}

impl Drop for SocketTicket {
    fn drop(&mut self) {
        let mut counts = self.sockets.0.lock();
        counts.open -= 1;
        counts.waiting -= usize::from(self.waiting);
        counts.outboxes.remove(&self.number);
        let Some(address) = self.address else {
            return;
        };
        if let Some(count) = counts.by_address.get_mut(&address) {
            *count -= 1;
            if *count == 0 {
                counts.by_address.remove(&address);
            }
        }
    }
}

/// What is counted together: an IPv4 address also where it comes as IPv6, or a /64 network.
fn network(address: IpAddr) -> IpAddr {
    match address.to_canonical() {
        IpAddr::V6(address) => Ipv6Addr::from_bits(address.to_bits() >> 64 << 64).into(),
        address @ IpAddr::V4(_) => address,
    }
}

fn restart(spread: Duration) -> Close {
    Close {
        code: CloseCode::Restart,
        retry_after_ms: u32::try_from(spread.mul_f64(rand::random()).as_millis()).ok(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::outbox::OutboxLimits;

    const LIMITS: SocketLimits = SocketLimits {
        open: 4,
        waiting: 3,
        per_address: 2,
    };

    fn address(text: &str) -> Option<IpAddr> {
        text.parse().ok()
    }

    #[test]
    fn each_bound_refuses_and_drop_gives_back() {
        let sockets = Sockets::new(LIMITS);
        let refusal = |from| sockets.admit(from).err();
        let mut first = sockets.admit(address("10.0.0.1")).unwrap();
        let second = sockets.admit(address("::ffff:10.0.0.1")).unwrap();
        assert_eq!(refusal(address("10.0.0.1")), Some(Refused::TooManyFromAddress));
        let third = sockets.admit(None).unwrap();
        assert_eq!(refusal(address("10.0.0.2")), Some(Refused::TooManyWaiting));
        first.greeted();
        first.greeted();
        let fourth = sockets.admit(address("10.0.0.2")).unwrap();
        assert_eq!(refusal(None), Some(Refused::Full));
        let full = SocketStatus {
            open: 4,
            waiting: 3,
            addresses: 2,
            draining: false,
        };
        assert_eq!(sockets.status(), full);
        drop((first, second, third, fourth));
        assert_eq!(sockets.status(), SocketStatus::default());
    }

    #[test]
    fn a_network_of_ipv6_is_one_household() {
        let sockets = Sockets::new(LIMITS);
        let _one = sockets.admit(address("2001:db8:1:2::1")).unwrap();
        let _other = sockets.admit(address("2001:db8:1:2:ffff::9")).unwrap();
        assert_eq!(
            sockets.admit(address("2001:db8:1:2::7")).err(),
            Some(Refused::TooManyFromAddress)
        );
        assert!(sockets.admit(address("2001:db8:1:3::1")).is_ok());
    }

    #[test]
    fn draining_reaches_those_there_and_those_on_their_way() {
        let sockets = Sockets::new(LIMITS);
        let outbox = || Arc::new(Outbox::new(OutboxLimits { frames: 4, bytes: 400 }));
        let (there, late) = (outbox(), outbox());
        let first = sockets.admit(None).unwrap();
        first.reach(&there);
        let second = sockets.admit(None).unwrap();
        sockets.drain(Duration::from_secs(2));
        second.reach(&late);
        assert_eq!(sockets.admit(None).err(), Some(Refused::Draining));
        for outbox in [there, late] {
            let close = outbox.take(1).close.unwrap();
            assert_eq!(close.code, CloseCode::Restart);
            assert!(close.retry_after_ms.unwrap() <= 2000);
        }
    }
}
