//! WebSocket frames as bytes (RFC 6455, section 5), for tests that need to break them.
//!
//! Owns the upgrade and the framing of a client, with nothing checked that a hostile client would not check. Knows nothing
//! of the protocol above; [`super::socket`] does. Written here instead of taken from a library, since a library refuses
//! to send exactly what these tests are about.

use std::io::{self, Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::time::{Duration, Instant};

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use ring::digest;

use super::answer::Reply;
use super::raw::{Wire, head};
use super::site::Site;

/// How long anything may take that a test waits for.
pub const PATIENCE: Duration = Duration::from_secs(20);

/// Opcodes of section 5.2.
pub mod opcode {
    /// The next part of a message.
    pub const CONTINUATION: u8 = 0x0;
    /// A text message, or its first part.
    pub const TEXT: u8 = 0x1;
    /// The close handshake.
    pub const CLOSE: u8 = 0x8;
    /// A ping.
    pub const PING: u8 = 0x9;
    /// A pong.
    pub const PONG: u8 = 0xA;
}

/// One frame from the server.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Received {
    /// The last part of its message.
    pub fin: bool,
    /// The three reserved bits.
    pub reserved: u8,
    /// See [`opcode`].
    pub opcode: u8,
    /// As it came; a masked frame from a server fails the test.
    pub payload: Vec<u8>,
}

/// What a wait for a frame ends with.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Incoming {
    /// A whole frame.
    Frame(Received),
    /// The server ended the TCP connection.
    End,
    /// Nothing whole came in time.
    Nothing,
}

/// A connection after its upgrade: bytes out, frames in.
pub struct RawSocket {
    stream: TcpStream,
    unread: Vec<u8>,
    /// The subprotocol that the server chose.
    pub protocol: Option<String>,
}

impl RawSocket {
    /// Connects to `/ws` as a program does: no origin, no subprotocol.
    pub fn connect(site: &Site) -> Self {
        Self::upgrade(site.address(), "/ws", &[]).unwrap_or_else(|reply| panic!("no upgrade: {reply:?}"))
    }

    /// Asks for an upgrade with more headers; the error is the HTTP answer that came instead.
    pub fn upgrade(address: SocketAddr, path: &str, headers: &[(&str, &str)]) -> Result<Self, Reply> {
        const KEY: &str = "dGhlIHNhbXBsZSBub25jZQ==";
        let mut all = vec![
            ("Connection", "Upgrade"),
            ("Upgrade", "websocket"),
            ("Sec-WebSocket-Version", "13"),
            ("Sec-WebSocket-Key", KEY),
        ];
        all.extend(headers);
        let mut wire = Wire::to(address);
        wire.put(head("GET", path, &all)).expect("a request can be sent");
        let reply = wire.answer().expect("an answer to the upgrade");
        if reply.status != 101 {
            return Err(reply);
        }
        assert_eq!(
            reply.header("sec-websocket-accept"),
            Some(accept(KEY).as_str()),
            "the key's proof"
        );
        assert_eq!(
            reply.header("sec-websocket-extensions"),
            None,
            "nothing that was not offered"
        );
        let stream = wire.into_stream();
        let unread = stream.buffer().to_vec();
        let mut socket = Self::after(stream.into_inner(), unread);
        socket.protocol = reply.header("sec-websocket-protocol").map(str::to_owned);
        Ok(socket)
    }

    /// Goes on after an upgrade that was asked for and checked elsewhere; `unread` is what came behind its answer.
    pub fn after(stream: TcpStream, unread: Vec<u8>) -> Self {
        Self {
            stream,
            unread,
            protocol: None,
        }
    }

    /// Sends bytes as they are; an error is the server having closed already.
    pub fn put(&mut self, bytes: impl AsRef<[u8]>) -> io::Result<()> {
        self.stream.write_all(bytes.as_ref())
    }

    /// Sends one frame, masked as a client must.
    pub fn put_frame(&mut self, fin: bool, opcode: u8, payload: &[u8]) -> io::Result<()> {
        self.put(client_frame(fin, opcode, payload))
    }

    /// The next frame; fails the test when none comes within [`PATIENCE`], `None` when the connection has ended.
    pub fn frame(&mut self) -> Option<Received> {
        match self.wait(PATIENCE) {
            Incoming::Frame(frame) => Some(frame),
            Incoming::End => None,
            Incoming::Nothing => panic!("no frame within {PATIENCE:?}"),
        }
    }

