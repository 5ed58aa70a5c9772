//! Streams, keys and read marks: dense under everything at once, stored once however often it is sent, never a hole.

use std::collections::{BTreeMap, HashSet};

use diesel::connection::SimpleConnection;
use diesel::prelude::*;
use diesel::sql_types::BigInt;
use ovation_schema::comments::NewComment;
use ovation_schema::likes::{Batch, Flushed, Wish};
use ovation_schema::messages::{NewMessage, Read, Sent};
use ovation_schema::streams::{Event, EventKind, NewEvent, Position};
use ovation_schema::{
    Change, CommentId, DbConnection, MessageId, Store, StoreError, UserId, VideoId, comments, follows, likes, messages,
    migrate, streams, users, verify,
};
use serde_json::{Value, json};
use tokio::task::JoinSet;

use crate::world::{Folder, add_user, mysql, on_both, publish, runtime};

/// No user of a test has more events.
const ALL: i64 = 100_000;

async fn several(store: &Store, count: usize) -> Vec<UserId> {
    let mut all = Vec::new();
    for _ in 0..count {
        all.push(add_user(store).await);
    }
    all
}

async fn send(store: &Store, (from, to): (UserId, UserId), content: &str, key: Option<&str>) -> (MessageId, Sent) {
    let id: MessageId = store.next_id().await.unwrap();
    let message = NewMessage {
        id,
        from,
        to,
        content: content.into(),
        key: key.map(str::to_owned),
    };
    // The clock stands still.
    let sent = store.write(move |db| messages::send(db, &message, 1_000)).await;
    (id, sent.unwrap())
}

/// Sends what is no duplicate.
async fn tell(store: &Store, pair: (UserId, UserId), content: &str) -> (MessageId, i64, Vec<Event>) {
    match send(store, pair, content, None).await {
        (id, Sent::Stored { create_time, events }) => (id, create_time, events),
        other => panic!("{other:?}"),
    }
}

/// A user's whole stream, which must be dense up to its newest number.
async fn stream(store: &Store, user: UserId) -> Vec<Event> {
    let (position, events) = store
        .read(move |db| Ok((streams::position(db, user)?.unwrap(), streams::page(db, user, 0, ALL)?)))
        .await
        .unwrap();
    let seqs: Vec<i64> = events.iter().map(|event| event.seq).collect();
    assert_eq!(
        seqs,
        (position.oldest..=position.newest).collect::<Vec<_>>(),
        "of {user}"
    );
    events
}

fn told(event: &Event) -> Value {
    serde_json::from_str(&event.payload).unwrap()
}

async fn is_exact(store: &Store) {
    let wrong = store.read(verify::recount).await.unwrap();
    assert!(wrong.is_empty(), "{wrong:?}");
}

/// What happens in a storm, each by its number.
async fn happen(store: &Store, all: &[UserId], videos: &[VideoId], n: usize) -> Vec<Event> {
    let (a, b) = (all[n % all.len()], all[(n / 7 + n + 1) % all.len()]);
    if a == b {
        return Vec::new();
    }
    match n % 5 {
        0 | 1 => tell(store, (a, b), "hello").await.2,
        2 => {
            let set = store.write(move |db| follows::set(db, a, b, n.is_multiple_of(2), 5));
            set.await.unwrap().1
        }
        3 => {
            let comment = NewComment {
                id: store.next_id().await.unwrap(),
                video_id: videos[n % videos.len()],
                user_id: a,
                content: "\"nice\"".into(),
                created_at: 5,
            };
            let posted = store.write(move |db| comments::insert(db, &comment)).await.unwrap();
            posted.unwrap().events
        }
        _ => {
            let (id, _, mut events) = tell(store, (a, b), "read me").await;
            match store.write(move |db| messages::read(db, b, a, id, 9)).await.unwrap() {
                Read::Moved { events: read, .. } => events.extend(read),
                Read::Unchanged { .. } => {}
                Read::UnknownMessage => panic!("it was stored"),
            }
            events
        }
    }
}

