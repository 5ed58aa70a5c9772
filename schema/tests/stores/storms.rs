//! Many at once: counts stay exact, times stay in the order in which things become visible, nobody is told of a
//! deadlock.

use std::collections::HashSet;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use ovation_schema::comments::{Deleted, NewComment};
use ovation_schema::messages::{NewMessage, Sent};
use ovation_schema::{
    Change, CommentId, MessageId, Store, UserId, VideoId, comments, favorites, follows, messages, users, videos,
};
use tokio::task::JoinSet;

use crate::world::{add_user, on_both, publish, runtime};

async fn several_users(store: &Store, count: usize) -> Vec<UserId> {
    let mut users = Vec::new();
    for _ in 0..count {
        users.push(add_user(store).await);
    }
    users
}

#[test]
fn ids_are_unique_and_dense_under_concurrency() {
    on_both(|store| {
        runtime().block_on(async {
            let mut tasks = JoinSet::new();
            for _ in 0..205 {
                let store = store.clone();
                tasks.spawn(async move { store.next_id::<CommentId>().await.unwrap().0 });
            }
            let ids: HashSet<i64> = tasks.join_all().await.into_iter().collect();
            assert_eq!(ids, (1..=205).collect());
        });
    });
}

#[test]
fn likes_count_exactly() {
    on_both(|store| {
        runtime().block_on(async {
            let all = several_users(store, 12).await;
            let (one, _) = publish(store, all[0]).await.unwrap();
            let (two, _) = publish(store, all[1]).await.unwrap();
            let mut tasks = JoinSet::new();
            for round in 0..20 {
                for (place, &user) in all.iter().enumerate() {
                    let store = store.clone();
                    let video = if (round + place) % 2 == 0 { one } else { two };
                    let on = (round / 2 + place) % 3 != 0;
                    tasks.spawn(async move {
                        store
                            .write(move |db| favorites::set(db, user, video, on, 1))
                            .await
                            .unwrap()
                    });
                }
            }
            tasks.join_all().await;
            check_likes(store, all, [one, two]).await;
        });
    });
}

/// The counts of videos and users must be what the pairs say.
async fn check_likes(store: &Store, all: Vec<UserId>, both: [VideoId; 2]) {
    let checked = store.read(move |db| {
        let mut pairs = HashSet::new();
        for &user in &all {
            pairs.extend(
                favorites::among(db, user, &both)?
                    .into_iter()
                    .map(|video| (user, video)),
            );
            let given = pairs.iter().filter(|(liker, _)| *liker == user).count();
            assert_eq!(
                users::find(db, user)?.unwrap().favorite_count,
                i64::try_from(given).unwrap()
            );
        }
        for (video, author) in videos::feed(db, i64::MAX, 10)? {
            let likes = i64::try_from(pairs.iter().filter(|(_, liked)| *liked == video.id).count()).unwrap();
            assert_eq!((video.favorite_count, author.total_favorited), (likes, likes));
        }
        Ok(())
    });
    checked.await.unwrap();
}

#[test]
fn one_pair_liked_by_many_hands_moves_once() {
    on_both(|store| {
        runtime().block_on(async {
            let user = add_user(store).await;
            let (video, _) = publish(store, user).await.unwrap();
            for on in [true, false, true] {
                let mut tasks = JoinSet::new();
                for _ in 0..30 {
                    let store = store.clone();
                    tasks.spawn(async move {
                        let change = store
                            .write(move |db| favorites::set(db, user, video, on, 1))
                            .await
                            .unwrap();
                        usize::from(change == Change::Made)
                    });
                }
                assert_eq!(tasks.join_all().await.iter().sum::<usize>(), 1);
            }
        });
    });
}

#[test]
fn crossing_follows_count_exactly() {
    on_both(|store| {
        runtime().block_on(async {
            let all = several_users(store, 6).await;
            let mut tasks = JoinSet::new();
            for round in 0..8 {
                for &a in &all {
                    for &b in all.iter().filter(|b| **b != a) {
                        let store = store.clone();
                        tasks.spawn(async move {
                            let on = (round + a.0 + b.0) % 3 != 0;
                            store.write(move |db| follows::set(db, a, b, on, round)).await.unwrap()
                        });
                    }
                }
            }
            tasks.join_all().await;
            let everybody = all.clone();
            let checked = store.read(move |db| {
                let mut pairs = HashSet::new();
                for &user in &everybody {
                    pairs.extend(
                        follows::among(db, user, &everybody)?
                            .into_iter()
                            .map(|other| (user, other)),
                    );
                }
                for &user in &everybody {
                    let row = users::find(db, user)?.unwrap();
                    let following = pairs.iter().filter(|(a, _)| *a == user).count();
                    let followed = pairs.iter().filter(|(_, b)| *b == user).count();
                    assert_eq!(
                        (row.follow_count, row.follower_count),
                        (i64::try_from(following).unwrap(), i64::try_from(followed).unwrap())
                    );
                }
                Ok(())
            });
            checked.await.unwrap();
        });
    });
}

