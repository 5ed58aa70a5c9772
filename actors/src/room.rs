//! The room of a video that somebody watches.
//!
//! Owns the outboxes of its watchers and the newest counts they were told. One actor a video; starts with the first
//! watcher and ends with the last (`hub/tenants.rs` counts them). Never writes anything: likes are the counters', comments
//! the store's. A store that is away costs fresh comment counts until it is back, and nothing else.

mod base;
mod fanout;
mod state;

use std::sync::Arc;
use std::sync::atomic::Ordering;

use actix::fut::wrap_future;
use actix::{Actor, ActorContext as _, ActorFutureExt as _, AsyncContext as _, Context, Handler, Message};
use ovation_schema::videos::VideoCounts;
use ovation_schema::{StoreError, VideoId};
use state::State;
pub use state::{Signals, withdraw};
use tokio::sync::oneshot;
use tokio::time::Instant;

use crate::close::CloseCode;
use crate::hub::alarm::{Alarm, yield_to_others};
use crate::hub::mail::may;
use crate::hub::store::HubStore;
use crate::hub::tenants::Tenants;
use crate::hub::{Counts, NewComment, RoomError};
use crate::outbox::Outbox;
use crate::overlay::Overlay;

/// Every room.
pub type Rooms = Tenants<VideoId, Room, Signals>;

/// Messages that wait for a room at most: comments. What else changes is in [`Signals`].
const MAILBOX: usize = 64;

/// What a room is told.
#[derive(Message)]
#[rtype(result = "()")]
pub enum Mail {
    /// Somebody wants in. Numbers rise in the order of arrival.
    Join(Joiner),
    /// Somebody left.
    Leave(u64),
    /// So did the last one.
    End,
    /// A comment was stored.
    Comment(NewComment),
    /// A signal was raised.
    Look,
}

/// Somebody who wants in.
pub struct Joiner {
    pub number: u64,
    pub outbox: Arc<Outbox>,
    pub reply: oneshot::Sender<Result<Counts, RoomError>>,
}

/// The actor.
pub struct Room {
    video: VideoId,
    state: State,
    store: Arc<dyn HubStore>,
    /// Whoever came while the row had to be read.
    joining: Vec<Joiner>,
    alarm: Alarm,
    /// Pieces of the fan-out go out.
    busy: bool,
}

/// Likes of a video changed. Called for every like there is: costs a look at a lock's map, and a message only when the
/// room has looked since the last one.
pub fn liked(rooms: &Rooms, video: VideoId) {
    rooms.with(&video, |room| {
        if !room.shared.likes.swap(true, Ordering::AcqRel) {
            may(&room.address, Mail::Look);
        }
    });
}

/// A comment was stored, or one was deleted.
pub fn commented(rooms: &Rooms, video: VideoId, comment: Option<NewComment>) {
    rooms.with(&video, |room| {
        room.shared.comments.store(true, Ordering::Release);
        may(&room.address, comment.map_or(Mail::Look, Mail::Comment));
    });
}

impl Room {
    /// An empty room.
    pub fn new(video: VideoId, signals: Arc<Signals>, overlay: Overlay, store: Arc<dyn HubStore>) -> Self {
        Self {
            video,
            state: State::new(video, signals, overlay),
            store,
            joining: Vec::new(),
            alarm: Alarm::default(),
            busy: false,
        }
    }

    /// Lets those in who wait, in the order they came, as soon as there are counts to tell them.
    fn admit(&mut self) {
        if self.joining.is_empty() {
            return;
        }
        let Some(counts) = self.state.counts() else {
            return self.state.base.hurry();
        };
        for joiner in std::mem::take(&mut self.joining) {
            let admitted = self.state.admit(joiner.number, joiner.outbox, counts);
            // Whoever does not wait for it any more gives up the seat.
            let _ = joiner.reply.send(Ok(admitted));
        }
    }

    /// Does everything that can be done now, and sees to it that the rest will be.
    fn work(&mut self, context: &mut Context<Self>) {
        let now = Instant::now();
        self.admit();
        self.state.step(now);
        if self.state.base.start(now) {
            let read = wrap_future::<_, Self>(self.store.counts(self.video));
            context.spawn(read.map(|read, room, context| room.arrived(read, context)));
        }
        self.alarm.set(self.state.due(), context, |room, context| {
            room.alarm.rang();
            room.work(context);
        });
        if !self.busy {
            self.fan_out(context);
        }
    }

    fn fan_out(&mut self, context: &mut Context<Self>) {
        self.busy = self.state.piece();
        if self.busy {
            yield_to_others(context, Self::fan_out);
        }
    }

    fn arrived(&mut self, read: Result<Option<VideoCounts>, StoreError>, context: &mut Context<Self>) {
        match read {
            Ok(Some(row)) => self.state.loaded(row),
            // Videos are never deleted: a room whose row was read once does not come here.
            Ok(None) => {
                self.state.base.failed(Instant::now());
                self.refuse(|| RoomError::UnknownVideo);
            }
            Err(error) => {
                tracing::debug!(video = self.video.0, %error, "a room could not read its counts");
                self.state.base.failed(Instant::now());
                self.refuse(|| RoomError::Unavailable);
            }
        }
        self.work(context);
    }

    fn refuse(&mut self, error: impl Fn() -> RoomError) {
        for joiner in self.joining.drain(..) {
            let _ = joiner.reply.send(Err(error()));
        }
    }
}

impl Actor for Room {
    type Context = Context<Self>;

    fn started(&mut self, context: &mut Self::Context) {
        context.set_mailbox_capacity(MAILBOX);
    }
}

impl Handler<Mail> for Room {
    type Result = ();

    fn handle(&mut self, mail: Mail, context: &mut Self::Context) {
        match mail {
            Mail::Join(joiner) => self.joining.push(joiner),
            Mail::Leave(number) => {
                self.joining.retain(|joiner| joiner.number != number);
                self.state.leave(number);
            }
            Mail::End => {
                self.state.clear();
                context.stop();
                return;
            }
            Mail::Comment(comment) => self.state.comment(&comment, Instant::now()),
            Mail::Look => {}
        }
        self.work(context);
    }
}

impl Drop for Room {
    /// A room that ends with watchers left (its thread ends, or a bug) leaves nobody behind who hears nothing any more.
    fn drop(&mut self) {
        for outbox in self.state.clear().values() {
            outbox.close(CloseCode::Restart);
        }
    }
}
