//! The HTTP of media over a real socket: what a player sees, byte by byte.

use std::io::{Read, Write};
use std::net::{SocketAddr, TcpStream};

use actix_web::{App, HttpServer};
use futures_util::TryStreamExt;

use super::*;
use crate::media::{CoverLimits, MediaLimits, Sender};

const CLIP: &[u8] = include_bytes!("../../tests/media/baseline.mp4");

struct Served {
    _folder: tempfile::TempDir,
    media: Media,
    address: SocketAddr,
    server: actix_web::dev::ServerHandle,
    hash: ContentHash,
}

struct Answer {
    status: u16,
    head: String,
    body: Vec<u8>,
}

impl Answer {
    fn header(&self, name: &str) -> Option<&str> {
        self.head.lines().find_map(|line| {
            let (key, value) = line.split_once(": ")?;
            key.eq_ignore_ascii_case(name).then_some(value)
        })
    }
}

impl Served {
    async fn start() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let limits = MediaLimits {
            covers: CoverLimits {
                executable: "/bin/sh".into(),
                arguments: vec!["-c".into(), "exit 3".into()],
                ffmpeg: None,
                ..CoverLimits::default()
            },
            ..MediaLimits::default()
        };
        let media = Media::open(folder.path(), limits).unwrap();
        let mut spool = media.spool(Sender::User(1), 0).await.unwrap();
        spool.write(CLIP).await.unwrap();
        let (kept, _) = media.keep(spool.finish().await.unwrap()).await.unwrap();
        let hash = kept.hash();
        kept.commit();
        let data = web::Data::new(media.clone());
        let server = HttpServer::new(move || App::new().app_data(data.clone()).configure(routes))
            .workers(1)
            .disable_signals()
            .bind("127.0.0.1:0")
            .unwrap();
        let address = server.addrs()[0];
        let server = server.run();
        let handle = server.handle();
        actix_web::rt::spawn(server);
        Self {
            _folder: folder,
            media,
            address,
            server: handle,
            hash,
        }
    }

    /// One request as written, on a connection of its own.
    async fn raw(&self, method: &str, path: &str, headers: &[&str]) -> Answer {
        let address = self.address;
        let lines = headers.iter().fold(String::new(), |lines, line| lines + line + "\r\n");
        let request = format!("{method} {path} HTTP/1.1\r\nHost: t\r\nConnection: close\r\n{lines}\r\n");
        let received = blocking(move || {
            let mut socket = TcpStream::connect(address)?;
            socket.write_all(request.as_bytes())?;
            let mut received = Vec::new();
            socket.read_to_end(&mut received)?;
            Ok(received)
        });
        let received = received.await.unwrap();
        let split = received.windows(4).position(|window| window == b"\r\n\r\n").unwrap();
        let head = String::from_utf8(received[..split].to_vec()).unwrap();
        Answer {
            status: head.split(' ').nth(1).unwrap().parse().unwrap(),
            head,
            body: received[split + 4..].to_vec(),
        }
    }

    async fn video(&self, method: &str, headers: &[&str]) -> Answer {
        self.raw(method, &crate::media::video_url_path(&self.hash.to_string()), headers)
            .await
    }
}

#[actix_web::test]
async fn a_whole_video_comes_with_everything_a_cache_and_a_player_need() {
    let served = Served::start().await;
    let tag = format!("\"{}\"", served.hash);
    let length = CLIP.len().to_string();
    let whole = served.video("GET", &[]).await;
    assert_eq!((whole.status, whole.body.as_slice()), (200, CLIP));
    let head = served.video("HEAD", &["Range: bytes=0-9"]).await;
    assert_eq!((head.status, head.body.len()), (200, 0), "ranges are for GET alone");
    for answer in [whole, head] {
        assert_eq!(answer.header("content-length"), Some(length.as_str()));
        assert_eq!(answer.header("content-type"), Some("video/mp4"));
        assert_eq!(answer.header("etag"), Some(tag.as_str()));
        assert_eq!(answer.header("accept-ranges"), Some("bytes"));
        assert_eq!(answer.header("x-content-type-options"), Some("nosniff"));
        assert_eq!(answer.header("cache-control"), Some(FOREVER));
        assert_eq!(answer.header("transfer-encoding"), None);
    }
    served.server.stop(false).await;
}

