//! What goes wrong around a MySQL store: frozen, killed, full, slow, black-holed, and two of us at once.

use std::net::TcpListener;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use diesel::connection::SimpleConnection;
use diesel::prelude::*;
use diesel::sql_types::{BigInt, Text};
use ovation_schema::{Claim, Database, DbConnection, Options, Store, StoreError, UserId, migrate, users};
use tokio::task::JoinSet;

use crate::mariadb::MariaDb;
use crate::world::{Folder, add_user, eventually, mysql, on_both, options, runtime};

#[derive(QueryableByName)]
struct Cell {
    #[diesel(sql_type = Text)]
    cell: String,
}

fn cell(db: &mut DbConnection, query: &str) -> String {
    let row: Cell = diesel::sql_query(format!("SELECT CAST(({query}) AS CHAR) AS cell"))
        .get_result(db)
        .unwrap();
    row.cell
}

fn name_of(options: &Options) -> String {
    let Database::Mysql(url) = &options.database else {
        unreachable!()
    };
    url.rsplit('/').next().unwrap().to_owned()
}

/// Whether a read is answered in time, and how.
async fn ping(store: &Store) -> Result<(), StoreError> {
    tokio::time::timeout(Duration::from_secs(20), store.ping())
        .await
        .unwrap()
}

#[test]
fn a_session_has_what_transactions_rely_on() {
    let options = mysql();
    let store = Store::open(&options).unwrap();
    let seen = runtime().block_on(store.read(|db| {
        Ok([
            "@@tx_isolation",
            "@@sql_mode",
            "@@collation_connection",
            "@@character_set_client",
            "@@time_zone",
            "@@lc_messages",
            "@@innodb_lock_wait_timeout",
            "@@max_statement_time",
            "@@in_predicate_conversion_threshold",
        ]
        .map(|variable| cell(db, &format!("SELECT {variable}"))))
    }));
    assert_eq!(
        seen.unwrap(),
        [
            "READ-COMMITTED",
            "STRICT_ALL_TABLES,ERROR_FOR_DIVISION_BY_ZERO,NO_ENGINE_SUBSTITUTION",
            "utf8mb4_bin",
            "utf8mb4",
            "+00:00",
            "en_US",
            "5",
            "10.000000",
            "0"
        ]
    );
    let mut admin = ovation_schema::connect(&options).unwrap();
    assert_eq!(cell(&mut admin, "SELECT @@max_statement_time"), "0.000000");
}

#[test]
fn names_are_bytes_and_texts_are_whole() {
    on_both(|store| {
        runtime().block_on(async {
            let names = [
                "ann",
                "Ann",
                "ann ",
                " ann",
                "a\u{301}nn",
                "\u{e1}nn",
                &"\u{1f600}".repeat(32),
            ];
            for name in names {
                let user = users::NewUser {
                    id: store.next_id().await.unwrap(),
                    name: name.to_owned(),
                    password_hash: "x".into(),
                    created_at: 1,
                };
                let again = user.clone();
                store.write(move |db| users::insert(db, &user)).await.unwrap();
                let twice = store.write(move |db| users::insert(db, &again)).await;
                assert!(matches!(twice, Err(StoreError::Duplicate)), "{twice:?}");
                let name = name.to_owned();
                store
                    .read(move |db| {
                        let found = users::credentials(db, &name)?.unwrap();
                        assert_eq!(users::find(db, found.id)?.unwrap().name, name);
                        Ok(())
                    })
                    .await
                    .unwrap();
            }
        });
    });
}

