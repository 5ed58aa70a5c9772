//! The feed: newest first, lossless paging, forgiving `latest_time` (contract 5.1).

use std::collections::BTreeSet;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use diesel::connection::SimpleConnection;

use crate::harness::clip::CLIP;
use crate::harness::{Kind, Persona, Site, Video, World, at_once, eventually, on_both_stores};

on_both_stores!(
    an_empty_feed_restarts_the_scroll_at_now,
    paging_loses_and_repeats_nothing_even_with_ties,
    both_units_of_time_are_read,
    garbage_in_latest_time_means_now,
    the_order_is_the_same_for_everybody_and_flags_are_the_viewers,
    embedded_users_are_live,
    a_clock_that_steps_back_hides_nothing_and_paging_goes_on,
);

fn now_ms() -> i64 {
    i64::try_from(SystemTime::now().duration_since(UNIX_EPOCH).unwrap().as_millis()).unwrap()
}

fn ids(videos: &[Video]) -> Vec<i64> {
    videos.iter().map(|video| video.id).collect()
}

/// Publishes `count` clips, several at the same moment.
fn crowd(site: &Site, count: usize) -> Vec<Persona> {
    let authors: Vec<Persona> = (0..4).map(|number| site.register(&format!("author{number}"))).collect();
    at_once(4, |thread| {
        for number in (thread..count).step_by(4) {
            authors[thread].uploads(&format!("clip {number}"), CLIP).done();
        }
    });
    authors
}

fn an_empty_feed_restarts_the_scroll_at_now(kind: Kind) {
    let world = World::new(kind);
    let before = now_ms();
    let page = world.guest().page(&"");
    assert_eq!(page.videos, []);
    assert!((before..=now_ms()).contains(&page.next_time), "{}", page.next_time);

    world.register("ann").publishes("first");
    let before = now_ms();
    let older = world.guest().page(&1);
    assert_eq!(older.videos, []);
    assert!((before..=now_ms()).contains(&older.next_time), "{}", older.next_time);
    assert_eq!(
        world.guest().page(&older.next_time).videos.len(),
        1,
        "and it starts again at the top"
    );
}

fn paging_loses_and_repeats_nothing_even_with_ties(kind: Kind) {
    let world = World::new(kind);
    let authors = crowd(&world, 70);
    let guest = world.guest();
    let (mut seen, mut cursors, mut cursor) = (Vec::new(), Vec::new(), String::new());
    loop {
        let page = guest.page(&cursor);
        if page.videos.is_empty() {
            break;
        }
        assert_eq!(page, guest.page(&cursor), "the same cursor gives the same page");
        seen.extend(ids(&page.videos));
        cursors.push(page.next_time);
        assert!(seen.len() <= 70, "a scroll has an end: {cursors:?}");
        cursor = page.next_time.to_string();
        // Uploads in the middle of a scroll never turn up in its middle.
        authors[0].uploads("new", CLIP).done();
    }
    assert!(
        cursors.windows(2).all(|pair| pair[0] > pair[1]),
        "strictly back: {cursors:?}"
    );
    assert_eq!(seen.len(), 70);
    assert_eq!(seen.iter().collect::<BTreeSet<_>>().len(), 70, "no video twice");
    assert_eq!(cursors.len(), 3, "pages of 30");

    for author in &authors {
        let mut works = ids(&author.works_of(author.id));
        works.retain(|id| seen.contains(id));
        let in_feed: Vec<i64> = seen.iter().copied().filter(|id| works.contains(id)).collect();
        assert_eq!(works, in_feed, "publish/list and feed agree on the order");
    }
}

fn both_units_of_time_are_read(kind: Kind) {
    let world = World::new(kind);
    let ann = world.register("ann");
    let first = ann.publishes("first");
    let first_time = world.guest().page(&"").next_time;
    let second = eventually("the next second of the clock", Duration::from_secs(3), || {
        let second = now_ms() / 1000;
        (second > first_time / 1000).then_some(second)
    });
    let other = ann.publishes("second");

    assert_eq!(ids(&ann.feed()), [other.id, first.id]);
    assert_eq!(ids(&ann.page(&second).videos), [first.id], "seconds");
    assert_eq!(ids(&ann.page(&(second * 1000)).videos), [first.id], "milliseconds");
    assert_eq!(ids(&ann.page(&(first_time + 1)).videos), [first.id], "strictly before");
    assert_eq!(ids(&ann.page(&first_time).videos), [0; 0], "strictly before");
}

