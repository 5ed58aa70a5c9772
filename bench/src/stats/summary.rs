//! Figures from figures: percentiles of a histogram, the median and the spread of rounds.

use hdrhistogram::Histogram;
use serde::{Deserialize, Serialize};

use crate::units::micros;

/// The quantiles that results hold: what tables show, and enough between for a curve that bends where it should.
pub const POINTS: [f64; 22] = [
    0.0, 0.1, 0.2, 0.3, 0.4, 0.5, 0.6, 0.7, 0.75, 0.8, 0.85, 0.9, 0.95, 0.975, 0.99, 0.995, 0.9975, 0.999, 0.9995,
    0.9999, 0.99999, 1.0,
];

/// A point of a percentile curve.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct Point {
    /// 0 to 1.
    pub quantile: f64,
    /// Microseconds.
    pub micros: f64,
}

/// The curve of a histogram of nanoseconds. Quantiles that it has too few values for are left out: of a hundred
/// operations nobody knows the 99.9th percentile.
pub fn percentiles(histogram: &Histogram<u64>) -> Vec<Point> {
    let count = crate::units::float(histogram.len());
    POINTS
        .into_iter()
        .filter(|quantile| *quantile >= 1.0 || (1.0 - quantile) * count >= 1.0)
        .map(|quantile| Point {
            quantile,
            micros: micros(histogram.value_at_quantile(quantile)),
        })
        .collect()
}

/// One figure over several rounds.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub struct Spread {
    /// The middle one; the mean of both where there are two of them.
    pub median: f64,
    /// The smallest.
    pub min: f64,
    /// The largest.
    pub max: f64,
    /// Round by round, in their order.
    pub rounds: Vec<f64>,
}

impl Spread {
    /// Of what the rounds saw; `None` where they saw nothing.
    pub fn of(rounds: impl IntoIterator<Item = f64>) -> Option<Self> {
        let rounds: Vec<_> = rounds.into_iter().collect();
        let mut sorted = rounds.clone();
        sorted.sort_by(f64::total_cmp);
        let (min, max) = (*sorted.first()?, *sorted.last()?);
        let middle = sorted.len() / 2;
        let median = if sorted.len().is_multiple_of(2) {
            f64::midpoint(sorted[middle - 1], sorted[middle])
        } else {
            sorted[middle]
        };
        Some(Self {
            median,
            min,
            max,
            rounds,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn medians_and_bounds() {
        let spread = Spread::of([3.0, 1.0, 2.0]).unwrap();
        assert_eq!((spread.median, spread.min, spread.max), (2.0, 1.0, 3.0));
        assert_eq!(spread.rounds, [3.0, 1.0, 2.0], "rounds keep their order, for pairs");
        assert_eq!(Spread::of([1.0, 4.0, 2.0, 3.0]).map(|spread| spread.median), Some(2.5));
        assert_eq!(Spread::of([]), None);
    }

    #[test]
    fn no_percentile_is_claimed_that_was_not_seen() {
        let mut histogram = Histogram::new(3).unwrap();
        for _ in 0..100 {
            histogram.record(1_000).unwrap();
        }
        let points = percentiles(&histogram);
        let quantiles: Vec<_> = points.iter().map(|point| point.quantile).collect();
        assert!(quantiles.contains(&0.99) && !quantiles.contains(&0.999) && quantiles.contains(&1.0));
        assert!(points.iter().all(|point| (point.micros - 1.0).abs() < 0.01));
    }
}