#[test]
fn errors_of_a_real_server_are_sorted() {
    let options = mysql();
    let store = Store::open(&options).unwrap();
    let name = name_of(&options);
    runtime().block_on(async {
        let user = add_user(&store).await;
        let fails = async |sql: String| {
            let error = store.write(move |db| Ok(db.batch_execute(&sql)?)).await.unwrap_err();
            match error {
                StoreError::Unavailable(_) => "later",
                StoreError::Internal(_) => "internal",
                StoreError::Duplicate => "duplicate",
                StoreError::Conflict(_) => "conflict",
                StoreError::Busy => "busy",
            }
        };
        assert_eq!(
            fails("SET STATEMENT max_statement_time = 0.1 FOR SELECT SLEEP(5)".into()).await,
            "later"
        );
        assert_eq!(fails("KILL CONNECTION_ID()".into()).await, "later");
        assert_eq!(fails("KILL QUERY CONNECTION_ID()".into()).await, "later");
        assert_eq!(
            fails(format!(
                "INSERT INTO users (id, name, password_hash, created_at) VALUES ({user}, 'z', 'x', 1)"
            ))
            .await,
            "duplicate"
        );
        assert_eq!(
            fails(format!(
                "UPDATE users SET signature = REPEAT('x', 401) WHERE id = {user}"
            ))
            .await,
            "internal"
        );
        assert_eq!(fails("SELECT * FROM connections".into()).await, "internal");
        assert_eq!(fails("SELECT `is full` FROM users".into()).await, "internal");
        let locked = crate::mariadb::shared();
        let blocker = tokio::task::block_in_place(|| {
            let mut blocker = ovation_schema::connect(&options).unwrap();
            let lock = format!("BEGIN; UPDATE users SET signature = 'b' WHERE id = {user}");
            blocker.batch_execute(&lock).unwrap();
            blocker
        });
        // A lock wait is tried three times, and then it is "later".
        let waits =
            format!("SET SESSION innodb_lock_wait_timeout = 1; UPDATE users SET signature = 'c' WHERE id = {user}");
        assert_eq!(fails(waits).await, "later");
        drop(blocker);
        // What was given up is never lent again: nobody sees another's session settings.
        assert_eq!(
            store
                .read(|db| Ok(cell(db, "SELECT @@innodb_lock_wait_timeout")))
                .await
                .unwrap(),
            "5"
        );
        assert_eq!(locked.sql(&format!("SELECT signature FROM {name}.users")).trim(), "");
    });
}

#[test]
fn a_closure_that_fails_in_the_middle_leaves_no_transaction_open() {
    let options = mysql();
    let store = Store::open(&options).unwrap();
    let name = name_of(&options);
    runtime().block_on(async {
        let user = add_user(&store).await;
        let half = move |db: &mut DbConnection| {
            db.batch_execute(&format!("UPDATE users SET signature = 'half' WHERE id = {user}"))?;
            Ok::<_, StoreError>(())
        };
        for round in 0..40 {
            let failed = store
                .write(move |db| {
                    half(db)?;
                    match round % 3 {
                        0 => panic!("on purpose"),
                        1 => Err(StoreError::Internal("on purpose".into())),
                        _ => Err::<(), _>(StoreError::Duplicate),
                    }
                })
                .await;
            assert!(failed.is_err());
            let cancelled = tokio::time::timeout(
                Duration::from_millis(2),
                store.write(move |db| {
                    half(db)?;
                    std::thread::sleep(Duration::from_millis(20));
                    Err::<(), _>(StoreError::Duplicate)
                }),
            );
            let cancelled = cancelled.await;
            assert!(cancelled.is_err(), "{cancelled:?}");
            assert_eq!(
                store
                    .read(move |db| Ok(users::find(db, user)?.unwrap().signature))
                    .await
                    .unwrap(),
                ""
            );
        }
        let open = format!(
            "SELECT COUNT(*) FROM information_schema.innodb_trx t JOIN information_schema.processlist p \
             ON p.id = t.trx_mysql_thread_id WHERE p.db = '{name}'"
        );
        eventually("no transaction is open", Duration::from_secs(5), || {
            // The table is a copy that is only renewed when nobody has read it for 100 ms.
            std::thread::sleep(Duration::from_millis(300));
            crate::mariadb::shared().sql(&open).trim() == "0"
        });
        // Every permit is back: as many at once as there are connections, and never more connections than that.
        let most = Arc::new(AtomicUsize::new(0));
        let mut tasks = JoinSet::new();
        for _ in 0..60 {
            let (store, most, count) = (
                store.clone(),
                Arc::clone(&most),
                format!("SELECT COUNT(*) FROM information_schema.processlist WHERE db = '{name}'"),
            );
            tasks.spawn(async move {
                let seen = store
                    .read(move |db| {
                        std::thread::sleep(Duration::from_millis(30));
                        Ok(cell(db, &count).parse().unwrap())
                    })
                    .await;
                most.fetch_max(seen.unwrap(), Ordering::Relaxed);
            });
        }
        tasks.join_all().await;
        assert_eq!(most.load(Ordering::Relaxed), 8);
    });
}

