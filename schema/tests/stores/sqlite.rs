//! What goes wrong around the SQLite store: groups with failures in them, a full disk, a locked file, a closed store,
//! a killed process, readers that never pause.

use std::io::{BufRead, BufReader};
use std::os::unix::fs::PermissionsExt;
use std::process::{Command, Stdio};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use diesel::connection::SimpleConnection;
use diesel::prelude::*;
use diesel::sql_types::BigInt;
use ovation_schema::{Database, DbConnection, Options, Store, StoreError};
use tokio::task::JoinSet;

use crate::world::{Folder, eventually, options, runtime};

#[derive(QueryableByName)]
struct Count {
    #[diesel(sql_type = BigInt)]
    count: i64,
}

fn count(db: &mut DbConnection) -> Result<i64, StoreError> {
    let row: Count = diesel::sql_query("SELECT COUNT(*) AS count FROM notes").get_result(db)?;
    Ok(row.count)
}

fn note(db: &mut DbConnection, id: i64) -> Result<(), StoreError> {
    Ok(db.batch_execute(&format!("INSERT INTO notes VALUES ({id}, zeroblob(1000))"))?)
}

fn open(options: &Options) -> Store {
    let store = Store::open(options).unwrap();
    let made =
        store.write(|db| Ok(db.batch_execute("CREATE TABLE IF NOT EXISTS notes (id INTEGER PRIMARY KEY, t BLOB)")?));
    runtime().block_on(made).unwrap();
    store
}

#[test]
fn one_failing_job_of_a_group_undoes_no_other() {
    let folder = Folder::new();
    let store = open(&folder.sqlite());
    let kept = runtime().block_on(async {
        // They wait behind this one, and so share commits.
        let slow = tokio::spawn({
            let store = store.clone();
            async move {
                store
                    .write(|_| {
                        std::thread::sleep(Duration::from_millis(100));
                        Ok(())
                    })
                    .await
            }
        });
        let mut tasks = JoinSet::new();
        for id in 0..600 {
            let store = store.clone();
            tasks.spawn(async move {
                let job = store.write(move |db| {
                    note(db, id)?;
                    match id % 4 {
                        0 => panic!("on purpose"),
                        1 => Err(StoreError::Internal("on purpose".into())),
                        2 => note(db, id),
                        _ => Ok(()),
                    }
                });
                (id, job.await)
            });
        }
        slow.await.unwrap().unwrap();
        let ends = tasks.join_all().await;
        for (id, end) in &ends {
            let right = match id % 4 {
                0 | 1 => matches!(end, Err(StoreError::Internal(_))),
                2 => matches!(end, Err(StoreError::Duplicate)),
                _ => end.is_ok(),
            };
            assert!(right, "{id}: {end:?}");
        }
        ends.iter().filter(|(_, end)| end.is_ok()).count()
    });
    assert_eq!(
        runtime().block_on(store.read(count)).unwrap(),
        i64::try_from(kept).unwrap()
    );
}

/// Writes until the store is full and twice beyond; every answer must be true. Gives how many are in.
fn fill(store: &Store, make_room: impl FnOnce()) {
    let acked = |from: i64| {
        runtime().block_on(async {
            let mut tasks = JoinSet::new();
            for id in from..from + 2_000 {
                let store = store.clone();
                tasks.spawn(async move { (id, store.write(move |db| note(db, id)).await) });
            }
            let ends = tasks.join_all().await;
            assert!(
                ends.iter()
                    .all(|(_, end)| matches!(end, Ok(()) | Err(StoreError::Unavailable(_))))
            );
            ends.into_iter().filter(|(_, end)| end.is_ok()).count()
        })
    };
    let mut all = 0;
    let mut filled = false;
    for round in 0..4 {
        let some = acked(round * 2_000);
        filled |= some < 2_000;
        all += some;
    }
    assert!(filled, "the disk was never full");
    let stored = runtime().block_on(store.read(count)).unwrap();
    assert_eq!(
        stored,
        i64::try_from(all).unwrap(),
        "what is there is what was acknowledged"
    );
    make_room();
    assert_eq!(acked(100_000), 2_000, "serves again when there is room");
}

#[test]
fn a_full_database_acknowledges_nothing_it_did_not_keep() {
    let folder = Folder::new();
    let store = open(&folder.sqlite());
    let limit = |pages: u32| {
        let set = store.write(move |db| Ok(db.batch_execute(&format!("PRAGMA max_page_count = {pages}"))?));
        runtime().block_on(set).unwrap();
    };
    limit(1_000);
    fill(&store, || limit(1_000_000));
}

#[test]
#[ignore = "mounts a tmpfs of 6 MB: root only"]
fn a_full_disk_acknowledges_nothing_it_did_not_keep() {
    let folder = Folder::new();
    let at = folder.path().join("small");
    std::fs::create_dir(&at).unwrap();
    let mount = |arguments: &[&str]| {
        let done = Command::new(arguments[0]).args(&arguments[1..]).status().unwrap();
        assert!(done.success());
    };
    let path = at.to_str().unwrap();
    mount(&["mount", "-t", "tmpfs", "-o", "size=6m", "tmpfs", path]);
    let store = open(&options(Database::Sqlite(at.join("store.db"))));
    fill(&store, || mount(&["mount", "-o", "remount,size=60m", path]));
    store.close();
    drop(store);
    mount(&["umount", "-l", path]);
}

