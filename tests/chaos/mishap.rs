//! What happens to a connection, and when.

use std::time::{Duration, Instant};

use rand::RngExt;
use rand_chacha::ChaCha8Rng;

/// Something that goes wrong on the client's side of a connection.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Mishap {
    /// It ends without a word.
    Cut,
    /// It ends, and what was under way in either direction is lost.
    Reset,
    /// It ends in the middle of a frame.
    HalfFrame,
    /// Many messages go out, and it ends before any of them is answered.
    Burst,
    /// Nothing is read for so long.
    Stall(Duration),
}

/// When the next one is due.
#[derive(Debug)]
pub struct Mishaps(Instant);

impl Mishaps {
    /// On a new connection, which lives for a moment at least.
    pub fn new(random: &mut ChaCha8Rng) -> Self {
        Self(Instant::now() + Duration::from_millis(random.random_range(20..4_000)))
    }

    /// What happens now.
    pub fn next(&mut self, random: &mut ChaCha8Rng) -> Option<Mishap> {
        if Instant::now() < self.0 {
            return None;
        }
        *self = Self::new(random);
        Some(match random.random_range(0..100) {
            0..25 => Mishap::Cut,
            25..40 => Mishap::Reset,
            40..60 => Mishap::HalfFrame,
            60..75 => Mishap::Burst,
            _ => Mishap::Stall(Duration::from_millis(random.random_range(20..900))),
        })
    }
}

/// Pauses that grow while they are in vain, each with some jitter, as a client is asked to make them; in a hurry.
#[derive(Debug)]
pub struct BackOff(u64);

impl BackOff {
    const FIRST: u64 = 10;

    pub fn new() -> Self {
        Self(Self::FIRST)
    }

    /// It was worth it.
    pub fn reset(&mut self) {
        self.0 = Self::FIRST;
    }

    /// Waits, and the next time longer.
    pub fn pause(&mut self, random: &mut ChaCha8Rng) {
        std::thread::sleep(Duration::from_millis(random.random_range(self.0 / 2..=self.0)));
        self.0 = (self.0 * 2).min(250);
    }
}

/// Waits as the server wishes, only five times as fast, as everything is here.
pub fn hinted(seconds: f64) -> Duration {
    Duration::from_secs_f64(seconds / 5.0)
}
