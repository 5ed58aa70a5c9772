//! Aims: what a figure should reach, how that is said, and whether it was reached.
//!
//! Owns the kinds of aims and their words. Never fails a run: aims are the project's for release builds on a machine of its
//! own, and a busy machine misses them for reasons of its own.

use serde::{Deserialize, Serialize};

use crate::units::{show_micros, show_percent, show_rate};

/// An aim. Those of throughput are for closed loops.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[serde(tag = "kind", content = "value", rename_all = "kebab-case")]
pub enum Goal {
    /// At least this share of the ceiling's throughput; of a measure, of what the ceiling has for it.
    OfCeiling(f64),
    /// At least so many units a second.
    UnitsASecond(f64),
    /// The p50 at most so many microseconds above that of `fdatasync`.
    P50BeyondSync(f64),
    /// The p99 at most so many microseconds above that of `fdatasync`.
    P99BeyondSync(f64),
    /// The p99 at most so many microseconds.
    P99AtMost(f64),
    /// The p99 at most so many times that of the first lane of the round, which ran alone.
    P99OfAlone(f64),
    /// A measure of at least this.
    AtLeast(f64),
    /// A measure of at most this.
    AtMost(f64),
    /// A measure of at most so many times what the ceiling has for it.
    CeilingAtMost(f64),
}

impl Goal {
    /// Whether a value reaches it: the one that the kind speaks of, shares and ratios as 1.0 for the whole.
    pub fn is_met(self, value: f64) -> bool {
        match self {
            Self::OfCeiling(least) | Self::UnitsASecond(least) | Self::AtLeast(least) => value >= least,
            Self::P50BeyondSync(most)
            | Self::P99BeyondSync(most)
            | Self::P99AtMost(most)
            | Self::P99OfAlone(most)
            | Self::AtMost(most)
            | Self::CeilingAtMost(most) => value <= most,
        }
    }

    /// The aim for people; `show` writes values of the measure, where it is one.
    pub fn aim(self, show: impl Fn(f64) -> String) -> String {
        match self {
            Self::OfCeiling(least) => format!("≥ {}", show_percent(least)),
            Self::UnitsASecond(least) => format!("≥ {}/s", show_rate(least)),
            Self::P50BeyondSync(most) => format!("p50 ≤ fdatasync's + {}", show_micros(most)),
            Self::P99BeyondSync(most) => format!("p99 ≤ fdatasync's + {}", show_micros(most)),
            Self::P99AtMost(most) => format!("p99 ≤ {}", show_micros(most)),
            Self::P99OfAlone(most) => format!("p99 ≤ {most}× alone"),
            Self::AtLeast(least) => format!("≥ {}", show(least)),
            Self::AtMost(most) => format!("≤ {}", show(most)),
            Self::CeilingAtMost(most) => format!("≤ ×{most}"),
        }
    }

    /// What was reached, where no other figure says it.
    pub fn reached(self, value: f64) -> Option<String> {
        match self {
            Self::P50BeyondSync(_) | Self::P99BeyondSync(_) => {
                let sign = if value < 0.0 { '−' } else { '+' };
                Some(format!("fdatasync's {sign} {}", show_micros(value.abs())))
            }
            Self::P99OfAlone(_) => Some(format!("×{value:.2}")),
            _ => None,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn aims_are_met_from_their_own_side() {
        assert!(Goal::OfCeiling(0.7).is_met(0.7) && !Goal::OfCeiling(0.7).is_met(0.69));
        assert!(Goal::P99BeyondSync(75.0).is_met(-3.0) && !Goal::P99BeyondSync(75.0).is_met(75.1));
        assert!(Goal::CeilingAtMost(1.2).is_met(1.2) && !Goal::AtMost(2.0).is_met(2.1));
        assert!(Goal::AtLeast(0.85).is_met(0.9) && !Goal::AtLeast(0.85).is_met(0.8));
    }

    #[test]
    fn aims_read_well() {
        let nothing = |_| String::new();
        assert_eq!(Goal::P50BeyondSync(75.0).aim(nothing), "p50 ≤ fdatasync's + 75.0 µs");
        assert_eq!(Goal::P99OfAlone(2.0).aim(nothing), "p99 ≤ 2× alone");
        assert_eq!(Goal::AtMost(2.0).aim(show_micros), "≤ 2.00 µs");
        assert_eq!(
            Goal::P50BeyondSync(75.0).reached(-294.9),
            Some("fdatasync's − 295 µs".to_owned())
        );
        assert_eq!(Goal::P99OfAlone(2.0).reached(1.456), Some("×1.46".to_owned()));
        assert_eq!(
            serde_json::to_string(&Goal::P99BeyondSync(2e3)).unwrap(),
            r#"{"kind":"p99-beyond-sync","value":2000.0}"#
        );
    }
}
