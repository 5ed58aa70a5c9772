//! What the hub's actors ask of the store: two verbs, so that tests can put another store in its place.

use futures_util::future::BoxFuture;
use ovation_schema::videos::{self, VideoCounts};
use ovation_schema::{Store, StoreError, UserId, VideoId, follows};

/// The store as rooms and the feed see it. Boxed, so that the hub has no parameter: both are asked a few times a second.
pub trait HubStore: Send + Sync + 'static {
    /// A video's counts with the mark they were read with; none when there is no such video.
    fn counts(&self, video: VideoId) -> BoxFuture<'static, Result<Option<VideoCounts>, StoreError>>;

    /// Those of `users`, at most 1,000, who follow `followee`.
    fn followers_among(
        &self,
        followee: UserId,
        users: Vec<UserId>,
    ) -> BoxFuture<'static, Result<Vec<UserId>, StoreError>>;
}

impl HubStore for Store {
    fn counts(&self, video: VideoId) -> BoxFuture<'static, Result<Option<VideoCounts>, StoreError>> {
        let store = self.clone();
        Box::pin(async move { store.read(move |connection| videos::counts(connection, video)).await })
    }

    fn followers_among(
        &self,
        followee: UserId,
        users: Vec<UserId>,
    ) -> BoxFuture<'static, Result<Vec<UserId>, StoreError>> {
        let store = self.clone();
        Box::pin(async move {
            let query = move |connection: &mut _| follows::followers_among(connection, followee, &users);
            store.read(query).await
        })
    }
}
