//! Numbers as the camp's clients write them.
//!
//! Owns the exact reading of ids, actions and times (contract 3.6, 5.1, 7.5). Never wraps, rounds or guesses: float64
//! tools print ids from a million up as `1e+06`, so an exactly integral exponent is read exactly and all else is refused.

use std::num::IntErrorKind;

/// The largest id: beyond 2^53 JavaScript and the official Go tests, which read numbers as float64, lose the tail.
pub const MAX_ID: i64 = 1 << 53;

/// From here on a time is in milliseconds, below it in seconds (contract 5.1); 10^11 s is the year 5138.
const MILLISECONDS_FROM: i64 = 100_000_000_000;

/// No number that means anything is written longer; keeps every reading below constant in cost.
const MAX_LEN: usize = 32;

/// Why a text is no whole number that fits.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum NotWhole {
    /// Not a number, not whole, or written in a way nobody needs.
    Garbage,
    /// A whole number, not negative, but over `i64::MAX`.
    TooLarge,
}

/// Reads `0`, `42`, `1e+06`, `1.234567e6`: no sign, no blank, no hexadecimal, ASCII digits only.
///
/// Exponent notation counts only when its value is whole; a negative exponent is refused, since no formatter prints a
/// whole number so. A decimal point without an exponent is refused as well: `1.0` is not how anything prints an id.
pub fn whole(text: &str) -> Result<i64, NotWhole> {
    if text.len() > MAX_LEN {
        return Err(NotWhole::Garbage);
    }
    let Some((mantissa, exponent)) = text.split_once(['e', 'E']) else {
        return digits(text);
    };
    let exponent = exponent.strip_prefix('+').unwrap_or(exponent);
    if !(1..=3).contains(&exponent.len()) {
        return Err(NotWhole::Garbage);
    }
    let exponent = usize::try_from(digits(exponent)?).map_err(|_| NotWhole::Garbage)?;
    let (head, fraction) = match mantissa.split_once('.') {
        Some((_, "")) => return Err(NotWhole::Garbage),
        Some(parts) => parts,
        None => (mantissa, ""),
    };
    if head.is_empty() || !(head.bytes().chain(fraction.bytes())).all(|byte| byte.is_ascii_digit()) {
        return Err(NotWhole::Garbage);
    }
    shifted(head, fraction, exponent)
}

/// `head.fraction` × 10^exponent, by moving the point through the digits, so that nothing is ever rounded.
fn shifted(head: &str, fraction: &str, exponent: usize) -> Result<i64, NotWhole> {
    let fraction = fraction.trim_end_matches('0');
    let Some(zeros) = exponent.checked_sub(fraction.len()) else {
        return Err(NotWhole::Garbage);
    };
    let significant = format!("{head}{fraction}");
    let significant = significant.trim_start_matches('0');
    if significant.is_empty() {
        return Ok(0);
    }
    if significant.len() + zeros > 19 {
        return Err(NotWhole::TooLarge);
    }
    digits(&format!("{significant}{}", "0".repeat(zeros)))
}

/// Plain ASCII digits, at least one. (`str::parse` alone would also take a plus sign.)
fn digits(text: &str) -> Result<i64, NotWhole> {
    if !text.bytes().all(|byte| byte.is_ascii_digit()) {
        return Err(NotWhole::Garbage);
    }
    text.parse()
        .map_err(|error: std::num::ParseIntError| match error.kind() {
            IntErrorKind::PosOverflow => NotWhole::TooLarge,
            _ => NotWhole::Garbage,
        })
}

/// Seconds or milliseconds, told apart by size, as milliseconds since the epoch.
fn to_milliseconds(time: i64) -> i64 {
    if time >= MILLISECONDS_FROM { time } else { time * 1000 }
}

/// `latest_time` of the feed (contract 5.1): `Some` bound in milliseconds, or None for "no upper bound" when the text is
/// empty, 0, negative, garbage or overflowing. What lies in the future is for the feed to judge: it may be a cursor.
pub fn latest_time(text: &str) -> Option<i64> {
    match whole(text) {
        Ok(0) | Err(_) => None,
        Ok(time) => Some(to_milliseconds(time)),
    }
}

