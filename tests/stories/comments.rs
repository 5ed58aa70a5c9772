//! Comments: newest first, complete, byte-exact, deleted only by who wrote them (contract 6.3, 6.4).

use crate::harness::{Comment, Kind, Params, Video, World, at_once, on_both_stores};

on_both_stores!(
    a_comment_comes_back_whole_and_is_listed_at_once,
    texts_are_returned_byte_for_byte,
    lengths_are_counted_in_characters_and_nothing_is_cut,
    only_its_author_deletes_a_comment_and_only_once,
    a_comment_belongs_to_its_video,
    many_at_once_are_counted_exactly,
);

fn count(world: &World, video: &Video) -> i64 {
    let seen = world.guest().sees(video);
    let listed = world.guest().comments_of(video).len();
    assert_eq!(
        seen.comment_count,
        i64::try_from(listed).unwrap(),
        "comment_count is the length of the list"
    );
    seen.comment_count
}

fn a_comment_comes_back_whole_and_is_listed_at_once(kind: Kind) {
    let world = World::new(kind);
    let (ann, ben) = (world.register("ann"), world.register("ben"));
    let video = ann.publishes("sea");
    ann.follows(&ben);
    assert_eq!(ann.comments_of(&video), []);
    let first = ben.comments(&video, "first");
    let second = ann.comments(&video, "second");
    assert_eq!(first.user, ben.profile(), "a complete user with the viewer's flag");

    let listed = ann.comments_of(&video);
    let texts: Vec<&str> = listed.iter().map(|comment| comment.content.as_str()).collect();
    assert_eq!(texts, ["second", "first"], "newest first");
    assert_eq!((listed[0].id, listed[1].id), (second.id, first.id));
    assert!(
        listed[1].user.is_follow && !listed[0].user.is_follow,
        "the viewer's flags"
    );
    assert!(
        world
            .guest()
            .comments_of(&video)
            .iter()
            .all(|comment| !comment.user.is_follow)
    );
    assert_eq!(listed[1].create_date, first.create_date);
    assert_eq!(first.create_date, today(8), "UTC+8 by default");
    assert_eq!(count(&world, &video), 2);
    assert_eq!(
        world.guest().get("/douyin/comment/list/", &[("video_id", &99)]).status,
        200
    );
}

fn today(hours: i64) -> String {
    let local = time::OffsetDateTime::now_utc() + time::Duration::hours(hours);
    format!("{:02}-{:02}", u8::from(local.month()), local.day())
}

fn texts_are_returned_byte_for_byte(kind: Kind) {
    let world = World::new(kind);
    let ann = world.register("ann");
    let video = ann.publishes("sea");
    let texts = [
        "  both ends  ",
        "你好，世界",
        "👩\u{200d}👩\u{200d}👧\u{200d}👦 👍🏽 🇨🇳",
        "שלום \u{202e}مرحبا\u{202c} mixed",
        "e\u{301} \u{e9} ﬁ ǆ",
        "Robert'); DROP TABLE comments;-- \" ` \\ \\' %_ ${x} {{y}}",
        "<script>alert('x')</script>&amp;&lt;",
        "a+b=c&d%20e#f?g",
        "line\nbreak\tand tab",
        "\u{2028}\u{2029}\u{feff}\u{200b}",
        "\u{10ffff}\u{1f9ff}",
        "null",
    ];
    for text in texts {
        let comment = ann.comments(&video, text);
        assert_eq!(ann.comments_of(&video)[0], comment, "{text:?}");
    }
    assert_eq!(count(&world, &video), i64::try_from(texts.len()).unwrap());
    // Control characters and NUL: kept or refused, nothing between.
    for text in ["a\u{0}b", "a\u{1b}[31mb", "\u{7f}", "\u{1}"] {
        let before = count(&world, &video);
        let reply = ann.comment(video.id, text);
        if reply.text().contains("\"status_code\":0") {
            assert_eq!(Comment::read(&reply.success()["comment"]).content, text);
            assert_eq!(ann.comments_of(&video)[0].content, text);
        } else {
            reply.refused();
            assert_eq!(count(&world, &video), before);
        }
    }
}

