//! Many users and videos at once, for likes by the hundred: made in the store, liking through the counters as the endpoint
//! does; and the rows behind the answers.

use std::collections::{BTreeMap, BTreeSet};

use diesel::prelude::*;
use diesel::sql_types::BigInt;
use futures_util::future::join_all;
use ovation_actors::counters::{CountersError, Outcome};
use ovation_schema::users::{self, NewUser};
use ovation_schema::videos::{self, NewVideo};
use ovation_schema::{DbConnection, UserId, VideoId, now_ms, reserve, verify};

use super::world::World;

/// A user, a video, and whether the one shall like the other.
pub type Wish = (UserId, VideoId, bool);

/// Likes that may wait for their answer in one go: fewer than the counters let wait.
const AT_ONCE: usize = 4_000;

fn reserved(world: &World, kind: &'static str, count: usize) -> Vec<i64> {
    let count = i64::try_from(count).unwrap();
    let mut ids = Vec::new();
    let runtime = runtime();
    let store = world.server().store().clone();
    let range = runtime
        .block_on(store.write(move |connection| reserve(connection, kind, count)))
        .unwrap();
    ids.extend(range);
    ids
}

fn runtime() -> tokio::runtime::Runtime {
    tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .unwrap()
}

/// Makes users who never log in.
pub fn people(world: &World, count: usize) -> Vec<UserId> {
    let ids = reserved(world, "user", count);
    for chunk in ids.chunks(1_000) {
        let chunk = chunk.to_vec();
        world.fill(move |connection| {
            for id in &chunk {
                let user = NewUser {
                    id: UserId(*id),
                    name: format!("crowd{id}"),
                    password_hash: "nobody logs in".into(),
                    created_at: now_ms(),
                };
                users::insert(connection, &user)?;
            }
            Ok(())
        });
    }
    ids.into_iter().map(UserId).collect()
}

/// Makes videos of `author` without files, the oldest first.
pub fn videos(world: &World, author: i64, count: usize) -> Vec<VideoId> {
    let ids = reserved(world, "video", count);
    let made = ids.clone();
    world.fill(move |connection| {
        for id in &made {
            let video = NewVideo {
                id: VideoId(*id),
                author_id: UserId(author),
                title: format!("video {id}"),
                media_hash: format!("{id:064}"),
            };
            videos::publish(connection, &video, now_ms())?;
        }
        Ok(())
    });
    ids.into_iter().map(VideoId).collect()
}

/// Has everybody do what they want, at once, and gives the answers in order.
pub fn answers(world: &World, wishes: &[Wish]) -> Vec<Result<Outcome, CountersError>> {
    let counters = world.server().counters();
    let runtime = runtime();
    let mut answers = Vec::with_capacity(wishes.len());
    for wishes in wishes.chunks(AT_ONCE) {
        let asked = wishes
            .iter()
            .map(|(user, video, on)| counters.set_favorite(*user, *video, *on));
        answers.extend(runtime.block_on(join_all(asked)));
    }
    answers
}

/// The same where all of it must be acknowledged.
pub fn like(world: &World, wishes: &[Wish]) {
    for (wish, answer) in wishes.iter().zip(answers(world, wishes)) {
        assert!(
            matches!(answer, Ok(Outcome::Changed | Outcome::Unchanged)),
            "{wish:?}: {answer:?}"
        );
    }
}

#[derive(QueryableByName)]
struct Row {
    #[diesel(sql_type = BigInt)]
    a: i64,
    #[diesel(sql_type = BigInt)]
    b: i64,
}

/// The two numbers `a` and `b` of every row of a query.
pub fn numbers(connection: &mut DbConnection, query: &str) -> Vec<(i64, i64)> {
    let rows: Vec<Row> = diesel::sql_query(query).load(connection).unwrap();
    rows.into_iter().map(|row| (row.a, row.b)).collect()
}

/// The pairs whose row says "liked".
pub fn stored(connection: &mut DbConnection) -> BTreeSet<(i64, i64)> {
    let query = "SELECT user_id AS a, video_id AS b FROM favorites WHERE active = TRUE";
    numbers(connection, query).into_iter().collect()
}

/// The rows are these pairs, and every counter is what they say.
pub fn is_stored_exactly(connection: &mut DbConnection, pairs: &BTreeSet<(i64, i64)>) {
    let stored = stored(connection);
    let (lost, more): (Vec<_>, Vec<_>) = (
        pairs.difference(&stored).take(10).collect(),
        stored.difference(pairs).take(10).collect(),
    );
    assert!(
        lost.is_empty() && more.is_empty(),
        "lost {lost:?}, never wanted {more:?}"
    );
    assert_eq!(verify::recount(connection).unwrap(), []);
}

/// What is liked after these wishes, one after the other.
pub fn wanted(before: &BTreeSet<(i64, i64)>, wishes: &[Wish]) -> BTreeSet<(i64, i64)> {
    let mut pairs = before.clone();
    for (user, video, on) in wishes {
        if *on {
            pairs.insert((user.0, video.0));
        } else {
            pairs.remove(&(user.0, video.0));
        }
    }
    pairs
}

/// One line of a user's stream.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Told {
    /// About which video.
    pub video: i64,
    /// How many new likers.
    pub count: i64,
    /// Up to three of them, the latest first.
    pub likers: Vec<i64>,
}

#[derive(QueryableByName)]
struct EventRow {
    #[diesel(sql_type = BigInt)]
    user_id: i64,
    #[diesel(sql_type = BigInt)]
    seq: i64,
    #[diesel(sql_type = diesel::sql_types::Text)]
    kind: String,
    #[diesel(sql_type = diesel::sql_types::Text)]
    payload: String,
}

/// What authors are told of likes. Everybody's stream is numbered from 1 without a gap, whatever else is in it, and goes
/// on where its row says.
pub fn told(connection: &mut DbConnection) -> BTreeMap<i64, Vec<Told>> {
    let query = "SELECT user_id, seq, kind, payload FROM events ORDER BY user_id, seq";
    let rows: Vec<EventRow> = diesel::sql_query(query).load(connection).unwrap();
    let (mut streams, mut lengths): (BTreeMap<i64, Vec<Told>>, BTreeMap<i64, i64>) = Default::default();
    for row in rows {
        let length = lengths.entry(row.user_id).or_default();
        *length += 1;
        assert_eq!(row.seq, *length, "dense from 1");
        if row.kind != "favorite.new" {
            continue;
        }
        let stream = streams.entry(row.user_id).or_default();
        let payload: serde_json::Value = serde_json::from_str(&row.payload).unwrap();
        let number = |name: &str| payload[name].as_i64().unwrap();
        let likers = payload["user_ids"].as_array().unwrap();
        stream.push(Told {
            video: number("video_id"),
            count: number("count"),
            likers: likers.iter().map(|id| id.as_i64().unwrap()).collect(),
        });
    }
    for (user, next) in numbers(connection, "SELECT user_id AS a, next_seq AS b FROM streams") {
        let length = lengths.get(&user).copied().unwrap_or_default();
        assert_eq!(next, length + 1, "where user {user} goes on");
    }
    streams
}
