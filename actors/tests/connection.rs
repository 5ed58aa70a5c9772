//! Connections over real sockets: a worker of actix-web on one side, plain TCP on the other.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    reason = "this is a test, helpers included"
)]

use std::io::{ErrorKind, Read as _, Write as _};
use std::net::{Shutdown, SocketAddr, TcpListener, TcpStream};
use std::os::fd::AsFd as _;
use std::rc::Rc;
use std::sync::mpsc::{Receiver, Sender, channel};
use std::sync::{Arc, OnceLock};
use std::time::{Duration, Instant};

use actix_web::{App, HttpRequest, HttpResponse, HttpServer, web};
use futures_util::FutureExt as _;
use futures_util::future::{self, LocalBoxFuture};
use ovation_actors::connection::{
    EchoSetup, HandshakeError, Limits, Setup, SocketLimits, SocketStatus, Sockets, upgrade, upgrade_echo,
};
use ovation_actors::operator::{Denied, Greeting, Hello, Operator, Refusal, Request};
use ovation_actors::outbox::Outbox;
use ovation_actors::push::{Frame, Opcode};
use ovation_schema::UserId;
use ovation_schema::streams::Event;

/// Longer than anything here takes; a test that reaches it fails.
const PATIENCE: Duration = Duration::from_secs(20);

/// A server in which everybody is a guest and every operation is done.
struct Guests;

impl Operator for Guests {
    fn greet(self: Rc<Self>, _: Hello) -> LocalBoxFuture<'static, Result<Greeting, Denied>> {
        future::ready(Ok(Greeting {
            welcome: "{}".to_owned(),
            member: None,
        }))
        .boxed_local()
    }

    fn page(self: Rc<Self>, _: UserId, _: i64) -> LocalBoxFuture<'static, Result<Vec<Event>, Refusal>> {
        future::ready(Ok(Vec::new())).boxed_local()
    }

    fn call(self: Rc<Self>, _: Request) -> LocalBoxFuture<'static, Result<String, Refusal>> {
        future::ready(Ok("{}".to_owned())).boxed_local()
    }
}

/// The connection's own socket, to be ended from outside.
struct Socket(Arc<TcpStream>);

struct Server {
    address: SocketAddr,
    sockets: Sockets,
    outboxes: Receiver<Arc<Outbox>>,
}

fn answer(result: Result<HttpResponse, HandshakeError>) -> HttpResponse {
    result.unwrap_or_else(|error| {
        let mut response = HttpResponse::build(actix_web::http::StatusCode::from_u16(error.status()).unwrap());
        for header in error.headers() {
            response.insert_header(*header);
        }
        response.body(error.to_string())
    })
}

fn hangup(request: &HttpRequest) -> Box<dyn Fn()> {
    let socket = Arc::clone(&request.conn_data::<Socket>().unwrap().0);
    // An error means that it has ended.
    Box::new(move || drop(socket.shutdown(Shutdown::Both)))
}

fn serve(limits: Limits) -> Server {
    let sockets = Sockets::new(SocketLimits {
        open: 100,
        waiting: 100,
        per_address: 100,
    });
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    let (sender, outboxes) = channel();
    let shared = sockets.clone();
    std::thread::spawn(move || run(listener, limits, &shared, &sender));
    Server {
        address,
        sockets,
        outboxes,
    }
}