/// Everybody likes everything, a pair a batch.
async fn flush_likes(store: &Store, all: &[UserId], videos: &[VideoId]) -> Vec<Event> {
    let adopt = store.write(|db| likes::adopt(db, "ledger", 0));
    adopt.await.unwrap();
    let mut events = Vec::new();
    for (position, &video) in (0..).zip(videos.iter().cycle().take(30)) {
        let wishes = all.iter().map(|&user| Wish {
            user,
            video,
            on: (position / 3 + user.0) % 2 == 0,
            at_ms: position,
        });
        let batch = Batch {
            ledger_id: "ledger".into(),
            after: position,
            first: position + 1,
            last: position + 1,
            wishes: wishes.collect(),
        };
        match store.write(move |db| likes::flush(db, &batch)).await.unwrap() {
            Flushed::Applied {
                dropped: 0,
                events: new,
            } => events.extend(new),
            other => panic!("{other:?}"),
        }
    }
    events
}

#[test]
fn streams_are_dense_when_everything_happens_at_once() {
    on_both(|store| {
        runtime().block_on(async {
            let all = several(store, 7).await;
            let mut videos = Vec::new();
            for author in &all[..3] {
                videos.push(publish(store, *author).await.unwrap().0);
            }
            let mut tasks = JoinSet::new();
            for n in 0..250 {
                let (store, all, videos) = (store.clone(), all.clone(), videos.clone());
                tasks.spawn(async move { happen(&store, &all, &videos, n).await });
            }
            let (liking, people, liked) = (store.clone(), all.clone(), videos.clone());
            tasks.spawn(async move { flush_likes(&liking, &people, &liked).await });
            let mut said: Vec<Event> = tasks.join_all().await.into_iter().flatten().collect();
            said.sort_unstable_by_key(|event| (event.user, event.seq));
            let mut stored = Vec::new();
            for &user in &all {
                let events = stream(store, user).await;
                assert!(events.is_empty() || events[0].seq == 1);
                stored.extend(events);
            }
            assert_eq!(said, stored, "each event was told to its caller once, as it is stored");
            let kinds: HashSet<_> = stored.iter().map(|event| event.kind).collect();
            assert_eq!(kinds.len(), 5, "all of it happened: {kinds:?}");
            is_exact(store).await;
        });
    });
}

#[test]
fn a_message_sent_again_and_again_is_stored_once() {
    on_both(|store| {
        runtime().block_on(async {
            let all = several(store, 2).await;
            let pair = (all[0], all[1]);
            // The conversation is new in the first round.
            for key in ["first", "second", "second "] {
                let mut tasks = JoinSet::new();
                for _ in 0..20 {
                    let store = store.clone();
                    tasks.spawn(async move { send(&store, pair, "m", Some(key)).await });
                }
                let ends = tasks.join_all().await;
                let mut first = ends.iter().filter_map(|(id, sent)| match sent {
                    Sent::Stored { create_time, events } => Some((*id, *create_time, events)),
                    _ => None,
                });
                let (id, create_time, events) = first.next().expect("one is stored");
                assert!(first.next().is_none(), "and no other");
                assert_eq!(told(&events[0])["key"], key);
                for (_, sent) in ends.iter().filter(|(other, _)| *other != id) {
                    assert_eq!(*sent, Sent::Duplicate { id, create_time });
                }
            }
            let listed = store
                .read(move |db| messages::history(db, pair, None, 100))
                .await
                .unwrap();
            assert_eq!(listed.len(), 3);
            for user in all {
                assert_eq!(stream(store, user).await.len(), 3);
            }
            is_exact(store).await;
        });
    });
}

