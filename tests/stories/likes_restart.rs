//! A server that ended, however it did, and its likes: nothing is lost, and the next start is quick.

use std::collections::BTreeSet;
use std::path::PathBuf;
use std::time::{Duration, Instant};

use diesel::connection::SimpleConnection;
use ovation_actors::Like;
use ovation_actors::ledger::{Ledger, OpenOptions, SqliteLedger};
use ovation_schema::{UserId, VideoId, now_ms};

use crate::harness::crowd::{self, Wish};
use crate::harness::mariadb::{Database, shared};
use crate::harness::{Kind, World, eventually, on_both_stores};

on_both_stores!(
    a_stop_flushes,
    thousands_of_unflushed_likes_are_there_at_once,
    a_database_that_forgot_is_flushed_again,
    a_database_older_than_the_ledger_is_refused,
);

fn rarely(config: &mut ovation::config::Config) {
    config.flush_interval = Duration::from_mins(1);
}

fn ledger(world: &World, store_id: &str) -> SqliteLedger {
    let path = world.data_dir().join(ovation::likes::LEDGER_FILE);
    SqliteLedger::open(&path, OpenOptions::new(store_id)).unwrap()
}

fn a_stop_flushes(kind: Kind) {
    let mut world = World::with(kind, rarely);
    let ann = world.register("ann");
    let video = crowd::videos(&world, ann.id, 1)[0];
    let wishes: Vec<Wish> = crowd::people(&world, 50)
        .into_iter()
        .map(|user| (user, video, true))
        .collect();
    crowd::like(&world, &wishes);
    world.stop();
    crowd::is_stored_exactly(&mut world.connection(), &crowd::wanted(&BTreeSet::new(), &wishes));
}

/// Writes what a killed server leaves behind: `people` × `videos` likes that only the ledger has.
fn leave_behind(world: &World, store_id: &str, author: i64, people: &[UserId], videos: &[VideoId]) {
    let mut ledger = ledger(world, store_id);
    let at_ms = now_ms();
    for video in videos {
        for people in people.chunks(4_096) {
            let likes: Vec<Like> = people
                .iter()
                .map(|user| Like {
                    user: *user,
                    video: *video,
                    author: UserId(author),
                    on: true,
                    was: Some(false),
                    at_ms,
                })
                .collect();
            ledger.append(&likes).unwrap();
        }
    }
}

/// A world with so many likes left behind, started again; how long the start took.
fn restarted(kind: Kind, people: usize, videos: usize) -> (World, Duration, BTreeSet<(i64, i64)>) {
    let mut world = World::with(kind, rarely);
    let ann = world.register("ann");
    let videos = crowd::videos(&world, ann.id, videos);
    let people = crowd::people(&world, people);
    let store_id = world.server().store().store_id().to_owned();
    world.stop();
    leave_behind(&world, &store_id, ann.id, &people, &videos);
    let started = Instant::now();
    world.start_again();
    let likes = i64::try_from(people.len() * videos.len()).unwrap();
    assert_eq!(ann.profile().total_favorited, likes);
    let took = started.elapsed();
    let of_one = i64::try_from(people.len()).unwrap();
    assert!(world.feed().iter().all(|video| video.favorite_count == of_one));
    let pairs = people
        .iter()
        .flat_map(|user| videos.iter().map(|video| (user.0, video.0)));
    let pairs = pairs.collect();
    (world, took, pairs)
}

fn thousands_of_unflushed_likes_are_there_at_once(kind: Kind) {
    let (world, took, pairs) = restarted(kind, 2_000, 10);
    assert!(took < Duration::from_secs(5), "{took:?}");
    world.flush();
    crowd::is_stored_exactly(&mut world.connection(), &pairs);
}

/// Only as a measurement: `cargo test --release --test stories a_million -- --ignored --nocapture`.
#[test]
#[ignore = "takes a minute; run it with --release"]
fn a_million_unflushed_likes_are_there_within_two_seconds() {
    let (world, took, _) = restarted(Kind::Sqlite, 10_000, 100);
    println!("1,000,000 unflushed likes: the first exact answer {took:?} after the start");
    let started = Instant::now();
    world.flush();
    println!("and in the database after {:?}", started.elapsed());
    assert_eq!(ovation_schema::verify::recount(&mut world.connection()).unwrap(), []);
    assert!(took < Duration::from_secs(2) || cfg!(debug_assertions), "{took:?}");
}

/// The tables a flush writes.
const TABLES: [&str; 6] = ["favorites", "users", "videos", "events", "streams", "ledger_mark"];

/// A copy of the whole database, beside it.
struct Backup<'a>(&'a World);

impl<'a> Backup<'a> {
    fn of(world: &'a World) -> Self {
        let backup = Self(world);
        if let Some(Database { name, .. }) = &world.database {
            let old = backup.name();
            shared().sql(&format!("CREATE DATABASE {old}"));
            for table in TABLES {
                shared().sql(&format!(
                    "CREATE TABLE {old}.{table} LIKE {name}.{table}; INSERT INTO {old}.{table} SELECT * FROM {name}.{table}"
                ));
            }
        } else {
            let statement = format!("VACUUM INTO '{}'", backup.file().display());
            world.connection().batch_execute(&statement).unwrap();
        }
        backup
    }

