//! Messages in batches: what one by one would have left, in a number of statements that does not grow, beside everything
//! else that sends.

use std::collections::HashMap;
use std::sync::atomic::{AtomicI64, Ordering};
use std::sync::{Arc, Mutex};

use diesel::connection::{Connection, InstrumentationEvent, SimpleConnection};
use diesel::prelude::*;
use diesel::sql_types::Text;
use ovation_schema::messages::{NewMessage, Sent};
use ovation_schema::users::NewUser;
use ovation_schema::{DbConnection, MessageId, Store, UserId, messages, streams, users, verify};
use rand::rngs::StdRng;
use rand::{RngExt, SeedableRng};
use tokio::task::JoinSet;

use crate::world::{Folder, mysql, on_both, runtime};

/// Users 1 to 6 exist, 7 and 8 do not.
const USERS: i64 = 6;

async fn settle(store: &Store, users: i64) {
    for id in 1..=users {
        let user = NewUser {
            id: UserId(id),
            name: format!("user {id}"),
            password_hash: "x".into(),
            created_at: 1,
        };
        store.write(move |db| users::insert(db, &user)).await.unwrap();
    }
}

fn any_message(random: &mut StdRng, id: i64) -> NewMessage {
    // Now and then a storm in one conversation.
    let (from, to) = if random.random_ratio(1, 3) {
        if random.random() { (1, 2) } else { (2, 1) }
    } else {
        let from = random.random_range(1..=USERS);
        let to = random.random_range(1..=USERS + 1);
        (from, if from == to { USERS + 2 } else { to })
    };
    // Few keys and texts, so that they meet again; one of them only differs in its end.
    let key = ["k", "k ", "K", "ключ", "'\\?\""][random.random_range(0..5)];
    let key = random
        .random_ratio(1, 2)
        .then(|| format!("{key}{}", random.random_range(0..6)));
    let content = ["'); --", "ü😀\\", "line\nline"][random.random_range(0..3)];
    NewMessage {
        id: MessageId(id),
        from: UserId(from),
        to: UserId(to),
        content: content.into(),
        key,
    }
}

#[derive(Debug, PartialEq, QueryableByName)]
struct Line {
    #[diesel(sql_type = Text)]
    line: String,
}

/// Everything that messages leave behind.
fn rows(db: &mut DbConnection) -> Vec<Line> {
    let concat = |columns: &[&str], db: &DbConnection| match db {
        DbConnection::Sqlite(_) => columns.join(" || '|' || "),
        DbConnection::Mysql(_) => format!("CONCAT_WS('|', {})", columns.join(", ")),
    };
    let mut all = Vec::new();
    for (table, columns, order) in [
        (
            "messages",
            &[
                "id",
                "user_lo",
                "user_hi",
                "from_user_id",
                "content",
                "create_time",
                "COALESCE(client_key, '')",
            ][..],
            "id",
        ),
        (
            "conversations",
            &[
                "user_id",
                "peer_id",
                "last_time",
                "last_message_id",
                "read_time",
                "read_message_id",
                "unread",
            ],
            "user_id, peer_id",
        ),
        (
            "events",
            &["user_id", "seq", "kind", "payload", "created_at"],
            "user_id, seq",
        ),
        ("streams", &["user_id", "next_seq"], "user_id"),
    ] {
        let line = concat(columns, db);
        let query = format!("SELECT {line} AS line FROM {table} ORDER BY {order}");
        all.extend(diesel::sql_query(query).load::<Line>(db).unwrap());
    }
    all
}

