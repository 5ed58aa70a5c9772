//! A WebSocket client for stories: what a decent client does, blocking, with every wait bounded.
//!
//! Owns the envelope of the protocol (docs/protocol.md). Pings of the server are answered whenever something is read,
//! and only then. Frames that no decent client would send are [`super::frames`]' business.

use std::collections::VecDeque;
use std::time::{Duration, Instant};

use serde_json::{Value, json};

use super::frames::{Incoming, PATIENCE, RawSocket, opcode};
use super::persona::Persona;
use super::site::Site;

/// A client's connection.
pub struct Socket {
    raw: RawSocket,
    /// What came while something else was waited for, oldest first.
    kept: VecDeque<Value>,
    part: Vec<u8>,
    closed: Option<(u16, Value)>,
    last_id: u64,
}

impl Persona {
    /// A connection of this persona after its hello; a guest's without a token.
    pub fn socket(&self) -> Socket {
        let mut socket = Socket::connect(self.site());
        match self.token.as_str() {
            "" => socket.hello_with(&json!({})),
            token => socket.hello(token),
        };
        socket
    }

    /// A connection that goes on after `seq` of a stream's life; what `welcome` said.
    pub fn resume(&self, epoch: &str, seq: i64) -> (Socket, Value) {
        let mut socket = Socket::connect(self.site());
        let resume = json!({"epoch": epoch, "seq": seq});
        let welcome = socket.hello_with(&json!({"token": self.token, "resume": resume}));
        (socket, welcome)
    }
}

impl Socket {
    /// Connects to `/ws` and says nothing yet.
    pub fn connect(site: &Site) -> Self {
        Self::over(RawSocket::connect(site))
    }

    /// Goes on where the upgrade ended.
    pub fn over(raw: RawSocket) -> Self {
        Self {
            raw,
            kept: VecDeque::new(),
            part: Vec::new(),
            closed: None,
            last_id: 0,
        }
    }

    /// Says hello with a token; the `d` of `welcome`.
    pub fn hello(&mut self, token: &str) -> Value {
        self.hello_with(&json!({"token": token}))
    }

    /// Says hello with any `d`; the `d` of `welcome`, and anything else fails the test.
    pub fn hello_with(&mut self, d: &Value) -> Value {
        self.send("hello", d);
        let mut frame = self.frame();
        assert_eq!(frame["t"], "welcome", "{frame}");
        frame["d"].take()
    }

    /// Sends a request; its id.
    pub fn send(&mut self, t: &str, d: &Value) -> String {
        self.last_id += 1;
        let id = self.last_id.to_string();
        self.send_text(&json!({"t": t, "id": id, "d": d}).to_string());
        id
    }

    /// Sends a text message as it is.
    pub fn send_text(&mut self, text: &str) {
        let sent = self.raw.put_frame(true, opcode::TEXT, text.as_bytes());
        sent.unwrap_or_else(|error| panic!("{text:.80}: {error}"));
    }

    /// Sends a request and waits for its `ack`, `err` or `pong`, whole. What comes before it is kept for later.
    pub fn request(&mut self, t: &str, d: &Value) -> Value {
        let id = self.send(t, d);
        self.answer(&id)
    }

    /// The answer to a request that was sent before.
    pub fn answer(&mut self, id: &str) -> Value {
        self.find(|frame| frame["id"] == id)
    }

    /// Sends a request that must succeed; the `d` of its `ack`.
    pub fn done(&mut self, t: &str, d: &Value) -> Value {
        let mut answer = self.request(t, d);
        assert_eq!(answer["t"], "ack", "{t} {d}: {answer}");
        answer["d"].take()
    }

    /// Sends a request that must be refused; the code of its `err`, which also has a sentence.
    pub fn refused(&mut self, t: &str, d: &Value) -> String {
        let answer = self.request(t, d);
        assert_eq!(answer["t"], "err", "{t} {d}: {answer}");
        let msg = answer["msg"].as_str().unwrap_or_default();
        assert!(!msg.trim().is_empty(), "a refusal says why: {answer}");
        answer["code"].as_str().expect("a code").to_owned()
    }

    /// The next event: whatever the server says by itself.
    pub fn next_event(&mut self) -> Value {
        self.find(|frame| frame.get("id").is_none())
    }

    /// The next event of one kind; others stay for later.
    pub fn next_of(&mut self, t: &str) -> Value {
        self.find(|frame| frame["t"] == t)
    }

    /// Everything that came before a ping's pong and was not taken yet. No wait decides about it: what was sent to this
    /// connection before the pong has arrived with it.
    pub fn so_far(&mut self) -> Vec<Value> {
        let pong = self.request("ping", &json!({}));
        assert_eq!(pong["t"], "pong", "{pong}");
        self.kept.drain(..).collect()
    }

