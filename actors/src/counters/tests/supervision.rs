//! Starts, ends, restarts and panics.

use super::super::writer::End;
use super::*;
use crate::counters::FlushError;

#[test]
fn an_actor_that_stops_is_restarted_from_the_ledger() {
    run(async {
        let (ledger, store) = (FakeLedger::default(), FakeStore::default());
        let running = Running::start(&ledger, &store).await;
        running.set(1, 7, true).await.unwrap();
        // One like is under way while the actor stops.
        let under_way = running.set(2, 7, true);
        let stop = async {
            tokio::task::yield_now().await;
            running.address.send(End::Stop).await
        };
        let (under_way, _) = tokio::join!(under_way, stop);
        running.set(3, 7, true).await.unwrap();
        assert_eq!(running.counters.status().restarts, 1);
        let recorded = ledger.disk().last;
        assert!(under_way.is_err() || recorded == 3);
        assert_eq!(running.count(&store, 7), recorded, "what the ledger has is visible");
        assert!(running.reasons().is_empty());
    });
}

#[test]
fn an_actor_that_panics_ends_the_process() {
    run(async {
        let (ledger, store) = (FakeLedger::default(), FakeStore::default());
        let running = Running::start(&ledger, &store).await;
        assert!(running.address.send(End::Panic).await.is_err());
        tokio::task::yield_now().await;
        let reasons = running.reasons();
        assert!(
            reasons.len() == 1 && reasons[0].contains("the counting actor panicked"),
            "{reasons:?}"
        );
        assert_eq!(running.set(1, 7, true).await, Err(CountersError::Unavailable));
    });
}

#[test]
fn a_ledger_that_panics_ends_the_process_and_a_wanted_end_does_not() {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_time()
        .build()
        .unwrap();
    runtime.block_on(async {
        for panics in [false, true] {
            let (ledger, store) = (FakeLedger::default(), FakeStore::default());
            let (tell, mut told) = tokio::sync::mpsc::unbounded_channel();
            let on_fatal = move |reason| drop(tell.send(reason));
            let counters = Counters::start(Box::new(ledger.clone()), store.clone(), settings(), on_fatal)
                .await
                .unwrap();
            let set = |user| counters.set_favorite(UserId(user), VideoId(7), true);
            assert_eq!(set(1).await, Ok(Outcome::Changed));
            if panics {
                ledger.disk().panics = true;
                assert_eq!(set(2).await, Err(CountersError::Unavailable));
                let reason = told.recv().await.unwrap();
                assert!(reason.contains("the ledger's thread panicked"), "{reason}");
            } else {
                counters.stop(Duration::from_secs(5)).await.unwrap();
                assert_eq!(store.rows().video_count(7), 1, "flushed");
                assert_eq!(set(2).await, Err(CountersError::Stopped));
                assert_eq!(counters.flush_now().await, Err(FlushError::Stopped));
                drop(counters);
                assert_eq!(told.recv().await, None, "nobody was told to end");
            }
        }
    });
}

#[test]
fn a_stop_does_not_wait_for_a_store_that_hangs() {
    run(async {
        let (ledger, store) = (FakeLedger::default(), FakeStore::default());
        let running = Running::start(&ledger, &store).await;
        running.set(1, 7, true).await.unwrap();
        store.server().fault = Some(fakes::Fault::Hangs);
        let stopped = running.counters.stop(Duration::from_secs(5)).await;
        assert_eq!(stopped, Err(FlushError::Late));
        assert!(running.reasons().is_empty());
    });
}

#[test]
fn refuses_another_ledger_and_an_old_backup() {
    run(async {
        let (ledger, store) = (FakeLedger::default(), FakeStore::default());
        ledger.disk().trimmed_to = 3;
        let refused = Running::try_start(&ledger, &store, settings()).await.err().unwrap();
        assert!(
            matches!(refused, StartError::TooOld { mark: 0, trimmed_to: 3 }),
            "{refused}"
        );
        store.server().ledger_id = Some("theirs".into());
        let refused = Running::try_start(&ledger, &store, settings()).await.err().unwrap();
        assert!(matches!(refused, StartError::OtherLedger { .. }), "{refused}");
    });
}

#[test]
fn positions_go_on_past_the_mark_of_an_emptied_ledger() {
    run(async {
        let (ledger, store) = (FakeLedger::default(), FakeStore::default());
        store.server().ledger_id = Some("ours".into());
        store.server().rows.mark = 40;
        let running = Running::start(&ledger, &store).await;
        running.set(1, 7, true).await.unwrap();
        assert_eq!(ledger.disk().last, 41);
        running.counters.flush_now().await.unwrap();
        assert_eq!((store.rows().mark, store.rows().video_count(7)), (41, 1));
    });
}
