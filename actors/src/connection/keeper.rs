//! Everything about a connection that is a matter of time.
//!
//! Owns the one timer of a worker thread, which looks at all of the thread's connections once a second: deadlines, pings,
//! and the end of those whose client does not read. Such a connection's actor is not polled any more, so nothing inside
//! it could end it; and a timer of its own for each would cost more than looking. What is due is decided by a function of
//! plain facts.

use std::cell::{Cell, RefCell};
use std::rc::{Rc, Weak};
use std::sync::Arc;
use std::time::{Duration, Instant};

use super::limits::Limits;
use crate::close::CloseCode;
use crate::outbox::Outbox;

/// How often the keeper looks.
const TICK: Duration = Duration::from_secs(1);

/// A connection is made to come by at least this often, whether or not there is anything to send.
const PROBE: Duration = Duration::from_secs(12);

/// When a look comes this late the thread was busy or asleep, and its clients are not to blame for their silence: they
/// are judged at the next one.
const LATE: Duration = Duration::from_secs(5);

/// What a connection lets its keeper see.
pub(super) struct Watched {
    pub(super) outbox: Arc<Outbox>,
    pub(super) limits: Arc<Limits>,
    pub(super) opened: Instant,
    /// When the client's last byte came.
    pub(super) heard: Cell<Instant>,
    pub(super) said_hello: Cell<bool>,
    /// When the token ends, in seconds since the epoch.
    pub(super) expires_at: Cell<i64>,
    /// When the last frame, a close, was made ready.
    pub(super) close_sent: Cell<Option<Instant>>,
    /// Ends the TCP stream from outside.
    pub(super) hangup: Box<dyn Fn()>,
}

impl Watched {
    pub(super) fn new(outbox: Arc<Outbox>, limits: Arc<Limits>, hangup: Box<dyn Fn()>) -> Rc<Self> {
        let now = now();
        Rc::new(Self {
            outbox,
            limits,
            opened: now,
            heard: Cell::new(now),
            said_hello: Cell::new(false),
            expires_at: Cell::new(i64::MAX),
            close_sent: Cell::new(None),
            hangup,
        })
    }
}

/// The runtime's clock, which tests move.
pub(super) fn now() -> Instant {
    tokio::time::Instant::now().into_std()
}

/// How a connection stands, all of it lengths of time.
#[derive(Debug, Clone, Copy, Default)]
struct Facts {
    age: Duration,
    said_hello: bool,
    expired: bool,
    silent: Duration,
    /// Something waits, and the connection did not come for it.
    waits: Duration,
    /// The same of a close.
    close_waits: Option<Duration>,
    /// Since the close frame was made ready.
    close_sent: Option<Duration>,
    since_ping: Duration,
    since_probe: Duration,
}

/// What is due.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Due {
    Nothing,
    Probe,
    Ping,
    Close(CloseCode),
    Hangup,
}

/// The whole policy. What ends a connection comes before what keeps it, and the end already begun before a new one.
fn due(facts: &Facts, limits: &Limits) -> Due {
    if let Some(since) = facts.close_sent {
        return if since >= limits.close {
            Due::Hangup
        } else {
            Due::Nothing
        };
    }
    if let Some(waits) = facts.close_waits {
        return if waits >= limits.hangup {
            Due::Hangup
        } else {
            Due::Nothing
        };
    }
    if facts.waits > limits.stall {
        Due::Close(CloseCode::SlowConsumer)
    } else if facts.expired {
        Due::Close(CloseCode::InvalidToken)
    } else if !facts.said_hello && facts.age >= limits.hello {
        Due::Close(CloseCode::BadRequest)
    } else if facts.silent >= limits.silent {
        Due::Close(CloseCode::NoPong)
    } else if facts.since_ping >= limits.heartbeat {
        Due::Ping
    } else if facts.since_probe >= PROBE {
        Due::Probe
    } else {
        Due::Nothing
    }
}