fn run(listener: TcpListener, limits: Limits, sockets: &Sockets, outboxes: &Sender<Arc<Outbox>>) {
    let limits = Arc::new(limits);
    let factory = {
        let (sockets, outboxes) = (sockets.clone(), outboxes.clone());
        move || {
            let (for_echo, sockets, outboxes) = (sockets.clone(), sockets.clone(), outboxes.clone());
            let (limits, echo_limits) = (Arc::clone(&limits), Arc::clone(&limits));
            let socket = move |request: HttpRequest, payload: web::Payload| {
                let outbox = Arc::new(Outbox::new(limits.outbox));
                outboxes.send(Arc::clone(&outbox)).unwrap();
                let setup = Setup {
                    operator: Rc::new(Guests),
                    outbox,
                    limits: Arc::clone(&limits),
                    hangup: hangup(&request),
                    ticket: sockets.admit(None).unwrap(),
                };
                future::ready(answer(upgrade(&request, payload, setup)))
            };
            let echo = move |request: HttpRequest, payload: web::Payload| {
                let setup = EchoSetup {
                    limits: Arc::clone(&echo_limits),
                    hangup: hangup(&request),
                    ticket: for_echo.admit(None).unwrap(),
                };
                future::ready(answer(upgrade_echo(&request, payload, setup)))
            };
            App::new()
                .route("/ws", web::get().to(socket))
                .route("/ws/echo", web::get().to(echo))
        }
    };
    let server = HttpServer::new(factory)
        .on_connect(|socket, data| {
            let stream = socket.downcast_ref::<actix_web::rt::net::TcpStream>().unwrap();
            let twin = stream.as_fd().try_clone_to_owned().unwrap();
            data.insert(Socket(Arc::new(TcpStream::from(twin))));
        })
        .workers(1)
        // A stream that ends only because the dispatcher gave up waiting would fail here.
        .client_disconnect_timeout(3 * PATIENCE)
        .disable_signals()
        .listen(listener)
        .unwrap();
    actix_web::rt::System::new().block_on(server.run()).unwrap();
}

/// One server with the ordinary limits for all tests that do not measure time.
fn ordinary() -> SocketAddr {
    static SERVER: OnceLock<SocketAddr> = OnceLock::new();
    *SERVER.get_or_init(|| {
        let server = serve(Limits::default());
        let address = server.address;
        std::mem::forget(server);
        address
    })
}

/// Sends an upgrade with these fields besides the ordinary ones; the head of the answer.
fn ask(address: SocketAddr, path: &str, version: &str, more: &str) -> (TcpStream, String) {
    let mut stream = TcpStream::connect(address).unwrap();
    stream.set_read_timeout(Some(PATIENCE)).unwrap();
    let head = format!(
        "GET {path} HTTP/1.1\r\nHost: x\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n\
         Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\nSec-WebSocket-Version: {version}\r\n{more}\r\n"
    );
    stream.write_all(head.as_bytes()).unwrap();
    let mut answer = Vec::new();
    while !answer.ends_with(b"\r\n\r\n") {
        let mut byte = [0];
        stream.read_exact(&mut byte).unwrap();
        answer.push(byte[0]);
    }
    (stream, String::from_utf8(answer).unwrap().to_ascii_lowercase())
}

fn open(address: SocketAddr, path: &str) -> TcpStream {
    let (stream, head) = ask(address, path, "13", "");
    assert!(head.starts_with("http/1.1 101 "), "{head}");
    stream
}

fn send(stream: &mut TcpStream, first: u8, payload: &[u8]) {
    // The mask of zeros changes nothing.
    let mut bytes = Frame::new(Opcode::Text, payload).bytes().to_vec();
    let header = bytes.len() - payload.len();
    bytes[0] = first;
    bytes[1] |= 0x80;
    bytes.splice(header..header, [0; 4]);
    stream.write_all(&bytes).unwrap();
}

/// The next frame: its first byte and its payload; none at the end of the stream.
fn receive(stream: &mut TcpStream) -> Option<(u8, Vec<u8>)> {
    let mut head = [0; 2];
    match stream.read_exact(&mut head) {
        Err(error) if matches!(error.kind(), ErrorKind::UnexpectedEof | ErrorKind::ConnectionReset) => return None,
        result => result.unwrap(),
    }
    let length = match head[1] {
        126 => {
            let mut length = [0; 2];
            stream.read_exact(&mut length).unwrap();
            usize::from(u16::from_be_bytes(length))
        }
        127 => {
            let mut length = [0; 8];
            stream.read_exact(&mut length).unwrap();
            usize::try_from(u64::from_be_bytes(length)).unwrap()
        }
        length => usize::from(length),
    };
    let mut payload = vec![0; length];
    stream.read_exact(&mut payload).unwrap();
    Some((head[0], payload))
}

