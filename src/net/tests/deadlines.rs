//! Which connections end and which live on, in bytes on a socket. The controls without `on_connect` show what
//! actix-http does alone; when one of them fails, it has learned to do it itself and our part may go.

use std::net::SocketAddr;
use std::task::Poll;
use std::time::{Duration, Instant};

use actix_web::body::BodyStream;
use actix_web::dev::ServerHandle;
use actix_web::middleware::from_fn;
use actix_web::rt::time::sleep;
use actix_web::web::{self, Bytes};
use actix_web::{App, HttpResponse, HttpServer};
use futures_util::stream;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;
use tokio::time::timeout;

use crate::net::{ConnectionLimits, on_connect, track_requests};

const LIMITS: ConnectionLimits = ConnectionLimits {
    keep_alive: Duration::from_secs(1),
    head: Duration::from_millis(600),
    slack: Duration::from_millis(400),
    drain: Duration::from_secs(20),
    unacknowledged: Duration::from_secs(30),
    sweep_every: Duration::from_millis(50),
};

/// By when everything that our sweeper ends has ended, with room for actix's clock of half seconds and a busy machine.
const ENDED: Duration = Duration::from_secs(4);
/// Far longer than any limit above: what lives that long is not being cut.
const LONG: Duration = Duration::from_millis(2500);

/// Far over what the kernel buffers for a peer that does not read.
const LARGE: usize = 24 * 1024 * 1024;

async fn stream() -> HttpResponse {
    let chunks = stream::unfold(Instant::now(), |start| async move {
        sleep(Duration::from_millis(100)).await;
        (start.elapsed() < LONG).then(|| (Ok::<_, std::io::Error>(Bytes::from_static(b"x")), start))
    });
    HttpResponse::Ok().body(BodyStream::new(chunks))
}

/// Answers without reading the body, as a handler does that refuses a token before an upload.
async fn early() -> &'static str {
    "early"
}

async fn panics() -> HttpResponse {
    panic!("a handler's own")
}

async fn broken() -> HttpResponse {
    let chunks = stream::poll_fn(|_| -> Poll<Option<std::io::Result<Bytes>>> { panic!("a body's own") });
    HttpResponse::Ok().body(BodyStream::new(chunks))
}

struct Server {
    address: SocketAddr,
    handle: ServerHandle,
}

impl Drop for Server {
    fn drop(&mut self) {
        // Sends the order to stop; the worker threads end by it without being polled for.
        drop(self.handle.stop(false));
    }
}

fn serve(watched: bool) -> Server {
    let server = HttpServer::new(|| {
        App::new()
            .wrap(from_fn(track_requests))
            .route("/quick", web::to(async || "quick"))
            .route(
                "/slow",
                web::to(async || {
                    sleep(LONG).await;
                    "slow"
                }),
            )
            .route("/stream", web::to(stream))
            .route("/panic", web::to(panics))
            .route("/broken", web::to(broken))
            .route("/early", web::to(early))
            .route("/late", web::to(async || HttpResponse::RequestTimeout().body("late")))
            .route("/large", web::to(async || HttpResponse::Ok().body(vec![b'x'; LARGE])))
    })
    .workers(1)
    .disable_signals()
    .keep_alive(LIMITS.keep_alive)
    .client_request_timeout(LIMITS.head)
    .client_disconnect_timeout(LIMITS.head);
    let server = if watched {
        server.on_connect(on_connect(LIMITS))
    } else {
        server
    };
    let server = server.bind(("127.0.0.1", 0)).unwrap();
    let address = server.addrs()[0];
    let server = server.run();
    let handle = server.handle();
    actix_web::rt::spawn(server);
    Server { address, handle }
}

async fn connect(server: &Server) -> TcpStream {
    TcpStream::connect(server.address).await.unwrap()
}

async fn get(client: &mut TcpStream, path: &str) {
    let request = format!("GET {path} HTTP/1.1\r\nHost: h\r\n\r\n");
    client.write_all(request.as_bytes()).await.unwrap();
}

/// Reads until the text has come.
async fn expect(client: &mut TcpStream, text: &str) -> String {
    let mut seen = Vec::new();
    let mut buffer = [0; 4096];
    while !String::from_utf8_lossy(&seen).contains(text) {
        let read = timeout(LONG * 2, client.read(&mut buffer))
            .await
            .expect("an answer in time")
            .unwrap();
        assert!(read > 0, "closed after {:?}", String::from_utf8_lossy(&seen));
        seen.extend_from_slice(&buffer[..read]);
    }
    String::from_utf8(seen).unwrap()
}

/// What comes until the server closes, and when that is; None when it stays open for `within`.
async fn closed(client: &mut TcpStream, within: Duration) -> Option<(String, Duration)> {
    let start = Instant::now();
    let mut seen = Vec::new();
    // A reset is an end as well: bytes of ours were still unread.
    match timeout(within, client.read_to_end(&mut seen)).await {
        Ok(_) => Some((String::from_utf8_lossy(&seen).into_owned(), start.elapsed())),
        Err(_) => None,
    }
}

/// Sends one byte of `text` after another, each after a tenth of a second, until it is refused or `within` is over.
async fn trickle(client: &mut TcpStream, text: &[u8], within: Duration) -> Option<Duration> {
    let start = Instant::now();
    for byte in text.iter().cycle() {
        if start.elapsed() > within {
            return None;
        }
        let written = client.write_all(&[*byte]).await;
        let ended = timeout(Duration::from_millis(100), client.read(&mut [0; 64])).await;
        if written.is_err() || matches!(ended, Ok(Ok(0) | Err(_))) {
            return Some(start.elapsed());
        }
    }
    None
}

