//! How many uploads may wait on the disk at once, and how much of it they may take.
//!
//! Owns the counts. An upload can arrive before its sender is known (the official client sends the file before the
//! token), so strangers share a pool of their own, bounded per address too, and can't starve known users. Never touches
//! a file.

use std::collections::HashMap;
use std::collections::hash_map::Entry;
use std::hash::Hash;
use std::net::{IpAddr, Ipv6Addr};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use super::error::MediaError;

const MIB: u64 = 1024 * 1024;

/// The bounds on unfinished uploads; `Default` holds the values the documentation names.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct SpoolLimits {
    /// Uploads of known users at once, all together. Their bytes are bounded by this times the upload limit.
    pub known: usize,
    /// Uploads of one known user at once.
    pub per_user: usize,
    /// Uploads without a known sender at once, all together.
    pub anonymous: usize,
    /// Bytes that uploads without a known sender hold or have reserved, all together.
    pub anonymous_bytes: u64,
    /// Uploads without a known sender from one address at once.
    pub per_address: usize,
    /// Bytes held or reserved by one address without a known sender.
    pub per_address_bytes: u64,
}

impl Default for SpoolLimits {
    fn default() -> Self {
        Self {
            known: 64,
            per_user: 8,
            anonymous: 128,
            anonymous_bytes: 1024 * MIB,
            per_address: 32,
            per_address_bytes: 256 * MIB,
        }
    }
}

/// Who an upload is charged to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Sender {
    /// A user whose token was checked.
    User(i64),
    /// Somebody at this address; no token was seen yet.
    Address(IpAddr),
}

/// The shared counts; clones share them.
#[derive(Debug, Clone)]
pub struct SpoolBudget {
    limits: SpoolLimits,
    counts: Arc<Mutex<Counts>>,
}

#[derive(Debug, Default)]
struct Counts {
    known: usize,
    users: HashMap<i64, usize>,
    anonymous: Usage,
    addresses: HashMap<IpAddr, Usage>,
}

#[derive(Debug, Default, Clone, Copy, PartialEq, Eq)]
struct Usage {
    spools: usize,
    bytes: u64,
}

impl SpoolBudget {
    /// A budget with nothing taken.
    pub fn new(limits: SpoolLimits) -> Self {
        Self {
            limits,
            counts: Arc::default(),
        }
    }

    /// Takes a place for one upload and reserves `bytes` (0 when the length is not known; what arrives beyond is
    /// charged as it comes). `Busy` when a bound is reached.
    pub fn admit(&self, sender: Sender, bytes: u64) -> Result<SpoolPermit, MediaError> {
        let sender = match sender {
            Sender::Address(address) => Sender::Address(network_of(address)),
            known @ Sender::User(_) => known,
        };
        self.lock().take(&self.limits, sender, bytes)?;
        Ok(SpoolPermit {
            budget: self.clone(),
            sender,
            reserved: bytes,
            written: 0,
        })
    }

    /// A panic while counting is impossible by construction; were there one, the counts would still be sound.
    fn lock(&self) -> MutexGuard<'_, Counts> {
        self.counts.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// The /64 of an IPv6 address: what one customer is given, so what one sender can vary at will. A mapped IPv4 address
/// counts as the IPv4 address it is.
fn network_of(address: IpAddr) -> IpAddr {
    match address.to_canonical() {
        IpAddr::V6(v6) => IpAddr::V6(Ipv6Addr::from_bits(v6.to_bits() & (u128::MAX << 64))),
        v4 @ IpAddr::V4(_) => v4,
    }
}

impl Counts {
    fn take(&mut self, limits: &SpoolLimits, sender: Sender, bytes: u64) -> Result<(), MediaError> {
        match sender {
            Sender::User(user) => {
                let own = self.users.get(&user).copied().unwrap_or(0);
                if self.known >= limits.known || own >= limits.per_user {
                    return Err(MediaError::Busy);
                }
                self.known += 1;
                self.users.insert(user, own + 1);
            }
            Sender::Address(address) => {
                let own = self.addresses.get(&address).copied().unwrap_or_default();
                if self.anonymous.spools >= limits.anonymous || own.spools >= limits.per_address {
                    return Err(MediaError::Busy);
                }
                self.charge(limits, address, bytes)?;
                self.anonymous.spools += 1;
                self.addresses.entry(address).or_default().spools += 1;
            }
        }
        Ok(())
    }

    fn charge(&mut self, limits: &SpoolLimits, address: IpAddr, bytes: u64) -> Result<(), MediaError> {
        let all = self.anonymous.bytes.saturating_add(bytes);
        let own = self
            .addresses
            .get(&address)
            .map_or(0, |usage| usage.bytes)
            .saturating_add(bytes);
        if all > limits.anonymous_bytes || own > limits.per_address_bytes {
            return Err(MediaError::Busy);
        }
        self.anonymous.bytes = all;
        self.addresses.entry(address).or_default().bytes = own;
        Ok(())
    }

