//! Media as a phone's player asks for them: ranges, validators, covers, no way out of the folder (contract 5.5).

use std::io::Write;
use std::process::{Command, Stdio};
use std::time::Duration;

use crate::harness::clip::CLIP;
use crate::harness::raw::{Wire, exchange, head};
use crate::harness::{Kind, Reply, Site, Video, World, eventually, on_both_stores};

on_both_stores!(
    a_clip_is_served_with_what_a_player_needs,
    ranges_are_exact,
    validators_save_transfers,
    covers_are_frames_of_the_film,
    nothing_else_is_served,
    addresses_follow_the_host_or_the_configured_base,
    films_of_every_kind_get_covers_the_right_way_up,
    what_a_killed_process_left_is_swept_at_start,
);

/// The cover that stays; on a busy machine a drawing is served until it is made, and that one has no tag.
pub fn cover_of(site: &Site, video: &Video) -> Reply {
    eventually("the cover is there", Duration::from_secs(15), || {
        let reply = site.get(&video.cover_url);
        (reply.status == 200 && reply.header("etag").is_some()).then_some(reply)
    })
}

fn a_clip_is_served_with_what_a_player_needs(kind: Kind) {
    let world = World::new(kind);
    let video = world.register("ann").publishes("sea");
    let reply = world.get(&video.play_url);
    assert_eq!((reply.status, reply.body.as_slice()), (200, CLIP));
    assert_eq!(reply.header("content-type"), Some("video/mp4"));
    assert_eq!(reply.header("accept-ranges"), Some("bytes"));
    assert_eq!(reply.header("x-content-type-options"), Some("nosniff"));
    assert!(
        reply.header("etag").is_some_and(|tag| tag.starts_with('"')),
        "a strong validator"
    );
    let cache = reply.header("cache-control").unwrap_or_default();
    assert!(cache.contains("max-age="), "a long cache life: {cache}");

    let target = video.play_url.strip_prefix(&world.url("")).unwrap();
    let mut wire = Wire::to(world.address());
    wire.put(head("HEAD", target, &[])).unwrap();
    let bare = wire.answer_to_head().expect("an answer to HEAD");
    assert_eq!(bare.status, 200);
    for name in ["content-length", "content-type", "etag", "accept-ranges"] {
        assert_eq!(bare.header(name), reply.header(name), "{name}");
    }
    wire.put(head("GET", target, &[])).unwrap();
    assert_eq!(wire.answer().expect("the connection lives on").body, CLIP);
}

fn ranges_are_exact(kind: Kind) {
    let world = World::new(kind);
    let video = world.register("ann").publishes("sea");
    let length = CLIP.len();
    let parts = [
        ("bytes=0-0".to_owned(), 0..1),
        ("bytes=0-99".to_owned(), 0..100),
        ("bytes=100-199".to_owned(), 100..200),
        (format!("bytes={}-", length - 10), length - 10..length),
        ("bytes=0-".to_owned(), 0..length),
        ("bytes=-10".to_owned(), length - 10..length),
        (format!("bytes=-{}", length * 2), 0..length),
        (format!("bytes=10-{}", length * 10), 10..length),
        ("bytes=10-9223372036854775807".to_owned(), 10..length),
    ];
    for (range, part) in parts {
        let reply = world.get_with(&video.play_url, &[("range", &range)]);
        assert_eq!(reply.status, 206, "{range}");
        let expected = format!("bytes {}-{}/{length}", part.start, part.end - 1);
        assert_eq!(reply.header("content-range"), Some(expected.as_str()), "{range}");
        assert_eq!(reply.body, &CLIP[part], "{range}");
    }
    for range in [
        format!("bytes={length}-"),
        format!("bytes={}-{}", length + 5, length + 9),
        "bytes=-0".into(),
    ] {
        let reply = world.get_with(&video.play_url, &[("range", &range)]);
        assert_eq!(reply.status, 416, "{range}");
        assert_eq!(
            reply.header("content-range"),
            Some(format!("bytes */{length}").as_str()),
            "{range}"
        );
    }
    for range in [
        "bytes=9-1",
        "bytes=a-b",
        "bytes",
        "bytes=",
        "bytes=-",
        "pages=1-2",
        "bytes=99999999999999999999-",
    ] {
        let reply = world.get_with(&video.play_url, &[("range", range)]);
        assert!([200, 400, 416].contains(&reply.status), "{range}: {}", reply.status);
        if reply.status == 200 {
            assert_eq!(reply.body, CLIP, "{range}");
        }
    }
    let thousand = format!(
        "bytes={}",
        (0..1000).map(|at| format!("{at}-{at}")).collect::<Vec<_>>().join(",")
    );
    let reply = world.get_with(&video.play_url, &[("range", &thousand)]);
    assert!([200, 206, 400, 416, 431].contains(&reply.status), "{}", reply.status);
    assert!(
        reply.body.len() <= 2 * length,
        "many ranges never multiply the file: {}",
        reply.body.len()
    );
}