fn receive_close(stream: &mut TcpStream) -> u16 {
    loop {
        let (first, payload) = receive(stream).expect("a close before the end");
        if first == 0x88 {
            return u16::from_be_bytes([payload[0], payload[1]]);
        }
    }
}

fn hello(stream: &mut TcpStream) {
    send(stream, 0x81, br#"{"t":"hello","id":"h"}"#);
    let (_, welcome) = receive(stream).unwrap();
    assert_eq!(welcome, br#"{"t":"welcome","id":"h","d":{}}"#);
}

#[test]
fn the_handshake_is_that_of_the_rfc() {
    let (_, head) = ask(
        ordinary(),
        "/ws/echo",
        "13",
        "Sec-WebSocket-Extensions: permessage-deflate\r\n",
    );
    assert!(head.starts_with("http/1.1 101 "), "{head}");
    // The example of section 1.3.
    assert!(
        head.contains("sec-websocket-accept: s3pplmbitxaq9kygzzhzrbk+xoo=\r\n"),
        "{head}"
    );
    assert!(
        head.contains("upgrade: websocket\r\n") && head.contains("connection: upgrade\r\n"),
        "{head}"
    );
    assert!(!head.contains("extensions") && !head.contains("protocol:"), "{head}");
    assert!(
        !head.contains("transfer-encoding") && !head.contains("content-length"),
        "{head}"
    );
    let (_, head) = ask(ordinary(), "/ws", "13", "Sec-WebSocket-Protocol: chat, ovation.v1\r\n");
    assert!(head.contains("sec-websocket-protocol: ovation.v1\r\n"), "{head}");
}

#[test]
fn what_is_no_handshake_is_refused_before_the_upgrade() {
    let (_, head) = ask(ordinary(), "/ws", "8", "");
    assert!(
        head.starts_with("http/1.1 426 ") && head.contains("sec-websocket-version: 13\r\n"),
        "{head}"
    );
    let (_, head) = ask(ordinary(), "/ws", "13", "Sec-WebSocket-Protocol: ovation.v2\r\n");
    assert!(head.starts_with("http/1.1 400 "), "{head}");
}

#[test]
fn echo_of_every_size_and_in_fragments() {
    let mut stream = open(ordinary(), "/ws/echo");
    for length in [0, 125, 126, 127, 128, 65_535, 65_536, 3 << 20] {
        let payload = vec![b'*'; length];
        send(&mut stream, 0x82, &payload);
        assert_eq!(receive(&mut stream), Some((0x82, payload)));
    }
    send(&mut stream, 0x01, "κό".as_bytes());
    send(&mut stream, 0x89, b"between");
    send(&mut stream, 0x80, "σμε".as_bytes());
    assert_eq!(receive(&mut stream), Some((0x8A, b"between".to_vec())));
    assert_eq!(receive(&mut stream), Some((0x81, "κόσμε".as_bytes().to_vec())));
}

#[test]
fn a_close_is_answered_and_the_stream_ends_at_once() {
    let mut stream = open(ordinary(), "/ws/echo");
    send(&mut stream, 0x88, b"\x0f\xa0bye");
    assert_eq!(receive(&mut stream), Some((0x88, b"\x0f\xa0".to_vec())));
    assert_eq!(receive(&mut stream), None);
}

#[test]
fn bytes_that_are_no_frames_are_answered_with_their_code() {
    let mut stream = open(ordinary(), "/ws/echo");
    stream.write_all(b"GET / HTTP/1.1\r\n\r\n").unwrap();
    assert_eq!(receive_close(&mut stream), 1002);
    assert_eq!(receive(&mut stream), None);
    let mut stream = open(ordinary(), "/ws");
    send(&mut stream, 0x81, &vec![b' '; (32 << 10) + 1]);
    assert_eq!(receive_close(&mut stream), 1009);
    assert_eq!(receive(&mut stream), None);
}

#[test]
fn a_conversation_of_a_guest() {
    let mut stream = open(ordinary(), "/ws");
    hello(&mut stream);
    send(&mut stream, 0x81, br#"{"t":"video.watch","id":"1","d":{"video_id":1}}"#);
    send(&mut stream, 0x81, br#"{"t":"ping","id":"2"}"#);
    assert_eq!(receive(&mut stream).unwrap().1, br#"{"t":"ack","id":"1","d":{}}"#);
    assert!(
        receive(&mut stream)
            .unwrap()
            .1
            .starts_with(br#"{"t":"pong","id":"2","d":{"time":"#)
    );
    send(&mut stream, 0x81, b"nonsense");
    assert_eq!(receive_close(&mut stream), 3501);
    send(&mut stream, 0x88, &3501u16.to_be_bytes());
    assert_eq!(receive(&mut stream), None);
}

/// Times that tests can wait for.
fn short() -> Limits {
    Limits {
        hello: Duration::from_secs(1),
        stall: Duration::from_secs(1),
        hangup: Duration::from_secs(1),
        close: Duration::from_secs(1),
        ..Limits::default()
    }
}

#[test]
fn a_client_that_never_reads_is_ended_and_leaves_the_others_alone() {
    let server = serve(short());
    let mut reader = open(server.address, "/ws");
    hello(&mut reader);
    let of_reader = server.outboxes.recv_timeout(PATIENCE).unwrap();
    let mut stalled = open(server.address, "/ws");
    hello(&mut stalled);
    let of_stalled = server.outboxes.recv_timeout(PATIENCE).unwrap();
    let frame = Frame::new(Opcode::Text, &[b'x'; 8000]);
    let start = Instant::now();
    let mut received = 0;
    while server.sockets.status().open > 1 {
        assert!(start.elapsed() < PATIENCE);
        for _ in 0..8 {
            of_stalled.put(None, &frame);
        }
        of_reader.put(None, &Frame::text("news"));
        let (_, payload) = receive(&mut reader).unwrap();
        received += usize::from(payload == b"news");
    }
    assert!(of_stalled.dropped() > 0, "what had no room was dropped");
    assert!(received > 0 && of_reader.dropped() == 0);
    // Its side of the stream has been ended as well.
    let mut rest = Vec::new();
    drop(stalled.read_to_end(&mut rest));
    send(&mut reader, 0x81, br#"{"t":"ping","id":"2"}"#);
    assert!(receive(&mut reader).is_some());
}

#[test]
fn a_close_that_the_client_does_not_answer_ends_nevertheless() {
    let server = serve(short());
    let mut silent = open(server.address, "/ws");
    assert_eq!(receive_close(&mut silent), 3501);
    assert_eq!(receive(&mut silent), None);
}

#[test]
fn a_restart_reaches_everybody() {
    let server = serve(Limits::default());
    let mut streams: Vec<_> = (0..5).map(|_| open(server.address, "/ws")).collect();
    streams.iter_mut().for_each(hello);
    server.sockets.drain(Duration::from_secs(2));
    for stream in &mut streams {
        assert_eq!(receive_close(stream), 3001);
        send(stream, 0x88, &3001u16.to_be_bytes());
        assert_eq!(receive(stream), None);
    }
    let start = Instant::now();
    while server.sockets.status().open > 0 {
        assert!(start.elapsed() < PATIENCE);
        std::thread::yield_now();
    }
    let gone = SocketStatus {
        draining: true,
        ..SocketStatus::default()
    };
    assert_eq!(server.sockets.status(), gone);
}
