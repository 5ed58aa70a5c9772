//! How fast it is. Nothing is asserted: the numbers depend on the disk and on who else uses it.

use std::time::{Duration, Instant};

use super::contract::likes;
use super::tests::{folder, options};
use super::{Ledger, OpenOptions, SqliteLedger, Sync};

#[test]
#[ignore = "a measurement: cargo test --release -p ovation-actors -- --ignored --nocapture measures_"]
fn measures_appends() {
    for (sync, size, groups) in [
        (Sync::Always, 1, 3_000),
        (Sync::Always, 64, 3_000),
        (Sync::Always, 256, 3_000),
        (Sync::Os, 1, 20_000),
        (Sync::Os, 64, 10_000),
        (Sync::Os, 256, 5_000),
    ] {
        let (_folder, path) = folder();
        let mut ledger = SqliteLedger::open(&path, OpenOptions { sync, ..options() }).unwrap();
        let batch = likes(0, size.into());
        let mut times: Vec<Duration> = (0..groups)
            .map(|_| {
                let start = Instant::now();
                ledger.append(&batch).unwrap();
                start.elapsed()
            })
            .collect();
        let total: Duration = times.iter().sum();
        times.sort_unstable();
        let at = |share: usize| times[(times.len() - 1) * share / 1000];
        let wal = std::fs::metadata(path.with_extension("db-wal")).unwrap().len();
        println!(
            "{sync:?}, groups of {size}: {:.0} groups/s, {:.0} likes/s, p50 {:?}, p99 {:?}, p99.9 {:?}, max {:?}, the WAL {wal} bytes",
            f64::from(groups) / total.as_secs_f64(),
            f64::from(groups) * f64::from(size) / total.as_secs_f64(),
            at(500),
            at(990),
            at(999),
            at(1000),
        );
    }
}

#[test]
#[ignore = "a measurement: cargo test --release -p ovation-actors -- --ignored --nocapture measures_"]
fn measures_loading() {
    for size in [256, 64, 1] {
        let (_folder, path) = folder();
        let quick = OpenOptions {
            sync: Sync::Os,
            ..options()
        };
        let mut ledger = SqliteLedger::open(&path, quick.clone()).unwrap();
        for _ in 0..1_000_000 / size {
            ledger.append(&likes(0, size.into())).unwrap();
        }
        let bytes = ledger.stat().unwrap().bytes;
        drop(ledger);
        let start = Instant::now();
        let mut ledger = SqliteLedger::open(&path, quick).unwrap();
        let opened = start.elapsed();
        let start = Instant::now();
        let count = ledger.read(0, 1_000_000).unwrap().len();
        let read = start.elapsed();
        let (start, last) = (Instant::now(), ledger.last_position());
        let (mut longest, mut calls) = (Duration::ZERO, 0);
        loop {
            let start = Instant::now();
            let gone = ledger.trim(last, i64::MAX).unwrap();
            (longest, calls) = (longest.max(start.elapsed()), calls + 1);
            if gone == 0 {
                break;
            }
        }
        println!(
            "{count} entries in groups of {size}, {bytes} bytes: open with verification {opened:?}, read {read:?}, \
             trimmed in {calls} calls, {:?}, the longest {longest:?}",
            start.elapsed()
        );
    }
}