#[test]
fn a_batch_leaves_what_one_by_one_leaves() {
    for (seed, sqlite) in [(1, true), (2, false), (3, true), (4, false)] {
        let folders = [Folder::new(), Folder::new()];
        let [options, twin] = folders
            .each_ref()
            .map(|folder| if sqlite { folder.sqlite() } else { mysql() });
        let (batched, single) = (Store::open(&options).unwrap(), Store::open(&twin).unwrap());
        runtime().block_on(async {
            settle(&batched, USERS).await;
            settle(&single, USERS).await;
            let mut random = StdRng::seed_from_u64(seed);
            let (mut id, mut said, mut kinds) = (0, Vec::<NewMessage>::new(), HashMap::<_, usize>::new());
            for round in 0..60 {
                let size = [1, 2, 3, 10, 40][random.random_range(0..5)];
                let batch: Vec<NewMessage> = (0..size)
                    .map(|_| {
                        id += 1;
                        let mut message = any_message(&mut random, id);
                        if !said.is_empty() && random.random_ratio(1, 8) {
                            message = NewMessage {
                                id: message.id,
                                ..said[random.random_range(0..said.len())].clone()
                            };
                        }
                        said.push(message.clone());
                        message
                    })
                    .collect();
                // The clock stands, goes and goes back.
                let now_ms = 1_000 + [0, 500, 20][round % 3];
                let mut one_by_one = Vec::new();
                for message in batch.clone() {
                    let sent = single.write(move |db| messages::send(db, &message, now_ms)).await;
                    one_by_one.push(sent.unwrap());
                }
                let many = batch.clone();
                let sent = batched.write(move |db| {
                    let many: Vec<&NewMessage> = many.iter().collect();
                    messages::send_many(db, &many, now_ms)
                });
                let sent = sent.await.unwrap();
                assert_eq!(sent, one_by_one, "seed {seed}, round {round}: {batch:#?}");
                for sent in &sent {
                    *kinds.entry(std::mem::discriminant(sent)).or_default() += 1;
                }
            }
            assert_eq!(kinds.len(), 4, "stored, duplicates, conflicts and no receiver");
            assert!(kinds.values().all(|count| *count >= 20), "{kinds:?}");
            let left = batched.read(|db| Ok(rows(db))).await.unwrap();
            assert_eq!(left, single.read(|db| Ok(rows(db))).await.unwrap(), "seed {seed}");
            assert!(left.len() > 500);
            let wrong = batched.read(verify::recount).await.unwrap();
            assert!(wrong.is_empty(), "{wrong:?}");
        });
        batched.close();
        single.close();
    }
}

/// The statements of one batch, each by its first words.
fn statements(db: &mut DbConnection, batch: &[NewMessage]) -> Vec<String> {
    let seen = Arc::new(Mutex::new(Vec::new()));
    let log = Arc::clone(&seen);
    db.set_instrumentation(move |event: InstrumentationEvent<'_>| {
        if let InstrumentationEvent::StartQuery { query, .. } = event {
            let query = query.to_string();
            let words: Vec<&str> = query.split_whitespace().take(3).collect();
            log.lock().unwrap().push(words.join(" "));
        }
    });
    db.batch_execute("BEGIN").unwrap();
    let batch: Vec<&NewMessage> = batch.iter().collect();
    let sent = messages::send_many(db, &batch, 1_000).unwrap();
    db.batch_execute("COMMIT").unwrap();
    db.set_instrumentation(diesel::connection::get_default_instrumentation());
    assert!(sent.iter().all(|sent| matches!(sent, Sent::Stored { .. })));
    seen.lock().unwrap().clone()
}

#[derive(QueryableByName)]
struct Status {
    #[diesel(sql_type = Text)]
    value: String,
}

/// Rows that the session has read so far; SQLite does not count them.
fn rows_read(db: &mut DbConnection) -> Option<i64> {
    if matches!(db, DbConnection::Sqlite(_)) {
        return None;
    }
    let status: Vec<Status> = diesel::sql_query(
        "SELECT CAST(variable_value AS CHAR) AS value FROM information_schema.session_status \
         WHERE variable_name LIKE 'Handler_read%' AND variable_name NOT LIKE '%tmp%'",
    )
    .load(db)
    .unwrap();
    Some(status.iter().map(|row| row.value.parse::<i64>().unwrap()).sum())
}

#[test]
fn the_statements_of_a_batch_do_not_grow_with_it() {
    let folder = Folder::new();
    for options in [folder.sqlite(), mysql()] {
        let store = Store::open(&options).unwrap();
        runtime().block_on(settle(&store, 600));
        store.close();
        let mut db = ovation_schema::connect(&options).unwrap();
        // 300 conversations, each with other people, so that every list is as long as the batch.
        let batch = |first: i64, size: i64| -> Vec<NewMessage> {
            let message = |n: i64| NewMessage {
                id: MessageId(first + n),
                from: UserId(2 * n + 1),
                to: UserId(2 * n + 2),
                content: "m".into(),
                key: Some(format!("key {first}")),
            };
            (0..size).map(message).collect()
        };
        let new = statements(&mut db, &batch(1, 300));
        let few = statements(&mut db, &batch(1_000, 3));
        let before = rows_read(&mut db);
        let many = statements(&mut db, &batch(2_000, 300));
        let read = rows_read(&mut db).unwrap_or(0) - before.unwrap_or(0);
        assert_eq!(few, many);
        assert_eq!(new.len(), few.len() + 1, "users are locked as well: {new:#?}");
        assert!(few.len() <= 11, "{few:#?}");
        // The conversation; both its sides, locked, then written; the key; two streams, locked, then written.
        assert!(read <= 300 * 12, "{read} rows read for 300 messages");
    }
}

