use std::sync::{Arc, Mutex};

use foldhash::{HashMap, HashSet};
use futures_util::FutureExt as _;
use futures_util::future::BoxFuture;
use ovation_schema::mark::Position;
use ovation_schema::videos::VideoCounts;
use ovation_schema::{StoreError, UserId, VideoId};

use crate::hub::store::HubStore;

#[derive(Clone, Default)]
pub struct FakeStore(Arc<Mutex<State>>);

#[derive(Default)]
pub struct State {
    pub videos: HashMap<VideoId, (i64, i64)>,
    pub mark: i64,
    pub follows: HashSet<(UserId, UserId)>,
    /// Every answer is "later".
    pub away: bool,
    /// No answer at all.
    pub silent: bool,
    pub reads: usize,
    /// How many users each question named.
    pub questions: Vec<usize>,
}

impl FakeStore {
    pub fn set(&self, change: impl FnOnce(&mut State)) {
        change(&mut self.0.lock().unwrap());
    }

    pub fn get<T>(&self, look: impl FnOnce(&State) -> T) -> T {
        look(&self.0.lock().unwrap())
    }

    fn answer<T: Send + 'static>(
        &self,
        look: impl FnOnce(&mut State) -> T,
    ) -> BoxFuture<'static, Result<T, StoreError>> {
        let mut state = self.0.lock().unwrap();
        if state.silent {
            return futures_util::future::pending().boxed();
        }
        let answer = if state.away { Err(StoreError::Busy) } else { Ok(()) };
        let answer = answer.map(|()| look(&mut state));
        // Not at once, as with a real one.
        async move {
            tokio::task::yield_now().await;
            answer
        }
        .boxed()
    }
}

impl HubStore for FakeStore {
    fn counts(&self, video: VideoId) -> BoxFuture<'static, Result<Option<VideoCounts>, StoreError>> {
        self.set(|state| state.reads += 1);
        self.answer(|state| {
            let counts = state.videos.get(&video);
            counts.map(|(favorite_count, comment_count)| VideoCounts {
                favorite_count: *favorite_count,
                comment_count: *comment_count,
                mark: Position(state.mark),
            })
        })
    }

    fn followers_among(
        &self,
        followee: UserId,
        users: Vec<UserId>,
    ) -> BoxFuture<'static, Result<Vec<UserId>, StoreError>> {
        self.set(|state| state.questions.push(users.len()));
        self.answer(|state| {
            let follows = |user: &UserId| state.follows.contains(&(*user, followee));
            users.into_iter().filter(follows).collect()
        })
    }
}
