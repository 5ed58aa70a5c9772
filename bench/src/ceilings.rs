//! What the machine can do at most, in the minutes of the run.
//!
//! Owns the measurements that others are divided by. The same client with the same number of connections and the same
//! checks asks the bare server, in turn with the rounds of the targets; the disk and the hash are measured by themselves.

mod echo;
mod fan;

use std::fs::File;
use std::io::Write as _;
use std::path::Path;
use std::time::{Duration, Instant};

use anyhow::Context as _;
use hdrhistogram::Histogram;
use serde::{Deserialize, Serialize};

use crate::bare::{self, Bare};
use crate::contract::{read_feed, read_status};
use crate::drive::{Behaviour, Driver, Load, Pace, Step};
use crate::failure::Failure;
use crate::http::{Answer, Connection, Target};
use crate::procfs;
use crate::settings::Settings;
use crate::stats::Window;
use crate::units::{float, float_len, micros, nanos, ratio};

/// The longest measurement of one ceiling in one round; they steady sooner than servers with a store.
const LONGEST: Duration = Duration::from_secs(10);
/// How much the file of the sync loop may grow.
const FILE_MAX: u64 = 256 << 20;

/// A measurement of the machine.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Ceiling {
    /// A GET that answers 110 bytes of JSON, which are read.
    BareGet,
    /// An empty POST.
    BarePost,
    /// A feed of thirty, serialised each time; the body compared with one that was read before.
    BareFeed,
    /// As above; every body read in full.
    BareFeedRead,
    /// fdatasync after an append of 4 KiB, one after the other.
    Fdatasync,
    /// Argon2id with 19 MiB, two passes, one lane (OWASP's minimum), on the cores given to it.
    Hash,
    /// 64 bytes to a bare socket and back, one after the other on every connection.
    SocketEcho,
    /// A text of 200 bytes from a bare socket to all others, the next when everybody has it.
    SocketFan,
    /// Bare sockets that only stay: how fast they come, and the memory that each takes.
    SocketIdle,
}

/// One ceiling in one round.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct CeilingRound {
    /// Operations a second.
    pub per_second: f64,
    /// Microseconds.
    pub p50: f64,
    /// Microseconds.
    pub p99: f64,
    /// Microseconds of processors for an operation: the bare server's, or of the threads that hash.
    pub cpu_micros: Option<f64>,
    /// Resident memory of the bare server in bytes.
    pub rss: Option<u64>,
    /// Bytes of an answer, where they follow the target's.
    pub bytes: Option<usize>,
    /// Bytes of the bare server's memory for a connection, where that was measured.
    pub rss_each: Option<f64>,
}

impl Ceiling {
    /// All, in the order of tables.
    pub const ALL: [Self; 9] = [
        Self::BareGet,
        Self::BarePost,
        Self::BareFeed,
        Self::BareFeedRead,
        Self::Fdatasync,
        Self::Hash,
        Self::SocketEcho,
        Self::SocketFan,
        Self::SocketIdle,
    ];

    /// For people.
    pub const fn title(self) -> &'static str {
        match self {
            Self::BareGet => "bare GET, 110 B",
            Self::BarePost => "bare POST, empty",
            Self::BareFeed => "bare feed of 30, compared",
            Self::BareFeedRead => "bare feed of 30, read",
            Self::Fdatasync => "fdatasync after 4 KiB",
            Self::Hash => "Argon2id 19 MiB",
            Self::SocketEcho => "bare socket echo, 64 B",
            Self::SocketFan => "bare socket fan-out, 200 B",
            Self::SocketIdle => "bare socket, idle",
        }
    }

    /// Measures it once. `rate` is the open loop of the scenario, which the bare server is then asked in as well.
    pub async fn measure(self, bench: &Bench<'_>) -> anyhow::Result<CeilingRound> {
        let length = bench.length();
        match self {
            Self::Fdatasync => {
                let folder = bench.out.to_owned();
                tokio::task::spawn_blocking(move || sync_loop(&folder, length)).await?
            }
            Self::Hash => {
                let threads = bench.settings.hash_threads;
                tokio::task::spawn_blocking(move || hash_loop(threads, length)).await?
            }
            Self::SocketEcho => echo::measure(bench).await,
            Self::SocketFan => fan::measure(bench).await,
            Self::SocketIdle => echo::idle(bench).await,
            Self::BareGet | Self::BarePost | Self::BareFeed | Self::BareFeedRead => bench.ask(self, length).await,
        }
    }
}