    /// The next message, whatever it is; fails the test when none comes in time.
    pub fn frame(&mut self) -> Value {
        match self.kept.pop_front() {
            Some(frame) => frame,
            None => self.read(PATIENCE),
        }
    }

    /// Waits until the server closes, passing over what it says before; the code and the reason.
    pub fn expect_close(&mut self) -> (u16, Value) {
        let end = Instant::now() + PATIENCE;
        while self.closed.is_none() {
            let left = end.saturating_duration_since(Instant::now());
            self.try_read(left);
        }
        self.closed.clone().unwrap_or_default()
    }

    /// From here on nothing is read: hand over the bare connection.
    pub fn stop_reading(self) -> RawSocket {
        self.raw.stop_reading();
        self.raw
    }

    /// The bare connection, with nothing changed.
    pub fn into_raw(self) -> RawSocket {
        self.raw
    }

    /// Says goodbye in the way of the standard and waits for the echo.
    pub fn close(mut self) {
        let _ = self.raw.put_frame(true, opcode::CLOSE, &1000_u16.to_be_bytes());
        assert_eq!(self.expect_close().0, 1000);
    }

    fn find(&mut self, wanted: impl Fn(&Value) -> bool) -> Value {
        if let Some(at) = self.kept.iter().position(&wanted) {
            return self.kept.remove(at).unwrap_or_default();
        }
        let end = Instant::now() + PATIENCE;
        loop {
            let frame = self.read(end.saturating_duration_since(Instant::now()));
            if wanted(&frame) {
                return frame;
            }
            self.kept.push_back(frame);
        }
    }

    fn read(&mut self, limit: Duration) -> Value {
        let end = Instant::now() + limit;
        loop {
            if let Some(frame) = self.try_read(end.saturating_duration_since(Instant::now())) {
                return frame;
            }
            assert!(self.closed.is_none(), "closed with {:?}", self.closed);
        }
    }

    /// One frame from the wire; a whole message where it ends one.
    fn try_read(&mut self, limit: Duration) -> Option<Value> {
        let frame = match self.raw.wait(limit) {
            Incoming::Frame(frame) => frame,
            Incoming::End => panic!("the connection ended without a close frame"),
            Incoming::Nothing => panic!("nothing came within {PATIENCE:?}; kept: {:?}", self.kept),
        };
        assert_eq!(frame.reserved, 0, "no extension was agreed on");
        match frame.opcode {
            opcode::TEXT | opcode::CONTINUATION => {
                self.part.extend(frame.payload);
                frame.fin.then(|| message(&std::mem::take(&mut self.part)))
            }
            opcode::PING => {
                let _ = self.raw.put_frame(true, opcode::PONG, &frame.payload);
                None
            }
            opcode::CLOSE => {
                let _ = self.raw.put_frame(true, opcode::CLOSE, &frame.payload);
                self.closed = Some(close(&frame.payload));
                None
            }
            other => {
                assert_eq!(other, opcode::PONG, "a frame that the protocol does not know");
                None
            }
        }
    }
}

fn message(bytes: &[u8]) -> Value {
    let text = std::str::from_utf8(bytes).expect("a text message is UTF-8");
    let value: Value = serde_json::from_str(text).unwrap_or_else(|error| panic!("{error} in {text}"));
    assert!(value["t"].is_string(), "every message has its t: {text}");
    value
}

/// Code and reason of a close frame; 1005 and null where it carries none (RFC 6455, section 7.1.5).
fn close(payload: &[u8]) -> (u16, Value) {
    if payload.is_empty() {
        return (1005, Value::Null);
    }
    assert!(payload.len() <= 125, "a control frame's bound");
    let code = u16::from_be_bytes([payload[0], payload[1]]);
    let reason = std::str::from_utf8(&payload[2..]).expect("a reason is UTF-8");
    if reason.is_empty() {
        return (code, Value::Null);
    }
    let reason = serde_json::from_str(reason).unwrap_or_else(|error| panic!("{error} in {reason}"));
    (code, reason)
}

#[cfg(test)]
mod tests {
    use std::io::{Read as _, Write as _};
    use std::net::{TcpListener, TcpStream};
    use std::thread::JoinHandle;

    use ovation_actors::close::{Close, CloseCode};
    use ovation_actors::push::{Frame, Opcode};

    use super::super::frames::{accept, client_frame};
    use super::*;

