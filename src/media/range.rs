//! Which bytes of a file a request asks for (RFC 9110, section 14).
//!
//! Owns the reading of `Range`. actix-web's own type drops bad parts of a list and takes `+5` for a number; a header
//! that is not understood in full must be ignored in full (14.2). Several ranges are answered with the whole file,
//! which the RFC allows: it is never more than the file once, and no player asks for more than one.

/// A header longer than this is ignored unread. Ten digits a side and two for a list are far below.
const MAX_HEADER: usize = 512;

/// What to answer.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Selection {
    /// 200: no range, one that is not understood, or several.
    Whole,
    /// 206: from the first to the last byte, both included; `first <= last < length`.
    Part { first: u64, last: u64 },
    /// 416: nothing of what is asked for exists.
    Unsatisfiable,
}

/// Selects from a file of `length` bytes.
pub(super) fn select(header: &[u8], length: u64) -> Selection {
    let ranges = || {
        let text = std::str::from_utf8(header.get(..header.len().min(MAX_HEADER + 1))?).ok()?;
        let (unit, set) = text.split_once('=')?;
        (text.len() <= MAX_HEADER && unit.eq_ignore_ascii_case("bytes")).then_some(set)
    };
    let Some(set) = ranges() else {
        return Selection::Whole;
    };
    let mut selected = None;
    // Empty list members are allowed (5.6.1.2).
    for member in set
        .split(',')
        .map(|member| member.trim_matches([' ', '\t']))
        .filter(|member| !member.is_empty())
    {
        let Some(range) = Spec::parse(member) else {
            return Selection::Whole;
        };
        selected = match (selected, range.within(length)) {
            (None | Some(Selection::Unsatisfiable), part) => Some(part),
            (some, Selection::Unsatisfiable) => some,
            _ => Some(Selection::Whole),
        };
    }
    selected.unwrap_or(Selection::Whole)
}

enum Spec {
    From { first: u64, last: u64 },
    Last(u64),
}

impl Spec {
    fn parse(text: &str) -> Option<Self> {
        let (first, last) = text.split_once('-')?;
        if first.is_empty() {
            return number(last).map(Self::Last);
        }
        let first = number(first)?;
        let last = if last.is_empty() { u64::MAX } else { number(last)? };
        (first <= last).then_some(Self::From { first, last })
    }

    fn within(&self, length: u64) -> Selection {
        match *self {
            Self::From { first, last } if first < length => Selection::Part {
                first,
                last: last.min(length - 1),
            },
            Self::Last(count) if count > 0 && length > 0 => Selection::Part {
                first: length.saturating_sub(count),
                last: length - 1,
            },
            _ => Selection::Unsatisfiable,
        }
    }
}

/// `1*DIGIT`; more than 64 bits hold means "beyond any file".
fn number(text: &str) -> Option<u64> {
    if text.is_empty() || !text.bytes().all(|byte| byte.is_ascii_digit()) {
        return None;
    }
    Some(text.parse().unwrap_or(u64::MAX))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const fn part(first: u64, last: u64) -> Selection {
        Selection::Part { first, last }
    }

    #[test]
    fn every_form_of_one_range() {
        let cases = [
            ("bytes=0-0", part(0, 0)),
            ("bytes=0-99", part(0, 99)),
            ("bytes=10-19", part(10, 19)),
            ("bytes=90-1000", part(90, 99)),
            ("bytes=90-99999999999999999999999", part(90, 99)),
            ("bytes=50-", part(50, 99)),
            ("bytes=-1", part(99, 99)),
            ("bytes=-1000", part(0, 99)),
            ("BYTES=5-6", part(5, 6)),
            ("bytes= 5-6\t", part(5, 6)),
            ("bytes=,5-6,", part(5, 6)),
            ("bytes=100-", Selection::Unsatisfiable),
            ("bytes=100-200", Selection::Unsatisfiable),
            ("bytes=99999999999999999999999-", Selection::Unsatisfiable),
            ("bytes=-0", Selection::Unsatisfiable),
        ];
        for (header, expected) in cases {
            assert_eq!(select(header.as_bytes(), 100), expected, "{header}");
        }
    }

    #[test]
    fn what_is_not_understood_is_ignored_whole() {
        for header in [
            "",
            "bytes",
            "bytes=",
            "bytes=-",
            "bytes=--5",
            "bytes=5",
            "bytes=9-5",
            "bytes=+5-6",
            "bytes=a-b",
            "bytes=1-2-3",
            "bytes=0x1-2",
            "bytes=1 - 2",
            "lines=0-5",
            "bytes=0-4,x",
            "bytes:0-4",
            "bytes=٣-٤",
        ] {
            assert_eq!(select(header.as_bytes(), 100), Selection::Whole, "{header}");
        }
        assert_eq!(select(b"bytes=0-\xff", 100), Selection::Whole);
        let long = format!("bytes=0-1{}", " ".repeat(MAX_HEADER));
        assert_eq!(select(long.as_bytes(), 100), Selection::Whole);
    }

    #[test]
    fn several_ranges_are_the_whole_file_unless_one_alone_exists() {
        assert_eq!(select(b"bytes=0-1,5-6", 100), Selection::Whole);
        assert_eq!(select(b"bytes=0-,0-,0-,0-", 100), Selection::Whole);
        assert_eq!(select(b"bytes=200-300,5-6", 100), part(5, 6));
        assert_eq!(select(b"bytes=5-6,200-300", 100), part(5, 6));
        assert_eq!(select(b"bytes=200-300,400-", 100), Selection::Unsatisfiable);
    }

    #[test]
    fn an_empty_file_has_no_range() {
        for header in ["bytes=0-", "bytes=-5", "bytes=0-0"] {
            assert_eq!(select(header.as_bytes(), 0), Selection::Unsatisfiable);
        }
    }

    proptest! {
        #[test]
        fn a_selected_part_always_lies_in_the_file(header in "bytes=[-0-9, ]{0,30}", length in any::<u64>()) {
            if let Selection::Part { first, last } = select(header.as_bytes(), length) {
                prop_assert!(first <= last && last < length);
            }
        }
    }
}
