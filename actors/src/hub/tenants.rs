//! Actors that live as long as somebody needs them, by what they are for.
//!
//! Owns the map from a key to its actor and the number of seats taken at it, both under one lock, so that a seat taken can't
//! race with the actor's end: the first seat starts it on the current thread, the last one given up ends it. 64 locks, so
//! that a look-up waits for nobody else's. Never knows what the actors do.

use std::collections::hash_map::Entry;
use std::hash::{BuildHasher as _, Hash};
use std::sync::atomic::{AtomicUsize, Ordering, fence};
use std::sync::{Arc, PoisonError, RwLock, RwLockReadGuard, RwLockWriteGuard};

use actix::fut::wrap_future;
use actix::{Actor, Addr, AsyncContext as _, Context};
use foldhash::HashMap;
use foldhash::fast::RandomState;

/// Locks; a power of two.
const SHARDS: usize = 64;

/// The actors of one kind. `S` is what callers share with each of them beside its mailbox.
pub struct Tenants<K, A: Actor, S> {
    shards: Box<[Shard<K, A, S>]>,
    hasher: RandomState,
    actors: AtomicUsize,
    seats: AtomicUsize,
}

type Map<K, A, S> = HashMap<K, Tenant<A, S>>;
type Shard<K, A, S> = RwLock<Map<K, A, S>>;

/// One actor and its seats.
pub struct Tenant<A: Actor, S> {
    pub address: Addr<A>,
    pub shared: Arc<S>,
    seats: usize,
}

impl<A: Actor<Context = Context<A>>, S: Default> Tenant<A, S> {
    fn start(actor: impl FnOnce(&Arc<S>) -> A) -> Self {
        let shared = Arc::default();
        let address = A::create(|context| {
            // Nobody has an address once the last seat is given up, and actix ends an actor that nobody can reach, even
            // with messages that came between its last look into the mailbox and that. With something to wait for it
            // lives until it is told to end, which is the last message of all.
            context.spawn(wrap_future(std::future::pending::<()>()));
            actor(&shared)
        });
        Self {
            address,
            shared,
            seats: 0,
        }
    }
}

/// All seats are taken.
#[derive(Debug, PartialEq, Eq)]
pub struct Full;

impl<K: Eq + Hash, A: Actor<Context = Context<A>>, S: Default> Tenants<K, A, S> {
    pub fn new() -> Self {
        Self {
            shards: (0..SHARDS).map(|_| RwLock::default()).collect(),
            hasher: RandomState::default(),
            actors: AtomicUsize::new(0),
            seats: AtomicUsize::new(0),
        }
    }

    /// Takes a seat. `enter` runs under the key's lock, so what it sends arrives in the order of seats taken and given up;
    /// it learns whether this seat is the first. An actor that is gone although it has seats (its thread ended) is
    /// replaced. Call it on a thread that runs actors.
    pub fn join<R>(&self, key: K, start: impl FnOnce(&Arc<S>) -> A, enter: impl FnOnce(&Tenant<A, S>, bool) -> R) -> R {
        self.seat(&mut self.write(&key), key, start, enter)
    }

    /// Like [`Tenants::join`], while fewer than `most` seats are taken.
    pub fn join_within<R>(
        &self,
        most: usize,
        key: K,
        start: impl FnOnce(&Arc<S>) -> A,
        enter: impl FnOnce(&Tenant<A, S>, bool) -> R,
    ) -> Result<R, Full> {
        let mut shard = self.write(&key);
        if shard.get(&key).map_or(0, |tenant| tenant.seats) >= most {
            return Err(Full);
        }
        Ok(self.seat(&mut shard, key, start, enter))
    }

