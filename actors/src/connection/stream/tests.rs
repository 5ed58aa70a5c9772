use std::collections::VecDeque;

use ovation_schema::streams::EventKind;
use proptest::prelude::*;

use super::*;
use crate::outbox::{Outbox, OutboxLimits};

const USER: UserId = UserId(7);

fn event(seq: i64) -> Event {
    Event {
        user: USER,
        seq,
        kind: EventKind::MessageNew,
        payload: "{}".to_owned(),
        created_at: 0,
    }
}

fn member(next: i64, start: Start) -> Member {
    Member {
        user: USER,
        next,
        start,
        expires_at: i64::MAX,
    }
}

/// The frames so far, as JSON.
fn said(out: &mut Outgoing) -> Vec<serde_json::Value> {
    let mut bytes = Vec::new();
    while let Some(write) = out.write() {
        bytes.extend_from_slice(&write);
    }
    let mut values = Vec::new();
    let mut rest = &bytes[..];
    while let [_, length, after @ ..] = rest {
        let (payload, next) = after.split_at(usize::from(*length));
        values.push(serde_json::from_slice(payload).unwrap());
        rest = next;
    }
    values
}

fn seqs(values: &[serde_json::Value]) -> Vec<i64> {
    values
        .iter()
        .filter(|value| value["t"] == "message.new")
        .map(|value| value["seq"].as_i64().unwrap())
        .collect()
}

fn taken(durable: &[i64], newest: i64) -> Taken {
    Taken {
        durable: durable.iter().map(|seq| Frame::durable(&event(*seq))).collect(),
        newest,
        ..Taken::default()
    }
}

#[test]
fn replay_goes_page_by_page_and_says_when_it_is_done() {
    let (now, mut out) = (Instant::now(), Outgoing::default());
    let mut position = Position::new(&member(3, Start::Replay { until: 7 }), &mut out);
    assert_eq!(position.live(), None);
    assert_eq!(position.need(now), Some(Need::Page(USER, 3)));
    assert_eq!(position.need(now), None);
    position.page(&[event(3), event(4)], now, &mut out);
    assert_eq!(position.need(now), Some(Need::Page(USER, 5)));
    position.page(&[event(5), event(6)], now, &mut out);
    assert_eq!((position.need(now), position.live()), (None, Some(7)));
    let said = said(&mut out);
    assert_eq!(seqs(&said), [3, 4, 5, 6]);
    assert_eq!(said[4], serde_json::json!({"t": "synced", "d": {"seq": 6}}));
}

#[test]
fn an_empty_replay_and_a_gap_are_said_at_once() {
    let mut out = Outgoing::default();
    Position::new(&member(7, Start::Replay { until: 7 }), &mut out);
    Position::new(&member(10, Start::Gap { oldest: 4, newest: 9 }), &mut out);
    Position::new(&member(10, Start::Live), &mut out);
    let expected = [
        serde_json::json!({"t": "synced", "d": {"seq": 6}}),
        serde_json::json!({"t": "gap", "d": {"oldest": 4, "newest": 9}}),
    ];
    assert_eq!(said(&mut out), expected);
}

#[test]
fn a_crossing_is_given_a_moment_from_when_it_was_seen() {
    let (now, mut out) = (Instant::now(), Outgoing::default());
    let mut position = Position::new(&member(1, Start::Live), &mut out);
    position.taken(&mut taken(&[], 2), now, &mut out);
    assert_eq!(position.need(now), Some(Need::Until(now + CROSSING)));
    // More of it does not prolong the moment.
    position.taken(&mut taken(&[], 3), now + CROSSING / 2, &mut out);
    assert_eq!(position.need(now + CROSSING / 2), Some(Need::Until(now + CROSSING)));
    position.taken(&mut taken(&[1, 2, 3], 3), now + CROSSING / 2, &mut out);
    assert_eq!(position.need(now + CROSSING), None);
    // One that is not filled is read.
    position.taken(&mut taken(&[], 5), now, &mut out);
    assert_eq!(position.need(now + CROSSING), Some(Need::Page(USER, 4)));
}

#[test]
fn a_store_that_fails_is_asked_again_ever_more_slowly() {
    let (mut now, mut out) = (Instant::now(), Outgoing::default());
    let mut position = Position::new(&member(1, Start::Replay { until: 3 }), &mut out);
    let mut waits = Vec::new();
    for _ in 0..8 {
        assert_eq!(position.need(now), Some(Need::Page(USER, 1)));
        position.failed(now);
        let Some(Need::Until(at)) = position.need(now) else {
            panic!("a wait");
        };
        waits.push((at - now).as_millis());
        now = at;
    }
    assert_eq!(waits, [100, 200, 400, 800, 1600, 3200, 5000, 5000]);
    let mut live = Position::new(&member(1, Start::Live), &mut out);
    live.taken(&mut taken(&[], 2), now, &mut out);
    now += CROSSING;
    assert_eq!(live.need(now), Some(Need::Page(USER, 1)));
    live.page(&[], now, &mut out);
    assert!(matches!(live.need(now), Some(Need::Until(_))));
}

#[test]
fn what_was_trimmed_on_the_way_is_a_gap() {
    let (now, mut out) = (Instant::now(), Outgoing::default());
    let mut position = Position::new(&member(1, Start::Replay { until: 9 }), &mut out);
    assert_eq!(position.need(now), Some(Need::Page(USER, 1)));
    position.page(&[event(5), event(6)], now, &mut out);
    assert_eq!(position.live(), Some(9));
    let said = said(&mut out);
    assert_eq!(
        said[0],
        serde_json::json!({"t": "gap", "d": {"oldest": 5, "newest": 8}})
    );
    assert_eq!(said[1]["t"], "synced");
}

