//! Who hears of new videos.
//!
//! Owns those who look at the feed. One actor, there while somebody does. For each publish it asks the store which of them
//! follow the author, a thousand at a time: so a celebrity's publish costs as much as there are people looking, never as
//! many as follow, writes nothing, and leaves everybody else their turn in between. Never keeps follows itself.

mod state;

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use actix::fut::wrap_future;
use actix::{Actor, ActorContext as _, ActorFutureExt as _, AsyncContext as _, Context, Handler, Message};
use ovation_schema::{StoreError, UserId};
use state::State;
use tokio::time::Instant;

use crate::close::CloseCode;
use crate::hub::NewVideo;
use crate::hub::alarm::{Alarm, yield_to_others};
use crate::hub::store::HubStore;
use crate::hub::tenants::Tenants;
use crate::outbox::Outbox;

/// The one actor, under the key of nothing.
pub type Feeds = Tenants<(), Feed, ()>;

/// What the actor is told.
#[derive(Message)]
#[rtype(result = "()")]
pub enum Mail {
    /// Somebody looks, who knew of `newer` videos when there were `published`.
    Join {
        user: UserId,
        seat: u64,
        outbox: Arc<Outbox>,
        newer: u64,
        published: u64,
    },
    /// Somebody does not look any more.
    Leave(UserId, u64),
    /// Nobody does.
    End,
    /// A video was published. The only message that may be refused.
    Published(NewVideo),
}

/// The actor.
pub struct Feed {
    state: State,
    store: Arc<dyn HubStore>,
    /// Publishes since the start of the server, also those that were refused here.
    published: Arc<AtomicU64>,
    alarm: Alarm,
    /// A question is with the store, or waits to be asked again.
    asking: bool,
    /// Pieces of a number go out.
    busy: bool,
}

impl Feed {
    /// Nobody looks yet.
    pub fn new(published: Arc<AtomicU64>, store: Arc<dyn HubStore>) -> Self {
        Self {
            state: State::new(published.load(Ordering::Acquire)),
            store,
            published,
            alarm: Alarm::default(),
            asking: false,
            busy: false,
        }
    }

    fn work(&mut self, context: &mut Context<Self>) {
        if !self.asking {
            self.ask(context);
        }
        self.state.count(self.published.load(Ordering::Acquire), Instant::now());
        self.alarm.set(self.state.due(), context, |feed, context| {
            feed.alarm.rang();
            feed.work(context);
        });
        if !self.busy {
            self.tell_numbers(context);
        }
    }

    fn tell_numbers(&mut self, context: &mut Context<Self>) {
        let was = std::mem::replace(&mut self.busy, self.state.piece());
        if self.busy {
            yield_to_others(context, Self::tell_numbers);
        } else if was {
            // Another number may be due by now.
            self.work(context);
        }
    }

    fn ask(&mut self, context: &mut Context<Self>) {
        let question = self.state.question();
        self.asking = question.is_some();
        if let Some((author, users)) = question
            && let Some(last) = users.last().copied()
        {
            let answer = wrap_future::<_, Self>(self.store.followers_among(author, users));
            context.spawn(answer.map(move |answer, feed, context| feed.answered(answer, last, context)));
        }
    }

    fn answered(&mut self, answer: Result<Vec<UserId>, StoreError>, last: UserId, context: &mut Context<Self>) {
        match answer {
            Ok(followers) => self.state.followers(&followers, last),
            Err(error) => {
                tracing::debug!(%error, "the feed could not read who follows");
                let pause = self.state.no_answer().unwrap_or(Duration::ZERO);
                context.run_later(pause, Self::ask);
                return;
            }
        }
        yield_to_others(context, Self::ask);
    }
}

impl Actor for Feed {
    type Context = Context<Self>;

    fn started(&mut self, context: &mut Self::Context) {
        context.set_mailbox_capacity(state::WAITING);
    }
}

impl Handler<Mail> for Feed {
    type Result = ();

    fn handle(&mut self, mail: Mail, context: &mut Self::Context) {
        match mail {
            Mail::Join {
                user,
                seat,
                outbox,
                newer,
                published,
            } => {
                self.state.join(user, seat, outbox, newer, published);
            }
            Mail::Leave(user, seat) => self.state.leave(user, seat),
            Mail::End => {
                self.state.clear();
                context.stop();
                return;
            }
            Mail::Published(video) => self.state.publish(video),
        }
        self.work(context);
    }
}

impl Drop for Feed {
    /// An end with listeners left (the thread ends, or a bug) leaves nobody behind who hears nothing any more.
    fn drop(&mut self) {
        for outbox in self.state.outboxes() {
            outbox.close(CloseCode::Restart);
        }
    }
}
