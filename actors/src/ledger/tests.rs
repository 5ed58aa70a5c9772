//! What only the SQLite ledger must do: kills, damage, repair, a full disk, foreign and newer files, and the measurements.

use std::io::{BufRead, BufReader, Write};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use diesel::connection::SimpleConnection;
use diesel::prelude::*;

use super::contract::{Limits, contract_suite, likes};
use super::{Ledger, LedgerError, OpenOptions, SqliteLedger, Sync};
use crate::like::Entry;

/// A COMMIT that reports an I/O error.
#[derive(Debug, Clone, Copy)]
pub(super) enum Fault {
    /// Though it is done.
    AfterCommit,
    /// And it is not done.
    InsteadOfCommit,
}

impl Fault {
    pub(super) fn commit(self, connection: &mut SqliteConnection) -> QueryResult<()> {
        if matches!(self, Self::AfterCommit) {
            connection.batch_execute("COMMIT")?;
        }
        Err(diesel::result::Error::RollbackTransaction)
    }
}

fn options() -> OpenOptions {
    OpenOptions::new("store-a")
}

fn open(path: &Path) -> Result<SqliteLedger, LedgerError> {
    SqliteLedger::open(path, options())
}

fn folder() -> (tempfile::TempDir, PathBuf) {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("ledger.db");
    (folder, path)
}

fn contract(sync: Sync) {
    contract_suite(|| {
        let (folder, path) = folder();
        Box::new(move |limits: Limits| {
            let _ = &folder;
            let options = OpenOptions {
                sync,
                keep_flushed_ms: limits.keep_flushed_ms,
                max_bytes: limits.max_bytes,
                max_unflushed: limits.max_unflushed,
                ..options()
            };
            Box::new(SqliteLedger::open(&path, options).unwrap())
        })
    });
}

#[test]
fn keeps_the_contract_with_a_sync_a_group() {
    contract(Sync::Always);
}

#[test]
fn keeps_the_contract_without_syncs() {
    contract(Sync::Os);
}

#[test]
fn a_second_opener_is_refused_until_the_first_is_gone() {
    let (_folder, path) = folder();
    let first = open(&path).unwrap();
    assert_eq!(open(&path).err(), Some(LedgerError::InUse));
    assert_eq!(SqliteLedger::open_any(&path).err(), Some(LedgerError::InUse));
    assert_eq!(SqliteLedger::repair(&path).err(), Some(LedgerError::InUse));
    drop(first);
    open(&path).unwrap();
}

#[test]
fn a_ledger_of_another_store_a_newer_one_and_other_files_are_refused() {
    let (_folder, path) = folder();
    assert!(matches!(
        SqliteLedger::open_any(&path),
        Err(LedgerError::Unavailable(_))
    ));
    assert!(!path.exists(), "looking makes nothing");
    open(&path).unwrap().append(&likes(0, 3)).unwrap();
    let error = SqliteLedger::open(&path, OpenOptions::new("store-b")).err().unwrap();
    assert!(matches!(&error, LedgerError::Foreign { theirs, ours } if theirs == "store-a" && ours == "store-b"));
    assert_eq!(SqliteLedger::open_any(&path).unwrap().store_id(), "store-a");

    tamper(&path, "PRAGMA user_version = 2");
    assert_eq!(open(&path).err(), Some(LedgerError::Newer { found: 2, known: 1 }));
    tamper(&path, "PRAGMA user_version = 0");
    assert!(
        matches!(open(&path), Err(LedgerError::Damaged { .. })),
        "tables, but no version"
    );
    std::fs::write(&path, [b'x'; 8192]).unwrap();
    assert!(
        matches!(open(&path), Err(LedgerError::Damaged { .. })),
        "no SQLite file"
    );
}

/// Changes the file behind the ledger's back.
fn tamper(path: &Path, sql: &str) {
    let mut connection = SqliteConnection::establish(path.to_str().unwrap()).unwrap();
    connection.batch_execute(sql).unwrap();
}

/// Five groups of ten.
fn five(path: &Path) -> Vec<Entry> {
    let mut ledger = open(path).unwrap();
    for group in 0..5 {
        ledger.append(&likes(group * 10, 10)).unwrap();
    }
    ledger.read(0, 100).unwrap()
}