#[test]
fn a_store_that_is_full_says_busy_at_once_and_a_full_pool_is_not_an_absent_database() {
    let mut options = mysql();
    options.connections = 2;
    options.acquire_timeout = Duration::from_secs(3);
    let store = Store::open(&options).unwrap();
    runtime().block_on(async {
        let slow = |store: &Store| {
            let store = store.clone();
            async move {
                store
                    .read(|_| {
                        std::thread::sleep(Duration::from_millis(1_500));
                        Ok(())
                    })
                    .await
            }
        };
        let mut tasks = JoinSet::new();
        for _ in 0..2 {
            tasks.spawn(slow(&store));
        }
        tokio::time::sleep(Duration::from_millis(200)).await;
        // A write must wait for a connection longer than the pool's own patience, and still be served.
        let write = tokio::spawn({
            let store = store.clone();
            async move { store.write(|_| Ok(())).await }
        });
        // First in the queue, or the slow ones would take its time.
        tokio::time::sleep(Duration::from_millis(200)).await;
        for _ in 0..127 {
            tasks.spawn(slow(&store));
        }
        tokio::time::sleep(Duration::from_millis(100)).await;
        let start = Instant::now();
        assert!(matches!(slow(&store).await, Err(StoreError::Busy)));
        assert!(start.elapsed() < Duration::from_millis(100), "{:?}", start.elapsed());
        write.await.unwrap().unwrap();
        let refused = tasks.join_all().await;
        assert!(
            refused.iter().all(|end| matches!(end, Ok(()) | Err(StoreError::Busy))),
            "{refused:?}"
        );
        store.ping().await.unwrap();
    });
}

