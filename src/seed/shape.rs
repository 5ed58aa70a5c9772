//! Zipf's law with exponent 1, twice: how many each one gets, and who is drawn.
//!
//! Owns arithmetic and chance only; knows nothing of users or rows.

use std::collections::HashSet;
use std::ops::Range;

use rand::Rng;
use rand::seq::index::sample_weighted;
use rand_distr::{Distribution as _, Zipf};

/// A total split over ranks: rank 1 gets most, rank r about an r-th of that. In whole numbers, so that it is the same
/// on every machine and the shares add up.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Shares {
    /// What rank 1 would get without the cap.
    scale: u64,
    cap: u64,
    /// The ranks that get one more, since the total is not used up by whole shares.
    extra: Range<u64>,
}

impl Shares {
    /// Splits `total` over ranks 1 to `ranks`, none above `cap`. What does not fit (`ranks * cap` is below the total) is
    /// left out; whoever calls makes sure that it fits. `ranks * cap` must be a number of 64 bits.
    pub fn new(total: u64, ranks: u64, cap: u64) -> Self {
        let cap = cap.min(total);
        let mut shares = Self {
            scale: 0,
            cap,
            extra: 0..0,
        };
        // The largest scale whose shares fit into the total; `ranks * cap` gives everybody the cap.
        let (mut fits, mut above) = (0, ranks * cap + 1);
        while above - fits > 1 {
            shares.scale = fits + (above - fits) / 2;
            if shares.sum(ranks) <= total {
                fits = shares.scale;
            } else {
                above = shares.scale;
            }
        }
        shares.scale = fits;
        // One step of the scale more would pass the total, so what is left is fewer than the ranks below the cap.
        let first = fits.checked_div(cap).unwrap_or(0) + 1;
        let left = total - shares.sum(ranks);
        shares.extra = first..(first + left).min(ranks + 1);
        shares
    }

    fn sum(&self, ranks: u64) -> u64 {
        (1..=ranks).map(|rank| (self.scale / rank).min(self.cap)).sum()
    }

    /// The share of a rank; the first is 1.
    pub fn of(&self, rank: u64) -> u64 {
        (self.scale / rank).min(self.cap) + u64::from(self.extra.contains(&rank))
    }
}

/// A cap that is lifelike and has room: nobody takes more than a tenth of the `most` that are possible, unless `total`
/// could not be spread over `ranks` with that much to spare.
pub fn lifelike_cap(total: u64, ranks: u64, most: u64) -> u64 {
    let mut cap = most.div_ceil(10);
    while cap < most && ranks * cap < 2 * total {
        cap *= 2;
    }
    cap.min(most)
}

/// Draws from the indices 0 to `items` (exclusive), each with a weight of 1 / (index + 1).
pub struct Draw {
    zipf: Option<Zipf<f64>>,
    items: u32,
    taken: HashSet<u32>,
    drawn: Vec<u32>,
}

impl Draw {
    /// Over `items`; of none nothing can be drawn.
    pub fn new(items: u32) -> Self {
        Self {
            zipf: Zipf::new(f64::from(items), 1.0).ok(),
            items,
            taken: HashSet::new(),
            drawn: Vec::new(),
        }
    }

    /// One index. 0 when there are no items.
    pub fn one(&self, rng: &mut impl Rng) -> u32 {
        let rank = self.zipf.map_or(1.0, |zipf| zipf.sample(rng));
        #[expect(
            clippy::cast_possible_truncation,
            clippy::cast_sign_loss,
            reason = "a rank is a whole number from 1 to `items`"
        )]
        let rank = rank as u32;
        rank.clamp(1, self.items.max(1)) - 1
    }

    /// `count` different indices that `is_allowed` lets through, in no useful order. `count` is at most what is allowed.
    ///
    /// Both ways draw from the same distribution: one after the other, each by its weight among those not yet drawn.
    pub fn distinct(&mut self, rng: &mut impl Rng, count: u32, is_allowed: impl Fn(u32) -> bool) -> &[u32] {
        self.drawn.clear();
        if count > self.items / 8 {
            // So many that drawing again what was drawn before would take too long: O(items).
            let weight = |index: usize| match u32::try_from(index) {
                Ok(index) if is_allowed(index) => 1.0 / f64::from(index + 1),
                _ => 0.0,
            };
            let drawn = sample_weighted(rng, self.items as usize, weight, count as usize);
            let drawn = drawn.iter().flat_map(|drawn| drawn.iter());
            self.drawn.extend(drawn.filter_map(|index| u32::try_from(index).ok()));
            return &self.drawn;
        }
        self.taken.clear();
        while self.drawn.len() < count as usize {
            let index = self.one(rng);
            if is_allowed(index) && self.taken.insert(index) {
                self.drawn.push(index);
            }
        }
        &self.drawn
    }
}

