//! The hub with its actors, a store in memory that fails on demand, and a clock that tests move.

mod chores;
mod fakes;
mod feeds;
mod presences;
mod room_model;
mod rooms;
mod sessions;

use std::sync::Arc;
use std::time::Duration;

use fakes::FakeStore;
use ovation_schema::streams::{Event, EventKind};
use ovation_schema::{UserId, VideoId};

use super::{Hub, HubLimits};
use crate::outbox::{Outbox, OutboxLimits};
use crate::push::Frame;
use crate::{Entry, Like, Overlay};

/// A hub over its fakes.
struct World {
    hub: Hub,
    store: FakeStore,
    overlay: Overlay,
    position: i64,
}

impl World {
    fn new() -> Self {
        let store = FakeStore::default();
        let overlay = Overlay::starting_at(0);
        let limits = HubLimits {
            connections_per_user: 3,
        };
        Self {
            hub: Hub::over(Arc::new(store.clone()), overlay.clone(), limits),
            store,
            overlay,
            position: 0,
        }
    }

    /// A new like, as the counters make it: into the overlay, then the hub hears of it.
    fn like(&mut self, video: i64) {
        self.change(video, true);
    }

    /// One more like of a video, or one less.
    fn change(&mut self, video: i64, on: bool) {
        self.position += 1;
        let position = self.position;
        let like = Like {
            user: UserId(1_000 + position),
            video: VideoId(video),
            author: UserId(1),
            on,
            was: Some(!on),
            at_ms: 0,
        };
        self.overlay.apply(&[Entry { position, like }]);
        self.hub.liked(&mut [VideoId(video)].into_iter());
    }

    /// Nothing is left of anybody.
    fn assert_empty(&self) {
        let inner = &self.hub.0;
        assert!(inner.sessions.is_empty(), "sessions");
        assert!(inner.rooms.is_empty(), "rooms");
        assert!(inner.watchers.is_empty(), "watchers");
        assert!(inner.feeds.is_empty(), "feeds");
    }
}

/// Runs a test on a local set with a clock that stands until everything waits for it.
fn run<T>(test: impl Future<Output = T>) -> T {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_time()
        .start_paused(true)
        .build()
        .unwrap();
    tokio::task::LocalSet::new().block_on(&runtime, test)
}

async fn pass(ms: u64) {
    tokio::time::sleep(Duration::from_millis(ms)).await;
}

/// Until everybody has done what there is to do.
async fn settle() {
    pass(1).await;
}

fn outbox() -> Arc<Outbox> {
    let limits = OutboxLimits {
        frames: 256,
        bytes: 65_536,
    };
    Arc::new(Outbox::new(limits))
}

fn text(frame: &Frame) -> String {
    let bytes = frame.bytes();
    let header = if bytes[1] < 126 { 2 } else { 4 };
    String::from_utf8(bytes[header..].to_vec()).unwrap()
}

/// Ephemeral events that wait.
fn heard(outbox: &Outbox) -> Vec<String> {
    outbox.take(1).ephemeral.iter().map(text).collect()
}

/// Those of one kind.
fn heard_of(outbox: &Outbox, t: &str) -> Vec<String> {
    let start = format!(r#"{{"t":"{t}","#);
    heard(outbox)
        .into_iter()
        .filter(|text| text.starts_with(&start))
        .collect()
}

fn event(user: i64, seq: i64) -> Event {
    Event {
        user: UserId(user),
        seq,
        kind: EventKind::MessageNew,
        payload: "{}".into(),
        created_at: 0,
    }
}
