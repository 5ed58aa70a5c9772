//! The scenarios, a file each.

pub mod chat;
mod deliveries;
pub mod fan_out;
pub mod feed;
pub mod followers;
pub mod idle;
pub mod like_storm;
pub mod live_counters;
pub mod login_storm;
pub mod mix;
pub mod user_info;

use std::time::Duration;

use rand::Rng;
use rand_distr::{Distribution as _, Zipf};

use crate::units::{float_len, index};

/// How long other users' views of counts may lag behind (contract, 9). Tests know that theirs don't.
const LAG: Duration = if cfg!(test) {
    Duration::from_millis(200)
} else {
    Duration::from_secs(5)
};

/// Connections that one user has at most: twice as many are below the server's default of 16, since all come back before
/// the server may have noticed that they were gone.
const OF_ONE_USER: usize = 7;

/// Places 0 to `items` (exclusive), each with a weight of 1 / (place + 1): what is hot is asked most.
#[derive(Debug, Clone, Copy)]
pub struct Popular {
    zipf: Option<Zipf<f64>>,
    items: usize,
}

impl Popular {
    /// Over so many items; of none only 0 is drawn.
    pub fn of(items: usize) -> Self {
        Self {
            zipf: Zipf::new(float_len(items), 1.0).ok(),
            items,
        }
    }

    /// A place.
    pub fn draw(&self, rng: &mut impl Rng) -> usize {
        let rank = self.zipf.map_or(1, |zipf| index(zipf.sample(rng)));
        rank.clamp(1, self.items.max(1)) - 1
    }
}