#[test]
fn damage_of_any_kind_is_found_in_every_group_and_repaired_up_to_it() {
    let kinds = [
        (
            "a byte",
            "UPDATE groups SET body = CAST(substr(body, 1, 99) || x'7F' || substr(body, 101) AS BLOB)",
        ),
        ("torn", "UPDATE groups SET body = substr(body, 1, 100)"),
        (
            "its last entry",
            "UPDATE groups SET body = substr(body, 1, 297), last = last - 1",
        ),
        ("its time", "UPDATE groups SET at_ms = at_ms + 1"),
        ("its checksum", "UPDATE groups SET checksum = zeroblob(32)"),
        ("its start", "UPDATE groups SET first = first + 1"),
        ("gone", "DELETE FROM groups"),
    ];
    for (kind, sql) in kinds {
        for group in 0..5 {
            let (_folder, path) = folder();
            let all = five(&path);
            tamper(&path, &format!("{sql} WHERE last = {}", group * 10 + 10));
            let error = open(&path).err();
            let sound_to = group * 10;
            assert!(
                matches!(error, Some(LedgerError::Damaged { position, .. }) if position == sound_to),
                "{kind} in group {group}: {error:?}"
            );
            assert!(error.unwrap().to_string().contains("ovation ledger repair"));

            let report = SqliteLedger::repair(&path).unwrap();
            let there = if kind == "gone" { 4 } else { 5 };
            assert!(!report.is_sound());
            assert_eq!(
                (report.sound_to, report.last),
                (sound_to, 50),
                "{kind} in group {group}"
            );
            assert_eq!(
                report.rejected_groups,
                (there - group).unsigned_abs(),
                "{kind} in group {group}"
            );
            assert_eq!(report.rejected.len(), usize::try_from(there - group).unwrap());
            let mut ledger = open(&path).unwrap();
            assert_eq!(ledger.read(0, 100).unwrap(), all[..usize::try_from(sound_to).unwrap()]);
            assert_eq!(ledger.stat().unwrap().rejected_groups, report.rejected_groups);
            assert_eq!(
                ledger.append(&likes(0, 2)).unwrap(),
                51..=52,
                "positions never come twice"
            );
            ledger.check().unwrap();
            drop(ledger);
            assert!(SqliteLedger::repair(&path).unwrap().is_sound());
        }
    }
}

#[test]
fn whichever_byte_of_the_file_changes_nothing_false_is_read() {
    let (_folder, path) = folder();
    let all = five(&path);
    let sound = std::fs::read(&path).unwrap();
    let (mut refused, mut repaired) = (0, 0);
    for place in (0..sound.len()).step_by(61) {
        let mut bytes = sound.clone();
        bytes[place] ^= 0x41;
        std::fs::write(&path, &bytes).unwrap();
        let quick = || OpenOptions {
            sync: Sync::Os,
            ..options()
        };
        if let Ok(mut ledger) = SqliteLedger::open(&path, quick()) {
            assert_eq!(ledger.read(0, 100).unwrap(), all, "byte {place}");
            assert_eq!(
                ledger.append(&likes(0, 1)).map(|to| *to.start() > 50),
                Ok(true),
                "byte {place}"
            );
        } else {
            refused += 1;
            if SqliteLedger::repair(&path).is_ok()
                && let Ok(mut ledger) = SqliteLedger::open(&path, quick())
            {
                repaired += 1;
                assert!(
                    all.starts_with(&ledger.read(ledger.trimmed_to(), 100).unwrap()),
                    "byte {place}"
                );
            }
        }
        let _ = std::fs::remove_file(path.with_extension("db-wal"));
    }
    assert!(
        refused > 20 && repaired > 10,
        "{refused} refused, {repaired} of them repaired"
    );
}

#[test]
fn damage_is_found_in_what_is_flushed_too_when_it_is_read_or_checked() {
    let (_folder, path) = folder();
    five(&path);
    open(&path).unwrap().trim(35, 0).unwrap();
    tamper(&path, "UPDATE groups SET body = zeroblob(330) WHERE last = 20");
    let mut ledger = open(&path).unwrap();
    assert!(matches!(ledger.check(), Err(LedgerError::Damaged { position: 10, .. })));
    assert!(matches!(
        ledger.read(0, 50),
        Err(LedgerError::Damaged { position: 10, .. })
    ));
    assert_eq!(ledger.read(20, 50).unwrap().len(), 30);
}

#[test]
fn the_chain_goes_on_over_what_was_trimmed() {
    let (_folder, path) = folder();
    five(&path);
    open(&path).unwrap().trim(20, i64::MAX).unwrap();
    // The whole of another ledger's group in the place of ours.
    tamper(&path, "UPDATE state SET trimmed_to = 19");
    assert!(matches!(open(&path), Err(LedgerError::Damaged { .. })));
    tamper(&path, "UPDATE state SET trimmed_to = 20");
    open(&path).unwrap().check().unwrap();
    tamper(&path, "UPDATE state SET trimmed_checksum = zeroblob(32)");
    assert!(matches!(open(&path), Err(LedgerError::Damaged { position: 20, .. })));
}