    fn file(&self) -> PathBuf {
        self.0.data_dir().join("backup.db")
    }

    fn name(&self) -> String {
        let database = self.0.database.as_ref();
        database.map_or("old".into(), |database| format!("{}_old", database.name))
    }

    /// In one transaction, so that a server may run meanwhile.
    fn restore(&self) {
        let old = self.name();
        let tables =
            TABLES.map(|table| format!("DELETE FROM {table}; INSERT INTO {table} SELECT * FROM {old}.{table};"));
        let tables = tables.concat();
        if let Some(Database { name, .. }) = &self.0.database {
            shared().sql(&format!("USE {name}; START TRANSACTION; {tables} COMMIT"));
        } else {
            let file = self.file();
            let script = format!("ATTACH '{}' AS old; BEGIN IMMEDIATE; {tables} COMMIT", file.display());
            self.0.connection().batch_execute(&script).unwrap();
        }
    }
}

fn a_database_that_forgot_is_flushed_again(kind: Kind) {
    let mut world = World::with(kind, rarely);
    let ann = world.register("ann");
    let videos = crowd::videos(&world, ann.id, 3);
    let people = crowd::people(&world, 60);
    let like = |world: &World, from: usize, to: usize, on: bool| {
        let wishes: Vec<Wish> = people[from..to]
            .iter()
            .flat_map(|user| videos.iter().map(move |video| (*user, *video, on)))
            .collect();
        crowd::like(world, &wishes);
        wishes
    };
    let mut pairs = crowd::wanted(&BTreeSet::new(), &like(&world, 0, 20, true));
    world.flush();
    let backup = Backup::of(&world);
    for (from, to, on) in [(20, 40, true), (0, 10, false), (5, 8, true)] {
        pairs = crowd::wanted(&pairs, &like(&world, from, to, on));
        world.flush();
    }
    let told = |world: &World| -> i64 {
        let streams = crowd::told(&mut world.connection());
        streams[&ann.id].iter().map(|told| told.count).sum()
    };
    let is_exact = |world: &World, pairs: &BTreeSet<(i64, i64)>| {
        let liked = i64::try_from(pairs.len()).unwrap();
        assert_eq!(ann.profile().total_favorited, liked);
        world.flush();
        crowd::is_stored_exactly(&mut world.connection(), pairs);
        assert_eq!(ann.profile().total_favorited, liked);
        assert_eq!(told(world), 120, "everybody is told of once");
    };
    is_exact(&world, &pairs);
    // While the server runs: a failover to a copy that was behind.
    backup.restore();
    is_exact(&world, &pairs);
    // While it is stopped: an older backup.
    world.stop();
    Backup(&world).restore();
    world.start_again();
    is_exact(&world, &pairs);
}

fn a_database_older_than_the_ledger_is_refused(kind: Kind) {
    let mut world = World::with(kind, rarely);
    let ann = world.register("ann");
    let videos = crowd::videos(&world, ann.id, 2);
    let people = crowd::people(&world, 20);
    for video in videos {
        let wishes: Vec<Wish> = people.iter().map(|user| (*user, video, true)).collect();
        crowd::like(&world, &wishes);
        world.flush();
    }
    let store_id = world.server().store().store_id().to_owned();
    world.stop();
    let path = world.data_dir().join(ovation::likes::LEDGER_FILE);
    let options = OpenOptions {
        keep_flushed_ms: 0,
        ..OpenOptions::new(store_id)
    };
    let mut ledger = SqliteLedger::open(&path, options).unwrap();
    let last = ledger.last_position();
    assert_eq!(ledger.trim(last, now_ms() + 1_000).unwrap(), 40);
    drop(ledger);
    world
        .connection()
        .batch_execute("UPDATE ledger_mark SET position = 3")
        .unwrap();
    let refused = world.try_start_again().unwrap_err();
    assert!(
        refused.contains("old backup") && refused.contains("restore a newer one"),
        "{refused}"
    );
    world
        .connection()
        .batch_execute(&format!(
            "UPDATE ledger_mark SET position = {last}, ledger_id = 'another'"
        ))
        .unwrap();
    let refused = world.try_start_again().unwrap_err();
    assert!(refused.contains("belongs to the ledger another"), "{refused}");
}

#[test]
fn the_flusher_notices_by_itself_that_mariadb_forgot() {
    let world = World::with(Kind::Mariadb, |config| {
        config.flush_interval = Duration::from_millis(200);
    });
    let ann = world.register("ann");
    let video = crowd::videos(&world, ann.id, 1)[0];
    let people = crowd::people(&world, 30);
    let backup = Backup::of(&world);
    let wishes: Vec<Wish> = people.iter().map(|user| (*user, video, true)).collect();
    crowd::like(&world, &wishes);
    world.flush();
    backup.restore();
    let pairs = crowd::wanted(&BTreeSet::new(), &wishes);
    eventually("it is flushed again", Duration::from_secs(5), || {
        assert_eq!(ann.profile().total_favorited, 30, "nobody sees that it forgot");
        (crowd::stored(&mut world.connection()) == pairs).then_some(())
    });
    crowd::is_stored_exactly(&mut world.connection(), &pairs);
}