#[test]
fn a_key_belongs_to_one_receiver_and_one_text() {
    on_both(|store| {
        runtime().block_on(async {
            let all = several(store, 6).await;
            let sender = all[0];
            for round in 0..8 {
                let mut tasks = JoinSet::new();
                for n in 0..15 {
                    let (store, to) = (store.clone(), all[1 + n % 5]);
                    // The conversations are new in the first round.
                    tasks.spawn(async move {
                        let (id, sent) = send(&store, (sender, to), "m", Some(&format!("key {round}"))).await;
                        (id, to, sent)
                    });
                }
                let ends = tasks.join_all().await;
                let stored = ends.iter().filter(|(.., sent)| matches!(sent, Sent::Stored { .. }));
                let [(id, receiver, _)] = stored.collect::<Vec<_>>()[..] else {
                    panic!("{ends:?}")
                };
                for (other, to, sent) in &ends {
                    let fits = match sent {
                        Sent::Stored { .. } => other == id,
                        Sent::Duplicate { id: first, .. } => to == receiver && first == id,
                        Sent::KeyConflict => to != receiver,
                        Sent::NoReceiver => false,
                    };
                    assert!(fits, "{to} of {receiver}: {sent:?}");
                }
                let (_, sent) = send(store, (sender, *receiver), "another", Some(&format!("key {round}"))).await;
                assert_eq!(sent, Sent::KeyConflict);
            }
            assert_eq!(stream(store, sender).await.len(), 8, "what was refused left nothing");
            let (_, sent) = send(store, (sender, UserId(9_999)), "m", Some("new")).await;
            assert_eq!(sent, Sent::NoReceiver);
            let odd = store.read(|db| {
                let behind = "SELECT COUNT(*) AS number FROM conversations LEFT JOIN messages ON messages.id = \
                              last_message_id WHERE create_time IS NULL OR create_time <> last_time";
                number(db, behind)
            });
            assert_eq!(odd.await.unwrap(), 0, "a refused message moves no conversation");
            // Somebody else's key of the same name is another key.
            let (_, sent) = send(store, (all[1], sender), "m", Some("key 0")).await;
            assert!(matches!(sent, Sent::Stored { .. }));
            is_exact(store).await;
        });
    });
}

#[derive(QueryableByName)]
struct Number {
    #[diesel(sql_type = BigInt)]
    number: i64,
}

fn number(db: &mut DbConnection, query: &str) -> Result<i64, StoreError> {
    Ok(diesel::sql_query(query).get_result::<Number>(db)?.number)
}

#[test]
fn read_marks_only_move_forward_whoever_is_faster() {
    on_both(|store| {
        runtime().block_on(async {
            let all = several(store, 2).await;
            let (ann, ben) = (all[0], all[1]);
            let mut sent = Vec::new();
            for n in 0..30 {
                let pair = if n % 3 == 0 { (ben, ann) } else { (ann, ben) };
                sent.push(tell(store, pair, "m").await);
            }
            let state = store
                .read(move |db| messages::conversation(db, ben, ann))
                .await
                .unwrap();
            assert_eq!((state.read_message_id, state.unread), (MessageId(0), 20));
            let mut tasks = JoinSet::new();
            for n in 0..60 {
                let (store, message) = (store.clone(), sent[(n * 17) % 25].0);
                tasks.spawn(async move {
                    if n % 4 == 0 {
                        tell(&store, (ann, ben), "more").await;
                    }
                    store
                        .write(move |db| messages::read(db, ben, ann, message, 7))
                        .await
                        .unwrap()
                });
            }
            let moved = tasks.join_all().await;
            let moved = moved.iter().filter(|read| matches!(read, Read::Moved { .. })).count();
            let state = store
                .read(move |db| messages::conversation(db, ben, ann))
                .await
                .unwrap();
            assert_eq!(state.read_message_id, sent[24].0, "the furthest one");
            // Numbers 25 to 29 without 27, and 15 more.
            assert_eq!(state.unread, 4 + 15);
            let back = store
                .read(move |db| messages::conversation(db, ann, ben))
                .await
                .unwrap();
            assert_eq!(
                (back.read_message_id, back.peer_read_message_id),
                (MessageId(0), sent[24].0)
            );
            assert_eq!(store.read(move |db| messages::unread_total(db, ben)).await.unwrap(), 19);
            for (user, knows) in [(ann, false), (ben, true)] {
                let events = stream(store, user).await;
                let reads: Vec<Value> = events
                    .iter()
                    .filter(|event| event.kind == EventKind::MessageRead)
                    .map(told)
                    .collect();
                assert_eq!(reads.len(), moved);
                assert!(reads.is_sorted_by(|a, b| a["read_time"].as_i64() < b["read_time"].as_i64()));
                assert!(reads.iter().all(|read| read.get("unread").is_some() == knows));
            }
            let unknown = store
                .write(move |db| messages::read(db, ben, ben, sent[0].0, 7))
                .await
                .unwrap();
            assert_eq!(unknown, Read::UnknownMessage);
            is_exact(store).await;
        });
    });
}

async fn append(store: &Store, user: UserId, count: usize, now_ms: i64) {
    let new: Vec<NewEvent> = (0..count)
        .map(|n| NewEvent {
            user,
            kind: EventKind::FollowNew,
            payload: json!({ "n": n }).to_string(),
        })
        .collect();
    store.write(move |db| streams::append(db, &new, now_ms)).await.unwrap();
}