#[test]
fn a_group_of_another_ledger_does_not_fit() {
    let ((_one, ours), (_two, theirs)) = (folder(), folder());
    five(&ours);
    five(&theirs);
    let path = theirs.to_str().unwrap();
    let swap = "DELETE FROM groups WHERE last = 10; INSERT INTO groups SELECT * FROM other.groups WHERE last = 10";
    tamper(&ours, &format!("ATTACH '{path}' AS other; {swap}"));
    assert!(matches!(open(&ours), Err(LedgerError::Damaged { position: 0, .. })));
}

#[test]
fn a_stray_group_among_the_trimmed_ones_is_set_aside() {
    let (_folder, path) = folder();
    five(&path);
    open(&path).unwrap().trim(20, i64::MAX).unwrap();
    tamper(
        &path,
        "INSERT INTO groups SELECT 5, 1, at_ms, checksum, body FROM groups WHERE last = 30",
    );
    assert!(matches!(open(&path), Err(LedgerError::Damaged { .. })));
    let report = SqliteLedger::repair(&path).unwrap();
    assert_eq!((report.sound_to, report.rejected_groups, report.entries), (50, 1, 30));
    open(&path).unwrap().check().unwrap();
}

#[test]
fn a_commit_whose_end_is_not_known_makes_the_ledger_unusable_until_it_is_opened_anew() {
    for (fault, there) in [(Fault::AfterCommit, 20), (Fault::InsteadOfCommit, 10)] {
        let (_folder, path) = folder();
        let mut ledger = open(&path).unwrap();
        ledger.append(&likes(0, 10)).unwrap();
        ledger.fault = Some(fault);
        assert!(matches!(ledger.append(&likes(10, 10)), Err(LedgerError::Unsure(_))));
        assert!(matches!(ledger.append(&likes(20, 1)), Err(LedgerError::Unsure(_))));
        assert!(matches!(ledger.read(0, 1), Err(LedgerError::Unsure(_))));
        assert!(matches!(ledger.trim(1, 1), Err(LedgerError::Unsure(_))));
        drop(ledger);
        let mut ledger = open(&path).unwrap();
        assert_eq!(ledger.read(0, 100).unwrap().len(), there, "{fault:?}");
        ledger.append(&likes(30, 1)).unwrap();
    }
}

#[test]
fn a_file_at_its_limit_refuses_loses_nothing_and_goes_on_when_there_is_room() {
    let (_folder, path) = folder();
    let mut ledger = open(&path).unwrap();
    // SQLite's own limit ends in the same error as a full disk, at another place.
    ledger.execute("PRAGMA max_page_count = 40");
    let error = append_until_refused(&mut ledger);
    assert!(
        matches!(&error, LedgerError::Unavailable(words) if words.contains("full")),
        "{error:?}"
    );
    let last = ledger.last_position();
    assert_eq!(
        ledger.read(0, usize::MAX).unwrap().len(),
        usize::try_from(last).unwrap()
    );
    ledger.execute("PRAGMA max_page_count = 100000");
    assert_eq!(*ledger.append(&likes(0, 256)).unwrap().start(), last + 1);
    drop(ledger);
    assert_eq!(open(&path).unwrap().last_position(), last + 256);
}

fn append_until_refused(ledger: &mut SqliteLedger) -> LedgerError {
    loop {
        if let Err(error) = ledger.append(&likes(0, 256)) {
            return error;
        }
        assert!(ledger.last_position() < 1_000_000, "nothing ever refused");
    }
}

/// A tmpfs of its own, gone with the test.
struct SmallDisk(tempfile::TempDir);

impl SmallDisk {
    fn new() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let mount = Command::new("mount")
            .args(["-t", "tmpfs", "-o", "size=2m", "tmpfs"])
            .arg(folder.path())
            .status();
        assert!(mount.unwrap().success(), "mounting needs root");
        Self(folder)
    }
}

impl Drop for SmallDisk {
    fn drop(&mut self) {
        let _ = Command::new("umount").arg(self.0.path()).status();
    }
}

