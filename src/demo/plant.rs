//! The demo world as rows: one transaction, through the same functions as the API's own.
//!
//! Owns the moments at which everything happened, as far as the world does not say them itself. Whatever fails leaves
//! an empty store.

use ovation_schema::comments::NewComment;
use ovation_schema::messages::NewMessage;
use ovation_schema::users::NewUser;
use ovation_schema::videos::NewVideo;
use ovation_schema::{
    CommentId, DbConnection, Kind, MessageId, StoreError, UserId, VideoId, comments, favorites, follows, messages,
    reserve, users, videos,
};

use crate::demo_world::{CHATS, DemoVideo, FOLLOWS, USERS, VIDEOS};

const MINUTE_MS: i64 = 60_000;
/// When the accounts were made: before everything else, a minute apart.
const REGISTERED_MINUTES_AGO: i64 = 20 * 24 * 60;
/// When the follows began: after the accounts, before the first video; 10 minutes apart.
const FOLLOWED_MINUTES_AGO: i64 = 15 * 24 * 60;
const BETWEEN_FOLLOWS_MS: i64 = 10 * MINUTE_MS;

/// What is not in the world itself.
pub struct Makings {
    /// The PHC string of everybody.
    pub password_hash: String,
    /// One media name for each clip.
    pub media: Vec<String>,
    /// The present, in milliseconds since the epoch.
    pub now_ms: i64,
}

/// Fills the store, unless there is somebody in it already; then false.
pub fn plant(connection: &mut DbConnection, makings: &Makings) -> Result<bool, StoreError> {
    if users::any(connection)? {
        return Ok(false);
    }
    let people = add_users(connection, makings)?;
    add_follows(connection, &people, makings.now_ms)?;
    add_videos(connection, &people, makings)?;
    add_chats(connection, &people, makings.now_ms)?;
    Ok(true)
}

/// Ids of their own for `count` things, rolled back with the rest: a store that was filled begins at 1.
fn ids<K: Kind>(connection: &mut DbConnection, count: usize) -> Result<impl Iterator<Item = K> + use<K>, StoreError> {
    let count = i64::try_from(count).map_err(|_| StoreError::Internal("the demo world is too large".into()))?;
    Ok(reserve(connection, K::NAME, count)?.map(K::from_number))
}

fn add_users(connection: &mut DbConnection, makings: &Makings) -> Result<Vec<UserId>, StoreError> {
    let people: Vec<UserId> = ids(connection, USERS.len())?.collect();
    let mut created_at = makings.now_ms - REGISTERED_MINUTES_AGO * MINUTE_MS;
    for (user, id) in USERS.iter().zip(&people) {
        let new = NewUser {
            id: *id,
            name: user.name.to_owned(),
            password_hash: makings.password_hash.clone(),
            created_at,
        };
        users::insert(connection, &new)?;
        users::set_signature(connection, *id, user.signature)?;
        created_at += MINUTE_MS;
    }
    Ok(people)
}

fn add_follows(connection: &mut DbConnection, people: &[UserId], now_ms: i64) -> Result<(), StoreError> {
    let mut time = now_ms - FOLLOWED_MINUTES_AGO * MINUTE_MS;
    for (follower, followees) in &FOLLOWS {
        for followee in *followees {
            follows::set(connection, people[*follower], people[*followee], true, time)?;
            time += BETWEEN_FOLLOWS_MS;
        }
    }
    Ok(())
}

fn add_videos(connection: &mut DbConnection, people: &[UserId], makings: &Makings) -> Result<(), StoreError> {
    let spoken = VIDEOS.iter().map(|video| video.comments.len()).sum();
    let mut comment_ids = ids::<CommentId>(connection, spoken)?;
    for (video, id) in VIDEOS.iter().zip(ids(connection, VIDEOS.len())?) {
        let new = NewVideo {
            id,
            author_id: people[video.author],
            title: video.title.to_owned(),
            media_hash: makings.media[video.clip].clone(),
        };
        videos::publish(connection, &new, ago(makings.now_ms, video.minutes_ago))?;
        add_likes(connection, people, video, id, makings.now_ms)?;
        for (comment, comment_id) in video.comments.iter().zip(&mut comment_ids) {
            let new = NewComment {
                id: comment_id,
                video_id: id,
                user_id: people[comment.user],
                content: comment.content.to_owned(),
                created_at: ago(makings.now_ms, comment.minutes_ago),
            };
            comments::insert(connection, &new)?;
        }
    }
    Ok(())
}

/// The likes of a video, spread evenly over its life.
fn add_likes(
    connection: &mut DbConnection,
    people: &[UserId],
    video: &DemoVideo,
    id: VideoId,
    now_ms: i64,
) -> Result<(), StoreError> {
    let age = now_ms - ago(now_ms, video.minutes_ago);
    let step = age / i64::try_from(video.likes.len() + 1).unwrap_or(i64::MAX);
    for (like, user) in (1..).zip(video.likes) {
        let time = now_ms - age + step * like;
        favorites::set(connection, people[*user], id, true, time)?;
    }
    Ok(())
}

fn add_chats(connection: &mut DbConnection, people: &[UserId], now_ms: i64) -> Result<(), StoreError> {
    let written = CHATS.iter().map(|chat| chat.messages.len()).sum();
    let mut message_ids = ids::<MessageId>(connection, written)?;
    for chat in &CHATS {
        let [a, b] = chat.users;
        for (message, id) in chat.messages.iter().zip(&mut message_ids) {
            let receiver = if message.from == a { b } else { a };
            let new = NewMessage {
                id,
                from: people[message.from],
                to: people[receiver],
                content: message.content.to_owned(),
                key: None,
            };
            messages::send(connection, &new, ago(now_ms, message.minutes_ago))?;
        }
    }
    Ok(())
}

fn ago(now_ms: i64, minutes: u32) -> i64 {
    now_ms - i64::from(minutes) * MINUTE_MS
}
