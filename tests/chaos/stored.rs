//! What the store holds, read beside the server.

use std::collections::BTreeMap;

use diesel::prelude::*;
use diesel::sql_types::{BigInt, Nullable, Text};
use ovation_schema::{DbConnection, Options, UserId, streams};
use serde_json::Value;

use crate::record::Told;

/// A stored message.
#[derive(Debug, Clone, PartialEq, Eq, QueryableByName)]
pub struct Message {
    #[diesel(sql_type = BigInt)]
    pub id: i64,
    #[diesel(sql_type = BigInt)]
    pub from: i64,
    #[diesel(sql_type = BigInt)]
    pub to: i64,
    #[diesel(sql_type = Text)]
    pub text: String,
    #[diesel(sql_type = BigInt)]
    pub time: i64,
    #[diesel(sql_type = Nullable<Text>)]
    pub key: Option<String>,
}

/// One user's side of a conversation.
#[derive(Debug, Clone, PartialEq, Eq, QueryableByName)]
pub struct Side {
    #[diesel(sql_type = BigInt)]
    pub user: i64,
    #[diesel(sql_type = BigInt)]
    pub peer: i64,
    #[diesel(sql_type = BigInt)]
    pub read_id: i64,
    #[diesel(sql_type = BigInt)]
    pub read_time: i64,
    #[diesel(sql_type = BigInt)]
    pub unread: i64,
}

/// A comment, deleted ones included.
#[derive(Debug, Clone, PartialEq, Eq, QueryableByName)]
pub struct Comment {
    #[diesel(sql_type = BigInt)]
    pub id: i64,
    #[diesel(sql_type = BigInt)]
    pub user: i64,
    #[diesel(sql_type = BigInt)]
    pub author: i64,
    #[diesel(sql_type = Text)]
    pub text: String,
}

/// Two ids that belong together.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, QueryableByName)]
pub struct Pair {
    #[diesel(sql_type = BigInt)]
    pub one: i64,
    #[diesel(sql_type = BigInt)]
    pub other: i64,
}

/// All of it, in the order that the rows say.
#[derive(Debug, Clone, Default)]
pub struct Stored {
    /// By user.
    pub streams: BTreeMap<i64, Vec<Told>>,
    /// By time.
    pub messages: Vec<Message>,
    pub sides: Vec<Side>,
    pub comments: Vec<Comment>,
    /// Follower and followee, also of those that ended.
    pub follows: Vec<Pair>,
    /// Video and liker, of those whose author has been told.
    pub noticed: Vec<Pair>,
}

fn connect(options: &Options) -> DbConnection {
    ovation_schema::connect(options).expect("a connection to the scene's database")
}

/// The newest event of each user.
pub fn newest(options: &Options, users: &[i64]) -> Vec<(i64, i64)> {
    let users: Vec<UserId> = users.iter().copied().map(UserId).collect();
    let newest = streams::newest(&mut connect(options), &users).unwrap();
    newest.into_iter().map(|(user, seq)| (user.0, seq)).collect()
}

impl Stored {
    /// Reads it when nobody changes anything.
    pub fn read(options: &Options, users: &[i64]) -> Self {
        let connection = &mut connect(options);
        let messages = "SELECT id, from_user_id AS `from`, user_lo + user_hi - from_user_id AS `to`, content AS text, \
                        create_time AS time, client_key AS `key` FROM messages ORDER BY create_time, id";
        let sides =
            "SELECT user_id AS user, peer_id AS peer, read_message_id AS read_id, read_time, unread FROM conversations";
        let comments = "SELECT comments.id AS id, user_id AS user, author_id AS author, content AS text \
                        FROM comments JOIN videos ON videos.id = video_id";
        let follows = "SELECT follower_id AS one, followee_id AS other FROM follows";
        let noticed = "SELECT video_id AS one, user_id AS other FROM favorites JOIN videos ON videos.id = video_id \
                       WHERE noticed = TRUE AND author_id <> user_id";
        Self {
            streams: users.iter().map(|user| (*user, stream(connection, *user))).collect(),
            messages: diesel::sql_query(messages).load(connection).unwrap(),
            sides: diesel::sql_query(sides).load(connection).unwrap(),
            comments: diesel::sql_query(comments).load(connection).unwrap(),
            follows: diesel::sql_query(follows).load(connection).unwrap(),
            noticed: diesel::sql_query(noticed).load(connection).unwrap(),
        }
    }
}

fn stream(connection: &mut DbConnection, user: i64) -> Vec<Told> {
    let events = streams::page(connection, UserId(user), 1, 1_000_000)
        .unwrap()
        .into_iter();
    let told = events.map(|event| Told {
        seq: event.seq,
        t: event.kind.name().to_owned(),
        d: serde_json::from_str::<Value>(&event.payload).unwrap(),
    });
    told.collect()
}
