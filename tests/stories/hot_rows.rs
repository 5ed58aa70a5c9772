//! What is answered from memory is what the store would say, to everybody, at every moment.

use std::sync::atomic::{AtomicBool, AtomicI64, Ordering};
use std::time::Duration;

use crate::harness::clip::CLIP;
use crate::harness::{Kind, Persona, World, at_once, on_both_stores, raw};

on_both_stores!(
    a_hot_answer_is_byte_for_byte_that_of_a_list,
    every_answer_has_the_host_of_its_own_request,
    nobody_sees_an_older_count_after_anybody_saw_a_newer_one,
    without_room_everything_is_as_before,
);

/// The objects of `video_list` as they were sent.
fn list(text: &str) -> String {
    let (_, list) = text.split_once("\"video_list\":").unwrap();
    list.split(",\"next_time\"")
        .next()
        .unwrap()
        .trim_end_matches('}')
        .to_owned()
}

fn a_hot_answer_is_byte_for_byte_that_of_a_list(kind: Kind) {
    let world = World::with(kind, |config| config.flush_interval = Duration::from_mins(1));
    let (ann, ben) = (world.register("a\"n\\n 抖音 <b>"), world.register("ben"));
    let videos = ["\"quoted\" \\ 👩\u{200d}👧", "</script>", "&amp;/"].map(|title| ann.publishes(title));
    ben.comments(&videos[0], "nice");
    ben.follows(&ann);
    for (round, video) in videos.iter().enumerate() {
        for person in [&ben, &ann, &world.guest()] {
            // Twice, so that one of them is from memory.
            for _ in 0..2 {
                let feed = person.get("/douyin/feed/", &[]);
                let works = person.get("/douyin/publish/list/", &[("user_id", &ann.id)]);
                let (feed, works) = (list(feed.text()), list(works.text()));
                assert_eq!(feed, works);
                let profile = person.get("/douyin/user/", &[("user_id", &ann.id)]);
                let (_, user) = profile.text().split_once("\"user\":").unwrap();
                assert!(feed.contains(user.strip_suffix('}').unwrap()), "{user} in {feed}");
            }
        }
        ben.favorite(video.id, 1).done();
        if round == 1 {
            world.flush();
        }
    }
}

fn every_answer_has_the_host_of_its_own_request(kind: Kind) {
    let world = World::new(kind);
    let ann = world.register("ann");
    ann.publishes("sea");
    at_once(4, |thread| {
        for round in 0..25 {
            let host = format!("host-{thread}-{round}.test:81");
            for target in ["/douyin/feed/", &format!("/douyin/user/?user_id={}", ann.id)] {
                let head = format!("GET {target} HTTP/1.1\r\nHost: {host}\r\n\r\n");
                let text = raw::exchange(world.address(), head).unwrap().text().to_owned();
                let urls = text.matches("http://").count();
                assert!(
                    urls >= 2 && text.matches(&format!("http://{host}/")).count() == urls,
                    "{text}"
                );
            }
        }
    });
}

/// The newest that anybody has been answered, of a count that only grows.
#[derive(Default)]
struct Newest(AtomicI64);

impl Newest {
    /// Looks once: what is answered is no older than what anybody was answered before this began.
    fn look(&self, what: &str, look: impl FnOnce() -> i64) {
        let before = self.0.load(Ordering::SeqCst);
        let seen = look();
        assert!(seen >= before, "{what}: {before} was seen, then {seen}");
        self.0.fetch_max(seen, Ordering::SeqCst);
    }
}

#[derive(Default)]
struct Counts {
    comments: Newest,
    works: Newest,
    likes: Newest,
    over: AtomicBool,
}

const FANS: usize = 12;

