//! The store and the ledger fail.

use super::fakes::Fault;
use super::storm::futures;
use super::*;
use crate::counters::{FlushError, FlushProblem};
use crate::ledger::LedgerError;

#[test]
fn while_the_store_hangs_known_videos_are_liked_and_nobody_known_waits() {
    run(async {
        let (ledger, store) = (FakeLedger::default(), FakeStore::default());
        let running = Running::start(&ledger, &store).await;
        running.set(1, 7, true).await.unwrap();
        store.server().fault = Some(Fault::Hangs);
        let began = tokio::time::Instant::now();
        let known = async {
            assert_eq!(running.set(1, 7, false).await, Ok(Outcome::Changed));
            began.elapsed()
        };
        let (wish, unknown, known) = tokio::join!(running.set(2, 7, true), running.set(2, 8, true), known);
        assert_eq!(known, Duration::ZERO, "a known pair does not wait for the look-up");
        assert_eq!(wish, Ok(Outcome::Changed), "the author is known");
        assert_eq!(unknown, Err(CountersError::Unavailable));
        assert_eq!(began.elapsed(), Settings::default().look_up_deadline);
        assert_eq!(ledger.disk().entries[2].like.was, None);
        pass(Duration::from_secs(100)).await;
        assert_eq!(running.counters.status().problem, Some(FlushProblem::Late));
        assert_eq!(running.counters.status().waiting, 3);
        store.server().fault = None;
        pass(Duration::from_secs(61)).await;
        let status = running.counters.status();
        assert_eq!((status.waiting, status.problem, status.failures), (0, None, 0));
        assert_eq!(store.rows().video_count(7), 1);
    });
}

/// Counts the doubts.
struct Doubts(Arc<std::sync::atomic::AtomicUsize>);

impl crate::counters::Listener for Doubts {
    fn liked(&self, _: &[crate::Entry]) {}
    fn told(&self, _: &[ovation_schema::streams::Event]) {}
    fn doubt(&self) {
        self.0.fetch_add(1, std::sync::atomic::Ordering::SeqCst);
    }
}

#[test]
fn a_commit_that_shows_later_is_doubted_when_it_shows() {
    run(async {
        let (ledger, store) = (FakeLedger::default(), FakeStore::default());
        let running = Running::start(&ledger, &store).await;
        let doubts = Arc::default();
        running.counters.listen(Doubts(Arc::clone(&doubts)));
        let taken = || doubts.swap(0, std::sync::atomic::Ordering::SeqCst);
        store.server().flush_fault = Some(Fault::LostAnswer);
        running.set(1, 7, true).await.unwrap();
        assert!(running.counters.flush_now().await.is_err());
        assert_eq!(taken(), 1, "it may have been committed");
        // Whoever looked into that doubt may have come before the commit.
        running.counters.flush_now().await.unwrap();
        assert_eq!((taken(), store.rows().video_count(7)), (1, 1));
        running.set(1, 7, false).await.unwrap();
        running.counters.flush_now().await.unwrap();
        assert_eq!(taken(), 0);
    });
}

#[test]
fn a_wish_that_was_so_already_is_counted_once() {
    run(async {
        let (ledger, store) = (FakeLedger::default(), FakeStore::default());
        store.server().rows.pairs.insert((2, 7));
        store.server().rows.counts.insert(7, 1);
        let running = Running::start(&ledger, &store).await;
        running.set(1, 7, true).await.unwrap();
        store.server().fault = Some(Fault::Away);
        assert_eq!(running.set(2, 7, true).await, Ok(Outcome::Changed));
        store.server().fault = None;
        running.counters.flush_now().await.unwrap();
        assert_eq!((running.count(&store, 7), store.rows().video_count(7)), (2, 2));
    });
}

#[test]
fn what_the_ledger_refuses_nobody_hears_as_done() {
    run(async {
        let (ledger, store) = (FakeLedger::default(), FakeStore::default());
        let running = Running::start(&ledger, &store).await;
        for (error, answer) in [
            (LedgerError::Full("bytes"), CountersError::Busy),
            (LedgerError::Unavailable("no space".into()), CountersError::Unavailable),
        ] {
            ledger.disk().append_fails = Some(error);
            let outcomes = futures([running.set(1, 7, true), running.set(2, 7, true)]).await;
            assert_eq!(outcomes, [Err(answer), Err(answer)]);
            assert_eq!(running.count(&store, 7), 0);
            assert_eq!(running.counters.overlay().view().pair(UserId(1), VideoId(7)), None);
        }
        assert_eq!(running.set(1, 7, true).await, Ok(Outcome::Changed), "by itself again");
        assert!(running.reasons().is_empty());
        ledger.disk().append_fails = Some(LedgerError::Unsure("fsync".into()));
        assert_eq!(running.set(3, 7, true).await, Err(CountersError::Unavailable));
        assert_eq!(running.reasons().len(), 1, "the process ends: {:?}", running.reasons());
    });
}

