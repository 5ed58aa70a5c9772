use std::future::poll_fn;
use std::sync::mpsc::{self, Receiver, Sender};
use std::sync::{Arc, Mutex as StdMutex};

use diesel::connection::SimpleConnection as _;
use futures_util::future::join_all;
use ovation_actors::outbox::{Outbox, OutboxLimits};
use ovation_schema::users::{self, NewUser};
use ovation_schema::{DbConnection, MessageId, UserId, streams, verify};

use super::*;
use crate::app::App;
use crate::config::Config;
use crate::server::Server;

const USERS: i64 = 120;

/// A server with users, whose only writer can be held up.
struct Scene {
    server: Server,
    app: App,
    _folder: tempfile::TempDir,
}

impl Scene {
    fn new(change: impl FnOnce(&mut Config)) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let mut config = Config::for_test(folder.path());
        change(&mut config);
        let mut app = None;
        let server = Server::start_with(config, |built| {
            app = Some(built.clone());
            Ok(())
        });
        Self {
            server: server.unwrap(),
            app: app.unwrap(),
            _folder: folder,
        }
    }

    fn run(self, test: impl AsyncFnOnce(&App)) {
        let app = self.app;
        actix_web::rt::System::new().block_on(async {
            let fill = |connection: &mut DbConnection| {
                for id in 1..=USERS {
                    let user = NewUser {
                        id: UserId(id),
                        name: format!("user {id}"),
                        password_hash: String::new(),
                        created_at: 0,
                    };
                    users::insert(connection, &user)?;
                }
                Ok(())
            };
            app.store.write(fill).await.unwrap();
            test(&app).await;
        });
        drop(app);
        self.server.stop().unwrap();
    }
}