#[test]
fn a_replay_that_was_trimmed_to_its_end_is_a_gap() {
    let (now, mut out) = (Instant::now(), Outgoing::default());
    let mut position = Position::new(&member(1, Start::Replay { until: 9 }), &mut out);
    assert_eq!(position.need(now), Some(Need::Page(USER, 1)));
    position.page(&[], now, &mut out);
    assert_eq!((position.need(now), position.live()), (None, Some(9)));
    let said = said(&mut out);
    assert_eq!(
        said,
        [
            serde_json::json!({"t": "gap", "d": {"oldest": 9, "newest": 8}}),
            serde_json::json!({"t": "synced", "d": {"seq": 8}}),
        ]
    );
}

/// A step of the world around a connection.
#[derive(Debug, Clone)]
enum Step {
    /// An event is stored; its announcement is on its way, without its frame if so.
    Commit { bare: bool },
    /// One of the announcements on their way arrives.
    Arrive(prop::sample::Index),
    /// The connection looks into its outbox.
    Take,
    /// The store answers with so many events; with none at all it fails.
    Answer(usize),
    /// So many milliseconds pass.
    Pass(u64),
}

fn step() -> impl Strategy<Value = Step> {
    prop_oneof![
        4 => any::<bool>().prop_map(|bare| Step::Commit { bare }),
        4 => any::<prop::sample::Index>().prop_map(Step::Arrive),
        4 => Just(Step::Take),
        2 => (0usize..4).prop_map(Step::Answer),
        2 => (0u64..200).prop_map(Step::Pass),
    ]
}

struct World {
    now: Instant,
    stored: i64,
    on_their_way: VecDeque<(i64, bool)>,
    outbox: Outbox,
    position: Position,
    asked: Option<i64>,
    out: Outgoing,
    said: Vec<serde_json::Value>,
}

impl World {
    fn take(&mut self) {
        let live = self.position.live();
        let mut context = std::task::Context::from_waker(std::task::Waker::noop());
        if let std::task::Poll::Ready(mut taken) = self.outbox.poll_take(&mut context, live) {
            self.position.taken(&mut taken, self.now, &mut self.out);
        }
        self.settle();
    }

    fn settle(&mut self) {
        self.said.extend(said(&mut self.out));
        if let Some(Need::Page(_, next)) = self.position.need(self.now) {
            assert_eq!(self.asked.replace(next), None, "one page at a time");
        }
    }

    fn answer(&mut self, events: usize) {
        let Some(next) = self.asked.take() else {
            return;
        };
        let page: Vec<_> = (next..=self.stored).take(events).map(event).collect();
        if events == 0 {
            self.position.failed(self.now);
        } else {
            self.position.page(&page, self.now, &mut self.out);
        }
        if let Some(next) = self.position.live() {
            let mut taken = self.outbox.take(next);
            self.position.taken(&mut taken, self.now, &mut self.out);
        }
        self.settle();
    }

    fn arrive(&mut self, at: usize) {
        if let Some((seq, bare)) = self.on_their_way.remove(at) {
            if bare {
                self.outbox.raise(seq);
            } else {
                self.outbox.announce(seq, &Frame::durable(&event(seq)));
            }
        }
    }

    fn step(&mut self, step: &Step) {
        match step {
            Step::Commit { bare } => {
                self.stored += 1;
                self.on_their_way.push_back((self.stored, *bare));
            }
            Step::Arrive(index) if !self.on_their_way.is_empty() => self.arrive(index.index(self.on_their_way.len())),
            Step::Arrive(_) => {}
            Step::Take => self.take(),
            Step::Answer(events) => self.answer(*events),
            Step::Pass(milliseconds) => {
                self.now += Duration::from_millis(*milliseconds);
                self.settle();
            }
        }
    }
}

proptest! {
    #[test]
    fn every_event_once_and_in_order(before in 0i64..6, seen in 0i64..6, steps in prop::collection::vec(step(), 0..120)) {
        let seen = seen.min(before);
        let mut out = Outgoing::default();
        let start = if seen < before { Start::Replay { until: before + 1 } } else { Start::Live };
        let mut world = World {
            now: Instant::now(),
            stored: before,
            on_their_way: VecDeque::new(),
            outbox: Outbox::new(OutboxLimits { frames: 3, bytes: 10_000 }),
            position: Position::new(&member(seen + 1, start), &mut out),
            asked: None,
            out,
            said: Vec::new(),
        };
        world.settle();
        for step in &steps {
            world.step(step);
            let seqs = seqs(&world.said);
            prop_assert!(seqs.iter().zip(seen + 1..).all(|(seq, expected)| *seq == expected), "{:?}", seqs);
        }
        while !world.on_their_way.is_empty() {
            world.arrive(0);
        }
        for _ in 0..200 {
            world.take();
            world.answer(3);
            world.step(&Step::Pass(5000));
        }
        prop_assert_eq!(seqs(&world.said), (seen + 1..=world.stored).collect::<Vec<_>>());
        prop_assert_eq!(world.said.iter().filter(|value| value["t"] == "synced").count(), usize::from(seen < before));
    }
}