#[test]
fn a_frozen_or_killed_server_is_later_and_then_serves_again() {
    let server = MariaDb::start(&[]);
    let mut options = options(Database::Mysql(server.url(&server.new_database())));
    options.acquire_timeout = Duration::from_secs(1);
    options.statement_timeout = Duration::from_secs(1);
    let store = Store::open(&options).unwrap();
    let runtime = runtime();
    let fails_fast = |store: &Store| {
        runtime.block_on(async {
            let mut tasks = JoinSet::new();
            for n in 0..40 {
                let store = store.clone();
                tasks.spawn(async move {
                    let start = Instant::now();
                    let end = match n % 3 {
                        0 => store.read(|db| Ok(db.batch_execute("SELECT 1")?)).await,
                        1 => {
                            store
                                .write(|db| Ok(db.batch_execute("UPDATE clocks SET last_ms = last_ms")?))
                                .await
                        }
                        _ => store.next_id::<UserId>().await.map(drop),
                    };
                    (end, start.elapsed())
                });
            }
            for (end, took) in tasks.join_all().await {
                assert!(
                    matches!(end, Ok(()) | Err(StoreError::Unavailable(_) | StoreError::Busy)),
                    "{end:?}"
                );
                assert!(took < Duration::from_secs(5), "{took:?}");
            }
        });
    };
    let recovers = |store: &Store| {
        eventually("the store serves again", Duration::from_secs(15), || {
            runtime.block_on(ping(store)).is_ok()
        });
        runtime.block_on(async {
            let mut tasks = JoinSet::new();
            for _ in 0..40 {
                let store = store.clone();
                tasks.spawn(async move { store.write(|db| Ok(db.batch_execute("SELECT 1")?)).await });
            }
            assert!(tasks.join_all().await.iter().all(Result::is_ok));
        });
    };
    fails_fast(&store);
    server.signal("STOP");
    fails_fast(&store);
    let start = Instant::now();
    assert!(Store::open(&options).is_err());
    assert!(Claim::take(&options, || ()).is_err());
    assert!(start.elapsed() < Duration::from_secs(12), "{:?}", start.elapsed());
    server.signal("CONT");
    recovers(&store);
    server.crash();
    fails_fast(&store);
    server.launch();
    recovers(&store);
    // Killed while all are at work.
    let worker = std::thread::spawn({
        let store = store.clone();
        move || {
            crate::world::runtime().block_on(async {
                let mut tasks = JoinSet::new();
                for _ in 0..40 {
                    let store = store.clone();
                    tasks.spawn(async move { store.write(|db| Ok(db.batch_execute("DO SLEEP(0.2)")?)).await });
                }
                tasks.join_all().await
            })
        }
    });
    std::thread::sleep(Duration::from_millis(300));
    server.crash();
    for end in worker.join().unwrap() {
        assert!(
            matches!(end, Ok(()) | Err(StoreError::Unavailable(_) | StoreError::Busy)),
            "{end:?}"
        );
    }
    server.launch();
    recovers(&store);
}

#[test]
fn an_address_that_swallows_everything_fails_in_bounded_time() {
    // Accepts (in the kernel) and never says a word.
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let url = format!("mysql://u:p@{}/x", listener.local_addr().unwrap());
    let start = Instant::now();
    assert!(matches!(
        Store::open(&options(Database::Mysql(url))),
        Err(StoreError::Unavailable(_))
    ));
    assert!(start.elapsed() < Duration::from_secs(7));
}

#[test]
fn the_last_handle_may_go_on_an_async_thread() {
    let options = mysql();
    let store = Store::open(&options).unwrap();
    runtime().block_on(async move {
        store.ping().await.unwrap();
        drop(store);
    });
}

#[test]
fn closing_waits_for_the_writes_at_work_and_takes_nothing_new() {
    let options = mysql();
    let store = Store::open(&options).unwrap();
    let runtime = runtime();
    let user = runtime.block_on(add_user(&store));
    let at_work = runtime.spawn({
        let store = store.clone();
        async move {
            let slow = format!("UPDATE users SET signature = 'kept' WHERE id = {user}; DO SLEEP(1)");
            store.write(move |db| Ok(db.batch_execute(&slow)?)).await
        }
    });
    std::thread::sleep(Duration::from_millis(300));
    let closed_at = Instant::now();
    store.close();
    // It slept for a second; what closed before its end would not have waited. Its caller is told a moment later.
    assert!(
        closed_at.elapsed() > Duration::from_millis(300),
        "{:?}",
        closed_at.elapsed()
    );
    runtime.block_on(at_work).unwrap().unwrap();
    store.close();
    assert!(matches!(
        runtime.block_on(store.write(|_| Ok(()))),
        Err(StoreError::Unavailable(_))
    ));
}

