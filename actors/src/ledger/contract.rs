//! What every ledger must do. An implementation calls [`contract_suite`] from a test of its own.

use ovation_schema::{UserId, VideoId};
use proptest::prelude::*;
use proptest::test_runner::TestRunner;

use super::{GROUP_MAX, Ledger, LedgerError, POSITION_MAX, dump};
use crate::like::{Entry, Like};

/// The bounds a test opens a ledger with.
#[derive(Debug, Clone, Copy)]
pub(super) struct Limits {
    pub(super) keep_flushed_ms: i64,
    pub(super) max_bytes: u64,
    pub(super) max_unflushed: u64,
}

/// Bounds no test meets by accident.
pub(super) const WIDE: Limits = Limits {
    keep_flushed_ms: 3_600_000,
    max_bytes: 1 << 30,
    max_unflushed: 2_000_000,
};

/// Opens the one ledger of a place; the one opened before is dropped by then.
pub(super) type Place = Box<dyn Fn(Limits) -> Box<dyn Ledger>>;

/// A like that differs from every other one with another number.
pub(super) fn like(number: i64) -> Like {
    Like {
        user: UserId(1 + number % 1000),
        video: VideoId(1 + number),
        author: UserId(7 + number),
        on: number % 2 == 0,
        was: [None, Some(false), Some(true)][usize::try_from(number % 3).unwrap()],
        at_ms: number,
    }
}

/// So many likes from this number on.
pub(super) fn likes(from: i64, count: i64) -> Vec<Like> {
    (from..from + count).map(like).collect()
}

/// Runs the whole suite; `place` makes a new empty place each time.
pub(super) fn contract_suite(place: impl Fn() -> Place) {
    appends_and_reads(&place());
    refuses_what_cannot_be(&place());
    keeps_positions_after_trimming_to_empty(&place());
    skips(&place());
    trims_whole_groups_by_time(&place());
    refuses_past_the_unflushed_bound(&place());
    trims_early_and_refuses_past_the_size(&place());
    sets_aside(&place());
    dumps(&place());
    follows_a_model(place);
}

fn appends_and_reads(place: &Place) {
    let mut ledger = place(WIDE);
    assert_eq!((ledger.last_position(), ledger.trimmed_to()), (0, 0));
    assert_eq!(ledger.read(0, 10).unwrap(), []);
    assert_eq!(ledger.append(&likes(0, 1)).unwrap(), 1..=1);
    assert_eq!(ledger.append(&likes(1, 64)).unwrap(), 2..=65);
    let id = ledger.id().to_owned();
    drop(ledger);

    let mut ledger = place(WIDE);
    assert_eq!(ledger.id(), id);
    assert_eq!(ledger.append(&likes(65, 5)).unwrap(), 66..=70);
    let all: Vec<Entry> = (1..=70)
        .map(|position| Entry {
            position,
            like: like(position - 1),
        })
        .collect();
    assert_eq!(ledger.read(0, 1000).unwrap(), all);
    assert_eq!(ledger.read(0, 70).unwrap(), all);
    // In the middle of a group, over the end of one, up to the end of one.
    assert_eq!(ledger.read(30, 20).unwrap(), all[30..50]);
    assert_eq!(ledger.read(60, 7).unwrap(), all[60..67]);
    assert_eq!(ledger.read(1, 64).unwrap(), all[1..65]);
    assert_eq!(ledger.read(65, 1).unwrap(), all[65..66]);
    assert_eq!(ledger.read(70, 1).unwrap(), []);
    assert_eq!(ledger.read(POSITION_MAX, 1).unwrap(), []);
    assert_eq!(ledger.read(0, 0).unwrap(), []);
}

fn refuses_what_cannot_be(place: &Place) {
    let mut ledger = place(WIDE);
    assert!(matches!(ledger.append(&[]), Err(LedgerError::Invalid(_))));
    let many = likes(0, i64::try_from(GROUP_MAX).unwrap() + 1);
    assert!(matches!(ledger.append(&many), Err(LedgerError::Invalid(_))));
    assert!(matches!(ledger.skip_to(POSITION_MAX + 1), Err(LedgerError::Invalid(_))));
    assert_eq!(ledger.last_position(), 0);
    assert_eq!(ledger.append(&many[1..]).unwrap(), 1..=16_384);
    ledger.skip_to(POSITION_MAX).unwrap();
    assert!(matches!(ledger.append(&likes(0, 1)), Err(LedgerError::Invalid(_))));
}

