//! A lean WebSocket client (RFC 6455): one connection, whole texts in and out.
//!
//! Owns the upgrade, the framing and the answers to pings. Never compresses, never comes back by itself, keeps no more
//! memory than what has arrived: tens of thousands of these live in one process.

mod frame;
mod session;

use std::cell::RefCell;
use std::fmt::Write as _;
use std::future::poll_fn;
use std::io;
use std::ops::Range;
use std::pin::Pin;
use std::task::{Context, Poll, ready};
use std::time::Instant;

use tokio::io::{AsyncRead as _, AsyncWriteExt as _, ReadBuf};
use tokio::net::TcpStream;

use crate::failure::{Failure, excerpt};
use crate::http::Target;

pub use session::{Event, Position, Session, assert_socket, parse};

/// The example of RFC 6455, 1.3, instead of a nonce: it protects from proxies that cache, of which none stands here, and
/// the answer to it is known without SHA-1.
const KEY: &str = "dGhlIHNhbXBsZSBub25jZQ==";
const ACCEPT: &str = "s3pPLMBiTxaQ9kYGzzhZRbK+xOo=";
/// The largest head of an answer to the upgrade, and the largest message that is put together.
const HEAD_MAX: usize = 16 << 10;
const MESSAGE_MAX: usize = 8 << 20;
/// Read at once at most, into a buffer that all connections of a thread share.
const READ: usize = 64 << 10;
/// What a connection keeps of its own buffer once it was emptied.
const KEPT: usize = 2 << 10;

thread_local! {
    /// Always warm in the processor's cache, where a buffer of each of ten thousand connections would never be.
    static CHUNK: RefCell<Box<[u8]>> = RefCell::new(vec![0; READ].into());
}

/// An open WebSocket.
pub struct Socket {
    stream: TcpStream,
    incoming: Vec<u8>,
    /// How far `incoming` was handed out.
    read: usize,
    /// Pongs that the kernel did not take at once.
    outgoing: Vec<u8>,
    /// The fragments of a message so far.
    fragments: Option<Vec<u8>>,
    arrived: Instant,
}

/// Where a message is.
enum Text {
    InBuffer(Range<usize>),
    PutTogether(Vec<u8>),
}

impl Socket {
    /// Connects and upgrades. A server that does not want to is [`Failure::Status`].
    pub async fn open(target: &Target, path: &str) -> Result<Self, Failure> {
        let stream = TcpStream::connect(target.address()).await.map_err(Failure::Connect)?;
        stream.set_nodelay(true).map_err(Failure::Connect)?;
        let mut socket = Self {
            stream,
            incoming: Vec::new(),
            read: 0,
            outgoing: Vec::new(),
            fragments: None,
            arrived: Instant::now(),
        };
        let mut question = String::new();
        // Writing to a String can't fail.
        let _ = write!(
            question,
            "GET {}{path} HTTP/1.1\r\nhost: {}\r\nupgrade: websocket\r\nconnection: upgrade\r\n\
             sec-websocket-version: 13\r\nsec-websocket-key: {KEY}\r\n\r\n",
            target.base(),
            target.host()
        );
        socket
            .stream
            .write_all(question.as_bytes())
            .await
            .map_err(Failure::Closed)?;
        while !socket.is_upgraded()? {
            socket.fill().await?;
        }
        Ok(socket)
    }

