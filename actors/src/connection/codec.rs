//! Frames of RFC 6455 from client to server, out of bytes in any split.
//!
//! Owns section 5 of the RFC on the receiving side: headers, masking, the order of frames. What a message's payload must
//! be (UTF-8, its bound) is `message`'s; what is sent, `push`'s. actix-http's codec was refused: it does not look at
//! reserved bits and close codes, and leaves fragments to the application. Allocates nothing but payloads that have
//! arrived, whatever a header promises.

use bytes::{Buf as _, Bytes};

use super::message::{self, Assembly, Message};
use crate::close::CloseCode;

/// How a client broke the protocol.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum Violation {
    /// Framing: sections 5.1 to 5.5, 7.4.
    #[error("the framing is broken")]
    Protocol,
    /// Section 8.1.
    #[error("text that is not UTF-8")]
    InvalidText,
    /// A message beyond the bound.
    #[error("a message that is too big")]
    TooBig,
}

impl Violation {
    /// The code that the connection is closed with.
    pub const fn code(self) -> CloseCode {
        match self {
            Self::Protocol => CloseCode::Protocol,
            Self::InvalidText => CloseCode::InvalidText,
            Self::TooBig => CloseCode::TooBig,
        }
    }
}

/// A control payload's bound, section 5.5.
const CONTROL_BYTES: usize = 125;

/// The longest header: two bytes, a length of eight, a mask of four.
const HEADER_BYTES: usize = 14;

/// A client's bytes become messages. What was pushed and not asked for is kept as it came, so whoever pushes asks until
/// nothing comes before pushing again.
#[derive(Debug)]
pub struct Decoder {
    /// Bytes a message may have.
    limit: usize,
    input: Bytes,
    header: [u8; HEADER_BYTES],
    header_bytes: u8,
    frame: Option<Frame>,
    /// A control frame's payload, apart from the message that it may stand in the middle of.
    control: Vec<u8>,
    message: Option<Assembly>,
    /// After a close frame or a violation nothing is read any more.
    ended: bool,
}

/// A frame whose header is complete.
#[derive(Debug, Clone, Copy)]
struct Frame {
    kind: Kind,
    last: bool,
    remaining: u64,
    /// Turned so that its first byte belongs to the next byte of the payload.
    mask: [u8; 4],
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Kind {
    Data,
    Close,
    Ping,
    Pong,
}

impl Decoder {
    /// For messages of at most `limit` bytes.
    pub const fn new(limit: usize) -> Self {
        Self {
            limit,
            input: Bytes::new(),
            header: [0; HEADER_BYTES],
            header_bytes: 0,
            frame: None,
            control: Vec::new(),
            message: None,
            ended: false,
        }
    }

    /// The next bytes of the stream.
    pub fn push(&mut self, bytes: Bytes) {
        if self.ended {
            return;
        }
        if self.input.is_empty() {
            self.input = bytes;
        } else {
            self.input = [&self.input[..], &bytes[..]].concat().into();
        }
    }

    /// The next message, or `None` until more bytes come. A violation and a close are the last thing that is said.
    pub fn next_message(&mut self) -> Result<Option<Message>, Violation> {
        let result = self.advance();
        if matches!(result, Err(_) | Ok(Some(Message::Close(_)))) {
            *self = Self {
                ended: true,
                ..Self::new(self.limit)
            };
        } else if self.input.is_empty() {
            // Even an empty slice holds on to the buffer that it came from.
            self.input = Bytes::new();
        }
        result
    }

    /// Whether a frame or a message is in the middle.
    pub const fn is_partial(&self) -> bool {
        self.header_bytes > 0 || self.frame.is_some() || self.message.is_some()
    }

    /// Whether a new one would know as much.
    pub const fn is_idle(&self) -> bool {
        !self.is_partial() && self.input.is_empty() && !self.ended
    }

    fn advance(&mut self) -> Result<Option<Message>, Violation> {
        while !self.ended {
            let Some(frame) = self.header()? else {
                return Ok(None);
            };
            let Some(frame) = self.payload(frame)? else {
                return Ok(None);
            };
            if let Some(message) = self.finish(frame)? {
                return Ok(Some(message));
            }
        }
        Ok(None)
    }

    /// The frame at hand. Each byte of a header is judged as soon as it is there.
    fn header(&mut self) -> Result<Option<Frame>, Violation> {
        if let Some(frame) = self.frame {
            return Ok(Some(frame));
        }
        while self.input.has_remaining() {
            let at = usize::from(self.header_bytes);
            self.header[at] = self.input.get_u8();
            self.header_bytes += 1;
            match at {
                0 => check_first(self.header[0], self.message.is_some())?,
                1 => check_second(self.header[0], self.header[1])?,
                2 if self.header[1] & 0x7F == 127 && self.header[2] & 0x80 != 0 => return Err(Violation::Protocol),
                _ => {}
            }
            if at > 0 && at + 1 == header_length(self.header[1]) {
                return self.open().map(Some);
            }
        }
        Ok(None)
    }

