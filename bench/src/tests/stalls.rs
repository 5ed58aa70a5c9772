//! A server that stalls for a second: an open loop must show it, a closed loop can't.

use std::time::{Duration, Instant};

use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpListener;

use super::driver;
use crate::drive::{Behaviour, Driven, Load, Pace, Step};
use crate::http::{Answer, Connection, Target};
use crate::stats::{UNANSWERED, Window};

/// Answers every question at once, except within the stall, when it answers nobody.
async fn stalling(stall: std::ops::Range<Instant>) -> Target {
    let listener = TcpListener::bind(("127.0.0.1", 0)).await.unwrap();
    let address = listener.local_addr().unwrap();
    actix::spawn(async move {
        while let Ok((mut stream, _)) = listener.accept().await {
            let stall = stall.clone();
            actix::spawn(async move {
                let mut question = [0; 4096];
                while stream.read(&mut question).await.is_ok_and(|read| read > 0) {
                    if stall.contains(&Instant::now()) {
                        tokio::time::sleep_until(stall.end.into()).await;
                    }
                    if stream
                        .write_all(b"HTTP/1.1 200 OK\r\ncontent-length: 0\r\n\r\n")
                        .await
                        .is_err()
                    {
                        break;
                    }
                }
            });
        }
    });
    Target::local(address)
}

struct Get;

impl Behaviour for Get {
    async fn step(&mut self, connection: &mut Connection) -> Option<Step> {
        Some(Step::one(connection.get("/").await.and_then(Answer::ok).map(drop)))
    }
}

/// Two seconds, the server away from half a second on.
async fn driven(pace: Pace, away: Duration) -> Driven<Get> {
    let window = Window::after(Duration::ZERO, Duration::from_secs(2), Duration::from_millis(500));
    let begin = window.start + Duration::from_millis(500);
    let load = Load {
        target: stalling(begin..begin + away).await,
        lanes: &["get"],
        users: vec![Get, Get],
        pace,
    };
    driver().drive(load, window).await.unwrap()
}

#[actix::test]
async fn a_stall_is_in_the_open_loops_p99_and_not_in_the_closed_loops() {
    let second = Duration::from_secs(1);
    let quantile =
        |driven: &Driven<Get>, quantile| Duration::from_nanos(driven.lanes[0].latency.value_at_quantile(quantile));

    let closed = driven(Pace::Closed, second).await;
    assert!(
        quantile(&closed, 1.0) > second * 9 / 10,
        "it was there: {:?}",
        quantile(&closed, 1.0)
    );
    assert!(quantile(&closed, 0.99) < second / 2, "{:?}", quantile(&closed, 0.99));

    // 100 of 200 requests were due within the stall: latencies from a second down to nothing, evenly.
    let open = driven(Pace::Open { per_second: 100.0 }, second).await;
    assert_eq!(open.lanes[0].operations, 200, "all that was due, none left out");
    assert!(quantile(&open, 0.99) > second * 9 / 10, "{:?}", quantile(&open, 0.99));
    let (quarter, half) = (quantile(&open, 0.75), second / 2);
    assert!(
        quarter.abs_diff(half) < second / 5,
        "half a second for the middle of those: {quarter:?}"
    );
}

#[actix::test]
async fn what_was_due_and_never_answered_is_not_forgotten() {
    let open = driven(Pace::Open { per_second: 100.0 }, Duration::from_mins(1)).await;
    let lane = &open.lanes[0];
    let missing = lane.errors[UNANSWERED];
    assert_eq!(lane.operations + missing, 200);
    assert!(missing >= 140, "one and a half of two seconds: {missing}");
    assert!(
        lane.latency.value_at_quantile(0.99) > 1_900_000_000,
        "two seconds, as far as anybody knows"
    );
    assert_eq!(lane.seconds.iter().map(|second| second.errors).sum::<u64>(), missing);
}

#[actix::test]
async fn a_server_that_is_not_there_is_an_error_and_not_a_hot_loop() {
    let listener = TcpListener::bind(("127.0.0.1", 0)).await.unwrap();
    let target = Target::local(listener.local_addr().unwrap());
    drop(listener);
    let window = Window::after(Duration::ZERO, Duration::from_millis(300), Duration::ZERO);
    let load = Load {
        target,
        lanes: &["get"],
        users: vec![Get],
        pace: Pace::Closed,
    };
    let driven = driver().drive(load, window).await.unwrap();
    let refused = driven.lanes[0].errors["connect"];
    assert!((1..=20).contains(&refused), "{refused}");
}
