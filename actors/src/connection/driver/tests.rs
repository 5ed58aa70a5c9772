use std::cell::{Cell, RefCell};
use std::collections::VecDeque;
use std::pin::Pin;
use std::sync::Arc;
use std::task::Waker;
use std::time::Duration;

use futures_util::future::{self, FutureExt as _, LocalBoxFuture};
use ovation_schema::UserId;
use ovation_schema::streams::{Event, EventKind};

use super::super::limits::Limits;
use super::super::sockets::{SocketLimits, Sockets};
use super::*;
use crate::operator::{Denied, Greeting, Hello, Member, Refusal, RefusalCode, Request, Start};
use crate::outbox::Outbox;

/// What a client has sent; `None` is the end of its side.
type Wire = Rc<RefCell<VecDeque<Option<Bytes>>>>;

struct Input(Wire);

impl Stream for Input {
    type Item = Result<Bytes, std::convert::Infallible>;

    fn poll_next(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        match self.0.borrow_mut().pop_front() {
            Some(bytes) => Poll::Ready(bytes.map(Ok)),
            None => Poll::Pending,
        }
    }
}

/// A server whose store can be away; counts what it is asked.
#[derive(Clone, Default)]
struct Server {
    stored: Rc<Cell<i64>>,
    start: Rc<Cell<Option<Start>>>,
    away: Rc<Cell<bool>>,
    pages: Rc<Cell<usize>>,
    dropped: Rc<Cell<bool>>,
}

struct Served(Server);

impl Drop for Served {
    fn drop(&mut self) {
        self.0.dropped.set(true);
    }
}

fn refusal() -> Refusal {
    Refusal {
        code: RefusalCode::TryLater,
        message: "Not now.".into(),
        retry_after: None,
    }
}

