//! One connection's life, between its bytes and its operator.
//!
//! Owns what happens in which order when the connection is polled, the close handshake (RFC 6455, section 7), and the
//! bounds that follow from it: nothing new is taken in while something waits to be handed to the socket, so a client
//! that does not read holds up nobody but itself. Knows neither HTTP nor actors: `transport` polls it.

use std::rc::Rc;
use std::task::{Context, Poll};

use bytes::Bytes;
use futures_util::{Stream, StreamExt as _};

use super::codec::Decoder;
use super::keeper::{Watched, now};
use super::message::Message;
use super::outgoing::Outgoing;
use super::protocol::Protocol;
use super::sockets::SocketTicket;
use crate::close::{Close, CloseCode};
use crate::operator::Operator;
use crate::push::{Frame, Opcode};

/// After so many rounds of one poll the connection lets others have a turn.
const ROUNDS: usize = 64;

/// What a poll comes to. After `Write` the caller polls again when the socket has room for more; no wake-up announces it.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Next {
    Write(Bytes),
    Pending,
    /// The TCP stream ends here.
    End,
}

/// A connection; `S` is what its client sends.
pub(super) struct Driver<S> {
    /// Gone when the client has ended its side.
    input: Option<S>,
    /// None between two messages, where it would know nothing.
    decoder: Option<Box<Decoder>>,
    out: Outgoing,
    life: Life,
    talk: Talk,
    watched: Rc<Watched>,
    ticket: SocketTicket,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Life {
    Open,
    /// Our close frame is out; the client's is awaited. The keeper bounds it.
    Closing,
    /// Nothing more will be said. What was said gets one chance to leave before the stream is ended.
    Ending,
    /// It had that chance.
    Ended,
}

enum Talk {
    Protocol(Box<Protocol>),
    /// The conformance endpoint.
    Echo,
    /// It is over; whatever the operator held is given up.
    Over,
}

impl<S> Driver<S> {
    /// A connection for `operator`; without one it echoes. The keeper must watch it.
    pub(super) fn new(
        input: S,
        operator: Option<Rc<dyn Operator>>,
        watched: Rc<Watched>,
        ticket: SocketTicket,
    ) -> Self {
        ticket.reach(&watched.outbox);
        let talk = match operator {
            Some(operator) => Talk::Protocol(Box::new(Protocol::new(operator, &watched))),
            None => Talk::Echo,
        };
        let mut driver = Self {
            input: Some(input),
            decoder: None,
            out: Outgoing::default(),
            life: Life::Open,
            talk,
            watched,
            ticket,
        };
        if matches!(driver.talk, Talk::Echo) {
            driver.watched.said_hello.set(true);
            driver.ticket.greeted();
        }
        driver
    }

    fn close(&mut self, close: impl Into<Close>, life: Life) {
        self.end(Some(close.into().frame()), life);
    }

    /// The last frame, if there is one to be said.
    fn end(&mut self, last: Option<Frame>, life: Life) {
        if let Some(last) = last {
            self.out.push(last);
        }
        self.life = life;
        self.watched.close_sent.set(Some(now()));
        self.watched.outbox.end();
        self.talk = Talk::Over;
    }

    /// A message came, or what was none.
    fn message(&mut self, message: Message) {
        match message {
            // Section 5.5.1: nothing is sent after our close, and the client's answer to it ends the connection.
            Message::Close(_) if self.life == Life::Closing => self.life = Life::Ending,
            _ if self.life != Life::Open => {}
            Message::Close(code) => {
                let payload = code.map(u16::to_be_bytes);
                let payload = payload.as_ref().map_or(&[][..], |code| &code[..]);
                self.end(Some(Frame::new(Opcode::Close, payload)), Life::Ending);
            }
            Message::Ping(payload) => self.out.push(Frame::new(Opcode::Pong, &payload)),
            Message::Pong(_) => {}
            Message::Text(text) => self.text(&text),
            Message::Binary(bytes) => match self.talk {
                Talk::Echo => self.out.push(Frame::new(Opcode::Binary, &bytes)),
                _ => self.close(CloseCode::Unsupported, Life::Closing),
            },
        }
    }

