//! The way from an HTTP request to a connection: the only file that knows actix-web and actix-web-actors.
//!
//! Owns the upgrade and the actor, whose output is the stream of bytes that the dispatcher sends. The dispatcher polls it
//! only while less than 32 KiB wait to be written, which is the back-pressure that `driver` is built on, and the reason
//! why the keeper stands outside. Exchanging the transport means exchanging this file.

use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};

use actix::{Actor, ActorContext as _, ActorFuture, AsyncContext as _};
use actix_web::http::header::{self, HeaderName};
use actix_web::http::{Method, Version};
use actix_web::{HttpRequest, HttpResponse, web};
use actix_web_actors::{HttpContext, ws};

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
    pub operator: Box<dyn Operator>,
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
    Ok(response.streaming(HttpContext::create(Connection(driver))))
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
struct Connection(Driver<web::Payload>);

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
        match connection.0.poll(task) {
            Next::Write(bytes) => {
                context.write(bytes);
                Poll::Pending
            }
            Next::Pending => Poll::Pending,
            Next::End => {
                context.write_eof();
                context.stop();
                Poll::Ready(())
            }
        }
    }
}