fn nobody_sees_an_older_count_after_anybody_saw_a_newer_one(kind: Kind) {
    let world = World::with(kind, |config| {
        config.flush_interval = Duration::from_millis(100);
        // What is flushed is forgotten after 4.1 s: kept rows grow stale under the readers.
        config.db_acquire_timeout = Duration::from_millis(100);
        config.db_statement_timeout = Duration::from_secs(1);
        config.db_connections = 16;
    });
    let ann = world.register("ann");
    let video = ann.publishes("sea").id;
    let fans: Vec<Persona> = (0..FANS)
        .map(|number| world.register(&format!("fan{number}")))
        .collect();
    let counts = Counts::default();
    at_once(5, |number| {
        if number == 0 {
            write(&ann, &fans, video, &counts);
            counts.over.store(true, Ordering::SeqCst);
        } else {
            let viewer = if number % 2 == 0 {
                world.guest()
            } else {
                fans[number].with_token(&fans[number].token)
            };
            while !counts.over.load(Ordering::SeqCst) {
                read(&viewer, &ann, video, &counts);
            }
        }
    });
    read(&ann, &ann, video, &counts);
    let number = i64::try_from(FANS).unwrap();
    let newest = [&counts.comments, &counts.works, &counts.likes];
    let newest = newest.map(|count| count.0.load(Ordering::SeqCst));
    assert_eq!(newest, [number * 3, number + 1, number]);
}

fn write(ann: &Persona, fans: &[Persona], video: i64, counts: &Counts) {
    let at_least = |count: &Newest, value: usize| {
        count.0.fetch_max(i64::try_from(value).unwrap(), Ordering::SeqCst);
    };
    for (number, fan) in fans.iter().enumerate() {
        for comment in 1..=3 {
            fan.comment(video, "nice").success();
            at_least(&counts.comments, number * 3 + comment);
        }
        fan.follows(ann);
        assert!(fan.profile_of(ann.id).is_follow);
        ann.uploads("more", CLIP).done();
        at_least(&counts.works, number + 2);
        fan.favorite(video, 1).done();
        at_least(&counts.likes, number + 1);
        assert!(
            fan.feed()
                .iter()
                .all(|seen| seen.author.is_follow && seen.is_favorite == (seen.id == video))
        );
        fan.unfollows(ann);
        assert!(!fan.profile_of(ann.id).is_follow);
        fan.follows(ann);
        std::thread::sleep(Duration::from_millis(400));
    }
}

fn read(viewer: &Persona, ann: &Persona, video: i64, counts: &Counts) {
    let feed = || {
        let feed = viewer.feed();
        let works = i64::try_from(feed.len()).unwrap();
        assert!(
            feed[0].author.work_count >= works,
            "a video is not in the list before it is counted"
        );
        (works, feed.into_iter().find(|seen| seen.id == video).unwrap())
    };
    counts.comments.look("comments in the feed", || feed().1.comment_count);
    counts.works.look("videos in the feed", || feed().0);
    counts
        .works
        .look("works in the profile", || viewer.profile_of(ann.id).work_count);
    counts.likes.look("likes in the feed", || feed().1.favorite_count);
    counts
        .likes
        .look("likes in the profile", || viewer.profile_of(ann.id).total_favorited);
    // Straight from the store.
    let of_ann = || viewer.works_of(ann.id);
    counts
        .works
        .look("works in the list", || i64::try_from(of_ann().len()).unwrap());
    counts
        .comments
        .look("comments in the list", || of_ann().last().unwrap().comment_count);
    counts
        .likes
        .look("likes in the list", || of_ann().last().unwrap().favorite_count);
}

fn without_room_everything_is_as_before(kind: Kind) {
    let world = World::with(kind, |config| config.cache_bytes = 0);
    let (ann, ben) = (world.register("ann"), world.register("ben"));
    let video = ann.publishes("sea");
    for on in [true, false, true] {
        ben.favorite(video.id, if on { 1 } else { 2 }).done();
        ben.relate(ann.id, if on { 1 } else { 2 }).done();
        let seen = ben.sees(&video);
        assert_eq!(
            (seen.is_favorite, seen.author.is_follow, seen.favorite_count),
            (on, on, i64::from(on))
        );
        assert_eq!(ben.profile_of(ann.id), seen.author);
    }
    assert_eq!(world.feed().len(), 1);
}
