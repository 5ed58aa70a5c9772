//! Covers made by the real program in its cage: clips of every kind, and files made to hurt the decoder.

#![expect(
    clippy::unwrap_used,
    clippy::panic,
    reason = "a test may fail where it stands, also in its helpers"
)]

use std::os::unix::fs::FileExt;
use std::path::PathBuf;
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use ovation::media::{ContentHash, Cover, CoverLimits, Media, MediaError, MediaLimits, Sender};

fn clip(name: &str) -> Vec<u8> {
    std::fs::read(PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("tests/media").join(name)).unwrap()
}

fn media(folder: &tempfile::TempDir, change: impl FnOnce(&mut CoverLimits)) -> Media {
    let mut limits = MediaLimits::default();
    limits.covers.executable = env!("CARGO_BIN_EXE_ovation").into();
    change(&mut limits.covers);
    Media::open(folder.path(), limits).unwrap()
}

async fn publish(media: &Media, bytes: &[u8]) -> Result<ContentHash, MediaError> {
    let mut spool = media.spool(Sender::User(1), 0).await?;
    for chunk in bytes.chunks(1000) {
        spool.write(chunk).await?;
    }
    let (kept, _) = media.keep(spool.finish().await?).await?;
    let hash = kept.hash();
    kept.commit();
    Ok(hash)
}

async fn cover(media: &Media, hash: ContentHash) -> Vec<u8> {
    match media.covers().get(hash).await.unwrap() {
        Cover::Stored(path) => std::fs::read(path).unwrap(),
        Cover::Interim(_) => panic!("no cover within the deadline"),
    }
}

/// Width and height of our own encoder's and ffmpeg's JPEGs, from the frame header.
fn size(jpeg: &[u8]) -> (u16, u16) {
    let at = jpeg
        .windows(2)
        .position(|pair| matches!(pair, [0xff, 0xc0..=0xc2]))
        .unwrap();
    let word = |skip: usize| u16::from_be_bytes([jpeg[at + skip], jpeg[at + skip + 1]]);
    (word(7), word(5))
}

/// A drawing has no frame of the clip: it is what every cover would be if nothing could be decoded.
async fn drawing(bytes: &[u8]) -> Vec<u8> {
    let folder = tempfile::tempdir().unwrap();
    let media = media(&folder, |limits| {
        limits.executable = "/bin/false".into();
        limits.ffmpeg = None;
    });
    let hash = publish(&media, bytes).await.unwrap();
    cover(&media, hash).await
}

#[tokio::test]
async fn h264_of_every_shape_has_a_real_cover_without_ffmpeg() {
    let folder = tempfile::tempdir().unwrap();
    let media = media(&folder, |limits| limits.ffmpeg = None);
    for (name, expected) in [
        ("baseline.mp4", (320, 180)),
        ("high.mp4", (320, 180)),
        ("fragmented.mp4", (320, 180)),
        ("rotated.mp4", (180, 320)),
    ] {
        let bytes = clip(name);
        let hash = publish(&media, &bytes).await.unwrap();
        let jpeg = cover(&media, hash).await;
        assert_eq!(size(&jpeg), expected, "{name}");
        assert_ne!(jpeg, drawing(&bytes).await, "{name}");
    }
}

#[tokio::test]
async fn other_codecs_need_ffmpeg_and_get_a_drawing_without_it() {
    let bytes = clip("hevc.mp4");
    let folder = tempfile::tempdir().unwrap();
    let alone = media(&folder, |limits| limits.ffmpeg = None);
    let hash = publish(&alone, &bytes).await.unwrap();
    let drawn = cover(&alone, hash).await;
    assert_eq!((size(&drawn), &drawn), ((320, 180), &drawing(&bytes).await));

    let folder = tempfile::tempdir().unwrap();
    let helped = media(&folder, |_| ());
    assert!(
        CoverLimits::default().ffmpeg.is_some(),
        "this test needs ffmpeg on PATH"
    );
    let hash = publish(&helped, &bytes).await.unwrap();
    let real = cover(&helped, hash).await;
    assert_eq!(size(&real), (320, 180));
    assert_ne!(real, drawn);
}

