//! Uploads that are refused, and that leave nothing behind (contract 5.5).

use std::collections::BTreeSet;
use std::path::PathBuf;
use std::time::Duration;

use crate::harness::clip::{self, CLIP, Multipart};
use crate::harness::raw::{Wire, exchange, head};
use crate::harness::{Kind, Persona, World, eventually, on_both_stores};

on_both_stores!(
    what_is_no_video_is_refused_and_leaves_nothing,
    a_form_without_a_proper_file_is_refused,
    nobody_publishes_without_a_token,
    an_upload_over_the_limit_is_refused_before_it_is_stored,
    a_connection_lost_in_the_middle_leaves_nothing,
    a_multipart_body_that_ends_early_is_refused,
    titles_that_are_no_text_are_refused,
    two_files_are_one_video_at_most,
);

const PUBLISH: &str = "/douyin/publish/action/";

/// Nothing listed, nothing counted, no new file; a clean-up behind the answer gets a moment.
fn nothing_came_of_it(world: &World, ann: &Persona, before: &BTreeSet<PathBuf>, what: &str) {
    assert_eq!((ann.works_of(ann.id).len(), ann.profile().work_count), (0, 0), "{what}");
    assert_eq!(world.feed(), [], "{what}");
    eventually(&format!("nothing is left of: {what}"), Duration::from_secs(5), || {
        (world.files() == *before).then_some(())
    });
}

fn boxed(kind: [u8; 4], size: u32, rest: &[u8]) -> Vec<u8> {
    [&size.to_be_bytes()[..], &kind, rest].concat()
}

/// Boxes nested `depth` deep around nothing.
fn nested(depth: u32) -> Vec<u8> {
    let mut bytes = CLIP[..32].to_vec();
    for level in (1..=depth).rev() {
        bytes.extend_from_slice(&boxed(*b"moov", level * 8, &[]));
    }
    bytes
}

fn what_is_no_video_is_refused_and_leaves_nothing(kind: Kind) {
    let world = World::new(kind);
    let ann = world.register("ann");
    let before = world.files();
    let ftyp = &CLIP[..32];
    let many_tracks = {
        let tracks = boxed(*b"trak", 8, &[]).repeat(5000);
        let moov = boxed(*b"moov", 8 + u32::try_from(tracks.len()).unwrap(), &tracks);
        [ftyp, &moov].concat()
    };
    let bad: [(&str, Vec<u8>); 16] = [
        ("empty", Vec::new()),
        ("one byte", vec![0]),
        ("text", b"just some words".to_vec()),
        ("zeros", vec![0; 4096]),
        (
            "png",
            b"\x89PNG\r\n\x1a\n\0\0\0\rIHDR\0\0\0\x01\0\0\0\x01\x08\x02".to_vec(),
        ),
        ("zip", [b"PK\x03\x04".as_slice(), &[0; 100]].concat()),
        ("html", b"<html><script>alert(1)</script></html>".to_vec()),
        ("only ftyp", ftyp.to_vec()),
        ("ftyp and garbage", [ftyp, &[0xff; 2000]].concat()),
        ("cut in half", CLIP[..CLIP.len() / 2].to_vec()),
        ("cut at the end", CLIP[..CLIP.len() - 1].to_vec()),
        ("a box of 2^63 bytes", [ftyp, &boxed(*b"moov", 1, &[0x7f; 8])].concat()),
        ("a box of no size", [ftyp, &boxed(*b"moov", 7, &[0; 64])].concat()),
        ("deep nesting", nested(5000)),
        ("thousands of tracks", many_tracks),
        ("a clip behind text", [b"hello ".as_slice(), CLIP].concat()),
    ];
    for (what, bytes) in &bad {
        ann.uploads(what, bytes).refused();
    }
    nothing_came_of_it(&world, &ann, &before, "files that are no video");
    ann.publishes("and then a good one");
}

fn a_form_without_a_proper_file_is_refused(kind: Kind) {
    let world = World::new(kind);
    let ann = world.register("ann");
    let before = world.files();
    let start = || Multipart::default().field("token", &ann.token).field("title", "x");
    let forms = [
        ("no file", start()),
        (
            "another part name",
            start().part("form-data; name=\"video\"; filename=\"a.mp4\"", None, CLIP),
        ),
        ("no file name", start().part("form-data; name=\"data\"", None, CLIP)),
        ("no name", start().part("form-data; filename=\"a.mp4\"", None, CLIP)),
        ("nothing at all", Multipart::default()),
    ];
    for (what, form) in forms {
        let reply = ann.posts_multipart(PUBLISH, form.end());
        reply.refused_as(&[200, 400]);
        nothing_came_of_it(&world, &ann, &before, what);
    }
    let many_parts = (0..10_000).fold(start(), |form, number| form.field(&format!("p{number}"), "v"));
    ann.posts_multipart(PUBLISH, many_parts.end())
        .refused_as(&[200, 400, 413]);
    for content_type in [
        "multipart/form-data",
        "multipart/form-data; boundary=",
        "text/plain",
        "",
        "POST",
    ] {
        let reply = world.request(
            "POST",
            &format!("{PUBLISH}?token={}&title=x", ann.token),
            &[("content-type", content_type)],
            CLIP.to_vec(),
        );
        reply.refused_as(&[200, 400]);
    }
    nothing_came_of_it(&world, &ann, &before, "forms without a file");
}