#[actix_web::test]
async fn a_slow_first_head_gets_408_from_actix() {
    let server = serve(false);
    let mut client = connect(&server).await;
    client.write_all(b"GET /quick HTTP/1.1\r\nHo").await.unwrap();
    let (answer, _) = closed(&mut client, ENDED).await.expect("ended");
    assert!(answer.starts_with("HTTP/1.1 408"), "{answer}");
}

#[actix_web::test]
async fn a_silent_connection_ends() {
    let server = serve(true);
    let mut client = connect(&server).await;
    assert!(closed(&mut client, ENDED).await.is_some());
}

#[actix_web::test]
async fn an_idle_connection_is_closed_after_keep_alive_and_serves_until_then() {
    let server = serve(true);
    let mut client = connect(&server).await;
    for _ in 0..3 {
        get(&mut client, "/quick").await;
        expect(&mut client, "quick").await;
        sleep(LIMITS.keep_alive / 6).await;
    }
    assert!(closed(&mut client, ENDED).await.is_some());
}

#[actix_web::test]
async fn a_slow_second_head_lives_for_ever_in_actix_alone() {
    let server = serve(false);
    let mut client = connect(&server).await;
    get(&mut client, "/quick").await;
    expect(&mut client, "quick").await;
    assert_eq!(trickle(&mut client, b"G", ENDED).await, None);
}

#[actix_web::test]
async fn a_slow_second_head_ends_here() {
    let server = serve(true);
    let mut client = connect(&server).await;
    get(&mut client, "/quick").await;
    expect(&mut client, "quick").await;
    let after = trickle(&mut client, b"G", ENDED).await.expect("ended");
    assert!(after >= LIMITS.keep_alive, "not before its time: {after:?}");

    let mut client = connect(&server).await;
    get(&mut client, "/quick").await;
    expect(&mut client, "quick").await;
    client.write_all(b"GET /quick HTTP/1.1\r\nHo").await.unwrap();
    assert!(closed(&mut client, ENDED).await.is_some(), "one that stops half way");
}

#[actix_web::test]
async fn a_long_running_handler_is_not_cut_and_the_connection_lives_on() {
    let server = serve(true);
    let mut client = connect(&server).await;
    get(&mut client, "/slow").await;
    expect(&mut client, "slow").await;
    get(&mut client, "/quick").await;
    expect(&mut client, "quick").await;
}

#[actix_web::test]
async fn a_streaming_response_is_not_cut() {
    let server = serve(true);
    let mut client = connect(&server).await;
    let start = Instant::now();
    get(&mut client, "/stream").await;
    expect(&mut client, "\r\n0\r\n\r\n").await;
    assert!(start.elapsed() >= LONG, "{:?}", start.elapsed());
}

#[actix_web::test]
async fn an_unread_sized_body_is_answered_and_closed_by_actix() {
    let server = serve(false);
    let mut client = connect(&server).await;
    client
        .write_all(b"POST /early HTTP/1.1\r\nHost: h\r\nContent-Length: 1000000\r\n\r\nx")
        .await
        .unwrap();
    let answer = expect(&mut client, "early").await;
    assert!(answer.to_lowercase().contains("connection: close"), "{answer}");
    assert!(closed(&mut client, ENDED).await.is_some());
}

const CHUNKED: &[u8] = b" HTTP/1.1\r\nHost: h\r\nTransfer-Encoding: chunked\r\n\r\n";

async fn unread_chunks(server: &Server, path: &str) -> Option<Duration> {
    let mut client = connect(server).await;
    client
        .write_all(&[b"POST ", path.as_bytes(), CHUNKED].concat())
        .await
        .unwrap();
    expect(&mut client, &path[1..]).await;
    trickle(&mut client, b"1\r\nx\r\n", ENDED).await
}

#[actix_web::test]
async fn an_unread_chunked_body_trickles_for_ever_in_actix_alone() {
    assert_eq!(unread_chunks(&serve(false), "/early").await, None);
}

#[actix_web::test]
async fn an_unread_chunked_body_ends_here_and_sooner_after_a_408() {
    let server = serve(true);
    let early = unread_chunks(&server, "/early").await.expect("ended");
    let late = unread_chunks(&server, "/late").await.expect("ended");
    assert!(late < early, "{late:?} {early:?}");
}

#[actix_web::test]
async fn a_slow_reader_gets_all_of_a_large_response() {
    let server = serve(true);
    let mut client = connect(&server).await;
    get(&mut client, "/large").await;
    let mut received = expect(&mut client, "\r\n\r\n").await.len();
    let mut buffer = vec![0; LARGE / 40];
    while received < LARGE {
        sleep(Duration::from_millis(80)).await;
        let read = client.read(&mut buffer).await.unwrap();
        assert!(read > 0, "cut after {received} bytes");
        received += read;
    }
}

#[actix_web::test]
async fn connection_and_worker_survive_a_panic() {
    let server = serve(true);
    let mut client = connect(&server).await;
    get(&mut client, "/panic").await;
    let answer = expect(&mut client, "5000").await;
    assert!(answer.starts_with("HTTP/1.1 500"), "{answer}");
    assert!(!answer.contains("own"), "{answer}");
    get(&mut client, "/quick").await;
    expect(&mut client, "quick").await;

    // A panic in a body ends its own connection, since half the answer has been sent, and no other.
    let mut other = connect(&server).await;
    get(&mut other, "/broken").await;
    assert!(closed(&mut other, ENDED).await.is_some());
    get(&mut client, "/quick").await;
    expect(&mut client, "quick").await;
}
