//! Many who write at once, over sockets and REST: stored in batches, and nobody notices by anything but speed.

use std::collections::{BTreeMap, BTreeSet};

use ovation_schema::{UserId, users, verify};
use serde_json::{Value, json};

use crate::harness::{Kind, Persona, Socket, World, at_once, crowd, eventually, on_both_stores};

on_both_stores!(
    a_crowd_is_heard_in_one_order,
    a_bad_message_in_a_crowd_fails_alone,
    a_resend_after_try_later_is_stored_once,
);

fn message(to: i64, content: &str, key: &str) -> Value {
    json!({ "to_user_id": to, "content": content, "key": key })
}

fn people(world: &World, count: usize) -> Vec<Persona> {
    (0..count).map(|number| world.register(&format!("p{number}"))).collect()
}

fn is_exact(world: &World) {
    assert_eq!(verify::recount(&mut world.connection()).unwrap(), []);
}

/// What one device saw: its acks by their keys, and its events.
struct Device {
    socket: Socket,
    user: i64,
    events: Vec<Value>,
    acked: BTreeMap<String, Value>,
}

impl Device {
    fn read(&mut self, keys: &BTreeMap<String, String>) {
        let frame = self.socket.frame();
        match frame["t"].as_str().unwrap() {
            "ack" => {
                let key = keys[frame["id"].as_str().unwrap()].clone();
                let twice = self.acked.insert(key, frame["d"].clone());
                assert!(twice.is_none(), "one ack a message");
            }
            "message.new" => self.events.push(frame),
            _ => panic!("{frame}"),
        }
    }
}

fn a_crowd_is_heard_in_one_order(kind: Kind) {
    const PEOPLE: usize = 16;
    const EACH: usize = 58;
    const BY_REST: usize = 9;
    let world = World::new(kind);
    let all = people(&world, PEOPLE);
    // Two devices each that write, and somebody who writes over REST.
    let mut devices = at_once(3 * PEOPLE, |number| {
        let (who, device) = (&all[number % PEOPLE], number / PEOPLE);
        if device == 2 {
            for n in 0..BY_REST {
                who.tells(&all[(number + 1 + n % 3) % PEOPLE], "by REST");
            }
            return None;
        }
        let mut device_of = Device {
            socket: who.socket(),
            user: who.id,
            events: Vec::new(),
            acked: BTreeMap::new(),
        };
        let keys: BTreeMap<String, String> = (0..EACH)
            .map(|n| {
                // Half of it to one who is popular, the other half to neighbours.
                let to = if n % 2 == 0 { 0 } else { number + 1 + n % 5 };
                let to = if all[to % PEOPLE].id == who.id { number + 1 } else { to };
                let key = format!("crowd-{number:04}-message-{n:04}");
                let d = message(all[to % PEOPLE].id, &format!("{number}/{n}"), &key);
                (device_of.socket.send("message.send", &d), key)
            })
            .collect();
        while device_of.acked.len() < EACH {
            device_of.read(&keys);
        }
        Some((device_of, keys))
    });
    let mut connection = world.connection();
    let newest = crowd::numbers(&mut connection, "SELECT user_id AS a, next_seq - 1 AS b FROM streams");
    let newest: BTreeMap<i64, i64> = newest.into_iter().collect();
    let sent = PEOPLE * (2 * EACH + BY_REST);
    assert!(sent >= 2_000);
    assert_eq!(newest.values().sum::<i64>(), 2 * i64::try_from(sent).unwrap());
    let mut ids = BTreeSet::new();
    for (device, keys) in devices.iter_mut().flatten() {
        let newest = newest[&device.user];
        while device.events.last().is_none_or(|event| event["seq"] != newest) {
            device.read(keys);
        }
        let seqs: Vec<i64> = device
            .events
            .iter()
            .map(|event| event["seq"].as_i64().unwrap())
            .collect();
        // A device hears everything from its hello on.
        let dense: Vec<i64> = (seqs[0]..=newest).collect();
        assert_eq!(seqs, dense);
        for ack in device.acked.values() {
            assert!(ids.insert(ack["message_id"].as_i64().unwrap()), "one message an ack");
            assert_eq!(ack.get("dup"), None);
        }
        let mut last: BTreeMap<(i64, i64), i64> = BTreeMap::new();
        for event in &device.events {
            let d = &event["d"];
            let (from, to) = (d["from_user_id"].as_i64().unwrap(), d["to_user_id"].as_i64().unwrap());
            let time = d["create_time"].as_i64().unwrap();
            let before = last.insert((from.min(to), from.max(to)), time);
            assert!(before.is_none_or(|before| before < time), "a conversation's times rise");
        }
    }
    assert_eq!(ids.len(), PEOPLE * 2 * EACH);
    is_exact(&world);
}

