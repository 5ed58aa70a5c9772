//! Requests that no decent client would send, byte by byte, and a plain reading of what comes back.

use std::io::{self, BufRead, BufReader, Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::time::Duration;

use super::answer::Reply;

/// A connection that bytes can be put on.
pub struct Wire(BufReader<TcpStream>);

impl Wire {
    /// Connects; every read and write gives up after 20 seconds.
    pub fn to(address: SocketAddr) -> Self {
        let stream = TcpStream::connect(address).expect("a connection");
        stream.set_read_timeout(Some(Duration::from_secs(20))).unwrap();
        stream.set_write_timeout(Some(Duration::from_secs(20))).unwrap();
        Self(BufReader::new(stream))
    }

    /// Sends bytes; an error is the server having closed already.
    pub fn put(&mut self, bytes: impl AsRef<[u8]>) -> io::Result<()> {
        self.0.get_mut().write_all(bytes.as_ref())
    }

    /// Reads one answer; `None` when the server closed without one.
    pub fn answer(&mut self) -> Option<Reply> {
        self.read(false)
    }

    /// The connection itself, with what was already read of it, for what comes after an upgrade.
    pub fn into_stream(self) -> BufReader<TcpStream> {
        self.0
    }

    /// Reads the answer to a HEAD request, which has no body whatever its headers say.
    pub fn answer_to_head(&mut self) -> Option<Reply> {
        self.read(true)
    }

    /// Waits for `100 Continue`: the server has the head of a request with `Expect: 100-continue` and wants its body.
    pub fn invited(&mut self) {
        let first = self.line().expect("an interim answer");
        assert!(first.contains(" 100 "), "{first}");
        assert_eq!(self.line().as_deref(), Some(""));
    }

    /// True when the server has closed and nothing is left to read.
    pub fn is_closed(&mut self) -> bool {
        let mut rest = Vec::new();
        match self.0.read_to_end(&mut rest) {
            Ok(0) => true,
            Ok(_) => false,
            Err(error) => error.kind() == io::ErrorKind::ConnectionReset,
        }
    }

    fn line(&mut self) -> Option<String> {
        let mut line = Vec::new();
        match self.0.read_until(b'\n', &mut line) {
            Ok(0) => None,
            Ok(_) => Some(String::from_utf8_lossy(&line).trim_end().to_owned()),
            Err(error) if error.kind() == io::ErrorKind::ConnectionReset => None,
            Err(error) => panic!("no answer: {error}"),
        }
    }

    fn read(&mut self, head: bool) -> Option<Reply> {
        loop {
            let first = self.line()?;
            let status = first.split(' ').nth(1).and_then(|code| code.parse().ok());
            let status: u16 = status.unwrap_or_else(|| panic!("not HTTP: {first:?}"));
            let mut headers = Vec::new();
            while let Some(line) = self.line().filter(|line| !line.is_empty()) {
                let (name, value) = line.split_once(':').expect("a header");
                headers.push((name.to_ascii_lowercase(), value.trim().to_owned()));
            }
            if status == 100 {
                continue;
            }
            let mut reply = Reply {
                status,
                headers,
                body: Vec::new(),
            };
            if !(head || matches!(status, 101 | 204 | 304)) {
                reply.body = self.body(&reply);
            }
            return Some(reply);
        }
    }

    fn body(&mut self, reply: &Reply) -> Vec<u8> {
        let mut body = Vec::new();
        if reply.header("transfer-encoding") == Some("chunked") {
            loop {
                let size = usize::from_str_radix(&self.line().expect("a chunk"), 16).expect("a chunk's size");
                let start = body.len();
                body.resize(start + size, 0);
                self.0.read_exact(&mut body[start..]).unwrap();
                assert_eq!(self.line().as_deref(), Some(""), "a chunk ends with a line end");
                if size == 0 {
                    return body;
                }
            }
        }
        if let Some(length) = reply.header("content-length") {
            body.resize(length.parse().unwrap(), 0);
            self.0.read_exact(&mut body).unwrap();
        } else {
            self.0.read_to_end(&mut body).unwrap();
        }
        body
    }
}

/// Sends one whole request on a connection of its own; `None` when the server closed without an answer.
pub fn exchange(address: SocketAddr, request: impl AsRef<[u8]>) -> Option<Reply> {
    let mut wire = Wire::to(address);
    // A server may answer and close before it has read everything; the answer counts then.
    let _ = wire.put(request);
    wire.answer()
}

/// The head of a request with `Host`; the caller adds the body that its headers promise.
pub fn head(method: &str, target: &str, headers: &[(&str, &str)]) -> String {
    let mut text = format!("{method} {target} HTTP/1.1\r\nHost: phone.test:8080\r\n");
    for (name, value) in headers {
        text.extend([name, ": ", value, "\r\n"]);
    }
    text.push_str("\r\n");
    text
}
