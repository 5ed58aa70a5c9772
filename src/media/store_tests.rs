//! Keeping, sharing and discarding, alone and at once.

use std::convert::Infallible;

use super::*;
use crate::media::budget::{Sender, SpoolBudget, SpoolLimits};
use crate::media::spool::Spool;

fn fixture() -> (tempfile::TempDir, Store) {
    let folder = tempfile::tempdir().unwrap();
    let store = Store::open(folder.path()).unwrap();
    (folder, store)
}

async fn received(store: &Store, bytes: &[u8]) -> Received {
    let permit = SpoolBudget::new(SpoolLimits::default())
        .admit(Sender::User(1), 0)
        .unwrap();
    let mut spool = Spool::create(store, permit, 1 << 20).await.unwrap();
    spool.write(bytes).await.unwrap();
    spool.finish().await.unwrap()
}

async fn keep(store: &Store, bytes: &[u8]) -> Kept {
    store.keep(received(store, bytes).await).await.unwrap()
}

fn spools(folder: &tempfile::TempDir) -> usize {
    fs::read_dir(folder.path().join("spool")).unwrap().count()
}

#[tokio::test]
async fn a_kept_file_lies_under_its_hash_and_the_same_bytes_share_it() {
    let (folder, store) = fixture();
    let first = keep(&store, b"abc").await;
    let path = store.video_path(&first.hash());
    let name = first.hash().to_string();
    assert_eq!(
        path,
        folder
            .path()
            .join("media/videos")
            .join(&name[..2])
            .join(format!("{name}.mp4"))
    );
    first.commit();
    let before = fs::metadata(&path).unwrap();
    keep(&store, b"abc").await.commit();
    let after = fs::metadata(&path).unwrap();
    assert_eq!(
        std::os::unix::fs::MetadataExt::ino(&before),
        std::os::unix::fs::MetadataExt::ino(&after)
    );
    assert_eq!(fs::read(&path).unwrap(), b"abc");
    assert_eq!(spools(&folder), 0);
}

#[tokio::test]
async fn a_failed_publish_takes_its_own_file_back_and_no_other() {
    let (_folder, store) = fixture();
    let alone = keep(&store, b"abc").await;
    let path = store.video_path(&alone.hash());
    let cover = store.keep_cover(&alone.hash(), b"jpeg").unwrap();
    alone.discard().await;
    assert!(!path.exists() && !cover.exists());

    keep(&store, b"abc").await.commit();
    keep(&store, b"abc").await.discard().await;
    assert!(path.exists(), "an older row refers to it");
}

#[tokio::test]
async fn an_uncertain_publish_leaves_the_file_for_the_sweep() {
    let (_folder, store) = fixture();
    let kept = keep(&store, b"abc").await;
    let path = store.video_path(&kept.hash());
    drop(kept);
    keep(&store, b"abc").await.discard().await;
    assert!(path.exists());
    let swept = store.sweep(|_| Ok::<_, Infallible>(HashSet::new())).unwrap();
    assert_eq!(swept.videos, 1);
    assert!(!path.exists());
}

#[tokio::test]
async fn a_request_dropped_while_its_file_is_kept_leaves_nothing() {
    let (folder, store) = fixture();
    let upload = received(&store, b"abc").await;
    let path = store.video_path(&upload.hash());
    // What the blocking pool does with the result of a future that is gone.
    drop(store.keep_now(upload).unwrap());
    assert!(!path.exists());
    assert_eq!(spools(&folder), 0);
}

#[tokio::test]
async fn the_last_of_several_publishes_of_one_file_decides() {
    let (_folder, store) = fixture();
    for (first, second) in [(true, false), (false, true), (false, false)] {
        let (a, b) = (keep(&store, b"abc").await, keep(&store, b"abc").await);
        let path = store.video_path(&a.hash());
        for (kept, good) in [(a, first), (b, second)] {
            assert!(path.exists());
            if good { kept.commit() } else { kept.discard().await }
        }
        assert_eq!(path.exists(), first || second, "{first} {second}");
        let _ = fs::remove_file(path);
    }
}

#[tokio::test]
async fn a_sweep_spares_what_is_published_meanwhile() {
    let (_folder, store) = fixture();
    let in_flight = keep(&store, b"abc").await;
    keep(&store, b"old").await.commit();
    let late = received(&store, b"def").await;
    let (late_hash, mut late) = (late.hash(), Some(late));
    // The look-up answers from before the late publish's row: it names nothing.
    let swept = store.sweep(|_| {
        if let Some(late) = late.take() {
            store.keep_now(late).unwrap().commit();
        }
        Ok::<_, Infallible>(HashSet::new())
    });
    assert_eq!(swept.unwrap().videos, 1, "only the old one");
    assert!(store.video_path(&in_flight.hash()).exists());
    assert!(store.video_path(&late_hash).exists());
}

#[tokio::test]
async fn a_damaged_leftover_of_the_same_name_is_replaced() {
    let (_folder, store) = fixture();
    let first = keep(&store, b"abc").await;
    let path = store.video_path(&first.hash());
    first.commit();
    fs::write(&path, b"a").unwrap();
    keep(&store, b"abc").await.commit();
    assert_eq!(fs::read(&path).unwrap(), b"abc");
}

/// The work of each runs on the blocking pool, so the twelve really are at once.
#[tokio::test]
async fn a_publish_storm_of_one_file_ends_with_the_file_exactly_if_a_row_was_written() {
    let (folder, store) = fixture();
    for round in 0..20_u32 {
        let bytes = round.to_be_bytes();
        let winners = round % 3;
        let tasks: Vec<_> = (0..12)
            .map(|index| {
                let store = store.clone();
                tokio::spawn(async move {
                    let kept = keep(&store, &bytes).await;
                    let (hash, path) = (kept.hash(), store.video_path(&kept.hash()));
                    assert!(path.exists(), "the file is there while its guard lives");
                    if index < winners {
                        kept.commit();
                    } else {
                        kept.discard().await;
                    }
                    hash
                })
            })
            .collect();
        let mut hashes = Vec::new();
        for task in tasks {
            hashes.push(task.await.unwrap());
        }
        let hash = hashes[0];
        assert_eq!(store.video_path(&hash).exists(), winners > 0, "round {round}");
    }
    assert_eq!(spools(&folder), 0);
}