fn a_bad_message_in_a_crowd_fails_alone(kind: Kind) {
    const GOOD: usize = 30;
    let world = World::new(kind);
    let all = people(&world, GOOD + 1);
    let (hub, crowd) = all.split_first().unwrap();
    let key = "used-0123456789abcdef";
    crowd[0].socket().done("message.send", &message(hub.id, "first", key));
    let revoked = world.register("revoked");
    world.fill(|connection| {
        assert!(users::set_password(connection, "revoked", "", 1)?);
        Ok(())
    });
    for round in 0..3 {
        let answers = at_once(GOOD + 4, |number| {
            if let Some(who) = crowd.get(number) {
                let key = format!("good-{round:04}-{number:08}");
                let sent = who.socket().request("message.send", &message(hub.id, "m", &key));
                return sent["t"].as_str().unwrap().to_owned();
            }
            let mut socket = crowd[0].socket();
            match number - GOOD {
                0 => socket.refused("message.send", &message(999_999, "m", "nobody-0123456789ab")),
                1 => socket.refused("message.send", &message(hub.id, "another", key)),
                2 => socket.refused("message.send", &message(crowd[1].id, "first", key)),
                _ => revoked.message(hub.id, "m").refused().msg,
            }
        });
        assert!(answers[..GOOD].iter().all(|answer| answer == "ack"), "{answers:?}");
        assert_eq!(answers[GOOD..GOOD + 3], ["not_found", "key_conflict", "key_conflict"]);
        assert!(answers[GOOD + 3].contains("log in"), "{answers:?}");
    }
    let mut connection = world.connection();
    let told = crowd::numbers(
        &mut connection,
        "SELECT user_id AS a, COUNT(*) AS b FROM events GROUP BY user_id",
    );
    let told: BTreeMap<UserId, i64> = told.into_iter().map(|(user, count)| (UserId(user), count)).collect();
    assert_eq!(told[&UserId(hub.id)], 1 + 3 * i64::try_from(GOOD).unwrap());
    assert_eq!(told.get(&UserId(revoked.id)), None);
    is_exact(&world);
}

/// The store is away while a crowd writes: everybody is told to try later, and whoever does so with the same key is stored
/// once, whatever became of the first try.
fn a_resend_after_try_later_is_stored_once(kind: Kind) {
    use diesel::connection::SimpleConnection as _;
    use std::time::Duration;
    const CROWD: usize = 20;
    let world = World::with(kind, |config| {
        config.db_acquire_timeout = Duration::from_millis(300);
        config.db_statement_timeout = Duration::from_millis(1_500);
    });
    let all = people(&world, CROWD + 1);
    let (hub, crowd) = all.split_first().unwrap();
    let mut sockets: Vec<Socket> = crowd.iter().map(Persona::socket).collect();
    let mut other = world.connection();
    let lock = match kind {
        Kind::Sqlite => "BEGIN IMMEDIATE",
        Kind::Mariadb => "BEGIN; UPDATE streams SET next_seq = next_seq",
    };
    other.batch_execute(lock).unwrap();
    let d = |number: usize| message(hub.id, &format!("{number}"), &format!("later-0123456789-{number:04}"));
    let ids: Vec<String> = sockets
        .iter_mut()
        .enumerate()
        .map(|(number, socket)| socket.send("message.send", &d(number)))
        .collect();
    for (socket, id) in sockets.iter_mut().zip(&ids) {
        let answer = socket.answer(id);
        assert_eq!(answer["code"], json!("try_later"), "{answer}");
    }
    other.batch_execute("ROLLBACK").unwrap();
    for (number, socket) in sockets.iter_mut().enumerate() {
        eventually("it is stored", Duration::from_secs(20), || {
            let answer = socket.request("message.send", &d(number));
            (answer["t"] == "ack").then_some(())
        });
    }
    let mut texts: Vec<usize> = crowd
        .iter()
        .flat_map(|who| hub.chat(who, &0))
        .map(|message| message.content.parse().unwrap())
        .collect();
    texts.sort_unstable();
    assert_eq!(texts, (0..CROWD).collect::<Vec<_>>());
    is_exact(&world);
}