#[actix_web::test]
async fn parts_are_exact_and_impossible_ones_are_416() {
    let served = Served::start().await;
    let all = CLIP.len();
    for (range, from, to) in [
        ("bytes=0-0", 0, 1),
        ("bytes=100-299", 100, 300),
        ("bytes=1000-", 1000, all),
        ("bytes=-7", all - 7, all),
        ("bytes=10-999999999", 10, all),
    ] {
        let part = served.video("GET", &[&format!("Range: {range}")]).await;
        assert_eq!((part.status, part.body.as_slice()), (206, &CLIP[from..to]), "{range}");
        let expected = format!("bytes {from}-{}/{all}", to - 1);
        assert_eq!(part.header("content-range"), Some(expected.as_str()));
        assert_eq!(part.header("content-length"), Some((to - from).to_string().as_str()));
    }
    for range in [format!("bytes={all}-"), "bytes=-0".to_owned()] {
        let none = served.video("GET", &[&format!("Range: {range}")]).await;
        assert_eq!((none.status, none.body.len()), (416, 0), "{range}");
        assert_eq!(none.header("content-range"), Some(format!("bytes */{all}").as_str()));
        assert_eq!(none.header("cache-control"), None);
    }
    for ranges in [
        &["Range: bytes=5-1"][..],
        &["Range: bytes=0-1,3-4,0-"],
        &["Range: bytes=0-1", "Range: bytes=2-3"],
    ] {
        let whole = served.video("GET", ranges).await;
        assert_eq!((whole.status, whole.body.len()), (200, all), "{ranges:?}");
        assert_eq!(whole.header("content-range"), None);
    }
    served.server.stop(false).await;
}

#[actix_web::test]
async fn validators_decide_before_ranges() {
    let served = Served::start().await;
    let tag = format!("\"{}\"", served.hash);
    let part = "Range: bytes=0-3";
    let cases = [
        (format!("If-None-Match: {tag}"), 304),
        (format!("If-None-Match: \"x\", W/{tag}"), 304),
        ("If-None-Match: *".to_owned(), 304),
        ("If-None-Match: \"x\"".to_owned(), 206),
        (format!("If-Match: {tag}"), 206),
        ("If-Match: *".to_owned(), 206),
        ("If-Match: \"x\"".to_owned(), 412),
        (format!("If-Match: W/{tag}"), 412),
        (format!("If-Range: {tag}"), 206),
        (format!("If-Range: W/{tag}"), 200),
        ("If-Range: \"x\"".to_owned(), 200),
        ("If-Range: Sat, 29 Oct 2044 19:43:31 GMT".to_owned(), 200),
        ("If-Range: nonsense".to_owned(), 200),
    ];
    for (condition, status) in &cases {
        let answer = served.video("GET", &[part, condition]).await;
        assert_eq!(answer.status, *status, "{condition}");
        if *status == 304 {
            assert_eq!((answer.body.len(), answer.header("etag")), (0, Some(tag.as_str())));
        }
    }
    let head = served.video("HEAD", &[&cases[0].0]).await;
    assert_eq!(head.status, 304);
    served.server.stop(false).await;
}