fn event(seq: i64) -> Event {
    Event {
        user: UserId(1),
        seq,
        kind: EventKind::MessageNew,
        payload: format!(r#"{{"x":"{}"}}"#, "x".repeat(2000)),
        created_at: 0,
    }
}

impl Operator for Served {
    fn greet(self: Rc<Self>, _: Hello) -> LocalBoxFuture<'static, Result<Greeting, Denied>> {
        let member = self.0.start.get().map(|start| Member {
            user: UserId(1),
            next: 1,
            start,
            expires_at: 5_000_000_000,
        });
        future::ready(Ok(Greeting {
            welcome: "{}".to_owned(),
            member,
        }))
        .boxed_local()
    }

    fn page(self: Rc<Self>, _: UserId, next: i64) -> LocalBoxFuture<'static, Result<Vec<Event>, Refusal>> {
        self.0.pages.set(self.0.pages.get() + 1);
        let page = if self.0.away.get() {
            Err(refusal())
        } else {
            Ok((next..=self.0.stored.get()).take(10).map(event).collect())
        };
        future::ready(page).boxed_local()
    }

    fn call(self: Rc<Self>, request: Request) -> LocalBoxFuture<'static, Result<String, Refusal>> {
        future::ready(Ok(format!(r#"{{"t":"{}"}}"#, request.t))).boxed_local()
    }
}

struct Talk {
    driver: Driver<Input>,
    wire: Wire,
    outbox: Arc<Outbox>,
    hung_up: Rc<Cell<usize>>,
    sockets: Sockets,
}

impl Talk {
    fn new(operator: Option<Rc<dyn Operator>>) -> Self {
        let limits = Arc::new(Limits::default());
        let outbox = Arc::new(Outbox::new(limits.outbox));
        let hung_up = Rc::new(Cell::new(0));
        let flag = Rc::clone(&hung_up);
        let watched = Watched::new(Arc::clone(&outbox), limits, Box::new(move || flag.set(flag.get() + 1)));
        let sockets = Sockets::new(SocketLimits {
            open: 1,
            waiting: 1,
            per_address: 1,
        });
        let wire = Wire::default();
        let ticket = sockets.admit(None).unwrap();
        Self {
            driver: Driver::new(Input(Rc::clone(&wire)), operator, watched, ticket),
            wire,
            outbox,
            hung_up,
            sockets,
        }
    }

    fn echo() -> Self {
        Self::new(None)
    }

    fn with(server: &Server) -> Self {
        Self::new(Some(Rc::new(Served(server.clone()))))
    }

    /// A client's frame, masked with zeros.
    fn send(&self, first: u8, payload: &[u8]) {
        let mut bytes = vec![first, 0x80 | 0x7E];
        bytes.extend(u16::try_from(payload.len()).unwrap().to_be_bytes());
        if payload.len() <= 125 {
            bytes.truncate(1);
            bytes.push(0x80 | u8::try_from(payload.len()).unwrap());
        }
        bytes.extend([0; 4]);
        bytes.extend(payload);
        self.wire.borrow_mut().push_back(Some(bytes.into()));
    }

    fn text(&self, text: &str) {
        self.send(0x81, text.as_bytes());
    }

    fn poll(&mut self) -> Next {
        self.driver.poll(&mut Context::from_waker(Waker::noop()))
    }

    /// Everything it writes until it has nothing to do, and whether the stream ends with it.
    fn run(&mut self) -> (Vec<u8>, bool) {
        let mut bytes = Vec::new();
        let mut idle = 0;
        while idle < 3 {
            match self.poll() {
                Next::Write(write) => bytes.extend_from_slice(&write),
                Next::Pending => idle += 1,
                Next::End => return (bytes, true),
            }
        }
        (bytes, false)
    }

    fn seqs(&mut self) -> Vec<i64> {
        let text = String::from_utf8_lossy(&self.run().0).into_owned();
        let numbers = text.split(r#""message.new","seq":"#).skip(1);
        numbers
            .map(|rest| rest.split(',').next().unwrap().parse().unwrap())
            .collect()
    }
}

#[test]
fn echo_answers_everything_in_its_order() {
    let mut talk = Talk::echo();
    talk.text("a");
    talk.send(0x02, b"b");
    talk.send(0x89, b"ping");
    talk.send(0x80, b"c");
    talk.outbox.ping();
    let (bytes, ended) = talk.run();
    assert_eq!(
        (&bytes[..], ended),
        (&b"\x89\x00\x81\x01a\x8a\x04ping\x82\x02bc"[..], false)
    );
    assert_eq!(talk.sockets.status().waiting, 0);
}

#[test]
fn a_clients_close_is_answered_and_ends() {
    for (sent, answer) in [(&b""[..], &b"\x88\x00"[..]), (b"\x0f\xa0bye", b"\x88\x02\x0f\xa0")] {
        let mut talk = Talk::echo();
        talk.send(0x88, sent);
        talk.send(0x89, b"late");
        assert_eq!(talk.run(), (answer.to_vec(), true));
        assert_eq!(talk.hung_up.get(), 1);
    }
}

#[test]
fn a_violation_says_its_code_and_ends() {
    for (first, payload, code) in [
        (0x83, &b""[..], 1002u16),
        (0x81, b"\xff", 1007),
        (0x88, b"\x03\xec", 1002),
    ] {
        let mut talk = Talk::echo();
        talk.text("a");
        talk.send(first, payload);
        let (bytes, ended) = talk.run();
        assert_eq!(&bytes[..3], b"\x81\x01a");
        assert_eq!((bytes[3], &bytes[5..7], ended), (0x88, &code.to_be_bytes()[..], true));
    }
}

#[test]
fn our_close_awaits_the_clients() {
    let server = Server::default();
    let mut talk = Talk::with(&server);
    talk.outbox.close(CloseCode::Restart);
    let (bytes, ended) = talk.run();
    assert_eq!(
        (bytes[0], &bytes[2..4], ended),
        (0x88, &3001u16.to_be_bytes()[..], false)
    );
    assert!(server.dropped.get(), "what the operator holds is given up at once");
    assert!(talk.driver.watched.close_sent.get().is_some());
    // Nothing is said after a close.
    talk.send(0x89, b"ping");
    talk.text("nonsense");
    talk.outbox.ping();
    assert_eq!(talk.run(), (vec![], false));
    talk.send(0x88, b"\x0b\xb9");
    assert_eq!((talk.run(), talk.hung_up.get()), ((vec![], true), 1));
}

#[test]
fn a_client_that_is_gone_ends_and_gives_everything_back() {
    let server = Server::default();
    let mut talk = Talk::with(&server);
    talk.wire.borrow_mut().push_back(None);
    assert_eq!(talk.run(), (vec![], true));
    assert!(server.dropped.get());
    drop(talk.driver);
    assert_eq!(talk.sockets.status().open, 0);
}

#[test]
fn binary_is_for_the_echo_only() {
    let mut talk = Talk::with(&Server::default());
    talk.send(0x82, b"x");
    assert_eq!(talk.run().0[2..4], 1003u16.to_be_bytes());
}

#[test]
fn a_guest_is_welcomed_and_answered() {
    let mut talk = Talk::with(&Server::default());
    talk.text(r#"{"t":"hello","id":"h"}"#);
    talk.text(r#"{"t":"video.watch","id":"1"}"#);
    talk.outbox.put(None, &Frame::text("pushed"));
    let (bytes, _) = talk.run();
    let text = String::from_utf8_lossy(&bytes).into_owned();
    let order = ["welcome", r#""ack","id":"1","d":{"t":"video.watch"}"#].map(|part| text.find(part).unwrap());
    assert!(order.is_sorted());
    assert!(talk.driver.watched.said_hello.get());
    assert_eq!(talk.sockets.status().waiting, 0);
    talk.outbox.put(None, &Frame::text("pushed"));
    assert_eq!(talk.run().0, b"\x81\x06pushed");
}

#[test]
fn pages_are_pulled_only_as_the_socket_drains() {
    let server = Server::default();
    server.stored.set(30);
    server.start.set(Some(Start::Replay { until: 31 }));
    let mut talk = Talk::with(&server);
    talk.text(r#"{"t":"hello","id":"h"}"#);
    assert!(matches!(talk.poll(), Next::Write(_)));
    // The client does not read: the connection is not polled any more, and nothing is pulled.
    assert!(server.pages.get() <= 1);
    assert!(matches!(talk.poll(), Next::Write(_)));
    assert_eq!(server.pages.get(), 1);
    let before = talk.seqs();
    assert_eq!(before.last(), Some(&30));
    assert_eq!(server.pages.get(), 3);
    talk.outbox.announce(31, &Frame::durable(&event(31)));
    assert_eq!(talk.seqs(), [31]);
    assert_eq!(server.pages.get(), 3);
}

#[tokio::test(start_paused = true)]
async fn what_the_outbox_had_no_room_for_is_read() {
    let server = Server::default();
    server.start.set(Some(Start::Live));
    let mut talk = Talk::with(&server);
    talk.text(r#"{"t":"hello","id":"h"}"#);
    talk.run();
    server.stored.set(400);
    server.away.set(true);
    for seq in 1..=400 {
        talk.outbox.announce(seq, &Frame::durable(&event(seq)));
    }
    let live = talk.seqs();
    assert!(!live.is_empty() && live.len() < 400);
    // The store is away: the connection stays, and asks again.
    for _ in 0..10 {
        tokio::time::advance(Duration::from_millis(50)).await;
        assert!(talk.seqs().is_empty());
    }
    assert!(server.pages.get() > 1);
    server.away.set(false);
    tokio::time::advance(Duration::from_secs(5)).await;
    let rest = talk.seqs();
    assert!(live.into_iter().chain(rest).eq(1..=400));
}

#[test]
fn a_flood_of_pings_is_taken_in_as_its_answers_leave() {
    let mut talk = Talk::echo();
    for _ in 0..10_000 {
        talk.send(0x89, &[b'x'; 125]);
    }
    let Next::Write(write) = talk.poll() else {
        panic!("a write");
    };
    assert!(write.len() <= 32 << 10);
    // Whatever was not answered has not been read.
    assert!(talk.wire.borrow().len() > 9_000);
    assert_eq!(talk.run().0.len() + write.len(), 10_000 * 127);
}

#[test]
fn large_messages_are_taken_in_one_by_one() {
    let mut talk = Talk::echo();
    for _ in 0..20 {
        talk.send(0x82, &vec![b'x'; 20_000]);
    }
    assert!(matches!(talk.poll(), Next::Write(_)));
    assert_eq!(talk.wire.borrow().len(), 19);
}

#[test]
fn what_came_during_a_replay_is_not_read_again() {
    let server = Server::default();
    server.stored.set(3);
    server.start.set(Some(Start::Replay { until: 4 }));
    let mut talk = Talk::with(&server);
    for seq in 3..=6 {
        talk.outbox.announce(seq, &Frame::durable(&event(seq)));
    }
    talk.text(r#"{"t":"hello","id":"h"}"#);
    assert_eq!(talk.seqs(), [1, 2, 3, 4, 5, 6]);
    assert_eq!(server.pages.get(), 1);
}

#[test]
fn an_idle_connection_is_small() {
    // With its boxed state and what the keeper sees: the reason why nothing in it is larger than it needs to be.
    let sizes = (size_of::<Driver<Input>>(), size_of::<Protocol>(), size_of::<Watched>());
    assert!(sizes.0 <= 128 && sizes.1 <= 224 && sizes.2 <= 96, "{sizes:?}");
}

#[test]
fn what_was_said_and_done_leaves_nothing() {
    let mut talk = Talk::with(&Server::default());
    talk.text(r#"{"t":"hello","id":"h"}"#);
    talk.text(r#"{"t":"typing","id":"1"}"#);
    talk.text(r#"{"t":"typing","id":"2"}"#);
    let (bytes, _) = talk.run();
    assert_eq!(String::from_utf8_lossy(&bytes).matches(r#""t":"ack""#).count(), 2);
    assert!(talk.driver.decoder.is_none());
    let super::Talk::Protocol(protocol) = &talk.driver.talk else {
        panic!("it goes on");
    };
    assert!(protocol.is_at_rest());
    // In the middle of a frame it is known what came of it.
    let wire = Rc::clone(&talk.wire);
    wire.borrow_mut()
        .push_back(Some(Bytes::from_static(b"\x89\x82\0\0\0\0x")));
    assert_eq!(talk.run().0, b"");
    assert!(talk.driver.decoder.is_some());
    wire.borrow_mut().push_back(Some(Bytes::from_static(b"y")));
    assert_eq!(talk.run().0, b"\x8a\x02xy");
    assert!(talk.driver.decoder.is_none());
}
