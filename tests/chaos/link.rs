//! One connection of a client that expects it to fail at any moment: every way of ending is an answer, none a panic.

use std::io::{Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::time::Duration;

use serde_json::{Value, json};

use crate::harness::frames::{Incoming, RawSocket, client_frame, opcode};
use crate::harness::raw::head;

/// How long a server that has taken the connection may need for the upgrade. Longer than a frozen database lasts.
const UPGRADE: Duration = Duration::from_secs(10);

/// Why there is no connection.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum NoLink {
    /// Nobody answers.
    Nobody,
    /// The server answers with this HTTP status instead.
    Status(u16),
}

/// What was heard.
#[derive(Debug)]
pub enum Heard {
    /// A whole message.
    Message(Value),
    /// The server says goodbye: code and reason.
    Closed(u16, Value),
    /// The connection is no more.
    Gone,
    /// Nothing in time.
    Nothing,
}

/// A connection after its upgrade.
pub struct Link {
    raw: RawSocket,
    /// The same socket, for what the bare connection does not offer.
    stream: TcpStream,
    last_id: u64,
}

impl Link {
    /// Connects and upgrades.
    pub fn open(address: SocketAddr) -> Result<Self, NoLink> {
        let (stream, unread) = upgrade(address).unwrap_or(Err(NoLink::Nobody))?;
        let twin = stream.try_clone().unwrap();
        Ok(Self {
            raw: RawSocket::after(stream, unread),
            stream: twin,
            last_id: 0,
        })
    }

    /// The frame of a request with a fresh id, and that id.
    pub fn request(&mut self, t: &str, d: &Value) -> (String, Vec<u8>) {
        self.last_id += 1;
        let id = self.last_id.to_string();
        let text = json!({"t": t, "id": id, "d": d}).to_string();
        (id, client_frame(true, opcode::TEXT, text.as_bytes()))
    }

    /// Sends a request; its id. A connection that is gone says so at the next reading.
    pub fn send(&mut self, t: &str, d: &Value) -> String {
        let (id, frame) = self.request(t, d);
        let _ = self.raw.put(frame);
        id
    }

    /// Sends bytes as they are.
    pub fn put(&mut self, bytes: &[u8]) {
        let _ = self.raw.put(bytes);
    }

    /// The next message, or what came instead of one.
    pub fn hear(&mut self, limit: Duration) -> Heard {
        // A bare connection does not look at what has arrived already when it has no time at all.
        let frame = match self.raw.wait(limit.max(Duration::from_micros(100))) {
            Incoming::Frame(frame) => frame,
            Incoming::End => return Heard::Gone,
            Incoming::Nothing => return Heard::Nothing,
        };
        match frame.opcode {
            opcode::TEXT => {
                assert!(frame.fin, "the server sends whole messages");
                Heard::Message(serde_json::from_slice(&frame.payload).expect("a message is JSON"))
            }
            opcode::PING => {
                let _ = self.raw.put_frame(true, opcode::PONG, &frame.payload);
                Heard::Nothing
            }
            opcode::CLOSE => {
                let _ = self.raw.put_frame(true, opcode::CLOSE, &frame.payload);
                let (code, reason) = frame.payload.split_at_checked(2).unwrap_or((&[3, 237], &[]));
                let code = u16::from_be_bytes([code[0], code[1]]);
                Heard::Closed(code, serde_json::from_slice(reason).unwrap_or_default())
            }
            other => panic!("a frame that the protocol does not know: {other}"),
        }
    }

    /// Takes little from the kernel from now on, so that a stall is felt by the server.
    pub fn narrow(&self) {
        rustix::net::sockopt::set_socket_recv_buffer_size(&self.stream, 4096).unwrap();
    }

    /// Ends the connection without a word.
    pub fn cut(self) {
        self.raw.cut();
    }

    /// Ends it with a reset: what waits in either direction is lost.
    pub fn reset(self) {
        rustix::net::sockopt::set_socket_linger(&self.stream, Some(Duration::ZERO)).unwrap();
    }
}

/// An error is a connection that could not be made or broke meanwhile.
fn upgrade(address: SocketAddr) -> std::io::Result<Result<(TcpStream, Vec<u8>), NoLink>> {
    let mut stream = TcpStream::connect_timeout(&address, Duration::from_secs(2))?;
    stream.set_nodelay(true)?;
    stream.set_read_timeout(Some(UPGRADE))?;
    stream.set_write_timeout(Some(UPGRADE))?;
    let headers = [
        ("Connection", "Upgrade"),
        ("Upgrade", "websocket"),
        ("Sec-WebSocket-Version", "13"),
        ("Sec-WebSocket-Key", "dGhlIHNhbXBsZSBub25jZQ=="),
    ];
    stream.write_all(head("GET", "/ws", &headers).as_bytes())?;
    let mut answer = Vec::new();
    let end = loop {
        if let Some(end) = answer.windows(4).position(|four| four == b"\r\n\r\n") {
            break end + 4;
        }
        let mut more = [0; 1024];
        match stream.read(&mut more)? {
            0 => return Ok(Err(NoLink::Nobody)),
            length => answer.extend_from_slice(&more[..length]),
        }
    };
    let unread = answer.split_off(end);
    let status = String::from_utf8_lossy(&answer)
        .split(' ')
        .nth(1)
        .and_then(|code| code.parse().ok());
    Ok(match status.expect("an HTTP status") {
        101 => Ok((stream, unread)),
        status => Err(NoLink::Status(status)),
    })
}