    fn text(&mut self, text: &str) {
        let result = match &mut self.talk {
            Talk::Protocol(protocol) => protocol.text(text, &self.watched, &mut self.out),
            Talk::Echo => {
                self.out.push(Frame::text(text));
                Ok(())
            }
            Talk::Over => Ok(()),
        };
        if let Err(close) = result {
            self.close(close, Life::Closing);
        }
    }

    /// What others have put into the outbox.
    fn outbox(&mut self, context: &mut Context<'_>) -> bool {
        if self.life != Life::Open {
            return false;
        }
        let close = match &mut self.talk {
            Talk::Protocol(protocol) => protocol.outbox(context, &self.watched, &mut self.out),
            Talk::Echo | Talk::Over => match self.watched.outbox.poll_take(context, None) {
                Poll::Ready(taken) => {
                    if taken.ping {
                        self.out.push(Frame::new(Opcode::Ping, b""));
                    }
                    Poll::Ready(taken.close)
                }
                Poll::Pending => Poll::Pending,
            },
        };
        let Poll::Ready(close) = close else {
            return false;
        };
        if let Some(close) = close {
            self.close(close, Life::Closing);
        }
        true
    }

    /// What the operator has been asked, and is to be asked.
    fn operator(&mut self, context: &mut Context<'_>) -> bool {
        let Talk::Protocol(protocol) = &mut self.talk else {
            return false;
        };
        match protocol.poll(context, &self.watched, &mut self.ticket, &mut self.out) {
            Ok(moved) => moved,
            Err(close) => {
                self.close(close, Life::Closing);
                true
            }
        }
    }
}

impl<S, E> Driver<S>
where
    S: Stream<Item = Result<Bytes, E>> + Unpin,
{
    /// Goes on with everything as far as it goes, until there is enough for one write.
    pub(super) fn poll(&mut self, context: &mut Context<'_>) -> Next {
        for _ in 0..ROUNDS {
            if self.out.is_full() || self.life >= Life::Ending {
                break;
            }
            let worked = self.operator(context);
            let took = self.outbox(context);
            let read = self.read(context);
            if !(worked || took || read) {
                return self.out.write().map_or(Next::Pending, Next::Write);
            }
        }
        if let Some(bytes) = self.out.write() {
            return Next::Write(bytes);
        }
        match self.life {
            Life::Ended => {
                // The dispatcher below would wait for the client to end first, for as long as it does not read what is
                // left; ending both directions from outside spares that.
                (self.watched.hangup)();
                return Next::End;
            }
            Life::Ending => self.life = Life::Ended,
            Life::Open | Life::Closing => {}
        }
        context.waker().wake_by_ref();
        Next::Pending
    }

    /// One message of the client, or one piece of one.
    fn read(&mut self, context: &mut Context<'_>) -> bool {
        if self.life >= Life::Ending {
            return false;
        }
        match self.decoder.as_mut().map_or(Ok(None), |decoder| decoder.next_message()) {
            Ok(Some(message)) => {
                self.message(message);
                return true;
            }
            Ok(None) => self.decoder = self.decoder.take().filter(|decoder| !decoder.is_idle()),
            Err(violation) => {
                // Section 7.1.7: what comes after it means nothing, so no answer is awaited. After our own close frame
                // nothing may follow.
                if self.life == Life::Open {
                    self.close(violation.code(), Life::Ending);
                }
                self.life = Life::Ending;
                return true;
            }
        }
        let next = match &mut self.input {
            Some(input) => input.poll_next_unpin(context),
            None => return false,
        };
        match next {
            Poll::Pending => {
                if let Talk::Protocol(protocol) = &mut self.talk {
                    protocol.caught_up();
                }
                false
            }
            Poll::Ready(Some(Ok(bytes))) => {
                self.watched.heard.set(now());
                let limit = self.watched.limits.message_bytes;
                let decoder = self.decoder.get_or_insert_with(|| Box::new(Decoder::new(limit)));
                decoder.push(bytes);
                true
            }
            Poll::Ready(Some(Err(_)) | None) => {
                self.input = None;
                self.end(None, Life::Ending);
                true
            }
        }
    }
}

impl<S> Drop for Driver<S> {
    fn drop(&mut self) {
        self.watched.outbox.end();
    }
}

#[cfg(test)]
mod tests;
