//! What a connection is at, from its first frame on.
//!
//! Owns the order of things: hello first, then operations one at a time as they were received, each with one answer.
//! Does nothing itself: it is told what came and says what to do next, so that a model can be run against it without an
//! actor, a socket or a clock. The stream of events is `stream`'s, the end of the connection `driver`'s.

use std::borrow::Cow;
use std::collections::VecDeque;
use std::time::Instant;

use super::limits::Limits;
use super::outgoing::Outgoing;
use super::rate::Rate;
use super::request::{self, Envelope};
use super::stream::Position;
use crate::close::{Close, CloseCode};
use crate::operator::{Denied, Greeting, Hello, Refusal, RefusalCode, Request};

/// The conversation of one connection.
#[derive(Debug)]
pub(super) struct State {
    phase: Phase,
    rate: Rate,
    queued_operations: usize,
    queued_bytes: usize,
    /// None while nothing is being done.
    operations: Option<Box<Operations>>,
    /// Where the user's stream is; a guest has none.
    pub(super) position: Option<Position>,
}

/// What is being done, and what comes after it. Apart from the rest, since most connections ask for nothing most of the
/// time.
#[derive(Debug, Default)]
struct Operations {
    /// Requests that wait for the one before.
    queue: VecDeque<Envelope>,
    /// Their bytes.
    bytes: usize,
    /// The request that is being done.
    calling: Option<Calling>,
    /// A message was refused for want of room in the queue; those after it must not get ahead of its resend.
    shedding: bool,
    /// Receivers of messages that failed, until everything that had been received by then has been looked at.
    failed: Vec<i64>,
}

#[derive(Debug)]
enum Phase {
    Hello,
    /// A hello came.
    Greeting(Box<Greeted>),
    Open,
}

#[derive(Debug)]
struct Greeted {
    id: String,
    /// Taken from here to be answered.
    hello: Option<Hello>,
}

#[derive(Debug)]
struct Calling {
    id: String,
    receiver: Option<i64>,
}

/// What the operator is to be asked.
#[derive(Debug)]
pub(super) enum Job {
    Greet(Hello),
    Call(Request),
}

impl State {
    pub(super) fn new(limits: &Limits, now: Instant) -> Self {
        Self {
            phase: Phase::Hello,
            rate: Rate::new(limits.operations_per_second, now),
            queued_operations: limits.queued_operations,
            queued_bytes: limits.queued_bytes,
            operations: None,
            position: None,
        }
    }

    /// Whether a hello has come.
    pub(super) const fn said_hello(&self) -> bool {
        !matches!(self.phase, Phase::Hello)
    }

    /// Whether nothing is kept of any request.
    #[cfg(test)]
    pub(super) const fn is_at_rest(&self) -> bool {
        self.is_open() && self.operations.is_none()
    }

    /// Whether it was a good one, and answered.
    pub(super) const fn is_open(&self) -> bool {
        matches!(self.phase, Phase::Open)
    }

