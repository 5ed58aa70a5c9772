//! Who hears of whom coming and going.
//!
//! Owns the watches. One actor, there while somebody watches somebody. It is told that a user's session has started or
//! ended and looks for itself how things are. Never decides who may watch whom: whoever asks has checked that.
//!
//! A change goes to all of a user's watchers in one piece: they are friends who are online and look, so hundreds at most,
//! and a tenth of a microsecond each.

mod watches;

use std::sync::Arc;

use actix::{Actor, ActorContext as _, Context, Handler, Message};
use foldhash::HashMap;
use ovation_schema::UserId;
use tokio::time::Instant;
use watches::Watches;

use crate::close::CloseCode;
use crate::hub::alarm::Alarm;
use crate::hub::departures::Departures;
use crate::hub::tenants::Tenants;
use crate::outbox::Outbox;
use crate::push::{Presence, Push};
use crate::session::Sessions;

/// The one actor, under the key of nothing.
pub type Watchers = Tenants<(), Watcher, ()>;

/// What the actor is told. None of it may be lost: all of it is bounded by connections and by requests.
#[derive(Message)]
#[rtype(result = "()")]
pub enum Mail {
    /// A watch begins; its watcher was told these.
    Watch {
        id: u64,
        watcher: UserId,
        outbox: Arc<Outbox>,
        told: HashMap<UserId, bool>,
    },
    /// It ends.
    Unwatch(u64),
    /// The last one has ended.
    End,
    /// A user came or went.
    Changed(UserId),
    /// Two users are not friends any more.
    Unfriended(UserId, UserId),
}

/// The actor.
pub struct Watcher {
    watches: Watches,
    sessions: Arc<Sessions>,
    departures: Arc<Departures>,
    alarm: Alarm,
}

/// How a user is at this moment.
pub fn of(user: UserId, online: bool, departures: &Departures) -> Presence {
    Presence {
        user_id: user.0,
        online,
        last_seen: if online { None } else { departures.last_seen(user) },
    }
}

impl Watcher {
    /// Nobody watches yet.
    pub fn new(sessions: Arc<Sessions>, departures: Arc<Departures>) -> Self {
        Self {
            watches: Watches::default(),
            sessions,
            departures,
            alarm: Alarm::default(),
        }
    }

    fn changed(&mut self, user: UserId) {
        let online = self.sessions.contains(&user);
        let outboxes = self.watches.changed(user, online, Instant::now());
        self.tell(&outboxes, user, online);
    }

    fn tell(&self, outboxes: &[Arc<Outbox>], user: UserId, online: bool) {
        if outboxes.is_empty() {
            return;
        }
        let push = Push::Presence(of(user, online, &self.departures));
        let (slot, frame) = (push.slot(), push.frame());
        for outbox in outboxes {
            outbox.put(slot, &frame);
        }
    }

    fn ring(&mut self, context: &mut Context<Self>) {
        self.alarm.rang();
        while let Some(user) = self.watches.over(Instant::now()) {
            if !self.sessions.contains(&user) {
                let outboxes = self.watches.tell(user, false);
                self.tell(&outboxes, user, false);
            }
        }
        self.set_alarm(context);
    }

    fn set_alarm(&mut self, context: &mut Context<Self>) {
        self.alarm.set(self.watches.due(), context, Self::ring);
    }
}

impl Actor for Watcher {
    type Context = Context<Self>;
}

impl Handler<Mail> for Watcher {
    type Result = ();

    fn handle(&mut self, mail: Mail, context: &mut Self::Context) {
        match mail {
            Mail::Watch {
                id,
                watcher,
                outbox,
                told,
            } => {
                let friends: Vec<UserId> = told.keys().copied().collect();
                self.watches.add(id, watcher, outbox, told);
                // Whoever came or went before this watch was known here has told nobody of it.
                for friend in friends {
                    self.changed(friend);
                }
            }
            Mail::Unwatch(id) => self.watches.remove(id),
            Mail::End => {
                self.watches.clear();
                context.stop();
                return;
            }
            Mail::Changed(user) => self.changed(user),
            Mail::Unfriended(one, other) => self.watches.unfriend(one, other),
        }
        self.set_alarm(context);
    }
}

impl Drop for Watcher {
    /// An end with watches left (the thread ends, or a bug) leaves nobody behind who hears nothing any more.
    fn drop(&mut self) {
        for outbox in self.watches.outboxes() {
            outbox.close(CloseCode::Restart);
        }
    }
}