/// What ceilings are measured with.
pub struct Bench<'a> {
    /// The bare server.
    pub bare: &'a Bare,
    /// As for the targets.
    pub settings: &'a Settings,
    /// As for the targets.
    pub driver: &'a Driver,
    /// As many as the scenario has.
    pub connections: usize,
    /// Bytes of a page of the target's feed, where the scenario has read one: the bare feed takes as many.
    pub page_bytes: Option<usize>,
    /// On the disk that is measured.
    pub out: &'a Path,
}

impl Bench<'_> {
    /// How long a ceiling is measured.
    pub fn length(&self) -> Duration {
        self.settings.duration.min(LONGEST)
    }

    async fn ask(&self, ceiling: Ceiling, length: Duration) -> anyhow::Result<CeilingRound> {
        let window = Window::after(
            self.settings.warm_up.min(Duration::from_secs(2)),
            length,
            self.settings.grace(),
        );
        let is_feed = matches!(ceiling, Ceiling::BareFeed | Ceiling::BareFeedRead);
        let bytes = self.page_bytes.filter(|_| is_feed);
        let feed = bytes.map_or(bare::FEED.to_owned(), |bytes| format!("{}?{bytes}", bare::FEED));
        let load = Load {
            target: Target::local(self.bare.address()),
            lanes: &["bare"],
            users: (0..self.connections)
                .map(|_| Asker {
                    ceiling,
                    feed: feed.clone(),
                    seen: None,
                })
                .collect(),
            pace: self
                .settings
                .rate
                .map_or(Pace::Closed, |per_second| Pace::Open { per_second }),
        };
        let sampling = procfs::sample(self.bare.pid(), window);
        let (driven, usage) = futures_util::future::join(self.driver.drive(load, window), sampling).await;
        let lane = &driven?.lanes[0];
        anyhow::ensure!(
            lane.error_count() == 0,
            "the bare server failed: {}",
            lane.failures.join("; ")
        );
        Ok(CeilingRound {
            per_second: float(lane.operations) / window.seconds(),
            p50: micros(lane.latency.value_at_quantile(0.5)),
            p99: micros(lane.latency.value_at_quantile(0.99)),
            cpu_micros: usage
                .as_ref()
                .map(|usage| ratio(float(usage.cpu_micros), float(lane.operations))),
            rss: usage.map(|usage| usage.rss_peak),
            bytes,
            rss_each: None,
        })
    }
}

struct Asker {
    ceiling: Ceiling,
    feed: String,
    seen: Option<Box<[u8]>>,
}

impl Asker {
    async fn ask(&mut self, connection: &mut Connection) -> Result<(), Failure> {
        match self.ceiling {
            Ceiling::BarePost => connection.post(bare::POST, "").await.and_then(Answer::ok).map(drop),
            Ceiling::BareFeed => {
                let body = connection.get(&self.feed).await.and_then(Answer::ok)?;
                if self.seen.as_deref() == Some(body) {
                    return Ok(());
                }
                read_feed(body)?;
                self.seen = Some(body.into());
                Ok(())
            }
            Ceiling::BareFeedRead => connection
                .get(&self.feed)
                .await
                .and_then(Answer::ok)
                .and_then(read_feed)
                .map(drop),
            _ => connection
                .get(bare::GET)
                .await
                .and_then(Answer::ok)
                .and_then(read_status),
        }
    }
}

impl Behaviour for Asker {
    async fn step(&mut self, connection: &mut Connection) -> Option<Step> {
        Some(Step::one(self.ask(connection).await))
    }
}

/// Nanoseconds, up to a minute.
fn latencies() -> anyhow::Result<Histogram<u64>> {
    Histogram::new_with_bounds(1, 60_000_000_000, 3).context("latencies can't be kept")
}

