//! What is random, and how to have it again.

use std::time::{SystemTime, UNIX_EPOCH};

use rand_chacha::ChaCha8Rng;
use rand_chacha::rand_core::SeedableRng;

/// How often to crash, and the number that decides everything random.
#[derive(Debug, Clone, Copy)]
pub struct Plan {
    /// At least one.
    pub cycles: u64,
    pub seed: u64,
}

impl Plan {
    /// The plan of a mode: by the environment, or `cycles` of them and a seed by the clock.
    pub fn of(mode: &str, cycles: u64) -> Self {
        let clock = SystemTime::now().duration_since(UNIX_EPOCH).unwrap();
        let plan = Self {
            cycles: number(crate::CYCLES).unwrap_or(cycles).max(1),
            seed: number("OVATION_TEST_SEED").unwrap_or_else(|| u64::from(clock.subsec_nanos())),
        };
        println!("{mode}: {} cycles, OVATION_TEST_SEED={}", plan.cycles, plan.seed);
        plan
    }

    /// Randomness of one cycle and one part in it, independent of all others.
    pub fn random(&self, cycle: u64, part: u64) -> ChaCha8Rng {
        let mut seed = [0; 32];
        for (place, number) in seed.chunks_mut(8).zip([self.seed, cycle, part]) {
            place.copy_from_slice(&number.to_le_bytes());
        }
        ChaCha8Rng::from_seed(seed)
    }
}

fn number(name: &str) -> Option<u64> {
    let text = std::env::var(name).ok()?;
    Some(
        text.parse()
            .unwrap_or_else(|_| panic!("{name} is a whole number, not {text:?}")),
    )
}
