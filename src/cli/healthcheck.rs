//! `ovation healthcheck`: is the server of this configuration ready?
//!
//! Owns one small HTTP request with a deadline, so that an image needs no curl. Never starts anything.

use std::io::{Read, Write};
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr, TcpStream};
use std::time::{Duration, Instant};

use anyhow::{Context, bail, ensure};

/// For connecting and the answer together.
const DEADLINE: Duration = Duration::from_secs(2);
/// `HTTP/1.1 200`
const STATUS_LINE_START: usize = 12;

/// Asks `/readyz` on the address the server listens on; an error says why it isn't ready.
pub fn healthcheck(listen: SocketAddr) -> anyhow::Result<()> {
    ensure!(
        listen.port() != 0,
        "port 0 is a different port at every start: set `listen` to a fixed one"
    );
    ask(reachable(listen), Instant::now() + DEADLINE)
}

fn ask(address: SocketAddr, deadline: Instant) -> anyhow::Result<()> {
    let mut stream = TcpStream::connect_timeout(&address, remaining(deadline)?)
        .with_context(|| format!("no server can be reached at {address}"))?;
    stream.set_write_timeout(Some(remaining(deadline)?))?;
    stream
        .write_all(format!("GET /readyz HTTP/1.1\r\nHost: {address}\r\nConnection: close\r\n\r\n").as_bytes())
        .context("the request could not be sent")?;
    let mut head = [0; STATUS_LINE_START];
    let mut filled = 0;
    while filled < head.len() {
        stream.set_read_timeout(Some(remaining(deadline)?))?;
        match stream
            .read(&mut head[filled..])
            .context("the server did not answer in time")?
        {
            0 => bail!("the server closed the connection without an answer"),
            count => filled += count,
        }
    }
    ensure!(
        head.starts_with(b"HTTP/1.1 "),
        "what listens at {address} is no HTTP server"
    );
    let status = String::from_utf8_lossy(&head[9..]).into_owned();
    ensure!(
        status == "200",
        "the server is not ready: it answered {}",
        status.escape_debug()
    );
    Ok(())
}

/// "All addresses" is none to connect to; the loopback of the same family is among them.
fn reachable(listen: SocketAddr) -> SocketAddr {
    let ip = match listen.ip() {
        IpAddr::V4(ip) if ip.is_unspecified() => IpAddr::V4(Ipv4Addr::LOCALHOST),
        IpAddr::V6(ip) if ip.is_unspecified() => IpAddr::V6(Ipv6Addr::LOCALHOST),
        ip => ip,
    };
    SocketAddr::new(ip, listen.port())
}

/// An error once the deadline has passed; never zero, which the socket options refuse.
fn remaining(deadline: Instant) -> anyhow::Result<Duration> {
    let left = deadline.saturating_duration_since(Instant::now());
    ensure!(!left.is_zero(), "the server did not answer in time");
    Ok(left)
}

#[cfg(test)]
mod tests {
    use std::net::TcpListener;
    use std::thread;

    use super::*;

    /// What a server that sends `answer` (and then keeps the connection open) is taken for.
    fn verdict(answer: &'static [u8], patience: Duration) -> Result<(), String> {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap();
        let server = thread::spawn(move || {
            let (mut stream, _) = listener.accept().unwrap();
            let mut request = [0; 14];
            stream.read_exact(&mut request).unwrap();
            assert_eq!(&request, b"GET /readyz HT");
            stream.write_all(answer).unwrap();
            let _ = stream.read_to_end(&mut Vec::new()); // until the other side has had enough
        });
        let verdict = ask(address, Instant::now() + patience).map_err(|error| format!("{error:#}"));
        server.join().unwrap();
        verdict
    }

    #[test]
    fn only_200_is_ready() {
        let patience = Duration::from_secs(30);
        assert_eq!(verdict(b"HTTP/1.1 200 OK\r\n", patience), Ok(()));
        assert!(
            verdict(b"HTTP/1.1 503 Service Unavailable\r\n", patience)
                .unwrap_err()
                .contains("503")
        );
        assert!(
            verdict(b"SSH-2.0-OpenSSH_9.2\r\n", patience)
                .unwrap_err()
                .contains("no HTTP server")
        );
    }

    #[test]
    fn a_silent_server_is_given_up() {
        assert!(
            verdict(b"HTTP", Duration::from_millis(50))
                .unwrap_err()
                .contains("in time")
        );
    }

    #[test]
    fn no_server_is_not_ready() {
        let free = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
        assert!(format!("{:#}", healthcheck(free).unwrap_err()).contains("no server can be reached"));
        assert!(healthcheck("127.0.0.1:0".parse().unwrap()).is_err());
    }

    #[test]
    fn all_addresses_are_asked_on_the_loopback() {
        for (listen, asked) in [
            ("0.0.0.0:80", "127.0.0.1:80"),
            ("[::]:80", "[::1]:80"),
            ("10.1.2.3:80", "10.1.2.3:80"),
        ] {
            assert_eq!(reachable(listen.parse().unwrap()).to_string(), asked);
        }
    }
}