fn keeps_positions_after_trimming_to_empty(place: &Place) {
    let mut ledger = place(WIDE);
    ledger.append(&likes(0, 10)).unwrap();
    assert_eq!(ledger.trim(10, i64::MAX).unwrap(), 10);
    assert_eq!(ledger.read(10, 10).unwrap(), []);
    drop(ledger);

    let mut ledger = place(WIDE);
    assert_eq!((ledger.last_position(), ledger.trimmed_to()), (10, 10));
    assert_eq!(ledger.stat().unwrap().entries, 0);
    let gone = LedgerError::Trimmed {
        asked: 9,
        trimmed_to: 10,
    };
    assert_eq!(ledger.read(9, 10).unwrap_err(), gone);
    assert_eq!(ledger.append(&likes(10, 3)).unwrap(), 11..=13);
    drop(ledger);
    assert_eq!(place(WIDE).read(10, 10).unwrap().len(), 3);
}

fn skips(place: &Place) {
    let mut ledger = place(Limits {
        max_unflushed: 10,
        ..WIDE
    });
    ledger.append(&likes(0, 2)).unwrap();
    ledger.skip_to(1_000_000).unwrap();
    ledger.skip_to(5).unwrap();
    assert_eq!(ledger.last_position(), 1_000_000);
    drop(ledger);

    let mut ledger = place(Limits {
        max_unflushed: 10,
        ..WIDE
    });
    assert_eq!(ledger.last_position(), 1_000_000);
    // What was skipped does not wait for the store.
    assert_eq!(ledger.stat().unwrap().unflushed, 2);
    assert_eq!(ledger.append(&likes(2, 8)).unwrap(), 1_000_001..=1_000_008);
    assert!(matches!(ledger.append(&likes(2, 1)), Err(LedgerError::Full(_))));
    let positions: Vec<i64> = ledger.read(1, 3).unwrap().iter().map(|e| e.position).collect();
    assert_eq!(positions, [2, 1_000_001, 1_000_002]);
    ledger.trim(1_000_004, 0).unwrap();
    assert_eq!(ledger.stat().unwrap().unflushed, 4);
}

fn trims_whole_groups_by_time(place: &Place) {
    let mut ledger = place(Limits {
        keep_flushed_ms: 100,
        ..WIDE
    });
    for group in 0..3 {
        ledger.append(&likes(group * 10, 10)).unwrap(); // the latest times are 9, 19 and 29
    }
    assert_eq!(ledger.trim(15, 109).unwrap(), 0, "not a moment before its time");
    assert_eq!(ledger.stat().unwrap().unflushed, 15);
    assert_eq!(ledger.trim(15, 110).unwrap(), 10);
    assert_eq!(ledger.trim(15, 10_000).unwrap(), 0, "half a group is flushed: it stays");
    assert_eq!(ledger.trimmed_to(), 10);
    assert_eq!(ledger.trim(i64::MAX, 120).unwrap(), 10);
    // A database that forgot: what is kept waits for it again.
    assert_eq!(ledger.trim(0, 0).unwrap(), 0);
    let stat = ledger.stat().unwrap();
    assert_eq!((stat.entries, stat.groups, stat.unflushed), (10, 1, 10));
    assert_eq!(
        (stat.first, stat.last, stat.trimmed_to, stat.oldest_ms),
        (21, 30, 20, Some(29))
    );
    drop(ledger);
    assert_eq!(place(WIDE).stat().unwrap(), stat);
}

fn refuses_past_the_unflushed_bound(place: &Place) {
    let limits = Limits {
        max_unflushed: 100,
        ..WIDE
    };
    let mut ledger = place(limits);
    ledger.append(&likes(0, 90)).unwrap();
    assert!(matches!(ledger.append(&likes(90, 11)), Err(LedgerError::Full(_))));
    assert_eq!(ledger.append(&likes(90, 10)).unwrap(), 91..=100);
    drop(ledger);
    let mut ledger = place(limits);
    assert!(matches!(ledger.append(&likes(0, 1)), Err(LedgerError::Full(_))));
    ledger.trim(50, 0).unwrap();
    ledger.append(&likes(0, 50)).unwrap();
    assert!(matches!(ledger.append(&likes(0, 1)), Err(LedgerError::Full(_))));
    assert_eq!(ledger.read(0, 1000).unwrap().len(), 150);
}

fn trims_early_and_refuses_past_the_size(place: &Place) {
    let limits = Limits {
        max_bytes: 1 << 20,
        ..WIDE
    };
    let mut ledger = place(limits);
    let mut appended = 0;
    let error = loop {
        match ledger.append(&likes(appended, 256)) {
            Ok(_) => appended += 256,
            Err(error) => break error,
        }
        assert!(appended < 100_000, "the bound on the size does nothing");
    };
    assert!(matches!(error, LedgerError::Full(_)), "{error}");
    assert_eq!(ledger.trim(0, 0).unwrap(), 0, "what is not flushed is never in the way");
    let gone = ledger.trim(appended, 0).unwrap();
    assert!(gone > 0 && gone < appended.unsigned_abs(), "{gone} of {appended}");
    for _ in 0..10 {
        ledger.append(&likes(appended, 256)).unwrap();
    }
    let stat = ledger.stat().unwrap();
    assert!(stat.bytes < 1 << 20, "{stat:?}");
    // For ever: a steady flow with a store that keeps up never fills it.
    for _ in 0..400 {
        ledger.append(&likes(appended, 256)).unwrap();
        ledger.trim(ledger.last_position(), 0).unwrap();
    }
}

