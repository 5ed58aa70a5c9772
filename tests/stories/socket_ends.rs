//! What ends a connection from outside, and what must not: tokens, stores that are away, clients that do not read.

use std::io::Write as _;
use std::process::Stdio;
use std::time::{Duration, Instant};

use diesel::connection::SimpleConnection;
use serde_json::{Value, json};

use super::life_cycle::Ground;
use crate::harness::frames::opcode;
use crate::harness::mariadb::Instance;
use crate::harness::{Kind, Persona, Site, Socket, World, eventually, on_both_stores, process};

on_both_stores!(
    an_expired_token_closes_its_sockets,
    a_token_made_void_closes_its_sockets_within_a_second,
    a_kill_loses_and_repeats_nothing,
    a_restored_backup_is_another_life,
);

fn an_expired_token_closes_its_sockets(kind: Kind) {
    let world = World::with(kind, |config| config.token_lifetime = Duration::from_secs(3));
    let ann = world.register("ann");
    let began = Instant::now();
    let (mut one, mut two) = (ann.socket(), ann.socket());
    for socket in [&mut one, &mut two] {
        assert_eq!(socket.expect_close(), (3500, json!({ "reason": "invalid_token" })));
    }
    let lasted = began.elapsed();
    assert!(lasted < Duration::from_secs(5), "within a second: {lasted:?}");
    let mut late = Socket::connect(&world);
    late.send("hello", &json!({ "token": ann.token }));
    assert_eq!(late.expect_close().0, 3500);
}

fn a_token_made_void_closes_its_sockets_within_a_second(kind: Kind) {
    let ground = Ground::new(kind);
    let process = ground.serve();
    let (ann, ben) = (process.site.register("ann"), process.site.register("ben"));
    let (mut socket, mut other) = (ann.socket(), ben.socket());
    let mut passwd = process::ovation(&ground.arguments(&["user", "passwd", "ann"]))
        .stdin(Stdio::piped())
        .spawn()
        .unwrap();
    passwd.stdin.take().unwrap().write_all(b"a new one 9\n").unwrap();
    assert!(passwd.wait().unwrap().success());
    let done = Instant::now();
    assert_eq!(socket.expect_close(), (3503, json!({ "reason": "token_revoked" })));
    assert!(done.elapsed() < Duration::from_millis(1500), "{:?}", done.elapsed());
    let mut again = Socket::connect(&process.site);
    again.send("hello", &json!({ "token": ann.token }));
    assert_eq!(again.expect_close().0, 3503);
    assert_eq!(other.so_far(), Vec::<Value>::new());
    let login = [
        ("username", &"ann" as &dyn std::fmt::Display),
        ("password", &"a new one 9"),
    ];
    let reply = process.site.call("POST", "/douyin/user/login/", &login);
    let _again = Persona::welcomed(&process.site, "ann", &reply).socket();
}

fn a_kill_loses_and_repeats_nothing(kind: Kind) {
    let ground = Ground::new(kind);
    let mut process = ground.serve();
    let (ann, ben) = (process.site.register("ann"), process.site.register("ben"));
    let mut hello = Socket::connect(&process.site);
    let epoch = hello.hello(&ben.token)["epoch"].as_str().unwrap().to_owned();
    let mut socket = ann.socket();
    let send = |socket: &mut Socket, n: usize| {
        let d = json!({ "to_user_id": ben.id, "content": format!("{n}"), "key": format!("kill-key-{n:016}") });
        socket.send("message.send", &d)
    };
    let id = send(&mut socket, 0);
    assert_eq!(socket.answer(&id)["t"], json!("ack"));
    // Not waited for: it may or may not have been stored when the process dies.
    send(&mut socket, 1);
    process.signal("KILL");
    process.ended(Duration::from_secs(10));
    let process = ground.serve();
    let (ann, ben) = (moved(&ann, &process.site), moved(&ben, &process.site));
    let mut socket = ann.socket();
    for n in 0..3 {
        let id = send(&mut socket, n);
        let ack = socket.answer(&id);
        assert_eq!(ack["t"], json!("ack"), "{ack}");
        assert!(
            n != 0 || ack["d"]["dup"] == json!(true),
            "acknowledged before the kill: {ack}"
        );
    }
    let (mut reader, _) = ben.resume(&epoch, 0);
    for n in 0..3 {
        let event = reader.next_event();
        assert_eq!(
            (&event["seq"], &event["d"]["content"]),
            (&json!(n + 1), &json!(n.to_string()))
        );
    }
    assert_eq!(reader.next_event()["t"], json!("synced"));
}

/// The same person before another server.
fn moved(who: &Persona, site: &Site) -> Persona {
    let mut moved = Persona::guest(site).with_token(&who.token);
    moved.id = who.id;
    moved.name.clone_from(&who.name);
    moved
}

/// Somebody puts an older store under the data folder: numbers that clients have seen would come again.
fn a_restored_backup_is_another_life(kind: Kind) {
    let mut world = World::new(kind);
    let (ann, ben) = (world.register("ann"), world.register("ben"));
    ann.tells(&ben, "in the backup");
    let mut socket = Socket::connect(&world);
    let epoch = socket.hello(&ben.token)["epoch"].as_str().unwrap().to_owned();
    world.stop();
    // What a backup from now would hold, laid back after two more starts: its beat, not its rows, gives it away.
    let beat = |world: &World| -> i64 {
        use diesel::prelude::*;
        let mut connection = world.connection();
        diesel::select(diesel::dsl::sql::<diesel::sql_types::BigInt>(
            "(SELECT beat FROM store)",
        ))
        .first(&mut connection)
        .unwrap()
    };
    let before = beat(&world);
    world.start_again();
    let (mut again, _) = ben.resume(&epoch, 1);
    assert_eq!(again.next_event()["t"], json!("synced"), "a restart is the same life");
    drop(again);
    world.stop();
    assert!(beat(&world) > before);
    world
        .connection()
        .batch_execute(&format!("UPDATE store SET beat = {before}"))
        .unwrap();
    world.start_again();
    let (mut late, welcome) = ben.resume(&epoch, 1);
    assert_ne!(welcome["epoch"], json!(epoch));
    assert_eq!(late.next_event()["t"], json!("gap"));
    let epoch = welcome["epoch"].as_str().unwrap().to_owned();
    drop(late);
    world.stop();
    world.start_again();
    let (mut settled, _) = ben.resume(&epoch, 1);
    assert_eq!(settled.next_event()["t"], json!("synced"), "once");
}