#[test]
fn a_lost_answer_of_a_commit_counts_nothing_twice() {
    run(async {
        let (ledger, store) = (FakeLedger::default(), FakeStore::default());
        let running = Running::start(&ledger, &store).await;
        running.set(1, 7, true).await.unwrap();
        store.server().flush_fault = Some(Fault::LostAnswer);
        let failed = running.counters.flush_now().await;
        let problem = FlushProblem::Unavailable;
        assert_eq!(failed, Err(FlushError::Waiting { waiting: 1, problem }));
        assert_eq!(running.count(&store, 7), 1);
        running.set(2, 7, true).await.unwrap();
        running.counters.flush_now().await.unwrap();
        assert_eq!((running.count(&store, 7), store.rows().video_count(7)), (2, 2));
    });
}

#[test]
fn a_poisoned_entry_is_set_aside_and_all_others_arrive() {
    run(async {
        let (ledger, store) = (FakeLedger::default(), FakeStore::default());
        let running = Running::start(&ledger, &store).await;
        store.server().poison = Some((13, 7));
        for user in 1..=30 {
            running.set(user, 7, true).await.unwrap();
        }
        pass(Duration::from_mins(2)).await;
        assert_eq!(ledger.disk().quarantine.len(), 1);
        assert_eq!(ledger.disk().quarantine[0].like.user, UserId(13));
        let status = running.counters.status();
        assert_eq!((status.quarantined, status.waiting, status.problem), (1, 0, None));
        assert_eq!(store.rows().video_count(7), 29);
        assert_eq!(running.count(&store, 7), 29);
    });
}

#[test]
fn a_store_that_forgot_is_flushed_again_from_the_ledger() {
    run(async {
        let (ledger, store) = (FakeLedger::default(), FakeStore::default());
        // Memory holds next to no states besides the changed ones, so that rows are asked.
        let few = Settings {
            pairs_max: 2,
            ..settings()
        };
        let running = Running::try_start(&ledger, &store, few).await.expect("starts");
        for user in 1..=10 {
            running.set(user, 7, true).await.unwrap();
        }
        let before = store.rows();
        for user in 11..=20 {
            running.set(user, 7, true).await.unwrap();
        }
        pass(Duration::from_secs(200)).await;
        assert_eq!(running.counters.overlay().floor(), 20, "all forgotten");
        store.server().rows = before;
        // A pair that the store has lost must not be taken for never liked.
        assert_eq!(running.set(15, 7, false).await, Ok(Outcome::Changed));
        pass(Duration::from_secs(5)).await;
        assert_eq!(running.set(19, 7, true).await, Ok(Outcome::Unchanged));
        assert_eq!((running.count(&store, 7), store.rows().video_count(7)), (19, 19));
        assert!(running.reasons().is_empty());
    });
}

#[test]
fn a_store_that_is_not_ours_any_more_ends_the_process() {
    for (mark, id, trimmed_to, words) in [
        (1, "theirs", 0, "another server"),
        (9, "ours", 0, "past the ledger's end"),
        (0, "ours", 1, "restore a newer database"),
    ] {
        run(async {
            let (ledger, store) = (FakeLedger::default(), FakeStore::default());
            let running = Running::start(&ledger, &store).await;
            running.set(1, 7, true).await.unwrap();
            running.set(2, 7, true).await.unwrap();
            running.counters.flush_now().await.unwrap();
            pass(Duration::from_secs(100)).await;
            store.server().rows.mark = mark;
            store.server().ledger_id = Some(id.into());
            ledger.disk().trimmed_to = trimmed_to;
            pass(Duration::from_secs(10)).await;
            let reasons = running.reasons();
            assert!(reasons.len() == 1 && reasons[0].contains(words), "{reasons:?}");
        });
    }
}
