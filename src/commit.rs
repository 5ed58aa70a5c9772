//! A change, and the telling of it.
//!
//! Two ways lead here: any change ([`App::commit`]), and messages, which are stored in batches ([`App::send`]). Owns that whoever is looking hears of what was committed even when whoever asked has gone away meanwhile: a request is
//! dropped with its connection, between the commit and the push as well. So a change that others hear of runs in a task
//! of its own.

use std::convert::Infallible;

use ovation_actors::hub::Hub;
use ovation_schema::streams::Event;
use ovation_schema::{DbConnection, StoreError};
use tokio::sync::oneshot;

use crate::app::App;
use crate::sending::{Outcome, ToSend};

/// Held by a transaction until it is over, also when nobody waits for it any more.
#[derive(Debug)]
pub struct Running(#[expect(dead_code, reason = "its end is what counts")] oneshot::Sender<Infallible>);

#[cfg(test)]
impl Running {
    /// One that nobody looks at.
    pub fn none() -> Self {
        Self(oneshot::channel().0)
    }
}

/// What a commit has to say.
#[derive(Default)]
pub struct News {
    /// Events it stored in the streams of their users.
    pub events: Vec<Event>,
    /// Whatever else the hub is to be told.
    pub also: Option<Telling>,
}

/// Says something to the hub.
type Telling = Box<dyn FnOnce(&Hub)>;

impl From<Vec<Event>> for News {
    fn from(events: Vec<Event>) -> Self {
        Self { events, also: None }
    }
}

impl News {
    /// Adds something that is not an event of a stream.
    #[must_use]
    pub fn also(mut self, tell: impl FnOnce(&Hub) + 'static) -> Self {
        self.also = Some(Box::new(tell));
        self
    }

    fn tell(self, hub: &Hub) {
        hub.announce(&self.events);
        if let Some(also) = self.also {
            also(hub);
        }
    }
}

impl App {
    /// Runs `change` as one transaction and tells its news once it is committed, also when this call is dropped. On a
    /// worker's thread.
    ///
    /// The caller gets its result before anybody is told, so that on one connection an answer comes before the events it
    /// causes.
    pub async fn commit<T, F>(&self, change: F, news: impl FnOnce(&mut T) -> News + 'static) -> Result<T, StoreError>
    where
        T: Send + 'static,
        F: Fn(&mut DbConnection) -> Result<T, StoreError> + Send + 'static,
    {
        let store = self.store.clone();
        let work = |running: Running| async move {
            // The store drops what it runs when the transaction is over.
            let change = move |connection: &mut DbConnection| {
                let _ = &running;
                change(connection)
            };
            let mut result = store.write(change).await;
            let news = result.as_mut().map(news).unwrap_or_default();
            (result, |hub: &Hub| news.tell(hub))
        };
        self.by_itself(work).await
    }

    /// Stores a message, in one transaction with those that are sent at the same time, and tells both users once it is
    /// committed; in everything else as [`App::commit`].
    pub async fn send(&self, to_send: ToSend) -> Result<Outcome, StoreError> {
        let sending = self.sending.clone();
        let work = |running| async move {
            let (result, told) = sending.send(to_send, running).await;
            (result, |_: &Hub| drop(told))
        };
        self.by_itself(work).await
    }

    /// Does `work` in a task of its own. It returns its result, which the caller gets first, and what is done then.
    async fn by_itself<T, W, N>(&self, work: impl FnOnce(Running) -> W + 'static) -> Result<T, StoreError>
    where
        T: 'static,
        W: Future<Output = (Result<T, StoreError>, N)>,
        N: FnOnce(&Hub),
    {
        let (answer, answered) = oneshot::channel();
        let (running, ended) = oneshot::channel::<Infallible>();
        let app = self.clone();
        actix_web::rt::spawn(async move {
            let (result, tell) = work(Running(running)).await;
            let in_doubt = matches!(result, Err(StoreError::Unavailable(_)));
            // Whoever has gone needs no answer.
            let _ = answer.send(result);
            tokio::task::yield_now().await;
            tell(&app.hub);
            if in_doubt {
                // The commit's answer may be what was lost. Or only the wait for it is over and the transaction is not:
                // what it commits yet is found when it has ended, and not before.
                let _ = ended.await;
                app.hub.doubt();
            }
        });
        answered
            .await
            .unwrap_or_else(|_| Err(StoreError::Unavailable("the server is stopping".into())))
    }
}

#[cfg(test)]
mod tests {
    use std::future::poll_fn;
    use std::sync::Arc;
    use std::time::Duration;

    use ovation_actors::outbox::{Outbox, OutboxLimits};
    use ovation_schema::streams::{self, EventKind, NewEvent};
    use ovation_schema::users::{self, NewUser};
    use ovation_schema::{UserId, now_ms};

    use super::*;
    use crate::config::Config;
    use crate::server::Server;

    const USER: UserId = UserId(7);

    fn user() -> NewUser {
        NewUser {
            id: USER,
            name: "late".into(),
            password_hash: String::new(),
            created_at: 0,
        }
    }

    #[test]
    fn a_commit_that_comes_after_its_caller_gave_up_is_announced() {
        let folder = tempfile::tempdir().unwrap();
        let config = Config {
            db_acquire_timeout: Duration::from_millis(100),
            db_statement_timeout: Duration::from_millis(100),
            ..Config::for_test(folder.path())
        };
        let mut app = None;
        let server = Server::start_with(config, |built| {
            app = Some(built.clone());
            Ok(())
        });
        let (server, app) = (server.unwrap(), app.unwrap());
        actix_web::rt::System::new().block_on(async move {
            let insert = |connection: &mut _| users::insert(connection, &user());
            app.store.write(insert).await.unwrap();
            let outbox = Arc::new(Outbox::new(OutboxLimits { frames: 0, bytes: 0 }));
            let _seat = app.hub.attach(USER, 1, Arc::clone(&outbox)).unwrap();
            let slow = |connection: &mut DbConnection| {
                // As a disk that hangs: long enough for the first doubt to have been settled.
                std::thread::sleep(Duration::from_millis(1_500));
                let event = NewEvent {
                    user: USER,
                    kind: EventKind::FollowNew,
                    payload: "{}".into(),
                };
                streams::append(connection, &[event], now_ms())
            };
            let given_up = app.commit(slow, |events| std::mem::take(events).into()).await;
            assert!(matches!(given_up, Err(StoreError::Unavailable(_))));
            let newest = async {
                loop {
                    let newest = poll_fn(|context| outbox.poll_take(context, None)).await.newest;
                    if newest > 0 {
                        return newest;
                    }
                }
            };
            let newest = tokio::time::timeout(Duration::from_secs(10), newest).await;
            assert_eq!(newest.expect("somebody says so"), 1);
        });
        server.stop().unwrap();
    }
}
