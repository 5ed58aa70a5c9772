//! What only the SQLite ledger must do: kills, a full disk, failing commits, foreign and newer files.

use std::io::{BufRead, BufReader, Write};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use diesel::connection::SimpleConnection;
use diesel::prelude::*;

use super::contract::{Limits, contract_suite, likes};
use super::{Ledger, LedgerError, OpenOptions, SqliteLedger, Sync};

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

pub(super) fn options() -> OpenOptions {
    OpenOptions::new("store-a")
}

pub(super) fn open(path: &Path) -> Result<SqliteLedger, LedgerError> {
    SqliteLedger::open(path, options())
}

pub(super) fn folder() -> (tempfile::TempDir, PathBuf) {
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

    super::damage::tamper(&path, "PRAGMA user_version = 2");
    assert_eq!(open(&path).err(), Some(LedgerError::Newer { found: 2, known: 1 }));
    super::damage::tamper(&path, "PRAGMA user_version = 0");
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
