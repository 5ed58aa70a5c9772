//! The worker's look at its own connections, once a second.
//!
//! Owns the list of a worker's connections and the task that goes through it. A list per thread needs no lock, and only
//! the thread that runs a connection's dispatcher can hang up on it without a race. Never keeps a connection alive.

use std::cell::RefCell;
use std::rc::{Rc, Weak};
use std::time::{Duration, Instant};

use actix_web::rt;
use actix_web::rt::task::JoinHandle;

use super::connection::Connection;

/// What one worker thread watches.
#[derive(Default)]
struct Watch {
    connections: Vec<Weak<Connection>>,
    task: Option<JoinHandle<()>>,
}

thread_local! {
    static WATCH: RefCell<Watch> = RefCell::default();
}

/// Watches `connection` until it ends; starts the worker's task when none is running. Call it on the worker's thread.
pub(super) fn register(connection: &Rc<Connection>, every: Duration) {
    WATCH.with_borrow_mut(|watch| {
        watch.connections.push(Rc::downgrade(connection));
        if watch.task.as_ref().is_none_or(JoinHandle::is_finished) {
            watch.task = Some(rt::spawn(run(every)));
        }
    });
}

/// Ends when there is nothing to watch, so that an idle server does not wake up each second.
async fn run(every: Duration) {
    loop {
        rt::time::sleep(every).await;
        if !sweep(Instant::now()) {
            return;
        }
    }
}

/// Reads two cells of each connection; only overdue ones cost system calls. A wheel of timers would spare that look at
/// the price of a timer moved at both ends of every request.
fn sweep(now: Instant) -> bool {
    WATCH.with_borrow_mut(|watch| {
        watch
            .connections
            .retain(|connection| connection.upgrade().is_some_and(|connection| connection.sweep(now)));
        watch.connections.shrink_to(watch.connections.len() * 2);
        !watch.connections.is_empty()
    })
}
