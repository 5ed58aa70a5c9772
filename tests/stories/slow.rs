//! Visitors who take their time: every wait has an end, also on a second request, and costs nobody else anything.

use std::time::{Duration, Instant};

use crate::harness::raw::{Wire, head};
use crate::harness::{Kind, World, on_both_stores};

on_both_stores!(a_slow_head_is_ended, an_idle_connection_is_closed);

/// The end may come from the HTTP library's deadline or from the sweeper behind it, which leaves it some slack.
const SOON: Duration = Duration::from_secs(8);

fn hurried(config: &mut ovation::config::Config) {
    config.head_timeout = Duration::from_millis(500);
    config.keep_alive = Duration::from_secs(1);
}

/// Ended: closed, or told so (408) and closed.
fn is_ended(wire: &mut Wire) {
    let started = Instant::now();
    if let Some(reply) = wire.answer() {
        assert_eq!(reply.status, 408);
        assert!(wire.is_closed());
    }
    assert!(started.elapsed() < SOON, "{:?}", started.elapsed());
}

fn a_slow_head_is_ended(kind: Kind) {
    let world = World::with(kind, hurried);
    let mut first = Wire::to(world.address());
    first.put("GET /douyin/feed/ HTTP/1.1\r\nHost: x\r\nX-Slow: ").unwrap();
    let mut second = Wire::to(world.address());
    second.put(head("GET", "/ping", &[])).unwrap();
    assert_eq!(second.answer().unwrap().status, 200);
    second.put("GET /douyin/feed/ HT").unwrap();
    let mut silent = Wire::to(world.address());
    for wire in [&mut first, &mut second, &mut silent] {
        is_ended(wire);
    }
    world.get("/ping").json();
}

fn an_idle_connection_is_closed(kind: Kind) {
    let world = World::with(kind, hurried);
    let mut wire = Wire::to(world.address());
    wire.put(head("GET", "/ping", &[])).unwrap();
    assert_eq!(wire.answer().unwrap().status, 200);
    is_ended(&mut wire);
}
