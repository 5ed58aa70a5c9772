//! Publishing what works: visible at once, in any part order, twice if wanted (contract 5.5, 5.6).

use super::media::cover_of;
use crate::harness::clip::{self, CLIP, Multipart};
use crate::harness::{Kind, Persona, User, World, at_once, on_both_stores};

on_both_stores!(
    a_publication_is_visible_in_the_next_request,
    the_parts_may_come_in_any_order_and_the_token_in_the_query,
    names_and_types_of_the_file_do_not_matter,
    titles_are_kept_whole,
    the_same_bytes_twice_are_two_videos,
    twelve_mebibytes_pass,
    a_bad_token_is_refused_before_the_body,
    many_people_publish_at_once,
);

const PUBLISH: &str = "/douyin/publish/action/";

fn a_publication_is_visible_in_the_next_request(kind: Kind) {
    let world = World::new(kind);
    let (ann, ben) = (world.register("ann"), world.register("ben"));
    assert_eq!(ann.works_of(ann.id), []);
    let first = ann.publishes("sea");
    assert_eq!(ann.profile().work_count, 1);
    assert_eq!(ben.sees(&first), first);
    let second = ann.publishes("sky");
    let works: Vec<i64> = ben.works_of(ann.id).iter().map(|video| video.id).collect();
    assert_eq!(works, [second.id, first.id], "newest first");
    assert_eq!(world.guest().works_of(ann.id).len(), 2);
    let own = ann.get("/douyin/publish/list/", &[("user_id", &0)]).success();
    assert_eq!(
        own["video_list"].as_array().unwrap().len(),
        2,
        "without a user_id: one's own"
    );
    let author = User {
        work_count: 1,
        ..ann.profile()
    };
    assert_eq!(first.author, author, "complete, and as it was when it was read");

    let base = world.url("/");
    for url in [&first.play_url, &first.cover_url] {
        assert!(url.starts_with(&base), "absolute, from the request's Host: {url}");
    }
    assert_eq!(world.get(&first.play_url).body, CLIP);
}

fn the_parts_may_come_in_any_order_and_the_token_in_the_query(kind: Kind) {
    let world = World::new(kind);
    let ann = world.register("ann");
    let token = ann.token.as_str();
    let file_first = Multipart::default()
        .file(CLIP)
        .field("token", token)
        .field("title", "file first");
    let file_last = Multipart::default()
        .field("title", "file last")
        .field("token", token)
        .file(CLIP);
    let between = Multipart::default()
        .field("token", token)
        .file(CLIP)
        .field("title", "between");
    for body in [file_first, file_last, between] {
        ann.posts_multipart(PUBLISH, body.end()).done();
    }
    let target = format!("{PUBLISH}?token={token}&title=in%20the%20query");
    ann.posts_multipart(&target, Multipart::default().file(CLIP).end())
        .done();
    let empty = format!("{PUBLISH}?token=");
    let body = Multipart::default().file(CLIP).field("title", "an empty token first");
    ann.posts_multipart(&empty, body.field("token", token).end()).done();
    let without_slash = format!("/douyin/publish/action?token={token}");
    ann.posts_multipart(
        &without_slash,
        Multipart::default().field("title", "no slash").file(CLIP).end(),
    )
    .done();

    let titles: Vec<String> = ann.works_of(ann.id).into_iter().map(|video| video.title).collect();
    assert_eq!(
        titles,
        [
            "no slash",
            "an empty token first",
            "in the query",
            "between",
            "file last",
            "file first"
        ]
    );
}

fn names_and_types_of_the_file_do_not_matter(kind: Kind) {
    let world = World::new(kind);
    let ann = world.register("ann");
    let before = world.files();
    let heads = [
        (
            "form-data; name=\"data\"; filename=\"../../../etc/passwd\"",
            Some("application/octet-stream"),
        ),
        ("form-data; name=\"data\"; filename=\"/tmp/x.sh\"", None),
        ("form-data; name=\"data\"; filename=\"电影 🎬.mp4\"", Some("text/plain")),
        ("form-data; name=\"data\"; filename=\"a\\\"b;c.mp4\"", Some("video/mp4")),
        (
            "form-data; name=\"data\"; filename=\"C:\\\\con\"",
            Some("video/quicktime"),
        ),
    ];
    for (number, (disposition, content_type)) in heads.iter().enumerate() {
        let body = Multipart::default()
            .field("token", &ann.token)
            .field("title", &number.to_string())
            .part(disposition, *content_type, CLIP);
        ann.posts_multipart(PUBLISH, body.end()).done();
    }
    let works = ann.works_of(ann.id);
    assert_eq!(works.len(), heads.len());
    for video in &works {
        assert_eq!(world.get(&video.play_url).body, CLIP);
    }
    let new: Vec<_> = world.files().difference(&before).cloned().collect();
    for path in &new {
        let text = path.to_string_lossy();
        assert!(
            !["passwd", "x.sh", "电影", "con"].iter().any(|name| text.contains(name)),
            "{text}"
        );
    }
}