fn garbage_in_latest_time_means_now(kind: Kind) {
    let world = World::new(kind);
    let ann = world.register("ann");
    let video = ann.publishes("only");
    let future_ms = now_ms() + 3_600_000;
    let texts = [
        "0",
        "-1",
        "-9999999999999",
        "yesterday",
        "2006-01-02T15:04:05.999Z",
        "99999999999999999999999",
        "9223372036854775807",
        "-9223372036854775808",
        "1e400",
        "NaN",
        "\u{663}",
        " ",
        "0x10",
        "null",
        "1\u{0}",
        "' OR 1=1 --",
    ];
    for text in texts {
        assert_eq!(ids(&world.guest().page(&text).videos), [video.id], "{text:?}");
    }
    for future in [future_ms, future_ms / 1000] {
        assert_eq!(ids(&ann.page(&future).videos), [video.id], "{future}");
    }
    let bare = world.get("/douyin/feed/");
    assert_eq!(
        bare.success()["video_list"].as_array().unwrap().len(),
        1,
        "no parameter at all"
    );
}

fn the_order_is_the_same_for_everybody_and_flags_are_the_viewers(kind: Kind) {
    let world = World::new(kind);
    let (ann, ben) = (world.register("ann"), world.register("ben"));
    let (sea, sky) = (ann.publishes("sea"), ben.publishes("sky"));
    ben.favorites(&sea);
    ben.follows(&ann);

    let feed_of_ben = ben.feed();
    assert_eq!(ids(&feed_of_ben), [sky.id, sea.id], "one's own videos are in it");
    assert_eq!(ids(&feed_of_ben), ids(&ann.feed()));
    assert_eq!(ids(&feed_of_ben), ids(&world.feed()));

    let sea_of = |viewer: &Persona| viewer.sees(&sea);
    assert!(sea_of(&ben).is_favorite && sea_of(&ben).author.is_follow);
    assert!(
        !sea_of(&ann).is_favorite && !sea_of(&ann).author.is_follow,
        "oneself: false"
    );
    assert!(!sea_of(&world.guest()).is_favorite && !sea_of(&world.guest()).author.is_follow);
    assert!(!ben.sees(&sky).is_favorite && !ben.sees(&sky).author.is_follow);
    assert_eq!(sea_of(&world.guest()).favorite_count, 1, "counts are everybody's");
}

fn embedded_users_are_live(kind: Kind) {
    let world = World::new(kind);
    let (ann, ben) = (world.register("ann"), world.register("ben"));
    let sea = ann.publishes("sea");
    ben.favorites(&sea);
    ben.comments(&sea, "nice");
    ben.follows(&ann);
    ann.follows(&ben);
    ann.publishes("sky");

    let seen = ben.sees(&sea);
    assert_eq!(
        seen.author,
        ben.profile_of(ann.id),
        "the author inside a video is the profile of this moment"
    );
    let author = seen.author;
    assert_eq!(
        (author.work_count, author.total_favorited, author.favorite_count),
        (2, 1, 0)
    );
    assert_eq!((author.follow_count, author.follower_count), (1, 1));
    assert_eq!((seen.favorite_count, seen.comment_count), (1, 1));
}

fn a_clock_that_steps_back_hides_nothing_and_paging_goes_on(kind: Kind) {
    let world = World::new(kind);
    let ann = world.register("ann");
    ann.publishes("long ago");
    // As if the machine's clock had been an hour ahead until now.
    let ahead = now_ms() + 3_600_000;
    let set_clock = format!("UPDATE clocks SET last_ms = {ahead} WHERE name = 'publish'");
    world.connection().batch_execute(&set_clock).unwrap();
    for number in 0..40 {
        ann.uploads(&format!("ahead {number}"), CLIP).done();
    }
    let fresh = ann.publishes("fresh");
    assert_eq!(ann.feed()[0].id, fresh.id, "a fresh upload is visible at once");
    assert_eq!(
        ann.page(&now_ms().saturating_add(60_000)).videos[0].id,
        fresh.id,
        "a phone's clock hides nothing"
    );

    let (mut seen, mut cursor) = (Vec::new(), String::new());
    for _ in 0..3 {
        let page = world.guest().page(&cursor);
        seen.extend(ids(&page.videos));
        cursor = page.next_time.to_string();
    }
    assert_eq!(seen, ids(&ann.works_of(ann.id)), "each once, in order");
}
