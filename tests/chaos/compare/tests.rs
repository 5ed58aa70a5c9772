//! The comparison finds every kind of damage.

use super::*;
use crate::record::{AskedMark, ChatLine};

const ANN: i64 = 1;
const BEN: i64 = 2;

fn told(seq: i64, t: &str, d: Value) -> Told {
    Told {
        seq,
        t: t.to_owned(),
        d,
    }
}

/// Two messages and a mark between two people, heard and stored as they should be.
fn sound() -> (Vec<Record>, Stored) {
    let row = |id: i64, text: &str| Message {
        id,
        from: ANN,
        to: BEN,
        text: text.to_owned(),
        time: id * 10,
        key: Some(format!("key {id}")),
    };
    let messages = vec![row(1, "one"), row(2, "two")];
    let received = |row: &Message, unread: i64| {
        let mut d = payload(row, BEN);
        d["unread"] = json!(unread);
        told(row.id, "message.new", d)
    };
    let mut mark = json!({"user_id": BEN, "with_user_id": ANN, "message_id": 1, "read_time": 10});
    let of_ann = vec![
        told(1, "message.new", payload(&messages[0], ANN)),
        told(2, "message.new", payload(&messages[1], ANN)),
        told(3, "message.read", mark.clone()),
    ];
    mark["unread"] = json!(1);
    let of_ben = vec![
        received(&messages[0], 1),
        received(&messages[1], 2),
        told(3, "message.read", mark),
    ];
    let mut ann = Record::of("ann", ANN);
    (ann.base, ann.received) = (Some(1), of_ann[1..].to_vec());
    let sent = messages.iter().map(|row| SentMessage {
        to: BEN,
        text: row.text.clone(),
        key: row.key.clone(),
        ack: Some((row.id, row.time)),
        overtaken: false,
    });
    ann.sent.insert(ANN, sent.collect());
    let mut ben = Record::of("ben", BEN);
    (ben.base, ben.received) = (Some(0), of_ben.clone());
    ben.marks = vec![AskedMark {
        peer: ANN,
        message: 1,
        acknowledged: true,
    }];
    let line = |row: &Message| ChatLine {
        id: row.id,
        text: row.text.clone(),
        time: row.time,
    };
    ben.chats.insert(ANN, messages.iter().map(line).collect());
    let side = |user, peer, read_id, unread| Side {
        user,
        peer,
        read_id,
        read_time: read_id * 10,
        unread,
    };
    let stored = Stored {
        streams: BTreeMap::from([(ANN, of_ann), (BEN, of_ben)]),
        messages,
        sides: vec![side(ANN, BEN, 0, 0), side(BEN, ANN, 1, 1)],
        ..Stored::default()
    };
    (vec![ann, ben], stored)
}

fn finds(damage: impl FnOnce(&mut Vec<Record>, &mut Stored)) -> bool {
    let (mut records, mut stored) = sound();
    assert_eq!(violations(&records, &stored), [""; 0]);
    damage(&mut records, &mut stored);
    !violations(&records, &stored).is_empty()
}

#[test]
fn what_a_device_heard_wrongly_is_found() {
    assert!(
        finds(|records, _| drop(records[1].received.pop())),
        "the end is missing"
    );
    assert!(finds(|records, _| drop(records[1].received.remove(0))), "a hole");
    assert!(finds(|records, _| {
        let again = records[1].received[0].clone();
        records[1].received.push(again);
    }));
    assert!(finds(|records, _| records[1].received.swap(0, 1)), "another order");
    assert!(finds(|records, _| records[1].received[0].d["content"] = json!("other")));
    assert!(finds(|records, _| drop(records[1].chats.get_mut(&ANN).unwrap().pop())));
}

#[test]
fn what_is_stored_wrongly_is_found() {
    assert!(finds(|_, stored| drop(stored.messages.pop())), "lost");
    assert!(finds(|_, stored| {
        let again = Message {
            id: 3,
            time: 30,
            key: None,
            ..stored.messages[1].clone()
        };
        stored.messages.push(again);
    }));
    assert!(finds(|records, _| records[0].sent.clear()), "never sent");
    assert!(finds(|_, stored| stored.messages[0].key = None));
    assert!(finds(
        |records, _| records[0].sent.get_mut(&ANN).unwrap()[0].ack = Some((1, 11))
    ));
    assert!(
        finds(|records, _| records[0].sent.get_mut(&ANN).unwrap().swap(0, 1)),
        "order"
    );
    assert!(finds(|_, stored| drop(stored.streams.get_mut(&ANN).unwrap().remove(0))));
}

#[test]
fn what_is_counted_wrongly_is_found() {
    assert!(finds(|_, stored| stored.sides[1].unread = 0));
    assert!(finds(|_, stored| stored.sides[1].read_id = 2), "never asked for");
    assert!(finds(|records, _| records[1].marks.push(AskedMark {
        peer: ANN,
        message: 2,
        acknowledged: true
    })));
    assert!(
        finds(|_, stored| drop(stored.streams.get_mut(&BEN).unwrap().pop())),
        "not told"
    );
    assert!(finds(|_, stored| stored.follows.push(Pair { one: ANN, other: BEN })));
    assert!(finds(|_, stored| stored.noticed.push(Pair { one: 7, other: BEN })));
}