    /// Whether the head of the answer has come, and says yes.
    fn is_upgraded(&mut self) -> Result<bool, Failure> {
        let mut headers = [httparse::EMPTY_HEADER; 32];
        let mut head = httparse::Response::new(&mut headers);
        let parsed = head.parse(&self.incoming);
        let httparse::Status::Complete(length) = parsed.map_err(|error| Failure::Protocol(error.to_string()))? else {
            if self.incoming.len() > HEAD_MAX {
                return Err(Failure::Protocol("an endless head".to_owned()));
            }
            return Ok(false);
        };
        let status = head.code.unwrap_or_default();
        if status != 101 {
            let body = excerpt(&self.incoming[length..]);
            return Err(Failure::Status { status, body });
        }
        let accepts = |header: &&mut httparse::Header<'_>| {
            header.name.eq_ignore_ascii_case("sec-websocket-accept") && header.value == ACCEPT.as_bytes()
        };
        if !head.headers.iter_mut().any(|header| accepts(&header)) {
            return Err(Failure::Protocol(
                "an upgrade without the right Sec-WebSocket-Accept".to_owned(),
            ));
        }
        self.read = length;
        Ok(true)
    }

    /// Sends a text. Not to be dropped half-way: what follows would be no frame.
    pub async fn send(&mut self, text: &str) -> Result<(), Failure> {
        frame::write(&mut self.outgoing, frame::TEXT, text.as_bytes(), rand::random());
        let sent = self.stream.write_all(&self.outgoing).await;
        self.outgoing.clear();
        sent.map_err(Failure::Closed)
    }

    /// The next text, and when its last bytes were read. Nothing is lost when this is dropped while it waits.
    pub async fn receive(&mut self) -> Result<(&str, Instant), Failure> {
        let text = loop {
            match self.take()? {
                Some(text) => break text,
                None => self.fill().await?,
            }
        };
        let bytes = match text {
            Text::InBuffer(range) => &self.incoming[range],
            Text::PutTogether(bytes) => self.fragments.insert(bytes).as_slice(),
        };
        let text = std::str::from_utf8(bytes).map_err(|_| Failure::Protocol("a text that is not UTF-8".to_owned()))?;
        Ok((text, self.arrived))
    }

    /// The next whole message of what has arrived.
    fn take(&mut self) -> Result<Option<Text>, Failure> {
        while let Some(found) = frame::parse(&self.incoming, self.read)? {
            self.read = found.payload.end;
            let payload = &self.incoming[found.payload.clone()];
            match (found.opcode, found.is_last) {
                (frame::TEXT, true) => {
                    // What was handed out from here before is done with.
                    self.fragments = None;
                    return Ok(Some(Text::InBuffer(found.payload)));
                }
                (frame::TEXT, false) => self.fragments = Some(payload.to_vec()),
                (frame::CONTINUATION, is_last) => {
                    let mut whole = self.fragments.take().unwrap_or_default();
                    if whole.len() + payload.len() > MESSAGE_MAX {
                        return Err(Failure::Protocol("an endless message".to_owned()));
                    }
                    whole.extend_from_slice(payload);
                    if is_last {
                        return Ok(Some(Text::PutTogether(whole)));
                    }
                    self.fragments = Some(whole);
                }
                (frame::PING, _) => {
                    frame::write(&mut self.outgoing, frame::PONG, payload, rand::random());
                    // What the kernel does not take now goes out with the next text.
                    if let Ok(sent) = self.stream.try_write(&self.outgoing) {
                        self.outgoing.drain(..sent);
                    }
                }
                (frame::PONG, _) => {}
                (frame::CLOSE, _) => return Err(closed(payload)),
                (opcode, _) => return Err(Failure::Protocol(format!("a frame of kind {opcode}"))),
            }
        }
        Ok(None)
    }

    async fn fill(&mut self) -> Result<(), Failure> {
        if self.read > 0 {
            self.incoming.drain(..self.read);
            self.read = 0;
            self.incoming.shrink_to(KEPT);
        }
        poll_fn(|context| self.poll_fill(context)).await
    }

    /// One read. Nothing is kept while nothing comes, so that an idle connection holds no buffer; and a read that does not
    /// fill the chunk tells tokio that the socket is empty, which saves the system call that would only say so.
    fn poll_fill(&mut self, context: &mut Context<'_>) -> Poll<Result<(), Failure>> {
        CHUNK.with_borrow_mut(|chunk| {
            let mut chunk = ReadBuf::new(chunk);
            let read = ready!(Pin::new(&mut self.stream).poll_read(context, &mut chunk));
            self.arrived = Instant::now();
            Poll::Ready(match read {
                Err(error) => Err(Failure::Closed(error)),
                Ok(()) if chunk.filled().is_empty() => Err(Failure::Closed(io::ErrorKind::UnexpectedEof.into())),
                Ok(()) => {
                    self.incoming.extend_from_slice(chunk.filled());
                    Ok(())
                }
            })
        })
    }
}

/// A close frame as an error: the code and the reason in it (RFC 6455, 5.5.1).
fn closed(payload: &[u8]) -> Failure {
    let told = match payload {
        [high, low, reason @ ..] => format!("close {} {}", u16::from_be_bytes([*high, *low]), excerpt(reason)),
        _ => "close without a code".to_owned(),
    };
    Failure::Closed(io::Error::other(told))
}