    /// A text message came, at `time` in milliseconds since the epoch.
    pub(super) fn text(&mut self, text: &str, now: Instant, time: i64, out: &mut Outgoing) -> Result<(), Close> {
        if !self.rate.take(now) {
            return Err(CloseCode::TooManyRequests.into());
        }
        let envelope = Envelope::parse(text).map_err(|_| CloseCode::BadRequest)?;
        match (&self.phase, envelope.request.t.as_str()) {
            (Phase::Hello, "hello") => {
                let hello = serde_json::from_str(envelope.request.d.get()).map_err(|_| CloseCode::BadRequest)?;
                self.phase = Phase::Greeting(Box::new(Greeted {
                    id: envelope.id,
                    hello: Some(hello),
                }));
            }
            (Phase::Hello, _) => return Err(CloseCode::BadRequest.into()),
            (_, "hello") => out.push(request::error(&envelope.id, &second_hello())),
            (_, "ping") => out.push(request::answer("pong", &envelope.id, &format!(r#"{{"time":{time}}}"#))),
            _ => self.enqueue(envelope, out),
        }
        Ok(())
    }

    /// Nothing more has been received for the moment: what comes now may be a resend.
    pub(super) fn caught_up(&mut self) {
        if let Some(operations) = &mut self.operations {
            operations.failed = Vec::new();
            self.rest();
        }
    }

    fn enqueue(&mut self, envelope: Envelope, out: &mut Outgoing) {
        let operations = self.operations.get_or_insert_default();
        if !operations.failed.is_empty() && envelope.receiver().is_some_and(|to| operations.failed.contains(&to)) {
            return out.push(request::error(&envelope.id, &behind()));
        }
        let is_message = envelope.request.t == "message.send";
        operations.shedding &= !operations.queue.is_empty();
        let is_full = !operations.queue.is_empty()
            && (operations.queue.len() >= self.queued_operations
                || operations.bytes + envelope.len() > self.queued_bytes);
        if is_full || (is_message && operations.shedding) {
            operations.shedding |= is_message;
            out.push(request::error(&envelope.id, &queue_full()));
        } else {
            operations.bytes += envelope.len();
            operations.queue.push_back(envelope);
        }
    }

    /// Keeps nothing of operations that are over.
    fn rest(&mut self) {
        self.operations = self.operations.take().filter(|operations| !operations.is_over());
    }

    /// What to ask the operator now; nothing while it is at something.
    pub(super) fn job(&mut self) -> Option<Job> {
        match &mut self.phase {
            Phase::Hello => None,
            Phase::Greeting(greeted) => greeted.hello.take().map(Job::Greet),
            Phase::Open => self.operations.as_mut()?.next().map(Job::Call),
        }
    }

    /// The operator's answer to the hello.
    pub(super) fn greeted(&mut self, answer: Result<&Greeting, &Denied>, out: &mut Outgoing) -> Result<(), Close> {
        let Phase::Greeting(greeted) = std::mem::replace(&mut self.phase, Phase::Open) else {
            return Ok(());
        };
        let id = greeted.id;
        let greeting = answer.map_err(|denied| {
            out.push(request::error(&id, &denied.refusal));
            denied.close
        })?;
        out.push(request::answer("welcome", &id, &greeting.welcome));
        self.position = greeting.member.as_ref().map(|member| Position::new(member, out));
        Ok(())
    }

    /// The operator's answer to the request it was asked last.
    pub(super) fn answered(&mut self, answer: Result<&str, &Refusal>, out: &mut Outgoing) {
        let Some(operations) = &mut self.operations else {
            return;
        };
        let Some(calling) = operations.calling.take() else {
            return;
        };
        match answer {
            Ok(d) => out.push(request::answer("ack", &calling.id, d)),
            Err(refusal) => {
                out.push(request::error(&calling.id, refusal));
                if refusal.code == RefusalCode::TryLater
                    && let Some(receiver) = calling.receiver
                {
                    operations.refuse_messages(receiver, refusal, out);
                    operations.failed.push(receiver);
                }
            }
        }
        self.rest();
    }
}

impl Operations {
    /// Whether nothing is left that the next request would have to know.
    fn is_over(&self) -> bool {
        self.calling.is_none() && self.queue.is_empty() && self.failed.is_empty()
    }

    /// The next request, when the one before is done.
    fn next(&mut self) -> Option<Request> {
        if self.calling.is_some() {
            return None;
        }
        let envelope = self.queue.pop_front()?;
        self.bytes -= envelope.len();
        if self.queue.is_empty() {
            self.queue = VecDeque::new();
        }
        let receiver = envelope.receiver();
        self.calling = Some(Calling {
            id: envelope.id,
            receiver,
        });
        Some(envelope.request)
    }

    /// Messages to one receiver that were received after one that failed would get ahead of its resend.
    fn refuse_messages(&mut self, receiver: i64, refusal: &Refusal, out: &mut Outgoing) {
        self.queue.retain(|envelope| {
            let behind = envelope.receiver() == Some(receiver);
            if behind {
                self.bytes -= envelope.len();
                out.push(request::error(&envelope.id, refusal));
            }
            !behind
        });
    }
}

fn second_hello() -> Refusal {
    Refusal {
        code: RefusalCode::BadRequest,
        message: Cow::Borrowed("This connection has said hello already."),
        retry_after: None,
    }
}

fn behind() -> Refusal {
    Refusal {
        code: RefusalCode::TryLater,
        message: Cow::Borrowed("A message to the same user, sent before this one, has failed."),
        retry_after: Some(1.0),
    }
}

fn queue_full() -> Refusal {
    Refusal {
        code: RefusalCode::TryLater,
        message: Cow::Borrowed("Too many operations wait on this connection."),
        retry_after: Some(1.0),
    }
}

#[cfg(test)]
mod tests;