    /// Waits for a frame. What came of an unfinished one is kept.
    pub fn wait(&mut self, limit: Duration) -> Incoming {
        let end = Instant::now() + limit;
        loop {
            if let Some((length, frame)) = parse(&self.unread) {
                self.unread.drain(..length);
                return Incoming::Frame(frame);
            }
            let left = end.saturating_duration_since(Instant::now());
            if left.is_zero() {
                return Incoming::Nothing;
            }
            self.stream.set_read_timeout(Some(left)).unwrap();
            let mut more = [0; 16384];
            match self.stream.read(&mut more) {
                Ok(0) => return Incoming::End,
                Ok(length) => self.unread.extend_from_slice(&more[..length]),
                Err(error) if matches!(error.kind(), io::ErrorKind::WouldBlock | io::ErrorKind::TimedOut) => {}
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(_) => return Incoming::End,
            }
        }
    }

    /// From here on as little as possible is taken from the server: what the kernel would buffer for a client that has
    /// stopped reading is made small. Nothing is read unless a test asks for it.
    pub fn stop_reading(&self) {
        rustix::net::sockopt::set_socket_recv_buffer_size(&self.stream, 4096).unwrap();
    }

    /// Ends the connection without a word, as a lost network does for the server.
    pub fn cut(self) {
        let _ = self.stream.shutdown(std::net::Shutdown::Both);
    }
}

/// One masked frame, as a client sends it.
pub fn client_frame(fin: bool, opcode: u8, payload: &[u8]) -> Vec<u8> {
    const MASK: [u8; 4] = [0x37, 0xFA, 0x21, 0x3D];
    let mut bytes = vec![u8::from(fin) << 7 | opcode];
    match payload.len() {
        length @ 0..=125 => bytes.push(0x80 | u8::try_from(length).unwrap()),
        length @ 126..=0xFFFF => {
            bytes.push(0x80 | 0x7E);
            bytes.extend(u16::try_from(length).unwrap().to_be_bytes());
        }
        length => {
            bytes.push(0x80 | 0x7F);
            bytes.extend((length as u64).to_be_bytes());
        }
    }
    bytes.extend(MASK);
    bytes.extend(payload.iter().zip(MASK.iter().cycle()).map(|(byte, mask)| byte ^ mask));
    bytes
}

/// What proves that the server understood the key (section 4.2.2).
pub fn accept(key: &str) -> String {
    let text = format!("{key}258EAFA5-E914-47DA-95CA-C5AB0DC85B11");
    STANDARD.encode(digest::digest(&digest::SHA1_FOR_LEGACY_USE_ONLY, text.as_bytes()))
}

/// The first frame and how many bytes it took; none while it isn't whole.
fn parse(bytes: &[u8]) -> Option<(usize, Received)> {
    let (first, second) = (*bytes.first()?, *bytes.get(1)?);
    assert_eq!(second & 0x80, 0, "a server never masks");
    let (start, length) = match second {
        126 => (4, u64::from(u16::from_be_bytes(bytes.get(2..4)?.try_into().unwrap()))),
        127 => (10, u64::from_be_bytes(bytes.get(2..10)?.try_into().unwrap())),
        short => (2, u64::from(short)),
    };
    let end = start + usize::try_from(length).unwrap();
    let payload = bytes.get(start..end)?.to_vec();
    let frame = Received {
        fin: first & 0x80 != 0,
        reserved: first >> 4 & 0x7,
        opcode: first & 0xF,
        payload,
    };
    Some((end, frame))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_proof_is_the_one_of_the_standard() {
        assert_eq!(accept("dGhlIHNhbXBsZSBub25jZQ=="), "s3pPLMBiTxaQ9kYGzzhZRbK+xOo=");
    }

    #[test]
    fn frames_of_the_standards_examples() {
        let hello = [0x81, 0x85, 0x37, 0xfa, 0x21, 0x3d, 0x7f, 0x9f, 0x4d, 0x51, 0x58];
        assert_eq!(client_frame(true, opcode::TEXT, b"Hello"), hello);
        let part = [0x01, 0x03, b'H', b'e', b'l', 0x80];
        let (length, frame) = parse(&part).unwrap();
        assert_eq!((length, frame.fin, frame.opcode), (5, false, opcode::TEXT));
        assert_eq!(frame.payload, b"Hel");
        assert_eq!(parse(&part[..4]), None, "not whole yet");
        for length in [126_usize, 65536] {
            let framed = client_frame(true, opcode::TEXT, &vec![b'x'; length]);
            assert_eq!(framed.len(), length + 4 + if length < 65536 { 4 } else { 10 });
        }
    }
}