fn nobody_publishes_without_a_token(kind: Kind) {
    let world = World::new(kind);
    let ann = world.register("ann");
    let before = world.files();
    for token in ["", "forged", "1", &ann.token[..ann.token.len() - 4]] {
        let guest = ann.with_token(token);
        guest.uploads("x", CLIP).refused();
        let early = Multipart::default()
            .field("token", token)
            .field("title", "x")
            .file(CLIP);
        guest.posts_multipart(PUBLISH, early.end()).refused();
    }
    let no_token = Multipart::default().file(CLIP).field("title", "x").end();
    ann.posts_multipart(PUBLISH, no_token.clone()).refused();
    ann.posts_multipart(&format!("{PUBLISH}?token="), no_token).refused();
    nothing_came_of_it(&world, &ann, &before, "uploads of nobody");
}

fn an_upload_over_the_limit_is_refused_before_it_is_stored(kind: Kind) {
    let world = World::with(kind, |config| config.upload_max_bytes = 1 << 20);
    let ann = world.register("ann");
    let before = world.files();
    for length in [(1 << 20) + 1, 2 << 20, 8 << 20] {
        let content = clip::of_length(length);
        for body in [
            Multipart::default()
                .field("token", &ann.token)
                .field("title", "x")
                .file(&content)
                .end(),
            Multipart::default()
                .file(&content)
                .field("token", &ann.token)
                .field("title", "x")
                .end(),
        ] {
            let length = body.len().to_string();
            let headers = [
                ("Content-Type", &*Multipart::content_type()),
                ("Content-Length", &length),
            ];
            let request = [head("POST", PUBLISH, &headers).into_bytes(), body].concat();
            // A connection that closes without an answer is allowed, a success is not.
            if let Some(reply) = exchange(world.address(), request) {
                reply.refused_as(&[413]);
            }
            nothing_came_of_it(&world, &ann, &before, "an upload over the limit");
        }
    }
    ann.uploads("exactly the limit", &clip::of_length(1 << 20)).done();
}

fn a_connection_lost_in_the_middle_leaves_nothing(kind: Kind) {
    let world = World::new(kind);
    let ann = world.register("ann");
    let before = world.files();
    let content = clip::of_length(1 << 20);
    let token_first = Multipart::default().field("token", &ann.token).file(&content).end();
    let file_first = Multipart::default().file(&content).field("token", &ann.token).end();
    for body in [token_first, file_first] {
        for sent in [60, body.len() / 2, body.len() - 3] {
            let length = body.len().to_string();
            let headers = [
                ("Content-Type", &*Multipart::content_type()),
                ("Content-Length", &length),
            ];
            let mut wire = Wire::to(world.address());
            wire.put(head("POST", PUBLISH, &headers)).unwrap();
            wire.put(&body[..sent]).unwrap();
            drop(wire);
            nothing_came_of_it(&world, &ann, &before, "a lost connection");
        }
    }
}

fn a_multipart_body_that_ends_early_is_refused(kind: Kind) {
    let world = World::new(kind);
    let ann = world.register("ann");
    let before = world.files();
    let whole = Multipart::default()
        .field("token", &ann.token)
        .field("title", "x")
        .file(CLIP)
        .end();
    let closing = whole.len() - 46;
    for end in [10, 100, whole.len() / 2, closing] {
        ann.posts_multipart(PUBLISH, whole[..end].to_vec())
            .refused_as(&[200, 400]);
        nothing_came_of_it(&world, &ann, &before, "a body that ends early");
    }
}

fn titles_that_are_no_text_are_refused(kind: Kind) {
    let world = World::new(kind);
    let ann = world.register("ann");
    let before = world.files();
    let title = "form-data; name=\"title\"";
    let endless = vec![b'x'; 20 << 20];
    for (what, bytes) in [
        ("broken UTF-8", b"\xff\xfe".as_slice()),
        ("NUL", b"a\0b"),
        ("20 MiB", &endless),
    ] {
        for file_first in [true, false] {
            let form = Multipart::default().field("token", &ann.token);
            let form = if file_first {
                form.file(CLIP).part(title, None, bytes)
            } else {
                form.part(title, None, bytes).file(CLIP)
            };
            let body = form.end();
            let length = body.len().to_string();
            let headers = [
                ("Content-Type", &*Multipart::content_type()),
                ("Content-Length", &length),
            ];
            let request = [head("POST", PUBLISH, &headers).into_bytes(), body].concat();
            // The server may hang up on what is endless.
            if let Some(reply) = exchange(world.address(), request) {
                reply.refused_as(&[200, 400, 413]);
            }
            nothing_came_of_it(&world, &ann, &before, what);
        }
    }
}

fn two_files_are_one_video_at_most(kind: Kind) {
    let world = World::new(kind);
    let ann = world.register("ann");
    let (one, other) = (clip::distinct(), clip::distinct());
    let form = Multipart::default().field("token", &ann.token).field("title", "x");
    let reply = ann.posts_multipart(PUBLISH, form.file(&one).file(&other).end());
    let works = ann.works_of(ann.id);
    if reply.text().contains("\"status_code\":0") {
        assert_eq!(works.len(), 1);
        let played = world.get(&works[0].play_url).body;
        assert!(played == one || played == other);
    } else {
        reply.refused_as(&[200, 400]);
        assert_eq!(works, []);
    }
    let films = |world: &World| {
        let is_film = |path: &&PathBuf| path.extension().is_some_and(|ending| ending == "mp4");
        world.files().iter().filter(is_film).count()
    };
    eventually("no film without a row is left", Duration::from_secs(5), || {
        (films(&world) == works.len()).then_some(())
    });
    let is_spool = |path: &PathBuf| path.starts_with("spool");
    eventually("nothing unfinished is left", Duration::from_secs(5), || {
        (!world.files().iter().any(is_spool)).then_some(())
    });
}
