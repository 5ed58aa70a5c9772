//! What a socket's operations mean.
//!
//! Owns one connection's side of the server: who it is, what it has joined, and the operations of the protocol
//! (docs/protocol.md). Framing, order and bounds belong to `ovation_actors::connection`; what is stored and who hears of
//! it is the same as for the REST endpoints. Dropping a [`Peer`] leaves everything it had joined.

mod favorites;
mod feed;
mod hello;
mod messages;
mod presence;
mod refusal;
mod videos;

use std::cell::{Cell, RefCell, RefMut};
use std::collections::HashMap;
use std::rc::Rc;
use std::sync::Arc;

use futures_util::future::LocalBoxFuture;
use ovation_actors::hub::{FeedWatch, PresenceWatch, RoomSeat, Seat};
use ovation_actors::operator::{Denied, Greeting, Hello, Operator, Refusal, Request};
use ovation_actors::outbox::Outbox;
use ovation_schema::streams::{self, Event};
use ovation_schema::{UserId, VideoId};
use serde::Serialize;
use serde::de::DeserializeOwned;

use crate::app::App;

pub use hello::start_of;
use refusal::{bad_request, unauthorized};

/// Events in one page of a replay.
const PAGE: i64 = 100;
/// Bytes of them, past the first: a page is kept for as long as its client does not read.
const PAGE_BYTES: usize = 256 << 10;
/// Ids are below it: JavaScript would mangle larger ones.
const MAX_ID: i64 = 1 << 53;

/// The server behind one connection.
pub struct Peer {
    app: App,
    outbox: Arc<Outbox>,
    /// From the `Authorization` header of the upgrade; stands in for a hello without a token, and is forgotten with it.
    header_token: Cell<Option<String>>,
    /// Who says hello, once it is known; none for guests.
    user: Cell<Option<UserId>>,
    seat: RefCell<Option<Seat>>,
    /// None until the connection watches something, which most do not.
    watches: RefCell<Option<Box<Watches>>>,
}

/// What a connection watches.
#[derive(Default)]
struct Watches {
    rooms: HashMap<VideoId, RoomSeat>,
    presence: Option<PresenceWatch>,
    feed: Option<FeedWatch>,
}

impl Peer {
    /// For a connection whose outgoing queue is `outbox`.
    pub fn new(app: App, outbox: Arc<Outbox>, header_token: Option<String>) -> Self {
        Self {
            app,
            outbox,
            header_token: Cell::new(header_token),
            user: Cell::default(),
            seat: RefCell::default(),
            watches: RefCell::default(),
        }
    }
}

impl Operator for Peer {
    fn greet(self: Rc<Self>, hello: Hello) -> LocalBoxFuture<'static, Result<Greeting, Denied>> {
        Box::pin(async move { hello::greet(&self, hello).await })
    }

    fn page(self: Rc<Self>, user: UserId, next: i64) -> LocalBoxFuture<'static, Result<Vec<Event>, Refusal>> {
        let store = self.app.store.clone();
        Box::pin(async move {
            let page = store.read(move |connection| streams::page(connection, user, next, PAGE));
            page.await.map(within_bytes).map_err(refusal::of_store)
        })
    }

    fn call(self: Rc<Self>, request: Request) -> LocalBoxFuture<'static, Result<String, Refusal>> {
        Box::pin(async move { self.operate(request).await })
    }
}

impl Peer {
    async fn operate(&self, Request { t, d }: Request) -> Result<String, Refusal> {
        match t.as_str() {
            "message.send" => messages::send(self, parameters(&d)?).await,
            "message.history" => messages::history(self, parameters(&d)?).await,
            "message.read" => messages::read(self, parameters(&d)?).await,
            "typing" => presence::typing(self, parameters(&d)?),
            "presence.watch" => presence::watch(self, parameters(&d)?).await,
            "video.watch" => videos::watch(self, parameters(&d)?).await,
            "video.unwatch" => videos::unwatch(self, parameters(&d)?),
            "feed.watch" => feed::watch(self, parameters(&d)?).await,
            "favorite.set" => favorites::set(self, parameters(&d)?).await,
            _ => Err(bad_request("there is no such operation")),
        }
    }

    /// What the connection watches, to be changed.
    fn watches(&self) -> RefMut<'_, Watches> {
        RefMut::map(self.watches.borrow_mut(), |watches| {
            &mut **watches.get_or_insert_default()
        })
    }

    /// The user of this connection; guests are refused.
    fn user(&self) -> Result<UserId, Refusal> {
        self.user
            .get()
            .ok_or_else(|| unauthorized("guests can't do that; say hello with a token"))
    }
}

/// A page's beginning; the rest is the next one's.
fn within_bytes(mut events: Vec<Event>) -> Vec<Event> {
    let mut bytes = 0;
    let fits = events.iter().take_while(|event| {
        bytes += event.payload.len();
        bytes <= PAGE_BYTES
    });
    let fits = fits.count().max(1);
    events.truncate(fits);
    events
}

fn parameters<T: DeserializeOwned>(d: &serde_json::value::RawValue) -> Result<T, Refusal> {
    serde_json::from_str(d.get()).map_err(|error| {
        // The message may repeat what was sent, which may be long.
        let message: String = error.to_string().chars().take(160).collect();
        bad_request(format!("d: {message}"))
    })
}

fn id(name: &'static str, id: i64) -> Result<i64, Refusal> {
    if (1..MAX_ID).contains(&id) {
        Ok(id)
    } else {
        Err(bad_request(format!("{name} is not a valid id")))
    }
}

fn ack(answer: &impl Serialize) -> Result<String, Refusal> {
    serde_json::to_string(answer).map_err(|_| refusal::internal())
}

/// An ack that says nothing else.
fn done() -> String {
    "{}".to_owned()
}

#[cfg(test)]
mod tests {
    use ovation_schema::streams::EventKind;

    use super::*;

    #[test]
    fn a_page_is_bounded_in_bytes_and_never_empty_for_it() {
        let page = |sizes: &[usize]| {
            let event = |(seq, size): (i64, &usize)| Event {
                user: UserId(1),
                seq,
                kind: EventKind::MessageNew,
                payload: "x".repeat(*size),
                created_at: 0,
            };
            within_bytes((1..).zip(sizes).map(event).collect()).len()
        };
        assert_eq!(page(&[]), 0);
        assert_eq!(page(&[100; 100]), 100);
        assert_eq!(page(&[12_000; 100]), PAGE_BYTES / 12_000);
        assert_eq!(page(&[PAGE_BYTES + 1, 1]), 1);
    }
}