#[test]
fn batches_beside_each_other_and_beside_single_ones_are_exact() {
    const PEOPLE: i64 = 9;
    on_both(|store| {
        runtime().block_on(async {
            settle(store, PEOPLE).await;
            let ids = Arc::new(AtomicI64::new(1));
            let mut tasks = JoinSet::new();
            for task in 0..8_i64 {
                let (store, ids) = (store.clone(), Arc::clone(&ids));
                tasks.spawn(async move {
                    let mut random = StdRng::seed_from_u64(task.unsigned_abs());
                    let mut ends = Vec::new();
                    for _ in 0..25 {
                        let size = if task % 4 == 0 { 1 } else { random.random_range(2..20) };
                        let batch: Vec<NewMessage> = (0..size)
                            .map(|_| {
                                let from = random.random_range(1..=PEOPLE);
                                // The same keys everywhere, also to others.
                                let key = random.random_ratio(1, 4).then(|| random.random_range(0..60));
                                NewMessage {
                                    id: MessageId(ids.fetch_add(1, Ordering::Relaxed)),
                                    from: UserId(from),
                                    to: UserId((from + random.random_range(0..PEOPLE - 1)) % PEOPLE + 1),
                                    content: "m".into(),
                                    key: key.map(|key: u32| format!("key {key}")),
                                }
                            })
                            .collect();
                        let many = batch.clone();
                        let sent = store.write(move |db| {
                            let many: Vec<&NewMessage> = many.iter().collect();
                            messages::send_many(db, &many, 1_000)
                        });
                        ends.extend(batch.into_iter().zip(sent.await.unwrap()));
                    }
                    ends
                });
            }
            let ends: Vec<(NewMessage, Sent)> = tasks.join_all().await.into_iter().flatten().collect();
            let mut said = Vec::new();
            let mut by_key: HashMap<(UserId, String), (MessageId, UserId)> = HashMap::new();
            for (message, sent) in &ends {
                if let Sent::Stored { events, .. } = sent {
                    said.extend(events.iter().cloned());
                    if let Some(key) = &message.key {
                        let twice = by_key.insert((message.from, key.clone()), (message.id, message.to));
                        assert!(twice.is_none(), "one key, two messages");
                    }
                }
            }
            for (message, sent) in &ends {
                let first = message.key.clone().map(|key| by_key[&(message.from, key)]);
                let fits = match sent {
                    Sent::Stored { .. } => first.is_none_or(|(id, _)| id == message.id),
                    Sent::Duplicate { id, .. } => first == Some((*id, message.to)),
                    Sent::KeyConflict => first.is_some_and(|(_, to)| to != message.to),
                    Sent::NoReceiver => false,
                };
                assert!(fits, "{message:?}: {sent:?}");
            }
            said.sort_unstable_by_key(|event| (event.user, event.seq));
            let mut stored = Vec::new();
            for user in (1..=PEOPLE).map(UserId) {
                let events = store.read(move |db| streams::page(db, user, 0, 100_000)).await.unwrap();
                assert!(
                    events
                        .iter()
                        .map(|event| event.seq)
                        .eq(1..=i64::try_from(events.len()).unwrap())
                );
                stored.extend(events);
            }
            assert_eq!(said, stored, "each event was told to its caller once, as it is stored");
            let wrong = store.read(verify::recount).await.unwrap();
            assert!(wrong.is_empty(), "{wrong:?}");
        });
    });
}

#[test]
fn a_batch_that_fails_leaves_nothing() {
    on_both(|store| {
        runtime().block_on(async {
            settle(store, 4).await;
            let drop_stream = |db: &mut DbConnection| Ok(db.batch_execute("DELETE FROM streams WHERE user_id = 4")?);
            store.write(drop_stream).await.unwrap();
            let before = store.read(|db| Ok(rows(db))).await.unwrap();
            let message = |id, from, to| NewMessage {
                id: MessageId(id),
                from: UserId(from),
                to: UserId(to),
                content: "m".into(),
                key: None,
            };
            let batch = [message(1, 1, 2), message(2, 1, 4), message(3, 2, 3)];
            let sent = store.write(move |db| {
                let batch: Vec<&NewMessage> = batch.iter().collect();
                messages::send_many(db, &batch, 1_000)
            });
            sent.await.unwrap_err();
            assert_eq!(store.read(|db| Ok(rows(db))).await.unwrap(), before);
        });
    });
}