fn impatient(config: &mut ovation::config::Config) {
    config.db_statement_timeout = Duration::from_secs(2);
    config.db_acquire_timeout = Duration::from_secs(1);
}

struct Outage {
    ann: Persona,
    ben: Persona,
    writer: Socket,
    reader: Socket,
}

impl Outage {
    fn of(site: &Site) -> Self {
        let (ann, ben) = (site.register("ann"), site.register("ben"));
        let (writer, reader) = (ann.socket(), ben.socket());
        Self {
            ann,
            ben,
            writer,
            reader,
        }
    }

    fn message(&self, n: usize) -> Value {
        json!({ "to_user_id": self.ben.id, "content": format!("{n}"), "key": format!("outage-key-{n:08}") })
    }

    /// Three in a row while the store is away: the first can't be stored, so the later ones must not be.
    fn is_told_to_try_later(&mut self) {
        let ids: Vec<_> = (0..3)
            .map(|n| {
                let message = self.message(n);
                self.writer.send("message.send", &message)
            })
            .collect();
        for id in ids {
            let answer = self.writer.answer(&id);
            assert_eq!(
                (&answer["t"], &answer["code"]),
                (&json!("err"), &json!("try_later")),
                "{answer}"
            );
            assert!(answer["retry_after"].as_f64().unwrap() > 0.0);
        }
        // Connected all the same.
        assert_eq!(self.reader.request("ping", &json!({}))["t"], json!("pong"));
    }

    /// The same keys again, over the same connections.
    fn goes_on(mut self) {
        for n in 0..3 {
            let message = self.message(n);
            eventually("the store is back", Duration::from_secs(15), || {
                (self.writer.request("message.send", &message)["t"] == json!("ack")).then_some(())
            });
        }
        for n in 0..3 {
            let event = self.reader.next_event();
            assert_eq!(
                (&event["seq"], &event["d"]["content"]),
                (&json!(n + 1), &json!(n.to_string()))
            );
        }
        assert_eq!(self.ben.chat(&self.ann, &0).len(), 3);
    }
}

#[test]
fn a_mariadb_that_crashes_ends_no_connection() {
    let instance = Instance::start();
    let world = World::on_instance(&instance, impatient);
    let mut outage = Outage::of(&world);
    instance.crash();
    outage.is_told_to_try_later();
    let mut late = Socket::connect(&world);
    let id = late.send("hello", &json!({ "token": outage.ann.token }));
    assert_eq!(late.answer(&id)["code"], json!("try_later"));
    assert_eq!(late.expect_close().0, 3002, "to come again");
    instance.launch();
    outage.goes_on();
}

/// The answer of a commit may be what gets lost: the resend says whether it was stored, and nobody misses it.
#[test]
fn a_mariadb_that_hangs_ends_no_connection() {
    let instance = Instance::start();
    let world = World::on_instance(&instance, impatient);
    let mut outage = Outage::of(&world);
    instance.freeze();
    outage.is_told_to_try_later();
    instance.thaw();
    outage.goes_on();
}

#[test]
fn a_locked_sqlite_ends_no_connection() {
    let world = World::with(Kind::Sqlite, impatient);
    let mut outage = Outage::of(&world);
    let mut other = world.connection();
    other.batch_execute("BEGIN IMMEDIATE").unwrap();
    outage.is_told_to_try_later();
    other.batch_execute("COMMIT").unwrap();
    outage.goes_on();
}

#[test]
fn who_does_not_read_is_ended_and_the_others_hear_everything() {
    let world = World::new(Kind::Sqlite);
    let (ann, ben) = (world.register("ann"), world.register("ben"));
    let video = ann.publishes("sea");
    let mut healthy = ben.socket();
    let mut stalled = Vec::new();
    for _ in 0..5 {
        let mut socket = ann.socket();
        socket.done("video.watch", &json!({ "video_id": video.id }));
        stalled.push(socket.stop_reading());
    }
    let began = Instant::now();
    let text = "x".repeat(1900);
    let mut sent = 0;
    // Told until every stalled connection has been given up; the healthy one reads along.
    while world.server().hub_status().connections > 1 {
        assert!(began.elapsed() < Duration::from_secs(35), "within 30 s");
        ben.tells(&ann, &text);
        sent += 1;
        assert_eq!(healthy.next_event()["seq"], json!(sent));
    }
    for mut raw in stalled {
        // What is left in the kernel trickles through its small window; what shows the end at once is to send something.
        eventually("the connection is gone", Duration::from_secs(10), || {
            raw.put_frame(true, opcode::PING, b"").is_err().then_some(())
        });
    }
    // Nothing is lost to whoever was cut off.
    let mut hello = Socket::connect(&world);
    let epoch = hello.hello(&ann.token)["epoch"].as_str().unwrap().to_owned();
    let (mut back, _) = ann.resume(&epoch, 0);
    for seq in 1..=sent {
        assert_eq!(back.next_event()["seq"], json!(seq));
    }
}
