//! Stores to test, and small helpers.

use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::{Duration, Instant};

use ovation_schema::users::NewUser;
use ovation_schema::videos::NewVideo;
use ovation_schema::{Database, Options, Store, StoreError, UserId, VideoId, users, videos};

use crate::mariadb;

pub fn options(database: Database) -> Options {
    Options {
        database,
        connections: 8,
        acquire_timeout: Duration::from_secs(20),
        statement_timeout: Duration::from_secs(10),
    }
}

/// A folder that goes with its test.
pub struct Folder(PathBuf);

impl Folder {
    pub fn new() -> Self {
        static NUMBER: AtomicU32 = AtomicU32::new(0);
        let number = NUMBER.fetch_add(1, Ordering::Relaxed);
        let path = std::env::temp_dir().join(format!("ovation-schema-{}-{number}", std::process::id()));
        std::fs::create_dir(&path).unwrap();
        Self(path)
    }

    pub fn path(&self) -> &Path {
        &self.0
    }

    pub fn sqlite(&self) -> Options {
        options(Database::Sqlite(self.0.join("store.db")))
    }
}

impl Drop for Folder {
    fn drop(&mut self) {
        let _ = std::fs::remove_dir_all(&self.0);
    }
}

pub fn mysql() -> Options {
    let server = mariadb::shared();
    options(Database::Mysql(server.url(&server.new_database())))
}

/// Runs `test` on a fresh store of each kind.
pub fn on_both(test: impl Fn(&Store)) {
    let folder = Folder::new();
    for options in [folder.sqlite(), mysql()] {
        let store = Store::open(&options).unwrap();
        test(&store);
        store.close();
    }
}

pub fn runtime() -> tokio::runtime::Runtime {
    tokio::runtime::Builder::new_multi_thread()
        .worker_threads(2)
        .enable_all()
        .build()
        .unwrap()
}

pub fn eventually(what: &str, patience: Duration, mut check: impl FnMut() -> bool) {
    let start = Instant::now();
    while !check() {
        assert!(start.elapsed() < patience, "{what}: not within {patience:?}");
        std::thread::sleep(Duration::from_millis(20));
    }
}

pub async fn add_user(store: &Store) -> UserId {
    let id: UserId = store.next_id().await.unwrap();
    let user = NewUser {
        id,
        name: format!("user {id}"),
        password_hash: "x".into(),
        created_at: 1,
    };
    store.write(move |db| users::insert(db, &user)).await.unwrap();
    id
}

pub async fn publish(store: &Store, author: UserId) -> Result<(VideoId, i64), StoreError> {
    let id: VideoId = store.next_id().await?;
    let video = NewVideo {
        id,
        author_id: author,
        title: "t".into(),
        media_hash: format!("{:064x}", id.0),
    };
    let time = store.write(move |db| videos::publish(db, &video, 1_000)).await?;
    Ok((id, time))
}