async fn position(store: &Store, user: UserId) -> Position {
    store
        .read(move |db| streams::position(db, user))
        .await
        .unwrap()
        .unwrap()
}

#[test]
fn only_beginnings_of_streams_go() {
    on_both(|store| {
        runtime().block_on(async {
            let all = several(store, 2).await;
            let (busy, silent) = (all[0], all[1]);
            append(store, silent, 3, 10).await;
            store.write(|db| streams::retain(db, 100)).await.unwrap();
            for round in 0..60 {
                append(store, busy, 7, 1_000 + round).await;
                let kept = i64::try_from(stream(store, busy).await.len()).unwrap();
                assert!(kept < 100 + 128 + 7 && kept >= ((round + 1) * 7).min(100), "{kept}");
            }
            append(store, busy, 2_500, 2_000).await;
            assert!(stream(store, busy).await.len() < 228);
            let trim = |older_than| store.write(move |db| streams::trim(db, older_than, 50, 10));
            assert_eq!(trim(1_000).await.unwrap(), 3);
            assert_eq!(trim(1_000).await.unwrap(), 0);
            assert!(stream(store, silent).await.is_empty());
            let Position { newest, oldest, .. } = position(store, silent).await;
            assert_eq!((newest, oldest), (3, 4));
            // The clock goes back, and forward again: what was stored before an old event is older than it.
            for (count, now_ms) in [(2, 9_000), (1, 5_000), (3, 9_500)] {
                append(store, silent, count, now_ms).await;
            }
            while trim(6_000).await.unwrap() > 0 {}
            let left: Vec<i64> = stream(store, silent).await.iter().map(|event| event.seq).collect();
            assert_eq!(left, [7, 8, 9]);
            assert!(stream(store, busy).await.is_empty());
            append(store, busy, 1, 9_000).await;
            assert_eq!(position(store, busy).await.newest, 60 * 7 + 2_500 + 1, "numbers go on");
        });
    });
}

#[test]
fn trimming_beside_appending_makes_no_hole() {
    on_both(|store| {
        runtime().block_on(async {
            let all = several(store, 4).await;
            store.write(|db| streams::retain(db, 20)).await.unwrap();
            let mut tasks = JoinSet::new();
            for n in 0..80 {
                let (store, all) = (store.clone(), all.clone());
                tasks.spawn(async move {
                    let new: Vec<NewEvent> = (0..40)
                        .map(|m| NewEvent {
                            user: all[(n * m + m) % all.len()],
                            kind: EventKind::FollowNew,
                            payload: "{}".into(),
                        })
                        .collect();
                    let time = i64::try_from(n).unwrap();
                    store.write(move |db| streams::append(db, &new, time)).await.unwrap();
                    store.write(move |db| streams::trim(db, time, 20, 30)).await.unwrap();
                });
            }
            tasks.join_all().await;
            let mut newest = 0;
            for user in all {
                stream(store, user).await;
                newest += position(store, user).await.newest;
            }
            assert_eq!(newest, 80 * 40);
            is_exact(store).await;
        });
    });
}

#[test]
fn what_is_rolled_back_was_never_told() {
    on_both(|store| {
        runtime().block_on(async {
            let all = several(store, 2).await;
            let (ann, ben) = (all[0], all[1]);
            let failed = store.write(move |db| {
                let message = NewMessage {
                    id: MessageId(77),
                    from: ann,
                    to: ben,
                    content: "m".into(),
                    key: Some("k".into()),
                };
                assert!(matches!(messages::send(db, &message, 1)?, Sent::Stored { .. }));
                follows::set(db, ann, ben, true, 1)?;
                Err::<(), _>(StoreError::Internal("no".into()))
            });
            assert!(failed.await.is_err());
            for user in [ann, ben] {
                assert!(stream(store, user).await.is_empty());
                assert_eq!(position(store, user).await.newest, 0);
            }
            // The key is free, and the first number is the first.
            let (_, sent) = send(store, (ann, ben), "m", Some("k")).await;
            assert!(matches!(sent, Sent::Stored { .. }));
            assert_eq!(stream(store, ben).await[0].seq, 1);
            let nobody = store.write(|db| {
                let new = NewEvent {
                    user: UserId(9_999),
                    kind: EventKind::FollowNew,
                    payload: "{}".into(),
                };
                streams::append(db, &[new], 1)
            });
            assert!(nobody.await.is_err(), "nobody has no stream");
            assert_eq!(
                store.read(|db| streams::position(db, UserId(9_999))).await.unwrap(),
                None
            );
        });
    });
}