fn validators_save_transfers(kind: Kind) {
    let world = World::new(kind);
    let video = world.register("ann").publishes("sea");
    let tag = world.get(&video.play_url).header("etag").unwrap().to_owned();
    let ask = |headers: &[(&str, &str)]| world.get_with(&video.play_url, headers);

    let unchanged = ask(&[("if-none-match", &tag)]);
    assert_eq!((unchanged.status, unchanged.body.len()), (304, 0));
    assert_eq!(ask(&[("if-none-match", "\"other\"")]).status, 200);
    assert_eq!(ask(&[("if-none-match", "*")]).status, 304);
    assert_eq!(ask(&[("range", "bytes=0-9"), ("if-range", &tag)]).status, 206);
    let changed = ask(&[("range", "bytes=0-9"), ("if-range", "\"other\"")]);
    assert_eq!(
        (changed.status, changed.body.as_slice()),
        (200, CLIP),
        "another version: the whole file"
    );
    assert_eq!(ask(&[("if-match", "\"other\"")]).status, 412);
}

/// Size and the raw RGB bytes of a picture, by a decoder that is not ours.
fn decoded(picture: &[u8]) -> (usize, usize, Vec<u8>) {
    let run = |program: &str, arguments: &[&str]| {
        let mut child = Command::new(program)
            .args(["-v", "error"])
            .args(arguments)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .unwrap_or_else(|error| panic!("{program} is not installed ({error}): run tests/setup once"));
        child.stdin.take().unwrap().write_all(picture).unwrap();
        let output = child.wait_with_output().unwrap();
        assert!(output.status.success(), "{program} reads the cover");
        output.stdout
    };
    let size = run(
        "ffprobe",
        &[
            "-f",
            "jpeg_pipe",
            "-show_entries",
            "stream=width,height",
            "-of",
            "csv=p=0",
            "-i",
            "pipe:0",
        ],
    );
    let size = String::from_utf8(size).unwrap();
    let (width, height) = size.trim().split_once(',').expect("width,height");
    let pixels = run(
        "ffmpeg",
        &[
            "-f",
            "jpeg_pipe",
            "-i",
            "pipe:0",
            "-f",
            "rawvideo",
            "-pix_fmt",
            "rgb24",
            "pipe:1",
        ],
    );
    (width.parse().unwrap(), height.parse().unwrap(), pixels)
}

fn covers_are_frames_of_the_film(kind: Kind) {
    let world = World::new(kind);
    let video = world.register("ann").publishes("red above, blue below");
    let cover = cover_of(&world, &video);
    assert_eq!(cover.header("content-type"), Some("image/jpeg"));
    assert!(cover.header("etag").is_some() && cover.header("x-content-type-options") == Some("nosniff"));
    let (width, height, pixels) = decoded(&cover.body);
    #[expect(clippy::cast_precision_loss, reason = "picture sizes")]
    let ratio = width as f64 / height as f64;
    assert!((ratio - 0.5).abs() < 0.015, "64×128, ±3 %: {width}×{height}");
    let pixel = |x: usize, y: usize| &pixels[(y * width + x) * 3..][..3];
    let (upper, lower) = (pixel(width / 2, height / 4), pixel(width / 2, height * 3 / 4));
    assert!(upper[0] > 200 && upper[2] < 60, "red above: {upper:?}");
    assert!(lower[2] > 200 && lower[0] < 60, "blue below: {lower:?}");
}

fn nothing_else_is_served(kind: Kind) {
    let world = World::new(kind);
    let video = world.register("ann").publishes("sea");
    let target = video.play_url.strip_prefix(&world.url("")).unwrap().to_owned();
    let folder = &target[..=target.rfind('/').unwrap()];
    let name = &target[folder.len()..];
    let secrets = world.files();
    assert!(!secrets.is_empty());
    let mut targets = vec![
        folder.to_owned(),
        folder.trim_end_matches('/').to_owned(),
        format!("{folder}{}", "0".repeat(name.len())),
        format!("{folder}{name}/"),
        format!("{folder}{name}%00"),
        format!("{folder}{name}.tmp"),
        format!("{folder}.{name}"),
        format!("{folder}{}", name.to_uppercase()),
    ];
    for secret in &secrets {
        let secret = secret.display();
        for way in ["..", "%2e%2e", "..%2f..", "....//..", "..\\..", "%252e%252e", ".%00."] {
            targets.push(format!("{folder}{way}/{secret}"));
            targets.push(format!("{folder}{way}/{way}/{secret}"));
        }
    }
    targets.push(format!("{folder}../../../../../../../../etc/passwd"));
    targets.push(format!("{folder}%2fetc%2fpasswd"));
    targets.push(format!("{folder}/etc/passwd"));
    for target in targets {
        // By hand, since a decent client tidies such paths.
        let reply = exchange(world.address(), head("GET", &target, &[])).expect("an answer");
        if reply.status == 200 {
            assert_eq!(reply.body, CLIP, "another spelling of the clip at most: {target}");
        } else {
            assert!([400, 404].contains(&reply.status), "{target}: {}", reply.status);
        }
    }
}

