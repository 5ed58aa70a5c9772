//! Actors that live as long as somebody needs them, by what they are for.
//!
//! Owns the map from a key to its actor and the number of seats taken at it, both under one lock, so that a seat taken can't
//! race with the actor's end: the first seat starts it on the current thread, the last one given up ends it. 64 locks, so
//! that a look-up waits for nobody else's. Never knows what the actors do.

use std::collections::hash_map::Entry;
use std::hash::{BuildHasher as _, Hash};
use std::sync::atomic::{AtomicUsize, Ordering, fence};
use std::sync::{Arc, PoisonError, RwLock, RwLockReadGuard, RwLockWriteGuard};

use actix::{Actor, Addr, Context};
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
        let address = actor(&shared).start();
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
    /// and `exit` tells it to end.
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