#[test]
fn comments_posted_and_deleted_twice_at_once_count_exactly() {
    on_both(|store| {
        runtime().block_on(async {
            let user = add_user(store).await;
            let (video, _) = publish(store, user).await.unwrap();
            let mut tasks = JoinSet::new();
            for n in 0..60 {
                let store = store.clone();
                tasks.spawn(async move {
                    let id: CommentId = store.next_id().await.unwrap();
                    let comment = NewComment {
                        id,
                        video_id: video,
                        user_id: user,
                        content: "c".into(),
                        created_at: n,
                    };
                    store
                        .write(move |db| comments::insert(db, &comment))
                        .await
                        .unwrap()
                        .unwrap();
                    if n % 2 == 0 {
                        let twice = [delete(&store, id, video, user), delete(&store, id, video, user)];
                        let [first, second] = twice.map(tokio::spawn);
                        let mut said = [first.await.unwrap(), second.await.unwrap()];
                        said.sort_by_key(|said| *said != Deleted::Yes(Change::Made));
                        assert_eq!(said, [Deleted::Yes(Change::Made), Deleted::Yes(Change::Nothing)]);
                    }
                });
            }
            tasks.join_all().await;
            let end = (i64::MAX, CommentId(i64::MAX));
            let (listed, counted) = store
                .read(move |db| {
                    let listed = comments::page(db, video, end, 100)?.len();
                    Ok((listed, videos::feed(db, i64::MAX, 1)?[0].0.comment_count))
                })
                .await
                .unwrap();
            assert_eq!((listed, counted), (30, 30));
        });
    });
}

fn delete(store: &Store, id: CommentId, video: VideoId, user: UserId) -> impl Future<Output = Deleted> + Send + use<> {
    let store = store.clone();
    async move {
        store
            .write(move |db| comments::delete(db, id, video, user, 5))
            .await
            .unwrap()
    }
}

#[test]
fn a_reader_that_pages_the_feed_by_time_misses_no_video() {
    on_both(|store| {
        runtime().block_on(async {
            let all = several_users(store, 8).await;
            let done = Arc::new(AtomicBool::new(false));
            let reader = tokio::spawn({
                let (store, done) = (store.clone(), Arc::clone(&done));
                async move {
                    let (mut seen, mut last) = (HashSet::new(), 0);
                    loop {
                        let was_done = done.load(Ordering::SeqCst);
                        let newer = store.read(|db| videos::feed(db, i64::MAX, 1_000)).await.unwrap();
                        let newer: Vec<_> = newer.iter().filter(|(video, _)| video.publish_time > last).collect();
                        seen.extend(newer.iter().map(|(video, _)| video.id));
                        last = newer.first().map_or(last, |(video, _)| video.publish_time);
                        if was_done {
                            return seen;
                        }
                    }
                }
            });
            let mut tasks = JoinSet::new();
            for n in 0..160 {
                let (store, author) = (store.clone(), all[n % all.len()]);
                tasks.spawn(async move { publish(&store, author).await.unwrap() });
            }
            let published = tasks.join_all().await;
            done.store(true, Ordering::SeqCst);
            let times: HashSet<i64> = published.iter().map(|(_, time)| *time).collect();
            assert_eq!(times.len(), 160, "publish times are unique");
            assert_eq!(reader.await.unwrap(), published.into_iter().map(|(id, _)| id).collect());
        });
    });
}

#[test]
fn a_poller_misses_no_message_and_first_messages_may_cross() {
    on_both(|store| {
        runtime().block_on(async {
            let all = several_users(store, 4).await;
            let (a, b) = (all[0], all[1]);
            let done = Arc::new(AtomicBool::new(false));
            let poller = tokio::spawn({
                let (store, done) = (store.clone(), Arc::clone(&done));
                async move {
                    let (mut seen, mut last) = (Vec::new(), 0);
                    loop {
                        let was_done = done.load(Ordering::SeqCst);
                        let newer = store
                            .read(move |db| messages::page(db, (a, b), None, last, 1_000))
                            .await
                            .unwrap();
                        last = newer.last().map_or(last, |message| message.create_time);
                        seen.extend(newer.iter().map(|message| message.id));
                        if was_done {
                            return seen;
                        }
                    }
                }
            });
            let mut tasks = JoinSet::new();
            for n in 0..240 {
                let store = store.clone();
                // Every pair of the four, from both sides, all with their first message at the same moment.
                let pairs = [(0, 1), (1, 0), (0, 1), (2, 3), (3, 2), (0, 3), (3, 0), (1, 2), (2, 1)];
                let (from, to) = pairs[n % pairs.len()];
                let (from, to) = (all[from], all[to]);
                tasks.spawn(async move {
                    let id: MessageId = store.next_id().await.unwrap();
                    let message = NewMessage {
                        id,
                        from,
                        to,
                        content: "m".into(),
                        key: None,
                    };
                    // The clock stands still.
                    let sent = store.write(move |db| messages::send(db, &message, 1_000)).await;
                    assert!(matches!(sent.unwrap(), Sent::Stored { .. }));
                    (id, [from, to].contains(&a) && [from, to].contains(&b))
                });
            }
            let sent = tasks.join_all().await;
            done.store(true, Ordering::SeqCst);
            let seen = poller.await.unwrap();
            let expected: HashSet<_> = sent.iter().filter(|(_, ours)| *ours).map(|(id, _)| *id).collect();
            assert_eq!(seen.len(), expected.len(), "no message twice");
            assert_eq!(seen.into_iter().collect::<HashSet<_>>(), expected);
        });
    });
}