/// `pre_msg_time` of the chat (contract 7.5) in milliseconds: 0, "everything", when empty, negative or garbage.
///
/// A number too large for 64 bits is a time in the far future, hence "nothing yet": a client that has mangled its clock
/// must not be sent the whole history once a second.
pub fn pre_msg_time(text: &str) -> i64 {
    match whole(text) {
        Ok(time) => to_milliseconds(time),
        Err(NotWhole::TooLarge) => i64::MAX,
        Err(NotWhole::Garbage) => 0,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn what_go_prints_for_a_float_is_read_back_exactly() {
        for (text, value) in [
            ("1", 1),
            ("999999", 999_999),
            ("1e+06", 1_000_000),
            ("1.234567e+06", 1_234_567),
            ("1.15e+18", 1_150_000_000_000_000_000),
            ("9.007199254740992e+15", MAX_ID),
            ("1.50E3", 1500),
            ("007", 7),
            ("0e+00", 0),
            ("0.000e2", 0),
            ("9223372036854775807", i64::MAX),
        ] {
            assert_eq!(whole(text), Ok(value), "{text}");
        }
    }

    #[test]
    fn everything_else_is_refused() {
        for text in [
            "",
            " ",
            "+1",
            "-1",
            " 1",
            "1 ",
            "0x10",
            "1.5",
            "1.0",
            "1e-1",
            "10e-1",
            "1e",
            "e5",
            ".5e1",
            "1.e5",
            "1ee5",
            "1e5e5",
            "1.2.3e9",
            "1.25e1",
            "1e1.0",
            "1e++5",
            "null",
            "NaN",
            "inf",
            "true",
            "1_000",
            "1,000",
            "１２",
            "१२",
            "1\0",
            "1e+0006",
            "000000000000000000000000000000001",
        ] {
            assert_eq!(whole(text), Err(NotWhole::Garbage), "{text:?}");
        }
        for text in [
            "9223372036854775808",
            "99999999999999999999999",
            "1e19",
            "9.3e18",
            "1e999",
        ] {
            assert_eq!(whole(text), Err(NotWhole::TooLarge), "{text:?}");
        }
    }

    #[test]
    fn times_are_told_apart_by_size() {
        let now = 1_700_000_000_123;
        assert_eq!(latest_time("1700000000123"), Some(now));
        assert_eq!(latest_time("1.700000000123e+12"), Some(now));
        assert_eq!(latest_time("1700000000"), Some(1_700_000_000_000));
        assert_eq!(latest_time("100000000000"), Some(100_000_000_000));
        for open in ["", "0", "-5", "2006-01-02T15:04:05.999Z", "9".repeat(40).as_str()] {
            assert_eq!(latest_time(open), None, "{open}");
        }
        assert_eq!(pre_msg_time("1700000000456"), 1_700_000_000_456);
        assert_eq!(pre_msg_time("1700000000"), 1_700_000_000_000);
        assert_eq!(pre_msg_time("99999999999999999999"), i64::MAX);
        for all in ["", "0", "-1", "soon"] {
            assert_eq!(pre_msg_time(all), 0, "{all}");
        }
    }

    /// The same grammar again, in wide arithmetic instead of moved digits.
    fn by_arithmetic(head: u64, fraction: &str, exponent: u32) -> Option<i128> {
        let scale = 10_i128.checked_pow(u32::try_from(fraction.len()).ok()?)?;
        let fraction: i128 = if fraction.is_empty() { 0 } else { fraction.parse().ok()? };
        let mantissa = i128::from(head).checked_mul(scale)?.checked_add(fraction)?;
        let value = mantissa.checked_mul(10_i128.checked_pow(exponent)?)?;
        (value % scale == 0).then_some(value / scale)
    }

    proptest! {
        #[test]
        fn exponents_agree_with_wide_arithmetic(head in 0..2_000_u64, fraction in "[0-9]{0,6}", exponent in 0..14_u32) {
            let text = if fraction.is_empty() {
                format!("{head}e+{exponent:02}")
            } else {
                format!("{head}.{fraction}e{exponent}")
            };
            let expected = by_arithmetic(head, &fraction, exponent).and_then(|value| i64::try_from(value).ok());
            prop_assert_eq!(whole(&text).ok(), expected, "{}", text);
        }

        #[test]
        fn plain_digits_agree_with_wide_arithmetic(value in any::<u128>()) {
            let value = value >> (value % 128);
            let text = value.to_string();
            let expected = i64::try_from(value).ok();
            prop_assert_eq!(whole(&text).ok(), expected.filter(|_| text.len() <= MAX_LEN), "{}", text);
        }

        #[test]
        fn nothing_panics(text in any::<String>()) {
            let read = whole(&text);
            prop_assert!(!matches!(read, Ok(value) if value < 0));
            prop_assert!(pre_msg_time(&text) >= 0);
            prop_assert!(latest_time(&text).is_none_or(|bound| bound > 0));
        }

        #[test]
        fn number_like_texts_do_not_panic(text in "[0-9.eE+-]{0,40}") {
            let _ = whole(&text);
        }
    }
}
