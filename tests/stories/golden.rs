//! The answers as they are on the wire, byte for byte, kept under `tests/golden/`.
//!
//! What differs from run to run is replaced: the server's address, tokens, times and dates. To accept a change that was
//! meant: `OVATION_GOLDEN=update cargo test --test stories golden`, and read the difference before committing it.

use std::path::PathBuf;

use crate::harness::clip::{CLIP, Multipart};
use crate::harness::{Kind, Params, Reply, World, on_both_stores};

on_both_stores!(answers_are_the_same_on_the_wire);

fn golden(name: &str) -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR"))
        .join("tests/golden")
        .join(format!("{name}.json"))
}

/// Replaces the value behind each `key`: a text by `"…"`, a number by 0, so that a changed type still shows. An empty
/// text stays.
fn mask(text: &str, key: &str) -> String {
    let start = format!("\"{key}\":");
    let mut parts = text.split(&start);
    let mut masked = parts.next().unwrap().to_owned();
    for part in parts {
        let (end, value) = if part.starts_with("\"\"") {
            (2, "\"\"")
        } else if let Some(text) = part.strip_prefix('"') {
            (text.find('"').unwrap() + 2, "\"…\"")
        } else {
            (part.find([',', '}']).unwrap(), "0")
        };
        masked.extend([start.as_str(), value, &part[end..]]);
    }
    masked
}

struct Book {
    world: World,
    changed: Vec<String>,
}

impl Book {
    fn page(&mut self, name: &str, reply: &Reply) {
        let mut text = reply.text().replace(&self.world.url(""), "http://SITE");
        for key in ["token", "next_time", "create_time", "create_date"] {
            text = mask(&text, key);
        }
        let head = (reply.status, reply.header("content-type").unwrap_or_default());
        let text = format!("HTTP {} {}\n{text}\n", head.0, head.1);
        if std::env::var("OVATION_GOLDEN").is_ok_and(|wish| wish == "update") {
            std::fs::write(golden(name), &text).unwrap();
            return;
        }
        let expected = std::fs::read_to_string(golden(name)).unwrap_or_default();
        if text != expected {
            self.changed.push(format!("{name}\n  was {expected}  is  {text}"));
        }
    }
}

fn answers_are_the_same_on_the_wire(kind: Kind) {
    let world = World::new(kind);
    let mut book = Book {
        world,
        changed: Vec::new(),
    };
    succeed(&mut book);
    fail(&mut book);
    assert!(book.changed.is_empty(), "{}", book.changed.join("\n"));
}

fn account(book: &Book, path: &str, name: &str, password: &str) -> Reply {
    let path = format!("/douyin/user/{path}/");
    book.world
        .call("POST", &path, &[("username", &name), ("password", &password)])
}

fn succeed(book: &mut Book) {
    let reply = book.world.get("/douyin/feed/");
    book.page("feed_empty", &reply);
    let reply = account(book, "register", "ann", "123456");
    book.page("register", &reply);
    let ann = crate::harness::Persona::welcomed(&book.world, "ann", &reply);
    let reply = account(book, "login", "ann", "123456");
    book.page("login", &reply);
    let ben = book.world.register("ben \"界\"");
    book.page("user", &ben.get("/douyin/user/", &[("user_id", &ann.id)]));

    book.page("publish_action", &ann.uploads("sea", CLIP));
    let video = 1;
    book.page("favorite_action", &ben.favorite(video, 1));
    book.page("relation_action", &ben.relate(ann.id, 1));
    ann.follows(&ben);
    book.page("comment_action", &ben.comment(video, "nice </script> \"界\" 👍"));
    book.page("message_action", &ben.message(ann.id, "see you"));
    book.page("feed", &ben.get("/douyin/feed/", &[]));
    book.page("feed_guest", &book.world.guest().get("/douyin/feed/", &[]));
    let of_ann: Params<'_> = &[("user_id", &ann.id)];
    book.page("publish_list", &ben.get("/douyin/publish/list/", of_ann));
    book.page(
        "favorite_list",
        &ann.get("/douyin/favorite/list/", &[("user_id", &ben.id)]),
    );
    book.page(
        "comment_list",
        &ann.get("/douyin/comment/list/", &[("video_id", &video)]),
    );
    book.page(
        "relation_follow_list",
        &ann.get("/douyin/relation/follow/list/", of_ann),
    );
    book.page(
        "relation_follower_list",
        &ann.get("/douyin/relation/follower/list/", of_ann),
    );
    book.page(
        "relation_friend_list",
        &ann.get("/douyin/relation/friend/list/", of_ann),
    );
    book.page(
        "message_chat",
        &ann.get("/douyin/message/chat/", &[("to_user_id", &ben.id)]),
    );
    book.page("comment_action_delete", &ben.uncomment(video, 1));
}

fn fail(book: &mut Book) {
    let ann = book.world.login("ann");
    let reply = account(book, "register", "ann", "123456");
    book.page("refused_name_taken", &reply);
    let reply = account(book, "register", "", "123456");
    book.page("refused_no_name", &reply);
    let reply = account(book, "register", &"x".repeat(33), "123456");
    book.page("refused_long_name", &reply);
    let reply = account(book, "login", "ann", "wrong");
    book.page("refused_wrong_password", &reply);
    let forged = ann.with_token("forged");
    book.page("refused_bad_token", &forged.favorite(1, 1));
    book.page("refused_guest", &book.world.guest().favorite(1, 1));
    book.page("refused_action_type", &ann.favorite(1, 3));
    book.page(
        "refused_bad_id",
        &ann.post("/douyin/favorite/action/", &[("video_id", &"x"), ("action_type", &1)]),
    );
    book.page(
        "refused_missing_id",
        &ann.post("/douyin/favorite/action/", &[("action_type", &1)]),
    );
    book.page("refused_unknown_video", &ann.favorite(99, 1));
    book.page("refused_unknown_user", &ann.get("/douyin/user/", &[("user_id", &99)]));
    book.page("refused_unknown_comment", &ann.uncomment(1, 99));
    book.page("refused_empty_comment", &ann.comment(1, ""));
    book.page("refused_self_follow", &ann.relate(ann.id, 1));
    book.page("refused_self_message", &ann.message(ann.id, "me"));
    let no_video = Multipart::default()
        .field("token", &ann.token)
        .file(b"text")
        .field("title", "x");
    book.page(
        "refused_no_video",
        &ann.posts_multipart("/douyin/publish/action/", no_video.end()),
    );
    let reply = book.world.get("/nowhere");
    book.page("refused_unknown_path", &reply);
}