fn lengths_are_counted_in_characters_and_nothing_is_cut(kind: Kind) {
    let world = World::new(kind);
    let ann = world.register("ann");
    let video = ann.publishes("sea");
    for letter in ["x", "界", "🦀"] {
        let text = letter.repeat(200);
        assert_eq!(ann.comments(&video, &text).content, text);
    }
    for text in ["", &"x".repeat(1000), &"🦀".repeat(1000), &"界".repeat(20_000)] {
        let before = count(&world, &video);
        let params: Params<'_> = &[
            ("video_id", &video.id),
            ("action_type", &1),
            ("comment_text", &text),
            ("token", &ann.token),
        ];
        let body = crate::harness::site::encoded(params).into_bytes();
        let form = [("content-type", "application/x-www-form-urlencoded")];
        let reply = world.request("POST", "/douyin/comment/action/", &form, body);
        if reply.text().contains("\"status_code\":0") {
            assert!(!text.is_empty(), "an empty comment is refused");
            assert_eq!(ann.comments_of(&video)[0].content, text, "whole or not at all");
        } else {
            reply.refused_as(&[200, 413]);
            assert_eq!(count(&world, &video), before);
        }
    }
    ann.post(
        "/douyin/comment/action/",
        &[("video_id", &video.id), ("action_type", &1)],
    )
    .refused();
}

fn only_its_author_deletes_a_comment_and_only_once(kind: Kind) {
    let world = World::new(kind);
    let (ann, ben) = (world.register("ann"), world.register("ben"));
    let video = ann.publishes("sea");
    let kept = ben.comments(&video, "kept");
    let comment = ben.comments(&video, "gone");
    ann.uncomment(video.id, comment.id).refused();
    world.guest().uncomment(video.id, comment.id).refused();
    ben.uncomment(video.id, 99).refused();
    for bad in ["", "0", "-1", "abc", "1.5"] {
        let params: Params<'_> = &[("video_id", &video.id), ("action_type", &2), ("comment_id", &bad)];
        ben.post("/douyin/comment/action/", params).refused();
    }
    assert_eq!(count(&world, &video), 2);

    ben.uncomment(video.id, comment.id).success();
    assert_eq!(count(&world, &video), 1);
    let again = ben.uncomment(video.id, comment.id);
    assert_eq!(again.status, 200);
    assert_eq!(
        count(&world, &video),
        1,
        "a second delete counts once: {}",
        again.text()
    );
    assert_eq!(ben.comments_of(&video), [kept]);

    let comment = ben.comments(&video, "many hands");
    at_once(12, |_| assert_eq!(ben.uncomment(video.id, comment.id).status, 200));
    assert_eq!(count(&world, &video), 1);
}

fn a_comment_belongs_to_its_video(kind: Kind) {
    let world = World::new(kind);
    let ann = world.register("ann");
    let (sea, sky) = (ann.publishes("sea"), ann.publishes("sky"));
    let comment = ann.comments(&sea, "about the sea");
    ann.comments(&sky, "about the sky");
    ann.uncomment(sky.id, comment.id).refused();
    ann.uncomment(99, comment.id).refused();
    assert_eq!((count(&world, &sea), count(&world, &sky)), (1, 1));
    ann.comment(99, "nowhere").refused();
    assert_eq!((count(&world, &sea), count(&world, &sky)), (1, 1));
}

fn many_at_once_are_counted_exactly(kind: Kind) {
    let world = World::new(kind);
    let people = [world.register("ann"), world.register("ben"), world.register("cleo")];
    let video = people[0].publishes("sea");
    let comments = at_once(45, |number| {
        people[number % 3].comments(&video, &format!("comment {number}"))
    });
    assert_eq!(count(&world, &video), 45);
    at_once(45, |number| {
        if number % 3 == 0 {
            people[0].uncomment(video.id, comments[number].id).success();
        } else {
            people[number % 3].comments(&video, &format!("more {number}"));
        }
    });
    assert_eq!(count(&world, &video), 60);
}