    fn seat<R>(
        &self,
        shard: &mut Map<K, A, S>,
        key: K,
        start: impl FnOnce(&Arc<S>) -> A,
        enter: impl FnOnce(&Tenant<A, S>, bool) -> R,
    ) -> R {
        let tenant = match shard.entry(key) {
            Entry::Vacant(place) => place.insert(Tenant::start(start)),
            Entry::Occupied(place) => {
                let tenant = place.into_mut();
                if !tenant.address.connected() {
                    let seats = tenant.seats;
                    *tenant = Tenant {
                        seats,
                        ..Tenant::start(start)
                    };
                }
                tenant
            }
        };
        let first = tenant.seats == 0;
        tenant.seats += 1;
        self.actors.fetch_add(usize::from(first), Ordering::SeqCst);
        self.seats.fetch_add(1, Ordering::Relaxed);
        enter(tenant, first)
    }

    /// Gives up a seat. `exit` runs under the key's lock and learns whether it was the last: the actor is forgotten then,
    /// and `exit` must tell it to end, since nothing else does.
    pub fn leave(&self, key: &K, exit: impl FnOnce(&Tenant<A, S>, bool)) {
        let mut shard = self.write(key);
        let Some(tenant) = shard.get_mut(key) else {
            return;
        };
        tenant.seats -= 1;
        self.seats.fetch_sub(1, Ordering::Relaxed);
        if tenant.seats > 0 {
            return exit(tenant, false);
        }
        if let Some(tenant) = shard.remove(key) {
            self.actors.fetch_sub(1, Ordering::SeqCst);
            exit(&tenant, true);
        }
    }

    /// Looks at the actor of a key, if there is one, under the key's lock: `look` must be short.
    pub fn with<R>(&self, key: &K, look: impl FnOnce(&Tenant<A, S>) -> R) -> Option<R> {
        self.read(key).get(key).map(look)
    }

    pub fn contains(&self, key: &K) -> bool {
        self.read(key).contains_key(key)
    }

    /// Everybody who has a seat, more or less: some come and go meanwhile.
    pub fn keys(&self) -> Vec<K>
    where
        K: Copy,
    {
        let keys = |shard: &Shard<K, A, S>| -> Vec<K> {
            let shard = shard.read().unwrap_or_else(PoisonError::into_inner);
            shard.keys().copied().collect()
        };
        self.shards.iter().flat_map(keys).collect()
    }

    /// False while nobody has a seat. Whoever changed something first and asks then, and whoever takes a seat first and
    /// reads then, can't miss each other: the fence is the price of not taking a lock.
    pub fn is_needed(&self) -> bool {
        fence(Ordering::SeqCst);
        self.actors.load(Ordering::SeqCst) > 0
    }

    pub fn actors(&self) -> usize {
        self.actors.load(Ordering::Relaxed)
    }

    pub fn seats(&self) -> usize {
        self.seats.load(Ordering::Relaxed)
    }

    fn shard(&self, key: &K) -> &Shard<K, A, S> {
        #[expect(clippy::cast_possible_truncation, reason = "the lower bits are as good as all")]
        let hash = self.hasher.hash_one(key) as usize;
        &self.shards[hash % SHARDS]
    }

    fn read(&self, key: &K) -> RwLockReadGuard<'_, Map<K, A, S>> {
        self.shard(key).read().unwrap_or_else(PoisonError::into_inner)
    }

    fn write(&self, key: &K) -> RwLockWriteGuard<'_, Map<K, A, S>> {
        self.shard(key).write().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
impl<K, A: Actor, S> Tenants<K, A, S> {
    /// Whether nothing at all is left.
    pub fn is_empty(&self) -> bool {
        self.shards.iter().all(|shard| shard.read().unwrap().is_empty())
            && self.actors.load(Ordering::SeqCst) == 0
            && self.seats.load(Ordering::SeqCst) == 0
    }
}

#[cfg(test)]
mod tests {
    use std::time::{Duration, Instant};

    use actix::{Handler, Message};

    use super::*;
    use crate::hub::mail::must;

    /// Counts its seats by what it is told, and says at its end whether that was the truth.
    struct Counter {
        seats: usize,
        joined: Arc<AtomicUsize>,
        ended: Arc<AtomicUsize>,
    }