    fn give_back(&mut self, sender: Sender, bytes: u64) {
        match sender {
            Sender::User(user) => {
                self.known = self.known.saturating_sub(1);
                release(&mut self.users, user, |count| {
                    *count = count.saturating_sub(1);
                    *count == 0
                });
            }
            Sender::Address(address) => {
                let less = |usage: &mut Usage| {
                    usage.spools = usage.spools.saturating_sub(1);
                    usage.bytes = usage.bytes.saturating_sub(bytes);
                    usage.spools == 0
                };
                less(&mut self.anonymous);
                release(&mut self.addresses, address, less);
            }
        }
    }
}

/// Lowers an entry and forgets it when it is empty, so that the maps hold only who is uploading now.
fn release<K: Eq + Hash, V>(map: &mut HashMap<K, V>, key: K, lower: impl FnOnce(&mut V) -> bool) {
    if let Entry::Occupied(mut entry) = map.entry(key)
        && lower(entry.get_mut())
    {
        entry.remove();
    }
}

/// One admitted upload; dropping it gives everything back.
#[derive(Debug)]
pub struct SpoolPermit {
    budget: SpoolBudget,
    sender: Sender,
    reserved: u64,
    written: u64,
}

impl SpoolPermit {
    /// Accounts for `bytes` about to be written; `Busy` when they go beyond what the sender may hold.
    pub(crate) fn charge(&mut self, bytes: u64) -> Result<(), MediaError> {
        let written = self.written.saturating_add(bytes);
        let beyond = written.saturating_sub(self.reserved);
        if beyond > 0 {
            if let Sender::Address(address) = self.sender {
                self.budget.lock().charge(&self.budget.limits, address, beyond)?;
            }
            self.reserved = written;
        }
        self.written = written;
        Ok(())
    }

    /// Moves the upload to a user whose token has now been checked. `Busy` leaves it where it was.
    pub(crate) fn promote(&mut self, user: i64) -> Result<(), MediaError> {
        if self.sender == Sender::User(user) {
            return Ok(());
        }
        let mut counts = self.budget.lock();
        counts.take(&self.budget.limits, Sender::User(user), 0)?;
        counts.give_back(self.sender, self.reserved);
        self.sender = Sender::User(user);
        Ok(())
    }
}

impl Drop for SpoolPermit {
    fn drop(&mut self) {
        self.budget.lock().give_back(self.sender, self.reserved);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn small() -> SpoolBudget {
        SpoolBudget::new(SpoolLimits {
            known: 3,
            per_user: 2,
            anonymous: 3,
            anonymous_bytes: 100,
            per_address: 2,
            per_address_bytes: 60,
        })
    }

    fn at(address: &str) -> Sender {
        Sender::Address(address.parse().unwrap())
    }

    fn empty(budget: &SpoolBudget) -> bool {
        let counts = budget.lock();
        counts.known == 0
            && counts.users.is_empty()
            && counts.addresses.is_empty()
            && counts.anonymous == Usage::default()
    }

    #[test]
    fn users_are_bounded_each_and_together() {
        let budget = small();
        let mine = [
            budget.admit(Sender::User(1), 0).unwrap(),
            budget.admit(Sender::User(1), 0).unwrap(),
        ];
        assert!(matches!(budget.admit(Sender::User(1), 0), Err(MediaError::Busy)));
        let other = budget.admit(Sender::User(2), 0).unwrap();
        assert!(matches!(budget.admit(Sender::User(3), 0), Err(MediaError::Busy)));
        drop(mine);
        budget.admit(Sender::User(1), 0).unwrap();
        drop(other);
        assert!(empty(&budget));
    }

    #[test]
    fn addresses_are_bounded_in_count_and_bytes() {
        let budget = small();
        let mut first = budget.admit(at("192.0.2.1"), 50).unwrap();
        assert!(budget.admit(at("192.0.2.1"), 20).is_err(), "over the address's bytes");
        let second = budget.admit(at("::ffff:192.0.2.1"), 10).unwrap();
        assert!(budget.admit(at("192.0.2.1"), 0).is_err(), "over the address's count");
        first.charge(50).unwrap();
        assert!(
            matches!(first.charge(1), Err(MediaError::Busy)),
            "beyond the reservation and the bound"
        );
        let mut third = budget.admit(at("192.0.2.2"), 0).unwrap();
        third.charge(40).unwrap();
        assert!(third.charge(1).is_err(), "over all addresses' bytes");
        assert!(budget.admit(at("192.0.2.3"), 0).is_err(), "over all addresses' count");
        drop((first, second, third));
        assert!(empty(&budget));
    }

    #[test]
    fn one_customer_of_an_ipv6_provider_is_one_address() {
        let budget = small();
        let held = [
            budget.admit(at("2001:db8::1"), 0).unwrap(),
            budget.admit(at("2001:db8::ffff:1"), 0).unwrap(),
        ];
        assert!(budget.admit(at("2001:db8::2"), 0).is_err());
        budget.admit(at("2001:db8:0:1::1"), 0).unwrap();
        drop(held);
        assert!(empty(&budget));
    }

    #[test]
    fn a_promoted_upload_frees_its_address_and_fills_the_user() {
        let budget = small();
        let mut upload = budget.admit(at("192.0.2.1"), 60).unwrap();
        upload.promote(7).unwrap();
        upload.promote(7).unwrap();
        let again = budget.admit(at("192.0.2.1"), 60).unwrap();
        let second = budget.admit(Sender::User(7), 0).unwrap();
        let mut refused = budget.admit(at("192.0.2.2"), 5).unwrap();
        assert!(matches!(refused.promote(7), Err(MediaError::Busy)));
        upload.charge(1_000).unwrap();
        drop((upload, again, second, refused));
        assert!(empty(&budget));
    }
}