/// `count` different pairs (low, high) of 0 to `items` (exclusive), evenly spread over all pairs and in ascending order,
/// without memory: one pair from each of `count` equal stretches of the list of all pairs.
pub struct Pairs {
    items: u64,
    count: u64,
    next: u64,
    low: u64,
    /// The place of (low, low + 1) in the list.
    start: u64,
}

impl Pairs {
    /// At most as many as there are: [`Pairs::all`].
    pub fn new(items: u32, count: u64) -> Self {
        Self {
            items: u64::from(items),
            count,
            next: 0,
            low: 0,
            start: 0,
        }
    }

    /// How many pairs there are.
    pub const fn all(items: u32) -> u64 {
        let items = items as u64;
        items * items.saturating_sub(1) / 2
    }

    /// Where a stretch begins in the list of all pairs.
    fn stretch(&self, number: u64) -> u64 {
        let all = self.items * (self.items - 1) / 2;
        let place = u128::from(all) * u128::from(number) / u128::from(self.count);
        // At most `all`, which is a u64.
        u64::try_from(place).unwrap_or(u64::MAX)
    }

    /// The next pair; none after `count` of them.
    pub fn next(&mut self, rng: &mut impl Rng) -> Option<(u32, u32)> {
        use rand::RngExt as _;
        if self.next == self.count {
            return None;
        }
        let place = rng.random_range(self.stretch(self.next)..self.stretch(self.next + 1));
        self.next += 1;
        while place - self.start >= self.items - 1 - self.low {
            self.start += self.items - 1 - self.low;
            self.low += 1;
        }
        let high = self.low + 1 + (place - self.start);
        Some((u32::try_from(self.low).ok()?, u32::try_from(high).ok()?))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use rand::SeedableRng as _;
    use rand_chacha::ChaCha8Rng;

    fn rng() -> ChaCha8Rng {
        ChaCha8Rng::seed_from_u64(7)
    }

    #[test]
    fn shares_add_up_never_grow_with_the_rank_by_more_than_the_rest_and_keep_the_cap() {
        for (total, ranks, cap) in [
            (1_000_000, 100_000, 1_000),
            (1_000_000, 100_000, u64::MAX),
            (10, 3, 4),
            (12, 3, 4),
            (0, 5, 4),
            (5, 1, 9),
            (7, 100, 100),
            (0, 0, 0),
        ] {
            let shares = Shares::new(total, ranks, cap);
            let all: Vec<_> = (1..=ranks).map(|rank| shares.of(rank)).collect();
            assert_eq!(all.iter().sum::<u64>(), total, "{shares:?}");
            assert!(all.iter().all(|share| *share <= cap));
            assert!(all.windows(2).all(|pair| pair[0] + 1 >= pair[1]), "{shares:?}");
        }
    }

    #[test]
    fn an_uncapped_share_is_the_first_one_divided_by_the_rank() {
        let shares = Shares::new(1_000_000, 10_000, u64::MAX);
        // 1,000,000 divided by the harmonic number of 10,000, which is 9.7876
        assert!((102_100..102_700).contains(&shares.of(1)), "{}", shares.of(1));
        for rank in [2, 10, 1_000] {
            assert!(shares.of(rank).abs_diff(shares.of(1) / rank) <= 1);
        }
    }

    #[test]
    fn the_cap_makes_room() {
        assert_eq!(lifelike_cap(1_000_000, 100_000, 10_000), 1_000);
        assert_eq!(lifelike_cap(90, 10, 10), 10);
        assert_eq!(lifelike_cap(30, 10, 10), 8);
        assert_eq!(lifelike_cap(0, 10, 0), 0);
    }

    #[test]
    fn draws_follow_zipf() {
        let draw = Draw::new(1_000);
        let (mut rng, mut counts) = (rng(), vec![0_u32; 1_000]);
        for _ in 0..100_000 {
            counts[draw.one(&mut rng) as usize] += 1;
        }
        // The harmonic number of 1,000 is 7.485: 13,360 for the first, and an r-th of it for rank r.
        for (index, expected) in [(0, 13_360_f64), (1, 6_680.0), (9, 1_336.0), (99, 133.6)] {
            let deviation = (f64::from(counts[index]) - expected).abs();
            assert!(deviation < 5.0 * expected.sqrt(), "{index}: {}", counts[index]);
        }
        assert!(counts.iter().filter(|count| **count > 0).count() > 990);
        assert_eq!(Draw::new(0).one(&mut rng), 0);
    }

    #[test]
    fn distinct_draws_are_distinct_and_allowed_however_many() {
        for items in [1, 2, 9, 100] {
            for count in 0..items {
                let mut draw = Draw::new(items);
                let forbidden = count % items;
                let mut drawn = draw.distinct(&mut rng(), count, |index| index != forbidden).to_vec();
                drawn.sort_unstable();
                drawn.dedup();
                assert_eq!(drawn.len(), count as usize);
                assert!(drawn.iter().all(|index| *index < items && *index != forbidden));
            }
            assert_eq!(
                Draw::new(items).distinct(&mut rng(), items, |_| true).len(),
                items as usize
            );
        }
    }

    #[test]
    fn both_ways_of_distinct_draws_have_the_same_distribution() {
        let (mut rng, rounds, mut first) = (rng(), 20_000, [0_u32; 2]);
        let mut draw = Draw::new(16);
        for _ in 0..rounds {
            // Two are drawn one by one, three (more than an eighth) at once; compare how often the pair has index 0.
            first[0] += u32::from(draw.distinct(&mut rng, 2, |index| index < 8).contains(&0));
            first[1] += u32::from(draw.distinct(&mut rng, 3, |index| index < 8).contains(&0));
        }
        // Of weights 1, 1/2 … 1/8: the exact chances that the first is among two and among three.
        let chance = |draws: u32| -> f64 {
            fn missed(left: u32, gone: &[u32]) -> f64 {
                let weight = |index: u32| 1.0 / (f64::from(index) + 1.0);
                let open = (0..8).filter(|index| !gone.contains(index));
                let sum: f64 = open.clone().map(weight).sum();
                if left == 0 {
                    return 1.0;
                }
                open.filter(|index| *index > 0)
                    .map(|index| weight(index) / sum * missed(left - 1, &[gone, &[index]].concat()))
                    .sum()
            }
            1.0 - missed(draws, &[])
        };
        for (seen, draws) in first.into_iter().zip([2, 3]) {
            let share = f64::from(seen) / f64::from(rounds);
            assert!(
                (share - chance(draws)).abs() < 0.02,
                "{draws}: {share} and {}",
                chance(draws)
            );
        }
    }

    #[test]
    fn pairs_are_distinct_ordered_and_complete() {
        for (items, count) in [(2, 1), (5, 10), (5, 3), (100, 1_000), (1_000, 20)] {
            let (mut pairs, mut rng, mut all) = (Pairs::new(items, count), rng(), Vec::new());
            while let Some(pair) = pairs.next(&mut rng) {
                all.push(pair);
            }
            assert_eq!(all.len() as u64, count);
            assert!(all.windows(2).all(|two| two[0] < two[1]), "{all:?}");
            assert!(all.iter().all(|(low, high)| low < high && *high < items));
        }
        assert_eq!((Pairs::all(0), Pairs::all(1), Pairs::all(5)), (0, 0, 10));
    }
}
