//! What a process and its threads used: processor time and memory, from `/proc`.
//!
//! Owns the reading and the sampling. Only Linux has these files; elsewhere the figures are absent, never zero.

use std::fs;
use std::time::{Duration, Instant};

use serde::{Deserialize, Serialize};

use crate::stats::Window;

/// Between two samples.
const EVERY: Duration = Duration::from_millis(100);

/// What a process has used so far.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Reading {
    /// Processor time of all threads, user and system, in microseconds. The kernel counts it in ticks of 10 ms.
    pub cpu_micros: u64,
    /// Resident memory in bytes.
    pub rss: u64,
}

/// Reads a process; `None` when it is gone or there is no `/proc`.
pub fn read(pid: u32) -> Option<Reading> {
    let stat = fs::read_to_string(format!("/proc/{pid}/stat")).ok()?;
    let statm = fs::read_to_string(format!("/proc/{pid}/statm")).ok()?;
    let page = u64::try_from(rustix::param::page_size()).ok()?;
    parse(&stat, &statm, rustix::param::clock_ticks_per_second(), page)
}

/// Processor time of the threads whose names begin so, in microseconds; `None` where there is no such thread.
fn read_threads(pid: u32, names: &str) -> Option<u64> {
    let tick = 1_000_000 / rustix::param::clock_ticks_per_second().max(1);
    let threads = fs::read_dir(format!("/proc/{pid}/task")).ok()?;
    let times = threads.flatten().filter_map(|thread| {
        // One that ended meanwhile has no file any more.
        let stat = fs::read_to_string(thread.path().join("stat")).ok()?;
        let (_, name) = stat.rsplit_once(')')?.0.split_once('(')?;
        name.starts_with(names).then(|| ticks(&stat))?
    });
    times.reduce(|all, one| all + one).map(|ticks| ticks * tick)
}

/// Processor time of threads in a window, by how their names begin. `None` where they could not be read at both ends.
pub async fn sample_threads(pid: u32, names: &str, window: Window) -> Option<u64> {
    sleep_until(window.start).await;
    let before = read_threads(pid, names)?;
    sleep_until(window.end).await;
    Some(read_threads(pid, names)?.saturating_sub(before))
}

/// proc(5): of `stat` the fields 14 and 15, behind the name that may hold anything.
fn ticks(stat: &str) -> Option<u64> {
    let (_, fields) = stat.rsplit_once(')')?;
    let mut times = fields.split_ascii_whitespace().skip(11);
    Some(times.next()?.parse::<u64>().ok()? + times.next()?.parse::<u64>().ok()?)
}

/// proc(5): the ticks of `stat`; of `statm` the second field.
fn parse(stat: &str, statm: &str, ticks_per_second: u64, page: u64) -> Option<Reading> {
    let ticks = ticks(stat)?;
    let pages = statm.split_ascii_whitespace().nth(1)?.parse::<u64>().ok()?;
    Some(Reading {
        cpu_micros: ticks * 1_000_000 / ticks_per_second.max(1),
        rss: pages * page,
    })
}

/// What a process used in a window.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub struct Usage {
    /// Processor time of the window in microseconds.
    pub cpu_micros: u64,
    /// The largest resident memory seen in the window, in bytes.
    pub rss_peak: u64,
    /// Cores in use, second by second.
    pub cores: Vec<f64>,
    /// Resident memory at the end of each second, in bytes.
    pub rss: Vec<u64>,
}

/// Samples a process over a window. `None` when it could not be read at both ends.
pub async fn sample(pid: u32, window: Window) -> Option<Usage> {
    sleep_until(window.start).await;
    let first = read(pid)?;
    let mut usage = Usage {
        rss_peak: first.rss,
        ..Usage::default()
    };
    let (mut second, mut last, mut at) = (Duration::from_secs(1), (window.start, first), window.start);
    while at < window.end {
        at = (at + EVERY).min(window.end);
        sleep_until(at).await;
        let (now, reading) = (Instant::now(), read(pid)?);
        usage.rss_peak = usage.rss_peak.max(reading.rss);
        if at >= window.start + second || at == window.end {
            let micros = reading.cpu_micros.saturating_sub(last.1.cpu_micros);
            let cores = crate::units::ratio(crate::units::float(micros) / 1e6, (now - last.0).as_secs_f64());
            usage.cores.push(cores);
            usage.rss.push(reading.rss);
            usage.cpu_micros += micros;
            (second, last) = (second + Duration::from_secs(1), (now, reading));
        }
    }
    Some(usage)
}

async fn sleep_until(at: Instant) {
    tokio::time::sleep_until(at.into()).await;
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn hostile_names_do_not_shift_the_fields() {
        let stat = "7 (a) b (c) R 1 1 1 0 -1 4194560 1 2 3 4 250 50 0 0 20 0 4 0 100 1000 200 184467";
        let reading = parse(stat, "900 200 100 1 0 300 0", 100, 4096).unwrap();
        assert_eq!((reading.cpu_micros, reading.rss), (3_000_000, 200 * 4096));
        assert_eq!(parse("nothing", "", 100, 4096), None);
    }

    #[test]
    fn this_process_can_be_read_and_no_other() {
        assert!(read(std::process::id()).unwrap().rss > 100_000);
        assert_eq!(read(u32::MAX), None);
    }

    #[actix::test]
    async fn a_threads_work_is_told_by_its_name() {
        let own = || {
            let time = rustix::time::clock_gettime(rustix::time::ClockId::ThreadCPUTime);
            Duration::new(time.tv_sec.unsigned_abs(), u32::try_from(time.tv_nsec).unwrap())
        };
        let (done, worked) = std::sync::mpsc::channel();
        let (stop, stopped) = std::sync::mpsc::channel::<()>();
        let work = std::thread::Builder::new().name("bench-test-7".to_owned());
        let work = work
            .spawn(move || {
                while own() < Duration::from_millis(100) {}
                done.send(()).unwrap();
                // Alive until it was looked at.
                let _ = stopped.recv();
            })
            .unwrap();
        worked.recv().unwrap();
        let micros = read_threads(std::process::id(), "bench-test-").unwrap();
        assert!((60_000..=200_000).contains(&micros), "{micros}");
        let window = Window::after(Duration::ZERO, Duration::from_millis(10), Duration::ZERO);
        assert_eq!(sample_threads(std::process::id(), "bench-test-", window).await, Some(0));
        assert_eq!(sample_threads(std::process::id(), "nobody", window).await, None);
        drop(stop);
        work.join().unwrap();
    }

    #[actix::test]
    async fn work_shows_as_processor_time() {
        let window = Window::after(Duration::ZERO, Duration::from_millis(300), Duration::ZERO);
        let work = std::thread::spawn(move || while Instant::now() < window.end {});
        let usage = sample(std::process::id(), window).await.unwrap();
        work.join().unwrap();
        // One tick at least, however many share the cores.
        assert!(usage.cpu_micros >= 10_000, "{usage:?}");
        assert_eq!((usage.cores.len(), usage.rss.len()), (1, 1));
    }
}
