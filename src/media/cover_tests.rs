//! The service with shell scripts for helpers: who is asked how often, and what is stored.

use std::path::Path;

use super::*;
use crate::media::budget::{Sender, SpoolBudget, SpoolLimits};
use crate::media::picture;
use crate::media::spool::Spool;

const BASELINE: &[u8] = include_bytes!("../../tests/media/baseline.mp4");
const INFO: VideoInfo = VideoInfo {
    width: 320,
    height: 180,
    rotation: 0,
    duration_ms: 1000,
    codec: *b"avc1",
};

struct World {
    folder: tempfile::TempDir,
    store: Store,
    hash: ContentHash,
}

impl World {
    async fn new() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let store = Store::open(folder.path()).unwrap();
        let permit = SpoolBudget::new(SpoolLimits::default())
            .admit(Sender::User(1), 0)
            .unwrap();
        let mut spool = Spool::create(&store, permit, 1 << 20).await.unwrap();
        spool.write(BASELINE).await.unwrap();
        let kept = store.keep(spool.finish().await.unwrap()).await.unwrap();
        let hash = kept.hash();
        kept.commit();
        std::fs::write(folder.path().join("frame.jpg"), frame()).unwrap();
        Self { folder, store, hash }
    }

    /// `{}` in the script stands for the test's folder; every run adds a line to `runs`.
    fn covers(&self, script: &str, change: impl FnOnce(&mut CoverLimits)) -> Covers {
        let folder = self.folder.path().display().to_string();
        let script = format!("echo run >> {folder}/runs; {}", script.replace("{}", &folder));
        let mut limits = CoverLimits {
            executable: "/bin/sh".into(),
            arguments: vec!["-c".into(), script.into()],
            ffmpeg: None,
            helper_deadline: Duration::from_secs(30),
            deadline: Duration::from_secs(30),
            ..CoverLimits::default()
        };
        change(&mut limits);
        Covers::new(self.store.clone(), limits)
    }

    fn runs(&self) -> usize {
        std::fs::read_to_string(self.folder.path().join("runs"))
            .unwrap_or_default()
            .lines()
            .count()
    }

    fn release(&self) {
        std::fs::write(self.folder.path().join("go"), b"").unwrap();
    }

    fn stored(&self) -> Option<Vec<u8>> {
        std::fs::read(self.store.cover_path(&self.hash)).ok()
    }
}

fn frame() -> Vec<u8> {
    picture::encode(&vec![200; 320 * 180 * 3], (320, 180)).unwrap()
}

const SHOW: &str = "exec cat {}/frame.jpg";
const SHOW_WHEN_RELEASED: &str = "while [ ! -e {}/go ]; do sleep 0.01; done; exec cat {}/frame.jpg";

#[tokio::test]
async fn many_who_ask_at_once_share_one_helper_and_later_ones_need_none() {
    let world = World::new().await;
    let covers = world.covers(SHOW_WHEN_RELEASED, |_| ());
    covers.start(world.hash, INFO);
    let waiting: Vec<_> = (0..50)
        .map(|_| {
            let (covers, hash) = (covers.clone(), world.hash);
            tokio::spawn(async move { covers.get(hash).await.unwrap() })
        })
        .collect();
    world.release();
    for cover in waiting {
        assert_eq!(cover.await.unwrap(), Cover::Stored(world.store.cover_path(&world.hash)));
    }
    assert_eq!(
        covers.get(world.hash).await.unwrap(),
        Cover::Stored(world.store.cover_path(&world.hash))
    );
    assert_eq!(world.runs(), 1);
    assert_eq!(world.stored().unwrap(), frame());
    assert!(covers.shared.lock().jobs.is_empty());
}

#[tokio::test]
async fn a_cover_lost_in_a_crash_is_made_when_it_is_asked_for() {
    let world = World::new().await;
    let covers = world.covers(SHOW, |_| ());
    assert!(matches!(covers.get(world.hash).await.unwrap(), Cover::Stored(_)));
    std::fs::remove_file(world.store.cover_path(&world.hash)).unwrap();
    assert!(matches!(covers.get(world.hash).await.unwrap(), Cover::Stored(_)));
    assert_eq!(world.runs(), 2);
}