#[test]
fn events_say_what_their_documentation_says() {
    on_both(|store| {
        runtime().block_on(async {
            let all = several(store, 2).await;
            let (ann, ben) = (all[0], all[1]);
            let (video, _) = publish(store, ann).await.unwrap();
            let follow = |on| store.write(move |db| follows::set(db, ben, ann, on, 3));
            assert_eq!(follow(true).await.unwrap().1.len(), 1);
            for on in [false, true] {
                assert_eq!(follow(on).await.unwrap(), (Change::Made, Vec::new()), "told once, ever");
            }
            let comment = |by: UserId| async move {
                let id: CommentId = store.next_id().await.unwrap();
                let comment = NewComment {
                    id,
                    video_id: video,
                    user_id: by,
                    content: "a \"b\"\n".into(),
                    created_at: 4,
                };
                let posted = store.write(move |db| comments::insert(db, &comment)).await.unwrap();
                (id, posted.unwrap())
            };
            let (said, posted) = comment(ben).await;
            assert_eq!((posted.user.id, posted.events.len()), (ben, 1));
            assert!(comment(ann).await.1.events.is_empty(), "not of one's own");
            let text = "\u{1}".repeat(1_000) + &"🎬".repeat(1_000);
            let (_, sent) = send(store, (ben, ann), &text, Some("k-1")).await;
            let Sent::Stored { create_time, .. } = sent else {
                panic!("{sent:?}")
            };
            let message = store
                .read(move |db| messages::history(db, (ann, ben), None, 1))
                .await
                .unwrap()[0]
                .id;
            store
                .write(move |db| messages::read(db, ann, ben, message, 9))
                .await
                .unwrap();
            let of_ann: Vec<(EventKind, Value)> = stream(store, ann)
                .await
                .iter()
                .map(|event| (event.kind, told(event)))
                .collect();
            let sent = json!({"message_id": message.0, "from_user_id": ben.0, "to_user_id": ann.0, "content": text,
                "create_time": create_time});
            let read = json!({"user_id": ann.0, "with_user_id": ben.0, "message_id": message.0,
                "read_time": create_time});
            let with = |value: &Value, name: &str, more: Value| {
                let mut value = value.clone();
                value[name] = more;
                value
            };
            let expected = [
                (
                    EventKind::FollowNew,
                    json!({"user_id": ben.0, "name": format!("user {ben}")}),
                ),
                (
                    EventKind::CommentNew,
                    json!({"video_id": video.0, "comment_id": said.0, "user_id": ben.0, "content": "a \"b\"\n",
                        "create_time": 4}),
                ),
                (EventKind::MessageNew, with(&sent, "unread", 1.into())),
                (EventKind::MessageRead, with(&read, "unread", 0.into())),
            ];
            assert_eq!(of_ann, expected);
            let of_ben: Vec<Value> = stream(store, ben).await.iter().map(told).collect();
            assert_eq!(of_ben, [with(&sent, "key", "k-1".into()), read]);
        });
    });
}

#[test]
fn friends_and_followers_among_some() {
    on_both(|store| {
        runtime().block_on(async {
            let all = several(store, 5).await;
            let pairs = [(0, 1), (1, 0), (2, 0), (0, 3), (3, 0), (0, 4)].map(|(a, b)| (all[a], all[b]));
            for (a, b) in pairs {
                store.write(move |db| follows::set(db, a, b, true, 1)).await.unwrap();
            }
            let (a, b) = (all[3], all[0]);
            store.write(move |db| follows::set(db, a, b, false, 2)).await.unwrap();
            let ids = all.clone();
            let (friends, followers) = store
                .read(move |db| {
                    let followers = follows::followers_among(db, ids[0], &ids)?;
                    Ok((follows::friends_among(db, ids[0], &ids)?, followers))
                })
                .await
                .unwrap();
            assert_eq!(friends, [all[1]]);
            assert_eq!(
                followers.into_iter().collect::<HashSet<_>>(),
                HashSet::from([all[1], all[2]])
            );
        });
    });
}

