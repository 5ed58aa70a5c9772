//! Rows against a real store, with reads held up where it matters.

use std::sync::Mutex;

use ovation_schema::users::{self, NewUser};
use ovation_schema::videos::{self, NewVideo};
use ovation_schema::{Database, Options, now_ms};
use tokio::sync::oneshot;

use super::*;

/// Holds the next read up between its rows and its keeping.
#[derive(Default)]
pub(super) struct HeldUp(Mutex<Option<(oneshot::Sender<()>, oneshot::Receiver<()>)>>);

impl HeldUp {
    pub async fn hold<T>(&self, read: impl Future<Output = T>) -> T {
        let found = read.await;
        let held = self.0.lock().unwrap().take();
        if let Some((has_read, go_on)) = held {
            has_read.send(()).unwrap();
            go_on.await.unwrap();
        }
        found
    }

    /// The read says on the one when it has its rows, and goes on when it is told on the other.
    fn next(&self) -> (oneshot::Receiver<()>, oneshot::Sender<()>) {
        let (has_read, read) = oneshot::channel();
        let (go, go_on) = oneshot::channel();
        *self.0.lock().unwrap() = Some((has_read, go_on));
        (read, go)
    }
}

struct World {
    store: Store,
    rows: Rows,
    _folder: tempfile::TempDir,
}

const ANN: UserId = UserId(1);
const BEN: UserId = UserId(2);

impl World {
    async fn new() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let options = Options {
            database: Database::Sqlite(folder.path().join("store.db")),
            connections: 4,
            acquire_timeout: Duration::from_secs(5),
            statement_timeout: Duration::from_secs(5),
        };
        let store = tokio::task::spawn_blocking(move || Store::open(&options))
            .await
            .unwrap();
        let store = store.unwrap();
        for id in [ANN, BEN] {
            let user = NewUser {
                id,
                name: format!("user{id}"),
                password_hash: String::new(),
                created_at: 0,
            };
            let insert = store.write(move |connection| users::insert(connection, &user));
            insert.await.unwrap();
        }
        let config = Config {
            db_acquire_timeout: Duration::from_secs(1),
            db_statement_timeout: Duration::from_secs(1),
            ..Config::for_test(folder.path())
        };
        Self {
            rows: Rows::new(store.clone(), &config),
            store,
            _folder: folder,
        }
    }

    async fn publish(&self, id: i64) {
        let video = NewVideo {
            id: VideoId(id),
            author_id: ANN,
            title: "sea".into(),
            media_hash: format!("{id:064}"),
        };
        let publish = self
            .store
            .write(move |connection| videos::publish(connection, &video, now_ms()));
        self.rows.publishing(ANN).during(publish).await.unwrap();
    }

    async fn follow(&self, on: bool) {
        let set = self
            .store
            .write(move |connection| follows::set(connection, BEN, ANN, on, 1));
        self.rows.following(BEN, ANN).during(set).await.unwrap();
    }

    /// Ben's look at Ann: her piece as it is kept, and whether he follows her.
    async fn look(&self) -> (Arc<UserPiece>, bool) {
        self.rows.user(ANN, Some(BEN), Ask::Kept).await.unwrap().unwrap()
    }

    async fn feed(&self) -> Vec<i64> {
        let places = self.rows.places(None, now_ms(), 30).await.unwrap().unwrap();
        let page = self.rows.page(&places, Some(BEN), Ask::Kept).await.unwrap();
        assert_eq!(page.videos.len(), places.len());
        page.videos.iter().map(|(video, _)| video.id().0).collect()
    }

    /// How many statements the same costs again.
    async fn cost<T>(&self, again: impl Future<Output = T>) -> u64 {
        let before = self.store.statements();
        again.await;
        self.store.statements() - before
    }
}

#[tokio::test]
async fn what_is_hot_costs_no_statement_and_is_seen_changed_at_once() {
    let world = World::new().await;
    world.publish(1).await;
    assert_eq!(world.feed().await, [1]);
    assert!(!world.look().await.1);
    for id in 2..=40 {
        assert_eq!(world.cost(world.feed()).await, 0);
        assert_eq!(world.cost(world.look()).await, 0);
        world.publish(id).await;
        let newest: Vec<i64> = (1..=id).rev().take(30).collect();
        assert_eq!(world.feed().await, newest);
        world.follow(id % 2 == 0).await;
        assert_eq!(world.look().await.1, id % 2 == 0);
    }
}

#[tokio::test]
async fn a_read_that_a_change_overtakes_is_not_kept() {
    let world = World::new().await;
    let (has_read, go) = world.rows.0.held_up.next();
    let early = tokio::spawn({
        let rows = world.rows.clone();
        async move { rows.user(ANN, Some(BEN), Ask::Kept).await.unwrap().unwrap().1 }
    });
    has_read.await.unwrap();
    world.follow(true).await;
    // Another lane may read meanwhile; this one's next group begins when the first has gone on.
    let late = tokio::spawn({
        let rows = world.rows.clone();
        async move { rows.user(ANN, Some(BEN), Ask::Kept).await.unwrap().unwrap().1 }
    });
    tokio::task::yield_now().await;
    go.send(()).unwrap();
    assert!(!early.await.unwrap(), "it asked before the change");
    assert!(late.await.unwrap(), "it asked after it");
    assert!(world.look().await.1, "and nothing older was kept");
}