    /// A server that upgrades one connection, sends `bytes`, and gives back everything that the client sent until it
    /// ended; it does not end by itself before the client has sent `wanted` bytes.
    fn server(bytes: Vec<u8>, wanted: usize) -> (Site, JoinHandle<(Vec<u8>, TcpStream)>) {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let site = Site::at(listener.local_addr().unwrap());
        let thread = std::thread::spawn(move || {
            let (mut stream, _) = listener.accept().unwrap();
            stream.set_read_timeout(Some(PATIENCE)).unwrap();
            let request = request_head(&mut stream);
            let key = request.split("Sec-WebSocket-Key: ").nth(1).unwrap();
            let proof = accept(key.split("\r\n").next().unwrap());
            let head = format!(
                "HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\
                 Sec-WebSocket-Accept: {proof}\r\nSec-WebSocket-Protocol: ovation.v1\r\n\r\n"
            );
            // In one write: the first frames come with the head, and must not be lost.
            stream.write_all(&[head.as_bytes(), &bytes].concat()).unwrap();
            let mut got = vec![0; wanted];
            stream.read_exact(&mut got).unwrap();
            // Not closed before somebody joins: what the client still sends would be answered with a reset.
            (got, stream)
        });
        (site, thread)
    }

    fn request_head(stream: &mut TcpStream) -> String {
        let mut head = Vec::new();
        while !head.ends_with(b"\r\n\r\n") {
            let mut byte = [0];
            stream.read_exact(&mut byte).unwrap();
            head.push(byte[0]);
        }
        String::from_utf8(head).unwrap()
    }

    fn bytes_of(frames: &[Frame]) -> Vec<u8> {
        frames.iter().flat_map(|frame| frame.bytes().to_vec()).collect()
    }

    #[test]
    fn answers_are_found_among_events_and_nothing_is_lost() {
        let said = bytes_of(&[
            Frame::text(r#"{"t":"welcome","id":"1","d":{"seq":0}}"#),
            Frame::text(r#"{"t":"typing","d":{}}"#),
            Frame::text(r#"{"t":"message.new","seq":1,"d":{}}"#),
            Frame::new(Opcode::Ping, b"beat"),
            Frame::text(r#"{"t":"ack","id":"2","d":{"n":2}}"#),
            Frame::text(r#"{"t":"err","id":"3","code":"not_found","msg":"no such video"}"#),
            Frame::text(r#"{"t":"message.new","seq":2,"d":{}}"#),
            Frame::text(r#"{"t":"pong","id":"4","d":{}}"#),
            Close::from(CloseCode::Restart).frame(),
        ]);
        let (site, server) = server(said, 1);
        let mut socket = Socket::connect(&site);
        assert_eq!(socket.hello("token"), json!({"seq": 0}));
        assert_eq!(socket.done("a", &json!({})), json!({"n": 2}));
        assert_eq!(socket.refused("b", &json!({})), "not_found");
        assert_eq!(socket.next_of("message.new")["seq"], 1);
        assert_eq!(socket.next_event()["t"], "typing");
        assert_eq!(socket.so_far(), [json!({"t": "message.new", "seq": 2, "d": {}})]);
        assert_eq!(socket.expect_close(), (3001, json!({"reason": "restart"})));
        server.join().unwrap();
    }

    #[test]
    fn fragments_are_put_together_and_a_close_is_answered() {
        let mut said = vec![0x01, 6];
        said.extend(br#"{"t":""#);
        said.extend(Frame::new(Opcode::Ping, b"").bytes());
        said.extend([0x80, 3]);
        said.extend(br#"x"}"#);
        said.extend(Frame::new(Opcode::Close, &1000_u16.to_be_bytes()).bytes());
        let pong = client_frame(true, opcode::PONG, b"");
        let close = client_frame(true, opcode::CLOSE, &1000_u16.to_be_bytes());
        let (site, server) = server(said, pong.len() + 2 * close.len());
        let raw = RawSocket::upgrade(site.address(), "/ws", &[("Sec-WebSocket-Protocol", "ovation.v1")]);
        let raw = raw.unwrap_or_else(|reply| panic!("{reply:?}"));
        assert_eq!(raw.protocol.as_deref(), Some("ovation.v1"));
        let mut socket = Socket::over(raw);
        assert_eq!(socket.frame(), json!({"t": "x"}));
        socket.close();
        assert_eq!(server.join().unwrap().0, [pong, close.clone(), close].concat());
    }

    #[test]
    fn who_stops_reading_still_has_everything_when_asked() {
        let (site, server) = server(bytes_of(&[Frame::text(r#"{"t":"x"}"#)]), 4);
        let mut raw = Socket::connect(&site).stop_reading();
        assert_eq!(raw.frame().unwrap().payload, br#"{"t":"x"}"#);
        assert_eq!(raw.wait(Duration::from_millis(1)), Incoming::Nothing);
        raw.put(b"\x81\x80ab").unwrap();
        assert_eq!(server.join().unwrap().0, b"\x81\x80ab");
        assert_eq!(raw.frame(), None, "the server has ended");
    }
}