#[test]
fn whoever_follows_the_revocations_misses_none() {
    on_both(|store| {
        runtime().block_on(async {
            let all = several(store, 6).await;
            let mut tasks = JoinSet::new();
            for n in 0..60 {
                let store = store.clone();
                let name = format!("user {}", all[n % all.len()]);
                // The clock stands still.
                tasks.spawn(async move {
                    let changed = store.write(move |db| users::set_password(db, &name, "x", 1_000)).await;
                    assert!(changed.unwrap());
                });
            }
            let (mut seen, mut last) = (Vec::new(), 0);
            while seen.len() < 60 {
                let newer = store.read(move |db| users::revoked_since(db, last, 7)).await.unwrap();
                last = newer.last().map_or(last, |(at, ..)| *at);
                seen.extend(newer);
            }
            tasks.join_all().await;
            assert!(seen.is_sorted_by(|a, b| a.0 < b.0));
            let mut versions: BTreeMap<UserId, i64> = BTreeMap::new();
            for (_, user, version) in seen {
                let before = versions.insert(user, version).unwrap_or(users::FIRST_TOKEN_VERSION);
                assert_eq!(version, before + 1);
            }
            let ids = all.clone();
            let stored = store.read(move |db| users::token_versions(db, &ids)).await.unwrap();
            assert_eq!(versions, stored.into_iter().collect());
            let nobody = store.write(|db| users::set_password(db, "nobody", "x", 1)).await;
            assert!(!nobody.unwrap());
        });
    });
}

#[test]
fn the_last_sight_of_somebody_never_goes_back() {
    on_both(|store| {
        runtime().block_on(async {
            let (a, b, c) = (UserId(1), UserId(2), UserId(3));
            for seen in [vec![], vec![(a, 5), (b, 9), (a, 7)], vec![(b, 8), (a, 6), (c, 1)]] {
                store.write(move |db| users::set_last_seen(db, &seen)).await.unwrap();
            }
            let mut seen = store
                .read(move |db| users::last_seen(db, &[a, b, c, UserId(4)]))
                .await
                .unwrap();
            seen.sort_unstable();
            assert_eq!(seen, [(a, 7), (b, 9), (c, 1)]);
        });
    });
}

#[test]
fn an_epoch_lasts_until_it_is_renewed_and_the_beat_only_rises() {
    on_both(|store| {
        runtime().block_on(async {
            let epoch = || store.read(streams::epoch);
            let user = add_user(store).await;
            let first = epoch().await.unwrap();
            assert_eq!(first.len(), 32);
            assert_eq!(position(store, user).await.epoch, first);
            let renewed = store.write(streams::renew_epoch).await.unwrap();
            assert_ne!(first, renewed);
            assert_eq!(epoch().await.unwrap(), renewed);
            assert_eq!(store.read(streams::current_beat).await.unwrap(), 0);
            for beat in 1..=3 {
                assert_eq!(store.write(streams::beat).await.unwrap(), beat);
            }
            assert_eq!(store.read(streams::current_beat).await.unwrap(), 3);
        });
    });
}

#[test]
fn verify_finds_and_mends_what_streams_and_marks_can_lose() {
    let folder = Folder::new();
    for options in [folder.sqlite(), mysql()] {
        let store = Store::open(&options).unwrap();
        let all = runtime().block_on(async {
            let all = several(&store, 5).await;
            for n in 0..4 {
                for pair in [(all[0], all[1]), (all[2], all[3])] {
                    tell(&store, pair, &n.to_string()).await;
                }
            }
            append(&store, all[4], 9, 1).await;
            is_exact(&store).await;
            all
        });
        let mut db = ovation_schema::connect(&options).unwrap();
        db.batch_execute(&format!(
            "UPDATE conversations SET unread = 7 WHERE user_id = {}; DELETE FROM streams WHERE user_id = {}; \
             UPDATE streams SET next_seq = 2 WHERE user_id = {}; DELETE FROM events WHERE user_id = {} AND seq = 4; \
             DELETE FROM events WHERE user_id = {} AND seq IN (3, 6)",
            all[1], all[1], all[2], all[3], all[4],
        ))
        .unwrap();
        let found = |differences: Vec<verify::Difference>| -> Vec<_> {
            let found = differences.iter();
            found
                .map(|wrong| (wrong.counter, wrong.id, wrong.stored, wrong.counted))
                .collect()
        };
        let wrong = [
            ("conversations.unread", all[1].0, 7, 4),
            ("streams.user_id", all[1].0, 0, all[1].0),
            ("streams.next_seq", all[2].0, 2, 5),
            ("streams.events", all[3].0, 4, 3),
            ("streams.events", all[4].0, 9, 7),
        ];
        assert_eq!(found(verify::recount(&mut db).unwrap()), wrong);
        assert_eq!(found(verify::mend(&mut db).unwrap()), wrong);
        assert!(verify::recount(&mut db).unwrap().is_empty());
        runtime().block_on(async {
            let mut ends = Vec::new();
            for &user in &all {
                stream(&store, user).await;
                let Position { newest, oldest, .. } = position(&store, user).await;
                ends.push((oldest, newest));
            }
            // The fourth lost its newest event: nothing of it can be trusted to be whole.
            assert_eq!(ends, [(1, 4), (1, 4), (1, 4), (5, 4), (7, 9)]);
            tell(&store, (all[0], all[1]), "again").await;
            is_exact(&store).await;
        });
        store.close();
    }
}

