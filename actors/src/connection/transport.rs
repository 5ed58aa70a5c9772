//! The way from an HTTP request to a connection: the only file that knows actix-web and actix-web-actors.
//!
//! Owns the upgrade and the actor, whose output is the stream of bytes that the dispatcher sends. The dispatcher polls it
//! only while less than 32 KiB wait to be written, which is the back-pressure that `driver` is built on, and the reason
//! why the keeper stands outside. Exchanging the transport means exchanging this file.

use std::cell::Cell;
use std::pin::Pin;
use std::rc::Rc;
use std::sync::Arc;
use std::task::{Context, Poll};

use actix::{Actor, ActorContext as _, ActorFuture, AsyncContext as _};
use actix_web::http::header::{self, HeaderName};
use actix_web::http::{Method, Version};
use actix_web::{Error, HttpRequest, HttpResponse, web};
use actix_web_actors::{HttpContext, ws};
use bytes::Bytes;
use futures_util::Stream;

use super::driver::{Driver, Next};
use super::handshake::{Ask, HandshakeError, SUBPROTOCOL};
use super::keeper::{self, Watched};
use super::limits::Limits;
use super::sockets::SocketTicket;
use crate::operator::Operator;
use crate::outbox::Outbox;

/// What a connection is made of.
///
/// Whoever upgrades should also bound the kernel's send buffer of the socket (`SO_SNDBUF`, 64 KiB): left to itself it grows
/// to megabytes, which a client that does not read can fill, and until it is full nothing here can notice. Measured with
/// 300 such clients and 100 KiB/s each: with the bound all were ended within 18 s, without it at 60 s by their silence.
pub struct Setup {
    /// The server behind it.
    pub operator: Rc<dyn Operator>,
    /// Where everybody puts what it shall send.
    pub outbox: Arc<Outbox>,
    /// Its bounds; all connections share them.
    pub limits: Arc<Limits>,
    /// Ends both directions of the TCP stream from outside; does nothing when they have ended. Called when the connection
    /// is over, and when it does not come to its own end: on its own thread, and only while its actor lives, which the
    /// dispatcher owns together with the socket. So a descriptor that is borrowed and not doubled is enough.
    pub hangup: Box<dyn Fn()>,
    /// Its place among all sockets.
    pub ticket: SocketTicket,
}

/// What an echoing connection is made of. Its messages may have [`Limits::ECHO_MESSAGE_BYTES`].
pub struct EchoSetup {
    /// As in [`Setup`].
    pub limits: Arc<Limits>,
    /// As in [`Setup`].
    pub hangup: Box<dyn Fn()>,
    /// As in [`Setup`].
    pub ticket: SocketTicket,
}

/// Makes a connection of a request; the answer is `101 Switching Protocols`. Must be called on a worker's thread.
pub fn upgrade(request: &HttpRequest, payload: web::Payload, setup: Setup) -> Result<HttpResponse, HandshakeError> {
    let echoed = ask(request).check()?;
    let watched = Watched::new(setup.outbox, setup.limits, setup.hangup);
    keeper::watch(&watched);
    let driver = Driver::new(payload, Some(setup.operator), watched, setup.ticket);
    start(request, driver, echoed)
}

/// The conformance endpoint: no hello, text and binary come back as they came.
pub fn upgrade_echo(
    request: &HttpRequest,
    payload: web::Payload,
    setup: EchoSetup,
) -> Result<HttpResponse, HandshakeError> {
    let echoed = ask(request).check()?;
    let limits = Limits {
        message_bytes: Limits::ECHO_MESSAGE_BYTES,
        ..*setup.limits
    };
    let watched = Watched::new(Arc::new(Outbox::new(limits.outbox)), Arc::new(limits), setup.hangup);
    keeper::watch(&watched);
    let driver = Driver::new(payload, None, watched, setup.ticket);
    start(request, driver, echoed)
}

fn start(request: &HttpRequest, driver: Driver<web::Payload>, echoed: bool) -> Result<HttpResponse, HandshakeError> {
    // Its own checks are less strict than those before; what it can still refuse is a key.
    let mut response = ws::handshake(request).map_err(|_| HandshakeError::Key)?;
    if echoed {
        response.insert_header((header::SEC_WEBSOCKET_PROTOCOL, SUBPROTOCOL));
    }
    let written = Rc::default();
    let context = HttpContext::create(Connection {
        driver,
        written: Rc::clone(&written),
    });
    Ok(response.streaming(Output { context, written }))
}

fn ask(request: &HttpRequest) -> Ask<'_> {
    let all = |name: HeaderName| {
        request
            .headers()
            .get_all(name)
            .map(header::HeaderValue::as_bytes)
            .collect()
    };
    Ask {
        is_get: request.method() == Method::GET,
        is_http_1_1: request.version() == Version::HTTP_11,
        upgrade: all(header::UPGRADE),
        connection: all(header::CONNECTION),
        version: all(header::SEC_WEBSOCKET_VERSION),
        key: all(header::SEC_WEBSOCKET_KEY),
        subprotocols: all(header::SEC_WEBSOCKET_PROTOCOL),
    }
}

/// The actor of one WebSocket.
struct Connection {
    driver: Driver<web::Payload>,
    written: Written,
}

/// What the actor has for the dispatcher. The context's own queue would keep room for four writes for as long as the
/// connection lives, and there is never more than one: nothing is asked for before the one before is taken.
type Written = Rc<Cell<Option<Bytes>>>;

/// The actor's output.
struct Output<S> {
    context: S,
    written: Written,
}

impl<S: Stream<Item = Result<Bytes, Error>> + Unpin> Stream for Output<S> {
    type Item = Result<Bytes, Error>;

    fn poll_next(mut self: Pin<&mut Self>, task: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        let polled = Pin::new(&mut self.context).poll_next(task);
        match self.written.take() {
            Some(bytes) => Poll::Ready(Some(Ok(bytes))),
            None => polled,
        }
    }
}

impl Actor for Connection {
    type Context = HttpContext<Self>;

    fn started(&mut self, context: &mut Self::Context) {
        context.spawn(Drive);
    }
}

/// The actor's one task. It needs no mailbox: what others say to it waits in the outbox, which is bounded.
struct Drive;

impl ActorFuture<Connection> for Drive {
    type Output = ();

    fn poll(
        self: Pin<&mut Self>,
        connection: &mut Connection,
        context: &mut HttpContext<Connection>,
        task: &mut Context<'_>,
    ) -> Poll<()> {
        let before = connection.written.take();
        if before.is_some() {
            // The dispatcher takes it when this poll is over, and polls again.
            connection.written.set(before);
            return Poll::Pending;
        }
        match connection.driver.poll(task) {
            Next::Write(bytes) => {
                connection.written.set(Some(bytes));
                Poll::Pending
            }
            Next::Pending => Poll::Pending,
            Next::End => {
                // The context's stream ends with it.
                context.stop();
                Poll::Ready(())
            }
        }
    }
}
