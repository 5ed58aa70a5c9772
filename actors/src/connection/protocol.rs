//! A connection that speaks our protocol, and what it is waiting for.
//!
//! Owns the futures of its operator: the greeting, one operation and one page at most at the same time. What they are
//! asked and what comes of their answers is `state`'s and `stream`'s to say.

use std::pin::Pin;
use std::rc::Rc;
use std::task::{Context, Poll};

use futures_util::FutureExt as _;
use futures_util::future::LocalBoxFuture;
use ovation_schema::streams::Event;
use tokio::time::Sleep;

use super::keeper::{Watched, now};
use super::outgoing::Outgoing;
use super::sockets::SocketTicket;
use super::state::{Job, State};
use super::stream::{Need, Position};
use crate::close::Close;
use crate::operator::{Denied, Greeting, Operator, Refusal};
use crate::push::{Frame, Opcode};

/// Dropping it gives up whatever the operator holds.
pub(super) struct Protocol {
    state: State,
    operator: Rc<dyn Operator>,
    work: Option<Work>,
    page: Option<LocalBoxFuture<'static, Result<Vec<Event>, Refusal>>>,
    /// Only while something is missing in the stream: no connection has a timer otherwise.
    pause: Option<Pin<Box<Sleep>>>,
    /// The stream's position moved by itself: what waits in the outbox may be next now.
    moved: bool,
}

enum Work {
    Greet(LocalBoxFuture<'static, Result<Greeting, Denied>>),
    Call(LocalBoxFuture<'static, Result<String, Refusal>>),
}

impl Protocol {
    pub(super) fn new(operator: Rc<dyn Operator>, watched: &Watched) -> Self {
        Self {
            state: State::new(&watched.limits, watched.opened),
            operator,
            work: None,
            page: None,
            pause: None,
            moved: false,
        }
    }

    /// Whether nothing is kept of any request.
    #[cfg(test)]
    pub(super) fn is_at_rest(&self) -> bool {
        self.state.is_at_rest() && self.work.is_none() && self.page.is_none() && self.pause.is_none()
    }

    /// A text message came.
    pub(super) fn text(&mut self, text: &str, watched: &Watched, out: &mut Outgoing) -> Result<(), Close> {
        let result = self.state.text(text, now(), ovation_schema::now_ms(), out);
        watched.said_hello.set(self.state.said_hello());
        result
    }

    /// Everything that was received has been looked at.
    pub(super) fn caught_up(&mut self) {
        self.state.caught_up();
    }

    /// What the operator has been asked, and is to be asked; whether anything moved.
    pub(super) fn poll(
        &mut self,
        context: &mut Context<'_>,
        watched: &Watched,
        ticket: &mut SocketTicket,
        out: &mut Outgoing,
    ) -> Result<bool, Close> {
        let worked = self.work(context, watched, ticket, out)?;
        Ok(self.stream(context, out) || worked)
    }

    /// Takes what waits, and hands back the close that may stand in it. Pending where nothing is new.
    pub(super) fn outbox(
        &mut self,
        context: &mut Context<'_>,
        watched: &Watched,
        out: &mut Outgoing,
    ) -> Poll<Option<Close>> {
        let live = self.state.position.as_ref().and_then(Position::live);
        let mut taken = match (live, std::mem::take(&mut self.moved)) {
            (Some(next), true) => watched.outbox.take(next),
            _ => match watched.outbox.poll_take(context, live) {
                Poll::Ready(taken) => taken,
                Poll::Pending => return Poll::Pending,
            },
        };
        if let Some(position) = &mut self.state.position {
            position.taken(&mut taken, now(), out);
        }
        if taken.ping {
            out.push(Frame::new(Opcode::Ping, b""));
        }
        // Before its welcome a client has asked for nothing that would be worth keeping.
        if self.state.is_open() {
            taken.ephemeral.into_iter().for_each(|frame| out.push(frame));
        }
        Poll::Ready(taken.close)
    }

    /// Hands on answers and asks the next question; whether anything moved.
    fn work(
        &mut self,
        context: &mut Context<'_>,
        watched: &Watched,
        ticket: &mut SocketTicket,
        out: &mut Outgoing,
    ) -> Result<bool, Close> {
        let mut moved = false;
        if self.work.is_none()
            && let Some(job) = self.state.job()
        {
            self.work = Some(match job {
                Job::Greet(hello) => Work::Greet(Rc::clone(&self.operator).greet(hello)),
                Job::Call(request) => Work::Call(Rc::clone(&self.operator).call(request)),
            });
            moved = true;
        }
        match &mut self.work {
            Some(Work::Greet(greeting)) => {
                let Poll::Ready(answer) = greeting.poll_unpin(context) else {
                    return Ok(moved);
                };
                self.work = None;
                self.state.greeted(answer.as_ref(), out)?;
                ticket.greeted();
                if let Ok(Greeting {
                    member: Some(member), ..
                }) = &answer
                {
                    watched.expires_at.set(member.expires_at);
                }
                self.moved = true;
            }
            Some(Work::Call(call)) => {
                let Poll::Ready(answer) = call.poll_unpin(context) else {
                    return Ok(moved);
                };
                self.work = None;
                self.state.answered(answer.as_ref().map(String::as_str), out);
            }
            None => return Ok(moved),
        }
        Ok(true)
    }

    /// Reads the store where the stream needs it; whether anything moved.
    fn stream(&mut self, context: &mut Context<'_>, out: &mut Outgoing) -> bool {
        let Some(position) = &mut self.state.position else {
            return false;
        };
        let mut moved = false;
        if self.page.is_none() && out.is_empty() {
            match position.need(now()) {
                Some(Need::Page(user, next)) => self.page = Some(Rc::clone(&self.operator).page(user, next)),
                Some(Need::Until(at)) => match &mut self.pause {
                    Some(pause) if pause.deadline() == at.into() => {}
                    pause => *pause = Some(Box::pin(tokio::time::sleep_until(at.into()))),
                },
                None => self.pause = None,
            }
        }
        if let Some(page) = &mut self.page
            && let Poll::Ready(answer) = page.poll_unpin(context)
        {
            self.page = None;
            match answer {
                Ok(events) => position.page(&events, now(), out),
                Err(_) => position.failed(now()),
            }
            self.moved = true;
            moved = true;
        }
        if let Some(pause) = &mut self.pause
            && pause.as_mut().poll(context).is_ready()
        {
            self.pause = None;
            moved = true;
        }
        moved
    }
}