#[test]
fn a_file_that_somebody_else_holds_is_later_and_what_was_given_up_is_not_done() {
    let folder = Folder::new();
    let mut options = folder.sqlite();
    options.acquire_timeout = Duration::from_millis(500);
    options.statement_timeout = Duration::from_millis(500);
    let store = open(&options);
    let mut other = ovation_schema::connect(&options).unwrap();
    other.batch_execute("BEGIN IMMEDIATE").unwrap();
    runtime().block_on(async {
        let start = Instant::now();
        let mut tasks = JoinSet::new();
        for id in 0..50 {
            let store = store.clone();
            tasks.spawn(async move { store.write(move |db| note(db, id)).await });
        }
        let ends = tasks.join_all().await;
        assert!(
            ends.iter().all(|end| matches!(end, Err(StoreError::Unavailable(_)))),
            "{ends:?}"
        );
        assert!(start.elapsed() < Duration::from_secs(2));
        // A reader does not care.
        assert_eq!(store.read(count).await.unwrap(), 0);
    });
    other.batch_execute("ROLLBACK").unwrap();
    eventually("the store writes again", Duration::from_secs(10), || {
        runtime().block_on(store.write(|db| note(db, 1_000))).is_ok()
    });
    assert_eq!(runtime().block_on(store.read(count)).unwrap(), 1);
}

#[test]
fn closing_keeps_what_was_accepted_and_takes_nothing_new() {
    let folder = Folder::new();
    let store = open(&folder.sqlite());
    let accepted = runtime().block_on(async {
        let mut tasks = JoinSet::new();
        for id in 0..5_000 {
            let store = store.clone();
            tasks.spawn(async move { store.write(move |db| note(db, id)).await });
        }
        let closers = [store.clone(), store.clone()].map(|store| std::thread::spawn(move || store.close()));
        let ends = tasks.join_all().await;
        for closer in closers {
            closer.join().unwrap();
        }
        store.close();
        assert!(
            ends.iter()
                .all(|end| matches!(end, Ok(()) | Err(StoreError::Unavailable(_) | StoreError::Busy)))
        );
        assert!(matches!(store.write(|_| Ok(())).await, Err(StoreError::Unavailable(_))));
        ends.iter().filter(|end| end.is_ok()).count()
    });
    drop(store);
    let store = open(&folder.sqlite());
    assert_eq!(
        runtime().block_on(store.read(count)).unwrap(),
        i64::try_from(accepted).unwrap()
    );
}

#[test]
fn the_log_stays_small_under_readers_that_never_pause() {
    let folder = Folder::new();
    let store = open(&folder.sqlite());
    let runtime = runtime();
    let done = Arc::new(AtomicBool::new(false));
    for _ in 0..6 {
        let (store, done) = (store.clone(), Arc::clone(&done));
        runtime.spawn(async move {
            while !done.load(Ordering::Relaxed) {
                // A snapshot of a few milliseconds, always overlapping somebody else's.
                let read = store.read(|db| {
                    db.batch_execute("BEGIN; SELECT id FROM notes LIMIT 1")?;
                    std::thread::sleep(Duration::from_millis(5));
                    Ok(db.batch_execute("COMMIT")?)
                });
                read.await.unwrap();
            }
        });
    }
    let mut largest = 0;
    let mut id = 0;
    // About 120 MB of pages.
    while id < 12_000 {
        runtime.block_on(async {
            let mut tasks = JoinSet::new();
            for _ in 0..200 {
                id += 1;
                let store = store.clone();
                let insert = format!("INSERT INTO notes VALUES ({id}, zeroblob(8000))");
                tasks.spawn(async move { store.write(move |db| Ok(db.batch_execute(&insert)?)).await.unwrap() });
            }
            tasks.join_all().await;
        });
        largest = largest.max(std::fs::metadata(folder.path().join("store.db-wal")).unwrap().len());
    }
    done.store(true, Ordering::Relaxed);
    assert!(largest < 60 << 20, "{largest} bytes");
}

#[test]
fn the_files_are_their_owners_alone() {
    let folder = Folder::new();
    let store = open(&folder.sqlite());
    runtime().block_on(store.write(|db| note(db, 1))).unwrap();
    for file in std::fs::read_dir(folder.path()).unwrap() {
        let file = file.unwrap();
        assert_eq!(
            file.metadata().unwrap().permissions().mode() & 0o777,
            0o600,
            "{:?}",
            file.file_name()
        );
    }
}

const CHILD: &str = "OVATION_TEST_STORE";

/// Not a test: the process that the next one kills. Says each note's id after it was acknowledged.
#[test]
#[ignore = "runs as a child of the next test"]
fn child() {
    let store = open(&options(Database::Sqlite(std::env::var(CHILD).unwrap().into())));
    runtime().block_on(async {
        for id in 0.. {
            store.write(move |db| note(db, id)).await.unwrap();
            println!("acked {id}");
        }
    });
}

#[test]
fn a_killed_process_leaves_everything_it_acknowledged() {
    let folder = Folder::new();
    let options = folder.sqlite();
    let mut child = Command::new(std::env::current_exe().unwrap())
        .args(["--exact", "sqlite::child", "--ignored", "--nocapture"])
        .env(CHILD, folder.path().join("store.db"))
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    let mut acked = 0;
    let mut lines = BufReader::new(child.stdout.take().unwrap()).lines();
    while acked < 300 {
        let line = lines.next().unwrap().unwrap();
        acked += usize::from(line.starts_with("acked"));
    }
    child.kill().unwrap();
    acked += lines
        .map_while(Result::ok)
        .filter(|line| line.starts_with("acked"))
        .count();
    child.wait().unwrap();
    assert!(std::fs::metadata(folder.path().join("store.db-wal")).unwrap().len() > 0);
    let store = open(&options);
    assert!(runtime().block_on(store.read(count)).unwrap() >= i64::try_from(acked).unwrap());
    store.close();
}
