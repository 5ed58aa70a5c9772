//! Token versions looked up in groups.
//!
//! Owns the requests that wait for a look at a user's row: those that come while one look is under way share the next
//! one. A storm of likes by many people then costs a statement for hundreds of them, and an idle server one each, at
//! once. Never remembers a version: [`super::Confirmed`] does.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use ovation_schema::{Store, StoreError, UserId, users};
use tokio::sync::oneshot;

/// Users in one statement.
const GROUP: usize = 1_000;
/// Requests that may wait; past it the answer is "busy".
const WAITING: usize = 20_000;

type Answer = Result<Option<i64>, StoreError>;

#[derive(Default)]
struct State {
    waiting: Vec<(UserId, oneshot::Sender<Answer>)>,
    looking: bool,
}

/// The group look-up; clones share it.
#[derive(Clone)]
pub struct Versions {
    store: Store,
    state: Arc<Mutex<State>>,
}

impl Versions {
    /// Looks into the users of `store`.
    pub fn new(store: Store) -> Self {
        Self {
            store,
            state: Arc::default(),
        }
    }

    /// The version that valid tokens of this user carry; none when there is no such user. Inside a tokio runtime.
    pub async fn of(&self, user: UserId) -> Answer {
        let (sender, answer) = oneshot::channel();
        let begin = {
            let mut state = self.lock();
            if state.waiting.len() >= WAITING {
                return Err(StoreError::Busy);
            }
            state.waiting.push((user, sender));
            !std::mem::replace(&mut state.looking, true)
        };
        if begin {
            // A task of its own: whoever happened to come first may go away, the others still wait.
            let looking = Looking {
                versions: self.clone(),
                armed: true,
            };
            tokio::spawn(looking.look());
        }
        answer
            .await
            .unwrap_or_else(|_| Err(StoreError::Unavailable("the server is stopping".into())))
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Armed while the task runs, from before it begins: where it is dropped half-way, or a runtime that ends never runs it,
/// those that wait are told at once and the next request begins anew.
struct Looking {
    versions: Versions,
    armed: bool,
}

impl Looking {
    /// Looks until nobody waits.
    async fn look(mut self) {
        loop {
            let group = {
                let mut state = self.versions.lock();
                let count = state.waiting.len().min(GROUP);
                if count == 0 {
                    state.looking = false;
                    // From here on the next request begins anew, and its task is none of this guard's business.
                    self.armed = false;
                    return;
                }
                state.waiting.drain(..count).collect::<Vec<_>>()
            };
            let mut ids: Vec<UserId> = group.iter().map(|(user, _)| *user).collect();
            ids.sort_unstable();
            ids.dedup();
            let store = &self.versions.store;
            let found = store
                .read(move |connection| users::token_versions(connection, &ids))
                .await;
            for (user, sender) in group {
                // Whoever has gone needs no answer.
                let _ = sender.send(answer(&found, user));
            }
        }
    }
}

impl Drop for Looking {
    fn drop(&mut self) {
        if self.armed {
            let mut state = self.versions.lock();
            state.looking = false;
            state.waiting.clear();
        }
    }
}

/// One answer of a group's, whose error is not made for sharing.
fn answer(found: &Result<HashMap<UserId, i64>, StoreError>, user: UserId) -> Answer {
    match found {
        Ok(versions) => Ok(versions.get(&user).copied()),
        Err(StoreError::Busy) => Err(StoreError::Busy),
        Err(StoreError::Unavailable(reason)) => Err(StoreError::Unavailable(reason.clone())),
        Err(other) => Err(StoreError::Internal(other.to_string())),
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use ovation_schema::users::NewUser;
    use ovation_schema::{Database, Options};

    use super::*;

    #[tokio::test]
    async fn everybody_gets_their_own_answer_from_a_few_statements() {
        let folder = tempfile::tempdir().unwrap();
        let options = Options {
            database: Database::Sqlite(folder.path().join("store.db")),
            connections: 2,
            acquire_timeout: Duration::from_secs(5),
            statement_timeout: Duration::from_secs(5),
        };
        let store = tokio::task::spawn_blocking(move || Store::open(&options))
            .await
            .unwrap()
            .unwrap();
        for id in 1..=50 {
            let user = NewUser {
                id: UserId(id),
                name: format!("user{id}"),
                password_hash: String::new(),
                created_at: 0,
            };
            store
                .write(move |connection| users::insert(connection, &user))
                .await
                .unwrap();
        }
        let changed = |connection: &mut _| users::set_password(connection, "user7", "", 1);
        assert!(store.write(changed).await.unwrap());
        let versions = Versions::new(store.clone());
        let before = store.statements();
        let asked = (1..=60).map(|id| versions.of(UserId(id)));
        let answers = futures_util::future::join_all(asked).await;
        for (id, answer) in (1..=60).zip(answers) {
            let expected = if id > 50 {
                None
            } else {
                Some(if id == 7 { 2 } else { 1 })
            };
            assert_eq!(answer.unwrap(), expected, "user {id}");
        }
        assert!(
            store.statements() - before <= 3,
            "60 requests, {} statements",
            store.statements() - before
        );
        assert_eq!(
            versions.of(UserId(1)).await.unwrap(),
            Some(1),
            "and the next one begins anew"
        );
        store.close();
        versions.of(UserId(1)).await.unwrap_err();
    }
}
