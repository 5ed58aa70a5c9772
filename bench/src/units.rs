//! Numbers from one kind to another, in one place: the only casts of the bench.
//!
//! Owns conversions and how figures are written for people. Never rounds in a way that could flatter.

use std::time::Duration;

/// A count as a float. Exact below 2^53, which no count of a run reaches.
#[expect(clippy::cast_precision_loss, reason = "counts of a run stay below 2^53")]
pub const fn float(count: u64) -> f64 {
    count as f64
}

/// A length as a float, as [`float`].
#[expect(clippy::cast_precision_loss, reason = "lengths in memory stay below 2^53")]
pub const fn float_len(count: usize) -> f64 {
    count as f64
}

/// A float as a whole number: rounded, 0 for what is negative or no number, `u64::MAX` for what is too large.
#[expect(
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss,
    reason = "`as` saturates, which is what is promised"
)]
pub fn whole(value: f64) -> u64 {
    value.round() as u64
}

/// As [`whole`], for places in lists.
pub fn index(value: f64) -> usize {
    usize::try_from(whole(value)).unwrap_or(usize::MAX)
}

/// Nanoseconds, saturating after 584 years.
pub fn nanos(duration: Duration) -> u64 {
    u64::try_from(duration.as_nanos()).unwrap_or(u64::MAX)
}

/// Nanoseconds as microseconds.
pub const fn micros(nanos: u64) -> f64 {
    float(nanos) / 1_000.0
}

/// A quotient that is 0 where nothing was divided by nothing, so that no report holds a NaN.
pub fn ratio(value: f64, by: f64) -> f64 {
    if by > 0.0 { value / by } else { 0.0 }
}

/// A time for people, from microseconds: three digits that matter.
pub fn show_micros(micros: f64) -> String {
    if micros >= 1_000_000.0 {
        format!("{} s", digits(micros / 1_000_000.0))
    } else if micros >= 1_000.0 {
        format!("{} ms", digits(micros / 1_000.0))
    } else {
        format!("{} µs", digits(micros))
    }
}

/// A rate for people: thousands are grouped, small ones keep a decimal.
pub fn show_rate(per_second: f64) -> String {
    if per_second < 100.0 {
        return digits(per_second);
    }
    grouped(whole(per_second))
}

/// A whole number with thin gaps between thousands.
pub fn grouped(number: u64) -> String {
    let plain = number.to_string();
    let mut text = String::with_capacity(plain.len() * 4 / 3);
    for (at, digit) in plain.chars().enumerate() {
        if at > 0 && (plain.len() - at).is_multiple_of(3) {
            text.push(',');
        }
        text.push(digit);
    }
    text
}

/// Bytes for people.
pub fn show_bytes(bytes: u64) -> String {
    const KIB: f64 = 1024.0;
    let bytes = float(bytes);
    if bytes >= KIB * KIB * KIB {
        format!("{} GiB", digits(bytes / (KIB * KIB * KIB)))
    } else if bytes >= KIB * KIB {
        format!("{} MiB", digits(bytes / (KIB * KIB)))
    } else {
        format!("{} KiB", digits(bytes / KIB))
    }
}

/// A share as per cent.
pub fn show_percent(share: f64) -> String {
    format!("{} %", digits(share * 100.0))
}

fn digits(value: f64) -> String {
    if value >= 100.0 {
        format!("{value:.0}")
    } else if value >= 10.0 {
        format!("{value:.1}")
    } else {
        format!("{value:.2}")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn figures_read_well() {
        assert_eq!(show_micros(14.25), "14.2 µs");
        assert_eq!(show_micros(5_500.0), "5.50 ms");
        assert_eq!(show_micros(2_000_000.0), "2.00 s");
        assert_eq!(show_rate(131_994.6), "131,995");
        assert_eq!(show_rate(52.34), "52.3");
        assert_eq!(grouped(7), "7");
        assert_eq!(grouped(1_000), "1,000");
        assert_eq!(show_bytes(13 * 1024 * 1024), "13.0 MiB");
        assert_eq!(show_percent(0.873), "87.3 %");
    }

    #[test]
    fn casts_saturate() {
        assert_eq!((whole(-1.0), whole(f64::NAN), whole(f64::INFINITY)), (0, 0, u64::MAX));
        assert!(ratio(1.0, 0.0).abs() < f64::EPSILON);
    }
}
