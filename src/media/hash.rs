//! The name of a stored file: the SHA-256 of its bytes.
//!
//! Owns the one way from text to a name. Nothing else ever becomes part of a path, so a URL can't name a file that is
//! not ours.

use std::fmt;

/// SHA-256 of a video's bytes; also the name of its cover.
#[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct ContentHash([u8; 32]);

impl ContentHash {
    /// Wraps a finished digest.
    pub(crate) const fn new(digest: [u8; 32]) -> Self {
        Self(digest)
    }

    /// Exactly 64 lower-case hex digits, or nothing. Upper case is refused so that one file has one URL.
    pub fn parse(text: &str) -> Option<Self> {
        let text = text.as_bytes();
        if text.len() != 64 {
            return None;
        }
        let mut bytes = [0; 32];
        for (byte, pair) in bytes.iter_mut().zip(text.chunks_exact(2)) {
            *byte = digit(pair[0])? << 4 | digit(pair[1])?;
        }
        Some(Self(bytes))
    }

    /// The raw digest.
    pub const fn as_bytes(&self) -> &[u8; 32] {
        &self.0
    }
}

const fn digit(hex: u8) -> Option<u8> {
    match hex {
        b'0'..=b'9' => Some(hex - b'0'),
        b'a'..=b'f' => Some(hex - b'a' + 10),
        _ => None,
    }
}

impl fmt::Display for ContentHash {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.iter().try_for_each(|byte| write!(out, "{byte:02x}"))
    }
}

impl fmt::Debug for ContentHash {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, out)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_64_lower_case_hex_digits_are_a_hash() {
        let text = "00ff".repeat(16);
        let hash = ContentHash::parse(&text).unwrap();
        assert_eq!(hash.as_bytes()[..2], [0, 255]);
        assert_eq!(hash.to_string(), text);
        for bad in [
            "",
            "..",
            &text[1..],
            &text.to_uppercase(),
            &format!("{text}0"),
            &"g".repeat(64),
            &"é".repeat(32),
        ] {
            assert!(ContentHash::parse(bad).is_none(), "{bad}");
        }
        assert!(ContentHash::parse(&format!("../{}", &text[3..])).is_none());
        assert!(ContentHash::parse(&format!("{}\0", &text[1..])).is_none());
    }
}