#[test]
fn one_process_at_a_time_has_the_claim() {
    let server = MariaDb::start(&[]);
    let options = options(Database::Mysql(server.url(&server.new_database())));
    let lost = Arc::new(AtomicBool::new(false));
    let on_lost = || {
        let lost = Arc::clone(&lost);
        move || lost.store(true, Ordering::SeqCst)
    };
    let claim = Claim::take(&options, on_lost()).unwrap().unwrap();
    let refused = Claim::take(&options, || ()).err().unwrap();
    assert!(refused.to_string().contains("another ovation process"), "{refused}");
    let other = options_of(&server);
    drop(Claim::take(&other, || ()).unwrap());
    let holder = || {
        server.sql(&format!(
            "SELECT COALESCE(IS_USED_LOCK(CONCAT('ovation:', SHA1('{}'))), 0)",
            name_of(&options)
        ))
    };
    // The connection is killed: it is taken again.
    let first = holder();
    server.sql(&format!("KILL {first}"));
    eventually("the claim is taken again", Duration::from_secs(10), || {
        ![first.as_str(), "0\n"].contains(&holder().as_str())
    });
    // Frozen: our own session still has the lock when the server is back, and is not taken for somebody else's.
    server.signal("STOP");
    std::thread::sleep(Duration::from_secs(10));
    server.signal("CONT");
    std::thread::sleep(Duration::from_secs(8));
    assert!(!lost.load(Ordering::SeqCst));
    assert_ne!(holder().trim(), "0");
    // Somebody else was faster.
    let (database, thief) = (name_of(&options), ovation_schema::connect(&options).unwrap());
    let mut thief = thief;
    server.sql(&format!("KILL {}", holder()));
    cell(
        &mut thief,
        &format!("SELECT GET_LOCK(CONCAT('ovation:', SHA1('{database}')), 5)"),
    );
    eventually("the loss is told", Duration::from_secs(10), || {
        lost.load(Ordering::SeqCst)
    });
    drop(claim);
    drop(thief);
    // A drop frees it: the next one may come at once, though the server notices a moment later.
    for _ in 0..20 {
        drop(Claim::take(&options, || ()).unwrap());
    }
}

fn options_of(server: &MariaDb) -> Options {
    options(Database::Mysql(server.url(&server.new_database())))
}

#[test]
fn migrations_go_up_down_and_up_again_also_after_a_crash_in_the_middle() {
    let folder = Folder::new();
    for options in [folder.sqlite(), mysql()] {
        let mut db = ovation_schema::connect(&options).unwrap();
        let states = migrate::status(&mut db).unwrap();
        assert!(!states.is_empty() && states.iter().all(|state| !state.applied));
        for _ in 0..2 {
            assert_eq!(migrate::run(&mut db).unwrap().len(), states.len());
            assert!(migrate::run(&mut db).unwrap().is_empty());
            assert!(migrate::status(&mut db).unwrap().iter().all(|state| state.applied));
            while migrate::revert(&mut db).unwrap().is_some() {}
        }
        if matches!(options.database, Database::Mysql(_)) {
            // Every statement stands alone there: cut before the last ones, and before the note that it was run.
            migrate::run(&mut db).unwrap();
            db.batch_execute("DELETE FROM __diesel_schema_migrations; DROP TABLE messages; DELETE FROM clocks")
                .unwrap();
        }
        migrate::run(&mut db).unwrap();
        drop(db);
        let store = Store::open(&options).unwrap();
        runtime().block_on(add_user(&store));
        store.close();
        let mut db = ovation_schema::connect(&options).unwrap();
        db.batch_execute("INSERT INTO __diesel_schema_migrations (version) VALUES ('99991231000000')")
            .unwrap();
        let refused = Store::open(&options).err().unwrap().to_string();
        assert!(
            refused.contains("99991231000000") && refused.contains("newer ovation"),
            "{refused}"
        );
        assert!(migrate::revert(&mut db).is_err());
    }
}

#[test]
fn both_stores_have_migrations_of_equal_names() {
    let names = |store: &str| {
        let folder = format!("{}/../migrations/{store}", env!("CARGO_MANIFEST_DIR"));
        let mut names: Vec<_> = std::fs::read_dir(folder)
            .unwrap()
            .map(|entry| entry.unwrap().file_name())
            .collect();
        names.sort();
        names
    };
    assert_eq!(names("sqlite"), names("mysql"));
}