#[tokio::test]
async fn what_cannot_be_decoded_gets_a_drawing_once_and_for_all() {
    let world = World::new().await;
    let covers = world.covers("exit 3", |_| ());
    assert!(matches!(covers.get(world.hash).await.unwrap(), Cover::Stored(_)));
    assert!(matches!(covers.get(world.hash).await.unwrap(), Cover::Stored(_)));
    assert_eq!(world.runs(), 1);
    assert_eq!(picture::jpeg_size(&world.stored().unwrap()), Some((320, 180)));
}

#[tokio::test]
async fn ffmpeg_is_asked_after_our_own_decoder() {
    let world = World::new().await;
    let script = "[ \"$1\" = /usr/bin/other ] && [ \"$2\" = 320 ] && [ \"$3\" = 180 ] && exec cat {}/frame.jpg; exit 3";
    let covers = world.covers(script, |limits| limits.ffmpeg = Some("/usr/bin/other".into()));
    assert!(matches!(covers.get(world.hash).await.unwrap(), Cover::Stored(_)));
    assert_eq!(world.runs(), 2);
    assert_eq!(world.stored().unwrap(), frame());
}

#[tokio::test]
async fn a_drawing_for_want_of_time_is_not_stored_and_the_video_rests() {
    let world = World::new().await;
    let covers = world.covers("exec sleep 60", |limits| {
        limits.helper_deadline = Duration::from_millis(50);
    });
    for _ in 0..3 {
        let Cover::Interim(jpeg) = covers.get(world.hash).await.unwrap() else {
            panic!("stored");
        };
        assert_eq!(picture::jpeg_size(&jpeg), Some((240, 135)));
    }
    assert_eq!(world.runs(), 1, "it is left alone for a while");
    assert!(world.stored().is_none());
}

#[tokio::test]
async fn a_file_that_hangs_every_time_ends_with_a_stored_drawing() {
    let world = World::new().await;
    let covers = world.covers("exec sleep 60", |limits| {
        limits.helper_deadline = Duration::from_millis(20);
        limits.retry_after = Duration::ZERO;
    });
    for _ in 0..2 {
        assert!(matches!(covers.get(world.hash).await.unwrap(), Cover::Interim(_)));
    }
    assert!(matches!(covers.get(world.hash).await.unwrap(), Cover::Stored(_)));
    assert!(covers.shared.lock().timeouts.is_empty());
}

#[tokio::test]
async fn a_helper_that_cannot_start_blames_no_video() {
    let world = World::new().await;
    let covers = world.covers("", |limits| limits.executable = "/nonexistent".into());
    for _ in 0..5 {
        assert!(matches!(covers.get(world.hash).await.unwrap(), Cover::Interim(_)));
    }
    assert!(world.stored().is_none());
}

#[tokio::test]
async fn a_full_queue_answers_with_a_drawing_at_once() {
    let world = World::new().await;
    let covers = world.covers(SHOW_WHEN_RELEASED, |limits| limits.queue = 1);
    let other = ContentHash::new([9; 32]);
    let path = world.store.video_path(&other);
    std::fs::create_dir_all(path.parent().unwrap()).unwrap();
    std::fs::write(path, BASELINE).unwrap();
    covers.start(world.hash, INFO);
    assert!(matches!(covers.get(other).await.unwrap(), Cover::Interim(_)));
    world.release();
    assert!(matches!(covers.get(world.hash).await.unwrap(), Cover::Stored(_)));
    assert!(matches!(covers.get(other).await.unwrap(), Cover::Stored(_)));
}

#[tokio::test]
async fn no_video_no_cover_and_no_helper() {
    let world = World::new().await;
    let covers = world.covers(SHOW, |_| ());
    let unknown = ContentHash::new([1; 32]);
    assert!(matches!(covers.get(unknown).await, Err(MediaError::NotFound)));
    // The video was discarded while its cover was being made.
    std::fs::remove_file(world.store.video_path(&world.hash)).unwrap();
    covers.start(world.hash, INFO);
    assert!(matches!(covers.get(world.hash).await, Err(MediaError::NotFound)));
    assert_eq!(world.runs(), 0);
    assert!(world.stored().is_none());
}

#[test]
fn programs_are_found_on_path_only_as_files() {
    assert!(on_path("sh").is_some_and(|path| Path::new(&path).is_absolute()));
    assert!(on_path("no-such-program-anywhere").is_none());
}
