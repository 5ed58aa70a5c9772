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
    /// Where the user's stream is; a guest has none.
    pub(super) position: Option<Position>,
}

#[derive(Debug)]
enum Phase {
    Hello,
    /// The hello with this `id` came, and is taken from here to be answered.
    Greeting(String, Option<Hello>),
    Open,
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
            queue: VecDeque::new(),
            bytes: 0,
            calling: None,
            shedding: false,
            failed: Vec::new(),
            position: None,
        }
    }

    /// Whether a hello has come.
    pub(super) const fn said_hello(&self) -> bool {
        !matches!(self.phase, Phase::Hello)
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
                self.phase = Phase::Greeting(envelope.id, Some(hello));
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
        self.failed.clear();
    }

    fn enqueue(&mut self, envelope: Envelope, out: &mut Outgoing) {
        if !self.failed.is_empty() && envelope.receiver().is_some_and(|to| self.failed.contains(&to)) {
            return out.push(request::error(&envelope.id, &behind()));
        }
        let is_message = envelope.request.t == "message.send";
        self.shedding &= !self.queue.is_empty();
        let is_full = !self.queue.is_empty()
            && (self.queue.len() >= self.queued_operations || self.bytes + envelope.len() > self.queued_bytes);
        if is_full || (is_message && self.shedding) {
            self.shedding |= is_message;
            out.push(request::error(&envelope.id, &queue_full()));
        } else {
            self.bytes += envelope.len();
            self.queue.push_back(envelope);
        }
    }

    /// What to ask the operator now; nothing while it is at something.
    pub(super) fn job(&mut self) -> Option<Job> {
        match &mut self.phase {
            Phase::Hello => None,
            Phase::Greeting(_, hello) => hello.take().map(Job::Greet),
            Phase::Open if self.calling.is_some() => None,
            Phase::Open => {
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
                Some(Job::Call(envelope.request))
            }
        }
    }

    /// The operator's answer to the hello.
    pub(super) fn greeted(&mut self, answer: Result<&Greeting, &Denied>, out: &mut Outgoing) -> Result<(), Close> {
        let Phase::Greeting(id, _) = std::mem::replace(&mut self.phase, Phase::Open) else {
            return Ok(());
        };
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
        let Some(calling) = self.calling.take() else {
            return;
        };
        match answer {
            Ok(d) => out.push(request::answer("ack", &calling.id, d)),
            Err(refusal) => {
                out.push(request::error(&calling.id, refusal));
                if refusal.code == RefusalCode::TryLater
                    && let Some(receiver) = calling.receiver
                {
                    self.refuse_messages(receiver, refusal, out);
                    self.failed.push(receiver);
                }
            }
        }
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
