//! The ceilings of sockets: a round trip, and what a connection costs that only stays.
//!
//! Owns the two measurements. Both use the client and the bounds of the scenarios that are divided by them.

use std::time::{Duration, Instant};

use futures_util::future::{join, join_all};

use super::{Bench, CeilingRound, latencies, of_latencies};
use crate::bare;
use crate::failure::Failure;
use crate::http::Target;
use crate::procfs;
use crate::socket::Socket;
use crate::stats::Window;
use crate::units::{float, float_len, micros, nanos, ratio};

/// As long as the messages of the chat.
const TEXT: &str = "xxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxx";
/// Connections that are opened at once.
const OPENING: usize = 64;
/// Connections that make a server ready before its memory is looked at.
const FIRST: usize = 16;

/// Opens connections, a bounded number at once. Gives them back with how long each took, in nanoseconds.
pub async fn open(target: &Target, path: &str, count: usize) -> Result<Vec<(Socket, u64)>, Failure> {
    let doors = tokio::sync::Semaphore::new(OPENING);
    let opening = (0..count).map(|_| async {
        // The semaphore is never closed.
        let _door = doors.acquire().await;
        let begun = Instant::now();
        let socket = Socket::open(target, path).await?;
        Ok((socket, nanos(begun.elapsed()).max(1)))
    });
    join_all(opening).await.into_iter().collect()
}

/// Round trips in a closed loop, half as many at once as the scenario has connections: one in flight for a pair of them.
pub async fn measure(bench: &Bench<'_>) -> anyhow::Result<CeilingRound> {
    let sockets = open(
        &Target::local(bench.bare.address()),
        bare::ECHO,
        bench.connections.div_ceil(2),
    )
    .await?;
    let warm_up = bench.settings.warm_up.min(Duration::from_secs(2));
    let window = Window::after(warm_up, bench.length(), bench.settings.grace());
    let talking = sockets.into_iter().map(|(socket, _)| talk(socket, window));
    let (talked, usage) = join(join_all(talking), procfs::sample(bench.bare.pid(), window)).await;
    let mut all = latencies()?;
    for seen in talked {
        for latency in seen? {
            all.saturating_record(latency);
        }
    }
    let round = of_latencies(&all, window.seconds());
    Ok(CeilingRound {
        cpu_micros: usage
            .as_ref()
            .map(|usage| ratio(float(usage.cpu_micros), float(all.len()))),
        rss: usage.map(|usage| usage.rss_peak),
        ..round
    })
}

async fn talk(mut socket: Socket, window: Window) -> Result<Vec<u64>, Failure> {
    let mut seen = Vec::new();
    loop {
        let begun = Instant::now();
        if begun >= window.end {
            return Ok(seen);
        }
        socket.send(TEXT).await?;
        let (text, at) = socket.receive().await?;
        if text != TEXT {
            return Err(Failure::Untrue("the echo is another text".to_owned()));
        }
        if (window.start..window.end).contains(&at) {
            seen.push(nanos(at.saturating_duration_since(begun)).max(1));
        }
    }
}

/// What connections cost that stay: in a server of its own, whose memory nobody has used before.
pub async fn idle(bench: &Bench<'_>) -> anyhow::Result<CeilingRound> {
    let bare = bench.bare.fresh()?;
    let target = Target::local(bare.address());
    let first = open(&target, bare::IDLE, FIRST).await?;
    let before = procfs::read(bare.pid());
    let begun = Instant::now();
    let sockets = open(&target, bare::IDLE, bench.connections).await?;
    let took = begun.elapsed();
    let after = procfs::read(bare.pid());
    let mut all = latencies()?;
    for (_, latency) in &sockets {
        all.saturating_record(*latency);
    }
    let each = before.zip(after).map(|(before, after)| {
        ratio(
            float(after.rss.saturating_sub(before.rss)),
            float_len(bench.connections),
        )
    });
    drop(first);
    Ok(CeilingRound {
        per_second: ratio(float_len(sockets.len()), took.as_secs_f64()),
        p50: micros(all.value_at_quantile(0.5)),
        p99: micros(all.value_at_quantile(0.99)),
        cpu_micros: before.zip(after).map(|(before, after)| {
            ratio(
                float(after.cpu_micros.saturating_sub(before.cpu_micros)),
                float_len(sockets.len()),
            )
        }),
        rss: after.map(|after| after.rss),
        bytes: None,
        rss_each: each,
    })
}
