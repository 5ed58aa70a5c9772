//! Damage of every kind, and what repair makes of it.

use std::path::Path;

use diesel::connection::SimpleConnection;
use diesel::prelude::*;

use super::contract::likes;
use super::tests::{folder, open, options};
use super::{Ledger, LedgerError, OpenOptions, SqliteLedger, Sync};
use crate::like::Entry;

/// Changes the file behind the ledger's back.
pub(super) fn tamper(path: &Path, sql: &str) {
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