#[actix_web::test]
async fn nothing_but_stored_files_is_there() {
    let served = Served::start().await;
    let hash = served.hash;
    let unknown = "0".repeat(64);
    let paths = [
        format!("/media/videos/{unknown}.mp4"),
        format!("/media/covers/{unknown}.jpg"),
        format!("/media/videos/{hash}.jpg"),
        format!("/media/videos/{hash}"),
        format!("/media/videos/{}.mp4", hash.to_string().to_uppercase()),
        format!("/media/videos/{hash}.mp4/"),
        format!("/media/videos/{hash}.mp4%00"),
        format!("/media/videos/%2e%2e/videos/{hash}.mp4"),
        format!("/media/videos/..%2fvideos%2f{hash}.mp4"),
        "/media/videos/../../spool/".to_owned(),
        "/media/videos/%2e%2e%2f%2e%2e%2f%2e%2e%2fetc%2fpasswd".to_owned(),
        "/media/videos/".to_owned(),
        "/media/videos".to_owned(),
        "/media/".to_owned(),
        "/media/%ff%fe".to_owned(),
    ];
    for path in paths {
        let answer = served.raw("GET", &path, &[]).await;
        assert_eq!(answer.status, 404, "{path}");
        let body: serde_json::Value = serde_json::from_slice(&answer.body).unwrap();
        assert_ne!(body["status_code"], 0, "{path}");
        assert!(!body["status_msg"].as_str().unwrap().contains('/'), "{path}");
        assert_eq!(answer.header("cache-control"), Some("no-store"));
        let head = served.raw("HEAD", &path, &[]).await;
        assert_eq!((head.status, head.body.len()), (404, 0), "{path}");
    }
    for method in ["POST", "DELETE", "PUT"] {
        assert_eq!(served.video(method, &[]).await.status, 405, "{method}");
    }
    served.server.stop(false).await;
}

#[actix_web::test]
async fn a_stored_cover_may_be_cached_and_a_stand_in_may_not() {
    let served = Served::start().await;
    let path = crate::media::cover_url_path(&served.hash.to_string());
    let stored = served.raw("GET", &path, &[]).await;
    assert_eq!(
        (stored.status, stored.header("content-type")),
        (200, Some("image/jpeg"))
    );
    assert_eq!(stored.header("cache-control"), Some(FOREVER));
    assert!(stored.body.starts_with(b"\xff\xd8") && stored.body.ends_with(b"\xff\xd9"));
    let head = served.raw("HEAD", &path, &[]).await;
    assert_eq!(
        (head.body.len(), head.header("content-length")),
        (0, stored.header("content-length"))
    );

    let stand_in = interim(Bytes::from_static(b"jpeg"));
    assert_eq!(stand_in.headers().get("cache-control").unwrap(), "no-store");
    assert!(stand_in.headers().get("etag").is_none());
    served.server.stop(false).await;
}

#[actix_web::test]
async fn readers_that_stall_hold_no_thread() {
    let file = tempfile::tempfile().unwrap();
    let large: Vec<u8> = (0..300_000_u32)
        .map(|index| index.to_le_bytes()[index as usize % 3])
        .collect();
    file.write_all_at(&large, 0).unwrap();
    let file = Arc::new(file);
    // More of them than the blocking pool has threads (512): with one thread each nothing else could be read.
    let mut stalled = Vec::new();
    for _ in 0..600 {
        let mut answer = Box::pin(chunks(Arc::clone(&file), 1, 300_000));
        assert_eq!(answer.try_next().await.unwrap().unwrap().len(), 64 * 1024);
        stalled.push(answer);
    }
    let mut rest = stalled.swap_remove(300);
    let mut received = 64 * 1024;
    while let Some(chunk) = rest.try_next().await.unwrap() {
        assert!(chunk.len() <= 64 * 1024);
        assert_eq!(chunk, large[1 + received..][..chunk.len()]);
        received += chunk.len();
    }
    assert_eq!(received, 299_999);
}

#[actix_web::test]
async fn a_file_cut_short_while_it_is_served_ends_the_connection() {
    let served = Served::start().await;
    let file = std::fs::OpenOptions::new()
        .write(true)
        .open(served.media.store().video_path(&served.hash))
        .unwrap();
    let mut answer = Box::pin(chunks(
        Arc::new(File::open(served.media.store().video_path(&served.hash)).unwrap()),
        0,
        5000,
    ));
    file.set_len(100).unwrap();
    assert!(answer.try_next().await.is_err());
    served.server.stop(false).await;
}