#[test]
#[ignore = "needs root, to mount a small tmpfs: cargo test -p ovation-actors -- --ignored a_full_disk"]
fn a_full_disk_refuses_loses_nothing_and_goes_on_when_there_is_room() {
    let disk = SmallDisk::new();
    let (path, ballast) = (disk.0.path().join("ledger.db"), disk.0.path().join("ballast"));
    let mut ledger = open(&path).unwrap();
    for round in 0..3 {
        // Takes what is left, so that each round meets the end at another place.
        let mut file = std::fs::File::create(&ballast).unwrap();
        let _ = file.write_all(&vec![1; 600_000 + round * 1_777]);
        drop(file);
        let error = append_until_refused(&mut ledger);
        assert!(matches!(error, LedgerError::Unavailable(_)), "{error:?}");
        let last = ledger.last_position();
        assert!(matches!(
            ledger.append(&likes(0, 256)),
            Err(LedgerError::Unavailable(_))
        ));
        assert_eq!(
            ledger
                .read(ledger.trimmed_to(), usize::MAX)
                .unwrap()
                .last()
                .unwrap()
                .position,
            last
        );
        std::fs::remove_file(&ballast).unwrap();
        assert_eq!(*ledger.append(&likes(0, 256)).unwrap().start(), last + 1);
        let last = ledger.last_position();
        drop(ledger);
        ledger = open(&path).unwrap();
        assert_eq!(ledger.last_position(), last);
        ledger.trim(last, i64::MAX).unwrap();
    }
}

const CHILD: &str = "OVATION_LEDGER_CHILD";

/// Not a test of its own: what the next one kills.
#[test]
#[ignore = "started by `everything_acknowledged_survives_kill_9`"]
fn child_appends() {
    let Ok(path) = std::env::var(CHILD) else { return };
    let mut ledger = open(Path::new(&path)).unwrap();
    let mut out = std::io::stdout();
    for number in 0.. {
        let first = ledger.last_position();
        let done = ledger.append(&likes(first, 1 + number % 300)).unwrap();
        if number % 40 == 39 {
            ledger.trim(first - 500, i64::MAX).unwrap();
        }
        // One write, so that no line is half.
        out.write_all(format!("\nack {}\n", done.end()).as_bytes()).unwrap();
        out.flush().unwrap();
    }
}

#[test]
fn everything_acknowledged_survives_kill_9() {
    let (_folder, path) = folder();
    let mut acknowledged = 0;
    for cycle in 0..8 {
        let mut child = Command::new(std::env::current_exe().unwrap())
            .args(["--exact", "ledger::tests::child_appends", "--ignored", "--nocapture"])
            .env(CHILD, &path)
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .spawn()
            .unwrap();
        let mut acks = 0;
        for line in BufReader::new(child.stdout.take().unwrap()).lines() {
            if let Some(position) = line.unwrap().strip_prefix("ack ") {
                acknowledged = position.parse().unwrap();
                acks += 1;
                if acks == 50 + cycle * 37 {
                    child.kill().unwrap(); // what is in the pipe still counts
                }
            }
        }
        child.wait().unwrap();
        assert!(acks >= 50 + cycle * 37, "the child ended by itself");
        let mut ledger = open(&path).unwrap();
        ledger.check().unwrap();
        assert!(ledger.last_position() >= acknowledged);
        let entries = ledger.read(ledger.trimmed_to(), usize::MAX).unwrap();
        assert_eq!(entries.last().unwrap().position, ledger.last_position());
        for (entry, position) in entries.iter().zip(ledger.trimmed_to() + 1..) {
            assert_eq!(
                (entry.position, entry.like),
                (position, super::contract::like(position - 1))
            );
        }
    }
}

#[test]
#[ignore = "a measurement: cargo test --release -p ovation-actors -- --ignored --nocapture measures_"]
fn measures_appends_and_loading() {
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
        let batch = likes(0, size);
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
        println!(
            "{sync:?}, groups of {size}: {:.0} groups/s, {:.0} likes/s, p50 {:?}, p99 {:?}, p99.9 {:?}, max {:?}",
            f64::from(groups) / total.as_secs_f64(),
            f64::from(groups) * size as f64 / total.as_secs_f64(),
            at(500),
            at(990),
            at(999),
            at(1000),
        );
    }
    for size in [1, 64, 256] {
        let (_folder, path) = folder();
        let quick = OpenOptions {
            sync: Sync::Os,
            ..options()
        };
        let mut ledger = SqliteLedger::open(&path, quick.clone()).unwrap();
        for _ in 0..1_000_000 / size {
            ledger.append(&likes(0, size)).unwrap();
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
