//! The session of a user who is online.
//!
//! Owns the user's connections, that is their outboxes, and to whom the user writes. One actor a user; starts with the
//! first connection and ends with the last (`hub/tenants.rs` counts them). Never asks the store: what finds no room here is
//! announced by its `seq` alone, and the connections read it.

mod typing;

use std::sync::Arc;
use std::sync::atomic::{AtomicI64, Ordering};

use actix::{Actor, ActorContext as _, Context, Handler, Message};
use ovation_schema::UserId;
use tokio::time::Instant;
use typing::Typing;

use crate::close::{Close, CloseCode};
use crate::hub::alarm::Alarm;
use crate::hub::mail::may;
use crate::hub::tenants::Tenants;
use crate::outbox::Outbox;
use crate::push::{Frame, Push, Slot};

/// Everybody who is online.
pub type Sessions = Tenants<UserId, Session, Missed>;

/// Messages that wait for a session at most; events past it are announced through [`Missed`].
const MAILBOX: usize = 64;

/// The newest event that found no room in the mailbox.
#[derive(Default)]
pub struct Missed(AtomicI64);

/// What a session is told.
#[derive(Message)]
#[rtype(result = "()")]
pub enum Mail {
    /// A connection is there.
    Join {
        seat: u64,
        token_version: u32,
        outbox: Arc<Outbox>,
    },
    /// It is gone.
    Leave(u64),
    /// So was the last one.
    End,
    /// An event was committed.
    Event { seq: i64, frame: Frame },
    /// Events were committed; see [`Missed`].
    CatchUp,
    /// Something that is not stored.
    Say { slot: Option<Slot>, frame: Frame },
    /// The user writes to somebody, or has stopped.
    Typing { to: UserId, on: bool },
    /// Tokens older than this are void.
    Revoke { token_version: u32, close: Close },
}

/// The actor.
pub struct Session {
    user: UserId,
    connections: Vec<Connection>,
    missed: Arc<Missed>,
    /// Up to here the connections know of what was missed.
    raised: i64,
    /// The last revocation: a connection that was on its way in meanwhile is met by it.
    revoked: Option<(u32, Close)>,
    typing: Typing,
    sessions: Arc<Sessions>,
    alarm: Alarm,
}

struct Connection {
    seat: u64,
    token_version: u32,
    outbox: Arc<Outbox>,
}

/// Tells a user's session of a committed event. Never refused: without room in the mailbox the number alone is left, in
/// a place that the session looks at with its next message, and one is on its way.
pub fn announce(sessions: &Sessions, user: UserId, seq: i64, frame: impl FnOnce() -> Frame) {
    sessions.with(&user, |session| {
        if !may(&session.address, Mail::Event { seq, frame: frame() }) {
            // The number first: whoever is refused after that has seen a message which will be handled after that.
            session.shared.0.fetch_max(seq, Ordering::AcqRel);
            may(&session.address, Mail::CatchUp);
        }
    });
}

/// Tells a user's session that events up to `newest` exist, without any of them.
pub fn raise(sessions: &Sessions, user: UserId, newest: i64) {
    sessions.with(&user, |session| {
        session.shared.0.fetch_max(newest, Ordering::AcqRel);
        may(&session.address, Mail::CatchUp);
    });
}

/// Tells a user something that is not stored, if they are online and there is room.
pub fn say(sessions: &Sessions, user: UserId, push: &Push<'_>) {
    sessions.with(&user, |session| {
        let (slot, frame) = (push.slot(), push.frame());
        may(&session.address, Mail::Say { slot, frame });
    });
}

impl Session {
    /// A session without connections.
    pub fn new(user: UserId, missed: Arc<Missed>, sessions: Arc<Sessions>) -> Self {
        Self {
            user,
            connections: Vec::new(),
            missed,
            raised: 0,
            revoked: None,
            typing: Typing::default(),
            sessions,
            alarm: Alarm::default(),
        }
    }

    fn join(&mut self, connection: Connection) {
        if let Some((version, close)) = self.revoked
            && connection.token_version < version
        {
            connection.outbox.close(close);
        }
        // It may have read its stream before what was missed since.
        connection.outbox.raise(self.raised);
        // Nearly everybody has one; left to itself the list would begin with room for four.
        self.connections.reserve_exact(1);
        self.connections.push(connection);
    }

    fn catch_up(&mut self) {
        let missed = self.missed.0.load(Ordering::Acquire);
        if missed > self.raised {
            self.raised = missed;
            for connection in &self.connections {
                connection.outbox.raise(missed);
            }
        }
    }

    fn revoke(&mut self, version: u32, close: Close) {
        self.revoked = Some((version, close));
        for connection in self.connections.iter().filter(|it| it.token_version < version) {
            connection.outbox.close(close);
        }
    }

    fn set_typing(&mut self, to: UserId, on: bool, now: Instant) {
        if on {
            if let Some(ended) = self.typing.start(to, now) {
                self.tell_typing(ended, false);
            }
            self.tell_typing(to, true);
        } else if self.typing.stop(to) {
            self.tell_typing(to, false);
        }
    }

    fn tell_typing(&self, to: UserId, on: bool) {
        let from_user_id = self.user.0;
        say(&self.sessions, to, &Push::Typing { from_user_id, on });
    }

    fn end(&mut self) {
        self.connections.clear();
        for to in self.typing.end().collect::<Vec<_>>() {
            self.tell_typing(to, false);
        }
    }

    fn ring(&mut self, context: &mut Context<Self>) {
        self.alarm.rang();
        while let Some(to) = self.typing.expire(Instant::now()) {
            self.tell_typing(to, false);
        }
        self.set_alarm(context);
    }

    fn set_alarm(&mut self, context: &mut Context<Self>) {
        self.alarm.set(self.typing.due(), context, Self::ring);
    }
}

impl Actor for Session {
    type Context = Context<Self>;

    fn started(&mut self, context: &mut Self::Context) {
        context.set_mailbox_capacity(MAILBOX);
    }
}

impl Handler<Mail> for Session {
    type Result = ();

    fn handle(&mut self, mail: Mail, context: &mut Self::Context) {
        self.catch_up();
        match mail {
            Mail::Join {
                seat,
                token_version,
                outbox,
            } => self.join(Connection {
                seat,
                token_version,
                outbox,
            }),
            Mail::Leave(seat) => self.connections.retain(|connection| connection.seat != seat),
            Mail::End => {
                self.end();
                context.stop();
            }
            Mail::Event { seq, frame } => {
                for connection in &self.connections {
                    connection.outbox.announce(seq, &frame);
                }
            }
            Mail::CatchUp => {}
            Mail::Say { slot, frame } => {
                for connection in &self.connections {
                    connection.outbox.put(slot, &frame);
                }
            }
            Mail::Typing { to, on } => self.set_typing(to, on, Instant::now()),
            Mail::Revoke { token_version, close } => self.revoke(token_version, close),
        }
        self.set_alarm(context);
    }
}

impl Drop for Session {
    /// A session that ends with connections left (its thread ends, or a bug) leaves nobody behind who hears nothing any
    /// more: they come back and resume.
    fn drop(&mut self) {
        for connection in &self.connections {
            connection.outbox.close(CloseCode::Restart);
        }
    }
}
