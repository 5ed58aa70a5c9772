//! What a run was asked to do.

use std::time::Duration;

use serde::Serialize;

use crate::world::WorldSize;

/// The numbers of a run.
#[derive(Debug, Clone, Serialize)]
pub struct Settings {
    /// Accounts that act; each scenario has a figure of its own when absent.
    pub users: Option<usize>,
    /// Connections; as above.
    pub connections: Option<usize>,
    /// Cut off in front of every measurement.
    #[serde(serialize_with = "seconds")]
    pub warm_up: Duration,
    /// Measured.
    #[serde(serialize_with = "seconds")]
    pub duration: Duration,
    /// How often.
    pub rounds: usize,
    /// Operations a second of an open loop; a closed one when absent.
    pub rate: Option<f64>,
    /// Of every stream of chance.
    pub seed: u64,
    /// Of a hundred readers of the fan-out, those who stop reading.
    pub stalled: f64,
    /// Threads of users.
    pub threads: usize,
    /// Processor cores that the target hashes passwords on.
    pub hash_threads: usize,
    /// The world; `None` for a target whose data is its own affair.
    pub world: Option<WorldSize>,
}

fn seconds<S: serde::Serializer>(duration: &Duration, serializer: S) -> Result<S::Ok, S::Error> {
    serializer.serialize_f64(duration.as_secs_f64())
}

impl Settings {
    /// One of three figures, by the size of the world; without one, that of the smallest.
    pub fn by_world(&self, tiny: usize, s: usize, m: usize) -> usize {
        self.world.map_or(tiny, |world| world.pick(tiny, s, m))
    }

    /// How long answers are waited for after the end: the length of the window, at most five seconds, at least one.
    pub fn grace(&self) -> Duration {
        self.duration.clamp(Duration::from_secs(1), Duration::from_secs(5))
    }

    /// Warm-up and measurement.
    pub fn length(&self) -> Duration {
        self.warm_up + self.duration
    }
}

/// A stream of chance of one user in one scenario: equal seeds, equal choices, whatever the others do.
pub fn stream(seed: u64, user: usize) -> rand_chacha::ChaCha8Rng {
    use rand::SeedableRng as _;
    let mut rng = rand_chacha::ChaCha8Rng::seed_from_u64(seed);
    rng.set_stream(user as u64);
    rng
}

#[cfg(test)]
mod tests {
    use super::*;
    use rand::Rng as _;

    #[test]
    fn every_user_has_a_stream_of_its_own_and_the_same_one_again() {
        let draw = |seed, user| stream(seed, user).next_u64();
        assert_eq!(draw(1, 2), draw(1, 2));
        assert_ne!(draw(1, 2), draw(1, 3));
        assert_ne!(draw(1, 2), draw(2, 2));
    }
}