/// As the migration before this one left it.
const OLDER: &str = "
    INSERT INTO store (id, store_id, created_at) VALUES (1, 'old', 1);
    INSERT INTO users (id, name, password_hash, created_at, next_seq) VALUES
        (1, 'ann', 'x', 1, 4), (2, 'ben', 'x', 1, 1), (3, 'cid', 'x', 1, 2);
    INSERT INTO events (user_id, seq, kind, payload, created_at) VALUES
        (1, 1, 'favorite.new', '{}', 5), (1, 2, 'favorite.new', '{}', 6), (1, 3, 'favorite.new', '{}', 7),
        (3, 1, 'favorite.new', '{}', 8);
    INSERT INTO messages (id, user_lo, user_hi, from_user_id, content, create_time) VALUES
        (11, 1, 2, 1, 'a', 100), (12, 1, 2, 2, 'b', 101), (13, 1, 2, 1, 'c', 102);
    INSERT INTO conversations (user_id, peer_id, last_time, last_message_id) VALUES (1, 2, 102, 13), (2, 1, 102, 13)";

#[test]
fn an_older_store_keeps_its_streams_and_has_read_its_messages() {
    let folder = Folder::new();
    for options in [folder.sqlite(), mysql()] {
        let mut db = ovation_schema::connect(&options).unwrap();
        migrate::run(&mut db).unwrap();
        let name = migrate::revert(&mut db).unwrap().unwrap();
        assert!(name.ends_with("streams"), "{name}");
        db.batch_execute(OLDER).unwrap();
        assert_eq!(migrate::run(&mut db).unwrap(), [name]);
        let expect = |db: &mut DbConnection| {
            let ends: Vec<_> = [1, 2, 3]
                .map(|user| streams::position(db, UserId(user)).unwrap().unwrap())
                .map(|position| (position.oldest, position.newest))
                .into();
            assert_eq!(ends, [(1, 3), (1, 0), (1, 1)]);
            assert_eq!(streams::epoch(db).unwrap().len(), 32);
            for (user, peer) in [(1, 2), (2, 1)] {
                let state = messages::conversation(db, UserId(user), UserId(peer)).unwrap();
                assert_eq!(state.read_message_id, MessageId(13));
                assert_eq!((state.peer_read_message_id, state.unread), (MessageId(13), 0));
            }
            assert!(verify::recount(db).unwrap().is_empty());
        };
        expect(&mut db);
        migrate::revert(&mut db).unwrap();
        assert_eq!(
            number(&mut db, "SELECT next_seq AS number FROM users WHERE id = 1").unwrap(),
            4
        );
        migrate::run(&mut db).unwrap();
        expect(&mut db);
        drop(db);
        let store = Store::open(&options).unwrap();
        runtime().block_on(async {
            let sent = store.write(|db| {
                let message = NewMessage {
                    id: MessageId(14),
                    from: UserId(2),
                    to: UserId(1),
                    content: "d".into(),
                    key: None,
                };
                messages::send(db, &message, 1)
            });
            let sent = sent.await.unwrap();
            assert!(matches!(sent, Sent::Stored { create_time: 103, .. }), "{sent:?}");
            assert_eq!(stream(&store, UserId(1)).await.last().unwrap().seq, 4);
            is_exact(&store).await;
        });
        store.close();
    }
}
