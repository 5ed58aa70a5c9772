//! Lists longer than anything is paged by: whole, in order, valid, also for many readers at once (contract 8).

use ovation_schema::comments::{self, NewComment};
use ovation_schema::users::{self, NewUser};
use ovation_schema::videos::{self, NewVideo};
use ovation_schema::{CommentId, DbConnection, StoreError, UserId, VideoId, favorites, follows, now_ms, reserve};

use crate::harness::{Kind, Persona, World, at_once, on_both_stores};

on_both_stores!(
    a_thousand_comments_come_whole_to_many_readers,
    a_thousand_followers_come_whole,
    lists_around_a_pages_end_are_complete,
    hundreds_of_works_and_favorites_come_whole,
    a_long_chat_comes_whole,
    where_few_may_stream_others_get_it_whole_or_are_told,
);

fn more_comments(connection: &mut DbConnection, count: i64, video: VideoId, user: UserId) -> Result<(), StoreError> {
    for id in reserve(connection, "comment", count)? {
        let comment = NewComment {
            id: CommentId(id),
            video_id: video,
            user_id: user,
            content: format!("comment \"{id}\" 界"),
            // Ties, as real comments have them.
            created_at: now_ms() / 10 * 10,
        };
        comments::insert(connection, &comment)?;
    }
    Ok(())
}

fn a_thousand_comments_come_whole_to_many_readers(kind: Kind) {
    let world = World::new(kind);
    let ann = world.register("ann");
    let video = ann.publishes("sea");
    let (video_id, user_id) = (VideoId(video.id), UserId(ann.id));
    world.fill(move |connection| more_comments(connection, 1050, video_id, user_id));
    let newest = ann.comments(&video, "the newest");
    assert_eq!(world.guest().sees(&video).comment_count, 1051);
    let lists = at_once(6, |_| world.guest().comments_of(&video));
    for list in lists {
        assert_eq!(list.len(), 1051);
        assert_eq!(list[0].id, newest.id, "newest first");
        assert!(
            list.windows(2).all(|pair| pair[0].id > pair[1].id),
            "in order, none twice"
        );
    }
}

fn lists_around_a_pages_end_are_complete(kind: Kind) {
    let world = World::new(kind);
    let ann = world.register("ann");
    let video = ann.publishes("sea");
    let (video_id, user_id) = (VideoId(video.id), UserId(ann.id));
    let mut length = 0;
    for target in [1, 199, 200, 201, 399, 400, 401] {
        let more = target - length;
        world.fill(move |connection| more_comments(connection, more, video_id, user_id));
        length = target;
        let list = ann.comments_of(&video);
        assert_eq!(i64::try_from(list.len()).unwrap(), length);
        assert!(
            list.windows(2).all(|pair| pair[0].id > pair[1].id),
            "in order, none twice"
        );
    }
}

fn a_thousand_followers_come_whole(kind: Kind) {
    const CROWD: i64 = 1050;
    let world = World::new(kind);
    let (ann, ben) = (world.register("ann"), world.register("ben"));
    let star = UserId(ann.id);
    world.fill(move |connection| {
        for id in reserve(connection, "user", CROWD)? {
            let fan = NewUser {
                id: UserId(id),
                name: format!("fan{id}"),
                password_hash: "nobody logs in".into(),
                created_at: now_ms(),
            };
            users::insert(connection, &fan)?;
            // One time for all: the order is the cursor's business.
            follows::set(connection, fan.id, star, true, 1_700_000_000_000)?;
            follows::set(connection, star, fan.id, true, 1_700_000_000_000)?;
        }
        Ok(())
    });
    ben.follows(&ann);
    let distinct = |ids: Vec<i64>| ids.into_iter().collect::<std::collections::BTreeSet<_>>().len();
    let followers = ben.followers_of(ann.id);
    assert_eq!(followers.len(), 1051);
    assert_eq!(followers[0].id, ben.id, "newest first");
    assert_eq!(distinct(followers.iter().map(|user| user.id).collect()), 1051);
    assert_eq!(ann.profile().follower_count, 1051);

    let following = ann.following_of(ann.id);
    assert_eq!(distinct(following.iter().map(|user| user.id).collect()), 1050);
    assert!(following.iter().all(|user| user.is_follow && user.follow_count == 1));
    let friends = ann.friends();
    assert_eq!(distinct(friends.iter().map(|friend| friend.user.id).collect()), 1050);
}

fn hundreds_of_works_and_favorites_come_whole(kind: Kind) {
    const WORKS: usize = 450;
    let world = World::new(kind);
    let (ann, ben) = (world.register("ann"), world.register("ben"));
    let first = ann.publishes("first");
    let hash = first
        .play_url
        .rsplit('/')
        .next()
        .unwrap()
        .split('.')
        .next()
        .unwrap()
        .to_owned();
    let (author, fan) = (UserId(ann.id), UserId(ben.id));
    world.fill(move |connection| {
        for id in reserve(connection, "video", 450)? {
            let video = NewVideo {
                id: VideoId(id),
                author_id: author,
                title: format!("work {id}"),
                media_hash: hash.clone(),
            };
            videos::publish(connection, &video, now_ms())?;
            favorites::set(connection, fan, video.id, true, now_ms())?;
        }
        Ok(())
    });
    let ids = |viewer: &Persona, list: &dyn Fn(&Persona) -> Vec<crate::harness::Video>| -> Vec<i64> {
        list(viewer).iter().map(|video| video.id).collect()
    };
    let works = ids(&ben, &|viewer| viewer.works_of(ann.id));
    assert_eq!(works.len(), WORKS + 1);
    assert!(
        works.windows(2).all(|pair| pair[0] > pair[1]),
        "newest first, none twice"
    );
    let mut favorites = ids(&ann, &|viewer| viewer.favorites_of(ben.id));
    assert_eq!(favorites.len(), WORKS);
    favorites.sort_unstable();
    favorites.dedup();
    assert_eq!(favorites.len(), WORKS, "none twice");
    assert!(ben.favorites_of(ben.id).iter().all(|video| video.is_favorite));
}

fn a_long_chat_comes_whole(kind: Kind) {
    let world = World::new(kind);
    let (ann, ben) = (world.register("ann"), world.register("ben"));
    at_once(8, |thread| {
        for number in 0..56 {
            if thread % 2 == 0 {
                ann.tells(&ben, &format!("{thread}/{number}"));
            } else {
                ben.tells(&ann, &format!("{thread}/{number}"));
            }
        }
    });
    assert_eq!(ann.chat(&ben, &0).len(), 448);
    assert_eq!(ben.chat(&ann, &1).len(), 224, "only the other side's");
}

fn where_few_may_stream_others_get_it_whole_or_are_told(kind: Kind) {
    let world = World::with(kind, |config| config.list_streams = 1);
    let ann = world.register("ann");
    let video = ann.publishes("sea");
    let (video_id, user_id) = (VideoId(video.id), UserId(ann.id));
    world.fill(move |connection| more_comments(connection, 450, video_id, user_id));
    let replies = at_once(8, |_| ann.get("/douyin/comment/list/", &[("video_id", &video.id)]));
    let mut whole = 0;
    for reply in replies {
        if reply.text().starts_with("{\"status_code\":0") {
            let length = reply.success()["comment_list"].as_array().unwrap().len();
            assert_eq!(length, 450, "never half a list");
            whole += 1;
        } else {
            assert!(reply.refused().msg.contains("again"));
        }
    }
    assert!(whole >= 1);
    assert_eq!(ann.comments_of(&video).len(), 450, "the place is free again");
}
