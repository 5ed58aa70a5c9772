//! What a connection hands to its socket next.
//!
//! Owns how frames become writes: small ones are put together, large ones go as they are, shared. The connection takes
//! nothing new from anywhere while something is left here, which is what bounds it.

use std::collections::VecDeque;

use bytes::{Bytes, BytesMut};

use crate::push::Frame;

/// Frames below this are copied into one write: a poll of the connection costs more than the copy.
const SMALL: usize = 4 << 10;

/// A write of small frames ends about here.
const WRITE: usize = 16 << 10;

/// Frames in their order.
#[derive(Debug, Default)]
pub(super) struct Outgoing {
    frames: VecDeque<Frame>,
    bytes: usize,
}

impl Outgoing {
    pub(super) fn push(&mut self, frame: Frame) {
        self.bytes += frame.len();
        self.frames.push_back(frame);
    }

    pub(super) fn is_empty(&self) -> bool {
        self.frames.is_empty()
    }

    /// Whether what is here fills a write: nothing more should be taken in before it is handed over.
    pub(super) const fn is_full(&self) -> bool {
        self.bytes >= WRITE
    }

    /// The next write; nothing is held any more when it was the last.
    pub(super) fn write(&mut self) -> Option<Bytes> {
        let first = self.frames.pop_front()?;
        let mut length = first.len();
        self.bytes -= length;
        let mut more = 0;
        if length < SMALL {
            for frame in self.frames.iter().take_while(|frame| frame.len() < SMALL) {
                if length + frame.len() > WRITE {
                    break;
                }
                length += frame.len();
                more += 1;
            }
        }
        let bytes = if more == 0 {
            first.bytes()
        } else {
            self.together(&first, more, length)
        };
        if self.frames.is_empty() {
            self.frames = VecDeque::new();
        }
        Some(bytes)
    }

    fn together(&mut self, first: &Frame, more: usize, length: usize) -> Bytes {
        let mut bytes = BytesMut::with_capacity(length);
        bytes.extend_from_slice(&first.bytes());
        for frame in self.frames.drain(..more) {
            self.bytes -= frame.len();
            bytes.extend_from_slice(&frame.bytes());
        }
        bytes.freeze()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::push::Opcode;

    #[test]
    fn small_frames_go_together_and_large_ones_are_not_copied() {
        let mut outgoing = Outgoing::default();
        let large = Frame::new(Opcode::Text, &vec![b'x'; 20_000]);
        for text in ["a", "bc"] {
            outgoing.push(Frame::text(text));
        }
        outgoing.push(large.clone());
        outgoing.push(Frame::text("d"));
        assert!(outgoing.is_full());
        assert_eq!(outgoing.write().unwrap(), &b"\x81\x01a\x81\x02bc"[..]);
        assert_eq!(outgoing.write().unwrap().as_ptr(), large.bytes().as_ptr());
        assert_eq!(outgoing.write().unwrap(), &b"\x81\x01d"[..]);
        assert!(outgoing.write().is_none() && outgoing.is_empty() && !outgoing.is_full());
        assert_eq!(outgoing.bytes, 0);
    }

    #[test]
    fn a_write_is_bounded() {
        let mut outgoing = Outgoing::default();
        let frame = Frame::new(Opcode::Text, &[b'x'; 1000]);
        (0..100).for_each(|_| outgoing.push(frame.clone()));
        let mut writes = 0;
        while let Some(write) = outgoing.write() {
            assert!(write.len() <= WRITE);
            writes += 1;
        }
        assert_eq!(writes, 7);
    }
}
