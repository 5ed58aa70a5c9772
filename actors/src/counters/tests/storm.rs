//! One hot video: groups, bounds, and a poller with a flush in every gap.

use super::*;

#[test]
fn a_poller_never_sees_the_count_go_down_with_a_flush_in_every_gap() {
    run(async {
        let (ledger, store) = (FakeLedger::default(), FakeStore::default());
        let running = Running::start(&ledger, &store).await;
        let counters = &running.counters;
        for round in 0..8_i64 {
            for user in 1..=5 {
                let user = round * 5 + user;
                assert_eq!(running.set(user, 7, true).await, Ok(Outcome::Changed));
                if round & 1 != 0 {
                    counters.flush_now().await.unwrap();
                }
                let rows = store.rows();
                if round & 2 != 0 {
                    counters.flush_now().await.unwrap();
                }
                let seen = counters
                    .overlay()
                    .view()
                    .video_count(VideoId(7), rows.video_count(7), rows.mark);
                assert_eq!(seen, Ok(user), "exactly what was acknowledged");
                assert_eq!(counters.overlay().view().pair(UserId(user), VideoId(7)), Some(true));
                if round & 4 != 0 {
                    counters.flush_now().await.unwrap();
                }
            }
            pass(Duration::from_secs(20)).await;
        }
        assert_eq!(counters.hot(1)[0].0, VideoId(7));
        pass(Duration::from_mins(2)).await;
        assert_eq!(counters.overlay().view().pair(UserId(1), VideoId(7)), None, "forgotten");
        assert_eq!(running.count(&store, 7), 40);
    });
}

#[test]
fn groups_grow_by_themselves_and_resolve_in_order() {
    run(async {
        let (ledger, store) = (FakeLedger::default(), FakeStore::default());
        let running = Running::start(&ledger, &store).await;
        let asks = (1..=90).map(|user| running.set(user, 7, true));
        let outcomes = futures(asks).await;
        assert!(outcomes.iter().all(|outcome| *outcome == Ok(Outcome::Changed)));
        assert_eq!(
            (store.server().look_ups, ledger.disk().appends),
            (1, 1),
            "one look-up, one sync"
        );
        let same = futures([true, true, false, false, true].map(|on| running.set(500, 8, on))).await;
        let (changed, unchanged) = (Ok(Outcome::Changed), Ok(Outcome::Unchanged));
        assert_eq!(same, [changed, unchanged, changed, unchanged, changed]);
        assert_eq!(running.set(500, 51, true).await, Ok(Outcome::UnknownVideo));
        assert_eq!(running.set(501, 8, false).await, unchanged, "never liked");
        assert_eq!(ledger.disk().last, 93, "what changes nothing is not recorded");
        assert_eq!(running.count(&store, 8), 1);
    });
}

#[test]
fn those_past_the_bound_hear_busy_at_once_and_the_rest_is_answered() {
    run(async {
        let (ledger, store) = (FakeLedger::default(), FakeStore::default());
        let running = Running::start(&ledger, &store).await;
        let outcomes = futures((1..=150).map(|user| running.set(user, 7, true))).await;
        let busy = outcomes
            .iter()
            .filter(|outcome| **outcome == Err(CountersError::Busy))
            .count();
        let changed = outcomes
            .iter()
            .filter(|outcome| **outcome == Ok(Outcome::Changed))
            .count();
        assert_eq!((busy, changed), (50, 100));
        assert_eq!(running.count(&store, 7), 100);
        assert_eq!(
            running.set(1_000, 7, true).await,
            Ok(Outcome::Changed),
            "places are given back"
        );
    });
}

#[test]
fn a_full_batch_does_not_wait_for_the_tick_and_a_rest_does() {
    run(async {
        let (ledger, store) = (FakeLedger::default(), FakeStore::default());
        let running = Running::start(&ledger, &store).await;
        futures((1..=20).map(|user| running.set(user, 7, true))).await;
        pass(Duration::from_millis(1)).await;
        assert_eq!(store.rows().mark, 16, "two batches of eight");
        assert_eq!(running.counters.status().waiting, 4);
        pass(Duration::from_secs(4)).await;
        assert_eq!(store.rows().mark, 20);
        let sizes: Vec<_> = store.server().batches.iter().map(|batch| batch.wishes.len()).collect();
        assert_eq!(sizes, [8, 8, 4]);
    });
}

/// Polls all of them together.
pub(super) async fn futures<T>(all: impl IntoIterator<Item = impl Future<Output = T>>) -> Vec<T> {
    let mut all: Vec<_> = all.into_iter().map(|one| (Box::pin(one), None)).collect();
    std::future::poll_fn(|cx| {
        for (one, output) in &mut all {
            if output.is_none()
                && let std::task::Poll::Ready(value) = one.as_mut().poll(cx)
            {
                *output = Some(value);
            }
        }
        if all.iter().all(|(_, output)| output.is_some()) {
            std::task::Poll::Ready(())
        } else {
            std::task::Poll::Pending
        }
    })
    .await;
    all.into_iter().filter_map(|(_, output)| output).collect()
}
