//! Reads the box structure of an ISO base media file (ISO/IEC 14496-12, 4.2) with bounded work.
//!
//! Owns the bounds: how many boxes and bytes one file may make us read. Everything in the file is hostile: sizes are
//! checked against the enclosing box before anything moves. Never recurses and never allocates by a size from the file.

use std::fs::File;
use std::io;
use std::os::unix::fs::FileExt;

use super::error::MediaError;

/// Boxes looked at in one file. A minute of video in one-frame fragments has about 4,000 at the top level.
const MAX_BOXES: u32 = 10_000;
/// Bytes read in all for structure: every box in a window of its own, with room to spare.
const MAX_BYTES: u64 = 8 * 1024 * 1024;
/// One read serves the small boxes that follow each other.
const WINDOW: usize = 512;

/// Where bytes come from: a file, or a slice in tests.
pub(super) trait Source {
    fn size(&self) -> io::Result<u64>;
    fn fill(&self, buffer: &mut [u8], offset: u64) -> io::Result<usize>;
}

impl Source for &File {
    fn size(&self) -> io::Result<u64> {
        Ok(self.metadata()?.len())
    }

    fn fill(&self, buffer: &mut [u8], offset: u64) -> io::Result<usize> {
        self.read_at(buffer, offset)
    }
}

impl Source for &[u8] {
    fn size(&self) -> io::Result<u64> {
        Ok(self.len() as u64)
    }

    fn fill(&self, buffer: &mut [u8], offset: u64) -> io::Result<usize> {
        let rest = usize::try_from(offset)
            .ok()
            .and_then(|from| self.get(from..))
            .unwrap_or_default();
        let count = rest.len().min(buffer.len());
        buffer[..count].copy_from_slice(&rest[..count]);
        Ok(count)
    }
}

/// One box: its type and where it and its payload lie in the file. `start <= body <= end <= file size` always holds.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Span {
    pub kind: [u8; 4],
    /// The first byte of the header.
    pub start: u64,
    /// The first byte after the header.
    pub body: u64,
    /// The first byte after the box.
    pub end: u64,
}

impl Span {
    /// Payload bytes.
    pub const fn length(&self) -> u64 {
        self.end - self.body
    }
}

/// A file with what is left of its bounds.
pub(super) struct Reader<S> {
    source: S,
    size: u64,
    boxes_left: u32,
    bytes_left: u64,
    window: [u8; WINDOW],
    window_start: u64,
    window_length: usize,
}

impl<S: Source> Reader<S> {
    pub fn new(source: S) -> Result<Self, MediaError> {
        Ok(Self {
            size: source.size()?,
            source,
            boxes_left: MAX_BOXES,
            bytes_left: MAX_BYTES,
            window: [0; WINDOW],
            window_start: 0,
            window_length: 0,
        })
    }

    /// The size of the file in bytes.
    pub const fn size(&self) -> u64 {
        self.size
    }

    /// The whole file as if it were the payload of a box.
    pub const fn whole(&self) -> Span {
        Span {
            kind: *b"file",
            start: 0,
            body: 0,
            end: self.size,
        }
    }

    /// The box at `*cursor` inside `parent`, and moves the cursor past it; `None` at the parent's end.
    pub fn next(&mut self, parent: &Span, cursor: &mut u64) -> Result<Option<Span>, MediaError> {
        if *cursor >= parent.end {
            return Ok(None);
        }
        let span = self.header(*cursor, parent)?;
        *cursor = span.end;
        Ok(Some(span))
    }

    /// The first box of this kind directly inside `parent`, from `from` on.
    pub fn find(&mut self, parent: &Span, from: u64, kind: [u8; 4]) -> Result<Option<Span>, MediaError> {
        let mut cursor = from;
        while let Some(span) = self.next(parent, &mut cursor)? {
            if span.kind == kind {
                return Ok(Some(span));
            }
        }
        Ok(None)
    }

    fn header(&mut self, start: u64, parent: &Span) -> Result<Span, MediaError> {
        self.boxes_left = self
            .boxes_left
            .checked_sub(1)
            .ok_or(MediaError::NotAVideo("it has too many parts"))?;
        if parent.end - start < 8 {
            return Err(MediaError::NotAVideo("it ends in the middle of a part"));
        }
        let short: [u8; 8] = self.bytes(start)?;
        let [s0, s1, s2, s3, k0, k1, k2, k3] = short;
        let (header, size) = match u32::from_be_bytes([s0, s1, s2, s3]) {
            // "to the end of the file" is said of the last box of a file, so never inside another box
            0 if parent.start == 0 && parent.end == self.size => (8, parent.end - start),
            1 if parent.end - start >= 16 => (16, u64::from_be_bytes(self.bytes(start + 8)?)),
            size => (8, u64::from(size)),
        };
        if size < header {
            return Err(MediaError::NotAVideo("a part is smaller than its own header"));
        }
        if size > parent.end - start {
            return Err(MediaError::NotAVideo("it is cut off or damaged"));
        }
        Ok(Span {
            kind: [k0, k1, k2, k3],
            start,
            body: start + header,
            end: start + size,
        })
    }

