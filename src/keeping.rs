//! What has to be done from time to time beside the requests: revoked tokens close their sockets, old events go, last-seen
//! times are written, and the streams' life is watched.
//!
//! Owns one thread with a clock of its own. None of it is needed for an answer; while the database is away it waits.

use std::path::Path;
use std::thread::JoinHandle;
use std::time::Duration;

use ovation_actors::close::CloseCode;
use ovation_schema::{Store, StoreError, now_ms, streams, users};
use tokio::sync::watch;
use tokio::time::{Instant, MissedTickBehavior, interval};

use crate::app::App;
use crate::epoch::Epoch;
use crate::server::{RESTART_SPREAD, store_options};

/// Database connections of its own, on top of `db_connections`: one works, one is to spare while a read that was given up
/// still holds its own.
const CONNECTIONS: u32 = 2;
/// How often it is looked for tokens that were made void: their sockets are to end within a second.
const REVOCATIONS: Duration = Duration::from_millis(400);
/// Revocations read at once.
const REVOCATIONS_PAGE: i64 = 1_000;
/// Users whose streams are looked at in one statement.
const USERS_PAGE: usize = 1_000;
/// How often it is looked what a commit whose answer was lost has left, one [`REVOCATIONS`] apart: such a commit may still be
/// under way in the database when it is looked for first.
const LOOKS: u32 = 5;
/// How often last-seen times are written.
const DEPARTURES: Duration = Duration::from_secs(5);
/// How often old events are removed, and how many at a time.
const TRIM: Duration = Duration::from_mins(5);
const TRIM_ROWS: i64 = 500;
/// How often the streams' life is checked.
const BEAT: Duration = Duration::from_mins(1);

/// The thread; ends when dropped.
pub struct Keeping {
    stop: Option<watch::Sender<bool>>,
    thread: Option<JoinHandle<()>>,
}

impl Keeping {
    /// Starts it. Blocks while it looks whether the store is older than what this data folder has seen.
    pub fn start(app: &App, data_dir: &Path) -> anyhow::Result<Self> {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
        // So that revoked tokens end in time however many requests wait for a connection.
        let store = app
            .store
            .apart_uncounted(&store_options(&app.config, data_dir), CONNECTIONS)?;
        let epoch = runtime.block_on(Epoch::open(&store, data_dir))?;
        let revoked = runtime.block_on(store.read(users::last_revocation))?;
        let (stop, stopped) = watch::channel(false);
        let work = Work {
            app: app.clone(),
            store,
            epoch,
            revoked,
            // What a process before this one has sent may be under way as well.
            looks: LOOKS,
        };
        let thread = std::thread::Builder::new()
            .name("keeping".into())
            .spawn(move || runtime.block_on(work.run(stopped)))?;
        Ok(Self {
            stop: Some(stop),
            thread: Some(thread),
        })
    }
}

impl Drop for Keeping {
    fn drop(&mut self) {
        drop(self.stop.take());
        if let Some(thread) = self.thread.take() {
            // It has nothing that could be lost but last-seen times.
            let _ = thread.join();
        }
    }
}

struct Work {
    app: App,
    store: Store,
    epoch: Epoch,
    /// Up to which revocation all have been seen.
    revoked: i64,
    /// How often it is still to be looked for events that nobody was told of.
    looks: u32,
}

impl Work {
    async fn run(mut self, mut stopped: watch::Receiver<bool>) {
        let every = |period| {
            let mut interval = tokio::time::interval_at(Instant::now() + period, period);
            interval.set_missed_tick_behavior(MissedTickBehavior::Delay);
            interval
        };
        let (mut revocations, mut departures) = (every(REVOCATIONS), every(DEPARTURES));
        let (mut trim, mut beat) = (interval(TRIM), every(BEAT));
        trim.set_missed_tick_behavior(MissedTickBehavior::Delay);
        loop {
            let done = tokio::select! {
                // In this order: a trim that goes on is always ready.
                biased;
                // An error: the handle was dropped.
                _ = stopped.changed() => {
                    self.departures().await.unwrap_or_else(|error| tracing::debug!(%error, "last-seen times are lost"));
                    return;
                }
                _ = revocations.tick() => self.revocations().await.and(self.doubts().await),
                _ = departures.tick() => self.departures().await,
                _ = beat.tick() => self.beat().await,
                _ = trim.tick() => self.trim().await.map(|more| if more { trim.reset_immediately() }),
            };
            if let Err(error) = done {
                tracing::debug!(%error, "keeping waits for the store");
            }
        }
    }

    async fn revocations(&mut self) -> Result<(), StoreError> {
        let (after, began) = (self.revoked, std::time::Instant::now());
        let read = move |connection: &mut _| users::revoked_since(connection, after, REVOCATIONS_PAGE);
        let found = self.store.read(read).await?;
        let all = found.len() < usize::try_from(REVOCATIONS_PAGE).unwrap_or(0);
        for (changed_at, user, version) in found {
            self.revoked = changed_at;
            self.app.confirmed.revoke(user.0);
            let version = u32::try_from(version).unwrap_or(u32::MAX);
            self.app.hub.revoke(user, version, CloseCode::Revoked.into());
        }
        if all {
            self.app.confirmed.know_revocations_until(began);
        }
        Ok(())
    }

    /// Where a commit's answer was lost there may be events that nobody was told of: whoever is online is told now.
    async fn doubts(&mut self) -> Result<(), StoreError> {
        if self.app.hub.take_doubt() {
            self.looks = LOOKS;
        }
        if self.looks == 0 {
            return Ok(());
        }
        for users in self.app.hub.online().chunks(USERS_PAGE) {
            let users = users.to_vec();
            let read = move |connection: &mut _| streams::newest(connection, &users);
            for (user, newest) in self.store.read(read).await? {
                self.app.hub.raise(user, newest);
            }
        }
        // Only a look that saw everybody counts.
        self.looks -= 1;
        Ok(())
    }

    async fn departures(&mut self) -> Result<(), StoreError> {
        let departures = self.app.hub.departures();
        if departures.is_empty() {
            return Ok(());
        }
        self.store
            .write(move |connection| users::set_last_seen(connection, &departures))
            .await
    }

    /// A piece at a time: revocations can't wait for days of events to go. True while there is more.
    async fn trim(&mut self) -> Result<bool, StoreError> {
        let keep = i64::try_from(self.app.config.events_keep.as_millis()).unwrap_or(i64::MAX);
        let most = self.app.config.events_keep_max;
        let before = now_ms().saturating_sub(keep);
        let trim = move |connection: &mut _| streams::trim(connection, before, most, TRIM_ROWS);
        Ok(self.store.write(trim).await? > 0)
    }

    /// A store that went back under a running server has forgotten events that clients have seen.
    async fn beat(&mut self) -> Result<(), StoreError> {
        if self.epoch.beat(&self.store).await? {
            tracing::error!("the store has forgotten what it knew a minute ago: all sockets begin anew");
            self.app.sockets.restart(RESTART_SPREAD);
        }
        Ok(())
    }
}