    /// The header is complete: refuses what is too big before a byte of it is kept.
    fn open(&mut self) -> Result<Frame, Violation> {
        let header = self.header;
        self.header_bytes = 0;
        let length_bytes = header_length(header[1]) - 6;
        let remaining = match length_bytes {
            0 => u64::from(header[1] & 0x7F),
            _ => header[2..2 + length_bytes]
                .iter()
                .fold(0, |length, byte| length << 8 | u64::from(*byte)),
        };
        let mask = &header[2 + length_bytes..];
        let kind = match header[0] & 0xF {
            0x8 => Kind::Close,
            0x9 => Kind::Ping,
            0xA => Kind::Pong,
            _ => Kind::Data,
        };
        if kind == Kind::Data {
            let message = self.message.get_or_insert_with(|| Assembly::new(header[0] & 0xF == 1));
            let room = self.limit.saturating_sub(message.len());
            if remaining > u64::try_from(room).unwrap_or(u64::MAX) {
                return Err(Violation::TooBig);
            }
        }
        let frame = Frame {
            kind,
            last: header[0] & 0x80 != 0,
            remaining,
            mask: [mask[0], mask[1], mask[2], mask[3]],
        };
        self.frame = Some(frame);
        Ok(frame)
    }

    /// Takes what is there of the payload; the frame when that was all of it.
    fn payload(&mut self, mut frame: Frame) -> Result<Option<Frame>, Violation> {
        let there =
            usize::try_from(frame.remaining).map_or(self.input.len(), |remaining| remaining.min(self.input.len()));
        let part = self.input.split_to(there);
        let payload = match (frame.kind, &mut self.message) {
            (Kind::Data, Some(message)) => message.buffer(),
            _ => &mut self.control,
        };
        let start = payload.len();
        payload.extend_from_slice(&part);
        unmask(&mut payload[start..], frame.mask);
        frame.mask.rotate_left(there % 4);
        frame.remaining -= there as u64;
        let complete = frame.remaining == 0;
        self.frame = (!complete).then_some(frame);
        if !complete && frame.kind == Kind::Data && there > 0 {
            self.message.as_mut().map_or(Ok(()), Assembly::check)?;
        }
        Ok(complete.then_some(frame))
    }

    fn finish(&mut self, frame: Frame) -> Result<Option<Message>, Violation> {
        if frame.kind == Kind::Data {
            return match self.message.take() {
                Some(message) if frame.last => message.finish().map(Some),
                Some(mut message) => {
                    message.check()?;
                    self.message = Some(message);
                    Ok(None)
                }
                None => Ok(None),
            };
        }
        let payload = std::mem::take(&mut self.control);
        Ok(Some(match frame.kind {
            Kind::Ping => Message::Ping(payload),
            Kind::Pong => Message::Pong(payload),
            _ => Message::Close(message::close_code(&payload)?),
        }))
    }
}

/// FIN, the reserved bits and the opcode; whether a message is `open` decides about continuations (section 5.4).
const fn check_first(first: u8, open: bool) -> Result<(), Violation> {
    let last = first & 0x80 != 0;
    let fits = match first & 0xF {
        0x0 => open,
        0x1 | 0x2 => !open,
        0x8..=0xA => last,
        _ => false,
    };
    if fits && first & 0x70 == 0 {
        Ok(())
    } else {
        Err(Violation::Protocol)
    }
}

/// The mask bit, which every client's frame has, and the length of control frames.
const fn check_second(first: u8, second: u8) -> Result<(), Violation> {
    let control = first & 0x8 != 0;
    if second & 0x80 == 0 || (control && (second & 0x7F) as usize > CONTROL_BYTES) {
        return Err(Violation::Protocol);
    }
    Ok(())
}

/// How long a header with this second byte is, with its mask.
const fn header_length(second: u8) -> usize {
    match second & 0x7F {
        126 => 8,
        127 => HEADER_BYTES,
        _ => 6,
    }
}

/// Eight bytes at a time, which the compiler makes vectors of: 16 MiB a byte at a time is felt.
fn unmask(payload: &mut [u8], mask: [u8; 4]) {
    let [a, b, c, d] = mask;
    let wide = [a, b, c, d, a, b, c, d];
    let (words, rest) = payload.as_chunks_mut::<8>();
    for word in words {
        *word = (u64::from_ne_bytes(*word) ^ u64::from_ne_bytes(wide)).to_ne_bytes();
    }
    for (byte, mask) in rest.iter_mut().zip(wide) {
        *byte ^= mask;
    }
}

#[cfg(test)]
mod tests;
