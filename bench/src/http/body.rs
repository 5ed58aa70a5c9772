//! Where an answer's head and body end (RFC 9112, 6 and 7).
//!
//! Owns the framing, over a buffer that somebody else fills. Never reads from a socket.

use std::io;
use std::ops::Range;

use crate::failure::Failure;

const HEADERS_MAX: usize = 64;
const HEAD_MAX: usize = 64 << 10;

/// What the head says about the rest.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Head {
    /// HTTP status.
    pub status: u16,
    len: usize,
    framing: Framing,
    close: bool,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Framing {
    Length(usize),
    Chunks,
    UntilClose,
}

impl Head {
    /// The head, when it is complete.
    pub fn parse(buffer: &[u8]) -> Result<Option<Self>, Failure> {
        let mut headers = [httparse::EMPTY_HEADER; HEADERS_MAX];
        let mut response = httparse::Response::new(&mut headers);
        let malformed = |error: httparse::Error| Failure::Protocol(error.to_string());
        let len = match response.parse(buffer).map_err(malformed)? {
            httparse::Status::Complete(len) => len,
            httparse::Status::Partial if buffer.len() > HEAD_MAX => {
                return Err(Failure::Protocol(format!("a head above {HEAD_MAX} bytes")));
            }
            httparse::Status::Partial => return Ok(None),
        };
        let mut head = Self {
            status: response.code.unwrap_or_default(),
            len,
            framing: Framing::UntilClose,
            close: response.version == Some(0),
        };
        for header in response.headers.iter() {
            head.note(header)?;
        }
        if matches!(head.status, 204 | 304) {
            head.framing = Framing::Length(0);
        }
        Ok(Some(head))
    }

    fn note(&mut self, header: &httparse::Header<'_>) -> Result<(), Failure> {
        let is_token = |wanted: &[u8]| header.value.trim_ascii().eq_ignore_ascii_case(wanted);
        if header.name.eq_ignore_ascii_case("content-length") {
            // Chunks win over a length (6.3), whatever comes first.
            if self.framing != Framing::Chunks {
                let length = str::from_utf8(header.value)
                    .ok()
                    .and_then(|text| text.trim().parse().ok());
                let length =
                    length.ok_or_else(|| Failure::Protocol("a content-length that is no number".to_owned()))?;
                self.framing = Framing::Length(length);
            }
        } else if header.name.eq_ignore_ascii_case("transfer-encoding") {
            if !is_token(b"chunked") {
                return Err(Failure::Protocol(
                    "a transfer-encoding that nobody asked for".to_owned(),
                ));
            }
            self.framing = Framing::Chunks;
        } else if header.name.eq_ignore_ascii_case("connection") {
            self.close = is_token(b"close") || (self.close && !is_token(b"keep-alive"));
        }
        Ok(())
    }

    /// Whether another question may follow on the connection.
    pub fn keeps_alive(&self) -> bool {
        !self.close && self.framing != Framing::UntilClose
    }
}

/// A body on its way.
pub struct Body {
    framing: Framing,
    start: usize,
    /// Where the next chunk begins, framing included.
    read: usize,
    /// Where the content of the next chunk goes to: chunks are moved together in the buffer.
    written: usize,
}

impl Body {
    /// The body that follows a head in the same buffer.
    pub fn new(head: &Head) -> Self {
        Self {
            framing: head.framing,
            start: head.len,
            read: head.len,
            written: head.len,
        }
    }

    /// Where the body stands, once it is complete. Call it again after more bytes have come.
    pub fn take(&mut self, buffer: &mut [u8]) -> Result<Option<Range<usize>>, Failure> {
        match self.framing {
            Framing::Length(length) => {
                let end = self.start.saturating_add(length);
                Ok((buffer.len() >= end).then_some(self.start..end))
            }
            Framing::Chunks => self.take_chunks(buffer),
            Framing::UntilClose => Ok(None),
        }
    }

    /// The connection has ended: right for a body without another end, a broken answer for any other.
    pub fn ended(&self, buffer: &[u8]) -> Result<Range<usize>, Failure> {
        if self.framing == Framing::UntilClose {
            return Ok(self.start..buffer.len());
        }
        Err(Failure::Closed(io::ErrorKind::UnexpectedEof.into()))
    }