/// A connection with what the keeper itself has done about it.
struct Kept {
    watched: Weak<Watched>,
    ping: Instant,
    probe: Instant,
    hung_up: bool,
}

impl Kept {
    /// Its first ping comes at a random moment of the first heartbeat: after a restart everybody comes back together,
    /// and would be pinged together for ever.
    fn new(watched: &Rc<Watched>) -> Self {
        let head_start = watched.limits.heartbeat.mul_f64(rand::random());
        Self {
            watched: Rc::downgrade(watched),
            ping: watched.opened.checked_sub(head_start).unwrap_or(watched.opened),
            probe: watched.opened,
            hung_up: false,
        }
    }

    /// Does what is due; false when the connection is gone.
    fn look(&mut self, now: Instant, seconds: i64) -> bool {
        let Some(watched) = self.watched.upgrade() else {
            return false;
        };
        let since = |then: Instant| now.saturating_duration_since(then);
        let facts = Facts {
            age: since(watched.opened),
            said_hello: watched.said_hello.get(),
            expired: seconds >= watched.expires_at.get(),
            silent: since(watched.heard.get()),
            waits: watched.outbox.waits_for(now),
            close_waits: watched.outbox.close_waits_for(now),
            close_sent: watched.close_sent.get().map(since),
            since_ping: since(self.ping),
            since_probe: since(self.probe),
        };
        match due(&facts, &watched.limits) {
            Due::Nothing => {}
            Due::Probe => {
                self.probe = now;
                watched.outbox.probe();
            }
            Due::Ping => {
                self.ping = now;
                self.probe = now;
                watched.outbox.ping();
            }
            Due::Close(code) => watched.outbox.close(code),
            Due::Hangup if self.hung_up => {}
            Due::Hangup => {
                self.hung_up = true;
                tracing::debug!("a connection that does not end is ended from outside");
                (watched.hangup)();
            }
        }
        true
    }
}

thread_local! {
    static KEPT: RefCell<Option<Vec<Kept>>> = const { RefCell::new(None) };
}

/// From now on the thread's keeper looks after this connection, until it is dropped. Starts the keeper with the thread's
/// first one; needs a runtime with local tasks.
pub(super) fn watch(watched: &Rc<Watched>) {
    let new = Kept::new(watched);
    KEPT.with_borrow_mut(|kept| {
        if kept.is_none() {
            tokio::task::spawn_local(keep(Running));
        }
        kept.get_or_insert_default().push(new);
    });
}

/// With the task goes the list, however the task ends: the thread's next connection starts another.
struct Running;

impl Drop for Running {
    fn drop(&mut self) {
        // At the end of the thread the list may be gone before.
        let _ = KEPT.try_with(RefCell::take);
    }
}

async fn keep(_running: Running) {
    let mut ticks = tokio::time::interval(TICK);
    ticks.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
    let mut last = now();
    loop {
        ticks.tick().await;
        let at = now();
        let late = at.saturating_duration_since(last) > LATE;
        last = at;
        if !late && !look_at_all(at) {
            return;
        }
    }
}

/// False when nothing is left to look after.
fn look_at_all(at: Instant) -> bool {
    let seconds = ovation_schema::now_ms() / 1000;
    // Taken out while looking: a hangup is somebody else's code, and might come back here.
    let mut all = KEPT
        .with_borrow_mut(|kept| kept.as_mut().map(std::mem::take))
        .unwrap_or_default();
    all.retain_mut(|kept| kept.look(at, seconds));
    if all.capacity() > 64 && all.len() < all.capacity() / 4 {
        all.shrink_to(all.len() * 2);
    }
    KEPT.with_borrow_mut(|kept| match kept {
        Some(kept) => {
            all.append(kept);
            let any = !all.is_empty();
            *kept = all;
            any
        }
        None => false,
    })
}

#[cfg(test)]
mod tests;
