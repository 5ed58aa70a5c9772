use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::task::{Wake, Waker};

use ovation_schema::VideoId;
use proptest::prelude::*;

use super::*;
use crate::close::CloseCode;

const LIMITS: OutboxLimits = OutboxLimits { frames: 4, bytes: 100 };

fn frame(text: &str) -> Frame {
    Frame::text(text)
}

#[expect(clippy::unnecessary_wraps, reason = "it is what `put` takes")]
fn slot(video: i64) -> Option<Slot> {
    Some(Slot::Counters(VideoId(video)))
}

#[derive(Default)]
struct Count(AtomicUsize);

impl Wake for Count {
    fn wake(self: Arc<Self>) {
        self.0.fetch_add(1, Ordering::Relaxed);
    }
}

fn poll(outbox: &Outbox, next: Option<i64>) -> Option<Taken> {
    match outbox.poll_take(&mut Context::from_waker(Waker::noop()), next) {
        Poll::Ready(taken) => Some(taken),
        Poll::Pending => None,
    }
}

#[test]
fn crossing_announcements_come_out_in_order() {
    let outbox = Outbox::new(LIMITS);
    outbox.announce(2, &frame("two"));
    let taken = poll(&outbox, Some(1)).unwrap();
    assert_eq!((taken.durable, taken.newest), (vec![], 2));
    outbox.announce(1, &frame("one"));
    outbox.announce(1, &frame("one"));
    let taken = poll(&outbox, Some(1)).unwrap();
    assert_eq!(taken.durable, [frame("one"), frame("two")]);
    outbox.announce(2, &frame("two"));
    assert_eq!(poll(&outbox, Some(3)).unwrap().durable, []);
    assert!(poll(&outbox, Some(3)).is_none());
}

#[test]
fn without_room_an_event_is_only_known_of() {
    let outbox = Outbox::new(LIMITS);
    for seq in 1..=6 {
        outbox.announce(seq, &frame("event"));
    }
    outbox.announce(7, &frame(&"x".repeat(101)));
    let taken = poll(&outbox, Some(1)).unwrap();
    assert_eq!((taken.durable.len(), taken.newest), (4, 7));
    outbox.raise(9);
    outbox.raise(8);
    assert_eq!(outbox.take(5).newest, 9);
}

#[test]
fn the_newest_takes_the_place_of_the_older() {
    let outbox = Outbox::new(LIMITS);
    outbox.put(slot(1), &frame("1"));
    outbox.put(slot(2), &frame("2"));
    outbox.put(slot(1), &frame("3"));
    outbox.put(slot(3), &frame("4"));
    outbox.withdraw(Slot::Counters(VideoId(3)));
    assert_eq!(poll(&outbox, None).unwrap().ephemeral, [frame("3"), frame("2")]);
    assert_eq!(outbox.dropped(), 0);
    // Where the newest finds no room the older one goes nevertheless: it is not true any more.
    outbox.put(slot(1), &frame("1"));
    outbox.announce(1, &frame(&"x".repeat(90)));
    outbox.put(slot(1), &frame(&"x".repeat(20)));
    assert_eq!(poll(&outbox, None).unwrap().ephemeral, []);
    assert_eq!(outbox.dropped(), 1);
}

#[test]
fn last_words_stay_longer_than_single_ones_and_events_longer_than_both() {
    let outbox = Outbox::new(LIMITS);
    for text in ["a", "b", "c", "d", "e"] {
        outbox.put(None, &frame(text));
    }
    assert_eq!(outbox.dropped(), 1);
    outbox.put(slot(1), &frame("1"));
    outbox.put(slot(2), &frame("2"));
    outbox.announce(1, &frame("event"));
    assert_eq!(outbox.dropped(), 4);
    let taken = poll(&outbox, Some(1)).unwrap();
    assert_eq!(taken.ephemeral, [frame("d"), frame("1"), frame("2")]);
    assert_eq!(taken.durable, [frame("event")]);
    // What could never fit drives nothing out.
    outbox.put(None, &frame("a"));
    outbox.announce(2, &frame(&"x".repeat(101)));
    outbox.put(slot(1), &frame(&"x".repeat(101)));
    assert_eq!(poll(&outbox, Some(2)).unwrap().ephemeral, [frame("a")]);
}

