//! One password hash: Argon2id (RFC 9106) in PHC strings.
//!
//! Owns the cost parameters and what a stored string may ask for. Never waits and never spawns: it burns a core and the
//! memory its cost names, which the caller lends it, so only the pool calls it.

use std::sync::atomic::{AtomicU64, Ordering};

use argon2::password_hash::Error;
use argon2::password_hash::phc::{Output, ParamsString, PasswordHash, Salt};
use argon2::{Algorithm, Argon2, Params, Version};
use ring::rand::{SecureRandom as _, SystemRandom};

use super::scratch::Scratch;
use super::{PasswordError, Verdict};

/// What one hash costs.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Cost {
    /// Memory in KiB.
    pub memory_kib: u32,
    /// Passes over that memory.
    pub passes: u32,
    /// Lanes; more than one only makes a hash as parallel for an attacker as for us.
    pub lanes: u32,
}

impl Cost {
    /// The first choice of OWASP's password storage cheat sheet: 19 MiB, 2 passes, 1 lane; about 20 ms.
    pub const OWASP: Self = Self {
        memory_kib: 19 * 1024,
        passes: 2,
        lanes: 1,
    };
    /// The most a stored string may ask for: a corrupted or planted row must cost neither gigabytes nor minutes.
    const MAX: Self = Self {
        memory_kib: 64 * 1024,
        passes: 8,
        lanes: 8,
    };

    fn of(params: &Params) -> Self {
        Self {
            memory_kib: params.m_cost(),
            passes: params.t_cost(),
            lanes: params.p_cost(),
        }
    }

    fn is_bearable(self) -> bool {
        self.memory_kib <= Self::MAX.memory_kib && self.passes <= Self::MAX.passes && self.lanes <= Self::MAX.lanes
    }
}

/// Hashes and verifies at one cost.
pub(super) struct Hasher {
    cost: Cost,
    params: Params,
    /// What an unknown user's password is verified against.
    dummy: PasswordHash,
    /// Argon2 runs so far; that the dummy really works is told by this, not by a clock.
    runs: AtomicU64,
}

impl Hasher {
    /// Makes the dummy hash, hence takes as long as one hash.
    pub(super) fn new(cost: Cost) -> Result<Self, PasswordError> {
        let params = Params::new(
            cost.memory_kib,
            cost.passes,
            cost.lanes,
            Some(Params::DEFAULT_OUTPUT_LEN),
        );
        let params = params
            .ok()
            .filter(|_| cost.is_bearable())
            .ok_or(PasswordError::Failed)?;
        let nobody = rand::random::<[u8; 32]>();
        let dummy = make(&nobody, &params, &mut Scratch::default()).map_err(failed)?;
        Ok(Self {
            cost,
            params,
            dummy,
            runs: AtomicU64::new(0),
        })
    }

    pub(super) fn runs(&self) -> u64 {
        self.runs.load(Ordering::Relaxed)
    }

    /// The PHC string of a password under a new random salt from the system.
    pub(super) fn hash(&self, password: &str, scratch: &mut Scratch) -> Result<String, PasswordError> {
        self.runs.fetch_add(1, Ordering::Relaxed);
        let hash = make(password.as_bytes(), &self.params, scratch).map_err(failed)?;
        Ok(hash.to_string())
    }

    /// Whether the password is the stored one. Without a stored one (unknown user), or with one that can't be used, the
    /// same work is done against the dummy, and the answer is the same: wrong.
    pub(super) fn verify(&self, password: &str, stored: Option<&str>, scratch: &mut Scratch) -> Verdict {
        self.runs.fetch_add(1, Ordering::Relaxed);
        let usable = stored.and_then(|stored| {
            let read = read(stored);
            if read.is_none() {
                // Without the string: it is half of a secret. The request id in the span leads to the user.
                tracing::error!("a stored password hash is unusable; that user can't log in until it is set anew");
            }
            read
        });
        let (hash, params) = usable
            .as_ref()
            .map_or((&self.dummy, &self.params), |(hash, params)| (hash, params));
        let right = is_right(password.as_bytes(), hash, params, scratch).unwrap_or_else(|error| {
            tracing::error!(%error, "a password could not be verified");
            false
        });
        if right && usable.is_some() {
            Verdict::Right {
                rehash_needed: self.is_outdated(hash, params),
            }
        } else {
            Verdict::Wrong
        }
    }

    fn is_outdated(&self, hash: &PasswordHash, params: &Params) -> bool {
        Cost::of(params) != self.cost
            || hash.version != Some(Version::V0x13.into())
            || params.output_len() != Some(Params::DEFAULT_OUTPUT_LEN)
    }
}

