use std::task::{Context, Poll, Waker};

use proptest::prelude::*;
use tokio::task::LocalSet;

use super::*;
use crate::outbox::Taken;

fn seconds(seconds: u64) -> Duration {
    Duration::from_secs(seconds)
}

#[test]
fn each_matter_of_time_on_its_own() {
    let limits = Limits::default();
    let quiet = Facts {
        said_hello: true,
        ..Facts::default()
    };
    let judge = |change: fn(&mut Facts)| {
        let mut facts = quiet;
        change(&mut facts);
        due(&facts, &limits)
    };
    assert_eq!(judge(|_| {}), Due::Nothing);
    assert_eq!(judge(|facts| facts.since_probe = seconds(12)), Due::Probe);
    assert_eq!(judge(|facts| facts.since_ping = seconds(25)), Due::Ping);
    assert_eq!(judge(|facts| facts.silent = seconds(60)), Due::Close(CloseCode::NoPong));
    assert_eq!(judge(|facts| facts.expired = true), Due::Close(CloseCode::InvalidToken));
    assert_eq!(
        judge(|facts| facts.waits = seconds(11)),
        Due::Close(CloseCode::SlowConsumer)
    );
    assert_eq!(judge(|facts| facts.close_waits = Some(seconds(2))), Due::Nothing);
    assert_eq!(judge(|facts| facts.close_waits = Some(seconds(3))), Due::Hangup);
    assert_eq!(judge(|facts| facts.close_sent = Some(seconds(4))), Due::Nothing);
    assert_eq!(judge(|facts| facts.close_sent = Some(seconds(5))), Due::Hangup);
    let strange = |age| Facts {
        age: seconds(age),
        ..Facts::default()
    };
    assert_eq!(due(&strange(4), &limits), Due::Nothing);
    assert_eq!(due(&strange(5), &limits), Due::Close(CloseCode::BadRequest));
}

proptest! {
    /// A client that takes nothing is hung up on within 30 s whatever else is true of it.
    #[test]
    fn whoever_takes_nothing_is_ended_within_30_seconds(sent in any::<bool>(), expired in any::<bool>(), start in 0u64..25) {
        let limits = Limits::default();
        let (mut since, mut closed, mut ended, mut probe, mut ping) = (None, None, None, 0, 25 - start);
        for now in 0..60 {
            let facts = Facts {
                age: seconds(now),
                said_hello: true,
                expired,
                silent: seconds(now),
                waits: since.map_or(Duration::ZERO, |since| seconds(now - since)),
                close_waits: closed.map(|closed| seconds(now - closed)),
                close_sent: (sent && now >= 2).then(|| seconds(now - 2)),
                since_ping: seconds(now.saturating_sub(ping)),
                since_probe: seconds(now - probe),
            };
            match due(&facts, &limits) {
                Due::Nothing => {}
                Due::Probe => { probe = now; since = since.or(Some(now)); }
                Due::Ping => { ping = now; probe = now; since = since.or(Some(now)); }
                Due::Close(_) => { closed = closed.or(Some(now)); since = since.or(Some(now)); }
                Due::Hangup => { ended = Some(now); break; }
            }
        }
        prop_assert!(ended.is_some_and(|ended| ended < 29), "{:?}", ended);
    }
}

/// A connection that is watched, and whether it was hung up on.
fn connection(limits: Limits) -> (Rc<Watched>, Rc<Cell<bool>>) {
    let hung_up = Rc::new(Cell::new(false));
    let flag = Rc::clone(&hung_up);
    let watched = Watched::new(
        Arc::new(Outbox::new(limits.outbox)),
        Arc::new(limits),
        Box::new(move || flag.set(true)),
    );
    watch(&watched);
    (watched, hung_up)
}

fn poll(watched: &Watched) -> Option<Taken> {
    match watched.outbox.poll_take(&mut Context::from_waker(Waker::noop()), None) {
        Poll::Ready(taken) => Some(taken),
        Poll::Pending => None,
    }
}

/// Second by second, so that the keeper is never late.
async fn pass(count: u64) {
    for _ in 0..count {
        tokio::time::sleep(seconds(1)).await;
    }
}