fn titles_are_kept_whole(kind: Kind) {
    let world = World::new(kind);
    let ann = world.register("ann");
    let full = [&"界".repeat(25), &"🦀".repeat(25)].map(String::as_str).concat();
    for title in [
        full.as_str(),
        "'; DROP TABLE videos; --",
        "<b>\"&amp;\"</b> + 100%",
        " both ends ",
        "👩\u{200d}🚀",
    ] {
        assert_eq!(ann.publishes(title).title, title);
    }
    for title in [&"x".repeat(51), &"界".repeat(300), &"x".repeat(5000), ""] {
        let works = ann.works_of(ann.id).len();
        let reply = ann.uploads(title, CLIP);
        if reply.text().contains("\"status_code\":0") {
            assert_eq!(ann.works_of(ann.id)[0].title, *title, "whole");
        } else {
            reply.refused();
            assert_eq!(ann.works_of(ann.id).len(), works);
        }
    }
}

fn the_same_bytes_twice_are_two_videos(kind: Kind) {
    let world = World::new(kind);
    let (ann, ben) = (world.register("ann"), world.register("ben"));
    let (first, second, third) = (ann.publishes("one"), ann.publishes("two"), ben.publishes("three"));
    assert!(first.id < second.id && second.id < third.id);
    ben.favorites(&second);
    ben.comments(&second, "this one");
    let feed = ben.feed();
    let shown: Vec<(i64, i64, i64)> = feed
        .iter()
        .map(|video| (video.id, video.favorite_count, video.comment_count))
        .collect();
    assert_eq!(shown, [(third.id, 0, 0), (second.id, 1, 1), (first.id, 0, 0)]);
    for video in feed {
        assert_eq!(world.get(&video.play_url).body, CLIP);
    }
}

fn twelve_mebibytes_pass(kind: Kind) {
    let world = World::new(kind);
    let ann = world.register("ann");
    let big = clip::of_length(12 << 20);
    ann.uploads("long", &big).done();
    let video = &ann.works_of(ann.id)[0];
    assert!(world.get(&video.play_url).body == big, "the very bytes");
    let cover = cover_of(&world, video);
    assert!(cover.header("content-type").unwrap().starts_with("image/"));
}

fn a_bad_token_is_refused_before_the_body(kind: Kind) {
    use crate::harness::raw::{Wire, head};
    let world = World::new(kind);
    let before = world.files();
    let mut wire = Wire::to(world.address());
    let headers = [
        ("Content-Type", &*Multipart::content_type()),
        ("Content-Length", "20000000"),
    ];
    wire.put(head("POST", &format!("{PUBLISH}?token=forged"), &headers))
        .unwrap();
    let reply = wire.answer().expect("an answer although no byte of the body was sent");
    reply.refused();
    assert_eq!(world.files(), before);
}

fn many_people_publish_at_once(kind: Kind) {
    let world = World::new(kind);
    let people: Vec<Persona> = (0..6)
        .map(|number| world.register(&format!("person{number}")))
        .collect();
    let shared = clip::distinct();
    at_once(6, |number| {
        // The same new bytes from everybody at the same moment, and bytes of one's own.
        people[number].uploads("shared", &shared).done();
        people[number].uploads("own", &clip::distinct()).done();
    });
    for person in &people {
        assert_eq!(person.works_of(person.id).len(), 2);
        assert_eq!(person.profile().work_count, 2);
    }
    let feed = world.feed();
    assert_eq!(feed.len(), 12);
    for video in feed {
        let body = world.get(&video.play_url).body;
        assert_eq!(body == shared, video.title == "shared");
    }
}