/// What `argon2` does for a new hash, in memory of our own: the crate takes that only one level below its PHC strings.
fn make(password: &[u8], params: &Params, scratch: &mut Scratch) -> Result<PasswordHash, Error> {
    // `Salt::generate` panics where the system has no random numbers to give.
    let mut bytes = [0; Salt::RECOMMENDED_LENGTH];
    SystemRandom::new().fill(&mut bytes).map_err(|_| Error::Crypto)?;
    let salt = Salt::new(&bytes)?;
    let length = params.output_len().unwrap_or(Params::DEFAULT_OUTPUT_LEN);
    let output = run(password, &salt, Version::V0x13, params, length, scratch)?;
    Ok(PasswordHash {
        algorithm: Algorithm::Argon2id.ident(),
        version: Some(Version::V0x13.into()),
        params: ParamsString::try_from(params)?,
        salt: Some(salt),
        hash: Some(output),
    })
}

/// The same for a hash that is there.
fn is_right(password: &[u8], hash: &PasswordHash, params: &Params, scratch: &mut Scratch) -> Result<bool, Error> {
    let (Some(salt), Some(expected)) = (&hash.salt, &hash.hash) else {
        return Ok(false);
    };
    let version = hash.version.map(Version::try_from).transpose()?.unwrap_or_default();
    let output = run(password, salt, version, params, expected.len(), scratch)?;
    // `Output` compares in constant time.
    Ok(output == *expected)
}

fn run(
    password: &[u8],
    salt: &Salt,
    version: Version,
    params: &Params,
    length: usize,
    scratch: &mut Scratch,
) -> Result<Output, Error> {
    let blocks = scratch.blocks(params)?;
    let argon2 = Argon2::new(Algorithm::Argon2id, version, params.clone());
    let mut buffer = [0; Output::MAX_LENGTH];
    let out = buffer.get_mut(..length).ok_or(Error::OutputSize)?;
    argon2.hash_password_into_with_memory(password, salt, out, blocks)?;
    Ok(Output::new(out)?)
}

/// A stored string, when it is an Argon2id hash of a bearable cost.
fn read(stored: &str) -> Option<(PasswordHash, Params)> {
    let hash = PasswordHash::new(stored).ok()?;
    let params = Params::try_from(&hash).ok()?;
    let complete = hash.salt.is_some() && hash.hash.is_some();
    let known = hash.algorithm.as_str() == Algorithm::Argon2id.as_str();
    let current = hash.version.is_none_or(|version| Version::try_from(version).is_ok());
    (complete && known && current && Cost::of(&params).is_bearable()).then_some((hash, params))
}

fn failed(error: Error) -> PasswordError {
    tracing::error!(%error, "a password could not be hashed");
    PasswordError::Failed
}

#[cfg(test)]
mod tests {
    use super::*;
    use argon2::PasswordVerifier as _;
    use proptest::prelude::*;

    const CHEAP: Cost = Cost {
        memory_kib: 64,
        passes: 1,
        lanes: 1,
    };

    fn cheap() -> Hasher {
        Hasher::new(CHEAP).unwrap()
    }

    impl Hasher {
        fn hash_alone(&self, password: &str) -> String {
            self.hash(password, &mut Scratch::default()).unwrap()
        }

        fn verify_alone(&self, password: &str, stored: Option<&str>) -> Verdict {
            self.verify(password, stored, &mut Scratch::default())
        }
    }

    #[test]
    fn vectors_of_the_reference_implementation() {
        for (password, phc) in [
            (
                "password",
                "$argon2id$v=19$m=256,t=2,p=1$c29tZXNhbHQ$nf65EOgLrQMR/uIPnA4rEsF5h7TKyQwu9U1bMCHGi/4",
            ),
            (
                "password",
                "$argon2id$v=19$m=256,t=2,p=2$c29tZXNhbHQ$bQk8UB/VmZZF4Oo79iDXuL5/0ttZwg2f/5U52iv1cDc",
            ),
            (
                "password",
                "$argon2id$v=19$m=65536,t=2,p=1$c29tZXNhbHQ$CTFhFdXPJO1aFaMaO6Mm5c8y7cJHAph8ArZWb2GRPPc",
            ),
        ] {
            assert_eq!(
                cheap().verify_alone(password, Some(phc)),
                Verdict::Right { rehash_needed: true },
                "{phc}"
            );
            assert_eq!(cheap().verify_alone("Password", Some(phc)), Verdict::Wrong);
        }
    }

