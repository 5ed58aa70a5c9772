//! The ceiling of fan-out: one text to many bare sockets.
//!
//! Owns the measurement: a text is sent, and the next one when everybody has it.

use std::time::{Duration, Instant};

use futures_util::future::join;
use tokio::sync::mpsc;

use super::{Bench, CeilingRound, echo, latencies, of_latencies};
use crate::bare;
use crate::failure::Failure;
use crate::http::Target;
use crate::procfs;
use crate::socket::Socket;
use crate::stats::Window;
use crate::units::{float, nanos, ratio};

/// As long as a comment in a room.
const LENGTH: usize = 200;

/// Deliveries a second; latencies count from when the text was sent.
pub async fn measure(bench: &Bench<'_>) -> anyhow::Result<CeilingRound> {
    let target = Target::local(bench.bare.address());
    let sockets = echo::open(&target, bare::FAN, bench.connections).await?;
    let mut author = Socket::open(&target, bare::FAN).await?;
    let warm_up = bench.settings.warm_up.min(Duration::from_secs(2));
    let window = Window::after(warm_up, bench.length(), bench.settings.grace());
    let (tell, mut told) = mpsc::unbounded_channel();
    let count = sockets.len();
    let reading: Vec<_> = sockets
        .into_iter()
        .map(|(socket, _)| actix::spawn(read(socket, tell.clone())))
        .collect();
    drop(tell);
    let text = "x".repeat(LENGTH);
    let mut all = latencies()?;
    let sending = async {
        while Instant::now() < window.end {
            let sent = Instant::now();
            author.send(&text).await?;
            for _ in 0..count {
                let Some(at) = told.recv().await else {
                    return Err(Failure::Closed(std::io::ErrorKind::UnexpectedEof.into()));
                };
                if (window.start..window.end).contains(&at) {
                    all.saturating_record(nanos(at.saturating_duration_since(sent)).max(1));
                }
            }
            // The author hears itself.
            author.receive().await?;
        }
        Ok(())
    };
    let (sent, usage) = join(sending, procfs::sample(bench.bare.pid(), window)).await;
    for task in &reading {
        task.abort();
    }
    sent?;
    let round = of_latencies(&all, window.seconds());
    Ok(CeilingRound {
        cpu_micros: usage
            .as_ref()
            .map(|usage| ratio(float(usage.cpu_micros), float(all.len()))),
        rss: usage.map(|usage| usage.rss_peak),
        ..round
    })
}

async fn read(mut socket: Socket, tell: mpsc::UnboundedSender<Instant>) -> Result<(), Failure> {
    loop {
        let (text, at) = socket.receive().await?;
        if text.len() != LENGTH {
            return Err(Failure::Untrue("a text that nobody sent".to_owned()));
        }
        if tell.send(at).is_err() {
            return Ok(());
        }
    }
}