#[test]
fn it_wakes_once_until_it_is_taken() {
    let outbox = Outbox::new(LIMITS);
    let count = Arc::new(Count::default());
    let waker = Waker::from(Arc::clone(&count));
    let mut context = Context::from_waker(&waker);
    assert!(outbox.poll_take(&mut context, None).is_pending());
    outbox.put(None, &frame("a"));
    outbox.put(None, &frame("b"));
    outbox.ping();
    assert_eq!(count.0.load(Ordering::Relaxed), 1);
    assert!(outbox.poll_take(&mut context, None).is_ready());
    assert!(outbox.poll_take(&mut context, None).is_pending());
    outbox.probe();
    assert_eq!(count.0.load(Ordering::Relaxed), 2);
}

#[tokio::test(start_paused = true)]
async fn waiting_is_measured_from_the_first_thing_not_taken() {
    let outbox = Outbox::new(LIMITS);
    let later = async |seconds| {
        tokio::time::advance(Duration::from_secs(seconds)).await;
        tokio::time::Instant::now().into_std()
    };
    assert_eq!(outbox.waits_for(later(5).await), Duration::ZERO);
    outbox.probe();
    let _ = later(2).await;
    outbox.close(CloseCode::SlowConsumer);
    outbox.close(CloseCode::NoPong);
    let now = later(3).await;
    assert_eq!(outbox.waits_for(now), Duration::from_secs(5));
    assert_eq!(outbox.close_waits_for(now), Some(Duration::from_secs(3)));
    assert_eq!(poll(&outbox, None).unwrap().close, Some(CloseCode::SlowConsumer.into()));
    assert_eq!(
        (outbox.waits_for(now), outbox.close_waits_for(now)),
        (Duration::ZERO, None)
    );
    // The first close counts, also after it was taken.
    outbox.close(CloseCode::NoPong);
    assert_eq!(poll(&outbox, None).unwrap().close, None);
}

#[test]
fn after_the_end_nothing_is_kept_and_nobody_is_waited_for() {
    let outbox = Outbox::new(LIMITS);
    outbox.announce(1, &frame("event"));
    outbox.end();
    outbox.announce(2, &frame("event"));
    outbox.put(None, &frame("a"));
    outbox.close(CloseCode::Normal);
    outbox.ping();
    assert_eq!(outbox.waits_for(now()), Duration::ZERO);
    assert!(poll(&outbox, Some(1)).is_none());
    assert_eq!(outbox.take(1).newest, 0);
}

proptest! {
    #[test]
    fn bounds_hold_whatever_is_put_in(steps in prop::collection::vec((0u8..5, 0i64..12, 0usize..60), 0..200)) {
        let outbox = Outbox::new(LIMITS);
        for (what, number, length) in steps {
            let frame = frame(&"x".repeat(length));
            match what {
                0 => outbox.announce(number, &frame),
                1 => outbox.put(slot(number % 3), &frame),
                2 => outbox.put(None, &frame),
                3 => outbox.withdraw(Slot::Counters(VideoId(number % 3))),
                _ => drop(poll(&outbox, Some(number))),
            }
            let waiting = outbox.lock();
            let bytes: usize = waiting.durable.iter().flat_map(|durable| durable.values()).chain(waiting.ephemeral.iter().map(|(_, frame)| frame)).map(Frame::len).sum();
            prop_assert_eq!(bytes, waiting.bytes);
            prop_assert!(waiting.durable.as_ref().map_or(0, |durable| durable.len()) + waiting.ephemeral.len() <= LIMITS.frames);
            prop_assert!(bytes <= LIMITS.bytes, "{} bytes", bytes);
        }
    }
}

#[test]
fn an_empty_one_is_small() {
    assert!(size_of::<Outbox>() <= 144, "{}", size_of::<Outbox>());
    let outbox = Outbox::new(LIMITS);
    outbox.announce(1, &frame("event"));
    assert_eq!(poll(&outbox, Some(1)).unwrap().durable.len(), 1);
    assert!(outbox.lock().durable.is_none(), "nothing is kept");
}
