//! Messages out of payloads.
//!
//! Owns what RFC 6455 says of a payload: text is UTF-8 (section 8.1), found out at the first byte that can't be, and a
//! close says a code that may be said (section 7.4). Knows nothing of headers and masks.

use super::codec::Violation;

/// Something a client said.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Message {
    /// A whole text, however many fragments it came in.
    Text(String),
    /// Whole bytes.
    Binary(Vec<u8>),
    /// To be answered with the same payload, of at most 125 bytes.
    Ping(Vec<u8>),
    /// The answer to a ping, or one that nobody asked for.
    Pong(Vec<u8>),
    /// The client ends, with this code where it says one.
    Close(Option<u16>),
}

/// A message of which a part is there.
#[derive(Debug)]
pub(super) struct Assembly {
    text: bool,
    data: Vec<u8>,
    /// So many bytes of a text are known to be whole characters.
    checked: usize,
}

impl Assembly {
    pub(super) const fn new(text: bool) -> Self {
        Self {
            text,
            data: Vec::new(),
            checked: 0,
        }
    }

    pub(super) const fn len(&self) -> usize {
        self.data.len()
    }

    /// Where the next part of the payload goes.
    pub(super) const fn buffer(&mut self) -> &mut Vec<u8> {
        &mut self.data
    }

    /// Looks at what is new. A character that is cut in two is judged by what is there of it.
    pub(super) fn check(&mut self) -> Result<(), Violation> {
        if !self.text {
            return Ok(());
        }
        match std::str::from_utf8(&self.data[self.checked..]) {
            Ok(_) => self.checked = self.data.len(),
            Err(error) if error.error_len().is_none() => self.checked += error.valid_up_to(),
            Err(_) => return Err(Violation::InvalidText),
        }
        Ok(())
    }

    pub(super) fn finish(self) -> Result<Message, Violation> {
        if self.text {
            // Text in parts is looked at twice; the second look is what makes it a `String` without `unsafe`.
            let text = String::from_utf8(self.data).map_err(|_| Violation::InvalidText)?;
            Ok(Message::Text(text))
        } else {
            Ok(Message::Binary(self.data))
        }
    }
}

/// The code of a close frame's payload, none for an empty one.
pub(super) fn close_code(payload: &[u8]) -> Result<Option<u16>, Violation> {
    let Some((code, reason)) = payload.split_first_chunk() else {
        return if payload.is_empty() {
            Ok(None)
        } else {
            Err(Violation::Protocol)
        };
    };
    let code = u16::from_be_bytes(*code);
    // The codes of IANA's registry that may stand in a frame, and those of libraries and applications.
    if !matches!(code, 1000..=1003 | 1007..=1014 | 3000..=4999) {
        return Err(Violation::Protocol);
    }
    std::str::from_utf8(reason).map_err(|_| Violation::InvalidText)?;
    Ok(Some(code))
}