#[tokio::test]
async fn nothing_is_kept_of_a_write_whose_outcome_nobody_knows() {
    let world = World::new().await;
    world.look().await;
    let lost = async { Err::<(), _>(StoreError::Unavailable("no answer".into())) };
    world.rows.following(BEN, ANN).during(lost).await.unwrap_err();
    // It commits after all.
    let late = world
        .store
        .write(|connection| follows::set(connection, BEN, ANN, true, 1));
    late.await.unwrap();
    assert!(world.look().await.1);
    assert!(world.cost(world.look()).await > 0, "still unsure");

    let refused = async { Err::<(), _>(StoreError::Duplicate) };
    world.rows.touch_user(BEN).during(refused).await.unwrap_err();
    let ben = || async { world.rows.user(BEN, None, Ask::Kept).await.unwrap().unwrap() };
    world.rows.clear();
    ben().await;
    assert!(world.cost(ben()).await > 0, "Ben's row is part of the lost one");
}

#[tokio::test]
async fn a_caller_that_went_away_leaves_its_rows_unkept_until_the_deadline() {
    let world = World::new().await;
    let gone = world
        .rows
        .touch_user(ANN)
        .during(std::future::pending::<Result<(), StoreError>>());
    assert!(tokio::time::timeout(Duration::from_millis(1), gone).await.is_err());
    world.look().await;
    assert!(world.cost(world.look()).await > 0);
    let end = Instant::now() + world.rows.linger() + Duration::from_secs(10);
    while world.cost(world.look()).await > 0 {
        assert!(Instant::now() < end, "they are kept again");
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
}

#[tokio::test]
async fn a_transaction_that_outlasts_every_deadline_is_seen_when_it_commits() {
    let world = World::new().await;
    let (has_begun, begun) = std::sync::mpsc::channel();
    let (go, go_on) = std::sync::mpsc::channel::<()>();
    let go_on = Mutex::new(go_on);
    let touch = world.rows.following(BEN, ANN);
    let hold = touch.hold();
    let store = world.store.clone();
    let slow = async move {
        store
            .write(move |connection| {
                let _ = &hold;
                has_begun.send(()).unwrap();
                // As behind somebody else's lock.
                go_on.lock().unwrap().recv().unwrap();
                follows::set(connection, BEN, ANN, true, 1)
            })
            .await
    };
    // A client that hangs up; the transaction goes on.
    let gone = tokio::spawn(touch.during(slow));
    tokio::task::spawn_blocking(move || begun.recv())
        .await
        .unwrap()
        .unwrap();
    gone.abort();
    gone.await.unwrap_err();
    tokio::time::sleep(world.rows.linger() + Duration::from_millis(200)).await;
    assert!(!world.look().await.1);
    go.send(()).unwrap();
    // The one writer does one after the other.
    world.store.write(|_| Ok(())).await.unwrap();
    assert!(world.look().await.1);
    world.look().await;
    assert_eq!(world.cost(world.look()).await, 0, "and is kept again");
}

#[tokio::test]
async fn many_who_miss_the_same_share_a_read() {
    let world = World::new().await;
    world.publish(1).await;
    let looks = (0..50).map(|_| world.look());
    let cost = world.cost(futures_util::future::join_all(looks)).await;
    assert!(cost <= 4, "50 looks, {cost} statements");
}

#[tokio::test]
async fn who_follows_too_many_is_asked_about_page_by_page() {
    let world = World::new().await;
    world.publish(1).await;
    let others = world.store.write(|connection| {
        for id in 100..1_200 {
            let user = NewUser {
                id: UserId(id),
                name: format!("user{id}"),
                password_hash: String::new(),
                created_at: 0,
            };
            users::insert(connection, &user)?;
            follows::set(connection, BEN, UserId(id), true, 1)?;
        }
        Ok(())
    });
    others.await.unwrap();
    assert!(!world.look().await.1);
    world.follow(true).await;
    assert!(world.look().await.1);
    let places = world.rows.places(None, now_ms(), 30).await.unwrap().unwrap();
    let page = world.rows.page(&places, Some(BEN), Ask::Kept).await.unwrap();
    assert!(page.follows.unwrap().contains(ANN.0));
    assert!(world.cost(world.look()).await <= 1);
}

#[test]
fn a_runtime_that_ends_before_its_read_began_keeps_nobody_waiting() {
    let runtime = || {
        tokio::runtime::Builder::new_current_thread()
            .enable_all()
            .build()
            .unwrap()
    };
    let staying = runtime();
    let world = staying.block_on(World::new());
    let ending = runtime();
    ending.block_on(async {
        let mut look = Box::pin(world.look());
        // Once: the read has its task, which never runs.
        assert!(futures_util::poll!(&mut look).is_pending());
    });
    drop(ending);
    staying.block_on(async {
        let look = tokio::time::timeout(Duration::from_secs(10), world.look());
        look.await.expect("the lane is free");
    });
}