fn sets_aside(place: &Place) {
    let mut ledger = place(WIDE);
    ledger.append(&likes(0, 10)).unwrap();
    let entries = ledger.read(3, 2).unwrap();
    ledger.quarantine(&entries, "poison").unwrap();
    ledger.quarantine(&entries[1..], "still poison").unwrap();
    ledger.trim(10, i64::MAX).unwrap();
    drop(ledger);
    let mut ledger = place(WIDE);
    let aside = ledger.quarantined().unwrap();
    let seen: Vec<(Entry, &str)> = aside.iter().map(|q| (q.entry, q.reason.as_str())).collect();
    assert_eq!(seen, [(entries[0], "poison"), (entries[1], "still poison")]);
    assert_eq!(ledger.stat().unwrap().quarantined, 2);
}

fn dumps(place: &Place) {
    let mut ledger = place(WIDE);
    let mut text = Vec::new();
    assert_eq!(dump(ledger.as_mut(), &mut text).unwrap(), 0);
    for _ in 0..2 {
        ledger.append(&likes(0, 12_000)).unwrap();
    }
    assert_eq!(dump(ledger.as_mut(), &mut text).unwrap(), 24_000);
    let text = String::from_utf8(text).unwrap();
    assert_eq!(text.lines().count(), 24_000);
    let line = r#"{"position":12002,"user":2,"video":2,"author":8,"on":false,"was":false,"at_ms":1}"#;
    assert_eq!(text.lines().nth(12_001), Some(line));
}

#[derive(Debug, Clone)]
enum Step {
    Append(i64),
    Trim(i64, i64),
    Skip(i64),
    Reopen,
}

fn step() -> impl Strategy<Value = Step> {
    prop_oneof![
        4 => (1..40i64).prop_map(Step::Append),
        2 => (0..300i64, 0..400i64).prop_map(|(flushed, now)| Step::Trim(flushed, now)),
        1 => (0..300i64).prop_map(Step::Skip),
        1 => Just(Step::Reopen),
    ]
}

/// Random steps beside a plain list of groups.
fn follows_a_model(place: impl Fn() -> Place) {
    let limits = Limits {
        keep_flushed_ms: 50,
        ..WIDE
    };
    let mut runner = TestRunner::new(ProptestConfig {
        cases: 48,
        failure_persistence: None,
        ..ProptestConfig::default()
    });
    let run = |steps: Vec<Step>| {
        let place = place();
        let mut ledger = Some(place(limits));
        let (mut model, mut last, mut trimmed) = (Vec::<Vec<Entry>>::new(), 0, 0);
        for step in steps {
            let open = ledger.as_mut().unwrap();
            match step {
                Step::Append(count) => {
                    let new = likes(last, count);
                    let positions = open.append(&new).unwrap();
                    prop_assert_eq!(&positions, &(last + 1..=last + count));
                    last += count;
                    model.push(
                        positions
                            .zip(new)
                            .map(|(position, like)| Entry { position, like })
                            .collect(),
                    );
                }
                Step::Trim(flushed, now) => {
                    let stays = |group: &Vec<Entry>| {
                        let latest = group.iter().map(|entry| entry.like.at_ms).max().unwrap();
                        group.last().unwrap().position > flushed || now - latest <= 50
                    };
                    let cut = model.iter().position(stays).unwrap_or(model.len());
                    let gone: Vec<Entry> = model.drain(..cut).flatten().collect();
                    trimmed = gone.last().map_or(trimmed, |entry| entry.position);
                    prop_assert_eq!(open.trim(flushed, now).unwrap(), gone.len() as u64);
                }
                Step::Skip(position) => {
                    open.skip_to(position).unwrap();
                    last = last.max(position);
                }
                Step::Reopen => {
                    drop(ledger.take());
                    ledger = Some(place(limits));
                }
            }
            let open = ledger.as_mut().unwrap();
            prop_assert_eq!((open.last_position(), open.trimmed_to()), (last, trimmed));
            let kept: Vec<Entry> = model.iter().flatten().copied().collect();
            prop_assert_eq!(open.read(trimmed, usize::MAX).unwrap(), kept);
        }
        Ok(())
    };
    runner.run(&proptest::collection::vec(step(), 1..25), run).unwrap();
}