#[tokio::test(start_paused = true)]
async fn who_says_nothing_is_asked_to_leave() {
    LocalSet::new()
        .run_until(async {
            let (watched, _) = connection(Limits::default());
            pass(4).await;
            assert!(poll(&watched).is_none_or(|taken| taken.close.is_none()));
            pass(2).await;
            assert_eq!(poll(&watched).unwrap().close.unwrap().code, CloseCode::BadRequest);
        })
        .await;
}

#[tokio::test(start_paused = true)]
async fn pings_come_each_heartbeat_and_silence_ends() {
    LocalSet::new()
        .run_until(async {
            let (watched, _) = connection(Limits::default());
            watched.said_hello.set(true);
            let (mut pings, mut at) = (0, 0);
            let close = loop {
                pass(1).await;
                at += 1;
                if let Some(taken) = poll(&watched) {
                    pings += u64::from(taken.ping);
                    if let Some(close) = taken.close {
                        break close;
                    }
                }
            };
            assert_eq!(close.code, CloseCode::NoPong);
            assert!((60..=62).contains(&at), "{at}");
            assert!((2..=3).contains(&pings), "{pings}");
        })
        .await;
}

#[tokio::test(start_paused = true)]
async fn pings_are_spread() {
    LocalSet::new()
        .run_until(async {
            let all: Vec<_> = (0..500).map(|_| connection(Limits::default()).0).collect();
            let mut most = 0;
            let mut pinged = 0;
            for watched in &all {
                watched.said_hello.set(true);
            }
            for _ in 0..26 {
                pass(1).await;
                let now = all
                    .iter()
                    .filter_map(|watched| poll(watched))
                    .filter(|taken| taken.ping)
                    .count();
                most = most.max(now);
                pinged += now;
            }
            assert!(pinged >= 500, "{pinged}");
            // 20 a second on average.
            assert!(most < 60, "{most}");
        })
        .await;
}

#[tokio::test(start_paused = true)]
async fn an_expired_token_closes_within_a_second() {
    LocalSet::new()
        .run_until(async {
            let (watched, _) = connection(Limits::default());
            watched.said_hello.set(true);
            pass(1).await;
            assert!(poll(&watched).is_none_or(|taken| taken.close.is_none()));
            watched.expires_at.set(ovation_schema::now_ms() / 1000);
            pass(1).await;
            assert_eq!(poll(&watched).unwrap().close.unwrap().code, CloseCode::InvalidToken);
        })
        .await;
}

#[tokio::test(start_paused = true)]
async fn who_does_not_come_is_hung_up_on_once_and_within_30_seconds() {
    LocalSet::new()
        .run_until(async {
            let (watched, hung_up) = connection(Limits::default());
            watched.said_hello.set(true);
            let mut at = 0;
            while !hung_up.replace(false) {
                pass(1).await;
                at += 1;
                assert!(at < 29, "{at} s");
            }
            pass(20).await;
            assert!(!hung_up.get());
            drop(watched);
            pass(2).await;
            assert!(KEPT.with_borrow(Option::is_none), "a keeper with nothing to keep ends");
        })
        .await;
}

#[tokio::test(start_paused = true)]
async fn a_close_that_nobody_answers_ends() {
    LocalSet::new()
        .run_until(async {
            let (watched, hung_up) = connection(Limits::default());
            watched.said_hello.set(true);
            watched.close_sent.set(Some(now()));
            pass(4).await;
            assert!(!hung_up.get());
            pass(2).await;
            assert!(hung_up.get());
        })
        .await;
}

#[tokio::test(start_paused = true)]
async fn nobody_is_judged_for_a_time_the_thread_slept() {
    LocalSet::new()
        .run_until(async {
            let (watched, _) = connection(Limits::default());
            watched.said_hello.set(true);
            pass(3).await;
            tokio::time::advance(seconds(100)).await;
            tokio::task::yield_now().await;
            // What the client has sent meanwhile is read first.
            watched.heard.set(now());
            pass(1).await;
            assert_eq!(poll(&watched).and_then(|taken| taken.close), None);
        })
        .await;
}