/// Holds the writer up until it is dropped.
struct Hold(#[expect(dead_code, reason = "its end is what counts")] Sender<()>);

impl Hold {
    async fn of(app: &App) -> Self {
        let (release, wait): (_, Receiver<()>) = mpsc::channel();
        let wait = Arc::new(StdMutex::new(wait));
        let (held, holds) = oneshot::channel();
        let held = StdMutex::new(Some(held));
        let store = app.store.clone();
        actix_web::rt::spawn(async move {
            let block = move |_: &mut DbConnection| {
                if let Some(held) = held.lock().unwrap().take() {
                    held.send(()).unwrap();
                }
                let _ = wait.lock().unwrap().recv();
                Ok(())
            };
            let _ = store.write(block).await;
        });
        holds.await.unwrap();
        Self(release)
    }
}

fn to_send(id: i64, (from, to): (i64, i64), key: Option<&str>) -> ToSend {
    ToSend {
        message: NewMessage {
            id: MessageId(id),
            from: UserId(from),
            to: UserId(to),
            content: "m".into(),
            key: key.map(str::to_owned),
        },
        version: None,
    }
}

/// Sends all of them, after each is in its place; releases the writer then.
async fn all(app: &App, hold: Hold, all: Vec<ToSend>) -> Vec<Result<Outcome, StoreError>> {
    let count = all.len();
    let sends = all.into_iter().map(|one| {
        let app = app.clone();
        actix_web::rt::spawn(async move { app.send(one).await })
    });
    let sends: Vec<_> = sends.collect();
    while app.sending.lock().waiting.len() + AT_ONCE < count.min(WAITING + AT_ONCE) {
        tokio::task::yield_now().await;
    }
    drop(hold);
    join_all(sends).await.into_iter().map(Result::unwrap).collect()
}

fn is_stored(result: &Result<Outcome, StoreError>) -> bool {
    matches!(result, Ok(Ok(Sent::Stored { .. })))
}

async fn events(app: &App, user: i64) -> Vec<Event> {
    let page = move |connection: &mut _| streams::page(connection, UserId(user), 0, 10_000);
    app.store.read(page).await.unwrap()
}

async fn is_exact(app: &App) {
    assert!(app.store.read(verify::recount).await.unwrap().is_empty());
}

/// Everybody writes to user 1.
fn crowd() -> Vec<ToSend> {
    (2..=USERS).map(|from| to_send(from, (from, 1), None)).collect()
}

#[test]
fn those_that_wait_go_together_and_everybody_hears_of_them() {
    Scene::new(|_| {}).run(async |app| {
        let outbox = Arc::new(Outbox::new(OutboxLimits {
            frames: 1_000,
            bytes: 1 << 20,
        }));
        let _seat = app.hub.attach(UserId(1), 1, Arc::clone(&outbox)).unwrap();
        let results = all(app, Hold::of(app).await, crowd()).await;
        assert!(results.iter().all(is_stored), "{results:?}");
        let told = events(app, 1).await;
        let times: std::collections::BTreeSet<i64> = told.iter().skip(AT_ONCE).map(|event| event.created_at).collect();
        assert_eq!(times.len(), 1, "one transaction has one time");
        let heard = async {
            loop {
                let newest = poll_fn(|context| outbox.poll_take(context, None)).await.newest;
                if newest == USERS - 1 {
                    return;
                }
            }
        };
        let heard = tokio::time::timeout(Duration::from_secs(10), heard).await;
        heard.expect("everything is told");
        assert_eq!(app.sending.lock().under_way, 0);
        is_exact(app).await;
    });
}

#[test]
fn nobodys_failure_is_anybody_elses() {
    Scene::new(|_| {}).run(async |app| {
        let lose = |connection: &mut DbConnection| {
            connection.batch_execute("DELETE FROM streams WHERE user_id = 7")?;
            users::set_password(connection, "user 9", "", 1)
        };
        assert!(app.store.write(lose).await.unwrap());
        let before = app.send(to_send(1_000, (2, 1), Some("known"))).await;
        assert!(is_stored(&before));
        let mut sends = crowd();
        sends.push(to_send(1_001, (2, 999), None));
        sends.push(to_send(1_002, (2, 3), Some("known")));
        sends.push(to_send(1_003, (2, 1), Some("known")));
        for (id, version) in [(1_004, 1), (1_005, 2)] {
            let mut claims = to_send(id, (9, 1), None);
            claims.version = Some(version);
            sends.push(claims);
        }
        let mut results = all(app, Hold::of(app).await, sends).await;
        let odd = results.split_off(results.len() - 5);
        assert!(matches!(odd[0], Ok(Ok(Sent::NoReceiver))), "{odd:?}");
        assert!(matches!(odd[1], Ok(Ok(Sent::KeyConflict))), "{odd:?}");
        assert!(
            matches!(
                odd[2],
                Ok(Ok(Sent::Duplicate {
                    id: MessageId(1_000),
                    ..
                }))
            ),
            "{odd:?}"
        );
        assert_eq!(odd[3].as_ref().unwrap(), &Err(VoidToken));
        assert!(is_stored(&odd[4]), "{odd:?}");
        for (from, result) in (2..).zip(&results) {
            // A user without a stream is a broken store: everybody's message to others is stored all the same.
            let fits = if from == 7 {
                matches!(result, Err(StoreError::Internal(_)))
            } else {
                is_stored(result)
            };
            assert!(fits, "{from}: {result:?}");
        }
        assert_eq!(events(app, 1).await.len(), 1 + 119 - 1 + 1);
    });
}

#[test]
fn a_batch_that_is_taken_apart_is_given_up_when_the_store_is_away() {
    let impatient = |config: &mut Config| {
        config.db_acquire_timeout = Duration::from_millis(200);
        config.db_statement_timeout = Duration::from_millis(200);
    };
    Scene::new(impatient).run(async |app| {
        let entry = |id| Entry {
            to_send: to_send(id, (1, 2), None),
            _running: Running::none(),
        };
        let entries: Arc<[Entry]> = (0..100).map(entry).collect();
        let (turns, answers): (Vec<_>, Vec<_>) = (1..100).map(|_| oneshot::channel()).unzip();
        let hold = Hold::of(app).await;
        app.sending.apart(&entries, turns, false).await;
        drop(hold);
        let mut in_doubt = 0;
        for answer in answers {
            let Ok(Turn::Done((Err(error), _))) = answer.await else {
                panic!("everybody hears that it failed");
            };
            match error {
                StoreError::Unavailable(_) => in_doubt += 1,
                error => assert!(matches!(error, StoreError::Busy), "not tried: {error}"),
            }
        }
        assert_eq!(in_doubt, 8, "those that were under way when the store went");
        is_exact(app).await;
    });
}

#[test]
fn the_queue_and_the_wait_are_bounded() {
    let impatient = |config: &mut Config| {
        config.db_acquire_timeout = Duration::from_millis(200);
        config.db_statement_timeout = Duration::from_millis(200);
    };
    Scene::new(impatient).run(async |app| {
        let hold = Hold::of(app).await;
        let room = i64::try_from(WAITING + AT_ONCE).unwrap();
        let sends = (1..=room + 3).map(|id| {
            let app = app.clone();
            actix_web::rt::spawn(async move { app.send(to_send(id, (1, 2), None)).await })
        });
        let results = join_all(sends.collect::<Vec<_>>()).await;
        let results: Vec<_> = results.into_iter().map(Result::unwrap).collect();
        let (begun, waited) = results.split_at(AT_ONCE);
        let doubtful = |result: &Result<_, _>| matches!(result, Err(StoreError::Unavailable(_)));
        assert!(begun.iter().all(doubtful), "{begun:?}");
        assert!(waited.iter().all(|result| matches!(result, Err(StoreError::Busy))));
        drop(hold);
        // What was refused as busy is never stored; what was in doubt may be.
        let after = app.send(to_send(room + 10, (3, 4), None)).await;
        assert!(is_stored(&after), "{after:?}");
        assert!(events(app, 1).await.len() <= AT_ONCE);
        is_exact(app).await;
    });
}

#[test]
fn a_batch_is_bounded_in_messages_and_bytes() {
    Scene::new(|_| {}).run(async |app| {
        let sending = &app.sending;
        for (length, fit) in [(1, MOST - 1), (1 << 12, MOST_BYTES / (1 << 12) - 1), (MOST_BYTES, 0)] {
            let entry = || {
                let mut to_send = to_send(1, (1, 2), None);
                to_send.message.content = "x".repeat(length);
                Entry {
                    to_send,
                    _running: Running::none(),
                }
            };
            let mut turns = Vec::new();
            for number in 0..300 {
                let (turn, comes) = oneshot::channel();
                turns.push(comes);
                let entry = entry();
                sending.lock().waiting.push_back(Waiting { number, entry, turn });
            }
            assert_eq!(sending.take(length).len(), fit, "texts of {length} bytes");
            // Those whose task has ended are left out.
            turns.clear();
            assert_eq!(sending.take(0).len(), 0);
            sending.lock().waiting.clear();
        }
    });
}

#[test]
fn a_right_that_nobody_takes_comes_back() {
    Scene::new(|_| {}).run(async |app| {
        let hold = Hold::of(app).await;
        let mut tasks: Vec<_> = (1..=10)
            .map(|id| {
                let sending = app.sending.clone();
                actix_web::rt::spawn(async move { sending.send(to_send(id, (1, 2), None), Running::none()).await.0 })
            })
            .collect();
        while app.sending.lock().waiting.len() + AT_ONCE < 10 {
            tokio::task::yield_now().await;
        }
        // As with the runtime of a worker that ends: those at work, and the first that wait.
        for gone in &tasks[..6] {
            gone.abort();
        }
        for gone in tasks.drain(..6) {
            assert!(gone.await.unwrap_err().is_cancelled());
        }
        drop(hold);
        for left in tasks {
            let left = left.await.unwrap();
            assert!(is_stored(&left), "{left:?}");
        }
        assert!(is_stored(&app.send(to_send(20, (3, 4), None)).await));
        assert_eq!(app.sending.lock().under_way, 0);
    });
}
