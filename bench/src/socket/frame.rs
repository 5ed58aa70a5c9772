//! The framing of RFC 6455, section 5, as a client needs it.
//!
//! Owns the reading of headers and the writing of masked frames. Never reads from a connection.

use std::ops::Range;

use crate::failure::Failure;

/// The largest frame that is read, in bytes; the largest answer of the protocol, a page of history, is far below.
const FRAME_MAX: u64 = 8 << 20;

/// Opcodes of section 11.8.
pub const CONTINUATION: u8 = 0;
pub const TEXT: u8 = 1;
pub const CLOSE: u8 = 8;
pub const PING: u8 = 9;
pub const PONG: u8 = 10;

/// A frame in a buffer.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Frame {
    /// Whether it ends its message.
    pub is_last: bool,
    /// What it is.
    pub opcode: u8,
    /// Where its payload stands; the frame ends with it.
    pub payload: Range<usize>,
}

/// The frame that begins at `from`; `None` while it is incomplete.
pub fn parse(buffer: &[u8], from: usize) -> Result<Option<Frame>, Failure> {
    let bytes = buffer.get(from..).unwrap_or_default();
    let [first, second, rest @ ..] = bytes else {
        return Ok(None);
    };
    if first & 0x70 != 0 || second & 0x80 != 0 {
        return Err(Failure::Protocol(
            "a frame that a server must not send (RFC 6455, 5.1 and 5.2)".to_owned(),
        ));
    }
    let (head, length) = match second & 0x7f {
        126 => match rest.first_chunk() {
            Some(bytes) => (4, u64::from(u16::from_be_bytes(*bytes))),
            None => return Ok(None),
        },
        127 => match rest.first_chunk() {
            Some(bytes) => (10, u64::from_be_bytes(*bytes)),
            None => return Ok(None),
        },
        short => (2, u64::from(short)),
    };
    if length > FRAME_MAX {
        return Err(Failure::Protocol(format!("a frame of {length} bytes")));
    }
    let begin = from + head;
    let end = begin + usize::try_from(length).unwrap_or(usize::MAX >> 1);
    Ok((buffer.len() >= end).then_some(Frame {
        is_last: first & 0x80 != 0,
        opcode: first & 0x0f,
        payload: begin..end,
    }))
}

/// Appends a whole message as one masked frame.
pub fn write(out: &mut Vec<u8>, opcode: u8, payload: &[u8], mask: [u8; 4]) {
    out.push(0x80 | opcode);
    match (u8::try_from(payload.len()), u16::try_from(payload.len())) {
        (Ok(length @ 0..=125), _) => out.push(0x80 | length),
        (_, Ok(length)) => {
            out.push(0xfe);
            out.extend_from_slice(&length.to_be_bytes());
        }
        _ => {
            out.push(0xff);
            out.extend_from_slice(&(payload.len() as u64).to_be_bytes());
        }
    }
    out.extend_from_slice(&mask);
    out.extend(payload.iter().zip(mask.iter().cycle()).map(|(byte, mask)| byte ^ mask));
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_examples_of_the_rfc() {
        // Section 5.7: "Hello", unmasked and masked.
        let frame = parse(b"\x81\x05Hello", 0).unwrap().unwrap();
        assert_eq!((frame.is_last, frame.opcode, frame.payload), (true, TEXT, 2..7));
        let mut out = Vec::new();
        write(&mut out, TEXT, b"Hello", [0x37, 0xfa, 0x21, 0x3d]);
        assert_eq!(out, b"\x81\x85\x37\xfa\x21\x3d\x7f\x9f\x4d\x51\x58");
    }

    #[test]
    fn every_length_comes_back_and_no_half_frame_is_one() {
        for length in [0, 1, 125, 126, 127, 65_535, 65_536] {
            let mut out = Vec::new();
            write(&mut out, TEXT, &vec![b'x'; length], [0; 4]);
            // As a server would have sent it: no mask.
            out[1] &= 0x7f;
            let at = out.len() - length - 4;
            out.drain(at..at + 4);
            let frame = parse(&out, 0).unwrap().unwrap();
            assert_eq!((frame.payload.len(), frame.payload.end), (length, out.len()));
            assert_eq!(parse(&out[..out.len() - 1], 0).unwrap(), None);
        }
    }

    #[test]
    fn what_a_server_must_not_send_is_refused() {
        for wrong in [&b"\x81\x85abcd"[..], b"\xc1\x01a", b"\x81\x7f\x7f\0\0\0\0\0\0\0"] {
            assert!(parse(wrong, 0).is_err(), "{}", wrong.escape_ascii());
        }
    }
}