    enum Mail {
        Join,
        Leave,
        End,
    }

    impl Message for Mail {
        type Result = ();
    }

    impl Actor for Counter {
        type Context = Context<Self>;
    }

    impl Handler<Mail> for Counter {
        type Result = ();

        fn handle(&mut self, mail: Mail, context: &mut Context<Self>) {
            match mail {
                Mail::Join => {
                    self.seats += 1;
                    self.joined.fetch_add(1, Ordering::SeqCst);
                }
                Mail::Leave => self.seats -= 1,
                Mail::End => {
                    assert_eq!(self.seats, 0, "an end with seats taken");
                    self.ended.fetch_add(1, Ordering::SeqCst);
                    actix::ActorContext::stop(context);
                }
            }
        }
    }

    type Counters = Tenants<u64, Counter, ()>;

    fn leave(tenants: &Counters, key: u64) {
        tenants.leave(&key, |tenant, last| {
            must(&tenant.address, Mail::Leave);
            if last {
                must(&tenant.address, Mail::End);
            }
        });
    }

    /// Seats are taken here and given up on two other threads, as fast as they can.
    #[test]
    fn seats_taken_and_given_up_on_three_threads() {
        const SEATS: u64 = 20_000;
        let tenants = Arc::new(Counters::new());
        let (joined, ended, started) = (Arc::default(), Arc::default(), Arc::new(AtomicUsize::new(0)));
        let leavers: Vec<_> = (0..2)
            .map(|_| {
                let tenants = Arc::clone(&tenants);
                let (give_up, queue) = std::sync::mpsc::channel();
                let thread = std::thread::spawn(move || queue.into_iter().for_each(|key| leave(&tenants, key)));
                (give_up, thread)
            })
            .collect();
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_time()
            .build()
            .unwrap();
        tokio::task::LocalSet::new().block_on(&runtime, async {
            for seat in 0..SEATS {
                let start = |_: &Arc<()>| {
                    started.fetch_add(1, Ordering::SeqCst);
                    let (joined, ended) = (Arc::clone(&joined), Arc::clone(&ended));
                    Counter {
                        seats: 0,
                        joined,
                        ended,
                    }
                };
                tenants.join(seat % 3, start, |tenant, _| must(&tenant.address, Mail::Join));
                leavers[usize::from(seat % 2 == 0)].0.send(seat % 3).unwrap();
                if seat % 16 == 0 {
                    tokio::task::yield_now().await;
                }
            }
            for (give_up, thread) in leavers {
                drop(give_up);
                thread.join().unwrap();
            }
            let deadline = Instant::now() + Duration::from_secs(30);
            while ended.load(Ordering::SeqCst) < started.load(Ordering::SeqCst) {
                assert!(Instant::now() < deadline, "an actor was never told to end");
                tokio::task::yield_now().await;
            }
        });
        assert_eq!(joined.load(Ordering::SeqCst) as u64, SEATS);
        assert!(tenants.is_empty());
    }

    #[test]
    fn a_limit_is_a_limit() {
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_time()
            .build()
            .unwrap();
        tokio::task::LocalSet::new().block_on(&runtime, async {
            let tenants = Counters::new();
            let start = |_: &Arc<()>| Counter {
                seats: 0,
                joined: Arc::default(),
                ended: Arc::default(),
            };
            assert_eq!(tenants.join_within(0, 1, start, |_, first| first), Err(Full));
            assert!(tenants.is_empty(), "a refusal leaves nothing behind");
            assert_eq!(tenants.join_within(2, 1, start, |_, first| first), Ok(true));
            assert_eq!(tenants.join_within(2, 1, start, |_, first| first), Ok(false));
            assert_eq!(tenants.join_within(2, 1, start, |_, first| first), Err(Full));
            tenants.leave(&1, |_, last| assert!(!last));
            tenants.leave(&1, |_, last| assert!(last));
            tenants.leave(&1, |_, _| unreachable!("nobody is there"));
            assert!(tenants.is_empty());
        });
    }
}