    fn take_chunks(&mut self, buffer: &mut [u8]) -> Result<Option<Range<usize>>, Failure> {
        loop {
            let malformed = |_| Failure::Protocol("a chunk's size that is none".to_owned());
            let (line, size) = match httparse::parse_chunk_size(&buffer[self.read..]).map_err(malformed)? {
                httparse::Status::Complete(found) => found,
                httparse::Status::Partial => return Ok(None),
            };
            let content = self.read + line;
            if size == 0 {
                return Ok(trailers_end(&buffer[content..])?.then_some(self.start..self.written));
            }
            let size = usize::try_from(size).map_err(|_| Failure::Protocol("a chunk too large".to_owned()))?;
            let end = content.saturating_add(size);
            if buffer.len() < end.saturating_add(2) {
                return Ok(None);
            }
            if &buffer[end..end + 2] != b"\r\n" {
                return Err(Failure::Protocol("a chunk longer than its size".to_owned()));
            }
            buffer.copy_within(content..end, self.written);
            self.written += size;
            self.read = end + 2;
        }
    }
}

/// Whether the trailers, usually none, are complete.
fn trailers_end(rest: &[u8]) -> Result<bool, Failure> {
    if rest.len() > HEAD_MAX {
        return Err(Failure::Protocol("endless trailers".to_owned()));
    }
    Ok(rest.starts_with(b"\r\n") || rest.windows(4).any(|four| four == b"\r\n\r\n"))
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Feeds an answer byte by byte, as the worst network would.
    fn read(answer: &[u8]) -> Result<(Head, Vec<u8>), Failure> {
        let (mut buffer, mut state) = (Vec::new(), None::<(Head, Body)>);
        for byte in answer {
            buffer.push(*byte);
            if state.is_none() {
                state = Head::parse(&buffer)?.map(|head| (head, Body::new(&head)));
            }
            if let Some((head, body)) = &mut state
                && let Some(range) = body.take(&mut buffer)?
            {
                return Ok((*head, buffer[range].to_vec()));
            }
        }
        let (head, body) = state.ok_or(Failure::Timeout)?;
        let range = body.ended(&buffer)?;
        Ok((head, buffer[range].to_vec()))
    }

    #[test]
    fn every_framing_is_read_byte_by_byte() {
        let (head, body) = read(b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nhello").unwrap();
        assert_eq!((head.status, &body[..], head.keeps_alive()), (200, &b"hello"[..], true));
        let chunked = b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n3\r\nhel\r\n2;x=1\r\nlo\r\n0\r\n\r\n";
        assert_eq!(read(chunked).unwrap().1, b"hello");
        let trailers = b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n1\r\nh\r\n0\r\na: b\r\n\r\n";
        assert_eq!(read(trailers).unwrap().1, b"h");
        let (head, body) = read(b"HTTP/1.0 200 OK\r\n\r\nhello").unwrap();
        assert_eq!((&body[..], head.keeps_alive()), (&b"hello"[..], false));
        let (head, body) = read(b"HTTP/1.1 204 No\r\nConnection: close\r\n\r\n").unwrap();
        assert_eq!((body.len(), head.keeps_alive()), (0, false));
    }

    #[test]
    fn broken_framings_are_errors() {
        for (answer, kind) in [
            (&b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nhell"[..], "closed"),
            (b"HTTP/1.1 200 OK\r\nContent-Length: -5\r\n\r\n", "protocol"),
            (
                b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n3\r\nhell\r\n0\r\n\r\n",
                "protocol",
            ),
            (
                b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\nx\r\n",
                "protocol",
            ),
            (b"HTTP/1.1 200 OK\r\ntransfer-encoding: gzip\r\n\r\n", "protocol"),
            (b"SSH-2.0-hello\r\n", "protocol"),
        ] {
            assert_eq!(read(answer).unwrap_err().kind(), kind, "{}", answer.escape_ascii());
        }
    }
}