fn of_latencies(latencies: &Histogram<u64>, seconds: f64) -> CeilingRound {
    CeilingRound {
        per_second: ratio(float(latencies.len()), seconds),
        p50: micros(latencies.value_at_quantile(0.5)),
        p99: micros(latencies.value_at_quantile(0.99)),
        cpu_micros: None,
        rss: None,
        bytes: None,
        rss_each: None,
    }
}

fn sync_loop(folder: &Path, length: Duration) -> anyhow::Result<CeilingRound> {
    let mut file = tempfile::tempfile_in(folder).context("no file to sync")?;
    let (block, mut written) = ([0x5a_u8; 4096], 0);
    let mut seen = latencies()?;
    let begun = Instant::now();
    // At least once, however slow the disk is.
    loop {
        let before = Instant::now();
        append(&mut file, &block, &mut written)?;
        seen.saturating_record(nanos(before.elapsed()).max(1));
        if begun.elapsed() >= length {
            break;
        }
    }
    Ok(of_latencies(&seen, begun.elapsed().as_secs_f64()))
}

fn append(file: &mut File, block: &[u8], written: &mut u64) -> anyhow::Result<()> {
    if *written >= FILE_MAX {
        file.set_len(0)?;
        std::io::Seek::rewind(file)?;
        *written = 0;
    }
    file.write_all(block)?;
    rustix::fs::fdatasync(&*file).context("fdatasync failed")?;
    *written += block.len() as u64;
    Ok(())
}

fn hash_loop(threads: usize, length: Duration) -> anyhow::Result<CeilingRound> {
    let begun = Instant::now();
    let hasher = move || -> anyhow::Result<(Histogram<u64>, Duration)> {
        let mut seen = latencies()?;
        let cpu = thread_cpu();
        let (argon2, mut hash) = (argon2::Argon2::default(), [0_u8; 32]);
        // Kept from hash to hash: a server that hashes all day does not pay for getting it anew each time.
        let mut memory = vec![argon2::Block::default(); argon2.params().block_count()];
        // At least once, however busy the machine is.
        loop {
            let before = Instant::now();
            argon2
                .hash_password_into_with_memory(b"bench-password", b"sixteen bytes :)", &mut hash, &mut memory)
                .map_err(|error| anyhow::anyhow!("the hash failed: {error}"))?;
            seen.saturating_record(nanos(before.elapsed()).max(1));
            if begun.elapsed() >= length {
                break;
            }
        }
        Ok((seen, thread_cpu().saturating_sub(cpu)))
    };
    let running: Vec<_> = (0..threads.max(1)).map(|_| std::thread::spawn(hasher)).collect();
    let (mut all, mut seconds, mut cpu) = (latencies()?, Vec::new(), Duration::ZERO);
    for thread in running {
        let (latencies, used) = thread
            .join()
            .map_err(|_| anyhow::anyhow!("a thread that hashes panicked"))??;
        all.add(&latencies)?;
        cpu += used;
        seconds.push(begun.elapsed().as_secs_f64());
    }
    let round = of_latencies(&all, ratio(seconds.iter().sum(), float_len(seconds.len())));
    Ok(CeilingRound {
        cpu_micros: Some(ratio(micros(nanos(cpu)), float(all.len()))),
        ..round
    })
}

/// Processor time of this thread so far.
fn thread_cpu() -> Duration {
    let time = rustix::time::clock_gettime(rustix::time::ClockId::ThreadCPUTime);
    Duration::new(
        u64::try_from(time.tv_sec).unwrap_or_default(),
        u32::try_from(time.tv_nsec).unwrap_or_default(),
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn disk_and_hash_give_figures() {
        let folder = tempfile::tempdir().unwrap();
        let sync = sync_loop(folder.path(), Duration::from_millis(50)).unwrap();
        let hash = hash_loop(1, Duration::from_millis(50)).unwrap();
        // On a busy machine a hash takes longer than it works.
        assert!(hash.cpu_micros.is_some_and(|cpu| cpu > 100.0), "{hash:?}");
        for round in [sync, hash] {
            assert!(
                round.per_second > 0.0 && round.p50 > 0.0 && round.p99 >= round.p50,
                "{round:?}"
            );
        }
    }
}