    /// `N` bytes at `offset`, through the window. Only for small fields: `N` must not pass the window.
    pub fn bytes<const N: usize>(&mut self, offset: u64) -> Result<[u8; N], MediaError> {
        const { assert!(N <= WINDOW) };
        let inside = offset
            .checked_sub(self.window_start)
            .and_then(|skip| usize::try_from(skip).ok());
        let from = match inside {
            Some(skip) if skip.saturating_add(N) <= self.window_length => skip,
            _ => {
                self.refill(offset)?;
                0
            }
        };
        let mut out = [0; N];
        let part = self.window[..self.window_length].get(from..from + N);
        out.copy_from_slice(part.ok_or(MediaError::NotAVideo("it ends in the middle of a part"))?);
        Ok(out)
    }

    fn refill(&mut self, offset: u64) -> Result<(), MediaError> {
        self.window_length = 0;
        self.window_start = offset;
        self.pay(WINDOW as u64)?;
        while self.window_length < WINDOW {
            let at = offset + self.window_length as u64;
            match self.source.fill(&mut self.window[self.window_length..], at)? {
                0 => break,
                count => self.window_length += count,
            }
        }
        Ok(())
    }

    /// The field of `N` bytes `skip` bytes into a box's payload.
    pub fn field<const N: usize>(&mut self, span: &Span, skip: u64) -> Result<[u8; N], MediaError> {
        if span.length() < skip.saturating_add(N as u64) {
            return Err(MediaError::NotAVideo("a part is too short"));
        }
        self.bytes(span.body + skip)
    }

    /// A big-endian 32-bit field `skip` bytes into a box's payload.
    pub fn u32(&mut self, span: &Span, skip: u64) -> Result<u32, MediaError> {
        Ok(u32::from_be_bytes(self.field(span, skip)?))
    }

    /// Whole bytes of the file, at most `limit` of them; for the cover's child process only.
    pub fn slice(&mut self, from: u64, end: u64, limit: u64) -> Result<Vec<u8>, MediaError> {
        let length = end
            .checked_sub(from)
            .filter(|length| *length <= limit && end <= self.size);
        let length = length.ok_or(MediaError::NotAVideo("a part is too long"))?;
        let mut out = vec![0; usize::try_from(length).map_err(|_| MediaError::TooLarge)?];
        let mut filled = 0;
        while filled < out.len() {
            match self.source.fill(&mut out[filled..], from + filled as u64)? {
                0 => return Err(MediaError::NotAVideo("it is cut off or damaged")),
                count => filled += count,
            }
        }
        Ok(out)
    }

    fn pay(&mut self, bytes: u64) -> Result<(), MediaError> {
        self.bytes_left = self
            .bytes_left
            .checked_sub(bytes)
            .ok_or(MediaError::NotAVideo("it is too scattered"))?;
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn walk(bytes: &[u8]) -> Result<Vec<Span>, MediaError> {
        let mut reader = Reader::new(bytes)?;
        let whole = reader.whole();
        let mut cursor = 0;
        let mut found = Vec::new();
        while let Some(span) = reader.next(&whole, &mut cursor)? {
            found.push(span);
        }
        Ok(found)
    }

    #[test]
    fn sizes_of_32_and_64_bits_and_to_the_end_are_read() {
        let mut bytes = b"\0\0\0\x0cfree1234".to_vec();
        bytes.extend(b"\0\0\0\x01wide\0\0\0\0\0\0\0\x12ab");
        bytes.extend(b"\0\0\0\0mdatabc");
        let found = walk(&bytes).unwrap();
        let shape: Vec<_> = found
            .iter()
            .map(|span| (&span.kind, span.start, span.body, span.end))
            .collect();
        assert_eq!(
            shape,
            [(b"free", 0, 8, 12), (b"wide", 12, 28, 30), (b"mdat", 30, 38, 41)]
        );
    }

    #[test]
    fn impossible_sizes_are_refused() {
        let cases: [&[u8]; 6] = [
            b"\0\0\0\x07free",
            b"\0\0\0\x09free",
            b"\xff\xff\xff\xfffree",
            b"\0\0\0\x01free\0\0\0\0\0\0\0\x0f",
            b"\0\0\0\x01free\xff\xff\xff\xff\xff\xff\xff\xff",
            b"\0\0\0\x08fre",
        ];
        for case in cases {
            assert!(matches!(walk(case), Err(MediaError::NotAVideo(_))), "{case:?}");
        }
    }

    #[test]
    fn a_box_inside_another_may_not_reach_to_the_end() {
        let bytes: &[u8] = b"\0\0\0\x10moov\0\0\0\0trak1234";
        let mut reader = Reader::new(bytes).unwrap();
        let moov = reader.next(&reader.whole(), &mut 0).unwrap().unwrap();
        assert!(reader.next(&moov, &mut moov.body.clone()).is_err());
    }

    #[test]
    fn a_million_empty_boxes_end_at_the_bound() {
        let bytes = b"\0\0\0\x08free".repeat(1_000_000);
        assert!(matches!(
            walk(&bytes),
            Err(MediaError::NotAVideo("it has too many parts"))
        ));
    }
}
