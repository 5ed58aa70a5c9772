//! A change, and the telling of it.
//!
//! Owns that whoever is looking hears of what was committed even when whoever asked has gone away meanwhile: a request is
//! dropped with its connection, between the commit and the push as well. So a change that others hear of runs in a task
//! of its own.

use std::convert::Infallible;

use ovation_actors::hub::Hub;
use ovation_schema::streams::Event;
use ovation_schema::{DbConnection, StoreError};
use tokio::sync::oneshot;

use crate::app::App;

/// What a commit has to say.
#[derive(Default)]
pub struct News {
    /// Events it stored in the streams of their users.
    pub events: Vec<Event>,
    /// Whatever else the hub is to be told.
    pub also: Option<Box<dyn FnOnce(&Hub)>>,
}

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
        let (answer, answered) = oneshot::channel();
        let (running, ended) = oneshot::channel::<Infallible>();
        let app = self.clone();
        actix_web::rt::spawn(async move {
            // The store drops what it runs when the transaction is over.
            let change = move |connection: &mut DbConnection| {
                let _ = &running;
                change(connection)
            };
            let mut result = app.store.write(change).await;
            let in_doubt = matches!(result, Err(StoreError::Unavailable(_)));
            let news = result.as_mut().map(news).unwrap_or_default();
            // Whoever has gone needs no answer.
            let _ = answer.send(result);
            tokio::task::yield_now().await;
            news.tell(&app.hub);
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