/// Both decoders agree which way a turned clip stands: the same clip through ours and, called something else, through
/// ffmpeg.
#[tokio::test]
async fn ours_and_ffmpeg_turn_a_clip_the_same_way() {
    let folder = tempfile::tempdir().unwrap();
    let ours = media(&folder, |limits| limits.ffmpeg = None);
    let own = cover(&ours, publish(&ours, &clip("rotated.mp4")).await.unwrap()).await;
    let file = tempfile::NamedTempFile::new().unwrap();
    file.as_file().write_all_at(&own, 0).unwrap();
    let mean = |arguments: &[&str]| {
        let filter = "scale=2:2:flags=area,format=rgb24";
        let output = Command::new("ffmpeg")
            .args(["-nostdin", "-loglevel", "error"])
            .args(arguments)
            .args(["-frames:v", "1", "-vf", filter, "-f", "rawvideo", "pipe:1"])
            .output()
            .unwrap();
        output.stdout
    };
    let path = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("tests/media/rotated.mp4");
    let (own, theirs) = (
        mean(&["-f", "mjpeg", "-i", file.path().to_str().unwrap()]),
        mean(&["-i", path.to_str().unwrap()]),
    );
    assert_eq!((own.len(), theirs.len()), (12, 12));
    for (index, (a, b)) in own.iter().zip(&theirs).enumerate() {
        assert!(a.abs_diff(*b) < 40, "byte {index}: {own:?} {theirs:?}");
    }
}

#[tokio::test]
async fn damaged_pictures_end_in_a_cover_of_some_kind_and_never_in_a_hang() {
    let folder = tempfile::tempdir().unwrap();
    let media = media(&folder, |_| ());
    for (round, name) in ["baseline.mp4", "high.mp4", "fragmented.mp4", "hevc.mp4"]
        .iter()
        .cycle()
        .take(16)
        .enumerate()
    {
        let mut bytes = clip(name);
        let data = bytes.windows(4).position(|window| window == b"mdat").unwrap() + 8;
        for index in 0..40 {
            let span = bytes.len() - data;
            let at = data + (index * 7919 + round * 104_729) % span;
            bytes[at] ^= u8::try_from((index * 31 + round) % 255).unwrap() | 1;
        }
        // Damage in a later fragment's index may make it no video at all, which is an answer too.
        if let Ok(hash) = publish(&media, &bytes).await {
            let start = Instant::now();
            assert_eq!(size(&cover(&media, hash).await), (320, 180), "{name} {round}");
            assert!(start.elapsed() < Duration::from_secs(10));
        }
    }
}

/// What `limits` says of a process in the cage, asked through a stand-in for ffmpeg.
#[test]
fn the_cage_is_closed_before_anything_is_read() {
    let folder = tempfile::tempdir().unwrap();
    let script = folder.path().join("ffmpeg");
    std::fs::write(
        &script,
        "#!/bin/sh\nulimit -c; ulimit -f; ulimit -t; ulimit -n; ulimit -v; echo x > \"$0.out\" && echo wrote\n",
    )
    .unwrap();
    std::fs::set_permissions(&script, std::os::unix::fs::PermissionsExt::from_mode(0o755)).unwrap();
    let output = Command::new(env!("CARGO_BIN_EXE_ovation"))
        .args(["cover-child", "ffmpeg", script.to_str().unwrap(), "1", "1"])
        .stdin(Stdio::null())
        .output()
        .unwrap();
    let text = String::from_utf8(output.stdout).unwrap();
    assert_eq!(text.lines().collect::<Vec<_>>(), ["0", "0", "4", "64", "2097152"]);
}

/// ffmpeg would follow a playlist to any file the server can read, if it were let to recognise one.
#[test]
fn ffmpeg_in_the_cage_follows_no_playlist() {
    let folder = tempfile::tempdir().unwrap();
    let target = folder.path().join("secret.mp4");
    std::fs::write(&target, clip("baseline.mp4")).unwrap();
    let target = target.display();
    let ffmpeg = CoverLimits::default().ffmpeg.expect("this test needs ffmpeg on PATH");
    for text in [
        format!("#EXTM3U\n#EXT-X-TARGETDURATION:1\n#EXTINF:1,\nfile:{target}\n#EXT-X-ENDLIST\n"),
        format!("ffconcat version 1.0\nfile '{target}'\n"),
    ] {
        let file = tempfile::tempfile().unwrap();
        file.write_all_at(text.as_bytes(), 0).unwrap();
        let output = Command::new(env!("CARGO_BIN_EXE_ovation"))
            .args(["cover-child", "ffmpeg", ffmpeg.to_str().unwrap(), "32", "18"])
            .stdin(file)
            .output()
            .unwrap();
        assert!(!output.status.success());
        assert_ne!(output.status.code(), Some(4), "ffmpeg did start");
        assert_eq!(output.stdout.len(), 0);
    }
}

#[test]
fn the_child_refuses_what_is_no_video_with_its_own_code() {
    for arguments in [&["cover-child"][..], &["cover-child", "unknown"]] {
        let output = Command::new(env!("CARGO_BIN_EXE_ovation"))
            .args(arguments)
            .stdin(Stdio::null())
            .output()
            .unwrap();
        assert_eq!((output.status.code(), output.stdout.len()), (Some(3), 0));
    }
    let output = Command::new(env!("CARGO_BIN_EXE_ovation"))
        .args(["cover-child", "ffmpeg"])
        .output()
        .unwrap();
    assert_eq!(output.status.code(), Some(4));
}