fn addresses_follow_the_host_or_the_configured_base(kind: Kind) {
    let world = World::new(kind);
    world.register("ann").publishes("sea");
    let reply = exchange(world.address(), head("GET", "/douyin/feed/", &[])).unwrap();
    let video = Video::read(&reply.success()["video_list"][0]);
    for url in [
        &video.play_url,
        &video.cover_url,
        &video.author.avatar,
        &video.author.background_image,
    ] {
        assert!(url.starts_with("http://phone.test:8080/"), "{url}");
    }
    for hostile in ["evil\"><script>", "a b", "x/../..", ""] {
        let request = format!("GET /douyin/feed/ HTTP/1.1\r\nHost: {hostile}\r\n\r\n");
        let reply = exchange(world.address(), request).expect("an answer");
        let text = String::from_utf8_lossy(&reply.body).into_owned();
        assert!(
            reply.status == 200 || reply.status == 400,
            "{hostile}: {}",
            reply.status
        );
        assert!(!text.contains("<script>"), "{text}");
    }

    let world = World::with(kind, |config| {
        config.public_url = Some("https://cdn.example/ovation".into());
    });
    let video = world.register("ann").publishes("sea");
    assert!(
        video.play_url.starts_with("https://cdn.example/ovation/"),
        "{}",
        video.play_url
    );
    assert!(
        video.author.avatar.starts_with("https://cdn.example/ovation/"),
        "{}",
        video.author.avatar
    );
}

fn films_of_every_kind_get_covers_the_right_way_up(kind: Kind) {
    let world = World::new(kind);
    let ann = world.register("ann");
    // Drawn with a white square at the upper left, red on the left, blue on the right (tests/media/README.md).
    for (name, ratio, square, blue) in [
        ("baseline.mp4", 16.0 / 9.0, (0.06, 0.1), (0.9, 0.5)),
        ("high.mp4", 16.0 / 9.0, (0.06, 0.1), (0.9, 0.5)),
        ("fragmented.mp4", 16.0 / 9.0, (0.06, 0.1), (0.9, 0.5)),
        ("hevc.mp4", 16.0 / 9.0, (0.06, 0.1), (0.9, 0.5)),
        ("rotated.mp4", 9.0 / 16.0, (0.06, 0.94), (0.5, 0.1)),
    ] {
        let path = format!("{}/tests/media/{name}", env!("CARGO_MANIFEST_DIR"));
        let film = std::fs::read(path).unwrap();
        ann.uploads(name, &film).done();
        let video = ann.works_of(ann.id).remove(0);
        assert!(world.get(&video.play_url).body == film, "{name}: the very bytes");
        let (width, height, pixels) = decoded(&cover_of(&world, &video).body);
        #[expect(clippy::cast_precision_loss, reason = "picture sizes")]
        let (wide, high) = (width as f64, height as f64);
        assert!((wide / high / ratio - 1.0).abs() < 0.03, "{name}: {width}×{height}");
        #[expect(
            clippy::cast_possible_truncation,
            clippy::cast_sign_loss,
            reason = "within the picture"
        )]
        let at = |(x, y): (f64, f64)| &pixels[((y * high) as usize * width + (x * wide) as usize) * 3..][..3];
        let (white, blue) = (at(square), at(blue));
        assert!(
            white.iter().all(|&part| part > 200),
            "{name}: a white square: {white:?}"
        );
        assert!(blue[2] > 200 && blue[0] < 60, "{name}: blue: {blue:?}");
    }
    let sound = std::fs::read(format!("{}/tests/media/audio.mp4", env!("CARGO_MANIFEST_DIR"))).unwrap();
    ann.uploads("sound alone", &sound).refused();
    assert_eq!(ann.profile().work_count, 5);
}

fn what_a_killed_process_left_is_swept_at_start(kind: Kind) {
    let mut world = World::new(kind);
    let video = world.register("ann").publishes("sea");
    cover_of(&world, &video);
    let before = world.files();
    world.stop();
    // The name of a stored file with another hash, beside it, and something unfinished in every folder.
    let stored: Vec<_> = before
        .iter()
        .filter(|path| path.to_string_lossy().len() > 64)
        .cloned()
        .collect();
    assert!(stored.len() >= 2, "a film and its cover: {before:?}");
    for path in &stored {
        let name = path.file_stem().unwrap().to_str().unwrap();
        let orphan = path
            .to_string_lossy()
            .replace(name, &format!("{}0000", &name[..name.len() - 4]));
        std::fs::copy(world.data_dir().join(path), world.data_dir().join(&orphan)).unwrap();
    }
    assert_eq!(world.files().len(), before.len() + stored.len());
    world.start_again();
    assert_eq!(world.files(), before, "orphans are gone, the rest stays");
    let again = world.feed().remove(0);
    assert_eq!(world.get(&again.play_url).body, CLIP);
    cover_of(&world, &again);
}
