//! A lean HTTP/1.1 client: one connection, one question at a time (RFC 9112).
//!
//! Owns a connection's bytes: questions out, whole answers in, with content lengths, chunks or the end of the connection
//! as their end. Never follows redirects, never retries, never decompresses: what it hides would not be measured.

mod body;
mod multipart;
mod target;

use std::io::{self, Write as _};
use std::ops::Range;
use std::time::{Duration, Instant};

use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;

use crate::failure::{Failure, excerpt};
use body::{Body, Head};

pub use multipart::Multipart;
pub use target::{Target, encode};

/// The largest answer that is read, in bytes; a list of the contract is far below.
const ANSWER_MAX: usize = 64 << 20;
/// What a connection keeps of its buffer between two answers.
const BUFFER_KEPT: usize = 32 << 10;

/// What a form's fields are sent as.
const FORM: &str = "application/x-www-form-urlencoded";

/// An answer. The body is the connection's own buffer.
#[derive(Debug, Clone, Copy)]
pub struct Answer<'a> {
    /// HTTP status.
    pub status: u16,
    /// The body, without its framing.
    pub body: &'a [u8],
}

impl<'a> Answer<'a> {
    /// The body of a 200; everything else is an error.
    pub fn ok(self) -> Result<&'a [u8], Failure> {
        if self.status == 200 {
            return Ok(self.body);
        }
        Err(Failure::Status {
            status: self.status,
            body: excerpt(self.body),
        })
    }
}

/// A connection to one target, opened when it is first needed and opened again when it broke.
pub struct Connection {
    target: Target,
    stream: Option<TcpStream>,
    question: Vec<u8>,
    buffer: Vec<u8>,
    answered_at: Option<Instant>,
}

impl Connection {
    /// Opens nothing yet.
    pub fn new(target: Target) -> Self {
        Self {
            target,
            stream: None,
            question: Vec::new(),
            buffer: Vec::new(),
            answered_at: None,
        }
    }

    /// When the last answer was complete: before anybody looked into it, so that checking costs the server nothing.
    pub fn take_answered_at(&mut self) -> Option<Instant> {
        self.answered_at.take()
    }

    /// GET of a path with its query.
    pub async fn get(&mut self, path: &str) -> Result<Answer<'_>, Failure> {
        self.ask("GET", path, None).await
    }

    /// POST of a form, which may be empty.
    pub async fn post(&mut self, path: &str, form: &str) -> Result<Answer<'_>, Failure> {
        self.ask("POST", path, Some((FORM, form.as_bytes()))).await
    }

    /// GET with a deadline, for questions outside of the measurement.
    pub async fn get_within(&mut self, limit: Duration, path: &str) -> Result<Answer<'_>, Failure> {
        let asked = tokio::time::timeout(limit, self.ask("GET", path, None)).await;
        asked.unwrap_or(Err(Failure::Timeout))
    }

    /// POST with a deadline.
    pub async fn post_within(&mut self, limit: Duration, path: &str, form: &str) -> Result<Answer<'_>, Failure> {
        let asked = self.ask("POST", path, Some((FORM, form.as_bytes())));
        let asked = tokio::time::timeout(limit, asked).await;
        asked.unwrap_or(Err(Failure::Timeout))
    }

    /// POST of parts, with a deadline.
    pub async fn post_parts_within(
        &mut self,
        limit: Duration,
        path: &str,
        parts: &Multipart,
    ) -> Result<Answer<'_>, Failure> {
        let body = parts.body();
        let asked = self.ask("POST", path, Some((multipart::CONTENT_TYPE, &body)));
        let asked = tokio::time::timeout(limit, asked).await;
        asked.unwrap_or(Err(Failure::Timeout))
    }

    /// One question; what is sent with it has a type.
    async fn ask(&mut self, method: &str, path: &str, sent: Option<(&str, &[u8])>) -> Result<Answer<'_>, Failure> {
        self.question.clear();
        // Writing to a Vec can't fail.
        let _ = write!(
            self.question,
            "{method} {}{path} HTTP/1.1\r\nhost: {}\r\n",
            self.target.base(),
            self.target.host()
        );
        if let Some((kind, body)) = sent {
            let _ = write!(
                self.question,
                "content-type: {kind}\r\ncontent-length: {}\r\n\r\n",
                body.len()
            );
            self.question.extend_from_slice(body);
        } else {
            self.question.extend_from_slice(b"\r\n");
        }
        // Whoever drops this future half-way leaves no stream behind on which the old answer would arrive later.
        let mut stream = self.fresh_stream().await?;
        let (status, body, keep) = exchange(&mut stream, &self.question, &mut self.buffer).await?;
        self.answered_at = Some(Instant::now());
        if keep {
            self.stream = Some(stream);
        }
        Ok(Answer {
            status,
            body: &self.buffer[body],
        })
    }

    /// The open stream, unless the server closed it while it was idle, which RFC 9112 (9.3) allows it at any time.
    async fn fresh_stream(&mut self) -> Result<TcpStream, Failure> {
        if let Some(stream) = self.stream.take() {
            let mut unasked = [0; 1];
            match stream.try_read(&mut unasked) {
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => return Ok(stream),
                Ok(1..) => return Err(Failure::Protocol("bytes that nobody asked for".to_owned())),
                Ok(0) | Err(_) => {}
            }
        }
        let stream = TcpStream::connect(self.target.address())
            .await
            .map_err(Failure::Connect)?;
        stream.set_nodelay(true).map_err(Failure::Connect)?;
        Ok(stream)
    }
}

async fn exchange(
    stream: &mut TcpStream,
    question: &[u8],
    buffer: &mut Vec<u8>,
) -> Result<(u16, Range<usize>, bool), Failure> {
    stream.write_all(question).await.map_err(Failure::Closed)?;
    buffer.clear();
    buffer.shrink_to(BUFFER_KEPT);
    let head = loop {
        if read_some(stream, buffer).await? == 0 {
            return Err(Failure::Closed(io::ErrorKind::UnexpectedEof.into()));
        }
        if let Some(head) = Head::parse(buffer)? {
            break head;
        }
    };
    let mut body = Body::new(&head);
    loop {
        if let Some(range) = body.take(buffer)? {
            return Ok((head.status, range, head.keeps_alive()));
        }
        if read_some(stream, buffer).await? == 0 {
            let range = body.ended(buffer)?;
            return Ok((head.status, range, false));
        }
    }
}

async fn read_some(stream: &mut TcpStream, buffer: &mut Vec<u8>) -> Result<usize, Failure> {
    if buffer.len() >= ANSWER_MAX {
        return Err(Failure::Protocol(format!("an answer above {ANSWER_MAX} bytes")));
    }
    buffer.reserve(16 << 10);
    stream.read_buf(buffer).await.map_err(Failure::Closed)
}