    /// The crate's own function clears the memory; ours is full of what the hashes before left, larger and smaller ones.
    #[test]
    fn what_stands_in_the_memory_changes_nothing() {
        let mut scratch = Scratch::default();
        let costs = [(64, 1, 1), (512, 2, 1), (64, 1, 4), (256, 3, 2), (8, 1, 1)];
        for (memory_kib, passes, lanes) in costs.into_iter().cycle().take(15) {
            let cost = Cost {
                memory_kib,
                passes,
                lanes,
            };
            let hasher = Hasher::new(cost).unwrap();
            let stored = hasher.hash("secret", &mut scratch).unwrap();
            let theirs = Argon2::default();
            let read = PasswordHash::new(&stored).unwrap();
            assert!(theirs.verify_password(b"secret", &read).is_ok(), "{stored}");
            assert!(theirs.verify_password(b"Secret", &read).is_err(), "{stored}");
            let right = Verdict::Right { rehash_needed: false };
            assert_eq!(hasher.verify("secret", Some(&stored), &mut scratch), right);
            assert_eq!(hasher.verify("Secret", Some(&stored), &mut scratch), Verdict::Wrong);
        }
    }

    #[test]
    fn the_standard_cost_round_trips_and_stands_in_the_string() {
        let hasher = Hasher::new(Cost::OWASP).unwrap();
        let stored = hasher.hash_alone("päss wörd");
        assert!(stored.starts_with("$argon2id$v=19$m=19456,t=2,p=1$"), "{stored}");
        assert_ne!(stored, hasher.hash_alone("päss wörd"), "salts differ");
        assert_eq!(
            hasher.verify_alone("päss wörd", Some(&stored)),
            Verdict::Right { rehash_needed: false }
        );
        assert_eq!(hasher.verify_alone("päss worn", Some(&stored)), Verdict::Wrong);
        assert_eq!(
            cheap().verify_alone("päss wörd", Some(&stored)),
            Verdict::Right { rehash_needed: true }
        );
    }

    #[test]
    fn every_changed_parameter_asks_for_a_rehash() {
        let stored = cheap().hash_alone("p");
        for cost in [
            Cost {
                memory_kib: 65,
                ..CHEAP
            },
            Cost { passes: 2, ..CHEAP },
            Cost {
                memory_kib: 64,
                lanes: 2,
                ..CHEAP
            },
        ] {
            let verdict = Hasher::new(cost).unwrap().verify_alone("p", Some(&stored));
            assert_eq!(verdict, Verdict::Right { rehash_needed: true }, "{cost:?}");
        }
    }

    #[test]
    fn an_unknown_user_costs_a_full_run_and_is_wrong() {
        let hasher = cheap();
        assert_eq!(hasher.verify_alone("", None), Verdict::Wrong);
        assert_eq!(hasher.runs(), 1);
        assert_eq!(Cost::of(&Params::try_from(&hasher.dummy).unwrap()), CHEAP);
    }

    #[test]
    fn corrupted_rows_are_wrong_and_cost_no_more() {
        let good = cheap().hash_alone("p");
        let with = |part: &str| good.replace("m=64,t=1,p=1", part);
        for stored in [
            String::new(),
            "p".into(),
            "$argon2id$".into(),
            with("m=4294967295,t=1,p=1"),
            with("m=65537,t=1,p=1"),
            with("m=64,t=4294967295,p=1"),
            with("m=1024,t=1,p=100"),
            with("m=64,t=0,p=1"),
            good.replace("argon2id", "argon2i"),
            good.rsplit_once('$').unwrap().0.into(),
            good[..good.len() - 1].into(),
        ] {
            assert_eq!(cheap().verify_alone("p", Some(&stored)), Verdict::Wrong, "{stored}");
        }
        assert!(
            Hasher::new(Cost {
                memory_kib: 1 << 30,
                ..CHEAP
            })
            .is_err()
        );
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(64))]
        #[test]
        fn arbitrary_rows_never_panic(stored in any::<String>(), like in "\\$argon2(id|i|d)(\\$v=[0-9]{1,3})?\\$m=[0-9]{1,4},t=[0-9],p=[0-9]\\$[A-Za-z0-9+/]{0,40}\\$[A-Za-z0-9+/]{0,90}") {
            prop_assert_eq!(cheap().verify_alone("p", Some(&stored)), Verdict::Wrong);
            prop_assert_eq!(cheap().verify_alone("p", Some(&like)), Verdict::Wrong);
        }
    }
}