#[test]
fn two_that_open_one_new_database_at_once_agree_on_its_id() {
    let options = mysql();
    let open = |options: &Options| {
        let options = options.clone();
        std::thread::spawn(move || Store::open(&options).map(|store| store.store_id().to_owned()))
    };
    let threads = [open(&options), open(&options)];
    let ids = threads.map(|thread| thread.join().unwrap());
    let ids: Vec<_> = ids.into_iter().flatten().collect();
    // The server claims first; without the claim a loser may be refused, but never a second id.
    assert!(!ids.is_empty() && ids.iter().all(|id| *id == ids[0]), "{ids:?}");
}

#[test]
fn ids_are_never_handed_out_again_after_a_restart() {
    let folder = Folder::new();
    for options in [folder.sqlite(), mysql()] {
        let mut last = 0;
        for _ in 0..3 {
            let store = Store::open(&options).unwrap();
            let ids = runtime().block_on(async {
                let first: UserId = store.next_id().await.unwrap();
                let second: UserId = store.next_id().await.unwrap();
                (first.0, second.0)
            });
            assert!(ids.0 > last && ids.1 > ids.0);
            last = ids.1;
        }
    }
}

#[derive(QueryableByName)]
struct Count {
    #[diesel(sql_type = BigInt)]
    count: i64,
}

#[test]
fn tls_needs_the_authority_and_then_encrypts() {
    let keys = Folder::new();
    let at = |name: &str| keys.path().join(name).display().to_string();
    let openssl = |arguments: &str| {
        let done = std::process::Command::new("openssl")
            .args(arguments.split(' '))
            .output()
            .unwrap();
        assert!(done.status.success(), "{}", String::from_utf8_lossy(&done.stderr));
    };
    openssl(&format!(
        "req -x509 -newkey rsa:2048 -nodes -days 2 -subj /CN=ca -keyout {} -out {}",
        at("ca.key"),
        at("ca.pem")
    ));
    openssl(&format!(
        "req -newkey rsa:2048 -nodes -subj /CN=db -keyout {} -out {}",
        at("db.key"),
        at("db.csr")
    ));
    std::fs::write(keys.path().join("ext"), "subjectAltName=DNS:localhost,IP:127.0.0.1").unwrap();
    openssl(&format!(
        "x509 -req -days 2 -in {} -CA {} -CAkey {} -CAcreateserial -extfile {} -out {}",
        at("db.csr"),
        at("ca.pem"),
        at("ca.key"),
        at("ext"),
        at("db.pem")
    ));
    let server = MariaDb::start(&[
        &format!("--ssl-ca={}", at("ca.pem")),
        &format!("--ssl-cert={}", at("db.pem")),
        &format!("--ssl-key={}", at("db.key")),
        "--require-secure-transport=ON",
    ]);
    let url = server.url(&server.new_database());
    let opens = |parameters: &str| Store::open(&options(Database::Mysql(format!("{url}{parameters}"))));
    for parameters in [
        format!("?ssl_ca={}", at("ca.pem")),
        "?require_ssl=true&verify_ca=false".into(),
    ] {
        let store = opens(&parameters).unwrap();
        let cipher = runtime().block_on(store.read(|db| {
            let row: Count = diesel::sql_query(
                "SELECT CAST(LENGTH(variable_value) AS SIGNED) AS count FROM information_schema.session_status \
                 WHERE variable_name = 'Ssl_cipher'",
            )
            .get_result(db)?;
            Ok(row.count)
        }));
        assert!(cipher.unwrap() > 0, "{parameters}");
    }
    for parameters in ["", "?require_ssl=true", "?ssl_ca=/nonexistent"] {
        let refused = opens(parameters).err().unwrap();
        assert!(matches!(refused, StoreError::Unavailable(_)), "{parameters}: {refused}");
    }
}
